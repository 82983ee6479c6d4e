/*
 * codec_layout.h - what encode.c and decode.c must agree on: the first byte of an operation, the
 * sections of a block and the worst that an event can take in each. FORMAT.md describes every byte.
 *
 * Private to the two; codec.h is the interface.
 */
#ifndef RH_CODEC_LAYOUT_H
#define RH_CODEC_LAYOUT_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "traces/format/codec.h"

/* First byte of an operation. */
enum op {
	OP_FREE = 0,	      /* + rank, 0..111 */
	OP_FREE_OLD = 112,    /* varint rank - 112 */
	OP_GENERAL = 113,     /* kind, then the fields of its row */
	OP_RESIZE = 114,      /* varint rank, varint size; no flags */
	OP_ALLOC_FLAGS = 115, /* byte flags, varint size; no alignment */
	OP_USABLE = 116,      /* varint rank */
	OP_FREE_SIZED = 117,  /* varint rank, varint size */
	OP_ALLOC_WORDS = 118, /* byte flags, varint size; aligned to 8 bytes, as Go's */
	OP_ALLOC = 128,	      /* + size, 0..99 */
	OP_ALLOC_TWO = 228,   /* + high byte of size - 100; low byte follows */
	OP_ALLOC_BIG = 252,   /* varint size - 6244 */
	RANK_YOUNG = OP_FREE_OLD,
	SIZE_ONE = OP_ALLOC_TWO - OP_ALLOC,
	SIZE_TWO = SIZE_ONE + (OP_ALLOC_BIG - OP_ALLOC_TWO) * 256,
};

enum { WORD_ALIGN_LOG2 = 3 };

/* Columns of a block. Operations and lanes are in every trace, the others when the source knew
 * them. */
enum section { OPS, LANES, TIMES, TASKS, SITES, ARGS };

/* Worst bytes per event. OPS: 2 + rank 10 + size 10 + align 1 + flags 3. */
static const unsigned section_worst[RH_SECTIONS] = { 26, 10, 10, 10, 5, 10 };
/* The column that a section is there for; 0 = always. */
static const unsigned section_column[RH_SECTIONS] = {
	0, 0, RH_COL_TIME, RH_COL_TASK, RH_COL_SITE, RH_COL_ARG,
};
/* Beside the events: last runs and the section lengths. */
enum { SECTION_SLACK = 64 };
_Static_assert((26 + 10 + 10 + 10 + 5 + 10) * RH_BLOCK_EVENTS + 7 * SECTION_SLACK <
		       RH_BLOCK_BYTES_MAX,
	       "the worst block fits");

/* Signed differences as unsigned ones: 0, -1, 1, -2 become 0, 1, 2, 3, so that small ones of either
 * sign stay one byte. */
static inline uint64_t unzigzag(uint64_t value)
{
	return value >> 1 ^ (0 - (value & 1));
}

static inline uint64_t zigzag(uint64_t delta)
{
	return delta << 1 ^ (0 - (delta >> 63));
}

static inline bool has_section(unsigned columns, int section)
{
	return !section_column[section] || columns & section_column[section];
}

/* A lane's last task can be kept: room grows by doubling. */
static inline bool tasks_reach(struct rh_lane_tasks *tasks, uint32_t lane)
{
	size_t cap = tasks->cap;
	void *p;

	if (lane < cap)
		return true;
	while (cap <= lane)
		cap = cap ? cap * 2 : 64;
	p = realloc(tasks->task, cap * sizeof(*tasks->task));
	if (!p)
		return false;
	tasks->task = p;
	/* RH_TASK_NONE: a lane begins without a task. */
	memset(tasks->task + tasks->cap, 0xff, (cap - tasks->cap) * sizeof(*tasks->task));
	tasks->cap = cap;
	assert(lane < tasks->cap);
	return true;
}

#endif
