/*
 * scavenge.c - gives free pages back to the system, down to a goal.
 *
 * Retained bytes are those in use by heap spans plus free resident ones (gc=explicit:
 * and by stacks). The goal:
 *	collected modes	1.10 x what was in use after the last cycle, scaled by how the
 *			heap goal moved since; none before the first cycle
 *	gc=explicit	1.25 x what is in use by blocks now, and by stacks at their peak.
 *			The quarter is at least 256 KiB.
 *	limit=		free pages go first when the limit is near
 *
 * Blocks are counted as they are now because few pages come free at all: one in 300 to
 * 10000 events. Keeping those of the last peak cost up to half of the memory (sqlite 2.5
 * and 1.5 MB, nats 4.6 and 3.0, git 3.9 and 2.3) and saved one or two page faults in 1000
 * events. Programs that breathe pay for it, the more the tighter: with 1.10 x, time to
 * mimalloc's is 0.96 on one lane and 1.11 with two copies side by side, with 1.25 x 0.94
 * and 1.02; peak memory to the best of four peers is 1.00 and 1.03 (means over 23 traces).
 * A bound on how many pages come back bought little time for what it cost (nats: half of
 * them 2.2 times mimalloc's time and 3.65 MB, all of them 2.4 and 3.3).
 * Stacks come and go by megabytes (2 -> 64 KiB: 50 us when the pages are gone, not 5), so
 * theirs count at the peak during this window of page traffic and the one before. A
 * window is 64 MiB of freed pages, or twice what is in use if that is more: who shrank for
 * good gives the pages back after two. Traffic, not time: replays repeat.
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

static uint64_t with_slack(uint64_t bytes, uint64_t slack)
{
	return (bytes + slack + RH_PAGE - 1) & ~(uint64_t)(RH_PAGE - 1);
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
	return scavenger->peak_now > scavenger->peak_before ? scavenger->peak_now :
							      scavenger->peak_before;
}

static uint64_t explicit_goal(struct scavenger *scavenger, const struct heap_totals *totals,
			      uint64_t freed)
{
	uint64_t used = totals->in_use + stack_peak(scavenger, totals, freed);

	return with_slack(used, used / 4 > SLACK_MIN ? used / 4 : SLACK_MIN);
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
		scavenger->goal_bytes = explicit_goal(scavenger, &totals, freed_bytes);
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
	uint64_t wanted = (uint64_t)((double)in_use * scale);

	heap->scavenger.goal_bytes = with_slack(wanted, wanted / 10);
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
