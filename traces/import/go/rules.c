/*
 * rules.c - what the scheduler's events need before they may go, and what they change.
 *
 *	a P		idle -> running -> syscall -> running, or stolen: idle
 *	a goroutine	runnable -> running -> waiting, runnable, syscall, or gone
 *
 * Sequence numbers count the changes of one P or goroutine that any thread may write, and
 * begin anew in each generation with its status. What only the thread that holds it may
 * write needs no number. Conditions on what a thread itself holds are not checked: no other
 * thread's event could ever bring them about, so waiting would help nobody.
 */
#include "traces/import/go/order.h"

static bool follows(const struct go_order *order, const struct go_actor *actor, uint64_t seq)
{
	return actor->generation == order->generation && seq == actor->seq + 1;
}

bool rh_go_held_back(const struct go_order *order, struct go_thread *thread, uint32_t p_index,
		     uint32_t g_index)
{
	const struct go_event *event = &thread->event;
	const struct go_actor *p = p_index == GO_NONE ? NULL : &order->ps.of[p_index];
	const struct go_actor *g = g_index == GO_NONE ? NULL : &order->gs.of[g_index];
	bool may;

	thread->waits_for = p ? GO_WAIT_P : g ? GO_WAIT_G : GO_WAIT_GC;
	thread->waits_index = p ? p_index : g_index;
	switch (event->kind) {
	case GO_PROC_START:
		may = p->status == GO_P_IDLE || (p->status == GO_P_RUNNING && thread->p == p_index);
		return !may || !follows(order, p, event->args[1]);
	case GO_PROC_STEAL:
		may = p->status == GO_P_SYSCALL || p->status == GO_P_ABANDONED;
		return !may || !follows(order, p, event->args[1]);
	case GO_SYSCALL_END_BLOCKED:
		thread->waits_for = GO_WAIT_P;
		thread->waits_index = thread->p;
		return thread->p != GO_NONE && order->ps.of[thread->p].status == GO_P_SYSCALL;
	case GO_START:
		return g->status != GO_G_RUNNABLE || !follows(order, g, event->args[1]);
	case GO_UNBLOCK:
	case GO_SWITCH:
	case GO_SWITCH_DESTROY:
		return g->status != GO_G_WAITING || !follows(order, g, event->args[1]);
	case GO_GC_ACTIVE:
	case GO_GC_BEGIN:
	case GO_GC_END:
		return order->gc_seq != RH_NONE && event->args[0] != order->gc_seq + 1;
	}
	return false;
}

static void hold_g(struct go_order *order, struct go_thread *thread, uint32_t g)
{
	uint32_t self = (uint32_t)(thread - order->threads);
	struct go_actor *actor = &order->gs.of[g];

	/* In a broken trace it may seem to run on two threads. */
	if (actor->holder != GO_NONE && actor->holder != self &&
	    order->threads[actor->holder].g == g)
		order->threads[actor->holder].g = GO_NONE;
	actor->holder = self;
	thread->g = g;
}

static void set_p(struct go_order *order, uint32_t index, enum go_status status)
{
	order->ps.of[index].status = (uint8_t)status;
	rh_go_wake(order, &order->ps.of[index].waiters);
}

static void set_g(struct go_order *order, uint32_t index, enum go_status status)
{
	if (index == GO_NONE)
		return;
	order->gs.of[index].status = (uint8_t)status;
	rh_go_wake(order, &order->gs.of[index].waiters);
}

static void set_seq(const struct go_order *order, struct go_actor *actor, uint64_t seq)
{
	actor->seq = seq;
	actor->generation = order->generation;
}

static void hold_p(struct go_order *order, struct go_thread *thread, uint32_t p)
{
	thread->p = p;
	thread->p_last = order->ps.of[p].id;
	order->ps.of[p].held = true;
}

static void drop_p(struct go_order *order, struct go_thread *thread, enum go_status status)
{
	if (thread->p != GO_NONE)
		set_p(order, thread->p, status);
	thread->p = GO_NONE;
}

static void proc_status(struct go_order *order, struct go_thread *thread, uint32_t p)
{
	struct go_actor *actor = &order->ps.of[p];
	uint64_t status = thread->event.args[1];

	if (actor->status == GO_P_IDLE && status == GO_P_RUNNING)
		order->status_again++;
	set_seq(order, actor, 0);
	set_p(order, p, status > GO_P_ABANDONED ? GO_UNKNOWN : (enum go_status)status);
	if (status == GO_P_RUNNING || status == GO_P_SYSCALL)
		hold_p(order, thread, p);
}

