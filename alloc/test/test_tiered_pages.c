/*
 * test_tiered_pages.c - the two page heaps against a plain array of pages.
 *
 * The model knows of every page whether it is taken, and what the right answer is: the
 * lowest run that fits (radix), or the shortest free run that fits (lists, treap). Every page
 * handed out is written to, and what comes back as released is read. The structures' own
 * validity check runs along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "alloc/heap/tiered/heap.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

enum { PAGES = 16 * TIER_CHUNK_PAGES /* one arena */, RUNS = 3000, STEPS = 6000 };

struct model {
	struct rh_heap *heap;
	struct rh_lane *lane;
	uint32_t origin; /* page number of the first page of the arena */
	uint8_t taken[PAGES];
	uint32_t grown; /* pages known to exist */
	struct {
		uint32_t page, count;
		struct mspan *span;
	} run[RUNS];
	unsigned runs;
	unsigned released; /* runs handed out that were released, all of them */
	uint64_t seed;
};

static struct model m;

static uint32_t draw(uint32_t below)
{
	m.seed = m.seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((m.seed >> 33) % below);
}

static void open_heap(int profile)
{
	struct tier_knobs knobs = { .profile = profile,
				    .gogc = 100,
				    .scavenge = TIER_SCAVENGE_OFF };
	struct rh_err err;

	memset(&m, 0, sizeof(m));
	m.seed = 7;
	assert_int_equal(rh_tiered_open(&m.heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(m.heap, &m.lane, &err), 0);
	m.origin = (uint32_t)rh_page_index(m.heap, m.heap->arenas.at);
}

/* Pages that the test still holds are in no span: the heap must not take them for lost. */
static void hold(void)
{
	uint64_t grown = m.heap->arenas.grown_bytes >> TIER_PAGE_SHIFT, free_pages;

	(m.heap->profile->radix ? rh_pages_check : rh_lists_check)(m.heap, &free_pages);
	m.heap->pages.nobodys = grown - free_pages;
}

static void close_heap(void)
{
	rh_tiered_lane_close(m.lane);
	rh_tiered_close(m.heap);
}

/* Where the next run of count pages must come from; PAGES = the heap has to grow. */
static uint32_t lowest_fit(uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < m.grown; i++) {
		run = m.taken[i] ? 0 : run + 1;
		if (run == count)
			return i + 1 - count;
	}
	return PAGES;
}

/* Length of the shortest free run that fits; 0 = the heap has to grow. */
static uint32_t best_length(uint32_t count)
{
	uint32_t best = 0, run = 0;

	for (uint32_t i = 0; i <= m.grown; i++) {
		if (i < m.grown && !m.taken[i]) {
			run++;
			continue;
		}
		if (run >= count && (!best || run < best))
			best = run;
		run = 0;
	}
	return best;
}

static uint32_t free_run_at(uint32_t page)
{
	uint32_t run = 0;

	while (page + run < m.grown && !m.taken[page + run])
		run++;
	return run;
}

static uint32_t pages_of(uint32_t page)
{
	return page - m.origin;
}

/* Pages reported as released read as zero; now they are written. */
static void touch(uint32_t page, uint32_t count, bool released)
{
	char *base = (char *)m.heap->window + ((uintptr_t)page << TIER_PAGE_SHIFT);

	rh_unpoison(base, (size_t)count << TIER_PAGE_SHIFT);
	for (uint32_t i = 0; i < count; i++) {
		for (size_t at = 0; at < TIER_PAGE; at += 4096) {
			char *byte = base + ((size_t)i << TIER_PAGE_SHIFT) + at;

			/* MADV_FREE gives pages back when the system wants them */
			if (released && *byte && !m.heap->profile->madv_free)
				fail_msg("page %u of %u is said to be released", i, count);
			*byte = 1;
		}
	}
}

static struct mspan *take_pages(uint32_t count, uint32_t *page)
{
	struct mspan *span = NULL;
	bool released = false;
	size_t scav = 0;

	if (m.heap->profile->radix) {
		*page = rh_pages_alloc(m.heap, count, &scav);
		released = scav == count;
	} else {
		span = rh_lists_alloc(m.heap, count, &scav, &released);
		*page = span ? (uint32_t)rh_page_index(m.heap, span->base) : TIER_NO_PAGE;
	}
	if (*page != TIER_NO_PAGE)
		touch(*page, count, released);
	m.released += released;
	return span;
}

static void allocate(uint32_t count)
{
	uint32_t page, want = lowest_fit(count), length = best_length(count);
	struct mspan *span;

	rh_lock(&m.heap->lock);
	span = take_pages(count, &page);
	if (!length) {
		assert_int_equal(page, TIER_NO_PAGE);
		assert_true(rh_arenas_grow(m.heap, count));
		m.grown = (uint32_t)(m.heap->arenas.grown_bytes >> TIER_PAGE_SHIFT);
		assert_true(m.grown <= PAGES);
		want = lowest_fit(count);
		length = best_length(count);
		span = take_pages(count, &page);
	}
	rh_unlock(&m.heap->lock);
	assert_int_not_equal(page, TIER_NO_PAGE);
	page = pages_of(page);
	if (m.heap->profile->radix)
		assert_int_equal(page, want);
	else
		assert_int_equal(free_run_at(page), length);
	memset(m.taken + page, 1, count);
	m.run[m.runs].page = page;
	m.run[m.runs].count = count;
	m.run[m.runs++].span = span;
}

