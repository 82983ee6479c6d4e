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
