/*
 * failing.c - a decorator that says "exhausted" on purpose, to see what a program, the
 * replay or a backend's own recovery makes of it.
 *
 * Every lane counts its own requests (alloc, alloc_as and resize alike), so which of
 * them fail depends on the trace and the knobs, never on timing:
 *	n=N	every N-th request of a lane
 *	after=N	every request of a lane past its N-th
 *	share=S	a share of them, drawn by a generator seeded from seed and the lane's number
 *	bytes=B	any request that would bring the live bytes of the heap over B
 * Only the last looks at other lanes. Free never fails.
 */
#include <assert.h>
#include <stdatomic.h>

#include "alloc/base/random.h"
#include "alloc/heap/wrap.h"
#include "alloc/registry.h"

struct knobs {
	uint64_t n, after, bytes, seed;
	double share;
};

struct rh_heap {
	struct rh_wrap_heap wrap;
	struct knobs knobs;
	_Atomic uint64_t live_bytes; /* only kept when there is a limit */
	_Atomic uint64_t failed;
	/* Numbers lanes as they open. A worker opens them one after another, so each has the same
	 * number, and with it the same sequence of share=, in every run. */
	_Atomic uint32_t lanes;
};

struct rh_lane {
	struct rh_wrap_lane wrap;
	struct rh_heap *heap;
	/* Per lane: a common counter would make the outcome depend on how threads
	 * interleave, and a failure could not be repeated. */
	uint64_t requests;
	uint64_t random;
};
_Static_assert(offsetof(struct rh_heap, wrap) == 0 && offsetof(struct rh_lane, wrap) == 0,
	       "rh_wrap_ functions cast");

static int failing_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
			struct rh_err *err)
{
	if (rh_wrap_open(heap, sizeof(**heap), "failing", env, err) < 0)
		return -1;
	(*heap)->knobs = *(const struct knobs *)knobs;
	return 0;
}

static void failing_close(struct rh_heap *heap)
{
	rh_wrap_close(heap, sizeof(*heap));
}

static int failing_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	uint64_t number = atomic_fetch_add(&heap->lanes, 1) + 1;

	if (rh_wrap_lane_open(heap, lane, sizeof(**lane), err) < 0)
		return -1;
	(*lane)->heap = heap;
	/* Multiplied, so that neighbouring lanes do not walk the same sequence one
	 * step apart. */
	(*lane)->random = (heap->knobs.seed + number) * 0x9e3779b97f4a7c15u;
	return 0;
}

static void failing_lane_close(struct rh_lane *lane)
{
	rh_wrap_lane_close(lane, sizeof(*lane));
}

/* Which knob decides first does not matter to the outcome, only to how many numbers
 * are drawn: both are the same in every run. */
static bool must_fail(struct rh_lane *lane)
{
	const struct knobs *knobs = &lane->heap->knobs;

	lane->requests++;
	if (knobs->n && lane->requests % knobs->n == 0)
		return true;
	if (knobs->after && lane->requests > knobs->after)
		return true;
	/* 53 bits, all that a double in [0, 1) can hold. */
	return knobs->share > 0 &&
	       (double)(rh_random(&lane->random) >> 11) * 0x1p-53 < knobs->share;
}

/* Takes `more` bytes of the limit before the inner heap is asked; give_back undoes it. Compare and
 * swap, because adding first and taking back what does not fit shows other lanes a sum that is not
 * true: a request of SIZE_MAX wraps it below what lives, and every lane fails or none does. */
