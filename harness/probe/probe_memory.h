/*
 * probe_memory.h - how much anonymous memory another process holds resident.
 *
 * Read between segments, while the worker sleeps. It reads the kernel's exact figure
 * (smaps_rollup walks the page tables; 0.2 ms per 80 MiB) and not RSS: statm counts per CPU and
 * lags by up to 64 pages per CPU, and RSS holds the mapped program and shared libraries. The
 * harness's share in it is the same for every backend and is measured by the null worker
 * (metrics.c subtracts it). Shared mappings that an allocator might make are not seen. Thread
 * rule: one thread.
 */
#ifndef RH_PROBE_MEMORY_H
#define RH_PROBE_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

struct rh_memory_probe {
	int fd; /* -1 = cannot be read */
	/* -1 = cannot be read; valid when fd is */
	int statm, status;
	int restart; /* of the high-water mark of status */
};

/* Bytes; RH_NONE = not reported. */
struct rh_memory_figures {
	uint64_t anon;	 /* anonymous and resident */
	uint64_t most;	 /* of anon since the last reading: exact at it, within 0.5 MiB between */
	uint64_t rss;	 /* resident, shared pages wholly; with files */
	uint64_t pss;	 /* resident, shared pages by their share; with files */
	uint64_t shared; /* of pss, of shared memory without a file */
	uint64_t huge;	 /* of anon, in huge pages */
	uint64_t mapped; /* address space, resident or not */
};

/* Leaves fd at -1 where the kernel does not allow it (errno says why). */
void rh_memory_open(struct rh_memory_probe *probe, pid_t pid);
/* Anonymous resident bytes; RH_NONE when it cannot be read. */
uint64_t rh_memory_read(const struct rh_memory_probe *probe);
/* All of them; 5 us more. */
void rh_memory_read_all(const struct rh_memory_probe *probe, struct rh_memory_figures *figures);
void rh_memory_close(struct rh_memory_probe *probe);
/* The most address space a process has had, resident or not; RH_NONE when it cannot be read. */
uint64_t rh_memory_addresses_most(pid_t pid);

#endif
