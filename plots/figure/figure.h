/*
 * figure.h - a figure before it is drawn: panels, series, points and texts.
 *
 * rh_figures_build makes every figure that a view has data for. Figures that cannot be drawn are
 * returned as well, with absent_why. rh_figure_write puts NAME.tsv and NAME.gp into a folder and
 * draws NAME.svg with gnuplot, or with the simple built-in writer where there is none.
 *
 * To add a figure: one file and one row.
 *
 *	1 plots/figure/figures_NAME.c: a builder (rh_figure_start, rh_figure_series and
 *	  rh_series_point of figures_parts.h; absent_why when there is nothing to draw)
 *	2 plots/figure/figures.c: its declaration and a row in `builders`, its place on the page
 *
 * A figure of one value and interval for each backend needs no file: a row in `row_figures` and
 * one in `builders`. It is then drawn, listed as absent, exported and put on the page
 * automatically.
 *
 * Text from outside (backends, traces) is in the .tsv and nowhere else. Ownership: figures live
 * in the view's pool. Thread rule: one thread.
 */
#ifndef RH_FIGURE_H
#define RH_FIGURE_H

#include <stdbool.h>
#include <stdio.h>

#include "plots/figure/view.h"

enum rh_layout { RH_ROWS, RH_RUN, RH_LANES, RH_SCATTER, RH_PERCENTILE, RH_HEAT };

struct rh_figure_point {
	double x, x_lo, x_hi, y, y_lo, y_hi; /* NaN = none */
	unsigned n;			     /* RH_HEAT: 1 to RH_HEAT_LEVELS, how dark */
	const char *text;		     /* printed beside a row; NULL = none */
};

struct rh_series {
	size_t panel;
	int style; /* -1: a thing to compare with */
	const char *label;
	int variant; /* other dash and mark in the same colour */
	struct rh_figure_point *points;
	size_t point_count;
};

struct rh_panel {
	const char *name;
	const char *of; /* what it shows: panels of one `of` stay in one figure; NULL = its name */
	size_t rows;	/* RH_ROWS: its height */
	size_t first, last;	     /* its series, last not included */
	double top, bottom;	     /* pixels from the top, set by the layout */
	double y_min, y_max;	     /* RH_SCATTER, RH_LANES: its own heights */
	double x_min, x_max, x_step; /* with own_x */
};

enum {
	RH_PANELS_MAX = 24,   /* a builder makes; a figure of more than RH_PANELS_OF_ONE ... */
	RH_PANELS_OF_ONE = 6, /* ... becomes several: a long strip is unreadable */
	RH_SERIES_MAX = 7,    /* lines that can be distinguished */
	RH_POINTS_MAX = 14,   /* points that can be */
	RH_TICKS_MAX = 8,
	RH_HEAT_LEVELS = 6,
	RH_NOTE_LINES_MAX = 4
};

struct rh_figure {
	struct rh_pool *pool; /* of its series */
	const char *name;     /* file stem: "time-ratio" */
	enum rh_layout layout;
	const char *title, *x_text, *y_text, *y2_text, *note; /* our words, our units */
	const char *note_more; /* a second sentence under the figure; NULL = none */
	const char *note_lines[RH_NOTE_LINES_MAX]; /* both, broken into lines by build */
	size_t note_count;
	const char *caption;	/* for people; may hold names from outside */
	const char *absent_why; /* set: nothing to draw, and the reason */
	struct rh_panel *panels;
	struct rh_series *series;
	size_t panel_count, series_count;
	double scale;	  /* base unit / unit on the axis */
	double reference; /* ratio figures: 1; 0 = none */
	double floor_ns;  /* latency: below it the clock is blind */
	double cpus;
	double x_min, x_max, y_min, y_max, y2_min, y2_max;
	bool log;
	bool diagonal;			      /* RH_SCATTER: both axes have one unit */
	bool own_x;			      /* RH_ROWS: panels have units of their own */
	bool percent;			      /* RH_LANES: the y axis is % */
	double ticks[RH_TICKS_MAX];	      /* of a logarithmic x axis: 1, 2, 5 or fewer */
	const char *tick_names[RH_TICKS_MAX]; /* RH_PERCENTILE: what stands there */
	size_t tick_count;
	double x_step;			   /* of a linear one */
	bool tex;			   /* made by rh_figure_tex */
	bool one_key;			   /* every panel shows the same: the first has the key */
	double width, height, left, right; /* pixels */
	size_t key_rows;		   /* of a panel's key; 0 = rows carry their names */
	double key_height;
};

