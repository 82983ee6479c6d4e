/*
 * read_binary.c - blocks to events.
 *
 * open: file head; then, where the file can seek, trailer -> index -> blocks of names, so
 * that totals and provenance are known before the first event. Nothing of that is needed
 * to read on: a file without an index is read block by block and ends where it ends.
 *
 * next: a block's head is bounded before a byte is allocated for it, its checksum is
 * verified before a byte is decompressed, decompression cannot exceed the raw size in the
 * head (8 MiB at most), and every decoded event passes rh_order.
 *
 * The end is right when an index block matches the totals counted on the way, the trailer
 * points at it and no byte follows. A file that just stops is "truncated", which is not an
 * error; anything else that does not fit is damage, which is.
 */
#include "traces/format/read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int no_memory(struct rh_trace *trace, struct rh_err *err)
{
	return rh_fail(err, RH_OS, "%s cannot be read: memory ran out", trace->path);
}

/* Offset, block and events: the first for a hex dump, the last for what can still be
 * used. */
static int damaged(struct rh_trace *trace, uint64_t offset, const char *why, struct rh_err *err)
{
	if (why == rh_names_no_memory)
		return no_memory(trace, err);
	return rh_fail(err, RH_BAD_DATA,
		       "%s is damaged at byte %llu (block %llu, after %llu events): %s",
		       trace->path, (unsigned long long)offset, (unsigned long long)trace->blocks,
		       (unsigned long long)trace->order.totals.events, why);
}

/* Room for exactly that much: sizes come from block heads, which are bounded before, and doubling
 * would only reserve what no block can need. */
static bool reach(uint8_t **buffer, size_t *cap, size_t bytes)
{
	void *p;

	if (bytes <= *cap)
		return true;
	p = realloc(*buffer, bytes);
	if (!p)
		return false;
	*buffer = p;
	*cap = bytes;
	return true;
}

/* ---- blocks ---- */

/* Verifies and decompresses trace->stored into trace->raw. NULL or what is wrong. */
static const char *unpack(struct rh_trace *trace, const uint8_t at[RH_BLOCK_HEAD_BYTES],
			  const struct rh_block_head *head, uint64_t ordinal)
{
	size_t bytes;

	assert(head->raw_bytes <= trace->raw_cap && head->stored_bytes <= trace->stored_cap);
	/* The checksum covers the head and the ordinal too: a whole block in the wrong place is
	 * damage as well. */
	if (!rh_block_intact(at, trace->stored, head->stored_bytes, ordinal))
		return "its checksum does not match";
	/* Only blocks of events: names and the index come from elsewhere in the file
	 * and must unpack alone. */
	if (head->type == RH_BLOCK_EVENTS_TYPE && trace->raw_before_bytes)
		ZSTD_DCtx_refPrefix(trace->zstd, trace->raw_before, trace->raw_before_bytes);
	bytes = ZSTD_decompressDCtx(trace->zstd, trace->raw, head->raw_bytes, trace->stored,
				    head->stored_bytes);
	if (ZSTD_isError(bytes))
		return ZSTD_getErrorName(bytes);
	/* The decoder bounds its sections by raw_bytes, so that number must be true. */
	if (bytes != head->raw_bytes)
		return "it unpacks to another size than it says";
	trace->raw_bytes = bytes;
	return NULL;
}

/* A block away from the stream, by position: 0, or -1 when anything is wrong with it. */
static int block_at(struct rh_trace *trace, uint64_t offset, uint64_t ordinal, uint32_t type)
{
	uint8_t at[RH_BLOCK_HEAD_BYTES];
	struct rh_block_head head;

	/* Offsets come from the file: off_t is signed. */
	if (offset > INT64_MAX - RH_BLOCK_HEAD_BYTES ||
	    pread(trace->fd, at, sizeof(at), (off_t)offset) != (ssize_t)sizeof(at))
		return -1;
	rh_block_head_get(at, &head);
	/* + 1 in what follows: a block of 0 bytes would ask for a buffer of 0, which
	 * may be NULL. */
	if (rh_block_head_refused(&head) || head.type != type ||
	    !reach(&trace->stored, &trace->stored_cap, head.stored_bytes + 1u) ||
	    !reach(&trace->raw, &trace->raw_cap, head.raw_bytes + 1u) ||
	    pread(trace->fd, trace->stored, head.stored_bytes, (off_t)(offset + sizeof(at))) !=
		    (ssize_t)head.stored_bytes)
		return -1;
	return unpack(trace, at, &head, ordinal) ? -1 : 0;
}

