/*
 * slots.c - free slots per lane, and the pool between barriers.
 */
#include "harness/compile/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"
#include "harness/compile/program.h"

enum { LINE = 8, LIST_FIRST = 16, LIST_KEEP = 4096 };

void rh_slots_close(struct rh_slots *slots)
{
	for (uint32_t lane = 0; lane < slots->lanes; lane++)
		free(slots->lists[lane].slots);
	free(slots->lists);
	free(slots->pool);
	*slots = (struct rh_slots){ 0 };
}

int rh_slots_lanes(struct rh_slots *slots, uint32_t lanes, struct rh_err *err)
{
	struct rh_slot_list *lists;

	if (lanes <= slots->lanes)
		return 0;
	lists = reallocarray(slots->lists, lanes, sizeof(*lists));
	if (!lists)
		return rh_fail(err, RH_OS, "no memory for the slots of %u lanes", lanes);
	memset(lists + slots->lanes, 0, (lanes - slots->lanes) * sizeof(*lists));
	slots->lists = lists;
	slots->lanes = lanes;
	return 0;
}

int rh_slots_room(struct rh_slot_list *list, struct rh_err *err)
{
	return rh_reserve32(&list->slots, &list->cap, list->cap + (size_t)1, sizeof(*list->slots))
		       ? 0
		       : rh_no_memory(err, "free slots");
}

/* Pushed from the top down, so that the lowest slot is popped first. */
static int push_line(struct rh_slot_list *list, uint32_t line, uint8_t bits, struct rh_err *err)
{
	assert(bits && list->count == 0);
	if (list->cap < LINE && rh_slots_room(list, err) < 0)
		return -1;
	for (int i = LINE - 1; i >= 0; i--)
		if (bits >> i & 1)
			list->slots[list->count++] = line * LINE + (uint32_t)i;
	return 0;
}

int rh_slots_refill(struct rh_slots *slots, uint32_t lane, struct rh_err *err)
{
	struct rh_slot_list *list = &slots->lists[lane];
	uint32_t line;

	assert(list->count == 0);
	while (slots->pool_next < slots->pool_lines) {
		uint8_t bits;

		line = slots->pool_next++;
		bits = slots->pool[line];
		slots->pool[line] = 0;
		if (bits)
			return push_line(list, line, bits, err);
	}
	if (slots->used > RH_SLOTS_MAX - LINE)
		return rh_fail(err, RH_BAD_DATA,
			       "more than %d objects are alive at once, which is more than a "
			       "program can name; cut the trace (reheap cut)",
			       RH_SLOTS_MAX);
	line = slots->used / LINE;
	assert(slots->used % LINE == 0);
	slots->used += LINE;
	return push_line(list, line, 0xff, err);
}

int rh_slots_barrier(struct rh_slots *slots, struct rh_err *err)
{
	uint32_t lines = slots->used / LINE;

	if (slots->lanes < 2)
		return 0; /* one lane only: keep the warm list */
	if (lines > slots->pool_lines) {
		uint8_t *pool = realloc(slots->pool, lines);

		if (!pool)
			return rh_fail(err, RH_OS, "no memory for a pool of %u slots", slots->used);
		memset(pool + slots->pool_lines, 0, lines - slots->pool_lines);
		slots->pool = pool;
		slots->pool_lines = lines;
	}
	for (uint32_t lane = 0; lane < slots->lanes; lane++) {
		struct rh_slot_list *list = &slots->lists[lane];

		for (uint32_t i = 0; i < list->count; i++) {
			uint32_t slot = list->slots[i];

			/* a slot returned by two lanes would be handed out twice */
			assert(slot < slots->used &&
			       !(slots->pool[slot / LINE] >> slot % LINE & 1));
			slots->pool[slot / LINE] |= (uint8_t)(1u << slot % LINE);
		}
		list->count = 0;
		if (list->cap > LIST_KEEP) {
			free(list->slots);
			*list = (struct rh_slot_list){ 0 };
		}
	}
	slots->pool_next = 0;
	return 0;
}
