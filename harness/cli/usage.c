/*
 * usage.c - --help of reheap and of each command, printed from the command table: so every
 * command and option is documented, and nothing is documented that does not exist.
 */
#include "harness/cli/usage.h"
#include "alloc/base/printable.h"
#include "alloc/base/suggest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const char rh_purpose[] = "replay recorded memory behaviour through any allocator";

void rh_help_version(FILE *to)
{
	fprintf(to, "reheap %s\n", rh_version);
}

void rh_help_all(FILE *to)
{
	fprintf(to,
		"reheap - %s\n\nusage: reheap COMMAND [OPTIONS] [OPERANDS]\n"
		"       reheap COMMAND --help | --help | --version\n\ncommands:\n",
		rh_purpose);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			fprintf(to, "  %-10s %s\n", rh_commands[i]->name, rh_commands[i]->summary);
	fputs("\nreheap help --man [COMMAND] prints a manual page, reheap help --completion SHELL "
	      "the completions of bash, zsh or fish.\n",
	      to);
}

enum rh_exit rh_help_no_command(const char *name, struct rh_err *err)
{
	struct rh_suggestion s = rh_suggestion_for(name, strlen(name));
	const char *near;

	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			rh_suggest_consider(&s, rh_commands[i]->name);
	near = rh_suggest_nearest(&s);
	rh_fail(err, RH_USAGE, "there is no command '%s'%s%s%s (see reheap --help)", name,
		near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
	return RH_USAGE;
}

enum { WIDTH = 79 };

/* One line, wrapped; an indented line is printed verbatim. */
static void put_wrapped(const char *line, size_t bytes, FILE *to)
{
	if (bytes && *line == ' ')
		fprintf(to, "%.*s\n", (int)bytes, line);
	else
		rh_print_wrapped(to, line, bytes, 0, WIDTH);
}

static void put_paragraphs(const char *text, FILE *to)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		put_wrapped(text, length, to);
		text += length;
		text += *text == '\n';
	}
}

/* Lines of text, each behind `indent`; empty lines stay empty. */
static void put_lines(const char *text, const char *indent, FILE *to)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		fprintf(to, "%s%.*s\n", length ? indent : "", (int)length, text);
		text += length;
		text += *text == '\n';
	}
}

void rh_help_command(const struct rh_command *command, FILE *to)
{
	const char *operands = command->operands ? command->operands : "";

	fprintf(to, "usage: reheap %s%s%s\n\n%c%s.\n", command->name, operands[0] ? " " : "",
		operands, toupper((unsigned char)command->summary[0]), command->summary + 1);
	if (command->details) {
		fputc('\n', to);
		put_paragraphs(command->details, to);
	}
	fputs("\noptions:\n", to);
	rh_opt_help(command->opts, to);
	rh_opt_help(rh_common_opts, to);
	fprintf(to, "  %-28s %s\n", "-h, --help", "print this and do nothing else");
	if (command->examples) {
		fputs("\nexamples:\n", to);
		put_lines(command->examples, "  ", to);
	}
	if (command->more_help)
		command->more_help(to);
}
