/*
 * drawn.h - sampling by bytes: which blocks are recorded (drawn.c, gap.h).
 *
 * While a recording samples, the word that every call checks anyway (shim_sleep.asleep) is
 * RH_ASIDE_SAMPLING, and calls come here. A birth subtracts its bytes from the distance to the
 * thread's next hit: two instructions and a branch. A death reads one byte: how many drawn
 * blocks live in the same of 65536 places; usually 0, and then nothing more is done.
 *
 *	  count[place]	    slot[place]
 *	+--+--+--+--+--	  +---------+---------+-- 16 slots
 *	| 0| 2| 0| 1|  ->  | address | address |
 *	+--+--+--+--+--	  +---------+---------+--
 *
 * A block is inserted before its program gets it and removed by the thread that frees it,
 * before the real free: an address is present at most once, and a thread that looks for it got
 * the pointer after the insertion. No lock; blocks that do not fit into the 16 slots of a place
 * are not drawn, but counted.
 *
 * Thread rule: any thread. Errors: none.
 */
#ifndef RH_RECORD_DRAWN_H
#define RH_RECORD_DRAWN_H

#include "traces/record/shim/shim.h"

#pragma GCC visibility push(hidden)

enum { SHIM_PLACES = 65536, SHIM_PLACE_SLOTS = 16 };

struct shim_drawn {
	_Atomic uint8_t count[SHIM_PLACES];
	_Atomic uint64_t slot[SHIM_PLACES][SHIM_PLACE_SLOTS];
};
/* NULL: this process has never sampled. A forked child finds it empty. */
extern struct shim_drawn *shim_drawn;

struct shim_draw {
	uint64_t left;	/* bytes to pass over before the next hit */
	uint64_t state; /* of the random numbers; 0 = none drawn yet */
};
extern __thread struct shim_draw shim_draw;

static inline uint32_t shim_place(uint64_t address)
{
	return (uint32_t)(address * 0x9e3779b97f4a7c15u >> 48);
}

/* A hit: inserts the block and draws the next gap. False: it is not to be recorded. */
bool shim_draw_hit(const void *block, uint64_t size);
/* Removes it; false: it was not in. */
bool shim_draw_out(const void *block);
bool shim_draw_in(const void *block);
bool shim_draw_has(const void *block);
/* In a forked child: starts its own random numbers. */
void shim_draw_anew(void);
/* Before the first draw; false: no memory for it. */
bool shim_draw_ready(void);
/* A record of a block that is in the sample. */
void shim_put_drawn(uint32_t what, const void *block, uint64_t size, struct shim_from from);

/* Is a block just born in the sample? Failed births are not. */
static inline __attribute__((always_inline)) bool shim_draws(const void *block, uint64_t size)
{
	size += size == 0; /* an empty block counts as one byte */
	if (SHIM_LIKELY(shim_draw.left >= size)) {
		shim_draw.left -= size;
		return false;
	}
	return shim_draw_hit(block, size);
}

/* May a block be in the sample? */
static inline __attribute__((always_inline)) bool shim_may_be_drawn(const void *block)
{
	return atomic_load_explicit(&shim_drawn->count[shim_place((uintptr_t)block)],
				    memory_order_relaxed) != 0;
}

#pragma GCC visibility pop

#endif
