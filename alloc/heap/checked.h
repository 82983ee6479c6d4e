/*
 * checked.h - what the checked decorator found, and how it is reported.
 *
 * Default: one line on stderr and abort(). Tests put their own function in; when it
 * returns, the heap goes on as well as it can (a bad free is ignored, a bad block from
 * the inner heap is handed out). Called from any thread, with no lock held.
 */
#ifndef RH_CHECKED_H
#define RH_CHECKED_H

#include <stddef.h>

enum rh_violation_kind {
	RH_VIOLATION_OVERRUN,  /* red zone after the block is damaged */
	RH_VIOLATION_UNDERRUN, /* red zone before it */
	RH_VIOLATION_DOUBLE_FREE,
	RH_VIOLATION_WILD_FREE,	 /* never a block of ours, or the middle of one */
	RH_VIOLATION_WRONG_SIZE, /* free or resize names another size than alloc did */
	RH_VIOLATION_ALIGNMENT,	 /* of the inner heap, as the next three */
	RH_VIOLATION_NOT_ZEROED,
	RH_VIOLATION_OVERLAP,	    /* handed out memory of a live block */
	RH_VIOLATION_LOST_CONTENTS, /* a resize did not keep them */
	RH_VIOLATION_COUNT
};

struct rh_violation {
	enum rh_violation_kind kind;
	const char *word;  /* "double free" */
	const void *p;	   /* the block as its user knows it */
	size_t size;	   /* as asked for; of the call for wild frees */
	size_t other;	   /* first bad byte, size given or alignment due */
	const char *inner; /* name of the heap inside */
};

extern void (*rh_checked_violation)(const struct rh_violation *violation);

#endif
