/*
 * pools.h - the structures of the stack pools and which thread may touch what.
 *
 * Inside this folder only. The story of a spawn is at the top of pools.c; each tier's own
 * story is at the top of its file.
 *
 *	struct rh_stack_lane	Go's P: dead tasks to use again, free stacks by order
 *	struct stack_span	pages cut into stacks of one order, or one large stack
 *	struct task		Go's g: one cache line; where its stack is and what is on it
 *	struct rh_stacks	the pools, the large stacks, the world
 *
 * A free stack holds, in its highest 16 bytes, the next free one and its span. Those are
 * the bytes a spawn writes anyway, so taking a stack touches one line of it.
 *
 * Operations run between stack_enter and stack_leave: a collection cycle that moves the
 * stacks of tasks waits until every lane is outside (stop_the_world.c).
 */
#ifndef RH_POOLS_H
#define RH_POOLS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "alloc/backend.h"
#include "alloc/base/debug.h"
#include "alloc/base/lock.h"
#include "alloc/base/os.h"
#include "alloc/stack/frames.h"
#include "alloc/stack/pools/profile.h"

/* Ranks of our locks, in Go's order; the page heap of a paired heap comes after. */
enum stack_rank {
	STACK_RANK_WORLD = 40,
	STACK_RANK_GFREE = 50,
	STACK_RANK_TASKS = 60,
	STACK_RANK_POOL = 140,
	STACK_RANK_LARGE = 145,
	STACK_RANK_PAGES = 150,
};

enum {
	STACK_LEAST = 2048,
	STACK_LEAST_LOG2 = 11,
	STACK_ORDERS = 4,
	STACK_CACHE_BYTES = 32768, /* of each order in a lane, at most */
	STACK_SPAN_PAGES = 4,	   /* 32 KiB */
	STACK_SIZES = 64,	   /* log2 of pages */
	GFREE_KEEP = 63,	   /* dead tasks of a lane; one more and half go */
	GFREE_BATCH = 32,
	TASK_CHUNK_BYTES = 65536,
	SPAN_BATCH = 64,
	STACK_SIZES_TOLD = 20, /* 2 KiB to 1 GiB */
};
_Static_assert(1 << STACK_LEAST_LOG2 == STACK_LEAST, "an order is a log2 less this");

_Static_assert(GFREE_BATCH <= GFREE_KEEP, "what is taken can be kept");
_Static_assert(STACK_SPAN_PAGES *RH_STACK_PAGE >= STACK_LEAST << (STACK_ORDERS - 1),
	       "a span holds the largest pooled stack");

struct pool_knobs {
	int profile;  /* index into rh_pool_profiles */
	uint64_t max; /* of one stack */
	bool shrink;
	int flush; /* enum pool_flush */
	bool reuse, threads;
};

enum pool_flush {
	POOL_FLUSH_CYCLE, /* the end of a cycle empties every lane's caches */
	POOL_FLUSH_LANE,  /* each lane's, when the trace says so */
	POOL_FLUSH_APART, /* and empty spans are freed by one more end of a cycle */
};

struct stack_span {
	uintptr_t base;
	struct free_stack *free;
	struct stack_span *next, *prev; /* on its pool's or its size's list */
	uint32_t page_count;
	uint16_t taken; /* stacks handed out */
	uint8_t order;
	bool listed;
};

struct free_stack {
	struct free_stack *next;
	struct stack_span *span;
};
_Static_assert(sizeof(struct free_stack) == RH_FRAME_HEAD, "in the words of the first frame");

/* tag of a task's frames */
enum { TASK_DEAD, TASK_ALIVE };

struct task {
	struct rh_frames frames; /* hi 0 = has no stack */
	struct stack_span *span;
	struct task *next; /* on a list of dead tasks */
};
_Static_assert(sizeof(struct task) == RH_CACHE_LINE, "a spawn touches one line of its task");

/* Room above the guard; what a spawn compares. */
static inline uint32_t task_room(const struct task *task)
{
	return (uint32_t)(task->frames.hi - task->frames.guard);
}

