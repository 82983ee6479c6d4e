/*
 * main.c - finds the command, fills its options, runs it, reports its error.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/command.h"
#include "harness/help.h"

static const struct rh_command *find_command(const char *name)
{
	for (int i = 0; rh_commands[i]; i++)
		if (strcmp(rh_commands[i]->name, name) == 0)
			return rh_commands[i];
	return NULL;
}

static int report(const char *name, enum rh_exit code, const struct rh_err *err)
{
	rh_progress("%s", "");
	if (err->text[0])
		fprintf(stderr, "reheap%s%s: %s\n", name ? " " : "", name ? name : "", err->text);
	return code;
}

/* A result that could not be written is a failure, also when stdout is a full disk. */
static enum rh_exit close_stdout(enum rh_exit code)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "reheap: standard output cannot be written\n");
		return code == RH_OK ? RH_IO : code;
	}
	return code;
}

static enum rh_exit run_command(const struct rh_command *command, int argc, char **argv,
				struct rh_err *err)
{
	_Alignas(16) unsigned char opts[RH_COMMAND_OPTS_MAX] = { 0 };
	int first = 1, count, parsed;

	if (rh_opt_defaults(command->opts, opts, err) < 0)
		return err->code;
	parsed = rh_opt_argv(command->opts, opts, command->name, argc, argv, command->stop_early,
			     &first, err);
	if (parsed == RH_OPT_HELP) {
		rh_help_command(command, stdout);
		return RH_OK;
	}
	if (parsed < 0)
		return err->code;
	count = argc - first;
	if (count < command->operands_min ||
	    (command->operands_max >= 0 && count > command->operands_max)) {
		rh_fail(err, RH_USAGE, "%s: usage: reheap %s %s (see reheap %s --help)",
			count < command->operands_min ? "something is missing" :
							"too many operands",
			command->name, command->operands, command->name);
		return RH_USAGE;
	}
	return command->run(opts, count, argv + first, err);
}

/* A caller may have closed some of 0, 1 and 2: the next file opened would take the number, and
 * what is meant for standard output would go into a trace or a program. Open for reading only,
 * so that a result that nobody gets is still an error. */
static void hold_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct rh_err err = { 0 };
	const struct rh_command *command;
	enum rh_exit code;

	hold_standard_streams();
	rh_sigpipe_ignored = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
	if (argc < 2) {
		rh_help_all(stderr);
		return RH_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		rh_help_all(stdout);
		return close_stdout(RH_OK);
	}
	if (strcmp(argv[1], "--version") == 0) {
		rh_help_version(stdout);
		return close_stdout(RH_OK);
	}
	command = find_command(argv[1]);
	if (!command) {
		rh_fail(&err, RH_USAGE, "there is no command '%s' (see reheap --help)", argv[1]);
		return report(NULL, RH_USAGE, &err);
	}
	code = run_command(command, argc - 1, argv + 1, &err);
	code = close_stdout(code);
	return code == RH_OK ? RH_OK : report(command->name, code, &err);
}
