/*
 * goversions.h - the versions of Go whose memory can be modelled: one table for the heap,
 * the stacks, the importer, `reheap list profiles` and the documentation.
 *
 * GO_VERSIONS(X) is the table, oldest first: X(name, what differs from the row above and
 * where its source says so, facts of the heap, facts of the stacks). Facts are fields of
 * struct rh_goheap (below) and struct pool_profile
 * (alloc/stack/pools/profile.h), or of struct segmented_profile for GO_SEGMENTED(X); each
 * room makes its rows from the columns it owns. File names are those of Go's src/runtime.
 * To add a version: one row here. Tests walk all rows.
 *
 * Thread rule: constant data.
 */
#ifndef RH_GOVERSIONS_H
#define RH_GOVERSIONS_H

#include <stdbool.h>

#include "alloc/base/gosizes.h"

#define GO_FACTS(...) __VA_ARGS__

/* What heaps have in common; each list is the one before and what came then. */
#define GO_H_1_8  .widened = true
#define GO_H_1_9  GO_H_1_8, .noscan_split = true
#define GO_H_1_12 GO_H_1_9, .lazy_flush = true, .reclaim_bitmap = true, .madv_free = true
#define GO_H_1_13 GO_H_1_12, .radix = true
#define GO_H_1_14 GO_H_1_13, .pcache = true
#define GO_H_1_15 GO_H_1_14, .span_sets = true
#define GO_H_1_16                                                                            \
	GO_H_1_9, .lazy_flush = true, .reclaim_bitmap = true, .radix = true, .pcache = true, \
		  .span_sets = true, .class24 = true, .large_pcache = true
#define GO_H_1_18 GO_H_1_16, .pacer_runway = true
#define GO_H_1_19 GO_H_1_18, .memory_limit = true
#define GO_H_1_21 GO_H_1_19, .pcache_flush_gc = true
#define GO_H_1_22 GO_H_1_21, .header = true
#define GO_H_1_26 GO_H_1_22, .random_base = true, .zero_scavenged = true

#define GO_S_1_4  .guard_bytes = 512, .g0_bytes = 8192, .orders = 3, .one_lock = true
#define GO_S_1_5                                                             \
	.guard_bytes = 640, .g0_bytes = 8192, .orders = 4, .one_lock = true, \
	.large = POOL_LARGE_QUEUE, .shrink_reserve = true
#define GO_S_1_6(guard)                                                                 \
	.guard_bytes = guard, .g0_bytes = 8192, .orders = 4, .large = POOL_LARGE_LISTS, \
	.shrink_reserve = true
#define GO_S_1_7(guard) GO_S_1_6(guard), .g_split = true
#define GO_S_1_15	GO_S_1_7(928), .growth = POOL_GROW_BY_FRAME
#define GO_S_1_17	GO_S_1_7(928), .growth = POOL_GROW_TO_FIT
#define GO_S_1_19	GO_S_1_17, .adaptive = true
#define GO_S_1_22                                                                      \
	.guard_bytes = 928, .g0_bytes = 16384, .orders = 4, .large = POOL_LARGE_LISTS, \
	.shrink_reserve = true, .g_split = true, .growth = POOL_GROW_TO_FIT, .adaptive = true

/* Segmented stacks, and the mixture of 1.3. Their heaps are not modelled. */
#define GO_SEGMENTED(X)                                                                           \
	X("1.0",                                                                                  \
	  "segments of 4 KiB, 1 KiB beyond the frame, from a list of the thread that "            \
	  "never ends (malloc.goc, proc.c: newstack)",                                            \
	  GO_FACTS(.fixed_bytes = 4096, .extra_bytes = 1024, .top_bytes = 80, .unbounded = true)) \
	X("1.1",                                                                                  \
	  "a ring of 32 segments for each thread, batches of 16 (malloc.goc: "                    \
	  "stackalloc)",                                                                          \
	  GO_FACTS(.fixed_bytes = 4096, .extra_bytes = 1024, .top_bytes = 80))                    \
	X("1.2", "segments of 8 KiB against hot splits (stack.h: StackMin)",                      \
	  GO_FACTS(.fixed_bytes = 8192, .extra_bytes = 2048, .top_bytes = 96))                    \
	X("1.3",                                                                                  \
	  "copies the stack where every frame can be moved; the heap is that of 1.4 "             \
	  "(stack.c: copystack, mheap.c)",                                                        \
	  GO_FACTS(.fixed_bytes = 8192, .extra_bytes = 2048, .top_bytes = 96, .copies = true))

