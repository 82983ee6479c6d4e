/*
 * whatif.c - see whatif.h: the trace to collections, collections to what the program is
 * like, and the pacer on that with other settings.
 *
 * Reading: the runtime writes how many bytes it counts as live each time a P takes a span, and
 * once more as a collection ends, then with the garbage off. So what goes up is allocated,
 * and the last value before the end of a collection is what was marked.
 *
 * What is reachable as a collection begins is what it marked less what was allocated meanwhile,
 * for that counts as live until the next.
 */
#include "harness/fidelity/whatif.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/gopacer.h"
#include "alloc/base/goversions.h"
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

/* What a limit counts besides spans, as runtime.MemStats shows it in three programs of the
 * corpus: 4.1 MiB of the runtime's own structures (the profile's buckets 1.4, the collector's
 * 1.9, others 0.8), and what marking keeps for its queues, none up to 5 MiB and then a sixth of
 * the bytes it marks (0, 0.6 and 1.5 MiB of 6, 9 and 13). Stacks are counted as recorded;
 * spans are longer than what lives in them by the share that was recorded. */
#define OVERHEAD_BYTES (((uint64_t)41 << 20) / 10)
#define QUEUED_FROM    ((uint64_t)5 << 20)
#define QUEUED_SHARE   6
/* Whoever allocates marks too, so that the heap ends this much above its goal at most. */
#define OVERSHOOT 1.1
/* Where hardly anything was allocated while marking, a byte allocated costs 300 marked. */
#define BLACK_LEAST 0.01
/* Below this goal over marked an error of 1 MiB in what the limit counts doubles the collections.
 */
#define TIGHT 1.33
/* Globals with pointers: 0.15 MiB in all programs tried; more than this is another GOGC. */
#define GLOBALS_MOST ((uint64_t)2 << 20)
#define ROOTS_USUAL  160000.0

const char rh_whatif_given[] = "given", rh_whatif_environment[] = "environment",
	   rh_whatif_goals[] = "goals", rh_whatif_assumed[] = "assumed";

enum { LIVE = 1, GOAL, STACK_SPAN, STACK_SPAN_FREE, SPAN, SPAN_ALLOC, SPAN_FREE };

struct reader {
	struct rh_whatif *whatif;
	uint8_t series[SERIES_MAX];
	uint64_t told, live, stacks, spans; /* bytes; spans: of all kinds */
	uint64_t step;			    /* of live, the last one */
	double slack, slack_of; /* at ends of collections: spans beyond what is live, and that */
	bool have_live, open, goal_due;
};

static void name_series(struct reader *reader, const struct rh_trace *trace)
{
	static const char *const names[] = {
		NULL,	   "go.heap_live",  "go.heap_goal", "go.stack_span", "go.stack_span_free",
		"go.span", "go.span_alloc", "go.span_free"
	};

	for (uint32_t site = 0; site < SERIES_MAX; site++) {
		const char *name = rh_trace_site(trace, site);

		for (uint8_t i = 1; name && i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(name, names[i]) == 0)
				reader->series[site] = i;
	}
}

/* A P can tell late what it counted: between two ends of collections only what is more counts. */
static void take_live(struct reader *reader, uint64_t told)
{
	struct rh_whatif *whatif = reader->whatif;

	if (!reader->have_live)
		whatif->live_start = reader->live = told;
	reader->have_live = true;
	reader->told = told;
	reader->step = told > reader->live ? told - reader->live : 0;
	reader->live += reader->step;
	whatif->allocated += reader->step;
	if (reader->live > whatif->peak)
		whatif->peak = reader->live;
}

static void take_ref(struct reader *reader, const struct rh_event *event)
{
	struct rh_whatif *whatif = reader->whatif;

	switch (event->id < SERIES_MAX ? reader->series[event->id] : 0) {
	case LIVE:
		take_live(reader, event->arg);
		break;
	case GOAL:
		if (reader->goal_due)
			whatif->cycles[whatif->count - 1].goal = event->arg;
		else if (!whatif->count && !reader->open)
			whatif->goal_start = event->arg;
		reader->goal_due = false;
		break;
	case STACK_SPAN:
		reader->stacks += (event->arg & ((1u << SPAN_BITS) - 1)) * PAGE;
		if (reader->stacks > whatif->stack_bytes)
			whatif->stack_bytes = reader->stacks;
		break;
	case SPAN:
	case SPAN_ALLOC:
		reader->spans += (event->arg >> KIND_BITS) * PAGE;
		break;
	case SPAN_FREE:
		reader->spans -= (event->arg >> KIND_BITS) * PAGE;
		break;
	case STACK_SPAN_FREE:
		reader->stacks -= (event->arg & ((1u << SPAN_BITS) - 1)) * PAGE;
		break;
	}
}

