/*
 * leaked.h - processes that a worker started and left behind.
 *
 * An allocator whose constructor forks leaves a process that outlives its worker, holds memory and
 * CPU, and is nobody's child any more. Each worker leads a process group; what stays in it is found
 * by that. Whatever left the group (a daemon: setsid, another program, an empty environment) is
 * found by its descent: a worker adopts the orphans among its descendants while it lives, and the
 * driver adopts them at the worker's end, so that a child of the driver that is neither a worker
 * nor was there before the first one is what the worker that ended has left.
 *
 * A worker that gives its adoption up (prctl) leaves its orphans to the driver while it lives; the
 * driver refuses it at its next answer (worker.c). For one that takes it up again before that, the
 * driver looks when a worker has started: what is there then is that worker's, whoever ends first.
 *
 * Thread rule: main thread. Errors: none but of begin; where /proc cannot be read the group alone
 * is seen.
 */
#ifndef RH_LEAKED_H
#define RH_LEAKED_H

#include <sys/types.h>

#include "alloc/base/err.h"

/* Before a worker is forked: from now on orphans become ours. RH_BUG: too many are alive. */
int rh_leaked_begin(struct rh_err *err);
/* In the child, between fork and exec. */
void rh_leaked_child(void);
/* After the fork: that is one of ours until rh_leaked_end. */
void rh_leaked_born(pid_t worker);

/* The worker has answered and no other has run since the last look: orphans that are there are its
 * own. */
void rh_leaked_look(pid_t worker);

/* The variable that marks a worker's environment. */
#define RH_LEAKED_MARK "REHEAP_PAD="
enum { RH_LEAKED_MARK_BYTES = 48 };

/* Ends and reaps all that is left of a worker: its group, and what it left to us. Returns how many
 * there were that had not ended by themselves. The leader must have been reaped. group 0:
 * nothing. */
unsigned rh_leaked_end(pid_t group, const char *mark);

#endif
