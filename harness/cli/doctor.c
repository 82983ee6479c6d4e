/*
 * doctor.c - reheap doctor: what this machine can measure, proven by doing it.
 *
 * Every allocator is tried in practice: a worker is started with it and replays a trace of a
 * few hundred events, so "works" means that this library served that worker's malloc. Counters
 * are opened and read, not looked up, because machines list events that they then refuse
 * (counters.h). Exit status 1 when something installed does not work; something not installed
 * is not a fault.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "harness/result/record.h"
#include "harness/probe/counters.h"
#include "harness/probe/probe_memory.h"
#include "harness/run/invocation.h"
#include "harness/run/run.h"
#include "alloc/base/interrupt.h"
#include "traces/format/trace.h"
#include "alloc/base/printable.h"

struct doctor_opts {
	bool json;
};

static const struct rh_opt opts[] = { { "json", 0, RH_OPT_FLAG, offsetof(struct doctor_opts, json),
					NULL, .help = "print JSON instead of text" },
				      { .name = NULL } };

enum state { WORKS, NOTE, ABSENT, BROKEN };
static const char *const state_names[] = { "ok", "note", "absent", "broken" };

/* One finding: a row of the text, an object of the JSON. */
struct finding {
	const char *group, *name;
	enum state state;
	char text[1400];
};

struct findings {
	struct finding *rows;
	size_t count;
	bool broken;
};

static struct finding *find(struct findings *all, const char *group, const char *name,
			    enum state state)
{
	struct finding *row = rh_grow(&all->rows, &all->count, sizeof(*row));

	row->group = group;
	row->name = name;
	row->state = state;
	all->broken |= state == BROKEN;
	return row;
}

/* ---- clock and host ---- */

static void look_at_clock(struct findings *all, const struct rh_clock *clock)
{
	struct finding *row = find(all, "clock", clock->name, clock->why ? NOTE : WORKS);

	snprintf(row->text, sizeof(row->text),
		 "steps of %.1f ns, a fenced pair costs %.1f ns, "
		 "%.1f ppm drift between two calibrations%s%s",
		 (double)clock->granularity_ticks * clock->ns_per_tick,
		 (double)clock->pair_cost_ticks * clock->ns_per_tick, clock->drift_ppm,
		 clock->why ? "; no better clock: " : "", clock->why ? clock->why : "");
}

static void look_at_host(struct findings *all, const struct rh_host *host)
{
	struct finding *row = find(all, "host", "cpus", WORKS);

	snprintf(row->text, sizeof(row->text), "%u, this process may use %u: %s", host->cpus,
		 host->cpus_allowed, host->cpu_model);
	row = find(all, "host", "load", host->load1 > host->cpus_allowed * 0.5 ? NOTE : WORKS);
	snprintf(row->text, sizeof(row->text), "%.2f over the last minute", host->load1);
	row = find(all, "host", "thp", strcmp(host->thp, "always") == 0 ? NOTE : WORKS);
	snprintf(row->text, sizeof(row->text), "transparent huge pages: %s",
		 host->thp[0] ? host->thp : "not known");
	row = find(all, "host", "governor", host->governor[0] ? WORKS : ABSENT);
	snprintf(row->text, sizeof(row->text), "%s",
		 host->governor[0] ? host->governor
				   : "the kernel shows no CPU frequency control here");
	if (host->hypervisor[0]) {
		row = find(all, "host", "hypervisor", NOTE);
		snprintf(row->text, sizeof(row->text), "%s: neighbours may slow this machine down",
			 host->hypervisor);
	}
}

/* ---- counters ---- */

