/*
 * fidelity_tell.c - what a fidelity run found: table, causes, verdict, and the data of the
 * plot (plots/fidelity.gp draws it).
 */
#include "harness/fidelity/fidelity.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "harness/command.h"

extern char **environ;

static const struct { const char *name, *unit, *meaning; } curves[] = {
#define X(name, word, unit, meaning) { word, unit, meaning },
	FIDELITY_CURVES(X)
#undef X
};

/* Relative difference of replayed from recorded. None is what the recorder itself lost: it
 * told of stacks in spans that it had not told of (Go 1.23 does). */
static double difference(const struct rh_fidelity_edge *edge, int curve)
{
	double recorded = (double)edge->curve[curve][0], replayed = (double)edge->curve[curve][1];

	if (curve == FIDELITY_STACK && fabs(replayed - recorded) <= (double)edge->lost_stacks)
		return 0;
	if (recorded > 0)
		return (replayed - recorded) / recorded;
	return replayed > 0;
}

struct worst { double share, mean; uint32_t at, within, equal; };

static struct worst worst_of(const struct rh_fidelity *f, int curve, double limit)
{
	struct worst worst = { 0 };

	for (uint32_t i = 0; i < f->edge_count; i++) {
		double share = difference(&f->edges[i], curve);

		worst.mean += share / f->edge_count;
		worst.within += fabs(share) <= limit;
		worst.equal += f->edges[i].curve[curve][0] == f->edges[i].curve[curve][1];
		if (fabs(share) > fabs(worst.share)) {
			worst.share = share;
			worst.at = i;
		}
	}
	return worst;
}

static const char *verdict_of(bool good)
{
	return good ? "ok" : "OUTSIDE";
}

static void tell_row(FILE *to, const char *name, uint64_t recorded, uint64_t replayed,
		     const char *remark)
{
	double share = recorded ? 100.0 * ((double)replayed - (double)recorded) / (double)recorded :
				  0;

	fprintf(to, "  %-28s %15" PRIu64 " %15" PRIu64 " %+8.2f%%  %s\n", name, recorded, replayed,
		share, remark);
}

static bool tell_classes(FILE *to, const struct rh_fidelity *f)
{
	uint64_t right = f->class_right - f->class_differs;
	bool good = f->class_right == f->objects && f->class_differs == 0;
	char remark[96];

	snprintf(remark, sizeof(remark), "%s", verdict_of(good));
	tell_row(to, "objects in their span class", f->objects, right, remark);
	return good;
}

/* The edge where a curve is furthest off, and how far on the whole. */
static bool tell_curve(FILE *to, const struct rh_fidelity *f, int curve, double limit)
{
	struct worst worst = worst_of(f, curve, limit);
	const struct rh_fidelity_edge *edge = &f->edges[worst.at];
	bool good = worst.within == f->edge_count;
	char remark[128];

	snprintf(remark, sizeof(remark),
		 "%s; %u of %u edges within, %u equal; worst: cycle %" PRIu64 " %s; mean %+.2f%%",
		 verdict_of(good), worst.within, f->edge_count, worst.equal, edge->cycle,
		 edge->ends ? "end" : "begin", 100 * worst.mean);
	tell_row(to, curves[curve].name, edge->curve[curve][0], edge->curve[curve][1], remark);
	return good;
}

/* Goroutines that end leave their stacks to new ones; how many are made besides tells. Which
 * ended ones had a stack when recording began, and on which P, no trace tells. */
static void tell_stacks(FILE *to, const struct rh_fidelity *tasks)
{
	char name[48];

	for (unsigned i = 0; i < FIDELITY_ORDERS; i++) {
		const uint64_t *allocs = tasks->stack_allocs[i], *frees = tasks->stack_frees[i];

		if (!allocs[0] && !frees[0] && !allocs[1] && !frees[1])
			continue;
		snprintf(name, sizeof(name), "stacks of %u KiB made", 2u << i);
		tell_row(to, name, allocs[0], allocs[1], "by tasks");
		snprintf(name, sizeof(name), "stacks of %u KiB freed", 2u << i);
		tell_row(to, name, frees[0], frees[1], "by tasks");
	}
}

