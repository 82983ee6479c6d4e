/*
 * peer_version.c - starts a worker with the library preloaded, which prints the version
 * (harness/worker/malloc_version.c) and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "harness/launch/peer_version.h"

enum { PATIENCE_MS = 2000 };

static _Noreturn void become_worker(const char *worker, const char *library, int out)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(127);
	setenv("LD_PRELOAD", library, 1);
	execl(worker, worker, "version", (char *)NULL);
	_exit(127);
}

void rh_peer_version(const char *library, char *text, size_t bytes)
{
	char worker[4096];
	struct rh_err ignored;
	struct pollfd answer;
	int out[2], status;
	ssize_t got = 0;
	pid_t pid;

	text[0] = '\0';
	if (rh_install_path("reheap-worker", worker, sizeof(worker), &ignored) < 0 ||
	    pipe2(out, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		become_worker(worker, library, out[1]);
	close(out[1]);
	answer = (struct pollfd){ .fd = out[0], .events = POLLIN };
	if (pid > 0 && poll(&answer, 1, PATIENCE_MS) == 1)
		got = read(out[0], text, bytes - 1); /* one short line, one write */
	close(out[0]);
	if (pid > 0) {
		if (got <= 0)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}
