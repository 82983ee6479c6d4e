/*
 * os.h - the few things we ask of Linux, in one place.
 *
 * Memory here comes from mmap and never from malloc: the harness must not stand
 * in the heap it measures. Outputs are written to a temporary beside the target
 * and renamed at the end, so that a failed run leaves an old result untouched.
 *
 * Errors: as in err.h. Thread rule: every function may be called from any thread;
 * an rh_outfile belongs to one.
 */
#ifndef RH_OS_H
#define RH_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/base/err.h"

#define RH_CACHE_LINE 64
/* The smallest page there is: a stride that leaves out no page, and how files are laid out. What
 * the kernel is asked for goes by rh_page_bytes, which may be 16 or 64 KiB. */
#define RH_PAGE 4096

/* The system's page, a power of two of at least RH_PAGE. */
size_t rh_page_bytes(void);
/* For tests: from now on pages are that large (0: the system's again). */
void rh_page_bytes_pretend(size_t bytes);
size_t rh_page_up(size_t bytes);
/* The bytes of the whole pages within [at, at + bytes), and in *first where they begin. */
size_t rh_page_within(uintptr_t at, size_t bytes, uintptr_t *first);

/* Zeroed private pages, bytes rounded up to whole ones; NULL when the system refuses.
 * Pages are touched on first use. Unmap with the same bytes. */
void *rh_map(size_t bytes);
void rh_unmap(void *p, size_t bytes);

/* A read-only mapping of a whole regular file. An empty file gives base NULL, bytes 0. */
struct rh_filemap {
	const uint8_t *base;
	size_t bytes;
};
int rh_filemap_open(struct rh_filemap *map, const char *path, struct rh_err *err);
void rh_filemap_close(struct rh_filemap *map);

/* Whether both are one file, under whatever names (links, /proc/self/fd/N); input "-" is standard
 * input. Pipes and devices never are: nothing of them is lost by writing. */
bool rh_same_file(const char *input, const char *output);

/*
 * An output that appears whole or not at all. path "-" is stdout (no rename).
 * rh_outfile_fd is open for writing until commit (flush, fsync not forced,
 * rename) or abandon (unlink). Both end the object; abandon after commit is a no-op.
 */
struct rh_outfile {
	int fd; /* -1 when ended */
	bool is_stdout;
	bool nameless; /* the temporary gets its name at commit */
	char path[4096];
	char temp[4096 + 32];
};
int rh_outfile_open(struct rh_outfile *out, const char *path, struct rh_err *err);
/* Another path in the same folder before commit; not of a device, pipe or stdout. */
int rh_outfile_rename(struct rh_outfile *out, const char *path, struct rh_err *err);
int rh_outfile_commit(struct rh_outfile *out, struct rh_err *err);
void rh_outfile_abandon(struct rh_outfile *out);

/* write(2) until all is out; names `what` in errors. */
int rh_write_all(int fd, const void *data, size_t bytes, const char *what, struct rh_err *err);

/* The last part of a path, within it: behind the last slash. */
const char *rh_base_name(const char *path);

/* mkdir -p. */
int rh_make_dirs(const char *path, struct rh_err *err);

/* CLOCK_MONOTONIC in ns (about 27 ns a call on a VM: not for hot loops, see clock.h). */
uint64_t rh_now_ns(void);

/* CPUs this process may run on (affinity mask), at least 1. */
unsigned rh_cpu_count(void);

/* An affinity mask of as many CPUs as any kernel has: it refuses to fill a shorter one. */
enum { RH_CPUS_MAX = 8192 };
struct rh_cpus {
	unsigned long word[RH_CPUS_MAX / (8 * sizeof(unsigned long))];
};
bool rh_cpus_get(struct rh_cpus *cpus);
bool rh_cpus_set(const struct rh_cpus *cpus); /* of the calling thread */
bool rh_cpus_has(const struct rh_cpus *cpus, int cpu);
unsigned rh_cpus_count(const struct rh_cpus *cpus);
/* The n-th CPU of the mask, counted from 0; -1 when it has fewer. */
int rh_cpus_nth(const struct rh_cpus *cpus, unsigned n);
/* One CPU alone. */
struct rh_cpus rh_cpus_one(int cpu);

/* Futex on a word in shared memory. wait returns 0 when woken or when *word != expected,
 * -1 on timeout (timeout_ns UINT64_MAX = forever). EINTR counts as woken. */
int rh_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void rh_futex_wake(_Atomic uint32_t *word, int waiters);
/* The same for a word that one process alone uses: the kernel then looks up no mapping. */
int rh_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
/* Returns how many were woken. */
int rh_futex_wake_private(_Atomic uint32_t *word, int waiters);

/* membarrier(2): a full memory barrier on every processor that runs a thread of this process.
 * The first asks for it, false where the system has none; then the second does it, false when
 * it fails all the same (it asks again first: a fork may have lost it). */
bool rh_membarrier_ready(void);
bool rh_membarrier(void);

/* What errno says, in English whatever the locale; never NULL. Async-signal-safe on glibc. */
const char *rh_errno_text(int number);

/* Of the C library: its version where it is glibc, "musl" else (no other is known to work). */
const char *rh_libc_version(void);

/* Build id of a loaded ELF object as lower-case hex, by any address in it.
 * Writes the object's path too. False (and empty strings) when it has none. */
bool rh_object_of(const void *address, char *path, size_t path_bytes, char *build_id,
		  size_t build_id_bytes);

#endif
