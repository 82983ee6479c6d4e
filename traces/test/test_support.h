/*
 * test_support.h - what the tests of the trace core share: a seeded maker of random legal events,
 * files in a directory of their own, and comparison of whole traces.
 */
#ifndef RH_TEST_SUPPORT_H
#define RH_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "traces/format/order.h"

enum { MAKER_LIVE_MAX = 4096 };

struct maker {
	uint64_t random;
	struct rh_order order; /* fills ids and keeps the events legal */
	uint64_t live[MAKER_LIVE_MAX];
	size_t live_count;
	uint32_t task[64];
	size_t task_count;
};

static inline uint64_t maker_random(struct maker *maker)
{
	maker->random ^= maker->random << 13;
	maker->random ^= maker->random >> 7;
	maker->random ^= maker->random << 17;
	return maker->random;
}

static inline uint64_t maker_below(struct maker *maker, uint64_t bound)
{
	return maker_random(maker) % bound;
}

static inline void maker_open(struct maker *maker, unsigned columns, uint64_t seed)
{
	memset(maker, 0, sizeof(*maker));
	maker->random = seed * 0x9E3779B97F4A7C15ull + 1;
	assert_true(rh_order_open(&maker->order, columns));
}

static inline void maker_close(struct maker *maker)
{
	rh_order_close(&maker->order);
}

/* Sizes of all magnitudes, small ones most often. */
static inline uint64_t maker_size(struct maker *maker)
{
	unsigned magnitude = maker_below(maker, 8) ? 14 : 50;

	return maker_random(maker) >> (63 - maker_below(maker, magnitude));
}

static inline uint64_t maker_maybe(struct maker *maker, uint64_t value)
{
	return maker_below(maker, 4) ? value : RH_NONE;
}

static inline uint64_t maker_take_live(struct maker *maker)
{
	/* Mostly young, as programs do; sometimes anything. */
	size_t back = (size_t)maker_below(maker, maker_below(maker, 8) ? 4 : maker->live_count);
	size_t i = back < maker->live_count ? maker->live_count - 1 - back : 0;
	uint64_t id = maker->live[i];

	memmove(&maker->live[i], &maker->live[i + 1], (--maker->live_count - i) * sizeof(id));
	return id;
}

/* What a kind needs is at hand. */
static inline int maker_possible(struct maker *maker, int kind)
{
	unsigned fields = maker->order.fields[kind];

	if (kind == RH_EV_LANE_START)
		return maker->order.totals.lanes < 200;
	if (kind == RH_EV_LANE_STOP)
		return 0;
	if (fields & (RH_FIELD_DIES | RH_FIELD_LIVES))
		return maker->live_count > 0;
	if (fields & RH_FIELD_BORN)
		return maker->live_count < MAKER_LIVE_MAX;
	if (kind == RH_EV_SPAWN)
		return maker->task_count < 64;
	return !(fields & RH_FIELD_TASK) || maker->task_count > 0;
}

static inline void maker_fill_task(struct maker *maker, struct rh_event *event)
{
	size_t i;

	if (event->kind == RH_EV_SPAWN) {
		event->id = maker->order.totals.tasks + 1;
		maker->task[maker->task_count++] = (uint32_t)event->id;
		return;
	}
	i = (size_t)maker_below(maker, maker->task_count);
	event->id = maker->task[i];
	if (event->kind == RH_EV_EXIT)
		maker->task[i] = maker->task[--maker->task_count];
}

static inline void maker_fill(struct maker *maker, struct rh_event *event)
{
	unsigned fields = maker->order.fields[event->kind];

	event->lane = event->kind == RH_EV_LANE_START
			      ? (uint32_t)maker->order.totals.lanes
			      : (uint32_t)maker_below(maker, maker->order.totals.lanes);
	if (fields & RH_FIELD_DIES)
		*(fields & RH_FIELD_BORN ? &event->old : &event->id) = maker_take_live(maker);
	if (fields & RH_FIELD_BORN) {
		event->id = maker->order.totals.objects;
		maker->live[maker->live_count++] = event->id;
	}
	if (fields & RH_FIELD_TASK)
		maker_fill_task(maker, event);
	if (fields & RH_FIELD_NUMBER)
		event->id = maker_maybe(maker, maker_random(maker) >> maker_below(maker, 64));
	event->size = maker_size(maker);
	if (!(fields & RH_FIELD_BORN))
		event->size = maker_maybe(maker, event->size);
	event->align_log2 = maker_below(maker, 4) ? 0 : (uint8_t)maker_below(maker, 40);
	event->flags = maker_below(maker, 4) ? 0 : (uint16_t)maker_below(maker, RH_TRACE_FLAGS + 1);
	if (event->kind == RH_EV_FREE)
		event->size = maker_size(maker);
	else
		event->flags &= (uint16_t)~RH_EVF_SIZED;
	if (fields & RH_FIELD_LIVES)
		event->id = maker->live[maker_below(maker, maker->live_count)];
	event->arg = maker_maybe(maker, maker_random(maker) >> maker_below(maker, 64));
	event->time_ns = maker_maybe(maker, maker_random(maker) >> (2 + maker_below(maker, 62)));
	event->task =
		(uint32_t)maker_maybe(maker, maker_below(maker, maker->order.totals.tasks + 1));
	event->site = (uint32_t)(maker_random(maker) >> (32 + maker_below(maker, 32)));
}

