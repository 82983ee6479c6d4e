/*
 * repair.h - from somebody else's events to a legal trace.
 *
 * Importers and the recorder see addresses (or foreign ids), thread ids and calls in
 * some order. A builder turns those into dense lanes, objects and tasks, repairs what
 * can be repaired, drops what cannot, and counts both as notes:
 *	drop.free_unknown	a free of an address never seen (or freed twice)
 *	drop.usable_unknown	a question about an address that does not live
 *	drop.failed		calls that returned NULL
 *	repair.realloc_unknown	realloc of an unknown address, kept as an alloc
 *	repair.alloc_live	an address handed out while live: the old object is freed first
 *	repair.inversion	free and re-alloc of an address arrived swapped and were put right
 *	repair.alignment	an alignment beyond any address space, left out
 * A free of address 0 is free(NULL), an event of its own.
 * Every input line is accounted for: it is an event, or a drop, or the importer counts it.
 * Events beyond the lines are one lane_start per lane and one free per repair.alloc_live.
 *
 * A call that has to wait for a swapped one goes out late, at most 1024 calls, so in a trace
 * with times a few stamps may precede an earlier event's.
 *
 * Addresses are any 64-bit names that are unique among the living. Memory is O(live).
 * Thread rule: one thread.
 */
#ifndef RH_REPAIR_H
#define RH_REPAIR_H

#include "traces/format/trace.h"

struct rh_build;

int rh_build_open(struct rh_build **build, struct rh_trace_out *out, struct rh_err *err);

/* Events go to that function instead of the writer, which gets notes alone. */
typedef int rh_build_put_fn(void *to, const struct rh_event *events, size_t count,
			    struct rh_err *err);
void rh_build_redirect(struct rh_build *build, rh_build_put_fn *function, void *to);

/* Stamp of the calls that follow; RH_NONE / RH_TASK_NONE / RH_SITE_NONE when unknown. */
void rh_build_stamp(struct rh_build *build, uint64_t time_ns, uint32_t task, uint32_t site);

/* From now on events go out in batches, which is half as fast again when millions of objects
 * live. What the writer refuses is then reported up to 128 calls late, so this is not for
 * importers that name the line, and site names overtake events. */
void rh_build_batches(struct rh_build *build);

/* A block as the call of the source gave it out: its address (0: the call failed), the bytes that
 * were asked for, log2 of the alignment that was asked for (0: none), flags RH_EVF_*. */
struct rh_build_block {
	uint64_t address, size;
	unsigned align_log2, flags;
};
#define RH_BLOCK(...) (&(struct rh_build_block){ __VA_ARGS__ })

/* `thread` is any 64-bit name of the thread in the source; lanes are made as threads
 * appear. A thread name seen again after thread_end is a new lane. */
int rh_build_alloc(struct rh_build *build, uint64_t thread, const struct rh_build_block *block,
		   struct rh_err *err);
int rh_build_free(struct rh_build *build, uint64_t thread, uint64_t address, uint64_t resident,
		  struct rh_err *err);
/* `old` became `block`, whose alignment is not read. old 0 = realloc(NULL, size), an alloc with
 * that flag. A block of address 0 and size 0 = free, of address 0 and a size = failed call. */
int rh_build_realloc(struct rh_build *build, uint64_t thread, uint64_t old,
		     const struct rh_build_block *block, struct rh_err *err);
/* A free that was given the size of its block. */
struct rh_build_sized {
	uint64_t address, size;
	uint64_t resident; /* bytes that were in memory; RH_NONE */
};
int rh_build_free_sized(struct rh_build *build, uint64_t thread, const struct rh_build_sized *block,
			struct rh_err *err);
/* The real size of a living block was asked; of an unknown one: drop.usable_unknown. */
int rh_build_usable(struct rh_build *build, uint64_t thread, uint64_t address, struct rh_err *err);
int rh_build_thread_end(struct rh_build *build, uint64_t thread, struct rh_err *err);
/* Any other kind, with ids already right; event->lane is ignored, `thread` decides. */
int rh_build_other(struct rh_build *build, uint64_t thread, const struct rh_event *event,
		   struct rh_err *err);
/* Lane of a thread, if it has one already. */
bool rh_build_lane_known(struct rh_build *build, uint64_t thread, uint32_t *lane);
/* Lane of a thread (made when new). */
int rh_build_lane(struct rh_build *build, uint64_t thread, uint32_t *lane, struct rh_err *err);

/* Counts one of the importer's own drops or repairs under "drop.KEY" / "repair.KEY". */
void rh_build_count(struct rh_build *build, const char *key, uint64_t by);

/* What has been counted under that key so far. */
uint64_t rh_build_counted(const struct rh_build *build, const char *key);

/* In mid-stream: what is due goes out, the counts so far become notes and begin anew, and notes go
 * to `next` from here on. */
int rh_build_settle(struct rh_build *build, struct rh_err *err);
void rh_build_next(struct rh_build *build, struct rh_trace_out *next);

/* Flushes what is pending and writes the counts as notes; the trace_out stays open. */
int rh_build_finish(struct rh_build *build, struct rh_err *err);
void rh_build_close(struct rh_build *build);

#endif
