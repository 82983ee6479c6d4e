/*
 * recorder.c - see recorder.h.
 */
#include "harness/fidelity/recorder.h"

#include <string.h>

bool rh_recorder_takes(struct rh_recorder *recorder, const struct rh_trace *trace,
		       const struct rh_event *event)
{
	const char *type;

	if (event->kind != RH_EV_ALLOC)
		return false;
	if (event->size == RH_RECORDER_WORDS && event->flags & RH_EVF_NOSCAN)
		return ++recorder->words <= RH_RECORDER_BLOCKS;
	if (event->size != RH_RECORDER_TAGS || event->flags & RH_EVF_NOSCAN)
		return false;
	type = event->site == RH_SITE_NONE ? NULL : rh_trace_site(trace, event->site);
	return type && strcmp(type, "unsafe.Pointer") == 0 &&
	       ++recorder->tags <= RH_RECORDER_BLOCKS;
}

uint64_t rh_recorder_bytes(const struct rh_recorder *recorder)
{
	return recorder->tags == RH_RECORDER_BLOCKS && recorder->words >= RH_RECORDER_BLOCKS
		       ? RH_RECORDER_BLOCKS * (RH_RECORDER_WORDS + RH_RECORDER_TAGS)
		       : 0;
}
