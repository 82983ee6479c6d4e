/*
 * leaked.c - see the header. A worker's children are looked for after it was reaped, so what is
 * found outlived it.
 *
 * Its orphans are ours from the moment it is dead, before it can be reaped, and those of a worker
 * that lives are that worker's: so whatever is ours and unknown is of the one that ended.
 */
#include "harness/launch/leaked.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SEEN_MAX = 64,	    /* orphans of workers that still live */
	CHILDREN_MAX = 512, /* one reading; what is beyond comes with the next */
	LIVE_MAX = 16,	    /* workers at once; a gate has two */
	ROUNDS_MAX = 64,    /* of children that the killed leave to us in turn */
};

static struct {
	pid_t live[LIVE_MAX]; /* 0 = free */
	pid_t known[CHILDREN_MAX];
	size_t known_count; /* CHILDREN_MAX: perhaps not all of them */
	struct {
		pid_t orphan, worker;
	} seen[SEEN_MAX]; /* by rh_leaked_look; orphan 0 = free */
} ours;

/* Of this process; its children's are theirs. */
static size_t read_children(pid_t *list, size_t most)
{
	size_t count = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	while (file && count < most && fscanf(file, "%d", &list[count]) == 1)
		count++;
	if (file)
		fclose(file);
	return count;
}

static bool is_in(pid_t pid, const pid_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == pid)
			return true;
	return false;
}

void rh_leaked_child(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* exec leaves it, a fork does not */
}

void rh_leaked_born(pid_t worker)
{
	for (int i = 0; i < LIVE_MAX; i++)
		if (ours.live[i] == 0) {
			ours.live[i] = worker;
			return;
		}
}

static void forget(pid_t worker)
{
	for (int i = 0; i < LIVE_MAX; i++)
		if (ours.live[i] == worker)
			ours.live[i] = 0;
}

/* 1: its environment says that this worker started it; -1: that another did; 0: nothing. */
static int mark_of(pid_t pid, const char *mark)
{
	static const char any[] = RH_LEAKED_MARK;
	static char text[65536];
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return 0;
	if (memmem(text, (size_t)length, mark, strlen(mark)))
		return 1;
	return memmem(text, (size_t)length, any, sizeof(any) - 1) ? -1 : 0;
}

/* 0 = nobody's that is known. */
static pid_t seen_of(pid_t orphan)
{
	for (int i = 0; i < SEEN_MAX; i++)
		if (ours.seen[i].orphan == orphan)
			return ours.seen[i].worker;
	return 0;
}

void rh_leaked_look(pid_t worker)
{
	pid_t list[CHILDREN_MAX];
	size_t count = read_children(list, CHILDREN_MAX);
	int at = 0;

	for (size_t i = 0; i < count && ours.known_count < CHILDREN_MAX; i++) {
		if (is_in(list[i], ours.live, LIVE_MAX) || seen_of(list[i]) ||
		    is_in(list[i], ours.known, ours.known_count))
			continue;
		while (at < SEEN_MAX && ours.seen[at].orphan)
			at++;
		if (at == SEEN_MAX)
			return;
		ours.seen[at].orphan = list[i];
		ours.seen[at].worker = worker;
	}
}

int rh_leaked_begin(struct rh_err *err)
{
	size_t alive = 0;
	pid_t one = 0;

	for (int i = 0; i < LIVE_MAX; i++)
		if (ours.live[i]) {
			one = ours.live[i];
			alive++;
		}
	if (alive == LIVE_MAX)
		return rh_fail(err, RH_BUG, "more than %d workers at once", LIVE_MAX);
	if (alive == 0)
		ours.known_count = read_children(ours.known, CHILDREN_MAX);
	if (alive == 1)
		rh_leaked_look(one);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return 0;
}

/* The first process of a container gets everybody's orphans. */
static bool is_stray(pid_t pid, pid_t worker, const char *mark)
{
	pid_t seen = seen_of(pid);
	int marked;

	if (is_in(pid, ours.live, LIVE_MAX) || is_in(pid, ours.known, ours.known_count))
		return false;
	if (seen)
		return seen == worker || !is_in(seen, ours.live, LIVE_MAX);
	marked = mark_of(pid, mark);
	return marked > 0 || (marked == 0 && getpid() != 1);
}

/* 1 when it was killed by us; one that had ended by itself and only was not waited for is no
 * leak. */
static unsigned end_one(pid_t pid)
{
	int status = 0;
	pid_t got;

	kill(pid, SIGKILL);
	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	for (int i = 0; i < SEEN_MAX; i++)
		if (ours.seen[i].orphan == pid)
			ours.seen[i].orphan = ours.seen[i].worker = 0;
	return got == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Children that are neither workers nor were there before; returns how many it ended or reaped. */
static size_t end_strays(pid_t worker, const char *mark, unsigned *killed)
{
	pid_t list[CHILDREN_MAX];
	size_t count = read_children(list, CHILDREN_MAX), done = 0;

	for (size_t i = 0; i < count && ours.known_count < CHILDREN_MAX; i++) {
		if (!is_stray(list[i], worker, mark))
			continue;
		*killed += end_one(list[i]);
		done++;
	}
	return done;
}

static unsigned reap_group(pid_t group)
{
	unsigned killed = 0;
	int status;
	pid_t got;

	while ((got = waitpid(-group, &status, 0)) > 0 || (got < 0 && errno == EINTR))
		killed += got > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	return killed;
}

unsigned rh_leaked_end(pid_t group, const char *mark)
{
	unsigned killed = 0;

	if (group <= 0)
		return 0;
	forget(group);
	if (kill(-group, SIGKILL) == 0)
		killed = reap_group(group);
	for (int round = 0; round < ROUNDS_MAX && end_strays(group, mark, &killed); round++)
		;
	for (int i = 0; i < SEEN_MAX; i++)
		if (ours.seen[i].worker == group)
			ours.seen[i].orphan = ours.seen[i].worker = 0;
	return killed;
}
