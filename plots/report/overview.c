/*
 * overview.c - gathers the contents of a matrix's page, and writes it (overview.h).
 *
 *	1  effects of three metrics, planted cells among them, from the store
 *	2  grids, outliers, changes since (harness/matrix/analysis.h)
 *	3  the reports of outliers, then the page, then matrix.csv
 */
#include "plots/report/overview.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "alloc/base/progress.h"
#include "harness/matrix/effect.h"
#include "plots/report/overview_page.h"
#include "plots/report/report.h"
#include "harness/result/pool.h"

static const struct {
	const char *name, *title;
} shown[RH_OVERVIEW_METRICS] = {
	{ "time.ns_per_event", "Time, relative to the baseline" },
	{ "memory.rss_peak_bytes", "Peak memory, relative to the baseline" },
	{ "counters.ir_per_event", "Instructions (simulated), relative to the baseline" },
};

/* ---- gathering ---- */

static void count_alarms(struct rh_overview_page *page, const struct rh_overview_metric *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct rh_effect_row *row = &m->rows[i];

		if (!row->aa || strcmp(row->metric, rh_effect_headline(row->kind)) != 0)
			continue;
		page->planted++;
		page->alarms += rh_effect_claims(&row->effect);
		page->alarms_expected += 1 - row->effect.level;
	}
}

static int gather_metric(const struct rh_overview *o, struct rh_overview_page *page, int which,
			 struct rh_err *err)
{
	struct rh_overview_metric *m = &page->metrics[which];
	struct rh_effects all, before, others = { 0 };

	m->name = shown[which].name;
	m->title = shown[which].title;
	if (rh_store_effects(o->store, &(struct rh_effect_query){ m->name, .planted = true }, &all,
			     page->pool, err) < 0)
		return -1;
	m->rows = all.rows;
	m->count = all.count;
	count_alarms(page, m);
	others.rows = rh_pool_alloc(page->pool, m->count + 1, sizeof(*others.rows));
	for (size_t i = 0; i < m->count; i++)
		if (!m->rows[i].aa)
			others.rows[others.count++] = m->rows[i];
	rh_grid_make(others.rows, others.count, &m->grid, page->pool);
	m->outlier_count =
		rh_outliers(others.rows, others.count, &m->outliers, RH_OUTLIERS_SHOWN, page->pool);
	if (!o->since)
		return 0;
	if (rh_store_effects(o->since, &(struct rh_effect_query){ .metric = m->name }, &before,
			     page->pool, err) < 0)
		return -1;
	m->since_count = rh_since(&before, &others, &m->since, page->pool);
	return 0;
}

static int gather(const struct rh_overview *o, struct rh_overview_page *page, struct rh_err *err)
{
	*page = (struct rh_overview_page){ .pool = rh_pool_open() };
	if (rh_store_sum(o->store, &page->sum, page->pool, err) < 0)
		return -1;
	for (int i = 0; i < RH_OVERVIEW_METRICS; i++)
		if (gather_metric(o, page, i, err) < 0)
			return -1;
	return 0;
}

/* ---- the page ---- */

static void write_sum(const struct rh_overview_page *page, FILE *to)
{
	const struct rh_store_sum *s = &page->sum;

	fprintf(to, "<section id=\"sum\">\n<p>%zu cells: %zu done", s->cells, s->done);
	if (s->missing)
		fprintf(to, ", %zu missing", s->missing);
	if (s->absent)
		fprintf(to, ", %zu absent (a backend is not on the machine)", s->absent);
	if (s->failed)
		fprintf(to, ", <span class=\"worse\">%zu failed</span>", s->failed);
	if (s->damaged)
		fprintf(to, ", <span class=\"worse\">%zu results cannot be read</span>",
			s->damaged);
	fputs(". Each compares a backend with the baseline that ran beside it.</p>\n", to);
	if (page->planted)
		fprintf(to,
			"<p>False alarms: %zu of %zu planted A/A cells claim a difference; %.1f "
			"would be chance.</p>\n",
			page->alarms, page->planted, page->alarms_expected);
	else
		fputs("<p>False alarms are not known, because no planted cell is done.</p>\n", to);
	fputs("</section>\n", to);
}

