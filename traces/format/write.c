/*
 * write.c - the writer of traces, binary and text.
 *
 * An event is checked (order.c), then encoded into the block being built (encode.c) or
 * printed as a line. When 65536 events are together the block is compressed with the raw
 * bytes of the block before it as prefix (ranks make blocks depend on earlier ones
 * anyway, and it saves 5 %), on a thread beside this one (compressor.h), and written when the
 * next is full. Notes and site names that came meanwhile go before it, so that a file that
 * is cut off still has them. finish writes the index.
 * Level 7 is the default. Bytes an event, and the CPU time of a whole import:
 *
 *	level                1       3       5       6       7       9
 *	systemui         0.373   0.349   0.322   0.319   0.312   0.308
 *	surfaceflinger   0.146   0.141   0.118   0.116   0.115   0.111
 *	a Go parser      1.958   1.904   1.786   1.718   1.688   1.686
 *	ns an event        137     146     178     193     204     256
 *
 * Events with times are mostly noise to zstd, which 9 searches longer than 7 for nothing.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/base/os.h"
#include "alloc/base/grow.h"
#include "traces/format/text.h"
#include "traces/format/writer.h"

enum {
	LEVEL_DEFAULT = 7,
	TEXT_BUFFER_BYTES = 1 << 18,
	PLACES_EAGER = 1 << 16, /* blocks of names written early; the index must hold all */
};

/* Messages name what the user named, and "-" is no file. */
static const char *name_of(const struct rh_trace_out *out)
{
	return strcmp(out->file.path, "-") == 0 ? "standard output" : out->file.path;
}

/* Once anything failed the file is not whole and nothing more may be put: rh_trace_finish() would
 * give it an index that vouches for it. */
static int fail_memory(struct rh_trace_out *out, struct rh_err *err)
{
	out->failed = true;
	return rh_fail(err, RH_OS, "%s cannot be written: memory ran out", name_of(out));
}

/* The one place that writes, so that offset is always where the next block goes. */
static int write_out(struct rh_trace_out *out, const void *data, size_t bytes, struct rh_err *err)
{
	assert(!out->failed);
	if (rh_write_all(out->file.fd, data, bytes, name_of(out), err) < 0) {
		out->failed = true;
		return -1;
	}
	out->offset += bytes;
	return 0;
}

/* ---- binary ---- */

/* Writes a block; stored: its bytes, NULL: err says why there are none. */
static int put_block(struct rh_trace_out *out, struct rh_block_head *head, const uint8_t *stored,
		     size_t bytes, struct rh_err *err)
{
	uint8_t at[RH_BLOCK_HEAD_BYTES];

	if (!stored) {
		out->failed = true;
		return rh_err_prefix(err, "%s cannot be written", name_of(out));
	}
	head->stored_bytes = (uint32_t)bytes;
	assert(!rh_block_head_refused(head)); /* the reader takes what is written */
	rh_block_head_put(at, head, stored, out->blocks);
	out->blocks++;
	if (write_out(out, at, sizeof(at), err) < 0)
		return -1;
	return write_out(out, stored, bytes, err);
}

/* The block of events under way, if there is one, goes out. */
static int settle(struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_block_head head = out->compressed;
	const uint8_t *stored;
	size_t bytes;

	if (!head.raw_bytes)
		return 0;
	out->compressed.raw_bytes = 0;
	stored = rh_compressor_wait(out->compressor, &bytes, err);
	return put_block(out, &head, stored, bytes, err);
}

/* Compresses on this thread: for blocks that must be out before the next is put. */
static int squeeze_block(struct rh_trace_out *out, struct rh_block_head *head,
			 const struct rh_compressor_job *job, struct rh_err *err)
{
	const uint8_t *stored;
	size_t bytes;

	if (settle(out, err) < 0)
		return -1;
	assert(!out->compressed.raw_bytes);
	stored = rh_compressor_squeeze(out->compressor, job, &bytes, err);
	return put_block(out, head, stored, bytes, err);
}

/* A block that is not of events. */
static int write_block(struct rh_trace_out *out, struct rh_block_head *head, const uint8_t *raw,
		       struct rh_err *err)
{
	const struct rh_compressor_job job = { .raw = raw, .raw_bytes = head->raw_bytes };

	return squeeze_block(out, head, &job, err);
}

