/*
 * probe_code.c - how much of the replay's user time is spent in the allocator's own code, by
 * samples of the kernel's CPU clock (harness/launch/samples.h). It rides along: the worker is
 * interrupted 4,000 times a second, under each allocator alike.
 *
 * The rest of the user time is the loop and touching blocks. reheap validate compares this
 * figure with the program's own, which is defined alike.
 */
#include <math.h>
#include <stdlib.h>

#include "harness/launch/samples.h"
#include "harness/probe/probe.h"

struct own {
	struct rh_code code;
	struct rh_samples samples;
};

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	(void)text_bytes;
	if (config->under)
		return "workers run under another program, which would be sampled";
	return rh_samples_refused(text, text_bytes) ? text : NULL;
}

/* Of the first pass: the threads of its lanes are there now. */
static int start(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_run_backend *backend = &run->result->backends[run->trial->backend];
	const struct rh_backend *ops = &backend->spec->layer[backend->spec->depth - 1].ops;
	struct own *own;

	if (!(ops->caps & RH_CAP_PROCESS))
		return 0; /* a heap inside the worker: its code is not apart from the loop's */
	own = run->own = calloc(1, sizeof(*own));
	if (!own)
		return rh_fail(err, RH_OS, "no memory for samples");
	if (rh_code_of(&own->code, run->worker->pid, err) < 0)
		return -1;
	rh_samples_open(&own->samples, run->worker->pid, &own->code, false);
	return own->samples.why[0] ? rh_fail(err, RH_ABSENT, "%s", own->samples.why) : 0;
}

static int segment(struct rh_probe_run *run, const struct rh_segment *done, struct rh_err *err)
{
	struct own *own = run->own;

	(void)done;
	(void)err;
	if (own)
		rh_samples_look(&own->samples);
	return 0;
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = run->own;
	struct rh_sampled sampled;

	(void)err;
	if (!own || !run->life->events)
		return 0;
	rh_samples_end(&own->samples, &sampled);
	rh_probe_reading(run, "code.allocator_ns_per_event",
			 1e9 * sampled.inside_s / (double)run->life->events);
	rh_probe_reading(run, "code.other_ns_per_event",
			 1e9 * sampled.outside_s / (double)run->life->events);
	return 0;
}

static void release(struct rh_probe_run *run)
{
	struct own *own = run->own;
	struct rh_sampled ignored;

	if (own)
		rh_samples_end(&own->samples, &ignored);
	free(own);
	run->own = NULL;
}

const struct rh_probe rh_probe_code = {
	.name = "code",
	.summary = "user time in the allocator's own code, by samples",
	.source = "sw",
	.by_name_only = true,
	.absent_why = absent_why,
	.start = start,
	.segment = segment,
	.end = end,
	.release = release,
};
