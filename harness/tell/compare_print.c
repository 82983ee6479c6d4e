/*
 * compare_print.c - a comparison as an aligned table, as Markdown for a pull request, as JSON.
 *
 * Markdown shows intervals as bars of one line, because a comment takes no pictures. Names
 * are data: in Markdown the characters that would start markup are escaped.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/tell/compare.h"
#include "harness/tell/figure.h"

enum { BAR_CELLS = 21, MD_BYTES_MAX = 60000 };

static void format_value(char *text, size_t bytes, const struct rh_metric *m)
{
	char number[40];

	if (strcmp(m->unit, "bytes") == 0) {
		rh_format_bytes(text, bytes, m->median);
		return;
	}
	rh_format_number(number, sizeof(number), m->median);
	snprintf(text, bytes, "%s%s%.12s", number, m->unit[0] ? " " : "",
		 strcmp(m->unit, "ratio") == 0 ? "" : m->unit);
	if (strcmp(m->unit, "ratio") == 0)
		snprintf(text, bytes, "%s", number);
}

static void format_change(char *text, size_t bytes, const struct rh_estimate *e)
{
	if (!isfinite(e->ratio))
		snprintf(text, bytes, "-");
	else
		snprintf(text, bytes, "%.3f [%.3f, %.3f]", e->ratio, e->lo, e->hi);
}

/* ---- table ---- */

static void print_remarks(const struct rh_compare *compare, const char *before, FILE *to)
{
	for (size_t i = 0; i < compare->remark_count; i++)
		fprintf(to, "%s%s\n", before, compare->remarks[i]);
}

static void print_table(const struct rh_view *view, const struct rh_compare *compare, FILE *to)
{
	size_t scene = SIZE_MAX, doc = 0;
	int width = 7, metric = 6;

	for (size_t i = 0; i < compare->row_count; i++) {
		int spec = (int)strlen(view->brands[compare->rows[i].a->brand].label);
		int name = (int)strlen(compare->rows[i].a->name);

		width = spec > width ? spec : width;
		metric = name > metric ? name : metric;
	}
	for (size_t i = 0; i < compare->row_count; i++) {
		const struct rh_compare_row *row = &compare->rows[i];
		char a[64], b[64], change[80];

		if (row->a->scene != scene || row->doc != doc) {
			scene = row->a->scene;
			doc = row->doc;
			fprintf(to, "%s%s, %u lane%s: %s -> %s\n", i ? "\n" : "",
				view->scenes[scene].trace_name, view->scenes[scene].lanes,
				view->scenes[scene].lanes == 1 ? "" : "s", view->docs[0].name,
				view->docs[doc].name);
			fprintf(to, "%-*s  %-*s %14s %14s  %-22s verdict\n", width, "backend",
				metric, "metric", "before", "after", "ratio");
		}
		format_value(a, sizeof(a), row->a);
		format_value(b, sizeof(b), row->b);
		format_change(change, sizeof(change), &row->change);
		fprintf(to, "%-*s  %-*s %14s %14s  %-22s %s\n", width,
			view->brands[row->a->brand].label, metric, row->a->name, a, b, change,
			rh_compare_word(row));
	}
}

/* ---- Markdown ---- */

static void put_md(const char *text, FILE *to)
{
	for (; *text; text++) {
		if (strchr("\\`*_{}[]<>()#+-.!|&@~", *text) && *text != '.' && *text != '-')
			fputc('\\', to);
		fputc((unsigned char)*text < 0x20 ? ' ' : *text, to);
	}
}

/* ├ one cell for each 2 % around 1, from -20 % to +20 %; what lies beyond sticks to the end. */
static void put_bar(const struct rh_estimate *e, FILE *to)
{
	int at[3];
	const double values[3] = { e->lo, e->ratio, e->hi };

	if (!isfinite(e->lo) || !isfinite(e->hi))
		return;
	for (int i = 0; i < 3; i++) {
		double cell = BAR_CELLS / 2 + (values[i] - 1) / 0.02;

		at[i] = (int)lround(fmin(BAR_CELLS - 1, fmax(0, cell)));
	}
	fputc('`', to);
	for (int i = 0; i < BAR_CELLS; i++)
		fputs(i == at[1]		? "●"
		      : i == BAR_CELLS / 2	? "┼"
		      : i == at[0] && i < at[1] ? "├"
		      : i == at[2] && i > at[1] ? "┤"
		      : i > at[0] && i < at[2]	? "─"
						: "·",
		      to);
	fputc('`', to);
}

