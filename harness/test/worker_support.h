/*
 * worker_support.h - helpers for the tests of workers: small traces, runs of them, asserts. For
 * inclusion into one test program; everything is static.
 */
#ifndef RH_WORKER_SUPPORT_H
#define RH_WORKER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/run/run.h"
#include "harness/test/trace_maker.h"

static char dir[] = "/tmp/reheap-worker-XXXXXX";
static char odd_path[4096];

/* ---- traces ---- */

/* Every lane allocates, every object dies on the next lane: as many remote frees as there can
 * be, with resizes, zeroed and aligned blocks, large ones and some that live on. */
static void make_mixed(uint32_t lanes, unsigned rounds)
{
	struct maker m;
	uint64_t *held = calloc(lanes, sizeof(*held));

	make_open(&m, 0);
	for (unsigned round = 0; round < rounds; round++) {
		for (uint32_t lane = 0; lane < lanes; lane++) {
			uint64_t big = alloc_of(&m, lane, 1 + (round * 977u + lane * 131u) % 20000);

			if (round)
				free_of(&m, lane, held[(lane + 1) % lanes]);
			big = resize_of(&m, lane, big, 1 + (round * 613u) % 30000);
			free_of(&m, lane, alloc_as(&m, lane, 1 + round % 3000, 0, RH_EVF_ZEROED));
			free_of(&m, lane, alloc_as(&m, lane, 100, (uint8_t)(4 + round % 9), 0));
			alloc_of(&m, lane, round % 100);
			free_of(&m, lane, big);
		}
		for (uint32_t lane = 0; lane < lanes; lane++)
			held[lane] = alloc_of(&m, lane, 16 + round % 500);
	}
	make_close(&m);
	free(held);
}

/* ---- runs ---- */

static char *traces[] = { trace_path };

/* Where pages of the process are counted: a sanitizer has anonymous memory of its own. */
static inline void skip_sanitized(void)
{
#ifdef RH_SANITIZE
	print_message("# SKIP shadow memory is anonymous, too\n");
	skip();
#endif
}

static struct rh_run_config config_of(const char *backends)
{
	return (struct rh_run_config){
		.traces = traces,
		.trace_count = 1,
		.backends = backends,
		.lanes = "recorded",
		.copies = "1",
		.probes = "time,memory",
		.reps = 1,
		.seed = 7,
		.replay.touch = RH_TOUCH_FIRST,
		.timeout_ns = 60ull * 1000000000u,
	};
}

static int try_run(struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	*result = (struct rh_result){ .reps = config->reps, .probes = "", .touch = "", .pace = "" };
	rh_clock_calibrate(&result->clock, 1000000);
	rh_host_read(&result->host);
	if (rh_run_prepare(config, result, err) < 0 || rh_run_trials(config, result, err) < 0)
		return -1;
	rh_result_measure(result);
	return 0;
}

static void run(struct rh_run_config *config, struct rh_result *result)
{
	struct rh_err err = { 0 };

	if (try_run(config, result, &err) < 0)
		fail_msg("%s", err.text);
}

static void done(struct rh_run_config *config, struct rh_result *result)
{
	rh_run_config_free(config);
	rh_result_free(result);
}

static const struct rh_trial *trial_of(const struct rh_result *result, const char *backend)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (strcmp(result->backends[result->trials[t].backend].text, backend) == 0)
			return &result->trials[t];
	fail_msg("no trial of %s", backend);
	return NULL;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not say '%s'", text, part);
}

static void all_ok(const struct rh_result *result)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].status != RH_STATUS_OK)
			fail_msg("%s: %s", result->backends[result->trials[t].backend].text,
				 result->trials[t].why);
}

static int make_dir(void **state)
{
	char self[3900];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (!mkdtemp(dir) || length <= 0)
		return -1;
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(odd_path, sizeof(odd_path), "%s/odd_malloc.so", self);
	snprintf(trace_path, sizeof(trace_path), "%s/t.rht", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(trace_path);
	return rmdir(dir);
}

#endif
