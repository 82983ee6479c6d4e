/*
 * fuzz_capture.c - a fuzz target for the area that a recorded program shares with its recorder: the
 * words of the input are the records of one ring, as a program with a wild pointer would leave
 * them. They go into a capture, and the way of `record --recover` makes a trace of it. The first
 * byte gives the number of words before the second thread's chunk. What is left behind the last
 * whole word ends in a byte of bits: HOW_LATE and so on.
 *
 * Properties: an error is one sentence; the trace that is there reads to its end.
 */
#include <sys/stat.h>

#include "traces/format/trace.h"
#include "traces/record/emit.h"
#include "traces/record/later.h"
#include "traces/test/fuzz_support.h"

enum { WORDS_MAX = 512, MOST_EVENTS = 5, TURN_WORDS = 7 };
enum {
	HOW_LATE = 1,	/* the recorder joined a process that ran */
	HOW_TICKS = 2,	/* a tick is no nanosecond */
	HOW_TURNS = 4,	/* the trace is written while the program runs, as well */
	HOW_SPANS = 8,	/* recording was off for a while */
	HOW_LATER = 16, /* it was left for later: the capture says how it ended */
	HOW_TORN = 32,	/* without the last frame */
};

struct place {
	char folder[64], trace[80], capture[96];
};

static const struct place *make_place(void)
{
	static struct place place;

	if (!place.folder[0]) {
		snprintf(place.folder, sizeof(place.folder), "%s/rh-fuzz-%d", fuzz_folder(),
			 (int)getpid());
		mkdir(place.folder, 0700);
		snprintf(place.trace, sizeof(place.trace), "%s/t.rht", place.folder);
		snprintf(place.capture, sizeof(place.capture), "%s.capture", place.trace);
	}
	return &place;
}

/* Whole records alone: a ring never ends within one, its owner saw to that. */
static size_t whole_words(const uint64_t *words, size_t count)
{
	size_t at = 0;

	while (at < count && at + rh_rec_words(words[at]) <= count)
		at += rh_rec_words(words[at]);
	return at;
}

/* A ring as its owner left it, and what holds at its next word. */
struct ring {
	const uint64_t *words;
	size_t count;
	struct rh_chunk chunk;
};

struct input {
	struct ring rings[2];
	unsigned head, how; /* bits: see make_head; HOW_LATE and so on */
	struct rh_image image;
};

static void take_input(struct input *input, const uint8_t *data, size_t bytes)
{
	static uint64_t words[WORDS_MAX];
	size_t count = (bytes - 1) / 8, first = data[0];

	if (count > WORDS_MAX)
		count = WORDS_MAX;
	if (first > count)
		first = count;
	memcpy(words, data + 1, count * 8);
	*input = (struct input){
		.rings = { { .words = words, .count = whole_words(words, first) },
			   { .words = words + first,
			     .count = whole_words(words + first, count - first) } },
		.head = data[0],
		.how = (bytes - 1) % 8 ? data[bytes - 1] : 0,
		.image = { .pid = 100, .pidfd = -1, .exe = "/bin/fuzz" },
	};
	if (input->how & HOW_LATE)
		input->image.how = RH_PROC_LATE;
	for (uint32_t i = 0; i < 2; i++)
		input->rings[i].chunk =
			(struct rh_chunk){ .stamp = 1, .ring = i, .thread = i, .tid = 100 + i };
}

/* So many words of whole records become a chunk, and the ring goes on behind them. */
static void add_chunk(struct rh_capture *capture, struct ring *ring, size_t count)
{
	struct rh_chunk *chunk = &ring->chunk;
	struct rh_err err = { 0 };
	struct rh_rec rec;

	chunk->events = count;
	demand(rh_capture_add(capture, chunk, ring->words, count, &err) == 0,
	       "a chunk can be written", &err);
	for (size_t words; count > 0; count -= words) {
		rh_rec_unpack(ring->words, &rec);
		words = rh_rec_words(*ring->words);
		ring->words += words;
		ring->count -= words;
		if (rec.kind == RH_REC_STAMP)
			chunk->stamp = rec.tail;
		else if (rec.kind == RH_REC_SITE)
			chunk->site = (uint32_t)rec.tail;
		if (rec.kind != RH_REC_START)
			continue;
		chunk->thread = (uint32_t)(rec.tail >> 32);
		chunk->tid = (uint32_t)rec.tail;
	}
}

static void make_head(struct rh_capture *capture, const struct input *input)
{
	struct rh_err err = { 0 };

	capture->head.ns_per_tick = input->how & HOW_TICKS ? 0.25 : 1;
	capture->head.program = input->image.pid;
	capture->head.time = input->head & 1;
	capture->head.sites = input->head >> 1 & 1;
	capture->head.residency = input->head >> 2 & 1;
	demand(rh_capture_put_head(capture, &err) == 0 &&
		       rh_capture_add_frame(
			       capture, RH_FRAME_IMAGE,
			       (struct rh_frame_data){ &input->image, sizeof(input->image) },
			       &err) == 0,
	       "a capture can be written", &err);
}

