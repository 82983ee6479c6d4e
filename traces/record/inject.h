/*
 * inject.h - makes a running process load a library and call one function of it.
 *
 * One thread of the program does it, at a point where it holds none of the locks that dlopen
 * takes; all others keep running. The thread is stopped for some tens of microseconds: it is
 * redirected to a piece of code and released, and that code does the rest by itself and then
 * restores what the thread was about to do. From then on we are not needed: if we are killed at
 * any moment, the program continues. It may notice one thing: a waiting system call starts to
 * wait again (epoll_wait with its whole timeout).
 *
 * Only on x86-64. Thread rule: one thread. Errors: RH_ABSENT, RH_OS.
 */
#ifndef RH_RECORD_INJECT_H
#define RH_RECORD_INJECT_H

#include "traces/record/target.h"

struct rh_inject {
	const char *library, *function; /* int function(const char *argument) */
	const char *argument;
	uint64_t stack;		   /* out: the stack of the code, where it leaves its result */
	_Atomic uint32_t *filters; /* out: of system calls on the process, which allow what we do */
};

/* The thread has been redirected. */
int rh_inject_start(struct rh_target *target, struct rh_inject *inject, struct rh_err *err);

enum rh_inject_state { RH_INJECT_RUNS, RH_INJECT_FAILED };
/* Checks whether it failed: *result is what the function returned, when that was not 0, or
 * `text` says why the library or the function was not found (*result is -1 then). */
enum rh_inject_state rh_inject_look(const struct rh_target *target, const struct rh_inject *inject,
				    int *result, char *text, size_t room);

#endif
