/*
 * figures.h - what the recorded program itself used while it was recorded: CPU time of all
 * its threads, wall time, peak memory. They become notes of its trace: cpu_user_ns,
 * cpu_kernel_ns, wall_ns, peak_rss_bytes, and recorded_calls, for what recording costs the
 * program (some nanoseconds a call, and its rings) is in them and is to be taken off.
 *
 * Times in ns, memory in bytes. CPU time is exact to 10 ms, where the process could say at its
 * exit what it had used, and for the program itself; of one that was killed it is what was
 * seen last, up to 0.1 s before.
 *
 * Thread rule: one thread. Errors: none; what is not known has no note.
 */
#ifndef RH_RECORD_FIGURES_H
#define RH_RECORD_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/record/area.h"

struct rh_used {
	uint64_t user_ns, kernel_ns; /* so far */
	uint64_t wall_ns;	     /* CLOCK_MONOTONIC, when that was so */
};

/* Of one image; all zero: nothing is known. */
struct rh_figures_life {
	struct rh_used begin, last;
	struct rh_used off;   /* used while recording was off, in periods that are over */
	struct rh_used since; /* when this period off began */
	bool known, is_off;
	uint64_t peak_rss;
};

/* A process by its number here, also one that is over and waits for its parent. */
bool rh_figures_now(int pid, struct rh_used *now);

void rh_figures_begin(struct rh_figures_life *life, const struct rh_area *area,
		      const struct rh_proc *proc);
/* It is still the process of that image whose figures these are. */
void rh_figures_look(struct rh_figures_life *life, const struct rh_used *now);
/* Recording stops or begins again; the figures are those of the last look. */
void rh_figures_pause(struct rh_figures_life *life, bool off);
/* What it said as it exited, if it did. */
void rh_figures_end(struct rh_figures_life *life, const struct rh_area *area,
		    const struct rh_proc *proc);
/* What it used while it was recorded; false: not known. */
bool rh_figures_used(const struct rh_figures_life *life, struct rh_used *used);

#endif
