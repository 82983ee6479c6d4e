/*
 * watch.h - what the threads of a real program wait for: how long they sleep, and how often they
 * ask the kernel to wait or to wake (futex calls).
 *
 * The kernel keeps neither for threads that have ended. Asleep: the caller looks at
 * /proc/PID/task/TID/schedstat of every thread, each RH_WATCH_SLICE_MS; of a thread count the time
 * between our first and last look, less its CPU time and less its wait for a CPU in between. So
 * a thread that lives shorter than that is not seen; of others we miss the two ends. Futex calls:
 * the kernel's tracepoint over all threads and children, where it may be used.
 * begin comes before the program has threads.
 *
 * Only the process itself is looked at, not its children. A look costs some 10 us a thread, in
 * the process that looks.
 *
 * Ownership: end frees. Thread rule: one thread. Errors: none; what cannot be had is NAN or
 * UINT64_MAX, with a sentence.
 */
#ifndef RH_WATCH_H
#define RH_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/base/tracepoint.h"

enum { RH_WATCH_SLICE_MS = 10 };

/* Sums over the threads that were seen. */
struct rh_watched {
	double asleep_s;      /* neither ran nor waited for a CPU */
	double seen_s;	      /* from first to last look */
	uint64_t threads;     /* seen twice */
	uint64_t futex_calls; /* UINT64_MAX: see why */
	char futex_why[RH_TRACEPOINT_WHY_BYTES];
};

struct rh_watch_thread {
	pid_t tid;
	uint64_t first_ns, first_run_ns; /* the clock; CPU time and wait for a CPU by then */
	uint64_t last_ns, last_run_ns;
};

struct rh_watch {
	pid_t pid; /* 0: nothing is watched, and the functions do nothing */
	int futex;
	struct rh_watch_thread *threads;
	size_t count, room;
	char why[RH_TRACEPOINT_WHY_BYTES];
};

void rh_watch_begin(struct rh_watch *watch, pid_t pid);
void rh_watch_look(struct rh_watch *watch);
/* After the program was reaped: counters of its children arrive with their ends. */
void rh_watch_end(struct rh_watch *watch, struct rh_watched *out);

#endif
