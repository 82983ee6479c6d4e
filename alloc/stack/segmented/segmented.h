/*
 * segmented.h - what the two files of segmented stacks share: segmented.c (tasks, calls, hot
 * splits) and ring.c (where segments come from). Not for others.
 *
 * Thread rule: a lane's fields are its own; lists of rh_stacks are under their locks.
 */
#ifndef RH_SEGMENTED_H
#define RH_SEGMENTED_H

#include "alloc/registry.h"
#include "alloc/stack/frames.h"
#include "alloc/stack/tally.h"

struct segmented_profile {
	uint32_t fixed_bytes, extra_bytes, top_bytes;
	bool copies;
	bool unbounded; /* a lane keeps every segment: no ring, no batches (1.0) */
};

/* clang-format off: one a line would be a page */
enum {
	GUARD_BYTES = 256,
	RING = 32,
	BATCH = 16,
	DEAD_MAX = 64,
	DEAD_KEEP = 31,
	ARGS_BYTES = 32,
	RESULTS_BYTES = 16,
	BLOCK_BYTES = 65536,
};

/* What is counted; the enum and the names come from one table. */
#define SEGMENTED_ROWS(X)                                               \
	X(SPAWNS, "segmented.spawn", "count")                           \
	X(EXITS, "segmented.exit", "count")                             \
	X(MORESTACKS, "segmented.morestack", "count")                   \
	X(LESSSTACKS, "segmented.lessstack", "count")                   \
	X(RING_HITS, "segmented.ring_hits", "count")                    \
	X(REFILLS, "segmented.ring_refills", "count")                   \
	X(FROM_SYSTEM, "segmented.from_system", "bytes")                \
	X(FROM_HEAP, "segmented.from_heap", "count")                    \
	X(ARGS_COPIED, "segmented.arguments_copied", "bytes")           \
	X(COPIED_BYTES, "segmented.copy.bytes", "bytes")                \
	X(COPIED_POINTERS, "segmented.copy.pointers_adjusted", "count") \
	X(RESERVED, "stacks.reserved", "bytes")                         \
	X(REFUSED, "segmented.refused", "count")                        \
	X(OVERFLOWS, "segmented.overflows", "count")
#define ROW_INDEX(index, name, unit) index,
#define ROW_NAME(index, name, unit)  { name, unit },
enum { SEGMENTED_ROWS(ROW_INDEX) };
/* clang-format on */
_Static_assert((int)OVERFLOWS < (int)RH_TALLY_MAX, "every row has its count");

_Static_assert(RING == 2 * (int)BATCH, "a full ring gives half");
_Static_assert((int)DEAD_KEEP < (int)DEAD_MAX, "and so does a full list of the dead");

/* At the top of every segment. */
struct stktop {
	struct rh_frames saved; /* of the segment before */
	uintptr_t base;
	size_t bytes;
	struct stktop *previous;
};
_Static_assert(sizeof(struct stktop) <= 80, "fits the least of the profiles");

struct task {
	struct rh_frames frames;
	struct stktop *top; /* of the segment in use; NULL = has no stack */
	size_t bytes;	    /* of all segments */
	struct task *next;
};

/* Memory from the system, for close. */
struct block {
	struct block *next;
	size_t bytes;
};

/* 16 free segments: the first holds the addresses of the others. */
struct batch {
	struct batch *next;
	void *others[BATCH - 1];
};

struct rh_stacks {
	const struct segmented_profile *profile;
	const struct rh_backend *ops;
	uint64_t max;
	struct rh_lock cache_lock; /* batches, blocks */
	struct batch *batches;
	struct block *blocks;
	struct rh_lock dead_lock;
	struct task *dead;
	struct rh_tally tally;
};

struct rh_stack_lane {
	struct rh_stacks *stacks;
	struct rh_lane *heap;
	struct task *dead;
	uint32_t dead_count, ring_count;
	struct batch *kept; /* 1.0: all of its free segments */
	void *ring[RING];
	struct task *fresh, *fresh_end; /* new tasks are cut from it */
	struct rh_tally_lane tally;
};

/* ring.c: a segment of that many bytes with its stktop filled; NULL = none to be had, counted. */
struct stktop *rh_segment_take(struct rh_stack_lane *lane, size_t bytes);
/* Gives a segment back. */
void rh_segment_give(struct rh_stack_lane *lane, struct stktop *top);
/* A whole block of the system for tasks; cache lock held; its first 16 bytes are the link. */
void *rh_segmented_map(struct rh_stacks *stacks, size_t bytes);
/* Sixteen segments of a full ring go to the global list. */
void rh_ring_release(struct rh_stack_lane *lane);

#endif
