/*
 * whatif.c - see whatif.h: reduces the trace to collections, and collections to the program's
 * properties. whatif_model.c runs the pacer on these with other settings.
 *
 * Reading: the runtime writes how many bytes it counts as live each time a P takes a span, and
 * once more as a collection ends, then without the garbage. So every rise is allocation, and
 * the last value before the end of a collection is the amount marked.
 *
 * Reachable bytes at the begin of a collection = bytes marked less bytes allocated meanwhile,
 * because those count as live until the next.
 */
#include "harness/fidelity/whatif_inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"
#include "alloc/base/gopacer.h"
#include "alloc/base/goversions.h"
#include "harness/fidelity/recorder.h"
#include "traces/format/sample.h"
#include "traces/format/trace.h"

enum {
	BATCH = 1024,
	SERIES_MAX = 64,
	SPAN_BITS = 31,
	KIND_BITS = 9,
	PAGE = 8192,
	CYCLES_MAX = 1 << 20
};

/* Allocating goroutines help to mark, so the heap ends close to its goal: at GOGC=50, where that
 * matters, parser and workers ended at 1.02 of it in the median, 1.02 and 1.06 in the mean. But
 * where the recorded run went further (large blocks, or more threads than CPUs), so does the model.
 */
#define OVERSHOOT 1.03
/* Globals with pointers: 0.15 MiB in all programs tried; more than this means another GOGC. */
#define GLOBALS_MOST ((uint64_t)2 << 20)
#define ROOTS_USUAL  160000.0

const char rh_whatif_given[] = "given", rh_whatif_environment[] = "environment",
	   rh_whatif_goals[] = "goals", rh_whatif_assumed[] = "assumed";

enum { LIVE = 1, GOAL, STACK_SPAN, STACK_SPAN_FREE, SPAN, SPAN_ALLOC, SPAN_FREE };

struct reader {
	struct rh_whatif *whatif;
	uint8_t series[SERIES_MAX];
	uint64_t reported;		    /* heap_live, as last written */
	uint64_t live, stacks;		    /* bytes */
	uint64_t spans, manual;		    /* bytes of spans of objects, and of others */
	uint64_t used[1 << KIND_BITS >> 6]; /* kinds of spans seen */
	uint64_t step;			    /* of live, the last one */
	uint64_t goal;			    /* the last one */
	double slack, slack_of; /* at ends of collections: bytes of spans less live, and live */
	double others;		/* at begins: bytes of other spans less stacks */
	struct rh_recorder recorder;
	bool have_live, have_goal, open, goal_due, snapshot_over;
};

static void name_series(struct reader *reader, const struct rh_trace *trace)
{
	static const char *const names[] = {
		[LIVE] = "go.heap_live",
		[GOAL] = "go.heap_goal",
		[STACK_SPAN] = "go.stack_span",
		[STACK_SPAN_FREE] = "go.stack_span_free",
		[SPAN] = "go.span",
		[SPAN_ALLOC] = "go.span_alloc",
		[SPAN_FREE] = "go.span_free",
	};

	for (uint32_t site = 0; site < SERIES_MAX; site++) {
		const char *name = rh_trace_site(trace, site);

		for (uint8_t i = 1; name && i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(name, names[i]) == 0)
				reader->series[site] = i;
	}
}

/* A P can report its count late: between two ends of collections only a higher value counts. */
static void take_live(struct reader *reader, uint64_t reported)
{
	struct rh_whatif *whatif = reader->whatif;

	if (!reader->have_live)
		whatif->live_start = reader->live = reported;
	reader->have_live = true;
	reader->reported = reported;
	reader->step = reported > reader->live ? reported - reader->live : 0;
	reader->live += reader->step;
	whatif->allocated += reader->step;
	if (reader->live > whatif->peak)
		whatif->peak = reader->live;
}

/* Goals come at the start, at the end of each collection, and when the program sets GOGC or a
 * limit. */
static void take_goal(struct reader *reader, uint64_t goal)
{
	struct rh_whatif *whatif = reader->whatif;

	if (reader->goal_due)
		whatif->cycles[whatif->count - 1].goal = goal;
	else if (!whatif->count && !reader->open)
		whatif->goal_start = goal;
	if (!reader->goal_due && reader->have_goal && goal != reader->goal)
		whatif->goals_set++;
	reader->goal = goal;
	reader->have_goal = true;
	reader->goal_due = false;
}

/* arg: pages and kind, whose lowest bit says that it holds no objects. */
static void take_span(struct reader *reader, uint64_t arg, int sign)
{
	uint32_t kind = arg & ((1u << KIND_BITS) - 1);
	int64_t bytes = sign * (int64_t)((arg >> KIND_BITS) * PAGE);

	if (kind & 1) {
		reader->manual += (uint64_t)bytes;
		return;
	}
	reader->spans += (uint64_t)bytes;
	reader->used[kind / 64] |= UINT64_C(1) << kind % 64;
}

