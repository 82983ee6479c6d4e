/*
 * test_printable.c - foreign text is printed harmless, all else as printf prints it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/printable.h"

static void expect(const char *want, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* rh_print's bytes are `want`, or where that is NULL those of vfprintf. */
static void expect(const char *want, const char *fmt, ...)
{
	char *printed = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&printed, &bytes);
	char plain[512];
	va_list ap;

	va_start(ap, fmt);
	rh_vprint(to, fmt, ap);
	va_end(ap);
	fclose(to);
	va_start(ap, fmt);
	vsnprintf(plain, sizeof(plain), fmt, ap);
	va_end(ap);
	assert_string_equal(printed, want ? want : plain);
	assert_int_equal(bytes, strlen(want ? want : plain));
	free(printed);
}

static void foreign_text_is_escaped(void **state)
{
	(void)state;
	expect("y\\n::error::x\n", "%s\n", "y\n::error::x");
	expect("\\x3a:error::x", "%s", "::error::x");
	expect("  \\x3a:warning::", "%s", "  ::warning::");
	expect("std::vector", "%s", "std::vector");
	expect("a \\x23#[error]b", "%s", "a ##[error]b");
	expect("\\x23#vso[task.complete]", "%s", "##vso[task.complete]");
	expect("# not ## one", "%s", "# not ## one");
	expect("\\x1b[31m\\t\\r\\a", "%s", "\x1b[31m\t\r\a");
	expect("\\x7f\\u009b2J", "%s",
	       "\x7f\xc2\x9b"
	       "2J");
	expect("\\x9b2J", "%s",
	       "\x9b"
	       "2J");
	expect("é × 名", "%s", "é × 名");
	expect("\\u202etxt", "%s", "\xe2\x80\xaetxt");
	expect("\\u200b\\ufeff\\u2028", "%s", "\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8");
	expect("\\xc0\\xaf\\xed\\xa0\\x80\\xf5\\xe2\\x82", "%s",
	       "\xc0\xaf\xed\xa0\x80\xf5\xe2\x82");
	expect("\\U0e0041", "%s", "\xf3\xa0\x81\x81");
	expect("\\\\x1b", "%s", "\\\\x1b");
}

static void the_rest_is_printf(void **state)
{
	(void)state;
	expect(NULL, "%d %5u|%-6d|%06d %+d %%", -3, 7u, 9, 12, 4);
	expect(NULL, "%lu %lld %zu %" PRIu64 " %" PRIx32 " %hhu", 1ul, -2ll, (size_t)3, UINT64_MAX,
	       77u, (unsigned char)200);
	expect(NULL, "%.3f %8.2e %-9.3g| %.*f %c", 1.23456, 12345.678, 0.5, 2, 3.14159, 'x');
	expect(NULL, "%s|%8s|%-8s|%*s|%-*s|%.3s|%.*s", "a", "b", "c", 5, "d", 4, "e", "abcdef", 2,
	       "xyz");
	expect(NULL, "%*s|", -6, "left");
	expect(NULL, "no conversion");
	expect(NULL, "%Lf", 1.5L);
}

static void widths_count_what_is_shown(void **state)
{
	(void)state;
	expect("|   é|", "|%4s|", "é");
	expect("|\\n  |", "|%-4s|", "\n");
}

static void expect_wrapped(const char *want, const char *text)
{
	char *printed = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&printed, &bytes);

	rh_print_wrapped(to, text, strlen(text), 4, 14);
	fclose(to);
	assert_string_equal(printed, want);
	free(printed);
}

/* Ten columns, behind four. */
static void long_texts_are_wrapped(void **state)
{
	(void)state;
	expect_wrapped("\n", "");
	expect_wrapped("0123456789\n", "0123456789");
	expect_wrapped("one two\n    three four\n", "one two three four");
	expect_wrapped("one\n    two\n", "one                  two");
	expect_wrapped("wall,part,\n    rss,faults\n", "wall,part,rss,faults");
	expect_wrapped("a\n    none|page|\n    full\n", "a none|page|full");
	expect_wrapped("/usr/lib/libthing.so\n    1.0\n", "/usr/lib/libthing.so 1.0");
	expect_wrapped("é é é\n    é é é\n", "é é é é é é");
	expect_wrapped("\\x1b[31m\n    b\n", "\x1b[31m     b");
}

static void a_buffer_is_never_cut_within_an_escape(void **state)
{
	char to[8];

	(void)state;
	assert_int_equal(rh_printable(to, sizeof(to), "abc\n\n\n"), 7);
	assert_string_equal(to, "abc\\n\\n");
	assert_int_equal(rh_printable(to, sizeof(to), "abcd\x1b"), 4);
	assert_string_equal(to, "abcd");
	assert_int_equal(rh_printable(to, 1, "x"), 0);
	assert_int_equal(rh_printable(to, sizeof(to), "\\x1b"), 4);
	assert_string_equal(to, "\\x1b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_text_is_escaped),
		cmocka_unit_test(the_rest_is_printf),
		cmocka_unit_test(widths_count_what_is_shown),
		cmocka_unit_test(long_texts_are_wrapped),
		cmocka_unit_test(a_buffer_is_never_cut_within_an_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
