/*
 * gate.h - a gate in memory: the configuration, the measurements, the verdicts.
 *
 * harness/cli/gate.c fills the configuration, run.c measures (pair.c: two live workers,
 * pair_sequential.c: one at a time), decide.c judges, json.c stores everything including raw
 * samples, and the files of report.h print it. One scenario is one trace at one number of
 * lanes.
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
#include "ci/gate/decide.h"
#include "ci/gate/plan.h"
#include "harness/launch/host.h"
#include "harness/launch/worker.h"

enum rh_gate_metric {
	RH_GATE_WALL,	/* last end minus first start over all lanes of a turn */
	RH_GATE_CPU,	/* CPU time of all lanes */
	RH_GATE_MEDIAN, /* median batch of a turn: the fast path alone */
	RH_GATE_P99,	/* 99th percentile batch: the slow path */
	RH_GATE_PAIRED, /* metrics above have one number per block, those below one per pair: */
	RH_GATE_RSS = RH_GATE_PAIRED, /* most anonymous memory of any turn */
	RH_GATE_FAULTS,		      /* minor page faults of all turns */
	RH_GATE_STARTUP,	      /* ns from the start of the process to the open heap */
	RH_GATE_IMAGE,		      /* bytes resident then: the library's own pages */
	RH_GATE_END,		      /* ns from the last drained block to the process's end */
	RH_GATE_PROCESS,	      /* CPU ns of its whole life: threads of the library, too */
	RH_GATE_BACKGROUND,	      /* ns of its life and CPU ns of threads that are no lanes */
	RH_GATE_FILES,		      /* open files at the end of the last pass ... */
	RH_GATE_THREADS,	      /* ... threads ... */
	RH_GATE_MAPS,		      /* ... and mappings, of which a process may have 65,530 */
	RH_GATE_MOVED,		      /* bytes of blocks that resizes put elsewhere */
	RH_GATE_CHILDREN,	      /* processes it ever started */
	RH_GATE_CHANGES,	      /* attributes of its process that it changed */
	RH_GATE_PART,		      /* times slower, of the part that became slower most */
	RH_GATE_LATENCY,	      /* ns of single operations: kinds x quantiles (latency.c) */
	RH_GATE_CLASS = RH_GATE_LATENCY + 12, /* ns of the class of sizes that changed most */
	RH_GATE_METRICS
};
enum { RH_GATE_OF_ALLOC, RH_GATE_OF_FREE, RH_GATE_OF_REMOTE, RH_GATE_OF_RESIZE, RH_GATE_KINDS };
enum { RH_GATE_QUANTILES = 3 }; /* p50, p99, p99.9 */
_Static_assert(RH_GATE_CLASS - RH_GATE_LATENCY == RH_GATE_KINDS * RH_GATE_QUANTILES, "rows");

struct rh_gate_metric_row {
	const char *name, *unit, *what;
	double threshold; /* default; 0 = that of wall */
	double slack;	  /* paired: added to both sides (bytes, faults); of times, less is none */
	bool gates;	  /* by default */
};
extern const struct rh_gate_metric_row rh_gate_metric_rows[RH_GATE_METRICS];

/* The parts of a gate that take time. */
enum rh_gate_part {
	RH_GATE_COMPILING,
	RH_GATE_VERIFYING,
	RH_GATE_STARTING,
	RH_GATE_CALIBRATING,
	RH_GATE_TURNS,
	RH_GATE_TIMING, /* of single operations */
	RH_GATE_ENDING,
	RH_GATE_COUNTING, /* the deterministic tier */
	RH_GATE_PARTS
};
extern const char *const rh_gate_part_names[RH_GATE_PARTS];

enum rh_gate_tier { RH_TIER_WALL, RH_TIER_DETERMINISTIC, RH_TIER_BOTH };

struct rh_gate_config {
	char **traces;
	uint32_t trace_count;
	const char *baseline, *candidate;	      /* specs */
	const char *baseline_label, *candidate_label; /* what to print instead; NULL = spec */
	const char *lanes; /* list; NULL = as recorded, at most one per CPU */
	double threshold;
	double metric_threshold[RH_GATE_METRICS];
	bool metric_gates[RH_GATE_METRICS];
	bool latency_asked; /* named by the user: an undecided one is inconclusive */
	double alpha;
	double improve;		 /* an improvement beyond it is suspicious; 0 = never */
	double budget_ns;	 /* policy: ns per event of the candidate; 0 = none */
	double counts_threshold; /* deterministic: of Ir; LOCKs, L1D misses 6 x that */
	uint64_t pairs_min, pairs_max, blocks, seed, timeout_ns;
	uint64_t events_max;   /* deterministic: of a trace; 0 = all */
	uint64_t memory_bytes; /* two live heaps may take it; 0 = half of the machine's */
	const char *resume;    /* samples are kept here after each pair; NULL = nowhere */
	enum rh_ctl_touch touch;
	enum rh_gate_tier tier;
	const json_t *stored; /* document of the baseline; NULL = it runs here */
	bool no_verify, inconclusive_passes, inconclusive_fails, quiet;
	bool say_done;		 /* a line on stdout as each scenario is finished */
	uint64_t budget_time_ns; /* of all scenarios together; 0 = none */
};

