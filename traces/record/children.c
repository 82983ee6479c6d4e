/*
 * children.c - see children.h.
 *
 * Below an unrecorded program, /proc/PID/task/TID/children lists its children cheaply. It is
 * read only for descendants of the recorder: a number from another PID namespace may belong to
 * an unrelated process here.
 */
#include "traces/record/children.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "alloc/base/printable.h"
#include "traces/record/process.h"

enum {
	CHILDREN_MAX = 65536,
	CLIMB = 64,
	UNSEEN_SWEEPS = 10, /* sweeps after which an unrecorded image is not just starting up */
};

const char *rh_children_why(enum rh_kid_why why)
{
	static const char *const says[RH_KID_WHYS] = {
		[RH_KID_RECORDED] = "recorded",
		[RH_KID_STATIC] = "statically linked",
		[RH_KID_MUSL] = "built on musl",
		[RH_KID_SETUID] = "setuid, setgid or given capabilities",
		[RH_KID_CLEARED] = "its environment was cleared of LD_PRELOAD and REHEAP_RECORD",
		[RH_KID_REPLACED] = "its LD_PRELOAD was replaced (set outside, LD_PRELOAD=LIB.so "
				    "reheap record ..., both are kept)",
		[RH_KID_MACHINE] = "built for another machine",
		[RH_KID_SANITIZER] = "built with a sanitizer, which is its malloc",
		[RH_KID_ROOT] =
			"its root folder (chroot, container) has no recorder under that path",
		[RH_KID_BELOW] = "begun by a program that is not recorded",
		[RH_KID_SHUT] = "it runs as another user, who may not open the recording, and its "
				"descriptors were closed",
		[RH_KID_GONE] = "it ended at once and had not loaded the recorder",
	};

	assert((unsigned)why < RH_KID_WHYS);
	return says[why];
}

const char *rh_children_name(const struct rh_child *child)
{
	return child->exe[0] ? child->exe : "(gone before its file was seen)";
}

static struct rh_child *add(struct rh_children *children, const struct rh_drain *drain, int pid,
			    enum rh_kid_why why, struct rh_err *err)
{
	struct rh_child *grown;

	if (children->count == CHILDREN_MAX) {
		children->lost++;
		return NULL;
	}
	if (!rh_reserve(&children->rows, &children->room, children->count + 1,
			sizeof *children->rows)) {
		rh_no_memory(err, "child processes");
		return NULL;
	}
	grown = &children->rows[children->count++];
	memset(grown, 0, sizeof *grown);
	grown->pid = pid;
	grown->images = drain->image_count;
	grown->why = why;
	return grown;
}

static bool same_base(const char *a, const char *b)
{
	const char *one = strrchr(a, '/'), *two = strrchr(b, '/');

	return *a && strcmp(one ? one + 1 : a, two ? two + 1 : b) == 0;
}

/* In another PID namespace the process has a different number for itself. */
static bool may_be(const struct rh_child *child, int pid, const char *exe)
{
	return child->pid == pid || same_base(child->exe, exe);
}

/* The kernel reported that exec first: posix_spawn, whose child is known only afterwards. */
static struct rh_child *heard_before(struct rh_children *children, const struct rh_kid *kid)
{
	for (size_t i = children->count; children->kin && i > 0; i--) {
		struct rh_child *child = &children->rows[i - 1];

		if (child->execed && !child->noted && child->why == kid->why &&
		    child->at >= kid->at && may_be(child, kid->pid, kid->exe))
			return child;
	}
	return NULL;
}

static int take_child(struct rh_children *children, const struct rh_drain *drain, uint32_t place,
		      struct rh_err *err)
{
	struct rh_kid kid = { 0 };
	struct rh_child *child;

