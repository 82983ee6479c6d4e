/*
 * dormant.c - preloaded and asleep: one compare and one branch per call, until a recorder asks.
 *
 *	REHEAP_DORMANT=1 LD_PRELOAD=libreheap-record.so ./server
 *
 * The compared word is in a page of ours that is mapped from a file, reheap-dormant.PID in
 * /dev/shm (or in the folder that the variable names). `reheap record
 * --pid PID` finds that file among the mappings of the process, writes into it where the
 * recording's area is, and clears the word. The next call of any thread then enters the slow
 * half, which maps the area; no ptrace, no signal, no extra thread. When recording has ended,
 * or its recorder is dead, the first thread to notice sets the word again.
 *
 * The file belongs to the process (mode 0600): only root or its user may write it. It is
 * removed when the process exits; a killed process leaves it, 4 KiB, for the next process of
 * that number to replace. A forked child gets a page without a file, asleep unless children are
 * followed: it can only be attached to by ptrace.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "traces/record/shim/patch.h"
#include "traces/record/shim/shim.h"

_Alignas(SHIM_PAGE_MOST) union shim_own_page shim_own_page;

static char path[200];
static char answered[sizeof shim_sleep.where]; /* the area that we last woke for */

/* In a forked child: not its parent's page. */
static void own_page(void)
{
	bool awake = shim.state == SHIM_ON && shim.area->follow;

	if (!path[0] || mmap(&shim_sleep, sizeof shim_sleep, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return;
	path[0] = '\0';
	atomic_store(&shim_sleep.asleep, !awake			   ? RH_ASIDE_ASLEEP
					 : shim.area->sample_bytes ? RH_ASIDE_SAMPLING
								   : RH_ASIDE_NOT);
	if (!awake && shim.state == SHIM_ON)
		shim.state = SHIM_DORMANT;
}

static bool map_file(void)
{
	int fd;
	bool mapped;

	unlink(path); /* an earlier process of this number was killed */
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	mapped = ftruncate(fd, sizeof shim_sleep) == 0 &&
		 mmap(&shim_sleep, sizeof shim_sleep, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
	close(fd);
	if (!mapped)
		unlink(path);
	return mapped;
}

void shim_dormant(void)
{
	const char *folder = getenv(RH_DORMANT_ENV);
	int saved = errno;

	if (shim.state != SHIM_OFF || !folder || !*folder)
		return;
	if (*folder != '/')
		folder = "/dev/shm";
	if ((size_t)snprintf(path, sizeof path, "%s/" RH_DORMANT_FILE "%d", folder,
			     (int)getpid()) >= sizeof path ||
	    !map_file())
		path[0] = '\0';
	shim_sleep.magic = RH_AREA_MAGIC;
	shim_sleep.pid = getpid();
	shim_patch_tables(true);
	pthread_atfork(NULL, NULL, own_page);
	shim.dormant = 1;
	shim.state = SHIM_DORMANT;
	atomic_store(&shim_sleep.asleep, RH_ASIDE_ASLEEP);
	errno = saved;
}

/* The word is cleared. After a bare clone this may be our parent's page, which we must ignore. */
bool shim_wake(void)
{
	int result;

	if (atomic_load(&shim_sleep.asleep))
		return false;
	if (shim_sleep.pid != getpid()) {
		own_page();
		return false;
	}
	memcpy(answered, shim_sleep.where, sizeof answered - 1);
	result = rh_record_attach(answered);
	if (result == 0 || result == RH_LATE_RECORDED) /* or another thread was quicker */
		return true;
	if (result != RH_LATE_BUSY) { /* else another thread is attaching */
		atomic_store(&shim_sleep.failed, (uint32_t)result);
		atomic_store(&shim_sleep.asleep, RH_ASIDE_ASLEEP);
	}
	return false;
}

void shim_sleep_again(bool child)
{
	shim.state = SHIM_DORMANT;
	if (child)
		own_page();
	else if (memcmp(answered, shim_sleep.where, sizeof answered - 1) == 0)
		atomic_store(&shim_sleep.asleep,
			     RH_ASIDE_ASLEEP); /* else the next recorder calls already */
}

__attribute__((destructor)) static void leaving(void)
{
	if (path[0] && shim_sleep.pid == getpid())
		unlink(path);
}
