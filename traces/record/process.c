/*
 * process.c - see process.h. The number that the process reports is tried first; all of /proc
 * is searched only for a living process that is not found there.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/process.h"

static FILE *open_of(int pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* The last number of a field of /proc/PID/status; -1: it has none. */
static long last_number(int pid, const char *field)
{
	FILE *in = open_of(pid, "status");
	char line[512];
	size_t bytes = strlen(field);
	long found = -1;

	while (in && fgets(line, sizeof line, in)) {
		char *last;

		if (strncmp(line, field, bytes) != 0)
			continue;
		last = strrchr(line, '\t');
		found = last ? strtol(last + 1, NULL, 10) : -1;
		break;
	}
	if (in)
		fclose(in);
	return found;
}

enum sight { SEEN, NOT_SEEN, HIDDEN };

static enum sight has_mapped(int pid, uint64_t address, uint64_t inode)
{
	FILE *in = open_of(pid, "maps");
	char line[512];
	/* Whether we lack permission to look; an ended process does not count. */
	enum sight sight = in ? NOT_SEEN : errno == EACCES || errno == EPERM ? HIDDEN : NOT_SEEN;

	while (sight == NOT_SEEN && fgets(line, sizeof line, in)) {
		char *at, *field = line;
		uint64_t from = strtoull(line, &at, 16);

		if (*at != '-' || from != address)
			continue;
		for (int i = 0; i < 4 && field; i++) { /* range, access, offset, device */
			field = strchr(field, ' ');
			field += field != NULL;
		}
		if (field && strtoull(field, NULL, 10) == inode)
			sight = SEEN;
	}
	if (in)
		fclose(in);
	return sight;
}

/* When it began, in ticks since boot; 0: not known. */
static uint64_t began(int pid)
{
	FILE *in = open_of(pid, "stat");
	char line[1024], *at = NULL;

	if (in && fgets(line, sizeof line, in))
		at = strrchr(line, ')'); /* its name may contain anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (in)
		fclose(in);
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

static bool is_taken(const struct rh_process_seek *seek, int pid)
{
	for (size_t i = 0; i < seek->taken_count; i++)
		if (seek->taken[i] == pid)
			return true;
	return false;
}

/* A process of another user hides its mappings. Then the number must suffice, for a process that
 * began after this recorder: the machine's first process has the same number as the first in any
 * namespace, and a container hides its mappings even from root. */
static bool may_be(const struct rh_process_seek *seek, int pid)
{
	enum sight sight;

	if (last_number(pid, "NSpid:") != seek->inner)
		return false;
	sight = has_mapped(pid, seek->mapped, seek->inode);
	return sight == SEEN || (sight == HIDDEN && began(pid) >= began(getpid()));
}

/* Checked again once we hold the descriptor: from now on the number cannot be reused. */
static bool matches(const struct rh_process_seek *seek, int pid, int *pidfd)
{
	if (is_taken(seek, pid) || !may_be(seek, pid))
		return false;
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*pidfd < 0)
		return false;
	if (may_be(seek, pid))
		return true;
	close(*pidfd);
	*pidfd = -1;
	return false;
}

/* Does /proc show the numbers of our namespace? */
static bool proc_is_ours(void)
{
	char self[32];
	ssize_t got = readlink("/proc/self", self, sizeof self - 1);

	if (got <= 0)
		return false;
	self[got] = '\0';
	return strtol(self, NULL, 10) == (long)getpid();
}

enum rh_process_found rh_process_find(const struct rh_process_seek *seek, int *pid, int *pidfd)
{
	struct dirent *entry;
	DIR *all;

	*pidfd = -1;
	*pid = seek->inner;
	if (!proc_is_ours())
		return RH_PROCESS_UNKNOWN;
	if (matches(seek, seek->inner, pidfd))
		return RH_PROCESS_FOUND;
	all = opendir("/proc");
	if (!all)
		return RH_PROCESS_UNKNOWN;
	while (*pidfd < 0 && (entry = readdir(all))) {
		int number = (int)strtol(entry->d_name, NULL, 10);

		if (number > 0 && number != seek->inner && matches(seek, number, pidfd))
			*pid = number;
	}
	closedir(all);
	return *pidfd >= 0 ? RH_PROCESS_FOUND : RH_PROCESS_GONE;
}

bool rh_process_over(int pidfd)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static bool is_held(pthread_mutex_t *mutex)
{
	int got = pthread_mutex_trylock(mutex);

	if (got == EOWNERDEAD)
		got = pthread_mutex_consistent(mutex);
	if (got == 0)
		pthread_mutex_unlock(mutex);
	return got == EBUSY;
}

bool rh_process_holds(struct rh_area *area, uint32_t slot)
{
	uint32_t high = atomic_load(&area->rings_high);

	if (is_held(&rh_area_proc(area, slot)->alive))
		return true;
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(area, i);

		if (atomic_load(&ring->proc) == slot + 1 && is_held(&ring->owner))
			return true;
	}
	return false;
}

void rh_process_memory(int pid, uint64_t *anonymous, uint64_t *peak)
{
	FILE *in = open_of(pid, "status");
	char line[512];

	*anonymous = *peak = 0;
	while (in && fgets(line, sizeof line, in)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			*peak = strtoull(line + 6, NULL, 10) << 10;
		if (strncmp(line, "RssAnon:", 8) != 0)
			continue;
		*anonymous = strtoull(line + 8, NULL, 10) << 10;
		break;
	}
	if (in)
		fclose(in);
}

/* Kernels before 5.9 do not tell how many. */
bool rh_process_filtered(int pid, uint32_t allowed)
{
	long count = allowed ? last_number(pid, "Seccomp_filters:") : 0;

	return last_number(pid, "Seccomp:") > 0 && (count <= 0 || count > (long)allowed);
}

bool rh_process_strict(int pid)
{
	return last_number(pid, "Seccomp:") == SECCOMP_MODE_STRICT;
}

enum rh_sandbox rh_process_sandbox(int pid, uint32_t *filters)
{
	enum { MODE_FILTER = 2 };
	long mode = last_number(pid, "Seccomp:"), count = last_number(pid, "Seccomp_filters:");
	enum rh_sandbox sandbox = mode > 0 ? RH_SANDBOX_ALIKE : RH_SANDBOX_NONE;
	struct dirent *entry;
	char path[64];
	DIR *all;

	*filters = count > 0 ? (uint32_t)count : 0;
	if (mode > 0 && (mode != MODE_FILTER || count <= 0))
		return RH_SANDBOX_MIXED;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	all = opendir(path);
	while (all && (entry = readdir(all))) {
		int tid = (int)strtol(entry->d_name, NULL, 10);

		/* threads have entries of their own in /proc that it does not list; -1: it ended */
		if (tid > 0 && last_number(tid, "Seccomp:") >= 0 &&
		    (last_number(tid, "Seccomp:") != mode ||
		     last_number(tid, "Seccomp_filters:") != count))
			sandbox = RH_SANDBOX_MIXED;
	}
	if (all)
		closedir(all);
	return sandbox;
}

void rh_process_exe(int pid, char *path, size_t room)
{
	char link[64];
	ssize_t got;

	snprintf(link, sizeof link, "/proc/%d/exe", pid);
	got = readlink(link, path, room - 1);
	path[got > 0 ? got : 0] = '\0';
}
