/*
 * gate.h - a gate in memory: what was asked, what was measured, what it means.
 *
 * cmd_gate.c fills the configuration, gate_run.c measures (gate_pair.c: two live workers,
 * gate_apart.c: one at a time), gate_decide.c judges, gate_json.c keeps everything
 * including raw samples, the gate_*.c of reports tell it. One scenario is one trace at one
 * number of lanes.
 *
 * Ownership: rh_gate_free. Thread rule: main thread. Memory: malloc; the driver ends when
 * there is none (rh_grow).
 */
#ifndef RH_GATE_H
#define RH_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <jansson.h>

#include "harness/probe/callgrind.h"
#include "harness/compile/compile.h"
#include "harness/gate/gate_decide.h"
#include "harness/gate/gate_plan.h"
#include "harness/run/host.h"
#include "harness/run/run_worker.h"

enum rh_gate_metric {
	RH_GATE_WALL,		/* last end minus first start over all lanes of a turn */
	RH_GATE_CPU,		/* CPU time of all lanes */
	RH_GATE_MEDIAN,		/* median batch of a turn: the fast path alone */
	RH_GATE_P99,		/* 99th percentile batch: the slow path */
	RH_GATE_PAIRED,		/* those above are one number a block, these one a pair: */
	RH_GATE_RSS = RH_GATE_PAIRED,	/* most anonymous memory of any turn */
	RH_GATE_FAULTS,		/* minor page faults of all turns */
	RH_GATE_METRICS
};

struct rh_gate_metric_row {
	const char *name, *unit, *what;
	double threshold;	/* default; 0 = that of wall */
	double slack;		/* paired: a difference below it is none (bytes, faults) */
	bool gates;		/* by default */
};
extern const struct rh_gate_metric_row rh_gate_metric_rows[RH_GATE_METRICS];

enum rh_gate_tier { RH_TIER_WALL, RH_TIER_DETERMINISTIC, RH_TIER_BOTH };

struct rh_gate_config {
	char **traces;
	uint32_t trace_count;
	const char *baseline, *candidate;	/* specs */
	const char *baseline_label, *candidate_label;	/* what to print instead; NULL = spec */
	const char *lanes;		/* list; NULL = as recorded, at most one per CPU */
	double threshold;
	double metric_threshold[RH_GATE_METRICS];
	bool metric_gates[RH_GATE_METRICS];
	double alpha;
	double improve;			/* an improvement beyond it is suspicious; 0 = never */
	double budget_ns;		/* policy: ns per event of the candidate; 0 = none */
	double counts_threshold;	/* deterministic: of Ir; LOCKs, L1D misses 6 x that */
	uint64_t pairs_min, pairs_max, blocks, seed, timeout_ns;
	uint64_t events_max;		/* deterministic: of a trace; 0 = all */
	uint64_t memory_bytes;		/* two live heaps may take it; 0 = half of the machine's */
	const char *resume;		/* samples are kept here after each pair; NULL = nowhere */
	enum rh_ctl_touch touch;
	enum rh_gate_tier tier;
	const json_t *stored;	/* document of the baseline; NULL = it runs here */
	bool no_verify, inconclusive_passes, inconclusive_fails, quiet;
};

/* The raw samples: one row a block. */
struct rh_gate_block {
	uint32_t pair, pass, unit;	/* unit: of the first of the two turns */
	bool baseline_first;		/* ABBA; else BAAB */
	double late[2];			/* share of its turns a side was runnable and not running */
	bool dropped;
	double d[RH_GATE_PAIRED];
};

struct rh_gate_pair_row {
	uint32_t cpu;			/* both sides pinned to it; UINT32_MAX = free */
	double value[2][RH_GATE_METRICS];	/* of baseline, candidate; paired metrics */
	double ns_per_event[2];
	uint64_t switches[2];		/* involuntary */
};

struct rh_gate_result {			/* of one metric */
	bool gates;
	struct rh_gate_rule rule;
	struct rh_gate_look look;
};

struct rh_gate_count {			/* of the deterministic tier */
	const char *name, *unit, *source;	/* source: "sim" callgrind's, "own" counted */
	double baseline, candidate;	/* in `unit` */
	double slack;			/* a difference up to it is none */
	double limit;			/* largest ratio - 1 that passes; 0 = reported only */
	bool failed;
};

enum { RH_GATE_COUNTS_MAX = 16 };

