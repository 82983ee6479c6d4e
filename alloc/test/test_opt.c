/*
 * test_opt.c - options as data: values, bounds, words, argv.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/opt.h"

struct target {
	uint64_t lanes, size, time;
	double share;
	const char *out;
	int mode;
	bool quiet, lanes_given;
};

static const char *const modes[] = { "plain", "timed", NULL };
static const struct rh_opt table[] = {
	{ "lanes", 'l', RH_OPT_UINT, offsetof(struct target, lanes), "1", .min = 1, .max = 64,
	  .arg = "N", .help = "lanes", .given = offsetof(struct target, lanes_given) + 1 },
	{ "size", 0, RH_OPT_SIZE, offsetof(struct target, size), "4K", .help = "bytes" },
	{ "time", 't', RH_OPT_TIME, offsetof(struct target, time), NULL, .help = "time" },
	{ "share", 's', RH_OPT_SHARE, offsetof(struct target, share), "5%", .min = 0, .max = 1 },
	{ "out", 'o', RH_OPT_TEXT, offsetof(struct target, out), NULL, .help = "file" },
	{ "mode", 'm', RH_OPT_NAME, offsetof(struct target, mode), "timed", .names = modes },
	{ "quiet", 'q', RH_OPT_FLAG, offsetof(struct target, quiet), NULL, .help = "hush" },
	{ .name = NULL }
};

static void parses_whole_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "010", 10 },
		{ "0x10", 16 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "",	  "-1", " 1", "+1",
					   "1.5", "1k", "x",  "18446744073709551616",
					   "0x",  NULL };
	struct rh_err err = { 0 };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(rh_parse_uint(good[i].text, &value, &err), 0);
		assert_true(value == good[i].value);
	}
	for (int i = 0; bad[i]; i++) {
		err.code = RH_OK;
		assert_int_equal(rh_parse_uint(bad[i], &value, &err), -1);
		assert_int_equal(err.code, RH_USAGE);
	}
}

static void parses_sizes_and_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} sizes[] = {
		{ "64K", 65536 },
		{ "1.5k", 1536 },
		{ "2GiB", 2ull << 30 },
		{ "7b", 7 },
		{ "9007199254740993K", 9007199254740993ull * 1024 }, /* past 2^53 */
		{ "10000000T", 10000000ull << 40 },		     /* past 2^63 */
	};
	static const struct {
		const char *text;
		uint64_t value;
	} times[] = {
		{ "2", 2000000000 },	{ "20ns", 20 },		 { "1.5us", 1500 },
		{ "2m", 120000000000 }, { "1h", 3600000000000 }, { "10MS", 10000000 },
	};
	struct rh_err err = { 0 };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(rh_parse_size(sizes[i].text, &value, &err), 0);
		assert_true(value == sizes[i].value);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_int_equal(rh_parse_time(times[i].text, &value, &err), 0);
		assert_true(value == times[i].value);
	}
	assert_int_equal(rh_parse_size("20000000T", &value, &err), -1);
	assert_int_equal(rh_parse_size("99999999.5T", &value, &err), -1);
	assert_int_equal(rh_parse_size("4Q", &value, &err), -1);
	assert_int_equal(rh_parse_time("1y", &value, &err), -1);
}

static void parses_shares(void **state)
{
	struct rh_err err = { 0 };
	double value;

	(void)state;
	assert_int_equal(rh_parse_share("5%", &value, &err), 0);
	assert_true(value == 0.05);
	assert_int_equal(rh_parse_share("0.25", &value, &err), 0);
	assert_true(value == 0.25);
	assert_int_equal(rh_parse_share("nan", &value, &err), -1);
	assert_int_equal(rh_parse_share("5%%", &value, &err), -1);
	assert_int_equal(rh_parse_share("", &value, &err), -1);
}

