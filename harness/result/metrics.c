/*
 * metrics.c - the metrics of all trials together.
 *
 * One row per metric: how it is computed from a single trial. Ratios and net times use the
 * trial of the baseline or the null floor in the same rep, because those two ran next to each
 * other; the interval is then taken over the per-trial values. Only ok trials count. A trial
 * without the value (no probe, no partner in its rep) gives NaN and is left out.
 */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/apart.h"
#include "traces/format/event.h"

static const double confidence = 0.95;

struct view {
	const struct rh_result *result;
	const struct rh_trial *trial;
	const struct rh_trial *base, *floor; /* of the same rep, NULL when there is none ok */
	uint64_t harness_bytes;
};

static bool same_place(const struct rh_trial *a, const struct rh_trial *b)
{
	return a->program == b->program && a->copies == b->copies;
}

static const struct rh_trial *partner(const struct rh_result *result, const struct rh_trial *trial,
				      uint32_t backend)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *other = &result->trials[t];

		if (other->backend == backend && other->rep == trial->rep &&
		    same_place(other, trial) && other->status == RH_STATUS_OK)
			return other;
	}
	return NULL;
}

uint64_t rh_result_harness_bytes(const struct rh_result *result, const struct rh_trial *trial)
{
	return rh_result_harness_of(result, trial, offsetof(struct rh_trial, anon_start));
}

uint64_t rh_result_harness_of(const struct rh_result *result, const struct rh_trial *trial,
			      size_t start_offset)
{
	double *seen = rh_scratch(result->trial_count + 1, sizeof(*seen));
	size_t count = 0;
	uint64_t bytes;

	assert(start_offset + sizeof(uint64_t) <= sizeof(struct rh_trial));
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *other = &result->trials[t];
		uint64_t start;

		memcpy(&start, (const char *)other + start_offset, sizeof(start));
		if (other->backend == result->floor && same_place(other, trial) &&
		    other->status == RH_STATUS_OK && start != RH_NONE)
			seen[count++] = (double)start;
	}
	if (seen)
		rh_stat_sort(seen, count);
	bytes = count ? (uint64_t)rh_stat_median(seen, count) : RH_NONE;
	free(seen);
	return bytes;
}

uint64_t rh_result_rss(uint64_t anon_bytes, uint64_t harness_bytes)
{
	if (anon_bytes == RH_NONE || harness_bytes == RH_NONE)
		return RH_NONE;
	return anon_bytes > harness_bytes ? anon_bytes - harness_bytes : 0;
}

/* ---- one trial, one number ---- */

static double ns_per_event(const struct rh_trial *trial)
{
	return trial && trial->events ? (double)trial->wall_ns / (double)trial->events : NAN;
}

static double value_ns(const struct view *v)
{
	return ns_per_event(v->trial);
}

static double value_ns_net(const struct view *v)
{
	return ns_per_event(v->trial) - ns_per_event(v->floor);
}

static double value_ratio(const struct view *v)
{
	return ns_per_event(v->trial) / ns_per_event(v->base);
}

static double value_ratio_net(const struct view *v)
{
	double base = ns_per_event(v->base) - ns_per_event(v->floor);

	return base > 0 ? value_ns_net(v) / base : NAN;
}

static double value_cpu_ns(const struct view *v)
{
	return v->trial->events ? (double)v->trial->cpu_ns / (double)v->trial->events : NAN;
}

static double lane_wall(const struct rh_trial *trial)
{
	assert(trial->lanes > 0 && trial->copies > 0);
	return (double)trial->wall_ns * trial->lanes * trial->copies;
}

static double value_cpu_share(const struct view *v)
{
	return (double)v->trial->cpu_ns / lane_wall(v->trial);
}

static double value_wait_share(const struct view *v)
{
	return (double)v->trial->blocked_ns / lane_wall(v->trial);
}

static double value_waits(const struct view *v)
{
	return v->trial->events ? (double)v->trial->waits / (double)v->trial->events : NAN;
}

static double value_blocked(const struct view *v)
{
	return v->trial->events ? (double)v->trial->blocked / (double)v->trial->events : NAN;
}

