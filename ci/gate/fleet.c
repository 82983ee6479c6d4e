/*
 * fleet.c - judges a matrix by a policy (fleet.h).
 *
 *	1  the policy's metrics become metrics of results; others cannot be had of a matrix
 *	2  families are collected from matrix.sqlite, then decided together
 *	3  lines for people, a line for scripts, an exit status
 */
#include "ci/gate/fleet.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "harness/result/pool.h"
#include "harness/result/stat.h"

/* Which metric of a result is which of a policy. */
static const struct {
	enum rh_gate_metric metric;
	const char *name;
} known[] = {
	{ RH_GATE_WALL, "time.ns_per_event" },
	{ RH_GATE_CPU, "time.cpu_ns_per_event" },
	{ RH_GATE_RSS, "memory.rss_peak_bytes" },
	{ RH_GATE_FAULTS, "memory.faults_per_event" },
};

/* ---- families ---- */

static bool same_family(const struct rh_fleet_family *f, const struct rh_effect_row *row)
{
	return strcmp(f->family, row->family) == 0 && strcmp(f->label, row->label) == 0 &&
	       strcmp(f->machine, row->machine) == 0;
}

static int by_family(const void *a, const void *b)
{
	const struct rh_effect_row *x = *(const struct rh_effect_row *const *)a;
	const struct rh_effect_row *y = *(const struct rh_effect_row *const *)b;
	int order = strcmp(x->family, y->family);

	order = order ? order : strcmp(x->label, y->label);
	order = order ? order : strcmp(x->machine, y->machine);
	return order ? order : strcmp(x->cell, y->cell);
}

/* The chance that `n` fair coins show `k` heads or more. */
static double chance(size_t n, size_t k)
{
	assert(k <= n);
	return n ? rh_stat_sign_tail(n, n - k + 1) : 1;
}

/* Where a bound lies on a logarithm of a ratio. Half the limit, as in every gate: what is above it
 * for sure is not noise around nothing. */
static double half_bound(double limit)
{
	return log1p(limit) / 2;
}

static bool is_nothing(const struct rh_fleet_family *f, const struct rh_effect_row *row)
{
	return f->limit.slack > 0 && row->value - row->base < f->limit.slack;
}

static void count_cell(struct rh_fleet_family *f, const struct rh_effect_row *row, double *logs)
{
	bool nothing = is_nothing(f, row);

	f->cells++;
	for (size_t i = 0; i < row->log_count; i++) {
		if (!isfinite(row->logs[i]))
			continue;
		f->above += !nothing && row->logs[i] > half_bound(f->limit.share);
		f->below += nothing || row->logs[i] < log1p(f->limit.share);
		logs[f->pairs++] = row->logs[i];
	}
}

static void fill_family(struct rh_fleet_family *f, size_t cells)
{
	size_t room = 0;
	double *logs, most = 0;

	for (size_t i = 0; i < cells; i++) {
		room += f->rows[i]->log_count;
		most = fmax(most, f->rows[i]->effect.ratio);
	}
	logs = rh_scratch(room + 1, sizeof(*logs));
	for (size_t i = 0; i < cells; i++)
		count_cell(f, f->rows[i], logs);
	rh_stat_sort(logs, f->pairs);
	f->ratio = f->limit.exact ? most : f->pairs ? exp(rh_stat_median(logs, f->pairs)) : NAN;
	f->p_slow = chance(f->pairs, f->above);
	f->p_fine = chance(f->pairs, f->below);
	free(logs);
}

void rh_fleet_collect(const struct rh_effects *effects, struct rh_fleet_limit limit,
		      struct rh_fleet_families *families)
{
	const struct rh_effect_row *rows = effects->rows;
	const struct rh_effect_row **sorted =
		rh_pool_alloc(families->pool, effects->count + 1, sizeof(*sorted));
	size_t n = 0;