/* Heaps that 1.4 and later share with copied stacks; 1.3 has the heap of 1.4. */
#define GO_VERSIONS(X)                                                                             \
	X("1.4",                                                                                   \
	  "stacks of 2 KiB, always copied; 3 pooled orders; heap of 8 KiB pages, tiny "            \
	  "blocks, 66 classes not widened (stack1.go, mheap.c)",                                   \
	  GO_FACTS(.widened = false), GO_FACTS(GO_S_1_4))                                          \
	X("1.5",                                                                                   \
	  "4 pooled orders; large stacks queue until the cycle ends (stack1.go: "                  \
	  "stackFreeQueue)",                                                                       \
	  GO_FACTS(.widened = false), GO_FACTS(GO_S_1_5))                                          \
	X("1.6", "stackLarge: large stacks are taken again within a cycle; guard 720 (stack.go)",  \
	  GO_FACTS(.widened = false), GO_FACTS(GO_S_1_6(720), .one_lock = true))                   \
	X("1.7",                                                                                   \
	  "freeindex, allocCache and bitmaps in spans; dead goroutines without a stack "           \
	  "have a list (mbitmap.go, proc.go: gfput)",                                              \
	  GO_FACTS(.widened = false), GO_FACTS(GO_S_1_7(720), .one_lock = true))                   \
	X("1.8", "class sizes widened to fill their span; guard 880 (mksizeclasses.go, stack.go)", \
	  GO_FACTS(GO_H_1_8), GO_FACTS(GO_S_1_7(880), .one_lock = true))                           \
	X("1.9",                                                                                   \
	  "span classes: scan and noscan apart; freelarge is a treap (mheap.go, "                  \
	  "mgclarge.go)",                                                                          \
	  GO_FACTS(GO_H_1_9, .treap = true), GO_FACTS(GO_S_1_7(880), .one_lock = true))            \
	X("1.10", "as 1.9 to what is modelled here (mheap.go)", GO_FACTS(GO_H_1_9, .treap = true), \
	  GO_FACTS(GO_S_1_7(880), .one_lock = true))                                               \
	X("1.11",                                                                                  \
	  "sparse arenas of 64 MiB, the heap grows by whole ones (malloc.go: "                     \
	  "sysAlloc)",                                                                             \
	  GO_FACTS(GO_H_1_9, .treap = true, .whole_arenas = true),                                 \
	  GO_FACTS(GO_S_1_7(880), .one_lock = true))                                               \
	X("1.12",                                                                                  \
	  "all free spans in two treaps, resident and released; mcaches are flushed "              \
	  "lazily; MADV_FREE (mheap.go, mgclarge.go)",                                             \
	  GO_FACTS(GO_H_1_12, .treap = true, .two_treaps = true, .whole_arenas = true),            \
	  GO_FACTS(GO_S_1_7(880), .one_lock = true))                                               \
	X("1.13", "one treap by address, first fit (mgclarge.go: treapInsert)",                    \
	  GO_FACTS(GO_H_1_13), GO_FACTS(GO_S_1_7(880), .one_lock = true))                          \
	X("1.14",                                                                                  \
	  "bitmaps and summaries of pages, page caches of Ps; a lock for each stack "              \
	  "order; guard 896 (mpagealloc.go, mpagecache.go)",                                       \
	  GO_FACTS(GO_H_1_14), GO_FACTS(GO_S_1_7(896)))                                            \
	X("1.15",                                                                                  \
	  "mcentral of span sets; growth looks at the frame; guard 928 (mcentral.go, "             \
	  "mspanset.go)",                                                                          \
	  GO_FACTS(GO_H_1_15), GO_FACTS(GO_S_1_15))                                                \
	X("1.16",                                                                                  \
	  "class of 24 bytes; large objects use page caches; MADV_DONTNEED "                       \
	  "(mksizeclasses.go, mheap.go)",                                                          \
	  GO_FACTS(GO_H_1_16), GO_FACTS(GO_S_1_15))                                                \
	X("1.17", "growth leaves room for the frame (stack.go: newstack)", GO_FACTS(GO_H_1_16),    \
	  GO_FACTS(GO_S_1_17))                                                                     \
	X("1.18", "the pacer counts stacks and globals, and starts by its runway (mgcpacer.go)",   \
	  GO_FACTS(GO_H_1_18), GO_FACTS(GO_S_1_17))                                                \
	X("1.19",                                                                                  \
	  "new stacks as large as the average in use; memory limit (mgcpacer.go, "                 \
	  "mgclimit.go)",                                                                          \
	  GO_FACTS(GO_H_1_19), GO_FACTS(GO_S_1_19))                                                \
	X("1.20", "as 1.19 to what is modelled here; arenas of the user (arena.go) are not",       \
	  GO_FACTS(GO_H_1_19), GO_FACTS(GO_S_1_19))                                                \
	X("1.21", "page caches of idle Ps go back after a cycle (mgc.go: gcMarkTermination)",      \
	  GO_FACTS(GO_H_1_21), GO_FACTS(GO_S_1_19))                                                \
	X("1.22",                                                                                  \
	  "header before scan objects over 512 bytes, bitmap in smaller spans; g0 of "             \
	  "16 KiB (mbitmap.go, proc.go)",                                                          \
	  GO_FACTS(GO_H_1_22), GO_FACTS(GO_S_1_22))                                                \
	X("1.23", "as 1.22; the first that can record allocations (traceallocfree.go)",            \
	  GO_FACTS(GO_H_1_22), GO_FACTS(GO_S_1_22))                                                \
	X("1.24", "as 1.22; records every tiny object (malloc.go: mallocgcTiny)",                  \
	  GO_FACTS(GO_H_1_22), GO_FACTS(GO_S_1_22))                                                \
	X("1.25", "as 1.22 (mgcmark_nogreenteagc.go)", GO_FACTS(GO_H_1_22), GO_FACTS(GO_S_1_22))   \
	X("1.25-greenteagc",                                                                       \
	  "built with that experiment: 128 bytes of marks at the end of "                          \
	  "one-page spans of 16 to 512 bytes (mgcmark_greenteagc.go)",                             \
	  GO_FACTS(GO_H_1_22, .inline_marks = true), GO_FACTS(GO_S_1_22))                          \
	X("1.26",                                                                                  \
	  "128 bytes of marks at the end of one-page spans always; the heap begins at a "          \
	  "random page; released pages count as zero (malloc.go, mheap.go: allocNeedsZero)",       \
	  GO_FACTS(GO_H_1_26, .inline_marks = true), GO_FACTS(GO_S_1_22))                          \
	X("1.26-nogreenteagc", "built without those marks (mgcmark_nogreenteagc.go)",              \
	  GO_FACTS(GO_H_1_26), GO_FACTS(GO_S_1_22))

