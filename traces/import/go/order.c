/*
 * order.c - see order.h.
 *
 * The path of an event:
 *  1. Batches are chained by thread; a heap holds the threads by the time of their next
 *     event.
 *  2. The earliest thread's event goes out, and the next, for as long as no other thread
 *     is earlier. Nearly all events are allocations, which no rule holds back.
 *  3. An event that may not go yet takes its thread off the heap, to wait for the one P or
 *     goroutine (or for the collector's count) whose state it needs. The event that
 *     changes that state puts the waiters back. So each wait costs one heap operation,
 *     however many threads there are.
 *     A trace made to be slow could wake a million threads with each event: beyond
 *     WAITS_EACH waits an event it is refused (real ones wait once in a hundred).
 *  4. When all threads wait, the trace breaks the rules (or lacks a thread's batches):
 *     all are put back and their next events go out by force, counted.
 *
 * Two departures from the strict rules, both seen in whole traces of 1.23 and 1.26: a P
 * that sweeps while a thread takes it over writes its status (running) before its start.
 * So a status overwrites what was known, and a start of the P that the thread already
 * holds only counts.
 */
#include "traces/import/go/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"

enum { WAITS_FREE = 1 << 20, WAITS_EACH = 64, EVENT_BYTES_MIN = 2 };

void rh_go_order_open(struct go_order *order, struct go_wire *wire)
{
	memset(order, 0, sizeof(*order));
	order->wire = wire;
	order->gc_waiters = order->waiting = GO_NONE;
	order->gc_seq = RH_NONE;
}

void rh_go_order_close(struct go_order *order)
{
	for (uint32_t i = 0; i < order->thread_count; i++)
		free(order->threads[i].ahead);
	rh_go_actors_close(&order->ps);
	rh_go_actors_close(&order->gs);
	rh_map_close(&order->by_thread);
	free(order->threads);
	free(order->heap);
	free(order->batch_next);
}

/* ---- the heap of threads ---- */

static uint64_t time_at(const struct go_order *order, uint32_t at)
{
	return order->threads[order->heap[at]].event.time;
}

static void swap(struct go_order *order, uint32_t a, uint32_t b)
{
	uint32_t thread = order->heap[a];

	order->heap[a] = order->heap[b];
	order->heap[b] = thread;
}

static void push(struct go_order *order, uint32_t thread)
{
	uint32_t at = order->heap_count++;

	order->heap[at] = thread;
	for (; at > 0 && time_at(order, at) < time_at(order, (at - 1) / 2); at = (at - 1) / 2)
		swap(order, at, (at - 1) / 2);
}

static void sift(struct go_order *order)
{
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= order->heap_count)
			return;
		if (child + 1 < order->heap_count &&
		    time_at(order, child + 1) < time_at(order, child))
			child++;
		if (time_at(order, at) <= time_at(order, child))
			return;
		swap(order, at, child);
		at = child;
	}
}

static void pop(struct go_order *order)
{
	order->heap[0] = order->heap[--order->heap_count];
	sift(order);
}

/* ---- waiting ---- */

static uint32_t *waiters_of(struct go_order *order, const struct go_thread *thread)
{
	switch (thread->waits_for) {
	case GO_WAIT_P:
		return &order->ps.of[thread->waits_index].waiters;
	case GO_WAIT_G:
		return &order->gs.of[thread->waits_index].waiters;
	}
	return &order->gc_waiters;
}

/* Off the heap, into the list of what it waits for and the list of all who wait. */
static void start_waiting(struct go_order *order, uint32_t index)
{
	struct go_thread *thread = &order->threads[index];
	uint32_t *list = waiters_of(order, thread);

	pop(order);
	thread->next_waiter = *list;
	*list = index;
	thread->waiting_prev = GO_NONE;
	thread->waiting_next = order->waiting;
	if (order->waiting != GO_NONE)
		order->threads[order->waiting].waiting_prev = index;
	order->waiting = index;
}

static void stop_waiting(struct go_order *order, uint32_t index)
{
	struct go_thread *thread = &order->threads[index];

	*(thread->waiting_prev == GO_NONE ? &order->waiting
					  : &order->threads[thread->waiting_prev].waiting_next) =
		thread->waiting_next;
	if (thread->waiting_next != GO_NONE)
		order->threads[thread->waiting_next].waiting_prev = thread->waiting_prev;
	thread->waits_for = GO_WAIT_NOTHING;
	push(order, index);
}

