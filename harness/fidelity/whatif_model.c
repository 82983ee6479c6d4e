/*
 * whatif_model.c - see whatif.h: the pacer with another setting, on the properties that the
 * trace shows of the program.
 */
#include <math.h>
#include <stddef.h>

#include "alloc/base/gopacer.h"
#include "alloc/base/goversions.h"
#include "harness/fidelity/whatif_inside.h"

enum { PAGE = 8192 };

/* Where hardly anything was allocated while marking, a byte allocated costs 300 marked. */
#define BLACK_LEAST 0.01

/* The program when `at` bytes are allocated: on the line between two collections. */
struct local {
	double reachable, roots, runway, black, over, stacks;
};

struct model {
	const struct rh_whatif *whatif;
	struct rh_golimiter limiter;
	struct rh_gopacer pacer;
	struct rh_gopace pace;
	double at, live;
	/* Bytes of the recorder's blocks: left out; or there, and not scanned. */
	double absent, idle;
};

static double between(double a, double b, double share)
{
	return a + (b - a) * share;
}

static struct local local_at(const struct model *model, double at)
{
	const struct rh_whatif *whatif = model->whatif;
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
		.reachable = fmax(between(then, reachable_then(next), share) - model->absent, 0),
		.roots = between(last->roots, next->roots, share),
		.runway = between(last->runway, next->runway, share),
		.black = between(last->black, next->black, share),
		.over = share < 0.5 ? last->over : next->over,
		.stacks = between((double)last->stacks, (double)next->stacks, share),
	};
}

/* The next cycle that the program requested, from `at` on. */
static double asked_for(const struct rh_whatif *whatif, double at)
{
	for (uint32_t i = 0; i < whatif->count; i++)
		if (whatif->cycles[i].asked_for && (double)whatif->cycles[i].at_begin > at)
			return (double)whatif->cycles[i].at_begin;
	return INFINITY;
}

/* The first recorded collection past `at`: the next point where the program's stacks are known. */
static double next_known(const struct rh_whatif *whatif, double at)
{
	for (uint32_t i = 0; i < whatif->count; i++)
		if ((double)whatif->cycles[i].at_begin > at)
			return (double)whatif->cycles[i].at_begin;
	return INFINITY;
}

/* Stacks are counted as recorded; spans are longer than what lives in them by the share that was
 * recorded. A limit counts stacks as they are, not as they were when the last collection ended. */
static void count_overhead(struct model *model, const struct local *here)
{
	struct rh_gopacer *pacer = &model->pacer;
	double slack = model->whatif->slack;
	uint64_t bytes = own_structures(model->whatif) + (uint64_t)here->stacks;

	if (pacer->limit > bytes)
		bytes += (uint64_t)((double)(pacer->limit - bytes) * slack / (1 + slack));
	pacer->overhead = bytes;
	model->pace = rh_gopacer_pace(pacer);
}

static void set_pace(struct model *model, const struct local *here, double marked)
{
	model->pacer.marked = (uint64_t)marked;
	model->pacer.roots = (uint64_t)here->roots;
	model->pacer.ahead =
		(uint64_t)(here->runway * (fmax(marked - model->idle, 0) + here->roots));
	count_overhead(model, here);
}

/* The trace begins somewhere on the way to a goal; the bytes marked before follow from that goal
 * and the setting of the recorded run. */
static double marked_before(const struct model *model)
{
	const struct rh_whatif *whatif = model->whatif;
	struct local here = local_at(model, 0);
	double live = fmax((double)whatif->live_start - model->absent, 0);
	double grow = (double)whatif->gogc / 100, marked = 0;

	if (whatif->gogc == WHATIF_OFF || whatif->limit != WHATIF_OFF)
		marked = here.reachable;
	else if (whatif->goal_start > least_goal(whatif->gogc))
		marked = ((double)whatif->goal_start - grow * here.roots) / (1 + grow);
	if (marked > 0 && whatif->limit == WHATIF_OFF)
		marked = fmin(marked, (double)whatif->goal_start - RH_GO_SWEEP_LEAST);
	return fmax(fmin(marked, live), 0);
}

uint64_t rh_whatif_marked_before(const struct rh_whatif *whatif, bool traced)
{
	return (uint64_t)marked_before(&(struct model){
		.whatif = whatif, .absent = traced ? 0 : (double)whatif->recorder });
}

static void begin(struct model *model)
{
	struct local here = local_at(model, 0);

	model->live = fmax((double)model->whatif->live_start - model->absent, 0);
	set_pace(model, &here, marked_before(model));
}

static void collect(struct model *model, struct rh_whatif_outcome *answer)
{
	const struct rh_whatif *whatif = model->whatif;
	const struct rh_gopacer *pacer = &model->pacer;
	struct local here = local_at(model, model->at);
	double now = fmin(here.reachable, model->live);
	double work = fmax(now - model->idle, 0) + here.roots, black = here.black * work;

	if (model->pace.goal != UINT64_MAX)
		black = fmin(black, fmax(here.over * (double)model->pace.goal - model->live, PAGE));
	black = rh_golimiter_mark(&model->limiter, work, black);
	if (model->at + black > (double)whatif->allocated)
		black = (double)whatif->allocated - model->at;
	model->at += black;
	model->live += black;
	if (model->live > (double)answer->peak)
		answer->peak = answer->peak_ended = (uint64_t)model->live;
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
		.absent = setting->traced ? 0 : (double)whatif->recorder,
		.idle = setting->traced ? (double)whatif->recorder : 0,
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
			struct local here = local_at(&model, known + 1);

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