struct task_chunk {
	struct task_chunk *next;
	uint32_t count; /* tasks made; the lane that fills it writes */
	char pad[RH_CACHE_LINE - 12];
	struct task tasks[];
};
enum { TASK_CHUNK_TASKS = (TASK_CHUNK_BYTES - RH_CACHE_LINE) / (int)sizeof(struct task) };

/* What a lane counts. One row per figure of `stats`. */
#define STACK_COUNTERS(X)                                 \
	X(spawns, "spawn", "count")                       \
	X(refused, "refused", "count")                    \
	X(overflows, "overflows", "count")                \
	X(unmatched, "returns_without_call", "count")     \
	X(g_slow, "g.local_misses", "count")              \
	X(g_global, "g.global_hits", "count")             \
	X(g_new, "g.made", "count")                       \
	X(g_batches, "g.batches_to_global", "count")      \
	X(g_out, "g.to_global", "count")                  \
	X(g_in, "g.from_global_or_new", "count")          \
	X(cache_hits, "stackcache.hits", "count")         \
	X(cache_refills, "stackcache.refills", "count")   \
	X(cache_releases, "stackcache.releases", "count") \
	X(pool_allocs, "stackpool.allocs", "count")       \
	X(pool_frees, "stackpool.frees", "count")         \
	X(large_hits, "stackLarge.hits", "count")         \
	X(large_allocs, "stackLarge.allocs", "count")     \
	X(spans_made, "spans.made", "count")              \
	X(spans_freed, "spans.freed", "count")            \
	X(grows, "grows", "count")                        \
	X(shrinks, "shrinks", "count")                    \
	X(copied_bytes, "copy.bytes", "bytes")            \
	X(copied_frames, "copy.frames", "count")          \
	X(copied_pointers, "copy.pointers_adjusted", "count")

struct stack_counters {
#define X(field, name, unit) uint64_t field;
	STACK_COUNTERS(X)
#undef X
};

/* Written by the owner, read by anybody; spawns, alone, is read at rest. */
#define stack_load(p)	  __atomic_load_n((p), __ATOMIC_RELAXED)
#define stack_add(p, v)	  __atomic_store_n((p), stack_load(p) + (v), __ATOMIC_RELAXED)
#define stack_likely(x)	  __builtin_expect(!!(x), 1)
#define stack_unlikely(x) __builtin_expect(!!(x), 0)

/* Stacks by log2 of their size; the last takes what is larger. */
struct stack_sizes {
	uint64_t made[STACK_SIZES_TOLD], freed[STACK_SIZES_TOLD];
};

struct stack_cache {
	struct free_stack *head;
	uint32_t bytes;
};

struct rh_stack_lane {
	/* hot: spawn and exit */
	struct rh_stacks *stacks;
	struct task *gfree;	     /* dead tasks, the last to die first; ends in rh_no_task */
	int32_t gfree_room;	     /* how many more it takes: GFREE_KEEP less its length */
	_Atomic uint32_t inside;     /* 1 while an operation runs */
	_Atomic uint32_t start_room; /* hi - guard of a stack of the size new ones have; or
				      * ROOM_STOPPED while lanes may not work: then no stack
				      * matches and spawn and exit leave their fast path */
	struct stack_counters n;
	struct stack_sizes sizes;
	struct stack_cache cache[STACK_ORDERS];
	struct rh_lane *heap_lane;
	struct task_chunk *chunk;	   /* new tasks are cut from it */
	struct stack_span *spans;	   /* unused span structs */
	int64_t d_in_use;		   /* bytes of spans this lane took and gave */
	bool past_cache;		   /* the thread is one of those Go keeps off caches */
	struct free_stack *g0, *gsignal;   /* stacks of the thread itself */
	struct rh_stack_lane *next, *prev; /* under the world lock */
} __attribute__((aligned(RH_CACHE_LINE)));

struct stack_list {
	struct stack_span *first;
	uint64_t count;
};

struct stack_pool {		 /* padded by its lock's alignment */
	struct rh_lock lock;	 /* unused but for order 0 where one lock is for all */
	struct stack_list spans; /* with a free stack */
};

