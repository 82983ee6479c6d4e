/*
 * profile.h - which Go a tiered heap behaves like: the version matrix as data.
 *
 * A row holds facts, never code: every tier asks its field and nothing compares
 * version numbers. To add a version: add a row to profile.c and its word to the
 * knob table of tiered.c (both are in the same order); the model test walks all rows.
 *
 * Thread rule: constant data.
 */
#ifndef RH_TIERED_PROFILE_H
#define RH_TIERED_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

struct tier_profile {
	const char *name;
	/* size classes */
	bool widened;		/* class sizes widened to fill the span (1.8 and later) */
	bool class24;		/* the 24-byte class exists (1.16) */
	bool noscan_split;	/* two span classes per size class (1.9) */
	bool header;		/* 8-byte header before scan blocks > 512 B, bitmap in
				 * smaller scan spans, small limit 32760 (1.22) */
	bool inline_marks;	/* 128 bytes at the end of one-page spans of 16..512 B (1.26) */
	/* mcentral */
	bool span_sets;		/* swept/unswept FIFO sets (1.15), else two locked lists */
	bool lazy_flush;	/* mcaches are flushed after sweepgen moved (1.12) */
	/* page heap */
	bool radix;		/* bitmap + summaries + per-P page cache (1.14) */
	bool large_pcache;	/* large objects use the page cache too (1.16) */
	bool treap;		/* freelarge is a treap (1.9), else a list; only without radix */
	bool random_base;	/* the first arena starts at a drawn page (1.26) */
	bool zero_scavenged;	/* released pages count as zero (1.26) */
	bool madv_free;		/* releases with MADV_FREE (1.12 to 1.15) */
	bool pcache_flush_gc;	/* page caches of idle Ps are flushed after a cycle (1.21) */
	/* collector */
	bool reclaim_bitmap;	/* reclaim walks pageInUse bits in 512-page steps (1.12) */
	bool pacer_runway;	/* heap goal counts from the marked bytes, trigger by
				 * 45/64 .. 61/64 of the way (1.18) */
};

extern const struct tier_profile rh_tier_profiles[];
enum { TIER_PROFILE_COUNT = 6, TIER_PROFILE_DEFAULT = 3 };

#endif
