/*
 * lanes.c - the threads of a worker: seating them, starting them together, reading
 * their meters, and letting them end where recorded threads ended.
 *
 * A segment, on every lane:
 *	1  the coordinator sets op and end and gives JOB_RUN
 *	2  the lane moves to its own CPU, arrives at the barrier and waits
 *	3  the last to arrive opens the barrier; the lane reads its rusage (330 ns; before the
 *	   barrier it would count the switches of waiting there)
 *	4  CPU clock, start_ticks | loop | end_ticks, CPU clock: only this part is timed
 *	5  rusage again; the last one done wakes the coordinator
 * The segment's wall time is last end minus first start over all lanes, so a late wake-up of one
 * lane counts, but the wake-up before the first start does not.
 *
 * Lanes spin at the barrier for wait_spin_ticks; that is 0 when lanes outnumber CPUs.
 * The coordinator never spins while lanes work, unless it is one of them.
 *
 * A CPU of its own: the scheduler tends to wake all lanes on the coordinator's CPU and takes
 * milliseconds, a whole segment, to spread them (two lanes were seen to share one CPU for entire
 * trials next to an idle one). So if there is a CPU for each lane, each moves to its own before the
 * barrier and is unpinned at once: other load can still push it away, as it would a program's
 * threads. With --pin it stays there, and lanes beyond the CPUs share them in turn.
 *
 * A single-threaded program has one thread here as well: with one lane and one copy, the lane runs
 * on the only thread of the worker, the coordinator. The C library serves such a process without
 * locks and from its main arena (with a second thread it takes 25 instructions more per event of
 * the perl trace), and an allocator may do the same. So does the main thread of a program with
 * more: with one copy the first lane, which is the recorded main thread, runs on the coordinator,
 * and has the main arena; folded onto one lane, the program's threads are one thread beside the
 * coordinator.
 *
 * Turn-over: a replay lane carries several lanes of the trace, one after another. A thread that
 * began a new one (TURN) really ends at the next segment edge, so that the allocator's thread
 * caches die as they did; a fresh thread takes its seat. This does not apply to folded lanes, which
 * are merged: none ends where the next begins. The wrap of a copy (passes.c, drain.c) is handled at
 * the edge as well. Both are outside the timing.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/debug.h"
#include "harness/worker/worker.h"

enum { LANE_STACK_BYTES = 1 << 20 };

uint64_t rh_thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t rh_others_cpu_ns(const struct worker *worker)
{
	uint64_t mine;
	struct timespec all;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
	mine = rh_thread_cpu_ns() + atomic_load(&worker->lanes_cpu_ns);
	mine = (uint64_t)all.tv_sec * 1000000000u + (uint64_t)all.tv_nsec - mine;
	return (int64_t)mine > 0 ? mine : 0; /* ours went on between the readings */
}

static void barrier_pass(struct worker *worker)
{
	struct barrier *barrier = &worker->barrier;
	uint32_t round = atomic_load(&barrier->open);
	uint64_t since = rh_ticks();

	if (atomic_fetch_add(&barrier->arrived, 1) + 1 == worker->expected) {
		atomic_store(&barrier->arrived, 0);
		worker->barrier_ticks = rh_ticks();
		atomic_fetch_add(&barrier->open, 1);
		rh_futex_wake(&barrier->open, INT_MAX);
		return;
	}
	while (atomic_load_explicit(&barrier->open, memory_order_acquire) == round)
		if (!worker->wait_spin_ticks || rh_ticks() - since > worker->wait_spin_ticks)
			rh_futex_wait(&barrier->open, round, UINT64_MAX);
}

/* The figures between two readings of the thread's rusage. */
static void charge(struct rh_ctl_seat *seat, const struct rusage *a, const struct rusage *b)
{
	seat->faults_minor = (uint64_t)(b->ru_minflt - a->ru_minflt);
	seat->faults_major = (uint64_t)(b->ru_majflt - a->ru_majflt);
	seat->switches_voluntary = (uint64_t)(b->ru_nvcsw - a->ru_nvcsw);
	seat->switches_involuntary = (uint64_t)(b->ru_nivcsw - a->ru_nivcsw);
	seat->kernel_ns = (uint64_t)((b->ru_stime.tv_sec - a->ru_stime.tv_sec) * 1000000 +
				     (b->ru_stime.tv_usec - a->ru_stime.tv_usec)) *
			  1000;
}

/* Moves the lane to its own CPU and unpins it again: see the top. */
static void spread(const struct lane *lane)
{
	const struct worker *worker = lane->worker;
	struct rh_cpus mine;
	int cpu;

	if (!worker->spread)
		return;
	cpu = rh_cpus_nth(&worker->cpus, lane->number % worker->cpu_count);
	assert(cpu >= 0);
	if (sched_getcpu() == cpu && !worker->ctl->replay.pin)
		return;
	mine = rh_cpus_one(cpu);
	rh_cpus_set(&mine);
	if (!worker->ctl->replay.pin)
		rh_cpus_set(&worker->cpus);
}

