/*
 * test_spec.c - the words that name a backend, good and bad; libraries by path; peers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/library.h"
#include "alloc/registry.h"

static struct rh_spec spec;
static struct rh_err err;
static char plugin[4200], dir[] = "/tmp/reheap-test-spec-XX"
				  "XX"
				  "XX";

static int set_up(void **state)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	self[n > 0 ? n : 0] = '\0';
	snprintf(plugin, sizeof(plugin), "%s/skeleton_native.so", dirname(self));
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static int parse(const char *text)
{
	err = (struct rh_err){ 0 };
	return rh_spec_parse(&spec, text, 0, &err);
}

static void good_names(void **state)
{
	static const struct {
		const char *text;
		int depth;
		const char *inner, *stack;
	} rows[] = {
		{ "null", 1, "null", "none" },
		{ "libc/none", 1, "libc", "none" },
		{ "bump:chunk=2M:limit=1G", 1, "bump", "none" },
		{ "slow:5%:libc", 2, "libc", "none" },
		{ "slow:libc/none", 2, "libc", "none" },
		{ "checked:failing:n=3:after=9:slow:share=1%:bump:chunk=64K/none", 4, "bump",
		  "none" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(rows[i].text) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_string_equal(spec.text, rows[i].text);
		assert_int_equal(spec.depth, rows[i].depth);
		assert_string_equal(spec.layer[spec.depth - 1].ops.name, rows[i].inner);
		assert_string_equal(spec.stack.name, rows[i].stack);
		assert_string_equal(spec.preload, "");
		assert_string_equal(spec.native, "");
	}
	assert_string_equal(spec.heap_name,
			    "checked:failing:n=3:after=9:slow:share=1%:bump:chunk=64K");
	/* Nothing below lends pages, so no decorator does. */
	assert_null(spec.layer[0].ops.stack_pages);
}

static void bad_names(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *part;
	} rows[] = {
		{ "", RH_USAGE, "names no heap backend" },
		{ "/none", RH_USAGE, "names no heap backend" },
		{ ":", RH_USAGE, "'' is not a backend: there are: bump, checked" },
		{ "libd", RH_USAGE, "'libd' is not a backend: did you mean libc? there are: b" },
		{ "jemaloc", RH_USAGE, "did you mean jemalloc?" },
		{ "zzzzzzzz", RH_USAGE, "'zzzzzzzz' is not a backend: there are:" },
		{ "libc:x=1", RH_USAGE, "libc has no option 'x' (it has: none)" },
		{ "bump:chunk=1", RH_USAGE, "bump: chunk: '1' is outside" },
		{ "bump:chunk", RH_USAGE, "chunk needs a value" },
		{ "slow:5%", RH_USAGE, "slow needs a backend to wrap, as in slow:5%:libc" },
		{ "slow", RH_USAGE, "slow needs a backend to wrap" },
		{ "slow:5%:jemaloc", RH_USAGE, "'jemaloc' is neither its knob share" },
		{ "slow:slow:slow:slow:libc", RH_USAGE, "nests more than 4" },
		{ "libc/nome", RH_USAGE, "'nome' is not a stack backend: did you mean none?" },
		{ "libc/none:x=1", RH_USAGE, "none has no option 'x'" },
		{ "./no-such.so", RH_NO_INPUT, "./no-such.so cannot be opened: No such file" },
		{ "no-such.so.2", RH_NO_INPUT, "no-such.so.2 cannot be opened" },
		{ "/", RH_NO_INPUT, "/ is a directory, not a file" },
		{ "/etc/passwd", RH_BAD_DATA, "is not a shared library (no ELF header)" },
		{ "/proc/self/exe/x", RH_NO_INPUT, "cannot be opened" },
	};
	char longer[700];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(rows[i].text) == 0)
			fail_msg("'%s' was taken", rows[i].text);
		if (err.code != (enum rh_exit)rows[i].code || !strstr(err.text, rows[i].part))
			fail_msg("'%s': code %d, %s", rows[i].text, err.code, err.text);
	}
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(parse(longer), -1);
	memcpy(longer, "bump:chunk=", 11);
	longer[510] = '\0';
	assert_int_equal(parse(longer), -1);
	assert_int_equal(err.code, RH_USAGE);
}

/* ---- libraries ---- */

static void not_an_allocator(void **state)
{
	char path[4096], id[100], text[4200];

	(void)state;
	assert_true(rh_object_of((const void *)(uintptr_t)&cmocka_set_message_output, path,
				 sizeof(path), id, sizeof(id)));
	assert_non_null(strstr(path, "libcmocka"));
	assert_int_equal(parse(path), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "defines neither malloc and free nor reheap_backend"));
	snprintf(text, sizeof(text), "checked:%s", path);
	assert_int_equal(parse(text), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
}