static void take_ref(struct reader *reader, const struct rh_event *event)
{
	struct rh_whatif *whatif = reader->whatif;

	switch (event->id < SERIES_MAX ? reader->series[event->id] : 0) {
	case LIVE:
		take_live(reader, event->arg);
		break;
	case GOAL:
		take_goal(reader, event->arg);
		break;
	case STACK_SPAN:
		reader->stacks += (event->arg & ((1u << SPAN_BITS) - 1)) * PAGE;
		if (reader->stacks > whatif->stack_bytes)
			whatif->stack_bytes = reader->stacks;
		break;
	case SPAN_ALLOC: /* not a cycle's begin: one may have been under way */
		reader->snapshot_over = true;
		/* fall through */
	case SPAN:
		take_span(reader, event->arg, 1);
		break;
	case SPAN_FREE:
		take_span(reader, event->arg, -1);
		break;
	case STACK_SPAN_FREE:
		reader->stacks -= (event->arg & ((1u << SPAN_BITS) - 1)) * PAGE;
		break;
	}
}

static int begin_cycle(struct reader *reader, const struct rh_event *event, struct rh_err *err)
{
	struct rh_whatif *whatif = reader->whatif;

	if (whatif->count >= CYCLES_MAX ||
	    !rh_reserve32(&whatif->cycles, &whatif->cap, whatif->count + 1,
			  sizeof(*whatif->cycles)))
		return rh_fail(err, RH_OS, "memory for its collections ran out");
	whatif->cycles[whatif->count] = (struct rh_whatif_cycle){
		.at_begin = whatif->allocated,
		.live_begin = reader->live,
		.begin_ns = event->time_ns,
		.stacks = reader->stacks,
	};
	/* Fewer where spans of stacks were lost (1.23). */
	if (reader->manual > reader->stacks)
		reader->others += (double)(reader->manual - reader->stacks);
	reader->open = true;
	return 0;
}

/* The last step was not an allocation: it is the value after the garbage was taken off. */
static void end_cycle(struct reader *reader, const struct rh_event *event)
{
	struct rh_whatif *whatif = reader->whatif;
	struct rh_whatif_cycle *cycle;

	if (!reader->open || !reader->have_live)
		return;
	cycle = &whatif->cycles[whatif->count++];
	whatif->allocated -= reader->step;
	cycle->at_end = whatif->allocated;
	cycle->live_end = reader->live - reader->step;
	cycle->marked = reader->live = reader->reported;
	/* A P reports late, and counts what it has: a little more is no news. */
	if (cycle->marked > reader->spans + (1 << 20) &&
	    cycle->marked - reader->spans > whatif->unseen)
		whatif->unseen = cycle->marked - reader->spans;
	if (reader->spans > cycle->live_end) {
		reader->slack += (double)(reader->spans - cycle->live_end);
		reader->slack_of += (double)cycle->live_end;
	}
	cycle->end_ns = event->time_ns;
	reader->open = false;
	reader->goal_due = true;
}

static int read_all(struct reader *reader, struct rh_trace *trace, struct rh_err *err)
{
	static struct rh_event batch[BATCH];
	int got, result = 0;

	while (result == 0 && (got = rh_trace_next(trace, batch, BATCH, err)) > 0)
		for (int i = 0; i < got && result == 0; i++) {
			if (batch[i].kind == RH_EV_REF)
				take_ref(reader, &batch[i]);
			else if (batch[i].kind == RH_EV_GC_BEGIN)
				result = begin_cycle(reader, &batch[i], err);
			else if (batch[i].kind == RH_EV_GC_END)
				end_cycle(reader, &batch[i]);
			else if (batch[i].kind == RH_EV_ALLOC && !reader->snapshot_over)
				rh_recorder_takes(&reader->recorder, trace, &batch[i]);
		}
	return result < 0 || got < 0 ? -1 : 0;
}

/* ---- what the program and its setting are like ---- */

/* Stacks and globals that a goal counts, if GOGC was `gogc`. */
static double roots_of(const struct rh_whatif_cycle *cycle, uint64_t gogc)
{
	return (double)(cycle->goal - cycle->marked) * 100 / (double)gogc - (double)cycle->marked;
}

static bool at_least(uint64_t goal, uint64_t gogc)
{
	return goal == RH_GO_HEAP_LEAST / 100 * gogc || goal == least_goal(gogc);
}

/* Whether a goal can have come from a GOGC: what it counts besides the heap must be stacks that
 * there were, and globals. */
