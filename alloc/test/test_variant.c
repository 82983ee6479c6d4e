/*
 * test_variant.c - labels, environments, sweeps and lists of variants, good and bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/variant.h"

static struct rh_err err;

static void parts_of_a_variant(void **state)
{
	static const struct {
		const char *text, *label, *spec, *env;
	} rows[] = {
		{ "libc", "", "libc", "" },
		{ "tiered:gogc=50/pools", "", "tiered:gogc=50/pools", "" },
		{ "old=./libmine.so", "old", "./libmine.so", "" },
		{ "v1.2+fix=tiered:gogc=50", "v1.2+fix", "tiered:gogc=50", "" },
		{ "jemalloc@MALLOC_CONF=narenas:1", "", "jemalloc", "MALLOC_CONF=narenas:1;" },
		{ "x=libc@A=1@B_2=a/b:c=d", "x", "libc", "A=1;B_2=a/b:c=d;" },
		{ "libc@A=\"x,@B=1,{y}\"", "", "libc", "A=x,@B=1,{y};" },
		{ "./lib@2.so/none@A=", "", "./lib@2.so/none", "A=;" },
		{ "./a@b=c.so", "", "./a", "b=c.so;" },
	};
	struct rh_variant v;
	char env[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *bare;
		size_t bytes;

		assert_int_equal(rh_variant_parse(&v, rows[i].text, &err), 0);
		assert_string_equal(v.label, rows[i].label);
		assert_string_equal(v.spec, rows[i].spec);
		env[0] = '\0';
		for (unsigned e = 0; e < v.env_count; e++)
			snprintf(env + strlen(env), sizeof(env) - strlen(env), "%s;", v.env[e]);
		assert_string_equal(env, rows[i].env);
		rh_variant_bare(rows[i].text, &bare, &bytes);
		assert_int_equal(bytes, strlen(rows[i].spec));
		assert_memory_equal(bare, rows[i].spec, bytes);
	}
}

static void lists_become_variants(void **state)
{
	static const struct {
		const char *list, *texts;
	} rows[] = {
		{ "", "" },
		{ "libc,jemalloc", "libc|jemalloc|" },
		{ "tiered:gogc={50,100,200},libc",
		  "tiered:gogc=50|tiered:gogc=100|tiered:gogc=200|libc|" },
		{ "a@X={1,2}@Y={3,4}", "a@X=1@Y=3|a@X=1@Y=4|a@X=2@Y=3|a@X=2@Y=4|" },
		{ "j@C=\"a:1,b:{2}\",libc", "j@C=\"a:1,b:{2}\"|libc|" },
		{ "libc,libc,libc", "libc|libc#2=libc|libc#3=libc|" },
		{ "t:a=1,t:a=1,t:b=2,t:b=2", "t:a=1|t#2=t:a=1|t:b=2|t#3=t:b=2|" },
		{ "./x/liba.so,./x/liba.so", "./x/liba.so|liba.so#2=./x/liba.so|" },
		{ "./a=b.so,./a=b.so,./a=b.so", "./a=b.so|a#2=./a=b.so|a#3=./a=b.so|" },
		{ "old=libc,new=libc", "old=libc|new=libc|" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t count, used = 0;
		char joined[512] = "", *texts = rh_variant_list(rows[i].list, &count, &err), *at;

		assert_non_null(texts);
		at = texts;
		for (size_t t = 0; t < count; t++, at += strlen(at) + 1)
			used += (size_t)snprintf(joined + used, sizeof(joined) - used, "%s|", at);
		assert_string_equal(joined, rows[i].texts);
		free(texts);
	}
}

static void empty_names_are_refused(void **state)
{
	static const char *const lists[] = { "libc,,null", ",libc", "libc,", "," };

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct rh_err why = { 0 };
		size_t count;

		assert_null(rh_variant_list(lists[i], &count, &why));
		assert_int_equal(why.code, RH_USAGE);
	}
}

static void bad_lists(void **state)
{
	static const char *const rows[][2] = {
		{ "libc{a", "a sweep is written {A,B,C}" },
		{ "libc}", "a sweep is written {A,B,C}" },
		{ "a{b{c}}", "a sweep is written {A,B,C}" },
		{ "a=libc,a=jemalloc", "two backends are called 'a'" },
		{ "{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3}", "more than 256" },
	};
	struct rh_variant v;
	char longer[700];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t count;

		err = (struct rh_err){ 0 };
		assert_null(rh_variant_list(rows[i][0], &count, &err));
		assert_int_equal(err.code, RH_USAGE);
		assert_non_null(strstr(err.text, rows[i][1]));
	}
	assert_int_equal(rh_variant_parse(&v, "libc@LD_PRELOAD=x", &err), -1);
	assert_non_null(strstr(err.text, "LD_PRELOAD is set by reheap itself"));
	assert_int_equal(
		rh_variant_parse(
			&v, "l@a=1@b=1@c=1@d=1@e=1@f=1@g=1@h=1@i=1@j=1@k=1@l=1@m=1@n=1@o=1@p=1@q=1",
			&err),
		-1);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(rh_variant_parse(&v, longer, &err), -1);
	longer[100] = '=';
	longer[200] = '\0';
	assert_int_equal(rh_variant_parse(&v, longer, &err), -1);
	assert_non_null(strstr(err.text, "label"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_a_variant),
		cmocka_unit_test(lists_become_variants),
		cmocka_unit_test(empty_names_are_refused),
		cmocka_unit_test(bad_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
