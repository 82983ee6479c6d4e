/*
 * malloc_loop.c - the program whose slow-down `make bench-record` measures: pairs of
 * malloc and free over a ring of blocks, in one or more threads. Prints seconds on the
 * wall and of CPU.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 64 };

static uint64_t calls_each;

static void *work(void *arg)
{
	void *block[BLOCKS] = { 0 };
	uint64_t seed = (uintptr_t)arg * 2654435761u + 1;

	for (uint64_t i = 0; i < calls_each / 2; i++) {
		unsigned at = i % BLOCKS;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		free(block[at]);
		block[at] = malloc(16 + (seed >> 56));
		if (!block[at])
			abort();
		*(volatile char *)block[at] = 1;
	}
	for (unsigned at = 0; at < BLOCKS; at++)
		free(block[at]);
	return NULL;
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
	pthread_t thread[64];
	double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);

	if (threads < 1 || threads > 64)
		return 2;
	calls_each = calls / (uint64_t)threads;
	if (threads == 1)
		work(NULL);
	for (long i = 0; threads > 1 && i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	for (long i = 0; threads > 1 && i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("seconds %.6f %.6f\n", now(CLOCK_MONOTONIC) - began,
	       now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
