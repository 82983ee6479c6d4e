/*
 * figure_write.c - a figure's files: NAME.tsv (what is drawn), NAME.gp (how), NAME.svg.
 *
 * The script is three parts in one file, so that it runs alone: facts of this figure (numbers
 * and our own words, in single quotes where gnuplot substitutes nothing), plots/layout/look.gp,
 * and the layout. Names from outside are in the .tsv; the only changes are that tabs, line ends
 * and straight double quotes, which are delimiters there, become look-alikes, and that a
 * backslash is doubled: gnuplot interprets \t and \101 in data as in scripts.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "plots/figure/figure.h"
#include "harness/result/pool.h"

extern char **environ;

enum { HOVERS_MAX = 16 }; /* of a line: a page with many of them stays small */

enum { END_BYTES = 64 }; /* of a figure, in which its end stands */

static const char *const layout_files[] = {
	[RH_ROWS] = "rows.gp",
	[RH_RUN] = "run.gp",
	[RH_LANES] = "lanes.gp",
	[RH_SCATTER] = "scatter.gp",
	[RH_PERCENTILE] = "percentile.gp",
	[RH_HEAT] = "heat.gp",
};

void rh_format_number(char *text, size_t bytes, double value)
{
	double size = fabs(value);

	if (!isfinite(value))
		snprintf(text, bytes, "-");
	else if (size > 0 && size < 1e-3)
		snprintf(text, bytes, "%.*f", (int)fmin(12, 1 - floor(log10(size))), value);
	else if (size >= 1e9)
		snprintf(text, bytes, "%.2fG", value / 1e9);
	else if (size >= 1e6)
		snprintf(text, bytes, "%.2fM", value / 1e6);
	else if (size >= 99.95)
		snprintf(text, bytes, "%.0f", value);
	else if (size >= 9.995)
		snprintf(text, bytes, "%.1f", value);
	else if (size >= 0.09995 || size == 0)
		snprintf(text, bytes, "%.2f", value);
	else if (size >= 0.009995)
		snprintf(text, bytes, "%.3f", value);
	else
		snprintf(text, bytes, "%.4f", value);
}

void rh_format_bytes(char *text, size_t bytes, double value)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	char number[24];
	int unit = 0;

	while (fabs(value) >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(number, sizeof(number), "%.0f", value);
	else
		rh_format_number(number, sizeof(number), value);
	snprintf(text, bytes, "%s %s", number, units[unit]);
}

static void put_field_to(const char *text, char end, FILE *to)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"')
			fputs("\u201d", to);
		else if (c == '\\')
			fputs("\\\\", to);
		else
			fputc(c < 0x20 || c == 0x7f ? ' ' : c, to);
	}
	fputc(end, to);
}

static void put_field(const char *text, FILE *to)
{
	put_field_to(text, '\t', to);
}

static void put_number(double value, char end, FILE *to)
{
	if (isfinite(value))
		fprintf(to, "%.10g%c", value, end);
	else
		fprintf(to, "NaN%c", end);
}

bool rh_figure_hover(const struct rh_figure *figure, const struct rh_series *series, size_t index,
		     char *text, size_t bytes)
{
	const struct rh_figure_point *point = &series->points[index];
	size_t each = 1 + series->point_count / HOVERS_MAX;
	double scale = figure->layout == RH_RUN && series->panel == 1 ? 1 : figure->scale;
	char x[32], y[32];

	if (series->style < 0 || figure->layout == RH_HEAT || index % each != each - 1)
		return false;
	rh_format_number(x, sizeof(x), point->x);
	rh_format_number(y, sizeof(y), point->y / scale);
	if (figure->layout == RH_ROWS)
		snprintf(text, bytes, "%s: %s", series->label, point->text);
	else if (figure->layout == RH_PERCENTILE)
		snprintf(text, bytes, "%s: %s %s", series->label, y, figure->y_text);
	else
		snprintf(text, bytes, "%s: %s %s; %s: %s", series->label, y,
			 scale != figure->scale ? figure->y2_text : figure->y_text, figure->x_text,
			 x);
	return true;
}

