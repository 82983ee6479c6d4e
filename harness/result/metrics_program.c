/*
 * metrics_program.c - the program's own CPU time, from the notes of its trace, and the heap's.
 *
 *	program   cpu_user_ns + cpu_kernel_ns, less what recording added to it
 *	heap      CPU time of the first pass, less that of waits for other lanes (which the program
 *		  spent otherwise, if at all), for one copy; metrics.c takes off the null floor
 *
 * If a trace has no such notes, or covers only a part of its program, there is no share of the
 * whole, and the reason is reported once for each trace.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/result/result.h"
#include "traces/format/sample.h"

/* CPU time that recording a call costs the program: 2.3 ns on one thread, 2.5 on two
 * (ci/own/bench/record.sh). Some 3 % of the whole for a program that does nothing but allocate. */
#define RECORDING_NS 2.5

static const char *note_of(const struct rh_run_trace *trace, const char *name)
{
	for (size_t i = 0; i < trace->note_count; i++)
		if (strcmp(trace->notes[i].name, name) == 0)
			return trace->notes[i].value;
	return NULL;
}

static double number_of(const struct rh_run_trace *trace, const char *name)
{
	const char *value = note_of(trace, name);
	char *end = NULL;
	double number = value ? strtod(value, &end) : NAN;

	return value && end != value && *end == '\0' && number >= 0 ? number : NAN;
}

double rh_program_cpu_ns(const struct rh_run_trace *trace)
{
	double cpu_ns = number_of(trace, "cpu_user_ns") + number_of(trace, "cpu_kernel_ns");
	double calls = number_of(trace, "recorded_calls");
	double less = isfinite(calls) ? calls * RECORDING_NS : 0;

	if (note_of(trace, "cut") || note_of(trace, RH_SAMPLE_NOTE))
		return NAN;
	return isfinite(cpu_ns) && cpu_ns > less ? cpu_ns - less : NAN;
}

double rh_heap_cpu_ns(const struct rh_trial *trial)
{
	double waiting = 0;

	if (!trial)
		return NAN;
	assert(trial->copies > 0);
	if (trial->pass_count && trial->passes[0].blocked_ns > trial->passes[0].slept_ns)
		waiting = (double)(trial->passes[0].blocked_ns - trial->passes[0].slept_ns);
	return ((double)trial->cpu_ns - fmin(waiting, (double)trial->cpu_ns)) / trial->copies;
}

static void explain(struct rh_result *result, const char *what, const char *first, size_t count)
{
	if (count > 1)
		rh_result_absent(result, "program.saved_share", -1, "%s and %zu more: %s", first,
				 count - 1, what);
	else if (count == 1)
		rh_result_absent(result, "program.saved_share", -1, "%s: %s", first, what);
}

void rh_program_explain(struct rh_result *result)
{
	size_t cut = 0, bare = 0, sampled = 0;
	const char *cut_first = NULL, *bare_first = NULL, *sampled_first = NULL;

	if (strcmp(result->pace, "none") != 0 || result->verify) {
		rh_result_absent(result, "program.saved_share", -1,
				 "with %s CPU time is more than the heap's",
				 result->verify ? "--verify" : "--pace");
		return;
	}
	for (size_t t = 0; t < result->trace_count; t++) {
		const struct rh_run_trace *trace = &result->traces[t];

		if (isfinite(rh_program_cpu_ns(trace)))
			continue;
		if (note_of(trace, "cut")) {
			if (cut++ == 0)
				cut_first = rh_base_name(trace->path);
		} else if (note_of(trace, RH_SAMPLE_NOTE)) {
			if (sampled++ == 0)
				sampled_first = rh_base_name(trace->path);
		} else if (bare++ == 0) {
			bare_first = rh_base_name(trace->path);
		}
	}
	explain(result, "a part of a trace, and the CPU time of its program is that of the whole",
		cut_first, cut);
	explain(result,
		"a sample of the blocks, and the CPU time of its program is that of all (record "
		"without --sample-bytes)",
		sampled_first, sampled);
	explain(result,
		"the trace does not say what CPU time its program took (reheap record notes it; "
		"imported and generated traces have none)",
		bare_first, bare);
}
