/*
 * command.c - runs a program and reads its output (slurm.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/matrix/slurm.h"

static _Noreturn void become(const char *const *argv, int out, int said)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(said, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static char *read_back(FILE *from, struct rh_pool *pool)
{
	char *text;
	long bytes;

	if (fseek(from, 0, SEEK_END) < 0 || (bytes = ftell(from)) < 0)
		return NULL;
	rewind(from);
	text = rh_pool_alloc(pool, (size_t)bytes + 1, 1);
	text[fread(text, 1, (size_t)bytes, from)] = '\0';
	return text;
}

const char *rh_command_output(const char *const *argv, struct rh_pool *pool, struct rh_err *err)
{
	FILE *out = tmpfile(), *said = tmpfile();
	char *text = NULL, *why = NULL;
	int status = 0;
	pid_t pid = -1;

	if (out && said)
		pid = fork();
	if (pid == 0)
		become(argv, fileno(out), fileno(said));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0) {
		text = read_back(out, pool);
		why = read_back(said, pool);
	}
	if (out)
		fclose(out);
	if (said)
		fclose(said);
	if (pid < 0 || !text || !why) {
		rh_fail_errno(err, RH_OS, "%s cannot be started", argv[0]);
		return NULL;
	}
	why[strcspn(why, "\n")] = '\0';
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !*why) {
		rh_fail(err, RH_ABSENT, "there is no %s here: install slurm-client", argv[0]);
		return NULL;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		rh_fail(err, RH_FAILED, "%s: %s", argv[0], *why ? why : "failed without a word");
		return NULL;
	}
	return text;
}
