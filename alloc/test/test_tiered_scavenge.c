/*
 * test_tiered_scavenge.c - giving memory back by cost: programs that breathe keep their pages,
 * what is released was paid for, a heap that shrank for good gives up what it kept, and the
 * highest mark of memory stays where free pages can stand in for new ones.
 *
 * What work pays for is counted here on its own: 20 ns an allocation, a fortieth of a nanosecond
 * for each byte of pages freed, 4 us a page, one part in a hundred, and a page for each of the
 * first 4 MiB by which memory grew (scavenge.c says why).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"
#include "alloc/test/figure_support.h"

/* The first profile that paces: older page heaps release runs whole. */
#define RADIX rh_tier_profile_of("1.14")

static const struct rh_backend *ops = &rh_backend_tiered;
static struct rh_heap *heap;
static struct rh_lane *lane;
static uint64_t seed;

static void open_heap(int profile, int policy)
{
	struct tier_knobs knobs = { .profile = profile, .gogc = 100, .scavenge = policy };

	assert_int_equal(ops->open(&heap, &knobs, NULL, NULL), 0);
	assert_int_equal(ops->lane_open(heap, &lane, NULL), 0);
	seed = 1;
}

static void close_heap(void)
{
	const char *wrong = rh_tiered_check(heap);

	if (wrong)
		fail_msg("%s", wrong);
	ops->lane_close(lane);
	ops->close(heap);
}

static size_t draw(size_t low, size_t high)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return low + (seed >> 33) % (high - low + 1);
}

static uint64_t figure(const char *name)
{
	return figure_of(ops, heap, name);
}

static uint64_t retained(void)
{
	return figure("HeapInuse") + figure("HeapIdle") - figure("HeapReleased");
}

struct work {
	uint64_t allocs, freed_bytes;
};

/* Pages that the work may have paid for. */
static uint64_t paid_pages(struct work work)
{
	return (work.allocs * 20 + work.freed_bytes / 40) / 400000;
}

/* Three buffers of 200 to 600 KB come and go beside 2000 small blocks. */
static struct work buffers(int rounds)
{
	void *node[2000] = { 0 }, *buffer[3] = { 0 };
	size_t bytes[3] = { 0 };
	struct work work = { 0, 0 };

	for (int i = 0; i < rounds; i++) {
		size_t at = draw(0, 1999), which = (size_t)i % 3;

		if (node[at])
			ops->free(lane, node[at], 0);
		node[at] = ops->alloc(lane, draw(16, 200));
		if (buffer[which])
			ops->free(lane, buffer[which], bytes[which]);
		/* pages: up to an eighth more than it needs */
		work.freed_bytes += (bytes[which] + bytes[which] / 8 + 8191) & ~(size_t)8191;
		bytes[which] = draw(200000, 600000);
		buffer[which] = ops->alloc(lane, bytes[which]);
		memset(buffer[which], 1, 64);
		work.allocs += 2;
	}
	for (int i = 0; i < 3; i++)
		ops->free(lane, buffer[i], bytes[i]);
	for (int i = 0; i < 2000; i++) {
		if (node[i])
			ops->free(lane, node[i], 0);
	}
	return work;
}

static void what_goes_back_was_paid_for(void **state)
{
	enum { ROUNDS = 20000 };

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		struct work work;
		uint64_t pages;

		open_heap(profile, TIER_SCAVENGE_EAGER);
		buffers(ROUNDS);
		/* twice what the paced policy may, below; most buffers lie where one was */
		assert_in_range(figure("scavenger.releases"), ROUNDS / 100 + 1, ROUNDS);
		close_heap();

		open_heap(profile, TIER_SCAVENGE_PACED);
		work = buffers(ROUNDS);
		pages = figure("scavenger.released") / TIER_PAGE;
		assert_true(pages <= paid_pages(work) + heap->scavenger.mark_bytes / TIER_PAGE);
		assert_true(figure("scavenger.releases") < ROUNDS / 200);
		close_heap();

		open_heap(profile, TIER_SCAVENGE_OFF);
		buffers(ROUNDS);
		assert_int_equal(figure("scavenger.releases"), 0);
		close_heap();
	}
}

