/*
 * probe_pace.c - did the replay keep the recorded times? It rides along whenever --pace is given.
 *
 * Lag is how late an operation began: after its gap (think) or after its due time (open, where it
 * includes the queue behind slow operations). A run whose lag at p99 exceeds a tenth of its
 * length could not keep pace, and its latencies from the due time measure a backlog.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/control/pace.h"
#include "harness/probe/probe.h"

static const double behind_share = 0.1;

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	(void)text;
	(void)text_bytes;
	return config->replay.pace ? NULL : "recorded times are not kept (--pace think or open)";
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_pace_lane *lanes = rh_probe_area_of(run->worker, RH_AREA_PACE);
	struct rh_hist_sum *lag = calloc(1, sizeof(*lag));
	double p50, p99, waited = 0;
	struct rh_pace_found *found;
	bool behind;

	if (!lag)
		return rh_fail(err, RH_OS, "no memory for a histogram");
	for (uint32_t s = 0; s < run->worker->ctl->seats; s++) {
		rh_hist_merge(lag, &lanes[s].lag);
		waited += rh_probe_ns(run, (double)lanes[s].waited_ticks);
	}
	p50 = rh_probe_ns(run, (double)rh_hist_quantile(lag, .5));
	p99 = rh_probe_ns(run, (double)rh_hist_quantile(lag, .99));
	behind = p99 > behind_share * (double)run->life->wall_ns;
	rh_probe_reading(run, "pace.lag_p50", p50);
	rh_probe_reading(run, "pace.lag_p99", p99);
	rh_probe_reading(
		run, "pace.waited_share",
		waited / ((double)run->life->wall_ns * run->life->lanes * run->life->copies));
	found = run->trial->found.pace = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));
	*found = (struct rh_pace_found){
		.source = "own",
		.n = lag->count,
		.lag_p50_ns = p50,
		.lag_p99_ns = p99,
		.lag_max_ns = rh_probe_ns(run, (double)lag->max),
		.waited_ns = waited,
		.could_not_keep_pace = behind,
	};
	if (behind)
		rh_result_warn(run->result,
			       "%s could not keep pace in rep %u: lag at p99 %.3f ms "
			       "of %.3f ms",
			       run->result->backends[run->trial->backend].text, run->trial->rep + 1,
			       p99 / 1e6, (double)run->life->wall_ns / 1e6);
	free(lag);
	return 0;
}

enum { COLUMNS = 5 };

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	static const struct {
		const char *name;
		double scale;
		const char *format;
	} values[] = {
		{ "pace.lag_p50", 1e-3, "%.1f us" },
		{ "pace.lag_p99", 1e-3, "%.1f us" },
		{ "pace.waited_share", 100, "%.1f %%" },
	};
	const struct rh_result *result = table->result;
	bool behind = false;

	for (int v = 0; v < 3; v++) {
		const struct rh_metric *m = rh_table_metric(table, backend, values[v].name);

		if (!m)
			return false;
		rh_metric_cell(cell[v], m, values[v].scale, values[v].format);
	}
	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].backend == backend &&
		    result->trials[t].program == table->like->program &&
		    result->trials[t].copies == table->like->copies)
			behind |= result->trials[t].found.pace &&
				  result->trials[t].found.pace->could_not_keep_pace;
	snprintf(cell[3], RH_CELL, "%s", behind ? "could not keep pace" : "kept");
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = { "pace", "lag p50", "lag p99", "waited", "" };
	const struct rh_probe_table table = {
		.result = result,
		.like = like,
		.heads = heads,
		.columns = COLUMNS,
		.fill = fill_row,
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to, "\n");
}

static const struct rh_headline headlines[] = {
	{ "pace.lag_p99", "pace, 99th percentile of lag" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_pace = {
	.name = "pace",
	.summary = "how late operations start when recorded times are kept; comes with --pace",
	.headlines = headlines,
	.source = "own",
	.by_name_only = true,
	.absent_why = absent_why,
	.end = end,
	.print = print,
};
