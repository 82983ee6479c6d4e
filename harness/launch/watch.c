/*
 * watch.c - see watch.h.
 */
#include "harness/launch/watch.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "alloc/base/os.h"

void rh_watch_begin(struct rh_watch *watch, pid_t pid)
{
	uint64_t id;

	assert(pid > 0);
	*watch = (struct rh_watch){ .pid = pid, .futex = -1 };
	id = rh_tracepoint_find("syscalls/sys_enter_futex", watch->why);
	if (id)
		watch->futex = rh_tracepoint_open(id, pid, true);
	if (id && watch->futex < 0)
		snprintf(watch->why, sizeof(watch->why),
			 "tracepoint sys_enter_futex cannot be opened on the program");
}

/* CPU time plus the wait for a CPU. False: it has ended. */
static bool read_thread(int tasks, const char *tid, uint64_t *run_ns)
{
	char path[64], text[96], *at = text;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "%.20s/schedstat", tid);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return false;
	text[length] = '\0';
	*run_ns = strtoull(text, &at, 10);
	*run_ns += strtoull(at, NULL, 10);
	return true;
}

/* Threads are listed in the order of their making, as we keep them: the search is short. */
static struct rh_watch_thread *thread_of(struct rh_watch *watch, pid_t tid, size_t *from)
{
	for (size_t i = 0; i < watch->count; i++) {
		struct rh_watch_thread *thread = &watch->threads[(*from + i) % watch->count];

		if (thread->tid != tid)
			continue;
		*from = (size_t)(thread - watch->threads) + 1;
		return thread;
	}
	if (!rh_reserve(&watch->threads, &watch->room, watch->count + 1, sizeof(*watch->threads)))
		return NULL;
	watch->threads[watch->count] = (struct rh_watch_thread){ .tid = tid };
	return &watch->threads[watch->count++];
}

void rh_watch_look(struct rh_watch *watch)
{
	char path[32];
	struct dirent *entry;
	size_t from = 0;
	DIR *tasks;

	if (!watch->pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)watch->pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct rh_watch_thread *thread;
		uint64_t run_ns;

		if (tid <= 0 || !read_thread(dirfd(tasks), entry->d_name, &run_ns))
			continue;
		thread = thread_of(watch, tid, &from);
		if (!thread)
			continue;
		thread->last_ns = rh_now_ns();
		thread->last_run_ns = run_ns;
		if (!thread->first_ns) {
			thread->first_ns = thread->last_ns;
			thread->first_run_ns = run_ns;
		}
	}
	if (tasks)
		closedir(tasks);
}

void rh_watch_end(struct rh_watch *watch, struct rh_watched *out)
{
	*out = (struct rh_watched){ .asleep_s = NAN, .seen_s = NAN, .futex_calls = UINT64_MAX };
	if (!watch->pid)
		return;
	out->asleep_s = out->seen_s = 0;
	for (size_t i = 0; i < watch->count; i++) {
		const struct rh_watch_thread *t = &watch->threads[i];
		double seen = (double)(t->last_ns - t->first_ns);
		double run = (double)t->last_run_ns - (double)t->first_run_ns;

		out->threads += t->last_ns > t->first_ns;
		out->seen_s += seen / 1e9;
		out->asleep_s += seen > run ? (seen - run) / 1e9 : 0;
	}
	if (watch->futex >= 0) {
		out->futex_calls = rh_tracepoint_read(watch->futex);
		close(watch->futex);
	}
	snprintf(out->futex_why, sizeof(out->futex_why), "%s", watch->why);
	free(watch->threads);
	*watch = (struct rh_watch){ .futex = -1 };
}
