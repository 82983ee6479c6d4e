/*
 * figure.c - the picture of a gate: all blocks of all pairs, interval and margin.
 *
 * Three files in one folder: gate.tsv (what is drawn), gate.gp (facts and plots/layout/gate.gp: it
 * runs alone), gate.svg, dressed like the figures of `reheap plot`. Without gnuplot only the first
 * two are written, with a message.
 */
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "ci/gate/report.h"
#include "harness/result/stat.h"
#include "plots/figure/figure.h"

extern char **environ;

enum { KIND_BLOCK, KIND_DROPPED, KIND_PAIR, KIND_INTERVAL, KIND_NAME, KIND_SPAN };
enum { WIDTH = 460, ROW = 13, FRAME = 130, PART = 2 }; /* one column, as all figures */

static const char title[] = "Gate: change of wall time (lower is better)";
static const char caption[] = "Every block of a gate, with the interval of the median and the "
			      "limits it is held against.";

static double percent(double log_ratio)
{
	return isfinite(log_ratio) ? 100 * expm1(log_ratio) : NAN;
}

/* Tabs and line ends delimit; anything else may stand. */
static void label(const struct rh_gate_scenario *scenario, FILE *to)
{
	const struct rh_gate_look *look = &scenario->result[RH_GATE_WALL].look;
	char name[300];

	rh_gate_scenario_name(scenario, name, sizeof(name));
	for (char *c = name; *c; c++)
		fputc(strchr("\t\n\r\"", *c) ? ' ' : *c, to);
	fprintf(to, ": %+.1f %%", percent(look->median));
	if (isfinite(look->lo) && isfinite(look->hi))
		fprintf(to, " [%+.1f, %+.1f]", percent(look->lo), percent(look->hi));
	fprintf(to, ", %s", rh_gate_verdict_name(look->verdict));
}

static void put_pair(const struct rh_gate_scenario *scenario, size_t from, size_t to, size_t row,
		     FILE *out)
{
	double *kept = calloc(to - from + 1, sizeof(*kept));
	size_t count = 0;

	for (size_t i = from; i < to; i++) {
		const struct rh_gate_block *block = &scenario->blocks[i];

		fprintf(out, "%d\t%zu\t%.4f\tNaN\tNaN\t\n",
			block->dropped ? KIND_DROPPED : KIND_BLOCK, row,
			percent(block->d[RH_GATE_WALL]));
		if (kept && !block->dropped)
			kept[count++] = block->d[RH_GATE_WALL];
	}
	if (count) {
		rh_stat_sort(kept, count);
		fprintf(out, "%d\t%zu\t%.4f\tNaN\tNaN\t\n", KIND_PAIR, row,
			percent(rh_stat_median(kept, count)));
	}
	free(kept);
}

/* "mimalloc against libc": names come from outside and so stand in the data. */
static void put_sides(const struct rh_gate *gate, size_t row, FILE *out)
{
	char sides[300];

	snprintf(sides, sizeof(sides), "%.140s against %.140s", gate->side[1].label,
		 gate->side[0].label);
	for (char *c = sides; *c; c++)
		if (strchr("\t\n\r\"", *c))
			*c = ' ';
	fprintf(out, "%d\t%zu\tNaN\tNaN\tNaN\t%s\n", KIND_NAME, row, sides);
}

/* Returns the number of rows. */
static size_t put_data(const struct rh_gate *gate, FILE *out)
{
	size_t row = 0;

	fprintf(out, "kind\trow\tchange\tlow\thigh\tlabel\n");
	put_sides(gate, row++, out);
	for (size_t s = 0; s < gate->scenario_count; s++) {
		const struct rh_gate_scenario *scenario = &gate->scenarios[s];
		const struct rh_gate_look *look = &scenario->result[RH_GATE_WALL].look;
		size_t first = row + 1;

		if (!scenario->block_count)
			continue;
		fprintf(out, "%d\t%zu\tNaN\tNaN\tNaN\t", KIND_NAME, row++);
		label(scenario, out);
		fprintf(out, "\n%d\t%zu\t%.4f\t%.4f\t%.4f\t\n", KIND_INTERVAL, row++,
			percent(look->median),
			percent(isfinite(look->lo) ? look->lo : look->median),
			percent(isfinite(look->hi) ? look->hi : look->median));
		for (size_t from = 0, to; from < scenario->block_count; from = to) {
			for (to = from; to < scenario->block_count &&
					scenario->blocks[to].pair == scenario->blocks[from].pair;
			     to++)
				;
			put_pair(scenario, from, to, row++, out);
		}
		fprintf(out, "%d\t%zu\tNaN\t%.1f\t%.1f\t\n", KIND_SPAN, row, (double)first - 0.5,
			(double)row - 0.5);
	}
	return row > 1 ? row : 0;
}

/* The threshold four times over to both sides, and whatever the interval needs. */
static double reach(const struct rh_gate *gate, double threshold)
{
	double most = 4 * threshold;

	for (size_t s = 0; s < gate->scenario_count; s++) {
		const struct rh_gate_look *look = &gate->scenarios[s].result[RH_GATE_WALL].look;

		if (!gate->scenarios[s].block_count)
			continue;
		most = fmax(most, 1.3 * fabs(percent(look->hi)));
		most = fmax(most, 1.3 * fabs(percent(look->lo)));
	}
	return fmin(most, 100);
}