/* One row a counter: the sources that count it, or what each says instead. */
static void look_at_counter(struct findings *all, enum rh_counter counter,
			    const struct rh_counter_source *const *sources, int count)
{
	struct finding *row = find(all, "counters", rh_counter_names[counter], ABSENT);
	size_t used = 0;

	for (int s = 0; s < count; s++)
		if (rh_counters_proven(sources[s])[counter].event)
			row->state = WORKS;
	for (int s = 0; s < count && used < sizeof(row->text); s++) {
		const struct rh_counter_proof *proof = &rh_counters_proven(sources[s])[counter];
		const char *between = used ? "; " : "";

		if (proof->event)
			used += (size_t)snprintf(row->text + used, sizeof(row->text) - used,
						 "%s%s counts it as %s (%llu for known work)",
						 between, sources[s]->name, proof->event,
						 (unsigned long long)proof->value);
		else if (row->state == ABSENT)
			used += (size_t)snprintf(row->text + used, sizeof(row->text) - used,
						 "%s%s: %s", between, sources[s]->name, proof->why);
	}
}

static void look_at_counters(struct findings *all)
{
	static const struct rh_counter_source *const sources[] = { &rh_counters_papi,
								   &rh_counters_perf };
	const char *none = rh_counters_no_pmu();
	struct finding *row = find(all, "counters", "PMU", none ? ABSENT : WORKS);
	struct rh_err err = { 0 };
	char paranoid[16] = "";

	rh_read_line("/proc/sys/kernel/perf_event_paranoid", paranoid, sizeof(paranoid));
	snprintf(row->text, sizeof(row->text), "%s; perf_event_paranoid %s%s",
		 none ? none : "the kernel shows one", paranoid[0] ? paranoid : "not known",
		 none ? "; cache misses can be simulated (callgrind)" : "");
	row = find(all, "counters", "PAPI", rh_counters_papi.open(&err) == 0 ? WORKS : ABSENT);
	snprintf(row->text, sizeof(row->text), "%s",
		 err.text[0] ? err.text : "the library loads and starts");
	for (int c = 0; c < RH_COUNTERS; c++)
		look_at_counter(all, (enum rh_counter)c, sources, 2);
}

/* The files that another process's memory is read from. */
static void look_at_memory(struct findings *all)
{
	struct rh_memory_probe probe;
	struct rh_memory_figures figures;
	struct finding *row;

	rh_memory_open(&probe, getpid());
	rh_memory_read_all(&probe, &figures);
	rh_memory_close(&probe);
	row = find(all, "memory", "smaps_rollup", figures.anon == RH_NONE ? ABSENT : WORKS);
	if (figures.anon == RH_NONE)
		snprintf(row->text, sizeof(row->text),
			 "not there: resident memory of workers "
			 "cannot be known (Linux 4.14, /proc)");
	else
		snprintf(row->text, sizeof(row->text), "this process holds %llu KiB, maps %llu KiB",
			 (unsigned long long)(figures.anon >> 10),
			 (unsigned long long)(figures.mapped >> 10));
}

static void look_at_tools(struct findings *all)
{
	static const struct {
		const char *name, *use;
	} tools[] = {
		{ "valgrind", "counts instructions and simulates caches; install valgrind" },
		{ "gnuplot", "draws figures; install gnuplot-nox" },
	};

	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
		char path[1024];
		bool there = rh_in_path(tools[i].name, path, sizeof(path));
		struct finding *row = find(all, "tools", tools[i].name, there ? WORKS : ABSENT);

		snprintf(row->text, sizeof(row->text), "%s", there ? path : tools[i].use);
	}
}

/* ---- allocators ---- */

static int make_trace(const char *path, struct rh_err *err)
{
	struct rh_trace_make make = { .path = path, .form = RH_FORM_BINARY };
	struct rh_trace_out *out;
	int result = 0;

	if (rh_trace_create(&out, &make, err) < 0)
		return -1;
	for (uint64_t i = 0; i < 400 && result == 0; i++) {
		struct rh_event event = { .time_ns = RH_NONE,
					  .id = i / 2,
					  .arg = RH_NONE,
					  .size = 16 + i * 37,
					  .task = RH_TASK_NONE,
					  .kind = i % 2 ? RH_EV_FREE : RH_EV_ALLOC };

		result = rh_trace_put(out, &event, 1, err);
	}
	if (result < 0) {
		rh_trace_abandon(out);
		return -1;
	}
	return rh_trace_finish(out, NULL, err);
}