/* Where bytes of HeapInuse differ: objects, or slots that wait for one. */
static void tell_causes(FILE *to, const struct rh_fidelity *f, double limit)
{
	struct worst worst = worst_of(f, FIDELITY_HEAP, limit);
	const struct rh_fidelity_edge *edge = &f->edges[worst.at];
	int64_t live = (int64_t)(edge->curve[FIDELITY_LIVE][1] - edge->curve[FIDELITY_LIVE][0]);
	int64_t slots = (int64_t)(edge->free_slots[1] - edge->free_slots[0]);
	int64_t all = (int64_t)(edge->curve[FIDELITY_HEAP][1] - edge->curve[FIDELITY_HEAP][0]);

	if (!f->edge_count)
		return;
	fprintf(to, "\nHeapInuse differs by %+" PRId64 " bytes at the worst edge:\n", all);
	fprintf(to, "  %+15" PRId64 "  living objects (estimated sizes of %" PRIu64 " of %" PRIu64
		" objects; tiny blocks)\n", live, f->estimated, f->objects);
	fprintf(to, "  %+15" PRId64 "  free slots: another span was swept first or taken first\n",
		slots);
	fprintf(to, "  %+15" PRId64 "  ends of spans\n", all - live - slots);
	fprintf(to, "Not compared, because no event tells: pages parked in page caches, memory "
		"the runtime takes past its heap.\n");
	if (f->edges[f->edge_count - 1].lost_stacks)
		fprintf(to, "StackInuse may differ by %" PRIu64 " bytes: the recorder lost events "
			"of their spans.\n", f->edges[f->edge_count - 1].lost_stacks);
	if (f->failed)
		fprintf(to, "%" PRIu64 " operations were refused by the backend.\n", f->failed);
}

static void tell_edges(FILE *to, const struct rh_fidelity *f)
{
	fprintf(to, "\n  %-12s", "edge");
	for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
		fprintf(to, " %14s %14s", curves[c].name, "replayed");
	fputc('\n', to);
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		fprintf(to, "  %5" PRIu64 " %-6s", edge->cycle, edge->ends ? "end" : "begin");
		for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
			fprintf(to, " %14" PRIu64 " %14" PRIu64, edge->curve[c][0],
				edge->curve[c][1]);
		fputc('\n', to);
	}
}

/* The pacer on its own: how many cycles it wants, and where it sets the goal. */
static void tell_oracle(FILE *to, const struct rh_fidelity *f, const struct rh_fidelity *late,
			const struct rh_fidelity *early)
{
	double goals = 0;
	uint32_t counted = 0;

	fputs("\nThe heap's own pacer (gc=oracle), for comparison. A trace tells of a death when a "
	      "recorded\ncycle has found it; a cycle at another moment would have found some of "
	      "them:\n", to);
	tell_row(to, "cycles, deaths then", f->cycles[0], late->cycles[1], "as late as can be");
	tell_row(to, "cycles, deaths before", f->cycles[0], early->cycles[1], "as early as can be");
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		if (!edge->ends || !edge->heap_goal[0] || !edge->heap_goal[1])
			continue;
		goals += (double)edge->heap_goal[1] / (double)edge->heap_goal[0];
		counted++;
	}
	if (counted)
		fprintf(to, "  heap goal over recorded goal after the same cycles, mean of %u: "
			"%.3f\n", counted, goals / counted);
}

