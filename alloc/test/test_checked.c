/*
 * test_checked.c - every violation the checked heap knows is provoked and named: those of
 * a program by doing them, those of a heap by a heap that does them.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/heap/checked.h"
#include "alloc/test/spec_support.h"

static struct rh_violation seen[8];
static int seen_count;

static void (*default_report)(const struct rh_violation *);

static void note(const struct rh_violation *v)
{
	if (seen_count < 8)
		seen[seen_count] = *v;
	seen_count++;
}

static void open_noted(const char *text)
{
	open_spec(text);
	rh_checked_violation = note;
	seen_count = 0;
}

static void expect_one(enum rh_violation_kind kind, const void *p, size_t size, size_t other)
{
	assert_int_equal(seen_count, 1);
	assert_int_equal(seen[0].kind, kind);
	assert_ptr_equal(seen[0].p, p);
	assert_int_equal(seen[0].size, size);
	assert_int_equal(seen[0].other, other);
	seen_count = 0;
}

static void clean_use_is_silent(void **state)
{
	unsigned char *p;

	(void)state;
	open_noted("checked:bump");
	p = ops->alloc(lane, 100);
	assert_int_equal(p[0], 0xa5);
	assert_int_equal(p[99], 0xa5);
	p = ops->resize(lane, p, 100, 3 << 20);
	memset(p, 1, 3 << 20);
	ops->free(lane, p, 3 << 20);
	assert_int_equal(p[0], 0xdf);
	p = ops->alloc_as(lane, 5, 1 << 21, RH_ALLOC_ZEROED);
	memset(p, 1, 5);
	ops->free(lane, p, 5);
	assert_int_equal(seen_count, 0);
	close_spec();
	assert_int_equal(seen_count, 0);
}

static void damaged_zones(void **state)
{
	unsigned char *p;

	(void)state;
	open_noted("checked:bump");
	p = ops->alloc(lane, 100);
	p[103] = 0;
	ops->free(lane, p, 100);
	expect_one(RH_VIOLATION_OVERRUN, p, 100, 3);
	p = ops->alloc_as(lane, 100, 4096, 0);
	p[-2] = 0;
	ops->free(lane, p, 100);
	expect_one(RH_VIOLATION_UNDERRUN, p, 100, 2);
	p = ops->alloc(lane, 0);
	p[0] = 0;
	p = ops->resize(lane, p, 0, 50);
	assert_non_null(p);
	assert_int_equal(seen[0].kind, RH_VIOLATION_OVERRUN);
	seen_count = 0;
	p[50] = 0;
	close_spec();
	expect_one(RH_VIOLATION_OVERRUN, p, 50, 0);
}

static void bad_frees(void **state)
{
	static unsigned char outside[64];
	unsigned char *p, *q;

	(void)state;
	open_noted("checked:bump");
	p = ops->alloc(lane, 100);
	q = ops->alloc(lane, 100);
	ops->free(lane, p + 32, 100);
	expect_one(RH_VIOLATION_WILD_FREE, p + 32, 100, 100);
	ops->free(lane, p + 1, 100);
	expect_one(RH_VIOLATION_WILD_FREE, p + 1, 100, 100);
	ops->free(lane, outside, 1);
	expect_one(RH_VIOLATION_WILD_FREE, outside, 1, 1);
	ops->free(lane, (void *)UINT64_C(0xfff0000000000010), 1);
	expect_one(RH_VIOLATION_WILD_FREE, (void *)UINT64_C(0xfff0000000000010), 1, 1);
	ops->free(lane, q, 99);
	expect_one(RH_VIOLATION_WRONG_SIZE, q, 100, 99);
	ops->free(lane, p, 100);
	assert_int_equal(seen_count, 0);
	ops->free(lane, p, 100);
	expect_one(RH_VIOLATION_DOUBLE_FREE, p, 100, 100);
	assert_null(ops->resize(lane, p, 100, 200));
	expect_one(RH_VIOLATION_DOUBLE_FREE, p, 100, 100);
	close_spec();
}

static void failed_resize_keeps_the_block(void **state)
{
	unsigned char *p;

	(void)state;
	open_noted("checked:failing:n=2:bump");
	p = ops->alloc(lane, 100);
	memset(p, 9, 100);
	assert_null(ops->resize(lane, p, 100, 5000));
	assert_int_equal(p[99], 9);
	ops->free(lane, p, 100);
	assert_int_equal(seen_count, 0);
	close_spec();
}

/* ---- a heap that does wrong on request ---- */

static enum rh_violation_kind mistake;
static _Alignas(4096) unsigned char arena[1 << 16];
static size_t arena_used;

static int bad_open(struct rh_heap **h, const void *knobs, const struct rh_heap_env *env,
		    struct rh_err *err)
{
	(void)knobs;
	(void)env;
	(void)err;
	*h = (struct rh_heap *)arena;
	arena_used = 0;
	return 0;
}

