/*
 * kit.h - what the tests of the trace core share: a seeded maker of random legal events,
 * files in a directory of their own, and comparison of whole traces.
 */
#ifndef RH_TRACES_TEST_KIT_H
#define RH_TRACES_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "traces/order.h"

enum { KIT_LIVE_MAX = 4096 };

struct kit {
	uint64_t random;
	struct rh_order order;		/* fills ids and keeps the events legal */
	uint64_t live[KIT_LIVE_MAX];
	size_t live_count;
	uint32_t task[64];
	size_t task_count;
};

static inline uint64_t kit_random(struct kit *kit)
{
	kit->random ^= kit->random << 13;
	kit->random ^= kit->random >> 7;
	kit->random ^= kit->random << 17;
	return kit->random;
}

static inline uint64_t kit_below(struct kit *kit, uint64_t bound)
{
	return kit_random(kit) % bound;
}

static inline void kit_open(struct kit *kit, unsigned columns, uint64_t seed)
{
	memset(kit, 0, sizeof(*kit));
	kit->random = seed * 0x9E3779B97F4A7C15ull + 1;
	assert_true(rh_order_open(&kit->order, columns));
}

static inline void kit_close(struct kit *kit)
{
	rh_order_close(&kit->order);
}

/* Sizes of all magnitudes, small ones most often. */
static inline uint64_t kit_size(struct kit *kit)
{
	unsigned magnitude = kit_below(kit, 8) ? 14 : 50;

	return kit_random(kit) >> (63 - kit_below(kit, magnitude));
}

static inline uint64_t kit_maybe(struct kit *kit, uint64_t value)
{
	return kit_below(kit, 4) ? value : RH_NONE;
}

static inline uint64_t kit_take_live(struct kit *kit)
{
	/* Mostly young, as programs do; sometimes anything. */
	size_t back = (size_t)kit_below(kit, kit_below(kit, 8) ? 4 : kit->live_count);
	size_t i = back < kit->live_count ? kit->live_count - 1 - back : 0;
	uint64_t id = kit->live[i];

	memmove(&kit->live[i], &kit->live[i + 1], (--kit->live_count - i) * sizeof(id));
	return id;
}

/* What a kind needs is at hand. */
static inline int kit_possible(struct kit *kit, int kind)
{
	unsigned fields = kit->order.fields[kind];

	if (kind == RH_EV_LANE_START)
		return kit->order.totals.lanes < 200;
	if (kind == RH_EV_LANE_STOP)
		return 0;
	if (fields & RH_FIELD_DIES)
		return kit->live_count > 0;
	if (fields & RH_FIELD_BORN)
		return kit->live_count < KIT_LIVE_MAX;
	if (kind == RH_EV_SPAWN)
		return kit->task_count < 64;
	return !(fields & RH_FIELD_TASK) || kit->task_count > 0;
}

static inline void kit_fill_task(struct kit *kit, struct rh_event *event)
{
	size_t i;

	if (event->kind == RH_EV_SPAWN) {
		event->id = kit->order.totals.tasks + 1;
		kit->task[kit->task_count++] = (uint32_t)event->id;
		return;
	}
	i = (size_t)kit_below(kit, kit->task_count);
	event->id = kit->task[i];
	if (event->kind == RH_EV_EXIT)
		kit->task[i] = kit->task[--kit->task_count];
}

static inline void kit_fill(struct kit *kit, struct rh_event *event)
{
	unsigned fields = kit->order.fields[event->kind];

	event->lane = event->kind == RH_EV_LANE_START ? (uint32_t)kit->order.totals.lanes :
			      (uint32_t)kit_below(kit, kit->order.totals.lanes);
	if (fields & RH_FIELD_DIES)
		*(fields & RH_FIELD_BORN ? &event->old : &event->id) = kit_take_live(kit);
	if (fields & RH_FIELD_BORN) {
		event->id = kit->order.totals.objects;
		kit->live[kit->live_count++] = event->id;
	}
	if (fields & RH_FIELD_TASK)
		kit_fill_task(kit, event);
	if (fields & RH_FIELD_NUMBER)
		event->id = kit_maybe(kit, kit_random(kit) >> kit_below(kit, 64));
	event->size = kit_size(kit);
	if (!(fields & RH_FIELD_BORN))
		event->size = kit_maybe(kit, event->size);
	event->align_log2 = kit_below(kit, 4) ? 0 : (uint8_t)kit_below(kit, 40);
	event->flags = kit_below(kit, 4) ? 0 : (uint16_t)kit_below(kit, RH_TRACE_FLAGS + 1);
	event->arg = kit_maybe(kit, kit_random(kit) >> kit_below(kit, 64));
	event->time_ns = kit_maybe(kit, kit_random(kit) >> (2 + kit_below(kit, 62)));
	event->task = (uint32_t)kit_maybe(kit, kit_below(kit, kit->order.totals.tasks + 1));
	event->site = (uint32_t)(kit_random(kit) >> (32 + kit_below(kit, 32)));
}

