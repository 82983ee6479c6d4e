/*
 * tasks.c - goroutines become tasks, and stacks find their owners.
 *
 * The recorder says that a stack was made, was freed or existed at its start, but not its
 * owner. The following events on the same thread show it:
 *	made, then a goroutine is created	it is the new goroutine's
 *	made, then another is freed		somebody's stack was copied: it grew or shrank
 *	16 KiB made, then 32 KiB		a new thread's own two (g0 and the signal stack)
 *	freed on its own			the last owner is gone, or a thread has ended
 * A goroutine that is created without a stack being made took one over from a goroutine
 * that ended; which one is not known until it grows.
 *
 * When recording begins, goroutines and stacks are listed separately. So every stack of the
 * snapshot becomes a task, goroutines get one as they appear, and when a goroutine's stack grows
 * and turns out to be another's, the two swap. Stacks left over belong to goroutines that had
 * ended: their tasks exit at once.
 *
 * How much of a stack is in use is not recorded. But a stack grows when a call finds no room
 * above the guard, 928 bytes from the end, less 128 that small frames may use without a check.
 * So at that moment all of it except the guard is in use, give or take 128 bytes or a large
 * frame.
 */
#include <stdlib.h>
#include <string.h>

#include "traces/import/go/go.h"
#include "alloc/base/grow.h"

enum {
	STACK_MIN_LOG2 = 11,
	STACK_MAX_LOG2 = 30,
	G0_LOG2 = 14,
	SIGNAL_LOG2 = 15,
	OPENED_MAX = 64,
	GUARD_BYTES = 928
};
#define NOBODY (UINT64_MAX - 1)

/* What is known of a stack, packed into a word of the map: task (0 = of no living one),
 * whether that is a thread of the runtime, log2 of the size. */
static uint64_t pack(uint32_t task, bool of_thread, unsigned log2)
{
	return (uint64_t)task << 9 | (uint64_t)of_thread << 8 | log2;
}

static uint32_t task_of(uint64_t word)
{
	return (uint32_t)(word >> 9);
}
static bool is_thread(uint64_t word)
{
	return word >> 8 & 1;
}
static unsigned log2_of(uint64_t word)
{
	return word & 255;
}

void rh_go_tasks_close(struct go_tasks *tasks)
{
	rh_map_close(&tasks->stacks);
	rh_map_close(&tasks->stack_of);
	rh_map_close(&tasks->guesses);
	free(tasks->unbound);
}

struct new_task {
	uint64_t bytes; /* of its stack; RH_NONE */
	bool extra;	/* no event of the input says it */
};

static int spawn(struct go_import *import, struct go_thread *thread, struct new_task new,
		 uint32_t *task, struct rh_err *err)
{
	struct rh_event event = rh_go_event_of(RH_EV_SPAWN);

	event.id = ++import->tasks.count;
	event.size = new.bytes;
	if (rh_go_put(import, thread, &event, new.extra, err) < 0)
		return -1;
	*task = (uint32_t)event.id; /* it may be the one that acts */
	return 0;
}

static int leave(struct go_import *import, struct go_thread *thread, uint32_t task, bool extra,
		 struct rh_err *err)
{
	struct rh_event event = rh_go_event_of(RH_EV_EXIT);

	event.id = task;
	return rh_go_put(import, thread, &event, extra, err);
}

/* word: pack() of the owner. */
static int own(struct go_import *import, uint64_t stack, uint64_t word, struct rh_err *err)
{
	struct go_tasks *tasks = &import->tasks;

	if (task_of(word) && !rh_map_put(&tasks->stack_of, task_of(word), stack))
		return rh_go_no_memory(err);
	return rh_map_put(&tasks->stacks, stack, word) ? 0 : rh_go_no_memory(err);
}

/* The task is over: its stack is nobody's. Others may have moved it meanwhile (a collector
 * that shrinks it), so that the goroutine itself need not know where it is. */
static int disown(struct go_import *import, uint32_t task, struct rh_err *err)
{
	uint64_t stack = rh_map_remove(&import->tasks.stack_of, task);
	uint64_t word =
		stack == RH_MAP_NONE ? RH_MAP_NONE : rh_map_get(&import->tasks.stacks, stack);

	if (word == RH_MAP_NONE || task_of(word) != task)
		return 0;
	return own(import, stack, pack(0, false, log2_of(word)), err);
}

/* ---- goroutines of before the trace ---- */