static void write_tsv(const struct rh_view *view, const struct rh_figure *figure, FILE *to)
{
	fputs("panel\tpanel_name\tseries\tbackend\tlabel\trole\tx\tx_lo\tx_hi\ty\ty_lo\ty_"
	      "hi\tn\ttext\thover\n",
	      to);
	for (size_t s = 0; s < figure->series_count; s++) {
		const struct rh_series *series = &figure->series[s];

		for (size_t i = 0; i < series->point_count; i++) {
			const struct rh_figure_point *point = &series->points[i];
			char text[512];

			fprintf(to, "%zu\t", series->panel + 1);
			put_field(figure->panels[series->panel].name, to);
			fprintf(to, "%zu\t", s + 1);
			put_field(series->style >= 0 ? view->styles[series->style].spec : "-", to);
			put_field(series->label, to);
			fprintf(to, "%d\t", series->style < 0);
			put_number(point->x, '\t', to);
			put_number(point->x_lo, '\t', to);
			put_number(point->x_hi, '\t', to);
			put_number(point->y, '\t', to);
			put_number(point->y_lo, '\t', to);
			put_number(point->y_hi, '\t', to);
			fprintf(to, "%u\t%s\t", point->n, point->text ? point->text : "");
			put_field_to(rh_figure_hover(figure, series, i, text, sizeof(text)) ? text
											    : "",
				     '\n', to);
		}
	}
}

static void put_quoted(const char *name, const char *text, FILE *to)
{
	fprintf(to, "%s = '", name);
	for (; text && *text; text++)
		fputs(*text == '\'' ? "''" : (char[]){ *text, '\0' }, to);
	fputs("'\n", to);
}

static const char *const rh_note_name[RH_NOTE_LINES_MAX] = { "note[1]", "note[2]", "note[3]",
							     "note[4]" };

static void put_value(const char *name, double value, FILE *to)
{
	fprintf(to, "%s = %.10g\n", name, isfinite(value) ? value : 0.0);
}

static void write_arrays(const struct rh_view *view, const struct rh_figure *figure, FILE *to)
{
	static const char *const names[] = { "color", "dash", "mark" };

	for (int kind = 0; kind < 3; kind++) {
		fprintf(to, "array %s[series_count] = [", names[kind]);
		for (size_t s = 0; s < figure->series_count; s++) {
			int style = figure->series[s].style;
			const struct rh_backend_style *look =
				style >= 0 ? &view->styles[style] : NULL;

			fputs(s ? ", " : "", to);
			if (kind == 0)
				fprintf(to, "0x%06x", look ? look->color : 0x808080u);
			else
				fprintf(to, "%d",
					!look	    ? 1
					: kind == 1 ? rh_series_dash(look, &figure->series[s])
						    : rh_series_mark(look, &figure->series[s]));
		}
		fputs("]\n", to);
	}
	fprintf(to, "array role[series_count] = [");
	for (size_t s = 0; s < figure->series_count; s++)
		fprintf(to, "%s%d", s ? ", " : "", figure->series[s].style < 0);
	fputs("]\n", to);
	fputs("# of each panel: top and bottom in pixels, rows, first and last series, ranges\n",
	      to);
	for (int kind = 0; kind < 10; kind++) {
		static const char *const of[] = { "top",  "bottom", "rows", "first", "last",
						  "y_lo", "y_hi",   "x_lo", "x_hi",  "x_steps" };

		fprintf(to, "array %s[panel_count] = [", of[kind]);
		for (size_t p = 0; p < figure->panel_count; p++) {
			const struct rh_panel *panel = &figure->panels[p];

			const double facts[] = { panel->top,	      panel->bottom,
						 (double)panel->rows, (double)panel->first + 1,
						 (double)panel->last, panel->y_min,
						 panel->y_max,	      panel->x_min,
						 panel->x_max,	      panel->x_step };

			fprintf(to, "%s%.10g", p ? ", " : "", facts[kind]);
		}
		fputs("]\n", to);
	}
}

