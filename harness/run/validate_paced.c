/*
 * validate_paced.c - contention: the replay of a validation whose program has threads.
 *
 * The other replay runs as fast as order allows, so its threads meet at the locks of an allocator
 * far more often than the program's do. This one runs each recorded thread on a thread of its own
 * and keeps the recorded gaps (--pace think): what takes a thread longer delays what it does next,
 * as in the program.
 *
 * Predicted and observed are defined alike, over all threads together:
 *	asleep		neither running nor waiting for a CPU. In a replay that contains the gaps
 *			and the waits for other lanes, in the program its own waits: both are about
 *			the same under each allocator, and a change shows what the allocator adds,
 *			with what that makes others wait for.
 *	switches	voluntary context switches; those of the replay itself are left out
 *	futex		calls of futex(2), likewise; where the kernel's tracepoint may be used
 */
#include <math.h>
#include <string.h>

#include "harness/run/invocation.h"
#include "harness/run/validate.h"

int rh_validate_paced(const struct rh_validate_config *config, struct rh_validate *out,
		      struct rh_err *err)
{
	char *traces[] = { (char *)(uintptr_t)config->trace };
	static char recorded[] = "recorded", probes[] = "time,locks";
	struct rh_run_config run = { .traces = traces,
				     .trace_count = 1,
				     .backends = config->backends,
				     .lanes = recorded,
				     .copies = "1",
				     .baseline = config->baseline,
				     .probes = probes,
				     .reps = config->reps,
				     .seed = config->seed,
				     .replay = { .touch = RH_TOUCH_AUTO, .pace = RH_PACE_THINK },
				     .quiet = config->quiet };
	int result;

	out->contended = (struct rh_result){ .reps = config->reps,
					     .seed = config->seed,
					     .touch = rh_touch_names[RH_TOUCH_AUTO],
					     .pace = "think",
					     .probes = probes,
					     .floor = UINT32_MAX };
	out->contended.clock = out->result.clock;
	out->paced = true;
	result = rh_run_prepare(&run, &out->contended, err);
	if (result == 0)
		result = rh_run_trials(&run, &out->contended, err);
	rh_run_config_free(&run);
	return result < 0 ? rh_err_prefix(err, "with recorded gaps kept") : 0;
}

double rh_validate_paced_value(const struct rh_trial *trial, enum rh_validate_field field)
{
	const struct rh_locks_found *found = trial->found.locks;

	if (!found)
		return NAN;
	if (field == RH_VALIDATE_ASLEEP)
		return (found->span_ns - found->cpu_ns - found->run_delay_ns) / 1e9;
	if (field == RH_VALIDATE_SWITCHES)
		return (double)found->switches_voluntary;
	return found->futex_calls == UINT64_MAX ? NAN : (double)found->futex_calls;
}
