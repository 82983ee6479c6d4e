/*
 * probe_support.h - helpers for the tests of probes, on top of worker_support.h: backends of
 * this folder by name, and checks of a result's contents. For inclusion into one test program.
 */
#ifndef RH_PROBE_SUPPORT_H
#define RH_PROBE_SUPPORT_H

#include "harness/test/worker_support.h"

/* A backend of this folder with knobs, like plugin("locking", ":lock=lane"); good for the
 * next call but one. */
static const char *plugin(const char *name, const char *knobs)
{
	static char spec[2][4300];
	static int turn;
	int dir_bytes = (int)(strrchr(odd_path, '/') - odd_path);

	turn ^= 1;
	snprintf(spec[turn], sizeof(spec[0]), "%.*s/%s.so%s", dir_bytes, odd_path, name, knobs);
	return spec[turn];
}

/* One run of make_mixed() with these probes, in which no trial may fail. */
static void run_probes(struct rh_run_config *config, struct rh_result *result, const char *probes,
		       uint32_t lanes, unsigned rounds)
{
	make_mixed(lanes, rounds);
	config->probes = probes;
	run(config, result);
	all_ok(result);
}

/* A metric of the first shape of lanes and copies; NULL when there is none. */
static const struct rh_metric *metric_of(const struct rh_result *result, uint32_t backend,
					 const char *name)
{
	const struct rh_trial *trial = &result->trials[0];

	return rh_result_metric(
		result, (struct rh_metric_place){ 0, backend, trial->lanes, trial->copies }, name);
}

static double median(const struct rh_result *result, uint32_t backend, const char *name)
{
	const struct rh_metric *metric = metric_of(result, backend, name);

	if (!metric)
		fail_msg("%s was not measured for %s", name, result->backends[backend].text);
	return metric->median;
}

/* The sentence that says why; NULL when the metric is not listed as absent. */
static const char *why_absent(const struct rh_result *result, const char *metric)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strcmp(result->absent[i].metric, metric) == 0)
			return result->absent[i].why;
	return NULL;
}

static bool is_absent(const struct rh_result *result, const char *metric)
{
	const char *why = why_absent(result, metric);

	return why && why[0] != '\0';
}

/* What a probe found in a trial, by its member of struct rh_found; fails when it found nothing. */
#define FOUND(trial, probe) \
	((__typeof__((trial)->found.probe))need_found((trial)->found.probe, #probe))

static const void *need_found(const void *found, const char *probe)
{
	if (!found)
		fail_msg("the trial has no probe %s", probe);
	return found;
}

#endif
