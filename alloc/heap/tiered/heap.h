/*
 * heap.h - the structures of the tiered heap and who may touch what.
 *
 * Inside this folder only. The story of an allocation is at the top of tiered.c; each
 * tier's own story is at the top of its file.
 *
 *	struct rh_lane		Go's P with its mcache, page cache and span cache: one
 *				thread at a time, no lock
 *	struct mspan		a run of pages holding slots of one class
 *	struct mcentral		spans of one class that no lane holds
 *	struct rh_heap		mheap: pages, arenas, span structs, the collector
 *
 * Ownership of a span, gc=explicit: `owner` is the lane that took it. Only that lane
 * touches alloc_bits, alloc_cache, freeindex and alloc_count; other lanes leave frees
 * in dead_bits under the central lock of the class. A span with no owner belongs to
 * the central lock. Of a dead span it is the lane whose stash may join it to a neighbour
 * (stash.h). Other modes follow the sweepgen protocol of sweep.c.
 *
 * Addresses: all arenas lie in one 64 GiB window, so that a page number is a shift and
 * a subtraction and the maps of pages are flat arrays that the kernel fills on touch.
 *
 * Counters: a lane counts in plain words of its own that others may read at any time
 * (tier_add); the heap's totals change under its lock.
 */
#ifndef RH_TIERED_HEAP_H
#define RH_TIERED_HEAP_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/backend.h"
#include "alloc/base/debug.h"
#include "alloc/base/gopacer.h"
#include "alloc/base/lock.h"
#include "alloc/base/os.h"
#include "alloc/heap/tiered/fixalloc.h"
#include "alloc/heap/tiered/pages.h"
#include "alloc/heap/tiered/profile.h"
#include "alloc/heap/tiered/sizeclass.h"

#ifdef RH_DEBUG
enum { TIER_DEBUG = 1 };
#else
enum { TIER_DEBUG = 0 };
#endif

#define tier_likely(x)	 __builtin_expect(!!(x), 1)
#define tier_unlikely(x) __builtin_expect(!!(x), 0)

/* Ranks of our locks: take them in rising order. The stack pools stand between the
 * bitmaps and the page heap (they take pages while they hold a pool). */
enum tier_rank {
	TIER_RANK_GC = 100,
	TIER_RANK_CENTRAL = 110,
	TIER_RANK_SPINE = 120,
	TIER_RANK_BITS = 130,
	TIER_RANK_STACKPOOL = 140,
	TIER_RANK_STACKLARGE = 145,
	TIER_RANK_HEAP = 160,
	TIER_RANK_PERSISTENT = 180,
};

enum tier_gc { TIER_GC_EXPLICIT, TIER_GC_ORACLE, TIER_GC_RECORDED };

struct tier_knobs {
	int profile;	/* index into rh_tier_profiles */
	int gc;		/* enum tier_gc */
	uint64_t gogc;	/* percent, or RH_GOGC_OFF */
	int scavenge;	/* enum tier_scavenge */
	int thp;	/* enum tier_thp */
	uint64_t limit; /* bytes mapped and not released; 0 = none. Collected modes: soft */
	int flush;	/* enum tier_flush */
	/* what a cycle scans besides the heap: bytes, and the share of the stacks */
	uint64_t roots;
	double stacks;
	double marking; /* oracle: bytes allocated while one is marked */
};

enum tier_scavenge { TIER_SCAVENGE_PACED, TIER_SCAVENGE_EAGER, TIER_SCAVENGE_OFF };

enum tier_thp { TIER_THP_OFF, TIER_THP_ON, TIER_THP_AUTO };

enum tier_flush {
	TIER_FLUSH_CYCLE, /* a recorded cycle ends by emptying every lane's caches */
	TIER_FLUSH_LANE,  /* each lane's at a moment of its own */
};
_Static_assert(TIER_SPC_MAX <= 256, "a span class fits a byte");

/* ---- spans ---- */

/* Two bitmaps of 64 slots: the one-page spans of 128 bytes and more in gc=explicit, and the
 * struct is two cache lines (with room for 256 slots it is 200 bytes, 2.4 % of a one-page
 * span, where most programs have mostly such). */
