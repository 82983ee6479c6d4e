/*
 * figure_tex.c - a figure for a paper: gnuplot draws the lines (cairolatex), LaTeX sets the words
 * in the paper's own letters.
 *
 * Every word of the figure then is LaTeX, ours and those from outside. A copy of the figure with
 * each of them escaped has files of its own, NAME-tex.gp and NAME-tex.tsv: no name of a backend or
 * trace is ever a command to LaTeX.
 */
#include <stdlib.h>
#include <string.h>

#include "plots/figure/figure.h"
#include "harness/result/pool.h"

static const struct {
	char mark;
	const char *as;
} escapes[] = {
	{ '\\', "\\textbackslash{}" },
	{ '^', "\\textasciicircum{}" },
	{ '~', "\\textasciitilde{}" },
	{ '$', "\\$" },
	{ '&', "\\&" },
	{ '#', "\\#" },
	{ '%', "\\%" },
	{ '_', "\\_" },
	{ '{', "\\{" },
	{ '}', "\\}" },
	{ '<', "\\textless{}" },
	{ '>', "\\textgreater{}" },
};

void rh_escape_tex(const char *text, FILE *to)
{
	for (; text && *text; text++) {
		const char *as = NULL;

		for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
			if (escapes[i].mark == *text)
				as = escapes[i].as;
		if (as)
			fwrite(as, 1, strlen(as), to);
		else
			fputc(*text, to);
		if (text[0] == '-' && text[1] == '-')
			fputs("{}", to); /* two are no dash */
	}
}

static const char *escaped(const struct rh_view *view, const char *text)
{
	char *buffer = NULL;
	size_t bytes = 0;
	const char *result;
	FILE *to;

	if (!text)
		return NULL;
	to = rh_memory_text(&buffer, &bytes);
	rh_escape_tex(text, to);
	fclose(to);
	result = rh_pool_printf(view->pool, "%s", buffer);
	free(buffer);
	return result;
}

static void escape_series(const struct rh_view *view, const struct rh_series *from,
			  struct rh_series *to)
{
	*to = *from;
	to->label = escaped(view, from->label);
	to->points = rh_pool_alloc(view->pool, from->point_count, sizeof(*to->points));
	for (size_t i = 0; i < from->point_count; i++) {
		to->points[i] = from->points[i];
		to->points[i].text = escaped(view, from->points[i].text);
	}
}

struct rh_figure *rh_figure_tex(const struct rh_view *view, const struct rh_figure *figure)
{
	struct rh_figure *tex = rh_pool_alloc(view->pool, 1, sizeof(*tex));

	*tex = *figure;
	tex->tex = true;
	tex->name = rh_pool_printf(view->pool, "%s-tex", figure->name);
	tex->title = escaped(view, figure->title);
	tex->x_text = escaped(view, figure->x_text);
	tex->y_text = escaped(view, figure->y_text);
	tex->y2_text = escaped(view, figure->y2_text);
	for (size_t i = 0; i < figure->note_count; i++)
		tex->note_lines[i] = escaped(view, figure->note_lines[i]);
	for (size_t i = 0; i < figure->tick_count && i < RH_TICKS_MAX; i++)
		tex->tick_names[i] = escaped(view, figure->tick_names[i]);
	tex->panels = rh_pool_alloc(view->pool, figure->panel_count, sizeof(*tex->panels));
	for (size_t p = 0; p < figure->panel_count; p++) {
		tex->panels[p] = figure->panels[p];
		tex->panels[p].name = escaped(view, figure->panels[p].name);
	}
	tex->series = rh_pool_alloc(view->pool, figure->series_count, sizeof(*tex->series));
	for (size_t s = 0; s < figure->series_count; s++)
		escape_series(view, &figure->series[s], &tex->series[s]);
	return tex;
}
