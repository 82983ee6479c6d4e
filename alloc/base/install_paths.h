/*
 * install_paths.h - where the other files of the installation are, and the version.
 *
 * Thread rule: any thread. Errors: RH_ABSENT for a file that is missing.
 */
#ifndef RH_INSTALL_PATHS_H
#define RH_INSTALL_PATHS_H

#include <stddef.h>

#include "alloc/base/err.h"

extern const char rh_version[]; /* ci/VERSION, with the commit beside it */

/* The path of an installed file or folder by its name ("reheap-worker", "plots/layout", "corpus",
 * "libreheap-record.so"): beside the binary, in the source tree it was built in, or under
 * PREFIX/libexec or PREFIX/share. */
int rh_install_path(const char *name, char *path, size_t path_bytes, struct rh_err *err);

#endif