enum { SPAN_INLINE_WORDS = 2 };

enum span_state { SPAN_DEAD, SPAN_IN_USE, SPAN_MANUAL, SPAN_FREE /* old page heaps */ };

struct span_list {
	struct mspan *first, *last;
	uint64_t count;
};

struct mspan {
	/* written by the owner at every slow allocation */
	uint64_t alloc_cache; /* 1 = free; slot freeindex is bit 0 */
	uint16_t freeindex;
	uint16_t elem_count;
	uint16_t alloc_count;
	union {
		uint16_t alloc_count_cached; /* collected modes: when the lane took it */
		uint16_t touched;	     /* explicit: no slot from there on was ever used */
	};
	uint64_t *alloc_bits; /* 1 = taken; the other bitmaps follow it */
	uintptr_t base;
	uint32_t elem_bytes; /* 0 for large: page_count says it */
	uint32_t div_mul;
	_Atomic(struct rh_lane *) owner;
	uint64_t inline_bits[SPAN_INLINE_WORDS]; /* all bitmaps, where they fit */
	/* Up to here a cache line, all that a block which is freed asks for. Written when the span
	 * changes hands: */
	struct mspan *next, *prev;
	struct span_list *list; /* the list it stands in */
	uint32_t page_count;
	uint8_t spc;
	uint8_t state; /* enum span_state, through the functions below */
	uint8_t needzero;
	uint8_t grown; /* large: realloc made it longer before, and may again */
	_Atomic uint32_t sweepgen;
	uint32_t scav_pages;	    /* SPAN_FREE: of these pages, how many are released */
	_Atomic uint8_t *tiny_live; /* tiny class, collected modes: live parts of a slot */
	struct mspan *remote_next;  /* on its owner's remote list */
	_Atomic uint32_t dead_count;
	uint16_t bit_words;  /* capacity of each bitmap */
	uint16_t tiny_bytes; /* capacity of tiny_live */
};
_Static_assert(sizeof(struct mspan) == 2 * RH_CACHE_LINE, "two cache lines, not three");
_Static_assert(offsetof(struct mspan, next) == RH_CACHE_LINE, "frees touch one of them");

/* Frees from others (explicit), or from everyone (collected modes). */
static inline _Atomic uint64_t *rh_span_dead_bits(const struct mspan *span)
{
	rh_debug_assert(span->bit_words > 0);
	return (_Atomic uint64_t *)(span->alloc_bits + span->bit_words);
}

/* Collected modes. */
static inline uint64_t *rh_span_mark_bits(const struct mspan *span)
{
	return span->alloc_bits + 2 * span->bit_words;
}

/* Debug: what the user holds. The last of the bitmaps. */
static inline uint64_t *rh_span_live_bits(const struct mspan *span, bool explicit_frees)
{
	return span->alloc_bits + (explicit_frees ? 2 : 3) * span->bit_words;
}

/* Others look at a span's state at any time: the sweeper at that of all spans, the page
 * lists at that of neighbours. In use is set last, so that whoever sees it sees the rest. */
static inline enum span_state rh_span_state(const struct mspan *span)
{
	return (enum span_state)__atomic_load_n(&span->state, __ATOMIC_ACQUIRE);
}

static inline void rh_span_set_state(struct mspan *span, enum span_state state)
{
	__atomic_store_n(&span->state, (uint8_t)state, __ATOMIC_RELEASE);
}

/* The span's bytes from its pages. */
static inline size_t rh_span_bytes(const struct mspan *span)
{
	return (size_t)span->page_count << TIER_PAGE_SHIFT;
}

/* Bytes of one slot; a large span is one slot. */
static inline size_t rh_span_elem(const struct mspan *span)
{
	return span->elem_bytes ? span->elem_bytes : rh_span_bytes(span);
}

static inline unsigned rh_span_index(const struct mspan *span, const void *p)
{
	rh_debug_assert((uintptr_t)p >= span->base);
	return (unsigned)(((uint64_t)((uintptr_t)p - span->base) * span->div_mul) >> 32);
}

