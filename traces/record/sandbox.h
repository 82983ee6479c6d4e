/*
 * sandbox.h - would the filters of system calls of a running process let the recorder in?
 *
 * Containers have a filter (docker, podman, Kubernetes, systemd): it allows what an ordinary
 * program does, and a recorder takes no more. The kernel gives a filter's program to a tracer with
 * CAP_SYS_ADMIN; we run it, as the kernel would, for each call that the loader and the recorder
 * make.
 *
 * Thread rule: the tracer of that thread, while it is stopped. Errors: RH_ABSENT, with the way out.
 */
#ifndef RH_RECORD_SANDBOX_H
#define RH_RECORD_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "alloc/base/err.h"

/* What a filter sees of a call, and a filter, as the kernel has them. */
struct seccomp_data;
struct sock_filter;

/* Filters that `tid` of that process is under, each of which allows all that we do; 0: it is under
 * none; -1: refused. */
int rh_sandbox_allows(int pid, pid_t tid, struct rh_err *err);
/* What that filter returns for that call; it kills where the program is no valid filter. */
uint32_t rh_sandbox_run(const struct sock_filter *filter, uint32_t count,
			const struct seccomp_data *data);

#endif
