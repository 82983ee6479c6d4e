/*
 * err.h - how every part of reheap says what went wrong.
 *
 * Four voices, and only four:
 *   bug    assert(): our own mistake, aborts; in hot loops rh_debug_assert() (debug.h).
 *   die    main() only: prints the error of the command and exits with its class.
 *   error  a function that can fail takes `struct rh_err *err` last and returns
 *          -1 (or NULL); `return rh_fail(err, class, "...")` reports and returns
 *          in one statement. The text is one sentence that names the file, the
 *          place and the way out, without a trailing full stop.
 *   usage  the class RH_USAGE: the words of the command line are off.
 *
 * Thread rule: an rh_err belongs to one thread. Nothing here allocates.
 */
#ifndef RH_ERR_H
#define RH_ERR_H

#include <stdarg.h>

/* Exit classes. 2..5 are the gate's (0 pass, 1 regression, 3 inconclusive, ...);
 * 64 and up follow sysexits(3), so that scripts can distinguish bad input (65),
 * a missing file (66), an absent allocator (69) and a full disk (74). */
enum rh_exit {
	RH_OK = 0,
	RH_FAILED = 1,	     /* it ran, and the answer is no: a trial failed, a regression */
	RH_USAGE = 2,	     /* the command line is wrong */
	RH_INCONCLUSIVE = 3, /* gate: not enough evidence either way */
	RH_NO_BASELINE = 4,  /* gate: nothing comparable to compare with */
	RH_INVALID = 5,	     /* gate: the measurement itself is not valid */
	RH_PARTIAL = 6,	     /* done, but something asked for is absent, or input was cut off */
	RH_BAD_DATA = 65,    /* damaged or malformed input */
	RH_NO_INPUT = 66,    /* input cannot be opened */
	RH_ABSENT = 69,	     /* backend, importer or tool not available here */
	RH_BUG = 70,	     /* an invariant of ours broke */
	RH_OS = 71,	     /* the system refused: memory, threads, processes */
	RH_CANT_CREATE = 73, /* output cannot be created */
	RH_IO = 74,	     /* read or write failed half way */
};

struct rh_err {
	enum rh_exit code;
	char text[600];
};

/* Fills err (NULL is allowed and drops the text) and returns -1. */
int rh_fail(struct rh_err *err, enum rh_exit code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int rh_vfail(struct rh_err *err, enum rh_exit code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* The same with ": <strerror(errno)>" appended; errno as it is at the call. */
int rh_fail_errno(struct rh_err *err, enum rh_exit code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is there; returns -1. */
int rh_err_prefix(struct rh_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
