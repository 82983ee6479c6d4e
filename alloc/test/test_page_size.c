/*
 * test_page_size.c - on a system whose pages are 16 or 64 KiB the heaps and stacks map whole pages
 * only, and pages that they return hold no live bytes.
 *
 * This program interposes mmap, munmap, madvise, mprotect and mincore and acts as such a kernel:
 * it maps by its pages, refuses an unaligned address, and rounds lengths up, so that advice about
 * a part of a page drops all of it. rh_page_bytes_pretend sets the page size for our own code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/test/stack_support.h"

static size_t page = RH_PAGE; /* of this kernel */
static unsigned refused, advised, mapped_calls;

#if !defined(__SANITIZE_THREAD__) /* its runtime maps before any code of ours may run */
static bool refuse(const void *p)
{
	if ((uintptr_t)p % page == 0)
		return false;
	refused++;
	errno = EINVAL;
	return true;
}

static size_t whole(size_t bytes)
{
	return (bytes + page - 1) / page * page;
}

static void *sys_map(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);
}

void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	size_t all = whole(bytes);
	uintptr_t raw, start;
	void *p;

	mapped_calls++;
	if (page == RH_PAGE || fd >= 0)
		return sys_map(at, bytes, prot, flags, fd, offset);
	if (flags & MAP_FIXED)
		return refuse(at) ? MAP_FAILED : sys_map(at, all, prot, flags, fd, offset);
	if (at) {
		p = sys_map((void *)((uintptr_t)at / page * page), all, prot, flags, fd, offset);
		if (p == MAP_FAILED || (uintptr_t)p % page == 0)
			return p;
		syscall(SYS_munmap, p, all);
	}
	p = sys_map(NULL, all + page, prot, flags, fd, offset);
	if (p == MAP_FAILED)
		return p;
	raw = (uintptr_t)p;
	start = whole(raw);
	if (start > raw)
		syscall(SYS_munmap, raw, start - raw);
	syscall(SYS_munmap, start + all, raw + page - start);
	return (void *)start;
}

int munmap(void *p, size_t bytes)
{
	return refuse(p) ? -1 : (int)syscall(SYS_munmap, p, whole(bytes));
}

int mprotect(void *p, size_t bytes, int prot)
{
	return refuse(p) ? -1 : (int)syscall(SYS_mprotect, p, whole(bytes), prot);
}

int madvise(void *p, size_t bytes, int advice)
{
	advised++;
	return refuse(p) ? -1 : (int)syscall(SYS_madvise, p, whole(bytes), advice);
}

/* One answer for each page of this kernel; all in memory is as good as any. */
int mincore(void *p, size_t bytes, unsigned char *pages)
{
	if (refuse(p))
		return -1;
	memset(pages, 1, whole(bytes) / page);
	return 0;
}
#endif

/* Of a system's own pages no smaller ones can be made. */
static bool too_small(size_t bytes)
{
	return bytes < (size_t)sysconf(_SC_PAGESIZE);
}

static void begin(size_t bytes)
{
	page = bytes;
	refused = advised = mapped_calls = 0;
	rh_page_bytes_pretend(bytes);
	assert_int_equal(rh_page_bytes(), bytes);
}

static void end(const char *what)
{
	if (refused)
		fail_msg("%s: %u calls with an address that is not on a page of %zu bytes", what,
			 refused, page);
	assert_true(mapped_calls > 0);
	page = RH_PAGE;
	rh_page_bytes_pretend(0);
}

/* ---- heaps ---- */

enum { BLOCKS = 400, ROUNDS = 5 };

struct block {
	unsigned char *p;
	size_t size;
};

static uint64_t seed;

static size_t draw(size_t most)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % most;
}

static size_t draw_size(void)
{
	static const size_t most[] = { 64, 2000, 9000, 40000, 300000 };

	return 8 + draw(most[draw(5)]);
}

static void expect(const struct block *block, unsigned char byte, const char *what)
{
	for (size_t i = 0; i < block->size; i++)
		if (block->p[i] != byte)
			fail_msg("%s, pages of %zu: byte %zu of %zu is %d, not %d", what, page, i,
				 block->size, block->p[i], byte);
}

static void turn(struct stack_fixture *f, struct block *block, unsigned i, const char *what)
{
	unsigned char byte = (unsigned char)(i % 250 + 1);

	if (block->p) {
		expect(block, byte, what);
		f->heap_ops->free(f->heap_lane[0], block->p, block->size);
		block->p = NULL;
		return;
	}
	block->size = draw_size();
	block->p = f->heap_ops->alloc_as(f->heap_lane[0], block->size, 16, RH_ALLOC_ZEROED);
	assert_non_null(block->p);
	expect(block, 0, what);
	memset(block->p, byte, block->size);
}

static void ignore(void *ctx, const char *name, const char *unit, uint64_t value)
{
	(void)name;
	(void)unit;
	*(uint64_t *)ctx += value > 0;
}

/* Blocks come, go in any order, and keep their bytes while free pages are given back. */
static void heap_keeps_bytes(const char *spec, size_t bytes, bool gives_back)
{
	struct stack_fixture f;
	struct block *blocks = calloc(BLOCKS, sizeof(*blocks));
	uint64_t figures = 0;

	if (too_small(bytes)) {
		free(blocks);
		return;
	}
	seed = 1;
	begin(bytes);
	stack_open(&f, spec, 1);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < BLOCKS; i++)
			if (draw(3))
				turn(&f, &blocks[i], i, spec);
	f.heap_ops->stats(f.heap, ignore, &figures);
	for (unsigned i = 0; i < BLOCKS; i++)
		if (blocks[i].p)
			turn(&f, &blocks[i], i, spec);
	stack_close(&f);
	if (gives_back && !advised)
		fail_msg("%s, pages of %zu: gave nothing back", spec, bytes);
	end(spec);
	free(blocks);
}

