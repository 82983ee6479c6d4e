/*
 * counters.c - finds out which counters this machine has by using them.
 *
 * The known work, about 20 ms: a million rounds of a loop with a branch that depends on
 * random bits; one word of every line of 16 MiB, in an order no prefetcher knows and with a
 * page touched twice in a row only by chance, all pages fresh; four short sleeps; once over to
 * another CPU and back. From this follow bounds for each counter, wide enough for any CPU and
 * narrow enough to detect a counter that stands still or runs wild.
 */
#include "harness/probe/counters.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "alloc/base/os.h"

const char *const rh_counter_names[RH_COUNTERS] = {
	"instructions",	    "cycles",	   "l1d_misses",    "l2_misses",
	"llc_misses",	    "dtlb_misses", "branch_misses", "page_faults",
	"context_switches", "migrations",  "task_clock_ns",
};

enum {
	ROUNDS = 1000000,
	WALK_BYTES = 16 << 20,
	WALK_LINES = WALK_BYTES / RH_CACHE_LINE,
	SLEEPS = 4,
};

enum rh_cpu_family rh_cpu_family(void)
{
#if defined(__x86_64__) || defined(__i386__)
	unsigned a, b, c, d;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return RH_CPU_OTHER;
	return b == signature_INTEL_ebx ? RH_CPU_INTEL
	       : b == signature_AMD_ebx ? RH_CPU_AMD
					: RH_CPU_OTHER;
#elif defined(__aarch64__)
	return RH_CPU_ARM;
#else
	return RH_CPU_OTHER;
#endif
}

const char *rh_counters_no_pmu(void)
{
	DIR *dir = opendir("/sys/bus/event_source/devices");
	const struct dirent *entry;
	bool found = false;

	if (!dir)
		return "the kernel shows no event sources under /sys/bus/event_source";
	while ((entry = readdir(dir)))
		found |= strncmp(entry->d_name, "cpu", 3) == 0 ||
			 strstr(entry->d_name, "_pmu") != NULL;
	closedir(dir);
	return found ? NULL : "the kernel shows no PMU under /sys/bus/event_source/devices";
}

/* ---- known work ---- */

static volatile uint64_t sink;

static void work_on_cpu(void)
{
	uint64_t bits = 88172645463325252ull, sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		/* Stays a branch: the compiler cannot turn the empty asm into a conditional move.
		 */
		if (bits & 1)
			__asm__ volatile("" : "+r"(sum));
		else
			sum += bits;
	}
	sink = sum;
}

/* A full-period generator modulo a power of two visits every line once. */
static void work_on_memory(void)
{
	volatile char *area =
		mmap(NULL, WALK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t line = 1;

	if (area == MAP_FAILED)
		return;
	madvise((void *)(uintptr_t)area, WALK_BYTES, MADV_NOHUGEPAGE);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < WALK_LINES; i++) {
			line = (line * 1664525u + 1013904223u) % WALK_LINES;
			area[(size_t)line * RH_CACHE_LINE]++;
		}
	}
	munmap((void *)(uintptr_t)area, WALK_BYTES);
}

static void work_for_kernel(void)
{
	struct timespec moment = { .tv_nsec = 50000 };
	struct rh_cpus before, one;
	int here = sched_getcpu();

	for (int i = 0; i < SLEEPS; i++)
		nanosleep(&moment, NULL);
	if (here < 0 || !rh_cpus_get(&before))
		return;
	for (int cpu = 0; cpu < RH_CPUS_MAX; cpu++) {
		if (cpu == here || !rh_cpus_has(&before, cpu))
			continue;
		one = rh_cpus_one(cpu);
		rh_cpus_set(&one);
		rh_cpus_set(&before);
		break;
	}
}

void rh_counter_bounds(enum rh_counter counter, uint64_t *least, uint64_t *most)
{
	static const struct {
		uint64_t least, most;
	} bounds[RH_COUNTERS] = {
		/* at least five instructions a round, at most a thousand for all together */
		[RH_COUNT_INSTRUCTIONS] = { 5ull * ROUNDS, 1000ull * ROUNDS },
		[RH_COUNT_CYCLES] = { ROUNDS / 2, 10000ull * ROUNDS },
		/* every line is missed once at least in a cache it does not fit in */
		[RH_COUNT_L1D_MISSES] = { WALK_LINES / 4, 100ull * WALK_LINES },
		[RH_COUNT_L2_MISSES] = { WALK_LINES / 16, 100ull * WALK_LINES },
		[RH_COUNT_LLC_MISSES] = { 1, 100ull * WALK_LINES },
		[RH_COUNT_DTLB_MISSES] = { WALK_LINES / 256, 100ull * WALK_LINES },
		[RH_COUNT_BRANCH_MISSES] = { ROUNDS / 20, 10ull * ROUNDS },
		[RH_COUNT_PAGE_FAULTS] = { 1, 10 },
		[RH_COUNT_CONTEXT_SWITCHES] = { SLEEPS, 100000 },
		[RH_COUNT_MIGRATIONS] = { 1, 100000 },
		[RH_COUNT_TASK_CLOCK] = { ROUNDS / 10, 100ull * 1000000000u },
	};

	*least = bounds[counter].least;
	*most = bounds[counter].most;
	if (counter == RH_COUNT_PAGE_FAULTS) { /* for each two pages, for each */
		*least *= WALK_BYTES / rh_page_bytes() / 2;
		*most *= WALK_BYTES / rh_page_bytes();
	}
	if (counter == RH_COUNT_MIGRATIONS && rh_cpu_count() == 1)
		*least = 0;
}

