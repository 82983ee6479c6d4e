/*
 * loop.c - the replay loop in all its variants, and what happens off its fast path.
 *
 * The loop itself is loop.inc, included once for each way of touching memory and once
 * for --verify. Nothing here parses, hashes, locks, allocates or reads the clock while ops run,
 * except when a lane has to wait for another.
 *
 * Waiting: the compiler (harness/compile/compile.c) put a WAIT wherever an object or task made
 * on one lane is used on another. It costs a load if the other lane is ahead. Otherwise we poll
 * for wait_spin_ticks (20 us; none when lanes outnumber CPUs, where spinning keeps the other
 * lane from running) and then sleep on the counter. The flag in `waiters` and the fence in
 * publish() make sure that either the publisher sees the sleeper or the sleeper sees the count.
 *
 * A failed allocation leaves NULL in its slot; the ops that would have used the object skip it,
 * and the count shows that the trial did less work than recorded. Checking for NULL at every
 * free would cost every run 2 instructions per event for the sake of failing runs, so the plain
 * variants do not check: a lane whose allocation fails marks its copy and continues in the
 * careful variant. Another lane can meet that NULL only after a WAIT that follows the failure,
 * or in a later segment: those are the two places where the mark is read.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "harness/worker/ops.h"
#include "harness/worker/worker.h"

/* Ends the loop after `op`; rh_loop_run continues from there in the careful variant. */
static __attribute__((noinline, cold)) void change_loop(struct lane *lane, const struct rh_op *op)
{
	if (lane->loop == lane->loop_careful || lane->end_kept)
		return;
	assert(op < lane->end);
	lane->end_kept = lane->end;
	lane->end = op + op_words(op);
}

static __attribute__((noinline, cold)) void alloc_failed(struct lane *lane, const struct rh_op *op)
{
	assert(op >= lane->seat->ops);
	if (lane->alloc_failed++ == 0)
		lane->first_failed_op = (uint64_t)(op - lane->seat->ops);
	atomic_store_explicit(&lane->copy->careful, true, memory_order_relaxed);
	change_loop(lane, op);
}

/* After a failed resize, free the old block, which is still valid: the trace considers the object
 * dead. */
static __attribute__((noinline, cold)) void resize_failed(struct lane *lane, const struct rh_op *op,
							  uint32_t slot, size_t size_old)
{
	alloc_failed(lane, op);
	lane->heap_ops->free(lane->heap, lane->slots[slot], size_old);
	lane->slots[slot] = NULL;
}

/* Sleeping for recorded order is not charged to the allocator. */
static void sleep_for(struct lane *lane, _Atomic uint32_t *published, uint32_t seen)
{
	uint64_t since;
	struct nap nap;

	lane->meters.futex_replay++;
	rh_meters_sleep(lane, &nap);
	since = rh_ticks();
	rh_futex_wait(published, seen, UINT64_MAX);
	lane->slept_ticks += rh_ticks() - since;
	rh_meters_awake(lane, &nap);
}

static __attribute__((noinline)) void wait_for(struct lane *lane, uint32_t other, uint32_t count)
{
	struct progress *progress = &lane->progress[other];
	uint64_t since = rh_ticks(), spin = lane->worker->wait_spin_ticks;
	uint32_t seen;

	assert(other < lane->worker->lanes && other != lane->index);
	lane->blocked++;
	while (atomic_load_explicit(&progress->published, memory_order_acquire) < count) {
		if (spin && rh_ticks() - since < spin)
			continue;
		atomic_fetch_add(&progress->waiters, 1);
		seen = atomic_load(&progress->published);
		if (seen < count)
			sleep_for(lane, &progress->published, seen);
		atomic_fetch_sub(&progress->waiters, 1);
	}
	lane->blocked_ticks += rh_ticks() - since;
}

/* The exchange is the store, and both are sequentially consistent: a plain load of waiters could be
 * done before the store is seen (on AArch64 an exchange orders no plain load behind its store), and
 * the waiter that came between would sleep for ever. On x86-64 it is the same plain load. */
