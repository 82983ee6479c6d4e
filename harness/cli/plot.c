/*
 * plot.c - reheap plot: draws figures and report.html from results.
 *
 * It reads everything before it writes anything, so that a bad result leaves an existing report
 * untouched; every file then appears whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "harness/cli/command.h"
#include "harness/matrix/folder.h"
#include "plots/report/exports.h"
#include "plots/figure/figure.h"
#include "alloc/base/install_paths.h"
#include "alloc/base/progress.h"
#include "plots/report/overview.h"
#include "plots/report/report.h"
#include "alloc/base/printable.h"

struct plot_opts {
	const char *out, *format, *baseline, *since, *style;
	bool builtin, verbose;
};

static const struct rh_opt opts[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct plot_opts, out), "reheap-report",
	  .arg = "DIR", .help = "folder for figures, their data and report.html" },
	{ "format", 0, RH_OPT_TEXT, offsetof(struct plot_opts, format), "svg", .arg = "LIST",
	  .help = "figure formats, of svg,png,pdf,tex (lines in PDF, words set by LaTeX)" },
	{ "style", 0, RH_OPT_TEXT, offsetof(struct plot_opts, style), NULL, .arg = "FILE",
	  .help = "gnuplot commands put into every NAME.gp after the look: fonts, size, colours" },
	{ "baseline", 'b', RH_OPT_TEXT, offsetof(struct plot_opts, baseline), "", .arg = "BACKEND",
	  .help = "what others are compared with; empty = as the result says" },
	{ "since", 0, RH_OPT_TEXT, offsetof(struct plot_opts, since), NULL, .arg = "DIR",
	  .help = "of a matrix: the folder of an earlier one, to say what changed" },
	{ "builtin", 0, RH_OPT_FLAG, offsetof(struct plot_opts, builtin), NULL,
	  .help = "draw without gnuplot" },
	{ "verbose", 'v', RH_OPT_FLAG, offsetof(struct plot_opts, verbose), NULL,
	  .help = "say of each figure that is not drawn why" },
	{ .name = NULL },
};

static int parse_formats(const char *list, struct rh_draw *draw, struct rh_err *err)
{
	for (const char *at = list; *at;) {
		size_t bytes = strcspn(at, ",");

		if (bytes == 3 && memcmp(at, "svg", 3) == 0)
			draw->svg = true;
		else if (bytes == 3 && memcmp(at, "png", 3) == 0)
			draw->png = true;
		else if (bytes == 3 && memcmp(at, "pdf", 3) == 0)
			draw->pdf = true;
		else if (bytes == 3 && memcmp(at, "tex", 3) == 0)
			draw->tex = true;
		else
			return rh_fail(err, RH_USAGE,
				       "--format: '%.*s' is not one of svg, png, pdf, tex",
				       (int)bytes, at);
		at += bytes + (at[bytes] == ',');
	}
	draw->svg = true; /* the report shows it */
	return 0;
}

static bool on_path(const char *program)
{
	const char *path = getenv("PATH");
	char full[4096];

	while (path && *path) {
		size_t bytes = strcspn(path, ":");

		snprintf(full, sizeof(full), "%.*s/%s", (int)bytes, path, program);
		if (access(full, X_OK) == 0)
			return true;
		path += bytes + (path[bytes] == ':');
	}
	return false;
}

/* Missing measurements are reported once, not figure by figure: the page lists the reasons. */
static void print_absent(const struct rh_figures *figures, bool verbose)
{
	size_t absent = 0;

	for (size_t i = 0; i < figures->count; i++) {
		const struct rh_figure *figure = &figures->list[i];

		absent += figure->absent_why != NULL;
		if (figure->absent_why && verbose)
			rh_print(stderr, "reheap plot: no %s: %s\n", figure->name,
				 figure->absent_why);
	}
	if (absent && !verbose)
		rh_print(stderr,
			 "reheap plot: %zu figures are not drawn: what they show was not measured "
			 "(-v and the report say why)\n",
			 absent);
}

static int draw_all(const struct rh_view *view, const struct rh_figures *figures,
		    const struct rh_draw *draw, struct rh_err *err)
{
	for (size_t i = 0; i < figures->count; i++) {
		const struct rh_figure *figure = &figures->list[i];

		if (figure->absent_why)
			continue;
		rh_progress("drawing %s (%zu of %zu)", figure->name, i + 1, figures->count);
		if (rh_figure_write(view, figure, draw, err) < 0)
			return -1;
		rh_print(stdout, "%s/%s.svg\n", draw->dir, figure->name);
	}
	rh_progress("%s", "");
	return 0;
}

/* In words, as at the top of the page: the means of several settings, or the backends of one. */
static void print_verdict(const struct rh_view *view, const struct rh_figures *figures)
{
	if (view->baseline < 0 || view->scene_count == 0)
		return;
	putchar('\n');
	rh_verdict_worth(view, stdout);
	if (view->scene_count > 1)
		rh_verdict_overall(view, stdout);
	else
		rh_verdict_scene(view, 0, stdout);
	rh_verdict_sizes(figures, stdout);
}

/* The report of one outlier cell, drawn simply: people read a dozen of them at once. */
static int report_cell(const char *result, const char *dir, struct rh_err *err)
{
	struct rh_draw draw = { .dir = dir, .svg = true, .no_gnuplot = true };
	char plots_dir[4096], *paths[] = { (char *)(uintptr_t)result };
	struct rh_figures figures;
	struct rh_view view;
	int failed;

	draw.plots_dir = plots_dir;
	if (rh_install_path("plots/layout", plots_dir, sizeof(plots_dir), err) < 0 ||
	    rh_view_open(&view, paths, 1, "", err) < 0)
		return -1;
	rh_figures_build(&view, &figures);
	failed = rh_make_dirs(dir, err);
	for (size_t i = 0; i < figures.count && !failed; i++)
		if (!figures.list[i].absent_why)
			failed = rh_figure_write(&view, &figures.list[i], &draw, err);
	if (!failed)
		failed = rh_report_write(&view, &figures, &draw, err);
	rh_view_close(&view);
	return failed;
}