/* The records of a block of names: NULL or what is wrong. */
static const char *take_names(struct rh_trace *trace)
{
	struct rh_cursor at = { trace->raw, trace->raw + trace->raw_bytes };
	uint64_t first, bytes;

	while (at.at < at.end) {
		uint8_t letter = *at.at++;
		const char *key, *why;

		if ((letter != 'N' && letter != 'S') || !rh_varint_get(&at, &first))
			return "a record of its names is unknown";
		key = (const char *)at.at;
		if (letter == 'N') {
			/* Compared as what is left, because at.at + first may wrap. */
			if (first > (uint64_t)(at.end - at.at))
				return "a note runs over its end";
			at.at += first;
		}
		if (!rh_varint_get(&at, &bytes) || bytes > (uint64_t)(at.end - at.at) ||
		    (letter == 'S' && first > UINT32_MAX))
			return "a name runs over its end";
		why = letter == 'N'
			      ? rh_names_note(&trace->names, key, first, (const char *)at.at, bytes)
			      : rh_names_site(&trace->names, (uint32_t)first, (const char *)at.at,
					      bytes);
		if (why)
			return why;
		at.at += bytes;
	}
	assert(at.at == at.end);
	return NULL;
}

/* ---- index ---- */

/* All names before the first event: users of a trace ask for sites of events they have just read.
 */
static int read_places(struct rh_trace *trace, struct rh_cursor *at, uint64_t index_offset)
{
	uint64_t count, offset, ordinal;

	if (!rh_varint_get(at, &count))
		return -1;
	/* The count is not believed: each round reads bytes of the index, which end. */
	while (count--) {
		if (!rh_varint_get(at, &offset) || !rh_varint_get(at, &ordinal) ||
		    offset >= index_offset ||
		    block_at(trace, offset, ordinal, RH_BLOCK_NAMES_TYPE) < 0 || take_names(trace))
			return -1;
	}
	return at->at == at->end ? 0 : -1;
}

/* Whatever fails here, the file is read in order and complains at the right place. */
static void read_index(struct rh_trace *trace)
{
	uint8_t trailer[RH_TRAILER_BYTES], *copy;
	off_t end = lseek(trace->fd, 0, SEEK_END);
	struct rh_trace_totals totals;
	struct rh_cursor at;
	uint64_t offset, ordinal;

	if (lseek(trace->fd, (off_t)trace->offset, SEEK_SET) < 0 ||
	    end < RH_HEAD_BYTES + RH_BLOCK_HEAD_BYTES + RH_TRAILER_BYTES ||
	    pread(trace->fd, trailer, sizeof(trailer), end - RH_TRAILER_BYTES) !=
		    RH_TRAILER_BYTES ||
	    !rh_trailer_get(trailer, &offset, &ordinal) ||
	    offset > (uint64_t)end - RH_TRAILER_BYTES ||
	    block_at(trace, offset, ordinal, RH_BLOCK_INDEX_TYPE) < 0)
		return;
	trace->index_offset = offset;
	/* Blocks of names unpack into raw, so the index moves aside. */
	copy = malloc(trace->raw_bytes + 1);
	if (!copy)
		return;
	memcpy(copy, trace->raw, trace->raw_bytes);
	at = (struct rh_cursor){ copy, copy + trace->raw_bytes };
	if (rh_totals_get(&at, &totals) && read_places(trace, &at, offset) == 0) {
		trace->totals_index = totals;
		trace->have_index = true;
	} else {
		/* What was read of the names so far goes too: the stream gives all of
		 * them again. */
		rh_names_close(&trace->names);
	}
	free(copy);
}

