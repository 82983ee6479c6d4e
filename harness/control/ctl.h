/*
 * ctl.h - the control block: how the driver commands a worker.
 *
 * One shared mapping (a memfd) per worker, made by the driver before exec. Exactly one side
 * owns the block at a time; `turn` says which one (the baton). A command is:
 *
 *	driver                          worker
 *	fills command, first, count
 *	turn = WORKER, wakes  ------->  does it, fills the answer
 *	                      <-------  turn = DRIVER, wakes
 *
 * The waiting side may spin for `spin_ticks` (at most 20 us: an idle worker must not use a CPU
 * that the other one needs) and then sleeps in a futex. Replay, sampling and the gate use this
 * same protocol with different segment lengths, so two live workers can run segments in turn.
 *
 * A life:	(start-up answer: identity) OPEN [PREROLL] RUN... [STATS] DRAIN CLOSE
 *
 * Every lane has a seat. seat->at is the address of the op the lane is at, stored
 * once per op; since the block is shared, it survives the worker and shows where a crashed or
 * hung worker was. Nothing else is written during a segment; the figures of a seat are valid
 * after the RUN that made them.
 *
 * Copies. K copies of the program run side by side, each with its own objects and
 * its own lanes: seat of lane l of copy k is k * lanes + l. Copy k is shifted by
 * rh_ctl_phase grains; a RUN names *virtual* grains and every copy runs its own
 * image of them, wrapping once (drained, outside the timed region, when it wraps). A RUN may
 * have a lead: the grains before `first` run first, untimed, up to a barrier; the lead
 * and the timed part are each a stretch of rh_ctl_stretch.
 *
 * DRAIN leaves every copy at its start with nothing live, so the next RUN can start over.
 *
 * Passes. A RUN of virtual grain 0 after the last one begins the next pass: every copy
 * continues from where it stands and wraps once. With `keep`, blocks that live at a wrap are
 * kept and die in the next pass (harness/worker/passes.c); without it they are drained.
 *
 * Thread rule: the side that has the baton; during RUN a seat belongs to its lane.
 */
#ifndef RH_CTL_H
#define RH_CTL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/clock.h"
#include "alloc/base/os.h"
#include "harness/compile/program.h"

#define RH_CTL_MAGIC 0x6c74636865657268ull

enum {
	RH_CTL_VERSION = 3,
	RH_CTL_SEATS_MAX = 4096, /* copies x lanes */
	RH_CTL_STATS_MAX = 512,
	RH_CTL_BATCHES_MAX = 256, /* of one lane in one segment */
	RH_CTL_FD = 3,		  /* what the worker inherits, always at these numbers, */
	RH_CTL_PROGRAM_FD = 4,	  /* so that argv has one length for every backend */
};

enum rh_ctl_turn { RH_CTL_DRIVER, RH_CTL_WORKER };

enum rh_ctl_command {
	RH_CTL_NONE,
	RH_CTL_OPEN,	   /* heap, stacks, threads */
	RH_CTL_PREROLL,	   /* untimed: brings shifted copies to their phase */
	RH_CTL_RUN,	   /* virtual grains first .. first + count - 1 */
	RH_CTL_STATS,	   /* fills stats[] */
	RH_CTL_LOCKS,	   /* fills the rows of RH_AREA_LOCKS; count 1: the first reading */
	RH_CTL_BLOCK_SCAN, /* finds where live blocks lie, into RH_AREA_BLOCKS */
	RH_CTL_TURN,	   /* ends threads whose recorded lane ended; RUN does it as well */
	RH_CTL_DRAIN,	   /* untimed: frees every live object on the lane that made it */
	RH_CTL_TRIM,	   /* after DRAIN: the program is idle; lanes give back what is free */
	RH_CTL_CLOSE,	   /* closes the heap; the worker exits with 0 after its answer */
};

/* What an allocator may change of the process that it serves: bits of ctl->changed. */
enum rh_changed {
	RH_CHANGED_STREAMS, /* standard input, output or error is another file, or none */
	RH_CHANGED_SIGNALS, /* handlers */
	RH_CHANGED_MASK,    /* blocked signals */
	RH_CHANGED_PRIORITY,
	RH_CHANGED_CPUS,
	RH_CHANGED_LIMITS,
	RH_CHANGED_DUMPABLE,
	RH_CHANGED_TIMERS,
	RH_CHANGED_ENVIRONMENT,
	RH_CHANGED_FOLDER,
	RH_CHANGED_COUNT
};

enum rh_ctl_touch {
	RH_TOUCH_NONE,
	RH_TOUCH_FIRST,
	RH_TOUCH_PAGE,
	RH_TOUCH_FULL,
	RH_TOUCH_RECORDED, /* the driver makes it FULL where the program has no TOUCH ops */
	RH_TOUCH_AUTO	   /* the driver's: RECORDED when the program has TOUCH ops, else FULL */
};

