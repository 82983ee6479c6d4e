/*
 * compare_print.c - a comparison as Markdown for a pull request and as JSON (as a table:
 * compare_table.c).
 *
 * Markdown shows intervals as bars of one line, because a comment takes no pictures. Names
 * are data: in Markdown the characters that would start markup are escaped.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report/compare_parts.h"
#include "plots/figure/figure.h"
#include "alloc/base/printable.h"
#include "harness/result/pool.h"

enum { BAR_CELLS = 21, MD_BYTES_MAX = 60000 };

void rh_compare_value(char *text, size_t bytes, const struct rh_view_metric *m)
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

void rh_compare_change(char *text, size_t bytes, const struct rh_estimate *e)
{
	if (!isfinite(e->ratio))
		snprintf(text, bytes, "-");
	else
		snprintf(text, bytes, "%.3f [%.3f, %.3f]", e->ratio, e->lo, e->hi);
}

static void print_remarks(const struct rh_compare *compare, const char *before, FILE *to)
{
	for (size_t i = 0; i < compare->remark_count; i++)
		rh_print(to, "%s%s\n", before, compare->remarks[i]);
}

/* ---- Markdown ---- */

static void put_md(const char *text, FILE *to)
{
	char shown[1024];

	rh_printable(shown, sizeof(shown), text);
	for (const char *c = shown; *c; c++) {
		if (strchr("\\`*_{}[]<>()#+!|&@~", *c))
			fputc('\\', to);
		fputc(*c, to);
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
	const struct rh_compare_row **ordered =
		rh_scratch(compare->row_count + 1, sizeof(*ordered));
	FILE *out = rh_memory_text(&text, &bytes);

	rh_compare_order(compare, ordered);
	print_remarks(compare, "> ", out);
	if (compare->remark_count)
		fputc('\n', out);
	fputs("| metric | trace | backend | before | after | ratio | -20 % … +20 % | verdict |\n"
	      "|---|---|---|---:|---:|---:|---|---|\n",
	      out);
	for (; rows < compare->row_count; rows++) {
		const struct rh_compare_row *row = ordered[rows];
		char a[64], b[64], change[80];

		fflush(out);
		if (bytes > MD_BYTES_MAX)
			break;
		rh_compare_value(a, sizeof(a), row->a);
		rh_compare_value(b, sizeof(b), row->b);
		rh_compare_change(change, sizeof(change), &row->change);
		rh_print(out, "| %s | ", row->a->name);
		put_md(view->scenes[row->a->scene].trace_name, out);
		fprintf(out, ", %u | ", view->scenes[row->a->scene].lanes);
		put_md(view->styles[row->b->style].spec, out);
		rh_print(out, " | %s | %s | %s | ", a, b, change);
		put_bar(&row->change, out);
		rh_print(out, " | %s |\n", rh_compare_word(row));
	}
	if (rows < compare->row_count)
		fprintf(out, "\n%zu more rows are left out: a comment holds 64 kB.\n",
			compare->row_count - rows);
	free(ordered);
	fclose(out);
	fwrite(text, 1, bytes, to);
	free(text);
}

/* ---- JSON ---- */

#define SELF struct rh_compared
RH_RECORD_TABLE(compared, RH_FIELDS_COMPARED)
#undef SELF
#define SELF struct rh_comparison
RH_RECORD_TABLE(comparison, RH_FIELDS_COMPARISON)
#undef SELF

static struct rh_compared compared_of(const struct rh_view *view, const struct rh_compare_row *row)
{
	const struct rh_scene *scene = &view->scenes[row->a->scene];

	return (struct rh_compared){
		.trace = scene->trace_name,
		.lanes = scene->lanes,
		.copies = scene->copies,
		.backend = view->styles[row->b->style].spec,
		.metric = row->a->name,
		.unit = row->a->unit,
		.with = view->docs[row->doc].path,
		.before = row->a->median,
		.after = row->b->median,
		.ratio = row->change.ratio,
		.lo = row->change.lo,
		.hi = row->change.hi,
		.level = row->change.level,
		.verdict = rh_compare_word(row),
	};
}

static void print_json(const struct rh_view *view, const struct rh_compare *compare, FILE *to)
{
	struct rh_comparison document = {
		.schema = "reheap.compare/1",
		.comparable = compare->breaks == 0,
		.remarks = compare->remarks,
		.remarks_count = compare->remark_count,
		.rows = rh_pool_alloc(view->pool, compare->row_count, sizeof(*document.rows)),
		.rows_count = compare->row_count,
	};

	for (size_t i = 0; i < compare->row_count; i++)
		document.rows[i] = compared_of(view, &compare->rows[i]);
	rh_record_write(&rh_comparison_type, &document, RH_JSON_INDENTED, to);
}

void rh_compare_print(const struct rh_view *view, const struct rh_compare *compare,
		      enum rh_compare_form form, bool all, FILE *to)
{
	switch (form) {
	case RH_COMPARE_TABLE:
		rh_compare_table(view, compare, all, to);
		break;
	case RH_COMPARE_MD:
		print_md(view, compare, to);
		break;
	case RH_COMPARE_JSON:
		print_json(view, compare, to);
		break;
	}
}
