/*
 * attach.c - see attach.h.
 *
 * A process that cannot open our /proc/PID/fd (another user's process, when we are root, or one in
 * another container) gets the area as a file in its own root folder, and the shim as well if
 * necessary (place.c). Both are removed as soon as the process has them mapped.
 *
 * A process that has the shim preloaded and asleep (shim/dormant.c) is woken through its file,
 * without ptrace, and attaches at its next call.
 *
 * Detaching is done by the process itself (shim/late.c), at the next call of any of its threads. A
 * process that makes no more calls keeps its patched entries but never uses them.
 */
#include "traces/record/attach.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "traces/record/inject.h"
#include "traces/record/process.h"

enum { PATIENCE_S = 20, LEAVE_MS = 1000, WAKE_MS = 300, LOOK_US = 1000 };
/* A process in mid-exec has no libc yet; a wrapper may become a program after program. */
enum { TRIES = 4, BETWEEN_NS = 100 * 1000 * 1000, EXECS_MS = 5000 };

/* How the process finds the area: the value of the environment variable. */
static void say_where(const struct rh_session *session, const struct rh_place *place, char *text,
		      size_t room)
{
	if (place->area[0]) {
		snprintf(text, room, "%s,-1,%" PRIx64, place->area + place->root_bytes,
			 session->area->cookie);
	} else {
		snprintf(text, room, "/proc/%d/fd/%d,-1,%" PRIx64, (int)getpid(), session->area_fd,
			 session->area->cookie);
	}
}

static int tell_failure(const struct rh_target *target, const char *shim, int result,
			const char *text, struct rh_err *err)
{
	if (result == RH_LATE_RECORDED)
		return rh_fail(err, RH_ABSENT,
			       "process %d is being recorded already: end that recording first",
			       target->pid);
	if (result == RH_LATE_BUSY)
		return rh_fail(err, RH_ABSENT, "another reheap is attaching to process %d just now",
			       target->pid);
	if (result == RH_LATE_NO_AREA)
		return rh_fail(err, RH_OS,
			       "process %d cannot open the recording's buffers: run reheap as its "
			       "user, or as root",
			       target->pid);
	if (result == RH_LATE_NO_ROOM)
		return rh_fail(err, RH_OS, "process %d has no address space left for the recorder",
			       target->pid);
	return rh_fail(err, RH_OS, "process %d cannot load %s: %s", target->pid, shim,
		       text[0] ? text : "its loader says no reason");
}

static bool is_there(const struct rh_session *session)
{
	return atomic_load(&rh_area_proc(session->area, 0)->state) == RH_PROC_READY;
}

/* ---- a process with a sleeping shim ---- */

