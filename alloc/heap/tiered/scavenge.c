/*
 * scavenge.c - gives free pages back to the system.
 *
 * scavenge=paced, explicit frees, in three sentences: a page goes back only when the work done
 * since has paid for it, at one part in a hundred of that work. What the program used at its
 * peak lately stays, because programs that breathe want it again. When memory would grow past its
 * highest mark while free pages lie elsewhere, those go first, so that the mark stays.
 *
 * Why by cost: giving a page back and faulting it in again costs 1 to 10 us here, and a rule by
 * amount does not see how often that happens. Buffers of 200 to 600 KB that come and go beside a
 * small heap took 125 times libc's time, an editor 38 times mimalloc's, and both kept no less
 * memory at their peak than without giving anything back (7.2 and 7.6 MiB).
 *
 * Work is counted, not timed, so that replays repeat: EVENT_NS an allocation and its free, and
 * a fortieth of a nanosecond for every byte of pages that came free, since a program that takes
 * pages writes them, if not in full. A page is worth PAGE_NS there and back; SHARE times that pays
 * for it. Credit has a ceiling: a program that never had anything to give back for an hour may not
 * stop for a second when it has. But small programs end before their work has paid for anything,
 * with a third of their memory in holes that nothing fits (3.7 MB of 1.8 live, 3.2 so). A program
 * that grows faults in every page once, so each page by which the mark rises pays for one that
 * goes back before the next rise, and for nothing else; up to 4 MiB, 2 ms in all (a heap that
 * grows to 25 MB had twice the faults without that bound, and the same peak).
 *
 * "Lately" is this window of work and the one before; a window is as long as faulting in all
 * that is in use would take, and 20 ms at least. With nothing live any more the goal falls to
 * the slack after two windows, and what is above it goes as work pays for it.
 *
 * scavenge=eager, explicit frees: down to 1.25 x what is in use by blocks now, and by stacks at
 * their peak of a window of page traffic, whatever it costs. Collected modes do as Go does,
 * paced or eager: 1.10 x what was in use after the last cycle, scaled by how the heap goal moved
 * since; none before the first cycle. So do, without a collector, the profiles before 1.14 when
 * paced: their page heaps release runs whole and count a whole run as in memory when any page of
 * it is used, so the cost of a page is not known. limit= makes free pages go first when the limit
 * is near.
 *
 * There is no background thread: whoever returns pages, or makes the heap grow, does a
 * piece of the work; a program that is idle says so (trim), and all that is free goes. Highest
 * addresses first, because allocation fills from the lowest, and paced only in runs of PIECE_MIN
 * pages or more, because a call costs what half a page does.
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"

#include <assert.h>

enum { QUANTUM_PAGES = 65536 / TIER_PAGE, RUN_PAGES_MAX = 256 };
#define SLACK_MIN  ((uint64_t)256 << 10)
#define WINDOW_MIN ((uint64_t)64 << 20)

/* What the clock of work counts, and what a page costs by it. */
enum {
	EVENT_NS = 20,	   /* an allocation and its free in the fastest heaps */
	PAGE_NS = 4000,	   /* two system pages: given back, faulted in, cleared */
	SHARE = 100,	   /* of the work, one part may go into giving back */
	BYTES_PER_NS = 40, /* of pages that came free: written once, in part, from a warm cache */
	TICK_BYTES = 1 << 20, /* page traffic between two looks at the clock */
	PIECE_MIN = 16,	      /* pages that are worth a visit: 128 KiB */
	PIECE_SMALL = 2,      /* before growth of a heap under 8 MiB: 16 KiB */
};
#define PAGE_WORK   ((int64_t)PAGE_NS * SHARE)
#define CREDIT_MAX  (2048 * PAGE_WORK)
#define GROWTH_PAYS ((uint64_t)4 << 20)
#define LATELY_MIN  ((uint64_t)20000000)
/* Free pages that growth passes by, beside an eighth of what is in use; and heaps that look for
 * smaller pieces (a sqlite of 1.6 MiB has 2.4 at its peak with pieces of 16 pages, 2.0 so, as with
 * single pages). */
