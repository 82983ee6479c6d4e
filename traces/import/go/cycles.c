/*
 * cycles.c - collections, and when each P gave its caches back after one.
 *
 * At the end of marking the world is stopped and every P's caches, of spans and of stacks, are
 * stale. Each P flushes them when it runs next: at its start (PROC_START follows right away);
 * the P that ended the cycle, as it starts the world, before any other runs (procresize;
 * STW_END can come 15 ms later, but the first slots it sweeps or the first start of another P
 * show that it has done so); and for Ps that stay idle, that P flushes them next, so before the
 * next event of its thread. The stacks in a P's cache decide when it needs a new span, so the
 * flushes are recorded in the order they happened: go.flushed on the lane of the P.
 *
 * Then too it frees the spans of stacks that became empty while it marked (freeStackSpans): at the
 * end of the stop a busy machine may keep the thread off its CPU for milliseconds, and until it
 * runs others take stacks from those spans: go.trimmed.
 *
 * The thread that stops the world to end a cycle takes its stacks past the cache of its P
 * until it has ended it.
 *
 * Until it starts the world, the P that ended the cycle continues with stale caches; any other
 * P that makes or frees a stack before we saw it start has flushed them just before.
 */
#include <string.h>

#include "traces/import/go/go.h"

/* Between the begin of a cycle and here other Ps ran on: they gave stacks back at once. The world
 * was stopped and goes on: whoever stopped it says so, or before that a P starts. */
static int marking(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	if (import->gc_marks || import->gc_begun == import->gc_ended)
		return 0;
	import->gc_marks = true;
	import->gc_starter = RH_NONE;
	return rh_go_put_ref(import, thread,
			     (struct go_ref){ GO_REF_MARKS, import->gc_begun, true }, err);
}

/* A generation in which a cycle runs reports it again. */
int rh_go_cycle_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err)
{
	bool ends = event->kind == GO_GC_END;
	struct rh_event out = rh_go_event_of(ends ? RH_EV_GC_END : RH_EV_GC_BEGIN);

	if (ends == (import->gc_begun == import->gc_ended)) {
		go_count(import, GO_N_DROP_CYCLE_KNOWN);
		return 0;
	}
	out.id = ends ? ++import->gc_ended : ++import->gc_begun;
	import->heap.cycles = import->gc_ended;
	if (ends) {
		import->gc_marks = false;
		import->gc_ender = RH_NONE;
		for (uint32_t i = 0; i < import->order.ps.count; i++)
			import->order.ps.of[i].stale = import->order.ps.of[i].held;
		import->gc_thread = thread->id;
		import->gc_p = thread->p;
	}
	if (rh_go_put(import, thread, &out, false, err) < 0)
		return -1;
	/* One that ran when recording began. */
	return event->kind == GO_GC_ACTIVE ? marking(import, thread, err) : 0;
}

static int flush(struct go_import *import, struct go_thread *thread, uint32_t p, bool ended_cycle,
		 struct rh_err *err)
{
	struct go_actor *actor = &import->order.ps.of[p];
	struct rh_event event = rh_go_event_of(RH_EV_REF);

	if (!actor->stale)
		return 0;
	actor->stale = false;
	if (actor->fills)
		memset(actor->fills, 0, GO_KINDS * sizeof(*actor->fills));
	actor->tiny = 0;
	actor->tiny_offset = 0;
	event.id = GO_REF_FLUSHED;
	event.arg = ended_cycle;
	return rh_go_put_on(import, thread, actor->id, &event, err);
}

static int world_started(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	uint32_t p = import->gc_p;

	import->gc_p = GO_NONE;
	import->gc_started = true;
	return p == GO_NONE ? 0 : flush(import, thread, p, true, err);
}

int rh_go_flush_ender(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err)
{
	uint32_t p = import->gc_p;
	bool runs = thread->id == import->gc_thread
			    ? event->kind == GO_OBJECT_FREE || event->kind == GO_SPAN_FREE
			    : event->kind == GO_PROC_START;

	return runs ? flush(import, thread, p, true, err) : 0;
}

int rh_go_flush_idle(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	import->gc_thread = RH_NONE;
	import->gc_started = false;
	if (rh_go_put_ref(import, thread, (struct go_ref){ GO_REF_TRIMMED, 1, true }, err) < 0)
		return -1;
	for (uint32_t i = 0; i < import->order.ps.count; i++)
		if (flush(import, thread, i, false, err) < 0)
			return -1;
	return 0;
}

/* A P that starts says that the world goes on if all have stopped: with more Ps than CPUs one that
 * was about to start does so after the stop was asked for, while others still run. */
static bool all_have_stopped(const struct go_import *import, const struct go_thread *thread)
{
	const struct go_actors *ps = &import->order.ps;

	for (uint32_t i = 0; i < ps->count; i++)
		if (i != thread->p && i != import->gc_starter_p && ps->of[i].status == GO_P_RUNNING)
			return false;
	return true;
}

int rh_go_flush_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err)
{
	go_count(import, GO_N_DROP_SCHEDULING);
	if (event->kind == GO_STW_BEGIN) {
		if (import->gc_marks)
			import->gc_ender = thread->id;
		else if (import->gc_begun > import->gc_ended) {
			import->gc_starter = thread->id;
			import->gc_starter_p = thread->p;
		}
		return 0;
	}
	if (import->gc_starter != RH_NONE &&
	    (import->gc_starter == thread->id || all_have_stopped(import, thread)) &&
	    marking(import, thread, err) < 0)
		return -1;
	if (event->kind == GO_STW_END && import->gc_ender == thread->id)
		import->gc_ender = RH_NONE;
	if (event->kind == GO_STW_END)
		return import->gc_thread == thread->id ? world_started(import, thread, err) : 0;
	return thread->p == GO_NONE ? 0 : flush(import, thread, thread->p, false, err);
}

int rh_go_flush_late(struct go_import *import, struct go_thread *thread, struct rh_err *err)
{
	if (thread->p == GO_NONE || thread->id == import->gc_thread)
		return 0;
	return flush(import, thread, thread->p, false, err);
}