static int flush_names(struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_block_head head = {
		.type = RH_BLOCK_NAMES_TYPE,
		.items = out->names_items,
		.raw_bytes = (uint32_t)out->names_bytes,
	};

	if (!out->names_bytes)
		return 0;
	/* The block of events that is being compressed comes first: its place in the file is not
	 * known before it is written. */
	if (settle(out, err) < 0)
		return -1;
	if (!rh_reserve(&out->places, &out->places_cap, out->place_count + 1, sizeof(*out->places)))
		return fail_memory(out, err);
	assert(out->place_count < out->places_cap);
	out->places[out->place_count++] =
		(struct names_place){ .offset = out->offset, .ordinal = out->blocks };
	out->names_bytes = out->names_items = 0;
	return write_block(out, &head, out->names, err);
}

int rh_trace_flush_events(struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_block_head head = {
		.type = RH_BLOCK_EVENTS_TYPE,
		.items = out->encoder.events,
	};
	struct rh_compressor_job job = { 0 };
	uint8_t *raw = out->raw;

	if (!out->encoder.events)
		return 0;
	/* Names that came meanwhile go before the events that use them: a file that is cut off
	 * still has them. */
	if (settle(out, err) < 0 || (out->place_count < PLACES_EAGER && flush_names(out, err) < 0))
		return -1;
	head.raw_bytes = (uint32_t)rh_encoder_take(&out->encoder, raw);
	assert(head.raw_bytes <= RH_BLOCK_BYTES_MAX);
	job.raw = raw;
	job.raw_bytes = head.raw_bytes;
	if (out->raw_before_bytes) {
		job.prefix = out->raw_before;
		job.prefix_bytes = out->raw_before_bytes;
	}
	/* The last block has nothing to overlap with: small traces need no thread. */
	if (head.items < RH_BLOCK_EVENTS)
		return squeeze_block(out, &head, &job, err);
	assert(!out->compressed.raw_bytes); /* settled */
	out->compressed = head;
	rh_compressor_start(out->compressor, &job);
	/* The three buffers take turns: the one being compressed must stay, and is the next block's
	 * prefix. */
	out->raw = out->raw_before;
	out->raw_before = raw;
	out->raw_before_bytes = head.raw_bytes;
	return 0;
}

/* Blocks have a largest size, so both raw buffers are made once and no event that is put allocates.
 */
static int open_binary(struct rh_trace_out *out, const struct rh_trace_make *make,
		       struct rh_err *err)
{
	uint8_t head[RH_HEAD_BYTES];

	out->raw = malloc(RH_BLOCK_BYTES_MAX);
	out->raw_before = malloc(RH_BLOCK_BYTES_MAX);
	if (!out->raw || !out->raw_before || !rh_encoder_open(&out->encoder, make->columns))
		return fail_memory(out, err);
	if (rh_compressor_open(&out->compressor, make->level ? make->level : LEVEL_DEFAULT,
			       RH_BLOCK_BYTES_MAX, err) < 0)
		return -1;
	/* rh_file_head_get() refuses other columns */
	assert((make->columns &
		~(unsigned)(RH_COL_TIME | RH_COL_TASK | RH_COL_SITE | RH_COL_ARG)) == 0);
	rh_file_head_put(head, make->columns);
	return write_out(out, head, sizeof(head), err);
}

/* ---- text ---- */

/* Emptied before it is written: after a failed write nothing is printed behind half a line. */
static int flush_text(struct rh_trace_out *out, struct rh_err *err)
{
	size_t bytes = out->text_bytes;

	out->text_bytes = 0;
	return write_out(out, out->text, bytes, err);
}

/* Room for a line of at most `bytes`; NULL with err. */
static char *text_room(struct rh_trace_out *out, size_t bytes, struct rh_err *err)
{
	assert(bytes <= TEXT_BUFFER_BYTES);
	if (out->text_bytes + bytes > TEXT_BUFFER_BYTES && flush_text(out, err) < 0)
		return NULL;
	return out->text + out->text_bytes;
}

static void text_done(struct rh_trace_out *out, const char *end)
{
	out->text_bytes = (size_t)(end - out->text);
	assert(out->text_bytes <= TEXT_BUFFER_BYTES);
}

static int open_text(struct rh_trace_out *out, unsigned columns, struct rh_err *err)
{
	out->text = malloc(TEXT_BUFFER_BYTES);
	if (!out->text)
		return fail_memory(out, err);
	text_done(out, rh_text_print_head(out->text, columns));
	return 0;
}

/* The count at the end is how a reader knows that nothing is missing. */
static int end_text(struct rh_trace_out *out, struct rh_err *err)
{
	char *at = text_room(out, RH_TEXT_EVENT_MAX, err);

	if (!at)
		return -1;
	memcpy(at, "end events=", 11);
	at = rh_text_print_u64(at + 11, out->order.totals.events);
	*at++ = '\n';
	text_done(out, at);
	return flush_text(out, err);
}

/* ---- names ---- */

