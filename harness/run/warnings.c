/*
 * warnings.c - what a reader must know of a run before its figures: lanes and CPUs, blocks that
 * were not touched, replays that mostly wait, and the machine.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/run/invocation.h"
#include "harness/run/run.h"

enum { CONFIDENCE_REPS = 6 };
#define WAITS_SHARE 0.10 /* of events: above it a replay measures waiting, not the allocator */

/* Asked for by number. */
static uint32_t most_lanes_asked(const struct rh_run_config *config)
{
	uint32_t most = 0;

	for (size_t l = 0; l < config->lane_count; l++)
		if (config->lane_list[l] != RH_LANES_DEFAULT && config->lane_list[l] > most)
			most = config->lane_list[l];
	return most;
}

static void warn_of_lanes(const struct rh_run_config *config, struct rh_result *result)
{
	uint32_t most = 0, asked = most_lanes_asked(config);

	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].lanes * result->trials[t].copies > most)
			most = result->trials[t].lanes * result->trials[t].copies;
	if (most > result->host.cpus_allowed)
		rh_result_warn(
			result,
			"%u lanes on %u CPUs: memory, contents and locks held across a switch "
			"are those of so many threads; times contain the scheduler's work, and "
			"contention of more than %u at once cannot be seen here",
			most, result->host.cpus_allowed, result->host.cpus_allowed);
	for (size_t i = 0; i < result->trace_count; i++)
		if (asked > result->traces[i].lanes_recorded)
			rh_result_warn(result,
				       "%s: recorded on %u lane%s, so that is the most it "
				       "runs on (--copies runs it several times side by side)",
				       result->traces[i].path, result->traces[i].lanes_recorded,
				       result->traces[i].lanes_recorded == 1 ? "" : "s");
	for (size_t i = 0; i < result->program_count; i++) {
		const struct rh_run_program *p = &result->programs[i];

		if (!config->lanes && p->folded)
			rh_result_warn(result,
				       "%s: %u recorded lanes folded onto %u, one per CPU "
				       "(--lanes recorded keeps them)",
				       result->traces[p->trace].path,
				       result->traces[p->trace].lanes_recorded, p->lanes);
		if (p->stats.truncated_text[0])
			rh_result_warn(result, "%s", p->stats.truncated_text);
		if (p->stats.sample)
			rh_result_warn(
				result,
				"%s is a sample of its program's blocks (one byte in %" PRIu64
				" hit): this replays a heap of that size, not the "
				"program's; reheap info estimates the whole, reheap record "
				"without --sample-bytes records it",
				result->traces[p->trace].path, p->stats.sample);
		if (p->stats.incomplete[0])
			rh_result_warn(result, "%s is not complete: %s",
				       result->traces[p->trace].path, p->stats.incomplete);
	}
}

/* The program's time was measured on the allocator it ran with, and is compared with libc. */
static void warn_of_served(struct rh_result *result)
{
	for (size_t t = 0; t < result->trace_count; t++)
		for (size_t n = 0; n < result->traces[t].note_count; n++) {
			const struct rh_pair *note = &result->traces[t].notes[n];

			if (strcmp(note->name, "allocator") == 0 &&
			    strncmp(note->value, "libc.", 5) != 0 &&
			    strncmp(note->value, "libc-", 5) != 0)
				rh_result_warn(
					result,
					"%s: recorded on %s, not on libc: what the heap is worth "
					"is of the CPU time on that (record --preload libc.so.6)",
					result->traces[t].path, note->value);
		}
}

/* A replay that waits most of the time measures the order of the recording. */
static void warn_of_waits(struct rh_result *result)
{
	double worst = 0;
	const char *trace = NULL;

	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];
		double share = trial->events ? (double)trial->blocked / (double)trial->events : 0;

		if (share <= worst)
			continue;
		worst = share;
		trace = result->traces[trial->trace].path;
	}
	if (worst > WAITS_SHARE)
		rh_result_warn(result,
			       "%s: %.0f %% of the events had to wait for another lane: times "
			       "are those of the recorded order more than of the heap",
			       trace, 100 * worst);
}

/* How much of each block was written decides what memory figures are worth. */
static void settle_touch(const struct rh_run_config *config, struct rh_result *result)
{
	size_t touched = 0;

	for (size_t i = 0; i < result->program_count; i++) {
		const struct rh_run_program *p = &result->programs[i];

		touched += p->program.head->touched;
		if (config->replay.touch == RH_TOUCH_RECORDED && !p->program.head->touched)
			rh_result_warn(result,
				       "%s does not say how much of its blocks was written: "
				       "they are in full",
				       result->traces[p->trace].path);
		if (p->stats.untouched && config->replay.touch >= RH_TOUCH_PAGE)
			rh_result_warn(
				result,
				"%s: %llu large blocks (%.0f MiB) are not touched: with them "
				"more than %.0f MiB would be resident%s",
				result->traces[p->trace].path,
				(unsigned long long)p->stats.untouched,
				(double)p->stats.untouched_bytes / (1 << 20),
				(double)p->stats.touch_bound / (1 << 20),
				p->stats.touch_noted ? ", which the program never had" : "");
	}
	if ((config->replay.touch == RH_TOUCH_AUTO || config->replay.touch == RH_TOUCH_RECORDED) &&
	    (touched == 0 || touched == result->program_count))
		result->touch = rh_touch_names[touched ? RH_TOUCH_RECORDED : RH_TOUCH_FULL];
}

static void warn_of_host(const struct rh_run_config *config, struct rh_result *result)
{
	const struct rh_host *host = &result->host;

	if (host->load1 > host->cpus_allowed * 0.5)
		rh_result_warn(result,
			       "the machine is busy (load %.1f on %u CPUs): intervals will "
			       "be wide",
			       host->load1, host->cpus_allowed);
	if (host->governor[0] && strcmp(host->governor, "performance") != 0)
		rh_result_warn(result, "CPU governor is %s: clocks may change between trials",
			       host->governor);
	if (strcmp(host->thp, "always") == 0)
		rh_result_warn(result,
			       "transparent huge pages are 'always': RSS is in steps of 2 MiB");
	/* From the least to the largest of n values the median lies but in two of 2^n cases. */
	if (config->reps == 1)
		rh_result_warn(result,
			       "1 repetition: values without an interval (--reps 6 reaches 95 %%)");
	else if (config->reps < CONFIDENCE_REPS)
		rh_result_warn(
			result,
			"%llu repetitions: intervals go from the least to the largest value, "
			"which is %.0f %% sure (--reps 6 reaches 95 %%)",
			(unsigned long long)config->reps,
			100 * (1 - 2 / exp2((double)config->reps)));
	if (result->clock.why)
		rh_result_warn(result, "clock is %s: %s", result->clock.name, result->clock.why);
	if (config->replay.pace)
		rh_result_warn(result, "--pace %s: times per event contain the recorded pauses",
			       result->pace);
	if (config->under)
		rh_result_warn(result, "workers ran under '%s': times are its times",
			       config->under);
	if (config->replay.verify)
		rh_result_warn(result, "--verify is on: times contain its checks");
}

void rh_run_warn(const struct rh_run_config *config, struct rh_result *result)
{
	warn_of_lanes(config, result);
	settle_touch(config, result);
	warn_of_waits(result);
	warn_of_served(result);
	warn_of_host(config, result);
}