	for (size_t i = 0; i < effects->count; i++)
		if (!rows[i].aa)
			sorted[n++] = &rows[i];
	qsort(sorted, n, sizeof(*sorted), by_family);
	for (size_t first = 0, end; first < n; first = end) {
		struct rh_fleet_family *f =
			rh_pool_grow(families->pool, &families->list, &families->count, sizeof(*f));
		const struct rh_effect_row *row = sorted[first];

		*f = (struct rh_fleet_family){ .family = row->family,
					       .label = row->label,
					       .machine = row->machine,
					       .metric = row->metric,
					       .limit = limit,
					       .rows = sorted + first };
		for (end = first; end < n && same_family(f, sorted[end]); end++)
			;
		fill_family(f, end - first);
	}
}

/* ---- verdicts ---- */

struct candidate {
	const struct rh_effect_row *row;
	double p;
};

static int by_p(const void *a, const void *b)
{
	double x = ((const struct candidate *)a)->p, y = ((const struct candidate *)b)->p;

	return (x > y) - (x < y);
}

static double cell_p(const struct rh_fleet_family *f, const struct rh_effect_row *row)
{
	size_t above = 0;

	if (f->limit.exact)
		return row->effect.ratio > 1 + f->limit.share ? 0 : 1;
	if (is_nothing(f, row))
		return 1;
	for (size_t i = 0; i < row->log_count; i++)
		above += row->logs[i] > half_bound(f->limit.share);
	return chance(row->log_count, above);
}

/* Holm within the family's own share. */
static void find_culprits(struct rh_fleet_family *f, double share, struct rh_pool *pool)
{
	struct candidate *list = rh_pool_alloc(pool, f->cells + 1, sizeof(*list));

	f->culprits = rh_pool_alloc(pool, f->cells + 1, sizeof(*f->culprits));
	for (size_t i = 0; i < f->cells; i++)
		list[i] = (struct candidate){ f->rows[i], cell_p(f, f->rows[i]) };
	qsort(list, f->cells, sizeof(*list), by_p);
	for (size_t i = 0; i < f->cells && list[i].p <= share / (double)(f->cells - i); i++)
		f->culprits[f->culprit_count++] = list[i].row;
}

void rh_fleet_decide(const struct rh_fleet_families *families, double alpha)
{
	struct rh_fleet_family *list = families->list;
	size_t count = families->count;
	double share = count ? alpha / (double)count : alpha;

	assert(alpha > 0 && alpha < 1);
	for (size_t i = 0; i < count; i++) {
		struct rh_fleet_family *f = &list[i];

		f->need = (size_t)ceil(log2(1 / share));
		if (f->limit.exact)
			f->verdict = f->ratio > 1 + f->limit.share ? RH_GATE_FAIL : RH_GATE_PASS;
		else if (f->p_slow <= share)
			f->verdict = RH_GATE_FAIL;
		else
			f->verdict = f->p_fine <= 0.05 ? RH_GATE_PASS : RH_GATE_INCONCLUSIVE;
		if (f->verdict == RH_GATE_FAIL)
			find_culprits(f, share, families->pool);
	}
}

/* ---- a matrix ---- */

static int collect_metric(struct rh_store *store, const char *name, struct rh_fleet_limit limit,
			  struct rh_fleet_families *families, struct rh_err *err)
{
	struct rh_effects effects;

	if (rh_store_effects(store, &(struct rh_effect_query){ .metric = name }, &effects,
			     families->pool, err) < 0)
		return -1;
	rh_fleet_collect(&effects, limit, families);
	return 0;
}

static const char *name_of(int metric)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if ((int)known[i].metric == metric)
			return known[i].name;
	return NULL;
}

/* Slack of faults is a number of faults, and a matrix has them per event. */
static double slack_of(int metric)
{
	return strcmp(rh_gate_metric_rows[metric].unit, "bytes") == 0
		       ? rh_gate_metric_rows[metric].slack
		       : 0;
}

static int collect(struct rh_store *store, const struct rh_gate_config *config, FILE *to,
		   struct rh_fleet_families *families, struct rh_err *err)
{
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const char *name = name_of(m);

		if (!config->metric_gates[m])
			continue;
		if (!name)
			rh_print(to, "%s: absent, because a matrix does not measure it\n",
				 rh_gate_metric_rows[m].name);
		else if (collect_metric(store, name,
					(struct rh_fleet_limit){ config->metric_threshold[m],
								 slack_of(m), false },
					families, err) < 0)
			return -1;
	}
	if (collect_metric(store, "counters.ir_per_event",
			   (struct rh_fleet_limit){ config->counts_threshold, 0, true }, families,
			   err) < 0)
		return -1;
	return families->count ? 0
			       : rh_fail(err, RH_NO_BASELINE,
					 "no cell of the matrix has a metric of the policy");
}

