/*
 * row.h - calls of one thread in a row, a word each: as the recorder's shim writes them, and the
 * fast way from there to a trace.
 *
 *	63..60 kind | 59..44 size | 43..0 address / 8 (AArch64: 59..45, 44..0)
 *
 * A recording is millions of them. They go by rh_build_rows from the words to the bytes
 * of a block in two loops, without an event in between: 200 instructions a call less than with
 * one. The calls of a row share their time and their lane.
 *
 * Thread rule: a builder's (repair.h). Errors: in err, as a builder's.
 */
#ifndef RH_ROW_H
#define RH_ROW_H

#include <stddef.h>
#include <stdint.h>

struct rh_build;
struct rh_err;

enum rh_row_kind {
	RH_ROW_FREE = 1, /* address 0 = NULL; size: what the free was given + 1, 0 = nothing */
	RH_ROW_ALLOC,
	RH_ROW_CALLOC,
	RH_ROW_RE_BEGIN, /* the block that a realloc ends */
	RH_ROW_RE_END,	 /* the one that it makes */
	RH_ROW_SITE = 7, /* bits 31..0: the site of what follows */
	RH_ROW_USABLE,
	RH_ROW_RE_BORN, /* realloc(NULL, size) */
	RH_ROW_NEW,
	RH_ROW_KINDS
};

/* The kinds as a set. */
#define RH_ROW_ALL                                                                              \
	(1u << RH_ROW_FREE | 1u << RH_ROW_ALLOC | 1u << RH_ROW_CALLOC | 1u << RH_ROW_RE_BEGIN | \
	 1u << RH_ROW_RE_END | 1u << RH_ROW_SITE | 1u << RH_ROW_USABLE | 1u << RH_ROW_RE_BORN | \
	 1u << RH_ROW_NEW)

/* A program has 47 address bits on x86-64 and 48 on AArch64, where libraries and mmap are at the
 * upper end. */
#if defined(__aarch64__)
enum { RH_ROW_ADDRESS_BITS = 45 };
#else
enum { RH_ROW_ADDRESS_BITS = 44 };
#endif
enum { RH_ROW_SIZE_BITS = 60 - RH_ROW_ADDRESS_BITS };

static inline uint64_t rh_row_word(unsigned kind, uint64_t address, uint64_t size)
{
	return (uint64_t)kind << 60 | size << RH_ROW_ADDRESS_BITS | address >> 3;
}

static inline uint64_t rh_row_address(uint64_t word)
{
	return (word & ((1ull << RH_ROW_ADDRESS_BITS) - 1)) << 3;
}

static inline uint64_t rh_row_size(uint64_t word)
{
	return word >> RH_ROW_ADDRESS_BITS & ((1u << RH_ROW_SIZE_BITS) - 1);
}

/* Words of rows that are handled together: the state of the writer is copied once for all of them,
 * and 64 with their ids are 1 KiB, in the first cache. */
enum { RH_ROWS_WORDS = 64 };

struct rh_row {
	const uint64_t *words;
	size_t count;
	uint64_t time_ns; /* RH_NONE: unknown */
	uint32_t lane, site;
};

/*
 * The fast way into a builder (repair.h), at most RH_ROWS_WORDS words together: takes words from
 * their fronts, and moves words, count and site of each on. It ends before a word that is no call
 * of a row, or whose call has to be mended, or waits: that one must come as one of the calls of
 * repair.h.
 * Returns the number of rows that are used up, -1 on error.
 */
int rh_build_rows(struct rh_build *build, struct rh_row *rows, size_t count, struct rh_err *err);

#endif
