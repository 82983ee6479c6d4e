/*
 * probe_memory.c - reads /proc/PID/smaps_rollup.
 */
#include "harness/probe_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/event.h"

void rh_memory_open(struct rh_memory_probe *probe, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	probe->fd = open(path, O_RDONLY | O_CLOEXEC);
}

uint64_t rh_memory_read(const struct rh_memory_probe *probe)
{
	char text[4096], *at;
	ssize_t length = probe->fd < 0 ? -1 : pread(probe->fd, text, sizeof(text) - 1, 0);

	if (length <= 0)
		return RH_NONE;
	text[length] = '\0';
	at = strstr(text, "\nAnonymous:");
	return at ? strtoull(at + strlen("\nAnonymous:"), NULL, 10) * 1024 : RH_NONE;
}

void rh_memory_close(struct rh_memory_probe *probe)
{
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = -1;
}
