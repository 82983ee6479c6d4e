/*
 * tracepoint.c - see tracepoint.h.
 */
#include "alloc/base/tracepoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int rh_tracepoint_open(uint64_t id, pid_t pid, bool children)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id, .sample_period = 0
	};

	assert(id != 0);
	attr.inherit = children;
	return (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

uint64_t rh_tracepoint_read(int fd)
{
	uint64_t value;

	return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static uint64_t number_of(const char *name, char *why)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128], text[32];
	int error = 0;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		ssize_t length;
		int fd;

		snprintf(path, sizeof(path), "%s/events/%s/id", roots[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			error = errno == EACCES || !error ? errno : error;
			continue;
		}
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (length > 0) {
			text[length] = '\0';
			return strtoull(text, NULL, 10);
		}
	}
	snprintf(why, RH_TRACEPOINT_WHY_BYTES, "tracepoint %s: %s", name,
		 error == EACCES
			 ? "tracefs may be read by root only"
			 : "tracefs is not mounted (mount -t tracefs nodev /sys/kernel/tracing)");
	return 0;
}

uint64_t rh_tracepoint_find(const char *name, char why[RH_TRACEPOINT_WHY_BYTES])
{
	uint64_t id = number_of(name, why);
	int fd;

	if (!id)
		return 0;
	fd = rh_tracepoint_open(id, 0, false);
	if (fd < 0) {
		snprintf(why, RH_TRACEPOINT_WHY_BYTES, "tracepoint %s: perf_event_open: %s", name,
			 strerror(errno));
		return 0;
	}
	close(fd);
	return id;
}