/* 64 MiB live, then a heap of 1 MiB: gone when work has paid for it, and not much later. */
static void what_is_kept_decays(void **state)
{
	enum { BLOCKS = 128, BYTES = 512 << 10, KEPT = 2 << 20 };
	static void *p[BLOCKS];
	int profile = RADIX;

#ifdef __SANITIZE_THREAD__ /* some 10 s for each, and there is one thread */
	profile = TIER_PROFILE_COUNT - 1;
#endif
	(void)state;
	for (; profile < TIER_PROFILE_COUNT; profile++) {
		struct work work = { 0, 0 };

		open_heap(profile, TIER_SCAVENGE_PACED);
		for (int i = 0; i < BLOCKS; i++)
			p[i] = ops->alloc(lane, BYTES);
		for (int i = 0; i < BLOCKS; i++)
			ops->free(lane, p[i], BYTES);
		assert_true(retained() > (uint64_t)BLOCKS * BYTES / 2);
		/* twice what is paid for, and two windows of 33 ms each */
		while (paid_pages(work) < 2 * BLOCKS * BYTES / TIER_PAGE) {
			ops->free(lane, ops->alloc(lane, BYTES), BYTES);
			work.allocs++;
			work.freed_bytes += BYTES;
		}
		assert_true(retained() < KEPT);
		close_heap();
	}
}

/* Of 16 MB in blocks of all kinds one in a hundred lives on: the call gives the rest back at once,
 * in every mode and profile that may, and what lives is as it was. */
static void an_idle_heap_gives_all_back_by_a_call(void **state)
{
	enum { BLOCKS = 4000, KEPT = 4 << 20 };
	static unsigned char *p[BLOCKS];
	static size_t bytes[BLOCKS];
	/* A kernel page holds 8 pages of the heap where it has 64 KiB: beside each survivor the
	 * rest of its page stays. */
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t beside = page > TIER_PAGE ? BLOCKS / 100 * page : 0;

	(void)state;
	for (int policy = TIER_SCAVENGE_PACED; policy <= TIER_SCAVENGE_OFF; policy++) {
		open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), policy);
		for (int i = 0; i < BLOCKS; i++) {
			bytes[i] = i % 50 ? draw(1, 5000) : draw(40000, 200000);
			p[i] = ops->alloc(lane, bytes[i]);
			memset(p[i], i % 251, bytes[i]);
		}
		for (int i = 0; i < BLOCKS; i++) {
			if (i % 100 != 7)
				ops->free(lane, p[i], bytes[i]);
		}
		assert_true(policy == TIER_SCAVENGE_EAGER || retained() > (uint64_t)2 * KEPT);
		ops->trim(lane);
		if (policy == TIER_SCAVENGE_OFF)
			assert_int_equal(figure("scavenger.released"), 0);
		else
			assert_true(retained() < figure("HeapInuse") + TIER_PAGE + beside &&
				    retained() < KEPT + beside);
		for (int i = 7; i < BLOCKS; i += 100) {
			for (size_t at = 0; at < bytes[i]; at += 97)
				assert_int_equal(p[i][at], i % 251);
			ops->free(lane, p[i], bytes[i]);
		}
		ops->trim(lane);
		if (policy != TIER_SCAVENGE_OFF)
			assert_int_equal(retained(), 0);
		assert_non_null(memset(ops->alloc(lane, 100000), 1, 100000));
		close_heap();
	}
}

/* Every second of many runs is freed; longer runs then need new pages. Returns what is retained
 * beyond the mark before. */
static uint64_t growth_beside_holes(int policy, int earning)
{
	enum { RUNS = 400, BYTES = 90 * 8192, LONG = 120 * 8192 };
	static void *p[RUNS];
	uint64_t mark, after;

	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), policy);
	for (int i = 0; i < RUNS; i++)
		p[i] = ops->alloc(lane, BYTES);
	for (int i = 0; i < earning; i++)
		ops->free(lane, ops->alloc(lane, 64), 64);
	mark = retained();
	for (int i = 0; i < RUNS; i += 2)
		ops->free(lane, p[i], BYTES);
	for (int i = 0; i < 100; i++)
		p[2 * i] = ops->alloc(lane, LONG);
	after = retained();
	close_heap();
	return after > mark ? after - mark : 0;
}

static void free_pages_stand_in_for_new_ones(void **state)
{
	enum { EARNS_100_PAGES = 2000000 };
	uint64_t off = growth_beside_holes(TIER_SCAVENGE_OFF, 0);
	uint64_t paced = growth_beside_holes(TIER_SCAVENGE_PACED, EARNS_100_PAGES);
	uint64_t grown = growth_beside_holes(TIER_SCAVENGE_PACED, 0);

	(void)state;
	assert_true(off > (uint64_t)60 * 120 * 8192);
	assert_true(paced + (uint64_t)80 * 8192 < off);
	/* Without any work the first 4 MiB of growth pay for as many. */
	assert_true(grown + (uint64_t)400 * 8192 < off && grown + (uint64_t)600 * 8192 > off);
}

