/*
 * run.h - all trials of one replay command.
 *
 * prepare checks every word of the configuration before anything runs; trials compiles
 * and replays; then rh_result_measure condenses. A trial that fails, or a backend that
 * is absent, is part of the result and not an error here.
 * Thread rule: main thread. Errors: RH_USAGE, those of rh_compile, RH_OS.
 */
#ifndef RH_RUN_H
#define RH_RUN_H

#include "harness/run/result.h"

struct rh_counter_source;

struct rh_run_config {
	char **traces;			/* paths */
	uint32_t trace_count;
	const char *backends;		/* "null,jemalloc,./libmine.so" */
	const char *lanes; /* "1,2", "recorded", NULL = recorded but at most one per CPU */
	const char *copies;		/* "1,2" */
	const char *baseline;		/* spec; NULL = libc when asked for, else the first */
	const char *probes;		/* "time,memory" or "all" */
	const char *counters;		/* auto, papi, perf, callgrind, none; NULL = auto */
	const char *under;		/* NULL, or a command to run workers under */
	uint64_t reps, seed;
	uint64_t timeout_ns;		/* per trial; 0 = 60 s + 2 us per event */
	uint64_t memory_limit;		/* 0 = none */
	uint64_t segment_events;	/* 0 = chosen */
	enum rh_ctl_touch touch;
	enum rh_ctl_pace pace;
	double speed;			/* of --pace; 0 = 1 */
	bool pin;			/* lanes stay on their CPUs */
	bool quiet_check;		/* look at the machine for a second first */
	uint64_t sample;		/* latency: one operation in so many; 0 = 32, 1 = every */
	bool verify, stats, quiet;
	const struct rh_counter_source *counter_source;	/* NULL = by `counters`; tests set it */
	/* filled by prepare */
	bool memory;			/* the memory probe is on */
	uint32_t probe_set;		/* bit i: rh_probes[i] was chosen and is there */
	uint32_t *lane_list, *copy_list;	/* lanes 0 = recorded, UINT32_MAX = default */
	size_t lane_count, copy_count;
};

int rh_run_prepare(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);
int rh_run_trials(const struct rh_run_config *config, struct rh_result *result,
		  struct rh_err *err);
void rh_run_config_free(struct rh_run_config *config);

/* run_trial.c: one worker's life. Fills trial, which knows its place already. Never fails
 * itself: what went wrong is the trial's status. */
void rh_run_trial(const struct rh_run_config *config, struct rh_result *result,
		  struct rh_trial *trial);

/* A worker of its own for an own-pass probe (probe.h), after a trial that is ok: the same
 * program, backend and place. What it finds goes into trial->probes and trial->readings; what
 * goes wrong makes the probe absent for that backend, and the trial stays as it is. */
struct rh_probe;
void rh_run_pass(const struct rh_run_config *config, struct rh_result *result,
		 struct rh_trial *trial, const struct rh_probe *probe, uint32_t pass);

#endif
