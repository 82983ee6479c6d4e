/*
 * attach.h - attaches to a running process, and detaches again.
 *
 * Thread rule: one thread. Errors: those of target.h and inject.h.
 */
#ifndef RH_RECORD_ATTACH_H
#define RH_RECORD_ATTACH_H

#include "traces/record/place.h"
#include "traces/record/session.h"
#include "traces/record/target.h"

/* Opens the process of the options and finds a place for the shim in it; tries again for a moment,
 * because a process that has just begun has no libc yet. */
int rh_attach_find(struct rh_target *target, struct rh_place *place,
		   const struct rh_record_opts *opts, struct rh_err *err);
/* The process is recorded when this returns 0. */
int rh_attach_join(struct rh_session *session, struct rh_target *target,
		   const struct rh_place *place, struct rh_err *err);
/* Recording is over: waits until the process has removed the recorder from its calls. */
void rh_attach_leave(const struct rh_session *session);
#endif
