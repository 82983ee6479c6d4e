/*
 * ids.c - the old half of the id table: linear probing, at most 3/4 full,
 * deletion by shifting back, so that no tombstones pile up in a long trace.
 */
#include "harness/compile/ids.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc/base/debug.h"

enum { OLD_BITS_FIRST = 10 };

_Static_assert((RH_IDS_WINDOW & (RH_IDS_WINDOW - 1)) == 0, "an id masked is its place");

int rh_ids_open(struct rh_ids *ids, uint64_t first, struct rh_err *err)
{
	*ids = (struct rh_ids){ .base = first,
				.next = first,
				.window_mask = RH_IDS_WINDOW - 1,
				.old_mask = (1u << OLD_BITS_FIRST) - 1,
				.old_shift = 64 - OLD_BITS_FIRST };
	ids->window = malloc(RH_IDS_WINDOW * sizeof(*ids->window));
	ids->old = calloc(ids->old_mask + 1, sizeof(*ids->old));
	if (!ids->window || !ids->old) {
		rh_ids_close(ids);
		return rh_fail(err, RH_OS, "no memory for the table of live objects");
	}
	return 0;
}

void rh_ids_close(struct rh_ids *ids)
{
	free(ids->window);
	free(ids->old);
	*ids = (struct rh_ids){ 0 };
}

/* Fibonacci hashing: neighbouring ids land far apart. */
static uint64_t home(const struct rh_ids *ids, uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ull) >> ids->old_shift;
}

static void put_old(struct rh_ids *ids, const struct rh_id_old *entry)
{
	uint64_t i = home(ids, entry->key);

	assert(entry->key && ids->old_count <= ids->old_mask); /* a probe ends at an empty place */
	while (ids->old[i].key)
		i = (i + 1) & ids->old_mask;
	ids->old[i] = *entry;
}

static int grow_old(struct rh_ids *ids, struct rh_err *err)
{
	struct rh_id_old *before = ids->old;
	uint64_t places = ids->old_mask + 1;
	struct rh_id_old *after = calloc(2 * places, sizeof(*after));

	if (!after)
		return rh_fail(err, RH_OS, "no memory for a table of %llu live objects",
			       (unsigned long long)ids->old_count);
	ids->old = after;
	ids->old_mask = 2 * places - 1;
	ids->old_shift--;
	assert(ids->old_mask + 1 == 1ull << (64 - ids->old_shift));
	for (uint64_t i = 0; i < places; i++)
		if (before[i].key)
			put_old(ids, &before[i]);
	free(before);
	return 0;
}

/* Ids already in the hash stay there: base does not move back. */
static int widen_window(struct rh_ids *ids, struct rh_err *err)
{
	uint64_t mask = 2 * ids->window_mask + 1;
	struct rh_id *window = malloc((mask + 1) * sizeof(*window));

	if (!window)
		return rh_fail(err, RH_OS, "no memory for a window of %llu objects",
			       (unsigned long long)mask + 1);
	assert(ids->next - ids->base <= ids->window_mask + 1);
	for (uint64_t id = ids->base; id < ids->next; id++)
		window[id & mask] = ids->window[id & ids->window_mask];
	free(ids->window);
	ids->window = window;
	ids->window_mask = mask;
	return 0;
}

int rh_ids_age(struct rh_ids *ids, struct rh_err *err)
{
	struct rh_id_old entry = { ids->base + 1, ids->window[ids->base & ids->window_mask] };

	assert(entry.value.b != RH_IDS_DEAD && ids->next - ids->base == ids->window_mask + 1);
	if (4 * ids->old_count > ids->window_mask && ids->window_mask + 1 < RH_IDS_WINDOW_MAX)
		return widen_window(ids, err);
	if (4 * (ids->old_count + 1) > 3 * (ids->old_mask + 1) && grow_old(ids, err) < 0)
		return -1;
	put_old(ids, &entry);
	ids->old_count++;
	ids->base++;
	assert(4 * ids->old_count <= 3 * (ids->old_mask + 1));
	return 0;
}

struct rh_id *rh_ids_find_old(const struct rh_ids *ids, uint64_t id)
{
	uint64_t i = home(ids, id + 1);

	rh_debug_assert(id < ids->base);
	for (; ids->old[i].key; i = (i + 1) & ids->old_mask)
		if (ids->old[i].key == id + 1)
			return &ids->old[i].value;
	return NULL;
}

void rh_ids_remove_old(struct rh_ids *ids, uint64_t id)
{
	uint64_t hole = home(ids, id + 1), i;

	while (ids->old[hole].key != id + 1) {
		assert(ids->old[hole].key);
		hole = (hole + 1) & ids->old_mask;
	}
	/* An entry that was probed past the hole and may stand in it moves there. */
	for (i = (hole + 1) & ids->old_mask; ids->old[i].key; i = (i + 1) & ids->old_mask) {
		uint64_t wanted = home(ids, ids->old[i].key);

		if (((i - wanted) & ids->old_mask) < ((i - hole) & ids->old_mask))
			continue;
		ids->old[hole] = ids->old[i];
		hole = i;
	}
	ids->old[hole].key = 0;
	assert(ids->old_count > 0);
	ids->old_count--;
}
