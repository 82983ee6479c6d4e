/*
 * cause_replay.c - where a failure of time or of memory comes from, by replaying both sides again.
 *
 * The probes of `reheap replay` run on both sides, and what they found is subtracted: by kind and
 * size of operation (timed one in SAMPLE, three repetitions), by function (callgrind, on one lane
 * exactly the same each time) and by class of lock. Memory has its own lines: rounding of block
 * sizes, and all the rest. These passes only point at a place; the verdict is final before they
 * begin. No repetition starts when the time for them is over; the first is always whole.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "ci/gate/cause.h"
#include "harness/control/latency.h"
#include "harness/run/run.h"
#include "traces/format/event.h"
#include "harness/run/invocation.h"

/* WORKERS: of a repetition, two a side for time and locks, latency, mutexes and callgrind. */
enum { REPS = 3, SAMPLE = 8, WORKERS = 10 };

/* The cost of one place (an operation of a size, a function, a lock) on each side. */
struct cost {
	const char *name;
	double size_to;	 /* operations: the octave; NaN = above the last */
	double value[2]; /* ns or instructions an event: the least of the repetitions */
	bool seen[2];
};

struct costs {
	struct cost *row;
	size_t row_count;
};

static struct cost *cost_of(struct costs *costs, const char *name, double size_to)
{
	struct cost *row;

	for (size_t i = 0; i < costs->row_count; i++) {
		row = &costs->row[i];
		if (strcmp(row->name, name) == 0 &&
		    (row->size_to == size_to || (isnan(row->size_to) && isnan(size_to))))
			return row;
	}
	row = rh_grow(&costs->row, &costs->row_count, sizeof(*row));
	row->name = name;
	row->size_to = size_to;
	return row;
}

/* Disturbance only adds to a repetition, so the minimum is the best estimate. */
static void keep_least(struct cost *row, int side, double value)
{
	if (!row->seen[side] || value < row->value[side])
		row->value[side] = value;
	row->seen[side] = true;
}

static double grown(const struct cost *row)
{
	return row->value[1] - row->value[0];
}

static int most_grown_first(const void *a, const void *b)
{
	double x = grown(a), y = grown(b);

	return (x < y) - (x > y);
}

static double sum_of(const struct costs *costs, int side)
{
	double sum = 0;

	for (size_t i = 0; i < costs->row_count; i++)
		sum += costs->row[i].value[side];
	return sum;
}

/* ---- by kind and size of operation ---- */

static void add_operations(struct costs *costs, const struct rh_latency_found *found, int side)
{
	const struct rh_latency_sizes *table = found->sizes;

	if (!table || !found->events)
		return;
	for (size_t i = 0; i < table->kind_count && i < table->size_to_count &&
			   i < table->n_count && i < table->mean_ns_count;
	     i++) {
		if (!table->kind[i] || !(table->n[i] > 0))
			continue;
		keep_least(cost_of(costs, table->kind[i], table->size_to[i]), side,
			   table->n[i] * table->mean_ns[i] * (double)found->sample /
				   (double)found->events);
	}
}

static const char *words_of(const char *kind)
{
	static const struct {
		const char *name, *words;
	} kinds[] = {
#define KIND(id, name, words) { #name, words },
		RH_LATENCY_KINDS(KIND)
#undef KIND
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, kind) == 0)
			return kinds[i].words;
	return kind;
}

static void say_sizes(double size_to, char *text, size_t bytes)
{
	if (isnan(size_to))
		snprintf(text, bytes, "above 1 MiB");
	else if (size_to <= 8)
		snprintf(text, bytes, "up to 8 bytes");
	else
		snprintf(text, bytes, "of %.0f to %.0f bytes", size_to / 2 + 1, size_to);
}

static void say_operations(struct costs *costs, char *text, size_t bytes)
{
	double before = sum_of(costs, 0), after = sum_of(costs, 1);
	const struct cost *row = costs->row;
	char sizes[60];

	if (!costs->row_count) {
		snprintf(text, bytes, "no operation could be timed");
		return;
	}
	qsort(costs->row, costs->row_count, sizeof(*costs->row), most_grown_first);
	if (after <= before || grown(row) <= 0) {
		snprintf(text, bytes,
			 "no kind of operation takes longer: %.1f and %.1f ns an event", before,
			 after);
		return;
	}
	say_sizes(row->size_to, sizes, sizeof(sizes));
	snprintf(text, bytes, "%s %s: %+.1f ns an event (%.1f to %.1f), of %+.1f over all",
		 words_of(row->name), sizes, grown(row), row->value[0], row->value[1],
		 after - before);
}

