/*
 * report.c - what a fidelity run found: table, causes, verdict, and the data of the
 * plot (plots/layout/fidelity.gp draws it).
 */
#include "harness/fidelity/fidelity.h"
#include "alloc/base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS_PRINTED = 5, ONE_STACK_SPAN = 32768 };

/* The stacks and globals that goals count are modelled by one number for the whole run. */
#define GOAL_LIMIT 0.05

static const struct {
	const char *name, *unit, *meaning;
} curves[] = {
#define X(name, word, unit, meaning) { word, unit, meaning },
	FIDELITY_CURVES(X)
#undef X
};

/* Relative difference of replayed from recorded. What the recorder itself lost is no difference: Go
 * 1.23 reports stacks in spans that it never reported. */
static double difference(const struct rh_fidelity_edge *edge, int curve)
{
	double recorded = (double)edge->curve[curve][0], replayed = (double)edge->curve[curve][1];

	if (curve == FIDELITY_STACK && fabs(replayed - recorded) <= (double)edge->lost_stacks)
		return 0;
	if (recorded > 0)
		return (replayed - recorded) / recorded;
	return replayed > 0;
}

/* Absolute tolerance of a curve: one span; for all spans together one per P, because no event says
 * what each P had in its cache when recording began. */
static bool within(const struct rh_fidelity *f, const struct rh_fidelity_edge *edge, int curve,
		   double limit)
{
	int64_t off = (int64_t)(edge->curve[curve][1] - edge->curve[curve][0]);
	int64_t one = curve == FIDELITY_STACK				  ? ONE_STACK_SPAN
		      : curve == FIDELITY_SPANS				  ? (int64_t)f->lanes
		      : curve == FIDELITY_HEAP || curve == FIDELITY_PACER ? RH_GO_PAGE
									  : 0;

	if (curve == FIDELITY_GOAL)
		limit = GOAL_LIMIT;

	return fabs(difference(edge, curve)) <= limit || llabs(off) <= one;
}

struct worst {
	double share, mean;
	uint32_t at, within, equal, of;
	uint32_t unjudged; /* goals */
};

/* The pacer's state comes from the cycle before, which is not recorded for the first one. `ended` =
 * recorded cycles that have ended. */
static bool is_judged(const struct rh_fidelity_edge *edge, int curve, uint32_t ended)
{
	return curve < FIDELITY_PACER || (ended && edge->curve[curve][0]);
}

/* No trace records how much of the stacks is scanned: between none and all. Goals that differ by
 * more than the limit but by less than that are not judged. */
static bool stacks_explain(const struct rh_fidelity *f, uint32_t i)
{
	const struct rh_fidelity_edge *edge = &f->edges[i];
	uint64_t stacks = edge->curve[FIDELITY_STACK][0];
	int64_t off = (int64_t)(edge->curve[FIDELITY_GOAL][1] - edge->curve[FIDELITY_GOAL][0]);

	/* A goal was set when the cycle before ended. */
	for (uint32_t before = i; before-- > 0 && before + 3 > i;)
		if (f->edges[before].curve[FIDELITY_STACK][0] > stacks)
			stacks = f->edges[before].curve[FIDELITY_STACK][0];
	return (uint64_t)llabs(off) <= stacks / 100 * f->gogc;
}

static struct worst worst_of(const struct rh_fidelity *f, int curve, double limit)
{
	struct worst worst = { 0 };
	uint32_t ended = 0;

	for (uint32_t i = 0; i < f->edge_count; i++) {
		double share = difference(&f->edges[i], curve);
		bool judged = is_judged(&f->edges[i], curve, ended);

		ended += f->edges[i].ends;
		if (!judged)
			continue;
		if (curve == FIDELITY_GOAL && !within(f, &f->edges[i], curve, limit) &&
		    stacks_explain(f, i)) {
			worst.unjudged++;
			continue;
		}
		worst.of++;
		worst.mean += share;
		worst.within += within(f, &f->edges[i], curve, limit);
		worst.equal += f->edges[i].curve[curve][0] == f->edges[i].curve[curve][1];
		if (fabs(share) > fabs(worst.share)) {
			worst.share = share;
			worst.at = i;
		}
	}
	worst.mean /= worst.of ? worst.of : 1;
	return worst;
}

