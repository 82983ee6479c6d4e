/*
 * probe.h - what measures: the table of probes and how one hangs on a trial.
 *
 * A probe is a row of rh_probes (probe.c). There are two kinds:
 *	riding		works along in the trial's own worker: reads something at segment
 *			edges, or something that is counted anyway. It must not slow the loop.
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
 * What it found goes in three places: numbers into rh_probe_reading() - they become metrics
 * with intervals over the trials -, everything else as an object into rh_probe_json() ->
 * trials[].probes.NAME, and what it could not measure into rh_result_absent() (or -1 from a
 * hook, for a whole pass): one sentence, and the run goes on with exit class RH_PARTIAL.
 *
 * Worker side: areas of the control block's mapping (ctl.h, enum rh_area). A lane finds its
 * part by its seat number; who writes when is said where the area's struct is.
 *
 * How to add a probe: harness/probe/probe_NAME.c with one `const struct rh_probe`, a row in
 * probe.c, an area in ctl.h when the worker takes part, a section in RESULT.md.
 *
 * Thread rule: main thread. Errors: hooks return -1 with err; the probe is then absent for
 * that backend with that sentence.
 */
#ifndef RH_PROBE_H
#define RH_PROBE_H

#include <stdio.h>

#include "harness/run/ctl.h"
#include "harness/run/run.h"

struct json_t;

/* One worker's life as a probe sees it. */
struct rh_probe_run {
	const struct rh_run_config *config;
	struct rh_result *result;
	const struct rh_run_program *program;
	struct rh_trial *trial;		/* whose probes are filled */
	const struct rh_trial *life;	/* what this worker did so far: segments, wall_ns, faults.
					 * Riding: the same as trial; own pass: of the pass */
	struct rh_worker *worker;
	struct rh_worker_start *start;	/* prepare only */
	uint32_t pass;			/* own pass: which of the passes() of this rep */
	uint64_t events_max;		/* own pass: may end early; 0 = the whole trace */
	void *own;			/* the probe's, NULL at first */
};

struct rh_probe {
	const char *name;		/* the word of --probes and the key in the result */
	const char *summary;		/* one line for `reheap list probes` */
	const char *source;		/* what it mostly gives: hw, sw, sim or own */
	bool always;			/* rides along unasked; silent where there is nothing */
	bool own_pass;
	bool paced;			/* own pass: keeps recorded times when --pace says so */
	bool by_name_only;		/* not part of `--probes all` */
	uint32_t reps_max;		/* own pass: only in the first so many reps; 0 = in all */
	/* own pass: workers it needs in a rep, one after another; NULL = 1 */
	uint32_t (*passes)(const struct rh_run_config *config);

	/* A sentence (static, or written into text) why it cannot be had here; NULL = it can. */
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
	const char *died;		/* own pass: what a dead worker means; NULL = nothing */
	/* After the table of times: what it says about the trials of one place (like: any trial
	 * of it). Prints nothing when nothing was measured. */
	void (*print)(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		      bool markdown);
};

/* NULL-terminated, in the order of the document. At most 32: a set of them is a mask. */
extern const struct rh_probe *const rh_probes[];

/* Parses "time,memory" or "all" into config->probe_set; a probe that is absent is taken out
 * and gets its row in result->absent. RH_USAGE for a name that is none. */
int rh_probes_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);
bool rh_probe_chosen(const struct rh_run_config *config, const struct rh_probe *probe);

/* ---- for hooks ---- */

/* prepare: bytes of shared memory, zeroed, on pages of its own, found by the worker under its
 * name. */
void rh_probe_area(struct rh_probe_run *run, enum rh_area area, size_t bytes);
/* The driver's view of it; NULL when it was not asked for. */
void *rh_probe_area_of(const struct rh_worker *worker, enum rh_area area);

/* One number of this trial. Texts are static. NaN is left out. */
void rh_probe_reading(struct rh_probe_run *run, const char *name, const char *unit,
		      const char *source, const char *better, double value);
/* trials[].probes.NAME; takes the reference. */
void rh_probe_json(struct rh_probe_run *run, const char *name, struct json_t *object);

/* Ticks of the run's clock in ns. */
double rh_probe_ns(const struct rh_probe_run *run, double ticks);

/* A worker of its own died under it, or a hook failed: one row in `absent` per backend. */
void rh_probe_failed(struct rh_result *result, const struct rh_probe *probe, int backend,
		     const struct rh_err *err);

/* ---- for tables under the main one ---- */

enum { RH_CELL = 64, RH_COLUMNS_MAX = 12 };
/* Rows of `columns` cells; row 0 is the head, first and last column are left-aligned. */
void rh_print_cells(FILE *to, char (*cell)[RH_CELL], size_t rows, int columns, bool markdown);

/* A table with a row for each backend. `fill` writes the cells after the name (cell[0] is the
 * first of them) and is false when the backend has no row; ctx is the probe's own. */
struct rh_probe_table {
	const struct rh_result *result;
	const struct rh_trial *like;
	const char *const *heads;	/* of all columns, the name's too */
	int columns;
	bool (*fill)(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL]);
	void *ctx;
};

/* Rows printed below the head; with none nothing is printed, the head neither. */
size_t rh_print_rows(const struct rh_probe_table *table, FILE *to, bool markdown);
/* The metric of a backend at the table's trials; NULL when there is none. */
const struct rh_metric *rh_table_metric(const struct rh_probe_table *table, uint32_t backend,
					const char *name);
/* The median times scale by a printf format for one double, '-' without a metric. */
void rh_metric_cell(char *cell, const struct rh_metric *metric, double scale, const char *format);

/* ---- for run_trial.c: the hooks of a set of probes on one worker ---- */

struct rh_probe_set {
	uint32_t mask;			/* that still work */
	struct rh_probe_run run[32];
};

/* Riding probes of the configuration, or the one own-pass probe. */
void rh_probes_open(struct rh_probe_set *set, const struct rh_probe_run *like,
		    const struct rh_probe *own_pass);
void rh_probes_prepare(struct rh_probe_set *set, struct rh_worker_start *start);
/* What prepare left in events_max; 0 = all. */
uint64_t rh_probes_events_max(const struct rh_probe_set *set);
void rh_probes_start(struct rh_probe_set *set);
void rh_probes_segment(struct rh_probe_set *set, const struct rh_segment *segment);
void rh_probes_end(struct rh_probe_set *set);
void rh_probes_drained(struct rh_probe_set *set);
void rh_probes_closed(struct rh_probe_set *set);
void rh_probes_close(struct rh_probe_set *set);

extern const struct rh_probe rh_probe_stacks;
extern const struct rh_probe rh_probe_mutex;
extern const struct rh_probe rh_probe_latency, rh_probe_locks, rh_probe_counters,
			     rh_probe_callgrind, rh_probe_blocks, rh_probe_pace;

/* probe_counters.c: makes of the set of chosen probes (a mask over rh_probes) what --counters
 * and this machine make of it: who counts, and whether callgrind has to stand in. RH_USAGE
 * for a word that is none. */
int rh_counters_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);

#endif