static void release(unsigned i)
{
	uint32_t page = m.run[i].page, count = m.run[i].count;

	rh_lock(&m.heap->lock);
	if (m.heap->profile->radix)
		rh_pages_free(m.heap, m.origin + page, count);
	else
		rh_lists_free(m.heap, m.run[i].span, 0);
	rh_unlock(&m.heap->lock);
	memset(m.taken + page, 0, count);
	m.run[i] = m.run[--m.runs];
}

static uint32_t some_length(void)
{
	uint32_t kind = draw(20);

	if (kind == 0)
		return 1 + draw(1200);
	return kind < 5 ? 1 + draw(150) : 1 + draw(9);
}

static uint64_t check(void)
{
	uint64_t free_pages;
	const char *wrong;

	rh_lock(&m.heap->lock);
	wrong = (m.heap->profile->radix ? rh_pages_check : rh_lists_check)(m.heap, &free_pages);
	rh_unlock(&m.heap->lock);
	if (wrong)
		fail_msg("%s", wrong);
	return free_pages;
}

static uint64_t free_in_model(void)
{
	uint64_t free = 0;

	for (uint32_t i = 0; i < m.grown; i++)
		free += !m.taken[i];
	return free;
}

/* Nobody books here what is in use, so what is released is not booked either. */
static void scavenge(void)
{
	uint64_t released = m.heap->released_bytes;

	rh_lock(&m.heap->lock);
	if (m.heap->profile->radix)
		rh_pages_scavenge(m.heap, 1 + (unsigned)draw(40), 1 + draw(300));
	else
		rh_lists_scavenge(m.heap, 1 + draw(300));
	m.heap->released_bytes = released;
	rh_unlock(&m.heap->lock);
}

static void walk(int profile)
{
	open_heap(profile);
	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t count = some_length();
		bool room = m.runs < RUNS &&
			    (m.grown < PAGES - 4 * TIER_CHUNK_PAGES || best_length(count));

		if (m.runs && (draw(100) < (step / 1500 % 2 ? 56u : 40u) || !room))
			release(draw(m.runs));
		else
			allocate(count);
		if (draw(8) == 0)
			scavenge();
		if (step % 250 == 0)
			assert_int_equal(check(), free_in_model());
	}
	while (m.runs)
		release(m.runs - 1);
	check();
	assert_int_equal(free_run_at(0), m.grown);
	assert_true(m.released > STEPS / 100);
	close_heap();
}

static void radix_is_first_fit_by_address(void **state)
{
	(void)state;
	walk(rh_tier_profile_of("1.17"));
}

static void lists_are_best_fit(void **state)
{
	(void)state;
	walk(rh_tier_profile_of("1.8"));
}

static void treap_is_best_fit(void **state)
{
	(void)state;
	walk(rh_tier_profile_of("1.10"));
}

static void two_treaps_are_best_fit(void **state)
{
	(void)state;
	walk(rh_tier_profile_of("1.12"));
}

static void by_address_without_page_caches(void **state)
{
	(void)state;
	walk(rh_tier_profile_of("1.13"));
}

static void page_cache_takes_the_lowest_block_and_gives_the_rest_back(void **state)
{
	struct page_cache cache;
	uint32_t page;

	(void)state;
	open_heap(rh_tier_profile_of("1.17"));
	allocate(70);
	allocate(3);
	release(0);
	rh_lock(&m.heap->lock);
	rh_pages_fill_cache(m.heap, &cache, 64);
	assert_int_equal(cache.page, m.origin);
	assert_int_equal(cache.free, UINT64_MAX);
	assert_int_equal(cache.scav, 0);
	page = 0;
	take_pages(1, &page);
	assert_int_equal(pages_of(page), 64);
	cache.free &= ~(uint64_t)0xff;
	rh_pages_flush_cache(m.heap, &cache);
	assert_int_equal(cache.free, 0);
	take_pages(1, &page);
	assert_int_equal(pages_of(page), 8);
	rh_unlock(&m.heap->lock);
	check();
	hold();
	close_heap();
}

static void scavenging_takes_the_highest_pages_first(void **state)
{
	size_t scav;
	uint32_t page;

	(void)state;
	if (rh_page_bytes() > TIER_PAGE) {
		print_message("# SKIP counts pages of 8 KiB, and this system's are larger\n");
		skip();
	}
	open_heap(rh_tier_profile_of("1.17"));
	allocate(300);
	allocate(100);
	allocate(1);
	release(1);
	release(0);
	rh_lock(&m.heap->lock);
	m.heap->released_bytes = 0;
	assert_int_equal(rh_pages_scavenge(m.heap, 1, 60), 60);
	assert_int_equal(m.heap->released_bytes, 60 * TIER_PAGE);
	page = rh_pages_alloc(m.heap, 340, &scav);
	assert_int_equal(pages_of(page), 0);
	assert_int_equal(scav, 0);
	page = rh_pages_alloc(m.heap, 60, &scav);
	assert_int_equal(pages_of(page), 340);
	assert_int_equal(scav, 60);
	rh_unlock(&m.heap->lock);
	hold();
	close_heap();
}