/* Lock-free FIFO of spans (mcentral.c). */
enum { SET_BLOCK_SPANS = 512, SET_SPINE_BLOCKS = 4096 };
_Static_assert((uint64_t)SET_BLOCK_SPANS *SET_SPINE_BLOCKS < 1ull << 32, "head and tail: 32 bits");

struct span_set_block {
	_Atomic uint32_t popped;
	struct span_set_block *next; /* in the pool */
	_Atomic(struct mspan *) spans[SET_BLOCK_SPANS];
};

struct span_set {
	_Atomic uint64_t head_tail; /* head << 32 | tail */
	_Atomic uint32_t spine_len;
	_Atomic(struct span_set_block *) *spine; /* SET_SPINE_BLOCKS, made at first push */
	struct rh_lock spine_lock;
};

/* The sets of a class: swept and unswept take turns with sweepgen. */
struct span_sets {
	struct span_set partial[2], full[2];
};

/* Padded by its lock's alignment: neighbours never share a cache line. */
struct mcentral {
	struct rh_lock lock;	   /* lists below; dead_bits in gc=explicit */
	struct span_list nonempty; /* a free slot, no owner */
	struct span_list empty;	   /* full, or cached by a lane (<= 1.14) */
	_Atomic bool ready;	   /* the lock is made */
	struct span_sets *sets;	   /* >= 1.15, collected modes */
};

/* ---- a lane ---- */

/* Freed blocks of one span class that the next alloc takes first (gc=explicit), a
 * list threaded through the blocks. room = limit - length. */
struct bin {
	void *head;
	int32_t room;
	uint16_t limit;
	uint8_t batch;	 /* slots to put in when empty */
	uint8_t flushed; /* allocs when it overflowed last, the lowest bits of it */
	uint64_t allocs; /* every alloc of the class, by bin or not */
	uint64_t misses; /* of these, how many found the bin empty */
};
_Static_assert(sizeof(struct bin) == 32, "two bins in a cache line");

/* Up to 64 pages of one aligned block; a set bit is a free, released, never used page. */
struct page_cache {
	uint32_t page;
	uint64_t free, scav, fresh;
};

/* Offsets in a lane of the bins for ceil(size / 8), up to 1 KiB, and ceil((size - 1024) / 128);
 * that of bin 0 where an entry's sizes are of two classes, or of none. */
struct bin_table {
	uint16_t of8[TIER_CLASS8_COUNT];
	uint16_t of128[TIER_CLASS128_COUNT];
};

enum {
	TIER_BITS_FIRST = 768,
	SPAN_CACHE_MAX = 128,	/* span structs a lane keeps; refilled by half */
	STASH_PAGES_ALL = 256,	/* free pages that all lanes keep as whole spans: 2 MiB together, */
	STASH_PAGES_MIN = 32,	/* but 256 KiB each, */
	STASH_PAGES_MAX = 4096, /* or a share of what is in use, 32 MiB together; all that one lane
				 * has that is alone (stash.c) */
	STASH_LOOK_PAGES = 4096, /* of traffic, 32 MiB: then what is kept is looked at */
	PCACHE_SPAN_PAGES = 16,	 /* shorter spans come from the page cache */
	STASH_LENGTHS = 4096,	 /* spans of fewer pages are stashed */
	STASH_BINS = 80,	 /* by length: exact below 16, then eight to a power of two */
	STASH_WORDS = 2,
};
_Static_assert(STASH_BINS <= 64 * STASH_WORDS, "a bit for each");

