/*
 * fidelity_stacks.c - recorded stacks on the backend: every stack that Go made is a task
 * here, made on the same lane in the same order, and ends when Go freed it.
 *
 * So everything below Go's stackalloc and stackfree is put to the test: the caches of Ps,
 * the pools, large stacks, pages. What is above, goroutines that take over the stack of one
 * that ended, is compared by counts (fidelity.c replays the tasks in the other run).
 */
#include <string.h>

#include "harness/fidelity/fidelity_stacks.h"

bool rh_drive_alloc(struct stack_drive *drive, uint32_t lane, uint64_t place)
{
	void *task;

	drive->ops->lane_caches(drive->lanes[lane], !place_past_cache(place));
	task = drive->ops->spawn(drive->lanes[lane], place_bytes(place));
	drive->ops->lane_caches(drive->lanes[lane], 1);
	drive->failed += !task;
	return !task || rh_map_put(&drive->live, place_key(place), (uintptr_t)task);
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
