/*
 * file.h - the work files of compiling: unnamed, they vanish with their descriptor, so nothing
 * is left behind whatever happens.
 *
 * Writes go through pwrite, never through a mapping: a full disk is then an error
 * with a sentence instead of SIGBUS. Thread rule: any. Errors: RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_COMPILE_FILE_H
#define RH_COMPILE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

/* In dir, NULL = $TMPDIR or /tmp. The descriptor, close-on-exec, or -1. */
int rh_work_file(const char *dir, struct rh_err *err);
int rh_work_write(int fd, const void *data, size_t bytes, uint64_t offset, struct rh_err *err);
/* Reads at most to the end of the file; the rest of the buffer stays unchanged. */
int rh_work_read(int fd, void *data, size_t bytes, uint64_t offset, struct rh_err *err);

#endif