/* ---- by function ---- */

/* A function without a symbol is named by its address; its library is more informative. */
static const char *function_name(struct rh_result *result, const struct rh_function_cost *f)
{
	if (f->name && strncmp(f->name, "0x", 2) != 0)
		return f->name;
	return rh_pool_printf(rh_result_pool(result), "%s in %s", f->name ? f->name : "something",
			      f->object ? rh_base_name(f->object) : "an unknown object");
}

static void add_functions(struct costs *costs, struct rh_result *result,
			  const struct rh_callgrind_found *found, int side)
{
	for (size_t i = 0; i < found->functions_count; i++) {
		const struct rh_function_cost *f = &found->functions[i];

		keep_least(cost_of(costs, function_name(result, f), NAN), side, f->ir);
	}
}

static double instructions(const struct rh_result *result, uint32_t backend,
			   const struct rh_gate_scenario *scenario)
{
	const struct rh_metric *m =
		rh_result_metric(result, (struct rh_metric_place){ 0, backend, scenario->lanes, 1 },
				 "counters.ir_per_event");

	return m ? m->median : NAN;
}

static const char *why_not_counted(const struct rh_result *result)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strncmp(result->absent[i].metric, "callgrind", 9) == 0 ||
		    strstr(result->absent[i].metric, "counters.ir"))
			return strstr(result->absent[i].why, "stopped after its time limit")
				       ? "callgrind was stopped at its time limit"
				       : result->absent[i].why;
	return "callgrind counted nothing";
}

/* A function with less than this share of all instructions is ignored. */
#define SHARE_OF_NOTE 0.002

static void say_functions(struct costs *costs, const struct rh_result *result,
			  const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	double before = instructions(result, 0, scenario);
	double after = instructions(result, 1, scenario);
	size_t used;

	if (isnan(before) || isnan(after)) {
		snprintf(text, bytes, "not counted: %.280s", why_not_counted(result));
		return;
	}
	qsort(costs->row, costs->row_count, sizeof(*costs->row), most_grown_first);
	if (after - before < SHARE_OF_NOTE * before) {
		snprintf(text, bytes,
			 "no more instructions: %.1f and %.1f an event; it is waiting, page faults "
			 "or cache misses",
			 before, after);
		return;
	}
	used = (size_t)snprintf(text, bytes,
				"%+.1f instructions an event (%.1f to %.1f):", after - before,
				before, after);
	for (size_t i = 0; i < costs->row_count && i < 3 && used < bytes; i++)
		if (grown(&costs->row[i]) > SHARE_OF_NOTE * before)
			used += (size_t)snprintf(text + used, bytes - used, "%s %s %+.1f",
						 i ? "," : "", costs->row[i].name,
						 grown(&costs->row[i]));
}

/* ---- by lock ---- */

/* Lanes meet in one repetition and not in the next, so the mean is used, not the minimum: here
 * the sum, divided by the repetitions in the end. */
static void add_wait(struct costs *costs, const char *lock, double ns_per_event, int side)
{
	cost_of(costs, lock, NAN)->value[side] += ns_per_event;
}

static void divide_waits(struct costs *costs, const unsigned reps[2])
{
	for (size_t i = 0; i < costs->row_count; i++)
		for (int s = 0; s < 2; s++)
			costs->row[i].value[s] /= reps[s] ? reps[s] : 1;
}

static void add_locks(struct costs *costs, const struct rh_locks_found *found, uint64_t events,
		      int side)
{
	for (size_t i = 0; i < found->classes_count; i++)
		add_wait(costs, found->classes[i].name ? found->classes[i].name : "?",
			 found->classes[i].wait_ns / (double)events, side);
}

static double blocked(const struct rh_result *result, uint32_t backend,
		      const struct rh_gate_scenario *scenario)
{
	const struct rh_metric *m =
		rh_result_metric(result, (struct rh_metric_place){ 0, backend, scenario->lanes, 1 },
				 "locks.blocked_share");

	return m ? m->median : NAN;
}