static bool take_bytes(struct rh_heap *heap, uint64_t more)
{
	uint64_t before = atomic_load_explicit(&heap->live_bytes, memory_order_relaxed);

	if (!heap->knobs.bytes)
		return true;
	do {
		assert(before <= heap->knobs.bytes);
		if (more > heap->knobs.bytes - before)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&heap->live_bytes, &before, before + more,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void give_back(struct rh_heap *heap, uint64_t less)
{
	uint64_t before;

	if (!heap->knobs.bytes)
		return;
	/* After the inner free: in between, others see the limit fuller than it is,
	 * which can only refuse too much and never pass it. */
	before = atomic_fetch_sub_explicit(&heap->live_bytes, less, memory_order_relaxed);
	assert(before >= less); /* nothing is given back that was not taken */
	(void)before;
}

static void *fail(struct rh_lane *lane)
{
	atomic_fetch_add_explicit(&lane->heap->failed, 1, memory_order_relaxed);
	return NULL;
}

static void *failing_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	struct rh_wrap_lane *wrap = &lane->wrap;
	void *p;

	if (must_fail(lane) || !take_bytes(lane->heap, size))
		return fail(lane);
	/* The plain entry where the caller used it, because the two may differ in
	 * what they hand out (libc: 8 bytes of alignment below 16). */
	p = align <= 1 && !flags ? wrap->wrap->ops.alloc(wrap->inner, size)
				 : wrap->wrap->ops.alloc_as(wrap->inner, size, align, flags);
	if (!p)
		give_back(lane->heap, size);
	return p;
}

static void *failing_alloc(struct rh_lane *lane, size_t size)
{
	return failing_alloc_as(lane, size, 0, 0);
}

static void failing_free(struct rh_lane *lane, void *p, size_t size)
{
	/* The size is the caller's: replay always gives the one last asked for, so
	 * the sum ends at 0. */
	lane->wrap.wrap->ops.free(lane->wrap.inner, p, size);
	give_back(lane->heap, size);
}

static void *failing_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	/* Only the growth counts against the limit: while a block is moved the inner
	 * heap may hold both, but the program has one. */
	uint64_t more = size_new > size_old ? size_new - size_old : 0;
	void *q;

	/* A resize that fails leaves the old block valid, as the contract says; its
	 * bytes stay counted. */
	if (must_fail(lane) || !take_bytes(lane->heap, more))
		return fail(lane);
	q = lane->wrap.wrap->ops.resize(lane->wrap.inner, p, size_old, size_new);
	if (!q)
		give_back(lane->heap, more);
	else if (size_new < size_old)
		give_back(lane->heap, size_old - size_new);
	return q;
}

static void failing_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "failing.failed", "count", heap->failed);
	rh_wrap_stats(heap, emit, ctx);
}

static const struct rh_opt failing_knobs[] = {
	{ .name = "n",
	  .type = RH_OPT_UINT,
	  .offset = offsetof(struct knobs, n),
	  .arg = "N",
	  .help = "every N-th request of a lane fails" },
	{ .name = "after",
	  .type = RH_OPT_UINT,
	  .offset = offsetof(struct knobs, after),
	  .arg = "N",
	  .help = "requests of a lane past the N-th fail" },
	{ .name = "bytes",
	  .type = RH_OPT_SIZE,
	  .offset = offsetof(struct knobs, bytes),
	  .arg = "SIZE",
	  .help = "requests that bring live bytes over SIZE fail" },
	{ .name = "share",
	  .type = RH_OPT_SHARE,
	  .offset = offsetof(struct knobs, share),
	  .min = 0,
	  .max = 1,
	  .arg = "SHARE",
	  .help = "this share of requests fails at random" },
	{ .name = "seed",
	  .type = RH_OPT_UINT,
	  .offset = offsetof(struct knobs, seed),
	  .dflt = "1",
	  .arg = "N",
	  .help = "of the random share" },
	{ .name = NULL }
};

const struct rh_backend rh_backend_failing = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_DECORATOR,
	.name = "failing",
	.summary = "fails requests on purpose: failing:n=100:libc",
	.knobs = failing_knobs,
	.knobs_bytes = sizeof(struct knobs),
	.open = failing_open,
	.close = failing_close,
	.lane_open = failing_lane_open,
	.lane_close = failing_lane_close,
	.alloc = failing_alloc,
	.alloc_as = failing_alloc_as,
	.free = failing_free,
	.resize = failing_resize,
	.usable = rh_wrap_usable,
	.gc_begin = rh_wrap_gc_begin,
	.trim = rh_wrap_trim,
	.gc_end = rh_wrap_gc_end,
	.stats = failing_stats,
	.locks = rh_wrap_locks,
	.stack_pages = rh_wrap_stack_pages,
	.stack_pages_free = rh_wrap_stack_pages_free,
};