static double rss(const struct view *v, uint64_t anon_bytes)
{
	uint64_t bytes = rh_result_rss(anon_bytes, v->harness_bytes);

	return bytes == RH_NONE ? NAN : (double)bytes;
}

static double value_rss_start(const struct view *v)
{
	return rss(v, v->trial->anon_start);
}

uint64_t rh_result_anon_peak(const struct rh_trial *trial)
{
	uint64_t peak = trial->anon_start;

	for (size_t i = 0; i < trial->segment_count; i++) {
		uint64_t bytes = trial->segments[i].anon_most;

		if (bytes != RH_NONE && (peak == RH_NONE || bytes > peak))
			peak = bytes;
	}
	return peak;
}

static double value_rss_peak(const struct view *v)
{
	return rss(v, rh_result_anon_peak(v->trial));
}

/* Address space, resident or not. */
static double value_reserved_peak(const struct view *v)
{
	uint64_t floor =
		rh_result_harness_of(v->result, v->trial, offsetof(struct rh_trial, mapped_start));
	uint64_t peak = 0, bytes;

	for (size_t i = 0; i < v->trial->segment_count; i++) {
		bytes = v->trial->segments[i].mapped_bytes;
		peak = bytes != RH_NONE && bytes > peak ? bytes : peak;
	}
	bytes = peak ? rh_result_rss(peak, floor) : RH_NONE;
	return bytes == RH_NONE ? NAN : (double)bytes;
}

static double value_huge_peak(const struct view *v)
{
	double peak = NAN;

	for (size_t i = 0; i < v->trial->segment_count; i++) {
		uint64_t bytes = v->trial->segments[i].huge_bytes;

		if (bytes != RH_NONE && !(peak >= (double)bytes))
			peak = (double)bytes;
	}
	return peak;
}

static double value_retained(const struct view *v)
{
	return rss(v, v->trial->anon_drained);
}

static double value_retained_1s(const struct view *v)
{
	return rss(v, v->trial->anon_rested);
}

static double value_retained_share(const struct view *v)
{
	double peak = value_rss_peak(v);

	return peak > 0 ? value_retained(v) / peak : NAN;
}

/* At the segment end with the most live bytes. A backend that hands out no memory has no
 * fragmentation. */
static double value_fragmentation(const struct view *v)
{
	const struct rh_run_backend *backend = &v->result->backends[v->trial->backend];
	const struct rh_segment *most = NULL;

	assert(v->trial->backend < v->result->backend_count);
	for (size_t i = 0; i < v->trial->segment_count; i++)
		if (!most || v->trial->segments[i].live_bytes > most->live_bytes)
			most = &v->trial->segments[i];
	if (!most || !most->live_bytes || backend->spec->layer[0].ops.caps & RH_CAP_NO_MEMORY)
		return NAN;
	return rss(v, most->anon_bytes) / (double)most->live_bytes;
}

static double value_faults(const struct view *v)
{
	uint64_t faults = 0;

	for (size_t i = 0; i < v->trial->segment_count; i++)
		faults += v->trial->segments[i].faults_minor + v->trial->segments[i].faults_major;
	return v->trial->events ? (double)faults / (double)v->trial->events : NAN;
}

/* ---- later passes ---- */

static double value_steady_ns(const struct view *v)
{
	return rh_passes_ns_per_event(v->trial);
}

static double value_steady_ns_net(const struct view *v)
{
	return rh_passes_ns_per_event(v->trial) - rh_passes_ns_per_event(v->floor);
}

static double value_steady_ratio(const struct view *v)
{
	return rh_passes_ns_per_event(v->trial) / rh_passes_ns_per_event(v->base);
}

static double value_steady_cpu_ns(const struct view *v)
{
	return rh_passes_cpu_ns_per_event(v->trial);
}

static double value_steady_rss_peak(const struct view *v)
{
	return rss(v, rh_passes_anon_peak(v->trial));
}

static double value_steady_rss_end(const struct view *v)
{
	return rss(v, rh_passes_anon_end(v->trial));
}

static double value_steady_faults(const struct view *v)
{
	return rh_passes_faults_per_event(v->trial);
}

/* ---- where the time went ---- */

#define VALUE_APART(part)                                               \
	static double value_apart_##part(const struct view *v)          \
	{                                                               \
		return rh_apart_of(v->result, v->trial, v->floor).part; \
	}
