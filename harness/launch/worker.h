/*
 * worker.h - one live worker, as its driver sees it.
 *
 * start, then commands, then end. A worker may die, hang or fail at any point: the
 * command that notices returns -1 with a sentence, worker->dead is set and
 * worker->place says where its lanes stood; only end may follow. Several workers can
 * be alive at once (the gate hands segments to two in turn).
 *
 * Ownership: end kills, reaps and unmaps, and ends every process that the worker started; it
 * accepts a worker that never started. The program and spec must outlive the worker. Thread rule:
 * one thread per worker. Errors: RH_FAILED the worker died, hung or reported a failure (its trial
 * failed); RH_ABSENT the backend cannot be used here; RH_OS, RH_BUG ours.
 */
#ifndef RH_RUN_WORKER_H
#define RH_RUN_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "alloc/backend.h"
#include "alloc/base/clock.h"
#include "alloc/base/interrupt.h"
#include "harness/control/ctl.h"
#include "harness/launch/leaked.h"

struct rh_worker_start {
	const struct rh_spec *spec;
	const struct rh_program *program;
	const struct rh_clock *clock;
	uint32_t copies;
	struct rh_replay_options replay;
	bool turn_over;	      /* the program is as recorded, not folded */
	uint64_t deadline_ns; /* rh_now_ns() after which it is killed; UINT64_MAX never */
	size_t area_bytes[RH_AREA_COUNT]; /* shared with probes; whole pages */
	enum rh_ctl_mode mode;
	uint64_t seed;		  /* RH_MODE_TIMED: of the sampling */
	bool no_spin;		  /* a waiting lane sleeps at once: spinning would be counted */
	char preload_first[4096]; /* a library of ours before the allocator's; "" = none */
	const char *under;	  /* words put before the worker's ("valgrind ..."), or NULL */
};

/* Where a worker was when it ended. */
struct rh_worker_place {
	bool known;
	uint32_t seat;	/* lane of the worker: copy * lanes + lane */
	uint64_t op;	/* word index on its lane */
	uint64_t event; /* about which event of the trace; exact to the grain */
	char text[120]; /* "lane 0, op 512 (near event 1024), free of 48 bytes" */
};

struct rh_worker {
	pid_t pid; /* 0 = none */
	struct rh_ctl *ctl;
	size_t ctl_bytes;
	int said_fd; /* what it wrote to stdout and stderr */
	const struct rh_program *program;
	uint64_t deadline_ns;
	bool dead;
	bool under;
	bool timed_out;
	struct rh_worker_place place;
	uint64_t exit_ns, cpu_ns; /* after close: from CLOSE to its end; CPU time of its life ... */
	uint64_t others_cpu_ns;	  /* ... and of that until CLOSE, of threads that are no lanes */
	uint32_t children;	  /* after close: processes it started, ended ones too */
	uint32_t changed;	  /* after close: bits of enum rh_changed */
	char mark[RH_LEAKED_MARK_BYTES]; /* of its environment, and of what it starts */
	pid_t group; /* process group of the worker and of what it starts; 0 = none */
};

/* Starts it and checks that the allocator asked for is the one that serves malloc. */
int rh_worker_start(struct rh_worker *worker, const struct rh_worker_start *how,
		    struct rh_err *err);

/* One command; waits for the answer. */
int rh_worker_command(struct rh_worker *worker, enum rh_ctl_command command, struct rh_err *err);
int rh_worker_run(struct rh_worker *worker, uint64_t first, uint64_t count, struct rh_err *err);

/* CLOSE, and the exit that follows: an allocator may die even there. A process that the worker
 * started and that outlives it is killed, and counts as an error. */
int rh_worker_close(struct rh_worker *worker, struct rh_err *err);

/* The last line it printed to stdout or stderr; "" = nothing. After close, before end. */
void rh_worker_said(const struct rh_worker *worker, char *text, size_t bytes);

/* "signal handlers, limits": words for bits of enum rh_changed. */
void rh_worker_changes(uint32_t changed, char *text, size_t bytes);

/* The two halves of a command, for callers that do other work in between. */
void rh_worker_send(struct rh_worker *worker, enum rh_ctl_command command);
int rh_worker_answer(struct rh_worker *worker, struct rh_err *err);

void rh_worker_end(struct rh_worker *worker);

/* Where the worker stands, from its seats; used on death and by tests. */
void rh_worker_where(const struct rh_worker *worker, struct rh_worker_place *place);
/* The place of a word of a seat's lane. */
void rh_worker_place_of(const struct rh_program *program, uint32_t seat, uint64_t op,
			struct rh_worker_place *place);

#endif
