/*
 * calls_row.c - turns calls in a row (rh_merge_rows) into events: the fast way of calls.c.
 *
 * A row shares its stream and its stamp: so the lane, the time and the span of the recording are
 * looked at once for all of it, and the words go to the builder as they are. A call that the
 * builder does not take this way comes through calls.c.
 */
#include "alloc/base/grow.h"
#include "traces/record/emitter.h"

/* No thread is inside a realloc, and calls are not counted. */
static bool may_be_rows(const struct rh_emitter *emit)
{
	return !emit->reallocs_open && !emit->queued &&
	       (!emit->what.opts->max_events || emit->what.opts->keep == RH_KEEP_LAST);
}

static bool in_this_span(const struct rh_emitter *emit, uint64_t stamp)
{
	const struct rh_span *span = &emit->spans[emit->span];

	return emit->span < emit->what.span_count && stamp >= span->from && stamp < span->to;
}

/* The words from *seen to where row `at` is now were taken. Attached late: what was born here is
 * not from before. (A free of anything else is not taken by the builder, and comes through
 * calls.c.) */
static bool see_taken(struct rh_emitter *emit, const uint64_t **seen, const struct rh_row *row,
		      size_t at, const struct rh_merge_rows *rows)
{
	const uint64_t *to = at < rows->count ? row[at].words : rows->words + rows->word_count;

	emit->calls += (uint64_t)(to - *seen);
	for (; *seen < to && emit->before.late; (*seen)++) {
		unsigned kind = (unsigned)(**seen >> 60);

		if ((rh_rec_is_birth(kind) || kind == RH_REC_RE_END) &&
		    !rh_before_see(&emit->before, rh_row_address(**seen)))
			return false;
	}
	*seen = to;
	return true;
}

/* A call that the builder did not take; of a realloc, one of its ends. */
static int call_by_call(struct rh_emitter *emit, const struct rh_merge_row *of, struct rh_row *row,
			struct rh_err *err)
{
	uint64_t word = *row->words, size = rh_row_size(word);
	unsigned kind = (unsigned)(word >> 60);
	struct rh_call call = {
		.stamp = of->stamp,
		.address = rh_row_address(word),
		.size = size,
		.stream = of->stream,
		.thread = of->thread,
		.tid = of->tid,
		.site = row->site,
		.kind = rh_rec_is_birth(kind) ? RH_REC_ALLOC : (uint8_t)kind,
		.how = (uint8_t)kind,
		.sized = kind == RH_REC_FREE && size,
		.given = size - 1,
	};

	row->words++;
	row->count--;
	if (kind != RH_REC_SITE)
		return rh_emitter_call(emit, &call, err);
	row->site = (uint32_t)word;
	return 0;
}

/* Rows as the builder takes them. last: the latest stamp up to each, see rh_emitter_time. */
struct ready {
	struct rh_row row[RH_ROWS_WORDS];
	uint64_t last[RH_ROWS_WORDS];
};

/* Rows in the span from there on are made ready; where they end. */
static int make_ready(struct rh_emitter *emit, const struct rh_merge_rows *rows, size_t from,
		      struct ready *ready, struct rh_err *err)
{
	struct rh_row *row = ready->row;
	size_t i = from;

	for (; i < rows->count && in_this_span(emit, rows->row[i].stamp); i++) {
		const struct rh_merge_row *of = &rows->row[i];
		uint64_t key = rh_emitter_key(of->tid, of->stream);
		bool known = rh_build_lane_known(emit->build, key, &row[i].lane);

		if (!known && i > from) /* its lane begins after what was made ready */
			break;
		row[i].time_ns = rh_emitter_time(emit, of->stamp);
		ready->last[i] = emit->last_stamp;
		rh_build_stamp(emit->build, row[i].time_ns, RH_TASK_NONE, row[i].site);
		if (!known && rh_build_lane(emit->build, key, &row[i].lane, err) < 0)
			return -1;
	}
	return (int)i;
}

static int put_rows(struct rh_emitter *emit, const struct rh_merge_rows *rows, struct rh_err *err)
{
	struct ready those;
	struct rh_row *row = those.row;
	uint64_t last_stamp;
	const uint64_t *words = rows->words, *seen = words;
	size_t at = 0;
	int ready = 0, took;

	for (size_t i = 0; i < rows->count; words += rows->row[i++].words)
		row[i] = (struct rh_row){ .words = words,
					  .count = rows->row[i].words,
					  .site = rows->row[i].site };
	while (at < rows->count) {
		if (at >= (size_t)ready)
			ready = make_ready(emit, rows, at, &those, err);
		if (ready < 0)
			return -1;
		took = emit->reallocs_open
			       ? 0
			       : rh_build_rows(emit->build, row + at, (size_t)ready - at, err);
		if (took < 0)
			return -1;
		at += (size_t)took;
		if (!see_taken(emit, &seen, row, at, rows))
			return rh_no_memory(err, "the blocks of the recording");
		if (at == rows->count || (took && at == (size_t)ready))
			continue;
		last_stamp = emit->last_stamp;
		if (at < (size_t)ready)
			emit->last_stamp = those.last[at]; /* as at that call */
		if (call_by_call(emit, &rows->row[at], &row[at], err) < 0)
			return -1;
		if (emit->last_stamp < last_stamp)
			emit->last_stamp = last_stamp;
		seen = row[at].words;
		at += !row[at].count;
	}
	return 0;
}

int rh_emitter_rows(struct rh_emitter *emit, bool *took, struct rh_err *err)
{
	struct rh_merge_rows rows;

	*took = false;
	if (!may_be_rows(emit))
		return 0;
	if (rh_merge_rows(emit->merge, &rows, err) < 0)
		return -1;
	*took = rows.count != 0;
	if (!*took)
		return 0;
	return put_rows(emit, &rows, err);
}