/* Pages of our own, where the heap lends none (pages.c). */
struct page_source {
	struct rh_lock lock;
	struct stack_list runs[STACK_SIZES]; /* free, by log2 of pages */
	uintptr_t chunk, chunk_end;	     /* not yet cut */
	struct stack_list mapped;	     /* chunks and large runs */
	struct stack_span *span_structs;     /* unused, of closed lanes */
	void *blocks;			     /* memory of span structs */
	uint64_t free_bytes, released_bytes;
};

struct rh_stacks {
	/* read by every operation, written by cycles */
	_Atomic uint32_t stopping; /* enum world_state bits */
	uint32_t start_bytes;
	uint32_t guard_bytes;
	const struct pool_profile *profile;
	const struct rh_backend *heap_ops;
	struct rh_heap *heap;
	uint64_t max_bytes;
	bool shrink_on;
	bool reuse;   /* ended tasks keep their stack for new ones */
	bool threads; /* a lane has stacks of its own */
	bool flush_by_lane;
	bool trim_apart; /* an end without a begin frees what nobody uses, and no flush does */
	_Atomic uint32_t gc_on; /* between mark start and the end of a cycle */

	struct rh_lock world; /* one cycle at a time; the list of lanes */
	struct rh_stack_lane *lanes;
	uint32_t cycles_open;
	uint64_t cycles, scanned_bytes, scanned_stacks;
	struct rh_stack_lane *ender;   /* ended a cycle; its flush frees what nobody uses */
	struct stack_counters retired; /* of closed lanes */
	struct stack_sizes retired_sizes;
	int64_t retired_in_use;

	struct rh_lock gfree_lock;
	struct task *gfree_stack, *gfree_bare; /* with and without a stack */
	_Atomic uint32_t gfree_count;	       /* of both; peeked without the lock */

	struct rh_lock tasks_lock;
	struct task_chunk *chunks;
	uint64_t chunk_count;

	struct stack_pool pool[STACK_ORDERS];
	struct rh_lock large_lock;
	struct stack_list large[STACK_SIZES]; /* freed during a cycle, by log2 of pages */
	struct page_source pages;
};

/* ---- lists of spans ---- */

static inline void span_push(struct stack_list *list, struct stack_span *span)
{
	rh_debug_assert(!span->listed);
	span->prev = NULL;
	span->next = list->first;
	if (span->next)
		span->next->prev = span;
	list->first = span;
	list->count++;
	span->listed = true;
}

static inline void span_remove(struct stack_list *list, struct stack_span *span)
{
	rh_debug_assert(span->listed && list->count > 0);
	*(span->prev ? &span->prev->next : &list->first) = span->next;
	if (span->next)
		span->next->prev = span->prev;
	list->count--;
	span->listed = false;
}

/* ---- stop_the_world.c ---- */

enum world_state {
	WORLD_STOPPING = 1u << 0, /* lanes wait outside */
	WORLD_FENCED = 1u << 1,	  /* no membarrier(2): lanes fence for themselves */
};

void rh_stack_wait_outside(struct rh_stack_lane *lane);
void rh_stop_the_world_init(struct rh_stacks *stacks);
/* What lanes compare when the world runs. */
uint32_t rh_stop_the_world_room(const struct rh_stacks *stacks);
void rh_stop_the_world_gc_begin(struct rh_stack_lane *lane);
void rh_stop_the_world_gc_end(struct rh_stack_lane *lane);
void rh_stop_the_world_flush(struct rh_stack_lane *lane);

#define ROOM_STOPPED UINT32_MAX

