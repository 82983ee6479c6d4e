/*
 * frame.h - what stands around the events in a binary trace: file head, blocks, index,
 * trailer. FORMAT.md has the byte layout; everything little-endian.
 *
 *	head 24 | block | block | ... | index block | trailer 24
 *	block = head 24 (type, items, raw bytes, stored bytes, checksum) + stored bytes
 *
 * Internal to the trace core. Thread rule: none shared. Functions without err cannot fail.
 */
#ifndef RH_FRAME_H
#define RH_FRAME_H

#include "traces/format/codec.h"

enum {
	RH_HEAD_BYTES = 24,
	RH_BLOCK_HEAD_BYTES = 24,
	RH_TRAILER_BYTES = 24,
	RH_NAMES_BLOCK_BYTES = 1 << 18, /* raw bytes after which a block of names is ended */
	RH_BLOCK_STORED_MAX = RH_BLOCK_BYTES_MAX + (RH_BLOCK_BYTES_MAX >> 8) + 1024,
};
_Static_assert(RH_HEAD_BYTES == 8 + 4 + 4 + 8, "magic, version, columns, checksum");
_Static_assert(RH_BLOCK_HEAD_BYTES == 4 * 4 + 8, "four words and a checksum");
_Static_assert(RH_TRAILER_BYTES == 8 + 8 + 8, "offset, ordinal, magic");

extern const uint8_t rh_magic[8], rh_magic_end[8];

enum rh_block_type {
	RH_BLOCK_EVENTS_TYPE = 0x53545645, /* "EVTS" */
	RH_BLOCK_NAMES_TYPE = 0x454d414e,  /* "NAME" */
	RH_BLOCK_INDEX_TYPE = 0x58444e49,  /* "INDX" */
};

struct rh_block_head {
	uint32_t type, items, raw_bytes, stored_bytes;
	uint64_t check;
};

static inline void rh_put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline void rh_put64(uint8_t *at, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline uint32_t rh_get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static inline uint64_t rh_get64(const uint8_t *at)
{
	return rh_get32(at) | (uint64_t)rh_get32(at + 4) << 32;
}

void rh_file_head_put(uint8_t head[RH_HEAD_BYTES], unsigned columns);
/* 0, or why it is not one. */
const char *rh_file_head_get(const uint8_t head[RH_HEAD_BYTES], unsigned *columns,
			     unsigned *version);

/* Fills the checksum over the first 16 bytes of the head, the stored bytes and the block's
 * ordinal, so that blocks cannot be swapped, repeated or left out unnoticed. */
void rh_block_head_put(uint8_t at[RH_BLOCK_HEAD_BYTES], const struct rh_block_head *head,
		       const uint8_t *stored, uint64_t ordinal);
void rh_block_head_get(const uint8_t at[RH_BLOCK_HEAD_BYTES], struct rh_block_head *head);
/* NULL, or what is impossible about it (sizes out of bounds, unknown type). */
const char *rh_block_head_refused(const struct rh_block_head *head);
bool rh_block_intact(const uint8_t at[RH_BLOCK_HEAD_BYTES], const uint8_t *stored,
		     uint32_t stored_bytes, uint64_t ordinal);

/* The trailer points at the index block. */
void rh_trailer_put(uint8_t at[RH_TRAILER_BYTES], uint64_t index_offset, uint64_t index_ordinal);
bool rh_trailer_get(const uint8_t at[RH_TRAILER_BYTES], uint64_t *index_offset,
		    uint64_t *index_ordinal);

/* Totals as the index holds them. The rest of the index is one (offset, ordinal) pair of
 * varints per block of names. */
enum { RH_TOTALS_BYTES_MAX = (12 + RH_EV_COUNT) * 10 };
uint8_t *rh_totals_put(uint8_t *at, const struct rh_trace_totals *totals);
bool rh_totals_get(struct rh_cursor *cursor, struct rh_trace_totals *totals);

#endif
