/*
 * overview_tables.c - heat map, Pareto front and lists of a matrix's page (overview.h).
 *
 * Everything that came from outside passes rh_escape_xml.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "plots/figure/backend_style.h"
#include "plots/report/overview_page.h"

static void cell(const char *tag, const char *text, FILE *to)
{
	fprintf(to, "<%s>", tag);
	rh_escape_xml(text, to);
	fprintf(to, "</%s>", tag);
}

/* Words stand at the left. */
static void words(const char *text, FILE *to)
{
	fputs("<td class=\"name\">", to);
	rh_escape_xml(text, to);
	fputs("</td>", to);
}

/* ---- heat ---- */

/* The shades of report.css: by how far from 1, and only where the interval claims it. Of the number
 * as it is printed, so that two that read the same look the same. */
static const char *shade_of(const struct rh_pooled *p)
{
	static const char *const shades[2][3] = { { "b1", "b2", "b3" }, { "w1", "w2", "w3" } };
	enum rh_verdict verdict = rh_pooled_verdict(p, true);
	double read = round(100 * p->ratio) / 100, off = read > 1 ? read : 1 / read;

	if (verdict != RH_BETTER && verdict != RH_WORSE)
		return verdict == RH_SAME ? "same" : "open";
	if (off < 1 + RH_SAME_SHARE)
		return "same";
	return shades[verdict == RH_WORSE][off >= 1.25 ? 2 : off >= 1.1 ? 1 : 0];
}

static void heat_cell(const struct rh_pooled *p, FILE *to)
{
	if (p->block_count == 0) {
		fputs("<td class=\"none\">-</td>", to);
		return;
	}
	if (p->refused) {
		const struct rh_block *a = &p->blocks[p->against[0]],
				      *b = &p->blocks[p->against[1]];

		fputs("<td class=\"open\" title=\"classes of machines contradict each other: ", to);
		rh_escape_xml(a->machine, to);
		fprintf(to, " %.2f, ", exp(a->log_mean));
		rh_escape_xml(b->machine, to);
		fprintf(to, " %.2f\">&#x2260;</td>", exp(b->log_mean));
		return;
	}
	fprintf(to, "<td class=\"%s\" title=\"%.3f to %.3f, %zu cells", shade_of(p), p->lo, p->hi,
		p->cells);
	if (p->block_count > 1)
		fprintf(to, ", %zu classes: %.2f to %.2f", p->block_count, p->least, p->most);
	fprintf(to, "\">%.2f%s</td>", p->ratio,
		rh_pooled_verdict(p, true) == RH_CANNOT_TELL ? "<small> ?</small>" : "");
}

void rh_overview_heat(const struct rh_overview_metric *metric, FILE *to)
{
	const struct rh_grid *g = &metric->grid;

	if (g->label_count == 0)
		return;
	fprintf(to,
		"<h3>%s</h3>\n<div class=\"wide\" tabindex=\"0\"><table "
		"class=\"heat\">\n<thead><tr>"
		"<th>family</th>",
		metric->title);
	for (size_t l = 0; l < g->label_count; l++)
		cell("th", g->labels[l], to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t f = 0; f < g->family_count; f++) {
		fputs("<tr>", to);
		cell("th", g->families[f], to);
		for (size_t l = 0; l < g->label_count; l++)
			heat_cell(&g->cells[f * g->label_count + l], to);
		fputs("</tr>\n", to);
	}
	fputs("<tr><th>all</th>", to);
	for (size_t l = 0; l < g->label_count; l++)
		heat_cell(&g->all[l], to);
	fputs("</tr>\n</tbody></table></div>\n", to);
}

/* ---- Pareto ---- */

static const struct rh_pooled *all_of(const struct rh_grid *g, const char *label)
{
	for (size_t l = 0; l < g->label_count; l++)
		if (strcmp(g->labels[l], label) == 0)
			return &g->all[l];
	return NULL;
}

size_t rh_overview_pareto(const struct rh_overview_page *page, struct rh_pareto_point **points)
{
	const struct rh_grid *time = &page->metrics[0].grid, *memory = &page->metrics[1].grid;
	size_t count = 0;

	*points = rh_pool_alloc(page->pool, time->label_count + 1, sizeof(**points));
	if (time->label_count)
		(*points)[count++] = (struct rh_pareto_point){ "baseline", 1, 1, true };
	for (size_t l = 0; l < time->label_count; l++) {
		const struct rh_pooled *m = all_of(memory, time->labels[l]);

		if (time->all[l].block_count && !time->all[l].refused && m && m->block_count &&
		    !m->refused)
			(*points)[count++] =
				(struct rh_pareto_point){ time->labels[l], time->all[l].ratio,
							  m->ratio, true };
	}
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			struct rh_pareto_point *a = &(*points)[i], *b = &(*points)[j];

			if (b->time <= a->time && b->memory <= a->memory &&
			    (b->time < a->time || b->memory < a->memory))
				a->front = false;
		}
	return count;
}

