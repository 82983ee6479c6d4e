/*
 * frames.h - synthetic frames: what a task has on its stack, with real pointers.
 *
 * A call of n bytes writes what a compiled function would: a return address, the saved
 * frame pointer, pointers into the stack, a pointer that leaves it, and in every eighth
 * frame a defer record. So moving a stack costs what it costs a runtime: find every
 * pointer, adjust those that point into the old place, leave the others.
 *
 *	hi ->	+----------------------+
 *		| return address       | of the first frame: nobody is returned to
 *		| 0                    |
 *		+----------------------+
 *		| return address       | points to the frame's row in rh_frame_kinds, as a
 *	fp ->	| saved frame pointer  | runtime finds a frame's map by it
 *		| fp itself            | -1  a pointer to a local
 *		| caller's fp          | -2  a pointer to a local of the caller
 *		| struct rh_frames     | -3  a pointer that is not into the stack
 *		|                      |
 *		| fp                   | -5  defer record: whose it is,
 *		| next defer record    | -6  and the one before it
 *		| ...                  |     the frame's other locals, never touched
 *	sp ->	+----------------------+
 *		| free, down to lo     |
 *
 * Frames of 48 bytes and more have the three pointers, of 80 and more can have a defer
 * record. All sizes are rounded up to 16.
 *
 * Whether a frame fits goes by Go's rule: up to 128 bytes may be taken below the guard
 * without looking, so a small frame needs sp above the guard alone.
 *
 * Thread rule: the owner of the task.
 */
#ifndef RH_STACK_FRAMES_H
#define RH_STACK_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/err.h"

/* A frame's map: which of its words point into the stack. */
struct rh_frame_kind {
	uint32_t bytes_least;
	uint32_t slots; /* words below fp that are looked at */
	bool defers;
};

enum { RH_FRAME_FIRST, RH_FRAME_LEAF, RH_FRAME_PLAIN, RH_FRAME_DEFER, RH_FRAME_KINDS };
extern const struct rh_frame_kind rh_frame_kinds[RH_FRAME_KINDS];

enum {
	RH_FRAME_HEAD = 16, /* return address and saved frame pointer */
	RH_FRAME_PLAIN_LEAST = 48,
	RH_FRAME_DEFER_LEAST = 80,
	RH_FRAME_DEFER_EVERY = 8,
	RH_STACK_SMALL = 128, /* what may be taken below the guard unasked */
};

/* A task's stack pointers; 48 bytes, so that a task with its two links is one cache line. */
struct rh_frames {
	uintptr_t hi;	 /* end of the stack */
	uintptr_t guard; /* lo plus what is kept free below */
	uintptr_t sp, fp;
	uintptr_t defer; /* innermost defer record, 0 = none */
	uint32_t tag;	 /* the owner's; see rh_frames_start */
	uint32_t depth;	 /* frames but the first */
};

_Static_assert(sizeof(struct rh_frames) == 48, "a task and its two links are one line");
_Static_assert(RH_FRAME_PLAIN_LEAST >= RH_FRAME_HEAD + 3 * 8, "room for three pointers");
_Static_assert(RH_FRAME_DEFER_LEAST >= RH_FRAME_HEAD + 6 * 8, "and for a defer record");

/* What a move did. */
struct rh_frames_cost {
	uint64_t bytes, frames, pointers;
};

static inline size_t rh_frame_bytes(size_t asked)
{
	return asked <= RH_FRAME_HEAD ? RH_FRAME_HEAD : (asked + 15) & ~(size_t)15;
}

static inline size_t rh_frames_used(const struct rh_frames *f)
{
	return f->hi - f->sp;
}

/* hi and guard are set. Writes the first frame: one line of the stack. */
static inline void rh_frames_start(struct rh_frames *f, uint32_t tag)
{
	uintptr_t *top = (uintptr_t *)f->hi - 2;

	rh_debug_assert(f->hi % 8 == 0 && f->hi > f->guard);
	top[0] = 0;
	top[1] = (uintptr_t)&rh_frame_kinds[RH_FRAME_FIRST];
	f->sp = f->fp = (uintptr_t)top;
	f->defer = 0;
	f->tag = tag;
	f->depth = 0;
}

/* bytes as of rh_frame_bytes. */
static inline bool rh_frames_fit(const struct rh_frames *f, size_t bytes)
{
	return bytes <= RH_STACK_SMALL ? f->sp > f->guard
				       : f->sp > f->guard + (bytes - RH_STACK_SMALL);
}

static inline void rh_frames_push(struct rh_frames *f, size_t bytes)
{
	uintptr_t *fp = (uintptr_t *)(f->sp - RH_FRAME_HEAD);
	unsigned kind = RH_FRAME_LEAF;

	rh_debug_assert(bytes % 16 == 0 && rh_frames_fit(f, bytes));
	if (bytes >= RH_FRAME_PLAIN_LEAST) {
		kind = RH_FRAME_PLAIN;
		fp[-1] = (uintptr_t)fp;
		fp[-2] = f->fp;
		fp[-3] = (uintptr_t)f;
		if (f->depth % RH_FRAME_DEFER_EVERY == 0 && bytes >= RH_FRAME_DEFER_LEAST) {
			kind = RH_FRAME_DEFER;
			fp[-5] = (uintptr_t)fp;
			fp[-6] = f->defer;
			f->defer = (uintptr_t)&fp[-6];
		}
	}
	fp[1] = (uintptr_t)&rh_frame_kinds[kind];
	fp[0] = f->fp;
	f->fp = (uintptr_t)fp;
	f->sp -= bytes;
	f->depth++;
}

/* False when only the first frame is left: the trace returns more often than it calls. */
static inline bool rh_frames_pop(struct rh_frames *f)
{
	const uintptr_t *fp = (const uintptr_t *)f->fp;

	if (f->depth == 0)
		return false;
	f->depth--;
	f->sp = (uintptr_t)fp + RH_FRAME_HEAD;
	f->fp = fp[0];
	rh_debug_assert(f->fp >= f->sp);
	if (f->defer && f->defer < f->sp)
		f->defer = *(const uintptr_t *)f->defer;
	return true;
}

/* Moves everything in use to end at hi and adjusts every pointer; the new place has room
 * and does not overlap the old. The caller sets the guard. */
void rh_frames_move(struct rh_frames *f, uintptr_t hi, struct rh_frames_cost *cost);

/* Frames of 256 bytes until `used` bytes are in use, as far as they fit: what a trace that
 * has no calls says of a stack. */
void rh_frames_fill(struct rh_frames *f, size_t used);

/* Every word a frame or defer record holds is what it must be; `self` is the struct the
 * frames were pushed through. 0 or -1 with the sentence. */
int rh_frames_verify(const struct rh_frames *f, uintptr_t lo, const struct rh_frames *self,
		     struct rh_err *err);

#endif