static bool goal_fits(const struct rh_whatif_cycle *cycle, uint64_t gogc)
{
	double roots = roots_of(cycle, gogc);

	return cycle->goal >= cycle->marked && roots > -0.01 * (double)cycle->marked &&
	       roots < (double)(cycle->stacks + GLOBALS_MOST);
}

/* The minimum goal, and the minimum distance for sweeping, say nothing of stacks and globals. */
static bool hides(const struct rh_whatif_cycle *cycle, uint64_t gogc)
{
	return cycle->goal <= least_goal(gogc) || cycle->goal == cycle->marked + RH_GO_SWEEP_LEAST;
}

/* Counts the goals that depend on GOGC, and those of them that this GOGC cannot explain. */
static uint32_t count_odd(const struct rh_whatif *whatif, uint64_t gogc, uint32_t *counted)
{
	uint32_t odd = 0;

	*counted = 0;
	for (uint32_t i = 0; i < whatif->count; i++) {
		const struct rh_whatif_cycle *cycle = &whatif->cycles[i];

		if (!cycle->goal || hides(cycle, gogc))
			continue;
		++*counted;
		odd += !goal_fits(cycle, gogc);
	}
	return odd;
}

static bool possible(const struct rh_whatif *whatif, uint64_t gogc)
{
	uint32_t counted, odd = count_odd(whatif, gogc, &counted);

	/* A program may have exceeded the minimum goal a few times by other means. */
	return counted && odd <= counted / 10;
}

static bool has_least(const struct rh_whatif *whatif, uint64_t gogc)
{
	bool found = at_least(whatif->goal_start, gogc);

	for (uint32_t i = 0; i < whatif->count && !found; i++)
		found = at_least(whatif->cycles[i].goal, gogc);
	return found;
}

static uint64_t gogc_of_goals(const struct rh_whatif *whatif)
{
	static const uint64_t usual[] = { 100, 200, 50, 400, 300, 150, 75, 25, 500, 800, 1000, 10 };
	enum { USUAL = sizeof(usual) / sizeof(usual[0]) };

	for (size_t i = 0; i < USUAL; i++)
		if (has_least(whatif, usual[i]))
			return usual[i];
	for (size_t i = 0; i < USUAL; i++)
		if (possible(whatif, usual[i]))
			return usual[i];
	return 0;
}

/* A program may set GOGC itself; then its goals speak against the environment, unless a limit or
 * GOGC=off hides what they were made of. */
static bool agrees(const struct rh_whatif *whatif, uint64_t gogc)
{
	return gogc == WHATIF_OFF || whatif->limit != WHATIF_OFF || has_least(whatif, gogc) ||
	       possible(whatif, gogc) || !gogc_of_goals(whatif);
}

/* noted: what the environment said, NULL = not known. */
static void find_gogc(struct rh_whatif *whatif, uint64_t given, const char *noted)
{
	uint64_t goals, environment;

	whatif->gogc = given;
	whatif->gogc_from = rh_whatif_given;
	if (given)
		return;
	whatif->gogc_from = rh_whatif_environment;
	if (noted && rh_go_read_gogc(noted, &environment) == 0 && agrees(whatif, environment)) {
		whatif->gogc = environment ? environment : 1;
		return;
	}
	goals = gogc_of_goals(whatif);
	whatif->gogc = goals ? goals : 100;
	whatif->gogc_from = goals ? rh_whatif_goals : rh_whatif_assumed;
}

static void find_limit(struct rh_whatif *whatif, uint64_t given, const char *noted)
{
	whatif->limit = given;
	whatif->limit_from = rh_whatif_given;
	if (given)
		return;
	whatif->limit_from = rh_whatif_environment;
	if (!noted || rh_go_read_memlimit(noted, &whatif->limit) < 0)
		whatif->limit_from = rh_whatif_assumed;
	if (!whatif->limit)
		whatif->limit = WHATIF_OFF;
}

/* What each goal counts besides the heap; where the minimum goal or a limit hides it, the last
 * known value. */
static void find_roots(struct rh_whatif *whatif)
{
	double last = -1;

	for (uint32_t i = 0; i < whatif->count; i++) {
		struct rh_whatif_cycle *cycle = &whatif->cycles[i];
		bool hidden = whatif->gogc == WHATIF_OFF || hides(cycle, whatif->gogc);
		double roots = hidden ? last : roots_of(cycle, whatif->gogc);

		if (!hidden && roots < 0)
			roots = whatif->limit == WHATIF_OFF ? 0 : last;
		cycle->roots = last = roots;
	}
	for (uint32_t i = whatif->count; i-- > 0;) {
		struct rh_whatif_cycle *cycle = &whatif->cycles[i];

		if (cycle->roots < 0)
			cycle->roots = i + 1 < whatif->count ? cycle[1].roots : ROOTS_USUAL;
		whatif->roots += cycle->roots / whatif->count;
	}
}

