/* Tests of cells: thousands, widths, Markdown, and colours only where they are wanted. */
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "alloc/base/cells.h"

static void thousands_stand_apart(void **state)
{
	static const struct {
		const char *given, *wanted;
	} rows[] = {
		{ "999", "999" },
		{ "1000", "1,000" },
		{ "-1234567.8912", "-1,234,567.8912" },
		{ "~12345 [10000, 20000]", "~12,345 [10,000, 20,000]" },
		{ "<= 4096 KiB", "<= 4,096 KiB" },
		{ "1,234,567", "1,234,567" },
		{ "0.123456", "0.123456" },
		{ "chunk=65536", "chunk=65536" },
		{ "size4096", "size4096" },
		{ "4096b", "4096b" },
		{ "18446744073709551615", "18,446,744,073,709,551,615" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[RH_CELL];

		snprintf(text, sizeof(text), "%s", rows[i].given);
		rh_group_digits(text, sizeof(text));
		assert_string_equal(text, rows[i].wanted);
	}
}

static void what_does_not_fit_stays(void **state)
{
	char text[9] = "12345678";

	(void)state;
	rh_group_digits(text, sizeof(text));
	assert_string_equal(text, "12345678");
}

/* A table of three rows; the caller frees. */
static char *printed(bool markdown)
{
	char cells[9][RH_CELL] = { "name", "value",  "why", "caf\xc3\xa9", "12345",
				   "ok",   "a\033b", "7",   "1000 words" };
	unsigned char tones[9] = { [4] = RH_TONE_BETTER, [7] = RH_TONE_WORSE };
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	rh_print_cells(to, &(struct rh_cells){ .cell = cells,
					       .tone = tones,
					       .rows = 3,
					       .columns = 3,
					       .left = RH_LEFT_ENDS(3),
					       .markdown = markdown });
	fclose(to);
	return text;
}

static void columns_align(void **state)
{
	char *text = printed(false);

	(void)state;
	assert_string_equal(text, "name     value  why\n"
				  "caf\xc3\xa9    12,345  ok\n"
				  "a\\x1bb       7  1000 words\n");
	free(text);
	text = printed(true);
	assert_string_equal(text, "| name   |  value | why        |\n"
				  "|---|--:|---|\n"
				  "| caf\xc3\xa9   | 12,345 | ok         |\n"
				  "| a\\x1bb |      7 | 1000 words |\n");
	free(text);
}

static void colour_moves_nothing(void **state)
{
	char *text;

	(void)state;
	rh_colour = RH_COLOUR_ALWAYS;
	text = printed(false);
	assert_non_null(strstr(text, "caf\xc3\xa9    \033[32m12,345\033[0m  ok\n"));
	assert_non_null(strstr(text, "\033[31m     7\033[0m"));
	free(text);
	text = printed(true);
	assert_null(strchr(text, '\033'));
	free(text);
	rh_colour = RH_COLOUR_AUTO;
	text = printed(false);
	assert_null(strchr(text, '\033'));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_stand_apart),
		cmocka_unit_test(what_does_not_fit_stays),
		cmocka_unit_test(columns_align),
		cmocka_unit_test(colour_moves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
