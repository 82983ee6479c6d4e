/*
 * gc.c - cycles: when the dead are noticed.
 *
 * gc=oracle	free(obj) marks obj dead. When the bytes counted as live reach the
 *		pacer's trigger, a cycle runs: an oracle that knows what is dead stands in
 *		for tracing, so marking is instantaneous and costs one pass over the spans.
 * gc=recorded	cycles run where the trace has the end of one; the frees that follow
 *		are what that cycle found (sweep.c).
 *
 * A cycle, the world stopped:
 *  1. finish the last sweep
 *  2. mark: marks = taken and not dead; live bytes = marked bytes
 *  3. sweepgen += 2: every span is unswept
 *  4. the pacer sets goal and trigger, the scavenger its goal
 *  5. all lanes' caches go back to mcentral (before step 3 in profiles up to 1.10)
 * Then lanes go on and sweep as they allocate. With gc=recorded:flush=lane step 5 and the
 * sweeps are left to the caller, which knows from a trace when each P gave its caches back, which
 * span was swept when and which was taken next (rh_gc_flush_lane, rh_gc_sweep_to,
 * rh_gc_prefer); no whole dead span is looked for besides.
 *
 * Stopping the world: a lane is `inside` for the length of an operation. The collector
 * holds gc_lock, raises `stopping` and waits until nobody is inside; a lane that finds the flag
 * up on entering steps back and waits for the lock. A lane whose thread sleeps is not
 * inside, so nobody waits for it.
 *
 * The pacer is Go's (alloc/base/gopacer.c): goal by GOGC and GOMEMLIMIT, which is soft. A real
 * collector starts early by what it expects to be allocated while it marks, and all of that
 * survives. With marking=0 marking takes no time here, so the trigger is as late as the version
 * allows: 95 % of the way up to 1.17, 61/64 of it (or goal - 4 MiB) since 1.18. Else a cycle
 * begins at the trigger, notes what is dead (in the mark bits), and ends when marking x (what is
 * reachable + roots) bytes have been allocated: what died or was born meanwhile lives on. Whoever
 * allocates has to help marking when the goal is near, so it ends 10 % beyond that at the latest;
 * unless collecting takes half of the CPU, as it does under a limit below what lives. Then nobody
 * helps (Go's CPU limiter, since 1.19), and the heap grows past its goal: see gopacer.h. With
 * marking=0 what would have been allocated meanwhile is the least between two cycles.
 */
#include <assert.h>
#include <sched.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/mheap.h"

static const struct rh_lock_class gc_lock_class = { "gc", TIER_RANK_GC, 0 };

/* Assists let the heap grow this far beyond its goal. */
#define OVERSHOOT 1.1
/* For the clock of the CPU limiter, assumed where no recording says: bytes allocated while one is
 * marked, and bytes that a P marks in a second. */
#define BLACK_USUAL   0.25
#define MARK_A_SECOND 4e8

/* The caller does not hold the heap lock, which ranks above "gc". */
static struct heap_totals totals_of(struct rh_heap *heap)
{
	struct heap_totals totals;

	rh_lock(&heap->lock);
	totals = rh_heap_totals(heap);
	rh_unlock(&heap->lock);
	return totals;
}

/*
 * Of a limit, what is no heap: stacks, and room in spans; and by how much the limit is overrun
 * (memoryLimitHeapGoal). Objects count as Go counts them: what is dead until it is swept, and what
 * was taken of a cached span when it goes back. So the sweep of a heap full of holes lowers the
 * goal, and filling the holes raises it again.
 */
static uint64_t overhead(const struct rh_heap *heap, const struct heap_totals *totals)
{
	const struct pacer *pacer = &heap->pacer;
	uint64_t objects = atomic_load(&pacer->heap_live) + atomic_load(&pacer->unswept);
	uint64_t cached = atomic_load(&pacer->cached), ready = totals->mapped - totals->released;
	uint64_t bytes = totals->stack;

	objects -= cached < objects ? cached : objects;
	if (totals->in_use > objects)
		bytes += totals->in_use - objects;
	if (ready > heap->knobs.limit)
		bytes += ready - heap->knobs.limit;
	return bytes;
}

