/*
 * worker.h - declarations shared by the files of the worker. main.c explains the whole.
 *
 * Thread rule: struct worker and struct copy belong to the coordinator (the main
 * thread); lanes read them while a job runs. A struct lane belongs to its thread
 * while a job runs and to the coordinator otherwise; lane->job hands it over.
 * Memory: rh_map only. Nothing in this folder calls malloc, stdio or a function
 * that might.
 */
#ifndef RH_WORKER_H
#define RH_WORKER_H

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "alloc/backend.h"
#include "harness/control/ctl.h"
#include "harness/control/mutex.h"
#include "harness/worker/meters.h"
#include "harness/worker/pace.h"
#include "harness/worker/sample.h"
#include "traces/format/event.h"

/* A lane's published count, alone in its pair of lines (the x86 prefetcher loads two). Only
 * threads that sleep touch waiters. */
struct progress {
	_Atomic uint32_t published;
	_Atomic uint32_t waiters;
	char pad[2 * RH_CACHE_LINE - 8];
} __attribute__((aligned(2 * RH_CACHE_LINE)));
_Static_assert(sizeof(struct progress) == 2 * RH_CACHE_LINE, "alone in its pair of lines");

enum job { JOB_NONE, JOB_RUN, JOB_DRAIN, JOB_TRIM, JOB_LEAVE };

struct worker;
struct copy;
struct lane;
typedef void loop_fn(struct lane *lane);

struct lane {
	/* the loop reads */
	const struct rh_op *op, *end;
	void *(*alloc)(struct rh_lane *heap, size_t size); /* of heap_ops, within reach */
	void (*free)(struct rh_lane *heap, void *p, size_t size);
	void **slots, **tasks;
	struct rh_lane *heap;
	struct rh_stack_lane *stack;
	const struct rh_backend *heap_ops;
	const struct rh_stack_backend *stack_ops;
	struct progress *progress; /* of the copy, by lane */
	struct rh_ctl_seat *seat;
	loop_fn *loop, *loop_careful;
	/* the loop writes, seldom */
	uint64_t waits, blocked, blocked_ticks;
	uint64_t alloc_failed, first_failed_op;
	uint64_t moved_bytes;	      /* of blocks that a resize put elsewhere */
	const struct rh_op *end_kept; /* of a loop that was left for the careful one */
	uint32_t turns;		      /* trace lanes begun since the thread sat down */
	size_t usable;		      /* the last usable size asked for; 0 = none */
	bool first_sizes;	      /* spawn sizes are of growing stacks, and these cannot grow */
	struct sample sample;	      /* of the timed variants */
	struct meters meters;	      /* of the contention probe */
	struct pace pace;
	/* what the last pass left here: rows of worker->kept[] that have not died yet */
	uint64_t kept_at, kept_end;
	uint64_t slept_ticks; /* of blocked_ticks */

	/* the coordinator's */
	struct worker *worker;
	struct copy *copy;
	uint32_t index;	 /* lane of the program */
	uint32_t number; /* seat */
	bool used;	 /* the thread has run ops since it sat down */
	pthread_t thread;
	struct rh_err err;    /* of lane_open */
	_Atomic uint32_t job; /* enum job: a futex the thread sleeps on */
} __attribute__((aligned(2 * RH_CACHE_LINE)));

struct copy {
	void **slots, **tasks;
	struct progress *progress;
	uint16_t *birth; /* timed variants: lane + 1 that made the block, by slot */
	struct lane *lanes;
	_Atomic bool careful; /* an allocation failed: slots may hold NULL */
	uint64_t grain;	      /* where it stands; its objects were made since grain 0 */
	uint64_t timed_grain; /* the segment in hand is timed from here */
	uint64_t pace_ns;     /* recorded time of the rounds it has finished */
	void **kept;	      /* block or task of each row of worker->kept[]; see passes.c */
};