enum {
	PLOT_W = 560,
	PLOT_H = 360,
	PLOT_LEFT = 56,
	PLOT_RIGHT = 24,
	PLOT_TOP = 16,
	PLOT_BOTTOM = 44
};

struct axis {
	double lo, hi; /* of ln ratio */
};

static struct axis axis_of(const struct rh_pareto_point *points, size_t count, bool memory)
{
	struct axis axis = { -0.05, 0.05 };

	for (size_t i = 0; i < count; i++) {
		double at = log(memory ? points[i].memory : points[i].time);

		axis.lo = fmin(axis.lo, at - 0.05);
		axis.hi = fmax(axis.hi, at + 0.05);
	}
	return axis;
}

static double x_of(struct axis axis, double ratio)
{
	return PLOT_LEFT +
	       (log(ratio) - axis.lo) / (axis.hi - axis.lo) * (PLOT_W - PLOT_LEFT - PLOT_RIGHT);
}

static double y_of(struct axis axis, double ratio)
{
	return PLOT_H - PLOT_BOTTOM -
	       (log(ratio) - axis.lo) / (axis.hi - axis.lo) * (PLOT_H - PLOT_BOTTOM - PLOT_TOP);
}

static void draw_axes(struct axis x, struct axis y, FILE *to)
{
	static const double ticks[] = { 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1,  1.2,
					1.5, 2,	  3,   5,   10,	 20,   50, 100 };

	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		double at = log(ticks[i]);

		if (at >= x.lo && at <= x.hi)
			fprintf(to,
				"<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" "
				"stroke=\"currentColor\" "
				"stroke-opacity=\"%s\"/><text x=\"%.1f\" y=\"%d\" "
				"text-anchor=\"middle\">%g</text>\n",
				x_of(x, ticks[i]), x_of(x, ticks[i]), PLOT_TOP,
				PLOT_H - PLOT_BOTTOM, ticks[i] == 1 ? ".6" : ".15",
				x_of(x, ticks[i]), PLOT_H - PLOT_BOTTOM + 16, ticks[i]);
		if (at >= y.lo && at <= y.hi)
			fprintf(to,
				"<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" "
				"stroke=\"currentColor\" "
				"stroke-opacity=\"%s\"/><text x=\"%d\" y=\"%.1f\" "
				"text-anchor=\"end\">%g</text>\n",
				PLOT_LEFT, PLOT_W - PLOT_RIGHT, y_of(y, ticks[i]),
				y_of(y, ticks[i]), ticks[i] == 1 ? ".6" : ".15", PLOT_LEFT - 6,
				y_of(y, ticks[i]) + 4, ticks[i]);
	}
	fprintf(to,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">time relative to the baseline "
		"(logarithmic)</text>\n<text x=\"14\" y=\"%d\" text-anchor=\"middle\" "
		"transform=\"rotate(-90 14 %d)\">peak memory, relative (logarithmic)</text>\n",
		(PLOT_LEFT + PLOT_W - PLOT_RIGHT) / 2, PLOT_H - 8, PLOT_H / 2, PLOT_H / 2);
}

/* Its name stands above it, on the side where there is room. */
static void draw_point(const struct rh_pareto_point *p, struct axis x, struct axis y, FILE *to)
{
	struct rh_backend_style style = { .spec = p->label, .heap = p->label, .label = p->label };
	double at_x = x_of(x, p->time), at_y = y_of(y, p->memory);
	bool left = at_x > (PLOT_LEFT + PLOT_W - PLOT_RIGHT) / 2.0 + 20;
	char color[16] = "currentColor";

	rh_backend_style_set(&style, 0);
	if (style.color)
		snprintf(color, sizeof(color), "#%06x", (unsigned)style.color);
	fprintf(to,
		"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" "
		"fill-opacity=\"%s\"><title>",
		at_x, at_y, p->front ? 6 : 4, color, p->front ? "1" : ".45");
	rh_escape_xml(p->label, to);
	fprintf(to,
		": time %.3f, memory %.3f</title></circle>\n<text x=\"%.1f\" y=\"%.1f\" "
		"text-anchor=\"%s\"%s>",
		p->time, p->memory, at_x + (left ? -8 : 8), at_y - 6, left ? "end" : "start",
		p->front ? " font-weight=\"600\"" : "");
	rh_escape_xml(p->label, to);
	fputs("</text>\n", to);
}