static uint64_t roots_of(const struct rh_heap *heap)
{
	return heap->knobs.roots +
	       (uint64_t)(heap->knobs.stacks * (double)heap->pacer.scanned_stacks);
}

/* A cycle scans the stacks that are there as it begins. */
static void note_stacks(struct rh_heap *heap)
{
	heap->pacer.scanned_stacks = totals_of(heap).stack;
}

static void set_trigger(struct rh_heap *heap, uint64_t live)
{
	struct pacer *pacer = &heap->pacer;
	const struct heap_totals totals = totals_of(heap);
	uint64_t roots = roots_of(heap);
	const struct rh_gopacer go = {
		.runway = heap->profile->pacer_runway,
		.gogc = heap->knobs.gogc,
		.limit = heap->knobs.limit,
		.overhead = heap->knobs.limit ? overhead(heap, &totals) : 0,
		.marked = pacer->heap_marked,
		.roots = roots,
		.ahead = (uint64_t)(heap->knobs.marking * (double)(pacer->heap_marked + roots)),
	};
	struct rh_gopace pace = rh_gopacer_pace(&go);

	/* sweepMinHeapDistance of Go: a MiB at least, so that sweeping can end before
	 * the next cycle. */
	if (pacer->cycles && !pace.by_limit && pace.trigger < live + (1u << 20))
		pace.trigger = live + (1u << 20);
	if (pace.trigger < live + (uint64_t)pacer->owed)
		pace.trigger = live + (uint64_t)pacer->owed;
	tier_store(&pacer->trigger, pace.trigger);
	pacer->goal = pace.goal < pace.trigger ? pace.trigger : pace.goal;
	assert(pacer->goal >= pacer->trigger);
}

/* ---- the collector's share of the CPU ---- */

/* A cycle begins that marks so many bytes: how many are allocated meanwhile. */
static double share_cpu(struct rh_heap *heap, double work, double helped)
{
	struct pacer *pacer = &heap->pacer;
	struct rh_golimiter *limiter = &pacer->limiter;
	uint64_t live = atomic_load(&pacer->heap_live);

	/* The CPU limiter came with GOMEMLIMIT in 1.19. */
	if (!heap->profile->memory_limit)
		return helped;
	/* Lanes are Ps, and they come and go. */
	limiter->capacity = MARK_A_SECOND * heap->lane_count;
	if (live > pacer->ran_from)
		rh_golimiter_run(limiter, (double)(live - pacer->ran_from));
	return rh_golimiter_mark(limiter, work, helped);
}

void rh_gc_open(struct rh_heap *heap)
{
	double marking = heap->knobs.marking;

	heap->pacer.limiter.cost = RH_GO_COST(marking > 0 ? marking : BLACK_USUAL);
	rh_lock_init(&heap->gc_lock, &gc_lock_class, 0);
	atomic_store(&heap->sweepgen, 2);
	atomic_store(&heap->sweep_done, 1);
	atomic_store(&heap->dummy.sweepgen, 2);
	set_trigger(heap, 0);
	heap->pacer.last_goal = heap->pacer.goal;
}

/* ---- the world ---- */

/* False when the world is stopped, or about to be. Store, then load; stop_world does the same
 * the other way round. Both orders are total, so one of the two sees the other. */
static bool entered(struct rh_lane *lane)
{
	atomic_store(&lane->inside, 1);
	if (!atomic_load(&lane->heap->stopping))
		return true;
	atomic_store(&lane->inside, 0);
	return false;
}

void rh_gc_enter(struct rh_lane *lane)
{
	rh_debug_assert(!atomic_load(&lane->inside)); /* operations do not nest */
	while (!entered(lane)) {
		/* Held for as long as the world stands still: waiting for it is
		 * waiting for the end of the stop. */
		rh_lock(&lane->heap->gc_lock);
		rh_unlock(&lane->heap->gc_lock);
	}
}

/* Yields, because waiting for gc_lock would be against the order of ranks. */
void rh_gc_enter_holding(struct rh_lane *lane)
{
	while (!entered(lane))
		sched_yield();
}