/* What a lane counts. One row per figure of `stats`. */
#define TIER_LANE_COUNTERS(X)                                   \
	X(tiny_allocs, "tiny.allocs", "count")                  \
	X(large_allocs, "large.allocs", "count")                \
	X(large_frees, "large.frees", "count")                  \
	X(large_bytes, "large.bytes", "bytes")                  \
	X(extended, "large.extended", "count")                  \
	X(shortened, "large.shortened", "count")                \
	X(slack_bytes, "large.growth_slack", "bytes")           \
	X(bin_flushes, "mcache.bin_flushes", "count")           \
	X(frees_local, "mcache.frees_to_own_spans", "count")    \
	X(frees_remote, "mcache.frees_to_other_lanes", "count") \
	X(refills, "mcache.refills", "count")                   \
	X(rewinds, "mcache.refills_same_span", "count")         \
	X(from_partial, "mcache.refills_own_partial", "count")  \
	X(from_central, "mcentral.refills", "count")            \
	X(from_sweep, "mcentral.refills_by_sweep", "count")     \
	X(from_pages, "mcentral.grows", "count")                \
	X(surrenders, "mcentral.spans_surrendered", "count")    \
	X(stash_hits, "stash.hits", "count")                    \
	X(stash_cuts, "stash.cuts", "count")                    \
	X(stash_joins, "stash.joins", "count")                  \
	X(stash_puts, "stash.puts", "count")                    \
	X(stash_trims, "stash.trims", "count")                  \
	X(pcache_hits, "pcache.hits", "count")                  \
	X(pcache_misses, "pcache.misses", "count")              \
	X(pcache_refills, "pcache.refills", "count")            \
	X(heap_allocs, "mheap.span_allocs", "count")            \
	X(heap_frees, "mheap.span_frees", "count")              \
	X(swept, "sweep.spans", "count")                        \
	X(swept_free, "sweep.spans_freed", "count")             \
	X(swept_slots, "sweep.slots_freed", "count")            \
	X(reclaimed_pages, "sweep.reclaimed_pages", "count")    \
	X(credit_sweeps, "sweep.for_credit", "count")           \
	X(bitmap_bytes, "GCSys.bitmaps", "bytes")

struct lane_counters {
#define X(field, name, unit) uint64_t field;
	TIER_LANE_COUNTERS(X)
#undef X
};

/* Written by the owner, read by anybody. */
#define tier_load(p)	 __atomic_load_n((p), __ATOMIC_RELAXED)
#define tier_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define tier_add(p, v)	 tier_store((p), tier_load(p) + (v))

/* A lane's spans of one class that it does not allocate from (gc=explicit). */
struct class_spans {
	struct span_list partial; /* with free slots */
	struct span_list full;	  /* without */
};

struct rh_lane {
	/* hot: what alloc and free of gc=explicit read */
	_Alignas(RH_CACHE_LINE) struct bin bin[TIER_SPC_MAX]; /* [0] is always empty */
	const char *bin_map; /* of address a: *(uint16_t *)(bin_map + (a >> 13) * 2) */
	struct rh_heap *heap;
	struct bin_table plain; /* what malloc's callers ask for */
	/* warm: refills */
	struct mspan *alloc[TIER_SPC_MAX]; /* the span allocated from; never NULL */
	struct page_cache pcache;
	uint32_t span_cache_count;
	uint32_t stash_pages, stash_pages_max; /* all that is stashed; */
	uint32_t stash_small, stash_small_max; /* and of it what is no run */
	uint64_t trimmed_puts;		       /* n.stash_puts when all of it went back last */
	uint32_t unseen_pages;		       /* stashed since this lane looked at the heap last */
	uint32_t bin_bytes;   /* what a bin may hold, by what the heap has in use */
	bool keeps_large;     /* large blocks come from the stash first (stash.h) */
	bool by_address;      /* runs are taken from below (mheap_resize.c) */
	bool released_zero;   /* pages given back are known to read as zero */
	uint64_t unpark_from; /* when so much is in memory, what the lane parks is looked at */
	/* gc=explicit: the class that malloc's callers get for this one (serves.c) */
	uint8_t serves[TIER_CLASS_MAX];
	uint8_t served[TIER_CLASS_MAX];	  /* how many others get this one */
	uint64_t stash_bins[STASH_WORDS]; /* bit n: stash[n] has some */
	uintptr_t bits_at, bits_end;	  /* bitmaps are carved from here first */
	/* tiny blocks (collected modes) */
	uintptr_t tiny;
	unsigned tiny_offset;
	/* bytes this lane added to and took from the heap's totals since it last
	 * held the heap lock; negative ones wrap */
	int64_t d_in_use, d_stack, d_released;
	struct lane_counters n;
	uint64_t events_paid; /* allocations that the scavenger has counted as work */
	uint64_t refills_at_cycle;
	bool stale; /* flush=lane: caches of before the last cycle */
	/* stop-the-world (collected modes) */
	_Alignas(RH_CACHE_LINE) _Atomic uint32_t inside;
	struct rh_lane *next, *prev;		    /* all open lanes, under the heap lock */
	struct class_spans spans[TIER_SPC_MAX / 2]; /* noscan: what malloc's callers get */
	struct mspan *stash[STASH_BINS];	    /* empty spans by pages, LIFO */
	struct mspan *span_cache[SPAN_CACHE_MAX];
	/* apart: small heaps leave it as it is, and so not in memory */
	struct class_spans spans_scan[TIER_SPC_MAX / 2];
	_Atomic(struct mspan *) remote[TIER_SPC_MAX]; /* own spans others freed into */
	uint64_t class_frees[TIER_SPC_MAX];	      /* collected modes: frees seen */
	/* what Go programs ask for: scan, noscan. All zero, bin 0, until one does (serves.c) */
	struct bin_table go[2];
	bool go_filled;
};
_Static_assert(offsetof(struct rh_lane, bin_map) < 65536, "bin offsets are 16 bits");
_Static_assert(offsetof(struct rh_lane, bin) == 0, "offset 0 is the bin of no class");
_Static_assert(offsetof(struct rh_lane, spans_scan) <= 3 * RH_PAGE,
	       "a small heap's lane is three pages");

