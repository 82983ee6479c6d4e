/*
 * kin.h - forks and execs below the recorder, as the kernel tells them.
 *
 * A recorded process tells by itself what it begins (shim/exec.c). What a program begins that is
 * not recorded may live for a millisecond, and looking at /proc ten times a second does not see it.
 * The kernel's process events (netlink connector, CONFIG_PROC_EVENTS) miss none; a thread of ours
 * takes them as they come, to look at the file of what was begun while it lives. They are to be had
 * in the first PID and user namespace, by root, and by anybody since Linux 6.6; elsewhere there are
 * none, and it stays with /proc.
 *
 * Units: stamps in ns of CLOCK_MONOTONIC. Ownership: whoever opened it closes it. Thread rule: one
 * thread calls these. Errors: none; what is not to be had is told by rh_kin_works.
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
	enum rh_kid_why why; /* of execs: against its recording, as far as the file says */
	uint64_t at;
	char exe[512]; /* of execs; "" = it was gone before it could be looked at */
};

struct rh_kin;

/* Before the program is begun; events are kept from here on. NULL: there are none. */
struct rh_kin *rh_kin_open(void);
/* Its processes are those that this one begins from here on, and theirs. */
void rh_kin_begin(struct rh_kin *kin);
/* What has come since, in order; valid until the next call. The last time, all that there is. */
size_t rh_kin_take(struct rh_kin *kin, bool last, const struct rh_kin_event **events);
/* It tells: an event of ours has come. */
bool rh_kin_works(struct rh_kin *kin);
void rh_kin_close(struct rh_kin *kin); /* NULL is fine */

#endif