/* Runs the lane up to the start of a grain. */
static void replay_to(struct lane *lane, uint64_t grain)
{
	const struct worker *worker = lane->worker;

	rh_debug_assert(grain <= worker->program.head->grains);
	lane->end =
		lane->seat->ops + worker->program.grain_table[grain * worker->lanes + lane->index];
	rh_debug_assert(lane->op <= lane->end);
	rh_passes_run(lane);
	lane->op = lane->end;
}

/* The timed part, grain by grain (or a few at a time if there are many). */
static void replay_batches(struct lane *lane)
{
	struct rh_ctl_seat *seat = lane->seat;
	uint64_t from = lane->copy->timed_grain, end = lane->copy->grain, since, now, to;
	uint64_t step = (end - from + RH_CTL_BATCHES_MAX - 1) / RH_CTL_BATCHES_MAX;

	assert(from <= end && end - from <= step * RH_CTL_BATCHES_MAX);
	seat->batch_count = 0;
	seat->batch_grains = (uint32_t)step;
	since = seat->start_ticks;
	for (; from < end; from = to) {
		to = from + step < end ? from + step : end;
		replay_to(lane, to);
		now = rh_ticks();
		seat->batch_ticks[seat->batch_count++] =
			now - since < UINT32_MAX ? (uint32_t)(now - since) : UINT32_MAX;
		since = now;
	}
}

/* The lead before the timed part warms caches and predictors, as if nothing else had run meanwhile.
 */
static void run_lead(struct lane *lane)
{
	replay_to(lane, lane->copy->timed_grain);
	barrier_pass(lane->worker);
	/* waits, like times, are those of the timed part only */
	lane->waits = lane->blocked = lane->blocked_ticks = lane->slept_ticks = 0;
}

static void run_segment(struct lane *lane)
{
	struct rh_ctl_seat *seat = lane->seat;
	const struct rh_op *first = lane->op;
	struct rusage before, after;
	uint64_t cpu, delay;
	bool batches = lane->worker->ctl->batches;

	assert(lane->op <= lane->end);
	lane->waits = lane->blocked = lane->blocked_ticks = lane->slept_ticks = 0;
	lane->alloc_failed = 0;
	lane->first_failed_op = RH_NONE;
	lane->used |= first != lane->end;
	spread(lane);
	rh_sample_begin_segment(lane);
	atomic_store_explicit(&seat->running, 1, memory_order_relaxed);
	barrier_pass(lane->worker);
	if (lane->worker->ctl->lead)
		run_lead(lane);
	rh_pace_begin(lane);
	rh_meters_begin(lane);
	delay = rh_run_delay(lane->meters.schedstat);
	getrusage(RUSAGE_THREAD, &before);
	cpu = rh_thread_cpu_ns();
	seat->start_ticks = rh_pace_start(lane);
	if (batches)
		replay_batches(lane);
	else
		rh_passes_run(lane);
	seat->end_ticks = rh_ticks();
	seat->cpu_ns = rh_thread_cpu_ns() - cpu;
	getrusage(RUSAGE_THREAD, &after);
	seat->run_delay_ns =
		delay == RH_NONE ? RH_NONE : rh_run_delay(lane->meters.schedstat) - delay;
	atomic_store_explicit(&seat->running, 0, memory_order_relaxed);
	charge(seat, &before, &after);
	rh_meters_end(lane);
	seat->op_words = (uint64_t)(lane->end - first);
	seat->moved_bytes = lane->moved_bytes;
	seat->waits = lane->waits;
	seat->blocked = lane->blocked;
	seat->blocked_ticks = lane->blocked_ticks;
	seat->slept_ticks = lane->slept_ticks;
	seat->alloc_failed = lane->alloc_failed;
	seat->first_failed_op = lane->first_failed_op;
}

/* Opens the lane's handles on the thread that will use them. */
static int sit_down(struct lane *lane)
{
	struct worker *worker = lane->worker;

	lane->seat->os_thread = (uint32_t)syscall(SYS_gettid);
	rh_meters_open(lane);
	if (lane->heap_ops->lane_open(worker->heap, &lane->heap, &lane->err) < 0)
		return -1;
	if (lane->stack_ops->lane_open(worker->stacks, lane->heap, &lane->stack, &lane->err) < 0) {
		lane->heap_ops->lane_close(lane->heap);
		return -1;
	}
	return 0;
}

static enum job next_job(struct lane *lane)
{
	uint32_t job;