/* The raw samples: one row a block. */
struct rh_gate_block {
	uint32_t pair, pass, unit; /* unit: of the first of the two turns */
	bool baseline_first;	   /* ABBA; else BAAB */
	double late[2];		   /* share of its turns a side was runnable and not running */
	bool dropped;
	double d[RH_GATE_PAIRED];
};

struct rh_gate_pair_row {
	uint32_t cpu;			  /* both sides pinned to it; UINT32_MAX = free */
	double value[2][RH_GATE_METRICS]; /* of baseline, candidate; paired metrics */
	double ns_per_event[2];
	uint64_t switches[2]; /* involuntary */
	uint64_t kept[2];     /* bytes resident at the end of the last pass; 0 = not read */
};

struct rh_gate_result { /* of one metric */
	bool gates;
	struct rh_gate_rule rule;
	struct rh_gate_look look;
};

struct rh_gate_count {			  /* of the deterministic tier */
	const char *name, *unit, *source; /* source: "sim" callgrind's, "own" counted */
	double baseline, candidate;	  /* in `unit` */
	double slack;			  /* a difference up to it is none */
	double limit;			  /* largest ratio - 1 that passes; 0 = reported only */
	bool failed;
};

enum { RH_GATE_COUNTS_MAX = 16 };

struct rh_gate_scenario {
	const char *trace;
	char sha256[65];
	uint32_t lanes, lanes_recorded;
	uint64_t events, objects, live_bytes_peak;
	uint64_t live_objects_end, live_bytes_end; /* live on from pass to pass */
	/* the wall tier */
	size_t units, lead; /* turns a pass is cut in; untimed units before each */
	double unit_ns;	    /* of the slower side */
	uint32_t passes;    /* of all pairs */
	struct rh_gate_block *blocks;
	struct rh_gate_pair_row *pairs;
	size_t block_count, pair_count, dropped;
	bool disturbed_unevenly;
	bool apart; /* one process at a time; a block is four whole passes */
	struct rh_gate_result result[RH_GATE_METRICS];
	/* the deterministic tier */
	struct rh_gate_count counts[RH_GATE_COUNTS_MAX];
	size_t count_count;
	uint64_t counted_events;
	char counts_absent[300]; /* why nothing was simulated; "" */
	char calls_absent[300];	 /* why no system calls were counted; "" */
	enum rh_gate_verdict counts_verdict;

	/* a stored baseline: ln(it / reference); the blocks are candidate / reference */
	bool stored;
	double stored_median, stored_half; /* half: of its interval */

	double seconds, spent[RH_GATE_PARTS];
	bool broken; /* it did not finish: its samples do not count */
	enum rh_gate_verdict verdict;
	char why[700];	/* INVALID, NO_BASELINE: the reason */
	char note[300]; /* what a reader must know */
};

struct rh_gate_side {
	const char *label;
	struct rh_spec *spec;
	char malloc_path[1024], malloc_build_id[64], malloc_version[64], heap_path[1024],
		heap_build_id[64], heap_version[64];
	char file_sha256[65]; /* of the library that was named or found; "" = built in */
	uint32_t changed;     /* by a worker, of its process: bits of enum rh_changed */
	char said[300];	      /* the last line printed by a worker; "" = nothing */
	char revision[96];    /* of the git tree it lies in, "-dirty" at the end; "" */
};

/* Metrics that fail for one reason: each family that fails has its cause. */
enum rh_gate_family {
	RH_GATE_FAMILY_TIME,	/* of turns, parts and single operations; simulated counts */
	RH_GATE_FAMILY_MEMORY,	/* peak and faults */
	RH_GATE_FAMILY_CALLS,	/* system calls and faults that were counted */
	RH_GATE_FAMILY_MOVES,	/* blocks that a resize put elsewhere */
	RH_GATE_FAMILY_START,	/* until the first event */
	RH_GATE_FAMILY_END,	/* after the last event */
	RH_GATE_FAMILY_PROCESS, /* CPU time, also beside the lanes */
	RH_GATE_FAMILY_REST,	/* what it leaves open, starts or changes */
	RH_GATE_FAMILIES
};

enum { RH_GATE_CAUSE_LINES = 5, RH_GATE_CAUSE_BYTES = 300 };

struct rh_gate_cause { /* of one family */
	enum rh_gate_family family;
	const struct rh_gate_scenario *of; /* where it failed most */
	unsigned elsewhere;		   /* other scenarios in which it failed */
	char failed[160];		   /* what failed there: "wall, part" */
	struct {
		const char *by; /* "operation", "function", "lock" ... */
		char text[RH_GATE_CAUSE_BYTES];
	} line[RH_GATE_CAUSE_LINES];
	unsigned line_count;
};

