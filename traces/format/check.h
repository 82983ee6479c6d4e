/*
 * check.h - what a trace is like, counted in one pass as its events stream by: the
 * numbers behind `reheap info` and the first thing to look at when a result surprises.
 *
 * Legality is not judged here (nothing illegal can be read); what an importer repaired
 * or dropped is in the notes. All counts are of what is in the trace; of one that is a sample
 * the estimates say what that stands for. Lifetimes are of objects that died; those alive at the
 * end are in totals.live_objects_end.
 *
 * Memory: O(lanes + living objects), malloc. Thread rule: one thread.
 */
#ifndef RH_CHECK_H
#define RH_CHECK_H

#include "traces/format/sample.h"
#include "traces/format/trace.h"

/* Octave o counts values v with 2^(o-1) <= v < 2^o; octave 0 counts zeros. */
enum { RH_CHECK_OCTAVES = 65 };

/* Of a trace that is a sample: of all blocks of the program. */
struct rh_check_sample {
	uint64_t interval; /* see sample.h; 0 = it is none, and nothing is estimated */
	struct rh_sample_sum births, bytes_born, live_objects, live_bytes;
	struct rh_sample_sum live_bytes_most; /* when that estimate was at its largest */
	struct rh_sample_sum size[RH_CHECK_OCTAVES], size_bytes[RH_CHECK_OCTAVES];
};

struct rh_check {
	struct rh_trace_totals totals;		/* of the events seen */
	uint64_t size[RH_CHECK_OCTAVES];	/* births by size */
	uint64_t size_bytes[RH_CHECK_OCTAVES];	/* bytes born by size */
	uint64_t life_events[RH_CHECK_OCTAVES]; /* deaths by events between birth and death */
	uint64_t life_ns[RH_CHECK_OCTAVES];	/* deaths by ns, of those with both times */
	uint64_t align[RH_CHECK_OCTAVES];	/* births by log2 of the alignment asked for */
	uint64_t births, deaths;		/* alloc + resize; free + resize */
	uint64_t bytes_born;
	uint64_t deaths_sized;	/* frees that were given a size */
	uint64_t calls_lost;	/* by gap events */
	uint64_t deaths_remote; /* on another lane than the birth */
	uint64_t births_zero_size, births_zeroed, births_estimated;
	uint64_t births_realloc; /* by realloc(NULL, size) */
	uint64_t births_new;	 /* by operator new of C++ */
	uint64_t scan_known, noscan;
	uint64_t lanes_stopped, lanes_alive_peak, lanes_alive_end;
	uint64_t lanes_busy; /* lanes with a birth or a death */
	uint64_t tasks_alive_peak, tasks_alive_end;
	uint64_t mapped, mapped_peak; /* bytes of memory the program mapped itself, by MAP events */
	uint64_t mapped_file, mapped_file_peak; /* and of files */
	uint64_t time_back;			/* events stamped before one that precedes them */
	struct rh_check_sample sample;
};

/* The whole of a trace from where it stands to its end. */
int rh_check_trace(struct rh_trace *trace, struct rh_check *check, struct rh_err *err);

/* Octave of a value, and the first value of an octave. */
static inline unsigned rh_octave(uint64_t value)
{
	return value ? 64u - (unsigned)__builtin_clzll(value) : 0;
}

static inline uint64_t rh_octave_from(unsigned octave)
{
	return octave ? 1ull << (octave - 1) : 0;
}

#endif