static void say_locks(struct costs *costs, const struct rh_result *result,
		      const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	const struct cost *row = costs->row;
	double before = blocked(result, 0, scenario), after = blocked(result, 1, scenario);
	int used;

	used = isnan(before) || isnan(after)
		       ? snprintf(text, bytes, "blocked time is not known here")
		       : snprintf(text, bytes, "blocked %.1f %% of the lanes' time, before %.1f %%",
				  100 * after, 100 * before);
	qsort(costs->row, costs->row_count, sizeof(*costs->row), most_grown_first);
	if (used < 0 || (size_t)used >= bytes)
		return;
	text += used;
	bytes -= (size_t)used;
	if (costs->row_count && grown(row) > 0.1)
		snprintf(text, bytes, "; %s: %+.1f ns of waiting an event (%.1f to %.1f)",
			 row->name, grown(row), row->value[0], row->value[1]);
	else if (costs->row_count)
		snprintf(text, bytes, "; no class of lock waits longer");
	else if (scenario->lanes == 1)
		snprintf(text, bytes, "; one lane waits for no other");
	else
		snprintf(text, bytes, "; neither side shows its locks");
}

/* ---- memory ---- */

/* Most at the end of any segment, the worker's own included, which is the same on both sides; in
 * MiB. */
static double peak_of(const struct rh_trial *trial)
{
	uint64_t most = 0;

	for (size_t i = 0; i < trial->segment_count; i++)
		if (trial->segments[i].anon_bytes != RH_NONE &&
		    trial->segments[i].anon_bytes > most)
			most = trial->segments[i].anon_bytes;
	return most ? (double)most / (1 << 20) : NAN;
}

/* Rounding, at the scan with most bytes asked for, in MiB. */
static double rounding(const struct rh_blocks_found *found)
{
	size_t most = 0;

	if (!found || !found->requested_bytes_count ||
	    found->usable_bytes_count != found->requested_bytes_count)
		return NAN;
	for (size_t i = 1; i < found->requested_bytes_count; i++)
		if (found->requested_bytes[i] > found->requested_bytes[most])
			most = i;
	return (found->usable_bytes[most] - found->requested_bytes[most]) / (1 << 20);
}

static const struct rh_trial *first_trial(const struct rh_result *result, uint32_t backend)
{
	for (size_t i = 0; i < result->trial_count; i++)
		if (result->trials[i].backend == backend &&
		    result->trials[i].status == RH_STATUS_OK)
			return &result->trials[i];
	return NULL;
}

static void say_memory(struct rh_gate_cause *cause, const struct rh_result *result)
{
	const double live = (double)cause->of->live_bytes_peak / (1 << 20);
	double peak[2], round[2];

	for (uint32_t s = 0; s < 2; s++) {
		const struct rh_trial *trial = first_trial(result, s);

		peak[s] = trial ? peak_of(trial) : NAN;
		round[s] = trial ? rounding(trial->found.blocks) : NAN;
	}
	rh_gate_cause_say(cause, "in all", "peak %.1f MiB, before %.1f MiB, for %.1f MiB in use",
			  peak[1], peak[0], live);
	rh_gate_cause_say(cause, "rounding",
			  "%.1f MiB, before %.1f MiB: what blocks are rounded up to", round[1],
			  round[0]);
	rh_gate_cause_say(cause, "the rest",
			  "%.1f MiB, before %.1f MiB: what is kept free, tables and holes",
			  peak[1] - round[1] - live, peak[0] - round[0] - live);
}

/* ---- time ---- */

/* What the probes found in a trial. */
struct found {
	struct costs operations, functions, locks;
	unsigned reps[2]; /* with locks */
};

static void add_trial(struct found *found, struct rh_result *result, const struct rh_trial *trial)
{
	int side = (int)trial->backend;

	if (trial->found.latency)
		add_operations(&found->operations, trial->found.latency, side);
	if (trial->found.callgrind)
		add_functions(&found->functions, result, trial->found.callgrind, side);
	if (trial->found.locks && trial->events)
		add_locks(&found->locks, trial->found.locks, trial->events, side);
	if (trial->found.mutex && trial->found.mutex->events)
		add_wait(&found->locks, "pthread mutexes",
			 trial->found.mutex->wait_ns / (double)trial->found.mutex->events, side);
	found->reps[side] += trial->found.locks || trial->found.mutex;
}

