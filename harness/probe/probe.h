/*
 * probe.h - what measures: the table of probes and how one hangs on a trial.
 *
 * A probe is a row of rh_probes (probe.c). There are two kinds:
 *	riding		works in the trial's own worker: reads something at segment edges, or
 *			something that is counted anyway. It must not slow the loop.
 *	own pass	changes what runs (another loop, another environment), so it gets a
 *			worker of its own, right after the trials of its rep: the times of the
 *			trial itself stay those of the plain loop.
 *
 * The life of a probe in a worker, driver side (everything but name, summary, source may
 * be NULL):
 *
 *	absent_why	once, before the run: a sentence when it cannot measure here at all
 *	prepare		before exec: asks for shared memory (rh_probe_area), a mode, a wrapper
 *	start		after OPEN, before the first segment
 *	segment		after each segment, while the lanes rest
 *	end		after the last segment, before the drain
 *	drained		after the drain
 *	closed		the worker has exited as it should: what it left in files is whole
 *	release		always, also when the worker died; frees run->own
 *
 * Findings go to three places: numbers to rh_probe_reading(), where they become metrics with
 * intervals over the trials; everything else, as a structure of fields.h, into run->trial->found;
 * and the reason for what could not be measured to rh_result_absent() (or -1 from a hook, for a
 * whole pass): one sentence, and the run continues with exit class RH_PARTIAL.
 *
 * Worker side: areas of the control block's mapping (ctl.h, enum rh_area). A lane finds its part
 * by its seat number; the comment at the area's struct says which side writes when.
 *
 * To add a probe, three files at most:
 *
 *	1 harness/probe/probe_NAME.c	with one `const struct rh_probe rh_probe_NAME`
 *	2 harness/probe/probe.h		a row in RH_PROBES: its place in the order of the document
 *	3 harness/result/fields_metrics.h	a row in RH_METRICS for each number; for more than
 *					numbers: a structure and a row in
 *					RH_FIELDS_FOUND of fields.h
 *
 * Then `make result-doc`. It appears in `list probes`, --help, results, schema and RESULT.md
 * by itself. Only a probe that needs help from inside the worker touches more: an area in
 * harness/control/ctl.h (enum rh_area) and the code of the worker that fills it.
 *
 * Thread rule: main thread. Errors: hooks return -1 with err; the probe is then absent for
 * that backend with that sentence.
 */
#ifndef RH_PROBE_H
#define RH_PROBE_H

#include <stdio.h>

#include "alloc/base/cells.h"
#include "harness/control/ctl.h"
#include "harness/result/result.h"
#include "harness/result/run_config.h"

/* One worker's life as a probe sees it. */
struct rh_probe_run {
	const struct rh_run_config *config;
	struct rh_result *result;
	const struct rh_run_program *program;
	struct rh_trial *trial;	     /* whose probes are filled */
	const struct rh_trial *life; /* the work of this worker so far: segments, wall_ns, faults.
				      * Riding: the same as trial; own pass: of the pass */
	struct rh_worker *worker;
	struct rh_worker_start *start; /* prepare only */
	uint32_t pass;		       /* own pass: which of the passes() of this rep */
	uint64_t events_max;	       /* own pass: may end early; 0 = the whole trace */
	void *own;		       /* the probe's, NULL at first */
};

struct rh_headline {
	const char *metric, *words;
};

struct rh_probe {
	const char *name;    /* the word of --probes and the key in the result */
	const char *summary; /* one line for `reheap list probes` */
	const char *source;  /* of most of its numbers: hw, sw, sim or own */
	bool always;	     /* rides along by default; silent when it finds nothing */
	bool own_pass;
	bool paced;	   /* own pass: keeps recorded times when --pace says so */
	bool by_name_only; /* not part of `--probes all` */
	uint32_t reps_max; /* own pass: only in the first so many reps; 0 = in all */
	/* own pass: workers it needs in a rep, one after another; NULL = 1 */
	uint32_t (*passes)(const struct rh_run_config *config);

	/* Why it cannot measure here, a sentence (static, or written into text); NULL = it can. */
	const char *(*absent_why)(const struct rh_run_config *config, char *text,
				  size_t text_bytes);
	int (*prepare)(struct rh_probe_run *run, struct rh_err *err);
	int (*start)(struct rh_probe_run *run, struct rh_err *err);
	int (*segment)(struct rh_probe_run *run, const struct rh_segment *segment,
		       struct rh_err *err);
	int (*end)(struct rh_probe_run *run, struct rh_err *err);
	int (*drained)(struct rh_probe_run *run, struct rh_err *err);
	int (*closed)(struct rh_probe_run *run, struct rh_err *err);
	void (*release)(struct rh_probe_run *run);
	const char *died; /* own pass: what a dead worker means; NULL = nothing */
	/* own pass: address space that a worker cannot reserve under it; a worker that reserves
	 * more and died, died of that (valgrind refuses the mmap). 0 = no such limit. */
	uint64_t addresses_most;
	/* Its headline for the one line that `replay` prints: the first of these that was measured.
	 * Ends with a row without a metric; NULL = it is in the main table. */
	const struct rh_headline *headlines;
	/* With -v, after the table of times: its table for the trials of one setting (like: any of
	 * them). Prints nothing when nothing was measured. */
	void (*print)(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		      bool markdown);
};

