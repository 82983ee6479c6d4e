/*
 * parts.h - what every room asks of the program it is in: where its other parts are, its
 * version, and a line of progress. The rooms need nothing else of the command line.
 * Thread rule: main thread. Errors: RH_ABSENT for a part that is missing.
 */
#ifndef RH_PARTS_H
#define RH_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/err.h"

extern const char rh_version[];		/* of git describe */
/* Whether our caller ignores SIGPIPE, as we do: a program that we become keeps that. */
extern bool rh_sigpipe_ignored;

/* From now on a reader of our output that goes away ends us without a word, as it does other
 * filters (unless our caller ignores SIGPIPE). For commands with nothing to clean up. */
void rh_end_with_reader(void);

/* A part of the installation by name ("reheap-worker", "plots", "corpus", "libreheap-record.so"):
 * beside the binary, in the source tree it was built in, or under PREFIX/libexec or share. */
int rh_find_part(const char *name, char *path, size_t path_bytes, struct rh_err *err);

/* A progress line on stderr, only when it is a tty; "" ends it. At most ten a second. */
void rh_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