/* Sequential processes are judged at a wider threshold than requested. */
static double widest(const struct rh_gate *gate)
{
	double most = gate->config.metric_threshold[RH_GATE_WALL];

	for (size_t s = 0; s < gate->scenario_count; s++)
		if (gate->scenarios[s].block_count)
			most = fmax(most, gate->scenarios[s].result[RH_GATE_WALL].rule.threshold);
	return most;
}

static bool any_apart(const struct rh_gate *gate)
{
	for (size_t s = 0; s < gate->scenario_count; s++)
		if (gate->scenarios[s].apart)
			return true;
	return false;
}

static bool any_dropped(const struct rh_gate *gate)
{
	for (size_t s = 0; s < gate->scenario_count; s++)
		if (gate->scenarios[s].dropped)
			return true;
	return false;
}

static int copy_file(const char *path, FILE *out, struct rh_err *err)
{
	char line[1024];
	FILE *in = fopen(path, "re");

	if (!in)
		return rh_fail_errno(err, RH_ABSENT, "%s cannot be read", path);
	while (fgets(line, sizeof(line), in))
		fputs(line, out);
	fclose(in);
	fputc('\n', out);
	return 0;
}

/* The layout, with a style at its place. */
static int copy_script(FILE *out, const char *style, struct rh_err *err)
{
	static const char place[] = "# A style of your own stands here";
	char path[4096], dir[4096], line[1024];
	int result = 0;
	FILE *in;

	if (rh_install_path("plots/layout", dir, sizeof(dir), err) < 0)
		return -1;
	if (snprintf(path, sizeof(path), "%s/gate.gp", dir) >= (int)sizeof(path))
		return rh_fail(err, RH_USAGE, "the path of %s is too long", dir);
	in = fopen(path, "re");
	if (!in)
		return rh_fail_errno(err, RH_ABSENT, "%s cannot be read", path);
	while (result == 0 && fgets(line, sizeof(line), in)) {
		fputs(line, out);
		if (style && strncmp(line, place, strlen(place)) == 0)
			result = copy_file(style, out, err);
	}
	fclose(in);
	return result;
}

/* gate.svg as gnuplot left it becomes one that can share a page and follows its colours. */
static int dress(const char *dir, struct rh_err *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/gate.svg", dir);
	return rh_svg_dress_file(path, "gate", title, caption, err);
}

static int gnuplot(const char *dir, const char *style, struct rh_err *err)
{
	const char *const argv[] = { "sh", "-c", "cd \"$1\" && exec gnuplot gate.gp 2>/dev/null",
				     "sh", dir,	 NULL };
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "sh", NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
		return rh_fail(err, RH_OS, "sh cannot be run");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		fprintf(stderr,
			"reheap gate: gnuplot is not installed: %s/gate.gp draws it "
			"elsewhere\n",
			dir);
		return 0;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return rh_fail(err, RH_FAILED, "gnuplot could not draw %s/gate.gp%s%s", dir,
			       style ? "; it holds --style " : "", style ? style : "");
	return dress(dir, err);
}

static FILE *create(const char *dir, const char *name, struct rh_err *err)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	if (!file)
		rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be created", path);
	return file;
}

static int write_script(const struct rh_gate *gate, const char *dir, size_t rows, const char *style,
			struct rh_err *err)
{
	double threshold = 100 * widest(gate);
	double far = reach(gate, threshold);
	FILE *out = create(dir, "gate.gp", err);
	int result;

	if (!out)
		return -1;
	fprintf(out,
		"name = 'gate'\nW = %d\nH = %zu\nrows = %zu\ndropped = %d\n"
		"apart = %d\n",
		WIDTH, rows * ROW + FRAME, rows, any_dropped(gate), any_apart(gate));
	fprintf(out, "threshold = %.4f\nmargin = %.4f\nlow = %.2f\nhigh = %.2f\n", threshold,
		threshold / PART, -far, far);
	result = copy_script(out, style, err);
	if (fclose(out) != 0 && result == 0)
		result = rh_fail_errno(err, RH_IO, "%s/gate.gp cannot be written", dir);
	return result;
}

int rh_gate_plot(const struct rh_gate *gate, const char *dir, const char *style, struct rh_err *err)
{
	FILE *out;
	size_t rows;

	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be made", dir);
	out = create(dir, "gate.tsv", err);
	if (!out)
		return -1;
	rows = put_data(gate, out);
	if (fclose(out) != 0)
		return rh_fail_errno(err, RH_IO, "%s/gate.tsv cannot be written", dir);
	if (rows == 0) {
		fprintf(stderr, "reheap gate: no wall times were measured, there is nothing to "
				"draw\n");
		return 0;
	}
	if (write_script(gate, dir, rows, style, err) < 0)
		return -1;
	return gnuplot(dir, style, err);
}
