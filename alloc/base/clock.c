/*
 * clock.c - which clock to trust, and how long its tick is.
 *
 * Calibration: (1) the environment, the flags of the CPU and the kernel's own choice
 * of clock source may rule the counter out; (2) two windows of counter against
 * CLOCK_MONOTONIC_RAW must agree within 50 ppm. Each window edge is a bracket
 * raw, counter, raw: the tightest of several, so that a preempted read (a busy
 * machine gives one in a few thousand) does not become drift. A pair of windows that
 * disagrees is tried again twice before the counter is given up.
 * (3) With the clock chosen, its step and the cost of an empty fenced pair are read
 * off a histogram, not a sort: nothing here allocates.
 */
#include "alloc/base/clock_io.h"

#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/* A read is off by half a bracket, 30 ns at each edge: 60 ns in 50 ms are 1.2
	 * ppm, far below the 50 that are allowed. */
	WINDOW_NS = 50000000,
	BRACKETS = 16, /* reads per window edge; 16 x 60 ns is nothing in 50 ms */
	PAIRS_OF_WINDOWS = 3,
	DRIFT_PPM_MAX = 50,
	/* Enough that some of the reads follow each other without an interrupt; about
	 * 0.1 ms. */
	STEP_READS = 4096,
	/* Odd, so the median is one of them. */
	PAIRS = 4001,
	PAIR_TICKS_MAX = 4096, /* longer ones were interrupted; they still count as long */
};

_Static_assert(PAIRS <= UINT16_MAX, "a count of pairs is 16 bits");

#if defined(__x86_64__)
static const enum rh_clock_source counter_source = RH_CLOCK_TSC;
bool rh_clock_is_counter = true;
#elif defined(__aarch64__)
static const enum rh_clock_source counter_source = RH_CLOCK_CNTVCT;
bool rh_clock_is_counter = true;
#else
/* Other machines have counters too, but none here to test with: a clock that is right
 * and slower is better. */
static const enum rh_clock_source counter_source = RH_CLOCK_MONOTONIC;
bool rh_clock_is_counter = false;
#endif

