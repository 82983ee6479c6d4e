/*
 * attach.h - joins a process that runs already, and lets it go again.
 *
 * Thread rule: one thread. Errors: those of target.h and inject.h.
 */
#ifndef RH_RECORD_ATTACH_H
#define RH_RECORD_ATTACH_H

#include "traces/record/session.h"
#include "traces/record/target.h"

enum { RH_ATTACH_FILE = 128 };

/* Where the area must be a file for the process to reach it; else NULL. */
const char *rh_attach_file(const struct rh_target *target, char text[RH_ATTACH_FILE]);
/* The process is recorded when this returns 0. */
int rh_attach_join(struct rh_session *session, struct rh_target *target, struct rh_err *err);
/* Recording is over: until the process has taken the recorder out of the way of its calls. */
void rh_attach_leave(const struct rh_session *session);
/* Closes the target; the area's file is gone too, if it is still there. */
void rh_attach_forget(struct rh_target *target, const struct rh_record_opts *opts);

#endif