/* Says "working"; what may not be moved is looked at after. */
static inline void stack_claim(struct rh_stack_lane *lane)
{
	atomic_store_explicit(&lane->inside, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void stack_enter(struct rh_stack_lane *lane)
{
	stack_claim(lane);
	if (stack_unlikely(atomic_load_explicit(&lane->stacks->stopping, memory_order_acquire)))
		rh_stack_wait_outside(lane);
}

static inline void stack_leave(struct rh_stack_lane *lane)
{
	rh_debug_assert(atomic_load_explicit(&lane->inside, memory_order_relaxed));
	atomic_store_explicit(&lane->inside, 0, memory_order_release);
}

/* ---- tiers: every one may return NULL (exhausted) and changes nothing then ---- */

/* stack.c: a stack of bytes, a power of two from STACK_LEAST on; by size to a tier. */
struct free_stack *rh_stack_alloc(struct rh_stack_lane *lane, size_t bytes);
void rh_stack_free(struct rh_stack_lane *lane, struct free_stack *stack, size_t bytes);

static inline uintptr_t stack_hi(const struct free_stack *stack)
{
	return (uintptr_t)(stack + 1);
}

static inline struct free_stack *stack_at(uintptr_t hi)
{
	return (struct free_stack *)hi - 1;
}

/* cache.c */
struct free_stack *rh_cache_alloc(struct rh_stack_lane *lane, unsigned order);
void rh_cache_free(struct rh_stack_lane *lane, unsigned order, struct free_stack *stack);
/* Off: straight from and to the pools. */
void rh_cache_switch(struct rh_stack_lane *lane, int on);
/* Gives the cached stacks of `of` back; `lane` does it. */
void rh_cache_flush(struct rh_stack_lane *lane, struct rh_stack_lane *of);

/* pool.c: the pool's lock is held */
struct rh_lock *rh_pool_lock(struct rh_stacks *stacks, unsigned order);
struct free_stack *rh_pool_alloc_locked(struct rh_stack_lane *lane, unsigned order);
void rh_pool_free_locked(struct rh_stack_lane *lane, struct free_stack *stack);
/* At the end of a cycle: spans with nothing handed out go. No lock held. */
void rh_pools_trim(struct rh_stack_lane *lane);

/* large.c */
struct free_stack *rh_large_stack_alloc(struct rh_stack_lane *lane, size_t bytes);
void rh_large_stack_free(struct rh_stack_lane *lane, struct free_stack *stack);
void rh_large_stacks_trim(struct rh_stack_lane *lane);

/* pages.c */
struct stack_span *rh_pages_take(struct rh_stack_lane *lane, uint32_t page_count);
void rh_pages_give(struct rh_stack_lane *lane, struct stack_span *span);
void rh_pages_lane_close(struct rh_stack_lane *lane);
void rh_pages_close(struct rh_stacks *stacks);

/* task.c: dead tasks, local and global */
extern struct task rh_no_task; /* has no stack; never written */
struct task *rh_task_take(struct rh_stack_lane *lane, size_t bytes, bool exact);
void rh_task_put(struct rh_stack_lane *lane, struct task *task);
void rh_tasks_purge(struct rh_stack_lane *lane);
/* Mark: dead tasks of the global list lose their stacks. World stopped. */
void rh_tasks_free_stacks(struct rh_stack_lane *lane);

/* copy.c */
/* Makes the stack large enough for a frame of bytes. -1: exhausted, or past the maximum. */
int rh_task_grow(struct rh_stack_lane *lane, struct task *task, size_t frame_bytes);
int rh_task_resize(struct rh_stack_lane *lane, struct task *task, size_t bytes);
/* A stack of bytes is in use to less than a quarter, as Go sees it. */
bool rh_task_may_halve(const struct rh_stacks *stacks, const struct task *task, size_t bytes);
void rh_task_shrink_gc(struct rh_stack_lane *lane, struct task *task);

static inline size_t task_stack_bytes(const struct rh_stacks *stacks, const struct task *task)
{
	rh_debug_assert(task->frames.hi > task->frames.guard);
	return task->frames.hi - task->frames.guard + stacks->guard_bytes;
}

/* stats.c */
void rh_stack_counters_add(struct stack_counters *sum, const struct stack_counters *n);
void rh_stack_sizes_add(struct stack_sizes *sum, const struct stack_sizes *sizes);
void rh_pools_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx);
void rh_pools_locks(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx);

extern const struct rh_lock_class rh_stackpool_class, rh_stacklarge_class, rh_stackpages_class,
	rh_gfree_class, rh_alltasks_class, rh_stop_the_world_class;

#endif