/* One that lives at the end of the program: it dies where `birth` makes its successor. */
struct kept {
	const struct rh_op *birth;
	uint64_t size;	       /* last asked for */
	uint64_t bytes_before; /* sizes of all rows before this one ... */
	uint32_t tasks_before; /* ... and how many of those are tasks */
	uint32_t slot;
	bool task;
};
_Static_assert(RH_CTL_SEATS_MAX < UINT16_MAX, "lane + 1 fits birth[]");

/* A word all lanes arrive at; the last one opens it. */
struct barrier {
	_Atomic uint32_t arrived;
	_Atomic uint32_t open; /* rises by one per segment */
	_Atomic uint32_t done; /* lanes still at work; the coordinator sleeps on it */
};

struct worker {
	struct rh_ctl *ctl;
	struct rh_program program;
	struct rh_spec spec;
	struct rh_heap *heap;
	struct rh_stacks *stacks;
	uint32_t lanes; /* of the program */
	uint32_t seats; /* copies * lanes */
	bool spread;	/* several lanes, and a CPU for each */
	unsigned cpu_count;
	struct rh_cpus cpus;		/* that the process may use */
	uint64_t wait_spin_ticks;	/* 0 when lanes outnumber CPUs */
	uint64_t *live;			/* drain: size and lane by slot, see drain.c */
	uint64_t *births, *task_births; /* the same walk: lane and word by slot; NULL = not asked */
	uint64_t barrier_ticks;		/* when the barrier of this segment opened */
	uint64_t pace_elapsed;		/* ticks of timed segments so far */
	rh_mutex_attach_fn *mutex_attach; /* NULL: mutexes are not counted */
	uint64_t futex_id, kernel_id;	  /* tracepoints; 0 = not counted */
	_Atomic uint64_t lanes_cpu_ns;	  /* of lanes' threads that have ended, their whole life */
	uint32_t expected;		  /* lanes that take part in this job */
	struct copy *copies;
	struct lane *lane;	   /* all seats */
	const struct kept *kept;   /* by lane of the program, then by birth; NULL = drained */
	const uint64_t *kept_from; /* by lane: its first row; one more at the end */
	_Alignas(2 * RH_CACHE_LINE) struct barrier barrier;
};

/* --- main.c --- */

/* Ends the worker from any thread: the driver gets the sentence and place from the first caller and
 * kills us. Never returns. lane NULL = no lane in particular. */
