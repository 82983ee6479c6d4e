/*
 * launch.c - see launch.h.
 *
 * A production start script with `reheap record` in it must start its server also on the day
 * on which the disk is full or a limit is low. So what the recorder cannot have is no reason to
 * refuse the program: it is said, and this process becomes the program. What is wrong with the
 * command line (no such folder, no right to write there) is refused as before.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "traces/record/launch.h"

void rh_launch(const char *path, char **argv)
{
	size_t count = 0;
	char **shell;

	execv(path, argv);
	if (errno != ENOEXEC)
		return;
	while (argv[count])
		count++;
	shell = calloc(count + 2, sizeof *shell);
	if (!shell)
		return;
	shell[0] = (char *)(uintptr_t) "sh";
	shell[1] = (char *)(uintptr_t)path;
	for (size_t i = 1; i < count; i++)
		shell[i + 1] = argv[i];
	execv("/bin/sh", shell);
	free(shell);
}

bool rh_launch_may_go_alone(const struct rh_record_opts *opts, const struct rh_err *err)
{
	return !opts->strict && (err->code == RH_OS || err->code == RH_IO);
}

int rh_launch_alone(const struct rh_record_opts *opts, const char *path, char **argv,
		    struct rh_err *err)
{
	rh_print(stderr, "reheap record: not recorded, the program runs alone: %s\n", err->text);
	fflush(NULL);
	if (!opts->sigpipe_ignored) /* we do, whatever our caller does */
		signal(SIGPIPE, SIG_DFL);
	rh_launch(path, argv);
	rh_fail_errno(err, RH_NO_INPUT, "%s", path);
	return errno == ENOENT ? 127 : 126;
}
