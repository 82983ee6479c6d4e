/*
 * figures.h - the resources that the recorded program itself used while it was recorded: CPU
 * time of all its threads, wall time, peak memory. They become notes of its trace: cpu_user_ns,
 * cpu_kernel_ns, wall_ns, peak_rss_bytes, and recorded_calls, because they include the cost of
 * recording (some nanoseconds per call, and the rings), which must be subtracted.
 *
 * Times in ns, memory in bytes. CPU time is exact to 10 ms if the process could report it at
 * its exit, and for the program itself; for a killed process it is the last reading, up to 0.1
 * s old.
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

/* For one image; all zero: nothing is known. */
struct rh_figures_life {
	struct rh_used begin, last;
	struct rh_used off;   /* used while recording was off, in periods that are over */
	struct rh_used since; /* when this period off began */
	bool known, is_off;
	uint64_t peak_rss;
};

/* Reads a process by its number here, also a zombie. */
bool rh_figures_now(int pid, struct rh_used *now);

void rh_figures_begin(struct rh_figures_life *life, const struct rh_area *area,
		      const struct rh_proc *proc);
/* The figures are verified to be those of the image's process. */
void rh_figures_look(struct rh_figures_life *life, const struct rh_used *now);
/* Recording stops or resumes; the figures are those of the last reading. */
void rh_figures_pause(struct rh_figures_life *life, bool off);
/* Its own report at exit, if there is one. */
void rh_figures_end(struct rh_figures_life *life, const struct rh_area *area,
		    const struct rh_proc *proc);
/* The resources it used while it was recorded; false: not known. */
bool rh_figures_used(const struct rh_figures_life *life, struct rh_used *used);

#endif