void rh_gc_leave(struct rh_lane *lane)
{
	rh_debug_assert(atomic_load(&lane->inside));
	atomic_store_explicit(&lane->inside, 0, memory_order_release);
}

/* Lanes join and leave under gc_lock, so the list stays as it is without the heap
 * lock. */
static void stop_world(struct rh_heap *heap)
{
	rh_debug_assert(rh_lock_held(&heap->gc_lock));
	atomic_store(&heap->stopping, 1);
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next) {
		while (atomic_load(&lane->inside))
			sched_yield();
	}
}

/* ---- a cycle ---- */

/* What lives: taken, and not dead; now, or when the cycle began. */
static uint64_t mark_span(struct mspan *span, bool since_begin, uint64_t *garbage)
{
	const _Atomic uint64_t *dead = rh_span_dead_bits(span);
	uint64_t *mark = rh_span_mark_bits(span);
	unsigned live = 0;

	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++) {
		mark[w] = span->alloc_bits[w] & ~(since_begin ? mark[w] : atomic_load(&dead[w]));
		live += (unsigned)__builtin_popcountll(mark[w]);
		rh_debug_assert(live <= span->alloc_count);
	}
	*garbage += (uint64_t)(span->alloc_count - live) * rh_span_elem(span);
	return (uint64_t)live * rh_span_elem(span);
}

/* at_once: it took no time, so that what would have been allocated meanwhile is owed. */
static void mark(struct rh_heap *heap, bool at_once)
{
	uint32_t count = atomic_load(&heap->all_span_count);
	uint64_t marked = 0, garbage = 0;
	struct pacer *pacer = &heap->pacer;

	rh_debug_assert(atomic_load(&heap->stopping));
	for (uint32_t i = 0; i < count; i++) {
		if (rh_span_state(rh_nth_span(heap, i)) == SPAN_IN_USE)
			marked += mark_span(rh_nth_span(heap, i), pacer->marking, &garbage);
	}
	pacer->marking = false;
	pacer->heap_marked = marked;
	pacer->marked_total += marked;
	if (pacer->live_peak < atomic_load(&pacer->heap_live))
		pacer->live_peak = atomic_load(&pacer->heap_live);
	atomic_store(&pacer->unswept, garbage);
	if (at_once) {
		note_stacks(heap);
		heap->pacer.owed = share_cpu(heap, (double)(marked + roots_of(heap)), 0);
	}
	atomic_store(&heap->pacer.heap_live, marked);
}

/* Notes what is dead in the mark bits; bytes of the others. */
static uint64_t note_dead(struct mspan *span)
{
	const _Atomic uint64_t *dead = rh_span_dead_bits(span);
	uint64_t *mark = rh_span_mark_bits(span);
	unsigned live = 0;

	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++) {
		mark[w] = atomic_load(&dead[w]);
		live += (unsigned)__builtin_popcountll(span->alloc_bits[w] & ~mark[w]);
	}
	return (uint64_t)live * rh_span_elem(span);
}

static void reset_sets(struct rh_heap *heap)
{
	unsigned unswept = 1 - atomic_load(&heap->sweepgen) / 2 % 2;

	for (unsigned spc = 0; heap->profile->span_sets && spc < TIER_SPC_MAX; spc++) {
		rh_set_reset(heap, &heap->central[spc].sets->partial[unswept]);
		rh_set_reset(heap, &heap->central[spc].sets->full[unswept]);
	}
}

/* Lanes that have not done so since the last cycle. */
static void flush_stale(struct rh_heap *heap)
{
	rh_debug_assert(atomic_load(&heap->stopping));
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next) {
		if (lane->stale)
			rh_mcache_flush(lane, true);
		lane->stale = false;
	}
}

static void flush_all(struct rh_heap *heap, bool stale)
{
	rh_debug_assert(atomic_load(&heap->stopping));
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next)
		rh_mcache_flush(lane, stale);
}

