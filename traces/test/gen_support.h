/*
 * gen_support.h - what the tests of generators share: running one with words of a command line.
 */
#ifndef RH_GEN_SUPPORT_H
#define RH_GEN_SUPPORT_H

#include "traces/gen/gen.h"
#include "traces/test/test_support.h"

static struct rh_err err;

/* Runs a generator with words; the trace is at the path returned. */
static int generate(const char *name, const char *words, const char *path,
		    struct rh_trace_totals *totals)
{
	const struct rh_generator *generator = rh_generator_of(name, &err);
	_Alignas(16) unsigned char opts[512] = { 0 };
	char text[1024];
	struct rh_opt_store store = { text, sizeof(text) };
	struct rh_trace_make make = { .path = path };

	assert_non_null(generator);
	assert_true(generator->opts_bytes <= sizeof(opts));
	expect_ok(rh_opt_defaults(generator->opts, opts, &err), &err);
	while (*words) {
		size_t bytes = strcspn(words, " ");

		if (rh_opt_set_word(&(struct rh_opt_target){ generator->opts, opts, name }, words,
				    bytes, &store, &err) < 0)
			return -1;
		words += bytes + (words[bytes] == ' ');
	}
	return rh_generate(generator, opts, &make, totals, &err);
}

static void generate_ok(const char *name, const char *words, const char *path,
			struct rh_trace_totals *totals)
{
	expect_ok(generate(name, words, path, totals), &err);
}

#endif
