/*
 * main.c - finds the command, fills its options, runs it, reports its error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/cells.h"
#include "harness/cli/command.h"
#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "harness/cli/usage.h"
#include "alloc/base/printable.h"
#include "traces/format/huge_alloc.h"

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
		rh_print(stderr, "reheap%s%s: %s\n", name ? " " : "", name ? name : "", err->text);
	return code;
}

/* Not by errno: the write that failed may be long ago. */
static bool reader_gone(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

/* Any command may have `| head` behind it: what has nobody to read it is no error, and ends us as
 * it ends other filters, but only here, when the command has cleaned up. A verdict stays one. */
static void end_without_reader(enum rh_exit code, const struct rh_err *err)
{
	bool of_writing = code == RH_IO && strstr(err->text, rh_errno_text(EPIPE));

	if (rh_sigpipe_ignored || (code != RH_OK && !of_writing))
		return;
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
}

/* A result that could not be written is a failure, also when stdout is a full disk. */
static enum rh_exit close_stdout(enum rh_exit code, const struct rh_err *err)
{
	bool written = fflush(stdout) == 0 && !ferror(stdout);

	if ((!written || code == RH_IO) && reader_gone())
		end_without_reader(code, err);
	if (!written) {
		fprintf(stderr, "reheap: standard output cannot be written\n");
		return code == RH_OK ? RH_IO : code;
	}
	return code;
}

static enum rh_exit run_command(const struct rh_command *command, int argc, char **argv,
				struct rh_err *err)
{
	_Alignas(16) unsigned char opts[RH_COMMAND_OPTS_MAX] = { 0 };
	const struct rh_opt_target target = { command->opts, opts, command->name };
	struct rh_opt_line line = { argc, argv, command->stop_early, .operands = 1 };
	int count, parsed;

	if (rh_opt_defaults(command->opts, opts, err) < 0)
		return err->code;
	parsed = rh_opt_argv(&target, &line, err);
	if (parsed == RH_OPT_HELP) {
		rh_help_command(command, stdout);
		return RH_OK;
	}
	if (parsed < 0)
		return err->code;
	count = argc - line.operands;
	if (count < command->operands_min ||
	    (command->operands_max >= 0 && count > command->operands_max)) {
		rh_fail(err, RH_USAGE, "%s: usage: reheap %s %s (see reheap %s --help)",
			count < command->operands_min ? "something is missing"
						      : "too many operands",
			command->name, command->operands, command->name);
		return RH_USAGE;
	}
	return command->run(opts, count, argv + line.operands, err);
}

/* A caller may have closed some of 0, 1 and 2: the next file opened would take the number, and
 * standard output would go into a trace or a program. Opened read-only, so that writing a result
 * into the void is still an error. */
static void hold_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Prints each note once, however often a knob is read. */
static void note_once(const char *text)
{
	static char said[8][160];
	int i = 0;

	while (i < 8 && said[i][0] && strcmp(said[i], text) != 0)
		i++;
	if (i == 8 || said[i][0])
		return;
	snprintf(said[i], sizeof(said[i]), "%s", text);
	rh_print(stderr, "reheap: note: %s\n", text);
}

/* The row that a word starts with; NULL when it matches none. */
static const struct rh_opt *common_row(const char *word, size_t *length)
{
	for (const struct rh_opt *row = rh_common_opts; row->name; row++) {
		*length = strlen(row->name) + 2;
		if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, row->name, *length - 2) == 0 &&
		    (!word[*length] || word[*length] == '='))
			return row;
	}
	return NULL;
}

/* --limit-memory SIZE and --color WHEN belong to every command: they are removed from the words.
 * Words after `--`, or after the program that `record` runs, are not ours. */
static int take_common(const struct rh_command *command, int *argc, char **argv, struct rh_err *err)
{
	struct rh_common common = { 0 };
	const struct rh_opt_target target = { rh_common_opts, &common, command->name };

	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		size_t length;
		const struct rh_opt *row = common_row(argv[i], &length);
		int words = row && argv[i][length] ? 1 : 2;

		if (command->stop_early && argv[i][0] != '-')
			return 0;
		if (!row)
			continue;
		if (words == 2 && i + 1 >= *argc)
			return rh_fail(err, RH_USAGE, "--%s needs a value, such as %s", row->name,
				       row->names ? "never" : "4G");
		if (rh_opt_set(&target, row->name, words == 1 ? argv[i] + length + 1 : argv[i + 1],
			       err) < 0)
			return -1;
		if (row->names)
			rh_colour = (enum rh_colour)common.colour;
		else
			rh_huge_limit(common.limit);
		memmove(argv + i, argv + i + words,
			(size_t)(*argc - i - words + 1) * sizeof(*argv));
		*argc -= words;
		i--;
	}
	return 0;
}

/* The kernel sends this at the file size limit (ulimit -f); with a handler the write fails instead,
 * and we report that. Not SIG_IGN, which programs that we start would inherit. */
static void on_file_limit(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	struct rh_err err = { 0 };
	const struct rh_command *command;
	enum rh_exit code;

	rh_opt_note = note_once;
	hold_standard_streams();
	signal(SIGXFSZ, on_file_limit);
	rh_sigpipe_ignored = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
	if (argc < 2) {
		rh_help_all(stderr);
		return RH_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		rh_help_all(stdout);
		return close_stdout(RH_OK, &err);
	}
	if (strcmp(argv[1], "--version") == 0) {
		rh_help_version(stdout);
		return close_stdout(RH_OK, &err);
	}
	command = find_command(argv[1]);
	if (!command) {
		rh_help_no_command(argv[1], &err);
		return report(NULL, RH_USAGE, &err);
	}
	argc--;
	if (take_common(command, &argc, argv + 1, &err) < 0)
		return report(command->name, RH_USAGE, &err);
	code = run_command(command, argc, argv + 1, &err);
	code = close_stdout(code, &err);
	return code == RH_OK ? RH_OK : report(command->name, code, &err);
}