/* What stands between the parentheses of `set xtics`; a % in a label is a format there, and a \
 * needs another. */
static void put_ticks(const struct rh_figure *figure, FILE *to)
{
	fputs("ticks = '", to);
	for (size_t i = 0; i < figure->tick_count; i++) {
		const char *name = figure->tick_names[i];

		fputs(i ? ", " : "", to);
		if (name)
			fputc('"', to);
		for (; name && *name; name++)
			fputs(*name == '%'    ? "%%"
			      : *name == '\\' ? "\\\\"
					      : (char[]){ *name, '\0' },
			      to);
		fprintf(to, "%s%.10g", name ? "\" " : "", figure->ticks[i]);
	}
	fputs("'\n", to);
}

/* From 0 in steps: gnuplot's own formats round 1.2M to 1M. */
static void put_linear_ticks(const char *name, double most, double step, FILE *to)
{
	fprintf(to, "%s = '", name);
	for (int i = 0; i < 16 && i * step <= most * 1.0001; i++) {
		char text[32];

		rh_format_tick(text, sizeof(text), i * step);
		fprintf(to, "%s\"%s\" %.10g", i ? ", " : "", text, i * step);
	}
	fputs("'\n", to);
}

static void write_facts(const struct rh_view *view, const struct rh_figure *figure, FILE *to)
{
	fprintf(to, "# %s.gp - draws %s.svg from %s.tsv; run it beside them: gnuplot %s.gp\n",
		figure->name, figure->name, figure->name, figure->name);
	if (figure->tex)
		fputs("if (!exists('format')) format = 'tex'\n", to);
	put_quoted("name", figure->name, to);
	put_quoted("title_text", figure->title, to);
	fprintf(to, "array note[%zu]\n", figure->note_count ? figure->note_count : 1);
	for (size_t i = 0; i < figure->note_count; i++)
		put_quoted(rh_note_name[i], figure->note_lines[i], to);
	if (figure->note_count == 0)
		put_quoted(rh_note_name[0], "", to);
	put_quoted("x_text", figure->x_text, to);
	put_quoted("y_text", figure->y_text, to);
	put_quoted("y2_text", figure->y2_text, to);
	put_value("W", figure->width, to);
	put_value("H", figure->height, to);
	put_value("left", figure->left, to);
	put_value("right", figure->right, to);
	put_value("scale", figure->scale, to);
	put_value("reference", figure->reference, to);
	fprintf(to, "log_x = %d\nown_x = %d\npercent = %d\n", figure->log, figure->own_x,
		figure->percent);
	put_ticks(figure, to);
	put_linear_ticks("x_ticks", figure->x_max, rh_tick_step(figure->x_max, 6), to);
	put_value("y2_step", rh_tick_step(figure->y2_max - figure->y2_min, 5), to);
	fprintf(to, "one_key = %d\ndiagonal = %d\n", figure->one_key, figure->diagonal);
	put_value("x_step", figure->x_step, to);
	put_value("x_min", figure->x_min, to);
	put_value("x_max", figure->x_max, to);
	put_value("y_min", figure->y_min, to);
	put_value("y_max", figure->y_max, to);
	put_value("y2_min", figure->y2_min, to);
	put_value("y2_max", figure->y2_max, to);
	put_value("floor_ns", figure->floor_ns, to);
	put_value("cpus", figure->cpus, to);
	put_value("key_rows", (double)figure->key_rows, to);
	put_value("key_px", figure->key_height, to);
	fprintf(to, "panel_count = %zu\nseries_count = %zu\n", figure->panel_count,
		figure->series_count);
	write_arrays(view, figure, to);
	fputs("array y_ticks[panel_count]\n", to);
	for (size_t p = 0; p < figure->panel_count && figure->layout == RH_LANES; p++) {
		char name[32];

		snprintf(name, sizeof(name), "y_ticks[%zu]", p + 1);
		put_linear_ticks(name, figure->panels[p].y_max,
				 rh_tick_step(figure->panels[p].y_max, 5), to);
	}
}