static void tiered_heaps(void **state)
{
	static const char *const profiles[] = { "1.4",	"1.8",	"1.11", "1.12",
						"1.14", "1.17", "1.22", "1.26" };
	static const size_t sizes[] = { 4096, 16384, 65536 };
	char spec[80];

	(void)state;
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		for (size_t j = 0; j < 3; j++) {
			snprintf(spec, sizeof(spec), "tiered:profile=%s:scavenge=eager",
				 profiles[i]);
			heap_keeps_bytes(spec, sizes[j], true);
			snprintf(spec, sizeof(spec), "tiered:profile=%s", profiles[i]);
			heap_keeps_bytes(spec, sizes[j], false);
		}
}

static void other_heaps(void **state)
{
	(void)state;
	heap_keeps_bytes("bump", 65536, false);
	heap_keeps_bytes("checked:tiered", 65536, false);
}

/* ---- stacks ---- */

enum { TASKS = 3000 };

/* More than the pools keep (16 MiB) is freed between living ones: the frames of those stay whole.
 */
static void stacks_keep_frames(const char *spec, size_t bytes, size_t stack_bytes)
{
	struct stack_fixture f;
	void **task = calloc(TASKS, sizeof(*task));

	if (too_small(bytes)) {
		free(task);
		return;
	}
	begin(bytes);
	stack_open(&f, spec, 1);
	for (unsigned i = 0; i < TASKS; i++) {
		task[i] = f.ops->spawn(f.lane[0], stack_bytes);
		assert_non_null(task[i]);
		assert_int_equal(f.ops->call(f.lane[0], task[i], 600), 0);
	}
	for (unsigned i = 0; i < TASKS; i++)
		if (i % 4)
			f.ops->exit(f.lane[0], task[i]);
	f.ops->gc_begin(f.lane[0]);
	f.ops->gc_end(f.lane[0]);
	for (unsigned i = 0; i < TASKS; i += 4)
		if (f.ops->verify && f.ops->verify(f.lane[0], task[i], &f.err) < 0)
			fail_msg("%s, pages of %zu: task %u: %s", spec, bytes, i, f.err.text);
	for (unsigned i = 0; i < TASKS; i += 4)
		f.ops->exit(f.lane[0], task[i]);
	stack_close(&f);
	end(spec);
	free(task);
}

static void stacks(void **state)
{
	static const char *const specs[] = { "null/pools", "tiered/pools", "bump/segmented",
					     "bump/heap" };

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		stacks_keep_frames(specs[i], 65536, 0);
		stacks_keep_frames(specs[i], 16384, 0);
		stacks_keep_frames(specs[i], 65536, 16384);
		stacks_keep_frames(specs[i], 4096, 16384);
	}
	stacks_keep_frames("bump/thread:guard=4K:cache=1M", 65536, 20000);
	stacks_keep_frames("bump/thread", 16384, 0);
}

/* ---- the arithmetic ---- */

static void within(void **state)
{
	uintptr_t first;

	(void)state;
	begin(65536);
	assert_int_equal(rh_page_up(1), 65536);
	assert_int_equal(rh_page_up(65536), 65536);
	assert_int_equal(rh_page_within(65536, 65536, &first), 65536);
	assert_int_equal(first, 65536);
	assert_int_equal(rh_page_within(65536 + 8192, 65536, &first), 0);
	assert_int_equal(rh_page_within(65536 + 8192, 2 * 65536, &first), 65536);
	assert_int_equal(first, 2 * 65536);
	rh_unmap(rh_map(100), 100);
	end("arithmetic");
	assert_int_equal(rh_page_bytes(), (size_t)sysconf(_SC_PAGESIZE));
}

/* A machine of more CPUs than a plain cpu_set_t holds. */
static void many_cpus(void **state)
{
	struct rh_cpus cpus = rh_cpus_one(5), far = rh_cpus_one(5000), here;

	(void)state;
	for (size_t i = 0; i < sizeof(cpus.word) / sizeof(cpus.word[0]); i++)
		cpus.word[i] |= far.word[i];
	assert_int_equal(rh_cpus_count(&cpus), 2);
	assert_int_equal(rh_cpus_nth(&cpus, 0), 5);
	assert_int_equal(rh_cpus_nth(&cpus, 1), 5000);
	assert_int_equal(rh_cpus_nth(&cpus, 2), -1);
	assert_true(rh_cpus_has(&cpus, 5000) && !rh_cpus_has(&cpus, 5001));
	assert_false(rh_cpus_has(&cpus, RH_CPUS_MAX));
	assert_true(rh_cpus_get(&here));
	assert_int_equal(rh_cpus_count(&here), rh_cpu_count());
	assert_true(rh_cpus_set(&here));
}

int main(void)
{
#if defined(__SANITIZE_THREAD__)
	puts("mmap cannot be ours under ThreadSanitizer");
	return 77;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(within),	cmocka_unit_test(many_cpus),
		cmocka_unit_test(tiered_heaps), cmocka_unit_test(other_heaps),
		cmocka_unit_test(stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