/* What a lane gathers: summaries are written once for each chunk, and right in the end. */
static void runs_in_memory_are_taken_one_after_another(void **state)
{
	static const uint32_t from[] = { 0, 210, 603 }, to[] = { 200, 600, 1200 };
	uint32_t at, stale = TIER_NO_PAGE;
	uint64_t free_pages;
	size_t scav, count;

	(void)state;
	if (rh_page_bytes() > TIER_PAGE) {
		print_message("# SKIP counts pages of 8 KiB, and this system's are larger\n");
		skip();
	}
	open_heap(rh_tier_profile_of("1.17"));
	allocate(1200);
	release(0);
	rh_lock(&m.heap->lock);
	m.heap->released_bytes = 0;
	assert_true(rh_pages_take_at(m.heap, m.origin + 200, 10, &scav));
	assert_true(rh_pages_take_at(m.heap, m.origin + 600, 3, &scav));
	at = m.origin;
	for (int i = 0; i < 3; i++) {
		count = rh_pages_next_run(m.heap, &at, 5, 4096);
		assert_int_equal(at, m.origin + from[i]);
		assert_int_equal(count, to[i] - from[i]);
		rh_pages_take_next(m.heap, at, count, &stale);
		at += (uint32_t)count;
	}
	assert_int_equal(rh_pages_next_run(m.heap, &at, 5, 4096), 0);
	rh_pages_next_end(m.heap, stale);
	assert_null(rh_pages_check(m.heap, &free_pages));
	/* Of what is free now the shorter runs stay, also those above. */
	rh_pages_free(m.heap, m.origin + 300, 7);
	rh_pages_free(m.heap, m.origin + 120, 20); /* across a word */
	assert_int_equal(rh_pages_scavenge(m.heap, 8, 100), 20);
	assert_int_equal(rh_pages_scavenge(m.heap, 8, 100), 0);
	assert_int_equal(rh_pages_scavenge(m.heap, 1, 3), 3);
	assert_false(rh_pages_resident(&m.heap->pages, m.origin + 304, 3));
	assert_true(rh_pages_resident(&m.heap->pages, m.origin + 300, 4));
	assert_null(rh_pages_check(m.heap, &free_pages));
	rh_unlock(&m.heap->lock);
	hold();
	close_heap();
}

static void pages_are_known_zero_once(void **state)
{
	(void)state;
	open_heap(rh_tier_profile_of("1.17"));
	allocate(10);
	rh_lock(&m.heap->lock);
	assert_true(rh_arena_fresh(m.heap, m.origin, 10));
	assert_false(rh_arena_fresh(m.heap, m.origin + 9, 2));
	assert_true(rh_arena_fresh(m.heap, m.origin + 11, 1));
	assert_int_equal(rh_arena_fresh_block(m.heap, m.origin, m.origin + 64), ~(uint64_t)0 << 12);
	assert_int_equal(rh_arena_fresh_block(m.heap, m.origin + 64, m.origin + 128), UINT64_MAX);
	assert_int_equal(rh_arena_fresh_block(m.heap, m.origin + 64, m.origin + 128), 0);
	rh_unlock(&m.heap->lock);
	hold();
	close_heap();
}

/* As published: 1 MiB up to 1.10, an arena in 1.11 and 1.12, then 4 MiB; two of them where the
 * first begins at a random page. */
static uint64_t first_bytes(const struct rh_goheap *profile)
{
	if (profile->radix)
		return profile->random_base ? 8 << 20 : 4 << 20;
	return profile->whole_arenas ? 64 << 20 : 1 << 20;
}

static void growth_is_as_the_profile_says(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile++) {
		void *p;

		open_heap(profile);
		p = rh_span_alloc(m.lane, 1, 3);
		assert_non_null(p);
		assert_int_equal(m.heap->arenas.grown_bytes,
				 first_bytes(&rh_tier_profiles[profile]));
		close_heap();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(radix_is_first_fit_by_address),
		cmocka_unit_test(lists_are_best_fit),
		cmocka_unit_test(treap_is_best_fit),
		cmocka_unit_test(two_treaps_are_best_fit),
		cmocka_unit_test(by_address_without_page_caches),
		cmocka_unit_test(page_cache_takes_the_lowest_block_and_gives_the_rest_back),
		cmocka_unit_test(scavenging_takes_the_highest_pages_first),
		cmocka_unit_test(runs_in_memory_are_taken_one_after_another),
		cmocka_unit_test(pages_are_known_zero_once),
		cmocka_unit_test(growth_is_as_the_profile_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
