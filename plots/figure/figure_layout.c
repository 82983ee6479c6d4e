/*
 * figure_layout.c - places of panels and ranges of axes.
 *
 * Figures are one column wide (460 px, 84 mm in print: 12 px letters come out at 6.6 pt) and
 * grow downwards: panels are stacked, because two side by side would be unreadable on a phone.
 * Everything is computed here, in pixels, so that gnuplot and the built-in writer draw the same
 * picture and nothing depends on a font being installed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/figure/figure.h"

enum {
	WIDTH = 460,
	WIDTH_MAX = 900,
	TITLE = 30,
	PANEL_NAME = 18,
	GAP = 26,
	X_LABEL = 44,
	NOTE = 16,
	ROW = 20,
	PANEL = 190,
	PANEL_OF_MANY = 140,
	PANEL_HEAT = 96,
	NOTE_MORE = 16, /* what gnuplot advances for a line of 11 px */
	PANEL_RUN = 170,
	PANEL_BELOW = 80,
	KEY_ROW = 15,
	PLOT_MIN = 190,
	TICKS_FIT = 6,
};
#define LOG_RATIO_MAX 1e18
static const double CHAR_12 = 6.9, CHAR_11 = 6.4; /* mean advance of a sans-serif letter */

/* Of mean letters: capitals are broader by a quarter. */
static size_t characters(const char *text)
{
	size_t quarters = 0;

	for (; text && *text; text++)
		quarters += ((unsigned char)*text & 0xc0) == 0x80 ? 0
			    : (*text >= 'A' && *text <= 'Z')	  ? 5
								  : 4;
	return (quarters + 3) / 4;
}

static int by_panel(const void *a, const void *b)
{
	const struct rh_series *x = a, *y = b;

	if (x->panel != y->panel)
		return x->panel < y->panel ? -1 : 1;
	return 0;
}

/* Series of a panel next to each other, in the order they came (rows are sorted already). */
static void group_series(struct rh_figure *figure)
{
	if (figure->layout == RH_RUN) {
		struct rh_series *list = figure->series;

		/* insertion sort: stable, and there are at most fifteen */
		for (size_t i = 1; i < figure->series_count; i++) {
			for (size_t j = i; j > 0 && by_panel(&list[j - 1], &list[j]) > 0; j--) {
				struct rh_series swap = list[j];

				list[j] = list[j - 1];
				list[j - 1] = swap;
			}
		}
	}
	for (size_t i = 0; i < figure->series_count; i++) {
		struct rh_panel *panel = &figure->panels[figure->series[i].panel];

		if (panel->last == 0)
			panel->first = i;
		panel->last = i + 1;
	}
}

static void widen(double value, double *lo, double *hi)
{
	if (!isfinite(value))
		return;
	*lo = fmin(*lo, value);
	*hi = fmax(*hi, value);
}

/* A little air at both ends; a single value gets a tenth of itself. */
static void pad(double *lo, double *hi, bool log, double share)
{
	double by;

	if (!(*lo <= *hi)) {
		*lo = 0;
		*hi = 1;
		return;
	}
	if (log) {
		by = pow(*hi / *lo, share);
		by = by > 1.05 ? by : 1.05;
		*lo /= by;
		*hi *= by;
		return;
	}
	by = (*hi - *lo) * share;
	if (by <= 0)
		by = *hi != 0 ? fabs(*hi) * 0.1 : 1;
	*lo = *lo >= 0 && *lo - by < 0 ? 0 : *lo - by;
	*hi += by;
}