static void print_md(const struct rh_view *view, const struct rh_compare *compare, FILE *to)
{
	char *text = NULL;
	size_t bytes = 0, rows = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		abort();
	print_remarks(compare, "> ", out);
	if (compare->remark_count)
		fputc('\n', out);
	fputs("| trace | backend | metric | before | after | ratio | -20 % … +20 % | verdict |\n"
	      "|---|---|---|---:|---:|---:|---|---|\n", out);
	for (; rows < compare->row_count; rows++) {
		const struct rh_compare_row *row = &compare->rows[rows];
		char a[64], b[64], change[80];

		fflush(out);
		if (bytes > MD_BYTES_MAX)
			break;
		format_value(a, sizeof(a), row->a);
		format_value(b, sizeof(b), row->b);
		format_change(change, sizeof(change), &row->change);
		fputs("| ", out);
		put_md(view->scenes[row->a->scene].trace_name, out);
		fprintf(out, ", %u | ", view->scenes[row->a->scene].lanes);
		put_md(view->brands[row->a->brand].spec, out);
		fprintf(out, " | %s | %s | %s | %s | ", row->a->name, a, b, change);
		put_bar(&row->change, out);
		fprintf(out, " | %s |\n", rh_compare_word(row));
	}
	if (rows < compare->row_count)
		fprintf(out, "\n%zu more rows are left out: a comment holds 64 kB.\n",
			compare->row_count - rows);
	fclose(out);
	fputs(text, to);
	free(text);
}

/* ---- JSON ---- */

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const struct rh_view *view, const struct rh_compare_row *row)
{
	const struct rh_scene *scene = &view->scenes[row->a->scene];
	json_t *object = json_object();

	json_object_set_new(object, "trace", json_string(scene->trace_name));
	json_object_set_new(object, "lanes", json_integer(scene->lanes));
	json_object_set_new(object, "copies", json_integer(scene->copies));
	json_object_set_new(object, "backend", json_string(view->brands[row->a->brand].spec));
	json_object_set_new(object, "metric", json_string(row->a->name));
	json_object_set_new(object, "unit", json_string(row->a->unit));
	json_object_set_new(object, "with", json_string(view->docs[row->doc].path));
	json_object_set_new(object, "before", number_or_null(row->a->median));
	json_object_set_new(object, "after", number_or_null(row->b->median));
	json_object_set_new(object, "ratio", number_or_null(row->change.ratio));
	json_object_set_new(object, "lo", number_or_null(row->change.lo));
	json_object_set_new(object, "hi", number_or_null(row->change.hi));
	json_object_set_new(object, "level", number_or_null(row->change.level));
	json_object_set_new(object, "verdict", json_string(rh_compare_word(row)));
	return object;
}

static void print_json(const struct rh_view *view, const struct rh_compare *compare, FILE *to)
{
	json_t *root = json_object(), *rows = json_array(), *remarks = json_array();

	for (size_t i = 0; i < compare->remark_count; i++)
		json_array_append_new(remarks, json_string(compare->remarks[i]));
	for (size_t i = 0; i < compare->row_count; i++)
		json_array_append_new(rows, row_json(view, &compare->rows[i]));
	json_object_set_new(root, "schema", json_string("reheap.compare/1"));
	json_object_set_new(root, "comparable", json_boolean(compare->breaks == 0));
	json_object_set_new(root, "remarks", remarks);
	json_object_set_new(root, "rows", rows);
	json_dumpf(root, to, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	fputc('\n', to);
	json_decref(root);
}

void rh_compare_print(const struct rh_view *view, const struct rh_compare *compare,
		      enum rh_compare_form form, FILE *to)
{
	switch (form) {
	case RH_COMPARE_TABLE:
		print_table(view, compare, to);
		break;
	case RH_COMPARE_MD:
		print_md(view, compare, to);
		break;
	case RH_COMPARE_JSON:
		print_json(view, compare, to);
		break;
	}
}