	if (pread(drain->area_fd, &kid, sizeof kid,
		  (off_t)(RH_AREA_KIDS_AT + place * sizeof kid)) != sizeof kid)
		return rh_fail_errno(err, RH_OS, "the recording's area cannot be read");
	atomic_store(&drain->area->kid_state[place], RH_KID_FREE);
	if (kid.why == RH_KID_RECORDED || kid.why >= RH_KID_WHYS) /* the program can write it */
		return 0;
	kid.exe[sizeof kid.exe - 1] = '\0';
	child = heard_before(children, &kid);
	if (!child)
		child = add(children, drain, kid.pid, (enum rh_kid_why)kid.why, err);
	if (!child)
		return err->text[0] ? -1 : 0;
	child->ppid = kid.ppid;
	child->noted = true;
	if (!child->execed)
		child->at = kid.at;
	snprintf(child->exe, sizeof child->exe, "%s", kid.exe);
	return 0;
}

static long parent_of(int pid)
{
	char path[64], line[256];
	long parent = -1;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	in = fopen(path, "re");
	while (in && parent < 0 && fgets(line, sizeof line, in))
		if (strncmp(line, "PPid:", 5) == 0)
			parent = strtol(line + 5, NULL, 10);
	if (in)
		fclose(in);
	return parent;
}

static bool is_ours(int pid)
{
	long at = pid, self = (long)getpid();

	for (int i = 0; i < CLIMB && at > 1 && at != self; i++)
		at = parent_of((int)at);
	return at == self;
}

static bool is_known(const struct rh_children *children, const struct rh_drain *drain, int pid)
{
	for (size_t i = 0; i < children->count; i++)
		if (children->rows[i].pid == pid)
			return true;
	return rh_drain_newest(drain, pid, false) != SIZE_MAX;
}

/* A child below an unrecorded program may have started another program since. */
static void name_again(struct rh_child *child)
{
	char exe[sizeof child->exe];

	rh_process_exe(child->pid, exe, sizeof exe);
	if (exe[0])
		memcpy(child->exe, exe, sizeof exe);
}

/* A program that replaced it in the same process is reported like one that it started. */
static int look_again(struct rh_children *children, const struct rh_drain *drain, size_t index,
		      struct rh_err *err)
{
	struct rh_child *child = &children->rows[index], *row;
	struct stat st = { 0 };
	char link[64];

	if (children->kin && rh_kin_works(children->kin)) /* it has reported that */
		return 0;
	if (child->why == RH_KID_BELOW) {
		name_again(child);
		return 0;
	}
	snprintf(link, sizeof link, "/proc/%d/exe", child->pid);
	if (++child->looks < 2 || stat(link, &st) < 0)
		return 0;
	if (!child->inode || child->inode == st.st_ino) {
		child->inode = st.st_ino;
		return 0;
	}
	child->over = true; /* from here on we look at its successor */
	row = add(children, drain, child->pid, RH_KID_BELOW, err);
	if (!row)
		return err->text[0] ? -1 : 0;
	row->ppid = children->rows[index].ppid;
	name_again(row);
	return 0;
}

static int look_below(struct rh_children *children, const struct rh_drain *drain, size_t index,
		      struct rh_err *err)
{
	int pid = children->rows[index].pid, child;
	char path[64];
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
	in = fopen(path, "re");
	if (!in || !is_ours(pid)) {
		children->rows[index].over = true;
		if (in)
			fclose(in);
		return 0;
	}
	if (look_again(children, drain, index, err) < 0) {
		fclose(in);
		return -1;
	}
	while (fscanf(in, "%d", &child) == 1) {
		struct rh_child *row;

		if (child <= 0 || is_known(children, drain, child))
			continue;
		row = add(children, drain, child, RH_KID_BELOW, err);
		if (!row)
			break;
		row->ppid = pid;
		name_again(row);
	}
	fclose(in);
	return err->text[0] ? -1 : 0;
}

/* ---- events from the kernel ---- */

/* The newest row of that process at that time: the process may have reported a later program
 * already. */
static struct rh_child *newest(struct rh_children *children, int pid, uint64_t at)
{
	for (size_t i = children->count; i > 0; i--) {
		struct rh_child *child = &children->rows[i - 1];

		if (child->pid == pid && !child->replaced && child->at <= at)
			return child;
	}
	return NULL;
}

/* By the order in which they were found, and by time: a quick chain of execs is found all at once.
 */
