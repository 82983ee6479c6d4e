/*
 * gen.c - the table of generators.
 *
 * To add one: write traces/gen/NAME.c with a `const struct rh_generator` (churn.c is the
 * shortest to start from, emitter.h has what all share), declare it and add its row here, in
 * the order of the names. test_gen.c walks this table.
 */
#include "traces/gen/gen.h"

#include "alloc/base/suggest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

extern const struct rh_generator rh_gen_churn;
extern const struct rh_generator rh_gen_goroutines;
extern const struct rh_generator rh_gen_hotsplit;
extern const struct rh_generator rh_gen_larson;
extern const struct rh_generator rh_gen_producer_consumer;
extern const struct rh_generator rh_gen_sawtooth;
extern const struct rh_generator rh_gen_server;
extern const struct rh_generator rh_gen_slices;

const struct rh_generator *const rh_generators[] = {
	&rh_gen_churn,
	&rh_gen_goroutines,
	&rh_gen_hotsplit,
	&rh_gen_larson,
	&rh_gen_producer_consumer,
	&rh_gen_sawtooth,
	&rh_gen_server,
	&rh_gen_slices,
	NULL,
};

const struct rh_generator *rh_generator_of(const char *name, struct rh_err *err)
{
	struct rh_suggestion s = rh_suggestion_for(name, strlen(name));
	char names[500];

	for (int i = 0; rh_generators[i]; i++) {
		if (strcmp(rh_generators[i]->name, name) == 0)
			return rh_generators[i];
		rh_suggest_consider(&s, rh_generators[i]->name);
	}
	rh_suggest_write(&s, names, sizeof(names));
	rh_fail(err, RH_USAGE, "there is no generator '%s'; %s", name, names);
	return NULL;
}

static void print_value(char *to, size_t bytes, const struct rh_opt *row, const void *opts)
{
	const char *field = (const char *)opts + row->offset;

	switch (row->type) {
	case RH_OPT_FLAG:
		snprintf(to, bytes, "%s", *(const bool *)field ? "on" : "off");
		break;
	case RH_OPT_UINT:
	case RH_OPT_SIZE:
	case RH_OPT_TIME:
		snprintf(to, bytes, "%llu", (unsigned long long)*(const uint64_t *)field);
		break;
	case RH_OPT_REAL:
	case RH_OPT_SHARE:
		snprintf(to, bytes, "%.17g", *(const double *)field);
		break;
	case RH_OPT_TEXT:
		snprintf(to, bytes, "%s",
			 *(const char *const *)field ? *(const char *const *)field : "");
		break;
	case RH_OPT_NAME:
		snprintf(to, bytes, "%s", row->names[*(const int *)field]);
		break;
	}
}

/* "server lanes=4 events=1000000 ...": the words that make the same trace again. */
static int add_notes(const struct rh_generator *generator, const void *opts,
		     struct rh_trace_out *out, struct rh_err *err)
{
	char words[4096];
	size_t used = (size_t)snprintf(words, sizeof(words), "%s", generator->name);

	for (const struct rh_opt *row = generator->opts; row->name; row++) {
		char value[1024];

		print_value(value, sizeof(value), row, opts);
		if (value[0] && used < sizeof(words))
			used += (size_t)snprintf(words + used, sizeof(words) - used, " %s=%s",
						 row->name, value);
	}
	if (rh_trace_add_note(out, "generator", words, err) < 0)
		return -1;
	return rh_trace_add_note(out, "stresses", generator->stresses, err);
}

/* Synthetic times are written only on request. */
static unsigned columns_of(const struct rh_generator *generator, const void *opts)
{
	unsigned columns = generator->columns;

	for (const struct rh_opt *row = generator->opts; row->name; row++)
		if (strcmp(row->name, "time") == 0 &&
		    !*(const bool *)((const char *)opts + row->offset))
			columns &= ~(unsigned)RH_COL_TIME;
	return columns;
}

int rh_generate(const struct rh_generator *generator, const void *opts,
		const struct rh_trace_make *make, struct rh_trace_totals *totals,
		struct rh_err *err)
{
	struct rh_trace_make with_columns = *make;
	struct rh_trace_out *out;

	with_columns.columns = columns_of(generator, opts);
	if (rh_trace_create(&out, &with_columns, err) < 0)
		return -1;
	if (add_notes(generator, opts, out, err) < 0 || generator->run(opts, out, err) < 0) {
		rh_trace_abandon(out);
		return -1;
	}
	return rh_trace_finish(out, totals, err);
}
