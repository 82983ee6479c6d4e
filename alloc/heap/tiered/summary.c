/*
 * summary.c - how many pages of a range are free at its start, at most in a row, and at its end.
 *
 * Of a chunk from its bitmap, a word at a time; of a longer range from those of its eight parts
 * (pages_radix.c).
 */
#include "alloc/heap/tiered/summary.h"

#include "alloc/base/debug.h"

static uint64_t pack(struct sum_runs run)
{
	rh_debug_assert(run.start <= run.max && run.end <= run.max);
	if (run.max > SUM_FIELD)
		return SUM_ALL_FREE;
	return run.start | (uint64_t)run.max << 21 | (uint64_t)run.end << 42;
}

/* Longest run of ones that is longer than `beat`, or `beat`. Most words are done after the
 * few steps that show that they have none. */
static uint32_t longest_in(uint64_t free, uint32_t beat)
{
	uint32_t have = 1;

	if (beat >= 64)
		return beat;
	while (free && have <= beat) {
		uint32_t by = have <= beat + 1 - have ? have : beat + 1 - have;

		free &= free >> by;
		have += by;
	}
	for (; free; beat++)
		free &= free >> 1;
	return beat;
}

/* With a run that is known to be there, words that have no longer one are soon done. */
static struct sum_runs summarize(const struct page_chunk *chunk, uint32_t known)
{
	struct sum_runs run = { 0, known, 0 };
	uint32_t now = 0;
	bool first = true;

	for (unsigned w = 0; w < TIER_CHUNK_WORDS; w++) {
		uint64_t taken = chunk->taken[w];
		uint32_t head;

		if (!taken) {
			now += 64;
			continue;
		}
		head = (uint32_t)__builtin_ctzll(taken);
		now += head;
		if (first)
			run.start = now;
		first = false;
		if (now > run.max)
			run.max = now;
		run.max = longest_in(~taken, run.max);
		now = (uint32_t)__builtin_clzll(taken);
	}
	if (first)
		run.start = now;
	if (now > run.max)
		run.max = now;
	run.end = now;
	rh_debug_assert(run.max <= TIER_CHUNK_PAGES);
	return run;
}

uint64_t rh_sum_merge(const uint64_t *sums, uint32_t child_pages)
{
	struct sum_runs all = rh_sum_runs(sums[0]);
	uint32_t whole = child_pages;

	for (unsigned i = 1; i < 8; i++) {
		struct sum_runs next = rh_sum_runs(sums[i]);

		if (!sums[i]) { /* full, or never grown as most are */
			if (all.end > all.max)
				all.max = all.end;
			all.end = 0;
			whole += child_pages;
			continue;
		}
		if (all.start == whole)
			all.start += next.start;
		if (all.end + next.start > all.max)
			all.max = all.end + next.start;
		if (next.max > all.max)
			all.max = next.max;
		all.end = next.end == child_pages ? all.end + child_pages : next.end;
		whole += child_pages;
	}
	return pack(all);
}

/* How many pages before `at` in a chunk are free without a gap. */
static uint32_t free_before(const struct page_chunk *chunk, uint32_t at)
{
	uint32_t from = at;

	while (from) {
		uint32_t bits = (from - 1) % 64 + 1;
		uint64_t taken = chunk->taken[(from - 1) / 64] << (64 - bits);

		if (taken)
			return at - from + (uint32_t)__builtin_clzll(taken);
		from -= bits;
	}
	return at;
}

/* How many pages from `at` on in a chunk are free without a gap. */
static uint32_t free_from(const struct page_chunk *chunk, uint32_t at)
{
	uint32_t to = at;

	while (to < TIER_CHUNK_PAGES) {
		uint64_t taken = chunk->taken[to / 64] >> to % 64;

		if (taken)
			return to - at + (uint32_t)__builtin_ctzll(taken);
		to += 64 - to % 64;
	}
	return TIER_CHUNK_PAGES - at;
}

/* The summary of a chunk after pages low..high-1 of it changed hands, from the one before: all
 * that can have changed is the run around them. Only where the longest run was cut are all words
 * looked at (a heap of large blocks spent a quarter of its instructions on that). */
static struct sum_runs resummarize(const struct page_chunk *chunk, struct sum_runs was,
				   uint32_t low, uint32_t high, bool freed)
{
	uint32_t before = free_before(chunk, low), after = free_from(chunk, high);
	uint32_t whole = before + (high - low) + after;
	struct sum_runs run = was;

	if (!freed && whole >= was.max)
		return summarize(chunk, before > after ? before : after);
	if (low - before == 0)
		run.start = freed ? whole : before;
	if (high + after == TIER_CHUNK_PAGES)
		run.end = freed ? whole : after;
	if (freed && whole > run.max)
		run.max = whole;
	return run;
}

uint64_t rh_sum_chunk(const struct page_chunk *chunk)
{
	return pack(summarize(chunk, 0));
}

uint64_t rh_sum_changed(const struct page_chunk *chunk, uint64_t was, uint32_t low, uint32_t high,
			bool freed)
{
	return pack(resummarize(chunk, rh_sum_runs(was), low, high, freed));
}
