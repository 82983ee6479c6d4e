/*
 * gen.h - generated traces.
 *
 * To add a generator:
 *  1. a file in traces/gen/ that exports one `const struct rh_generator` and writes through
 *     traces/gen/emitter.h;
 *  2. a row in the table of traces/gen/gen.c, in the order of the names.
 * traces/test/test_gen.c then checks it like every other: same seed, same bytes.
 *
 * Same name, parameters and seed give the same file to the byte, on every machine: no
 * floating point that libm may round differently decides an event, no time, no address.
 *
 * Thread rule: one thread for each trace. Errors: RH_USAGE; as trace.h of the output.
 */
#ifndef RH_GEN_H
#define RH_GEN_H

#include <stdbool.h>

#include "alloc/base/opt.h"
#include "traces/format/trace.h"

struct rh_generator {
	const char *name; /* "server" */
	const char *summary;
	const char *stresses;	   /* the property of an allocator that it stresses */
	const struct rh_opt *opts; /* parameters; every generator has lanes, events, seed */
	size_t opts_bytes;	   /* <= 512 */
	unsigned columns;
	bool of_tasks; /* counts spawns, exits, calls, returns; has no objects */
	int (*run)(const void *opts, struct rh_trace_out *out, struct rh_err *err);
};
extern const struct rh_generator *const rh_generators[]; /* NULL-terminated, sorted */

/* The generator of that name, or NULL with RH_USAGE and the existing names. */
const struct rh_generator *rh_generator_of(const char *name, struct rh_err *err);

/* Runs the generator and writes the trace to make->path (make->columns is set here), with the
 * notes generator (name and every parameter) and stresses. */
int rh_generate(const struct rh_generator *generator, const void *opts,
		const struct rh_trace_make *make, struct rh_trace_totals *totals,
		struct rh_err *err);

#endif