/* Each field is bytes of the input, texts without an end among them. */
static void add_end(struct rh_capture *capture, const struct input *input)
{
	static struct rh_later later;
	struct rh_err err = { 0 };
	size_t bytes = input->rings[0].count * sizeof(uint64_t);

	memset(&later, input->head, sizeof(later));
	if (bytes)
		memcpy(&later, input->rings[0].words,
		       bytes < sizeof(later) ? bytes : sizeof(later));
	if (input->how & HOW_TICKS)
		later.ns_per_tick = 0.25;
	if (input->how & HOW_SPANS)
		later.span_count %= RH_SPANS_MAX + 1;
	demand(rh_capture_add_frame(capture, RH_FRAME_IMAGE_END,
				    (struct rh_frame_data){ &input->image, sizeof(input->image) },
				    &err) == 0,
	       "a capture can be written", &err);
	if (!(input->how & HOW_TORN))
		demand(rh_capture_add_frame(capture, RH_FRAME_END,
					    (struct rh_frame_data){ &later, sizeof(later) },
					    &err) == 0,
		       "a capture can be written", &err);
}

static void make_capture(const struct place *place, struct input input)
{
	const struct input whole = input; /* chunks move its rings on */
	struct rh_capture capture;
	struct rh_err err = { 0 };

	unlink(place->capture);
	demand(rh_capture_open(&capture, place->trace, &err) == 0, "there is a place", &err);
	make_head(&capture, &input);
	add_chunk(&capture, &input.rings[0], input.rings[0].count);
	add_chunk(&capture, &input.rings[1], input.rings[1].count);
	if (input.how & HOW_LATER)
		add_end(&capture, &whole);
	capture.keep = true;
	rh_capture_close(&capture);
}

/* A few records of each ring, then a turn: stamps before those that the rings have come to are
 * due. */
static int take_turns(struct rh_emitter *emit, const struct rh_emit *what, struct ring *rings,
		      struct rh_err *err)
{
	struct rh_capture *capture = &what->drain->capture;
	uint64_t until = UINT64_MAX;

	for (int i = 0; i < 2; i++) {
		struct ring *ring = &rings[i];
		size_t some = ring->count < TURN_WORDS ? ring->count : TURN_WORDS;

		some = whole_words(ring->words, some);
		if (!some)
			continue;
		add_chunk(capture, ring, some);
		if (rh_emit_add(emit, &capture->chunks[capture->count - 1], err) < 0)
			return -1;
		if (ring->count && ring->chunk.stamp < until)
			until = ring->chunk.stamp;
	}
	if (rh_emit_turn(emit, what, until, err) < 0)
		return -1;
	return rh_emit_work(emit, err);
}

/* As the recorder's own thread writes it. 0, or -1: it is not there. */
static int write_in_turns(const struct place *place, struct input input,
			  struct rh_record_opts *opts, struct rh_err *err)
{
	static struct rh_drain drain;
	static const struct rh_span spans[] = { { 100, 200 }, { 300, UINT64_MAX } };
	static const struct rh_span all = { 0, UINT64_MAX };
	struct rh_emit what = {
		.opts = opts,
		.drain = &drain,
		.spans = input.how & HOW_SPANS ? spans : &all,
		.span_count = input.how & HOW_SPANS ? 2 : 1,
		.ns_per_tick = input.how & HOW_TICKS ? 0.25 : 1,
		.clock = "ticks",
		.ended = "exit 0",
	};
	struct rh_trace_totals totals;
	struct rh_emitter *emit = NULL;
	int result;

	opts->time = input.head & 1;
	opts->sites = input.head >> 1 & 1;
	opts->residency = input.head >> 2 & 1;
	drain.images = &input.image;
	drain.image_count = 1;
	unlink(place->capture);
	demand(rh_capture_open(&drain.capture, place->trace, err) == 0, "there is a place", err);
	make_head(&drain.capture, &input);
	result = rh_emit_begin(&emit, &what, place->trace, err);
	while (result == 0 && input.rings[0].count + input.rings[1].count > 0)
		result = take_turns(emit, &what, input.rings, err);
	if (result < 0)
		rh_emit_close(emit);
	else
		result = rh_emit_end(emit, &what, place->trace, &totals, err);
	rh_capture_close(&drain.capture);
	return result;
}

static void read_trace(const char *path)
{
	struct rh_trace *trace;
	struct rh_event batch[256];
	struct rh_err err = { 0 };
	int got;

	demand(rh_trace_open(&trace, path, &err) == 0, "the trace opens", &err);
	while ((got = rh_trace_next(trace, batch, 256, &err)) > 0)
		;
	demand(got == 0 && !rh_trace_truncated(trace), "it reads to its end", &err);
	rh_trace_close(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct place *place = make_place();
	struct rh_record_opts opts = {
		.out = place->trace, .version = "fuzz", .quiet = true, .level = 1
	};
	struct rh_err err = { 0 };
	FILE *loud = stderr, *silent = fopen("/dev/null", "w");
	struct input input;
	int result;

	if (bytes < 9 || !silent)
		goto done;
	opts.max_events = data[0] & 8 ? MOST_EVENTS : 0;
	unlink(place->trace);
	take_input(&input, data, bytes);
	make_capture(place, input);
	stderr = silent;
	result = rh_record_recover(&opts, place->capture, &err);
	stderr = loud;
	if (result < 0)
		demand_error(&err);
	else
		read_trace(place->trace);
	unlink(place->trace);
	if (input.how & HOW_TURNS) {
		err = (struct rh_err){ 0 };
		result = write_in_turns(place, input, &opts, &err);
		if (result < 0)
			demand_error(&err);
		else
			read_trace(place->trace);
	}
	unlink(place->trace);
	unlink(place->capture);
	rmdir(place->folder);
	mkdir(place->folder, 0700);
done:
	if (silent)
		fclose(silent);
	return 0;
}
