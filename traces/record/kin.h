/*
 * kin.h - forks and execs below the recorder, as the kernel reports them.
 *
 * A recorded process itself reports the programs it starts (shim/exec.c). A child of an unrecorded
 * program may live for a millisecond, too short for looking at /proc ten times a second. The
 * kernel's process events (netlink connector, CONFIG_PROC_EVENTS) miss none; a thread of ours
 * takes them as they come, to inspect the executable while the process lives. They are available
 * in the first PID and user namespace, to root, and to every user since Linux 6.6; elsewhere only
 * /proc is used.
 *
 * Units: stamps in ns of CLOCK_MONOTONIC. Ownership: the opener closes it. Thread rule: one thread
 * calls these. Errors: none; rh_kin_works says whether events arrive.
 */
#ifndef RH_RECORD_KIN_H
#define RH_RECORD_KIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "traces/record/area.h"

enum rh_kin_kind { RH_KIN_FORK, RH_KIN_EXEC };

struct rh_kin_event {
	enum rh_kin_kind kind;
	int pid, parent;     /* the parent of forks */
	enum rh_kid_why why; /* of execs: why it cannot be recorded, as far as the file shows */
	bool cleared;	     /* of execs: without a recorder in its environment */
	uint64_t at;
	char exe[512]; /* of execs; "" = it ended before we could look */
};

struct rh_kin;

/* Called before the program starts; events are kept from here on. NULL: there are none. */
struct rh_kin *rh_kin_open(void);
/* The calling process's descendants from here on are the ones to watch. */
void rh_kin_begin(struct rh_kin *kin);
/* The events since the last call, in order; valid until the next call. At the last call, all that
 * remain. */
size_t rh_kin_take(struct rh_kin *kin, bool last, const struct rh_kin_event **events);
/* Whether it works: an event of ours has arrived. */
bool rh_kin_works(struct rh_kin *kin);
/* After the last take: whether a process of ours has, or had, that number. */
bool rh_kin_has(const struct rh_kin *kin, int pid);
void rh_kin_close(struct rh_kin *kin); /* NULL is fine */

#endif