/* Runs of five pages lie free, each between two that are taken, and below them single pages that
 * fill the page cache: the five are used, and no longer ones looked for, in order to cut them up,
 * where nothing was yet. */
static void short_runs_are_used_where_they_lie(void **state)
{
	enum { RUNS = 400, BYTES = 5 * 8192, SINGLES = 2048 };
	static void *p[RUNS], *single[SINGLES];
	uint64_t before;

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		open_heap(profile, TIER_SCAVENGE_OFF);
		for (int i = 0; i < SINGLES; i++)
			single[i] = ops->alloc(lane, 8192);
		for (int i = 0; i < RUNS; i++)
			p[i] = ops->alloc(lane, BYTES);
		for (int i = 0; i < RUNS; i += 2)
			ops->free(lane, p[i], BYTES);
		for (int i = 0; i < SINGLES; i += 2)
			ops->free(lane, single[i], 8192);
		before = figure("HeapReleased");
		for (int i = 0; i < RUNS / 2; i += 2)
			p[i] = ops->alloc(lane, BYTES);
		assert_int_equal(figure("HeapReleased"), before);
		close_heap();
	}
}

/* A zeroed large block is cleared unless work has paid for fresh pages; zero either way. */
static void zeroed_blocks_do_not_fault_for_nothing(void **state)
{
	enum { BYTES = 200000, ROUNDS = 3000 };

	(void)state;
	for (int policy = TIER_SCAVENGE_PACED; policy <= TIER_SCAVENGE_OFF; policy++) {
		open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), policy);
		for (int i = 0; i < ROUNDS; i++) {
			unsigned char *p = ops->alloc_as(lane, BYTES, 0, RH_ALLOC_ZEROED);

			for (size_t at = 0; at < BYTES; at += 509)
				assert_int_equal(p[at], 0);
			memset(p, 255, BYTES);
			ops->free(lane, p, BYTES);
		}
		if (policy == TIER_SCAVENGE_PACED)
			assert_true(heap->scavenger.credit < (int64_t)ROUNDS * BYTES);
		close_heap();
	}
}

/* ---- what a small heap keeps in memory for itself ---- */

/* How many pages of from..to are in memory and ours: the page of zeroes that reading gives is
 * neither. /proc/self/pagemap: bit 63 present, bit 56 mapped by nobody else. */
static size_t resident(const void *from, const void *to)
{
	const uint64_t ours = (uint64_t)1 << 63 | (uint64_t)1 << 56;
	off_t first = (off_t)((uintptr_t)from / RH_PAGE), end;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	static uint64_t entry[512];
	size_t count = 0;

	assert_true(fd >= 0);
	end = (off_t)(((uintptr_t)to + RH_PAGE - 1) / RH_PAGE);
	while (first < end) {
		size_t want = end - first < 512 ? (size_t)(end - first) : 512;
		ssize_t got = pread(fd, entry, want * sizeof(*entry), first * 8);

		assert_int_equal(got, want * sizeof(*entry));
		for (size_t i = 0; i < want; i++)
			count += (entry[i] & ours) == ours;
		first += (off_t)want;
	}
	close(fd);
	return count;
}

static bool huge_pages_unasked(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char text[80] = "";
	bool always = file && fgets(text, sizeof(text), file) && strstr(text, "[always]");

	if (file)
		fclose(file);
	return always;
}

/* Sixteen sizes, a block of each: the tables and structures of the heap and its lane. */
static void a_small_heap_takes_few_pages_for_itself(void **state)
{
	enum { SIZES = 16, PAGES = 9 };
	size_t pages;

	(void)state;
	if (huge_pages_unasked()) {
		print_message("# SKIP huge pages come unasked here\n");
		skip();
	}
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_SCAVENGE_PACED);
	for (size_t i = 1; i <= SIZES; i++)
		memset(ops->alloc(lane, i * i * 24), 1, i * i * 24);
	pages = resident(heap->area, (char *)heap->area + rh_heap_area_bytes());
	/* debug: lanes and spans are longer, by more bitmaps */
	assert_in_range(pages, 5, PAGES + (TIER_DEBUG ? 4 : 0));
	close_heap();
}