bool rh_children_recorded_later(const struct rh_child *child, const struct rh_drain *drain)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pid == child->pid &&
		    (i >= child->images ||
		     (child->at && drain->images[i].life.begin.wall_ns >= child->at)))
			return true;
	return false;
}

/* A fork of an unrecorded program is unrecorded, too. */
static int hear_fork(struct rh_children *children, const struct rh_drain *drain,
		     const struct rh_kin_event *event, struct rh_err *err)
{
	struct rh_child *parent = newest(children, event->parent, event->at), *child;
	char exe[sizeof parent->exe];

	if (!parent || (parent->noted && !parent->execed) ||
	    (parent->why == RH_KID_BELOW && rh_children_recorded_later(parent, drain)))
		return 0;
	child = newest(children, event->pid, event->at);
	if (child && child->why == RH_KID_BELOW && !child->execed)
		return 0;		      /* found in /proc */
	memcpy(exe, parent->exe, sizeof exe); /* add() may move it */
	child = add(children, drain, event->pid, RH_KID_BELOW, err);
	if (!child)
		return err->text[0] ? -1 : 0;
	child->ppid = event->parent;
	child->images = 0; /* it may have registered before its fork was reported */
	child->at = event->at;
	memcpy(child->exe, exe, sizeof exe);
	return 0;
}

/* Whether the process itself reported this exec. Earlier rows of the process are marked as
 * replaced. */
static bool was_noted(struct rh_children *children, const struct rh_kin_event *event)
{
	struct rh_child *noted = NULL;

	for (size_t i = children->count; i > 0 && !noted; i--) {
		struct rh_child *child = &children->rows[i - 1];

		if (child->noted && !child->execed && child->at <= event->at &&
		    may_be(child, event->pid, event->exe))
			noted = child;
	}
	if (!noted)
		return false;
	for (size_t i = 0; i < children->count; i++) {
		struct rh_child *child = &children->rows[i];

		if (child == noted || child->pid != event->pid)
			continue;
		child->replaced = true;
		if (child->why == RH_KID_BELOW && !child->execed)
			child->why = RH_KID_RECORDED; /* it was one fork */
	}
	noted->execed = true;
	return true;
}

static void name(struct rh_child *child, const struct rh_kin_event *event)
{
	child->execed = true;
	child->at = event->at;
	if (event->why != RH_KID_RECORDED)
		child->why = event->why;
	memcpy(child->exe, event->exe, sizeof event->exe);
}

static int hear_exec(struct rh_children *children, const struct rh_drain *drain,
		     const struct rh_kin_event *event, struct rh_err *err)
{
	struct rh_child *before, *child;
	enum rh_kid_why why = RH_KID_BELOW;
	size_t images = 0;
	int ppid = 0;

	if (was_noted(children, event))
		return 0;
	before = newest(children, event->pid, event->at);
	if (before && before->why == RH_KID_BELOW && !before->execed) {
		name(before, event);
		return 0;
	}
	/* A recorded process started this by a route past our functions: judged by the file, and by
	 * the environment. */
	if (!before && event->why == RH_KID_RECORDED && !event->cleared && event->exe[0])
		return 0;
	if (!before)
		why = event->cleared ? RH_KID_CLEARED : RH_KID_GONE;
	if (before) {
		before->replaced = true;
		images = before->images;
		ppid = before->ppid;
	}
	child = add(children, drain, event->pid, why, err);
	if (!child)
		return err->text[0] ? -1 : 0;
	child->images = before ? images : SIZE_MAX; /* an earlier image has the same number */
	child->ppid = ppid;
	name(child, event);
	return 0;
}

static int hear(struct rh_children *children, const struct rh_drain *drain, struct rh_err *err)
{
	const struct rh_kin_event *events;
	size_t count = rh_kin_take(children->kin, children->last, &events);

	for (size_t i = 0; i < count; i++)
		if ((events[i].kind == RH_KIN_FORK
			     ? hear_fork(children, drain, &events[i], err)
			     : hear_exec(children, drain, &events[i], err)) < 0)
			return -1;
	return 0;
}

