/*
 * leaked.c - see the header. A worker's children are looked for after it was reaped, so what is
 * found outlived it.
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

void rh_leaked_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* 1: it has the environment of that worker, which an exec keeps; -1: of another; 0: of none, or it
 * cannot be read. */
static int environment_of(pid_t pid, const char *mark)
{
	static const char any[] = RH_LEAKED_MARK;
	char path[64], text[65536];
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

/* A process that emptied its environment is recognised by its executable. Unlike a worker it does
 * not lead a group that we made: workers are leaders, and their forks that left have another leader
 * or session. */
static bool is_stray_worker(pid_t pid, const char *mark)
{
	int environment = environment_of(pid, mark);
	char path[64], name[4096];
	const char *slash;
	ssize_t length;

	if (environment)
		return environment > 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	length = readlink(path, name, sizeof(name) - 1);
	if (length <= 0)
		return false;
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

/* Our children other than live workers. */
static unsigned end_adopted(pid_t group, const char *mark)
{
	char path[64];
	unsigned ended = 0;
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0 && getpgid(pid) != group && is_stray_worker(pid, mark))
			ended += end_one(pid);
	if (file)
		fclose(file);
	return ended;
}

/* Members of the group that are our children by now. One that ended by itself and merely was not
 * waited for is not a leak. */
static unsigned reap_group(pid_t group)
{
	unsigned ended = 0;
	int status;
	pid_t got;

	while ((got = waitpid(-group, &status, 0)) > 0 || (got < 0 && errno == EINTR))
		ended += got > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	return ended;
}

unsigned rh_leaked_end(pid_t group, const char *mark)
{
	unsigned ended = 0;

	if (group <= 0)
		return 0;
	if (kill(-group, SIGKILL) == 0)
		ended = reap_group(group);
	return ended + end_adopted(group, mark);
}
