/*
 * sample.c - handles a sampled operation after its end was read.
 *
 *	1  the thread changed CPU between begin and end: dropped, counted (clocks of two
 *	   sockets need not agree, and the operation contains a migration)
 *	2  ticks = end - begin - cost of an empty pair, not below 0
 *	3  into the cell of its kind, size octave and, for frees, of which lane made the block
 *	4  the batch is full: is it an outlier?
 *	5  the next gap
 *
 * The empty pair is calibrated on the thread itself at the start of every segment (257 pairs,
 * 15 us, outside the timing): its median is published for the first and the last segment, because
 * a clock that became slower to read on the way (another CPU, load on the sibling) makes small
 * values wrong by as much.
 *
 * The running median is the frugal one: a step of 1/64 of itself up or down per batch. It needs no
 * memory and is exact enough for a limit of 8 x.
 *
 * The lane that made a block is one 16-bit word per slot, written at birth only by the timed
 * variants: the program need not carry it, and the plain loop does not know of it.
 */
#include <assert.h>
#include <sys/resource.h>

#include "alloc/base/debug.h"
#include "harness/worker/ops.h"
#include "harness/worker/worker.h"

enum { PAIRS = 257, PAIR_TICKS_MAX = 1024, MEDIAN_STEP = 64, WARM_BATCHES = 8 };

int rh_sample_open(struct worker *worker, struct rh_err *err)
{
	struct rh_ctl *ctl = worker->ctl;
	struct rh_latency_lane *areas = rh_ctl_area(ctl, RH_AREA_LATENCY);

	for (uint32_t i = 0; i < worker->seats; i++) {
		struct sample *sample = &worker->lane[i].sample;

		sample->area = areas ? &areas[i] : NULL;
		rh_sampler_open(&sample->sampler, ctl->replay.sample, ctl->seed * 4099 + i);
		sample->left = sample->gap = rh_sampler_gap(&sample->sampler);
		assert(sample->left > 0); /* the loop counts down to 0 */
	}
	for (uint32_t k = 0; areas && k < ctl->copies; k++) {
		struct copy *copy = &worker->copies[k];

		copy->birth = rh_map_touched(((size_t)worker->program.head->slots + 1) *
					     sizeof(*copy->birth));
		if (!copy->birth)
			return rh_fail(err, RH_OS,
				       "worker: no memory to know which lane made a block");
	}
	return 0;
}

/* Median of empty clock pairs, read as for operations. */
static uint64_t pair_cost(struct sample *sample)
{
	uint16_t counts[PAIR_TICKS_MAX] = { 0 };
	uint64_t cost = 0;
	unsigned seen = 0;

	for (int i = 0; i < PAIRS; i++) {
		uint64_t begin = sample_begin(sample), end;
		uint32_t cpu;

		end = rh_ticks_end(&cpu);
		counts[end - begin < PAIR_TICKS_MAX ? end - begin : PAIR_TICKS_MAX - 1]++;
	}
	while ((seen += counts[cost]) <= PAIRS / 2)
		cost++;
	assert(cost < PAIR_TICKS_MAX);
	return cost;
}

static void begin_batch(struct lane *lane)
{
	struct sample *sample = &lane->sample;
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	/* Run delay grows with a switch and not without, so it is read again only then. */
	if (!sample->batch_since || sample->switches_voluntary != (uint64_t)usage.ru_nvcsw ||
	    sample->switches_involuntary != (uint64_t)usage.ru_nivcsw)
		sample->run_delay_ns = rh_run_delay(lane->meters.schedstat);
	sample->faults_minor = (uint64_t)usage.ru_minflt;
	sample->faults_major = (uint64_t)usage.ru_majflt;
	sample->switches_voluntary = (uint64_t)usage.ru_nvcsw;
	sample->switches_involuntary = (uint64_t)usage.ru_nivcsw;
	sample->batch_ops = 0;
	sample->batch_blocked = lane->blocked_ticks + lane->pace.waited_ticks;
	sample->batch_since = rh_ticks();
}

void rh_sample_begin_segment(struct lane *lane)
{
	struct sample *sample = &lane->sample;
	struct rh_latency_lane *area = sample->area;

	if (!area)
		return;
	sample->pair = pair_cost(sample);
	if (!area->pair_first)
		area->pair_first = area->pair_min = area->pair_max = sample->pair;
	area->pair_last = sample->pair;
	if (sample->pair < area->pair_min)
		area->pair_min = sample->pair;
	if (sample->pair > area->pair_max)
		area->pair_max = sample->pair;
	assert(area->pair_min <= sample->pair && sample->pair <= area->pair_max);
	sample->batch_since = 0; /* begins with the first sample: the barrier lies between */
}

static void keep_outlier(struct rh_latency_lane *area, const struct rh_outlier *outlier)
{
	struct rh_outlier *place = &area->outlier[0];

	assert(area->kept <= RH_OUTLIERS_MAX);
	if (area->kept < RH_OUTLIERS_MAX) {
		area->outlier[area->kept++] = *outlier;
		return;
	}
	for (unsigned i = 1; i < RH_OUTLIERS_MAX; i++)
		if (area->outlier[i].ticks < place->ticks)
			place = &area->outlier[i];
	if (outlier->ticks > place->ticks)
		*place = *outlier;
}

