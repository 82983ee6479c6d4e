/*
 * probe_cost.c - what one record, one sample's gap and one lock cost, in ns and in steps that
 * callgrind can count. Built and run by probes.sh; prints `name ns`.
 *
 *	probe_cost		times everything: best of 9 rounds
 *	probe_cost NAME N	does one of them N times, for callgrind
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/base/clock.h"
#include "alloc/base/lock.h"
#include "harness/control/hist.h"
#include "harness/control/sampler.h"

enum { ROUNDS = 9, TIMES = 2000000 };

static struct rh_hist hist;
static struct rh_sampler sampler;
static struct rh_lock own_lock;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t sink;
static uint32_t values[4096];

/* The loop itself and the load of a value: taken off the others. */
static void nothing(long times)
{
	uint64_t sum = 0;

	for (long i = 0; i < times; i++) {
		sum += values[i & 4095];
		__asm__ volatile("" : "+r"(sum));
	}
	sink = sum;
}

static void record(long times)
{
	for (long i = 0; i < times; i++)
		rh_hist_add(&hist, values[i & 4095]);
}

static void gap(long times)
{
	uint64_t sum = 0;

	for (long i = 0; i < times; i++)
		sum += rh_sampler_gap(&sampler);
	sink = sum;
}

static void pair(long times)
{
	uint32_t cpu;

	for (long i = 0; i < times; i++) {
		uint64_t begin = rh_ticks_begin();

		sink = rh_ticks_end(&cpu) - begin;
	}
}

static void lock(long times)
{
	for (long i = 0; i < times; i++) {
		rh_lock(&own_lock);
		rh_unlock(&own_lock);
	}
}

static void bare_mutex(long times)
{
	for (long i = 0; i < times; i++) {
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
	}
}

static const struct {
	const char *name;
	void (*run)(long times);
} all[] = {
	{ "nothing", nothing }, { "record", record }, { "gap", gap },
	{ "pair", pair },	{ "lock", lock },     { "mutex", bare_mutex },
};
enum { COUNT = sizeof(all) / sizeof(all[0]) };

static void *nobody(void *ctx)
{
	return ctx;
}

/* libc leaves out atomics while a process has had one thread only. */
static void be_threaded(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nobody, NULL) == 0)
		pthread_join(thread, NULL);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct rh_lock_class class = { .name = "bench", .rank = 1 };
	double best[COUNT] = { 0 };

	be_threaded();
	rh_lock_init(&own_lock, &class, 0);
	rh_sampler_open(&sampler, 32, 1);
	for (int i = 0; i < 4096; i++) /* 20 ticks to 20 000, as operations take */
		values[i] = 20u + (uint32_t)((i * 2654435761u) >> (17 + i % 10));
	for (size_t i = 0; argc == 3 && i < COUNT; i++)
		if (strcmp(argv[1], all[i].name) == 0)
			all[i].run(strtol(argv[2], NULL, 10));
	for (int round = 0; argc < 3 && round < ROUNDS; round++)
		for (size_t i = 0; i < COUNT; i++) { /* in turn: a busy moment hits all */
			double since = seconds(), took;

			all[i].run(TIMES);
			took = (seconds() - since) / TIMES * 1e9;
			if (round == 0 || took < best[i])
				best[i] = took;
		}
	for (size_t i = 0; argc < 3 && i < COUNT; i++)
		printf("%s %.2f\n", all[i].name, best[i]);
	return 0;
}