static int add_unbound(struct go_tasks *tasks, uint32_t task, uint64_t stack, struct rh_err *err)
{
	if (!rh_reserve(&tasks->unbound, &tasks->unbound_cap, tasks->unbound_count + 1,
			sizeof(*tasks->unbound)))
		return rh_go_no_memory(err);
	tasks->unbound[tasks->unbound_count++] = (struct go_unbound){ task, stack };
	return rh_map_put(&tasks->guesses, task, NOBODY) ? 0 : rh_go_no_memory(err);
}

/* Gives a goroutine one of the snapshot's tasks, if there is one left. */
static bool bind(struct go_tasks *tasks, struct go_actor *g)
{
	while (tasks->unbound_count) {
		struct go_unbound *last = &tasks->unbound[--tasks->unbound_count];

		if (rh_map_get(&tasks->guesses, last->task) != NOBODY)
			continue; /* proved to be another's meanwhile */
		g->task = last->task;
		g->stack = last->stack;
		/* Replaces a value that is there: cannot fail. */
		rh_map_put(&tasks->guesses, last->task, g->id);
		return true;
	}
	return false;
}

/* The goroutine g proves to own the stack of `task`; its guess goes to who had that. */
static int reveal(struct go_import *import, struct go_actor *g, uint32_t task, uint64_t stack,
		  struct rh_err *err)
{
	struct go_tasks *tasks = &import->tasks;
	uint64_t had = rh_map_remove(&tasks->guesses, task);
	struct go_actor *other = had == NOBODY ? NULL : rh_go_goroutine(&import->order, had);
	uint32_t old_task = g->task;
	uint64_t old_stack = g->stack;

	if (task == old_task)
		return 0;
	g->task = task;
	g->stack = stack;
	go_count(import, GO_N_ESTIMATE_STACK);
	if (!other)
		return add_unbound(tasks, old_task, old_stack, err);
	other->task = old_task;
	other->stack = old_stack;
	return rh_map_put(&tasks->guesses, old_task, other->id) ? 0 : rh_go_no_memory(err);
}

/* Tasks without a goroutine, but for `keep` of them, were cached by goroutines that had ended. */
static int end_leftover(struct go_import *import, struct go_thread *thread, uint64_t keep,
			struct rh_err *err)
{
	struct go_tasks *tasks = &import->tasks;
	size_t ended = tasks->unbound_count > keep ? tasks->unbound_count - keep : 0;

	/* Caches hand out the last in first: the stacks made first are what is left. */
	for (size_t i = 0; i < ended; i++) {
		uint32_t task = tasks->unbound[i].task;

		rh_map_remove(&tasks->guesses, task);
		if (disown(import, task, err) < 0 || leave(import, thread, task, true, err) < 0)
			return -1;
	}
	if (ended)
		memmove(tasks->unbound, tasks->unbound + ended,
			(tasks->unbound_count - ended) * sizeof(*tasks->unbound));
	tasks->unbound_count -= ended;
	return 0;
}

int rh_go_snapshot_end(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	struct go_tasks *tasks = &import->tasks;
	uint64_t bound = 0;

	tasks->snapshot = GO_SNAPSHOT_OVER;
	for (uint32_t i = 0; i < import->order.gs.count; i++) {
		struct go_actor *g = &import->order.gs.of[i];

		if (g->status == GO_UNKNOWN || g->task)
			continue;
		bound++;
		if (!bind(tasks, g) &&
		    spawn(import, thread, (struct new_task){ RH_NONE, true }, &g->task, err) < 0)
			return -1;
	}
	return end_leftover(import, thread,
			    tasks->alive_at_start > bound ? tasks->alive_at_start - bound : 0, err);
}

/* ---- goroutines ---- */

static int create(struct go_import *import, struct go_thread *thread, struct go_actor *g,
		  struct rh_err *err)
{
	uint64_t stack = thread->stack_pending;
	unsigned log2 = thread->stack_pending_log2;

	thread->stack_pending = 0;
	if (g->task) {
		go_count(import, GO_N_DROP_TASK_UNKNOWN);
		return 0;
	}
	if (stack && log2 != STACK_MIN_LOG2)
		import->tasks.start_log2 = (uint8_t)log2;
	if (!stack)
		log2 = import->tasks.start_log2;
	if (spawn(import, thread, (struct new_task){ log2 ? (uint64_t)1 << log2 : RH_NONE, false },
		  &g->task, err) < 0)
		return -1;
	g->stack = stack;
	return stack ? own(import, stack, pack(g->task, false, log2), err) : 0;
}