/* The next random event of `kind` (-1 = any kind), legal and with absent fields cleared. */
static inline void maker_event(struct maker *maker, int kind, struct rh_event *event)
{
	uint64_t rank;

	memset(event, 0, sizeof(*event));
	if (maker->order.totals.lanes == 0)
		kind = RH_EV_LANE_START;
	else if (kind < 0 || !maker_possible(maker, kind))
		do
			kind = maker_below(maker, 8) ? (int)maker_below(maker, 3)
						     : (int)maker_below(maker, RH_EV_COUNT);
		while (!maker_possible(maker, kind));
	event->kind = (uint8_t)kind;
	maker_fill(maker, event);
	if (!rh_order_put(&maker->order, event, &rank))
		fail_msg("the maker made an illegal event: %s", maker->order.why);
}

/* A directory that goes away at exit of the process. */
static char scratch_dir_path[64];

static inline void scratch_remove(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", scratch_dir_path);
	if (system(command) != 0)
		perror(command);
}

/* A path in it; four at a time stay valid. */
static inline const char *scratch_path(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	if (!scratch_dir_path[0]) {
		/* Thousands of small files: in memory where that is to be had. */
		snprintf(scratch_dir_path, sizeof(scratch_dir_path), "%s/rh-test-%d",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
		assert_int_equal(mkdir(scratch_dir_path, 0700), 0);
		atexit(scratch_remove);
	}
	snprintf(path, sizeof(paths[0]), "%s/%s", scratch_dir_path, name);
	return path;
}

static inline void store_trace(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

/* A whole file, malloced, with a NUL after it. */
static inline char *load_trace(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "r");
	char *data;
	long size;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	data = malloc((size_t)size + 1);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, (size_t)size, file), size);
	data[size] = '\0';
	fclose(file);
	*bytes = (size_t)size;
	return data;
}

static inline void expect_ok(int rc, const struct rh_err *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

/* Writes events with notes and sites in the middle. */
static inline void write_events(const char *path, enum rh_trace_form form, unsigned columns,
				const struct rh_event *events, size_t count)
{
	struct rh_trace_make make = { .path = path, .form = form, .columns = columns };
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	expect_ok(rh_trace_create(&out, &make, &err), &err);
	expect_ok(rh_trace_add_note(out, "program", "/bin/x\\ -n \n\r end ", &err), &err);
	expect_ok(rh_trace_put(out, events, count / 2, &err), &err);
	expect_ok(rh_trace_add_site(out, 1, "main.c:7 (in \\ here)", &err), &err);
	expect_ok(rh_trace_add_site(out, UINT32_MAX, "", &err), &err);
	expect_ok(rh_trace_put(out, events + count / 2, count - count / 2, &err), &err);
	expect_ok(rh_trace_add_count(out, "drop.free_null", 12, &err), &err);
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
}

static inline void assert_same_event(const struct rh_event *a, const struct rh_event *b, size_t at)
{
	if (memcmp(a, b, sizeof(*a)) != 0)
		fail_msg("event %zu (%s) came back as another (%s): id %llu %llu size %llu %llu",
			 at, rh_event_rows[a->kind].word, rh_event_rows[b->kind].word,
			 (unsigned long long)a->id, (unsigned long long)b->id,
			 (unsigned long long)a->size, (unsigned long long)b->size);
}

/* Reads what there is: the first events must be a prefix of `events`. Returns how many,
 * with *rc 0 at an end and -1 at an error. */
static inline size_t read_trace_prefix(struct rh_trace *trace, const struct rh_event *events,
				       size_t count, int *rc, struct rh_err *err)
{
	struct rh_event batch[100];
	size_t done = 0;

	while ((*rc = rh_trace_next(trace, batch, 100, err)) > 0) {
		assert_true(done + (size_t)*rc <= count);
		for (int i = 0; i < *rc; i++, done++)
			assert_same_event(&events[done], &batch[i], done);
	}
	return done;
}

/* A file must hold exactly these events and what write_events adds. */
static inline void expect_file(const char *path, unsigned columns, const struct rh_event *events,
			       size_t count)
{
	struct rh_trace_totals totals;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	bool exact;
	int rc;

	expect_ok(rh_trace_open(&trace, path, &err), &err);
	assert_int_equal(rh_trace_columns(trace), columns);
	assert_int_equal(read_trace_prefix(trace, events, count, &rc, &err), count);
	expect_ok(rc, &err);
	assert_null(rh_trace_truncated(trace));
	rh_trace_totals(trace, &totals, &exact);
	assert_true(exact);
	assert_int_equal(totals.events, count);
	assert_string_equal(rh_trace_note_of(trace, "program"), "/bin/x\\ -n \n\r end ");
	assert_string_equal(rh_trace_note_of(trace, "drop.free_null"), "12");
	assert_string_equal(rh_trace_site(trace, 1), "main.c:7 (in \\ here)");
	assert_string_equal(rh_trace_site(trace, UINT32_MAX), "");
	assert_null(rh_trace_site(trace, 2));
	rh_trace_close(trace);
}

#endif
