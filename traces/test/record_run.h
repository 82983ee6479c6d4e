/*
 * record_run.h - for tests: records a helper through the real supervisor and the real
 * shim, both taken from beside the test, and counts what the trace holds.
 */
#ifndef RH_TEST_RECORD_RUN_H
#define RH_TEST_RECORD_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "traces/format/map.h"
#include "traces/record/record.h"
#include "traces/format/trace.h"

enum { MAGIC = 7001, MAGICS = 256 }; /* as in ci/own/helpers/record_target.c */

struct counts {
	uint64_t kind[RH_EV_COUNT];
	uint64_t born[MAGICS], died[MAGICS]; /* by size - MAGIC */
	uint64_t lanes;
	uint64_t who[MAGICS]; /* thread of mode pass on a lane, + 1; 0 = not one of them */
	uint64_t foreign;     /* blocks passed by size freed on another lane than meant */
};

static char build_dir[PATH_MAX], work_dir[] = "/tmp/reheap-record-XXXXXX";
static char helper[PATH_MAX + 32], shim_path[PATH_MAX + 32], out_path[64];
static char output[4096]; /* what the program wrote to stdout */
static uint64_t along;	  /* 1: traces are written while the program runs, whatever its events */

static inline int record_setup(void **state)
{
	ssize_t got = readlink("/proc/self/exe", build_dir, sizeof build_dir - 1);

	(void)state;
	if (got <= 0 || !mkdtemp(work_dir))
		return -1;
	build_dir[got] = '\0';
	/* The build folder is the first one upwards that holds the recorder. */
	do {
		dirname(build_dir); /* cuts it in place */
		snprintf(shim_path, sizeof shim_path, "%s/libreheap-record.so", build_dir);
	} while (access(shim_path, F_OK) < 0 && strlen(build_dir) > 1);
	snprintf(helper, sizeof helper, "%s/helpers/record_target", build_dir);
	snprintf(out_path, sizeof out_path, "%s/out.rht", work_dir);
	return 0;
}

static inline void clear_work_dir(void)
{
	char pattern[64];
	glob_t found;

	snprintf(pattern, sizeof pattern, "%s/*", work_dir);
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
		globfree(&found);
	}
}

static inline int record_teardown(void **state)
{
	(void)state;
	clear_work_dir();
	return rmdir(work_dir);
}

static inline struct rh_record_opts record_defaults(void)
{
	return (struct rh_record_opts){
		.out = out_path,
		.shim = shim_path,
		.version = "test",
		.buffer_bytes = 512 * 1024,
		.sample = 4,
		.along_events = along,
		.time = true,
		.quiet = true,
	};
}

/* Runs argv under the recorder with its stdout in `output`. Returns the program's status. */
static inline int record(const struct rh_record_opts *opts, char **argv, struct rh_err *err)
{
	struct rh_record_end end;
	int kept = dup(1), to;
	char path[64];
	ssize_t got;

	clear_work_dir();
	snprintf(path, sizeof path, "%s/stdout", work_dir);
	to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	fflush(stdout);
	dup2(to, 1);
	if (rh_record_run(opts, argv, &end, err) == 0)
		assert_true(end.trace_ok);
	dup2(kept, 1);
	close(kept);
	got = pread(to, output, sizeof output - 1, 0);
	output[got > 0 ? got : 0] = '\0';
	close(to);
	return end.status;
}

static inline int along_on(void **state)
{
	(void)state;
	along = 1;
	return 0;
}

static inline int along_off(void **state)
{
	(void)state;
	along = 0;
	return 0;
}

/* The test once more, with traces written while the program runs. */
#define TEST_ALONG(test) cmocka_unit_test_setup_teardown(test, along_on, along_off)

/* Words up to a NULL: the helper with its mode and numbers. */
static inline int record_helper(const struct rh_record_opts *opts, const char *mode, ...)
{
	struct rh_record_opts plain = record_defaults();
	struct rh_err err = { 0 };
	char *argv[10] = { helper, (char *)(uintptr_t)mode };
	va_list ap;
	int count = 2;

	va_start(ap, mode);
	while (count < 9 && (argv[count] = va_arg(ap, char *)))
		count++;
	va_end(ap);
	return record(opts ? opts : &plain, argv, &err);
}

static inline void count_one(struct counts *counts, struct rh_map *live,
			     const struct rh_event *event)
{
	uint64_t size;

	counts->kind[event->kind]++;
	if (event->lane >= counts->lanes)
		counts->lanes = event->lane + 1;
	if (event->kind == RH_EV_FREE || event->kind == RH_EV_RESIZE) {
		size = rh_map_remove(live, event->kind == RH_EV_FREE ? event->id : event->old);
		assert_true(size != RH_MAP_NONE);
		if (size >= MAGIC && size < MAGIC + MAGICS)
			counts->died[size - MAGIC]++;
		/* mode pass: a block of MAGIC + i is for thread i */
		if (event->kind == RH_EV_FREE && size >= MAGIC && size < MAGIC + 64 &&
		    event->lane < MAGICS && counts->who[event->lane] &&
		    counts->who[event->lane] != size - MAGIC + 1)
			counts->foreign++;
	}
	if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE) {
		assert_true(rh_map_put(live, event->id, event->size));
		if (event->size >= MAGIC && event->size < MAGIC + MAGICS)
			counts->born[event->size - MAGIC]++;
		/* ... and thread i introduces itself with MAGIC + 128 + i */
		if (event->size >= MAGIC + 128 && event->size < MAGIC + 192 && event->lane < MAGICS)
			counts->who[event->lane] = event->size - MAGIC - 127;
	}
}

/* Reads a trace to its end; every trace must be complete and legal. */
static inline void count_trace(const char *path, struct counts *counts)
{
	static struct rh_event batch[RH_TRACE_BATCH];
	struct rh_map live = { 0 };
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	int got;

	memset(counts, 0, sizeof *counts);
	if (rh_trace_open(&trace, path, &err) < 0)
		fail_msg("%s", err.text);
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++)
			count_one(counts, &live, &batch[i]);
	if (got < 0)
		fail_msg("%s", err.text);
	assert_null(rh_trace_truncated(trace));
	rh_trace_close(trace);
	rh_map_close(&live);
}

/* A counting note of a trace, 0 when it has none. */
static inline uint64_t note_count(const char *path, const char *key)
{
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	const char *text;
	uint64_t value;
	static struct rh_event batch[RH_TRACE_BATCH];

	assert_int_equal(rh_trace_open(&trace, path, &err), 0);
	while (rh_trace_next(trace, batch, RH_TRACE_BATCH, &err) > 0)
		;
	text = rh_trace_note_of(trace, key);
	value = text ? strtoull(text, NULL, 10) : 0;
	rh_trace_close(trace);
	return value;
}

/* No call was lost, mended or left out. */
static inline void assert_clean(const char *path)
{
	static const char *const keys[] = {
		"drop.free_unknown", "drop.free_null",	    "drop.outside",
		"drop.ring_full",    "drop.signal_handler", "drop.no_ring",
		"drop.not_kept",     "drop.join_unknown",   "repair.realloc_unknown",
		"repair.alloc_live", "repair.inversion",
	};

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (note_count(path, keys[i]) != 0)
			fail_msg("%s = %llu", keys[i],
				 (unsigned long long)note_count(path, keys[i]));
}

#endif