static void set_pace(struct rh_heap *heap)
{
	struct pacer *pacer = &heap->pacer;
	uint64_t live = atomic_load(&pacer->heap_live), in_use;
	double room;

	pacer->last_goal = pacer->goal;
	set_trigger(heap, live);
	pacer->goal_total += pacer->goal == UINT64_MAX ? 0 : pacer->goal;
	/* With GOGC=off the next cycle is nowhere, and so is the need to sweep. Go spreads the
	 * pages to sweep over the bytes until the trigger, less a MiB of reserve
	 * (gcPaceSweeper). */
	room = (double)pacer->trigger - (double)live - (double)(1u << 20);
	if (room < TIER_PAGE)
		room = TIER_PAGE;
	rh_lock(&heap->lock);
	in_use = rh_heap_totals(heap).in_use;
	rh_scavenge_set_goal(heap, in_use, pacer->goal, pacer->last_goal);
	rh_unlock(&heap->lock);
	atomic_store(&pacer->pages_swept, 0);
	pacer->pages_swept_basis = 0;
	pacer->sweep_live_basis = live;
	pacer->sweep_pages_per_byte = (double)(in_use >> TIER_PAGE_SHIFT) / room;
}

/* Page caches of lanes that took no span since the last cycle. */
static void flush_idle_pcaches(struct rh_heap *heap)
{
	rh_debug_assert(atomic_load(&heap->stopping));
	rh_lock(&heap->lock);
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next) {
		if (lane->n.refills == lane->refills_at_cycle)
			rh_pages_flush_cache(heap, &lane->pcache);
		lane->refills_at_cycle = lane->n.refills;
	}
	rh_unlock(&heap->lock);
}

static void cycle_stopped(struct rh_lane *lane, bool at_once)
{
	struct rh_heap *heap = lane->heap;
	bool late_flush = heap->profile->lazy_flush && heap->gc == TIER_GC_ORACLE;

	rh_debug_assert(rh_lock_held(&heap->gc_lock) && atomic_load(&heap->stopping));
	flush_stale(heap);
	rh_sweep_finish(lane);
	rh_debug_assert(atomic_load(&heap->sweep_done));
	reset_sets(heap);
	mark(heap, at_once);
	if (!late_flush && !rh_gc_by_lane(heap))
		flush_all(heap, false);
	atomic_store(&heap->pacer.heap_live, heap->pacer.heap_marked);
	heap->pacer.ran_from = heap->pacer.heap_marked + (uint64_t)heap->pacer.owed;
	atomic_fetch_add(&heap->sweepgen, 2);
	atomic_store(&heap->sweep_next, 0);
	atomic_store(&heap->sweep_done, 0);
	atomic_store(&heap->pacer.reclaim_index, heap->arenas.first_chunk);
	atomic_store(&heap->pacer.reclaim_credit, 0);
	heap->pacer.cycles++;
	set_pace(heap);
	if (late_flush)
		flush_all(heap, true);
	for (struct rh_lane *other = heap->lanes; other; other = other->next)
		other->stale = rh_gc_by_lane(heap);
	if (heap->profile->pcache_flush_gc)
		flush_idle_pcaches(heap);
	rh_tiered_check_debug(heap);
}

/* The world is stopped. Nothing is swept or given back until the end of the cycle. */
static void begin_marking(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	struct pacer *pacer = &heap->pacer;
	uint32_t count = atomic_load(&heap->all_span_count);
	uint64_t live = atomic_load(&pacer->heap_live);
	double reachable, black, room;

	note_stacks(heap);
	reachable = (double)roots_of(heap);
	flush_stale(heap);
	rh_sweep_finish(lane);
	for (uint32_t i = 0; i < count; i++) {
		if (rh_span_state(rh_nth_span(heap, i)) == SPAN_IN_USE)
			reachable += (double)note_dead(rh_nth_span(heap, i));
	}
	black = heap->knobs.marking * reachable;
	room = OVERSHOOT * (double)pacer->goal - (double)live;
	if (black > room)
		black = room > TIER_PAGE ? room : TIER_PAGE;
	black = share_cpu(heap, reachable, black);
	pacer->marking = true;
	tier_store(&pacer->trigger, live + (uint64_t)black);
}

