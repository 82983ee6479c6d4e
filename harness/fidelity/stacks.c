/*
 * stacks.c - recorded stacks on the backend: every stack that Go made is a task
 * here, made on the same lane in the same order, and ends when Go freed it.
 *
 * This tests everything below Go's stackalloc and stackfree: the caches of Ps, the pools, large
 * stacks, pages. The level above, where a goroutine takes over the stack of one that ended, is
 * compared by counts (fidelity.c replays the tasks in the other run).
 */
#include <string.h>

#include "harness/fidelity/stacks.h"

/* If no event recorded the end of the previous stack, that one stays. */
static bool hold(struct stack_drive *drive, uint64_t key, void *task)
{
	uint64_t before = rh_map_get(&drive->live, key);

	if (before != RH_MAP_NONE &&
	    !rh_map_put(&drive->live, NOBODYS_STACK | NOBODYS_STACK >> 1 | drive->overlaid++,
			before))
		return false;
	return rh_map_put(&drive->live, key, (uintptr_t)task);
}

bool rh_drive_alloc(struct stack_drive *drive, uint32_t lane, uint64_t place)
{
	void *task;

	drive->ops->lane_caches(drive->lanes[lane], !place_past_cache(place));
	task = drive->ops->spawn(drive->lanes[lane], place_bytes(place));
	drive->ops->lane_caches(drive->lanes[lane], 1);
	drive->failed += !task;
	return !task || hold(drive, place_key(place), task);
}

void rh_drive_free(struct stack_drive *drive, uint32_t lane, uint64_t place)
{
	uint64_t task = rh_map_remove(&drive->live, place_key(place));

	if (task == RH_MAP_NONE)
		return;
	drive->ops->lane_caches(drive->lanes[lane], !place_past_cache(place));
	drive->ops->exit(drive->lanes[lane], (void *)(uintptr_t)task);
	drive->ops->lane_caches(drive->lanes[lane], 1);
}

void rh_drive_empty(struct stack_drive *drive)
{
	struct rh_map *live = &drive->live;

	for (size_t b = 0; b < live->cap; b++)
		for (unsigned i = 0; i < RH_MAP_BUCKET; i++)
			if (rh_map_taken(&live->buckets[b], i))
				drive->ops->exit(
					drive->lanes[0],
					(void *)(uintptr_t)live->buckets[b].entry[i].value);
	rh_map_empty(live);
	/* A cycle may be open. The lane that ends it frees unused stacks when it is flushed. */
	drive->ops->gc_end(drive->lanes[0]);
	for (uint32_t i = drive->lane_count; i-- > 0;)
		drive->ops->lane_flush(drive->lanes[i]);
	drive->ops->gc_end(drive->lanes[0]); /* flush=apart: this frees them */
	drive->ops->lane_flush(drive->lanes[0]);
}

static void take_bytes(void *ctx, const char *name, const char *unit, uint64_t value)
{
	(void)unit;
	if (strcmp(name, "pools.StackInuse") == 0)
		*(uint64_t *)ctx = value;
}

uint64_t rh_drive_bytes(const struct stack_drive *drive)
{
	uint64_t bytes = 0;

	drive->ops->stats(drive->stacks, take_bytes, &bytes);
	return bytes;
}
