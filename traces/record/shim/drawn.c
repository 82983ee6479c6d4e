/*
 * drawn.c - see drawn.h: the rare half of sampling by bytes.
 *
 * A resize ends one object and begins another, which is drawn like any birth: its probability
 * depends only on its own size, whatever became of the old one. If only the old one is in the
 * sample, the resize is recorded as its free; if only the new one is, as a birth. When the real
 * realloc fails, the old block lives on and is put back.
 */
#include "traces/record/shim/drawn.h"
#include "traces/record/shim/call.h"
#include "traces/record/shim/gap.h"

struct shim_drawn *shim_drawn;
__thread struct shim_draw shim_draw;
static _Atomic uint32_t nameless; /* threads without a number that have drawn */

bool shim_draw_ready(void)
{
	if (!shim_drawn)
		shim_drawn = shim_map_wiped(sizeof *shim_drawn);
	return shim_drawn != NULL;
}

void shim_draw_anew(void)
{
	shim_draw = (struct shim_draw){ 0 };
}

/* The same numbers in every run that makes its threads in the same order. */
static void seed(void)
{
	uint64_t who = shim_number ? shim_number : atomic_fetch_add(&nameless, 1) + (1ull << 24);

	shim_draw.state = shim.area->sample_seed ^ who << 32 ^ shim.proc;
	shim_draw.state = rh_random(&shim_draw.state) | 1;
	shim_draw.left = rh_gap_next(&shim_draw.state, shim.area->sample_bytes);
}

bool shim_draw_in(const void *block)
{
	uint32_t place = shim_place((uintptr_t)block);

	for (int i = 0; i < SHIM_PLACE_SLOTS; i++) {
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&shim_drawn->slot[place][i], &none,
						    (uint64_t)(uintptr_t)block))
			continue;
		atomic_fetch_add(&shim_drawn->count[place], 1);
		return true;
	}
	atomic_fetch_add(&shim.area->sample_full, 1);
	return false;
}

static _Atomic uint64_t *slot_of(const void *block)
{
	uint32_t place = shim_place((uintptr_t)block);

	if (!shim_may_be_drawn(block))
		return NULL;
	for (int i = 0; i < SHIM_PLACE_SLOTS; i++)
		if (atomic_load_explicit(&shim_drawn->slot[place][i], memory_order_relaxed) ==
		    (uint64_t)(uintptr_t)block)
			return &shim_drawn->slot[place][i];
	return NULL;
}

bool shim_draw_has(const void *block)
{
	return slot_of(block) != NULL;
}

bool shim_draw_out(const void *block)
{
	_Atomic uint64_t *slot = slot_of(block);

	if (!slot)
		return false;
	atomic_store(slot, 0);
	atomic_fetch_sub(&shim_drawn->count[shim_place((uintptr_t)block)], 1);
	return true;
}

bool shim_draw_hit(const void *block, uint64_t size)
{
	if (!shim_draw.state) {
		seed();
		if (shim_draw.left >= size) {
			shim_draw.left -= size;
			return false;
		}
	}
	if (!block)
		return false;
	shim_draw.left = rh_gap_next(&shim_draw.state, shim.area->sample_bytes);
	return shim.state == SHIM_ON &&
	       atomic_load_explicit(&shim.area->recording, memory_order_relaxed) &&
	       !atomic_load_explicit(&shim.area->closed, memory_order_relaxed) &&
	       shim_draw_in(block);
}

/* ---- drawn blocks are recorded like all calls ---- */

void shim_put_drawn(uint32_t what, const void *p, uint64_t size, struct shim_from from)
{
	uint64_t rotated = (uintptr_t)p >> 3 | (uintptr_t)p << 61;
	enum shim_need need = SHIM_LONG;

	if (what < RH_REC_LONG && rh_rec_is_short(rotated, size))
		need = shim_put(rh_rec_short((enum rh_rec_kind)what, (uintptr_t)p, size),
				(uintptr_t)p);
	if (need != SHIM_DONE)
		shim_put_rest(need, what, (uintptr_t)p, size, from);
}

void shim_put_sampled(uint32_t what, const void *block, uint64_t size, struct shim_from from)
{
	uint32_t kind = what & 255;
	bool drawn;

	if (rh_rec_is_birth(kind))
		drawn = shim_draws(block, size);
	else
		drawn = kind == RH_REC_FREE ? shim_draw_out(block) : shim_draw_has(block);
	if (drawn)
		shim_put_drawn(what, block, size, from);
}

bool shim_resize_begins(const void *old)
{
	if (!shim_draw_out(old))
		return false;
	shim_put_drawn(RH_REC_RE_BEGIN, old, 0, SHIM_NOBODY);
	return true;
}

void shim_resize_ends(bool begun, const void *old, const void *made, uint64_t size,
		      struct shim_from from)
{
	bool born;

	if (!made && size) {
		if (begun && shim_draw_in(old))
			shim_put_drawn(RH_REC_RE_END, NULL, size, from);
		else if (begun) /* no room left for it */
			shim_put_drawn(RH_REC_RE_END, NULL, 0, from);
		return;
	}
	born = made && shim_draws(made, size);
	if (begun)
		shim_put_drawn(RH_REC_RE_END, born ? made : NULL, born ? size : 0, from);
	else if (born)
		shim_put_drawn(RH_REC_ALLOC, made, size, from);
}
