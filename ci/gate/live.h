/*
 * live.h - one live worker of a gate, the building block of a pair (two alive, pair.c) and of a
 * sequential pair (one alive at a time, pair_sequential.c).
 *
 * A side stands at a grain and continues from there; every command is checked: all words of the
 * stretch executed, nothing failed, and, after a drain and between passes, the live objects are
 * those of the trace. The time of a side that did less than requested is not comparable.
 *
 * Ownership: rh_gate_live_end; it accepts one that never started (said_fd and memory.fd
 * -1). Thread rule: main thread. Errors: RH_INVALID and those of harness/launch/worker.h, with the
 * name of the side in front where it says so.
 */
#ifndef RH_GATE_LIVE_H
#define RH_GATE_LIVE_H

#include <sched.h>

#include "ci/gate/gate.h"
#include "harness/probe/probe_memory.h"

struct rh_gate_turn {
	double wall, cpu, median, p99; /* ticks; cpu ns */
	double late;		       /* share of it a lane was runnable and not running */
};

struct rh_gate_live {
	struct rh_worker worker;
	struct rh_memory_probe memory;
	uint64_t grain; /* where it stands */
	bool again;	/* the next run begins another pass */
	uint64_t timeout_ns;
	uint64_t rss_start, rss_peak;
	uint64_t shared_start;		  /* resident in shared mappings */
	uint64_t rss_kept;		  /* at the end of the last pass */
	uint64_t startup_ns, image_bytes; /* to the open heap; resident there, files too */
	uint64_t exit_ns, cpu_ns;	  /* after close: how long it took; CPU of its life ... */
	uint64_t others_cpu_ns;		  /* ... and of that, of threads that are no lanes */
	uint64_t born_ns, life_ns;	  /* rh_now_ns() of its start; from there to close */
	unsigned files, threads, maps;	  /* at the end of the last pass; 0 = not read */
	unsigned children;		  /* after close: processes it started ... */
	uint32_t changed;		  /* ... and what it changed: bits of enum rh_changed */
	uint64_t moved_bytes;		  /* by resizes, of all passes */
	uint64_t faults, switches, events;
	double wall_ns;
};

/* With one lane: this thread to a CPU of the kept set, by toss; what is started inherits it. */
void rh_gate_live_pin(const struct rh_gate_bench *bench, struct rh_gate_pair_row *row,
		      cpu_set_t *kept, uint64_t *random);

/* A fresh process with an open heap; the error is named. */
int rh_gate_live_start(struct rh_gate_bench *bench, struct rh_gate_live *side, int which,
		       bool verify, struct rh_err *err);
/* The end of its life as a program's: drain, close, destructors, exit, nothing left behind. What
 * it printed goes to the side. */
int rh_gate_live_close(struct rh_gate_bench *bench, struct rh_gate_live *side, int which,
		       struct rh_err *err);
/* Two sides, the first by toss. The caller ends them, however it went. */
int rh_gate_live_start_both(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			    struct rh_err *err);
int rh_gate_live_close_both(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			    struct rh_err *err);
void rh_gate_live_end(struct rh_gate_live *side);

/* `lead` grains before `first` untimed, then `count` grains. */
struct rh_gate_stretch {
	uint64_t first, count, lead;
	bool timed; /* by batches */
};
int rh_gate_live_run(struct rh_gate_live *side, const struct rh_gate_stretch *what,
		     struct rh_err *err);
/* On to a grain, epoch by epoch. */
int rh_gate_live_run_up(struct rh_gate_live *side, uint64_t to, struct rh_err *err);
/* Both sides on to the end of the trace, where their memory is read. Which comes first is tossed
 * for: the last one has the caches at the start of the next pass. */
int rh_gate_live_run_out(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			 struct rh_err *err);
int rh_gate_live_drain(struct rh_gate_live *side, struct rh_err *err);
/* From the end of a pass to the start of the next, keeping live objects (harness/worker/passes.c).
 * Does nothing if it is at the start already. */
void rh_gate_live_again(struct rh_gate_live *side);

/* Figures of the last run, which was timed. */
void rh_gate_live_turn(const struct rh_gate_bench *bench, struct rh_gate_live *side,
		       struct rh_gate_turn *turn);
/* Percentiles of single operations into the row: timed passes of two live sides, which stand at
 * their start or at the end of a pass. NaN where a percentile has too few samples. */
int rh_gate_latency(struct rh_gate_bench *bench, struct rh_gate_live side[2],
		    struct rh_gate_pair_row *row, struct rh_err *err);
/* After passes: the same processes replay the trace once more from an empty heap and check their
 * blocks (contents, alignment, overlap). Those stand in its middle then. */
int rh_gate_verify_late(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			struct rh_err *err);
/* Reads resident memory: rss_peak is the largest reading. */
void rh_gate_live_memory(struct rh_gate_live *side);
void rh_gate_live_memory_both(struct rh_gate_bench *bench, struct rh_gate_live side[2]);

/* Puts the name of the side before an error; returns result. */
int rh_gate_live_name(int which, int result, struct rh_err *err);

/* The log ratios of a block: turn[side][unit]. */
void rh_gate_block_of(struct rh_gate_turn turn[2][2], struct rh_gate_block *block);

/* Of a pair's blocks, in a trace of so many units: how many times slower the eighth of the trace,
 * or of the turns in time, was that was slower most, for the baseline and for the candidate; 1 =
 * none was, or they are too few. */
void rh_gate_worst_part(const struct rh_gate_block *blocks, size_t count, size_t units,
			double out[2]);
/* The eighth that is slowest over all pairs, of the trace or of the turns: its name and the log
 * ratio of its wall time. False: blocks are too few. */
bool rh_gate_slowest_part(const struct rh_gate_scenario *scenario, double *change, char *name,
			  size_t bytes);

/* The row of a pair, of what its sides saw. */
void rh_gate_live_keep(struct rh_gate_scenario *scenario, const struct rh_gate_live side[2],
		       struct rh_gate_pair_row *row);

#endif