#define GROWTH_SLACK ((uint64_t)32 << 10)
#define GROWTH_SMALL ((uint64_t)8 << 20)

static size_t scavenge(struct rh_heap *heap, unsigned page_min, size_t page_max)
{
	return heap->profile->radix ? rh_pages_scavenge(heap, page_min, page_max)
				    : rh_lists_scavenge(heap, page_max);
}

static uint64_t with_slack(uint64_t bytes, uint64_t slack)
{
	return rh_page_up(bytes + slack);
}

/* The most there was of stacks lately. */
static uint64_t stack_peak(struct scavenger *scavenger, const struct heap_totals *totals,
			   uint64_t freed)
{
	uint64_t in_use = totals->in_use + totals->stack;
	uint64_t window = 2 * in_use > WINDOW_MIN ? 2 * in_use : WINDOW_MIN;

	if (totals->stack > scavenger->peak_now)
		scavenger->peak_now = totals->stack;
	scavenger->window_bytes += freed;
	if (scavenger->window_bytes >= window) {
		scavenger->window_bytes = 0;
		scavenger->peak_before = scavenger->peak_now;
		scavenger->peak_now = totals->stack;
	}
	return scavenger->peak_now > scavenger->peak_before ? scavenger->peak_now
							    : scavenger->peak_before;
}

static uint64_t explicit_goal(struct scavenger *scavenger, const struct heap_totals *totals,
			      uint64_t freed)
{
	uint64_t used = totals->in_use + stack_peak(scavenger, totals, freed);

	return with_slack(used, used / 4 > SLACK_MIN ? used / 4 : SLACK_MIN);
}

/* Releases about so many pages. Heap lock held. */
static size_t release(struct rh_heap *heap, unsigned page_min, uint64_t pages)
{
	size_t released = 0;

	rh_debug_assert(rh_lock_held(&heap->lock));
	while (released < pages) {
		uint64_t left = pages - released;
		size_t got = scavenge(heap, page_min, left < RUN_PAGES_MAX ? left : RUN_PAGES_MAX);

		if (!got)
			break;
		released += got;
	}
	return released;
}

static void above_goal(struct rh_heap *heap, uint64_t freed_bytes)
{
	struct scavenger *scavenger = &heap->scavenger;
	struct heap_totals totals = rh_heap_totals(heap);
	uint64_t retained = totals.mapped - totals.stack - totals.released;
	uint64_t excess, budget = freed_bytes + QUANTUM_PAGES * TIER_PAGE;

	if (heap->gc == TIER_GC_EXPLICIT) {
		/* Stacks breathe like blocks: counted apart, a program of tasks alone would
		 * lose the pages of every large stack at once (2 -> 64 KiB: 50 us, not 5). */
		scavenger->goal_bytes = explicit_goal(scavenger, &totals, freed_bytes);
		retained += totals.stack;
	}
	if (retained <= scavenger->goal_bytes)
		return;
	excess = retained - scavenger->goal_bytes;
	release(heap, 1, (excess < budget ? excess : budget) >> TIER_PAGE_SHIFT);
}

/* ---- paced ---- */

static bool is_paced(const struct rh_heap *heap)
{
	return heap->scavenger.policy == TIER_SCAVENGE_PACED && heap->gc == TIER_GC_EXPLICIT &&
	       heap->profile->radix;
}

/* Reads the clock: what this lane did since it was last asked, in nanoseconds of work. 136 words,
 * so not at every visit: 2 ns a page of traffic this way. */
static void earn(struct scavenger *scavenger, struct rh_lane *lane)
{
	uint64_t events = lane->n.large_allocs, work;

	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++)
		events += tier_load(&lane->bin[spc].allocs);
	assert(events >= lane->events_paid);
	work = (events - lane->events_paid) * EVENT_NS + scavenger->tick_bytes / BYTES_PER_NS;
	lane->events_paid = events;
	scavenger->tick_bytes = 0;
	scavenger->credit += (int64_t)work;
	if (scavenger->credit > CREDIT_MAX)
		scavenger->credit = CREDIT_MAX;
	scavenger->window_work += work;
}

