/*
 * samples.h - how much of a process's user time is spent in the code of its allocator.
 *
 * The kernel's CPU clock takes a sample each RH_SAMPLE_NS of CPU time: where the program counter
 * stands. Inside means: in the library that serves malloc, a library that only it needs, or the
 * part of libc that is malloc; outside: anywhere else in user mode, also in memcpy when called by
 * realloc. Kernel time is neither (page faults belong to whoever touches first). Defined alike for
 * a real program and for the worker that replays it, so that one predicts the other; and what
 * is outside is the program's own, which no replay runs.
 *
 * Every user may do this for a process of his own where perf_event_paranoid is 2 or less. It
 * costs a timer interrupt a sample, some 1 % of the CPU time, under each allocator alike. All
 * threads are sampled; processes that the program starts are counted apart.
 *
 *	rh_code_add, rh_code_of		which files are the allocator's
 *	open				before the program starts (`on_exec`), or between segments
 *	look				now and then: a ring holds 0.6 s of samples of a CPU
 *	end
 *
 * Ownership: end frees; the code must outlive the samples. Thread rule: one thread. Errors: none
 * but those of rh_code_add; what cannot be had is NAN, with a sentence in `why`.
 */
#ifndef RH_SAMPLES_H
#define RH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/base/err.h"

enum {
	RH_SAMPLE_NS = 250000,
	RH_CODE_PARTS_MAX = 8,
	RH_CODE_PATH_BYTES = 512,
	RH_SAMPLES_WHY_BYTES = 300,
};

/* The allocator's code: parts of files. */
struct rh_code {
	unsigned count;
	struct rh_code_part {
		char path[RH_CODE_PATH_BYTES];
		uint64_t first, end; /* bytes of the file */
	} part[RH_CODE_PARTS_MAX];
};

/* Adds what of a file in memory is the allocator's; the worker loads nothing but it, libc and the
 * runtimes of compilers. RH_ABSENT: the malloc of this libc cannot be told from the rest of it. */
int rh_code_add(struct rh_code *code, const char *path, struct rh_err *err);
/* All files of a worker. */
int rh_code_of(struct rh_code *code, pid_t worker, struct rh_err *err);

/* Seconds of user time; NAN = see why. */
struct rh_sampled {
	double inside_s, outside_s;
	double others_s; /* of processes that it started */
	uint64_t samples;
	char why[RH_SAMPLES_WHY_BYTES];
};

struct rh_samples_ring {
	void *base; /* perf_event_mmap_page */
	uint64_t head;
	int cpu, fd;
};

struct rh_samples_range {
	uint64_t start, end;
};

struct rh_samples {
	pid_t pid; /* 0: nothing is sampled, and the functions do nothing */
	const struct rh_code *code;
	struct rh_samples_ring *rings;
	size_t ring_count, ring_room;
	int *fds;
	size_t fd_count, fd_room;
	struct rh_samples_range *ranges; /* where the allocator's code lies */
	size_t range_count, range_room;
	uint64_t inside, outside, others, lost;
	char why[RH_SAMPLES_WHY_BYTES];
};

/* Whether this machine does not let us sample, with the reason. */
bool rh_samples_refused(char *why, size_t bytes);

/* Of all threads that `pid` has and will have; `on_exec`: from its next exec on. */
void rh_samples_open(struct rh_samples *samples, pid_t pid, const struct rh_code *code,
		     bool on_exec);
void rh_samples_look(struct rh_samples *samples);
void rh_samples_end(struct rh_samples *samples, struct rh_sampled *out);

#endif
