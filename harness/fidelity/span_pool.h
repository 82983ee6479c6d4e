/*
 * span_pool.h - the pool of stacks of one order, span by span, as Go numbers its spans: for
 * races.c. Internal to this folder.
 *
 * A stack is only its span here: slots of one are interchangeable. What is free, what is in the
 * cache of a lane and which span is in front decide what the next refill takes.
 */
#ifndef RH_FIDELITY_SPAN_POOL_H
#define RH_FIDELITY_SPAN_POOL_H

#include "harness/fidelity/stacks.h"

enum {
	NO_SPAN = UINT32_MAX,
	HANDED_MAX = 8 * CACHED_MAX / 2, /* eight refills of the smallest */
};

struct pool_span {
	uint64_t number;
	uint32_t next, prev; /* in the list of its pool, NO_SPAN at the ends */
	uint8_t free, taken; /* stacks in the pool, and elsewhere */
	bool listed;
};

struct cached {
	uint32_t of[CACHED_MAX]; /* index of the span, the last is the first out */
	uint32_t count;
};

struct span_pool {
	unsigned order;
	struct rh_map index; /* number -> index of the span */
	struct pool_span *spans;
	uint32_t count, cap;
	uint32_t first, nameless; /* in the list; the span whose number is not known yet */
	struct cached *cached;	  /* by lane */
	bool keeps;		  /* a cycle runs: spans that nobody uses stay */
	bool met;		  /* two lanes since the last refill that agreed */
};

/* What a pool would hand out, or has handed out: numbers of spans, 0 = a new one or not known. */
struct handed {
	uint64_t of[HANDED_MAX];
	uint32_t count;
};

/* Stacks that go to a pool, the first in front. */
struct released {
	uint32_t of[CACHED_MAX];
	uint32_t count;
};

/* All caches empty. */
int rh_span_pool_open(struct span_pool *pool, unsigned order, uint32_t lanes, struct rh_err *err);
void rh_span_pool_close(struct span_pool *pool);
/* A span that is on no list, with all its stacks free or elsewhere as the caller says then. */
int rh_span_pool_add(struct span_pool *pool, uint64_t number, uint32_t *s, struct rh_err *err);
void rh_span_pool_push(struct span_pool *pool, uint32_t s);
/* A stack of the span if it has one, else (number 0: it was not seen) of the first in the list. */
int rh_span_pool_take(struct span_pool *pool, uint64_t number, uint32_t *s, struct rh_err *err);
void rh_span_pool_put(struct span_pool *pool, uint32_t s);
/* Gives back what nobody uses. */
void rh_span_pool_trim(struct span_pool *pool);
/* The next stacks of the pool once some were released to it. */
void rh_span_pool_predict(const struct span_pool *pool, const struct released *released,
			  struct handed *out);
/* How many of the stacks seen are the predicted ones. */
unsigned rh_span_pool_agree(const struct span_pool *pool, const struct handed *seen,
			    const uint64_t *predicted);

#endif