/* A note (it has a key) or the name of a site. */
struct name {
	const char *key;
	uint32_t site;
	const char *text;
};

/* A record of names.raw: letter, (length, key) or site, (length, text). */
static int put_name(struct rh_trace_out *out, const struct name *name, struct rh_err *err)
{
	const char *key = name->key;
	size_t key_bytes = key ? strlen(key) : 0, text_bytes = strlen(name->text);
	size_t need = out->names_bytes + key_bytes + text_bytes + 32;
	uint8_t *at;

	if (!rh_reserve(&out->names, &out->names_cap, need, 1))
		return fail_memory(out, err);
	at = out->names + out->names_bytes;
	*at++ = key ? 'N' : 'S';
	at = rh_varint_put(at, key ? key_bytes : name->site);
	if (key)
		at = (uint8_t *)memcpy(at, key, key_bytes) + key_bytes;
	at = rh_varint_put(at, text_bytes);
	at = (uint8_t *)memcpy(at, name->text, text_bytes) + text_bytes;
	out->names_bytes = (size_t)(at - out->names);
	assert(out->names_bytes <= out->names_cap);
	out->names_items++;
	return out->names_bytes > RH_NAMES_BLOCK_BYTES ? flush_names(out, err) : 0;
}

/* The same as text: "note KEY=TEXT" or "site NUMBER=TEXT". */
static int print_name(struct rh_trace_out *out, const struct name *name, struct rh_err *err)
{
	const char *key = name->key;
	char *at = text_room(out, RH_TEXT_LINE_MAX, err);

	if (!at)
		return -1;
	memcpy(at, key ? "note " : "site ", 5);
	at += 5;
	if (key)
		at = (char *)memcpy(at, key, strlen(key)) + strlen(key);
	else
		at = rh_text_print_u64(at, name->site);
	*at++ = '=';
	at = rh_text_escape(at, name->text, strlen(name->text));
	*at++ = '\n';
	text_done(out, at);
	return 0;
}

/* The limits of readers, counted without regard to replaced values. */
static int count_name(struct rh_trace_out *out, const struct name *name, const char *why,
		      struct rh_err *err)
{
	bool full;

	out->names_total += strlen(name->text) + (name->key ? strlen(name->key) + 2 : 1);
	if (!why) {
		full = name->key ? ++out->note_count > RH_NOTES_MAX
				 : ++out->site_count > RH_SITES_MAX;
		if (full || out->names_total > RH_NAMES_BYTES_MAX)
			why = "there are more notes or site names than a trace can hold";
	}
	return why ? rh_fail(err, RH_BAD_DATA, "%s: %s", name_of(out), why) : 0;
}

/* `why`: what readers would refuse of it, or NULL. */
static int add_name(struct rh_trace_out *out, const struct name *name, const char *why,
		    struct rh_err *err)
{
	if (count_name(out, name, why, err) < 0)
		return -1;
	return out->form == RH_FORM_TEXT ? print_name(out, name, err) : put_name(out, name, err);
}

int rh_trace_add_note(struct rh_trace_out *out, const char *key, const char *value,
		      struct rh_err *err)
{
	const char *why = rh_note_refused(key, strlen(key), value, strlen(value));

	if (!why && out->notes)
		why = rh_names_note(out->notes, key, strlen(key), value, strlen(value));
	return add_name(out, &(struct name){ .key = key, .text = value }, why, err);
}

int rh_trace_add_count(struct rh_trace_out *out, const char *key, uint64_t value,
		       struct rh_err *err)
{
	char digits[24];

	*rh_text_print_u64(digits, value) = '\0';
	return rh_trace_add_note(out, key, digits, err);
}

int rh_trace_add_site(struct rh_trace_out *out, uint32_t site, const char *name, struct rh_err *err)
{
	const char *why = rh_site_refused(site, name, strlen(name));

	return add_name(out, &(struct name){ .site = site, .text = name }, why, err);
}

/* ---- life ---- */

static void release(struct rh_trace_out *out)
{
	rh_outfile_abandon(&out->file);
	rh_order_close(&out->order);
	rh_encoder_close(&out->encoder);
	rh_compressor_close(out->compressor);
	free(out->raw);
	free(out->raw_before);
	free(out->names);
	free(out->places);
	free(out->text);
	free(out);
}

int rh_trace_create(struct rh_trace_out **result, const struct rh_trace_make *make,
		    struct rh_err *err)
{
	struct rh_trace_out *out = calloc(1, sizeof(*out));
	int rc;