/* Of a span that was used in part and came free again, blocks lie where blocks were. */
static void freed_slots_come_before_untouched_ones(void **state)
{
	enum { BLOCKS = 40, BYTES = 128, FREED = 36 };
	char *p[BLOCKS], *highest = NULL;

	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_SCAVENGE_PACED);
	for (int i = 0; i < BLOCKS; i++) {
		p[i] = ops->alloc(lane, BYTES);
		highest = p[i] > highest ? p[i] : highest;
	}
	for (int i = 0; i < FREED; i++)
		ops->free(lane, p[i], BYTES);
	for (int i = 0; i < FREED; i++) {
		p[i] = ops->alloc(lane, BYTES);
		/* what was put into the bin beside the last of them is above it */
		assert_true(p[i] <= highest + lane->bin[2 * 10 + 1].batch * BYTES);
	}
	close_heap();
}

/* Replaces blocks of 1 to 32 KiB at random. Returns how many of a hundred found the bin empty. */
static unsigned misses_of_hundred(size_t blocks)
{
	enum { BLOCKS_MAX = 3000, ROUNDS = 60000 };
	static void *p[BLOCKS_MAX];
	uint64_t before;

	assert_in_range(blocks, 1, BLOCKS_MAX);
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_SCAVENGE_PACED);
	for (size_t i = 0; i < blocks; i++)
		p[i] = ops->alloc(lane, draw(1024, 32000));
	before = figure("mcache.misses");
	for (int i = 0; i < ROUNDS; i++) {
		size_t at = draw(0, blocks - 1);

		ops->free(lane, p[at], 0);
		p[at] = ops->alloc(lane, draw(1024, 32000));
		assert_non_null(p[at]);
	}
	before = figure("mcache.misses") - before;
	close_heap();
	return (unsigned)(before * 100 / ROUNDS);
}

/* 24 KiB are one or two blocks of the larger classes, and 200 KiB of each are little where 50 MB
 * live: fewer calls go as far as the spans. */
static void bins_of_large_heaps_hold_more(void **state)
{
	unsigned large, small;

	(void)state;
	large = misses_of_hundred(3000);
	small = misses_of_hundred(300);
	assert_in_range(large, 1, 15);
	assert_in_range(small, large + 15, 60);
}

/* Whether the mapping that has the address is one for which huge pages were asked for; -1 = the
 * system does not say. */
static int huge_asked_at(const void *p)
{
	bool any = access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
	FILE *file = any ? fopen("/proc/self/smaps", "r") : NULL;
	unsigned long low, high;
	int asked = -1;
	bool here = false;
	char line[512];

	while (file && asked < 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
			here = (uintptr_t)p >= low && (uintptr_t)p < high;
		else if (here && !strncmp(line, "VmFlags:", 8))
			asked = strstr(line, " hg") != NULL;
	}
	if (file)
		fclose(file);
	return asked;
}

static void huge_pages_are_asked_for_where_wanted(void **state)
{
	enum { BYTES = 6 << 20, BLOCKS = 8 };

	(void)state;
	for (int thp = TIER_THP_OFF; thp <= TIER_THP_AUTO; thp++) {
		struct tier_knobs knobs = { .profile = rh_tier_profile_of(TIER_PROFILE_DEFAULT),
					    .gogc = 100,
					    .thp = thp };
		void *p[BLOCKS];

		assert_int_equal(ops->open(&heap, &knobs, NULL, NULL), 0);
		assert_int_equal(ops->lane_open(heap, &lane, NULL), 0);
		for (int i = 0; i < BLOCKS; i++)
			p[i] = ops->alloc(lane, BYTES);
		if (huge_asked_at(p[0]) < 0) {
			print_message("# SKIP this system has no huge pages\n");
			close_heap();
			skip();
		}
		assert_int_equal(huge_asked_at(p[0]), thp == TIER_THP_ON);
		assert_int_equal(huge_asked_at(p[BLOCKS - 1]), thp != TIER_THP_OFF);
		close_heap();
	}
}

/* Blocks of 200 to 900 KB come and go, each marked at both ends. Returns how many were refused;
 * what is in memory never passes the limit, where there is one. */