int rh_binary_open(struct rh_trace *trace, struct rh_err *err)
{
	uint8_t head[RH_HEAD_BYTES];
	unsigned version = 0;
	const char *why;
	long bytes = rh_read_bytes(trace, head, sizeof(head), err);

	if (bytes < 0)
		return -1;
	if (bytes < RH_HEAD_BYTES)
		return rh_fail(err, RH_BAD_DATA, "%s has %ld bytes: too short to be a trace",
			       trace->path, bytes);
	why = rh_file_head_get(head, &trace->columns, &version);
	if (memcmp(head, rh_magic, sizeof(rh_magic)) == 0 && version != RH_TRACE_VERSION)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is a trace of version %u and this reheap "
			       "reads version %d: use a reheap that wrote it to export it as "
			       "text",
			       trace->path, version, RH_TRACE_VERSION);
	if (why)
		return rh_fail(err, RH_BAD_DATA, "%s is no readable trace: %s", trace->path, why);
	trace->zstd = ZSTD_createDCtx();
	if (!trace->zstd || !rh_order_open(&trace->order, trace->columns))
		return no_memory(trace, err);
	rh_decoder_open(&trace->decoder, trace->columns);
	if (trace->can_seek)
		read_index(trace);
	/* What the index unpacked is no prefix of the first block. */
	trace->raw_before_bytes = 0;
	return 0;
}

/* ---- the stream ---- */

static int cut_off(struct rh_trace *trace, uint64_t offset, struct rh_err *err)
{
	struct rh_err text;

	/* A file that has its index was finished, so that it ends early is damage and not a writer
	 * that was stopped. */
	if (trace->index_offset != UINT64_MAX)
		return damaged(trace, offset, "it ends here, yet it has an index at its end", err);
	rh_fail(&text, RH_BAD_DATA,
		"%s is cut off at byte %llu, in or before block %llu: the %llu events before it "
		"are whole and are used; what came after is lost",
		trace->path, (unsigned long long)trace->offset, (unsigned long long)trace->blocks,
		(unsigned long long)trace->order.totals.events);
	memcpy(trace->truncated, text.text, sizeof(trace->truncated));
	trace->ended = true;
	return 0;
}

/* The index block is in raw: compares it with what was counted, and sees to the end. */
static int end_of_trace(struct rh_trace *trace, uint64_t offset, struct rh_err *err)
{
	struct rh_cursor at = { trace->raw, trace->raw + trace->raw_bytes };
	uint8_t trailer[RH_TRAILER_BYTES + 1], expected[RH_TRAILER_BYTES];
	struct rh_trace_totals totals;
	long bytes;

	assert(trace->blocks > 0);
	if (!rh_totals_get(&at, &totals))
		return damaged(trace, offset, "its index is not readable", err);
	/* Counted again on the way here: an index that states something else belongs to another
	 * file, or a block was replaced by a valid one. */
	if (memcmp(&totals, &trace->order.totals, sizeof(totals)) != 0)
		return damaged(trace, offset, "its index states other totals than its events make",
			       err);
	rh_trailer_put(expected, offset, trace->blocks - 1);
	/* One byte more than a trailer, to see whether anything follows. */
	bytes = rh_read_bytes(trace, trailer, sizeof(trailer), err);
	if (bytes < 0)
		return -1;
	if (bytes < RH_TRAILER_BYTES)
		return cut_off(trace, offset, err);
	if (memcmp(trailer, expected, sizeof(expected)) != 0)
		return damaged(trace, offset, "its last 24 bytes do not point at its index", err);
	if (bytes > RH_TRAILER_BYTES)
		return damaged(trace, offset, "bytes follow after its end", err);
	trace->totals_index = totals;
	trace->have_index = true;
	trace->ended = true;
	return 0;
}

