/*
 * children.h - the programs that were started but are not recorded, and why.
 *
 * A recorded process checks what it is about to exec (shim/exec.c) and leaves a note in the
 * area. The kernel reports what such a program starts in its turn (kin.h). Where the kernel
 * reports nothing, children are looked up below it in /proc, ten times a second, and
 * shorter-lived ones are missed.
 *
 * Thread rule: one thread. Errors: RH_OS where memory runs out.
 */
#ifndef RH_RECORD_CHILDREN_H
#define RH_RECORD_CHILDREN_H

#include <stdbool.h>
#include <stdio.h>

#include "traces/record/drain.h"
#include "traces/record/kin.h"

struct rh_child {
	int pid, ppid;
	enum rh_kid_why why;
	bool over;
	bool noted, execed; /* its process noted the exec before; the kernel reported that exec */
	bool replaced;	    /* by another program in the same process */
	uint64_t at;	    /* time of the exec, or of its fork; 0: found in /proc */
	uint32_t looks;
	size_t images;	/* number of images when it was found */
	uint64_t inode; /* of its executable at the second look, when the exec was surely over */
	char exe[512];	/* as it was called, or as /proc shows it */
};

struct rh_children {
	struct rh_child *rows;
	size_t count, room;
	uint64_t lost;	    /* children that found no place in the area */
	struct rh_kin *kin; /* NULL: the kernel reports nothing */
	bool last;	    /* the next look is the last */
	int strange_sweeps; /* in which the program ran an image without the recorder */
};

enum { RH_CHILDREN_NOTE = 1024 };

/* Takes new notes out of the area, and looks for children of living programs. */
int rh_children_look(struct rh_children *children, const struct rh_drain *drain,
		     struct rh_err *err);
/* Warns once when the program's current image has not loaded the recorder. */
void rh_children_stranger(struct rh_children *children, const struct rh_drain *drain, int pid);
/* All are known now: removes those that turned out to be recorded. */
void rh_children_settle(struct rh_children *children, const struct rh_drain *drain);
/* Whether its process ran a program that is recorded after it. */
bool rh_children_recorded_later(const struct rh_child *child, const struct rh_drain *drain);
/* The reason in a few words, with the remedy. */
const char *rh_children_why(enum rh_kid_why why);
/* Its file. */
const char *rh_children_name(const struct rh_child *child);
/* The last child of that process; NULL: none. */
const struct rh_child *rh_children_of(const struct rh_children *children, int pid);
/* "3 recorded, 2 not: 12 /bin/x (statically linked), ..." */
void rh_children_note(const struct rh_children *children, const struct rh_drain *drain,
		      char text[RH_CHILDREN_NOTE]);
void rh_children_close(struct rh_children *children);

#endif
