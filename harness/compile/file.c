/*
 * file.c - nameless work files.
 */
#include "harness/compile/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/os.h"

int rh_work_file(const char *dir, struct rh_err *err)
{
	char path[4096];
	int fd;

	if (!dir || !dir[0])
		dir = getenv("TMPDIR");
	if (!dir || !dir[0])
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Some filesystems (overlayfs before 6.3) lack O_TMPFILE: then a named file, unlinked at
	 * once. */
	if (snprintf(path, sizeof(path), "%s/reheap-%ld-%llx", dir, (long)getpid(),
		     (unsigned long long)rh_now_ns()) < (int)sizeof(path)) {
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0) {
			unlink(path);
			return fd;
		}
	}
	return rh_fail_errno(err, RH_CANT_CREATE,
			     "%s: no work file can be made there (set TMPDIR to a writable place)",
			     dir);
}

int rh_work_write(int fd, const void *data, size_t bytes, uint64_t offset, struct rh_err *err)
{
	const char *at = data;

	while (bytes) {
		ssize_t done = pwrite(fd, at, bytes, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return rh_fail_errno(err, RH_IO,
					     "the work file cannot be written "
					     "at byte %llu (set TMPDIR to a roomier place)",
					     (unsigned long long)offset);
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

int rh_work_read(int fd, void *data, size_t bytes, uint64_t offset, struct rh_err *err)
{
	char *at = data;

	while (bytes) {
		ssize_t done = pread(fd, at, bytes, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return rh_fail_errno(err, RH_IO,
					     "the work file cannot be read at byte %llu",
					     (unsigned long long)offset);
		if (done == 0)
			return 0;
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}
