/*
 * check.c - see check.h. A set of the living of its own carries, for each object, where
 * and when it was born.
 */
#include "traces/format/check.h"
#include "alloc/base/grow.h"
#include "traces/format/huge_alloc.h"

#include <assert.h>
#include <stdlib.h>

#include "traces/format/live.h"

enum { AHEAD = 16 }; /* events whose deaths are looked up early */

/* 24 bytes for each living object: with the id it is two to a cache line. */
struct birth {
	uint64_t event, time_ns;
	uint32_t lane;
	float size; /* of a sample: its chance follows from that */
};

struct checker {
	struct rh_check check;
	struct rh_live *objects; /* payload: struct birth */
	unsigned char *busy;	 /* by lane */
	size_t busy_cap;
	uint64_t events, time_last;
	uint64_t lanes_alive, tasks_alive;
};

static struct checker *open_checker(void)
{
	struct checker *checker = calloc(1, sizeof(*checker));

	if (!checker)
		return NULL;
	checker->objects = rh_live_open(sizeof(struct birth));
	if (!checker->objects) {
		free(checker);
		return NULL;
	}
	return checker;
}

static void close_checker(struct checker *checker)
{
	rh_live_close(checker->objects);
	free(checker->busy);
	free(checker);
}

static void set_sample(struct checker *checker, uint64_t interval)
{
	/* An estimate needs the chance of every event, so it cannot begin in the
	 * middle. */
	assert(checker->events == 0);
	checker->check.sample.interval = interval;
}

/* Lanes that only start and stop (threads of a pool that never allocate) are not
 * counted: a replay with a thread for each would measure idle ones. */
static bool mark_busy(struct checker *checker, uint32_t lane)
{
	unsigned char *busy;

	if (!rh_reserve_zeroed(&checker->busy, &checker->busy_cap, (size_t)lane + 1, 1))
		return false;
	busy = checker->busy;
	checker->check.lanes_busy += !busy[lane];
	busy[lane] = 1;
	return true;
}

/* One more is alive, or one less. */
static void estimate_live(struct rh_check_sample *sample, float size, int sign)
{
	double chance = rh_sample_chance(sample->interval, (uint64_t)size);

	rh_sample_add(&sample->live_objects, chance, 1, sign);
	rh_sample_add(&sample->live_bytes, chance, (double)(uint64_t)size, sign);
	/* The sum with its variance, so that the error of the peak is that of the
	 * moment it was reached. */
	if (sample->live_bytes.value > sample->live_bytes_most.value)
		sample->live_bytes_most = sample->live_bytes;
}

/* Horvitz and Thompson: a block that is in a sample with chance p stands for 1 / p
 * blocks (sample.h). */
static void estimate_birth(struct rh_check_sample *sample, uint64_t size)
{
	double chance = rh_sample_chance(sample->interval, size), bytes = (double)size;
	unsigned octave = rh_octave(size);

	rh_sample_add(&sample->births, chance, 1, 1);
	rh_sample_add(&sample->bytes_born, chance, bytes, 1);
	rh_sample_add(&sample->size[octave], chance, 1, 1);
	rh_sample_add(&sample->size_bytes[octave], chance, bytes, 1);
	estimate_live(sample, (float)size, 1);
}

