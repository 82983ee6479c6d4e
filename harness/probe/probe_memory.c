/*
 * probe_memory.c - reads /proc/PID/smaps_rollup and, for the address space, statm.
 */
#include "harness/probe/probe_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/event.h"

void rh_memory_open(struct rh_memory_probe *probe, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	probe->fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	probe->statm = probe->fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
}

static bool read_text(int fd, char *text, size_t text_bytes)
{
	ssize_t length = fd < 0 ? -1 : pread(fd, text, text_bytes - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/* The kB behind a key, in bytes. */
static uint64_t figure(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : RH_NONE;
}

uint64_t rh_memory_read(const struct rh_memory_probe *probe)
{
	char text[4096];

	return read_text(probe->fd, text, sizeof(text)) ? figure(text, "\nAnonymous:") : RH_NONE;
}

void rh_memory_read_all(const struct rh_memory_probe *probe, struct rh_memory_figures *figures)
{
	char text[4096];

	*figures = (struct rh_memory_figures){ RH_NONE, RH_NONE, RH_NONE, RH_NONE };
	if (read_text(probe->fd, text, sizeof(text))) {
		figures->anon = figure(text, "\nAnonymous:");
		figures->pss = figure(text, "\nPss:");
		figures->huge = figure(text, "\nAnonHugePages:");
	}
	if (probe->fd >= 0 && read_text(probe->statm, text, sizeof(text)))
		figures->mapped = strtoull(text, NULL, 10) * RH_PAGE;
}

void rh_memory_close(struct rh_memory_probe *probe)
{
	if (probe->fd >= 0 && probe->statm >= 0)
		close(probe->statm);
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = probe->statm = -1;
}
