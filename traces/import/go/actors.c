/*
 * actors.c - Ps and goroutines by number, records reused: memory is O(alive).
 */
#include <stdlib.h>

#include "traces/import/go/order.h"
#include "alloc/base/grow.h"

int rh_go_no_memory(struct rh_err *err)
{
	return rh_no_memory(err, "what lives in the trace");
}

uint32_t rh_go_actor_of(struct go_actors *actors, uint64_t id)
{
	uint64_t known = rh_map_get(&actors->by_id, id);
	uint32_t index;

	if (known != RH_MAP_NONE)
		return (uint32_t)known;
	if (!actors->unused_count && !rh_reserve32(&actors->of, &actors->cap,
						   actors->count + (size_t)1, sizeof(*actors->of)))
		return GO_NONE;
	index = actors->unused_count ? actors->unused[actors->unused_count - 1] : actors->count;
	if (!rh_map_put(&actors->by_id, id, index))
		return GO_NONE;
	if (actors->unused_count)
		actors->unused_count--;
	else
		actors->count++;
	actors->of[index] = (struct go_actor){ .id = id, .waiters = GO_NONE, .holder = GO_NONE };
	return index;
}

bool rh_go_actor_end(struct go_actors *actors, uint32_t index)
{
	if (!rh_reserve32(&actors->unused, &actors->unused_cap, actors->unused_count + (size_t)1,
			  sizeof(*actors->unused)))
		return false;
	rh_map_remove(&actors->by_id, actors->of[index].id);
	actors->unused[actors->unused_count++] = index;
	return true;
}

void rh_go_actors_close(struct go_actors *actors)
{
	rh_map_close(&actors->by_id);
	for (uint32_t i = 0; i < actors->count; i++)
		free(actors->of[i].fills);
	free(actors->of);
	free(actors->unused);
}

struct go_actor *rh_go_goroutine(struct go_order *order, uint64_t id)
{
	uint64_t known = rh_map_get(&order->gs.by_id, id);

	return known == RH_MAP_NONE ? NULL : &order->gs.of[known];
}
