/*
 * figure_svg.c - draws a figure without gnuplot: the same places, ranges and looks, fewer
 * refinements. It ensures that a report always has pictures.
 *
 * Each panel is a box with a linear or logarithmic scale on either side; rows have names
 * instead of a y scale. Lines are steps in run figures (a value holds until the next
 * segment ends) and straight elsewhere.
 */
#include <math.h>
#include <string.h>

#include "plots/figure/figure.h"

struct axis {
	double min, max; /* data */
	double from, to; /* pixels */
	bool log;
};

struct pen {
	const struct rh_view *view;
	const struct rh_figure *figure;
	FILE *to;
	struct axis x, y;
};

/* Where a value lies; may be outside the panel, whose clip path then hides it. */
static double place(const struct axis *axis, double value)
{
	double share;

	if (axis->log)
		share = log(value / axis->min) / log(axis->max / axis->min);
	else
		share = (value - axis->min) / (axis->max - axis->min);
	share = fmin(8, fmax(-8, share));
	return axis->from + share * (axis->to - axis->from);
}

void rh_format_tick(char *text, size_t bytes, double value)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	int unit = 0;

	while (fabs(value) >= 1000 && unit < 4) {
		value /= 1000;
		unit++;
	}
	if (fabs(value) < 1e-12)
		snprintf(text, bytes, "0");
	else if (fabs(value) < 1e-4) /* %g would turn to exponents here */
		snprintf(text, bytes, "%.*f", (int)ceil(-log10(fabs(value)) - 1e-9), value);
	else
		snprintf(text, bytes, "%.4g%s", value, units[unit]);
}

/* Where a text stands and how it looks. */
struct label {
	double x, y;
	const char *anchor; /* start, middle, end */
	int size;
	const char *class;
};

static void put_text(FILE *to, const struct label *at, const char *text)
{
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" class=\"%s\">",
		at->x, at->y, at->anchor, at->size, at->class);
	rh_escape_xml(text, to);
	fputs("</text>\n", to);
}

struct stroke {
	double x1, y1, x2, y2;
};

static void put_line(FILE *to, struct stroke s, const char *class)
{
	fprintf(to, "<path class=\"%s\" d=\"M%.1f,%.1f L%.1f,%.1f\"/>\n", class, s.x1, s.y1, s.x2,
		s.y2);
}

static void put_tick(const struct pen *pen, bool along_x, double value, const char *name)
{
	char text[32];
	double at = place(along_x ? &pen->x : &pen->y, value);

	if (name)
		snprintf(text, sizeof(text), "%s", name);
	else
		rh_format_tick(text, sizeof(text), value);
	if (along_x) {
		put_line(pen->to, (struct stroke){ at, pen->y.from, at, pen->y.to }, "grid");
		put_text(pen->to,
			 &(struct label){ at, fmax(pen->y.from, pen->y.to) + 15, "middle", 11,
					  "ink" },
			 text);
	} else {
		put_line(pen->to, (struct stroke){ pen->x.from, at, pen->x.to, at }, "grid");
		put_text(pen->to, &(struct label){ pen->x.from - 6, at + 4, "end", 11, "ink" },
			 text);
	}
}

static void put_ticks(const struct pen *pen, bool along_x)
{
	const struct axis *axis = along_x ? &pen->x : &pen->y;

	if (axis->log && along_x && pen->figure->tick_count) {
		for (size_t i = 0; i < pen->figure->tick_count; i++)
			if (pen->figure->ticks[i] <= axis->max)
				put_tick(pen, along_x, pen->figure->ticks[i],
					 pen->figure->tick_names[i]);
	} else if (axis->log && axis->min > 0 && isfinite(axis->max)) {
		int first = (int)ceil(log10(axis->min));

		for (int i = first; i < first + 20 && pow(10, i) <= axis->max; i++)
			put_tick(pen, along_x, pow(10, i), NULL);
	} else if (!axis->log) {
		double step = rh_tick_step(axis->max - axis->min, 4);
		double first = ceil(axis->min / step);

		for (int i = 0; i < 40 && (first + i) * step <= axis->max; i++)
			put_tick(pen, along_x, (first + i) * step, NULL);
	}
}

static void put_color(const struct pen *pen, const struct rh_series *series)
{
	uint32_t color = series->style >= 0 ? pen->view->styles[series->style].color : 0x808080;

	if (color == 0)
		fputs("currentColor", pen->to);
	else
		fprintf(pen->to, "#%06x", color);
}

