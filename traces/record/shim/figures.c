/*
 * figures.c - writes the resources that the process has used so far into its slot: at its
 * begin, and again at its exit. Only the process itself can report them exactly: the figures of
 * a child are gone once its parent has reaped it. Under a system call filter nothing is read.
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

/* The peak resident size of this image: ru_maxrss would include earlier images of the process. */
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
	    (over && !shim_may_call_now()) ||
	    shim_raw(SYS_getrusage, RUSAGE_SELF, (long)(uintptr_t)&usage, 0, 0, 0, 0) != 0)
		return;
	proc->user_us[over] = micros(&usage.ru_utime);
	proc->kernel_us[over] = micros(&usage.ru_stime);
	if (!over)
		return;
	proc->peak_rss = peak_rss();
	atomic_store(&proc->end_stamp, shim_now());
}
