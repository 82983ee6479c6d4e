/*
 * run_config.h - the options of a replay as the command gives them, and what rh_run_prepare
 * (harness/run/run.h) derives from them.
 *
 * Ownership: texts belong to the caller; rh_run_config_free frees what prepare filled.
 * Thread rule: read-only once prepared.
 */
#ifndef RH_RUN_CONFIG_H
#define RH_RUN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/control/ctl.h"

struct rh_counter_source;

struct rh_run_config {
	char **traces; /* paths */
	uint32_t trace_count;
	const char *backends; /* "null,jemalloc,./libmine.so" */
	const char *sweep;    /* more of them, "tiered:gogc={50,100}"; NULL = none */
	const char *lanes;    /* "1,2", "recorded", NULL = recorded but at most one per CPU */
	const char *copies;   /* "1,2" */
	const char *baseline; /* spec; NULL = libc when asked for, else the first */
	const char *probes;   /* "time,memory" or "all" */
	const char *counters; /* auto, papi, perf, callgrind, none; NULL = auto */
	const char *under;    /* NULL, or a command to run workers under */
	uint64_t reps, seed;
	uint64_t passes;	 /* of each trial over the trace; 0 = 1 */
	uint64_t for_ns;	 /* passes repeat for so long, at least two; 0 = `passes` of them */
	uint64_t timeout_ns;	 /* per trial; 0 = 60 s + 2 us per event */
	uint64_t segment_events; /* 0 = chosen */
	struct rh_replay_options replay;
	bool quiet_check;	   /* look at the machine for a second first */
	uint64_t callgrind_events; /* of a trace at most; 0 = a million */
	bool stats, quiet;
	/* Called with each trial of a backend, before or after it at random, even if the trial
	 * itself is skipped. An error ends the run. NULL = nothing. */
	int (*beside)(void *of, uint32_t rep, uint32_t backend, struct rh_err *err);
	/* After `reps` repetitions, and each one from there on: whether another one follows. NULL =
	 * none does. */
	bool (*more)(void *of, uint32_t reps);
	void *beside_of;				/* of both */
	const struct rh_counter_source *counter_source; /* NULL = by `counters`; tests set it */
	/* filled by prepare */
	bool memory;			 /* the memory probe is on */
	uint32_t probe_set;		 /* bit i: rh_probes[i] was chosen and is there */
	uint32_t *lane_list, *copy_list; /* lanes 0 = recorded, UINT32_MAX = default */
	size_t lane_count, copy_count;
};

#endif