	while ((job = atomic_load_explicit(&lane->job, memory_order_acquire)) == JOB_NONE)
		rh_futex_wait(&lane->job, JOB_NONE, UINT64_MAX);
	return (enum job)job;
}

static void job_done(struct lane *lane)
{
	struct barrier *barrier = &lane->worker->barrier;

	assert(atomic_load(&barrier->done) > 0);
	atomic_store_explicit(&lane->job, JOB_NONE, memory_order_relaxed);
	if (atomic_fetch_sub(&barrier->done, 1) == 1)
		rh_futex_wake(&barrier->done, 1);
}

static void do_job(struct lane *lane, enum job job)
{
	assert(job != JOB_NONE);
	if (job == JOB_RUN) {
		run_segment(lane);
	} else if (job == JOB_TRIM) {
		lane->heap_ops->trim(lane->heap);
	} else if (job == JOB_DRAIN) {
		atomic_store_explicit(&lane->seat->running, 1, memory_order_relaxed);
		rh_drain_lane(lane);
		atomic_store_explicit(&lane->seat->running, 0, memory_order_relaxed);
	} else {
		lane->stack_ops->lane_close(lane->stack);
		lane->heap_ops->lane_close(lane->heap);
		rh_meters_close(lane);
	}
}

static bool take_seat(struct lane *lane)
{
	bool seated = sit_down(lane) == 0;

	if (!seated && !lane->err.text[0])
		rh_fail(&lane->err, RH_OS, "lane %u cannot be opened", lane->number);
	return seated;
}

static void *lane_main(void *opaque)
{
	struct lane *lane = opaque;
	bool seated = take_seat(lane);
	enum job job = JOB_NONE;

	rh_crash_seat(lane->number);
	job_done(lane);
	while (seated && job != JOB_LEAVE) {
		job = next_job(lane);
		do_job(lane, job);
		if (job != JOB_LEAVE)
			job_done(lane);
	}
	atomic_fetch_add(&lane->worker->lanes_cpu_ns, rh_thread_cpu_ns());
	return NULL;
}

/* It is the program's main thread: see the top. */
static bool is_main(const struct lane *lane)
{
	const struct worker *worker = lane->worker;

	return lane == worker->lane && worker->seats == worker->lanes &&
	       (worker->seats > 1 || worker->program.head->lanes_recorded <= 1);
}

/* A lane's job on the coordinator's thread. */
static void do_job_here(struct lane *lane, enum job job)
{
	rh_crash_seat(lane->number);
	do_job(lane, job);
	rh_crash_seat(UINT32_MAX);
}

static void await_done(struct worker *worker)
{
	uint32_t left;

	while ((left = atomic_load_explicit(&worker->barrier.done, memory_order_acquire)) > 0)
		rh_futex_wait(&worker->barrier.done, left, UINT64_MAX);
}

/* Starts the lane's thread; it has opened its handles when this returns. */
static int seat_thread(struct lane *lane, struct rh_err *err)
{
	struct worker *worker = lane->worker;
	pthread_attr_t attr;
	int code;

	assert(atomic_load(&worker->barrier.done) == 0); /* no lane is at work */
	lane->used = false;
	lane->turns = 0;
	lane->err = (struct rh_err){ 0 };
	if (is_main(lane))
		return take_seat(lane) ? 0 : rh_fail(err, lane->err.code, "%s", lane->err.text);
	atomic_store(&lane->job, JOB_NONE);
	atomic_store(&worker->barrier.done, 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, LANE_STACK_BYTES);
	code = pthread_create(&lane->thread, &attr, lane_main, lane);
	pthread_attr_destroy(&attr);
	if (code)
		return rh_fail(err, RH_OS, "thread %u of %u cannot be made: %s", lane->number + 1,
			       worker->seats, strerror(code));
	await_done(worker);
	if (lane->err.text[0]) {
		pthread_join(lane->thread, NULL);
		return rh_fail(err, lane->err.code, "%s", lane->err.text);
	}
	return 0;
}

static void give_job(struct lane *lane, enum job job)
{
	assert(atomic_load(&lane->job) == JOB_NONE);
	atomic_store_explicit(&lane->job, job, memory_order_release);
	rh_futex_wake(&lane->job, 1);
}

static void thread_leave(struct lane *lane)
{
	if (is_main(lane)) {
		do_job_here(lane, JOB_LEAVE);
		return;
	}
	give_job(lane, JOB_LEAVE);
	pthread_join(lane->thread, NULL);
}

