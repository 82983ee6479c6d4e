/*
 * place.h - files of ours where a process in another root folder (chroot, a container) finds them.
 *
 * It opens paths in its own root, which we reach as /proc/PID/root. The area goes into its
 * /dev/shm, or the first of some other folders that may be written; the shim, where it is not there
 * under its own path, into the first of those that is not mounted noexec. The copy's name is that
 * of the build, so that the loader knows it again when the process is joined a second time.
 *
 * Thread rule: one thread. Errors: RH_OS, naming what helps.
 */
#ifndef RH_RECORD_PLACE_H
#define RH_RECORD_PLACE_H

#include "traces/record/target.h"

enum { RH_PLACE_PATH = 512 };

struct rh_place {
	size_t root_bytes;	  /* what stands before a path of the process, in ours */
	char area[RH_PLACE_PATH]; /* ours; "": it can reach what has no name */
	char copy[RH_PLACE_PATH]; /* ours; "": the shim is there under its own path */
	const char *shim;	  /* as the process finds it */
};

int rh_place_find(struct rh_place *place, const struct rh_target *target, const char *shim,
		  struct rh_err *err);
/* The part of `name` that a copy of that shim has in it. */
void rh_place_tag(const char *shim, char tag[40]);
/* The process has opened what it was to open. */
void rh_place_remove(const struct rh_place *place);

#endif
