/*
 * tracepoint.h - counters of the kernel's tracepoints: how often a thread, or a process with all
 * threads and children that it will have, passed one.
 *
 * The kernel wants the number of the tracepoint, which is in tracefs; most systems mount that for
 * root only, or not at all. Reading is one read(2) of 8 bytes, counting costs 0.3 us a time.
 *
 * Ownership: the caller closes the descriptor. Thread rule: any thread. Errors: a number of 0, or a
 * descriptor of -1, with a sentence in `why`; absence is a result and no failure.
 */
#ifndef RH_TRACEPOINT_H
#define RH_TRACEPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RH_TRACEPOINT_WHY_BYTES = 160 };

/* `name` as tracefs has it: "syscalls/sys_enter_futex". Proven by opening one. */
uint64_t rh_tracepoint_find(const char *name, char why[RH_TRACEPOINT_WHY_BYTES]);
/* pid 0 = the calling thread; with `children` also what it starts from now on. */
int rh_tracepoint_open(uint64_t id, pid_t pid, bool children);
/* 0 for a descriptor of -1. */
uint64_t rh_tracepoint_read(int fd);

#endif