static void say_time(struct rh_gate_cause *cause, struct rh_result *result)
{
	struct found found = { .reps = { 0 } };
	char text[RH_GATE_CAUSE_BYTES];

	for (size_t i = 0; i < result->trial_count; i++)
		if (result->trials[i].backend < 2 && result->trials[i].status == RH_STATUS_OK)
			add_trial(&found, result, &result->trials[i]);
	divide_waits(&found.locks, found.reps);
	say_operations(&found.operations, text, sizeof(text));
	rh_gate_cause_say(cause, "operation", "%s", text);
	say_functions(&found.functions, result, cause->of, text, sizeof(text));
	rh_gate_cause_say(cause, "function", "%s", text);
	say_locks(&found.locks, result, cause->of, text, sizeof(text));
	rh_gate_cause_say(cause, "lock", "%s", text);
	free(found.operations.row);
	free(found.functions.row);
	free(found.locks.row);
}

/* ---- both ---- */

/* Ends the replay before a repetition that would begin too late. */
struct limit {
	uint64_t deadline_ns;
	bool reached;
};

static int check_limit(void *of, uint32_t rep, uint32_t backend, struct rh_err *err)
{
	struct limit *limit = of;

	(void)backend;
	limit->reached = rep > 0 && rh_now_ns() > limit->deadline_ns;
	return limit->reached ? rh_fail(err, RH_PARTIAL, "the time for causes is over") : 0;
}

static int replay_both(const struct rh_gate *gate, const struct rh_gate_cause *cause,
		       uint64_t deadline_ns, struct rh_result *result, struct rh_err *err)
{
	const struct rh_gate_scenario *scenario = cause->of;
	bool of_memory = cause->family == RH_GATE_FAMILY_MEMORY;
	struct limit limit = { .deadline_ns = deadline_ns };
	char *traces[] = { (char *)(uintptr_t)scenario->trace };
	uint64_t now = rh_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
	char backends[2200], lanes[16];
	struct rh_run_config run = { .traces = traces,
				     .trace_count = 1,
				     .backends = backends,
				     .lanes = lanes,
				     .copies = "1",
				     .probes = of_memory ? "time,memory,blocks"
					       : scenario->lanes > 1
						       ? "time,latency,locks,mutex,callgrind"
						       : "time,latency,locks,callgrind",
				     .reps = of_memory ? 1 : REPS,
				     .seed = gate->config.seed,
				     .timeout_ns = gate->config.budget_time_ns ? left / WORKERS : 0,
				     .beside = check_limit,
				     .beside_of = &limit,
				     .replay.touch = gate->config.touch,
				     .replay.sample = SAMPLE,
				     .quiet = true };
	int code;

	snprintf(backends, sizeof(backends), "%s,%s", gate->config.baseline,
		 gate->config.candidate);
	snprintf(lanes, sizeof(lanes), "%u", scenario->lanes);
	*result = (struct rh_result){ .reps = run.reps,
				      .seed = run.seed,
				      .sample = run.replay.sample,
				      .touch = rh_touch_names[run.replay.touch],
				      .pace = "none",
				      .probes = run.probes,
				      .floor = UINT32_MAX };
	rh_host_read(&result->host);
	result->clock = gate->clock;
	code = rh_run_prepare(&run, result, err);
	if (code == 0)
		code = rh_run_trials(&run, result, err);
	if (limit.reached) /* what was measured until then is enough */
		code = 0;
	if (code == 0)
		rh_result_measure(result);
	rh_run_config_free(&run);
	return code;
}

void rh_gate_cause_replay(const struct rh_gate *gate, struct rh_gate_cause *cause,
			  uint64_t deadline_ns)
{
	struct rh_result result;
	struct rh_err err = { 0 };

	rh_progress("where it comes from: %s", cause->of->trace);
	if (replay_both(gate, cause, deadline_ns, &result, &err) < 0)
		rh_gate_cause_say(cause, "replay", "not looked for: %.240s", err.text);
	else if (cause->family == RH_GATE_FAMILY_MEMORY)
		say_memory(cause, &result);
	else
		say_time(cause, &result);
	rh_result_free(&result);
	rh_progress("%s", "");
}