void rh_seats_do(struct worker *worker, enum job job, struct lane *lanes, uint32_t count)
{
	uint32_t here = is_main(&lanes[0]);

	assert(count > 0 && count <= worker->seats);
	assert(atomic_load(&worker->barrier.done) == 0 &&
	       atomic_load(&worker->barrier.arrived) == 0);
	worker->expected = count;
	atomic_store(&worker->barrier.done, count - here);
	for (uint32_t i = here; i < count; i++)
		give_job(&lanes[i], job);
	if (here)
		do_job_here(&lanes[0], job);
	await_done(worker);
}

int rh_seats_open(struct worker *worker, struct rh_err *err)
{
	for (uint32_t i = 0; i < worker->seats; i++) {
		if (seat_thread(&worker->lane[i], err) < 0) {
			while (i-- > 0)
				thread_leave(&worker->lane[i]);
			return -1;
		}
	}
	return 0;
}

void rh_seats_close(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->seats; i++)
		thread_leave(&worker->lane[i]);
}

/* Ends the threads whose recorded lane ended, and starts those whose lane begins. */
void rh_seats_turn(struct worker *worker)
{
	struct rh_err err = { 0 };

	for (uint32_t i = 0; i < worker->seats; i++) {
		struct lane *lane = &worker->lane[i];

		if (lane->turns == 0)
			continue;
		lane->turns = 0;
		if (!lane->used || !worker->ctl->turn_over)
			continue;
		thread_leave(lane);
		if (seat_thread(lane, &err) < 0)
			rh_give_up(worker, lane, err.code, "%s", err.text);
	}
}

/* Sets grains [from, to) of a copy as the next run of its lanes, the first `lead` untimed. */
static void set_stretch(struct worker *worker, struct copy *copy, uint64_t from, uint64_t lead,
			uint64_t to)
{
	const uint64_t *table = worker->program.grain_table;

	/* Continuing anywhere else would free blocks that were never allocated. */
	assert(copy->grain == from && from + lead <= to);
	assert(to <= worker->program.head->grains);
	for (uint32_t l = 0; l < worker->lanes; l++) {
		struct lane *lane = &copy->lanes[l];

		lane->op = lane->seat->ops + table[from * worker->lanes + l];
		lane->end = lane->seat->ops + table[to * worker->lanes + l];
	}
	copy->timed_grain = from + lead;
	copy->grain = to;
}

/* A copy at the end of the program starts over: with nothing published, and with nothing live
 * unless live blocks are kept. */
static void wrap(struct worker *worker, struct copy *copy, uint32_t number)
{
	uint64_t objects, bytes;

	if (worker->kept)
		rh_passes_wrap(worker, copy);
	else
		rh_drain_copy(worker, copy, &objects, &bytes);
	rh_pace_wrap(worker, number);
}

static void choose_loop(struct worker *worker, bool verify)
{
	for (uint32_t i = 0; i < worker->seats; i++)
		rh_loop_choose(&worker->lane[i], worker->ctl->replay.touch, verify,
			       (enum rh_ctl_mode)worker->ctl->mode);
}

void rh_seats_run(struct worker *worker, uint64_t first, uint64_t count, bool verify)
{
	uint64_t grains = worker->program.head->grains, lead = worker->ctl->lead;

	assert(count > 0 && first >= lead);
	worker->ctl->carried_objects = worker->ctl->carried_bytes = 0;
	rh_seats_turn(worker);
	choose_loop(worker, verify);
	for (uint32_t k = 0; k < worker->ctl->copies; k++) {
		struct copy *copy = &worker->copies[k];
		uint64_t from = rh_ctl_grain(k, worker->ctl->copies, grains, first - lead);

		if (from == 0 && copy->grain == grains)
			wrap(worker, copy, k);
		set_stretch(worker, copy, from, lead, from + lead + count);
	}
	if (worker->kept)
		rh_seats_turn(worker); /* for copies that wrapped */
	rh_pace_segment(worker);
	rh_seats_do(worker, JOB_RUN, worker->lane, worker->seats);
	rh_pace_segment_done(worker);
	if (worker->kept)
		rh_passes_count(worker);
}

/* Brings every shifted copy to its phase, barrier by barrier. */
void rh_seats_preroll(struct worker *worker, bool verify)
{
	uint64_t grains = worker->program.head->grains;
	uint64_t epoch = worker->program.head->epoch_grains;

	choose_loop(worker, verify);
	rh_pace_preroll(worker);
	for (uint32_t k = 0; k < worker->ctl->copies; k++) {
		struct copy *copy = &worker->copies[k];
		uint64_t phase = rh_ctl_phase(k, worker->ctl->copies, grains);

		while (copy->grain < phase) {
			uint64_t to = copy->grain - copy->grain % epoch + epoch;

			rh_seats_turn(worker);
			set_stretch(worker, copy, copy->grain, 0, to < phase ? to : phase);
			rh_seats_do(worker, JOB_RUN, copy->lanes, worker->lanes);
		}
	}
}
