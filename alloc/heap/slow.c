/*
 * slow.c - a decorator that does a known share more work, to prove that a gate which
 * should see a regression of 5 % sees one.
 *
 * Definition: in a lane, for every 1/S operations (alloc, alloc_as, resize, free) one
 * more alloc or free of the inner heap is done. They come in pairs, so one operation in
 * each run of 2/S is chosen (at random, seeded: a period would beat with the trace's),
 * and there one block of that operation's size is allocated and the oldest of a ring of
 * such blocks is freed. The ring is why the extra work costs what the trace's own work
 * costs: a block freed at once would come from and go to the warmest cache, at a third of
 * the price. The memory it holds is at most RING blocks a lane.
 *
 * The decorator's own way through (a countdown and a jump) is the same for every share:
 * compare slow:5%:X with slow:0%:X, not with X, to see 5 % and nothing else. Around glibc
 * on a trace of an Android system UI (786 thousand lines, one lane, whole replay loop), in
 * instructions: slow:0% is 10.0 % over plain libc, slow:5% 4.9 % and slow:20% 19.7 % over
 * slow:0%.
 *
 * The share is of operations, not of time: the extra blocks are colder than the trace's own,
 * so that on the same trace slow:1.1% took 5 % more time than slow:0% on a busy 2-CPU VM.
 * `reheap gate --self-test` measures which share takes the time that is wanted.
 *
 * spin=NS waits that long in every operation instead: time without instructions' worth.
 *
 * lag=S is time alone, finer than a clock's step: S of 100 ns for each operation, on the mean;
 * about one in 128 waits 128 times as long. Extra blocks can make a program faster (around glibc 6
 * % more operations in a trace of git kept the end of its heap in use: it was trimmed less, 70 % of
 * the page faults went, and with them 10 % of the time); a wait cannot.
 *
 * late=NS is a tail: about one free in fifty takes so much longer (the free first, then a wait by
 * steps that were timed as the heap opened). The 99th percentile of frees is then NS more than what
 * most of them take, the mean hardly moves. Reading a clock to wait by takes 20 ns and more: of
 * frees of which 99 in 100 take less than 90 ns, no plant of a fifth could be made with it.
 *
 * hold=SIZE is memory: the first lane takes and touches so much when it opens, and gives it back
 * when it closes.
 */
#include "alloc/base/clock.h"
#include "alloc/base/debug.h"
#include "alloc/base/random.h"
#include "alloc/heap/wrap.h"
#include "alloc/registry.h"

enum { RING = 256, LATE_RUN = 100 /* operations for each late free, on the mean */ };
enum { LAG_RUN = 128 }; /* operations for each lag */
enum { TIMED_STEPS = 10000, TIMED_RUNS = 32 };
#define LAG_NS 100.0		/* what its share is of */
enum { HELD_BYTES = 64 << 10 }; /* of a block that is held */

struct knobs {
	double share, lag;
	uint64_t spin_ns, late_ns, hold_bytes;
};

struct rh_heap {
	struct rh_wrap_heap wrap;
	struct knobs knobs;
	uint64_t spin_ticks, late_steps, lag_ticks;
	_Atomic uint32_t lanes;
	_Atomic uint64_t extra, late; /* pairs done and late frees of closed lanes */
};

struct rh_lane {
	/* first line: all that the common way reads and writes */
	struct rh_wrap_lane wrap;
	uint64_t left; /* operations until the next extra pair */
	void *(*alloc)(struct rh_lane *inner, size_t size);
	void (*free)(struct rh_lane *inner, void *p, size_t size);
	/* the rest: once in 2/S operations */
	struct rh_heap *heap;
	double run, start; /* operations per pair; where the run in hand starts */
	uint64_t at;	   /* operation number of the pair in hand */
	uint64_t random;
	uint64_t extra, late;
	void *held; /* each block points to the next */
	uint32_t next;
	struct {
		void *p;
		size_t size;
	} ring[RING];
};
_Static_assert(offsetof(struct rh_heap, wrap) == 0 && offsetof(struct rh_lane, wrap) == 0,
	       "rh_wrap_ functions cast");
_Static_assert(offsetof(struct rh_lane, heap) <= RH_CACHE_LINE, "the common way: one line");

/* Each step waits for the one before: a multiplication, one nanosecond or so. */
static void take_steps(uint64_t steps)
{
	uint64_t x = steps;

	for (uint64_t i = 0; i < steps; i++) {
		x *= 0x9e3779b97f4a7c15u;
		__asm__ volatile("" : "+r"(x));
	}
}

/* The least of many short runs: what interrupts only adds. */
static double ticks_per_step(void)
{
	uint64_t least = UINT64_MAX, since, took;

	for (int run = 0; run < TIMED_RUNS; run++) {
		since = rh_ticks();
		take_steps(TIMED_STEPS);
		took = rh_ticks() - since;
		least = took < least ? took : least;
	}
	rh_debug_assert(least > 0);
	return (double)least / TIMED_STEPS;
}