bool rh_fidelity_tell(const struct rh_fidelity *recorded, const struct rh_fidelity *late,
		      const struct rh_fidelity *early, double limit, const char *path,
		      bool all_edges, FILE *to)
{
	const struct rh_fidelity *f = recorded;
	bool good;

	fprintf(to, "%s: format %s, %" PRIu64 " events, on %s\n\n", path, f->format, f->events,
		f->backend);
	fprintf(to, "  %-28s %15s %15s %9s\n", "", "recorded", "replayed", "differ");
	good = tell_classes(to, f) && f->failed == 0;
	for (int c = 0; c < FIDELITY_CURVE_COUNT && f->edge_count; c++)
		good &= tell_curve(to, f, c, limit);
	tell_row(to, "stacks made, StackInuse then", f->stacks_made, f->stacks_right,
		 "replayed: equal right after");
	tell_row(to, "spans made", f->span_allocs[0], f->span_allocs[1], "");
	tell_row(to, "spans freed", f->span_frees[0], f->span_frees[1], "");
	if (late)
		tell_stacks(to, late);
	tell_causes(to, f, limit);
	if (late && early)
		tell_oracle(to, f, late, early);
	if (all_edges)
		tell_edges(to, f);
	if (!f->edge_count)
		fputs("\nThe trace holds no collection: only the classes could be compared.\n", to);
	fprintf(to, "\n%s: every object in its class, every curve within %g%% at every edge of a "
		"collection%s\n", good ? "PASS" : "FAIL", 100 * limit, good ? "" : ": no");
	return good;
}

/* ---- the plot ---- */

static int write_data(const struct rh_fidelity *f, const char *path, struct rh_err *err)
{
	FILE *to = fopen(path, "w");

	if (!to)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s", path);
	fputs("cycle\tedge\ttime_ms", to);
	for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
		fprintf(to, "\t%s recorded\t%s replayed", curves[c].name, curves[c].name);
	fputc('\n', to);
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		fprintf(to, "%" PRIu64 "\t%s\t%.3f", edge->cycle, edge->ends ? "end" : "begin",
			(double)edge->time_ns / 1e6);
		for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
			fprintf(to, "\t%" PRIu64 "\t%" PRIu64, edge->curve[c][0],
				edge->curve[c][1]);
		fputc('\n', to);
	}
	if (fclose(to) != 0)
		return rh_fail_errno(err, RH_IO, "%s", path);
	return 0;
}

int rh_fidelity_plot(const struct rh_fidelity *fidelity, const char *path, const char *prefix,
		     struct rh_err *err)
{
	char data[4096], svg[4096], script[4096], plots[4096], set[4 * 4096];
	char program[] = "gnuplot", flag[] = "-e";
	char *argv[] = { program, flag, set, script, NULL };
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	int status;
	pid_t pid;

	if (strchr(prefix, '\'') || strchr(name, '\'') || strlen(prefix) > 4000)
		return rh_fail(err, RH_USAGE, "--plot: a name without ' and not that long, please");
	snprintf(data, sizeof(data), "%s.tsv", prefix);
	snprintf(svg, sizeof(svg), "%s.svg", prefix);
	snprintf(set, sizeof(set), "data='%s'; picture='%s'; title_text='%s: Go as recorded, and "
		 "replayed'", data, svg, name);
	if (write_data(fidelity, data, err) < 0 ||
	    rh_find_part("plots", plots, sizeof(plots), err) < 0)
		return -1;
	if ((size_t)snprintf(script, sizeof(script), "%s/fidelity.gp", plots) >= sizeof(script))
		return rh_fail(err, RH_BUG, "the path of the plots is too long");
	if (posix_spawnp(&pid, program, NULL, NULL, argv, environ) != 0) {
		fprintf(stderr, "reheap fidelity: gnuplot is not installed (gnuplot-nox): only %s "
			"was written\n", data);
		return 0;
	}
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
		fprintf(stderr, "reheap fidelity: gnuplot is not installed (gnuplot-nox): only %s "
			"was written\n", data);
	else if (WEXITSTATUS(status) != 0)
		return rh_fail(err, RH_FAILED, "gnuplot could not draw %s", data);
	return 0;
}
