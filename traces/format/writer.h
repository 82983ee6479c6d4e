/*
 * writer.h - what write.c, write_events.c, write_row.c and repair_row.c share. Thread rule and
 * errors: those of trace.h.
 */
#ifndef RH_WRITER_H
#define RH_WRITER_H

#include "alloc/base/os.h"
#include "traces/format/codec.h"
#include "traces/format/compressor.h"
#include "traces/format/frame.h"
#include "traces/format/names.h"
#include "traces/format/row.h"

enum { RH_WRITE_AHEAD = RH_ORDER_AHEAD, RH_WRITE_NEAR = RH_ORDER_NEAR };
/* Of rows: a look ahead takes 27 of 370 instructions a call. */
enum { RH_ROWS_NEAR = 32768 };

/* Where a block of names went. */
struct names_place {
	uint64_t offset, ordinal;
};

struct rh_trace_out {
	struct rh_outfile file;
	enum rh_trace_form form;
	struct rh_order order;
	uint64_t offset, blocks;
	bool failed; /* an error was returned: nothing more may be put */

	/* binary */
	struct rh_encoder encoder;
	struct rh_compressor *compressor;
	struct rh_block_head compressed; /* of the block under way; raw_bytes 0 = there is none */
	uint8_t *raw, *raw_before;	 /* the next block and the one before */
	size_t raw_before_bytes;
	uint8_t *names; /* records that wait for their block */
	size_t names_bytes, names_cap;
	uint32_t names_items;
	struct names_place *places;
	size_t place_count, places_cap;
	size_t names_total, note_count, site_count;
	struct rh_names *notes; /* of whoever made it, or NULL */

	/* text */
	char *text;
	size_t text_bytes;
};

/* The block of events under construction is full, or the last: it goes to be compressed. */
int rh_trace_flush_events(struct rh_trace_out *out, struct rh_err *err);
/* The event, by all rules. */
int rh_trace_put_one(struct rh_trace_out *out, struct rh_event *event, struct rh_err *err);
/* Events went into the block under construction, or memory ran out. */
int rh_trace_encoded(struct rh_trace_out *out, bool encoded, struct rh_err *err);
/* Something may not be put any more. */
int rh_trace_failed(const struct rh_trace_out *out, struct rh_err *err);
/* write_row.c: how many events of rows can go straight into the block, before which `births`
 * objects were born; 0: they have to come by rh_trace_put. */
size_t rh_trace_rows_room(struct rh_trace_out *out, uint64_t births);
/* Whether that row can. */
bool rh_trace_row_fits(const struct rh_trace_out *out, const struct rh_row *row);
/* Room for so many births among the living; false when memory ran out. */
bool rh_trace_rows_reserve(struct rh_trace_out *out, size_t births);
/* So many words from the fronts of rows, all legal: births for which there is room among the
 * living, and the ids of what the others name. */
int rh_trace_put_rows(struct rh_trace_out *out, struct rh_row *rows, const uint64_t *ids,
		      size_t words, struct rh_err *err);
/* An event that order.c refused; why is in out->order. */
int rh_trace_refuse(struct rh_trace_out *out, const struct rh_event *event, struct rh_err *err);

#endif