static const char *verdict_of(bool good)
{
	return good ? "ok" : "OUTSIDE";
}

static void print_row(FILE *to, const char *name, uint64_t recorded, uint64_t replayed,
		      const char *remark)
{
	double share =
		recorded ? 100.0 * ((double)replayed - (double)recorded) / (double)recorded : 0;

	rh_print(to, "  %-28s %15" PRIu64 " %15" PRIu64 " %+8.2f%%  %s\n", name, recorded, replayed,
		 share, remark);
}

static bool classes_right(const struct rh_fidelity *f)
{
	return f->class_right == f->objects && f->class_differs == 0 && f->failed == 0;
}

static bool print_classes(FILE *to, const struct rh_fidelity *f)
{
	uint64_t right = f->class_right - f->class_differs;
	bool good = f->class_right == f->objects && f->class_differs == 0;
	char remark[96];

	snprintf(remark, sizeof(remark), "%s", verdict_of(good));
	print_row(to, "objects in their span class", f->objects, right, remark);
	return good;
}

/* Curves that the recorder could not give (1.23 loses events of stacks), and goals of a setting
 * that is not known. */
static bool cannot_compare(const struct rh_fidelity *f, int curve)
{
	return (f->unseen[0] && curve == FIDELITY_STACK) ||
	       ((!f->setting[0] || f->no_goals[0]) && curve == FIDELITY_GOAL);
}

static bool curve_right(const struct rh_fidelity *f, int curve, double limit)
{
	struct worst worst = worst_of(f, curve, limit);

	return worst.within == worst.of;
}

/* Only the stacks differ, and two Ps met at a pool of stacks where nothing says which was first. */
static bool stacks_open(const struct rh_fidelity *f, double limit)
{
	if (!f->stacks_open || curve_right(f, FIDELITY_STACK, limit))
		return false;
	for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
		if (c != FIDELITY_STACK && !curve_right(f, c, limit) && !cannot_compare(f, c))
			return false;
	return true;
}

/*
 * An object with a finalizer is scanned as a root, whose bytes count as marked, and marked once
 * more when it is reached (markroot, scanObject): Go's heap_live has it twice, and no event says
 * which objects have one. It shows as this and nothing else: spans and objects are right, Go
 * counts more, and by as much as a cycle begins as when it ends, since only the cycle before it
 * counted. The bytes at most, 0 when it is not that.
 */
static uint64_t counted_twice(const struct rh_fidelity *f, double limit)
{
	int64_t most = 0, last = 0;
	uint32_t ended = 0;

	if (curve_right(f, FIDELITY_PACER, limit))
		return 0;
	for (int c = FIDELITY_HEAP; c < FIDELITY_PACER; c++)
		if (!curve_right(f, c, limit) && !cannot_compare(f, c))
			return 0;
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];
		int64_t more =
			(int64_t)(edge->curve[FIDELITY_PACER][0] - edge->curve[FIDELITY_PACER][1]);

		if (ended && (more < 0 || (uint64_t)more > edge->curve[FIDELITY_LIVE][0] ||
			      (edge->ends && llabs(more - last) > RH_GO_PAGE)))
			return 0;
		most = ended && more > most ? more : most;
		ended += edge->ends;
		last = more;
	}
	return (uint64_t)most;
}

/*
 * A chunk of an arena of the user (package arena; arena.go) counts as live, 8 MiB less the bitmap
 * in it, from when it is taken until a cycle finds that its arena was freed, and no event tells of
 * it or of the objects inside. It shows as so many bytes more in heap_live and nothing else. The
 * chunks at most, 0 when it is not that.
 */
static uint64_t arena_chunks(const struct rh_fidelity *f, double limit)
{
	const double chunk = (8 << 20) - (8 << 20) / 64;
	double most = 0;

	for (int c = FIDELITY_HEAP; c < FIDELITY_PACER; c++)
		if (!curve_right(f, c, limit) && !cannot_compare(f, c))
			return 0;
	for (uint32_t i = 0, ended = 0; i < f->edge_count; i++) {
		const uint64_t *live = f->edges[i].curve[FIDELITY_PACER];
		double more = (double)live[0] - (double)live[1], chunks = round(more / chunk);

		if (ended && fabs(more - chunks * chunk) > limit * (double)live[1] + RH_GO_PAGE)
			return 0;
		if (ended && chunks > most)
			most = chunks;
		ended += f->edges[i].ends;
	}
	return (uint64_t)most;
}

