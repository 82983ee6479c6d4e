/*
 * out.h - ops on their way into the program file.
 *
 * While an epoch lasts, every lane collects its words in memory. Whether an event must be
 * published is known only when a later event waits for it, so PUBLISH ops are put
 * in when the epoch ends: rh_out_wait() notes the position waited for, rh_out_epoch()
 * merges the noted positions into the lane's words, numbers them and fills the numbers into
 * the WAIT ops. Positions count words of the lane within the epoch, before that merge.
 *
 *   epoch in memory:  lane 0 words | lane 1 words | ...      notes: waits, publishes, cuts
 *   spool file:       block per epoch: [head | cuts | words by lane | lane 0 | lane 1 ...]
 *   program file:     head | lanes | grain table | grain facts | lane 0 of all epochs | ...
 *
 * The spool exists because lengths of lanes are known only at the end, and copying 8
 * bytes an event costs a tenth of decoding the trace a second time to count first.
 * Memory: one epoch of ops, 4 bytes x lanes a grain of the epoch, 48 bytes a grain.
 *
 * Thread rule: one thread. Errors: RH_OS, RH_IO (full disk), RH_CANT_CREATE.
 */
#ifndef RH_COMPILE_OUT_H
#define RH_COMPILE_OUT_H

#include <stdint.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "harness/compile/program.h"

/* One event becomes at most this many words: turn 2, waits 3, paces 4, op 4, touch 1. */
enum { RH_EVENT_WORDS_MAX = 16, RH_EVENT_PACES_MAX = 4 };

struct rh_out_lane {
	struct rh_op *words;
	uint32_t count, cap;
	uint32_t *publishes; /* positions, unordered, with duplicates */
	uint32_t publish_count, publish_cap;
	uint64_t published; /* by earlier epochs */
	uint64_t words_total, events;
	uint64_t waits;
	uint32_t turns;
	/* the last question about a usable size: the lane's events with it, and the slot */
	uint64_t asked_events;
	uint32_t asked_slot;
};

struct rh_out_note {
	uint32_t lane, at, source, position;
}; /* a WAIT without its number */

struct rh_out {
	int spool; /* -1: only edges are wanted */
	uint64_t spool_bytes;
	struct rh_out_lane *lanes;
	uint32_t lane_count;
	uint32_t stride; /* lanes that fit in a row of cuts */
	struct rh_out_note *notes;
	uint32_t note_count, note_cap;
	uint32_t *cuts;		      /* cut x stride: position of each lane at each cut */
	uint32_t cut_count, cuts_max; /* in this epoch */
	struct rh_grain *grains;
	uint64_t grain_count, grain_cap;
	uint8_t *stage;
	uint32_t staged;
	uint64_t publishes, waits; /* of all lanes and epochs */
};

/* spool: a work file of its own, or -1. cuts_max: grains in an epoch. */
int rh_out_open(struct rh_out *out, int spool, uint32_t cuts_max, struct rh_err *err);
void rh_out_close(struct rh_out *out);
int rh_out_lanes(struct rh_out *out, uint32_t lanes, struct rh_err *err);

int rh_out_room(struct rh_out_lane *lane, struct rh_err *err);
/* Makes room for one event's words. */
static inline int rh_out_begin(struct rh_out *out, uint32_t lane, struct rh_err *err)
{
	struct rh_out_lane *to = &out->lanes[lane];

	rh_debug_assert(lane < out->lane_count);
	return to->cap - to->count < RH_EVENT_WORDS_MAX ? rh_out_room(to, err) : 0;
}

static inline void rh_out_op(struct rh_out_lane *to, uint32_t kind, uint32_t slot, uint32_t size)
{
	rh_debug_assert(to->count < to->cap && slot <= RH_SLOTS_MAX);
	to->words[to->count++] = (struct rh_op){ RH_OP_WHAT(kind, slot), size };
}

static inline void rh_out_word(struct rh_out_lane *to, uint64_t word)
{
	rh_debug_assert(to->count < to->cap);
	memcpy(&to->words[to->count++], &word, sizeof(word));
}

/* The lane waits here until source has reached position. */
int rh_out_wait(struct rh_out *out, uint32_t lane, uint32_t source, uint32_t position,
		struct rh_err *err);

/* The grain ends here, with these facts. */
int rh_out_cut(struct rh_out *out, const struct rh_grain *facts, struct rh_err *err);
/* The epoch ends here; a cut has just been made. */
int rh_out_epoch(struct rh_out *out, struct rh_err *err);

/* Writes the program into fd, with every `merge` grains merged into one. Fills the fields of head
 * that follow from the collected ops; the caller fills the rest. */
int rh_out_finish(struct rh_out *out, int fd, uint32_t merge, struct rh_program_head *head,
		  struct rh_err *err);

#endif