struct rh_gate {
	int argc;
	char **argv;
	struct timespec started;
	struct rh_host host;
	struct rh_clock clock;
	struct rh_gate_config config;
	struct rh_gate_side side[2]; /* baseline, candidate */
	struct rh_gate_scenario *scenarios;
	size_t scenario_count;
	double seconds;
	char why[600];	      /* what stopped it before there was a scenario; "" = nothing */
	uint64_t deadline_ns; /* of the budget */
	char same_build[200]; /* both sides are one build: what that means; "" = they are not */
	bool unfinished;      /* what is kept between pairs: no verdict yet */
	char *warnings[16];
	size_t warning_count;
	char first_bad[700]; /* --bisect: "COMMIT subject", or which it may be; "" */
	struct rh_gate_cause causes[RH_GATE_FAMILIES]; /* of a FAIL: where it comes from */
	unsigned cause_count;
	enum rh_gate_verdict verdict;
	enum rh_exit exit;
};

/* ---- run.c, judge.c ---- */

/* Parses both sides; RH_NO_BASELINE when there is no such baseline here. */
int rh_gate_prepare(struct rh_gate *gate, struct rh_err *err);
/* Measures all scenarios. An error in one becomes its verdict; an error returned here means that
 * there is no report (interrupted, no memory). */
int rh_gate_run(struct rh_gate *gate, struct rh_err *err);
/* From samples to verdicts; rh_gate_run did it, --recompute does it again. */
void rh_gate_judge(struct rh_gate *gate);
void rh_gate_judge_scenario(const struct rh_gate_config *config, struct rh_gate_scenario *scenario,
			    unsigned tests);
/* Parameters of the sign test that decides a paired metric (rh_gate_decide_signs). */
double rh_gate_pass_tail(int metric);
/* Comparisons that may FAIL, of all scenarios. */
unsigned rh_gate_tests(const struct rh_gate_config *config, size_t scenarios);
void rh_gate_warn(struct rh_gate *gate, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rh_gate_free(struct rh_gate *gate);

/* ---- cause.c ---- */

/* After a FAIL: fills gate->causes, one for each family of metrics that failed, for time and memory
 * by replaying both sides with probes, for a minute each at most (a first repetition is always
 * whole). Changes no verdict; the lines say what could not be found. */
void rh_gate_find_causes(struct rh_gate *gate);

/* ---- pair.c, pair_sequential.c, live.c ---- */

struct rh_gate_bench { /* state shared by all pairs */
	const struct rh_gate_config *config;
	const struct rh_clock *clock;
	struct rh_gate_side *side;
	const struct rh_program *program;
	bool folded;
	uint64_t random; /* state; every coin comes from it */
	struct rh_gate_units *units;
	double *solo_ticks; /* per grain, of both sides, undisturbed */
	size_t lead;
	bool calibrated;
	bool latency;		     /* single operations are timed, too: not decided yet */
	uint64_t sample_seed;	     /* of a pair: both sides time the same operations */
	double spent[RH_GATE_PARTS]; /* seconds */
};

/* Since `since` was spent on it; returns now. */
uint64_t rh_gate_spend(struct rh_gate_bench *bench, enum rh_gate_part part, uint64_t since);

/* One fresh pair: appends its blocks and its row to the scenario. */
int rh_gate_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		 struct rh_err *err);
/* The same of four processes, of which one is alive at a time: for heaps of which two do not
 * fit. Its pair has one block: A B B A or B A A B of whole passes. */
int rh_gate_pair_apart(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		       struct rh_err *err);
/* The smallest threshold at which times of sequential pairs can be compared. */
#define RH_GATE_APART_THRESHOLD 0.15
/* A pair of the latency pass alone, when nothing else is open: a row without the rest. */
int rh_gate_latency_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
			 struct rh_err *err);
/* No figures: all NaN. */
void rh_gate_row_clear(struct rh_gate_pair_row *row, int first_metric);
/* --pairs below which latencies gate only when named (all of fewer would be a failure too soon),
 * and pairs after which one that gates by default is left undecided. */
enum { RH_GATE_LATENCY_PAIRS = 6, RH_GATE_LATENCY_PAIRS_MAX = 24 };
bool rh_gate_wants_latency(const struct rh_gate_config *config);
/* Verifies contents, alignment and overlap of both sides over the trace (or its beginning). */
int rh_gate_verify(struct rh_gate_bench *bench, bool at_once, struct rh_err *err);

/* ---- counts.c: the deterministic tier ---- */

void rh_gate_count(struct rh_gate *gate, struct rh_gate_scenario *scenario,
		   const struct rh_program *program, bool folded);
void rh_gate_judge_counts(const struct rh_gate_config *config, struct rh_gate_scenario *scenario);

#endif