static inline void publish(struct lane *lane, uint32_t count)
{
	struct progress *mine = &lane->progress[lane->index];

	/* the compiler numbered them: a waiter compares with that number */
	rh_debug_assert(count == atomic_load(&mine->published) + 1);
	atomic_exchange(&mine->published, count);
	if (atomic_load(&mine->waiters)) {
		lane->meters.futex_replay++;
		rh_futex_wake(&mine->published, INT32_MAX);
	}
}

/* Makes a value and memory opaque to the optimiser: comparisons stay in the order written, and no
 * load moves up to where the common ops would pay for it. */
#define KEEP_ORDER(value) __asm__ volatile("" : "+r"(value) : : "memory")

/* Writes a byte into every `step` bytes of [from, to), and into the last one. */
static inline void touch_range(void *p, size_t from, size_t to, size_t step)
{
	volatile char *bytes = p;

	for (size_t at = from; at < to; at += step)
		bytes[at] = 0x5a;
	if (to > from)
		bytes[to - 1] = 0x5a;
}

/* Touches the new part of a block; large ones have MISC_TOUCH ops. One write per cache line loads
 * what the program's own writes would load; writing all bytes would measure the program's time, not
 * the heap's. */
static inline void touch_some(void *p, size_t from, size_t to, size_t step)
{
	if (to < RH_TOUCH_LARGE_BYTES)
		touch_range(p, from, to, step);
}

static bool keeps_memory(const struct lane *lane)
{
	return !(lane->heap_ops->caps & RH_CAP_NO_MEMORY);
}

/* A large block, page by page. --verify has written it already. */
static __attribute__((noinline)) void touch_new(struct lane *lane, uint32_t slot, size_t from,
						size_t to)
{
	const struct rh_ctl *ctl = lane->worker->ctl;

	if (ctl->replay.touch >= RH_TOUCH_PAGE && !ctl->replay.verify && lane->slots[slot] &&
	    keeps_memory(lane))
		touch_range(lane->slots[slot], from, to, RH_PAGE);
}

static __attribute__((noinline)) void task_op(struct lane *lane, const struct rh_op *op)
{
	const struct rh_stack_backend *ops = lane->stack_ops;
	uint32_t slot = RH_OP_SLOT(op->what);
	void **task = &lane->tasks[slot];

	switch (RH_OP_KIND(op->what)) {
	case RH_OP_CALL:
		if (*task && ops->call(lane->stack, *task, op->size) < 0)
			alloc_failed(lane, op);
		break;
	case RH_OP_RETURN:
		if (*task)
			ops->ret(lane->stack, *task, op->size);
		break;
	case RH_OP_SPAWN:
		rh_debug_assert(!*task); /* the exit before emptied it */
		*task = ops->spawn(lane->stack, lane->first_sizes ? 0 : op->size);
		if (!*task)
			alloc_failed(lane, op);
		break;
	case RH_OP_EXIT:
		if (*task)
			ops->exit(lane->stack, *task);
		*task = NULL;
		break;
	case RH_OP_TOUCH:
		if (lane->slots[slot] && keeps_memory(lane))
			touch_range(lane->slots[slot], 0, op->size, RH_CACHE_LINE);
		break;
	default:
		rh_pace_op(lane, op->size);
		break;
	}
}

static void misc_op(struct lane *lane, const struct rh_op *op)
{
	const struct rh_stack_backend *ops = lane->stack_ops;
	void *task;

	switch (RH_OP_SLOT(op->what)) {
	case RH_MISC_GROW:
		task = lane->tasks[op_word(op, 1)];
		if (task && ops->grow &&
		    ops->grow(lane->stack, task, op_word(op, 2),
			      op_word(op, 3) == RH_NONE ? 0 : op_word(op, 3)) < 0)
			alloc_failed(lane, op);
		break;
	case RH_MISC_SHRINK:
		task = lane->tasks[op_word(op, 1)];
		if (task && ops->shrink)
			ops->shrink(lane->stack, task, op_word(op, 2));
		break;
	case RH_MISC_GC_BEGIN:
		lane->heap_ops->gc_begin(lane->heap);
		if (ops->gc_begin)
			ops->gc_begin(lane->stack);
		break;
	case RH_MISC_GC_END:
		lane->heap_ops->gc_end(lane->heap);
		if (ops->gc_end)
			ops->gc_end(lane->stack);
		break;
	case RH_MISC_TURN:
		lane->turns += op != lane->seat->ops;
		break;
	}
}