/* A goroutine reports its status in each generation; the first time it may be new to us. */
static int status(struct go_import *import, struct go_thread *thread, struct go_actor *g,
		  struct rh_err *err)
{
	if (!g->task && import->tasks.snapshot == GO_SNAPSHOT_OVER && !bind(&import->tasks, g))
		return spawn(import, thread, (struct new_task){ RH_NONE, false }, &g->task, err);
	go_count(import, GO_N_DROP_SCHEDULING);
	return 0;
}

static int destroy(struct go_import *import, struct go_thread *thread, struct go_actor *g,
		   struct rh_err *err)
{
	struct go_tasks *tasks = &import->tasks;

	if (!g || (!g->task && !bind(tasks, g))) {
		go_count(import, GO_N_DROP_TASK_UNKNOWN);
		return 0;
	}
	rh_map_remove(&tasks->guesses, g->task);
	if (disown(import, g->task, err) < 0 || leave(import, thread, g->task, false, err) < 0)
		return -1;
	g->task = 0;
	return 0;
}

int rh_go_task_event(struct go_import *import, struct go_thread *thread,
		     const struct go_event *event, struct go_actor *g, struct rh_err *err)
{
	switch (event->kind) {
	case GO_CREATE:
	case GO_CREATE_BLOCKED:
	case GO_CREATE_SYSCALL:
		return create(import, thread, g, err);
	case GO_STATUS:
	case GO_STATUS_STACK:
		return status(import, thread, g, err);
	}
	return destroy(import, thread, g, err);
}

/* ---- stacks ---- */

static int thread_stack(struct go_import *import, struct go_thread *thread, uint64_t stack,
			unsigned log2, struct rh_err *err)
{
	uint32_t task;

	if (spawn(import, thread, (struct new_task){ (uint64_t)1 << log2, true }, &task, err) < 0)
		return -1;
	return own(import, stack, pack(task, true, log2), err);
}

/* A stack nobody came for. */
static int flush_pending(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	uint64_t stack = thread->stack_pending;

	thread->stack_pending = 0;
	return stack ? thread_stack(import, thread, stack, thread->stack_pending_log2, err) : 0;
}

struct sized_stack {
	uint64_t base;
	unsigned log2; /* of its bytes */
};

/* Pages that hold a stack are stack pages: noted once. Then the stack, by its place. */
static int note_stack(struct go_import *import, struct go_thread *thread, enum go_series series,
		      struct sized_stack stack, struct rh_err *err)
{
	struct go_span *span = rh_go_span_at(&import->heap, stack.base);
	uint64_t place = stack.log2;

	if (import->gc_ender == thread->id)
		place |= 1 << 5;
	if (span && span->kind == GO_MANUAL) {
		place |= (uint64_t)span->number << 10 |
			 ((stack.base - span->base) >> STACK_MIN_LOG2 & 15) << 6;
		if (!span->stacks) {
			span->stacks = true;
			if (rh_go_put_ref(import, thread,
					  (struct go_ref){ GO_REF_STACK_SPAN,
							   rh_go_stack_span_word(span), true },
					  err) < 0)
				return -1;
		}
	}
	return rh_go_put_ref(import, thread, (struct go_ref){ series, place, false }, err);
}

static int exists(struct go_import *import, struct go_thread *thread, uint64_t stack, unsigned log2,
		  struct rh_err *err)
{
	uint32_t task;

	/* Closing looks at all goroutines: not for every stack of a damaged trace. */
	if (import->tasks.opened < OPENED_MAX) {
		import->tasks.opened += import->tasks.snapshot != GO_SNAPSHOT_OPEN;
		import->tasks.snapshot = GO_SNAPSHOT_OPEN;
	}
	if (note_stack(import, thread, GO_REF_STACK, (struct sized_stack){ stack, log2 }, err) <
		    0 ||
	    spawn(import, thread, (struct new_task){ (uint64_t)1 << log2, true }, &task, err) < 0 ||
	    own(import, stack, pack(task, false, log2), err) < 0)
		return -1;
	return add_unbound(&import->tasks, task, stack, err);
}

static int made(struct go_import *import, struct go_thread *thread, uint64_t stack, unsigned log2,
		struct rh_err *err)
{
	bool new_thread = thread->stack_pending && thread->stack_pending_log2 == G0_LOG2 &&
			  log2 == SIGNAL_LOG2;

	if (note_stack(import, thread, GO_REF_STACK_ALLOC, (struct sized_stack){ stack, log2 },
		       err) < 0 ||
	    flush_pending(import, thread, err) < 0)
		return -1;
	if (new_thread)
		return thread_stack(import, thread, stack, log2, err);
	thread->stack_pending = stack;
	thread->stack_pending_log2 = (uint8_t)log2;
	return own(import, stack, pack(0, false, log2), err);
}

