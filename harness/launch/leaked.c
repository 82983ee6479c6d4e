/*
 * leaked.c - see the header. A worker's children are looked for after it was reaped, so what is
 * found outlived it.
 */
#include "harness/launch/leaked.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void rh_leaked_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* A daemon's executable is the worker's, and unlike a worker it leads no group of its own that was
 * made by us: workers are leaders, forks of them that left have another leader or session. */
static int is_stray_worker(pid_t pid)
{
	char path[64], name[4096];
	const char *slash;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	length = readlink(path, name, sizeof(name) - 1);
	if (length <= 0)
		return 0;
	name[length] = '\0';
	slash = strrchr(name, '/');
	return slash && strcmp(slash + 1, "reheap-worker") == 0 &&
	       (getpgid(pid) != pid || getsid(pid) != getsid(0));
}

static unsigned end_one(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 1;
}

/* Our children that no live worker is. */
static unsigned end_adopted(pid_t group)
{
	char path[64];
	unsigned ended = 0;
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0 && getpgid(pid) != group && is_stray_worker(pid))
			ended += end_one(pid);
	if (file)
		fclose(file);
	return ended;
}

/* What is of the group and ours by now. One that had ended by itself and only was not waited for
 * is no leak. */
static unsigned reap_group(pid_t group)
{
	unsigned ended = 0;
	int status;
	pid_t got;

	while ((got = waitpid(-group, &status, 0)) > 0 || (got < 0 && errno == EINTR))
		ended += got > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	return ended;
}

unsigned rh_leaked_end(pid_t group)
{
	unsigned ended = 0;

	if (group <= 0)
		return 0;
	if (kill(-group, SIGKILL) == 0)
		ended = reap_group(group);
	return ended + end_adopted(group);
}
