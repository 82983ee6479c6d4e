/*
 * figures.c - see figures.h. The kernel splits CPU time into user and kernel time only in ticks
 * of 10 ms (/proc/PID/stat); it reports their sum exactly, by the process's clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/clock.h"
#include "alloc/base/os.h"
#include "traces/record/figures.h"

enum { STAT_KERNEL = 13 }; /* spaces from the name to stime; utime is before it */

static uint64_t cpu_clock_ns(int pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

bool rh_figures_now(int pid, struct rh_used *now)
{
	char path[64], text[2048], *at;
	unsigned long long user, kernel;
	uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK), all;
	FILE *in;
	size_t got;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	in = fopen(path, "re");
	if (!in)
		return false;
	got = fread(text, 1, sizeof text - 1, in);
	fclose(in);
	text[got] = '\0';
	at = strrchr(text, ')');
	for (int i = 0; at && i < STAT_KERNEL - 1; i++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu %llu", &user, &kernel) != 2)
		return false;
	all = cpu_clock_ns(pid);
	if (all < (user + kernel) * tick_ns)
		all = (user + kernel) * tick_ns;
	*now = (struct rh_used){ .user_ns = all - kernel * tick_ns,
				 .kernel_ns = kernel * tick_ns,
				 .wall_ns = rh_now_ns() };
	return true;
}

/* Reads both clocks, one after the other, and converts the stamp to the other one. 0 for a stamp
 * from before the clock began, which only a damaged area holds. */
static uint64_t wall_of(const struct rh_area *area, uint64_t stamp)
{
	uint64_t now = rh_now_ns();
	double ago = (double)(rh_ticks() - stamp) * 1e6 / (double)area->ticks_per_ms;

	return ago < (double)now ? now - (uint64_t)ago : 0;
}

void rh_figures_begin(struct rh_figures_life *life, const struct rh_area *area,
		      const struct rh_proc *proc)
{
	memset(life, 0, sizeof *life);
	life->begin = (struct rh_used){ .user_ns = proc->user_us[0] * 1000,
					.kernel_ns = proc->kernel_us[0] * 1000,
					.wall_ns = wall_of(area, proc->stamp) };
	life->last = life->begin;
	if (!atomic_load(&area->recording))
		rh_figures_pause(life, true);
}

void rh_figures_look(struct rh_figures_life *life, const struct rh_used *now)
{
	life->last = *now;
	life->known = true;
}

void rh_figures_pause(struct rh_figures_life *life, bool off)
{
	if (off == life->is_off)
		return;
	life->is_off = off;
	if (off) {
		life->since = life->last;
		return;
	}
	life->off.user_ns += life->last.user_ns - life->since.user_ns;
	life->off.kernel_ns += life->last.kernel_ns - life->since.kernel_ns;
	life->off.wall_ns += life->last.wall_ns - life->since.wall_ns;
}

/* The process's own figure is exact, but excludes what the kernel does for it afterwards. */
void rh_figures_end(struct rh_figures_life *life, const struct rh_area *area,
		    const struct rh_proc *proc)
{
	uint64_t stamp = atomic_load(&proc->end_stamp), user, kernel, all;

	if (!stamp)
		return;
	user = proc->user_us[1] * 1000;
	kernel = proc->kernel_us[1] * 1000;
	all = life->last.user_ns + life->last.kernel_ns;
	if (proc->peak_rss > life->peak_rss)
		life->peak_rss = proc->peak_rss;
	if (kernel > life->last.kernel_ns)
		life->last.kernel_ns = kernel;
	if (all < user + kernel)
		all = user + kernel;
	if (life->last.wall_ns < wall_of(area, stamp))
		life->last.wall_ns = wall_of(area, stamp);
	life->last.user_ns = all > life->last.kernel_ns ? all - life->last.kernel_ns : 0;
	life->known = true;
}

static uint64_t minus(uint64_t end, uint64_t begin, uint64_t off)
{
	uint64_t less = begin + off;

	return end > less ? end - less : 0;
}

bool rh_figures_used(const struct rh_figures_life *life, struct rh_used *used)
{
	const struct rh_used *end = life->is_off ? &life->since : &life->last;

	if (!life->known)
		return false;
	*used = (struct rh_used){
		.user_ns = minus(end->user_ns, life->begin.user_ns, life->off.user_ns),
		.kernel_ns = minus(end->kernel_ns, life->begin.kernel_ns, life->off.kernel_ns),
		.wall_ns = minus(end->wall_ns, life->begin.wall_ns, life->off.wall_ns),
	};
	return true;
}
