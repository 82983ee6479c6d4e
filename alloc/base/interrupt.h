/*
 * interrupt.h - a signal that asked for the end (SIGINT, SIGTERM), for loops that take long.
 *
 * The command that wants to tidy up first watches for signals (rh_interrupts_watch of
 * harness/run/invocation.h). From then on a signal only sets rh_interrupted, and whatever takes
 * longer than half a second has to look at it: loops once a batch, waits when they are woken.
 * Where nobody watches, a signal ends the process at once, and outputs have no name yet.
 *
 * Thread rule: any thread may look; signal handlers write. Errors: RH_FAILED once a signal came.
 */
#ifndef RH_INTERRUPT_H
#define RH_INTERRUPT_H

#include <signal.h>

#include "alloc/base/err.h"

/* 0, or the signal. */
extern volatile sig_atomic_t rh_interrupted;

/* 0, or -1 with RH_FAILED once a signal came. */
int rh_interrupt_check(struct rh_err *err);

#endif
