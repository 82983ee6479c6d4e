/*
 * fuzz_trace.c - a fuzz target for everything that reads a trace from bytes.
 *
 * Properties, beyond not crashing: what is read is a legal trace, so the writer takes all
 * of it; and what was written reads back as the same events, in both forms.
 * Plain tests include this file and replay a corpus that they make (test_fuzz.c). To reach past the
 * checksums the target seals them: it walks the blocks and puts the right checksum into each.
 */
#include "traces/edit/export.h"
#include "traces/format/frame.h"
#include "traces/test/fuzz_support.h"

enum { FUZZ_EVENTS = 20000 };

static void seal(uint8_t *data, size_t bytes)
{
	uint64_t ordinal = 0;
	size_t at = RH_HEAD_BYTES;

	if (bytes < RH_HEAD_BYTES || memcmp(data, rh_magic, sizeof(rh_magic)) != 0)
		return;
	rh_file_head_put(data, rh_get32(data + 12) & 15);
	while (bytes - at >= RH_BLOCK_HEAD_BYTES) {
		struct rh_block_head head;

		rh_block_head_get(data + at, &head);
		if (head.stored_bytes > bytes - at - RH_BLOCK_HEAD_BYTES)
			return;
		rh_block_head_put(data + at, &head, data + at + RH_BLOCK_HEAD_BYTES, ordinal++);
		at += RH_BLOCK_HEAD_BYTES + head.stored_bytes;
	}
}

/* Every site has a name, and is found by its number. */
static void look_up_names(const struct rh_trace *trace)
{
	uint32_t site;

	for (size_t i = 0; rh_trace_site_at(trace, i, &site); i++)
		demand(rh_trace_site(trace, site) != NULL, "a site has its name", NULL);
	rh_trace_note_of(trace, "program");
}

/* Reads at most cap events. The count; an error is as good an end as any. */
static size_t read_all(const char *path, struct rh_event *events, size_t cap, unsigned *columns)
{
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	size_t count = 0;
	int got;

	if (rh_trace_open(&trace, path, &err) < 0) {
		demand(err.code != 0 && err.text[0], "an error says what it is", &err);
		return 0;
	}
	*columns = rh_trace_columns(trace);
	demand(rh_trace_can_seek(trace), "a file can be read again", &err);
	while (count < cap && (got = rh_trace_next(trace, events + count, cap - count, &err)) > 0)
		count += (size_t)got;
	look_up_names(trace);
	rh_trace_close(trace);
	return count;
}

static void write_and_compare(const struct rh_trace_make *make, const struct rh_event *events,
			      size_t count, struct rh_event *again)
{
	unsigned columns = make->columns;
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	demand(rh_trace_create(&out, make, &err) == 0, "a trace can be made", &err);
	demand(rh_trace_put(out, events, count, &err) == 0, "what is read can be written", &err);
	demand(rh_trace_finish(out, NULL, &err) == 0, "a trace can be finished", &err);
	demand(read_all(make->path, again, FUZZ_EVENTS, &columns) == count, "it reads back whole",
	       &err);
	demand(memcmp(events, again, count * sizeof(*events)) == 0, "it reads back the same", &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct rh_event events[FUZZ_EVENTS], again[FUZZ_EVENTS];
	char out[64];
	uint8_t *sealed = malloc(bytes + 1);
	unsigned columns = 0;
	struct fuzz_file in;
	size_t count;

	if (!sealed)
		return 0;
	memcpy(sealed, data, bytes);
	seal(sealed, bytes);
	snprintf(out, sizeof(out), "%s/rh-fuzz-%d.out", fuzz_folder(), (int)getpid());
	if (fuzz_file_open(&in, sealed, bytes)) {
		struct rh_err err = { 0 };

		if (rh_trace_spare(in.path, &err) < 0)
			demand_error(&err);
		count = read_all(in.path, events, FUZZ_EVENTS, &columns);
		if (count) {
			struct rh_trace_make make = { .path = out, .columns = columns, .level = 1 };

			make.form = RH_FORM_BINARY;
			write_and_compare(&make, events, count, again);
			make.form = RH_FORM_TEXT;
			write_and_compare(&make, events, count, again);
		}
	}
	fuzz_file_close(&in);
	unlink(out);
	free(sealed);
	return 0;
}