static int append_file(const char *path, FILE *to, struct rh_err *err)
{
	char buffer[4096];
	size_t bytes;
	FILE *from;

	from = fopen(path, "re");
	if (!from)
		return rh_fail(err, RH_NO_INPUT, "%s cannot be opened: %s", path,
			       rh_errno_text(errno));
	while ((bytes = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, bytes, to);
	fclose(from);
	return 0;
}

/* Facts, then the look, then the user's style, then the layout. */
static int write_script(const struct rh_view *view, const struct rh_figure *figure,
			const struct rh_draw *draw, FILE *to, struct rh_err *err)
{
	char look[4096 + 64], layout[4096 + 64];

	snprintf(look, sizeof(look), "%s/look.gp", draw->plots_dir);
	snprintf(layout, sizeof(layout), "%s/%s", draw->plots_dir, layout_files[figure->layout]);
	write_facts(view, figure, to);
	if (append_file(look, to, err) < 0)
		return -1;
	if (draw->style && append_file(draw->style, to, err) < 0)
		return -1;
	if (draw->style)
		fputc('\n', to);
	return append_file(layout, to, err);
}

/* A text in memory while it is written; `to` is NULL when there was no memory for one. */
struct text {
	FILE *to;
	char **text;
	size_t *bytes;
};

static void drop_stream(struct text text)
{
	if (text.to)
		fclose(text.to);
	free(*text.text);
}

/* Ends the text and puts it into DIR/NAME.SUFFIX. */
static int put_stream(const struct rh_draw *draw, const char *name, const char *suffix,
		      struct text text, struct rh_err *err)
{
	char file[512];
	int result = -1;

	snprintf(file, sizeof(file), "%s.%s", name, suffix);
	if (text.to && fflush(text.to) == 0 && !ferror(text.to))
		result = rh_figure_put(draw->dir, file, *text.text, *text.bytes, err);
	else
		rh_fail(err, RH_OS, "no memory to draw %s", name);
	drop_stream(text);
	return result;
}

static void remove_picture(const struct rh_draw *draw, const char *name, const char *format)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.%s", draw->dir, name, format);
	unlink(path);
}

static int run_gnuplot(const struct rh_draw *draw, const char *name, const char *format,
		       struct rh_err *err)
{
	char program[] = "gnuplot", flag[] = "-e", set_format[64], script[256];
	char *argv[] = { program, flag, set_format, script, NULL };
	posix_spawn_file_actions_t actions;
	int status = -1, failed;
	pid_t pid;

	snprintf(set_format, sizeof(set_format), "format = '%s'", format);
	snprintf(script, sizeof(script), "%s.gp", name);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, draw->dir);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	failed = posix_spawnp(&pid, "gnuplot", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failed)
		return rh_fail(err, RH_ABSENT, "gnuplot cannot be started: %s",
			       rh_errno_text(failed));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		return rh_fail(err, RH_IO, "%s/%s.%s cannot be written: %s (ulimit -f)", draw->dir,
			       name, format, rh_errno_text(EFBIG));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		remove_picture(draw, name, format);
		return rh_fail(err, RH_FAILED,
			       "gnuplot failed on %s/%s.gp (run it there to see why)%s%s",
			       draw->dir, name, draw->style ? "; it holds --style " : "",
			       draw->style ? draw->style : "");
	}
	return 0;
}

/* gnuplot does not check whether its file was written: a file without its end is discarded, because
 * half a figure is worse than none. */