/* All peers and the backends without a peer, as a list for replay. */
static void list_names(char *list, size_t list_bytes)
{
	size_t used = 0;

	for (size_t i = 0; rh_backends[i]; i++)
		if (!(rh_backends[i]->caps & RH_CAP_DECORATOR) && used < list_bytes)
			used += (size_t)snprintf(list + used, list_bytes - used, "%s%s",
						 used ? "," : "", rh_backends[i]->name);
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++)
		if (used < list_bytes)
			used += (size_t)snprintf(list + used, list_bytes - used, ",%s", peer->name);
}

static void report_backends(struct findings *all, const struct rh_result *result)
{
	for (size_t b = 0; b < result->backend_count; b++) {
		const struct rh_run_backend *backend = &result->backends[b];
		struct finding *row = find(all, "allocators", strdup(backend->text),
					   backend->status == RH_STATUS_OK	 ? WORKS
					   : backend->status == RH_STATUS_ABSENT ? ABSENT
										 : BROKEN);

		if (backend->status == RH_STATUS_OK)
			snprintf(row->text, sizeof(row->text), "%s%s%s", backend->heap_path,
				 backend->heap_version[0] ? ", " : "", backend->heap_version);
		else
			snprintf(row->text, sizeof(row->text), "%s", backend->why);
	}
}

/* Replays a small trace of our own, which also tries every requested probe. */
static int try_replay(const char *backends, const char *probes, struct rh_result *result,
		      struct rh_err *err)
{
	const char *base = getenv("TMPDIR");
	char path[4096], *traces[] = { path };
	struct rh_run_config config = {
		.traces = traces,
		.trace_count = 1,
		.backends = backends,
		.lanes = "1",
		.copies = "1",
		.probes = probes,
		.reps = 1,
		.seed = 1,
		.replay.touch = RH_TOUCH_FIRST,
		.timeout_ns = 20ull * 1000000000u,
		.quiet = true,
	};
	int fd, failed;

	snprintf(path, sizeof(path), "%.4000s/reheap-doctor-XXXXXX", base && *base ? base : "/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		return rh_fail_errno(err, RH_CANT_CREATE, "no temporary file can be made: %s",
				     path);
	close(fd);
	failed = make_trace(path, err) < 0 || rh_run_prepare(&config, result, err) < 0 ||
		 rh_run_trials(&config, result, err) < 0;
	unlink(path);
	rh_run_config_free(&config);
	return failed ? -1 : 0;
}

static int look_at_allocators(struct findings *all, struct rh_result *result, struct rh_err *err)
{
	char list[1024] = "";

	list_names(list, sizeof(list));
	if (try_replay(list, "time", result, err) < 0)
		return -1;
	report_backends(all, result);
	return 0;
}

/* End to end: runs a worker under valgrind and reads its counts. */
static int look_at_callgrind(struct findings *all, const struct rh_clock *clock, struct rh_err *err)
{
	struct rh_result result = {
		.reps = 1, .probes = "", .touch = "", .pace = "", .clock = *clock
	};
	const struct rh_metric *metric;
	struct finding *row;

	if (try_replay("libc", "callgrind", &result, err) < 0) {
		rh_result_free(&result);
		return -1;
	}
	rh_result_measure(&result);
	metric = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 },
				  "counters.ir_per_event");
	row = find(all, "counters", "callgrind", metric ? WORKS : ABSENT);
	snprintf(row->text, sizeof(row->text),
		 metric ? "libc took %.1f instructions an event "
			  "(simulated)"
			: "not measured",
		 metric ? metric->median : 0);
	for (size_t a = 0; !metric && a < result.absent_count; a++) {
		if (strncmp(result.absent[a].metric, "counters.", 9) == 0 ||
		    strcmp(result.absent[a].metric, "callgrind") == 0)
			snprintf(row->text, sizeof(row->text), "%s", result.absent[a].why);
	}
	rh_result_free(&result);
	return 0;
}

/* ---- reporting ---- */

enum { TEXT_FROM = 28, TEXT_TO = 100 }; /* columns of what was found */