/* The edge where a curve is furthest off, and how far on the whole. */
static bool print_curve(FILE *to, const struct rh_fidelity *f, int curve, double limit)
{
	struct worst worst = worst_of(f, curve, limit);
	const struct rh_fidelity_edge *edge = &f->edges[worst.at];
	bool good = worst.within == worst.of;
	char remark[160], unjudged[96] = "", line[256];

	if (!worst.of && !worst.unjudged)
		return true;
	if (worst.unjudged)
		snprintf(unjudged, sizeof(unjudged),
			 "; %u more not judged: of stacks nobody knows how much is scanned",
			 worst.unjudged);
	snprintf(remark, sizeof(remark),
		 "%s; %u of %u edges within, %u equal; worst: cycle %" PRIu64 " %s; mean %+.2f%%",
		 cannot_compare(f, curve) ? "not judged" : verdict_of(good), worst.within, worst.of,
		 worst.equal, edge->cycle, edge->ends ? "end" : "begin", 100 * worst.mean);
	snprintf(line, sizeof(line), "%s%s", remark, unjudged);
	print_row(to, curves[curve].name, edge->curve[curve][0], edge->curve[curve][1], line);
	return good;
}

/* New goroutines reuse the stacks of ended ones; the number of stacks made besides shows how often.
 * No trace records which ended goroutines still had a stack when recording began, and on which P.
 */
static void print_stacks(FILE *to, const struct rh_fidelity *tasks)
{
	char name[48];

	for (unsigned i = 0; i < FIDELITY_ORDERS; i++) {
		const uint64_t *allocs = tasks->stack_allocs[i], *frees = tasks->stack_frees[i];

		if (!allocs[0] && !frees[0] && !allocs[1] && !frees[1])
			continue;
		snprintf(name, sizeof(name), "stacks of %u KiB made", 2u << i);
		print_row(to, name, allocs[0], allocs[1], "by tasks");
		snprintf(name, sizeof(name), "stacks of %u KiB freed", 2u << i);
		print_row(to, name, frees[0], frees[1], "by tasks");
	}
}

/* Which classes have more or fewer spans at an edge, the furthest off first. */
static void print_kinds(FILE *to, const struct rh_fidelity_edge *edge)
{
	bool printed[FIDELITY_KINDS] = { false };

	for (int row = 0; row < KINDS_PRINTED; row++) {
		int worst = -1, far = 0;

		for (int kind = 0; kind < FIDELITY_KINDS; kind++) {
			int off = abs((int)edge->spans[kind][1] - (int)edge->spans[kind][0]);

			if (!printed[kind] && off > far) {
				far = off;
				worst = kind;
			}
		}
		if (worst < 0)
			return;
		printed[worst] = true;
		rh_print(to,
			 "  %+15d  spans of class %d %s (%" PRIu32 " in Go, %" PRIu32 " here)\n",
			 (int)edge->spans[worst][1] - (int)edge->spans[worst][0], worst >> 1,
			 worst & 1 ? "noscan" : "scan", edge->spans[worst][0],
			 edge->spans[worst][1]);
	}
}

