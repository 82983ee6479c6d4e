/*
 * builder.h - what repair.c (the window), repair_calls.c (single calls) and repair_row.c (calls
 * in a row) share. Thread rule and errors: those of repair.h.
 */
#ifndef RH_BUILDER_H
#define RH_BUILDER_H

#include "traces/format/addresses.h"
#include "traces/format/repair.h"

enum {
	RH_BUILD_WINDOW = 256,
	RH_BUILD_WINDOW_AGE = 1024,
	RH_BUILD_COUNTS = 64,
	RH_BUILD_KEY_BYTES = 48,
	RH_BUILD_BATCH = 128
};

enum rh_build_what { RH_CALL_ALLOC, RH_CALL_FREE, RH_CALL_RESIZE, RH_CALL_OTHER, RH_CALL_ASKS };

/* A call as it came: the event (ids of objects open) and the addresses it names. */
struct rh_build_waiting {
	enum rh_build_what what;
	uint64_t dies, born; /* addresses; 0 = none. ASKS: dies is what it asks about */
	struct rh_event event;
	bool waited; /* for an address to become free */
	uint64_t number;
};

/* Calls of a lane in the window; the last pass that kept one of them. */
struct rh_build_lane_state {
	uint32_t waiting, pass;
};

struct rh_build_counter {
	char key[RH_BUILD_KEY_BYTES];
	uint64_t value;
};

struct rh_build {
	struct rh_trace_out *out;
	rh_build_put_fn *put; /* where events go instead; NULL: to out */
	void *put_to;
	struct rh_blocks objects; /* address -> object id */
	struct rh_map lanes;	  /* thread -> lane */
	uint64_t births;
	struct rh_event batch[RH_BUILD_BATCH]; /* go out together: rh_trace_put looks ahead */
	size_t batched, batch_full;
	uint64_t lane_thread; /* the thread asked for last, and its lane */
	uint32_t lane_last;
	bool lane_known;
	uint32_t lane_count;
	uint64_t time_ns;
	uint32_t task, site;

	struct rh_build_waiting window[RH_BUILD_WINDOW];
	size_t waiting;
	uint64_t calls; /* taken so far */
	uint32_t passes;
	struct rh_build_lane_state *lane_state;
	size_t lane_state_cap;

	struct rh_build_counter counts[RH_BUILD_COUNTS];
	size_t count_count;
	bool counts_full;
};

/* The batch goes out. */
int rh_build_send(struct rh_build *build, struct rh_err *err);
/* A call that may have to be mended, or to wait. */
int rh_build_repair(struct rh_build *build, struct rh_build_waiting *call, struct rh_err *err);
/* The lane of any thread; made when it is new. */
int rh_build_find_lane(struct rh_build *build, uint64_t thread, uint32_t *lane, struct rh_err *err);

/* What the source said last of time, task and site belongs to every event until it says something
 * else. */
static inline struct rh_event rh_build_stamped(const struct rh_build *build, unsigned kind,
					       uint32_t lane)
{
	rh_debug_assert(kind < RH_EV_COUNT);
	return (struct rh_event){
		.time_ns = build->time_ns,
		.id = RH_NONE,
		.old = RH_NONE,
		.arg = RH_NONE,
		.lane = lane,
		.task = build->task,
		.site = build->site,
		.kind = (uint8_t)kind,
	};
}

static inline int rh_build_lane_of(struct rh_build *build, uint64_t thread, uint32_t *lane,
				   struct rh_err *err)
{
	/* One thread makes many calls in a row: the last answer saves nearly all look-ups. */
	if (!build->lane_known || build->lane_thread != thread) {
		if (rh_build_find_lane(build, thread, &build->lane_last, err) < 0)
			return -1;
		build->lane_thread = thread;
		build->lane_known = true;
	}
	*lane = build->lane_last;
	rh_debug_assert(*lane < build->lane_count);
	return 0;
}

#endif