RH_APART_PARTS(VALUE_APART)
#undef VALUE_APART

/* ---- the program as recorded ---- */

/* With --pace and --verify CPU time includes more than the heap. */
static double of_program(const struct view *v, double cpu_ns)
{
	if (v->result->verify || strcmp(v->result->pace, "none") != 0)
		return NAN;
	assert(v->trial->trace < v->result->trace_count);
	return cpu_ns / rh_program_cpu_ns(&v->result->traces[v->trial->trace]);
}

static double value_heap_share(const struct view *v)
{
	if (v->trial->backend == v->result->floor)
		return NAN;
	return of_program(v, rh_heap_cpu_ns(v->trial) - rh_heap_cpu_ns(v->floor));
}

static double value_saved_share(const struct view *v)
{
	if (v->trial->backend == v->result->floor || v->trial->backend == v->result->baseline)
		return NAN;
	return of_program(v, rh_heap_cpu_ns(v->base) - rh_heap_cpu_ns(v->trial));
}

static const struct row {
	const char *name;
	double (*value)(const struct view *view);
	bool touched; /* valid only if blocks were written as the program wrote them */
} rows[] = {
	{ "time.ns_per_event", value_ns, false },
	{ "time.ns_per_event_net", value_ns_net, false },
	{ "time.ratio", value_ratio, false },
	{ "time.ratio_net", value_ratio_net, false },
	{ "time.cpu_ns_per_event", value_cpu_ns, false },
	{ "time.cpu_share", value_cpu_share, false },
	{ "time.wait_share", value_wait_share, false },
	{ "program.heap_share", value_heap_share, true },
	{ "program.saved_share", value_saved_share, true },
#define ROW_APART(part) { "apart." #part, value_apart_##part, false },
	RH_APART_PARTS(ROW_APART)
#undef ROW_APART
		{ "waits.per_event", value_waits, false },
	{ "waits.blocked_per_event", value_blocked, false },
	{ "memory.rss_start_bytes", value_rss_start, false },
	{ "memory.rss_peak_bytes", value_rss_peak, true },
	{ "memory.reserved_peak_bytes", value_reserved_peak, false },
	{ "memory.huge_peak_bytes", value_huge_peak, false },
	{ "memory.retained_bytes", value_retained, true },
	{ "memory.retained_1s_bytes", value_retained_1s, true },
	{ "memory.retained_share", value_retained_share, true },
	{ "memory.fragmentation_peak", value_fragmentation, true },
	{ "memory.faults_per_event", value_faults, false },
	{ "steady.ns_per_event", value_steady_ns, false },
	{ "steady.ns_per_event_net", value_steady_ns_net, false },
	{ "steady.ratio", value_steady_ratio, false },
	{ "steady.cpu_ns_per_event", value_steady_cpu_ns, false },
	{ "steady.rss_peak_bytes", value_steady_rss_peak, true },
	{ "steady.rss_end_bytes", value_steady_rss_end, true },
	{ "steady.faults_per_event", value_steady_faults, false },
};

/* ---- all trials of a backend at a place ---- */

/* Takes the values. Unit, source and direction are in fields.h, once for every metric. */
static struct rh_metric metric_of(const struct rh_trial *like, uint32_t backend, const char *name,
				  double *values, size_t count)
{
	const struct rh_metric_row *row = rh_metric_find(name);
	struct rh_interval x = rh_stat_interval(values, count, confidence);

	assert(row);
	assert(count > 0 && x.n == count);
	assert(!(x.lo > x.median) && !(x.median > x.hi) && !(x.min > x.lo) && !(x.hi > x.max));
	return (struct rh_metric){
		.trace = like->trace,
		.backend = backend,
		.lanes = like->lanes,
		.copies = like->copies,
		.name = name,
		.unit = row->unit,
		.source = row->source,
		.better = row->better,
		.n = (uint32_t)x.n,
		.median = x.median,
		.lo = x.lo,
		.hi = x.hi,
		.level = x.level,
		.min = x.min,
		.max = x.max,
		.values = values,
		.values_count = count,
	};
}