static void print_text(const struct findings *all)
{
	const char *group = "";

	for (size_t i = 0; i < all->count; i++) {
		const struct finding *row = &all->rows[i];

		if (strcmp(group, row->group) != 0)
			rh_print(stdout, i ? "\n%s\n" : "%s\n", row->group);
		group = row->group;
		rh_print(stdout, "  %-7s %-17s ", state_names[row->state], row->name);
		rh_print_wrapped(stdout, row->text, strlen(row->text), TEXT_FROM, TEXT_TO);
	}
	rh_print(stdout, "\n%s\n",
		 all->broken ? "something that is here does not work: see broken"
			     : "everything that is here works");
}

#define FIELDS_FINDING(F)                                            \
	F(TEXT, _, group, EVER, "", "what it is about")              \
	F(TEXT, _, name, EVER, "", "what was looked at")             \
	F(TEXT, _, state, EVER, "", "works, note, absent or broken") \
	F(TEXT, _, text, EVER, "", "what was found, and what to do")
#define FIELDS_DIAGNOSIS(F)                                           \
	F(TEXT, _, schema, NEED, "", "reheap.doctor/1")               \
	F(BOOL, _, works, EVER, "", "nothing that is here is broken") \
	F(LIST, doctor_finding, findings, EVER, "", "in the order of the page")

RH_RECORD(doctor_finding, FIELDS_FINDING)
RH_RECORD(diagnosis, FIELDS_DIAGNOSIS)

#define SELF struct rh_doctor_finding
RH_RECORD_TABLE(doctor_finding, FIELDS_FINDING)
#undef SELF
#define SELF struct rh_diagnosis
RH_RECORD_TABLE(diagnosis, FIELDS_DIAGNOSIS)
#undef SELF

static void print_json(const struct findings *all)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_diagnosis document = {
		.schema = "reheap.doctor/1",
		.works = !all->broken,
		.findings = rh_pool_alloc(pool, all->count, sizeof(*document.findings)),
		.findings_count = all->count,
	};

	for (size_t i = 0; i < all->count; i++)
		document.findings[i] =
			(struct rh_doctor_finding){ all->rows[i].group, all->rows[i].name,
						    state_names[all->rows[i].state],
						    all->rows[i].text };
	rh_record_write(&rh_diagnosis_type, &document, RH_JSON_INDENTED, stdout);
	rh_pool_close(pool);
}

static enum rh_exit run_doctor(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct doctor_opts *o = opaque;
	struct rh_result result = { .reps = 1, .probes = "", .touch = "", .pace = "" };
	struct findings all = { 0 };
	int failed;

	(void)argc;
	(void)argv;
	rh_interrupts_watch(); /* or the traces that it tries would stay behind */
	rh_host_read(&result.host);
	rh_clock_calibrate(&result.clock, 0);
	look_at_clock(&all, &result.clock);
	look_at_host(&all, &result.host);
	look_at_counters(&all);
	failed = look_at_callgrind(&all, &result.clock, err);
	look_at_memory(&all);
	look_at_tools(&all);
	if (failed == 0)
		failed = look_at_allocators(&all, &result, err);
	if (failed == 0 && !rh_interrupted) {
		if (o->json)
			print_json(&all);
		else
			print_text(&all);
	}
	for (size_t i = 0; i < all.count; i++)
		if (strcmp(all.rows[i].group, "allocators") == 0)
			free((char *)all.rows[i].name);
	free(all.rows);
	rh_result_free(&result);
	rh_interrupts_obey();
	return failed < 0 ? err->code : all.broken ? RH_FAILED : RH_OK;
}

const struct rh_command rh_cmd_doctor = {
	.name = "doctor",
	.operands = "",
	.summary = "say what this machine can measure, and which allocators really load",
	.details =
		"Tries every allocator in a worker of its own and every kind of counter by using "
		"it. 'absent' means not installed or not offered by this machine; 'broken' means "
		"installed but not working, and makes the exit status 1.",
	.examples = "reheap doctor",
	.opts = opts,
	.opts_bytes = sizeof(struct doctor_opts),
	.operands_min = 0,
	.operands_max = 0,
	.run = run_doctor,
};