/* The start of a file as text; "" when it cannot be read. */
static void read_text(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	assert(bytes > 0);
	/* Files of /proc have no size, and a read may return a part. */
	while (fd >= 0 && used < bytes - 1 && (n = read(fd, text + used, bytes - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Whole words: "nonstop_tsc" is also part of "nonstop_tsc_s3", which promises
 * something else. */
static bool has_word(const char *line, const char *word)
{
	size_t bytes = strlen(word);

	for (const char *at = line; (at = strstr(at, word)); at += bytes) {
		char after = at[bytes];

		if ((at == line || at[-1] == ' ' || at[-1] == '\t') &&
		    (after == ' ' || after == '\n' || after == '\0'))
			return true;
	}
	return false;
}

/* Flags of the first CPU: the list stands in the first 4 KiB on every CPU we know. */
static const char *why_not_invariant(const char *cpuinfo)
{
	char text[8192], *flags, *end;

	read_text(cpuinfo, text, sizeof(text));
	flags = strstr(text, "\nflags");
	if (!flags)
		return "cpuinfo lists no flags, so the TSC may not be invariant";
	flags++;
	end = strchr(flags, '\n');
	if (end)
		*end = '\0';
	/* Without it the counter follows the frequency of the core, and ticks of one
	 * run mean different times. */
	if (!has_word(flags, "constant_tsc"))
		return "the TSC changes its rate (no constant_tsc)";
	/* A lane that sleeps for recorded order would lose that time. */
	if (!has_word(flags, "nonstop_tsc"))
		return "the TSC stops in deep sleep (no nonstop_tsc)";
	return NULL;
}

/* A kernel that runs on one of the slow clocks has found the TSC wanting. */
static const char *why_kernel_distrusts(const char *clocksource)
{
	static const char *const slow[] = { "hpet", "acpi_pm", "jiffies", "refined-jiffies",
					    "pit",  NULL };
	char text[64];

	read_text(clocksource, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	for (int i = 0; slow[i]; i++)
		if (strcmp(text, slow[i]) == 0)
			return "the kernel does not use the TSC as its clock source";
	return NULL;
}

static const char *why_not_counter(const struct rh_clock_io *io)
{
	const char *why = NULL;

	if (counter_source == RH_CLOCK_MONOTONIC)
		return "no counter is known on this CPU";
	if (io->wanted && strcmp(io->wanted, "monotonic") == 0)
		return "REHEAP_CLOCK=monotonic is set";
	/* NULL on aarch64: the architecture promises that CNTVCT neither stops nor
	 * changes its rate. */
	if (io->cpuinfo)
		why = why_not_invariant(io->cpuinfo);
	/* The reason is a sentence, because it stands in the result: a reader must
	 * see why latencies have the slower clock's grain. */
	return why ? why : why_kernel_distrusts(io->clocksource);
}

struct instant {
	uint64_t ticks, ns;
};

static struct instant read_both(const struct rh_clock_io *io)
{
	struct instant best = { 0 };
	uint64_t width = UINT64_MAX;

	for (int i = 0; i < BRACKETS; i++) {
		uint64_t before = io->raw_ns(io->ctx);
		uint64_t ticks = io->counter(io->ctx);
		uint64_t after = io->raw_ns(io->ctx);

		/* The counter was read somewhere in between, so its middle is wrong
		 * by half the width at most. */
		if (after - before < width) {
			width = after - before;
			best = (struct instant){ ticks, before + width / 2 };
		}
	}
	return best;
}

/* ns per tick over one window; 0 when the counter did not move forward. RAW and not MONOTONIC:
 * NTP slews the latter by up to 500 ppm, ten times what is allowed to pass. */
static double window(const struct rh_clock_io *io, uint64_t window_ns)
{
	struct instant a = read_both(io), b;

	io->sleep(io->ctx, window_ns);
	b = read_both(io);
	if (b.ticks <= a.ticks || b.ns <= a.ns)
		return 0;
	return (double)(b.ns - a.ns) / (double)(b.ticks - a.ticks);
}

static const char *calibrate_counter(const struct rh_clock_io *io, uint64_t window_ns,
				     struct rh_clock *clock)
{
	for (int i = 0; i < PAIRS_OF_WINDOWS; i++) {
		double first = window(io, window_ns), second = window(io, window_ns);

		if (first <= 0 || second <= 0)
			return "the counter does not move forward";
		clock->ns_per_tick = (first + second) / 2;
		clock->drift_ppm = fabs(first - second) / clock->ns_per_tick * 1e6;
		/* The mean of both windows is kept: it is the longer measurement. */
		if (clock->drift_ppm <= DRIFT_PPM_MAX)
			return NULL;
	}
	return "the counter drifts against CLOCK_MONOTONIC_RAW by more than 50 ppm";
}

void rh_clock_measure(const struct rh_clock_io *io, uint64_t window_ns, struct rh_clock *clock)
{
	*clock = (struct rh_clock){ .source = counter_source };
	clock->why = why_not_counter(io);
	if (!clock->why)
		clock->why = calibrate_counter(io, window_ns ? window_ns : WINDOW_NS, clock);
	if (clock->why) {
		clock->source = RH_CLOCK_MONOTONIC;
		/* rh_ticks reads nanoseconds then, so users of ticks need no second
		 * case. */
		clock->ns_per_tick = 1;
	}
	clock->name = clock->source == RH_CLOCK_TSC	 ? "tsc"
		      : clock->source == RH_CLOCK_CNTVCT ? "cntvct"
							 : "monotonic";
	assert(clock->ns_per_tick > 0 && clock->name);
}

/* Steps of 0 are reads within one tick and say nothing about its length. */
static uint64_t smallest_step(void)
{
	uint64_t step = UINT64_MAX, last = rh_ticks();

	for (int i = 0; i < STEP_READS; i++) {
		uint64_t now = rh_ticks();

		if (now > last && now - last < step)
			step = now - last;
		last = now;
	}
	return step == UINT64_MAX ? 1 : step;
}

/* The median: the mean would hold the interrupts of this moment, the minimum a pair
 * that overlapped with its neighbour. Subtracted from each latency. */
static uint64_t median_pair_cost(void)
{
	uint16_t counts[PAIR_TICKS_MAX] = { 0 };
	uint64_t cost = 0;
	unsigned seen = 0;

	for (int i = 0; i < PAIRS; i++) {
		uint32_t cpu;
		uint64_t begin = rh_ticks_begin();
		uint64_t ticks = rh_ticks_end(&cpu) - begin;

		counts[ticks < PAIR_TICKS_MAX ? ticks : PAIR_TICKS_MAX - 1]++;
	}
	while ((seen += counts[cost]) <= PAIRS / 2)
		cost++;
	assert(cost < PAIR_TICKS_MAX);
	return cost;
}

static uint64_t real_counter(void *ctx)
{
	(void)ctx;
	return rh_counter();
}

static uint64_t real_raw_ns(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Asleep, not busy: a worker that spins while it calibrates warms nothing of use and
 * takes a core from its neighbours. */
static void real_sleep(void *ctx, uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	(void)ctx;
	nanosleep(&ts, NULL);
}

void rh_clock_calibrate(struct rh_clock *clock, uint64_t window_ns)
{
	const struct rh_clock_io io = {
		.counter = real_counter,
		.raw_ns = real_raw_ns,
		.sleep = real_sleep,
		.cpuinfo = counter_source == RH_CLOCK_TSC ? "/proc/cpuinfo" : NULL,
		.clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		.wanted = getenv("REHEAP_CLOCK"),
	};

	rh_clock_measure(&io, window_ns, clock);
	/* Before the step and the cost are taken, since rh_ticks looks at it. */
	rh_clock_is_counter = clock->source != RH_CLOCK_MONOTONIC;
	clock->granularity_ticks = smallest_step();
	clock->pair_cost_ticks = median_pair_cost();
}