static inline struct class_spans *rh_class_spans(struct rh_lane *lane, unsigned spc)
{
	return spc & 1 ? &lane->spans[spc / 2] : &lane->spans_scan[spc / 2];
}

/* ---- the heap ---- */

struct pacer {
	_Atomic uint64_t heap_live; /* counted at refill and large alloc; over-estimates */
	uint64_t heap_marked, goal, trigger;
	uint64_t last_goal, last_in_use;
	uint64_t cycles;
	bool marking; /* a cycle has begun: mark bits hold what was dead then */
	/* oracle: bytes that the last cycle found dead and nobody has swept yet; bytes of spans in
	 * lanes' caches, but what was taken of them before */
	_Atomic uint64_t unswept, cached;
	/* over all cycles: heap_live as they ended, bytes marked, goals that followed */
	uint64_t live_peak, marked_total, goal_total;
	double sweep_pages_per_byte; /* proportional sweep; 0 = swept */
	uint64_t sweep_live_basis, pages_swept_basis;
	_Atomic uint64_t pages_swept;
	_Atomic uint64_t reclaim_index, reclaim_credit;
	/* oracle: the collector's share of the CPU; heap_live when its clock ran last */
	struct rh_golimiter limiter;
	uint64_t ran_from;
	uint64_t scanned_stacks; /* their bytes when the cycle began: later ones are not scanned */
	double owed; /* marking=0: what would have been allocated during it, comes after it */
};

struct scavenger {
	enum tier_scavenge policy;
	uint64_t goal_bytes;		/* retained bytes wanted; UINT64_MAX = no goal */
	uint64_t peak_now, peak_before; /* explicit, this and the last window: in use (paced),
					 * by stacks (eager) */
	uint64_t window_bytes;		/* eager: page traffic of this window */
	uint64_t window_work;		/* paced: work of this window, ns */
	uint64_t tick_bytes;		/* paced: page traffic that is not counted as work yet */
	int64_t credit;			/* paced: work that was not spent yet, ns; may be a debt */
	int64_t growth_credit;		/* paced: the same, earned by growth and for growth */
	uint64_t mark_bytes;		/* paced: the most that was retained */
	uint64_t released_total, releases;
};

/* Ordered so that what a heap of one lane writes lies together at the end, where its first span
 * structs follow (lane.c): mcentral, the lists of old page heaps and the counters of closed lanes
 * come before it. */
struct rh_heap {
	struct mcentral central[TIER_SPC_MAX];
	struct span_list busy[128], busy_large; /* <= 1.10: large spans in use, by pages */
	struct lane_counters retired;		/* of closed lanes */
	uint64_t retired_allocs[TIER_SPC_MAX], retired_misses[TIER_SPC_MAX];
	uint64_t retired_frees[TIER_SPC_MAX];

