/*
 * frames.c - moving a stack and proving it right; the layout is drawn in frames.h.
 *
 * A move is one copy and two walks: along the defer chain, where each record names its
 * frame, and along the frames from the innermost to the first, by their saved frame
 * pointers, each by the map its return address leads to.
 */
#include "alloc/stack/frames.h"

#include <string.h>

#include "alloc/base/debug.h"

/* The address of a row is the return address, so one load finds the map: cheaper than
 * Go's search in pclntab, hence the walk here is a lower bound for a real one. */
const struct rh_frame_kind rh_frame_kinds[RH_FRAME_KINDS] = {
	[RH_FRAME_FIRST] = { .bytes_least = RH_FRAME_HEAD },
	[RH_FRAME_LEAF] = { .bytes_least = RH_FRAME_HEAD },
	[RH_FRAME_PLAIN] = { .bytes_least = RH_FRAME_PLAIN_LEAST, .slots = 3 },
	[RH_FRAME_DEFER] = { .bytes_least = RH_FRAME_DEFER_LEAST, .slots = 3, .defers = true },
};

/* The old place of the bytes in use, and how far they went. */
struct shift {
	uintptr_t from, bytes, delta;
	uint64_t adjusted;
};

static inline void adjust(struct shift *shift, uintptr_t *word)
{
	/* One comparison for both ends: below the old place the difference wraps to a
	 * large number. Pointers out of the stack stay. */
	if (*word - shift->from >= shift->bytes)
		return;
	*word += shift->delta;
	shift->adjusted++;
}

static void adjust_defers(struct shift *shift, uintptr_t *head)
{
	uintptr_t *link = head;

	while (*link) {
		uintptr_t *record;

		/* The head lies in the task, the other links in the records, which
		 * have moved already: both are words that hold an old address. */
		adjust(shift, link);
		record = (uintptr_t *)*link;
		adjust(shift, &record[1]);
		link = record;
	}
}

static uint64_t adjust_frames(struct shift *shift, uintptr_t *fp)
{
	uint64_t frames = 0;

	/* Innermost first, as a runtime must: only the saved frame pointers lead from
	 * frame to frame. */
	for (;;) {
		const struct rh_frame_kind *kind = (const struct rh_frame_kind *)fp[1];

		rh_debug_assert(kind >= rh_frame_kinds && kind < rh_frame_kinds + RH_FRAME_KINDS);
		for (uint32_t slot = 1; slot <= kind->slots; slot++)
			adjust(shift, fp - slot);
		frames++;
		/* The first frame has no caller. */
		if (!fp[0])
			return frames;
		adjust(shift, &fp[0]);
		fp = (uintptr_t *)fp[0];
	}
}

void rh_frames_move(struct rh_frames *f, uintptr_t hi, struct rh_frames_cost *cost)
{
	struct shift shift = { .from = f->sp, .bytes = f->hi - f->sp, .delta = hi - f->hi };

	rh_debug_assert(f->sp <= f->fp && f->fp < f->hi);
	/* Aligned to the end: stacks grow downwards, so what is free lies below in
	 * both places. */
	memcpy((void *)(hi - shift.bytes), (const void *)f->sp, shift.bytes);
	f->hi = hi;
	f->sp += shift.delta;
	f->fp += shift.delta;
	adjust_defers(&shift, &f->defer);
	cost->frames += adjust_frames(&shift, (uintptr_t *)f->fp);
	cost->bytes += shift.bytes;
	cost->pointers += shift.adjusted;
	rh_debug_assert(rh_frames_used(f) == shift.bytes);
	rh_debug_assert(rh_frames_verify(f, 0, f, NULL) == 0);
}

void rh_frames_fill(struct rh_frames *f, size_t used)
{
	enum { FILLER_BYTES = 256 };

	/* 256 bytes are a typical frame of Go code, so that a fill has as many
	 * pointers to adjust as calls would have left. */
	while (rh_frames_used(f) + FILLER_BYTES <= used && rh_frames_fit(f, FILLER_BYTES))
		rh_frames_push(f, FILLER_BYTES);
}

/* ---- proof ---- */

/* Where the walk stands. */
struct walk {
	const struct rh_frames *f, *self;
	const uintptr_t *fp; /* the frame that is looked at */
	uintptr_t low;	     /* its lowest byte */
	uintptr_t defer;     /* the next record that a frame must own */
	uint32_t depth;	     /* frames still to come */
};