void rh_go_wake(struct go_order *order, uint32_t *waiters)
{
	while (*waiters != GO_NONE) {
		uint32_t index = *waiters;

		*waiters = order->threads[index].next_waiter;
		stop_waiting(order, index);
	}
}

/* Everybody waits: let everybody take one step. */
static void force_all(struct go_order *order)
{
	for (uint32_t i = order->waiting; i != GO_NONE; i = order->threads[i].waiting_next)
		order->threads[i].forced = true;
	while (order->waiting != GO_NONE)
		rh_go_wake(order, waiters_of(order, &order->threads[order->waiting]));
}

/* ---- threads and their batches ---- */

static struct go_thread *thread_of(struct go_order *order, uint64_t id)
{
	uint64_t known = rh_map_get(&order->by_thread, id);
	struct go_thread *thread;

	if (known != RH_MAP_NONE)
		return &order->threads[known];
	if (!rh_reserve32(&order->threads, &order->thread_cap, order->thread_count + (size_t)1,
			  sizeof(*order->threads)) ||
	    !rh_map_put(&order->by_thread, id, order->thread_count))
		return NULL;
	thread = &order->threads[order->thread_count++];
	*thread = (struct go_thread){
		.id = id,
		.p = GO_NONE,
		.g = GO_NONE,
		.p_last = RH_NONE,
		.batch = GO_NONE,
		.batch_last = GO_NONE,
	};
	return thread;
}

/* Each thread's batches in a row, and the threads that have some in the heap's array. */
static int chain(struct go_order *order, const struct go_generation *generation, struct rh_err *err)
{
	if (!rh_reserve(&order->batch_next, &order->batch_next_cap, generation->batch_count,
			sizeof(*order->batch_next)))
		return rh_go_no_memory(err);
	for (uint32_t i = 0; i < generation->batch_count; i++) {
		struct go_thread *thread;

		if (generation->batches[i].table)
			continue;
		thread = thread_of(order, generation->batches[i].thread);
		if (!thread)
			return rh_go_no_memory(err);
		order->batch_next[i] = GO_NONE;
		if (thread->batch == GO_NONE) {
			if (!rh_reserve32(&order->heap, &order->heap_cap,
					  order->heap_count + (size_t)1, sizeof(*order->heap)))
				return rh_go_no_memory(err);
			order->heap[order->heap_count++] = (uint32_t)(thread - order->threads);
			thread->batch = i;
		} else {
			order->batch_next[thread->batch_last] = i;
		}
		thread->batch_last = i;
	}
	return 0;
}

/* What the thread wrote from there on is lost. */
static void note_torn(const struct go_order *order, const struct go_thread *thread)
{
	struct go_wire *wire = order->wire;

	if (!wire->truncated[0])
		snprintf(wire->truncated, sizeof(wire->truncated),
			 "damaged in generation %llu, thread %llu: event %u is not one of format "
			 "1.%u, or is cut, %llu bytes before the end of its batch",
			 (unsigned long long)order->generation, (unsigned long long)thread->id,
			 *thread->rest.at, wire->version,
			 (unsigned long long)(thread->rest.end - thread->rest.at));
}

/* The thread goes on in its next batch. */
static bool next_batch(const struct go_order *order, struct go_thread *thread)
{
	const struct go_batch *batch;

	if (thread->batch == GO_NONE)
		return false;
	batch = &order->now->batches[thread->batch];
	thread->rest.at = order->now->data + batch->at;
	thread->rest.end = thread->rest.at + batch->bytes;
	thread->rest.time = batch->time;
	thread->batch = order->batch_next[thread->batch];
	return true;
}

/* Room for what can be read ahead of the thread: no more than the rest of its batch holds, for
 * there may be a million threads of one event each. */
static bool make_room(struct go_thread *thread)
{
	size_t most = (size_t)(thread->rest.end - thread->rest.at) / EVENT_BYTES_MIN + 1;
	size_t need = thread->ahead_count + most;
	void *p;

	need = need < GO_AHEAD ? need : GO_AHEAD;
	if (need <= thread->ahead_cap)
		return true;
	p = reallocarray(thread->ahead, need, sizeof(*thread->ahead));
	if (!p)
		return false;
	thread->ahead = p;
	thread->ahead_cap = (uint32_t)need;
	return true;
}

