/*
 * help.c - everything that is told about commands, printed from the command table: so
 * a command or an option cannot be undocumented, and none is documented that is not there.
 */
#include "harness/help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char purpose[] = "replay recorded memory behaviour through any allocator";

/* What scripts may rely on; classes of alloc/base/err.h. */
static const struct { int code; const char *meaning; } exits[] = {
	{ RH_OK, "done; for a gate: pass" },
	{ RH_FAILED, "it ran, and the answer is no: a trial failed, a regression" },
	{ RH_USAGE, "the command line is wrong" },
	{ RH_INCONCLUSIVE, "gate: not enough evidence either way" },
	{ RH_NO_BASELINE, "gate: nothing comparable to compare with" },
	{ RH_INVALID, "gate: the measurement itself is not valid" },
	{ RH_PARTIAL, "done, but something asked for is absent or the input was cut off" },
	{ RH_BAD_DATA, "input is damaged or malformed" },
	{ RH_NO_INPUT, "input cannot be opened" },
	{ RH_ABSENT, "a backend, importer or tool is not available here" },
	{ RH_BUG, "an invariant of reheap broke" },
	{ RH_OS, "the system refused: memory, threads, processes" },
	{ RH_CANT_CREATE, "output cannot be created" },
	{ RH_IO, "reading or writing failed half way" },
};

void rh_help_version(FILE *to)
{
	fprintf(to, "reheap %s\n", rh_version);
}

void rh_help_all(FILE *to)
{
	fprintf(to, "reheap - %s\n\nusage: reheap COMMAND [OPTIONS] [OPERANDS]\n"
		"       reheap COMMAND --help | --help | --version\n\ncommands:\n", purpose);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			fprintf(to, "  %-10s %s\n", rh_commands[i]->name, rh_commands[i]->summary);
	fputs("\nreheap help --man prints the manual page, reheap help --completion bash the "
	      "completions.\n", to);
}

enum { WIDTH = 79 };

/* One line, broken at spaces; one that is indented stands as it is. */
static void put_wrapped(const char *line, size_t bytes, FILE *to)
{
	const char *end = line + bytes;
	size_t column = 0;

	if (bytes && *line == ' ') {
		fprintf(to, "%.*s\n", (int)bytes, line);
		return;
	}
	while (line < end) {
		size_t word = strcspn(line, " \n");

		if (column && column + 1 + word > WIDTH) {
			fputc('\n', to);
			column = 0;
		}
		column += (size_t)fprintf(to, "%s%.*s", column ? " " : "", (int)word, line);
		line += word;
		line += line < end;
	}
	fputc('\n', to);
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
	fprintf(to, "  %-28s %s\n", "-h, --help", "print this and do nothing else");
	if (command->examples) {
		fputs("\nexamples:\n", to);
		put_lines(command->examples, "  ", to);
	}
	if (command->more_help)
		command->more_help(to);
}

/* ---- the manual page ---- */

