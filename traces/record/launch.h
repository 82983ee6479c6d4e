/*
 * launch.h - the program is executed, with or without a recording.
 *
 * Thread rule: one thread. Errors: errno, or as stated.
 */
#ifndef RH_RECORD_LAUNCH_H
#define RH_RECORD_LAUNCH_H

#include <stdbool.h>

#include "traces/record/record.h"

/* Replaces this process by the program, a script without #! by its shell, as execvp would.
 * Returns only when that failed, with errno. */
void rh_launch(const char *path, char **argv);

/* The recording cannot begin. Is it for want of something that the program may not lack: memory,
 * descriptors, disk, a limit? Then the program runs alone, unless opts->strict. */
bool rh_launch_may_go_alone(const struct rh_record_opts *opts, const struct rh_err *err);
/* Says why and executes the program in this process. Returns the exit status of a program that
 * cannot be executed, with err. */
int rh_launch_alone(const struct rh_record_opts *opts, const char *path, char **argv,
		    struct rh_err *err);

#endif