/* The dash pattern of gnuplot's type, roughly. */
static const char *dash_of(const struct pen *pen, const struct rh_series *series)
{
	static const char *const dashes[] = { "", "6,3", "2,3", "8,3,2,3", "4,2,1,2" };
	int dash = 2;

	if (series->style >= 0)
		dash = rh_series_dash(&pen->view->styles[series->style], series);

	return dashes[(dash - 1) % 5];
}

/* tip: the text under the pointer; NULL = none. */
static void put_mark(const struct pen *pen, const struct rh_series *series, double x, double y,
		     const char *tip)
{
	static const char *const shapes[] = {
		"m-4,-4h8v8h-8z",	 "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
		"m0,-5l5,8h-10z",	 "m0,5l5,-8h-10z",
		"m0,-5l5,5l-5,5l-5,-5z", "m0,-5l5,3.5l-2,6h-6l-2,-6z",
	};
	int mark = 0;

	if (!isfinite(x) || !isfinite(y))
		return;
	if (series->style >= 0)
		mark = (rh_series_mark(&pen->view->styles[series->style], series) - 5) / 2;
	fputs("<path fill=\"", pen->to);
	put_color(pen, series);
	fprintf(pen->to, "\" d=\"M%.1f,%.1f%s\"", x, y, shapes[mark % 6]);
	if (tip) {
		fputs("><title>", pen->to);
		rh_escape_xml(tip, pen->to);
		fputs("</title></path>\n", pen->to);
	} else {
		fputs("/>\n", pen->to);
	}
}

static void put_whisker(const struct pen *pen, const struct rh_series *series, struct stroke s)
{
	if (!isfinite(s.x1) || !isfinite(s.x2) || !isfinite(s.y1) || !isfinite(s.y2))
		return;
	fputs("<path fill=\"none\" stroke-width=\"1.4\" stroke=\"", pen->to);
	put_color(pen, series);
	if (s.y1 == s.y2)
		fprintf(pen->to, "\" d=\"M%.1f,%.1fv8m0,-4H%.1fm0,-4v8\"/>\n", s.x1, s.y1 - 4,
			s.x2);
	else
		fprintf(pen->to, "\" d=\"M%.1f,%.1fh8m-4,0V%.1fm-4,0h8\"/>\n", s.x1 - 4, s.y1,
			s.y2);
}

static void put_points(const struct pen *pen, const struct rh_series *series)
{
	for (size_t i = 0; i < series->point_count; i++) {
		const struct rh_figure_point *point = &series->points[i];
		double scale = pen->figure->scale;
		bool rows = pen->figure->layout == RH_ROWS;
		char tip[512];
		double sx = rows ? scale : 1, sy = rows ? 1 : scale;
		double x = place(&pen->x, point->x / sx), y = place(&pen->y, point->y / sy);

		if (isfinite(point->x_lo))
			put_whisker(pen, series,
				    (struct stroke){ place(&pen->x, point->x_lo / sx), y,
						     place(&pen->x, point->x_hi / sx), y });
		if (isfinite(point->y_lo))
			put_whisker(pen, series,
				    (struct stroke){ x, place(&pen->y, point->y_lo / sy), x,
						     place(&pen->y, point->y_hi / sy) });
		put_mark(pen, series, x, y,
			 rh_figure_hover(pen->figure, series, i, tip, sizeof(tip)) ? tip : NULL);
	}
}

/* A line through the points: steps (a value holds up to its x) or straight. */
static void put_path(const struct pen *pen, const struct rh_series *series, double scale)
{
	bool steps = pen->figure->layout == RH_RUN, filled = steps && series->style < 0;
	double x = 0, y = 0;

	fputs("<path stroke-width=\"1.5\" ", pen->to);
	fputs(filled ? "stroke=\"none\" fill-opacity=\"0.28\" fill=\"" : "fill=\"none\" stroke=\"",
	      pen->to);
	put_color(pen, series);
	fprintf(pen->to, "\" stroke-dasharray=\"%s\" d=\"", dash_of(pen, series));
	for (size_t i = 0; i < series->point_count; i++) {
		x = place(&pen->x, series->points[i].x);
		y = place(&pen->y, series->points[i].y / scale);
		if (i == 0 && filled)
			fprintf(pen->to, "M%.1f,%.1fL%.1f,%.1f", x, pen->y.from, x, y);
		else if (i == 0)
			fprintf(pen->to, "M%.1f,%.1f", x, y);
		else if (steps && !filled)
			fprintf(pen->to, "V%.1fH%.1f", y, x);
		else
			fprintf(pen->to, "L%.1f,%.1f", x, y);
	}
	if (filled && series->point_count)
		fprintf(pen->to, "V%.1fZ", pen->y.from);
	fputs("\"/>\n", pen->to);
}

