/*
 * frame.c - see frame.h.
 */
#include "traces/format/frame.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "alloc/base/debug.h"

/* High bit, then CR LF, ^Z, LF: a transfer that mangles text is caught at byte 8. */
const uint8_t rh_magic[8] = { 0x89, 'R', 'H', 'T', '\r', '\n', 0x1a, '\n' };
const uint8_t rh_magic_end[8] = { 'R', 'H', 'T', ' ', 'e', 'n', 'd', '\n' };

void rh_file_head_put(uint8_t head[RH_HEAD_BYTES], unsigned columns)
{
	memcpy(head, rh_magic, sizeof(rh_magic));
	rh_put32(head + 8, RH_TRACE_VERSION);
	rh_put32(head + 12, columns);
	/* A checksum of its own, because everything after depends on the columns: one
	 * flipped bit would decode other sections. */
	rh_put64(head + 16, XXH3_64bits(head, 16));
}

const char *rh_file_head_get(const uint8_t head[RH_HEAD_BYTES], unsigned *columns,
			     unsigned *version)
{
	*version = rh_get32(head + 8);
	*columns = rh_get32(head + 12);
	/* Version and columns are read first: another version may make even the
	 * checksum differently, and then the caller reports the version. */
	if (memcmp(head, rh_magic, sizeof(rh_magic)) != 0)
		return "its first bytes are not those of a trace";
	if (rh_get64(head + 16) != XXH3_64bits(head, 16))
		return "its first 24 bytes do not match their checksum";
	/* A column of a later version may change what an event means: to read on
	 * without it would lose that silently. */
	if (*columns & ~(unsigned)(RH_COL_TIME | RH_COL_TASK | RH_COL_SITE | RH_COL_ARG))
		return "it has columns that version 1 does not know";
	return NULL;
}

/* The ordinal is the seed: blocks that are swapped, dropped or repeated do not match, though each
 * is intact. Two steps, because the stored bytes need not lie behind their head. */
static uint64_t block_check(const uint8_t head16[16], const uint8_t *stored, size_t stored_bytes,
			    uint64_t ordinal)
{
	uint8_t word[16 + 8];

	memcpy(word, head16, 16);
	rh_put64(word + 16, XXH3_64bits_withSeed(stored, stored_bytes, ordinal));
	return XXH3_64bits_withSeed(word, sizeof(word), ordinal);
}

/* Fields byte by byte: a structure written as it lies would depend on padding and
 * byte order of this machine. */
void rh_block_head_put(uint8_t at[RH_BLOCK_HEAD_BYTES], const struct rh_block_head *head,
		       const uint8_t *stored, uint64_t ordinal)
{
	rh_put32(at, head->type);
	rh_put32(at + 4, head->items);
	rh_put32(at + 8, head->raw_bytes);
	rh_put32(at + 12, head->stored_bytes);
	rh_put64(at + 16, block_check(at, stored, head->stored_bytes, ordinal));
	rh_debug_assert(rh_block_intact(at, stored, head->stored_bytes, ordinal));
}

void rh_block_head_get(const uint8_t at[RH_BLOCK_HEAD_BYTES], struct rh_block_head *head)
{
	head->type = rh_get32(at);
	head->items = rh_get32(at + 4);
	head->raw_bytes = rh_get32(at + 8);
	head->stored_bytes = rh_get32(at + 12);
	head->check = rh_get64(at + 16);
}

/* Bounds before anything is allocated: a head of damaged bytes may ask for 4 GiB. */
const char *rh_block_head_refused(const struct rh_block_head *head)
{
	if (head->type != RH_BLOCK_EVENTS_TYPE && head->type != RH_BLOCK_NAMES_TYPE &&
	    head->type != RH_BLOCK_INDEX_TYPE)
		return "its type is unknown";
	/* Stored may be a little larger than raw: zstd of incompressible bytes grows
	 * by 1/256 at most. */
	if (head->raw_bytes > RH_BLOCK_BYTES_MAX || head->stored_bytes > RH_BLOCK_STORED_MAX)
		return "its size is beyond what the format allows";
	if (head->type == RH_BLOCK_EVENTS_TYPE &&
	    (head->items == 0 || head->items > RH_BLOCK_EVENTS))
		return "its number of events is beyond what the format allows";
	return NULL;
}

bool rh_block_intact(const uint8_t at[RH_BLOCK_HEAD_BYTES], const uint8_t *stored,
		     uint32_t stored_bytes, uint64_t ordinal)
{
	return rh_get64(at + 16) == block_check(at, stored, stored_bytes, ordinal);
}

/* At the very end, so a reader finds it by the length of the file; with the ordinal,
 * which the block's checksum needs. */
void rh_trailer_put(uint8_t at[RH_TRAILER_BYTES], uint64_t index_offset, uint64_t index_ordinal)
{
	assert(index_offset >= RH_HEAD_BYTES);
	rh_put64(at, index_offset);
	rh_put64(at + 8, index_ordinal);
	memcpy(at + 16, rh_magic_end, sizeof(rh_magic_end));
}

/* Only that it is a trailer; where it points to is checked by reading that block. */
bool rh_trailer_get(const uint8_t at[RH_TRAILER_BYTES], uint64_t *index_offset,
		    uint64_t *index_ordinal)
{
	*index_offset = rh_get64(at);
	*index_ordinal = rh_get64(at + 8);
	return memcmp(at + 16, rh_magic_end, sizeof(rh_magic_end)) == 0;
}

/* The words of the totals in file order; by_kind comes after, with its own count, so that
 * kinds added to the table later do not move anything. */
#define TOTALS(X)  \
	X(events)  \
	X(lanes)   \
	X(objects) \
	X(tasks)   \
	X(live_objects_peak) X(live_objects_end) X(live_bytes_peak) X(live_bytes_end) X(size_max)

uint8_t *rh_totals_put(uint8_t *at, const struct rh_trace_totals *totals)
{
	const uint8_t *start = at;

#define PUT(word) at = rh_varint_put(at, totals->word);
	TOTALS(PUT)
#undef PUT
	/* + 1 wraps RH_NONE to 0, one byte instead of ten. */
	at = rh_varint_put(at, totals->time_ns_last + 1);
	at = rh_varint_put(at, RH_EV_COUNT);
	for (int kind = 0; kind < RH_EV_COUNT; kind++)
		at = rh_varint_put(at, totals->by_kind[kind]);
	assert(at - start <= RH_TOTALS_BYTES_MAX);
	return at;
}

/* Every number is only shown or compared, and none is used as a size: a forged index
 * costs no memory. */
bool rh_totals_get(struct rh_cursor *cursor, struct rh_trace_totals *totals)
{
	uint64_t kinds;

	memset(totals, 0, sizeof(*totals));
#define GET(word)                                  \
	if (!rh_varint_get(cursor, &totals->word)) \
		return false;
	TOTALS(GET)
#undef GET
	if (!rh_varint_get(cursor, &totals->time_ns_last) || !rh_varint_get(cursor, &kinds) ||
	    /* A trace with kinds that this reader does not know cannot be read; one
	     * with fewer is from an older writer. */
	    kinds > RH_EV_COUNT)
		return false;
	totals->time_ns_last--;
	for (uint64_t kind = 0; kind < kinds; kind++)
		if (!rh_varint_get(cursor, &totals->by_kind[kind]))
			return false;
	return true;
}
