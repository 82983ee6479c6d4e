/*
 * target.h - a running process that is to be recorded: is that possible, and where are its
 * functions?
 *
 * Each refusal is one sentence with a remedy. Only /proc and, by /proc/PID/mem, the symbol
 * tables that its loader uses are read; nothing is changed.
 *
 * Thread rule: one thread. Errors: RH_NO_INPUT (no such process), RH_ABSENT (cannot be), RH_OS.
 */
#ifndef RH_RECORD_TARGET_H
#define RH_RECORD_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/base/err.h"

/* A mapping. */
struct rh_target_map {
	uint64_t low, high;
	uint64_t inode;
	bool executable;
	char path[256]; /* "" = none; cut off */
};

/* Code that a thread must not be inside of: [low, high). */
struct rh_target_code {
	uint64_t low, high;
};

enum { RH_TARGET_MAPS = 8192, RH_TARGET_CODE = 64 };

struct rh_target {
	int pid, inner; /* inner: the number it has for itself */
	int pidfd, mem; /* descriptors; mem: /proc/PID/mem, for reading */
	uid_t uid;
	gid_t gid;
	bool apart; /* another user or container: it cannot open /proc/US/fd */
	struct rh_target_map *maps;
	size_t map_count;
	struct rh_target_code avoid[RH_TARGET_CODE];
	size_t avoid_count;
	uint64_t libc;	   /* where it begins, */
	char dormant[400]; /* the file by which its sleeping shim is woken; "" = it has none */
	uint64_t dormant_inode;
	uint64_t dlopen, dlsym, dlerror, errno_location;
};

/* `shim`: the library to load. On failure everything is closed again. */
int rh_target_open(struct rh_target *target, int pid, const char *shim, struct rh_err *err);
void rh_target_close(struct rh_target *target);
/* False: it cannot be read, or no longer. */
bool rh_target_read(const struct rh_target *target, uint64_t at, void *into, size_t bytes);
const struct rh_target_map *rh_target_map_of(const struct rh_target *target, uint64_t at);
bool rh_target_avoids(const struct rh_target *target, uint64_t at);
/* Why ptrace was refused. */
int rh_target_refused(const struct rh_target *target, struct rh_err *err);

#endif
