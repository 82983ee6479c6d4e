/*
 * probe_latency.c - how long single operations take: the driver's half (latency.h).
 *
 * It has its own pass: a worker that replays with the timed loop. The lanes' histograms are
 * summed here when they have ended: all operations together (the metrics latency.pNN), by kind
 * (latency.KIND.pNN), and cell by cell into the document.
 *
 * Limits of a value: below three steps of the clock it is mostly rounding, so metrics do not go
 * below that ("<= 30 ns" in tables); a quantile with fewer than ten samples beyond it has no
 * interval and is marked.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/control/latency.h"
#include "harness/probe/latency_run.h"
#include "harness/control/pace.h"
#include "harness/probe/probe.h"
#include "harness/result/latency_kinds.h"
#include "traces/format/event.h"

enum { GRANULES = 3 };

static const struct {
	const char *name;
	double q;
} quantiles[] = {
	{ "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p99_9", .999 }, { "p99_99", .9999 },
};
enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

/* Names of metrics live as long as the program. */
#define NAMES(kind)                                                             \
	{                                                                       \
		kind "p50", kind "p90", kind "p99", kind "p99_9", kind "p99_99" \
	}
static const char *const metric_names[RH_LAT_KINDS + 2][QUANTILES] = {
#define ROW(id, name, words) NAMES("latency." #name "."),
	RH_LATENCY_KINDS(ROW)
#undef ROW
		NAMES("latency."),
	NAMES("latency.response."),
};

static double floor_ns(const struct rh_result *result)
{
	return GRANULES * (double)result->clock.granularity_ticks * result->clock.ns_per_tick;
}

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	(void)text;
	(void)text_bytes;
	return config->replay.verify ? "--verify checks every block between the operations" : NULL;
}

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	size_t seats = (size_t)run->program->program.head->lanes * run->trial->copies;

	if (seats > RH_LATENCY_SEATS_MAX)
		return rh_fail(err, RH_ABSENT,
			       "%zu lanes are more than %d, which have a histogram "
			       "each",
			       seats, RH_LATENCY_SEATS_MAX);
	rh_probe_area(run, RH_AREA_LATENCY, seats * sizeof(struct rh_latency_lane));
	run->start->mode = RH_MODE_TIMED;
	run->start->replay.sample = run->config->replay.sample;
	run->start->seed = run->config->seed + run->trial->rep;
	return 0;
}

static int start_latency(struct rh_probe_run *run, struct rh_err *err)
{
	/* The operations that bring shifted copies to their phase do not belong to the run. */
	memset(rh_probe_area_of(run->worker, RH_AREA_LATENCY), 0,
	       run->worker->ctl->seats * sizeof(struct rh_latency_lane));
	run->own = rh_latency_run_open();
	return run->own ? 0 : rh_fail(err, RH_OS, "no memory for latency over the run");
}

static int segment(struct rh_probe_run *run, const struct rh_segment *segment, struct rh_err *err)
{
	(void)err;
	rh_latency_run_add(run->own, rh_probe_area_of(run->worker, RH_AREA_LATENCY),
			   run->worker->ctl->seats, segment->events);
	return 0;
}

static void release(struct rh_probe_run *run)
{
	rh_latency_run_close(run->own);
	run->own = NULL;
}

/* ---- the document ---- */

static struct rh_quantile *quantile_of(const struct rh_probe_run *run,
				       const struct rh_hist_sum *hist, double q)
{
	struct rh_quantile *made = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*made));
	double ns = rh_probe_ns(run, (double)rh_hist_quantile(hist, q));
	uint64_t lo, hi;

	*made = (struct rh_quantile){ ns, ns >= floor_ns(run->result), NAN, NAN };
	if (rh_hist_interval(hist, q, &lo, &hi)) {
		made->lo = rh_probe_ns(run, (double)lo);
		made->hi = rh_probe_ns(run, (double)hi);
	}
	return made;
}

/* Counts by upper edge of the bucket in ns: enough to compute everything again. */
static void fill_buckets(const struct rh_probe_run *run, const struct rh_hist_sum *hist,
			 struct rh_latency_of *to)
{
	size_t used = 0;

	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++)
		used += hist->bucket[i] != 0;
	to->buckets = rh_pool_alloc(rh_probe_pool(run), used, sizeof(*to->buckets));
	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++) {
		uint64_t high = rh_hist_high(i) < hist->max ? rh_hist_high(i) : hist->max;

		if (hist->bucket[i])
			to->buckets[to->buckets_count++] =
				(struct rh_bucket){ rh_probe_ns(run, (double)high),
						    hist->bucket[i] };
	}
}