/* A lane's report after a segment. */
struct rh_ctl_seat {
	/* the running line: the lane stores `at` once per op */
	_Atomic(const struct rh_op *) at;
	const struct rh_op *ops;  /* first op of the lane, where the worker mapped it */
	_Atomic uint32_t running; /* between start and end of a segment or drain */
	uint32_t os_thread;	  /* kernel id of this seat's thread */
	uint64_t pad[4];
	char pad2[8];
	/* of the last segment */
	uint64_t start_ticks, end_ticks;
	uint64_t cpu_ns;	 /* CPU time of the thread between them */
	uint64_t waits, blocked; /* WAIT ops after the lead; those that had to wait ... */
	uint64_t blocked_ticks;	 /* ... and how long */
	uint64_t alloc_failed;	 /* allocations and spawns that returned NULL */
	uint64_t faults_minor, faults_major, switches_voluntary, switches_involuntary;
	uint64_t op_words;	  /* words executed: must be all of the segment */
	uint64_t first_failed_op; /* word index of the first failure; UINT64_MAX none */
	uint32_t batch_count;	  /* RUN with batches: so many parts of equal work ... */
	uint32_t batch_grains;	  /* ... of so many grains each (the last may have fewer) */
	uint64_t run_delay_ns;	  /* runnable without a CPU between start and end, waits
				   * included; RH_NONE = unknown */
	uint64_t kernel_ns;	  /* CPU time of the kernel for the thread, by its ticks */
	uint64_t slept_ticks;	  /* of blocked_ticks: asleep; the rest was polling */
	uint64_t moved_bytes;	  /* since its start: of blocks that a resize put elsewhere */
	uint64_t pad3[6];
	uint32_t batch_ticks[RH_CTL_BATCHES_MAX];
};
_Static_assert(offsetof(struct rh_ctl_seat, start_ticks) == RH_CACHE_LINE,
	       "the running line is alone");
_Static_assert(sizeof(struct rh_ctl_seat) % RH_CACHE_LINE == 0, "seats do not share lines");

/* Memory that a probe shares with the worker, after the seats; laid out by the probe
 * (harness/control/latency.h and so on). A lane touches only its own part, while a segment runs. */
enum rh_area {
	RH_AREA_LATENCY, /* struct rh_latency_lane per seat */
	RH_AREA_LOCKS,	 /* struct rh_lock_area */
	RH_AREA_PACE,	 /* struct rh_pace_lane per seat */
	RH_AREA_MUTEX,	 /* struct rh_mutex_lane per seat */
	RH_AREA_BLOCKS,	 /* struct rh_block_scan */
	RH_AREA_COUNT
};

enum rh_ctl_pace { RH_PACE_NONE, RH_PACE_THINK, RH_PACE_OPEN };

/* How the user wants traces replayed. The struct is passed on as a whole from the options of a
 * command to the driver (struct rh_run_config), to the start of a worker, to the control block: a
 * new option needs a line here and one where it is read. */
struct rh_replay_options {
	int touch;	       /* enum rh_ctl_touch */
	int pace;	       /* enum rh_ctl_pace; the program has PACE ops then */
	double speed;	       /* of the pace: 2 = recorded times halved; 0 = 1 */
	bool verify;	       /* fill and check every block */
	bool read_dying;       /* the first byte of a block is read before it is freed or resized,
				* as most programs do; not by loops that check or time */
	bool pin;	       /* each lane stays on its CPU */
	uint64_t memory_limit; /* writable private bytes beyond start-up; 0 = none */
	uint64_t sample;       /* latency: one operation in so many, on average; 1 = every */
};

/* How RUN and PREROLL replay: each mode is another inclusion of the loop. */
enum rh_ctl_mode {
	RH_MODE_PLAIN,
	RH_MODE_TIMED, /* sampled operations are timed into RH_AREA_LATENCY */
};

struct rh_ctl_stat {
	char name[48];
	char unit[16];
	uint64_t value;
};

struct rh_ctl {
	uint64_t magic;
	uint32_t version, seats;
	uint64_t bytes; /* of the mapping */
	char pad[RH_CACHE_LINE - 24];

	_Atomic uint32_t turn; /* the baton: a futex, alone in its line */
	char pad2[RH_CACHE_LINE - 4];

	/* the driver writes: before exec */
	char spec[512]; /* backend as the user named it */
	uint32_t copies;
	struct rh_replay_options replay; /* touch is not AUTO here */
	uint32_t turn_over;	   /* threads end where lanes of the trace ended; 0 when folded */
	uint32_t clock_is_counter; /* what rh_ticks() reads */
	uint64_t spin_ticks;	   /* how long a waiter may spin: 20 us */
	uint64_t area_offset[RH_AREA_COUNT]; /* from the start of the block; 0 = not there */
	uint64_t area_bytes[RH_AREA_COUNT];
	double pace_ticks_per_ns; /* of recorded time: the clock's rate / speed */
	double ns_per_tick;
	uint64_t seed; /* RH_MODE_TIMED: of the sampling */

	/* the driver writes: before OPEN */
	uint32_t keep; /* blocks alive when a copy wraps are kept */

	/* the driver writes: with each command */
	uint32_t command;      /* enum rh_ctl_command */
	uint32_t mode;	       /* enum rh_ctl_mode */
	uint64_t first, count; /* RUN: virtual grains */
	uint64_t lead;	       /* RUN: grains before `first` that go first, untimed */
	uint32_t batches;      /* RUN: the lanes time their grains, too */