void rh_overview_pareto_figure(const struct rh_overview_page *page, FILE *to)
{
	struct rh_pareto_point *points;
	size_t count = rh_overview_pareto(page, &points);
	struct axis x = axis_of(points, count, false), y = axis_of(points, count, true);

	if (count < 2) {
		fputs("<p class=\"absent\">No Pareto front, because no backend has both time and "
		      "memory over machines that agree.</p>\n",
		      to);
		return;
	}
	fprintf(to,
		"<figure><svg class=\"figure front\" viewBox=\"0 0 %d %d\" role=\"img\" "
		"font-size=\"12\" fill=\"currentColor\" "
		"aria-label=\"time and memory of every backend\">\n",
		PLOT_W, PLOT_H);
	draw_axes(x, y, to);
	for (size_t i = 0; i < count; i++)
		draw_point(&points[i], x, y, to);
	fputs("</svg>\n<figcaption>Geometric means over all cells, classes of machines counted "
	      "once; "
	      "down and left is better. Bold: on the front, nothing is better in both. On it: ",
	      to);
	for (size_t i = 0, said = 0; i < count; i++)
		if (points[i].front) {
			fputs(said++ ? ", " : "", to);
			rh_escape_xml(points[i].label, to);
		}
	fputs(".</figcaption></figure>\n", to);
}

/* ---- lists ---- */

#define RH_PLACE_HEADS                                                 \
	"<th class=\"name\">trace</th><th class=\"name\">backend</th>" \
	"<th class=\"name\">lanes</th><th class=\"name\">class</th>"
static void place_cells(const struct rh_effect_row *row, FILE *to)
{
	char lanes[64];

	words(rh_base_name(row->trace), to);
	words(row->label, to);
	snprintf(lanes, sizeof(lanes), "%.20s x %.20s", row->lanes, row->copies);
	words(lanes, to);
	words(row->machine, to);
}

void rh_overview_since_table(const struct rh_overview_page *page, FILE *to)
{
	size_t shown = 0, claims = 0, paired = 0;

	for (int m = 0; m < RH_OVERVIEW_METRICS; m++)
		for (size_t i = 0; i < page->metrics[m].since_count; i++) {
			claims += page->metrics[m].since[i].claims;
			paired++;
		}
	fprintf(to,
		"<p>%zu questions are in both; %zu changed by 2 %% or more beyond both "
		"intervals.</p>\n",
		paired, claims);
	if (!claims)
		return;
	fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th>change</th><th>before</th>"
	      "<th>now</th>" RH_PLACE_HEADS
	      "<th class=\"name\">metric</th></tr></thead>\n<tbody>\n",
	      to);
	for (int m = 0; m < RH_OVERVIEW_METRICS; m++)
		for (size_t i = 0; i < page->metrics[m].since_count && shown < RH_SINCE_SHOWN;
		     i++) {
			const struct rh_since *s = &page->metrics[m].since[i];

			if (!s->claims)
				break;
			fprintf(to, "<tr><td class=\"%s\">%+.1f %%</td><td>%.3f</td><td>%.3f</td>",
				s->change > 1 ? "worse" : "better", 100 * (s->change - 1),
				s->before->effect.ratio, s->after->effect.ratio);
			place_cells(s->after, to);
			words(s->after->metric, to);
			fputs("</tr>\n", to);
			shown++;
		}
	fputs("</tbody></table></div>\n", to);
}

void rh_overview_outlier_table(const struct rh_overview_page *page, FILE *to)
{
	const struct rh_overview_metric *m = &page->metrics[0];

	if (m->outlier_count == 0) {
		fputs("<p>No cell stands apart from the others of its backend and family.</p>\n",
		      to);
		return;
	}
	fputs("<p>More than five times the usual distance from the median of their backend and "
	      "family, and beyond their own interval.</p>\n<div class=\"wide\" "
	      "tabindex=\"0\"><table>"
	      "<thead><tr><th>time</th><th>usual</th><th>report</th>" RH_PLACE_HEADS
	      "</tr></thead>\n<tbody>\n",
	      to);
	for (size_t i = 0; i < m->outlier_count; i++) {
		const struct rh_far_cell *o = &m->outliers[i];

		fprintf(to,
			"<tr><td>%.2f</td><td>%.2f</td><td><a href=\"outlier/%.32s/report.html\">"
			"%.8s</a></td>",
			o->row->effect.ratio, o->usual, o->row->cell, o->row->cell);
		place_cells(o->row, to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}