/* Boxes of a heat map: the colour is the backend's, how much of it says how many. */
static void put_cells(const struct pen *pen, const struct rh_series *series)
{
	for (size_t i = 0; i < series->point_count; i++) {
		const struct rh_figure_point *point = &series->points[i];
		double x = place(&pen->x, point->x_lo), y = place(&pen->y, point->y_hi);

		fputs("<path fill=\"", pen->to);
		put_color(pen, series);
		fprintf(pen->to, "\" fill-opacity=\"%.2f\" d=\"M%.1f,%.1fH%.1fV%.1fH%.1fz\"/>\n",
			(double)point->n / RH_HEAT_LEVELS, x, y, place(&pen->x, point->x_hi),
			place(&pen->y, point->y_lo), x);
	}
}

static void put_key(const struct pen *pen, const struct rh_panel *panel)
{
	const struct rh_figure *figure = pen->figure;
	size_t count = panel->last - panel->first;
	size_t columns = (count + figure->key_rows - 1) / figure->key_rows;
	double width = (figure->width - figure->left - figure->right) / (double)columns;

	for (size_t i = 0; i < count; i++) {
		const struct rh_series *series = &figure->series[panel->first + i];
		double x = figure->left + width * (double)(i / figure->key_rows);
		double y =
			panel->top - figure->key_height + 8 + 15 * (double)(i % figure->key_rows);

		if (figure->layout == RH_RUN && series->style < 0) {
			fprintf(pen->to,
				"<path fill=\"#808080\" fill-opacity=\"0.28\" "
				"d=\"M%.1f,%.1fh22v10h-22z\"/>\n",
				x, y - 5);
			put_text(pen->to, &(struct label){ x + 27, y + 4, "start", 11, "ink" },
				 series->label);
			continue;
		}
		fputs("<path stroke-width=\"2\" fill=\"none\" stroke=\"", pen->to);
		put_color(pen, series);
		fprintf(pen->to, "\" stroke-dasharray=\"%s\" d=\"M%.1f,%.1fh22\"/>\n",
			dash_of(pen, series), x, y);
		if (figure->layout != RH_RUN && series->style >= 0)
			put_mark(pen, series, x + 11, y, NULL);
		put_text(pen->to, &(struct label){ x + 27, y + 4, "start", 11, "ink" },
			 series->label);
	}
}

static void put_row_texts(const struct pen *pen, const struct rh_panel *panel)
{
	for (size_t s = panel->first; s < panel->last; s++) {
		const struct rh_series *series = &pen->figure->series[s];
		double y = place(&pen->y, series->points[0].y) + 4;

		put_text(pen->to, &(struct label){ pen->x.from - 8, y, "end", 12, "ink" },
			 series->label);
		put_text(pen->to, &(struct label){ pen->x.to + 8, y, "start", 12, "ink" },
			 series->points[0].text);
	}
}

static void start_panel(struct pen *pen, size_t p)
{
	const struct rh_figure *figure = pen->figure;
	const struct rh_panel *panel = &figure->panels[p];
	bool below = figure->layout == RH_RUN && p == 1;

	pen->x = (struct axis){ figure->x_min, figure->x_max, figure->left,
				figure->width - figure->right, figure->log };
	pen->y = (struct axis){ below ? figure->y2_min : figure->y_min,
				below ? figure->y2_max : figure->y_max, panel->bottom, panel->top,
				figure->layout == RH_PERCENTILE || figure->layout == RH_HEAT };
	if (figure->layout == RH_PERCENTILE)
		pen->x.log = true;
	if (figure->own_x) {
		pen->x.min = panel->x_min;
		pen->x.max = panel->x_max;
	}
	if (figure->layout == RH_SCATTER || figure->layout == RH_LANES) {
		pen->y.min = panel->y_min;
		pen->y.max = panel->y_max;
	}
	if (figure->layout == RH_ROWS)
		pen->y = (struct axis){ (double)panel->rows - 0.5, -0.5, panel->bottom, panel->top,
					false };
}

static void put_frame(const struct pen *pen, size_t p)
{
	const struct rh_figure *figure = pen->figure;
	const struct rh_panel *panel = &figure->panels[p];
	bool run = figure->layout == RH_RUN, rows = figure->layout == RH_ROWS;
	const char *y_text = run && p == 1 ? figure->y2_text : figure->y_text;

	if (!(run && p == 0) && !(figure->layout == RH_HEAT && p + 1 < figure->panel_count))
		put_ticks(pen, true);
	put_line(pen->to, (struct stroke){ pen->x.from, pen->y.from, pen->x.to, pen->y.from },
		 "axis");
	if (rows && figure->reference > 0)
		put_line(pen->to,
			 (struct stroke){ place(&pen->x, figure->reference), panel->top,
					  place(&pen->x, figure->reference), panel->bottom },
			 "reference");
	if (rows)
		return;
	put_ticks(pen, false);
	put_line(pen->to, (struct stroke){ pen->x.from, pen->y.from, pen->x.from, pen->y.to },
		 "axis");
	if (figure->diagonal)
		put_line(pen->to, (struct stroke){ pen->x.from, pen->y.from, pen->x.to, pen->y.to },
			 "reference");
	fprintf(pen->to,
		"<text transform=\"translate(14,%.1f) rotate(-90)\" text-anchor=\"middle\" "
		"font-size=\"12\">%s</text>\n",
		(panel->top + panel->bottom) / 2, y_text);
}

