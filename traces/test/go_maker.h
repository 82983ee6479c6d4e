/*
 * go_maker.h - a maker of small Go traces, byte by byte: heads, batches, events and tables as
 * a runtime of format 1.23 to 1.26 writes them, and damage that no runtime would.
 *
 *	gm_open(26); gm_begin(1, 7, 100); gm_event(GO_..., 2, a, b); gm_end(); gm_end_generation();
 *
 * The bytes are gm.data, gm.bytes. Events follow each other by one clock unit (gm.step).
 */
#ifndef RH_TRACES_TEST_GO_MAKER_H
#define RH_TRACES_TEST_GO_MAKER_H

#include <sys/resource.h>

#include "traces/import/go/wire.h"
#include "traces/test/import_support.h"

enum {
	GM_MAX = 1 << 21,
	GM_HEAP_PAGE = 8192 / 8,
	GM_KIND_64 = 6 << 2,
	GM_KIND_TINY = 10,
	GM_P_RUNNING = 1,
	GM_G_RUNNING = 2
};
#define GM_HEAP 0xc000000000ull

static struct {
	uint8_t data[GM_MAX];
	size_t bytes;
	size_t head_bytes; /* of the batch that is open */
	uint8_t body[GO_BATCH_MAX * 2];
	size_t body_bytes;
	uint64_t step;
} gm;

/* An import that takes too much memory gets RH_OS, which no test accepts, and one that hangs is
 * killed. Sanitizers map more than any limit. */
static inline void gm_limit(size_t bytes)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	const struct rlimit limit = { bytes, bytes };

	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
#else
	(void)bytes;
#endif
	alarm(1200);
}

static inline void gm_byte(unsigned value)
{
	assert_true(gm.bytes < GM_MAX);
	gm.data[gm.bytes++] = (uint8_t)value;
}

static inline size_t gm_put_varint(uint8_t *to, uint64_t value)
{
	size_t bytes = 0;

	for (; value >= 0x80; value >>= 7)
		to[bytes++] = (uint8_t)(value | 0x80);
	to[bytes++] = (uint8_t)value;
	return bytes;
}

static inline void gm_varint(uint64_t value)
{
	assert_true(gm.bytes + 10 < GM_MAX);
	gm.bytes += gm_put_varint(gm.data + gm.bytes, value);
}

static inline void gm_open(unsigned version)
{
	char head[32];

	snprintf(head, sizeof(head), "go 1.%02u trace", version);
	gm.bytes = 0;
	gm.step = 1;
	memset(gm.data, 0, 16);
	memcpy(gm.data, head, strlen(head));
	gm.bytes = 16;
}

static inline void gm_begin_type(unsigned type, uint64_t generation, uint64_t thread, uint64_t time)
{
	gm_byte(type);
	if (type == 49)
		gm_byte(1);
	gm_varint(generation);
	gm_varint(thread);
	gm_varint(time);
	gm.body_bytes = 0;
}

static inline void gm_begin(uint64_t generation, uint64_t thread, uint64_t time)
{
	gm_begin_type(1, generation, thread, time);
}

static inline void gm_raw(unsigned byte)
{
	gm.body[gm.body_bytes++] = (uint8_t)byte;
}

static inline void gm_number(uint64_t value)
{
	gm.body_bytes += gm_put_varint(gm.body + gm.body_bytes, value);
}

/* Closes the batch. */
static inline void gm_end(void)
{
	assert_true(gm.body_bytes <= sizeof(gm.body));
	gm_varint(gm.body_bytes);
	assert_true(gm.bytes + gm.body_bytes < GM_MAX);
	memcpy(gm.data + gm.bytes, gm.body, gm.body_bytes);
	gm.bytes += gm.body_bytes;
}

static inline void gm_event(unsigned kind, unsigned count, ...)
{
	va_list args;

	gm_raw(kind);
	gm_number(gm.step);
	va_start(args, count);
	while (count-- > 0)
		gm_number((uint64_t)va_arg(args, int));
	va_end(args);
}

static inline void gm_end_generation(void)
{
	gm_byte(52);
}

/* The table that says where the heap begins. */
static inline void gm_info(uint64_t generation)
{
	gm_begin_type(49, generation, GO_NO_THREAD, 0);
	gm_raw(1);
	gm_number(GM_HEAP);
	gm_number(8192);
	gm_number(8);
	gm_number(2048);
	gm_end();
}

static inline void gm_type(uint64_t generation, uint64_t id, uint64_t size, const char *name)
{
	gm_begin_type(49, generation, GO_NO_THREAD, 0);
	gm_raw(0);
	gm_number(id);
	gm_number(0x1000 + id);
	gm_number(size);
	gm_number(8);
	gm_number(strlen(name));
	for (; *name; name++)
		gm_raw((unsigned char)*name);
	gm_end();
}

/* A thread that holds P and runs goroutine g. */
static inline void gm_runs(int thread, int p, int g)
{
	gm_event(GO_PROC_STATUS, 2, p, GM_P_RUNNING);
	gm_event(GO_STATUS, 3, g, thread, GM_G_RUNNING);
}

/* Slot of the n-th 64-byte object on a page, in the units of the wire. */
static inline int gm_slot(int page, int n)
{
	return page * GM_HEAP_PAGE + n * 8;
}

/* A trace of Go 1.26 in which thread 7 runs, has a span of 64-byte objects on page 0, and the first
 * of them; the batch is open. */
static inline void gm_open_with_object(void)
{
	gm_open(26);
	gm_info(1);
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 0), 0);
}

static inline void gm_import(void)
{
	ik_import("go", "made.trace", gm.data, gm.bytes);
}

static inline void imported(void)
{
	gm_import();
	ik_adds_up("go");
}

static inline bool has_note(const char *key, const char *part)
{
	struct rh_trace *trace;
	const char *value;
	bool has;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	value = rh_trace_note_of(trace, key);
	has = value && strstr(value, part);
	rh_trace_close(trace);
	return has;
}

#endif