/* Ticks are calibrated here only when a wait is asked for: it takes 100 ms. */
static int slow_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	const struct knobs *mine = knobs;
	struct rh_clock clock;

	if ((mine->share > 0) + (mine->lag > 0) + (mine->spin_ns > 0) + (mine->late_ns > 0) +
		    (mine->hold_bytes > 0) >
	    1)
		return rh_fail(err, RH_USAGE, "slow takes one of share, lag, spin, late and hold");
	if (rh_wrap_open(heap, sizeof(**heap), "slow", env, err) < 0)
		return -1;
	(*heap)->knobs = *mine;
	if (mine->spin_ns || mine->late_ns || mine->lag > 0) {
		rh_clock_calibrate(&clock, 0);
		if (mine->late_ns)
			(*heap)->late_steps = 1 + (uint64_t)((double)mine->late_ns /
							     clock.ns_per_tick / ticks_per_step());
		(*heap)->spin_ticks = (uint64_t)((double)mine->spin_ns / clock.ns_per_tick);
		(*heap)->lag_ticks = (uint64_t)(mine->lag * LAG_NS * LAG_RUN / clock.ns_per_tick);
	}
	return 0;
}

static void slow_close(struct rh_heap *heap)
{
	rh_wrap_close(heap, sizeof(*heap));
}

/* Seeded by the lane's number: two runs of slow:5% choose the same places. */
static double next_random(struct rh_lane *lane)
{
	return (double)(rh_random(&lane->random) >> 11) * 0x1p-53;
}

/* One place in each run: the k-th pair is somewhere in [k * run, (k + 1) * run). */
static void choose_next(struct rh_lane *lane)
{
	uint64_t at = (uint64_t)(lane->start + next_random(lane) * lane->run);

	rh_debug_assert(lane->run > 0);
	lane->start += lane->run;
	lane->left = at > lane->at ? at - lane->at : 0;
	lane->at += lane->left;
}

/* The next that is late, or lags, is one of the next operations: anywhere around `run` of them. */
static void choose_around(struct rh_lane *lane, uint64_t run)
{
	rh_debug_assert(run >= 2);
	lane->left = run / 2 + (uint64_t)(next_random(lane) * (double)run);
	rh_debug_assert(lane->left > 0); /* the countdown never finds 0 */
}

static void hold(struct rh_lane *lane, uint64_t bytes)
{
	for (uint64_t have = 0; have < bytes; have += HELD_BYTES) {
		volatile char *p = lane->alloc(lane->wrap.inner, HELD_BYTES);

		if (!p)
			return;
		for (size_t at = 0; at < HELD_BYTES; at += RH_PAGE)
			p[at] = 1;
		*(void *volatile *)p = lane->held;
		lane->held = (void *)p;
	}
}

static void let_go(struct rh_lane *lane)
{
	for (void *p = lane->held, *next; p; p = next) {
		next = *(void **)p;
		lane->free(lane->wrap.inner, p, HELD_BYTES);
	}
}

static int slow_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	struct rh_lane *mine;
	uint32_t number;

	if (rh_wrap_lane_open(heap, &mine, sizeof(*mine), err) < 0)
		return -1;
	mine->heap = heap;
	/* Copied into the lane, so that the way through needs no second line of the
	 * heap. */
	mine->alloc = heap->wrap.ops.alloc;
	mine->free = heap->wrap.ops.free;
	mine->random = number = atomic_fetch_add(&heap->lanes, 1);
	/* Never, for slow:0%: the countdown runs all the same, which is what makes it
	 * the right thing to compare with. */
	mine->left = UINT64_MAX;
	if (heap->knobs.share > 0) {
		mine->run = 2 / heap->knobs.share;
		choose_next(mine);
		/* choose_next counts operations before the chosen one; the countdown
		 * is taken down before it is looked at. */
		mine->left++;
	}
	if (heap->spin_ticks)
		mine->left = 1;
	if (heap->late_steps)
		choose_around(mine, LATE_RUN);
	if (heap->lag_ticks)
		choose_around(mine, LAG_RUN);
	if (number == 0 && !(heap->wrap.ops.caps & RH_CAP_NO_MEMORY))
		hold(mine, heap->knobs.hold_bytes);
	*lane = mine;
	return 0;
}

static void slow_lane_close(struct rh_lane *lane)
{
	let_go(lane);
	for (int i = 0; i < RING; i++)
		if (lane->ring[i].p)
			lane->free(lane->wrap.inner, lane->ring[i].p, lane->ring[i].size);
	atomic_fetch_add(&lane->heap->extra, lane->extra);
	atomic_fetch_add(&lane->heap->late, lane->late);
	rh_wrap_lane_close(lane, sizeof(*lane));
}

static void extra_pair(struct rh_lane *lane, size_t size)
{
	void *p = lane->alloc(lane->wrap.inner, size);
	uint32_t i = lane->next++ % RING;

	lane->extra++;
	if (lane->ring[i].p)
		lane->free(lane->wrap.inner, lane->ring[i].p, lane->ring[i].size);
	lane->ring[i].p = p;
	lane->ring[i].size = size;
}