static void native_library(void **state)
{
	char text[4300];
	struct rh_heap *heap;
	struct rh_lane *lane;
	unsigned char *p;

	(void)state;
	snprintf(text, sizeof(text), "checked:%s:slab=8M/none", plugin);
	if (parse(text) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(spec.native, "/skeleton_native.so"));
	assert_int_equal(spec.native[0], '/');
	assert_string_equal(spec.preload, "");
	assert_int_equal(rh_spec_open(&spec, 1, &heap, &err), -1);
	assert_int_equal(err.code, RH_BUG);
	if (rh_spec_parse(&spec, text, 1, &err) < 0 || rh_spec_open(&spec, 1, &heap, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(spec.layer[1].ops.name, "skeleton");
	assert_int_equal(spec.layer[0].ops.lane_open(heap, &lane, &err), 0);
	for (size_t size = 0; size < 3 << 20; size = size * 2 + 1)
		for (size_t align = 1; align <= 2 << 20; align *= 8) {
			p = spec.layer[0].ops.alloc_as(lane, size, align, RH_ALLOC_ZEROED);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			p = spec.layer[0].ops.resize(lane, p, size, size / 2 + 100);
			assert_non_null(p);
			spec.layer[0].ops.free(lane, p, size / 2 + 100);
		}
	assert_null(spec.layer[1].ops.alloc(lane, SIZE_MAX - 5000));
	spec.layer[0].ops.lane_close(lane);
	spec.layer[0].ops.close(heap);
	snprintf(text, sizeof(text), "%s:slab=1", plugin);
	assert_int_equal(rh_spec_parse(&spec, text, 1, &err), -1);
	assert_non_null(strstr(err.text, "slab: '1' is outside"));
}

static void write_copy(const char *path, const unsigned char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

/* Cut off at every length class and with every byte of its tables turned over, a library
 * is refused or read, never followed out of its bounds. */
static void damaged_libraries(void **state)
{
	struct rh_filemap map;
	struct rh_library library;
	unsigned char *copy;
	uint64_t first, end;
	char path[100];

	(void)state;
	assert_int_equal(rh_filemap_open(&map, plugin, &err), 0);
	snprintf(path, sizeof(path), "%s/cut.so", dir);
	for (size_t size = 0; size < map.bytes; size = size * 3 / 2 + 1) {
		write_copy(path, map.base, size);
		assert_int_equal(rh_library_inspect(path, &library, &err), -1);
		assert_int_equal(err.code, RH_BAD_DATA);
	}
	copy = malloc(map.bytes);
	for (size_t at = 0; at < map.bytes; at += at < 64 || at > map.bytes - 3000 ? 1 : 211) {
		memcpy(copy, map.base, map.bytes);
		copy[at] ^= 0xff;
		write_copy(path, copy, map.bytes);
		if (rh_library_inspect(path, &library, &err) < 0)
			assert_int_equal(err.code, RH_BAD_DATA);
		assert_int_equal(rh_library_malloc_code(path, &first, &end, &err), -1);
	}
	free(copy);
	rh_filemap_close(&map);
}

/* The part of libc that is its malloc holds the code of malloc and free and not that of others;
 * a library whose malloc stands among other functions has no such part. */
static void code_of_malloc(void **state)
{
	static const char *const family[] = { "malloc", "free", "calloc", "realloc" },
				 *const others[] = { "qsort", "memcpy", "obstack_free" };
	enum { CODE_BYTES = 24 };
	char path[1024], build_id[64];
	uint64_t first, end;
	struct rh_filemap map;
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	(void)state;
	if (!libc) {
		print_message("# SKIP the C library is not glibc\n");
		skip();
	}
	assert_true(
		rh_object_of(dlsym(libc, "qsort"), path, sizeof(path), build_id, sizeof(build_id)));
	assert_int_equal(rh_library_malloc_code(path, &first, &end, &err), 0);
	assert_true(end - first > 4096 && end - first < 128 * 1024);
	assert_int_equal(rh_filemap_open(&map, path, &err), 0);
	assert_true(end <= map.bytes);
	for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++)
		assert_non_null(
			memmem(map.base + first, end - first, dlsym(libc, family[i]), CODE_BYTES));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_null(
			memmem(map.base + first, end - first, dlsym(libc, others[i]), CODE_BYTES));
	rh_filemap_close(&map);
	assert_int_equal(rh_library_malloc_code("/etc/passwd", &first, &end, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_int_equal(rh_library_malloc_code("/nowhere", &first, &end, &err), -1);
	dlclose(libc);
}

static void peers(void **state)
{
	int found = 0;

	(void)state;
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++) {
		struct rh_library library;
		char path[4096];

		if (rh_peer_find(peer, path, sizeof(path), &err) < 0) {
			assert_int_equal(err.code, RH_ABSENT);
			assert_non_null(strstr(err.text, "is not found: install "));
			assert_int_equal(parse(peer->name), -1);
			assert_int_equal(err.code, RH_ABSENT);
			continue;
		}
		found++;
		assert_int_equal(rh_library_inspect(path, &library, &err), 0);
		assert_true(library.has_malloc);
		assert_int_equal(parse(peer->name), 0);
		assert_string_equal(spec.preload, path);
		assert_string_equal(spec.layer[0].ops.name, peer->name);
		assert_int_equal(spec.layer[0].ops.caps, RH_CAP_PROCESS);
		/* Named by its path it is the same library. */
		assert_int_equal(parse(path), 0);
		assert_true(spec.preload[0] == '/');
	}
	printf("%d peers are installed\n", found);
	setenv("REHEAP_PEER_HOARD", "/etc/passwd", 1);
	assert_int_equal(parse("hoard"), -1);
	assert_int_equal(err.code, RH_ABSENT);
	assert_non_null(strstr(err.text, "hoard: REHEAP_PEER_HOARD: /etc/passwd is not a shared"));
	setenv("REHEAP_PEER_HOARD", plugin, 1);
	assert_int_equal(parse("hoard"), -1);
	assert_non_null(strstr(err.text, "defines no malloc"));
	unsetenv("REHEAP_PEER_HOARD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_names),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(not_an_allocator),
		cmocka_unit_test(native_library),
		cmocka_unit_test(damaged_libraries),
		cmocka_unit_test(code_of_malloc),
		cmocka_unit_test(peers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