/* Where, what is there and what must be: without the three a broken move can only be
 * guessed at. */
static int wrong(const struct walk *walk, const char *what, uintptr_t is, uintptr_t must,
		 struct rh_err *err)
{
	return rh_fail(err, RH_FAILED,
		       "stack ending at %#lx: frame at %#lx, %u from the first: %s is %#lx and "
		       "must be %#lx",
		       (unsigned long)walk->f->hi, (unsigned long)walk->fp, walk->depth, what,
		       (unsigned long)is, (unsigned long)must);
}

static int verify_slots(struct walk *walk, const struct rh_frame_kind *kind, struct rh_err *err)
{
	const uintptr_t *fp = walk->fp;

	if (fp[-1] != (uintptr_t)fp)
		return wrong(walk, "the pointer to its local", fp[-1], (uintptr_t)fp, err);
	if (fp[-2] != fp[0])
		return wrong(walk, "the pointer into its caller", fp[-2], fp[0], err);
	/* The pointer that must not be adjusted: it is what catches a move that
	 * adjusts too much. */
	if (fp[-3] != (uintptr_t)walk->self)
		return wrong(walk, "the pointer out of the stack", fp[-3], (uintptr_t)walk->self,
			     err);
	if (!kind->defers)
		return 0;
	if (walk->defer != (uintptr_t)&fp[-6])
		return wrong(walk, "its defer record in the chain", walk->defer, (uintptr_t)&fp[-6],
			     err);
	if (fp[-5] != (uintptr_t)fp)
		return wrong(walk, "the frame of its defer record", fp[-5], (uintptr_t)fp, err);
	walk->defer = fp[-6];
	return 0;
}

/* Leaves walk->low at the end of the frame, which is where its caller's begins. */
static int verify_frame(struct walk *walk, struct rh_err *err)
{
	const uintptr_t *fp = walk->fp;
	const struct rh_frame_kind *kind = (const struct rh_frame_kind *)fp[1];
	uintptr_t end = (uintptr_t)fp + RH_FRAME_HEAD;

	/* Before it is followed: a stack that was overwritten must yield a sentence
	 * and no crash. */
	if (kind < rh_frame_kinds || kind >= rh_frame_kinds + RH_FRAME_KINDS ||
	    ((uintptr_t)kind - (uintptr_t)rh_frame_kinds) % sizeof(*kind))
		return wrong(walk, "the return address", fp[1], (uintptr_t)rh_frame_kinds, err);
	if ((kind == &rh_frame_kinds[RH_FRAME_FIRST]) != (walk->depth == 0))
		return wrong(walk, "the count of frames", walk->f->depth,
			     walk->f->depth - walk->depth, err);
	if (end - walk->low < kind->bytes_least)
		return wrong(walk, "its size", end - walk->low, kind->bytes_least, err);
	if (kind->slots && verify_slots(walk, kind, err) < 0)
		return -1;
	walk->low = end;
	return 0;
}

int rh_frames_verify(const struct rh_frames *f, uintptr_t lo, const struct rh_frames *self,
		     struct rh_err *err)
{
	struct walk walk = {
		.f = f, .self = self, .low = f->sp, .defer = f->defer, .depth = f->depth
	};
	uintptr_t at = f->fp;

	if (f->sp < lo || f->sp >= f->hi)
		return rh_fail(err, RH_FAILED, "stack %#lx to %#lx: its pointer is %#lx",
			       (unsigned long)lo, (unsigned long)f->hi, (unsigned long)f->sp);
	for (;;) {
		walk.fp = (const uintptr_t *)at;
		/* Frame pointers only rise; a circle would otherwise never end. */
		if (at < walk.low || at > f->hi - RH_FRAME_HEAD || at % 8)
			return wrong(&walk, "its place", at, walk.low, err);
		if (verify_frame(&walk, err) < 0)
			return -1;
		if (walk.depth-- == 0)
			break;
		at = *(const uintptr_t *)at;
	}
	if (walk.low != f->hi || *(const uintptr_t *)at != 0)
		return wrong(&walk, "the end of the first frame", walk.low, f->hi, err);
	/* A record that no frame owned: a pop has left it behind. */
	if (walk.defer)
		return wrong(&walk, "the last defer record", walk.defer, 0, err);
	return 0;
}
