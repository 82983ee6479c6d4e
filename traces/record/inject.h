/*
 * inject.h - a running process loads a library and calls one function of it.
 *
 * One thread of the program does it, at a point where it holds none of the locks that dlopen
 * takes; all others run on. The thread is stopped for some tens of microseconds: it gets the
 * address of a piece of code, then it is let go again, and that code does all the rest by itself
 * and puts back what the thread was about to do. So nobody is needed any more: should we be
 * killed at any moment, the program goes on. What it may notice: a system call that
 * waits begins to wait again (epoll_wait with its whole timeout).
 *
 * Only on x86-64. Thread rule: one thread. Errors: RH_ABSENT, RH_OS.
 */
#ifndef RH_RECORD_INJECT_H
#define RH_RECORD_INJECT_H

#include "traces/record/target.h"

struct rh_inject {
	const char *library, *function; /* int function(const char *argument) */
	const char *argument;
	uint64_t stack; /* out: where the code has its stack and leaves its result */
};

/* The thread has been set on its way. */
int rh_inject_start(struct rh_target *target, struct rh_inject *inject, struct rh_err *err);

enum rh_inject_state { RH_INJECT_RUNS, RH_INJECT_FAILED };
/* Looks whether it failed: *result is what the function returned, when that was not 0, or
 * `text` says why the library or the function was not found (*result is -1 then). */
enum rh_inject_state rh_inject_look(const struct rh_target *target, const struct rh_inject *inject,
				    int *result, char *text, size_t room);

#endif
