/*
 * exports.c - metrics as CSV and as the JSON of two services that watch benchmarks over time.
 *
 * Both services want a name per series that stays the same from run to run: trace, lanes and
 * copies, backend, metric. The first takes only metrics of which less is better, because it
 * has one direction per file.
 */
#include "harness/tell/exports.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"

/* RFC 4180: quoted when needed, quotes doubled. */
static void put_csv(const char *text, FILE *to)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, to);
		return;
	}
	fputc('"', to);
	for (; *text; text++)
		fputs(*text == '"' ? "\"\"" : (char[]){ *text, '\0' }, to);
	fputc('"', to);
}

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
		const struct rh_metric *m = &view->metrics[i];
		const struct rh_scene *scene = &view->scenes[m->scene];
		const double numbers[] = { m->median, m->lo, m->hi, m->level, m->min, m->max };

		put_csv(view->docs[scene->doc].name, to);
		fputc(',', to);
		put_csv(scene->trace_name, to);
		fprintf(to, ",%u,%u,", scene->lanes, scene->copies);
		put_csv(view->brands[m->brand].spec, to);
		fputc(',', to);
		put_csv(m->name, to);
		fprintf(to, ",%s,%s,%s,%u", m->unit, m->source, m->better, m->n);
		for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++)
			put_number(numbers[k], to);
		fputc('\n', to);
	}
}

static const char *series_name(const struct rh_view *view, const struct rh_metric *m)
{
	return rh_pool_printf(view->pool, "%s / %s", view->scenes[m->scene].label,
			      view->brands[m->brand].spec);
}

static json_t *github_json(const struct rh_view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_metric *m = &view->metrics[i];
		json_t *row;

		if (strcmp(m->better, "lower") != 0)
			continue;
		row = json_object();
		json_object_set_new(row, "name", json_string(rh_pool_printf(view->pool, "%s / %s",
							     series_name(view, m), m->name)));
		json_object_set_new(row, "unit", json_string(m->unit));
		json_object_set_new(row, "value", json_real(m->median));
		if (isfinite(m->lo) && isfinite(m->hi))
			json_object_set_new(row, "range",
					    json_string(rh_pool_printf(view->pool, "%.6g..%.6g",
								       m->lo, m->hi)));
		json_object_set_new(row, "extra",
				    json_string(rh_pool_printf(view->pool, "n = %u, source %s",
							       m->n, m->source)));
		json_array_append_new(list, row);
	}
	return list;
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

static json_t *bencher_json(const struct rh_view *view)
{
	json_t *root = json_object();

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_metric *m = &view->metrics[i];
		const char *series = series_name(view, m);
		json_t *measures = json_object_get(root, series), *row = json_object();

		if (!measures) {
			measures = json_object();
			json_object_set_new(root, series, measures);
		}
		json_object_set_new(row, "value", json_real(m->median));
		if (isfinite(m->lo) && isfinite(m->hi)) {
			json_object_set_new(row, "lower_value", json_real(m->lo));
			json_object_set_new(row, "upper_value", json_real(m->hi));
		}
		json_object_set_new(measures, slug(view, m->name), row);
	}
	return root;
}

int rh_exports_put(const char *dir, const char *name, const char *text, size_t bytes,
		   struct rh_err *err)
{
	struct rh_outfile out;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	if (rh_write_all(out.fd, text, bytes, path, err) < 0) {
		rh_outfile_abandon(&out);
		return -1;
	}
	return rh_outfile_commit(&out, err);
}

static int put_json(const char *dir, const char *name, json_t *root, struct rh_err *err)
{
	char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	int result;

	json_decref(root);
	if (!text)
		return rh_fail(err, RH_BUG, "%s/%s cannot be put into JSON", dir, name);
	result = rh_exports_put(dir, name, text, strlen(text), err);
	free(text);
	return result;
}

int rh_exports_write(const struct rh_view *view, const char *dir, struct rh_err *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);
	int result;

	if (!to)
		abort();
	write_csv(view, to);
	fclose(to);
	result = rh_exports_put(dir, "results.csv", text, bytes, err);
	free(text);
	if (result < 0 || put_json(dir, "github-benchmark.json", github_json(view), err) < 0)
		return -1;
	if (put_json(dir, "bencher.json", bencher_json(view), err) < 0)
		return -1;
	return rh_exports_folded(view, dir, err);
}