static bool birth(struct checker *checker, const struct rh_event *event)
{
	struct rh_check *check = &checker->check;
	unsigned octave = rh_octave(event->size);
	struct birth *birth;
	uint64_t position;

	/* A second set of the living beside the reader's: this one needs births, and
	 * readers that check nothing should not pay for them. */
	if (!rh_live_birth(checker->objects, &position))
		return false;
	/* both count the same births, so an id is the ordinal here, too */
	assert(rh_live_births(checker->objects) == check->births + 1 && octave < RH_CHECK_OCTAVES);
	birth = rh_live_payload(checker->objects, position);
	*birth = (struct birth){
		.event = checker->events,
		.time_ns = event->time_ns,
		.lane = event->lane,
		/* 24 bits are enough for a chance, and the struct stays at 24 bytes. */
		.size = (float)event->size,
	};
	if (check->sample.interval)
		estimate_birth(&check->sample, event->size);
	check->births++;
	check->bytes_born += event->size;
	check->size[octave]++;
	check->size_bytes[octave] += event->size;
	check->align[event->align_log2 < RH_CHECK_OCTAVES ? event->align_log2 : 0]++;
	check->births_zero_size += event->size == 0;
	check->births_zeroed += (event->flags & RH_EVF_ZEROED) != 0;
	check->births_realloc += (event->flags & RH_EVF_REALLOC) != 0;
	check->births_new += (event->flags & RH_EVF_NEW) != 0;
	check->births_estimated += (event->flags & RH_EVF_ESTIMATED) != 0;
	check->scan_known += (event->flags & RH_EVF_SCAN_KNOWN) != 0;
	check->noscan += (event->flags & RH_EVF_NOSCAN) != 0;
	return true;
}

static void death(struct checker *checker, const struct rh_event *event, uint64_t id)
{
	struct rh_check *check = &checker->check;
	const struct birth *birth;
	uint64_t position;

	if (!rh_live_find(checker->objects, id, &position))
		return; /* cannot be in a trace that was read from its start */
	birth = rh_live_payload(checker->objects, position);
	assert(birth->event < checker->events && check->deaths < check->births);
	check->deaths++;
	check->deaths_sized += event->kind == RH_EV_FREE && event->flags & RH_EVF_SIZED;
	/* What costs an allocator with caches of threads most, and the first thing to
	 * look at when two of them differ. */
	check->deaths_remote += birth->lane != event->lane;
	check->life_events[rh_octave(checker->events - birth->event)]++;
	if (event->time_ns != RH_NONE && birth->time_ns != RH_NONE)
		check->life_ns[rh_octave(
			/* Clocks of two CPUs may differ: a life that ends before it
			 * began lasted no time. */
			event->time_ns > birth->time_ns ? event->time_ns - birth->time_ns : 0)]++;
	if (check->sample.interval)
		estimate_live(&check->sample, birth->size, -1);
	rh_live_death(checker->objects, position);
	if (check->deaths == check->births) /* exactly nothing, and no rest of roundings */
		check->sample.live_objects = check->sample.live_bytes = (struct rh_sample_sum){ 0 };
}

static bool object_event(struct checker *checker, const struct rh_event *event)
{
	if (!mark_busy(checker, event->lane))
		return false;
	/* Death before birth: a resize ends one object and begins another, and both
	 * never live at once. */
	if (event->kind != RH_EV_ALLOC)
		death(checker, event, event->kind == RH_EV_FREE ? event->id : event->old);
	return event->kind == RH_EV_FREE || birth(checker, event);
}

/* What was mapped unseen can be given back: then it is taken for nothing. */
static void count_map(struct rh_check *check, const struct rh_event *event)
{
	bool file = event->id == RH_MAP_FILE;
	uint64_t size = event->size == RH_NONE ? 0 : event->size;
	uint64_t *live = file ? &check->mapped_file : &check->mapped;
	uint64_t *peak = file ? &check->mapped_file_peak : &check->mapped_peak;

	if (event->kind == RH_EV_MAP)
		*live += size;
	/* Pages that were there before the recording are not in the sum, so they
	 * cannot leave it. */
	else if (event->id != RH_MAP_UNKNOWN)
		/* A recording may miss maps and see their unmaps; the sum must not
		 * wrap. */
		*live -= size < *live ? size : *live;
	if (*live > *peak)
		*peak = *live;
}

/* Peaks of lanes and tasks are counted here and not in order.c: a reader of every
 * trace would pay for what only `info` shows. */