static __attribute__((noinline, cold)) void note_outlier(struct lane *lane, const struct rh_op *op,
							 uint64_t ticks, uint64_t now)
{
	struct sample *sample = &lane->sample;
	struct rh_latency_lane *area = sample->area;
	uint64_t delay = rh_run_delay(lane->meters.schedstat);
	struct rusage usage;
	struct rh_outlier outlier = {
		.at_ticks = now,
		.ticks = ticks,
		.ops = sample->batch_ops,
		.op = (uint64_t)(op - lane->seat->ops),
		.run_delay_ns = delay == RH_NONE || sample->run_delay_ns == RH_NONE
					? RH_NONE
					: delay - sample->run_delay_ns,
	};

	getrusage(RUSAGE_THREAD, &usage);
	outlier.faults_minor = (uint64_t)usage.ru_minflt - sample->faults_minor;
	outlier.faults_major = (uint64_t)usage.ru_majflt - sample->faults_major;
	outlier.switches_voluntary = (uint64_t)usage.ru_nvcsw - sample->switches_voluntary;
	outlier.switches_involuntary = (uint64_t)usage.ru_nivcsw - sample->switches_involuntary;
	area->outliers++;
	area->outlier_ticks += ticks;
	area->with_faults += outlier.faults_minor + outlier.faults_major > 0;
	area->with_switches += outlier.switches_voluntary + outlier.switches_involuntary > 0;
	keep_outlier(area, &outlier);
	assert(area->kept <= area->outliers);
}

static void end_batch(struct lane *lane, const struct rh_op *op)
{
	struct sample *sample = &lane->sample;
	uint64_t now = rh_ticks();
	uint64_t blocked = lane->blocked_ticks + lane->pace.waited_ticks - sample->batch_blocked;
	uint64_t ticks = now - sample->batch_since;
	double each;

	assert(sample->batch_ops > 0 && sample->batch_since);
	ticks = ticks > blocked ? ticks - blocked : 0;
	each = (double)ticks / (double)sample->batch_ops;
	if (sample->area->batches++ < WARM_BATCHES) {
		sample->median =
			sample->median == 0 || each < sample->median ? each : sample->median;
	} else {
		if (each > RH_OUTLIER_TIMES * sample->median)
			note_outlier(lane, op, ticks, now);
		sample->median +=
			(each > sample->median ? sample->median : -sample->median) / MEDIAN_STEP;
	}
	begin_batch(lane);
}

/* The kind a sampled op counts as, or RH_LAT_KINDS for none; its size. */
static unsigned kind_of(const struct lane *lane, const struct rh_op *op, uint64_t *size)
{
	const uint16_t *birth = lane->copy->birth;
	uint32_t slot = RH_OP_SLOT(op->what);

	*size = op->size;
	switch (RH_OP_KIND(op->what)) {
	case RH_OP_FREE_SIZED:
		*size &= ~(uint64_t)RH_FREE_DELETE;
		/* fall through */
	case RH_OP_FREE:
		return birth[slot] == lane->index + 1 ? RH_LAT_FREE : RH_LAT_FREE_REMOTE;
	case RH_OP_ALLOC:
	case RH_OP_NOSCAN:
		return RH_LAT_ALLOC;
	case RH_OP_ZALLOC:
		return RH_LAT_ZALLOC;
	case RH_OP_RESIZE:
		return RH_LAT_RESIZE;
	case RH_OP_ALLOC_AS:
		*size = op_word(op, 1);
		return op->size >> 8		    ? RH_LAT_ALIGNED
		       : op->size & RH_ALLOC_ZEROED ? RH_LAT_ZALLOC
						    : RH_LAT_ALLOC;
	case RH_OP_SPAWN:
		return RH_LAT_SPAWN;
	case RH_OP_EXIT:
		return RH_LAT_EXIT;
	case RH_OP_CALL:
		return RH_LAT_CALL;
	case RH_OP_MISC:
		break;
	default:
		return RH_LAT_KINDS;
	}
	*size = op->size > 1 ? op_word(op, 2) : 0;
	switch (slot) {
	case RH_MISC_FREE_BIG:
		slot = (uint32_t)op_word(op, 1);
		return birth[slot] == lane->index + 1 ? RH_LAT_FREE : RH_LAT_FREE_REMOTE;
	case RH_MISC_RESIZE_BIG:
	case RH_MISC_RESIZE_ASKED:
		return RH_LAT_RESIZE;
	case RH_MISC_GROW:
		return RH_LAT_GROW;
	default:
		return RH_LAT_KINDS;
	}
}

__attribute__((noinline)) void rh_sample_put(struct lane *lane, const struct rh_op *op,
					     uint64_t begin, uint64_t end, uint32_t end_cpu)
{
	struct sample *sample = &lane->sample;
	uint64_t ticks = end - begin, size;
	unsigned kind = kind_of(lane, op, &size);

	sample->batch_ops += sample->gap;
	sample->left = sample->gap = rh_sampler_gap(&sample->sampler);
	rh_debug_assert(sample->left > 0);
	rh_pace_response(lane, end);
	if (end_cpu != sample->cpu) {
		sample->area->migrated++;
	} else if (kind < RH_LAT_KINDS) {
		ticks = ticks > sample->pair ? ticks - sample->pair : 0;
		rh_hist_add(&sample->area->cell[kind][rh_latency_octave(size)], ticks);
		sample->area->samples++;
	}
	if (!sample->batch_since)
		begin_batch(lane);
	else if (sample->batch_ops >= RH_BATCH_OPS)
		end_batch(lane, op);
}
