/*
 * backend.h - the one interface between the replay and whatever serves memory.
 *
 * A run opens one heap; every replaying thread opens one lane of it (Go's P, the
 * owner of caches). Operations go through a lane; a block may be freed on any lane.
 * Stack backends serve tasks (goroutines, threads) the same way and may take their
 * pages from the heap they are paired with.
 *
 * To add a built-in backend: one file, its declaration and one row.
 *
 *	1 alloc/heap/NAME.c (or alloc/stack/NAME.c): exports exactly one
 *	  `const struct rh_backend` (or rh_stack_backend)
 *	2 alloc/registry.h: its name in the declaration of all
 *	3 alloc/registry.c: its row in the table, in the order of the names
 *
 * alloc/test/test_backends.c then tests it, `reheap list backends` lists it and replay takes
 * its name. A knob of it needs no further file (alloc/base/opt.h).
 *
 * A shared library becomes a backend without our source: any library that defines malloc and
 * friends is preloaded; one that exports the symbol `reheap_backend` (a struct rh_backend) is
 * called through this table. Three that do, to start from: alloc/test/skeleton_native.c (size
 * classes), example_arena.c (blocks that die together), example_pools.cc (C++; frees by size).
 *
 * Conditions common to all functions
 *   - sizes are bytes, alignments powers of two, 0 or 1 meaning "any";
 *   - alloc of size 0 returns a unique freeable pointer or a shared one; never NULL
 *     unless memory is exhausted;
 *   - NULL from alloc/alloc_as/resize means exhausted: the heap stays usable, and
 *     the old block of a failed resize stays valid;
 *   - free and resize get the size last asked for (the trace knows it); p is never
 *     NULL, except that the process's malloc gets free(NULL) where the program called
 *     that; free may come from another lane than alloc;
 *   - a lane is used by one thread at a time; different lanes run in parallel;
 *     lanes may be opened and closed while others work;
 *   - backends other than libc take no memory from malloc, neither in open nor later;
 *   - everything a heap owns is returned by close; blocks still live die with it.
 */
#ifndef RH_BACKEND_H
#define RH_BACKEND_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "alloc/base/err.h"
#include "alloc/base/lock_stats.h"
#include "alloc/base/opt.h"

#define RH_BACKEND_ABI 5u

struct rh_heap; /* each backend defines its own; opaque outside */
struct rh_lane;
struct rh_stacks;
struct rh_stack_lane;

enum rh_cap {
	RH_CAP_NO_MEMORY = 1u << 0, /* touch no more than 16 bytes of a block (null) */
	RH_CAP_PROCESS = 1u << 1,   /* the process's malloc: peers are preloaded under it */
	RH_CAP_DECORATOR = 1u << 2, /* wraps another backend: needs env->inner */
	RH_CAP_GC = 1u << 3,	    /* gc_begin / gc_end do something */
	RH_CAP_NO_REUSE = 1u << 4,  /* freed memory never comes back (bump) */
	/* Stacks that cannot grow. The trace of a program whose stacks do names a first size, of
	 * 2 KiB say, which is no size of a thread: spawn gets 0 then. */
	RH_CAP_FIXED_STACKS = 1u << 5,
};

enum rh_alloc_flag {
	RH_ALLOC_ZEROED = 1u << 0, /* contents must be zero (calloc) */
	RH_ALLOC_NOSCAN = 1u << 1, /* holds no pointers (Go's noscan) */
	/* The program called realloc(NULL, size): for those whose interface has such a call. With
	 * no other flag and no alignment. */
	RH_ALLOC_REALLOC = 1u << 2,
	/* It called operator new of C++. Likewise; never for 1 GiB and more. */
	RH_ALLOC_NEW = 1u << 3,
};

/* Receives one figure: name like "mcache.hits", unit "count", "bytes", "ticks". */
typedef void rh_stat_fn(void *ctx, const char *name, const char *unit, uint64_t value);
typedef void rh_lock_fn(void *ctx, const struct rh_lock_stats *lock);