	*result = NULL;
	if (!out)
		return rh_fail(err, RH_OS, "%s cannot be written: memory ran out", make->path);
	out->form = make->form;
	out->notes = make->notes;
	out->file.fd = -1;
	if (rh_outfile_open(&out->file, make->path, err) < 0)
		rc = -1;
	else if (!rh_order_open(&out->order, make->columns))
		rc = fail_memory(out, err);
	else
		rc = make->form == RH_FORM_TEXT ? open_text(out, make->columns, err)
						: open_binary(out, make, err);
	if (rc < 0) {
		release(out);
		return -1;
	}
	*result = out;
	return 0;
}

void rh_trace_leave(struct rh_trace_out *out)
{
	if (out->compressor)
		rh_compressor_leave(out->compressor);
}

int rh_trace_rename(struct rh_trace_out *out, const char *path, struct rh_err *err)
{
	return rh_outfile_rename(&out->file, path, err);
}

int rh_trace_failed(const struct rh_trace_out *out, struct rh_err *err)
{
	assert(out->failed);
	return rh_fail(err, RH_IO, "%s: writing has failed before", name_of(out));
}

int rh_trace_refuse(struct rh_trace_out *out, const struct rh_event *event, struct rh_err *err)
{
	assert(out->order.why[0]);
	out->failed = true;
	return rh_fail(err, out->order.no_memory ? RH_OS : RH_BAD_DATA,
		       "%s: event %llu (%s) %s: %s", name_of(out),
		       (unsigned long long)out->order.totals.events,
		       event->kind < RH_EV_COUNT ? rh_event_rows[event->kind].word : "?",
		       out->order.no_memory ? "cannot be written" : "makes no legal trace",
		       out->order.why);
}

int rh_trace_put_one(struct rh_trace_out *out, struct rh_event *event, struct rh_err *err)
{
	uint64_t rank = 0;
	char *at;

	if (!rh_order_put(&out->order, event, &rank))
		return rh_trace_refuse(out, event, err);
	if (out->form == RH_FORM_TEXT) {
		at = text_room(out, RH_TEXT_EVENT_MAX, err);
		if (!at)
			return -1;
		text_done(out, rh_text_print(at, event, &out->order));
		return 0;
	}
	return rh_trace_encoded(out, rh_encode(&out->encoder, event, rank), err);
}

int rh_trace_encoded(struct rh_trace_out *out, bool encoded, struct rh_err *err)
{
	if (!encoded)
		return fail_memory(out, err);
	assert(out->encoder.events <= RH_BLOCK_EVENTS);
	return out->encoder.events == RH_BLOCK_EVENTS ? rh_trace_flush_events(out, err) : 0;
}

static int write_index(struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_block_head head = { .type = RH_BLOCK_INDEX_TYPE };
	uint64_t offset, ordinal;
	uint8_t trailer[RH_TRAILER_BYTES], *at;

	/* What is in raw may still be a prefix. */
	if (settle(out, err) < 0)
		return -1;
	assert(out->encoder.events == 0 && out->names_bytes == 0); /* flushed */
	offset = out->offset;
	ordinal = out->blocks;
	at = rh_totals_put(out->raw, &out->order.totals);
	at = rh_varint_put(at, out->place_count);
	for (size_t i = 0; i < out->place_count; i++) {
		at = rh_varint_put(at, out->places[i].offset);
		at = rh_varint_put(at, out->places[i].ordinal);
	}
	head.raw_bytes = (uint32_t)(at - out->raw);
	assert(head.raw_bytes <= RH_BLOCK_BYTES_MAX);
	if (write_block(out, &head, out->raw, err) < 0)
		return -1;
	rh_trailer_put(trailer, offset, ordinal);
	return write_out(out, trailer, sizeof(trailer), err);
}

static int end_binary(struct rh_trace_out *out, struct rh_err *err)
{
	if (rh_trace_flush_events(out, err) < 0 || flush_names(out, err) < 0)
		return -1;
	return write_index(out, err);
}

const struct rh_trace_totals *rh_trace_written(const struct rh_trace_out *out)
{
	return &out->order.totals;
}

uint64_t rh_trace_written_bytes(const struct rh_trace_out *out)
{
	return out->offset;
}

int rh_trace_finish(struct rh_trace_out *out, struct rh_trace_totals *totals, struct rh_err *err)
{
	int rc;

	if (out->failed)
		rc = rh_trace_failed(out, err);
	else
		rc = out->form == RH_FORM_TEXT ? end_text(out, err) : end_binary(out, err);
	if (rc == 0)
		rc = rh_outfile_commit(&out->file, err);
	if (rc == 0 && totals)
		*totals = out->order.totals;
	release(out);
	return rc;
}

void rh_trace_abandon(struct rh_trace_out *out)
{
	if (out)
		release(out);
}
