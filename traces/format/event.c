/*
 * event.c - the table of event kinds as data.
 */
#include "traces/format/event.h"

#include <assert.h>
#include <string.h>

_Static_assert(RH_EV_COUNT <= UINT8_MAX, "a kind fits an event");

const struct rh_event_row rh_event_rows[RH_EV_COUNT] = {
#define RH_ROW(NAME, kind_word, kind_fields, kind_meaning) \
	[RH_EV_##NAME] = { .word = kind_word, .fields = kind_fields, .meaning = kind_meaning },
	RH_EVENTS(RH_ROW)
#undef RH_ROW
};

int rh_kind_of(const char *word)
{
	for (int kind = 0; kind < RH_EV_COUNT; kind++)
		if (*rh_event_rows[kind].word == *word &&
		    strcmp(rh_event_rows[kind].word, word) == 0)
			return kind;
	return -1;
}

void rh_call_event_whole(const struct rh_call_event *call, struct rh_event *event)
{
	assert(call->kind == RH_EV_ALLOC || call->kind == RH_EV_FREE ||
	       call->kind == RH_EV_RESIZE || call->kind == RH_EV_USABLE);
	*event = (struct rh_event){
		.time_ns = call->time_ns,
		.id = call->id,
		.old = call->kind == RH_EV_RESIZE ? call->old : RH_NONE,
		.size = call->size,
		.arg = RH_NONE,
		.lane = call->lane,
		.task = RH_TASK_NONE,
		.site = call->site,
		.kind = call->kind,
		.flags = call->flags,
	};
}