static void proc_steal(struct go_order *order, const struct go_thread *thread, uint32_t p)
{
	uint64_t other = rh_map_get(&order->by_thread, thread->event.args[2]);
	bool abandoned = order->ps.of[p].status == GO_P_ABANDONED;

	set_seq(order, &order->ps.of[p], thread->event.args[1]);
	if (!abandoned && other != RH_MAP_NONE && order->threads[other].p == p)
		order->threads[other].p = GO_NONE;
	set_p(order, p, GO_P_IDLE);
}

static void go_status(struct go_order *order, struct go_thread *thread, uint32_t g)
{
	uint64_t status = thread->event.args[2], runs_on = thread->event.args[1];
	uint64_t other = rh_map_get(&order->by_thread, runs_on);

	set_seq(order, &order->gs.of[g], 0);
	set_g(order, g, status > GO_G_WAITING ? GO_UNKNOWN : (enum go_status)status);
	if (status == GO_G_RUNNING)
		hold_g(order, thread, g);
	else if (status == GO_G_SYSCALL && other != RH_MAP_NONE)
		hold_g(order, &order->threads[other], g);
}

static void leave_g(struct go_order *order, struct go_thread *thread, enum go_status status)
{
	set_g(order, thread->g, status);
	thread->g = GO_NONE;
}

static void proc_event(struct go_order *order, struct go_thread *thread, uint32_t p)
{
	switch (thread->event.kind) {
	case GO_PROC_STATUS:
		proc_status(order, thread, p);
		break;
	case GO_PROC_START:
		set_seq(order, &order->ps.of[p], thread->event.args[1]);
		set_p(order, p, GO_P_RUNNING);
		hold_p(order, thread, p);
		break;
	case GO_PROC_STOP:
		drop_p(order, thread, GO_P_IDLE);
		break;
	case GO_PROC_STEAL:
		proc_steal(order, thread, p);
		break;
	}
}

static void syscall_event(struct go_order *order, struct go_thread *thread)
{
	switch (thread->event.kind) {
	case GO_SYSCALL_BEGIN:
		set_g(order, thread->g, GO_G_SYSCALL);
		if (thread->p != GO_NONE) {
			set_seq(order, &order->ps.of[thread->p], thread->event.args[0]);
			set_p(order, thread->p, GO_P_SYSCALL);
		}
		break;
	case GO_SYSCALL_END:
		set_g(order, thread->g, GO_G_RUNNING);
		if (thread->p != GO_NONE)
			set_p(order, thread->p, GO_P_RUNNING);
		break;
	case GO_SYSCALL_END_BLOCKED:
		leave_g(order, thread, GO_G_RUNNABLE);
		break;
	case GO_DESTROY_SYSCALL:
		drop_p(order, thread, GO_P_ABANDONED);
		break;
	}
}

static void go_event(struct go_order *order, struct go_thread *thread, uint32_t g)
{
	switch (thread->event.kind) {
	case GO_CREATE:
	case GO_CREATE_BLOCKED:
	case GO_CREATE_SYSCALL:
		set_seq(order, &order->gs.of[g], 0);
		set_g(order, g,
		      thread->event.kind == GO_CREATE		? GO_G_RUNNABLE
		      : thread->event.kind == GO_CREATE_BLOCKED ? GO_G_WAITING
								: GO_G_SYSCALL);
		if (thread->event.kind == GO_CREATE_SYSCALL)
			hold_g(order, thread, g);
		break;
	case GO_STATUS:
	case GO_STATUS_STACK:
		go_status(order, thread, g);
		break;
	case GO_STOP:
		leave_g(order, thread, GO_G_RUNNABLE);
		break;
	case GO_BLOCK:
		leave_g(order, thread, GO_G_WAITING);
		break;
	case GO_UNBLOCK:
		set_seq(order, &order->gs.of[g], thread->event.args[1]);
		set_g(order, g, GO_G_RUNNABLE);
		break;
	case GO_SWITCH:
		leave_g(order, thread, GO_G_WAITING);
		/* fall through */
	case GO_SWITCH_DESTROY:
	case GO_START:
		set_seq(order, &order->gs.of[g], thread->event.args[1]);
		set_g(order, g, GO_G_RUNNING);
		hold_g(order, thread, g);
		break;
	}
}

static bool is_cycle(unsigned kind)
{
	return kind == GO_GC_ACTIVE || kind == GO_GC_BEGIN || kind == GO_GC_END;
}

void rh_go_apply(struct go_order *order, struct go_thread *thread, uint32_t p, uint32_t g)
{
	proc_event(order, thread, p);
	syscall_event(order, thread);
	go_event(order, thread, g);
	if (is_cycle(thread->event.kind)) {
		order->gc_seq = thread->event.args[0];
		rh_go_wake(order, &order->gc_waiters);
	}
}
