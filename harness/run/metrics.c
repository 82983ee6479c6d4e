/*
 * metrics.c - what the trials say together.
 *
 * One row per metric: how it comes from a single trial. Ratios and net times look at the
 * trial of the baseline or the null floor in the same rep, because those two ran next to
 * each other; the interval is then taken over the per-trial values. Only ok trials count.
 * A trial that cannot say (no probe, no partner in its rep) gives NaN and is left out.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/result.h"
#include "traces/event.h"

static const double confidence = 0.95;

struct view {
	const struct rh_result *result;
	const struct rh_trial *trial;
	const struct rh_trial *base, *floor;	/* of the same rep, NULL when there is none ok */
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
	double *seen = calloc(result->trial_count + 1, sizeof(*seen));
	size_t count = 0;
	uint64_t bytes;

	for (size_t t = 0; seen && t < result->trial_count; t++) {
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

static double value_rss_peak(const struct view *v)
{
	uint64_t peak = v->trial->anon_start;

	for (size_t i = 0; i < v->trial->segment_count; i++) {
		uint64_t bytes = v->trial->segments[i].anon_bytes;

		if (bytes != RH_NONE && (peak == RH_NONE || bytes > peak))
			peak = bytes;
	}
	return rss(v, peak);
}

/* Address space, resident or not. */
static double value_reserved_peak(const struct view *v)
{
	uint64_t floor = rh_result_harness_of(v->result, v->trial,
					      offsetof(struct rh_trial, mapped_start));
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

/* At the segment end where most was live. What hands out no memory has no fragmentation. */
static double value_fragmentation(const struct view *v)
{
	const struct rh_run_backend *backend = &v->result->backends[v->trial->backend];
	const struct rh_segment *most = NULL;

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

static const struct row {
	const char *name, *unit, *source, *better;
	double (*value)(const struct view *view);
} rows[] = {
	{ "time.ns_per_event", "ns", "own", "lower", value_ns },
	{ "time.ns_per_event_net", "ns", "own", "lower", value_ns_net },
	{ "time.ratio", "ratio", "own", "lower", value_ratio },
	{ "time.ratio_net", "ratio", "own", "lower", value_ratio_net },
	{ "time.cpu_ns_per_event", "ns", "sw", "lower", value_cpu_ns },
	{ "time.cpu_share", "share", "sw", "none", value_cpu_share },
	{ "time.wait_share", "share", "own", "none", value_wait_share },
	{ "waits.per_event", "share", "own", "none", value_waits },
	{ "waits.blocked_per_event", "share", "own", "none", value_blocked },
	{ "memory.rss_start_bytes", "bytes", "sw", "lower", value_rss_start },
	{ "memory.rss_peak_bytes", "bytes", "sw", "lower", value_rss_peak },
	{ "memory.reserved_peak_bytes", "bytes", "sw", "none", value_reserved_peak },
	{ "memory.huge_peak_bytes", "bytes", "sw", "none", value_huge_peak },
	{ "memory.retained_bytes", "bytes", "sw", "lower", value_retained },
	{ "memory.retained_1s_bytes", "bytes", "sw", "lower", value_retained_1s },
	{ "memory.retained_share", "share", "sw", "lower", value_retained_share },
	{ "memory.fragmentation_peak", "ratio", "sw", "lower", value_fragmentation },
	{ "memory.faults_per_event", "count", "sw", "lower", value_faults },
};

/* ---- all trials of a backend at a place ---- */

static void measure(struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		    const struct row *row, uint64_t harness_bytes)
{
	struct rh_metric *metric;
	double *values = calloc(result->trial_count + 1, sizeof(*values));
	size_t count = 0;

	for (size_t t = 0; values && t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];
		struct view view = { result, trial, NULL, NULL, harness_bytes };

		if (trial->backend != backend || !same_place(trial, like) ||
		    trial->status != RH_STATUS_OK)
			continue;
		view.base = partner(result, trial, result->baseline);
		view.floor = partner(result, trial, result->floor);
		values[count] = row->value(&view);
		count += isfinite(values[count]) ? 1 : 0;
	}
	if (count == 0) {
		free(values);
		return;
	}
	metric = rh_grow(&result->metrics, &result->metric_count, sizeof(*metric));
	*metric = (struct rh_metric){ like->trace, backend, like->lanes, like->copies, row->name,
				      row->unit, row->source, row->better,
				      rh_stat_interval(values, count, confidence), values };
}

/* Readings of probes: the same over the numbers a probe took from each trial. */
static void measure_reading(struct rh_result *result, const struct rh_trial *like,
			    uint32_t backend, const struct rh_reading *named)
{
	struct rh_metric *metric;
	double *values = calloc(result->trial_count + 1, sizeof(*values));
	size_t count = 0;

	for (size_t t = 0; values && t < result->trial_count; t++) {
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
	*metric = (struct rh_metric){ like->trace, backend, like->lanes, like->copies, named->name,
				      named->unit, named->source, named->better,
				      rh_stat_interval(values, count, confidence), values };
}

/* Every name once: a trial may lack what another could read. */
static void measure_readings(struct rh_result *result, const struct rh_trial *like,
			     uint32_t backend)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (trial->backend != backend || !same_place(trial, like))
			continue;
		for (size_t i = 0; i < trial->reading_count; i++)
			if (!rh_result_metric(result, like->trace, backend, like->lanes,
					      like->copies, trial->readings[i].name))
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

void rh_result_measure(struct rh_result *result)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *like = &result->trials[t];
		uint64_t harness_bytes;

		if (!first_of_place(result, t))
			continue;
		harness_bytes = rh_result_harness_bytes(result, like);
		for (uint32_t b = 0; b < result->backend_count; b++) {
			for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
				measure(result, like, b, &rows[r], harness_bytes);
			measure_readings(result, like, b);
		}
	}
}

const struct rh_metric *rh_result_metric(const struct rh_result *result, uint32_t trace,
					 uint32_t backend, uint32_t lanes, uint32_t copies,
					 const char *name)
{
	for (size_t i = 0; i < result->metric_count; i++) {
		const struct rh_metric *m = &result->metrics[i];

		if (m->trace == trace && m->backend == backend && m->lanes == lanes &&
		    m->copies == copies && strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}
