/*
 * program.h - a trace compiled for replay: written by compile.c, mapped by workers, walked by
 * the hot loop. A program is one file, mapped and shared by every worker, so a trace of 10^9
 * events costs page cache, not harness memory.
 *
 * file:  header | lane table | grain table | grain facts | ops of lane 0 | ops of lane 1 | ...
 *        each part page-aligned; offsets in the header; all numbers native-endian (a program
 *        lives as long as a run and never leaves the machine).
 *
 * Words. Objects become *slots*: indices into a table of pointers, dense and reused
 * only where the order of replay allows it (freed earlier on the same lane, or before
 * the last barrier). A *grain* is a stretch of about grain_events events between two
 * cuts of the recorded total order; cuts are legal barriers, so any run of grains can be
 * a segment. An *epoch* is epoch_grains grains: replay puts a barrier at least there, so the
 * compiler can reuse slots across lanes, and lanes cannot drift apart.
 *
 * Lanes of a program are replay threads. One carries one or more lanes of the trace,
 * one after another where they do not overlap ("as recorded"), or merged in recorded
 * order when folded onto N. A TURN marks the start of a new trace lane on it.
 *
 * Ops: 8 bytes, in the order of the lane. kind in the low 4 bits of `what`, slot (or
 * lane, or sub-kind) in the high 28, `size` as the row says. Some are followed by one or
 * more words of 8 bytes (marked +n).
 *
 *	FREE       slot, size		size is what was last asked for; see FREE_BIG
 *	ALLOC      slot, size		plain malloc(size)
 *	NOSCAN     slot, size		alloc_as(size, 0, NOSCAN)
 *	ZALLOC     slot, size		alloc_as(size, 0, ZEROED)
 *	RESIZE +1  slot, size new	word: size old
 *	ALLOC_AS +1 slot, flags | align_log2 << 8	word: size (64 bit)
 *	WAIT       lane, count		go on when that lane has published count
 *	PUBLISH    -, count		this lane has done everything before; count rises by 1
 *	CALL       task, frame bytes
 *	RETURN     task, frame bytes
 *	SPAWN      task, stack bytes
 *	EXIT       task
 *	PACE       -, gap ns		recorded time since the previous PACE or start of lane
 *					(compiled in only for --pace); UINT32_MAX saturates
 *	TOUCH      slot, bytes		touch the first bytes of a block (--touch recorded)
 *	MISC +n    sub-kind, n		rare: see enum rh_misc; n words follow
 *	FREE_SIZED slot, size		as FREE, where the program gave the size too; with
 *					RH_FREE_DELETE: by delete of C++, without a size
 *
 * Every op but WAIT, PUBLISH, PACE, TOUCH and MISC_TOUCH is one event of the trace (lane_start,
 * lane_stop, join, mark, ref and gap have no op; they still count in grain facts).
 */
#ifndef RH_PROGRAM_H
#define RH_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/err.h"

enum rh_op_kind {
	RH_OP_FREE,
	RH_OP_ALLOC,
	RH_OP_NOSCAN,
	RH_OP_ZALLOC,
	RH_OP_RESIZE,
	RH_OP_ALLOC_AS,
	RH_OP_WAIT,
	RH_OP_PUBLISH,
	RH_OP_CALL,
	RH_OP_RETURN,
	RH_OP_SPAWN,
	RH_OP_EXIT,
	RH_OP_PACE,
	RH_OP_TOUCH,
	RH_OP_MISC,
	RH_OP_FREE_SIZED, /* rare ones last: the loop finds them by one comparison */
	RH_OP_COUNT
};

enum rh_misc {
	RH_MISC_FREE_BIG,   /* words: slot, size */
	RH_MISC_RESIZE_BIG, /* words: slot, size new, size old */
	RH_MISC_GROW,	    /* words: task, stack bytes, used bytes (RH_NONE unknown) */
	RH_MISC_SHRINK,	    /* words: task, stack bytes, used bytes */
	RH_MISC_GC_BEGIN,   /* words: cycle */
	RH_MISC_GC_END,	    /* words: cycle */
	RH_MISC_TURN,	    /* words: trace lane that begins here */
	RH_MISC_USABLE,	    /* words: slot, size last asked for */
	RH_MISC_TOUCH,	    /* words: slot, first byte, end: what is new of a large block */
	/* words as for RESIZE_BIG: a block grows just after the program asked for its usable size.
	 * The program would not resize if that were enough, so the lane does not either: redis'
	 * listpacks make 14,400 reallocs under jemalloc and 23,300 under libc. */
	RH_MISC_RESIZE_ASKED,
	RH_MISC_FREE_NULL, /* words: 0 */
};