/* Where bytes of HeapInuse differ: objects, or slots that wait for one. */
static void print_causes(FILE *to, const struct rh_fidelity *f, double limit)
{
	struct worst worst = worst_of(f, FIDELITY_HEAP, limit);
	const struct rh_fidelity_edge *edge = &f->edges[worst.at];
	int64_t live = (int64_t)(edge->curve[FIDELITY_LIVE][1] - edge->curve[FIDELITY_LIVE][0]);
	int64_t slots = (int64_t)(edge->free_slots[1] - edge->free_slots[0]);
	int64_t all = (int64_t)(edge->curve[FIDELITY_HEAP][1] - edge->curve[FIDELITY_HEAP][0]);

	if (!f->edge_count)
		return;
	fprintf(to, "\nHeapInuse differs by %+" PRId64 " bytes at the worst edge:\n", all);
	fprintf(to,
		"  %+15" PRId64 "  living objects (estimated sizes of %" PRIu64 " of %" PRIu64
		" objects; tiny blocks)\n",
		live, f->estimated, f->objects);
	fprintf(to,
		"  %+15" PRId64
		"  free slots, in spans that were swept or taken in another order\n",
		slots);
	fprintf(to, "  %+15" PRId64 "  ends of spans\n", all - live - slots);
	print_kinds(to, edge);
	fprintf(to, "Not compared, because no event records them: pages parked in page caches, "
		    "memory the runtime takes past its heap.\n");
	if (f->edges[f->edge_count - 1].lost_stacks)
		fprintf(to,
			"StackInuse may differ by %" PRIu64 " bytes: the recorder lost events "
			"of their spans.\n",
			f->edges[f->edge_count - 1].lost_stacks);
	if (f->failed)
		fprintf(to, "%" PRIu64 " operations were refused by the backend.\n", f->failed);
}

static void print_edges(FILE *to, const struct rh_fidelity *f)
{
	rh_print(to, "\n  %-12s", "edge");
	for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
		rh_print(to, " %14s %14s", curves[c].name, "replayed");
	fputc('\n', to);
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		rh_print(to, "  %5" PRIu64 " %-6s", edge->cycle, edge->ends ? "end" : "begin");
		for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
			fprintf(to, " %14" PRIu64 " %14" PRIu64, edge->curve[c][0],
				edge->curve[c][1]);
		fputc('\n', to);
	}
}

/* The pacer on its own: how many cycles it starts, and where it sets the goal. */
static void print_oracle(FILE *to, const struct rh_fidelity *f, const struct rh_fidelity *late,
			 const struct rh_fidelity *early)
{
	double goals = 0;
	uint32_t counted = 0, ends = 0;

	fputs("\nThe heap's own pacer (gc=oracle), for comparison. A trace records a death when a "
	      "recorded\ncycle finds it; a cycle at another moment would have found some of "
	      "them.\n",
	      to);
	rh_print(to, "As the program ran, by its goals and cycles: %s\n",
		 late->setting[0] ? late->setting : "not known, it has no whole cycle");
	print_row(to, "cycles, deaths then", f->cycles[0], late->cycles[1], "as late as can be");
	print_row(to, "cycles, deaths before", f->cycles[0], early->cycles[1],
		  "as early as can be");
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		/* The first goal belongs to a cycle before the recording. */
		if (!edge->ends || !ends++ || !edge->curve[FIDELITY_GOAL][0])
			continue;
		goals += (double)edge->curve[FIDELITY_GOAL][1] /
			 (double)edge->curve[FIDELITY_GOAL][0];
		counted++;
	}
	if (counted)
		fprintf(to,
			"  heap goal over recorded goal after the same cycles, mean of %u: "
			"%.3f\n",
			counted, goals / counted);
}

static void print_verdict(FILE *to, const struct rh_fidelity *f, bool good, double limit)
{
	if (!good && classes_right(f) && arena_chunks(f, limit))
		rh_print(
			to,
			"\nCANNOT TELL: all but heap_live is within %g%% or one span; Go counts up "
			"to %" PRIu64 " times 7.9 MiB more: chunks of arenas that the program "
			"made itself (package arena), of which no event tells.\n",
			100 * limit, arena_chunks(f, limit));
	else if (!good && classes_right(f) && counted_twice(f, limit))
		rh_print(
			to,
			"\nCANNOT TELL: all but heap_live is within %g%% or one span; Go counts up "
			"%" PRIu64
			" bytes more, from the end of one cycle to that of the next. So it "
			"does for objects with finalizers, which count twice, and no event says "
			"which have one.\n",
			100 * limit, counted_twice(f, limit));
	else if (!good && classes_right(f) && stacks_open(f, limit))
		rh_print(to,
			 "\nCANNOT TELL: all but StackInuse is within %g%% or one span. %" PRIu64
			 " times two Ps were at a pool of stacks at once, and neither the times of "
			 "events nor the places of later stacks say which was first.\n",
			 100 * limit, f->stacks_open);
	else if (!good && f->cut[0] && classes_right(f))
		rh_print(to,
			 "\nCANNOT TELL: curves differ, but the trace is not whole (%s): "
			 "events after the gap differ because of it\n",
			 f->cut);
	else if (!good && f->open[0] && classes_right(f))
		rh_print(to,
			 "\nCANNOT TELL: curves differ, but the trace does not say whether it is "
			 "of Go %s, and 1.23 misses objects and stacks (--profile says it)\n",
			 f->open);
	else if (!good)
		rh_print(to,
			 "\nFAIL: every object in its class, every curve within %g%% or one span "
			 "(goals 5%%, spans in use one for each P) at every edge of a collection: "
			 "no\n",
			 100 * limit);
	else if (f->unseen[0])
		rh_print(to,
			 "\nCANNOT TELL: what could be compared is within %g%% or one span, but %s "
			 "were not recorded. Record with Go 1.24 or later.\n",
			 100 * limit, f->unseen);
	else if (!f->edge_count)
		fputs("\nCANNOT TELL: the trace holds no collection, only the classes could be "
		      "compared\n",
		      to);
	else
		rh_print(to,
			 "\nPASS: every object in its class, every curve within %g%% or one span "
			 "(goals 5%%, spans in use one for each P) at every edge of a "
			 "collection\n",
			 100 * limit);
}