_Noreturn void rh_give_up(struct worker *worker, struct lane *lane, enum rh_exit code,
			  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Zeroed pages, already resident. */
void *rh_map_touched(size_t bytes);

/* For the crash handler: notes that this thread runs that seat. */
void rh_crash_seat(uint32_t seat);

/* --- lanes.c --- */

/* CPU time of the calling thread. */
uint64_t rh_thread_cpu_ns(void);
/* When no lane sits any more: CPU time so far of all threads but lanes' and the coordinator's,
 * which calls. What a lane's thread does behind its last job (destructors of its variables) is in
 * it, too. */
uint64_t rh_others_cpu_ns(const struct worker *worker);
int rh_seats_open(struct worker *worker, struct rh_err *err);
void rh_seats_close(struct worker *worker);
/* Virtual grains first..first+count-1 of every copy. */
void rh_seats_run(struct worker *worker, uint64_t first, uint64_t count, bool verify);
/* Ends the threads whose recorded lane ended, and starts those whose lane begins. */
void rh_seats_turn(struct worker *worker);
void rh_seats_preroll(struct worker *worker, bool verify);
/* Runs one job on the lanes that are set up for it; returns when all are done. */
void rh_seats_do(struct worker *worker, enum job job, struct lane *lanes, uint32_t count);

/* --- changes.c --- */

/* Before the first constructor; when main begins; and when the heap is closed: bits of enum
 * rh_changed. Signals that crash_handler serves then are ours. */
void rh_changes_first(char **env);
void rh_changes_at_start(void);
uint32_t rh_changes_at_end(void (*crash_handler)(int, siginfo_t *, void *));

/* --- drain.c --- */

void rh_drain_copy(struct worker *worker, struct copy *copy, uint64_t *objects, uint64_t *bytes);
void rh_drain_lane(struct lane *lane);
/* Ends a block as its program would have: delete for what new made. */
void rh_end_block(struct lane *lane, void *p, size_t size,
		  bool by_delete); /* a lane's part, on its thread */

/* The live blocks of a copy where it stands: find, then ask by slot, then drop. One at a time. */
void rh_alive_find(struct worker *worker, const struct copy *copy, uint64_t *objects,
		   uint64_t *bytes);
void rh_alive_drop(struct worker *worker);
/* The lane that made the block in a slot; NULL = nothing lives there. */
const struct lane *rh_alive_lane(const struct worker *worker, const struct copy *copy,
				 uint32_t slot);
uint64_t rh_alive_size(const struct worker *worker, uint32_t slot);

/* --- passes.c --- */

/* Once, before the heap opens: finds out what lives at the end of the program. */
int rh_passes_open(struct worker *worker, struct rh_err *err);
/* The copy ends a pass: live objects are kept, and it stands at its start. */
void rh_passes_wrap(struct worker *worker, struct copy *copy);
/* Replays [lane->op, lane->end); kept objects die on the way. */
void rh_passes_run(struct lane *lane);
/* Frees the lane's objects that are still kept, on its thread. */
void rh_passes_drain(struct lane *lane);
/* Sets ctl's counts of objects still kept, over all copies. */
void rh_passes_count(struct worker *worker);

/* --- block_scan.c --- */

/* RH_CTL_BLOCK_SCAN: fills RH_AREA_BLOCKS. */
void rh_block_scan(struct worker *worker);

/* malloc_version.c: as the allocator says it, "5.3.0"; "" when it does not. */
void rh_malloc_version(char *text, size_t bytes);
/* Of a library that says none: the first digits of its build id ("build 1f6fb2cd4f08"), or, where
 * it was linked without one, of a sum over the file ("file 90a1c4e2b7d3"); "" = neither is to be
 * had. */
void rh_build_version(const char *path, const char *build_id, char *text, size_t bytes);

/* --- loop.c --- */

/* Sets the variant a lane runs next: by way of touching, or the verifying one; timed when
 * the mode says so and --verify does not. */
void rh_loop_choose(struct lane *lane, enum rh_ctl_touch touch, bool verify, enum rh_ctl_mode mode);
/* Replays [lane->op, lane->end). */
void rh_loop_run(struct lane *lane);

/* --- locks.c --- */

/* Fills the rows of RH_AREA_LOCKS; `reset` sets counters of jemalloc to zero. */
void rh_locks_read(struct worker *worker, bool reset);

/* --- sample.c --- */

/* Once, before the heap opens: what the timed variants need. */
int rh_sample_open(struct worker *worker, struct rh_err *err);
/* On the lane's thread, before a segment; outside its timing. */
void rh_sample_begin_segment(struct lane *lane);
/* One sampled operation; end_cpu from the same read as end. Sets the next gap. */
void rh_sample_put(struct lane *lane, const struct rh_op *op, uint64_t begin, uint64_t end,
		   uint32_t end_cpu);

/* --- verify.c: every check ends in rh_give_up --- */

/* What a heap returned, and what was asked for. */
struct rh_verify_birth {
	void *p;
	size_t size, align;
	bool zeroed;
};
void rh_verify_born(struct lane *lane, uint32_t slot, const struct rh_verify_birth *born);
void rh_verify_dies(struct lane *lane, uint32_t slot, const void *p, size_t size);
void rh_verify_resized(struct lane *lane, uint32_t slot, void *p, size_t size_old, size_t size_new);
void rh_verify_task(struct lane *lane, uint32_t slot);
void rh_verify_task_op(struct lane *lane, const struct rh_op *op);

#endif
