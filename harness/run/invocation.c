/*
 * invocation.c - the command line, signals and shared words of commands that run workers.
 */
#include "harness/run/invocation.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/result/result.h"
#include "harness/launch/worker.h"

const char *const rh_touch_names[] = { "none", "first", "page", "full", "recorded", "auto", NULL };

int rh_argv_read(char ***words)
{
	static char store[1 << 16];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, store, sizeof(store) - 1);
	size_t count = 0;

	if (fd >= 0)
		close(fd);
	*words = NULL;
	store[length > 0 ? length : 0] = '\0';
	for (ssize_t at = 0; at < length; at += (ssize_t)strlen(store + at) + 1)
		*(char **)rh_grow(words, &count, sizeof(char *)) = store + at;
	return (int)count;
}

static void on_signal(int number)
{
	rh_interrupted = number;
}

void rh_interrupts_watch(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

void rh_interrupts_obey(void)
{
	if (!rh_interrupted)
		return;
	fflush(stdout);
	signal(rh_interrupted, SIG_DFL);
	raise(rh_interrupted);
}
