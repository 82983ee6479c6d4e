/*
 * process.h - which process does an image belong to, and does it live?
 *
 * A process in another PID namespace has a number for itself that may belong to another process
 * here, so that number only starts the search. The right process has that innermost number and
 * has the recording's area mapped where it says: /proc shows both. It is kept by pidfd, which
 * no later process can take over. Where /proc shows nothing (it belongs to another namespace,
 * or is hidden), the kernel's marks on the mutexes that its threads hold show whether it lives.
 *
 * Thread rule: one thread. Errors: none; an undecidable case is RH_PROCESS_UNKNOWN.
 */
#ifndef RH_RECORD_PROCESS_H
#define RH_RECORD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/record/area.h"

enum rh_process_found { RH_PROCESS_FOUND, RH_PROCESS_GONE, RH_PROCESS_UNKNOWN };

struct rh_process_seek {
	int32_t inner;	  /* its number in its own namespace */
	uint64_t mapped;  /* where it has the area */
	uint64_t inode;	  /* of the area */
	const int *taken; /* processes that are other images */
	size_t taken_count;
};

/* *pid is its number here, *pidfd a descriptor to close. */
enum rh_process_found rh_process_find(const struct rh_process_seek *seek, int *pid, int *pidfd);
bool rh_process_over(int pidfd);
/* Whether a thread of that slot's process holds a mutex of the area. */
bool rh_process_holds(struct rh_area *area, uint32_t slot);
/* "Seccomp" of /proc/PID/status: filters of system calls are on, more than so many, which are known
 * to allow what we do. */
bool rh_process_filtered(int pid, uint32_t allowed);
/* Strict seccomp mode, which also forbids reading the counter. Of a process that is not reaped,
 * too. */
bool rh_process_strict(int pid);
/* The filters that its threads are under, as far as their number tells. */
enum rh_sandbox { RH_SANDBOX_NONE, RH_SANDBOX_ALIKE, RH_SANDBOX_MIXED };
enum rh_sandbox rh_process_sandbox(int pid, uint32_t *filters);
/* Its anonymous memory now, and its peak resident size, in bytes; 0 where that cannot be read. */
void rh_process_memory(int pid, uint64_t *anonymous, uint64_t *peak);
/* Resolved path of its executable, "" where that cannot be read. */
void rh_process_exe(int pid, char *path, size_t room);

#endif
