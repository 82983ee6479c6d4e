/*
 * probe_memory.c - reads /proc/PID/smaps_rollup and, for the address space, statm.
 *
 * Between two readings memory may come and go: glibc unmaps what jemalloc keeps, and the
 * largest of 13 readings says that glibc needs 49 MiB for a trace in which 58 MiB are resident
 * for a while. So the kernel's high-water mark (VmHWM of status) is also read and reset. It
 * includes files and counts late (up to 32 pages per CPU), so we subtract the files mapped now,
 * and use it only where it exceeds the exact figure by more than that.
 */
#include "harness/probe/probe_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/format/event.h"

/* The possible lag of the kernel's counters of resident memory. */
enum { MARK_ERROR_BYTES = 512 << 10 };

void rh_memory_open(struct rh_memory_probe *probe, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	probe->fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	probe->statm = probe->fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	probe->status = probe->fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
	probe->restart = probe->status < 0 ? -1 : open(path, O_WRONLY | O_CLOEXEC);
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

/* The peak since the last reading, as far as the kernel reports it. */
static uint64_t most_since(const struct rh_memory_probe *probe, uint64_t anon)
{
	uint64_t mark, files, shared;
	char text[4096];

	if (anon == RH_NONE || probe->restart < 0 || !read_text(probe->status, text, sizeof(text)))
		return anon;
	mark = figure(text, "\nVmHWM:");
	files = figure(text, "\nRssFile:");
	shared = figure(text, "\nRssShmem:");
	/* "5": resets the mark to what is resident now. If that is refused, the mark would repeat
	 * the old peak ever after. */
	if (write(probe->restart, "5", 1) != 1 || mark == RH_NONE || files == RH_NONE ||
	    shared == RH_NONE || mark < files + shared)
		return anon;
	mark -= files + shared;
	return mark > anon + MARK_ERROR_BYTES ? mark : anon;
}

void rh_memory_read_all(const struct rh_memory_probe *probe, struct rh_memory_figures *figures)
{
	char text[4096];

	*figures = (struct rh_memory_figures){ RH_NONE, RH_NONE, RH_NONE, RH_NONE,
					       RH_NONE, RH_NONE, RH_NONE };
	if (read_text(probe->fd, text, sizeof(text))) {
		figures->anon = figure(text, "\nAnonymous:");
		figures->rss = figure(text, "\nRss:");
		figures->pss = figure(text, "\nPss:");
		figures->shared = figure(text, "\nPss_Shmem:");
		figures->huge = figure(text, "\nAnonHugePages:");
		figures->most = most_since(probe, figures->anon);
	}
	if (probe->fd >= 0 && read_text(probe->statm, text, sizeof(text)))
		figures->mapped = strtoull(text, NULL, 10) * rh_page_bytes();
}

void rh_memory_close(struct rh_memory_probe *probe)
{
	/* those after the first say nothing where it is -1 */
	if (probe->fd >= 0 && probe->statm >= 0)
		close(probe->statm);
	if (probe->fd >= 0 && probe->status >= 0)
		close(probe->status);
	if (probe->fd >= 0 && probe->restart >= 0)
		close(probe->restart);
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = probe->statm = probe->status = probe->restart = -1;
}

uint64_t rh_memory_addresses_most(pid_t pid)
{
	char text[4096];
	uint64_t bytes = RH_NONE;
	int fd;

	snprintf(text, sizeof(text), "/proc/%d/status", (int)pid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return RH_NONE;
	if (read_text(fd, text, sizeof(text)))
		bytes = figure(text, "\nVmPeak:");
	close(fd);
	return bytes;
}