static void fill_latency(const struct rh_probe_run *run, const struct rh_hist_sum *hist,
			 const char *kind, struct rh_latency_of *to)
{
	*to = (struct rh_latency_of){
		.kind = kind,
		.n = hist->count,
		.mean_ns = rh_probe_ns(run, hist->count ? hist->sum / (double)hist->count : 0),
		.max_ns = rh_probe_ns(run, (double)hist->max),
		.p50 = quantile_of(run, hist, quantiles[0].q),
		.p90 = quantile_of(run, hist, quantiles[1].q),
		.p99 = quantile_of(run, hist, quantiles[2].q),
		.p99_9 = quantile_of(run, hist, quantiles[3].q),
		.p99_99 = quantile_of(run, hist, quantiles[4].q),
	};
}

static size_t cells_in_use(const struct rh_latency_lane *lanes, uint32_t seats)
{
	size_t used = 0;

	for (size_t i = 0; i < (size_t)seats * RH_LAT_KINDS * RH_LAT_OCTAVES; i++)
		used += (&lanes[i / (RH_LAT_KINDS * RH_LAT_OCTAVES)]
				  .cell[0][0])[i % (RH_LAT_KINDS * RH_LAT_OCTAVES)]
				.count != 0;
	return used;
}

/* Columns over all cells that have samples. */
static struct rh_latency_cells *make_cells(const struct rh_probe_run *run,
					   const struct rh_latency_lane *lanes, uint32_t seats)
{
	struct rh_pool *pool = rh_probe_pool(run);
	struct rh_latency_cells *to = rh_pool_alloc(pool, 1, sizeof(*to));
	size_t used = cells_in_use(lanes, seats), at = 0;

#define COLUMN(key) to->key = rh_pool_alloc(pool, used, sizeof(*to->key)), to->key##_count = used
	COLUMN(kind);
	COLUMN(size_to);
	COLUMN(lane);
	COLUMN(n);
	COLUMN(p50_ns);
	COLUMN(p99_ns);
	COLUMN(max_ns);
#undef COLUMN
	for (size_t i = 0; i < (size_t)seats * RH_LAT_KINDS * RH_LAT_OCTAVES; i++) {
		unsigned octave = (unsigned)(i % RH_LAT_OCTAVES);
		unsigned kind = (unsigned)(i / RH_LAT_OCTAVES % RH_LAT_KINDS);
		uint32_t lane = (uint32_t)(i / RH_LAT_OCTAVES / RH_LAT_KINDS);
		const struct rh_hist *cell = &lanes[lane].cell[kind][octave];
		struct rh_hist_sum sum = { 0 };

		if (!cell->count)
			continue;
		rh_hist_merge(&sum, cell);
		to->kind[at] = rh_latency_names[kind];
		to->size_to[at] = rh_latency_size_to(octave);
		to->lane[at] = lane;
		to->n[at] = (double)sum.count;
		to->p50_ns[at] = rh_probe_ns(run, (double)rh_hist_quantile(&sum, .5));
		to->p99_ns[at] = rh_probe_ns(run, (double)rh_hist_quantile(&sum, .99));
		to->max_ns[at++] = rh_probe_ns(run, (double)sum.max);
	}
	return to;
}

static struct rh_long_batch batch_of(const struct rh_probe_run *run, const struct rh_outlier *o,
				     uint32_t lane)
{
	return (struct rh_long_batch){
		.lane = lane,
		.ns = rh_probe_ns(run, (double)o->ticks),
		.ops = o->ops,
		.op = o->op,
		.faults_minor = o->faults_minor,
		.faults_major = o->faults_major,
		.switches_voluntary = o->switches_voluntary,
		.switches_involuntary = o->switches_involuntary,
		.run_delay_ns = o->run_delay_ns == RH_NONE ? UINT64_MAX : o->run_delay_ns,
	};
}

static struct rh_outliers *make_outliers(const struct rh_probe_run *run,
					 const struct rh_latency_lane *lanes, uint32_t seats)
{
	struct rh_outliers *to = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*to));

	to->batch_ops = RH_BATCH_OPS;
	to->times_median = RH_OUTLIER_TIMES;
	for (uint32_t s = 0; s < seats; s++) {
		to->batches += lanes[s].batches;
		to->count += lanes[s].outliers;
		to->ns += rh_probe_ns(run, (double)lanes[s].outlier_ticks);
		to->with_faults += lanes[s].with_faults;
		to->with_switches += lanes[s].with_switches;
		for (uint64_t i = 0; i < lanes[s].kept && i < RH_OUTLIERS_MAX; i++)
			*(struct rh_long_batch *)rh_pool_grow(
				rh_probe_pool(run), &to->longest, &to->longest_count,
				sizeof(*to->longest)) = batch_of(run, &lanes[s].outlier[i], s);
	}
	return to;
}

