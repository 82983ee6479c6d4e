/*
 * order.h - one order of events that threads wrote each for itself.
 *
 * Within a thread the order of the file is the truth; across threads the clocks are only a
 * hint, and what holds is what the scheduler's events say: a goroutine runs after it was
 * made runnable, a P is started after it was stopped, and sequence numbers count both.
 * order.c merges one generation after the other by those rules; who holds which P and
 * runs which goroutine lives on from one to the next.
 *
 * Each event is decoded once, up to GO_AHEAD of a thread at a time: who wants to know what a thread
 * does next (tiny.c) looks at those that were read already.
 *
 * Memory: O(threads, Ps and goroutines alive), 6 KB a thread. Thread rule: one thread.
 */
#ifndef RH_GO_ORDER_H
#define RH_GO_ORDER_H

#include "traces/import/go/wire.h"
#include "traces/format/map.h"

#define GO_NONE UINT32_MAX

enum { GO_AHEAD = 128, GO_LOOK_EVENTS = 48 };

enum go_status {
	GO_UNKNOWN,
	/* of a P */
	GO_P_RUNNING = 1,
	GO_P_IDLE,
	GO_P_SYSCALL,
	GO_P_ABANDONED,
	/* of a goroutine */
	GO_G_RUNNABLE = 1,
	GO_G_RUNNING,
	GO_G_SYSCALL,
	GO_G_WAITING,
};

enum go_wait { GO_WAIT_NOTHING, GO_WAIT_P, GO_WAIT_G, GO_WAIT_GC };

/* A P or a goroutine. */
struct go_actor {
	uint64_t id;
	uint64_t seq;
	uint64_t generation; /* in which seq counts */
	uint32_t waiters;    /* first thread that waits for a change, or GO_NONE */
	uint8_t status;
	uint8_t tiny_offset; /* Ps: how full that block is believed to be */
	uint32_t *fills;     /* Ps: by class, number of the span that it fills; NULL = none */
	uint64_t tiny;	     /* Ps: the block of tiny objects; 0 = none known */
	bool held;	     /* Ps: a thread has run it */
	bool stale;	     /* Ps: its caches are from before the last cycle's end */
	uint32_t holder;     /* goroutines: the thread that runs it */
	uint32_t task;	     /* goroutines: task number in the trace, 0 = none yet */
	uint64_t stack;	     /* goroutines: its stack's address, 0 = not known */
};

struct go_actors {
	struct rh_map by_id;
	struct go_actor *of;
	uint32_t count, cap;
	uint32_t *unused;
	uint32_t unused_count, unused_cap;
};

/* A thread of the program (Go's M) and how far its events have been taken. */
struct go_thread {
	uint64_t id;
	uint32_t p, g;		    /* index of what it holds, or GO_NONE */
	uint64_t p_last;	    /* number of the P it held last, RH_NONE = none ever */
	uint32_t batch, batch_last; /* in the generation's list, see order.c */
	struct go_cursor rest;	    /* of its current batch */
	struct go_event event;	    /* the next one */
	struct go_event *ahead;	    /* those behind it: [ahead_at, ahead_count) */
	uint32_t ahead_at, ahead_count, ahead_cap;
	uint8_t waits_for;		     /* enum go_wait */
	uint32_t waits_index;		     /* of the P or goroutine */
	uint32_t next_waiter;		     /* in that list */
	uint32_t waiting_prev, waiting_next; /* among all that wait */
	bool forced;			     /* its next event goes out whatever the rules say */
	uint64_t stack_pending;		     /* tasks.c: a stack made, not yet known for whom */
	uint8_t stack_pending_log2;
};

struct go_order {
	struct go_wire *wire; /* a torn batch is noted there */
	const struct go_generation *now;
	struct go_actors ps, gs;
	struct rh_map by_thread;
	struct go_thread *threads;
	uint32_t thread_count, thread_cap;
	uint32_t *heap; /* threads with an event, earliest first */
	uint32_t heap_count, heap_cap;
	uint32_t gc_waiters;
	uint32_t waiting; /* first of all threads that wait */
	uint64_t gc_seq;  /* RH_NONE until one was seen */
	uint64_t generation;
	uint32_t *batch_next; /* the next batch of the same thread */
	size_t batch_next_cap;
	uint64_t events;       /* taken, all kinds */
	uint64_t waits;	       /* how often one had to wait */
	uint64_t forced;       /* events that broke the rules and went out */
	uint64_t status_again; /* a P that was started before its start was written */
};

/* Takes one event. subject: the goroutine that it creates, ends or reports the status of. Its state
 * is already updated, except that an ended one still exists. 0 or -1 with err. */
typedef int go_take(void *ctx, struct go_thread *thread, const struct go_event *event,
		    struct go_actor *subject, struct rh_err *err);

void rh_go_order_open(struct go_order *order, struct go_wire *wire);
void rh_go_order_close(struct go_order *order);
int rh_go_order_merge(struct go_order *order, const struct go_generation *generation, go_take *take,
		      void *ctx, struct rh_err *err);

/* The thread's events after the next one, as far as the generation has them: *count, at most
 * GO_LOOK_EVENTS; fewer where memory ran out. */
struct go_event *rh_go_look(struct go_order *order, struct go_thread *thread, uint32_t *count);

/* The goroutine a thread runs, or NULL; the same by number. Valid until the next event. */
static inline struct go_actor *rh_go_current(struct go_order *order, const struct go_thread *thread)
{
	return thread->g == GO_NONE ? NULL : &order->gs.of[thread->g];
}
struct go_actor *rh_go_goroutine(struct go_order *order, uint64_t id);

/* ---- actors.c ---- */

int rh_go_no_memory(struct rh_err *err);
/* By number, made when new; GO_NONE when memory ran out. */
uint32_t rh_go_actor_of(struct go_actors *actors, uint64_t id);
bool rh_go_actor_end(struct go_actors *actors, uint32_t index);
void rh_go_actors_close(struct go_actors *actors);

/* ---- rules.c ---- */

/* Whether a thread's event has to wait; for what is noted in the thread. p, g: index of the P
 * and the goroutine that it names, GO_NONE where it names none. */
bool rh_go_held_back(const struct go_order *order, struct go_thread *thread, uint32_t p,
		     uint32_t g);
/* What the event changes; wakes those who waited for that. */
void rh_go_apply(struct go_order *order, struct go_thread *thread, uint32_t p, uint32_t g);
/* Threads of a list go on. (order.c) */
void rh_go_wake(struct go_order *order, uint32_t *waiters);

static inline bool go_is_alloc(unsigned kind)
{
	return kind >= GO_SPAN;
}

#endif
