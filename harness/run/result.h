/*
 * result.h - a run in memory: what RESULT.md says, as structures.
 *
 * run.c fills it trial by trial, metrics.c condenses it, result_json.c writes it,
 * table.c prints it. Numbers here are raw; only metrics are corrected (harness pages,
 * null floor).
 *
 * Ownership: rh_result_free frees everything it points to. Thread rule: one thread.
 * Memory: malloc; the driver ends when there is none (rh_grow).
 */
#ifndef RH_RESULT_H
#define RH_RESULT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "harness/compile/compile.h"
#include "harness/run/host.h"
#include "harness/run/run_worker.h"
#include "harness/run/stat.h"

enum rh_status { RH_STATUS_OK, RH_STATUS_FAILED, RH_STATUS_ABSENT };
extern const char *const rh_status_names[];

struct rh_segment {
	uint64_t events, event_last;
	uint64_t wall_ns, cpu_ns;
	uint64_t anon_bytes;		/* of the worker, raw; RH_NONE when not read */
	uint64_t pss_bytes, huge_bytes, mapped_bytes;	/* the same way: probe_memory.h */
	uint64_t live_bytes, live_objects;
	uint64_t live_tasks, stack_bytes, spawns, calls;	/* frames not returned */
	uint64_t reserved_bytes;	/* of stacks, by their backend; RH_NONE when not asked */
	uint64_t faults_minor, faults_major, switches_voluntary, switches_involuntary;
};

/* A number that a probe took from one trial; metrics.c makes metrics of them. */
struct rh_reading {
	const char *name, *unit, *source, *better;	/* static */
	double value;
};

struct rh_trial {
	uint32_t trace, program, backend, lanes, copies, rep, order;
	enum rh_status status;
	enum rh_exit code;		/* when not ok */
	char why[600];
	struct rh_worker_place died_at;
	bool timed_out;
	uint64_t events, wall_ns, cpu_ns;
	uint64_t waits, blocked, blocked_ns, alloc_failed;
	uint64_t anon_start, anon_drained;	/* raw; RH_NONE */
	uint64_t pss_start, mapped_start;	/* raw; RH_NONE */
	uint64_t anon_rested;		/* a second after the drain, in a worker like it; RH_NONE */
	struct rh_segment *segments;
	size_t segment_count;
	struct rh_ctl_stat *stats;
	size_t stat_count;
	struct rh_reading *readings;
	size_t reading_count;
	struct json_t *probes;		/* what probes found, by their names; NULL = nothing */
	struct rh_latency_sum *latency;	/* of the latency probe, for tables and --hgrm */
};

struct rh_run_program {
	uint32_t trace, lanes;
	bool folded;			/* lanes of the trace are merged, not one after another */
	struct rh_program program;
	struct rh_compile_stats stats;
};

struct rh_pair { char *name, *value; };

struct rh_run_trace {
	const char *path;
	uint32_t lanes_recorded;
	struct rh_pair *notes;
	size_t note_count;
};

struct rh_run_backend {
	struct rh_spec *spec;		/* does not move */
	const char *text;
	bool floor;			/* the null floor, not asked for by name */
	enum rh_status status;
	enum rh_exit code;
	char why[600];
	char heap[512], stack[64];
	char malloc_path[1024], malloc_build_id[64], heap_path[1024], heap_build_id[64];
	struct rh_pair *env;		/* variables that steer it */
	size_t env_count;
};

struct rh_metric {
	uint32_t trace, backend, lanes, copies;
	const char *name, *unit, *source, *better;
	struct rh_interval interval;
	double *values;
};

struct rh_absent {
	const char *metric;
	int backend;			/* -1 = all */
	char why[300];
};

struct rh_result {
	int argc;
	char **argv;
	struct timespec started;
	double wall_s;
	enum rh_exit exit;
	bool partial;			/* a probe that was asked for is absent */
	struct rh_host host;
	struct rh_clock clock;
	/* config */
	uint64_t reps, seed, memory_limit;
	uint64_t sample;		/* latency: one operation in so many */
	double speed;			/* of --pace */
	bool pin;
	const char *touch, *pace, *probes;
	bool verify;
	uint32_t baseline;		/* index of a backend */
	uint32_t floor;			/* index of the null backend; UINT32_MAX = none */

	struct rh_run_trace *traces;
	struct rh_run_program *programs;
	struct rh_run_backend *backends;
	struct rh_trial *trials;
	struct rh_metric *metrics;
	struct rh_absent *absent;
	char **warnings;
	size_t trace_count, program_count, backend_count, trial_count, metric_count, absent_count,
	       warning_count;
};

/* Makes room for one more element at the end of an array and returns it zeroed. Prints and
 * exits with RH_OS when there is no memory: the driver has nothing left to do then. */
void *rh_grow(void *array_pointer, size_t *count, size_t element_bytes);

void rh_result_warn(struct rh_result *result, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void rh_result_absent(struct rh_result *result, const char *metric, int backend, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));
void rh_result_free(struct rh_result *result);

/* metrics.c: everything the trials say together. Call once, after the last trial. */
void rh_result_measure(struct rh_result *result);
/* The metric of that name, or NULL. */
const struct rh_metric *rh_result_metric(const struct rh_result *result, uint32_t trace,
					 uint32_t backend, uint32_t lanes, uint32_t copies,
					 const char *name);

/* The harness's own anonymous pages in a trial's worker: what the null floor's worker of the same
 * place held before its first event. RH_NONE without one. */
uint64_t rh_result_harness_bytes(const struct rh_result *result, const struct rh_trial *trial);
/* The same for another start figure of struct rh_trial, by its offset. */
uint64_t rh_result_harness_of(const struct rh_result *result, const struct rh_trial *trial,
			      size_t start_offset);
/* Raw figure of a worker without them; RH_NONE stays RH_NONE. */
uint64_t rh_result_rss(uint64_t anon_bytes, uint64_t harness_bytes);

/* result_json.c: the document of RESULT.md. */
int rh_result_write_json(const struct rh_result *result, int fd, const char *path,
			 struct rh_err *err);

/* table.c: for people (text or Markdown) and for spreadsheets. */
void rh_result_print_table(const struct rh_result *result, FILE *to, bool markdown, bool stats);
void rh_result_print_csv(const struct rh_result *result, FILE *to);

#endif