/* A cycle that began well before the pacer would have started it was requested by the program. */
static void find_pace(struct rh_whatif *whatif)
{
	double black = 0, work = 0, scan = 0, ns = 0;

	for (uint32_t i = 0; i < whatif->count; i++) {
		struct rh_whatif_cycle *cycle = &whatif->cycles[i];
		const struct rh_whatif_cycle *last = i ? cycle - 1 : NULL;
		double goal = (double)(last ? last->goal : whatif->goal_start);
		double from = last ? (double)last->marked : 0;
		/* The recorder's blocks hold no pointers: they are not scanned. */
		double mark =
			fmax(reachable_then(cycle) - (double)whatif->recorder, 0) + cycle->roots;

		cycle->black = (double)(cycle->at_end - cycle->at_begin) / (mark > 1 ? mark : 1);
		black += (double)(cycle->at_end - cycle->at_begin);
		scan += mark;
		work += reachable_then(cycle) + cycle->roots;
		ns += (double)(cycle->end_ns - cycle->begin_ns);
		/* The first: as much as if nothing had been marked before. */
		cycle->asked_for = (double)cycle->live_begin < from + 0.62 * (goal - from);
		cycle->over = OVERSHOOT;
		if (!cycle->asked_for && goal > 0)
			cycle->over = fmax(OVERSHOOT, (double)cycle->live_end / goal);
		cycle->runway = last ? last->runway : 0;
		if (!cycle->asked_for && goal > (double)cycle->live_begin && from > 0)
			cycle->runway =
				(goal - (double)cycle->live_begin) /
				(fmax(from - (double)whatif->recorder, PAGE) + cycle->roots);
	}
	whatif->black = work > 0 ? black / work : 0;
	/* Marking takes a quarter of the Ps. */
	whatif->mark_second = ns > 0 ? scan / ns * 1e9 * 4 : 0;
}

int rh_whatif_read(struct rh_whatif *whatif, const char *path,
		   const struct rh_whatif_setting *given, struct rh_err *err)
{
	struct reader reader = { .whatif = whatif };
	struct rh_trace *trace;
	const char *profile, *gogc, *limit, *unsuited;
	int result = 0;

	memset(whatif, 0, sizeof(*whatif));
	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	profile = rh_trace_note_of(trace, "go.profile");
	if (rh_trace_sample(trace))
		result =
			rh_fail(err, RH_BAD_DATA,
				"%s: a sample of its program's blocks (--sample-bytes), from which "
				"no collection can be predicted; record all of them",
				path);
	else if (!profile || !rh_goversion_nearest(profile, false))
		result = rh_fail(err, RH_BAD_DATA,
				 "%s: not a trace of a Go program (reheap import "
				 "go makes one)",
				 path);
	else
		snprintf(whatif->profile, sizeof(whatif->profile), "%s",
			 rh_goversion_nearest(profile, false));
	name_series(&reader, trace);
	if (result == 0)
		result = read_all(&reader, trace, err);
	if (result == 0 && !whatif->count)
		result = rh_fail(err, RH_INCONCLUSIVE,
				 "%s: holds no whole collection, so what is live is not known: "
				 "record for longer",
				 path);
	if (result == 0) {
		gogc = rh_trace_note_of(trace, "go.gogc");
		limit = rh_trace_note_of(trace, "go.memlimit");
		unsuited = rh_trace_note_of(trace, "import.unsuited");
		snprintf(whatif->unsuited, sizeof(whatif->unsuited), "%s",
			 unsuited ? unsuited : "");
		whatif->live_end = reader.live;
		whatif->recorder = rh_recorder_bytes(&reader.recorder);
		whatif->slack = reader.slack_of > 0 ? reader.slack / reader.slack_of : 0;
		whatif->others = reader.others / whatif->count;
		for (size_t i = 0; i < sizeof(reader.used) / sizeof(reader.used[0]); i++)
			whatif->classes += (uint32_t)__builtin_popcountll(reader.used[i]);
		find_limit(whatif, given->limit, limit);
		find_gogc(whatif, given->gogc, gogc);
		if (whatif->gogc != WHATIF_OFF && whatif->limit == WHATIF_OFF)
			whatif->goals_odd = count_odd(whatif, whatif->gogc, &whatif->goals);
		find_roots(whatif);
		find_pace(whatif);
	}
	rh_trace_close(trace);
	return result;
}

void rh_whatif_close(struct rh_whatif *whatif)
{
	free(whatif->cycles);
}