	/* the worker writes: its answer */
	_Atomic uint32_t failed; /* 1: code and text say why; the worker is unusable */
	uint32_t code;		 /* enum rh_exit */
	char text[600];
	uint32_t failed_seat;	      /* UINT32_MAX = no lane in particular */
	_Atomic uint32_t died_signal; /* set by the crash handler, 0 = none ... */
	uint32_t died_seat;	      /* ... with the seat it struck; UINT32_MAX = none */
	uint64_t died_address;	      /* what it could not reach */
	uint32_t flush_due, flushed;  /* at exit a stream of ours had to be flushed, and was */

	uint32_t adopts;   /* in each answer: orphans of what it starts become its own */
	uint32_t changed;  /* CLOSE: bits of enum rh_changed */
	uint32_t children; /* CLOSE, and again at exit: processes it started, ended ones too */

	/* identity, valid in the start-up answer */
	uint32_t malloc_is_libc; /* malloc is in the same object as the rest of libc */
	uint32_t malloc_mixed;	 /* malloc, free, calloc, realloc are not all in one object */
	char malloc_path[1024];
	char malloc_build_id[64];
	char malloc_version[64]; /* as it says itself; "" */
	char heap_path[1024];	 /* object with the code of the heap; valid after OPEN */
	char heap_build_id[64];
	char heap_version[64]; /* of that object; where it says none, what tells builds apart */

	uint32_t mutex_seen;			 /* OPEN found the library that counts mutexes */
	uint64_t drained_objects, drained_bytes; /* DRAIN: what was live, by the program */
	uint64_t others_cpu_ns;			 /* CLOSE: CPU time of threads that are not ours */

	/* with `keep`, after each RUN: carried over by the wraps of this RUN, and left by earlier
	 * passes and still alive */
	uint64_t carried_objects, carried_bytes;
	uint64_t kept_objects, kept_bytes, kept_tasks;

	uint32_t stat_count;
	struct rh_ctl_stat stats[RH_CTL_STATS_MAX];

	_Alignas(RH_CACHE_LINE) struct rh_ctl_seat seat[];
};

static inline size_t rh_ctl_bytes(uint32_t seats)
{
	return sizeof(struct rh_ctl) + (size_t)seats * sizeof(struct rh_ctl_seat);
}

/* An area by name; NULL when it was not asked for. */
static inline void *rh_ctl_area(struct rh_ctl *ctl, enum rh_area area)
{
	return ctl->area_offset[area] ? (char *)ctl + ctl->area_offset[area] : NULL;
}

/* Grain at which copy k of `copies` starts. */
static inline uint64_t rh_ctl_phase(uint32_t copy, uint32_t copies, uint64_t grains)
{
	return grains * copy / copies;
}

/* The grain of a copy that is its image of virtual grain v (v < grains). */
static inline uint64_t rh_ctl_grain(uint32_t copy, uint32_t copies, uint64_t grains, uint64_t v)
{
	uint64_t grain = rh_ctl_phase(copy, copies, grains) + v;

	return grain >= grains ? grain - grains : grain;
}

/* How many virtual grains from v can be one segment of at most `want`: no copy may cross a
 * barrier of its own (the end of an epoch, or the wrap) inside. At least 1. */
static inline uint64_t rh_ctl_stretch(uint32_t copies, uint64_t grains, uint64_t epoch_grains,
				      uint64_t v, uint64_t want)
{
	for (uint32_t k = 0; k < copies; k++) {
		uint64_t grain = rh_ctl_grain(k, copies, grains, v);
		uint64_t epoch_left = epoch_grains - grain % epoch_grains;
		uint64_t left = grains - grain < epoch_left ? grains - grain : epoch_left;

		if (want > left)
			want = left;
	}
	if (want > grains - v)
		want = grains - v;
	return want ? want : 1;
}

/* Waits until the baton is ours: spins at most spin_ticks, then sleeps. Returns -1 if timeout_ns
 * pass first (UINT64_MAX = forever). */
static inline int rh_ctl_await(struct rh_ctl *ctl, enum rh_ctl_turn mine, uint64_t spin_ticks,
			       uint64_t timeout_ns)
{
	uint32_t other = mine == RH_CTL_DRIVER ? RH_CTL_WORKER : RH_CTL_DRIVER;
	uint64_t since = rh_ticks();

	while (atomic_load_explicit(&ctl->turn, memory_order_acquire) == other) {
		if (spin_ticks && rh_ticks() - since < spin_ticks)
			continue;
		if (rh_futex_wait(&ctl->turn, other, timeout_ns) < 0 &&
		    atomic_load_explicit(&ctl->turn, memory_order_acquire) == other)
			return -1;
	}
	return 0;
}

static inline void rh_ctl_pass(struct rh_ctl *ctl, enum rh_ctl_turn to)
{
	atomic_store_explicit(&ctl->turn, to, memory_order_release);
	rh_futex_wake(&ctl->turn, 1);
}

#endif