enum rh_exit rh_fidelity_print(const struct rh_fidelity_report *report, FILE *to)
{
	const struct rh_fidelity *f = report->recorded;
	double limit = report->limit;
	bool good;

	rh_print(to, "%s: format %s, %" PRIu64 " events, on %s\n", report->path, f->format,
		 f->events, f->backend);
	rh_print(to, "profile %s: %s\n\n", f->profile,
		 f->why[0] ? f->why : "as the trace says; it does not say why");
	rh_print(to, "  %-28s %15s %15s %9s\n", "", "recorded", "replayed", "differ");
	good = print_classes(to, f) && f->failed == 0;
	for (int c = 0; c < FIDELITY_CURVE_COUNT && f->edge_count; c++)
		good &= print_curve(to, f, c, limit) || cannot_compare(f, c);
	if (f->no_goals[0])
		rh_print(to, "  goals are not judged: %s\n", f->no_goals);
	print_row(to, "stacks made, StackInuse then", f->stacks_made, f->stacks_right,
		  "replayed: equal right after");
	if (f->stacks_put)
		rh_print(to,
			 "  %-28s %15" PRIu64 "                            of two Ps at a pool at "
			 "once: as places of later stacks show\n",
			 "stacks put in order", f->stacks_put);
	print_row(to, "spans made", f->span_allocs[0], f->span_allocs[1], "");
	print_row(to, "spans freed", f->span_frees[0], f->span_frees[1], "");
	if (f->fills)
		rh_print(to,
			 "  %-28s %15" PRIu64 " %15" PRIu64
			 "            in the order the heap has them; "
			 "others by the trace\n",
			 "spans taken up", f->fills, f->fills - f->fills_moved);
	if (report->late)
		print_stacks(to, report->late);
	print_causes(to, f, limit);
	if (report->late && report->early)
		print_oracle(to, f, report->late, report->early);
	if (report->all_edges)
		print_edges(to, f);
	print_verdict(to, f, good, limit);
	if (!good)
		return classes_right(f) && (f->cut[0] || f->open[0] || counted_twice(f, limit) ||
					    arena_chunks(f, limit) || stacks_open(f, limit))
			       ? RH_INCONCLUSIVE
			       : RH_FAILED;
	return f->unseen[0] || !f->edge_count ? RH_INCONCLUSIVE : RH_OK;
}

/* ---- the plot ---- */

int rh_fidelity_curves(const struct rh_fidelity *f, const char *path, struct rh_err *err)
{
	FILE *to = fopen(path, "w");

	if (!to)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s", path);
	fputs("cycle\tedge\ttime_ms", to);
	for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
		rh_print(to, "\t%s recorded\t%s replayed", curves[c].name, curves[c].name);
	fputc('\n', to);
	for (uint32_t i = 0; i < f->edge_count; i++) {
		const struct rh_fidelity_edge *edge = &f->edges[i];

		rh_print(to, "%" PRIu64 "\t%s\t%.3f", edge->cycle, edge->ends ? "end" : "begin",
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
