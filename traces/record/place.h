/*
 * place.h - puts our files where a process in another root folder (chroot, a container) can open
 * them.
 *
 * It opens paths in its own root, which we reach as /proc/PID/root. The area goes into its
 * /dev/shm, or the first of some other writable folders; the shim, if it is missing at its own
 * path there, into the first of those that is not mounted noexec. The copy is named by the
 * build, so that the loader recognises it when we attach to the process a second time.
 *
 * Thread rule: one thread. Errors: RH_OS, naming the remedy.
 */
#ifndef RH_RECORD_PLACE_H
#define RH_RECORD_PLACE_H

#include "traces/record/target.h"

enum { RH_PLACE_PATH = 512 };

struct rh_place {
	size_t root_bytes;	  /* length of the root prefix in our paths */
	char area[RH_PLACE_PATH]; /* ours; "": it can open the unnamed area */
	char copy[RH_PLACE_PATH]; /* ours; "": the shim exists there at its own path */
	const char *shim;	  /* path as the process sees it */
};

int rh_place_find(struct rh_place *place, const struct rh_target *target, const char *shim,
		  struct rh_err *err);
/* The part of a copy's file name that identifies the shim. */
void rh_place_tag(const char *shim, char tag[40]);
/* The process has opened the files: removes them. */
void rh_place_remove(const struct rh_place *place);

#endif