static void wait_for(uint64_t ticks)
{
	uint64_t since = rh_ticks();

	rh_debug_assert(ticks > 0);
	while (rh_ticks() - since < ticks)
		;
}

/* Called when the countdown is at 0: does what is due and sets it anew. */
static __attribute__((noinline)) void slow_turn(struct rh_lane *lane, size_t size)
{
	rh_debug_assert(lane->left == 0);
	if (lane->heap->late_steps) {
		lane->left = 1; /* it waits for a free */
		return;
	}
	if (lane->heap->spin_ticks) {
		wait_for(lane->heap->spin_ticks);
		lane->left = 1;
		return;
	}
	if (lane->heap->lag_ticks) {
		wait_for(lane->heap->lag_ticks);
		choose_around(lane, LAG_RUN);
		return;
	}
	/* Shares above 2 put several pairs into one operation. */
	do {
		extra_pair(lane, size);
		choose_next(lane);
	} while (lane->left == 0);
}

static __attribute__((noinline)) void late_free(struct rh_lane *lane, void *p, size_t size)
{
	rh_debug_assert(lane->heap->late_steps > 0);
	lane->late++;
	lane->free(lane->wrap.inner, p, size);
	take_steps(lane->heap->late_steps);
	choose_around(lane, LATE_RUN);
}

static void *slow_alloc(struct rh_lane *lane, size_t size)
{
	if (--lane->left == 0)
		slow_turn(lane, size);
	return lane->alloc(lane->wrap.inner, size);
}

static void slow_free(struct rh_lane *lane, void *p, size_t size)
{
	if (--lane->left == 0) {
		if (lane->heap->late_steps) {
			late_free(lane, p, size);
			return;
		}
		slow_turn(lane, size);
	}
	lane->free(lane->wrap.inner, p, size);
}

static void *slow_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	if (--lane->left == 0)
		slow_turn(lane, size);
	return lane->wrap.wrap->ops.alloc_as(lane->wrap.inner, size, align, flags);
}

static void *slow_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	if (--lane->left == 0)
		slow_turn(lane, size_new);
	return lane->wrap.wrap->ops.resize(lane->wrap.inner, p, size_old, size_new);
}

static void slow_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "slow.extra_pairs", "count", heap->extra);
	emit(ctx, "slow.late_frees", "count", heap->late);
	rh_wrap_stats(heap, emit, ctx);
}

static const struct rh_opt slow_knobs[] = {
	{ .name = "share",
	  .type = RH_OPT_SHARE,
	  .offset = offsetof(struct knobs, share),
	  .min = 0,
	  .max = 10,
	  .arg = "SHARE",
	  .help = "more operations by this share (in time it is more)" },
	{ .name = "lag",
	  .type = RH_OPT_SHARE,
	  .offset = offsetof(struct knobs, lag),
	  .min = 0,
	  .max = 1000,
	  .arg = "SHARE",
	  .help = "waits this share of 100 ns an operation instead, on the mean: 5%" },
	{ .name = "spin",
	  .type = RH_OPT_TIME,
	  .offset = offsetof(struct knobs, spin_ns),
	  .min = 0,
	  .max = 1e9,
	  .arg = "TIME",
	  .help = "busy wait in every operation instead: 20ns" },
	{ .name = "late",
	  .type = RH_OPT_TIME,
	  .offset = offsetof(struct knobs, late_ns),
	  .min = 0,
	  .max = 1e9,
	  .arg = "TIME",
	  .help = "one free in fifty takes so much longer: 300ns" },
	{ .name = "hold",
	  .type = RH_OPT_SIZE,
	  .offset = offsetof(struct knobs, hold_bytes),
	  .min = 0,
	  .max = 1ull << 40,
	  .arg = "SIZE",
	  .help = "more memory by this, from the first lane's start to its end: 8M" },
	{ .name = NULL }
};

const struct rh_backend rh_backend_slow = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_DECORATOR,
	.name = "slow",
	.summary = "does a known share more operations: slow:5%:libc, against slow:0%:libc",
	.knobs = slow_knobs,
	.knobs_bytes = sizeof(struct knobs),
	.open = slow_open,
	.close = slow_close,
	.lane_open = slow_lane_open,
	.lane_close = slow_lane_close,
	.alloc = slow_alloc,
	.alloc_as = slow_alloc_as,
	.free = slow_free,
	.resize = slow_resize,
	.usable = rh_wrap_usable,
	.gc_begin = rh_wrap_gc_begin,
	.trim = rh_wrap_trim,
	.gc_end = rh_wrap_gc_end,
	.stats = slow_stats,
	.locks = rh_wrap_locks,
	.stack_pages = rh_wrap_stack_pages,
	.stack_pages_free = rh_wrap_stack_pages_free,
};