/* Its file stays open and locked, so that only one recorder attaches at a time. */
static int map_dormant(struct rh_session *session, struct rh_target *target, struct rh_err *err)
{
	int fd = open(target->dormant, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct rh_dormant *page = MAP_FAILED;
	struct stat st;

	target->mem = fd;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return tell_failure(target, "", RH_LATE_RECORDED, "", err);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == target->dormant_inode &&
	    st.st_size >= RH_DORMANT_BYTES && st.st_uid == target->uid)
		page = mmap(NULL, RH_DORMANT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return rh_fail(err, RH_OS,
			       "process %d sleeps for a recorder, but its file %s is not to be had",
			       target->pid, target->dormant);
	if (page->magic != RH_AREA_MAGIC || page->pid != target->inner) {
		munmap(page, RH_DORMANT_BYTES);
		return rh_fail(err, RH_ABSENT,
			       "process %d sleeps for a recorder of another build: use that reheap",
			       target->pid);
	}
	session->dormant = page;
	return 0;
}

/* It attaches at its next call; an idle server may make none for a long time. */
static int wake_up(struct rh_session *session, struct rh_target *target, const char *where,
		   struct rh_err *err)
{
	uint64_t began = rh_now_ns();

	if (map_dormant(session, target, err) < 0)
		return -1;
	atomic_store(&session->dormant->failed, 0);
	snprintf(session->dormant->where, sizeof session->dormant->where, "%s", where);
	atomic_store(&session->dormant->asleep, 0);
	while (!is_there(session) && rh_now_ns() - began < WAKE_MS * 1000000ull) {
		uint32_t failed = atomic_load(&session->dormant->failed);

		if (failed)
			return tell_failure(target, "", (int)failed, "", err);
		usleep(LOOK_US);
	}
	return 0;
}

/* ---- a process without the shim ---- */

/* It has become another program by exec: its old memory is all that `mem` still shows, and empty.
 */
static bool was_replaced(const struct rh_target *target)
{
	char byte;

	return !target->dormant[0] && target->map_count &&
	       !rh_target_read(target, target->maps[0].low, &byte, 1);
}

static int wait_until_there(const struct rh_session *session, const struct rh_target *target,
			    const struct rh_inject *inject, struct rh_err *err)
{
	uint64_t began = rh_now_ns();
	char text[400];
	int result = 0;

	while (!is_there(session)) {
		if (rh_process_over(target->pidfd))
			return rh_fail(err, RH_NO_INPUT, "process %d is over", target->pid);
		if (was_replaced(target))
			return rh_fail(err, RH_ABSENT, "process %d becomes other programs",
				       target->pid);
		if (rh_inject_look(target, inject, &result, text, sizeof text) == RH_INJECT_FAILED)
			return tell_failure(target, inject->library, result, text, err);
		if (rh_now_ns() - began > PATIENCE_S * 1000000000ull)
			return rh_fail(
				err, RH_OS,
				"the thread of process %d that loads the recorder has not come "
				"back for %d s: it waits for a lock, or has no address space left",
				target->pid, PATIENCE_S);
		usleep(LOOK_US);
	}
	return 0;
}

/* What was found out is of the program that it was. */
static int look_again(struct rh_session *session, struct rh_target *target, struct rh_err *err)
{
	const struct timespec between = { 0, BETWEEN_NS };
	int pid = target->pid;

	for (int i = 1;; i++) {
		rh_target_close(target);
		session->attached = -1;
		*err = (struct rh_err){ 0 };
		if (rh_target_open(target, pid, session->opts->shim, err) == 0)
			break;
		if (i == TRIES || err->code == RH_NO_INPUT)
			return -1;
		nanosleep(&between, NULL);
	}
	session->attached = target->pidfd;
	return 0;
}

int rh_attach_join(struct rh_session *session, struct rh_target *target,
		   const struct rh_place *place, struct rh_err *err)
{
	char where[200];
	struct rh_inject inject = { .library = place->shim,
				    .function = RH_LATE_FUNCTION,
				    .argument = where,
				    .filters = &session->area->filters_allowed };
	uint64_t began = rh_now_ns();
	int result = -1;

	if (place->area[0] && fchown(session->area_fd, target->uid, target->gid) < 0)
		return rh_fail_errno(err, RH_OS, "%s", place->area);
	session->child = target->pid;
	session->attached = target->pidfd;
	atomic_store(&session->area->main_pid, (int32_t)target->inner);
	say_where(session, place, where, sizeof where);
	for (bool again = false; result < 0; again = true) {
		if (again &&
		    (!was_replaced(target) || rh_now_ns() - began > EXECS_MS * 1000000ull ||
		     look_again(session, target, err) < 0))
			break;
		if (target->dormant[0])
			result = wake_up(session, target, where, err);
		else if (rh_inject_start(target, &inject, err) == 0)
			result = wait_until_there(session, target, &inject, err);
	}
	if (!target->dormant[0]) /* a sleeping one may attach later */
		rh_place_remove(place);
	if (result < 0)
		return -1;
	session->began_ns = rh_now_ns();
	session->began_ticks = rh_ticks();
	if (!session->opts->quiet)
		rh_print(stderr, "reheap record: process %d is recorded from %s on%s\n",
			 target->pid, is_there(session) ? "now" : "its next call",
			 session->opts->duration_ns ? "" : "; Ctrl-C ends it");
	return 0;
}

void rh_attach_leave(const struct rh_session *session)
{
	uint64_t began = rh_now_ns();

	if (session->dormant && !is_there(session)) { /* no call yet: it still sleeps */
		atomic_store(&session->dormant->asleep, 1);
		return;
	}
	while (!session->reaped && !rh_process_over(session->attached) &&
	       !atomic_load(&rh_area_proc(session->area, 0)->left)) {
		if (rh_now_ns() - began > LEAVE_MS * 1000000ull) {
			if (session->dormant)
				atomic_store(&session->dormant->asleep, 1);
			else if (!session->opts->quiet)
				rh_print(stderr,
					 "reheap record: process %d has made no call since; the "
					 "recorder goes out of its way with the next one\n",
					 (int)session->child);
			return;
		}
		usleep(LOOK_US);
	}
}

/* A process that has just begun, also by exec, has no libc yet, or not even a loader. */
int rh_attach_find(struct rh_target *target, struct rh_place *place,
		   const struct rh_record_opts *opts, struct rh_err *err)
{
	const struct timespec between = { 0, BETWEEN_NS };

	for (int i = 1;; i++) {
		*err = (struct rh_err){ 0 };
		if (rh_target_open(target, opts->pid, opts->shim, err) == 0) {
			if (rh_place_find(place, target, opts->shim, err) == 0)
				return 0;
			rh_target_close(target);
		}
		if (i == TRIES || err->code == RH_NO_INPUT)
			return -1;
		nanosleep(&between, NULL);
	}
}
