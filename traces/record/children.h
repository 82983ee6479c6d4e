/*
 * children.h - the programs that were begun and are not recorded, and why.
 *
 * A recorded process looks at what it is about to exec (shim/exec.c) and leaves word in the area.
 * What such a program begins in its turn is told by the kernel (kin.h). Where that tells nothing it
 * is found below it in /proc, ten times a second, and what lives shorter than that is missed.
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
	bool told, execed; /* by its process, before the exec; the kernel has told of that exec */
	bool replaced;	   /* by another program in the same process */
	uint64_t at;	   /* when that was, or its fork; 0: found in /proc */
	uint32_t looks;
	size_t images;	/* there were so many when it was found */
	uint64_t inode; /* of what it ran at the second look, when the exec was over for sure */
	char exe[512];	/* as it was called, or as /proc shows it */
};

struct rh_children {
	struct rh_child *rows;
	size_t count, room;
	uint64_t lost;	    /* that found no place in the area */
	struct rh_kin *kin; /* NULL: the kernel tells nothing */
	bool last;	    /* the next look is the last */
	int strange_sweeps; /* that saw the program run what has not loaded the recorder */
};

enum { RH_CHILDREN_NOTE = 1024 };

/* Takes what is new out of the area, and looks below what lives. */
int rh_children_look(struct rh_children *children, const struct rh_drain *drain,
		     struct rh_err *err);
/* Says so once when what the program itself runs now has not loaded the recorder. */
void rh_children_stranger(struct rh_children *children, const struct rh_drain *drain, int pid);
/* All are known: those that have turned out to be recorded go. */
void rh_children_settle(struct rh_children *children, const struct rh_drain *drain);
/* In a few words, with what helps. */
const char *rh_children_why(enum rh_kid_why why);
/* Its file. */
const char *rh_children_name(const struct rh_child *child);
/* The one of that process that came last; NULL: none. */
const struct rh_child *rh_children_of(const struct rh_children *children, int pid);
/* "3 recorded, 2 not: 12 /bin/x (statically linked), ..." */
void rh_children_note(const struct rh_children *children, const struct rh_drain *drain,
		      char text[RH_CHILDREN_NOTE]);
void rh_children_close(struct rh_children *children);

#endif
