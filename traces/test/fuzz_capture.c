/*
 * fuzz_capture.c - a fuzz target for the area that a recorded program shares with its recorder: the
 * words of the input are the records of one ring, as a program with a wild pointer would leave
 * them. They go into a capture, and the way of `record --recover` makes a trace of it. The first
 * byte gives the number of words before the second thread's chunk.
 *
 * Properties: an error is one sentence; the trace that is there reads to its end.
 */
#include <sys/stat.h>

#include "traces/format/trace.h"
#include "traces/record/drain.h"
#include "traces/record/record.h"
#include "traces/test/fuzz_support.h"

enum { WORDS_MAX = 512, MOST_EVENTS = 5 };

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

static void add_chunk(struct rh_capture *capture, uint32_t ring, const uint64_t *words,
		      size_t count)
{
	struct rh_chunk chunk = { .stamp = 1, .events = (uint32_t)count, .ring = ring };
	struct rh_err err = { 0 };

	chunk.thread = ring;
	chunk.tid = 100 + ring;
	count = whole_words(words, count);
	demand(rh_capture_add(capture, &chunk, words, count, &err) == 0, "a chunk can be written",
	       &err);
}

static void make_capture(const struct place *place, const uint8_t *data, size_t bytes)
{
	static struct rh_image image = { .pid = 100, .pidfd = -1, .exe = "/bin/fuzz" };
	static uint64_t words[WORDS_MAX];
	size_t count = (bytes - 1) / 8, first = data[0];
	struct rh_capture capture;
	struct rh_err err = { 0 };

	if (count > WORDS_MAX)
		count = WORDS_MAX;
	if (first > count)
		first = count;
	memcpy(words, data + 1, count * 8);
	unlink(place->capture);
	demand(rh_capture_open(&capture, place->trace, &err) == 0, "there is a place", &err);
	capture.head.ns_per_tick = 1;
	capture.head.program = image.pid;
	capture.head.time = data[0] & 1;
	capture.head.sites = data[0] >> 1 & 1;
	capture.head.residency = data[0] >> 2 & 1;
	demand(rh_capture_put_head(&capture, &err) == 0 &&
		       rh_capture_add_image(&capture, &image, sizeof(image), &err) == 0,
	       "a capture can be written", &err);
	add_chunk(&capture, 0, words, first);
	add_chunk(&capture, 1, words + first, count - first);
	capture.keep = true;
	rh_capture_close(&capture);
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
	int result;

	if (bytes < 9 || !silent)
		goto done;
	opts.max_events = data[0] & 8 ? MOST_EVENTS : 0;
	unlink(place->trace);
	make_capture(place, data, bytes);
	stderr = silent;
	result = rh_record_recover(&opts, place->capture, &err);
	stderr = loud;
	if (result < 0)
		demand_error(&err);
	else
		read_trace(place->trace);
	unlink(place->trace);
	unlink(place->capture);
	rmdir(place->folder);
	mkdir(place->folder, 0700);
done:
	if (silent)
		fclose(silent);
	return 0;
}