/* As many as there is room for, or as the generation has. */
static bool read_ahead(const struct go_order *order, struct go_thread *thread)
{
	uint32_t left = thread->ahead_count - thread->ahead_at;
	size_t got = 1;

	if (left)
		memmove(thread->ahead, thread->ahead + thread->ahead_at,
			left * sizeof(*thread->ahead));
	thread->ahead_at = 0;
	thread->ahead_count = left;
	while (got && thread->ahead_count < GO_AHEAD &&
	       (thread->rest.at != thread->rest.end || next_batch(order, thread))) {
		if (!make_room(thread))
			return false;
		got = rh_go_events_next(order->wire, &thread->rest,
					thread->ahead + thread->ahead_count,
					thread->ahead_cap - thread->ahead_count);
		thread->ahead_count += (uint32_t)got;
	}
	return true;
}

struct go_event *rh_go_look(struct go_order *order, struct go_thread *thread, uint32_t *count)
{
	*count = thread->ahead_count - thread->ahead_at;
	if (*count < GO_LOOK_EVENTS &&
	    (thread->rest.at != thread->rest.end || thread->batch != GO_NONE)) {
		read_ahead(order, thread);
		*count = thread->ahead_count - thread->ahead_at;
	}
	if (*count > GO_LOOK_EVENTS)
		*count = GO_LOOK_EVENTS;
	return thread->ahead + thread->ahead_at;
}

/* As advance(), when nothing was read ahead. */
static __attribute__((noinline)) int
advance_by_reading(const struct go_order *order, struct go_thread *thread, struct rh_err *err)
{
	if (!read_ahead(order, thread))
		return rh_go_no_memory(err);
	if (thread->ahead_at < thread->ahead_count) {
		thread->event = thread->ahead[thread->ahead_at++];
		return 1;
	}
	if (thread->rest.at == thread->rest.end)
		return 0;
	/* A batch is torn: the thread ends here. */
	note_torn(order, thread);
	thread->rest.at = thread->rest.end;
	thread->batch = GO_NONE;
	return 0;
}

/* The thread's next event: 1, 0 when it has no more in this generation, -1. */
static inline int advance(const struct go_order *order, struct go_thread *thread,
			  struct rh_err *err)
{
	if (thread->ahead_at == thread->ahead_count)
		return advance_by_reading(order, thread, err);
	thread->event = thread->ahead[thread->ahead_at++];
	return 1;
}

/* The threads that chain listed, put in order. */
static int fill_heap(struct go_order *order, struct rh_err *err)
{
	uint32_t count = order->heap_count;

	order->heap_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = order->heap[i];
		int got = advance(order, &order->threads[index], err);

		if (got < 0)
			return -1;
		if (got > 0)
			push(order, index);
	}
	return 0;
}

static bool names_p(unsigned kind)
{
	return kind == GO_PROC_START || kind == GO_PROC_STEAL || kind == GO_PROC_STATUS;
}

static bool names_g(unsigned kind)
{
	return kind == GO_CREATE || kind == GO_CREATE_SYSCALL || kind == GO_CREATE_BLOCKED ||
	       kind == GO_START || kind == GO_UNBLOCK || kind == GO_STATUS ||
	       kind == GO_STATUS_STACK || kind == GO_SWITCH || kind == GO_SWITCH_DESTROY;
}

static bool makes_or_tells(unsigned kind)
{
	return kind == GO_CREATE || kind == GO_CREATE_SYSCALL || kind == GO_CREATE_BLOCKED ||
	       kind == GO_STATUS || kind == GO_STATUS_STACK;
}

static bool ends_current(unsigned kind)
{
	return kind == GO_DESTROY || kind == GO_DESTROY_SYSCALL || kind == GO_SWITCH_DESTROY;
}

/* The goroutine that the thread runs is over: taken, then forgotten. */
static int end_current(struct go_order *order, struct go_thread *thread, go_take *take, void *ctx,
		       struct rh_err *err)
{
	uint32_t g = thread->g;