/* The first word: nearly every program writes it at once. */
#define TOUCH_FIRST(p, size)                           \
	do {                                           \
		if ((size) >= 8)                       \
			*(volatile uint64_t *)(p) = 0; \
	} while (0)

/* Sampled operations are timed; everything else is done as in the plain variants. */
#define TIMED(call)                                                          \
	do {                                                                 \
		if (__builtin_expect(--lane->sample.left != 0, 1)) {         \
			call;                                                \
		} else {                                                     \
			uint64_t begin_ = sample_begin(&lane->sample), end_; \
			uint32_t cpu_;                                       \
                                                                             \
			call;                                                \
			end_ = rh_ticks_end(&cpu_);                          \
			rh_sample_put(lane, op, begin_, end_, cpu_);         \
		}                                                            \
	} while (0)

/* Which lane made the block: separates a remote free from a local one. */
#define BIRTH(slot)			     (lane->copy->birth[slot] = (uint16_t)(lane->index + 1))

#define LOOP_NAME			     loop_none
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   ((void)0)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) ((void)0)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_first
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   TOUCH_FIRST(p, size)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) TOUCH_FIRST(p, size_new)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_page
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   touch_some(p, 0, size, RH_PAGE)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) touch_some(p, size_old, size_new, RH_PAGE)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_full
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   touch_some(p, 0, size, RH_CACHE_LINE)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) touch_some(p, size_old, size_new, RH_CACHE_LINE)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

/* A program has mostly looked at a block before it frees it (it counts references, runs a
 * destructor, sweeps), and so it has the line that an allocator with headers wants. */
static inline void read_byte(const void *p, size_t size)
{
	if (size) /* a block of nothing may lie before a page that must not be read */
		(void)*(const volatile char *)p;
}

#define LOOP_NAME			     loop_read_none
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   ((void)0)
#define DIES(slot, p, size)		     read_byte(p, size)
#define RESIZED(slot, p, size_old, size_new) ((void)0)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_read_first
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   TOUCH_FIRST(p, size)
#define DIES(slot, p, size)		     read_byte(p, size)
#define RESIZED(slot, p, size_old, size_new) TOUCH_FIRST(p, size_new)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_read_page
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   touch_some(p, 0, size, RH_PAGE)
#define DIES(slot, p, size)		     read_byte(p, size)
#define RESIZED(slot, p, size_old, size_new) touch_some(p, size_old, size_new, RH_PAGE)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_read_full
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   touch_some(p, 0, size, RH_CACHE_LINE)
#define DIES(slot, p, size)		     read_byte(p, size)
#define RESIZED(slot, p, size_old, size_new) touch_some(p, size_old, size_new, RH_CACHE_LINE)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

/* After a failure the trial counts as failed and its time is not used: one touch is enough. */
#define LOOP_NAME			     loop_careful
#define LOOP_CAREFUL			     1
#define BORN(slot, p, size, align, zeroed)   TOUCH_FIRST(p, size)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) TOUCH_FIRST(p, size_new)
#define OPERATION(kind, size, call)	     call
#include "harness/worker/loop.inc"

#define LOOP_NAME			     loop_timed_none
#define LOOP_CAREFUL			     0
#define BORN(slot, p, size, align, zeroed)   BIRTH(slot)
#define DIES(slot, p, size)		     ((void)0)
#define RESIZED(slot, p, size_old, size_new) BIRTH(slot)
#define OPERATION(kind, size, call)	     TIMED(call)
#include "harness/worker/loop.inc"

#define LOOP_NAME    loop_timed_first
#define LOOP_CAREFUL 0
#define BORN(slot, p, size, align, zeroed) \
	do {                               \
		BIRTH(slot);               \
		TOUCH_FIRST(p, size);      \
	} while (0)
#define DIES(slot, p, size) ((void)0)
#define RESIZED(slot, p, old, new)   \
	do {                         \
		BIRTH(slot);         \
		TOUCH_FIRST(p, new); \
	} while (0)