/* How much the cost of the empty clock pair moved, the largest over the lanes, in ticks. */
static uint64_t pair_drift(const struct rh_latency_lane *lanes, uint32_t seats)
{
	uint64_t most = 0;

	for (uint32_t s = 0; s < seats; s++) {
		uint64_t a = lanes[s].pair_first, b = lanes[s].pair_last;
		uint64_t drift = a > b ? a - b : b - a;

		most = drift > most ? drift : most;
	}
	return most;
}

static void fill_kinds(const struct rh_probe_run *run, const struct rh_latency_sum *sum,
		       struct rh_latency_found *to)
{
	to->kinds = rh_pool_alloc(rh_probe_pool(run), RH_LAT_KINDS, sizeof(*to->kinds));
	for (int k = 0; k < RH_LAT_KINDS; k++) {
		if (!sum->kind[k].count)
			continue;
		fill_latency(run, &sum->kind[k], rh_latency_names[k], &to->kinds[to->kinds_count]);
		fill_buckets(run, &sum->kind[k], &to->kinds[to->kinds_count++]);
	}
	to->all = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*to->all));
	fill_latency(run, &sum->all, NULL, to->all);
	if (!sum->response.count)
		return;
	to->response = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*to->response));
	fill_latency(run, &sum->response, NULL, to->response);
	fill_buckets(run, &sum->response, to->response);
}

static struct rh_latency_found *make_found(const struct rh_probe_run *run,
					   const struct rh_latency_sum *sum,
					   const struct rh_latency_lane *lanes, uint32_t seats)
{
	const struct rh_clock *clock = &run->result->clock;
	struct rh_latency_found *to = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*to));
	uint64_t drift = pair_drift(lanes, seats);

	*to = (struct rh_latency_found){
		.source = "own",
		.sample = run->worker->ctl->replay.sample,
		.wall_ns = run->life->wall_ns,
		.events = run->life->events,
		.granularity_ns = rh_probe_ns(run, (double)clock->granularity_ticks),
		.exact_from_ns = floor_ns(run->result),
		.pair_ns = rh_probe_ns(run, (double)lanes[0].pair_last),
		.pair_drift_ns = rh_probe_ns(run, (double)drift),
		.drifted = drift > clock->granularity_ticks,
		.cells = make_cells(run, lanes, seats),
		.sizes = rh_latency_sizes(rh_probe_pool(run), lanes, seats, clock->ns_per_tick),
		.run = rh_latency_run_found(rh_probe_pool(run), run->own, clock->ns_per_tick),
		.outliers = make_outliers(run, lanes, seats),
	};
	for (uint32_t s = 0; s < seats; s++)
		to->migrated += lanes[s].migrated;
	fill_kinds(run, sum, to);
	return to;
}

/* ---- numbers ---- */

static void readings_of(struct rh_probe_run *run, const struct rh_hist_sum *hist, int names)
{
	double least = floor_ns(run->result);

	for (int q = 0; hist->count && q < QUANTILES; q++) {
		double ns = rh_probe_ns(run, (double)rh_hist_quantile(hist, quantiles[q].q));

		rh_probe_reading(run, metric_names[names][q], ns > least ? ns : least);
	}
}

static void sum_up(struct rh_latency_sum *sum, const struct rh_latency_lane *lanes, uint32_t seats)
{
	for (uint32_t s = 0; s < seats; s++) {
		for (int k = 0; k < RH_LAT_KINDS; k++)
			for (int o = 0; o < RH_LAT_OCTAVES; o++)
				if (lanes[s].cell[k][o].count)
					rh_hist_merge(&sum->kind[k], &lanes[s].cell[k][o]);
	}
	for (int k = 0; k < RH_LAT_KINDS; k++)
		rh_hist_merge_sum(&sum->all, &sum->kind[k]);
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_latency_lane *lanes = rh_probe_area_of(run->worker, RH_AREA_LATENCY);
	const struct rh_pace_lane *paced = rh_probe_area_of(run->worker, RH_AREA_PACE);
	uint32_t seats = run->worker->ctl->seats;
	struct rh_latency_sum *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return rh_fail(err, RH_OS, "no memory for histograms");
	sum_up(sum, lanes, seats);
	for (uint32_t s = 0; paced && s < seats; s++)
		rh_hist_merge(&sum->response, &paced[s].response);
	run->trial->latency = sum;
	if (!sum->all.count)
		return rh_fail(err, RH_ABSENT,
			       "the trace is so short that no operation was "
			       "sampled (--sample every times all)");
	readings_of(run, &sum->all, RH_LAT_KINDS);
	readings_of(run, &sum->response, RH_LAT_KINDS + 1);
	rh_probe_reading(run, "latency.ns_per_event",
			 (double)run->life->wall_ns / (double)run->life->events);
	rh_probe_reading(run, "latency.max", rh_probe_ns(run, (double)sum->all.max));
	for (int k = 0; k < RH_LAT_KINDS; k++)
		readings_of(run, &sum->kind[k], k);
	run->trial->found.latency = make_found(run, sum, lanes, seats);
	return 0;
}

