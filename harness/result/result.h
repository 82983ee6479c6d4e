/*
 * result.h - a run in memory, as structures; RESULT.md describes the fields.
 *
 * run.c fills it trial by trial, metrics.c condenses it, document.c turns it into a document,
 * table.c prints it. Numbers here are raw; only metrics are corrected (harness pages, null
 * floor).
 *
 * Ownership: rh_result_free frees everything it points to. Thread rule: one thread.
 * Memory: malloc; the driver ends when it runs out (rh_grow).
 */
#ifndef RH_RESULT_H
#define RH_RESULT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "harness/compile/compile.h"
#include "harness/launch/host.h"
#include "harness/launch/worker.h"
#include "harness/result/fields.h"
#include "harness/result/stat.h"

enum rh_status { RH_STATUS_OK, RH_STATUS_FAILED, RH_STATUS_ABSENT };
extern const char *const rh_status_names[];

struct rh_segment {
	uint64_t events, event_last;
	uint64_t wall_ns, cpu_ns;
	uint64_t anon_bytes; /* of the worker at its end, raw; RH_NONE when not read */
	uint64_t anon_most;  /* the most during it, the same */
	uint64_t pss_bytes, huge_bytes, mapped_bytes; /* the same way: probe_memory.h */
	uint64_t live_bytes, live_objects;
	uint64_t live_tasks, stack_bytes, spawns, calls; /* frames not returned */
	uint64_t reserved_bytes; /* of stacks, by their backend; RH_NONE when not asked */
	uint64_t faults_minor, faults_major, switches_voluntary, switches_involuntary;
};

/* One replay of the whole program by a worker that lives on. */
struct rh_trial_pass {
	uint64_t events, wall_ns, cpu_ns;
	uint64_t kernel_ns;    /* of cpu_ns; counted by the kernel's ticks */
	uint64_t run_delay_ns; /* of all lanes, waits included; RH_NONE */
	uint64_t faults_minor, faults_major;
	uint64_t idle_ns; /* lanes that had not begun, or had ended, in segments */
	uint64_t waits, blocked, blocked_ns, slept_ns; /* slept: of blocked, off the CPU */
	uint64_t anon_peak, anon_end;		       /* raw, at ends of segments; RH_NONE */
	uint64_t live_peak, live_end;		       /* bytes, what is kept included */
	uint64_t carried_objects, carried_bytes; /* alive when it began, from the one before */
};

/* A number that a probe took from one trial; metrics.c makes metrics of them. */
struct rh_reading {
	const char *name; /* static: a row of RH_METRICS */
	double value;
};

struct rh_trial {
	uint32_t trace, program, backend, lanes, copies, rep, order;
	enum rh_status status;
	enum rh_exit code; /* when not ok */
	char why[600];
	struct rh_worker_place died_at;
	bool timed_out;
	uint64_t events, wall_ns, cpu_ns;
	uint64_t waits, blocked, blocked_ns, alloc_failed;
	uint64_t anon_loaded;		   /* before the heap is opened; raw; RH_NONE */
	uint64_t anon_start, anon_drained; /* raw; RH_NONE */
	uint64_t pss_start, mapped_start;  /* raw; RH_NONE */
	uint64_t addresses_most;     /* address space, of the life; not in the document; RH_NONE */
	uint64_t anon_rested;	     /* a second after the drain, in a worker like it; RH_NONE */
	struct rh_segment *segments; /* of the first pass, as all of the above */
	size_t segment_count;
	struct rh_trial_pass *passes; /* the first one, too */
	size_t pass_count;
	struct rh_ctl_stat *stats;
	size_t stat_count;
	struct rh_reading *readings;
	size_t reading_count;
	struct rh_found found;		/* what probes found; its parts lie in the pool */
	struct rh_latency_sum *latency; /* of the latency probe, for tables and --hgrm */
};

struct rh_run_program {
	uint32_t trace, lanes;
	bool folded; /* lanes of the trace are merged, not one after another */
	struct rh_program program;
	struct rh_compile_stats stats;
};

struct rh_run_trace {
	const char *path;
	uint32_t lanes_recorded;
	struct rh_pair *notes;
	size_t note_count;
};

struct rh_run_backend {
	struct rh_spec *spec; /* does not move */
	const char *text;     /* its display name: the label, or as given */
	const char *given;    /* as given: alloc/base/variant.h */
	bool floor;	      /* the null floor, not asked for by name */
	enum rh_status status;
	enum rh_exit code;
	char why[600];
	char heap[512], stack[64];
	bool control;	 /* measures the harness or a bound: null, bump, decorators */
	bool deployable; /* serves malloc of a whole process */
	char malloc_path[1024], malloc_build_id[64], malloc_version[64], heap_path[1024],
		heap_build_id[64], heap_version[64];
	struct rh_pair *env; /* variables that configure it */
	size_t env_count;
};

