/*
 * changes.c - what an allocator changes of the process that it serves.
 *
 * A library that blocks SIGTERM, closes standard output, lowers a limit or leaves a timer running
 * is no slower, and breaks programs. The attributes are kept before the first constructor
 * (.preinit_array), compared when main begins, and again when the heap is closed, but for what the
 * worker itself has changed in between.
 *
 * Only the main thread is looked at; what a library's own threads do with theirs is their affair.
 */
#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness/worker/worker.h"

enum { SIGNALS = 32, STREAMS = 3, TIMERS = 3 };

extern char **environ;

struct attributes {
	struct {
		dev_t dev;
		ino_t ino;
		bool open;
	} stream[STREAMS];
	void (*handler[SIGNALS])(int);
	sigset_t mask;
	int priority, policy, dumpable;
	cpu_set_t cpus;
	struct rlimit limit[RLIM_NLIMITS];
	bool timer[TIMERS];
	uint64_t environment; /* a sum over variables: their order is nobody's matter */
	dev_t folder_dev;
	ino_t folder_ino;
};

static struct {
	bool kept;
	uint32_t changed;
	struct attributes first;
} state;

static uint64_t hash_of(const char *text)
{
	uint64_t hash = 14695981039346656037u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

static void read_attributes(struct attributes *out, char **env)
{
	struct sigaction action;
	struct itimerval timer;
	struct stat facts;

	memset(out, 0, sizeof(*out));
	for (int fd = 0; fd < STREAMS; fd++)
		if (fstat(fd, &facts) == 0) {
			out->stream[fd].dev = facts.st_dev;
			out->stream[fd].ino = facts.st_ino;
			out->stream[fd].open = true;
		}
	for (int s = 1; s < SIGNALS; s++) /* heaps with guard pages catch SIGSEGV and SIGBUS */
		if (s != SIGSEGV && s != SIGBUS && sigaction(s, NULL, &action) == 0)
			out->handler[s] = action.sa_handler;
	sigprocmask(SIG_SETMASK, NULL, &out->mask);
	out->priority = getpriority(PRIO_PROCESS, 0);
	out->policy = sched_getscheduler(0);
	out->dumpable = prctl(PR_GET_DUMPABLE);
	sched_getaffinity(0, sizeof(out->cpus), &out->cpus);
	for (int r = 0; r < RLIM_NLIMITS; r++)
		getrlimit(r, &out->limit[r]);
	for (int t = 0; t < TIMERS; t++)
		out->timer[t] = getitimer(t, &timer) == 0 &&
				(timer.it_value.tv_sec || timer.it_value.tv_usec);
	for (; env && *env; env++)
		out->environment += hash_of(*env);
	if (stat(".", &facts) == 0) {
		out->folder_dev = facts.st_dev;
		out->folder_ino = facts.st_ino;
	}
}

static uint32_t compare(const struct attributes *a, const struct attributes *b)
{
	bool signals = memcmp(a->handler, b->handler, sizeof(a->handler)) != 0;

	return (uint32_t)(memcmp(a->stream, b->stream, sizeof(a->stream)) != 0)
		       << RH_CHANGED_STREAMS |
	       (uint32_t)signals << RH_CHANGED_SIGNALS |
	       (uint32_t)(memcmp(&a->mask, &b->mask, sizeof(a->mask)) != 0) << RH_CHANGED_MASK |
	       (uint32_t)(a->priority != b->priority || a->policy != b->policy)
		       << RH_CHANGED_PRIORITY |
	       (uint32_t)!CPU_EQUAL(&a->cpus, &b->cpus) << RH_CHANGED_CPUS |
	       (uint32_t)(memcmp(a->limit, b->limit, sizeof(a->limit)) != 0) << RH_CHANGED_LIMITS |
	       (uint32_t)(a->dumpable != b->dumpable) << RH_CHANGED_DUMPABLE |
	       (uint32_t)(memcmp(a->timer, b->timer, sizeof(a->timer)) != 0) << RH_CHANGED_TIMERS |
	       (uint32_t)(a->environment != b->environment) << RH_CHANGED_ENVIRONMENT |
	       (uint32_t)(a->folder_dev != b->folder_dev || a->folder_ino != b->folder_ino)
		       << RH_CHANGED_FOLDER;
}

void rh_changes_first(char **env)
{
	assert(!state.kept); /* what came first stays */
	state.kept = true;
	read_attributes(&state.first, env);
}

void rh_changes_at_start(void)
{
	struct attributes now;

	if (!state.kept)
		rh_changes_first(environ);
	read_attributes(&now, environ);
	assert(state.changed == 0);
	state.changed = compare(&state.first, &now);
}

uint32_t rh_changes_at_end(void (*crash_handler)(int, siginfo_t *, void *))
{
	struct attributes now;

	assert(state.kept && crash_handler);
	read_attributes(&now, environ);
	/* what we have changed since */
	for (int s = 1; s < SIGNALS; s++)
		if (now.handler[s] == (void (*)(int))(uintptr_t)crash_handler ||
		    (s == SIGINT && now.handler[s] == SIG_IGN))
			now.handler[s] = state.first.handler[s];
	now.limit[RLIMIT_DATA] = state.first.limit[RLIMIT_DATA];
	return state.changed | compare(&state.first, &now);
}