static void measure(struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		    const struct row *row, uint64_t harness_bytes)
{
	struct rh_metric *metric;
	double *values = rh_scratch(result->trial_count + 1, sizeof(*values));
	size_t count = 0;

	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];
		struct view view = { result, trial, NULL, NULL, harness_bytes };

		if (trial->backend != backend || !same_place(trial, like) ||
		    trial->status != RH_STATUS_OK)
			continue;
		/* ratios are taken within a rep */
		assert(trial->program == like->program && trial->copies == like->copies);
		view.base = partner(result, trial, result->baseline);
		view.floor = partner(result, trial, result->floor);
		values[count] = row->value(&view);
		count += isfinite(values[count]) ? 1 : 0;
	}
	if (count == 0) {
		free(values);
		return;
	}
	assert(count <= result->trial_count);
	metric = rh_grow(&result->metrics, &result->metric_count, sizeof(*metric));
	*metric = metric_of(like, backend, row->name, values, count);
}

/* Readings of probes: the same for the numbers that a probe took from each trial. */
static void measure_reading(struct rh_result *result, const struct rh_trial *like, uint32_t backend,
			    const struct rh_reading *named)
{
	struct rh_metric *metric;
	double *values = rh_scratch(result->trial_count + 1, sizeof(*values));
	size_t count = 0;

	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (trial->backend != backend || !same_place(trial, like) ||
		    trial->status != RH_STATUS_OK)
			continue;
		for (size_t i = 0; i < trial->reading_count; i++)
			if (strcmp(trial->readings[i].name, named->name) == 0)
				values[count++] = trial->readings[i].value;
	}
	if (count == 0) {
		free(values);
		return;
	}
	metric = rh_grow(&result->metrics, &result->metric_count, sizeof(*metric));
	*metric = metric_of(like, backend, named->name, values, count);
}

/* Every name once: a trial may lack a reading that another has. */
static void measure_readings(struct rh_result *result, const struct rh_trial *like,
			     uint32_t backend)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (trial->backend != backend || !same_place(trial, like))
			continue;
		for (size_t i = 0; i < trial->reading_count; i++)
			if (!rh_metric_like(result, like, backend, trial->readings[i].name))
				measure_reading(result, like, backend, &trial->readings[i]);
	}
}

static bool first_of_place(const struct rh_result *result, size_t t)
{
	for (size_t u = 0; u < t; u++)
		if (same_place(&result->trials[u], &result->trials[t]))
			return false;
	return true;
}

/* With --touch none or first most live bytes were never written, so their pages are not resident.
 */
static bool memory_is_true(const struct rh_result *result)
{
	return result->verify ||
	       (strcmp(result->touch, "none") != 0 && strcmp(result->touch, "first") != 0);
}

void rh_result_measure(struct rh_result *result)
{
	bool touched = memory_is_true(result);

	assert(result->metric_count == 0); /* called once */
	for (int i = 0; !touched && result->trial_count && i < 2; i++)
		rh_result_absent(
			result, i ? "program.saved_share" : "memory.rss_peak_bytes", -1,
			"--touch %s leaves blocks unwritten, so that neither RSS nor page faults "
			"are the program's (--touch auto writes them)",
			result->touch);
	if (touched && result->trial_count)
		rh_program_explain(result);
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *like = &result->trials[t];
		uint64_t harness_bytes;

		if (!first_of_place(result, t))
			continue;
		harness_bytes = rh_result_harness_bytes(result, like);
		for (uint32_t b = 0; b < result->backend_count; b++) {
			for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
				if (touched || !rows[r].touched)
					measure(result, like, b, &rows[r], harness_bytes);
			measure_readings(result, like, b);
		}
	}
}

const struct rh_metric *rh_result_metric(const struct rh_result *result,
					 struct rh_metric_place place, const char *name)
{
	for (size_t i = 0; i < result->metric_count; i++) {
		const struct rh_metric *m = &result->metrics[i];

		if (m->trace == place.trace && m->backend == place.backend &&
		    m->lanes == place.lanes && m->copies == place.copies &&
		    strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

const struct rh_metric *rh_metric_like(const struct rh_result *result, const struct rh_trial *like,
				       uint32_t backend, const char *name)
{
	return rh_result_metric(
		result, (struct rh_metric_place){ like->trace, backend, like->lanes, like->copies },
		name);
}