/* Looking for pages goes through all chunks, so a large heap does it less often. */
static int64_t least_pages(const struct rh_heap *heap, unsigned piece)
{
	return piece + (int64_t)(heap->arenas.grown_bytes / TIER_CHUNK_BYTES / 8);
}

/* Releases up to `bytes`, but at least `piece` pages, as far as a purse goes, and pays from it.
 * Returns how many. */
static uint64_t spend(struct rh_heap *heap, int64_t *purse, uint64_t bytes, unsigned piece)
{
	int64_t pages = (int64_t)(bytes >> TIER_PAGE_SHIFT), least = least_pages(heap, piece);

	if (pages > *purse / PAGE_WORK)
		pages = *purse / PAGE_WORK;
	if (pages < least)
		return 0;
	if (pages > least && pages > RUN_PAGES_MAX)
		pages = least > RUN_PAGES_MAX ? least : RUN_PAGES_MAX;
	/* Runs may be cut a little late, so there may be a small debt. */
	pages = (int64_t)release(heap, piece, (uint64_t)pages);
	*purse -= pages * PAGE_WORK;
	return (uint64_t)pages << TIER_PAGE_SHIFT;
}

/* The most that was in use lately. */
static uint64_t used_lately(struct scavenger *scavenger, uint64_t used)
{
	uint64_t window = used / TIER_PAGE * PAGE_NS;

	if (used > scavenger->peak_now)
		scavenger->peak_now = used;
	if (scavenger->window_work >= (window > LATELY_MIN ? window : LATELY_MIN)) {
		scavenger->window_work = 0;
		scavenger->peak_before = scavenger->peak_now;
		scavenger->peak_now = used;
	}
	assert(scavenger->peak_now >= used);
	return scavenger->peak_now > scavenger->peak_before ? scavenger->peak_now
							    : scavenger->peak_before;
}

/* Totals without what lanes have not folded in yet: less than they keep in stashes, and a walk
 * over all lanes at each freed span would cost more than the span. A free may be folded before
 * its alloc, so either may be below zero for a moment. */
struct rough {
	uint64_t used, retained;
};

static uint64_t at_least_zero(uint64_t bytes)
{
	return (int64_t)bytes < 0 ? 0 : bytes;
}

static struct rough rough_totals(const struct rh_heap *heap)
{
	return (struct rough){
		at_least_zero(heap->in_use_bytes + heap->stack_bytes),
		at_least_zero(heap->arenas.grown_bytes - heap->released_bytes),
	};
}

/* Well above: what lanes stash is used again at once, and costs 30 visits to the page heap each
 * time that it is taken from them. And no more than can go back now. */
size_t rh_scavenge_due(const struct rh_heap *heap)
{
	const struct scavenger *scavenger = &heap->scavenger;
	uint64_t goal = scavenger->goal_bytes, retained = rough_totals(heap).retained, pages;

	if (scavenger->policy == TIER_SCAVENGE_OFF || retained <= goal ||
	    retained - goal <= goal / 4 + 4 * SLACK_MIN)
		return 0;
	pages = (retained - goal) >> TIER_PAGE_SHIFT;
	if (!is_paced(heap))
		return pages;
	if ((int64_t)pages > scavenger->credit / PAGE_WORK)
		pages = (uint64_t)(scavenger->credit < 0 ? 0 : scavenger->credit / PAGE_WORK);
	return pages < (uint64_t)least_pages(heap, PIECE_MIN) ? 0 : pages;
}

static void paced(struct rh_heap *heap, struct rh_lane *lane, uint64_t freed_bytes)
{
	struct scavenger *scavenger = &heap->scavenger;
	struct rough now = rough_totals(heap);

	if (now.used > scavenger->peak_now)
		scavenger->peak_now = now.used;
	scavenger->tick_bytes += freed_bytes;
	if (scavenger->tick_bytes < TICK_BYTES)
		return;
	earn(scavenger, lane);
	scavenger->goal_bytes = with_slack(used_lately(scavenger, now.used), SLACK_MIN);
	if (now.retained > scavenger->goal_bytes)
		spend(heap, &scavenger->credit, now.retained - scavenger->goal_bytes, PIECE_MIN);
}