struct rh_backend;

/* What open receives besides its knobs. Valid during open only, and so are knobs: copy. */
struct rh_heap_env {
	unsigned lanes_max;		     /* lanes open at once, at most; a hint for sizing */
	const struct rh_backend *inner;	     /* decorators: what they wrap ... */
	const void *inner_knobs;	     /* ... with its knobs ... */
	const struct rh_heap_env *inner_env; /* ... and its own env (decorators nest) */
};

struct rh_backend {
	uint32_t abi; /* RH_BACKEND_ABI */
	uint32_t caps;
	const char *name;	    /* the word on the command line */
	const char *summary;	    /* one line for `reheap list backends` */
	const char *absent_why;	    /* set: compiled out; listed and skipped with this reason */
	const struct rh_opt *knobs; /* NULL = none */
	size_t knobs_bytes;	    /* of the struct the knobs fill (<= RH_KNOBS_BYTES_MAX) */
	const char *stack_default;  /* stack backend when none is named; NULL = "none" */

	/* required */
	int (*open)(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		    struct rh_err *err);
	void (*close)(struct rh_heap *heap);
	int (*lane_open)(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err);
	void (*lane_close)(struct rh_lane *lane);
	/* The plain case, malloc(size): no flags, aligned to 16 (8 below 16 bytes). */
	void *(*alloc)(struct rh_lane *lane, size_t size);
	/* Everything else: align up to 2 MB at least, flags of enum rh_alloc_flag. */
	void *(*alloc_as)(struct rh_lane *lane, size_t size, size_t align, uint32_t flags);
	void (*free)(struct rh_lane *lane, void *p, size_t size);
	/* realloc: contents kept up to the smaller size, alignment as of alloc. Nothing clever to
	 * offer: rh_resize_by_copy. */
	void *(*resize)(struct rh_lane *lane, void *p, size_t size_old, size_t size_new);

	/* optional: rh_backend_check fills them in once, so nobody tests for NULL */
	size_t (*usable)(struct rh_lane *lane, const void *p, size_t size); /* default: size */
	void (*gc_begin)(struct rh_lane *lane); /* the trace starts / ends a cycle here */
	void (*gc_end)(struct rh_lane *lane);
	void (*stats)(struct rh_heap *heap, rh_stat_fn *emit, void *ctx);
	void (*locks)(struct rh_heap *heap, rh_lock_fn *emit, void *ctx);
	/* Pages of 8 KiB for stacks; both or none. NULL stays NULL: "has no pages to lend". */
	void *(*stack_pages)(struct rh_lane *lane, size_t page_count);
	void (*stack_pages_free)(struct rh_lane *lane, void *p, size_t page_count);
	/* Where a living block lies: size class << 1 | noscan, as Go numbers span classes (0, 1 =
	 * pages of its own). For comparison with a recorded program; default: RH_CLASS_UNKNOWN. */
	uint32_t (*class_of)(struct rh_heap *heap, const void *p);
	/* The steps of a recorded cycle, for a backend that leaves them to the trace
	 * (tiered: flush=lane): what a lane caches goes back after a cycle; where the block p lay,
	 * which the last cycle found dead, is swept, and if `before`, so is all that comes first
	 * for a sweeper that goes through the heap. */
	void (*lane_flush)(struct rh_lane *lane);
	void (*sweep_to)(struct rh_lane *lane, const void *p, int before);
	/* Of the spans of its class that have room, the one with p is taken next, though the lane
	 * holds one with room left; 1 = another lay before it. */
	int (*prefer)(struct rh_lane *lane, const void *p);
	/* A cycle now, whatever the backend's pacer says, as runtime.GC asks for one. The pacer
	 * then goes on as if it had marked so many bytes; UINT64_MAX: those that it did. Default:
	 * nothing.
	 */
	void (*collect)(struct rh_lane *lane, uint64_t marked_bytes);
	/* free, where the program said the size too (C++ sized delete, sdallocx): for those whose
	 * interface has a call of its own for that. Never for a block with an alignment of its
	 * own. The process's malloc also gets deletes without a size, as RH_DELETE. Default:
	 * free. */
	void (*free_sized)(struct rh_lane *lane, void *p, size_t size);
	/* The program is idle: what the lane keeps for later, and what of the heap is free, goes
	 * back to the system, as by malloc_trim. The heap stays usable. Default: nothing. */
	void (*trim)(struct rh_lane *lane);
};