static void other_event(struct checker *checker, const struct rh_event *event)
{
	struct rh_check *check = &checker->check;

	if (event->kind == RH_EV_LANE_START) {
		if (++checker->lanes_alive > check->lanes_alive_peak)
			check->lanes_alive_peak = checker->lanes_alive;
	} else if (event->kind == RH_EV_LANE_STOP) {
		assert(checker->lanes_alive > 0);
		checker->lanes_alive--;
		check->lanes_stopped++;
	} else if (event->kind == RH_EV_SPAWN) {
		if (++checker->tasks_alive > check->tasks_alive_peak)
			check->tasks_alive_peak = checker->tasks_alive;
	} else if (event->kind == RH_EV_EXIT) {
		assert(checker->tasks_alive > 0);
		checker->tasks_alive--;
	} else if (event->kind == RH_EV_GAP) {
		/* Unknown is not zero: the gap is there, and its size is not. */
		check->calls_lost += event->id == RH_NONE ? 0 : event->id;
	} else if (event->kind == RH_EV_MAP || event->kind == RH_EV_UNMAP) {
		count_map(check, event);
	}
}

/* The look for what dies in `event` begins now. */
static void soon(const struct checker *checker, const struct rh_event *event, bool very)
{
	if (event->kind == RH_EV_FREE)
		rh_live_soon(checker->objects, event->id, very);
	else if (event->kind == RH_EV_RESIZE)
		rh_live_soon(checker->objects, event->old, very);
}

static int living_do_not_fit(const struct checker *checker, struct rh_err *err)
{
	unsigned long long event = checker->events;

	/* Two messages, for two remedies: a limit that can be raised, or a machine
	 * that is too small. */
	if (rh_huge_refused())
		return rh_fail(err, RH_OS,
			       "the living objects at event %llu need over %llu MiB of memory, the "
			       "limit%s; --limit-memory SIZE raises it",
			       event, (unsigned long long)(rh_huge_limit_bytes() >> 20),
			       rh_huge_limit_why());
	return rh_fail(err, RH_OS, "memory for checking a trace ran out at event %llu", event);
}

static int add_events(struct checker *checker, const struct rh_event *events, size_t count,
		      struct rh_err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct rh_event *event = &events[i];

		/* Two steps: 16 events ahead the place where the id is looked up, 8
		 * ahead what that look-up leads to. */
		if (i + AHEAD < count)
			soon(checker, event + AHEAD, false);
		if (i + AHEAD / 2 < count)
			soon(checker, event + AHEAD / 2, true);
		if (event->time_ns != RH_NONE) {
			/* Legal (lanes have clocks of their own), but counted: where
			 * there are many, the stamps are not of one clock. */
			checker->check.time_back += event->time_ns < checker->time_last;
			if (event->time_ns > checker->time_last)
				checker->time_last = event->time_ns;
		}
		/* ALLOC, FREE and RESIZE are the first three kinds and nearly all
		 * events. */
		if (event->kind > RH_EV_RESIZE)
			other_event(checker, event);
		else if (!object_event(checker, event))
			return living_do_not_fit(checker, err);
		checker->events++;
	}
	return 0;
}

/* *check is filled on failure too: what was counted up to there is right. */
int rh_check_trace(struct rh_trace *trace, struct rh_check *check, struct rh_err *err)
{
	struct checker *checker = open_checker();
	struct rh_event batch[RH_TRACE_BATCH];
	int count = -1;

	if (!checker)
		return rh_fail(err, RH_OS, "memory for checking a trace ran out");
	set_sample(checker, rh_trace_sample(trace));
	while ((count = rh_trace_next(trace, batch, RH_TRACE_BATCH, err)) > 0) {
		if (add_events(checker, batch, (size_t)count, err) < 0) {
			count = -1;
			break;
		}
	}
	checker->check.lanes_alive_end = checker->lanes_alive;
	checker->check.tasks_alive_end = checker->tasks_alive;
	*check = checker->check;
	rh_trace_totals(trace, &check->totals, NULL);
	close_checker(checker);
	return count;
}
