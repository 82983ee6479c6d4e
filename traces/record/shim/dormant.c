/*
 * dormant.c - preloaded and asleep: one compare and one branch a call, until somebody asks.
 *
 *	REHEAP_DORMANT=1 LD_PRELOAD=libreheap-record.so ./server
 *
 * The word that is compared lies in a page of ours that is mapped from a file,
 * reheap-dormant.PID in /dev/shm (or in the folder that the variable names). `reheap record
 * --pid PID` finds that file among the mappings of the process, writes into it where the
 * recording's area is, and clears the word. The next call of any thread then goes on to the
 * slow half, which maps the area; no ptrace, no signal, no thread of ours. When recording is over,
 * or its recorder dead, the first thread to see it sets the word again.
 *
 * The file is the process's own (mode 0600): who may write it may do so by root's or its user's
 * right. It is removed when the process exits; one that is killed leaves it, 4 KiB, for the
 * next process of that number to replace. A forked child gets a page without a file, asleep
 * unless children are followed: it can be asked for by ptrace only.
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
static char answered[sizeof shim_sleep.where]; /* what we last woke for */

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

	unlink(path); /* a former process of this number was killed */
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

/* The word is cleared. By a bare clone we may have our parent's page, which is not ours to obey. */
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
	if (result != RH_LATE_BUSY) { /* else another thread is at it */
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