#define RH_CLASS_UNKNOWN UINT32_MAX
#define RH_DELETE	 SIZE_MAX
enum { RH_KNOBS_BYTES_MAX = 256, RH_STACK_PAGE = 8192 };

/* Serves tasks. A task handle is whatever spawn returns. One task is used by one
 * lane at a time, but may move between lanes. */
struct rh_stack_backend {
	uint32_t abi;
	uint32_t caps;
	const char *name;
	const char *summary;
	const char *absent_why;
	const struct rh_opt *knobs;
	size_t knobs_bytes;

	/* required. `heap` is what it is paired with; its pages are used where it lends any. */
	int (*open)(struct rh_stacks **stacks, const void *knobs, const struct rh_backend *heap_ops,
		    struct rh_heap *heap, struct rh_err *err);
	void (*close)(struct rh_stacks *stacks);
	int (*lane_open)(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			 struct rh_stack_lane **lane, struct rh_err *err);
	void (*lane_close)(struct rh_stack_lane *lane);
	/* stack_bytes 0 = the backend's own start size. NULL = exhausted. */
	void *(*spawn)(struct rh_stack_lane *lane, size_t stack_bytes);
	void (*exit)(struct rh_stack_lane *lane, void *task);
	/* A call that needs frame_bytes more stack / the matching return. call may grow;
	 * -1 = exhausted or past the maximum (the call did not happen). */
	int (*call)(struct rh_stack_lane *lane, void *task, size_t frame_bytes);
	void (*ret)(struct rh_stack_lane *lane, void *task, size_t frame_bytes);

	/* optional */
	int (*grow)(struct rh_stack_lane *lane, void *task, size_t stack_bytes, size_t used_bytes);
	int (*shrink)(struct rh_stack_lane *lane, void *task, size_t stack_bytes);
	void (*gc_begin)(struct rh_stack_lane *lane);
	void (*gc_end)(struct rh_stack_lane *lane);
	/* Proves the synthetic frames of a task intact: every pointer points where it should. */
	int (*verify)(struct rh_stack_lane *lane, void *task, struct rh_err *err);
	void (*stats)(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx);
	void (*locks)(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx);
	/* As of heaps (pools: flush=lane). */
	void (*lane_flush)(struct rh_stack_lane *lane);
	/* While off, what the lane takes and gives goes past its caches. */
	void (*lane_caches)(struct rh_stack_lane *lane, int on);
};

/* What a library outside this tree exports: its definition of this table. Declared here, so that
 * it is visible whatever -fvisibility says, and has its plain name in C++. reheap itself has none.
 */
extern const struct rh_backend reheap_backend __attribute__((visibility("default")));

/* A resize for backends that have no better one. */
static inline void *rh_resize_by_copy(const struct rh_backend *ops, struct rh_lane *lane, void *p,
				      size_t size_old, size_t size_new)
{
	void *q = ops->alloc(lane, size_new);

	if (!q)
		return NULL;
	memcpy(q, p, size_old < size_new ? size_old : size_new);
	ops->free(lane, p, size_old);
	return q;
}

/* ---- only for the driver ---- */

#include "alloc/base/variant.h"

/* Checks abi and required entries of *ops and writes a copy with every optional
 * entry filled into *filled. The one place where a missing method is noticed. */
