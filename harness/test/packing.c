/*
 * packing.c - a backend whose cache behaviour is known, for tests of counters and scans.
 * Blocks are cut in steps of 16 bytes, without headers, and never come back.
 * `from=shared` cuts the blocks of all lanes from one mapping, one after another;
 * `from=lane` gives each lane a mapping of its own. `walk=BYTES` reads so many bytes of a
 * large array in every allocation, line after line. `spend=N` executes N instructions more in every
 * allocation and every free (an even number). `round=BYTES` says that blocks have that
 * much more usable space than was asked for.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/backend.h"

enum { STEP = 16, LINE = 64, ARRAY_BYTES = 32 << 20 };
#define REGION_BYTES ((size_t)1 << 30)

enum from { FROM_SHARED, FROM_LANE };

struct knobs {
	int from;
	uint64_t walk, round, spend;
};

static const char *const from_names[] = { "shared", "lane", NULL };

static const struct rh_opt knob_table[] = { { .name = "from",
					      .type = RH_OPT_NAME,
					      .offset = offsetof(struct knobs, from),
					      .dflt = "shared",
					      .names = from_names,
					      .arg = "WHOSE",
					      .help = "whose mapping it is" },
					    { .name = "walk",
					      .type = RH_OPT_SIZE,
					      .offset = offsetof(struct knobs, walk),
					      .dflt = "0",
					      .arg = "SIZE",
					      .help = "bytes read in every allocation" },
					    { .name = "round",
					      .type = RH_OPT_SIZE,
					      .offset = offsetof(struct knobs, round),
					      .dflt = "0",
					      .arg = "SIZE",
					      .help = "usable bytes beyond what was asked for" },
					    { .name = "spend",
					      .type = RH_OPT_UINT,
					      .offset = offsetof(struct knobs, spend),
					      .dflt = "0",
					      .max = 1000000,
					      .arg = "N",
					      .help = "instructions more in every operation" },
					    { .name = NULL } };

struct rh_heap {
	struct knobs knobs;
	_Atomic uintptr_t at;
	volatile const char *array;
};

struct rh_lane {
	struct rh_heap *heap;
	_Atomic uintptr_t own, *at;
	size_t walked;
};

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int open_heap(struct rh_heap **out, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	struct rh_heap *heap = map(sizeof(*heap));
	char *array = map(ARRAY_BYTES);

	(void)env;
	if (!heap || !array) {
		err->code = RH_OS;
		snprintf(err->text, sizeof(err->text), "packing: no memory for the heap");
		return -1;
	}
	memset(array, 1, ARRAY_BYTES);
	heap->knobs = *(const struct knobs *)knobs;
	heap->array = array;
	heap->at = (uintptr_t)map(REGION_BYTES);
	*out = heap;
	return 0;
}

static void close_heap(struct rh_heap *heap)
{
	munmap((void *)(uintptr_t)heap->array, ARRAY_BYTES);
	munmap(heap, sizeof(*heap));
}

static int lane_open(struct rh_heap *heap, struct rh_lane **out, struct rh_err *err)
{
	struct rh_lane *lane = map(sizeof(*lane));

	if (!lane) {
		err->code = RH_OS;
		snprintf(err->text, sizeof(err->text), "packing: no memory for a lane");
		return -1;
	}
	lane->heap = heap;
	lane->own = heap->knobs.from == FROM_LANE ? (uintptr_t)map(REGION_BYTES) : 0;
	lane->at = lane->own ? &lane->own : &heap->at;
	*out = lane;
	return 0;
}

static void lane_close(struct rh_lane *lane)
{
	(void)lane;
}

/* Two instructions a round, whatever the compiler is. */
static void spend_instructions(uint64_t count)
{
	uint64_t rounds = count / 2;

	if (rounds)
#if defined(__aarch64__)
		__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(rounds) : : "cc");
#else
		__asm__ volatile("1: sub $1, %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
#endif
}

static void *lane_alloc(struct rh_lane *lane, size_t size)
{
	size_t room = size ? (size + STEP - 1) / STEP * STEP : STEP;

	spend_instructions(lane->heap->knobs.spend);
	for (uint64_t walked = 0; walked < lane->heap->knobs.walk; walked += LINE) {
		(void)lane->heap->array[lane->walked];
		lane->walked = (lane->walked + LINE) % ARRAY_BYTES;
	}
	return (void *)atomic_fetch_add(lane->at, room);
}

static void *lane_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	uintptr_t p = (uintptr_t)lane_alloc(lane, size + (align > STEP ? align : 0));

	(void)flags;
	return (void *)(align > STEP ? (p + align - 1) / align * align : p);
}

static void lane_free(struct rh_lane *lane, void *p, size_t size)
{
	(void)p;
	(void)size;
	spend_instructions(lane->heap->knobs.spend);
}

static void *lane_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	return rh_resize_by_copy(&reheap_backend, lane, p, size_old, size_new);
}

static size_t lane_usable(struct rh_lane *lane, const void *p, size_t size)
{
	(void)p;
	return size + lane->heap->knobs.round;
}

const struct rh_backend reheap_backend = {
	.abi = RH_BACKEND_ABI,
	.name = "packing",
	.summary = "for tests: known cache lines, known misses",
	.knobs = knob_table,
	.knobs_bytes = sizeof(struct knobs),
	.open = open_heap,
	.close = close_heap,
	.lane_open = lane_open,
	.lane_close = lane_close,
	.alloc = lane_alloc,
	.alloc_as = lane_alloc_as,
	.free = lane_free,
	.resize = lane_resize,
	.usable = lane_usable,
};
