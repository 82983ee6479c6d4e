/*
 * pace.c - think and open: replay that keeps recorded times.
 *
 *	think	each operation starts its recorded gap after the end of the one before: a
 *		program that waits for the allocator waits longer with a slower one. (A trace does
 *		not say how long an operation took when it was recorded, so that stays in
 *		the gap.)
 *	open	each operation is due at its recorded time after the start of the run, whatever
 *		happened before: work comes from outside and queues up behind a slow
 *		allocator. Latency counted from when it was due contains the queue.
 *
 * PACE ops exist only in programs compiled for it and are handled on the loop's rare path: the
 * variants of the loop know nothing of time.
 *
 * The clock of a run stands still at segment edges: due = barrier of this segment - timed
 * length of all earlier segments + recorded time / speed. All lanes use the same barrier.
 *
 * Waiting: the last 50 us are spun on the clock, because a sleep returns that much late; before
 * that the lane sleeps. If lanes outnumber CPUs no lane spins: it would take the CPU from the
 * lane that is due; it sleeps with a timer slack of 1 ns then, for the usual 50 us would make three
 * times as much of a gap of 25.
 */
#include <assert.h>
#include <sys/prctl.h>
#include <time.h>

#include "alloc/base/debug.h"
#include "harness/worker/worker.h"

enum { SPIN_NS = 50000 };

void rh_pace_open(struct worker *worker)
{
	struct rh_ctl *ctl = worker->ctl;
	struct rh_pace_lane *areas = rh_ctl_area(ctl, RH_AREA_PACE);

	assert(!areas || ctl->pace_ticks_per_ns > 0);
	for (uint32_t i = 0; i < worker->seats; i++) {
		struct pace *pace = &worker->lane[i].pace;

		pace->area = areas ? &areas[i] : NULL;
		pace->ticks_per_ns = ctl->pace_ticks_per_ns;
	}
}

void rh_pace_preroll(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->seats; i++)
		worker->lane[i].pace.how = RH_PACE_NONE;
}

/* Recorded time at which the timed part of copy k begins: it was brought there without pace. */
static uint64_t phase_ns(const struct worker *worker, uint32_t copy)
{
	const struct rh_program *program = &worker->program;
	uint64_t phase = rh_ctl_phase(copy, worker->ctl->copies, program->head->grains);
	uint64_t time = phase ? program->grain_facts[phase - 1].time_ns : 0;

	assert(phase < program->head->grains);
	return time == RH_NONE ? 0 : time;
}

void rh_pace_segment(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->seats; i++) {
		struct pace *pace = &worker->lane[i].pace;

		pace->how = pace->area ? worker->ctl->replay.pace : RH_PACE_NONE;
		pace->due = pace->waited_ticks = 0;
	}
}

void rh_pace_segment_done(struct worker *worker)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (uint32_t i = 0; i < worker->seats; i++) {
		const struct rh_ctl_seat *seat = worker->lane[i].seat;
		struct pace *pace = &worker->lane[i].pace;

		if (pace->area)
			pace->area->waited_ticks += pace->waited_ticks;
		first = seat->start_ticks < first ? seat->start_ticks : first;
		last = seat->end_ticks > last ? seat->end_ticks : last;
	}
	worker->pace_elapsed += last - first;
}

/* The program starts over, but the clock does not: recorded time continues past the end. */
void rh_pace_wrap(struct worker *worker, uint32_t copy)
{
	uint64_t last = worker->program.head->time_ns_last;
	struct copy *c = &worker->copies[copy];

	assert(c->grain == 0); /* drained: it stands at its start */
	c->pace_ns += last == RH_NONE ? 0 : last;
	for (uint32_t l = 0; l < worker->lanes; l++)
		c->lanes[l].pace.recorded_ns = 0;
}

void rh_pace_begin(struct lane *lane)
{
	struct worker *worker = lane->worker;
	struct pace *pace = &lane->pace;
	double ahead;

	if (pace->how != RH_PACE_OPEN)
		return;
	ahead = (double)lane->copy->pace_ns -
		(double)phase_ns(worker, lane->number / worker->lanes);
	pace->origin = (int64_t)(worker->barrier_ticks - worker->pace_elapsed) +
		       (int64_t)(ahead * pace->ticks_per_ns);
}

/* Open replay is timed from the barrier, where due times count from: otherwise a lane that the
 * kernel starts 1 ms late would end a run of 50 ms after 49. */
uint64_t rh_pace_start(const struct lane *lane)
{
	return lane->pace.how == RH_PACE_OPEN ? lane->worker->barrier_ticks : rh_ticks();
}

static void wait_until(struct lane *lane, uint64_t due)
{
	const struct rh_ctl *ctl = lane->worker->ctl;
	uint64_t spin_ns = lane->worker->wait_spin_ticks ? SPIN_NS : 0, now;

	while ((now = rh_ticks()) < due) {
		uint64_t ns = (uint64_t)((double)(due - now) * ctl->ns_per_tick);
		struct timespec sleep;
		struct nap nap;

		if (ns <= spin_ns)
			continue;
		ns -= spin_ns;
		sleep = (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
		rh_meters_sleep(lane, &nap);
		/* Only here: sleeps of the allocator stay as late as the program's are. */
		prctl(PR_SET_TIMERSLACK, 1);
		nanosleep(&sleep, NULL);
		prctl(PR_SET_TIMERSLACK, 0); /* as it was */
		rh_meters_awake(lane, &nap);
	}
}

void rh_pace_op(struct lane *lane, uint32_t gap_ns)
{
	struct pace *pace = &lane->pace;
	uint64_t now, due;
	int64_t at;

	pace->recorded_ns += gap_ns;
	if (pace->how == RH_PACE_NONE)
		return;
	rh_debug_assert(pace->area);
	now = rh_ticks();
	if (pace->how == RH_PACE_THINK) {
		due = now + (uint64_t)(gap_ns * pace->ticks_per_ns);
	} else {
		at = pace->origin + (int64_t)((double)pace->recorded_ns * pace->ticks_per_ns);
		due = at > 0 ? (uint64_t)at : 1;
		pace->due = due;
	}
	if (due > now) {
		wait_until(lane, due);
		pace->waited_ticks += rh_ticks() - now;
		now = rh_ticks();
	}
	rh_hist_add(&pace->area->lag, now > due ? now - due : 0);
}

void rh_pace_response(struct lane *lane, uint64_t end_ticks)
{
	struct pace *pace = &lane->pace;

	if (pace->how == RH_PACE_OPEN && pace->due)
		rh_hist_add(&pace->area->response,
			    end_ticks > pace->due ? end_ticks - pace->due : 0);
}