/* In the order of the document. At most 32: a set of them is a mask. */
#define RH_PROBES(P) \
	P(time)      \
	P(memory)    \
	P(latency)   \
	P(stacks)    \
	P(locks)     \
	P(pace)      \
	P(mutex)     \
	P(counters)  \
	P(callgrind) \
	P(blocks)    \
	P(code)

#define RH_PROBE_DECLARED(name) extern const struct rh_probe rh_probe_##name;
RH_PROBES(RH_PROBE_DECLARED)

extern const struct rh_probe *const rh_probes[]; /* ends with NULL */

/* Parses "time,memory" or "all" into config->probe_set; an absent probe is removed and gets its row
 * in result->absent. RH_USAGE for an unknown name. */
int rh_probes_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);
bool rh_probe_chosen(const struct rh_run_config *config, const struct rh_probe *probe);

/* ---- for hooks ---- */

/* prepare: requests shared memory, zeroed, on its own pages, which the worker finds by its enum. */
void rh_probe_area(struct rh_probe_run *run, enum rh_area area, size_t bytes);
/* The driver's view of it; NULL when it was not asked for. */
void *rh_probe_area_of(const struct rh_worker *worker, enum rh_area area);

/* One number of this trial; the name is static and a row of RH_METRICS (fields_metrics.h). NaN is
 * left out. */
void rh_probe_reading(struct rh_probe_run *run, const char *name, double value);
/* The pool that holds what goes into run->trial->found. */
struct rh_pool *rh_probe_pool(const struct rh_probe_run *run);

/* Ticks of the run's clock in ns. */
double rh_probe_ns(const struct rh_probe_run *run, double ticks);

/* Its own worker died, or a hook failed: one row in `absent` per backend. */
void rh_probe_failed(struct rh_result *result, const struct rh_probe *probe, int backend,
		     const struct rh_err *err);

/* ---- for tables under the main one ---- */

/* A table with a row for each backend. `fill` writes the cells after the name (cell[0] is the first
 * of them) and returns false when the backend has no row; ctx belongs to the probe. */
struct rh_probe_table {
	const struct rh_result *result;
	const struct rh_trial *like;
	const char *const *heads; /* of all columns, the name's too */
	int columns;
	bool (*fill)(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL]);
	void *ctx;
};

/* Prints the rows below a head; without rows it prints nothing, not even the head. */
size_t rh_print_rows(const struct rh_probe_table *table, FILE *to, bool markdown);
/* The metric of a backend for the table's trials; NULL when there is none. */
const struct rh_metric *rh_table_metric(const struct rh_probe_table *table, uint32_t backend,
					const char *name);
/* The median times scale by a printf format for one double, '-' without a metric. */
void rh_metric_cell(char *cell, const struct rh_metric *metric, double scale, const char *format);

/* ---- for run_trial.c: the hooks of a set of probes on one worker ---- */

struct rh_probe_set {
	uint32_t mask; /* that still work */
	struct rh_probe_run run[32];
};

/* Riding probes of the configuration, or the one own-pass probe. */
void rh_probes_open(struct rh_probe_set *set, const struct rh_probe_run *like,
		    const struct rh_probe *own_pass);
void rh_probes_prepare(struct rh_probe_set *set, struct rh_worker_start *start);
/* The value that prepare left in events_max; 0 = all. */
uint64_t rh_probes_events_max(const struct rh_probe_set *set);
void rh_probes_start(struct rh_probe_set *set);
void rh_probes_segment(struct rh_probe_set *set, const struct rh_segment *segment);
void rh_probes_end(struct rh_probe_set *set);
void rh_probes_drained(struct rh_probe_set *set);
void rh_probes_closed(struct rh_probe_set *set);
void rh_probes_close(struct rh_probe_set *set);

/* probe_counters.c: adjusts the set of chosen probes (a mask over rh_probes) to --counters and this
 * machine: which source counts, and whether callgrind has to stand in. RH_USAGE for an unknown
 * word. */
int rh_counters_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);

#endif
