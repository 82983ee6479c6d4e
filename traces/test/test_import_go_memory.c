/*
 * test_import_go_memory.c - the import of a Go trace takes memory for what lives and for one
 * generation, however long the trace is: the same program recorded for four times as long
 * takes as much, one with more alive takes more by no more than its objects cost.
 *
 * Each import runs in its own process, whose peak the system reports. A sanitizer keeps freed
 * memory, so the test is skipped there.
 */
#include "traces/test/go_maker.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { PAIRS = 4000, SHORT = 60, LONG = 240, SLACK_KIB = 2048, PAGE_SLOTS = 128 };

/* One generation: PAIRS times an object made and freed, in slots above the `alive` first. */
static void write_generation(int fd, uint64_t number, int alive)
{
	gm.bytes = 0;
	gm_begin(number, 7, 1000000 * number);
	gm_runs(7, 0, 1);
	for (int page = 0; number == 1 && page <= alive / PAGE_SLOTS; page++)
		gm_event(GO_SPAN, 3, page, 1, GM_KIND_64);
	for (int i = 0; i < PAIRS; i++) {
		int slot = gm_slot(alive / PAGE_SLOTS, i % (PAGE_SLOTS - 1));

		gm_event(GO_OBJECT_ALLOC, 2, slot, 0);
		gm_event(GO_OBJECT_FREE, 1, slot);
	}
	gm_end();
	gm_end_generation();
	assert_int_equal(write(fd, gm.data, gm.bytes), gm.bytes);
}

/* What lives from the first generation on. */
static void write_alive(int fd, int alive)
{
	for (int from = 0; from < alive; from += PAIRS) {
		gm.bytes = 0;
		gm_begin(2, 7, 1500000 + (uint64_t)from);
		for (int i = from; i < from + PAIRS && i < alive; i++)
			gm_event(GO_OBJECT_ALLOC, 2, gm_slot(i / PAGE_SLOTS, i % PAGE_SLOTS), 0);
		gm_end();
		assert_int_equal(write(fd, gm.data, gm.bytes), gm.bytes);
	}
}

static void make(const char *path, uint64_t generations, int alive)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	gm_open(26);
	gm_info(1);
	assert_int_equal(write(fd, gm.data, gm.bytes), gm.bytes);
	for (uint64_t i = 1; i <= generations; i++) {
		if (i == 2)
			write_alive(fd, alive);
		write_generation(fd, i, alive);
	}
	close(fd);
}

/* Peak memory of a process that imports the file, in KiB. */
static long peak_of(const char *path, uint64_t events)
{
	struct rusage usage, ours;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	getrusage(RUSAGE_SELF, &ours);
	if (child == 0) {
		ik_import_as("go", path, RH_FORM_BINARY, NULL);
		_exit(ik.rc == 0 && ik.totals.events >= events ? 0 : 1);
	}
	assert_int_equal(wait4(child, &status, 0, &usage), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Else it is what the child began with. */
	assert_true(usage.ru_maxrss > ours.ru_maxrss);
	return usage.ru_maxrss;
}

static long peak(uint64_t generations, int alive)
{
	char path[128];
	long kib;

	snprintf(path, sizeof(path), "%s", scratch_path("long.trace"));
	make(path, generations, alive);
	kib = peak_of(path, generations * 2 * PAIRS + (uint64_t)alive);
	unlink(path);
	return kib;
}

static void skip_if_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("# SKIP the sanitizer keeps what was freed\n");
	skip();
#endif
}

static void memory_does_not_grow_with_the_trace(void **state)
{
	long shorter, longer;

	(void)state;
	skip_if_sanitized();
	shorter = peak(SHORT, 0);
	longer = peak(LONG, 0);
	print_message("# %ld KiB for %d events, %ld KiB for %d\n", shorter, SHORT * 2 * PAIRS,
		      longer, LONG * 2 * PAIRS);
	assert_true(longer < shorter + SLACK_KIB);
}

/* An object is a slot here, and a bit and 16 bytes in the writer, arrays that double: at
 * most 100 bytes together. */
static void memory_grows_with_what_lives(void **state)
{
	enum { ALIVE = 200000 };
	long none, many;

	(void)state;
	skip_if_sanitized();
	none = peak(SHORT, 0);
	many = peak(SHORT, ALIVE);
	print_message("# %ld KiB with nothing alive, %ld KiB with %d objects\n", none, many, ALIVE);
	assert_true(many > none);
	assert_true((many - none) * 1024 < (long)ALIVE * 100 + SLACK_KIB * 1024);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_does_not_grow_with_the_trace),
		cmocka_unit_test(memory_grows_with_what_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