static int write_page(const struct rh_overview *o, const struct rh_overview_page *page,
		      const char *plots_dir, FILE *to, struct rh_err *err)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<link rel=\"icon\" href=\"data:,\">\n<title>reheap matrix: ",
	      to);
	rh_escape_xml(o->dir, to);
	fputs("</title>\n", to);
	if (rh_report_style(plots_dir, to, err) < 0)
		return -1;
	fputs("</head>\n<body>\n<main>\n<h1>A matrix of allocators</h1>\n<nav><a href=\"#heat\">"
	      "Families by backends</a> <a href=\"#pareto\">Time and memory</a> <a href=\"#since\">"
	      "Changes</a> <a href=\"#outliers\">Outliers</a></nav>\n",
	      to);
	write_sum(page, to);
	fputs("<section id=\"heat\">\n<h2>Families by backends</h2>\n<p>Below 1 is better. Darker: "
	      "further from 1, where the interval says so; ?: the interval allows both; &#x2260;: "
	      "classes of machines contradict each other.</p>\n",
	      to);
	for (int i = 0; i < RH_OVERVIEW_METRICS; i++)
		rh_overview_heat(&page->metrics[i], to);
	fputs("</section>\n<section id=\"pareto\">\n<h2>Time and memory</h2>\n", to);
	rh_overview_pareto_figure(page, to);
	fputs("</section>\n<section id=\"since\">\n<h2>Changes since an earlier matrix</h2>\n", to);
	if (o->since)
		rh_overview_since_table(page, to);
	else
		fputs("<p class=\"absent\">Absent, because no earlier matrix was named "
		      "(--since DIR).</p>\n",
		      to);
	fputs("</section>\n<section id=\"outliers\">\n<h2>Outliers</h2>\n", to);
	rh_overview_outlier_table(page, to);
	fputs("</section>\n<p class=\"files\">Every number: <a "
	      "href=\"matrix.csv\">matrix.csv</a>, and "
	      "matrix.sqlite in the folder of the matrix.</p>\n</main>\n</body>\n</html>\n",
	      to);
	return 0;
}

static int write_outliers(const struct rh_overview *o, const struct rh_overview_page *page,
			  const char *dir, struct rh_err *err)
{
	const struct rh_overview_metric *m = &page->metrics[0];

	for (size_t i = 0; i < m->outlier_count; i++) {
		const char *name = m->outliers[i].row->cell;
		const char *result = rh_folder_cell(page->pool, o->dir, name);

		rh_progress("report of outlier %zu of %zu", i + 1, m->outlier_count);
		if (o->report(result, rh_pool_printf(page->pool, "%s/outlier/%s", dir, name), err) <
		    0)
			return -1;
	}
	rh_progress("%s", "");
	return 0;
}

static int put_stream(const char *dir, const char *name, char *text, size_t bytes,
		      struct rh_err *err)
{
	int result = rh_figure_put(dir, name, text, bytes, err);

	free(text);
	return result;
}

static int write_csv(const struct rh_overview *o, const char *dir, struct rh_err *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);

	if (rh_store_csv(o->store, to, err) < 0) {
		fclose(to);
		free(text);
		return -1;
	}
	fclose(to);
	return put_stream(dir, "matrix.csv", text, bytes, err);
}

int rh_overview_write(const struct rh_overview *overview, const struct rh_draw *draw,
		      struct rh_err *err)
{
	struct rh_overview_page page;
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);
	int result;

	result = gather(overview, &page, err);
	if (result == 0)
		result = write_page(overview, &page, draw->plots_dir, to, err);
	fclose(to);
	if (result == 0)
		result = write_outliers(overview, &page, draw->dir, err);
	if (result == 0)
		result = write_csv(overview, draw->dir, err);
	if (result == 0)
		result = put_stream(draw->dir, "report.html", text, bytes, err);
	else
		free(text);
	rh_pool_close(page.pool);
	return result;
}