static int begin_cycle(struct reader *reader, const struct rh_event *event, struct rh_err *err)
{
	struct rh_whatif *whatif = reader->whatif;

	if (whatif->count == whatif->cap) {
		uint32_t cap = whatif->cap ? 2 * whatif->cap : 64;
		void *p = cap > CYCLES_MAX
				  ? NULL
				  : reallocarray(whatif->cycles, cap, sizeof(*whatif->cycles));

		if (!p)
			return rh_fail(err, RH_OS, "memory for its collections ran out");
		whatif->cycles = p;
		whatif->cap = cap;
	}
	whatif->cycles[whatif->count] = (struct rh_whatif_cycle){
		.at_begin = whatif->allocated,
		.live_begin = reader->live,
		.begin_ns = event->time_ns,
		.stacks = reader->stacks,
	};
	reader->open = true;
	return 0;
}

/* The last step was no allocation: the garbage came off. */
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
	cycle->marked = reader->live = reader->told;
	if (reader->spans > cycle->live_end + reader->stacks) {
		reader->slack += (double)(reader->spans - cycle->live_end - reader->stacks);
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
		}
	return result < 0 || got < 0 ? -1 : 0;
}

/* ---- what the program and its setting are like ---- */

static double reachable_then(const struct rh_whatif_cycle *cycle)
{
	double black = (double)(cycle->at_end - cycle->at_begin);

	return (double)cycle->marked > black ? (double)cycle->marked - black : 0;
}

/* Stacks and globals that a goal counts, if GOGC was `gogc`. */
static double roots_of(const struct rh_whatif_cycle *cycle, uint64_t gogc)
{
	return (double)(cycle->goal - cycle->marked) * 100 / (double)gogc - (double)cycle->marked;
}

/* At or below it a goal does not tell what it was made of. */
static uint64_t least_goal(uint64_t gogc)
{
	return gogc == WHATIF_OFF ? 0 : RH_GO_HEAP_LEAST / 100 * gogc;
}

static bool at_least(uint64_t goal, uint64_t gogc)
{
	return goal == RH_GO_HEAP_LEAST / 100 * gogc || goal == RH_GO_HEAP_LEAST * gogc / 100;
}

/* Whether a goal can have come from a GOGC: what it counts besides the heap must be stacks that
 * there were, and globals. */
static bool goal_fits(const struct rh_whatif_cycle *cycle, uint64_t gogc)
{
	double roots = roots_of(cycle, gogc);

	return cycle->goal >= cycle->marked && roots > -0.01 * (double)cycle->marked &&
	       roots < (double)(cycle->stacks + GLOBALS_MOST);
}

/* Goals that tell of a GOGC, and which of them cannot be of this one. */
static uint32_t count_odd(const struct rh_whatif *whatif, uint64_t gogc, uint32_t *counted)
{
	uint32_t odd = 0;

	*counted = 0;
	for (uint32_t i = 0; i < whatif->count; i++) {
		const struct rh_whatif_cycle *cycle = &whatif->cycles[i];

		if (!cycle->goal || cycle->goal <= least_goal(gogc))
			continue;
		++*counted;
		odd += !goal_fits(cycle, gogc);
	}
	return odd;
}

