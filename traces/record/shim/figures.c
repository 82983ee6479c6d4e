/*
 * figures.c - what the process itself has used so far, into its slot: when it begins, and
 * again as it exits. Only it can say so exactly: what a child of the program used is gone
 * once its parent has reaped it. Nothing is asked where a filter of system calls is on.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "traces/record/shim/shim.h"

static uint64_t micros(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

/* The most that was resident of this image: ru_maxrss would know its predecessors' too. */
static uint64_t peak_rss(void)
{
	static const char field[] = "\nVmHWM:";
	char text[2048];
	long fd = shim_raw(SYS_openat, AT_FDCWD, (long)(uintptr_t) "/proc/self/status",
			   O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long got = fd < 0 ? -1
			  : shim_raw(SYS_read, fd, (long)(uintptr_t)text, sizeof text - 1, 0, 0, 0);
	const char *at;

	if (fd >= 0)
		shim_raw(SYS_close, fd, 0, 0, 0, 0, 0);
	text[got > 0 ? got : 0] = '\0';
	at = strstr(text, field);
	return at ? strtoull(at + sizeof field - 1, NULL, 10) << 10 : 0;
}

void shim_figures(struct rh_proc *proc, bool over)
{
	struct rusage usage = { 0 };

	if (atomic_load(&shim.filter) || atomic_load(&proc->filter) ||
	    shim_raw(SYS_getrusage, RUSAGE_SELF, (long)(uintptr_t)&usage, 0, 0, 0, 0) != 0)
		return;
	proc->user_us[over] = micros(&usage.ru_utime);
	proc->kernel_us[over] = micros(&usage.ru_stime);
	if (!over)
		return;
	proc->peak_rss = peak_rss();
	atomic_store(&proc->end_stamp, shim_now());
}
