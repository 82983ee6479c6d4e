/*
 * fuzz_support.h - what the fuzz targets share: a file made of bytes, in memory, with a path
 * that can be opened, and properties that end the program when they do not hold.
 */
#ifndef RH_TRACES_TEST_FUZZ_SUPPORT_H
#define RH_TRACES_TEST_FUZZ_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline void demand(bool holds, const char *what, const struct rh_err *err)
{
	if (!holds) {
		fprintf(stderr, "property broken: %s: %s\n", what, err ? err->text : "");
		abort();
	}
}

/* An error has a code and one sentence. */
static inline void demand_error(const struct rh_err *err)
{
	demand(err->code != RH_OK && err->code != RH_BUG, "an error has its class", err);
	demand(err->text[0] != '\0', "an error says what it is", err);
}

/* Where files that need a name go: memory, where it has a place for files. */
static inline const char *fuzz_folder(void)
{
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

struct fuzz_file {
	int fd;
	char path[64];
};

/* A file that is nowhere but in memory; false when the system has none left. */
static inline bool fuzz_file_open(struct fuzz_file *file, const void *data, size_t bytes)
{
	file->fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (file->fd < 0)
		return false;
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	return write(file->fd, data, bytes) == (ssize_t)bytes && lseek(file->fd, 0, SEEK_SET) == 0;
}

static inline void fuzz_file_close(struct fuzz_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
}

#endif