/* ---- the table ---- */

enum { COLUMNS = 10 };

static void value_cell(const struct rh_result *result, const struct rh_hist_sum *hist, double q,
		       bool interval, char *cell)
{
	double ns_per_tick = result->clock.ns_per_tick;
	double ns = (double)rh_hist_quantile(hist, q) * ns_per_tick;
	uint64_t lo, hi;
	int known = rh_hist_interval(hist, q, &lo, &hi);

	if (!hist->count)
		snprintf(cell, RH_CELL, "-");
	else if (ns < floor_ns(result))
		snprintf(cell, RH_CELL, "<= %.0f", floor_ns(result));
	else if (known && interval)
		snprintf(cell, RH_CELL, "%.0f [%.0f, %.0f]", ns, (double)lo * ns_per_tick,
			 (double)hi * ns_per_tick);
	else
		snprintf(cell, RH_CELL, known ? "%.0f" : "~%.0f", ns);
}

int rh_latency_pool(const struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		    struct rh_latency_sum *into)
{
	int any = 0;

	memset(into, 0, sizeof(*into));
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (!trial->latency || trial->backend != backend ||
		    trial->program != like->program || trial->copies != like->copies)
			continue;
		rh_hist_merge_sum(&into->all, &trial->latency->all);
		rh_hist_merge_sum(&into->response, &trial->latency->response);
		for (int k = 0; k < RH_LAT_KINDS; k++)
			rh_hist_merge_sum(&into->kind[k], &trial->latency->kind[k]);
		any = 1;
	}
	return any;
}

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	const struct rh_result *result = table->result;
	struct rh_latency_sum *sum = table->ctx;

	if (!rh_latency_pool(result, table->like, backend, sum))
		return false;
	snprintf(cell[0], RH_CELL, "%llu", (unsigned long long)sum->all.count);
	for (int q = 0; q < QUANTILES; q++)
		value_cell(result, &sum->all, quantiles[q].q, quantiles[q].q == .99, cell[1 + q]);
	snprintf(cell[6], RH_CELL, "%.0f", (double)sum->all.max * result->clock.ns_per_tick);
	value_cell(result, &sum->kind[RH_LAT_FREE], .99, false, cell[7]);
	value_cell(result, &sum->kind[RH_LAT_FREE_REMOTE], .99, false, cell[8]);
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = {
		"latency, ns", "samples", "p50", "p90",	     "p99",
		"p99.9",       "p99.99",  "max", "free p99", "remote free p99",
	};
	struct rh_latency_sum *sum = malloc(sizeof(*sum));
	const struct rh_probe_table table = { .result = result,
					      .like = like,
					      .heads = heads,
					      .columns = COLUMNS,
					      .fill = fill_row,
					      .ctx = sum };

	if (sum && rh_print_rows(&table, to, markdown))
		fprintf(to,
			"\nOne operation in %llu timed, all trials together; source own. Steps "
			"of the clock: %.1f ns; nothing below three is exact. ~: fewer than ten "
			"samples beyond.\n\n",
			(unsigned long long)result->sample,
			(double)result->clock.granularity_ticks * result->clock.ns_per_tick);
	free(sum);
}

static const struct rh_headline headlines[] = {
	{ "latency.p99", "latency, 99th percentile" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_latency = {
	.name = "latency",
	.summary = "time of single operations: percentiles by kind, size, local or remote, lane",
	.headlines = headlines,
	.source = "own",
	.own_pass = true,
	.paced = true,
	.absent_why = absent_why,
	.prepare = prepare,
	.start = start_latency,
	.segment = segment,
	.end = end,
	.release = release,
	.print = print,
};
