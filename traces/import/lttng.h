/*
 * lttng.h - what the two importers of LTTng share: the text that babeltrace prints. Thread rule:
 * none shared.
 */
#ifndef RH_IMPORT_LTTNG_H
#define RH_IMPORT_LTTNG_H

#include "traces/import/import.h"

struct rh_lttng_opts {
	uint64_t pid;
};
extern const struct rh_opt rh_lttng_options[];

/* Reads the text into build; `opts` is a struct rh_lttng_opts. */
int rh_lttng_run(struct rh_input *input, const void *opts, struct rh_build *build,
		 struct rh_trace_out *out, struct rh_err *err);

#endif
