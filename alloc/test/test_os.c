/*
 * test_os.c - files that are none, outputs that appear whole, futexes, build ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/os.h"

static char dir[] = "/tmp/reheap-test-os-XX"
		    "XX"
		    "XX";

static const char *in_dir(const char *name)
{
	static char path[4][200];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void maps(void **state)
{
	unsigned char *p = rh_map(5000);

	(void)state;
	assert_non_null(p);
	assert_int_equal(p[0] | p[4999] | p[8191], 0);
	p[8191] = 1;
	rh_unmap(p, 5000);
	assert_null(rh_map(0));
	assert_null(rh_map(SIZE_MAX));
	assert_null(rh_map(SIZE_MAX / 2));
	rh_unmap(NULL, 10);
}

static void refuses_what_is_no_file(void **state)
{
	struct rh_filemap map;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_filemap_open(&map, in_dir("none"), &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
	assert_int_equal(rh_filemap_open(&map, dir, &err), -1);
	assert_non_null(strstr(err.text, "is a directory, not a file"));
	/* A pipe nobody writes to must not hang. */
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	assert_int_equal(rh_filemap_open(&map, in_dir("pipe"), &err), -1);
	assert_non_null(strstr(err.text, "not a file"));
	write_text(in_dir("empty"), "");
	assert_int_equal(rh_filemap_open(&map, in_dir("empty"), &err), 0);
	assert_null(map.base);
	rh_filemap_close(&map);
	write_text(in_dir("abc"), "abc");
	assert_int_equal(rh_filemap_open(&map, in_dir("abc"), &err), 0);
	assert_int_equal(map.bytes, 3);
	assert_memory_equal(map.base, "abc", 3);
	rh_filemap_close(&map);
}

static void outputs_appear_whole(void **state)
{
	struct rh_outfile out;
	struct rh_filemap map;
	struct rh_err err = { 0 };
	const char *path = in_dir("result");

	(void)state;
	write_text(path, "old");
	assert_int_equal(rh_outfile_open(&out, path, &err), 0);
	assert_int_equal(rh_write_all(out.fd, "new!", 4, path, &err), 0);
	assert_int_equal(rh_filemap_open(&map, path, &err), 0);
	assert_memory_equal(map.base, "old", 3);
	rh_filemap_close(&map);
	/* whatever ended us here, nothing would be left, where the file system can do that */
	if (out.nameless)
		assert_int_equal(access(out.temp, F_OK), -1);
	rh_outfile_abandon(&out);
	assert_int_equal(access(out.temp, F_OK), -1);
	assert_int_equal(rh_outfile_open(&out, path, &err), 0);
	assert_int_equal(rh_write_all(out.fd, "new!", 4, path, &err), 0);
	assert_int_equal(rh_outfile_commit(&out, &err), 0);
	rh_outfile_abandon(&out);
	assert_int_equal(rh_filemap_open(&map, path, &err), 0);
	assert_memory_equal(map.base, "new!", 4);
	rh_filemap_close(&map);
	assert_int_equal(access(out.temp, F_OK), -1);
}

static void outputs_that_cannot_be(void **state)
{
	char longer[5000];
	struct rh_outfile out;
	struct rh_err err = { 0 };

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(rh_outfile_open(&out, longer, &err), -1);
	assert_int_equal(rh_outfile_open(&out, "", &err), -1);
	assert_int_equal(err.code, RH_CANT_CREATE);
	assert_int_equal(rh_outfile_open(&out, dir, &err), -1);
	assert_int_equal(rh_outfile_open(&out, in_dir("no/such/dir"), &err), -1);
	assert_int_equal(err.code, RH_CANT_CREATE);
	assert_int_equal(rh_outfile_open(&out, "/dev/full", &err), 0);
	assert_int_equal(rh_write_all(out.fd, "x", 1, "/dev/full", &err), -1);
	assert_int_equal(err.code, RH_IO);
	rh_outfile_abandon(&out);
	assert_int_equal(access("/dev/full", F_OK), 0);
}

static void makes_directories(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_make_dirs(in_dir("a//b/c/"), &err), 0);
	assert_int_equal(access(in_dir("a/b/c"), F_OK), 0);
	assert_int_equal(rh_make_dirs(in_dir("a/b/c"), &err), 0);
	write_text(in_dir("file"), "");
	assert_int_equal(rh_make_dirs(in_dir("file"), &err), -1);
	assert_int_equal(err.code, RH_CANT_CREATE);
	assert_int_equal(rh_make_dirs("", &err), -1);
}

static _Atomic uint32_t word;

static void *wake_later(void *arg)
{
	(void)arg;
	atomic_store(&word, 1);
	rh_futex_wake(&word, 1);
	return NULL;
}

static void futex_waits_and_wakes(void **state)
{
	pthread_t thread;

	(void)state;
	atomic_store(&word, 0);
	assert_int_equal(rh_futex_wait(&word, 0, 1000000), -1);
	assert_int_equal(rh_futex_wait(&word, 1, UINT64_MAX), 0);
	assert_int_equal(rh_futex_wait_private(&word, 0, 1000000), -1);
	assert_int_equal(pthread_create(&thread, NULL, wake_later, NULL), 0);
	while (atomic_load(&word) == 0)
		rh_futex_wait(&word, 0, UINT64_MAX);
	pthread_join(thread, NULL);
}

static void names_objects(void **state)
{
	static int here;
	char path[4096], id[128];

	(void)state;
	assert_true(
		rh_object_of((const void *)(uintptr_t)&floor, path, sizeof(path), id, sizeof(id)));
	assert_true(strstr(path, "libm") || strstr(path, "test_os"));
	assert_true(rh_object_of(&here, path, sizeof(path), id, sizeof(id)));
	assert_non_null(strstr(path, "test_os"));
	assert_true(rh_object_of((const void *)(uintptr_t)&getpid, path, sizeof(path), id, 7));
	assert_true(strlen(id) <= 6);
	assert_false(rh_object_of(NULL, path, sizeof(path), id, sizeof(id)));
	assert_string_equal(path, "");
	assert_true(rh_cpu_count() >= 1);
	assert_true(rh_now_ns() <= rh_now_ns());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps),
		cmocka_unit_test(refuses_what_is_no_file),
		cmocka_unit_test(outputs_appear_whole),
		cmocka_unit_test(outputs_that_cannot_be),
		cmocka_unit_test(makes_directories),
		cmocka_unit_test(futex_waits_and_wakes),
		cmocka_unit_test(names_objects),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