	if (take(ctx, thread, &thread->event, rh_go_current(order, thread), err) < 0)
		return -1;
	thread->g = GO_NONE;
	if (g == GO_NONE)
		return 0;
	rh_go_wake(order, &order->gs.of[g].waiters);
	return rh_go_actor_end(&order->gs, g) ? 0 : rh_go_no_memory(err);
}

static int entangled(const struct go_order *order, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA,
		       "%s: generation %llu: %u threads wait for each other more often than "
		       "any program's do: the trace is damaged",
		       rh_input_path(order->wire->input), (unsigned long long)order->generation,
		       order->thread_count);
}

/* An event of the scheduler. 1: it went out, 0: the thread now waits. */
static int schedule(struct go_order *order, uint32_t index, go_take *take, void *ctx,
		    struct rh_err *err)
{
	struct go_thread *thread = &order->threads[index];
	unsigned kind = thread->event.kind;
	uint32_t p = names_p(kind) ? rh_go_actor_of(&order->ps, thread->event.args[0]) : GO_NONE;
	uint32_t g = names_g(kind) ? rh_go_actor_of(&order->gs, thread->event.args[0]) : GO_NONE;
	bool held;

	if ((names_p(kind) && p == GO_NONE) || (names_g(kind) && g == GO_NONE))
		return rh_go_no_memory(err);
	held = rh_go_held_back(order, thread, p, g);
	if (held && !thread->forced) {
		if (++order->waits > WAITS_FREE + WAITS_EACH * order->events)
			return entangled(order, err);
		start_waiting(order, index);
		return 0;
	}
	order->forced += held;
	thread->forced = false;
	if (ends_current(kind) && end_current(order, thread, take, ctx, err) < 0)
		return -1;
	if (kind == GO_SWITCH_DESTROY)
		g = rh_go_actor_of(&order->gs,
				   thread->event.args[0]); /* it may have ended itself */
	if (names_g(kind) && g == GO_NONE)
		return rh_go_no_memory(err);
	rh_go_apply(order, thread, p, g);
	if (!ends_current(kind) && take(ctx, thread, &thread->event,
					makes_or_tells(kind) ? &order->gs.of[g] : NULL, err) < 0)
		return -1;
	return 1;
}

/* When the first of all others has its event: as long as it is not later, the earliest thread stays
 * that. */
static uint64_t next_time(const struct go_order *order)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t at = 1; at <= 2 && at < order->heap_count; at++)
		if (time_at(order, at) < next)
			next = time_at(order, at);
	return next;
}

/* The earliest thread's events, for as long as it is the earliest. */
static int run_first(struct go_order *order, go_take *take, void *ctx, struct rh_err *err)
{
	uint32_t index = order->heap[0];
	struct go_thread *thread = &order->threads[index];
	uint64_t next = next_time(order);
	int got;

	for (;;) {
		bool alloc = go_is_alloc(thread->event.kind);

		if (alloc) {
			if (take(ctx, thread, &thread->event, NULL, err) < 0)
				return -1;
		} else {
			got = schedule(order, index, take, ctx, err);
			if (got <= 0)
				return got;
		}
		order->events++;
		got = advance(order, thread, err);
		if (got < 0)
			return -1;
		/* An allocation wakes nobody. */
		if (alloc && got && thread->event.time <= next)
			continue;
		/* Waking others may have put an earlier one on top. */
		if (order->heap[0] != index) {
			uint32_t at = 0;

			while (order->heap[at] != index)
				at++;
			for (; at > 0; at = (at - 1) / 2)
				swap(order, at, (at - 1) / 2);
		}
		if (got == 0) {
			pop(order);
			return 0;
		}
		sift(order);
		if (order->heap[0] != index)
			return 0;
		next = next_time(order);
	}
}

int rh_go_order_merge(struct go_order *order, const struct go_generation *generation, go_take *take,
		      void *ctx, struct rh_err *err)
{
	order->generation = generation->number;
	order->now = generation;
	order->gc_seq = RH_NONE;
	if (chain(order, generation, err) < 0 || fill_heap(order, err) < 0)
		return -1;
	for (;;) {
		if (order->heap_count == 0)
			force_all(order);
		if (order->heap_count == 0)
			return 0;
		if (run_first(order, take, ctx, err) < 0)
			return -1;
	}
}