/* 1, 2 and 5 of every decade while they fit, then 1 and 3, then 1, then every other decade. */
static void log_ticks(struct rh_figure *figure)
{
	static const struct {
		double digits[3];
		int count, stride;
	} tries[] = { { { 1, 2, 5 }, 3, 1 },
		      { { 1, 3 }, 2, 1 },
		      { { 1 }, 1, 1 },
		      { { 1 }, 1, 2 },
		      { { 1 }, 1, 4 } };
	const size_t most = sizeof(figure->ticks) / sizeof(figure->ticks[0]);
	int first = (int)floor(log10(figure->x_min)), last = (int)ceil(log10(figure->x_max));

	for (size_t t = 0; t < sizeof(tries) / sizeof(tries[0]); t++) {
		figure->tick_count = 0;
		for (int i = first; i <= last; i++) {
			for (int d = 0; d < tries[t].count; d++) {
				double tick = tries[t].digits[d] * pow(10, i);

				if (i % tries[t].stride || tick < figure->x_min ||
				    tick > figure->x_max)
					continue;
				if (figure->tick_count < most)
					figure->ticks[figure->tick_count] = tick;
				figure->tick_count++;
			}
		}
		if (figure->tick_count <= TICKS_FIT)
			return;
	}
	if (figure->tick_count > most)
		figure->tick_count = most;
}

double rh_tick_step(double range, int parts)
{
	double power = pow(10, floor(log10(range / parts)));
	double digit = range / parts / power;

	return power * (digit > 5 ? 10 : digit > 2 ? 5 : digit > 1 ? 2 : 1);
}

static void x_range(struct rh_figure *figure)
{
	double lo = INFINITY, hi = -INFINITY;

	for (size_t i = 0; i < figure->series_count; i++) {
		const struct rh_series *series = &figure->series[i];
		double scale = figure->layout == RH_ROWS ? figure->scale : 1;

		for (size_t j = 0; j < series->point_count; j++) {
			widen(series->points[j].x / scale, &lo, &hi);
			widen(series->points[j].x_lo / scale, &lo, &hi);
			widen(series->points[j].x_hi / scale, &lo, &hi);
		}
	}
	if (figure->reference > 0)
		widen(figure->reference, &lo, &hi);
	/* A result may contain any number: beyond LOG_RATIO_MAX no ticks help, and the ratio of
	 * widened bounds may be infinite. */
	figure->log = !figure->diagonal && lo > 0 && hi / lo > 6 && hi / lo < LOG_RATIO_MAX &&
		      (figure->layout == RH_ROWS || figure->layout == RH_SCATTER);
	pad(&lo, &hi, figure->log, 0.06);
	/* Lengths are compared by eye: a linear axis begins at 0. */
	if (!figure->log && lo > 0 && (figure->layout == RH_ROWS || figure->layout == RH_SCATTER))
		lo = 0;
	figure->x_min = lo;
	figure->x_max = hi;
	if (figure->log)
		log_ticks(figure);
	figure->x_step = rh_tick_step(hi - lo, TICKS_FIT);
}

/* Each panel from 0 to a little more than its largest value. */
static void own_x_ranges(struct rh_figure *figure)
{
	for (size_t p = 0; p < figure->panel_count; p++) {
		struct rh_panel *panel = &figure->panels[p];
		double lo = 0, hi = 0;

		for (size_t i = panel->first; i < panel->last; i++) {
			widen(figure->series[i].points[0].x, &lo, &hi);
			widen(figure->series[i].points[0].x_hi, &lo, &hi);
		}
		panel->x_min = 0;
		panel->x_max = hi > 0 ? hi * 1.06 : 1;
		panel->x_step = rh_tick_step(panel->x_max, 4);
	}
	figure->log = false;
}

enum { ALL_PANELS = -1 };

static void y_range(struct rh_figure *figure, int panel, double scale, double *min, double *max)
{
	double lo = INFINITY, hi = -INFINITY;

	for (size_t i = 0; i < figure->series_count; i++) {
		const struct rh_series *series = &figure->series[i];

		if ((panel != ALL_PANELS && series->panel != (size_t)panel) ||
		    (series->style < 0 && figure->layout == RH_LANES))
			continue;
		for (size_t j = 0; j < series->point_count; j++) {
			widen(series->points[j].y / scale, &lo, &hi);
			widen(series->points[j].y_lo / scale, &lo, &hi);
			widen(series->points[j].y_hi / scale, &lo, &hi);
		}
	}
	*min = lo;
	*max = hi;
}

/* A heap's first segments hold little, and RSS / in use is then large but meaningless: the
 * lower panel ends at three times the median of what it shows. */