struct rh_gate_scenario {
	const char *trace;
	char sha256[65];
	uint32_t lanes, lanes_recorded;
	uint64_t events, objects, live_bytes_peak;
	/* the wall tier */
	size_t units, lead;		/* turns a pass is cut in; untimed units before each */
	double unit_ns;			/* of the slower side */
	uint32_t passes;		/* of all pairs */
	struct rh_gate_block *blocks;
	struct rh_gate_pair_row *pairs;
	size_t block_count, pair_count, dropped;
	bool disturbed_unevenly;
	bool apart;			/* one process at a time; a block is four whole passes */
	struct rh_gate_result result[RH_GATE_METRICS];
	/* the deterministic tier */
	struct rh_gate_count counts[RH_GATE_COUNTS_MAX];
	size_t count_count;
	uint64_t counted_events;
	char counts_absent[300];	/* why nothing was simulated; "" */
	char calls_absent[300];		/* why no system calls were counted; "" */
	enum rh_gate_verdict counts_verdict;

	/* a stored baseline: ln(it / reference); the blocks are candidate / reference */
	bool stored;
	double stored_median, stored_half;	/* half: of its interval */

	double seconds;
	bool broken;			/* it did not come to its end: samples say nothing */
	enum rh_gate_verdict verdict;
	char why[700];			/* INVALID, NO_BASELINE: the reason */
	char note[300];			/* what a reader must know */
};

struct rh_gate_side {
	const char *label;
	struct rh_spec *spec;
	char malloc_path[1024], malloc_build_id[64], heap_path[1024], heap_build_id[64];
	char file_sha256[65];		/* of the library that was named or found; "" = built in */
	char revision[96];		/* of the git tree it lies in, "-dirty" at the end; "" */
};

struct rh_gate {
	int argc;
	char **argv;
	struct timespec started;
	struct rh_host host;
	struct rh_clock clock;
	struct rh_gate_config config;
	struct rh_gate_side side[2];	/* baseline, candidate */
	struct rh_gate_scenario *scenarios;
	size_t scenario_count;
	double seconds;
	bool unfinished;		/* what is kept between pairs: no verdict yet */
	char *warnings[16];
	size_t warning_count;
	enum rh_gate_verdict verdict;
	enum rh_exit exit;
};

/* ---- gate_run.c ---- */

/* Parses both sides; RH_NO_BASELINE when there is no such baseline here. */
int rh_gate_prepare(struct rh_gate *gate, struct rh_err *err);
/* Measures all scenarios. What goes wrong in one is its verdict; an error here means that
 * there is nothing to tell (interrupted, no memory). */
int rh_gate_run(struct rh_gate *gate, struct rh_err *err);
/* From samples to verdicts; rh_gate_run did it, --recompute does it again. */
void rh_gate_judge(struct rh_gate *gate);
void rh_gate_judge_scenario(const struct rh_gate_config *config, struct rh_gate_scenario *scenario,
			    unsigned tests);
/* Comparisons that may FAIL, of all scenarios. */
unsigned rh_gate_tests(const struct rh_gate_config *config, size_t scenarios);
void rh_gate_warn(struct rh_gate *gate, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void rh_gate_free(struct rh_gate *gate);

/* ---- gate_pair.c, gate_apart.c, gate_live.c ---- */

struct rh_gate_bench {			/* what stays the same from pair to pair */
	const struct rh_gate_config *config;
	const struct rh_clock *clock;
	struct rh_gate_side *side;
	const struct rh_program *program;
	bool folded;
	uint64_t random;		/* state; every coin comes from it */
	struct rh_gate_units *units;
	double *solo_ticks;		/* per grain, of both sides, undisturbed */
	size_t lead;
	bool calibrated;
};

/* One fresh pair: appends its blocks and its row to the scenario. */
int rh_gate_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		 struct rh_err *err);
/* The same of four processes, of which one is alive at a time: for heaps of which two do not
 * fit. Its pair has one block: A B B A or B A A B of whole passes. */
int rh_gate_pair_apart(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		       struct rh_err *err);
/* Times of pairs apart are told from each other at this threshold at best. */
#define RH_GATE_APART_THRESHOLD 0.15
/* Verifies contents, alignment and overlap of one side over the trace (or its beginning). */
int rh_gate_verify(struct rh_gate_bench *bench, int side, struct rh_err *err);

/* ---- gate_counts.c: the deterministic tier ---- */

void rh_gate_count(struct rh_gate *gate, struct rh_gate_scenario *scenario,
		   const struct rh_program *program, bool folded);
void rh_gate_judge_counts(const struct rh_gate_config *config, struct rh_gate_scenario *scenario);

#endif
