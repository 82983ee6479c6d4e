/*
 * emitter.h - shared by all generators: a random source, and a writer of events that
 * counts down, hands out ids, keeps the clock and remembers the first error.
 *
 * A generator loops `while (rh_gen_more(gen))` and calls the emitters. After the last requested
 * event, or after an error, emitters do nothing (rh_gen_alloc returns RH_NONE), so a generator
 * need not check each call; rh_gen_close returns the error.
 *
 * `events` counts allocs, frees and resizes. Lane and task events come on top. Generators of
 * tasks (of_tasks) count the events of tasks instead (rh_gen_go and the like).
 *
 * Everything is integers: the same seed gives the same bytes on every machine.
 * Memory: only what the generator itself keeps, O(live). Thread rule: one thread.
 */
#ifndef RH_EMITTER_H
#define RH_EMITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/gen/gen.h"

/* ---- random numbers ---- */

struct rh_gen_random {
	uint64_t s[4];
};

void rh_gen_seed(struct rh_gen_random *random, uint64_t seed);

/* xoshiro256++ by Blackman and Vigna (public domain): 0.8 ns a number. */
static inline uint64_t rh_gen_next(struct rh_gen_random *random)
{
	uint64_t *s = random->s;
	uint64_t sum = s[0] + s[3];
	uint64_t result = (sum << 23 | sum >> 41) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return result;
}

/* 0 .. bound-1 (0 for bound 0); the bias is below 2^-32 for bounds below 2^32. */
static inline uint64_t rh_gen_below(struct rh_gen_random *random, uint64_t bound)
{
	return (uint64_t)((unsigned __int128)rh_gen_next(random) * bound >> 64);
}

static inline uint64_t rh_gen_between(struct rh_gen_random *random, uint64_t low, uint64_t high)
{
	return low + rh_gen_below(random, high - low + 1);
}

/* True in share/2^32 of cases. */
static inline bool rh_gen_chance(struct rh_gen_random *random, uint32_t share)
{
	return (uint32_t)(rh_gen_next(random) >> 32) < share;
}

/* A share of 0..1 in 2^32 parts. */
uint32_t rh_gen_share(double share);

/* low..high, each octave as likely as the next. */
uint64_t rh_gen_log_uniform(struct rh_gen_random *random, uint64_t low, uint64_t high);

/* How often on average with a mean of `mean`, at least 1: geometric, at most 64 * mean. */
uint64_t rh_gen_geometric(struct rh_gen_random *random, uint64_t mean);

/* ---- options of every generator ---- */

struct rh_gen_common {
	uint64_t lanes, events, seed;
	bool time, sized;
};

enum { RH_GEN_LANES_MAX = 1024 };

#define RH_GEN_COMMON_OPTS(type, lanes_default) \
	RH_GEN_OPTS(type, lanes_default, "1000000", "allocs, frees and resizes in all")
#define RH_GEN_OPTS(type, lanes_default, events_default, events_help)                              \
	{ "lanes",                                                                                 \
	  0,                                                                                       \
	  RH_OPT_UINT,                                                                             \
	  offsetof(struct type, common.lanes),                                                     \
	  lanes_default,                                                                           \
	  .min = 1,                                                                                \
	  .max = RH_GEN_LANES_MAX,                                                                 \
	  .arg = "N",                                                                              \
	  .help = "lanes that do the work" },                                                      \
		{ "events",	      0,	RH_OPT_UINT, offsetof(struct type, common.events), \
		  events_default,     .min = 1, .max = 1e15, .arg = "N",                           \
		  .help = events_help },                                                           \
		{ "seed",                                                                          \
		  0,                                                                               \
		  RH_OPT_UINT,                                                                     \
		  offsetof(struct type, common.seed),                                              \
		  "1",                                                                             \
		  .arg = "N",                                                                      \
		  .help = "same seed, same bytes" },                                               \
		{ "sized",                                                                         \
		  0,                                                                               \
		  RH_OPT_FLAG,                                                                     \
		  offsetof(struct type, common.sized),                                             \
		  "off",                                                                           \
		  .arg = "on|off",                                                                 \
		  .help = "frees say the size, as C++ delete does" },                              \
	{                                                                                          \
		"time", 0, RH_OPT_FLAG, offsetof(struct type, common.time), "off",                 \
			.arg = "on|off", .help = "stamp events with made-up times"                 \
	}