struct rh_absent {
	const char *metric;
	int backend; /* -1 = all */
	char why[300];
};

struct rh_result {
	struct rh_pool *pool; /* opened by rh_result_pool */
	int argc;
	char **argv;
	struct timespec started;
	double wall_s;
	enum rh_exit exit;
	bool partial; /* a probe that was asked for is absent */
	struct rh_host host;
	struct rh_clock clock;
	/* config */
	uint64_t reps, seed, memory_limit;
	uint64_t passes, for_ns; /* as asked for; 1 and 0 = one pass */
	uint64_t sample;	 /* latency: one operation in so many */
	double speed;		 /* of --pace */
	bool pin;
	double fault_ns; /* cost of a page fault here, measured; 0 = not */
	const char *touch, *pace, *probes;
	bool verify;
	uint32_t baseline; /* index of a backend */
	uint32_t floor;	   /* index of the null backend; UINT32_MAX = none */

	struct rh_validation *validation; /* in the pool; NULL = the program itself did not run */
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

/* Makes room for one more element at the end of an array and returns it zeroed. Prints and exits
 * with RH_OS when memory runs out: the driver cannot continue then. */
void *rh_grow(void *array_pointer, size_t *count, size_t element_bytes);

void rh_result_warn(struct rh_result *result, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void rh_result_absent(struct rh_result *result, const char *metric, int backend, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));
void rh_result_free(struct rh_result *result);
/* Memory that lives as long as the result. */
struct rh_pool *rh_result_pool(struct rh_result *result);

/* metrics_passes.c: of the passes after the first, per event; NaN without one. */
double rh_passes_ns_per_event(const struct rh_trial *trial);
double rh_passes_cpu_ns_per_event(const struct rh_trial *trial);
double rh_passes_faults_per_event(const struct rh_trial *trial);
/* Raw bytes, RH_NONE when not read: the peak in a later pass; bytes held at the end of the last
 * pass beyond those that live then. */
uint64_t rh_passes_anon_peak(const struct rh_trial *trial);
uint64_t rh_passes_anon_end(const struct rh_trial *trial);

/* metrics_program.c: CPU time of the recorded program without recording, from the notes of its
 * trace; NaN if they do not say it, or the trace covers only a part of the program. */
double rh_program_cpu_ns(const struct rh_run_trace *trace);
/* CPU time of one copy's first pass without waits for other lanes; NaN of NULL. */
double rh_heap_cpu_ns(const struct rh_trial *trial);
/* Why there are no metrics program.*; NULL when there are. */
void rh_program_explain(struct rh_result *result);

/* metrics.c: all metrics over the trials. Call once, after the last trial. */
void rh_result_measure(struct rh_result *result);
/* The metric of that name, or NULL. */
struct rh_metric_place {
	uint32_t trace, backend, lanes, copies;
};
const struct rh_metric *rh_result_metric(const struct rh_result *result,
					 struct rh_metric_place place, const char *name);
/* The metric of a backend at the setting of the trial `like`. */
const struct rh_metric *rh_metric_like(const struct rh_result *result, const struct rh_trial *like,
				       uint32_t backend, const char *name);

/* The harness's own anonymous pages in a trial's worker: those that the null floor's worker of the
 * same setting held before its first event. RH_NONE without one. */
uint64_t rh_result_harness_bytes(const struct rh_result *result, const struct rh_trial *trial);
/* The same for another start figure of struct rh_trial, by its offset. */
uint64_t rh_result_harness_of(const struct rh_result *result, const struct rh_trial *trial,
			      size_t start_offset);
/* A worker's raw figure less these pages; RH_NONE stays RH_NONE. */
uint64_t rh_result_rss(uint64_t anon_bytes, uint64_t harness_bytes);
/* The most a trial held at any time, raw; RH_NONE when it was not read. */
uint64_t rh_result_anon_peak(const struct rh_trial *trial);

/* document.c: the document of RESULT.md, which points into the result. */
void rh_result_document(struct rh_result *result, struct rh_document *document);
int rh_result_write_json(struct rh_result *result, int fd, const char *path, struct rh_err *err);

/* For people and for spreadsheets: harness/run/table.c. */
struct rh_telling {
	bool markdown, verbose; /* verbose: every setting, every probe, each with its table */
	bool stats;		/* the backends' own counters */
};
void rh_result_print_table(const struct rh_result *result, FILE *to, const struct rh_telling *how);
/* table_passes.c: the first pass and the later ones apart; nothing when there is one. */
void rh_result_print_passes(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			    bool markdown);
void rh_result_print_csv(const struct rh_result *result, FILE *to);

#endif