/* The next random event of `kind` (-1 = any kind), legal and with absent fields cleared. */
static inline void kit_event(struct kit *kit, int kind, struct rh_event *event)
{
	uint64_t rank;

	memset(event, 0, sizeof(*event));
	if (kit->order.totals.lanes == 0)
		kind = RH_EV_LANE_START;
	else if (kind < 0 || !kit_possible(kit, kind))
		do
			kind = kit_below(kit, 8) ? (int)kit_below(kit, 3) :
						   (int)kit_below(kit, RH_EV_COUNT);
		while (!kit_possible(kit, kind));
	event->kind = (uint8_t)kind;
	kit_fill(kit, event);
	if (!rh_order_put(&kit->order, event, &rank))
		fail_msg("the kit made an illegal event: %s", kit->order.why);
}

/* A directory that goes away at exit of the process. */
static char kit_dir_path[64];

static inline void kit_remove_dir(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", kit_dir_path);
	if (system(command) != 0)
		perror(command);
}

/* A path in it; four at a time stay valid. */
static inline const char *kit_path(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	if (!kit_dir_path[0]) {
		/* Thousands of small files: in memory where that is to be had. */
		snprintf(kit_dir_path, sizeof(kit_dir_path), "%s/rh-test-%d",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
		assert_int_equal(mkdir(kit_dir_path, 0700), 0);
		atexit(kit_remove_dir);
	}
	snprintf(path, sizeof(paths[0]), "%s/%s", kit_dir_path, name);
	return path;
}

static inline void kit_store(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

/* A whole file, malloced, with a NUL after it. */
static inline char *kit_load(const char *path, size_t *bytes)
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

static inline void kit_ok(int rc, const struct rh_err *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

/* Writes events with notes and sites in the middle. */
static inline void kit_write(const char *path, enum rh_trace_form form, unsigned columns,
			     const struct rh_event *events, size_t count)
{
	struct rh_trace_make make = { .path = path, .form = form, .columns = columns };
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	kit_ok(rh_trace_create(&out, &make, &err), &err);
	kit_ok(rh_trace_add_note(out, "program", "/bin/x\\ -n \n\r end ", &err), &err);
	kit_ok(rh_trace_put(out, events, count / 2, &err), &err);
	kit_ok(rh_trace_add_site(out, 1, "main.c:7 (in \\ here)", &err), &err);
	kit_ok(rh_trace_add_site(out, UINT32_MAX, "", &err), &err);
	kit_ok(rh_trace_put(out, events + count / 2, count - count / 2, &err), &err);
	kit_ok(rh_trace_add_count(out, "drop.free_null", 12, &err), &err);
	kit_ok(rh_trace_finish(out, NULL, &err), &err);
}

static inline void kit_assert_event(const struct rh_event *a, const struct rh_event *b, size_t at)
{
	if (memcmp(a, b, sizeof(*a)) != 0)
		fail_msg("event %zu (%s) came back as another (%s): id %llu %llu size %llu %llu",
			 at, rh_event_rows[a->kind].word, rh_event_rows[b->kind].word,
			 (unsigned long long)a->id, (unsigned long long)b->id,
			 (unsigned long long)a->size, (unsigned long long)b->size);
}

/* Reads what there is: the first events must be a prefix of `events`. Returns how many,
 * with *rc 0 at an end and -1 at an error. */
static inline size_t kit_read_prefix(struct rh_trace *trace, const struct rh_event *events,
				     size_t count, int *rc, struct rh_err *err)
{
	struct rh_event batch[100];
	size_t done = 0;

	while ((*rc = rh_trace_next(trace, batch, 100, err)) > 0) {
		assert_true(done + (size_t)*rc <= count);
		for (int i = 0; i < *rc; i++, done++)
			kit_assert_event(&events[done], &batch[i], done);
	}
	return done;
}

/* A file must hold exactly these events and what kit_write adds. */
static inline void kit_expect(const char *path, unsigned columns, const struct rh_event *events,
			      size_t count)
{
	struct rh_trace_totals totals;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	bool exact;
	int rc;

	kit_ok(rh_trace_open(&trace, path, &err), &err);
	assert_int_equal(rh_trace_columns(trace), columns);
	assert_int_equal(kit_read_prefix(trace, events, count, &rc, &err), count);
	kit_ok(rc, &err);
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