/* ---- the writer ---- */

struct rh_gen_emit;

/* Handle of a living object. */
struct rh_gen_object {
	uint64_t id;
	uint64_t size;
};

struct rh_gen {
	struct rh_gen_random random;
	uint64_t left; /* allocs, frees and resizes still to come */
	struct rh_gen_emit *emit;
};

int rh_gen_open(struct rh_gen *gen, const struct rh_gen_common *common, struct rh_trace_out *out,
		struct rh_err *err);
/* Stops the running lanes, writes pending events; returns -1 with the first error. */
int rh_gen_close(struct rh_gen *gen, struct rh_err *err);

static inline bool rh_gen_more(const struct rh_gen *gen)
{
	return gen->left > 0;
}

/* Events until the next lane has its turn: 16 on average, as in recorded traces
 * (17 and 21 between changes of thread in the two Android ones). */
enum { RH_GEN_RUN_MEAN = 16 };

void rh_gen_lane_start(struct rh_gen *gen, uint32_t lane);
/* Events of this lane carry this task from now on (RH_TASK_NONE: none). */
void rh_gen_lane_task(struct rh_gen *gen, uint32_t lane, uint32_t task);
uint32_t rh_gen_spawn(struct rh_gen *gen, uint32_t lane, uint64_t stack_bytes);
void rh_gen_exit(struct rh_gen *gen, uint32_t lane, uint32_t task);
void rh_gen_join(struct rh_gen *gen, uint32_t lane, uint32_t task);
void rh_gen_lane_stop(struct rh_gen *gen, uint32_t lane);

/* Events of a task, which are counted: nothing once all are used up (rh_gen_go: task 0). */
uint32_t rh_gen_go(struct rh_gen *gen, uint32_t lane);
void rh_gen_end(struct rh_gen *gen, uint32_t lane, uint32_t task);
void rh_gen_call(struct rh_gen *gen, uint32_t lane, uint32_t task, uint64_t frame_bytes);
void rh_gen_return(struct rh_gen *gen, uint32_t lane, uint32_t task, uint64_t frame_bytes);
/* Not counted: a collection cycle begins, ends. */
void rh_gen_cycle(struct rh_gen *gen, uint32_t lane, enum rh_kind kind, uint64_t number);

/* id RH_NONE when nothing was emitted; flags are enum rh_event_flag. */
struct rh_gen_object rh_gen_alloc(struct rh_gen *gen, uint32_t lane, uint64_t size, unsigned flags);
void rh_gen_free(struct rh_gen *gen, uint32_t lane, struct rh_gen_object object);
struct rh_gen_object rh_gen_resize(struct rh_gen *gen, uint32_t lane, struct rh_gen_object object,
				   uint64_t size);

/* Lane 0 is the first thread: it spawns a task for each of the other lanes and at the end
 * joins them. For generators whose lanes are threads. */
void rh_gen_threads_start(struct rh_gen *gen, uint64_t lanes);
void rh_gen_threads_join(struct rh_gen *gen, uint64_t lanes);

/* A growing bag of objects, from which the oldest, the newest or any can be taken. */
struct rh_gen_bag {
	struct rh_gen_object *object;
	uint64_t first, count, room; /* ring: objects are first .. first+count, mod room */
};

/* False (and the generator ends with an error) when memory is refused. */
bool rh_gen_bag_put(struct rh_gen *gen, struct rh_gen_bag *bag, struct rh_gen_object object);
struct rh_gen_object rh_gen_bag_oldest(struct rh_gen_bag *bag);
struct rh_gen_object rh_gen_bag_newest(struct rh_gen_bag *bag);
struct rh_gen_object rh_gen_bag_any(struct rh_gen_bag *bag, struct rh_gen_random *random);
void rh_gen_bag_free(struct rh_gen_bag *bag);

/* min=... must not be above max=...: 0, or -1 with a usage error. */
int rh_gen_check_sizes(uint64_t least, uint64_t most, struct rh_err *err);

/* Ends the generator with an out-of-memory error. */
void rh_gen_no_memory(struct rh_gen *gen);

#endif