#define OPERATION(kind, size, call) TIMED(call)
#include "harness/worker/loop.inc"

#define LOOP_NAME    loop_timed_page
#define LOOP_CAREFUL 0
#define BORN(slot, p, size, align, zeroed)       \
	do {                                     \
		BIRTH(slot);                     \
		touch_some(p, 0, size, RH_PAGE); \
	} while (0)
#define DIES(slot, p, size) ((void)0)
#define RESIZED(slot, p, old, new)                \
	do {                                      \
		BIRTH(slot);                      \
		touch_some(p, old, new, RH_PAGE); \
	} while (0)
#define OPERATION(kind, size, call) TIMED(call)
#include "harness/worker/loop.inc"

#define LOOP_NAME    loop_timed_full
#define LOOP_CAREFUL 0
#define BORN(slot, p, size, align, zeroed)             \
	do {                                           \
		BIRTH(slot);                           \
		touch_some(p, 0, size, RH_CACHE_LINE); \
	} while (0)
#define DIES(slot, p, size) ((void)0)
#define RESIZED(slot, p, old, new)                      \
	do {                                            \
		BIRTH(slot);                            \
		touch_some(p, old, new, RH_CACHE_LINE); \
	} while (0)
#define OPERATION(kind, size, call) TIMED(call)
#include "harness/worker/loop.inc"

#define LOOP_NAME    loop_verify
#define LOOP_CAREFUL 1
#define BORN(slot, p, size, align, zeroed) \
	rh_verify_born(lane, slot, &(struct rh_verify_birth){ p, size, align, zeroed })
#define DIES(slot, p, size)		     rh_verify_dies(lane, slot, p, size)
#define RESIZED(slot, p, size_old, size_new) rh_verify_resized(lane, slot, p, size_old, size_new)
#define OPERATION(kind, size, call)	     call
#define TASK_CHECK(op)			     rh_verify_task_op(lane, op)
#include "harness/worker/loop.inc"

enum loop_kind { LOOP_PLAIN, LOOP_READ, LOOP_TIMED, LOOP_KINDS };

static loop_fn *loop_for(enum rh_ctl_touch touch, bool no_memory, enum loop_kind kind)
{
	static loop_fn *const loops[][LOOP_KINDS] = {
		[RH_TOUCH_NONE] = { loop_none, loop_read_none, loop_timed_none },
		[RH_TOUCH_FIRST] = { loop_first, loop_read_first, loop_timed_first },
		[RH_TOUCH_PAGE] = { loop_page, loop_read_page, loop_timed_page },
		[RH_TOUCH_FULL] = { loop_full, loop_read_full, loop_timed_full },
		[RH_TOUCH_RECORDED] = { loop_none, loop_read_none, loop_timed_none },
	};

	assert(touch < RH_TOUCH_AUTO); /* the driver has chosen */
	assert(kind < LOOP_KINDS);
	/* A backend that hands out no memory can only have its first bytes touched. */
	if (no_memory && (touch == RH_TOUCH_PAGE || touch == RH_TOUCH_FULL))
		touch = RH_TOUCH_FIRST;
	return loops[touch][kind];
}

void rh_loop_choose(struct lane *lane, enum rh_ctl_touch touch, bool verify, enum rh_ctl_mode mode)
{
	bool no_memory = lane->heap_ops->caps & RH_CAP_NO_MEMORY;
	enum loop_kind kind = mode == RH_MODE_TIMED		     ? LOOP_TIMED
			      : lane->worker->ctl->replay.read_dying ? LOOP_READ
								     : LOOP_PLAIN;

	lane->loop_careful = verify ? loop_verify : loop_careful;
	lane->loop = verify || atomic_load(&lane->copy->careful) ? lane->loop_careful
								 : loop_for(touch, no_memory, kind);
}

void rh_loop_run(struct lane *lane)
{
	lane->end_kept = NULL;
	lane->loop(lane);
	if (!lane->end_kept)
		return;
	assert(lane->end <= lane->end_kept && lane->loop != lane->loop_careful);
	lane->op = lane->end;
	lane->end = lane->end_kept;
	lane->loop = lane->loop_careful;
	lane->loop(lane);
}
