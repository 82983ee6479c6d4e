/*
 * event.h - what a trace is made of: one table of event kinds.
 *
 * The table feeds the enum, the text printer and parser, the binary codec, the
 * validator and FORMAT.md. A row says the kind, its word in text, which fields it
 * carries and one line of meaning.
 *
 * To add an event:
 *  1. a row at the end of RH_EVENTS (its number is file format); text, binary and FORMAT.md's
 *     table follow from it, and the round-trip tests walk it;
 *  2. what makes it legal: traces/format/order.c (its place), traces/format/check.c (accounts),
 *     traces/format/repair.c and traces/format/repair_row.c (what an importer may feed);
 *  3. what replay does: harness/compile/events.c (edges and ops), harness/compile/program.h (the
 *     op, when it needs one of its own) and harness/worker/loop.c with harness/worker/loop.inc;
 *  4. what edits and exports do: traces/edit/cut_take.c, traces/edit/export_perfetto.c,
 *     traces/edit/export_calls.c, traces/edit/export_malloc_bench.c;
 *  5. what is compared with a recorded program: harness/fidelity/scan.c (what is counted),
 *     harness/fidelity/fidelity.c (when it is looked at) and harness/fidelity/deaths.c (when
 *     objects die);
 *  6. what makes it: traces/record/emit.c, an importer, or traces/gen/emitter.c.
 *
 * Fields (letters used in the rows; every row also has lane, and task, time and
 * site where the trace has those columns):
 *	I  id	object born (its number is the birth ordinal, 0, 1, 2, ... in file order)
 *	O  id	object that dies (in `id` for free; in `old` for resize)
 *	U  id	object that lives on
 *	T  id	task: spawn gives it its number (spawn ordinal from 1), others name it
 *	N  id	plain number (cycle, series, label)
 *	S  size	bytes
 *	A  align	log2
 *	F  flags
 *	R  arg	optional second number: bytes resident at free, used bytes, value, source tid
 *
 * Unknown is not zero: optional fields hold RH_NONE when the source did not know.
 *
 * Thread rule: constants, and events are plain values. Errors: none.
 */
#ifndef RH_EVENT_H
#define RH_EVENT_H

#include <stdint.h>

#define RH_NONE	     UINT64_MAX /* "the source does not know" for id, size, arg, time_ns */
#define RH_TASK_NONE UINT32_MAX
#define RH_SITE_NONE 0u /* site 0 is "no site"; names start at 1 */

/*	X(NAME, word, fields, meaning) */
#define RH_EVENTS(X)                                                                             \
	X(ALLOC, "alloc", "ISAF", "an object is born")                                           \
	X(FREE, "free", "OSFR", "an object dies; arg = bytes of it that were resident")          \
	X(RESIZE, "resize", "IOSFR", "one object ends, one with its contents begins (realloc)")  \
	X(LANE_START, "lane_start", "R", "a lane begins; arg = thread id in the source")         \
	X(LANE_STOP, "lane_stop", "", "a lane ends")                                             \
	X(SPAWN, "spawn", "TS", "a task is made; size = bytes of stack asked for")               \
	X(EXIT, "exit", "T", "a task ends")                                                      \
	X(JOIN, "join", "T", "waits for the end of a task")                                      \
	X(GROW, "grow", "TSR", "a task's stack becomes size bytes; arg = bytes in use")          \
	X(SHRINK, "shrink", "TSR", "a task's stack becomes size bytes; arg = bytes in use")      \
	X(CALL, "call", "TS", "a task enters a frame of size bytes")                             \
	X(RETURN, "return", "TS", "a task leaves a frame of size bytes")                         \
	X(GC_BEGIN, "gc_begin", "N", "a collection cycle starts; id = its number")               \
	X(GC_END, "gc_end", "N", "a collection cycle ends")                                      \
	X(MARK, "mark", "N", "a labelled point; id = site number of the label")                  \
	X(REF, "ref", "NR",                                                                      \
	  "a reference series, id = site number of its name, takes the value arg")               \
	X(USABLE, "usable", "U", "how large an object really is was asked (malloc_usable_size)") \
	X(GAP, "gap", "N", "calls of this lane were lost here; id = how many")                   \
	X(MAP, "map", "NS", "the program mapped memory itself; id = how (enum rh_map_how)")      \
	X(UNMAP, "unmap", "NS", "and gave it back; id = how it had been mapped")                 \
	X(FREE_NULL, "free_null", "", "free(NULL) was called")

enum rh_kind {
#define RH_KIND(name, word, fields, meaning) RH_EV_##name,
	RH_EVENTS(RH_KIND)
#undef RH_KIND
		RH_EV_COUNT
};

/* By what the program changed its address space itself, past its allocator. */
enum rh_map_how {
	RH_MAP_ANONYMOUS, /* mmap of memory */
	RH_MAP_FILE,	  /* mmap of a file */
	RH_MAP_MREMAP,	  /* memory that mremap moved or resized */
	RH_MAP_BRK,	  /* brk or sbrk */
	RH_MAP_UNKNOWN,	  /* unmap of what nobody was seen to map */
};

enum rh_event_flag {
	RH_EVF_ZEROED = 1u << 0,     /* calloc */
	RH_EVF_NOSCAN = 1u << 1,     /* holds no pointers */
	RH_EVF_SCAN_KNOWN = 1u << 2, /* the source knew scan/noscan */
	RH_EVF_ESTIMATED = 1u << 3,  /* size is an estimate (rounded by the source) */
	RH_EVF_TINY = 1u << 4,	     /* shared a block with others (Go's tiny allocator) */
	RH_EVF_SIZED = 1u << 5,	     /* free: was given a size (sized delete), which is in `size` */
	RH_EVF_REALLOC = 1u << 6,    /* alloc: was realloc(NULL, size), which no allocator serves
					as it does malloc(size) */
	RH_EVF_NEW = 1u << 7,	     /* alloc: was operator new of C++: libstdc++'s calls malloc,
					those of other allocators do not */
};

struct rh_event {
	uint64_t time_ns; /* since the start of the trace; RH_NONE */
	uint64_t id;	  /* object, task or number, by the row's letter */
	uint64_t old;	  /* resize: the object that ends */
	uint64_t size;
	uint64_t arg;	    /* RH_NONE when absent */
	uint32_t lane;	    /* dense, from 0 */
	uint32_t task;	    /* the task that did it; RH_TASK_NONE */
	uint32_t site;	    /* call site, type or label; RH_SITE_NONE */
	uint8_t kind;	    /* enum rh_kind */
	uint8_t align_log2; /* 0 = as malloc aligns */
	uint16_t flags;
};
#ifndef __cplusplus
_Static_assert(sizeof(struct rh_event) == 56, "seven words");
#endif

struct rh_event_row {
	const char *word, *fields, *meaning;
};
extern const struct rh_event_row rh_event_rows[RH_EV_COUNT];

/* The kind of a word, or -1. */
int rh_kind_of(const char *word);

#endif
