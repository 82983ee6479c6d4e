/*
 * complete.h - is every heap call of the program in its trace? A verdict with its reasons.
 *
 * Thread rule: one thread. Errors: none; a verdict too long for its text is cut off.
 */
#ifndef RH_RECORD_COMPLETE_H
#define RH_RECORD_COMPLETE_H

#include <stdint.h>

struct rh_complete_facts {
	uint64_t lost, nested, not_kept;   /* calls */
	uint64_t outside, past_max;	   /* calls while recording was off, after its end */
	uint64_t frees, unknown_frees;	   /* resizes among them */
	uint64_t live_bytes_peak, objects; /* alive, at most */
	uint64_t before;		   /* frees and resizes of blocks born before */
	int recovered;			   /* the recorder was killed: later calls are missing */
	uint64_t segment;		   /* of --rotate; 0 = it is not one */
	int forked;			   /* the process began as a copy of another */
	int partial;			   /* only a part was to be recorded */
	uint64_t mapped_peak;		   /* bytes it mapped itself, as recorded; see maps */
	int maps;			   /* that was recorded */
	uint64_t anonymous_peak;	   /* bytes, of the process; 0 = not known */
	uint64_t sample_bytes;		   /* it is a sample, one byte in so many hit; 0 = all */
	uint64_t sample_full;		   /* blocks that are missing from it */
	uint32_t heaps;			   /* enum rh_heap */
	const char *foreign, *exe;
	const char *full;  /* why recording stopped, "" = it did not */
	const char *later; /* what the process became then, unseen, and why; NULL = nothing */
};

enum { RH_COMPLETE_TEXT = 1400 };

/* "yes", or "no: " and the reasons. */
void rh_complete(const struct rh_complete_facts *facts, char text[RH_COMPLETE_TEXT]);

#endif