int rh_children_look(struct rh_children *children, const struct rh_drain *drain, struct rh_err *err)
{
	for (uint32_t i = 0; i < RH_KIDS; i++)
		if (atomic_load(&drain->area->kid_state[i]) == RH_KID_READY &&
		    take_child(children, drain, i, err) < 0)
			return -1;
	children->lost += atomic_exchange(&drain->area->kids_lost, 0);
	if (children->kin && hear(children, drain, err) < 0)
		return -1;
	for (size_t i = 0; i < children->count; i++)
		if (!children->rows[i].over && look_below(children, drain, i, err) < 0)
			return -1;
	return 0;
}

/* Where processes have other numbers for themselves, one that is gone cannot be told from them. */
static bool has_namespaces(const struct rh_children *children, const struct rh_drain *drain)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pid != drain->images[i].inner ||
		    !rh_kin_has(children->kin, drain->images[i].pid))
			return true;
	return false;
}

static bool was_recorded(const struct rh_children *children, const struct rh_child *child,
			 const struct rh_drain *drain)
{
	if (child->why == RH_KID_BELOW || child->why == RH_KID_GONE)
		return rh_children_recorded_later(child, drain) ||
		       (child->why == RH_KID_GONE && has_namespaces(children, drain));
	return child->why == RH_KID_RECORDED;
}

void rh_children_settle(struct rh_children *children, const struct rh_drain *drain)
{
	size_t kept = 0;

	for (size_t i = 0; i < children->count; i++) {
		const struct rh_child *child = &children->rows[i];

		if (was_recorded(children, child, drain))
			continue;
		children->rows[kept++] = *child;
	}
	assert(kept <= children->count);
	children->count = kept;
}

const struct rh_child *rh_children_of(const struct rh_children *children, int pid)
{
	for (size_t i = children->count; i > 0; i--)
		if (children->rows[i - 1].pid == pid)
			return &children->rows[i - 1];
	return NULL;
}

/* The ends of paths are compared. */
void rh_children_stranger(struct rh_children *children, const struct rh_drain *drain, int pid)
{
	char exe[4096];
	size_t newest = rh_drain_newest(drain, pid, false), bytes;
	const char *known = newest == SIZE_MAX ? NULL : drain->images[newest].exe;
	const struct rh_child *child = rh_children_of(children, pid);

	if (children->strange_sweeps > UNSEEN_SWEEPS)
		return;
	rh_process_exe(pid, exe, sizeof exe);
	bytes = strlen(exe);
	if (!bytes)
		return;
	if (known && bytes >= strlen(known) && strcmp(exe + bytes - strlen(known), known) == 0)
		children->strange_sweeps = 0;
	else if (++children->strange_sweeps > UNSEEN_SWEEPS)
		rh_print(stderr,
			 "reheap record: the program now runs %s, and that has not loaded "
			 "the recorder: %s; it is not recorded\n",
			 exe,
			 child ? rh_children_why(child->why)
			       : "it is static or setuid, or its environment was cleared, or it "
				 "changed user and closed its files");
}

void rh_children_note(const struct rh_children *children, const struct rh_drain *drain,
		      char text[RH_CHILDREN_NOTE])
{
	int main_pid = atomic_load(&drain->area->main_pid);
	size_t recorded = 0, at;

	for (size_t i = 0; i < drain->image_count; i++)
		recorded += drain->images[i].pid != main_pid;
	at = (size_t)snprintf(text, RH_CHILDREN_NOTE, "%zu recorded, %" PRIu64 " not", recorded,
			      (uint64_t)children->count + children->lost);
	for (size_t i = 0; i < children->count && at + 80 < RH_CHILDREN_NOTE; i++) {
		const struct rh_child *child = &children->rows[i];
		int wrote = snprintf(text + at, RH_CHILDREN_NOTE - at, "%s%d %.100s (%s)",
				     i ? "; " : ": ", child->pid, rh_children_name(child),
				     rh_children_why(child->why));

		at += (size_t)wrote < RH_CHILDREN_NOTE - at ? (size_t)wrote
							    : RH_CHILDREN_NOTE - at - 1;
	}
}

void rh_children_close(struct rh_children *children)
{
	rh_kin_close(children->kin);
	free(children->rows);
	memset(children, 0, sizeof *children);
}