static size_t marked_churn(uint64_t limit, size_t live, int rounds)
{
	enum { LIVE_MAX = 96 };
	size_t bytes[LIVE_MAX] = { 0 }, refused = 0;
	unsigned char *p[LIVE_MAX] = { 0 };

	assert_in_range(live, 1, LIVE_MAX);
	for (int i = 0; i < rounds; i++) {
		size_t at = draw(0, live - 1);

		if (p[at]) {
			assert_int_equal(p[at][0], at);
			assert_int_equal(p[at][bytes[at] - 1], at);
			ops->free(lane, p[at], bytes[at]);
		}
		bytes[at] = draw(200000, 900000);
		p[at] = ops->alloc(lane, bytes[at]);
		refused += !p[at];
		if (p[at])
			memset(p[at], (int)at, bytes[at]);
		if (limit)
			assert_true(retained() <= limit);
	}
	for (size_t at = 0; at < live; at++) {
		if (p[at] && huge_asked_at(p[at]) >= 0)
			assert_int_equal(huge_asked_at(p[at]), heap->knobs.thp == TIER_THP_ON);
		if (p[at])
			ops->free(lane, p[at], bytes[at]);
	}
	return refused;
}

static void open_with(struct tier_knobs knobs)
{
	knobs.profile = rh_tier_profile_of(TIER_PROFILE_DEFAULT);
	knobs.gogc = 100;
	assert_int_equal(ops->open(&heap, &knobs, NULL, NULL), 0);
	assert_int_equal(ops->lane_open(heap, &lane, NULL), 0);
	seed = 1;
}

/* thp=auto asks for none where a limit is to be kept or a Go is to be repeated, however large the
 * heap: a page of 2 MiB is in memory whole, which no counter of ours would show. */
static void huge_pages_break_no_limit_and_no_go(void **state)
{
	enum { ROUNDS = 1500, LIVE = 90, LIMIT = 24 << 20 };

	(void)state;
	open_with((struct tier_knobs){ .thp = TIER_THP_AUTO, .limit = LIMIT });
	assert_in_range(marked_churn(LIMIT, LIVE, ROUNDS), 1, ROUNDS - 1);
	assert_true(heap->arenas.grown_bytes >= LIMIT);
	/* of the system's pages, where it gives no larger ones on its own */
	if (!huge_pages_unasked() && rh_page_bytes() == RH_PAGE)
		assert_true(resident((char *)heap->window, (char *)heap->arenas.at) <=
			    LIMIT / RH_PAGE);
	close_heap();
	for (int gc = TIER_GC_ORACLE; gc <= TIER_GC_RECORDED; gc++) {
		for (int thp = TIER_THP_ON; thp <= TIER_THP_AUTO; thp++) {
			open_with((struct tier_knobs){ .gc = gc, .thp = thp });
			assert_int_equal(marked_churn(0, LIVE, ROUNDS / 5), 0);
			assert_true(heap->arenas.grown_bytes > LIMIT);
			close_heap();
		}
	}
}

/* Where others have the places that heaps ask for, the system fills downwards: the second arena
 * lies below the first, and is asked for all the same. */
static void huge_pages_are_asked_for_wherever_arenas_lie(void **state)
{
	enum { OTHERS = 16, LIVE = 90, ROUNDS = 300 };
	struct rh_heap *others[OTHERS];

	(void)state;
	for (int i = 0; i < OTHERS; i++) {
		open_with((struct tier_knobs){ .thp = TIER_THP_OFF });
		others[i] = heap;
		ops->lane_close(lane);
	}
	open_with((struct tier_knobs){ .gc = TIER_GC_ORACLE, .thp = TIER_THP_ON });
	assert_int_equal(marked_churn(0, LIVE, ROUNDS), 0);
	assert_true(heap->arenas.grown_bytes > TIER_ARENA);
	close_heap();
	for (int i = 0; i < OTHERS; i++)
		ops->close(others[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_back_was_paid_for),
		cmocka_unit_test(what_is_kept_decays),
		cmocka_unit_test(an_idle_heap_gives_all_back_by_a_call),
		cmocka_unit_test(free_pages_stand_in_for_new_ones),
		cmocka_unit_test(short_runs_are_used_where_they_lie),
		cmocka_unit_test(zeroed_blocks_do_not_fault_for_nothing),
		cmocka_unit_test(a_small_heap_takes_few_pages_for_itself),
		cmocka_unit_test(freed_slots_come_before_untouched_ones),
		cmocka_unit_test(bins_of_large_heaps_hold_more),
		cmocka_unit_test(huge_pages_are_asked_for_where_wanted),
		cmocka_unit_test(huge_pages_break_no_limit_and_no_go),
		cmocka_unit_test(huge_pages_are_asked_for_wherever_arenas_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
