/*
 * effect.c - ratios of a cell, and how often A/A cells showed a difference (effect.h).
 */
#include "harness/matrix/effect.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const char *rh_effect_headline(const char *kind)
{
	return rh_plan_kind(kind) == RH_CELL_DETERMINISTIC ? "counters.ir_per_event"
							   : "time.ns_per_event";
}

int rh_effect_backend(const struct rh_brief *brief, const char *label)
{
	for (size_t i = 0; i < brief->backends_count; i++)
		if (strcmp(brief->backends[i].spec, label) == 0)
			return (int)i;
	return -1;
}

const struct rh_metric *rh_effect_metric(const struct rh_brief *brief, const char *label,
					 const char *metric)
{
	int backend = rh_effect_backend(brief, label);

	for (size_t i = 0; i < brief->metrics_count; i++) {
		const struct rh_metric *m = &brief->metrics[i];

		assert(m->backend < brief->backends_count);
		if ((int)m->backend == backend && strcmp(m->name, metric) == 0)
			return m;
	}
	return NULL;
}

static bool all_positive(const struct rh_metric *m)
{
	for (size_t i = 0; i < m->values_count; i++)
		if (!(m->values[i] > 0 && isfinite(m->values[i])))
			return false;
	return m->values_count > 0;
}

bool rh_effect_of(const struct rh_metric *backend, const struct rh_metric *baseline,
		  struct rh_estimate *effect)
{
	if (!backend || !baseline || !all_positive(backend) || !all_positive(baseline))
		return false;
	if (backend->source && strcmp(backend->source, "sim") == 0) {
		double ratio = backend->median / baseline->median;

		*effect =
			(struct rh_estimate){ ratio, ratio, ratio, 1, backend->values_count, true };
		return isfinite(ratio) && ratio > 0;
	}
	*effect = backend->values_count == baseline->values_count
			  ? rh_estimate_paired(backend->values, baseline->values,
					       backend->values_count)
			  : rh_estimate_apart(backend->values, backend->values_count,
					      baseline->values, baseline->values_count);
	return true;
}

bool rh_effect_claims(const struct rh_estimate *effect)
{
	enum rh_verdict verdict = rh_verdict(effect, true);

	return verdict == RH_BETTER || verdict == RH_WORSE;
}

void rh_effect_false_alarms(const char *dir, const struct rh_matrix *matrix, const bool *done,
			    struct rh_false_alarms *sum)
{
	*sum = (struct rh_false_alarms){ 0 };
	for (size_t i = 0; i < matrix->cells_count; i++) {
		const struct rh_cell *cell = &matrix->cells[i];
		const char *metric = rh_effect_headline(cell->kind);
		struct rh_brief brief;
		struct rh_estimate effect;
		struct rh_pool *pool;
		struct rh_err ignored;

		if (!cell->aa || !done[i])
			continue;
		pool = rh_pool_open();
		if (rh_brief_read(&brief, rh_folder_cell(pool, dir, cell->name), pool, &ignored) ==
			    0 &&
		    rh_effect_of(rh_effect_metric(&brief, cell->label, metric),
				 rh_effect_metric(&brief, cell->baseline_label, metric), &effect)) {
			sum->read++;
			sum->alarms += rh_effect_claims(&effect);
			sum->expected += 1 - effect.level;
		}
		rh_pool_close(pool);
	}
}
