/*
 * read.h - what the two readers (read_binary.c, read_text.c) share with read.c, which
 * implements the public side of trace.h. Internal to the trace core.
 */
#ifndef RH_READ_H
#define RH_READ_H

#include <zstd.h>

#include "traces/format/frame.h"
#include "traces/format/names.h"
#include "traces/format/text.h"

struct rh_trace {
	char path[4096];
	int fd;
	bool is_text, can_seek, ended;
	unsigned columns;
	uint64_t offset; /* of the next byte read from fd */
	struct rh_order order;
	struct rh_names names;
	struct rh_trace_totals totals_index;
	bool have_index;       /* totals_index is set, all names are known */
	struct rh_err failure; /* code != 0: every further call repeats it */
	char truncated[sizeof(((struct rh_err *)0)->text)];

	/* bytes read ahead: the first 24 decide the form; text goes on through it */
	char *buffer;
	size_t buffer_at, buffer_end;

	/* binary */
	struct rh_decoder decoder;
	ZSTD_DCtx *zstd;
	uint64_t blocks;       /* blocks read: ordinal of the next one */
	uint64_t index_offset; /* of a seekable whole file, else UINT64_MAX */
	uint8_t *raw, *raw_before, *stored;
	size_t raw_bytes, raw_before_bytes, raw_cap, raw_before_cap, stored_cap;

	/* text */
	uint64_t line_number;
	bool cut_line;	      /* the last line has no newline */
	unsigned blank_lines; /* in a row */
	bool line_kept;	      /* the line in `line` is the first event, not yet used */
	char *line;
};

enum { RH_READ_BUFFER_BYTES = 1 << 18 };

/* Up to `bytes` from the buffer and the file: fewer only at the end of the file. -1 = error. */
long rh_read_bytes(struct rh_trace *trace, void *to, size_t bytes, struct rh_err *err);

/* next: events, 0 at the end, -1 with err. With err filled and a count above 0 the events
 * before the bad place come first, and rh_trace_next reports on its next call. */
int rh_binary_open(struct rh_trace *trace, struct rh_err *err);
long rh_binary_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err);
void rh_binary_close(struct rh_trace *trace);

int rh_text_open(struct rh_trace *trace, struct rh_err *err);
long rh_text_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err);

/* "FILE: event N (word): why" */
int rh_read_refused(struct rh_trace *trace, const struct rh_event *event, struct rh_err *err);

#endif
