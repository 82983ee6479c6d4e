/*
 * fault_cost.c - what a page fault costs here: CPU time of writing to fresh anonymous pages of
 * the usual size, one after the other; the cost of the write itself is not deducted (on a
 * present page it is 0.1 % of this). The minimum of some rounds: any disturbance only adds.
 */
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "harness/run/run.h"

enum { PAGES = 1024, ROUNDS = 5 };

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double rh_fault_cost_ns(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = PAGES * page;
	double least = 0;

	for (int round = 0; round < ROUNDS; round++) {
		char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
		double since, took;

		if (at == MAP_FAILED)
			return 0;
		madvise(at, bytes, MADV_NOHUGEPAGE);
		since = cpu_ns();
		for (size_t i = 0; i < bytes; i += page)
			((volatile char *)at)[i] = 1;
		took = (cpu_ns() - since) / PAGES;
		munmap(at, bytes);
		if (round == 0 || took < least)
			least = took;
	}
	return least;
}