static bool possible(const struct rh_whatif *whatif, uint64_t gogc)
{
	uint32_t counted, odd = count_odd(whatif, gogc, &counted);

	/* A program may have gone over the least goal a few times by other means. */
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

/* What each goal counts besides the heap; where the least goal or a limit hides it, as the last
 * one. */
static void find_roots(struct rh_whatif *whatif)
{
	double last = -1;

	for (uint32_t i = 0; i < whatif->count; i++) {
		struct rh_whatif_cycle *cycle = &whatif->cycles[i];
		bool hidden = whatif->gogc == WHATIF_OFF || cycle->goal <= least_goal(whatif->gogc);
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

/* A cycle that began well before the pacer could have wanted it was asked for. */
static void find_pace(struct rh_whatif *whatif)
{
	double black = 0, work = 0, ns = 0;

	for (uint32_t i = 0; i < whatif->count; i++) {
		struct rh_whatif_cycle *cycle = &whatif->cycles[i];
		const struct rh_whatif_cycle *last = i ? cycle - 1 : NULL;
		double goal = (double)(last ? last->goal : whatif->goal_start);
		double from = last ? (double)last->marked : 0;
		double mark = reachable_then(cycle) + cycle->roots;

		cycle->black = (double)(cycle->at_end - cycle->at_begin) / (mark > 1 ? mark : 1);
		black += (double)(cycle->at_end - cycle->at_begin);
		work += mark;
		ns += (double)(cycle->end_ns - cycle->begin_ns);
		cycle->asked_for = last && (double)cycle->live_begin < from + 0.62 * (goal - from);
		cycle->runway = last ? last->runway : 0;
		if (!cycle->asked_for && goal > (double)cycle->live_begin && from > 0)
			cycle->runway = (goal - (double)cycle->live_begin) / (from + cycle->roots);
	}
	whatif->black = work > 0 ? black / work : 0;
	/* Marking takes a quarter of the Ps. */
	whatif->mark_second = ns > 0 ? work / ns * 1e9 * 4 : 0;
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
				"no collection can be foretold; record all of them",
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
		whatif->slack = reader.slack_of > 0 ? reader.slack / reader.slack_of : 0;
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

/* ---- another setting ---- */

/* The program when `at` bytes are allocated: on the line between two collections. */
struct local {
	double reachable, roots, runway, black, stacks;
};

static double between(double a, double b, double share)
{
	return a + (b - a) * share;
}

static struct local local_at(const struct rh_whatif *whatif, double at)
{
	const struct rh_whatif_cycle *first = &whatif->cycles[0], *last = NULL, *next = first;
	double from, share, then;

	for (uint32_t i = 0; i < whatif->count && (double)next->at_begin < at; i++) {
		last = next;
		next = i + 1 < whatif->count ? next + 1 : last;
	}
	/* Some of what lived at the start was garbage. */
	then = last ? reachable_then(last)
		    : fmin((double)whatif->live_start, reachable_then(first));
	from = last ? (double)last->at_begin : 0;
	share = (double)next->at_begin > from ? (at - from) / ((double)next->at_begin - from) : 0;
	if (share > 1)
		share = 1;
	if (!last)
		last = first;
	return (struct local){
		.reachable = between(then, reachable_then(next), share),
		.roots = between(last->roots, next->roots, share),
		.runway = between(last->runway, next->runway, share),
		.black = between(last->black, next->black, share),
		.stacks = between((double)last->stacks, (double)next->stacks, share),
	};
}

/* The next cycle that the program asked for, from `at` on. */
static double asked_for(const struct rh_whatif *whatif, double at)
{
	for (uint32_t i = 0; i < whatif->count; i++)
		if (whatif->cycles[i].asked_for && (double)whatif->cycles[i].at_begin > at)
			return (double)whatif->cycles[i].at_begin;
	return INFINITY;
}

/* The first recorded collection past `at`: there the program's stacks are known anew. */
static double next_known(const struct rh_whatif *whatif, double at)
{
	for (uint32_t i = 0; i < whatif->count; i++)
		if ((double)whatif->cycles[i].at_begin > at)
			return (double)whatif->cycles[i].at_begin;
	return INFINITY;
}

struct model {
	const struct rh_whatif *whatif;
	struct rh_golimiter limiter;
	struct rh_gopacer pacer;
	struct rh_gopace pace;
	double at, live;
};

/* A limit counts stacks as they are, not as they were when the last collection ended. */
static void count_overhead(struct model *model, const struct local *here)
{
	struct rh_gopacer *pacer = &model->pacer;
	double slack = model->whatif->slack;
	uint64_t bytes = OVERHEAD_BYTES + (uint64_t)here->stacks;

	if (pacer->marked > QUEUED_FROM)
		bytes += (pacer->marked - QUEUED_FROM) / QUEUED_SHARE;
	if (pacer->limit > bytes)
		bytes += (uint64_t)((double)(pacer->limit - bytes) * slack / (1 + slack));
	pacer->overhead = bytes;
	model->pace = rh_gopacer_pace(pacer);
}

static void set_pace(struct model *model, const struct local *here, double marked)
{
	model->pacer.marked = (uint64_t)marked;
	model->pacer.roots = (uint64_t)here->roots;
	model->pacer.ahead = (uint64_t)(here->runway * (marked + here->roots));
	count_overhead(model, here);
}

/* The trace begins somewhere on the way to a goal; the bytes marked before are what that goal
 * says, by the setting it was recorded with. */
static void begin(struct model *model)
{
	const struct rh_whatif *whatif = model->whatif;
	struct local here = local_at(whatif, 0);
	double grow = (double)whatif->gogc / 100, marked = 0;

	model->live = (double)whatif->live_start;
	if (whatif->gogc == WHATIF_OFF || whatif->limit != WHATIF_OFF)
		marked = here.reachable;
	else if (whatif->goal_start > least_goal(whatif->gogc))
		marked = ((double)whatif->goal_start - grow * here.roots) / (1 + grow);
	if (marked > model->live)
		marked = model->live;
	set_pace(model, &here, marked > 0 ? marked : 0);
}

static void collect(struct model *model, struct rh_whatif_outcome *answer)
{
	const struct rh_whatif *whatif = model->whatif;
	const struct rh_gopacer *pacer = &model->pacer;
	struct local here = local_at(whatif, model->at);
	double now = fmin(here.reachable, model->live), black = here.black * (now + here.roots);

	if (model->pace.goal != UINT64_MAX)
		black = fmin(black, fmax(OVERSHOOT * (double)model->pace.goal - model->live, PAGE));
	black = rh_golimiter_mark(&model->limiter, now + here.roots, black);
	if (model->at + black > (double)whatif->allocated)
		black = (double)whatif->allocated - model->at;
	model->at += black;
	model->live += black;
	if (model->live > (double)answer->peak)
		answer->peak = (uint64_t)model->live;
	model->live = now + black;
	answer->cycles++;
	answer->marked += (uint64_t)(now + black);
	answer->over_limit |=
		pacer->limit && now + black + (double)pacer->overhead > (double)pacer->limit;
	set_pace(model, &here, now + black);
	answer->tight |= pacer->limit && model->pace.goal != UINT64_MAX &&
			 (double)model->pace.goal < (now + black) * TIGHT;
	if (model->pace.goal != UINT64_MAX)
		answer->goal_mean += (double)model->pace.goal;
}

/* Until `at` the program allocates, and nothing is marked. */
static void run_to(struct model *model, double at)
{
	rh_golimiter_run(&model->limiter, at - model->at);
	model->live += at - model->at;
	model->at = at;
}

struct rh_whatif_outcome rh_whatif_ask(const struct rh_whatif *whatif,
				       const struct rh_whatif_setting *setting)
{
	const struct rh_goversion *row = rh_goversion_of(whatif->profile);
	struct model model = {
		.whatif = whatif,
		.pacer = { .runway = row->heap.pacer_runway,
			   .gogc = setting->gogc,
			   .limit = setting->limit == WHATIF_OFF ? 0 : setting->limit },
		.limiter = { .cost = RH_GO_COST(fmax(whatif->black, BLACK_LEAST)),
			     .capacity = whatif->mark_second },
	};
	struct rh_whatif_outcome answer = { 0 };

	begin(&model);
	for (;;) {
		double way = (double)model.pace.trigger - model.live;
		double next =
			model.pace.trigger == UINT64_MAX ? INFINITY : model.at + fmax(way, PAGE);
		double asked = asked_for(whatif, model.at);
		double known = next_known(whatif, model.at);

		if (asked < next)
			next = asked;
		if (model.pacer.limit && known < next) {
			struct local here = local_at(whatif, known + 1);

			run_to(&model, known);
			count_overhead(&model, &here);
			continue;
		}
		if (next >= (double)whatif->allocated)
			break;
		run_to(&model, next);
		collect(&model, &answer);
	}
	run_to(&model, (double)whatif->allocated);
	answer.limited = model.limiter.limited > 0;
	if (model.live > (double)answer.peak)
		answer.peak = (uint64_t)model.live;
	if (answer.cycles)
		answer.goal_mean /= (double)answer.cycles;
	return answer;
}
