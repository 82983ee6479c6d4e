/*
 * leaked.h - processes that a worker started and left behind.
 *
 * An allocator whose constructor forks leaves a process that outlives its worker, holds memory and
 * CPU, and is nobody's child any more. Each worker leads a process group; what stays in it is found
 * by that. A process that left the group (a daemon) becomes a child of the driver, which adopts
 * orphans, and is recognised by its environment, in which each worker has a mark; if it emptied
 * that, by its executable: a fork of a worker is still reheap-worker.
 *
 * Thread rule: main thread. Errors: none; where /proc cannot be read the group alone is seen.
 */
#ifndef RH_LEAKED_H
#define RH_LEAKED_H

#include <sys/types.h>

/* From now on we adopt orphans of our children. */
void rh_leaked_adopt(void);

/* The variable that marks a worker's environment. */
#define RH_LEAKED_MARK "REHEAP_PAD="
enum { RH_LEAKED_MARK_BYTES = 48 };

/* Ends and reaps all that is left of a worker's group, and every adopted process with its mark;
 * returns how many there were. The leader must have been reaped. group 0: nothing. */
unsigned rh_leaked_end(pid_t group, const char *mark);

#endif