int rh_backend_check(const struct rh_backend *ops, struct rh_backend *filled, struct rh_err *err);
int rh_stack_backend_check(const struct rh_stack_backend *ops, struct rh_stack_backend *filled,
			   struct rh_err *err);

/* NULL-terminated tables, sorted by name. */
extern const struct rh_backend *const rh_backends[];
extern const struct rh_stack_backend *const rh_stack_backends[];

/* An allocator of the system, served by LD_PRELOAD under the libc backend. */
struct rh_peer {
	const char *name; /* "jemalloc" */
	const char *summary;
	const char *const *files; /* sonames or globs, first found wins; NULL-terminated */
	const char *package;	  /* what to install: "libjemalloc2" */
};
extern const struct rh_peer rh_peers[]; /* ends with name NULL */

/*
 * A backend as the user named it: HEAP[/STACK], where HEAP is
 *	NAME[:KNOB...]			a built-in or peer		tiered:profile=1.22
 *	DECORATOR[:KNOB...]:HEAP	a wrapper			slow:5%:jemalloc
 *	PATH.so				a library (contains '/' or ends in .so)
 * Colons separate words. A word of a decorator that has no '=' and names no backend
 * is the value of its first knob. A path ends at the next colon. For '/STACK' the
 * last slash counts, and only when what follows names a stack backend.
 */
enum { RH_SPEC_DEPTH_MAX = 4 };

struct rh_spec {
	char text[512]; /* as given, with label and environment */
	struct rh_variant variant;
	int depth; /* decorators + the heap itself, outermost first */
	struct {
		struct rh_backend ops; /* checked and filled */
		unsigned char knobs[RH_KNOBS_BYTES_MAX] __attribute__((aligned(16)));
	} layer[RH_SPEC_DEPTH_MAX];
	struct rh_stack_backend stack;
	unsigned char stack_knobs[RH_KNOBS_BYTES_MAX] __attribute__((aligned(16)));
	char preload[4096];  /* library to LD_PRELOAD into the worker; "" = none */
	char native[4096];   /* library whose `reheap_backend` is the heap; "" = none */
	char heap_name[512]; /* the heap alone: "jemalloc", "tiered:profile=1.22" */
	char knob_text[512]; /* storage for texts of knobs */
};

/* Parses and resolves a variant (alloc/base/variant.h). RH_USAGE for an unknown name (with the
 * nearest names), RH_ABSENT for a known one that is not installed (with the package). Library paths
 * are made absolute. `for_worker` loads a native library; the driver only looks (it never dlopens a
 * stranger's code). The spec must not move in memory afterwards. */
int rh_spec_parse(struct rh_spec *spec, const char *text, int for_worker, struct rh_err *err);

/* Opens the heap of a parsed spec with all its decorators; ops to call are
 * spec->layer[0].ops. */
int rh_spec_open(struct rh_spec *spec, unsigned lanes_max, struct rh_heap **heap,
		 struct rh_err *err);

/* Finds the library of a peer, or one named by REHEAP_PEER_<NAME>. RH_ABSENT with a reason
 * ("jemalloc is not found: install libjemalloc2"). Driver only: it allocates. */
int rh_peer_find(const struct rh_peer *peer, char *path, size_t path_bytes, struct rh_err *err);
/* Every build of a peer in the folders of REHEAP_PATH, but for symbolic links; `path` is each's for
 * the call. Driver only. */
void rh_peer_builds(const struct rh_peer *peer, void (*each)(void *to, const char *path), void *to);

/* The bytes of a C library's file that are the code of its malloc: from the last function that is
 * exported before those of the malloc family to the first one after them, because what they call
 * (_int_malloc) is exported nowhere. RH_ABSENT: the family does not lie together (musl). */
int rh_library_malloc_code(const char *path, uint64_t *first, uint64_t *end, struct rh_err *err);

#endif