static void sets_words(void **state)
{
	static const char text[] = "out=a.json:quiet:lanes=8:mode=fast:lanes=65:size:nope=1";
	char room[12];
	struct rh_opt_store store = { room, sizeof(room) };
	struct target t = { 0 };
	const struct rh_opt_target target = { table, &t, "x" };
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_opt_defaults(table, &t, &err), 0);
	assert_true(t.lanes == 1 && t.size == 4096 && t.mode == 1 && !t.lanes_given);
	assert_int_equal(rh_opt_set_word(&target, text, 10, &store, &err), 0);
	assert_string_equal(t.out, "a.json");
	assert_int_equal(rh_opt_set_word(&target, text + 11, 5, &store, &err), 0);
	assert_true(t.quiet);
	assert_int_equal(rh_opt_set_word(&target, text + 17, 7, &store, &err), 0);
	assert_true(t.lanes == 8 && t.lanes_given);
	/* 7 + 1 + 2 of 12 bytes are used: "fast" does not fit, a short value does */
	assert_int_equal(rh_opt_set_word(&target, text + 25, 9, &store, &err), -1);
	assert_string_equal(err.text, "x: mode is too long");
	store = (struct rh_opt_store){ room, sizeof(room) };
	assert_int_equal(rh_opt_set_word(&target, text + 25, 9, &store, &err), -1);
	assert_string_equal(err.text, "x: mode: 'fast' is not one of plain, timed");
	assert_int_equal(rh_opt_set_word(&target, text + 35, 8, &store, &err), -1);
	assert_string_equal(err.text, "x: lanes: '65' is outside 1 to 64");
	assert_int_equal(rh_opt_set_word(&target, text + 44, 4, &store, &err), -1);
	assert_string_equal(err.text, "x: size needs a value: size=VALUE");
	assert_int_equal(rh_opt_set_word(&target, text + 49, 6, &store, &err), -1);
	assert_non_null(strstr(err.text,
			       "x has no option 'nope': did you mean mode? (it has: lanes, size,"));
}

struct words {
	int count;
	const char *const *list;
};

static int parse(struct target *t, int *first, struct rh_err *err, int stop_early,
		 const struct words *words)
{
	int argc = words->count;
	char *argv[16];
	struct rh_opt_line line = { argc, argv, stop_early, .operands = *first };
	int result;

	for (int i = 0; i < argc; i++)
		argv[i] = strdup(words->list[i]);
	argv[argc] = NULL;
	*t = (struct target){ 0 };
	result = rh_opt_argv(&(struct rh_opt_target){ table, t, "cmd" }, &line, err);
	*first = line.operands;
	if (t->out)
		t->out = words->list[argc - 1]; /* the copy goes away; tests look at its place */
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return result;
}

#define PARSE(early, ...)                                                                       \
	parse(&t, &first, &err, early,                                                          \
	      &(struct words){ (int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), \
			       (const char *[]){ __VA_ARGS__ } })

static void parses_argv(void **state)
{
	struct target t;
	struct rh_err err = { 0 };
	int first = 0;

	(void)state;
	assert_int_equal(PARSE(0, "cmd", "a", "-l", "3", "b", "--share=10%", "-q"), 0);
	assert_true(t.lanes == 3 && t.share == 0.1 && t.quiet);
	assert_int_equal(first, 5);
	assert_int_equal(PARSE(1, "cmd", "-l4", "prog", "-q"), 0);
	assert_true(t.lanes == 4 && !t.quiet);
	assert_int_equal(first, 2);
	assert_int_equal(PARSE(0, "cmd", "--help"), RH_OPT_HELP);
	assert_int_equal(PARSE(0, "cmd", "--", "-q"), 0);
	assert_true(!t.quiet);
	assert_int_equal(PARSE(0, "cmd", "--lanes", "0"), -1);
	assert_string_equal(err.text, "--lanes: '0' is outside 1 to 64");
}

static void names_the_bad_option(void **state)
{
	struct target t;
	struct rh_err err = { 0 };
	int first = 0;

	(void)state;
	assert_int_equal(PARSE(0, "cmd", "-qzq"), -1);
	assert_non_null(strstr(err.text, "no such option -z (see reheap cmd --help)"));
	assert_int_equal(PARSE(0, "cmd", "--frob"), -1);
	assert_non_null(strstr(err.text, "no such option --frob"));
	assert_int_equal(PARSE(0, "cmd", "--quiet=1"), -1);
	assert_non_null(strstr(err.text, "--quiet=1 takes no value"));
	assert_int_equal(PARSE(0, "cmd", "-l"), -1);
	assert_non_null(strstr(err.text, "-l needs a value"));
	assert_int_equal(PARSE(0, "cmd", "-?"), -1);
	assert_non_null(strstr(err.text, "no such option -?"));
	assert_int_equal(err.code, RH_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_whole_numbers), cmocka_unit_test(parses_sizes_and_times),
		cmocka_unit_test(parses_shares),	cmocka_unit_test(sets_words),
		cmocka_unit_test(parses_argv),		cmocka_unit_test(names_the_bad_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