struct rh_figures {
	struct rh_pool *pool; /* where all of them live: the view's */
	struct rh_figure *list;
	size_t count;
};

/* The setting that a panel shows. */
const char *rh_panel_shows(const struct rh_panel *panel);

void rh_figures_build(const struct rh_view *view, struct rh_figures *figures);

/* Pixels: margins, panel places, axis ranges. Called by build; a pure function of the figure. */
void rh_figure_layout(struct rh_figure *figure);

struct rh_draw {
	const char *dir;
	bool svg, png, pdf, tex;
	const char *style;     /* file of gnuplot commands that stand after look.gp; NULL = none */
	bool no_gnuplot;       /* not installed (or not wanted) */
	const char *plots_dir; /* where look.gp and the layouts are */
};

/* Writes the figure's files. */
int rh_figure_write(const struct rh_view *view, const struct rh_figure *figure,
		    const struct rh_draw *draw, struct rh_err *err);

/* The same figure with LaTeX in all of its words: NAME-tex.tsv, NAME-tex.gp, and gnuplot makes
 * NAME-tex.tex (words) and NAME-tex.pdf (lines) of them. */
struct rh_figure *rh_figure_tex(const struct rh_view *view, const struct rh_figure *figure);

/* A figure that plots/layout/ID.gp draws alone from PREFIX.tsv. `of`: the file it is about, whose
 * name stands in it. */
struct rh_script {
	const char *id, *of, *title, *caption;
	const char *style; /* file of gnuplot commands that stand before the first panel; or NULL */
};

/* Whether --style FILE can be read, and there is something to be drawn with it; NULL is fine. */
int rh_style_check(const char *style, bool draws, struct rh_err *err);

/* PREFIX.svg from PREFIX.tsv; without gnuplot it says so on stderr and that is no error. Errors:
 * RH_USAGE (a name with '), RH_FAILED (gnuplot could not draw it). */
int rh_figure_script(const struct rh_script *script, const char *prefix, struct rh_err *err);

/* Dash and mark: the style's, moved on by the series' variant. */
int rh_series_dash(const struct rh_backend_style *style, const struct rh_series *series);
int rh_series_mark(const struct rh_backend_style *style, const struct rh_series *series);

/* The text shown when the pointer rests on a mark; false when there is none: on a line with many
 * points only some have one, so that a page stays small. */
bool rh_figure_hover(const struct rh_figure *figure, const struct rh_series *series, size_t index,
		     char *text, size_t bytes);

/* "800k", "1.2M": the label of a tick. */
void rh_format_tick(char *text, size_t bytes, double value);

/* 1, 2 or 5 times a power of ten that cuts range into `parts` or fewer. */
double rh_tick_step(double range, int parts);

/* The built-in drawing, for machines without gnuplot. */
void rh_figure_svg(const struct rh_view *view, const struct rh_figure *figure, FILE *to);

/* A gnuplot SVG adapted to share a page with others: ids prefixed by `id`, ink that follows the
 * page's colour scheme, title and description set, unnecessary parts dropped. */
void rh_svg_dress(const char *svg, const char *id, const char *title, const char *caption,
		  FILE *to);
/* The same for a file, in its place. */
int rh_svg_dress_file(const char *path, const char *id, const char *title, const char *caption,
		      struct rh_err *err);

/* "1.31", "0.052", "12.4": three figures, never an exponent: "0.000062", "3.00G". */
void rh_format_number(char *text, size_t bytes, double value);
/* "12.4 MiB" */
void rh_format_bytes(char *text, size_t bytes, double value);
/* Text for HTML and XML, quotes included. */
void rh_escape_xml(const char *text, FILE *to);
/* Text for LaTeX: what has a meaning there is printed as it is. */
void rh_escape_tex(const char *text, FILE *to);

/* DIR/NAME, whole or not at all. */
int rh_figure_put(const char *dir, const char *name, const char *text, size_t bytes,
		  struct rh_err *err);

#endif
