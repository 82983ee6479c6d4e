/*
 * locking.c - a backend whose contention is known, for tests of probes: every operation holds
 * a lock. `lock=shared` is one lock for the heap, `lock=lane` one for each lane, `lock=pthread`
 * one pthread mutex for the heap; every 64th hold of `hold` sleeps for 100 us, so that with a
 * shared lock the other lane has to wait, on any number of CPUs. `nap=N` sleeps 60 ms in every
 * N-th operation of a lane, without a lock.
 *
 * Blocks are cut from one mapping and never come back. It runs in the worker, which exports the
 * slow halves of rh_lock.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "alloc/backend.h"
#include "alloc/base/lock.h"

enum { HOLD_EVERY = 64, HOLD_NS = 100000, NAP_NS = 60000000, LANES_MAX = 64 };
#define REGION_BYTES ((size_t)4 << 30)

enum lock_kind { LOCK_SHARED, LOCK_LANE, LOCK_PTHREAD };

struct knobs {
	int lock;
	uint64_t nap;
};

static const char *const lock_names[] = { "shared", "lane", "pthread", NULL };

static const struct rh_opt knob_table[] = { { .name = "lock",
					      .type = RH_OPT_NAME,
					      .offset = offsetof(struct knobs, lock),
					      .dflt = "shared",
					      .names = lock_names,
					      .arg = "KIND",
					      .help = "whose lock it is" },
					    { .name = "nap",
					      .type = RH_OPT_UINT,
					      .offset = offsetof(struct knobs, nap),
					      .dflt = "0",
					      .arg = "N",
					      .help = "operations between two naps; 0 = none" },
					    { .name = NULL } };

static const struct rh_lock_class shared_class = { .name = "test_shared", .rank = 1 };
static const struct rh_lock_class lane_class = { .name = "test_lane", .rank = 2 };

struct rh_heap {
	struct knobs knobs;
	struct rh_lock lock;
	pthread_mutex_t mutex;
	_Atomic uintptr_t at;
	struct rh_lane *lanes;
	_Atomic uint32_t lane_count;
};

struct rh_lane {
	struct rh_lock lock;
	struct rh_heap *heap;
	uint64_t operations;
};

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int heap_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	struct rh_heap *made = map(sizeof(*made));
	char *region = map(REGION_BYTES);

	(void)env;
	(void)err;
	if (!made || !region)
		return -1;
	made->lanes = map(LANES_MAX * sizeof(*made->lanes));
	memcpy(&made->knobs, knobs, sizeof(made->knobs));
	rh_lock_init(&made->lock, &shared_class, 0);
	pthread_mutex_init(&made->mutex, NULL);
	made->at = (uintptr_t)region;
	*heap = made;
	return made->lanes ? 0 : -1;
}

static void heap_close(struct rh_heap *heap)
{
	(void)heap; /* the worker ends */
}

static int lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	uint32_t number = atomic_fetch_add(&heap->lane_count, 1);

	(void)err;
	if (number >= LANES_MAX)
		return -1;
	*lane = &heap->lanes[number];
	(*lane)->heap = heap;
	rh_lock_init(&(*lane)->lock, &lane_class, number);
	return 0;
}

static void lane_close(struct rh_lane *lane)
{
	(void)lane;
}

static void sleep_ns(long ns)
{
	struct timespec time = { 0, ns };

	nanosleep(&time, NULL);
}

static void operate(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	int kind = heap->knobs.lock;
	uint64_t number = ++lane->operations;
	struct rh_lock *lock = kind == LOCK_LANE ? &lane->lock : &heap->lock;

	if (heap->knobs.nap && number % heap->knobs.nap == 0)
		sleep_ns(NAP_NS);
	if (kind == LOCK_PTHREAD)
		pthread_mutex_lock(&heap->mutex);
	else
		rh_lock(lock);
	if (!heap->knobs.nap && number % HOLD_EVERY == 0)
		sleep_ns(HOLD_NS);
	if (kind == LOCK_PTHREAD)
		pthread_mutex_unlock(&heap->mutex);
	else
		rh_unlock(lock);
}

static void *alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	size_t bytes = (size + 15) / 16 * 16 + (align > 16 ? align : 0);
	uintptr_t at;

	(void)flags; /* the region is zero and used once */
	operate(lane);
	at = atomic_fetch_add(&lane->heap->at, bytes + 16);
	return (void *)(align > 16 ? (at + align - 1) / align * align : at);
}

static void *alloc(struct rh_lane *lane, size_t size)
{
	return alloc_as(lane, size, 0, 0);
}

static void free_block(struct rh_lane *lane, void *p, size_t size)
{
	(void)p;
	(void)size;
	operate(lane);
}

/* In one operation. */
static void *resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	void *q = alloc(lane, size_new);

	memcpy(q, p, size_old < size_new ? size_old : size_new);
	return q;
}

static void locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx)
{
	struct rh_lock_stats stats;
	uint32_t lanes = atomic_load(&heap->lane_count);

	if (heap->knobs.lock == LOCK_SHARED) {
		rh_lock_read(&heap->lock, &stats);
		emit(ctx, &stats);
	}
	for (uint32_t i = 0; heap->knobs.lock == LOCK_LANE && i < lanes && i < LANES_MAX; i++) {
		rh_lock_read(&heap->lanes[i].lock, &stats);
		emit(ctx, &stats);
	}
}

const struct rh_backend reheap_backend = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_NO_REUSE,
	.name = "locking",
	.summary = "holds a lock in every operation",
	.knobs = knob_table,
	.knobs_bytes = sizeof(struct knobs),
	.open = heap_open,
	.close = heap_close,
	.lane_open = lane_open,
	.lane_close = lane_close,
	.alloc = alloc,
	.alloc_as = alloc_as,
	.free = free_block,
	.resize = resize,
	.locks = locks,
};
