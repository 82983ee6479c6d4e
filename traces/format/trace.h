/*
 * trace.h - reading and writing traces (.rht), text or binary, one batch at a time.
 *
 * Events come in one total order that is a legal order of what happened: a free
 * never precedes its alloc, a lane's events stand in program order. Which pairs are
 * truly ordered is not stored: harness/compile/events.c derives edges from births, deaths,
 * spawns and joins. The byte layout is FORMAT.md.
 *
 * Ids are dense: the n-th alloc or resize bears object n. A reader checks everything
 * it reads (kinds, bounds, that a dying object lives, block checksums) and never
 * believes a count: memory is O(lanes + live objects), whatever the file says.
 *
 * Ownership: a trace owns its buffers until close; heads, totals, notes and names
 * point into it. Thread rule: one thread per object. Memory: malloc (this code runs
 * in the driver, never in a worker).
 * Errors: RH_NO_INPUT, RH_BAD_DATA (with file and event number), RH_IO, RH_OS.
 */
#ifndef RH_TRACE_H
#define RH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"
#include "traces/format/event.h"

/* Events that are read and written together: 7 KiB of them, as they lie on stacks (ulimit -s). */
enum { RH_TRACE_BATCH = 128, RH_TRACE_VERSION = 1 };

/* Which optional columns the trace has. */
enum rh_column {
	RH_COL_TIME = 1u << 0,
	RH_COL_TASK = 1u << 1,
	RH_COL_SITE = 1u << 2,
	RH_COL_ARG = 1u << 3,
};

/* Provenance and everything else that is text: key and value, UTF-8, no newline in the key.
 * Keys in use: program, args, host, recorder, clock, source (importer and its input),
 * generator, stresses, license; repair.* and drop.* count what an importer mended or left
 * out; estimate.* what it guessed; sample.bytes: the trace is a sample (sample.h). Values that are
 * counts are decimal. */
struct rh_note {
	const char *key, *value;
};

struct rh_names; /* names.h */

struct rh_trace_totals {
	uint64_t events;
	uint64_t by_kind[RH_EV_COUNT];
	uint64_t lanes;	  /* lane numbers used */
	uint64_t objects; /* alloc + resize */
	uint64_t tasks;
	uint64_t live_objects_peak, live_objects_end;
	uint64_t live_bytes_peak, live_bytes_end;
	uint64_t size_max;     /* largest object */
	uint64_t time_ns_last; /* RH_NONE without times */
};

struct rh_trace;

/* path "-" = stdin. The first bytes say whether it is text or binary. */
int rh_trace_open(struct rh_trace **trace, const char *path, struct rh_err *err);

/* Before something that is no trace is written to path: fails when a trace is there. */
int rh_trace_spare(const char *path, struct rh_err *err);

/* Whether it is a file, which can be opened and read again; a pipe cannot. */
bool rh_trace_can_seek(const struct rh_trace *trace);

/* Up to cap events into batch: their count, 0 at the end, -1 on error. A file that is
 * cut off ends normally (0) after its last whole block; rh_trace_truncated then says
 * where. Damage inside a complete file is an error at that place. */
int rh_trace_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err);

/* NULL, or one sentence: what is missing and what is still good. Valid after the end. */
const char *rh_trace_truncated(const struct rh_trace *trace);

unsigned rh_trace_columns(const struct rh_trace *trace);

/* Totals: from the index at once when the file has one and can seek (exact == true), else
 * counted so far. Always exact after the end. */
void rh_trace_totals(const struct rh_trace *trace, struct rh_trace_totals *totals, bool *exact);

/* Notes: those of the head at once, those of the tail when the index was readable or the
 * end was reached. Returns NULL after the last. */
const struct rh_note *rh_trace_note(const struct rh_trace *trace, size_t index);
/* All of them; the trace's. */
const struct rh_names *rh_trace_names(const struct rh_trace *trace);
/* Value of a key or NULL. */
const char *rh_trace_note_of(const struct rh_trace *trace, const char *key);

/* Name of a site (same availability as tail notes); NULL when it has none. */
const char *rh_trace_site(const struct rh_trace *trace, uint32_t site);

/* Names in the order they were given, NULL after the last. A site named twice comes twice;
 * the later name counts. */
const char *rh_trace_site_at(const struct rh_trace *trace, size_t index, uint32_t *site);

void rh_trace_close(struct rh_trace *trace);

/* ---- writing ---- */

struct rh_trace_out;

enum rh_trace_form { RH_FORM_BINARY, RH_FORM_TEXT };

struct rh_trace_make {
	const char *path; /* "-" = stdout; else a temporary is renamed at finish */
	enum rh_trace_form form;
	unsigned columns; /* enum rh_column bits that events will carry */
	int level;	  /* zstd level, 0 = default */
	struct rh_names
		*notes; /* gets each note too, as what goes down a pipe is not read back; or NULL */
};

int rh_trace_create(struct rh_trace_out **out, const struct rh_trace_make *make,
		    struct rh_err *err);

/* What goes on beside the caller ends; it begins again with the priority of whoever puts next. */
void rh_trace_leave(struct rh_trace_out *out);
/* Another name in the same folder, before finish. */
int rh_trace_rename(struct rh_trace_out *out, const char *path, struct rh_err *err);

/* Notes and site names may be given at any time before finish (later value of a key wins). */
int rh_trace_add_note(struct rh_trace_out *out, const char *key, const char *value,
		      struct rh_err *err);
int rh_trace_add_count(struct rh_trace_out *out, const char *key, uint64_t value,
		       struct rh_err *err);
int rh_trace_add_site(struct rh_trace_out *out, uint32_t site, const char *name,
		      struct rh_err *err);

/* Appends events; checks that they make a legal trace (ids dense, deaths of the living; the
 * rules are those of traces/format/order.h). A lane used before its lane_start is given one, an
 * event more; a reader never sees that. Fields that the kind or the columns do not have
 * are not stored: they read back as RH_NONE (size, align, flags, site: 0). Callers that
 * cannot promise a legal order use traces/format/repair.h, which repairs and counts. */
int rh_trace_put(struct rh_trace_out *out, const struct rh_event *events, size_t count,
		 struct rh_err *err);

/* What has been written so far; at most a batch behind rh_trace_put. */
const struct rh_trace_totals *rh_trace_written(const struct rh_trace_out *out);
/* Bytes of the file so far; what waits to be compressed is not in it. */
uint64_t rh_trace_written_bytes(const struct rh_trace_out *out);

/* Writes the index and totals and puts the file in place. Ends the object either way. */
int rh_trace_finish(struct rh_trace_out *out, struct rh_trace_totals *totals, struct rh_err *err);
/* Drops the temporary; NULL allowed. */
void rh_trace_abandon(struct rh_trace_out *out);

#endif
