/*
 * scavenge.c - gives free pages back to the system, down to a goal.
 *
 * Retained bytes are those in use by heap spans plus free resident ones (gc=explicit:
 * and by stacks). The goal:
 *	collected modes	1.10 x what was in use after the last cycle, scaled by how the
 *			heap goal moved since; none before the first cycle
 *	gc=explicit	1.10 x the peak in use, stacks included, during this window of
 *			page traffic and the one before. A window is 64 MiB of freed
 *			pages, or twice what is in use if that is more. So a program
 *			that breathes keeps its pages (a fault costs 2 us, the
 *			instructions of a hundred allocations), and one that shrank for
 *			good gives them back after two windows. Traffic, not time:
 *			replays repeat. The tenth is at least 256 KiB.
 *	limit=		free pages go first when the limit is near
 *
 * There is no background thread: whoever returns pages, or makes the heap grow, does
 * a paced piece of the work: no more than it freed plus one 64 KiB quantum. Highest
 * addresses first, because allocation fills from the lowest.
 */
#include "alloc/heap/tiered/mheap.h"

enum { QUANTUM_PAGES = 65536 / TIER_PAGE, RUN_PAGES_MAX = 256 };
#define SLACK_MIN ((uint64_t)256 << 10)
#define WINDOW_MIN ((uint64_t)64 << 20)

static size_t scavenge(struct rh_heap *heap, size_t page_max)
{
	return (heap->profile->radix ? rh_pages_scavenge : rh_lists_scavenge)(heap, page_max);
}

static uint64_t with_slack(uint64_t bytes)
{
	return (bytes + bytes / 10 + RH_PAGE - 1) & ~(uint64_t)(RH_PAGE - 1);
}

static uint64_t explicit_goal(struct scavenger *scavenger, uint64_t in_use, uint64_t freed)
{
	uint64_t window = 2 * in_use > WINDOW_MIN ? 2 * in_use : WINDOW_MIN, peak;

	if (in_use + freed > scavenger->peak_now)
		scavenger->peak_now = in_use + freed;
	scavenger->window_bytes += freed;
	if (scavenger->window_bytes >= window) {
		scavenger->window_bytes = 0;
		scavenger->peak_before = scavenger->peak_now;
		scavenger->peak_now = in_use;
	}
	peak = scavenger->peak_now > scavenger->peak_before ? scavenger->peak_now :
							      scavenger->peak_before;
	/* Moving one stack from 32 to 64 KiB leaves gaps that a tenth of a small heap does
	 * not cover: 20 us of page faults each time. */
	return with_slack(peak) > peak + SLACK_MIN ? with_slack(peak) : peak + SLACK_MIN;
}

void rh_scavenge_above_goal(struct rh_heap *heap, uint64_t freed_bytes)
{
	struct scavenger *scavenger = &heap->scavenger;
	struct heap_totals totals;
	uint64_t retained, excess, budget = freed_bytes + QUANTUM_PAGES * TIER_PAGE;

	if (!scavenger->on)
		return;
	totals = rh_heap_totals(heap);
	retained = totals.mapped - totals.stack - totals.released;
	if (heap->gc == TIER_GC_EXPLICIT) {
		/* Stacks breathe like blocks: counted apart, a program of tasks alone would
		 * lose the pages of every large stack at once (2 -> 64 KiB: 50 us, not 5). */
		scavenger->goal_bytes = explicit_goal(scavenger, totals.in_use + totals.stack,
						      freed_bytes);
		retained += totals.stack;
	}
	if (retained <= scavenger->goal_bytes)
		return;
	excess = retained - scavenger->goal_bytes;
	if (excess > budget)
		excess = budget;
	for (size_t pages = excess >> TIER_PAGE_SHIFT; pages; ) {
		size_t got = scavenge(heap, pages < RUN_PAGES_MAX ? pages : RUN_PAGES_MAX);

		if (!got)
			return;
		pages -= got < pages ? got : pages;
	}
}

void rh_scavenge_set_goal(struct rh_heap *heap, uint64_t in_use, uint64_t goal,
			  uint64_t last_goal)
{
	double scale = last_goal ? (double)goal / (double)last_goal : 1.0;

	heap->scavenger.goal_bytes = with_slack((uint64_t)((double)in_use * scale));
}

bool rh_limit_admits(struct rh_heap *heap, size_t page_count)
{
	uint64_t limit = heap->knobs.limit, need = (uint64_t)page_count << TIER_PAGE_SHIFT;
	struct heap_totals totals;

	if (!limit)
		return true;
	totals = rh_heap_totals(heap);
	if (totals.in_use + totals.stack + need > limit)
		return false;
	while (totals.mapped - totals.released + need > limit) {
		if (!scavenge(heap, RUN_PAGES_MAX))
			break;
		totals = rh_heap_totals(heap);
	}
	return true;
}