/* ---- in words ---- */

static void print_backend(const struct rh_overview_page *page, const char *label, FILE *to)
{
	for (int i = 0; i < RH_OVERVIEW_METRICS; i++) {
		const struct rh_grid *g = &page->metrics[i].grid;
		static const char *const words[] = { "time", "peak memory", "instructions" };

		for (size_t l = 0; l < g->label_count; l++) {
			const struct rh_pooled *p = &g->all[l];

			if (strcmp(g->labels[l], label) != 0 || p->block_count == 0)
				continue;
			if (p->refused)
				rh_print(to, ", %s: not pooled, %s %.2f and %s %.2f", words[i],
					 p->blocks[p->against[0]].machine,
					 exp(p->blocks[p->against[0]].log_mean),
					 p->blocks[p->against[1]].machine,
					 exp(p->blocks[p->against[1]].log_mean));
			else
				rh_print(to, ", %s %.2f [%.2f, %.2f]", words[i], p->ratio, p->lo,
					 p->hi);
		}
	}
}

int rh_overview_print(const struct rh_overview *overview, FILE *to, struct rh_err *err)
{
	struct rh_overview_page page;
	struct rh_pareto_point *points;
	int result = gather(overview, &page, err);

	for (int i = 0; i < RH_OVERVIEW_METRICS && result == 0; i++) {
		const struct rh_grid *g = &page.metrics[i].grid;

		for (size_t l = 0; l < g->label_count; l++) {
			bool said = false;

			for (int j = 0; j < i; j++)
				for (size_t k = 0; k < page.metrics[j].grid.label_count; k++)
					said |= strcmp(page.metrics[j].grid.labels[k],
						       g->labels[l]) == 0;
			if (said)
				continue;
			rh_print(to, "%s: %zu cells", g->labels[l], g->all[l].cells);
			print_backend(&page, g->labels[l], to);
			fputc('\n', to);
		}
	}
	for (size_t i = 0, n = result == 0 ? rh_overview_pareto(&page, &points) : 0; i < n; i++)
		if (points[i].front)
			rh_print(to, "%s%s", i ? ", " : "nothing beats in both time and memory: ",
				 points[i].label);
	if (result == 0)
		rh_print(to,
			 "\n%zu cells stand apart, %zu of %zu planted cells claim a difference\n",
			 page.metrics[0].outlier_count, page.alarms, page.planted);
	rh_pool_close(page.pool);
	return result;
}

static void print_since(const struct rh_overview_metric *m, FILE *to)
{
	size_t claims = 0;

	for (size_t i = 0; i < m->since_count; i++)
		claims += m->since[i].claims;
	if (m->since_count == 0)
		return;
	rh_print(to, "%s: %zu questions are in both, %zu changed\n", m->name, m->since_count,
		 claims);
	for (size_t i = 0; i < claims && i < RH_SINCE_SHOWN; i++) {
		const struct rh_since *s = &m->since[i];

		rh_print(to, "  %+.1f %%  %s, %s lanes x %s, %s, %s: %.3f, was %.3f\n",
			 100 * (s->change - 1), s->after->trace, s->after->lanes, s->after->copies,
			 s->after->machine, s->after->label, s->after->effect.ratio,
			 s->before->effect.ratio);
	}
}

int rh_overview_print_since(const struct rh_overview *overview, FILE *to, struct rh_err *err)
{
	struct rh_overview_page page;
	int result = gather(overview, &page, err);
	size_t paired = 0;

	for (int i = 0; i < RH_OVERVIEW_METRICS && result == 0; i++) {
		print_since(&page.metrics[i], to);
		paired += page.metrics[i].since_count;
	}
	if (result == 0 && paired == 0)
		result =
			rh_fail(err, RH_NO_BASELINE,
				"%s and %s share no trace, backend and setting: nothing to compare",
				overview->since_dir, overview->dir);
	rh_pool_close(page.pool);
	return result;
}