static void print_family(const struct rh_fleet_family *f, FILE *to)
{
	const char *word = f->verdict == RH_GATE_FAIL ? "FAIL" : "inconclusive";

	rh_print(to, "%s %s, %s, %s, class %s: %.3f over %zu cells", word, f->family, f->label,
		 f->metric, f->machine, f->ratio, f->cells);
	if (f->limit.exact)
		rh_print(to, ", limit %.1f %%\n", 100 * f->limit.share);
	else
		rh_print(to, ", %zu of %zu repetitions above half of %.1f %% (p = %.2g%s)\n",
			 f->above, f->pairs, 100 * f->limit.share, f->p_slow,
			 f->pairs < f->need && f->verdict != RH_GATE_FAIL ? "; too few to fail"
									  : "");
	for (size_t i = 0; i < f->culprit_count && i < 5; i++)
		rh_print(to, "  %s, %s lanes x %s: %.3f\n", f->culprits[i]->trace,
			 f->culprits[i]->lanes, f->culprits[i]->copies,
			 f->culprits[i]->effect.ratio);
}

static enum rh_exit judge(const struct rh_gate_config *config, size_t failed, size_t open)
{
	if (failed || (open && config->inconclusive_fails))
		return RH_FAILED;
	return open && !config->inconclusive_passes ? RH_INCONCLUSIVE : RH_OK;
}

static void print_sum(const struct rh_fleet_family *list, size_t count, enum rh_exit code,
		      const struct rh_store_sum *sum, FILE *to)
{
	const struct rh_fleet_family *worst = &list[0];
	size_t by[RH_GATE_INVALID + 1] = { 0 };
	enum rh_gate_verdict verdict;

	for (size_t i = 0; i < count; i++) {
		by[list[i].verdict]++;
		if (!(list[i].ratio <= worst->ratio))
			worst = &list[i];
	}
	if (sum->done < sum->cells)
		rh_print(to, "%zu of %zu cells have a result that counts\n", sum->done, sum->cells);
	rh_print(to,
		 "%zu families by backend, class and metric: %zu pass, %zu fail, %zu inconclusive; "
		 "false alarms of all together %.0f %% at most\n",
		 count, by[RH_GATE_PASS], by[RH_GATE_FAIL], by[RH_GATE_INCONCLUSIVE],
		 100 * RH_FLEET_ALPHA);
	verdict = by[RH_GATE_FAIL]	     ? RH_GATE_FAIL
		  : by[RH_GATE_INCONCLUSIVE] ? RH_GATE_INCONCLUSIVE
					     : RH_GATE_PASS;
	rh_print(to, "REHEAP-GATE verdict=%s ratio=%.4f lo=nan hi=nan scenarios=%zu exit=%d\n",
		 rh_gate_verdict_name(verdict), worst->ratio, count, code);
}

int rh_fleet_gate(const char *dir, const struct rh_gate_config *config, FILE *to,
		  enum rh_exit *code, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_fleet_families families = { .pool = pool };
	struct rh_store *store = NULL;
	struct rh_store_sum sum;
	size_t failed = 0, open = 0;
	int result = rh_store_open(&store, dir, err);

	if (result == 0 && (rh_store_sum(store, &sum, pool, err) < 0 ||
			    collect(store, config, to, &families, err) < 0))
		result = -1;
	if (result == 0) {
		rh_fleet_decide(&families, RH_FLEET_ALPHA);
		for (size_t i = 0; i < families.count; i++) {
			failed += families.list[i].verdict == RH_GATE_FAIL;
			open += families.list[i].verdict == RH_GATE_INCONCLUSIVE;
			if (families.list[i].verdict != RH_GATE_PASS)
				print_family(&families.list[i], to);
		}
		*code = judge(config, failed, open);
		print_sum(families.list, families.count, *code, &sum, to);
	}
	rh_store_close(store);
	rh_pool_close(pool);
	return result;
}
