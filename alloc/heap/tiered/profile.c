/*
 * profile.c - the rows of the version matrix, oldest first.
 *
 * Only versions whose behaviour is fully known are here; any other name is refused
 * by the knob. 1.10 stands for the heaps with a treap of large free spans.
 */
#include "alloc/heap/tiered/profile.h"

const struct tier_profile rh_tier_profiles[TIER_PROFILE_COUNT] = {
	{ .name = "1.8", .widened = true },
	{ .name = "1.10", .widened = true, .noscan_split = true, .treap = true },
	{ .name = "1.14", .widened = true, .noscan_split = true, .lazy_flush = true,
	  .radix = true, .madv_free = true, .reclaim_bitmap = true },
	{ .name = "1.17", .widened = true, .class24 = true, .noscan_split = true,
	  .span_sets = true, .lazy_flush = true, .radix = true, .large_pcache = true,
	  .reclaim_bitmap = true },
	{ .name = "1.22", .widened = true, .class24 = true, .noscan_split = true,
	  .header = true, .span_sets = true, .lazy_flush = true, .radix = true,
	  .large_pcache = true, .pcache_flush_gc = true, .reclaim_bitmap = true,
	  .pacer_runway = true },
	{ .name = "1.26", .widened = true, .class24 = true, .noscan_split = true,
	  .header = true, .inline_marks = true, .span_sets = true, .lazy_flush = true,
	  .radix = true, .large_pcache = true, .random_base = true, .zero_scavenged = true,
	  .pcache_flush_gc = true, .reclaim_bitmap = true, .pacer_runway = true },
};