static void bad_close(struct rh_heap *h)
{
	(void)h;
}

static int bad_lane_open(struct rh_heap *h, struct rh_lane **l, struct rh_err *err)
{
	(void)h;
	(void)err;
	*l = (struct rh_lane *)arena;
	return 0;
}

static void bad_lane_close(struct rh_lane *l)
{
	(void)l;
}

static void *bad_alloc(struct rh_lane *l, size_t size)
{
	unsigned char *p = arena + arena_used;

	(void)l;
	if (mistake == RH_VIOLATION_OVERLAP && arena_used)
		return p - 48;
	if (mistake == RH_VIOLATION_ALIGNMENT)
		p += 8;
	arena_used += (size + 31) & ~(size_t)15;
	return p;
}

static void *bad_alloc_as(struct rh_lane *l, size_t size, size_t align, uint32_t flags)
{
	unsigned char *p = bad_alloc(l, size);

	(void)align;
	memset(p, 0, size);
	if (flags & RH_ALLOC_ZEROED && mistake == RH_VIOLATION_NOT_ZEROED)
		p[20] = 1; /* 4 bytes into the block */
	return p;
}

static void bad_free(struct rh_lane *l, void *p, size_t size)
{
	(void)l;
	(void)p;
	(void)size;
}

static void *bad_resize(struct rh_lane *l, void *p, size_t size_old, size_t size_new)
{
	(void)l;
	(void)size_old;
	(void)size_new;
	((unsigned char *)p)[16 + 3] ^= 1;
	return p;
}

static const struct rh_backend bad = {
	.abi = RH_BACKEND_ABI,
	.name = "bad",
	.summary = "wrong on request",
	.open = bad_open,
	.close = bad_close,
	.lane_open = bad_lane_open,
	.lane_close = bad_lane_close,
	.alloc = bad_alloc,
	.alloc_as = bad_alloc_as,
	.free = bad_free,
	.resize = bad_resize,
};

static void open_around_bad(enum rh_violation_kind kind)
{
	struct rh_err err = { 0 };
	struct rh_heap_env env = { .lanes_max = 1, .inner = &bad };
	uint64_t fill = 1 << 20;

	mistake = kind;
	ops = &rh_backend_checked;
	assert_int_equal(ops->open(&heap, &fill, &env, &err), 0);
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
	rh_checked_violation = note;
	seen_count = 0;
}

static void mistakes_of_the_heap(void **state)
{
	unsigned char *p;

	(void)state;
	open_around_bad(RH_VIOLATION_ALIGNMENT);
	p = ops->alloc(lane, 100);
	expect_one(RH_VIOLATION_ALIGNMENT, p, 100, 16);
	assert_string_equal(seen[0].inner, "bad");
	close_spec();
	open_around_bad(RH_VIOLATION_OVERLAP);
	ops->alloc(lane, 100);
	assert_int_equal(seen_count, 0);
	p = ops->alloc(lane, 100);
	expect_one(RH_VIOLATION_OVERLAP, p, 100, 132);
	close_spec();
	open_around_bad(RH_VIOLATION_NOT_ZEROED);
	p = ops->alloc_as(lane, 100, 0, RH_ALLOC_ZEROED);
	expect_one(RH_VIOLATION_NOT_ZEROED, p, 100, 4);
	close_spec();
	open_around_bad(RH_VIOLATION_LOST_CONTENTS);
	p = ops->alloc(lane, 100);
	ops->resize(lane, p, 100, 90);
	expect_one(RH_VIOLATION_LOST_CONTENTS, p, 90, 100);
	close_spec();
}

static void aborts_with_one_line(void **state)
{
	char text[400] = "";
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	open_noted("checked:bump");
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		unsigned char *p = ops->alloc(lane, 24);

		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		rh_checked_violation = default_report;
		ops->free(lane, p, 24);
		ops->free(lane, p, 24);
		_exit(0);
	}
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(n > 0 && strchr(text, '\n') == text + strlen(text) - 1);
	assert_non_null(strstr(text, "reheap: checked: double free at 0x"));
	assert_non_null(strstr(text, "size 24"));
	assert_non_null(strstr(text, "inner heap bump"));
	close_spec();
}

static void needs_a_heap_with_memory(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_spec_parse(&spec, "checked:null", 1, &err), 0);
	assert_int_equal(rh_spec_open(&spec, 1, &heap, &err), -1);
	assert_string_equal(err.text, "checked needs a heap with memory, and null has none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_use_is_silent),
		cmocka_unit_test(damaged_zones),
		cmocka_unit_test(bad_frees),
		cmocka_unit_test(failed_resize_keeps_the_block),
		cmocka_unit_test(mistakes_of_the_heap),
		cmocka_unit_test(aborts_with_one_line),
		cmocka_unit_test(needs_a_heap_with_memory),
	};

	default_report = rh_checked_violation;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