/* Runs a cycle, or with `due` its next part, if the trigger is still reached at our turn. */
static void cycle(struct rh_lane *lane, bool due)
{
	struct rh_heap *heap = lane->heap;
	bool begins = due && heap->knobs.marking > 0;

	rh_lock(&heap->gc_lock);
	/* Looked at again: another lane may have run the cycle while this one waited
	 * for the lock. */
	if (!due || atomic_load(&heap->pacer.heap_live) >= heap->pacer.trigger) {
		stop_world(heap);
		if (begins && !heap->pacer.marking)
			begin_marking(lane);
		else
			cycle_stopped(lane, due && !begins);
		atomic_store(&heap->stopping, 0);
	}
	rh_unlock(&heap->gc_lock);
}

void rh_gc_cycle(struct rh_lane *lane)
{
	cycle(lane, false);
}

void rh_gc_pace_from(struct rh_heap *heap, uint64_t marked)
{
	assert(heap->gc != TIER_GC_EXPLICIT);
	rh_lock(&heap->gc_lock);
	heap->pacer.heap_marked = marked;
	set_trigger(heap, marked);
	rh_unlock(&heap->gc_lock);
}

void rh_gc_sweep_rest(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	rh_lock(&heap->gc_lock);
	stop_world(heap);
	flush_stale(heap);
	rh_sweep_finish(lane);
	note_stacks(heap);
	atomic_store(&heap->stopping, 0);
	rh_unlock(&heap->gc_lock);
}

void rh_gc_flush_lane(struct rh_lane *lane)
{
	rh_gc_enter(lane);
	if (lane->stale)
		rh_mcache_flush(lane, true);
	lane->stale = false;
	rh_gc_leave(lane);
}

static struct mspan *unswept_at(const struct rh_heap *heap, const void *p)
{
	struct mspan *span = rh_span_of(heap, p);

	return span && rh_span_state(span) == SPAN_IN_USE &&
			       atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen) - 2
		       ? span
		       : NULL;
}

/* The block may be long gone with its span, and others in its place: those are swept. */
void rh_gc_sweep_to(struct rh_lane *lane, const void *p, int before)
{
	struct mspan *span;

	rh_gc_enter(lane);
	span = unswept_at(lane->heap, p);
	if (before && span)
		rh_sweep_before(lane, span);
	if (span && rh_sweep_acquire(lane->heap, span))
		rh_sweep_span(lane, span, false);
	rh_gc_leave(lane);
}

/* The span lies ready: what the lane holds of its class was full where that was recorded. What is
 * left of it here comes after the span, before others. */
static void change_to(struct rh_lane *lane, struct mspan *span)
{
	const struct rh_heap *heap = lane->heap;
	struct mspan *held = lane->alloc[span->spc];

	if (lane->stale || held == &heap->dummy || span->alloc_count == span->elem_count ||
	    atomic_load(&span->sweepgen) != atomic_load(&heap->sweepgen))
		return;
	rh_mcache_let_go(lane, span->spc);
	rh_central_prefer(lane, held);
	rh_central_prefer(lane, span);
}

int rh_gc_prefer(struct rh_lane *lane, const void *p)
{
	struct mspan *span = rh_span_of(lane->heap, p);
	int moved = 0;

	rh_gc_enter(lane);
	if (span && rh_span_state(span) == SPAN_IN_USE && span->elem_bytes) {
		moved = rh_central_prefer(lane, span);
		if (lane->heap->profile->span_sets)
			change_to(lane, span);
	}
	rh_gc_leave(lane);
	return moved;
}

/* A limit's goal changes with every span. */
static void set_trigger_now(struct rh_heap *heap)
{
	rh_lock(&heap->gc_lock);
	if (!heap->pacer.marking)
		set_trigger(heap, heap->pacer.heap_marked);
	rh_unlock(&heap->gc_lock);
}

/* Without a limit, without a lock: a value that is a moment old starts the cycle one span later. */
void rh_gc_poll(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	if (heap->gc != TIER_GC_ORACLE)
		return;
	if (heap->knobs.limit)
		set_trigger_now(heap);
	if (atomic_load(&heap->pacer.heap_live) >= tier_load(&heap->pacer.trigger))
		cycle(lane, true);
}