/* A stack that is freed right after another was made, and whose it is. */
struct copy {
	uint64_t old, word;	/* the stack that is freed, and what is known of it */
	bool grows;		/* the new one is larger */
	struct go_actor *owner; /* result: NULL = not known */
	uint32_t task;		/* result: 0 = of no living one */
};

static int find_owner(struct go_import *import, struct go_thread *thread, struct copy *copy,
		      struct rh_err *err)
{
	struct go_actor *g = rh_go_current(&import->order, thread);
	uint64_t old = copy->old;
	uint64_t guess;

	copy->task = task_of(copy->word);
	guess = copy->task ? rh_map_get(&import->tasks.guesses, copy->task) : RH_MAP_NONE;
	/* What a goroutine took over has the size that new stacks have now. */
	if (copy->grows && g && g->task && !g->stack && copy->task == 0)
		import->tasks.start_log2 = (uint8_t)log2_of(copy->word);
	copy->owner = g && g->stack == old && g->task == copy->task ? g : NULL;
	if (!copy->grows || !g || !g->task || copy->owner)
		return 0;
	/* Only the running goroutine's stack grows. */
	if (guess != RH_MAP_NONE && rh_map_get(&import->tasks.guesses, g->task) != RH_MAP_NONE) {
		copy->owner = g;
		return reveal(import, g, copy->task, old, err);
	}
	if (copy->task == 0 && (g->stack == 0 || g->stack == old)) {
		copy->owner = g;
		copy->task = g->task;
	}
	return 0;
}

static int copied(struct go_import *import, struct go_thread *thread, uint64_t old, uint64_t word,
		  struct rh_err *err)
{
	uint64_t stack = thread->stack_pending;
	unsigned log2 = thread->stack_pending_log2;
	bool grows = log2 > log2_of(word);
	struct rh_event event = rh_go_event_of(grows ? RH_EV_GROW : RH_EV_SHRINK);
	struct copy copy = { .old = old, .word = word, .grows = grows };
	uint32_t task;

	if (find_owner(import, thread, &copy, err) < 0)
		return -1;
	task = copy.task;
	thread->stack_pending = 0;
	if (!task) {
		/* The stack of a goroutine that took it over from an ended one. */
		go_count(import, GO_N_ESTIMATE_STACK);
		return own(import, stack, pack(0, false, log2), err);
	}
	if (copy.owner)
		copy.owner->stack = stack;
	event.id = task;
	event.size = (uint64_t)1 << log2;
	if (grows) {
		event.arg = ((uint64_t)1 << log2_of(word)) - GUARD_BYTES;
		go_count(import, GO_N_ESTIMATE_USED);
	}
	if (rh_go_put(import, thread, &event, true, err) < 0)
		return -1;
	return own(import, stack, pack(task, is_thread(word), log2), err);
}

static int freed(struct go_import *import, struct go_thread *thread, uint64_t stack,
		 struct rh_err *err)
{
	uint64_t word = rh_map_remove(&import->tasks.stacks, stack);

	if (word == RH_MAP_NONE) {
		go_count(import, GO_N_DROP_STACK_UNKNOWN);
		return 0;
	}
	if (note_stack(import, thread, GO_REF_STACK_FREE,
		       (struct sized_stack){ stack, log2_of(word) }, err) < 0)
		return -1;
	if (thread->stack_pending == stack) {
		thread->stack_pending = 0;
		return 0;
	}
	if (thread->stack_pending && thread->stack_pending_log2 != log2_of(word))
		return copied(import, thread, stack, word, err);
	if (is_thread(word))
		return leave(import, thread, task_of(word), true, err);
	return 0;
}

int rh_go_stack_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err)
{
	uint64_t stack = import->types.heap_min + 2048 * event->args[0];
	uint64_t log2 = event->args[1] - 1;

	if (event->kind != GO_STACK && rh_go_flush_late(import, thread, err) < 0)
		return -1;
	if (event->kind == GO_STACK_FREE)
		return freed(import, thread, stack, err);
	if (log2 < STACK_MIN_LOG2 || log2 > STACK_MAX_LOG2) {
		go_count(import, GO_N_DROP_STACK_EMPTY);
		return 0;
	}
	if (event->kind == GO_STACK)
		return exists(import, thread, stack, (unsigned)log2, err);
	return made(import, thread, stack, (unsigned)log2, err);
}

int rh_go_tasks_finish(struct go_import *import, struct rh_err *err)
{
	for (uint32_t i = 0; i < import->order.thread_count; i++)
		if (flush_pending(import, &import->order.threads[i], err) < 0)
			return -1;
	return 0;
}