static int check_drawn(const struct rh_draw *draw, const char *name, const char *format,
		       struct rh_err *err)
{
	static const char *const ends[][2] = {
		{ "svg", "</svg>" }, { "png", "IEND" }, { "pdf", "%%EOF" }, { "tex", "\\endgroup" }
	};
	const char *end = "";
	struct rh_filemap map = { 0 };
	struct rh_err gone;
	char path[4096];
	bool whole;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strcmp(ends[i][0], format) == 0)
			end = ends[i][1];
	snprintf(path, sizeof(path), "%s/%s.%s", draw->dir, name, format);
	whole = rh_filemap_open(&map, path, &gone) == 0 && map.bytes > END_BYTES &&
		memmem(map.base + map.bytes - END_BYTES, END_BYTES, end, strlen(end));
	rh_filemap_close(&map);
	if (whole)
		return 0;
	unlink(path);
	return rh_fail(err, RH_IO, "%s was not written to its end by gnuplot; is the disk full?",
		       path);
}

static int draw_with_gnuplot(const struct rh_draw *draw, const char *name, const char *format,
			     struct rh_err *err)
{
	char path[4096];

	if (run_gnuplot(draw, name, format, err) == 0) {
		if (strcmp(format, "tex") == 0 && check_drawn(draw, name, "pdf", err) < 0)
			return -1;
		return check_drawn(draw, name, format, err);
	}
	snprintf(path, sizeof(path), "%s/%s.%s", draw->dir, name, format);
	if (err->code != RH_ABSENT)
		unlink(path);
	return -1;
}

static int draw_builtin(const struct rh_view *view, const struct rh_figure *figure,
			const struct rh_draw *draw, struct rh_err *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);

	if (to)
		rh_figure_svg(view, figure, to);
	return put_stream(draw, figure->name, "svg", (struct text){ to, &text, &bytes }, err);
}

static int write_sources(const struct rh_view *view, const struct rh_figure *figure,
			 const struct rh_draw *draw, struct rh_err *err)
{
	char *tsv = NULL, *gp = NULL;
	size_t tsv_bytes = 0, gp_bytes = 0;
	FILE *tsv_to = rh_memory_text(&tsv, &tsv_bytes), *gp_to = rh_memory_text(&gp, &gp_bytes);
	int result = 0;

	if (tsv_to)
		write_tsv(view, figure, tsv_to);
	if (gp_to)
		result = write_script(view, figure, draw, gp_to, err);
	if (result == 0)
		result = put_stream(draw, figure->name, "tsv",
				    (struct text){ tsv_to, &tsv, &tsv_bytes }, err);
	else
		drop_stream((struct text){ tsv_to, &tsv, &tsv_bytes });
	if (result == 0)
		result = put_stream(draw, figure->name, "gp",
				    (struct text){ gp_to, &gp, &gp_bytes }, err);
	else
		drop_stream((struct text){ gp_to, &gp, &gp_bytes });
	return result;
}

/* The picture as a page shows it. */
static int draw_svg(const struct rh_figure *figure, const struct rh_draw *draw, struct rh_err *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.svg", draw->dir, figure->name);
	if (draw_with_gnuplot(draw, figure->name, "svg", err) < 0)
		return -1;
	return rh_svg_dress_file(path, figure->name, figure->title, figure->caption, err);
}

static int draw_tex(const struct rh_view *view, const struct rh_figure *figure,
		    const struct rh_draw *draw, struct rh_err *err)
{
	const struct rh_figure *tex = rh_figure_tex(view, figure);

	if (write_sources(view, tex, draw, err) < 0)
		return -1;
	return draw_with_gnuplot(draw, tex->name, "tex", err);
}

int rh_figure_write(const struct rh_view *view, const struct rh_figure *figure,
		    const struct rh_draw *draw, struct rh_err *err)
{
	if (write_sources(view, figure, draw, err) < 0)
		return -1;
	if (draw->no_gnuplot)
		return draw->svg ? draw_builtin(view, figure, draw, err) : 0;
	if (draw->svg && draw_svg(figure, draw, err) < 0)
		return -1;
	if (draw->png && draw_with_gnuplot(draw, figure->name, "png", err) < 0)
		return -1;
	if (draw->pdf && draw_with_gnuplot(draw, figure->name, "pdf", err) < 0)
		return -1;
	return draw->tex ? draw_tex(view, figure, draw, err) : 0;
}