/* Both buffers change places instead of being copied: this block is the dictionary of the next. */
static void keep_prefix(struct rh_trace *trace)
{
	uint8_t *raw = trace->raw;
	size_t cap = trace->raw_cap;

	trace->raw = trace->raw_before;
	trace->raw_cap = trace->raw_before_cap;
	trace->raw_before = raw;
	trace->raw_before_cap = cap;
	trace->raw_before_bytes = trace->raw_bytes;
	assert(trace->raw_before_bytes <= trace->raw_before_cap);
}

/* An index block ends the stream wherever it stands: what follows it must be the
 * trailer. */
static int take_block(struct rh_trace *trace, const struct rh_block_head *head, uint64_t offset,
		      struct rh_err *err)
{
	const char *why = NULL;

	if (head->type == RH_BLOCK_INDEX_TYPE)
		return end_of_trace(trace, offset, err);
	if (head->type == RH_BLOCK_NAMES_TYPE) {
		/* Else they are known already, and would be counted twice against the
		 * limits. */
		if (!trace->have_index)
			why = take_names(trace);
	} else {
		/* Decoded in place while it stands as the prefix of the next block. */
		keep_prefix(trace);
		if (!rh_decoder_block(&trace->decoder, trace->raw_before, trace->raw_before_bytes,
				      head->items))
			why = "its sections do not fit its size";
	}
	return why ? damaged(trace, offset, why, err) : 0;
}

/* Reads the next block: events become ready in the decoder, or trace->ended is set. Only here
 * does the stream move on, so that `offset` in a message is where the block began. */
static int next_block(struct rh_trace *trace, struct rh_err *err)
{
	uint64_t offset = trace->offset;
	uint8_t at[RH_BLOCK_HEAD_BYTES];
	struct rh_block_head head;
	const char *why;
	long bytes = rh_read_bytes(trace, at, sizeof(at), err);

	assert(trace->decoder.events_left == 0);
	if (bytes < 0)
		return -1;
	if (bytes < RH_BLOCK_HEAD_BYTES)
		return cut_off(trace, offset, err);
	rh_block_head_get(at, &head);
	why = rh_block_head_refused(&head);
	if (why)
		return damaged(trace, offset, why, err);
	if (!reach(&trace->stored, &trace->stored_cap, head.stored_bytes + 1u) ||
	    !reach(&trace->raw, &trace->raw_cap, head.raw_bytes + 1u))
		return no_memory(trace, err);
	bytes = rh_read_bytes(trace, trace->stored, head.stored_bytes, err);
	if (bytes < 0)
		return -1;
	if (bytes < (long)head.stored_bytes)
		return cut_off(trace, offset, err);
	/* The ordinal is counted by the reader and not read from the file: a block
	 * that was dropped or doubled fails its checksum. */
	why = unpack(trace, at, &head, trace->blocks);
	if (why)
		return damaged(trace, offset, why, err);
	trace->blocks++;
	return take_block(trace, &head, offset, err);
}

long rh_binary_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err)
{
	struct rh_decoder *decoder = &trace->decoder;
	size_t count = 0;
	bool refused;

	while (count < cap) {
		if (!decoder->events_left) {
			/* What is decoded is delivered before a block is touched that may fail. */
			if (count)
				break;
			if (trace->ended)
				return 0;
			if (next_block(trace, err) < 0)
				return -1;
			continue;
		}
		count += rh_decode(decoder, &trace->order, &batch[count], cap - count, &refused);
		if (refused) {
			rh_read_refused(trace, &batch[count], err);
			return count ? (long)count : -1;
		}
		if (!decoder->events_left && !rh_decoder_drained(decoder)) {
			damaged(trace, trace->offset,
				"the block before here has bytes that belong "
				"to no event",
				err);
			break;
		}
	}
	assert(count <= cap);
	return (long)count;
}

void rh_binary_close(struct rh_trace *trace)
{
	rh_decoder_close(&trace->decoder);
	ZSTD_freeDCtx(trace->zstd);
	free(trace->raw);
	free(trace->raw_before);
	free(trace->stored);
}