/* ---- proof ---- */

static void say(struct rh_counter_proof *proof, const char *event, const char *why)
{
	size_t used = strlen(proof->why);

	snprintf(proof->why + used, sizeof(proof->why) - used, "%s%s: %s", used ? "; " : "", event,
		 why);
}

/* The thread that does the known work is counted from outside, as lanes are: a source that can
 * count its caller may be unable to attach (PAPI without a PMU). */
struct workman {
	pthread_t thread;
	_Atomic uint32_t tid, go; /* go: 1 work, 2 leave */
};

static void *work(void *opaque)
{
	struct workman *man = opaque;

	atomic_store(&man->tid, (uint32_t)syscall(SYS_gettid));
	rh_futex_wake(&man->tid, 1);
	while (!atomic_load(&man->go))
		rh_futex_wait(&man->go, 0, UINT64_MAX);
	if (atomic_load(&man->go) == 2)
		return NULL;
	work_on_cpu();
	work_on_memory();
	work_for_kernel();
	return NULL;
}

static void send(struct workman *man, uint32_t go)
{
	atomic_store(&man->go, go);
	rh_futex_wake(&man->go, 1);
	pthread_join(man->thread, NULL);
}

/* Counts one event over the known work. */
static int count_work(const struct rh_counter_source *source, const char *event, uint64_t *value,
		      struct rh_err *err)
{
	struct workman man = { .tid = 0 };
	struct rh_counter_set *set;
	int code = pthread_create(&man.thread, NULL, work, &man);

	if (code)
		return rh_fail(err, RH_OS, "no thread to try counters on: %s", strerror(code));
	while (!atomic_load(&man.tid))
		rh_futex_wait(&man.tid, 0, UINT64_MAX);
	if (source->start(&set, &event, 1, (pid_t)atomic_load(&man.tid), err) < 0) {
		send(&man, 2);
		return -1;
	}
	send(&man, 1);
	return source->stop(set, value, err);
}

static bool prove_event(const struct rh_counter_source *source, enum rh_counter counter,
			const char *event, struct rh_counter_proof *proof)
{
	struct rh_err err = { 0 };
	uint64_t least, most;
	char text[120];

	if (count_work(source, event, &proof->value, &err) < 0) {
		say(proof, event, err.text);
		return false;
	}
	rh_counter_bounds(counter, &least, &most);
	if (proof->value >= least && proof->value <= most)
		return true;
	snprintf(text, sizeof(text), "counted %llu where at least %llu and at most %llu happened",
		 (unsigned long long)proof->value, (unsigned long long)least,
		 (unsigned long long)most);
	say(proof, event, text);
	return false;
}

void rh_counters_prove(const struct rh_counter_source *source,
		       struct rh_counter_proof proof[RH_COUNTERS])
{
	enum rh_cpu_family family = rh_cpu_family();
	struct rh_err err = { 0 };
	bool open = source->open(&err) == 0;

	memset(proof, 0, RH_COUNTERS * sizeof(*proof));
	for (int c = 0; c < RH_COUNTERS; c++) {
		const char *const *chain = source->chain((enum rh_counter)c, family);

		if (!open) {
			snprintf(proof[c].why, sizeof(proof[c].why), "%.*s", RH_COUNT_WHY_BYTES - 1,
				 err.text);
			continue;
		}
		for (; chain && *chain && !proof[c].event; chain++)
			if (prove_event(source, (enum rh_counter)c, *chain, &proof[c]))
				proof[c].event = *chain;
		if (!proof[c].event && !proof[c].why[0])
			snprintf(proof[c].why, sizeof(proof[c].why),
				 "this family of CPUs has no event for it");
	}
}

const struct rh_counter_proof *rh_counters_proven(const struct rh_counter_source *source)
{
	static struct {
		const struct rh_counter_source *source;
		struct rh_counter_proof proof[RH_COUNTERS];
	} kept[3];
	size_t i = 0;

	while (i < 2 && kept[i].source && kept[i].source != source)
		i++;
	if (kept[i].source != source) {
		kept[i].source = source;
		rh_counters_prove(source, kept[i].proof);
	}
	return kept[i].proof;
}
