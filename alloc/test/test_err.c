/*
 * test_err.c - texts of errors: filled, prefixed, cut off, never overrun.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "alloc/base/err.h"

static void fills_and_returns(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_fail(&err, RH_BAD_DATA, "%s: line %d", "a.txt", 7), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_string_equal(err.text, "a.txt: line 7");
	assert_int_equal(rh_fail(NULL, RH_BUG, "dropped"), -1);
}

static void appends_errno(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	errno = ENOENT;
	rh_fail_errno(&err, RH_NO_INPUT, "%s cannot be opened", "x");
	assert_string_equal(err.text, "x cannot be opened: No such file or directory");
	errno = 99999;
	rh_fail_errno(&err, RH_IO, "x");
	assert_string_equal(err.text, "x: error of an unknown number");
	assert_int_equal(rh_fail_errno(NULL, RH_IO, "x"), -1);
}

static void text_may_be_its_own_argument(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	rh_fail(&err, RH_IO, "inner");
	rh_fail(&err, RH_IO, "outer (%s) and %s", err.text, err.text);
	assert_string_equal(err.text, "outer (inner) and inner");
	rh_err_prefix(&err, "%.5s", err.text);
	assert_string_equal(err.text, "outer: outer (inner) and inner");
	assert_int_equal(rh_err_prefix(NULL, "x"), -1);
}

static void cuts_long_texts(void **state)
{
	struct rh_err err[2] = { 0 };
	char longer[1000];

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(&err[1], 0x5a, sizeof(err[1]));
	rh_fail(&err[0], RH_IO, "%s", longer);
	assert_int_equal(strlen(err[0].text), sizeof(err[0].text) - 1);
	for (int i = 0; i < 3; i++)
		rh_err_prefix(&err[0], "%s", longer);
	assert_int_equal(strlen(err[0].text), sizeof(err[0].text) - 1);
	assert_memory_equal(err[0].text + 255, ": ", 2);
	errno = ENOENT;
	rh_fail_errno(&err[0], RH_IO, "%s", longer);
	assert_int_equal(strlen(err[0].text), sizeof(err[0].text) - 1);
	assert_int_equal(err[1].text[0], 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_returns),
		cmocka_unit_test(appends_errno),
		cmocka_unit_test(text_may_be_its_own_argument),
		cmocka_unit_test(cuts_long_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
