/*
 * span_pool.c - Go's stackpool of one order by the numbers of its spans: which of them the next
 * refill takes stacks from.
 *
 * The rules are those of stackpoolalloc and stackpoolfree (Go's stack.go), as in
 * alloc/stack/pools/pool.c: the span in front first; a span that gets its first free stack goes to
 * the front; one that nobody uses is given back, but during a cycle.
 */
#include "harness/fidelity/span_pool.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/base/grow.h"

#define NAMELESS ((uint64_t)1 << 63)

static const char memory_for[] = "the pools of stacks";

int rh_span_pool_open(struct span_pool *pool, unsigned order, uint32_t lanes, struct rh_err *err)
{
	*pool = (struct span_pool){ .order = order, .first = NO_SPAN, .nameless = NO_SPAN };
	pool->cached = calloc(lanes, sizeof(*pool->cached));
	return pool->cached ? 0 : rh_no_memory(err, memory_for);
}

void rh_span_pool_close(struct span_pool *pool)
{
	rh_map_close(&pool->index);
	free(pool->spans);
	free(pool->cached);
}

void rh_span_pool_push(struct span_pool *pool, uint32_t s)
{
	struct pool_span *span = &pool->spans[s];

	span->prev = NO_SPAN;
	span->next = pool->first;
	if (span->next != NO_SPAN)
		pool->spans[span->next].prev = s;
	pool->first = s;
	span->listed = true;
}

static void list_remove(struct span_pool *pool, uint32_t s)
{
	struct pool_span *span = &pool->spans[s];

	*(span->prev == NO_SPAN ? &pool->first : &pool->spans[span->prev].next) = span->next;
	if (span->next != NO_SPAN)
		pool->spans[span->next].prev = span->prev;
	span->listed = false;
}

int rh_span_pool_add(struct span_pool *pool, uint64_t number, uint32_t *s, struct rh_err *err)
{
	if (!rh_reserve32(&pool->spans, &pool->cap, pool->count + 1u, sizeof(*pool->spans)) ||
	    !rh_map_put(&pool->index, number, pool->count))
		return rh_no_memory(err, memory_for);
	*s = pool->count++;
	pool->spans[*s] = (struct pool_span){ .number = number, .next = NO_SPAN, .prev = NO_SPAN };
	return 0;
}

/* Nobody uses a stack of it: the span is given back. */
static void give_back(struct span_pool *pool, uint32_t s)
{
	if (pool->spans[s].listed)
		list_remove(pool, s);
	rh_map_remove(&pool->index, pool->spans[s].number);
	pool->spans[s].free = 0;
	if (pool->nameless == s)
		pool->nameless = NO_SPAN;
}

void rh_span_pool_put(struct span_pool *pool, uint32_t s)
{
	struct pool_span *span = &pool->spans[s];

	if (!span->taken)
		return;
	if (!span->listed)
		rh_span_pool_push(pool, s);
	span->free++;
	span->taken--;
	if (!span->taken && !pool->keeps)
		give_back(pool, s);
}

static void pool_take(struct span_pool *pool, uint32_t s)
{
	struct pool_span *span = &pool->spans[s];

	span->free--;
	span->taken++;
	if (!span->free)
		list_remove(pool, s);
}

/* A new span; without a number when none of its stacks has been seen. */
static int make_span(struct span_pool *pool, uint64_t number, struct rh_err *err)
{
	uint32_t s;

	if (rh_span_pool_add(pool, number ? number : NAMELESS | pool->count, &s, err) < 0)
		return -1;
	if (!number)
		pool->nameless = s;
	pool->spans[s].free = (uint8_t)rh_start_slots(pool->order);
	rh_span_pool_push(pool, s);
	return 0;
}

/* The number that a span without one turns out to have. */
static int name_span(struct span_pool *pool, uint64_t number, struct rh_err *err)
{
	struct pool_span *span = &pool->spans[pool->nameless];

	rh_map_remove(&pool->index, span->number);
	if (!rh_map_put(&pool->index, number, pool->nameless))
		return rh_no_memory(err, memory_for);
	span->number = number;
	pool->nameless = NO_SPAN;
	return 0;
}

int rh_span_pool_take(struct span_pool *pool, uint64_t number, uint32_t *s, struct rh_err *err)
{
	uint64_t known = number ? rh_map_get(&pool->index, number) : RH_MAP_NONE;
	bool is_new = known == RH_MAP_NONE && (number || pool->first == NO_SPAN);

	if (is_new && number && pool->nameless != NO_SPAN) {
		known = pool->nameless;
		if (name_span(pool, number, err) < 0)
			return -1;
	} else if (is_new) {
		known = pool->count;
		if (make_span(pool, number, err) < 0)
			return -1;
	}
	*s = known != RH_MAP_NONE && pool->spans[known].free ? (uint32_t)known : pool->first;
	if (*s != NO_SPAN)
		pool_take(pool, *s);
	return 0;
}

void rh_span_pool_trim(struct span_pool *pool)
{
	for (uint32_t s = pool->first, next; s != NO_SPAN; s = next) {
		next = pool->spans[s].next;
		if (!pool->spans[s].taken)
			give_back(pool, s);
	}
}

/* ---- what would be handed out, and what was ---- */

static void add_handed(struct handed *handed, uint64_t number, uint32_t times)
{
	while (times-- && handed->count < HANDED_MAX)
		handed->of[handed->count++] = number;
}

void rh_span_pool_predict(const struct span_pool *pool, const struct released *released,
			  struct handed *out)
{
	uint32_t spans[CACHED_MAX], times[CACHED_MAX], count = 0, at;

	out->count = 0;
	for (uint32_t i = 0; i < released->count; i++) {
		for (at = 0; at < count && spans[at] != released->of[i]; at++)
			continue;
		spans[at] = released->of[i];
		times[at] = at == count ? 1 : times[at] + 1;
		count += at == count;
	}
	for (uint32_t i = count; i-- > 0;) {
		const struct pool_span *span = &pool->spans[spans[i]];

		if (!span->listed && (span->taken > times[i] || pool->keeps))
			add_handed(out, span->number, times[i]);
	}
	for (uint32_t s = pool->first; s != NO_SPAN && out->count < HANDED_MAX;
	     s = pool->spans[s].next) {
		for (at = 0; at < count && spans[at] != s; at++)
			continue;
		if (at == count)
			add_handed(out, pool->spans[s].number, pool->spans[s].free);
		else if (pool->spans[s].taken > times[at] || pool->keeps)
			add_handed(out, pool->spans[s].number, pool->spans[s].free + times[at]);
	}
	add_handed(out, 0, HANDED_MAX);
}

unsigned rh_span_pool_agree(const struct span_pool *pool, const struct handed *seen,
			    const uint64_t *predicted)
{
	unsigned same = 0;

	for (uint32_t i = 0; i < seen->count; i++) {
		if (!seen->of[i])
			continue;
		same += predicted[i] ? seen->of[i] == predicted[i]
				     : rh_map_get(&pool->index, seen->of[i]) == RH_MAP_NONE;
	}
	return same;
}