static double calm_top(const struct rh_figure *figure, double most)
{
	double sum = 0;
	size_t count = 0;

	for (size_t i = figure->panels[1].first; i < figure->panels[1].last; i++) {
		const struct rh_series *series = &figure->series[i];

		if (series->point_count == 0)
			continue;
		sum += series->points[series->point_count / 2].y;
		count++;
	}
	return count && most > 3 * sum / (double)count ? 3 * sum / (double)count : most;
}

/* One range for both axes, with 0 in it: the diagonal then goes from corner to corner. */
static void square(struct rh_figure *figure, struct rh_panel *panel)
{
	double lo = fmin(0, fmin(figure->x_min, panel->y_min));
	double hi = fmax(0, fmax(figure->x_max, panel->y_max));

	figure->x_min = panel->y_min = lo;
	figure->x_max = panel->y_max = hi > lo ? hi : lo + 1;
	figure->x_step = rh_tick_step(figure->x_max - lo, TICKS_FIT);
}

/* Programs differ by factors in what they do in a second: each panel has its own height. Shares are
 * of one whole and have one height. The line to compare with leaves the picture where it must. */
static void lanes_heights(struct rh_figure *figure)
{
	y_range(figure, ALL_PANELS, 1, &figure->y_min, &figure->y_max);
	figure->y_min = 0;
	figure->y_max *= 1.15;
	for (size_t p = 0; p < figure->panel_count; p++) {
		struct rh_panel *panel = &figure->panels[p];

		y_range(figure, (int)p, 1, &panel->y_min, &panel->y_max);
		panel->y_min = 0;
		panel->y_max = figure->percent ? figure->y_max : panel->y_max * 1.15;
	}
}

static void ranges(struct rh_figure *figure)
{
	x_range(figure);
	switch (figure->layout) {
	case RH_ROWS:
		if (figure->own_x)
			own_x_ranges(figure);
		break;
	case RH_RUN:
		figure->x_max /= 1.06;
		figure->x_min = 0;
		y_range(figure, 0, figure->scale, &figure->y_min, &figure->y_max);
		figure->y_min = 0;
		figure->y_max = figure->y_max > 0 ? figure->y_max * 1.05 : 1;
		y_range(figure, 1, 1, &figure->y2_min, &figure->y2_max);
		figure->y2_max = calm_top(figure, figure->y2_max);
		figure->y2_min = fmin(1, figure->y2_min);
		pad(&figure->y2_min, &figure->y2_max, false, 0.08);
		break;
	case RH_LANES:
		figure->x_min = 0;
		figure->x_max = floor(figure->x_max) + 0.5;
		lanes_heights(figure);
		break;
	case RH_SCATTER:
		for (size_t p = 0; p < figure->panel_count; p++) {
			struct rh_panel *panel = &figure->panels[p];
			double most;

			y_range(figure, (int)p, figure->scale, &panel->y_min, &panel->y_max);
			most = panel->y_max;
			pad(&panel->y_min, &panel->y_max, false, 0.12);
			panel->y_min = fmin(0, panel->y_min);
			/* a mark at the edge lies on the key */
			panel->y_max = fmax(panel->y_max, most + 0.08 * (most - panel->y_min));
			if (figure->diagonal)
				square(figure, panel);
		}
		break;
	case RH_HEAT:
		figure->x_min = 0;
		figure->x_max /= 1.06;
		y_range(figure, ALL_PANELS, 1, &figure->y_min, &figure->y_max);
		break;
	case RH_PERCENTILE:
		figure->x_min = figure->ticks[0] * 0.95;
		figure->x_max = fmax(figure->x_max, figure->ticks[0] * 10);
		y_range(figure, ALL_PANELS, 1, &figure->y_min, &figure->y_max);
		if (figure->y_min <= 0)
			figure->y_min = figure->floor_ns > 0 ? figure->floor_ns / 2 : 1;
		pad(&figure->y_min, &figure->y_max, true, 0.06);
		break;
	}
}

