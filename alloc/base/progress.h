/*
 * progress.h - a line of progress on a terminal, and what happens when the reader of our
 * output goes away.
 * Thread rule: main thread. Errors: none.
 */
#ifndef RH_PROGRESS_H
#define RH_PROGRESS_H

#include <stdbool.h>

/* Whether our caller ignores SIGPIPE, as we do: a program that we start keeps that. */
extern bool rh_sigpipe_ignored;

/* From now on a reader of our output that goes away ends us silently, like other filters
 * (unless our caller ignores SIGPIPE). For commands with nothing to clean up. */
void rh_end_with_reader(void);

/* A progress line on stderr, only when it is a tty; "" ends it. At most ten a second. */
void rh_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