/* Blocks of this size and more are touched by MISC_TOUCH and not by the loop, so that the bytes
 * written to them are bounded: rh_compile_stats.untouched. */
enum { RH_TOUCH_LARGE_BYTES = 64 << 10 };

struct rh_op {
	uint32_t what;
	uint32_t size;
};
_Static_assert(sizeof(struct rh_op) == 8, "eight ops in a cache line: 0.125 misses per op");

enum { RH_OP_KIND_BITS = 4, RH_SLOTS_MAX = (1 << 28) - 1 };
#define RH_OP_KIND(what)       ((what)&15u)
#define RH_OP_SLOT(what)       ((what) >> 4)
#define RH_OP_WHAT(kind, slot) ((uint32_t)(kind) | (uint32_t)(slot) << 4)
_Static_assert(RH_OP_COUNT <= 1 << RH_OP_KIND_BITS, "a kind fits an op");
_Static_assert(RH_SLOTS_MAX >> (32 - RH_OP_KIND_BITS) == 0, "a slot fits an op");

/* In the size of a FREE_SIZED; blocks of 2 GiB and more die by FREE. */
#define RH_FREE_DELETE (1u << 31)

/* Larger blocks of operator new are made by malloc. */
#define RH_NEW_BYTES_MAX ((uint64_t)1 << 30)

enum { RH_PROGRAM_VERSION = 5 };
#define RH_PROGRAM_MAGIC 0x6d72676f72706872ull

struct rh_program_head {
	uint64_t magic;
	uint32_t version;
	uint32_t lanes;		 /* replay lanes */
	uint32_t lanes_recorded; /* lanes of the trace */
	uint32_t grains;
	uint32_t epoch_grains;
	uint32_t slots, task_slots;
	uint32_t paced, touched; /* PACE / TOUCH ops are in */
	uint32_t stacks_grow;	 /* GROW ops are in: spawn requests only a first size */
	uint32_t pad;
	uint64_t bytes; /* of the file */
	uint64_t events, objects, tasks;
	uint64_t size_max;
	uint64_t live_bytes_peak, live_objects_peak, live_bytes_end, live_objects_end;
	uint64_t time_ns_last;			       /* RH_NONE without times */
	uint64_t lane_table, grain_table, grain_facts; /* offsets */
	char trace_sha256[65];
	char trace_path[1024];
};

struct rh_program_lane {
	uint64_t ops_offset; /* of the first op in the file */
	uint64_t op_words;   /* ops and their extra words */
	uint64_t events;
	uint32_t publishes, waits;
	uint32_t turns; /* trace lanes carried */
	uint32_t pad;
};
_Static_assert(sizeof(struct rh_program_lane) % 8 == 0, "words of a lane stay aligned");

/* grain_table[g * lanes + l]: index in words, from the lane's first op, where grain g starts
 * on lane l; g runs 0..grains inclusive (the last row is the end). */
/* grain_facts[g]: what holds at the end of grain g. */
struct rh_grain {
	uint64_t events; /* in this grain, all lanes */
	uint64_t live_bytes, live_objects, live_tasks;
	uint64_t time_ns;	  /* of its last event; RH_NONE */
	uint64_t bytes_allocated; /* asked for in this grain */
	uint64_t stack_bytes;	  /* of frames that were called and have not returned */
	uint64_t spawns, calls;	  /* in this grain */
};

struct rh_program {
	int fd;
	const uint8_t *base;
	const struct rh_program_head *head;
	const struct rh_program_lane *lanes;
	const uint64_t *grain_table;
	const struct rh_grain *grain_facts;
};

static inline const struct rh_op *rh_program_ops(const struct rh_program *program, uint32_t lane)
{
	rh_debug_assert(lane < program->head->lanes);
	return (const struct rh_op *)(program->base + program->lanes[lane].ops_offset);
}

/* Maps a program from an open file and checks every offset, count and op stream bound that
 * the hot loop relies on (kinds, slots, word counts): a damaged program is RH_BAD_DATA here
 * and never a wild access later. Takes the fd. */
int rh_program_map(struct rh_program *program, int fd, struct rh_err *err);
void rh_program_unmap(struct rh_program *program);

#endif