/* What growth up to a mark has paid for. */
static uint64_t growth_pays(uint64_t mark)
{
	return (mark < GROWTH_PAYS ? mark : GROWTH_PAYS) / TIER_PAGE * (uint64_t)PAGE_WORK;
}

void rh_scavenge_before_growth(struct rh_heap *heap, struct rh_lane *lane, size_t scav_pages)
{
	struct scavenger *scavenger = &heap->scavenger;
	uint64_t added = (uint64_t)scav_pages << TIER_PAGE_SHIFT, more, done;
	struct rough now = rough_totals(heap);
	uint64_t mark = now.retained + added;
	unsigned piece = mark < GROWTH_SMALL ? PIECE_SMALL : PIECE_MIN;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (!is_paced(heap) || mark <= scavenger->mark_bytes)
		return;
	more = mark - scavenger->mark_bytes;
	if (now.retained > now.used + now.used / 8 + GROWTH_SLACK) {
		earn(scavenger, lane);
		more = more > piece * (uint64_t)TIER_PAGE ? more : piece * (uint64_t)TIER_PAGE;
		done = spend(heap, &scavenger->growth_credit, more, piece);
		if (done < more)
			spend(heap, &scavenger->credit, more - done, piece);
		mark = rough_totals(heap).retained + added;
	}
	if (mark > scavenger->mark_bytes) {
		scavenger->growth_credit +=
			(int64_t)(growth_pays(mark) - growth_pays(scavenger->mark_bytes));
		scavenger->mark_bytes = mark;
	}
}

void rh_scavenge_freed(struct rh_heap *heap, struct rh_lane *lane, uint64_t freed_bytes)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	switch (heap->scavenger.policy) {
	case TIER_SCAVENGE_OFF:
		break;
	case TIER_SCAVENGE_PACED:
		if (is_paced(heap))
			paced(heap, lane, freed_bytes);
		else
			above_goal(heap, freed_bytes);
		break;
	case TIER_SCAVENGE_EAGER:
		above_goal(heap, freed_bytes);
		break;
	}
}

bool rh_scavenge_pays_for(struct rh_lane *lane, size_t page_count)
{
	struct scavenger *scavenger = &lane->heap->scavenger;
	int64_t cost = (int64_t)page_count * PAGE_WORK;
	bool pays;

	if (!is_paced(lane->heap))
		return scavenger->policy != TIER_SCAVENGE_OFF;
	rh_lock(&lane->heap->lock);
	if (scavenger->credit < cost)
		earn(scavenger, lane);
	pays = scavenger->credit >= cost;
	if (pays)
		scavenger->credit -= cost;
	rh_unlock(&lane->heap->lock);
	return pays;
}

void rh_scavenge_all(struct rh_heap *heap)
{
	struct scavenger *scavenger = &heap->scavenger;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (scavenger->policy == TIER_SCAVENGE_OFF)
		return;
	while (release(heap, 1, RUN_PAGES_MAX))
		continue;
	/* Lately begins anew. */
	scavenger->peak_now = scavenger->peak_before = 0;
}

void rh_scavenge_set_goal(struct rh_heap *heap, uint64_t in_use, uint64_t goal, uint64_t last_goal)
{
	double scale = last_goal ? (double)goal / (double)last_goal : 1.0;
	uint64_t wanted = (uint64_t)((double)in_use * scale);

	rh_debug_assert(rh_lock_held(&heap->lock));
	heap->scavenger.goal_bytes = with_slack(wanted, wanted / 10);
}

bool rh_limit_admits(struct rh_heap *heap, size_t page_count)
{
	uint64_t limit = heap->knobs.limit, need = (uint64_t)page_count << TIER_PAGE_SHIFT;
	struct heap_totals totals;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (!limit)
		return true;
	totals = rh_heap_totals(heap);
	if (totals.in_use + totals.stack + need > limit && heap->gc == TIER_GC_EXPLICIT)
		return false;
	while (totals.mapped - totals.released + need > limit) {
		if (!scavenge(heap, 1, RUN_PAGES_MAX))
			break;
		totals = rh_heap_totals(heap);
	}
	return true;
}