static void place_rows(struct rh_figure *figure)
{
	size_t label = 0, text = 0;
	double at = TITLE - 4;

	for (size_t i = 0; i < figure->series_count; i++) {
		size_t l = characters(figure->series[i].label);
		size_t t = characters(figure->series[i].points[0].text);

		label = l > label ? l : label;
		text = t > text ? t : text;
	}
	figure->left = 24 + CHAR_12 * (double)label;
	figure->right = 16 + CHAR_12 * (double)text;
	figure->width = fmax(WIDTH, figure->left + figure->right + PLOT_MIN);
	figure->width = fmin(WIDTH_MAX, ceil(figure->width));
	for (size_t p = 0; p < figure->panel_count; p++) {
		struct rh_panel *panel = &figure->panels[p];

		at += figure->panel_count > 1 ? PANEL_NAME : 4;
		panel->top = at;
		panel->bottom = at + (double)panel->rows * ROW;
		at = panel->bottom + GAP - (figure->panel_count > 1 ? 4 : 0);
	}
	figure->height = figure->panels[figure->panel_count - 1].bottom + X_LABEL + NOTE;
	figure->height += figure->note_count > 1 ? NOTE_MORE * (double)(figure->note_count - 1) : 0;
}

static void place_keys(struct rh_figure *figure)
{
	size_t label = 0, most = 0, columns;
	double room;

	for (size_t i = 0; i < figure->series_count; i++) {
		size_t l = characters(figure->series[i].label);

		label = l > label ? l : label;
	}
	for (size_t p = 0; p < figure->panel_count; p++) {
		size_t count = figure->panels[p].last - figure->panels[p].first;

		most = count > most ? count : most;
	}
	room = figure->width - figure->left - figure->right;
	columns = (size_t)(room / (CHAR_11 * (double)label + 44));
	columns = columns ? columns : 1;
	figure->key_rows = (most + columns - 1) / columns;
	figure->key_height = (double)figure->key_rows * KEY_ROW + 6;
}

/* Whether the first panel's key is valid for every other. */
static bool same_series(const struct rh_figure *figure)
{
	const struct rh_panel *first = &figure->panels[0];

	if (figure->layout == RH_RUN || figure->layout == RH_HEAT)
		return false;
	for (size_t p = 1; p < figure->panel_count; p++) {
		const struct rh_panel *panel = &figure->panels[p];

		for (size_t s = panel->first; s < panel->last; s++) {
			bool found = false;

			for (size_t i = first->first; i < first->last; i++)
				found |= figure->series[i].style == figure->series[s].style &&
					 figure->series[i].variant == figure->series[s].variant &&
					 strcmp(figure->series[i].label, figure->series[s].label) ==
						 0;
			if (!found)
				return false;
		}
	}
	return true;
}

static double panel_height(enum rh_layout layout, bool below)
{
	if (layout == RH_HEAT)
		return PANEL_HEAT;
	return below ? PANEL_BELOW : layout == RH_RUN ? PANEL_RUN : PANEL;
}

static void place_panels(struct rh_figure *figure)
{
	double at = TITLE - 4;
	bool named =
		figure->layout == RH_HEAT || (figure->panel_count > 1 && figure->layout != RH_RUN);

	figure->width = WIDTH;
	figure->left = 70;
	figure->right = figure->layout == RH_PERCENTILE ? 30 : 18;
	if (figure->layout != RH_HEAT)
		place_keys(figure);
	figure->one_key = same_series(figure);
	for (size_t p = 0; p < figure->panel_count; p++) {
		struct rh_panel *panel = &figure->panels[p];
		bool below = figure->layout == RH_RUN && p == 1;

		at += named || (figure->layout == RH_RUN && p == 0) ? PANEL_NAME : 0;
		at += below || (figure->one_key && p > 0) ? 0 : figure->key_height;
		panel->top = at;
		at += figure->panel_count > 2 && figure->layout != RH_HEAT
			      ? PANEL_OF_MANY
			      : panel_height(figure->layout, below);
		panel->bottom = at;
		at += figure->layout == RH_RUN || figure->layout == RH_HEAT ? 12 : GAP;
	}
	figure->height = figure->panels[figure->panel_count - 1].bottom + X_LABEL + NOTE;
	figure->height += figure->note_count > 1 ? NOTE_MORE * (double)(figure->note_count - 1) : 0;
}

void rh_figure_layout(struct rh_figure *figure)
{
	group_series(figure);
	ranges(figure);
	if (figure->layout == RH_ROWS)
		place_rows(figure);
	else
		place_panels(figure);
}