	/* from here on a heap of one lane uses it */
	_Alignas(RH_CACHE_LINE) const struct rh_goheap *profile;
	struct tier_knobs knobs;
	enum tier_gc gc;
	bool whole; /* opened to the end */
	struct tier_classes classes;
	uintptr_t window;     /* lowest address of the 64 GiB window */
	struct mspan **spans; /* by page of the window; downwards from here: every span
			       * struct ever made (rh_nth_span) */
	uint16_t *bin_map;    /* by page: offset of the bin in a lane for blocks of
			       * this page; 0 = free takes the slow path */
	_Atomic uint32_t all_span_count;
	struct mspan dummy; /* full span of no class: an empty cache slot */

	struct persistent persistent; /* maps, bitmaps, sets; has a lock of its own */

	struct rh_lock bits_lock; /* bitmap pool */
	void *bits_free[16];	  /* by log2 of words */

	struct rh_lock gc_lock; /* one cycle at a time */
	struct pacer pacer;
	_Atomic uint32_t sweepgen;
	_Atomic uint32_t sweep_done;
	_Atomic uint32_t sweep_next; /* sweepone: next set or span */
	_Atomic uint32_t stopping;   /* world is being stopped */
	struct rh_lock set_pool_lock;
	struct span_set_block *set_pool; /* blocks of span sets, empty */

	struct rh_lock lock; /* mheap.lock: everything down to mcentral, and pages */
	struct page_heap pages;
	struct arenas arenas;
	/* whether mcentral has spans with free slots: all of it that a heap of one lane looks at */
	_Atomic uint8_t central_has[TIER_SPC_MAX];
	struct fixalloc span_alloc, lane_alloc;
	struct persistent structs; /* below the two above; guarded by this lock */
	uint64_t in_use_bytes, stack_bytes, released_bytes; /* lanes' deltas folded in */
	struct rh_lane *lanes;
	unsigned lane_count, lane_count_max;
	uint64_t lanes_opened;
	uint64_t grows, refused; /* heap growth; requests that found no memory */
	struct scavenger scavenger;
	uintptr_t bits_first; /* bitmaps for the first lane, TIER_BITS_FIRST bytes; 0 = given */
	void *area;	      /* this struct and what follows it (lane.c) */
};

static inline uint16_t rh_bin_offset(unsigned spc)
{
	rh_debug_assert(spc < TIER_SPC_MAX);
	return (uint16_t)(spc * sizeof(struct bin));
}

static inline size_t rh_page_index(const struct rh_heap *heap, uintptr_t address)
{
	rh_debug_assert(address - heap->window <= TIER_WINDOW);
	return (address - heap->window) >> TIER_PAGE_SHIFT;
}

/* The span of an address in the window; NULL where there is none. */
static inline struct mspan *rh_span_of(const struct rh_heap *heap, const void *p)
{
	uintptr_t offset = (uintptr_t)p - heap->window;

	return offset < TIER_WINDOW ? heap->spans[offset >> TIER_PAGE_SHIFT] : NULL;
}

/* Every span struct there ever was, in the order in which they were made. */
static inline struct mspan *rh_nth_span(const struct rh_heap *heap, uint32_t nth)
{
	rh_debug_assert(nth < atomic_load(&heap->all_span_count));
	return heap->spans[-1 - (ptrdiff_t)nth];
}

/* ---- lists: small enough to be inline ---- */

static inline void rh_list_remove(struct mspan *span)
{
	struct span_list *list = span->list;

	rh_debug_assert(list && list->count > 0);
	*(span->prev ? &span->prev->next : &list->first) = span->next;
	*(span->next ? &span->next->prev : &list->last) = span->prev;
	span->next = span->prev = NULL;
	span->list = NULL;
	list->count--;
}

static inline void rh_list_push_front(struct span_list *list, struct mspan *span)
{
	rh_debug_assert(!span->list);
	span->prev = NULL;
	span->next = list->first;
	*(list->first ? &list->first->prev : &list->last) = span;
	list->first = span;
	span->list = list;
	list->count++;
}

static inline void rh_list_push_back(struct span_list *list, struct mspan *span)
{
	rh_debug_assert(!span->list);
	span->next = NULL;
	span->prev = list->last;
	*(list->last ? &list->last->next : &list->first) = span;
	list->last = span;
	span->list = list;
	list->count++;
}

#endif
