/*
 * exports.c - metrics as CSV and as the JSON of two services that watch benchmarks over time.
 *
 * Both services want a name per series that stays the same from run to run: trace, lanes and
 * copies, backend, metric. The first takes only metrics of which less is better, because it
 * has one direction per file.
 */
#include "plots/report/exports.h"
#include "plots/figure/figure.h"
#include "alloc/base/printable.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/result/pool.h"

static void put_number(double value, FILE *to)
{
	fputc(',', to);
	if (isfinite(value))
		fprintf(to, "%.10g", value);
}

static void write_csv(const struct rh_view *view, FILE *to)
{
	fputs("result,trace,lanes,copies,backend,metric,unit,source,better,n,median,lo,hi,level,"
	      "min,"
	      "max\n",
	      to);
	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_view_metric *m = &view->metrics[i];
		const struct rh_scene *scene = &view->scenes[m->scene];
		const double numbers[] = { m->median, m->lo, m->hi, m->level, m->min, m->max };

		rh_print_csv(to, view->docs[scene->doc].name);
		fputc(',', to);
		rh_print_csv(to, scene->trace_name);
		fprintf(to, ",%u,%u,", scene->lanes, scene->copies);
		rh_print_csv(to, view->styles[m->style].spec);
		fputc(',', to);
		rh_print_csv(to, m->name);
		rh_print(to, ",%s,%s,%s,%u", m->unit, m->source, m->better, m->n);
		for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++)
			put_number(numbers[k], to);
		fputc('\n', to);
	}
}

static const char *series_name(const struct rh_view *view, const struct rh_view_metric *m)
{
	return rh_pool_printf(view->pool, "%s / %s", view->scenes[m->scene].label,
			      view->styles[m->style].spec);
}

#define SELF struct rh_smaller
RH_RECORD_TABLE(smaller, RH_FIELDS_SMALLER)
#undef SELF
#define SELF struct rh_measure
RH_RECORD_TABLE(measure, RH_FIELDS_MEASURE)
#undef SELF
#define SELF struct rh_measures
RH_RECORD_TABLE(measures, RH_FIELDS_MEASURES)
#undef SELF
#define SELF struct rh_bencher
RH_RECORD_TABLE(bencher, RH_FIELDS_BENCHER)
#undef SELF

static void write_github(const struct rh_view *view, FILE *to)
{
	struct rh_smaller *list = rh_pool_alloc(view->pool, view->metric_count, sizeof(*list));
	size_t count = 0;

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_view_metric *m = &view->metrics[i];
		bool whole = isfinite(m->lo) && isfinite(m->hi);

		if (strcmp(m->better, "lower") != 0)
			continue;
		list[count++] = (struct rh_smaller){
			.name = rh_pool_printf(view->pool, "%s / %s", series_name(view, m),
					       m->name),
			.unit = m->unit,
			.value = m->median,
			.range = whole ? rh_pool_printf(view->pool, "%.6g..%.6g", m->lo, m->hi)
				       : NULL,
			.extra = rh_pool_printf(view->pool, "n = %u, source %s", m->n, m->source),
		};
	}
	rh_records_write(&rh_smaller_type, list, count, RH_JSON_INDENTED, to);
}

/* Measures are slugs: letters, digits and dashes. */
static const char *slug(const struct rh_view *view, const char *name)
{
	char *text = rh_pool_printf(view->pool, "%s", name);

	for (char *at = text; *at; at++)
		if (*at == '.' || *at == '_')
			*at = '-';
	return text;
}

static struct rh_measures *measures_of(const struct rh_view *view, struct rh_bencher *root,
				       const char *name)
{
	struct rh_measures *made;

	for (size_t i = root->series_count; i-- > 0;)
		if (strcmp(root->series[i].name, name) == 0)
			return &root->series[i];
	made = rh_pool_grow(view->pool, &root->series, &root->series_count, sizeof(*made));
	made->name = name;
	return made;
}

static void write_bencher(const struct rh_view *view, FILE *to)
{
	struct rh_bencher root = { NULL, 0 };

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_view_metric *m = &view->metrics[i];
		struct rh_measures *at = measures_of(view, &root, series_name(view, m));
		bool whole = isfinite(m->lo) && isfinite(m->hi);

		*(struct rh_measure *)rh_pool_grow(view->pool, &at->list, &at->list_count,
						   sizeof(*at->list)) = (struct rh_measure){
			.name = slug(view, m->name),
			.value = m->median,
			.lower_value = whole ? m->lo : NAN,
			.upper_value = whole ? m->hi : NAN,
		};
	}
	rh_record_write(&rh_bencher_type, &root, RH_JSON_INDENTED, to);
}

static int put(const struct rh_view *view, void (*write)(const struct rh_view *view, FILE *to),
	       const char *dir, const char *name, struct rh_err *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);
	int result;

	write(view, to);
	fclose(to);
	result = rh_figure_put(dir, name, text, bytes, err);
	free(text);
	return result;
}

int rh_exports_write(const struct rh_view *view, const char *dir, struct rh_err *err)
{
	if (put(view, write_csv, dir, "results.csv", err) < 0 ||
	    put(view, write_github, dir, "github-benchmark.json", err) < 0 ||
	    put(view, write_bencher, dir, "bencher.json", err) < 0)
		return -1;
	return rh_exports_folded(view, dir, err);
}
