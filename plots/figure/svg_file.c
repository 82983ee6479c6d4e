/*
 * svg_file.c - figures that are drawn by a script of plots/layout and have no builder: gnuplot
 * makes PREFIX.svg from an existing PREFIX.tsv, and the SVG is adapted like all others.
 */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "plots/figure/figure.h"
#include "plots/figure/svg_pack.h"
#include "harness/result/pool.h"

extern char **environ;

/* What a figure says of itself. */
struct words {
	const char *id, *title, *caption;
};

static int put_whole(const char *path, const char *text, size_t bytes, struct rh_err *err)
{
	struct rh_outfile out;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	if (rh_write_all(out.fd, text, bytes, path, err) < 0) {
		rh_outfile_abandon(&out);
		return -1;
	}
	return rh_outfile_commit(&out, err);
}

int rh_figure_put(const char *dir, const char *name, const char *text, size_t bytes,
		  struct rh_err *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return put_whole(path, text, bytes, err);
}

/* Dressed and packed. */
static char *finished(const char *svg, const struct words *words, size_t *bytes)
{
	char *dressed = NULL, *packed = NULL;
	size_t dressed_bytes;
	FILE *to = rh_memory_text(&dressed, &dressed_bytes);

	rh_svg_dress(svg, words->id, words->title, words->caption, to);
	fclose(to);
	to = rh_memory_text(&packed, bytes);
	rh_svg_pack(dressed, to);
	free(dressed);
	fclose(to);
	return packed;
}

int rh_svg_dress_file(const char *path, const char *id, const char *title, const char *caption,
		      struct rh_err *err)
{
	const struct words words = { id, title, caption };
	char *svg, *text;
	struct rh_filemap map;
	size_t bytes = 0;
	int result = -1;

	if (rh_filemap_open(&map, path, err) < 0)
		return -1;
	svg = map.base ? strndup((const char *)map.base, map.bytes) : strdup("");
	rh_filemap_close(&map);
	text = svg ? finished(svg, &words, &bytes) : NULL;
	if (text)
		result = put_whole(path, text, bytes, err);
	else
		rh_fail(err, RH_OS, "no memory to draw %s", path);
	free(text);
	free(svg);
	return result;
}

int rh_style_check(const char *style, bool draws, struct rh_err *err)
{
	struct rh_filemap map;

	if (!style)
		return 0;
	if (!draws)
		return rh_fail(err, RH_USAGE, "--style is for a figure: name one with --plot");
	if (strchr(style, '\'') || strlen(style) > 4000)
		return rh_fail(err, RH_USAGE,
			       "--style: a name without ' and not that long, please");
	if (rh_filemap_open(&map, style, err) < 0)
		return rh_err_prefix(err, "--style");
	rh_filemap_close(&map);
	return 0;
}

/* Runs the layout; false when there is no gnuplot. *status as waitpid has it. */
static bool run_layout(const char *layout, char *set, int *status)
{
	char program[] = "gnuplot", flag[] = "-e";
	char *argv[] = { program, flag, set, (char *)(uintptr_t)layout, NULL };
	pid_t pid;

	if (posix_spawnp(&pid, program, NULL, NULL, argv, environ) != 0)
		return false;
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return !WIFEXITED(*status) || WEXITSTATUS(*status) != 127;
}

int rh_figure_script(const struct rh_script *script, const char *prefix, struct rh_err *err)
{
	char file[4096 + 64], plots[4096], picture[4096 + 8], *set;
	const char *name = rh_base_name(script->of);
	int status = 0;
	bool started;

	if (strchr(prefix, '\'') || strchr(name, '\'') || strlen(prefix) > 4000 ||
	    strlen(name) > 4000)
		return rh_fail(err, RH_USAGE, "--plot: a name without ' and not that long, please");
	if (rh_style_check(script->style, true, err) < 0)
		return -1;
	if (rh_install_path("plots/layout", plots, sizeof(plots), err) < 0)
		return -1;
	snprintf(file, sizeof(file), "%s/%s.gp", plots, script->id);
	if (asprintf(&set, "data='%s.tsv'; picture='%s.svg'; about='%s'%s%s%s", prefix, prefix,
		     name, script->style ? "; own_style='" : "", script->style ? script->style : "",
		     script->style ? "'" : "") < 0)
		return rh_fail(err, RH_OS, "no memory to draw %s.svg", prefix);
	started = run_layout(file, set, &status);
	free(set);
	if (!started) {
		rh_print(stderr,
			 "reheap: gnuplot is not installed (gnuplot-nox): only %s.tsv was "
			 "written\n",
			 prefix);
		return 0;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return rh_fail(err, RH_FAILED, "gnuplot could not draw %s.tsv%s%s", prefix,
			       script->style ? "; is that --style of yours? " : "",
			       script->style ? script->style : "");
	snprintf(picture, sizeof(picture), "%s.svg", prefix);
	return rh_svg_dress_file(picture, script->id, script->title, script->caption, err);
}