/* What a heap of Go does, as far as versions differ. */
struct rh_goheap {
	const char *name;
	/* size classes */
	bool widened;	   /* class sizes widened to fill the span (1.8 and later) */
	bool class24;	   /* the 24-byte class exists (1.16) */
	bool noscan_split; /* two span classes per size class (1.9) */
	bool header;	   /* 8-byte header before scan blocks > 512 B, bitmap in
			    * smaller scan spans, small limit 32760 (1.22) */
	bool inline_marks; /* 128 bytes at the end of one-page spans of 16..512 B (1.26) */
	/* mcentral */
	bool span_sets;	 /* swept/unswept FIFO sets (1.15), else two locked lists */
	bool lazy_flush; /* mcaches are flushed after sweepgen moved (1.12) */
	/* page heap */
	bool radix;	      /* by address, first fit: bitmap + summaries (1.14, and 1.13) */
	bool large_pcache;    /* large objects use the page cache too (1.16) */
	bool pcache;	      /* per-P page cache (1.14); radix without it: 1.13 */
	bool treap;	      /* freelarge is a treap (1.9), else a list; only without radix */
	bool two_treaps;      /* all free spans in treaps, resident and released (1.12) */
	bool whole_arenas;    /* grows by 64 MiB (1.11 and 1.12) */
	bool random_base;     /* the first arena starts at a drawn page (1.26) */
	bool zero_scavenged;  /* released pages count as zero (1.26) */
	bool madv_free;	      /* releases with MADV_FREE (1.12 to 1.15) */
	bool pcache_flush_gc; /* page caches of idle Ps are flushed after a cycle (1.21) */
	/* collector */
	bool reclaim_bitmap; /* reclaim walks pageInUse bits in 512-page steps (1.12) */
	bool pacer_runway;   /* heap goal counts from the marked bytes, trigger by
			      * 45/64 .. 61/64 of the way (1.18) */
	bool memory_limit;   /* GOMEMLIMIT (1.19) */
};

struct rh_goversion {
	const char *name, *differs;
	bool segmented; /* its stacks are; else pooled, and the heap is modelled too */
	struct rh_goheap heap;
};

/* All rows; ends with a row without a name. */
extern const struct rh_goversion rh_goversions[];

/*
 * The row that a version behaves like: the newest that is not newer, else the oldest. NULL
 * when the text is no version ("1.N" or "go1.N", what follows the number is an experiment's
 * name or a patch level). `segmented`: of those with segmented stacks only, else of the others.
 */
const char *rh_goversion_nearest(const char *text, bool segmented);

static inline struct rh_gorules rh_goversion_rules(const struct rh_goheap *heap)
{
	return (struct rh_gorules){ heap->widened, heap->class24, heap->header,
				    heap->inline_marks };
}

/* The row of exactly that name, or NULL. */
const struct rh_goversion *rh_goversion_of(const char *name);

#endif
