/*
 * gosizes.h - Go's size classes by the published rule: which sizes there are, how long a
 * span of each is, how many slots it holds.
 *
 * The tiered heap serves by these classes and the importer of Go traces reads slots and
 * sizes by them, so both ask here. Tables are made, not written down; tests compare them
 * with the published numbers. Thread rule: constant once made. Nothing allocates.
 */
#ifndef RH_GOSIZES_H
#define RH_GOSIZES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RH_GO_PAGE = 8192,
	RH_GO_SMALL_MAX = 32768,
	RH_GO_CLASSES_MAX = 68, /* 67 classes and class 0, which is large */
	RH_GO_HEADER = 8,	/* bytes before a scan block > 512 (1.22) */
	RH_GO_HEADER_MIN = 512, /* slots above this size carry one */
};
_Static_assert(RH_GO_SMALL_MAX % RH_GO_PAGE == 0, "the largest slot fills its pages");

/* What differs between versions. */
struct rh_gorules {
	bool widened;	   /* sizes widened to fill the span (1.8) */
	bool class24;	   /* the 24-byte class exists (1.16) */
	bool header;	   /* header before scan blocks > 512 B, bitmap in smaller scan
			    * spans, small limit 32760 (1.22) */
	bool inline_marks; /* 128 bytes at the end of one-page spans of 16..512 B (1.26) */
};

struct rh_gosize {
	uint32_t bytes, span_bytes;
};

/* Fills table[1..count-1] (table[0] is zero) and returns count, 67 or 68. */
unsigned rh_gosizes_make(struct rh_gosize table[RH_GO_CLASSES_MAX], const struct rh_gorules *rules);

/* Slots in a span of a class, after what newer versions reserve at its end. */
unsigned rh_gosize_slots(const struct rh_gosize *size, bool noscan, const struct rh_gorules *rules);

#endif
