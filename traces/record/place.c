/*
 * place.c - see place.h.
 */
#include "traces/record/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc/base/os.h"

enum { PIECE = 8192 };

/* Docker mounts /dev/shm noexec; / comes last, for processes that have no other. */
static const char *const folders[] = { "/dev/shm", "/tmp", "/var/tmp", "/run", "" };
enum { FOLDERS = sizeof folders / sizeof folders[0] };

void rh_place_tag(const char *shim, char tag[40])
{
	struct stat st = { 0 };

	stat(shim, &st);
	snprintf(tag, 40, "libreheap-record.%" PRIx64 "-%" PRIx64,
		 (uint64_t)st.st_mtime & 0xffffffff, (uint64_t)st.st_size & 0xffffffff);
}

/* A writable folder of the process's root; NULL: none. */
static const char *folder_for(const char *root, bool code)
{
	char path[RH_PLACE_PATH];
	struct statvfs fs;

	for (int i = 0; i < FOLDERS; i++) {
		snprintf(path, sizeof path, "%s%s/", root, folders[i]);
		if (access(path, W_OK | X_OK) == 0 &&
		    (!code || (statvfs(path, &fs) == 0 && !(fs.f_flag & ST_NOEXEC))))
			return folders[i];
	}
	return NULL;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool copy_bytes(int from, int to)
{
	char piece[PIECE];
	ssize_t got;

	while ((got = read(from, piece, sizeof piece)) > 0)
		if (write(to, piece, (size_t)got) != got)
			return false;
	return got == 0;
}

/* An existing file or link of that name is not followed. */
static int copy_shim(const char *shim, const char *copy, struct rh_err *err)
{
	int from = open(shim, O_RDONLY | O_CLOEXEC), to;
	bool done;

	if (from < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s", shim);
	unlink(copy);
	to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
	done = to >= 0 && copy_bytes(from, to) && fchmod(to, 0755) == 0;
	if (!done)
		rh_fail_errno(err, RH_OS, "%s: the recorder cannot be put there", copy);
	if (to >= 0)
		close(to);
	close(from);
	if (!done && to >= 0)
		unlink(copy);
	return done ? 0 : -1;
}

static int place_shim(struct rh_place *place, const char *root, const char *shim,
		      struct rh_err *err)
{
	char path[RH_PLACE_PATH], tag[40];
	const char *folder;

	place->shim = shim;
	snprintf(path, sizeof path, "%s%s", root, shim);
	if (same_file(path, shim))
		return 0;
	folder = folder_for(root, true);
	if (!folder)
		return rh_fail(
			err, RH_ABSENT,
			"the recorder is not in the root folder of that process, and no folder "
			"there takes it: give its container a writable /tmp that is not "
			"noexec, or %s itself",
			shim);
	rh_place_tag(shim, tag);
	snprintf(place->copy, sizeof place->copy, "%s%s/%s.so", root, folder, tag);
	place->shim = place->copy + place->root_bytes;
	if (copy_shim(shim, place->copy, err) == 0)
		return 0;
	place->copy[0] = '\0';
	return -1;
}

int rh_place_find(struct rh_place *place, const struct rh_target *target, const char *shim,
		  struct rh_err *err)
{
	const char *folder;
	char root[64];

	*place = (struct rh_place){ .shim = shim };
	if (!target->apart)
		return 0;
	snprintf(root, sizeof root, "/proc/%d/root", target->pid);
	place->root_bytes = strlen(root);
	folder = folder_for(root, false);
	if (!folder)
		return rh_fail(err, RH_ABSENT,
			       "process %d has another root folder and none in it that can be "
			       "written: give its container a /dev/shm or a /tmp",
			       target->pid);
	snprintf(place->area, sizeof place->area, "%s%s/reheap-area.%d.%" PRIx64, root, folder,
		 (int)getpid(), rh_now_ns());
	return target->dormant[0] ? 0 : place_shim(place, root, shim, err);
}

void rh_place_remove(const struct rh_place *place)
{
	if (place->area[0])
		unlink(place->area);
	if (place->copy[0])
		unlink(place->copy);
}