/* Makes the folder and waits until no other run draws into it: of two, the last one wins. *lock is
 * to be closed at the end; -1 where folders cannot be locked. */
static int claim_folder(const char *dir, int *lock, struct rh_err *err)
{
	if (rh_make_dirs(dir, err) < 0)
		return -1;
	*lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock >= 0)
		(void)flock(*lock, LOCK_EX);
	return 0;
}

static void leave_folder(int lock)
{
	if (lock >= 0)
		close(lock);
}

/* The folder of a matrix instead of results. */
static enum rh_exit plot_matrix(const struct plot_opts *o, const char *dir, struct rh_err *err)
{
	struct rh_overview overview = { .dir = dir, .since_dir = o->since, .report = report_cell };
	struct rh_draw draw = { .dir = o->out };
	char plots_dir[4096];
	int failed, lock = -1;

	draw.plots_dir = plots_dir;
	failed = rh_install_path("plots/layout", plots_dir, sizeof(plots_dir), err) < 0 ||
		 rh_store_open(&overview.store, dir, err) < 0 ||
		 (o->since && rh_store_open(&overview.since, o->since, err) < 0) ||
		 claim_folder(o->out, &lock, err) < 0 ||
		 rh_overview_write(&overview, &draw, err) < 0;
	leave_folder(lock);
	rh_store_close(overview.store);
	rh_store_close(overview.since);
	if (failed)
		return err->code;
	rh_print(stdout, "%s/matrix.csv\n%s/report.html\n", o->out, o->out);
	return RH_OK;
}

static enum rh_exit run_plot(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct plot_opts *o = opaque;
	struct rh_draw draw = { .dir = o->out };
	char plots_dir[4096];
	struct rh_figures figures;
	struct rh_view view;
	enum rh_exit code = RH_OK;
	int lock = -1;

	if (argc == 1 && rh_folder_is(argv[0]))
		return plot_matrix(o, argv[0], err);
	if (o->since)
		return rh_fail(err, RH_USAGE, "--since belongs to the folder of a matrix"),
		       RH_USAGE;
	draw.no_gnuplot = o->builtin || !on_path("gnuplot");
	draw.plots_dir = plots_dir;
	draw.style = o->style;
	if (rh_style_check(o->style, true, err) < 0 || parse_formats(o->format, &draw, err) < 0 ||
	    rh_install_path("plots/layout", plots_dir, sizeof(plots_dir), err) < 0 ||
	    rh_view_open(&view, argv, (size_t)argc, o->baseline, err) < 0)
		return err->code;
	if (draw.no_gnuplot && !o->builtin)
		fputs("reheap plot: gnuplot is not installed (gnuplot-nox): drawing simply\n",
		      stderr);
	if (draw.no_gnuplot && (draw.png || draw.pdf || draw.tex))
		fputs("reheap plot: png, pdf and tex need gnuplot: left out\n", stderr);
	if (draw.no_gnuplot && draw.style)
		fputs("reheap plot: --style is for gnuplot: left out\n", stderr);
	if (view.metric_count == 0)
		rh_fail(err, RH_BAD_DATA, "%s holds no metrics: nothing to draw", argv[0]);
	else
		rh_figures_build(&view, &figures);
	if (view.metric_count == 0 || claim_folder(o->out, &lock, err) < 0 ||
	    draw_all(&view, &figures, &draw, err) < 0 || rh_exports_write(&view, o->out, err) < 0 ||
	    rh_report_write(&view, &figures, &draw, err) < 0)
		code = err->code;
	else
		rh_print(stdout, "%s/report.html\n", o->out);
	leave_folder(lock);
	if (code == RH_OK) {
		print_verdict(&view, &figures);
		print_absent(&figures, o->verbose);
	}
	rh_view_close(&view);
	return code;
}

const struct rh_command rh_cmd_plot = {
	.name = "plot",
	.operands = "R.json... [-o DIR] | MATRIX [-o DIR]",
	.summary = "draw figures and a report from results",
	.details =
		"Writes DIR/report.html, one self-contained page that opens with the verdict in "
		"words, and for each figure NAME.svg, NAME.tsv (what is drawn) and NAME.gp (how; "
		"runs alone beside its .tsv). Several results share one report. The verdict is "
		"printed below their names. A figure whose data is absent is left out (-v: why). "
		"With --format tex LaTeX sets the words (\\input{NAME-tex.tex}; packages "
		"graphicx, color). results.csv, github-benchmark.json (customSmallerIsBetter) and "
		"bencher.json hold the same numbers for other tools; "
		"instructions-N-BACKEND.folded, where callgrind counted, the functions for a "
		"differential flame graph.\n"
		"\n"
		"The folder of a matrix gives one page: families of traces by backends, time and "
		"memory of all (Pareto), changes since an earlier matrix, and the outlier cells "
		"with a report for each; matrix.csv has every number.",
	.examples =
		"reheap plot run.json -o report\n"
		"reheap plot laptop.json server.json -o both --baseline jemalloc --format svg,pdf\n"
		"reheap plot m/ -o overview --since last-week/\n"
		"reheap plot run.json -o paper --format tex --style mine.gp",
	.opts = opts,
	.opts_bytes = sizeof(struct plot_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_plot,
};