/* Text for roff: no line may begin with a dot or quote, and - and \ mean themselves. */
static void put_roff(const char *text, FILE *to)
{
	bool at_start = true;

	for (; *text; text++) {
		if (at_start && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		if (*text == '\\')
			fputs("\\e", to);
		else if (*text == '-')
			fputs("\\-", to);
		else
			fputc(*text, to);
		at_start = *text == '\n';
	}
}

static void put_option(const struct rh_opt *row, FILE *to)
{
	bool has_value = row->type != RH_OPT_FLAG;

	fputs(".TP\n", to);
	if (row->letter)
		fprintf(to, "\\fB\\-%c\\fR, ", row->letter);
	fputs("\\fB\\-\\-", to);
	put_roff(row->name, to);
	fputs("\\fR", to);
	if (has_value) {
		fputs(" \\fI", to);
		put_roff(row->arg ? row->arg : "VALUE", to);
		fputs("\\fR", to);
	}
	fputc('\n', to);
	put_roff(row->help ? row->help : "", to);
	for (int i = 0; row->names && row->names[i]; i++) {
		fputs(i ? ", " : ": one of ", to);
		put_roff(row->names[i], to);
	}
	if (has_value && row->dflt && row->dflt[0]) {
		fputs(" [", to);
		put_roff(row->dflt, to);
		fputc(']', to);
	}
	fputc('\n', to);
}

/* What a command prints by itself is set as it stands. */
static void put_more(const struct rh_command *command, FILE *to)
{
	char *text = NULL;
	size_t bytes;
	FILE *memory = open_memstream(&text, &bytes);

	if (!memory)
		return;
	command->more_help(memory);
	fclose(memory);
	fputs(".PP\n.nf\n", to);
	put_roff(text, to);
	fputs("\n.fi\n", to);
	free(text);
}

static void put_command(const struct rh_command *command, FILE *to)
{
	fprintf(to, ".SS \"reheap %s ", command->name);
	put_roff(command->operands ? command->operands : "", to);
	fputs("\"\n", to);
	put_roff(command->summary, to);
	fputs(".\n", to);
	if (command->details) {
		fputs(".PP\n", to);
		put_roff(command->details, to);
		fputc('\n', to);
	}
	for (const struct rh_opt *row = command->opts; row && row->name; row++)
		put_option(row, to);
	if (command->more_help)
		put_more(command, to);
	if (command->examples) {
		fputs(".PP\nExamples:\n.PP\n.nf\n.RS\n", to);
		put_roff(command->examples, to);
		fputs("\n.RE\n.fi\n", to);
	}
}

void rh_help_man(FILE *to)
{
	fputs(".TH REHEAP 1 \"\" \"reheap ", to);
	put_roff(rh_version, to);
	fprintf(to, "\" \"User Commands\"\n.SH NAME\nreheap \\- %s\n.SH SYNOPSIS\n.B reheap\n"
		".I COMMAND\n[\\fIOPTIONS\\fR] [\\fIOPERANDS\\fR]\n.SH COMMANDS\n", purpose);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			put_command(rh_commands[i], to);
	fputs(".SH EXIT STATUS\n", to);
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		fprintf(to, ".TP\n.B %d\n", exits[i].code);
		put_roff(exits[i].meaning, to);
		fputc('\n', to);
	}
	fputs(".SH ENVIRONMENT\n.TP\n.B TMPDIR\nwhere compiled programs are kept while a command "
	      "runs\n", to);
}

/* ---- completion ---- */

static void put_words(const struct rh_command *command, FILE *to)
{
	for (const struct rh_opt *row = command->opts; row && row->name; row++)
		fprintf(to, "--%s ", row->name);
	fputs("--help", to);
}

/* The words that may follow an option with a closed set of values. */
static void put_values(const struct rh_command *command, FILE *to)
{
	for (const struct rh_opt *row = command->opts; row && row->name; row++) {
		if (!row->names)
			continue;
		fprintf(to, "\t%s:--%s)", command->name, row->name);
		fputs(" words=\"", to);
		for (int i = 0; row->names[i]; i++)
			fprintf(to, "%s%s", i ? " " : "", row->names[i]);
		fputs("\" ;;\n", to);
	}
}

void rh_help_completion(FILE *to)
{
	fputs("# bash completion for reheap\n_reheap()\n{\n"
	      "\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
	      "\tlocal before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
	      "\tlocal command=\"${COMP_WORDS[1]}\" words=\"\"\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"", to);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			fprintf(to, "%s ", rh_commands[i]->name);
	fputs("--help --version\"\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n\t\treturn\n\tfi\n"
	      "\tcase \"$command:$before\" in\n", to);
	for (int i = 0; rh_commands[i]; i++)
		put_values(rh_commands[i], to);
	fputs("\tesac\n\tif [ -z \"$words\" ] && [ \"${current#-}\" != \"$current\" ]; then\n"
	      "\t\tcase \"$command\" in\n", to);
	for (int i = 0; rh_commands[i]; i++) {
		fprintf(to, "\t\t%s) words=\"", rh_commands[i]->name);
		put_words(rh_commands[i], to);
		fputs("\" ;;\n", to);
	}
	fputs("\t\tesac\n\tfi\n"
	      "\t[ -n \"$words\" ] && COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n"
	      "complete -o default -F _reheap reheap\n", to);
}