static void put_panel(struct pen *pen, size_t p)
{
	const struct rh_figure *figure = pen->figure;
	const struct rh_panel *panel = &figure->panels[p];
	bool run = figure->layout == RH_RUN, rows = figure->layout == RH_ROWS;
	bool keyless = figure->one_key && p > 0;

	start_panel(pen, p);
	put_frame(pen, p);
	if ((figure->panel_count > 1 && !(run && p > 0)) || figure->layout == RH_HEAT)
		put_text(pen->to,
			 &(struct label){ figure->layout == RH_HEAT ? figure->left : 8,
					  panel->top - (rows || keyless ? 0 : figure->key_height) -
						  (keyless ? 13 : 3),
					  "start", 11, "ink" },
			 panel->name);
	fprintf(pen->to,
		"<clipPath id=\"%s-clip-%zu\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
		"height=\"%.1f\"/></clipPath>\n<g clip-path=\"url(#%s-clip-%zu)\">\n",
		figure->name, p + 1, pen->x.from - 5, panel->top - 5, pen->x.to - pen->x.from + 10,
		panel->bottom - panel->top + 6, figure->name, p + 1);
	for (size_t s = panel->first; s < panel->last; s++) {
		const struct rh_series *series = &figure->series[s];

		if (figure->layout == RH_HEAT)
			put_cells(pen, series);
		else if (!rows && figure->layout != RH_SCATTER)
			put_path(pen, series, p == 1 && run ? 1 : figure->scale);
		if (!run && figure->layout != RH_HEAT && series->style >= 0)
			put_points(pen, series);
	}
	fputs("</g>\n", pen->to);
	if (rows)
		put_row_texts(pen, panel);
	else if (!(run && p == 1) && figure->layout != RH_HEAT && !keyless)
		put_key(pen, panel);
}

void rh_figure_svg(const struct rh_view *view, const struct rh_figure *figure, FILE *to)
{
	struct pen pen = { .view = view, .figure = figure, .to = to };
	double middle = (figure->left + figure->width - figure->right) / 2;

	fprintf(to,
		"<svg id=\"%s\" class=\"figure\" role=\"img\" aria-labelledby=\"%s-title\" "
		"viewBox=\"0 0 %.0f %.0f\" xmlns=\"http://www.w3.org/2000/svg\" "
		"font-family=\"sans-serif\">\n<title id=\"%s-title\">",
		figure->name, figure->name, figure->width, figure->height, figure->name);
	rh_escape_xml(figure->title, to);
	fputs("</title>\n<desc>", to);
	rh_escape_xml(figure->caption, to);
	fprintf(to,
		"</desc>\n<style>#%s{color:#15181c}#%s .page{fill:#fff}#%s text{fill:currentColor}"
		"#%s .quiet{fill:#59636e}#%s "
		".grid{stroke:#808080;stroke-width:.4;stroke-dasharray:2,4}"
		"#%s .axis{stroke:#808080}#%s .reference{stroke:currentColor;stroke-dasharray:5,4}"
		"@media(prefers-color-scheme:dark){#%s{color:#e3e7eb}#%s .page{fill:#15181c}"
		"#%s .quiet{fill:#9aa4af}}"
		"</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n",
		figure->name, figure->name, figure->name, figure->name, figure->name, figure->name,
		figure->name, figure->name, figure->name, figure->name);
	put_text(to, &(struct label){ 8, 20, "start", 13, "ink" }, figure->title);
	for (size_t p = 0; p < figure->panel_count; p++)
		put_panel(&pen, p);
	put_text(to,
		 &(struct label){ middle, figure->panels[figure->panel_count - 1].bottom + 34,
				  "middle", 12, "ink" },
		 figure->x_text);
	for (size_t i = 0; i < figure->note_count; i++)
		put_text(to,
			 &(struct label){
				 8, figure->height - 6 - 16 * (double)(figure->note_count - 1 - i),
				 "start", 11, "quiet" },
			 figure->note_lines[i]);
	fputs("</svg>\n", to);
}
