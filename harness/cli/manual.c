/*
 * manual.c - the manual pages, one for reheap and one for each command, printed from the command
 * table. Sections that are the same everywhere (exit status, environment) are tables here.
 */
#include "harness/cli/usage.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What scripts may rely on; classes of alloc/base/err.h. */
static const struct {
	int code;
	const char *meaning;
} exits[] = {
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

/* Every variable that changes the behaviour of reheap. */
static const struct {
	const char *name, *meaning;
} variables[] = {
	{ "ASAN_OPTIONS", "record: kept for the program, with what it needs to be recorded" },
	{ "GITHUB_ACTIONS", "gate: print verdicts as annotations of a GitHub workflow too" },
	{ "GITHUB_STEP_SUMMARY", "gate: append the summary in Markdown to this file" },
	{ "GLIBC_TUNABLES", "kept; counts of instructions add the processor that they are of" },
	{ "GODEBUG", "record-go: kept for the program, with traceallocfree=1 added" },
	{ "GOGC", "record-go: noted in the trace, for whatif and fidelity" },
	{ "GOMEMLIMIT", "record-go: noted in the trace, for whatif and fidelity" },
	{ "LD_LIBRARY_PATH", "where allocators are looked for after REHEAP_PATH" },
	{ "LD_PRELOAD", "record: kept for the program, after the recorder" },
	{ "NO_COLOR", "set and not empty: no colour on a terminal" },
	{ "PATH", "where programs to run, valgrind, gnuplot and babeltrace2 are looked for" },
	{ "REHEAP_CLOCK", "tsc or monotonic: the clock to use instead of the one that is chosen" },
	{ "REHEAP_DORMANT",
	  "for a program with libreheap-record.so in LD_PRELOAD: 1, or the folder "
	  "for its files: it sleeps until record --pid wakes it" },
	{ "REHEAP_PATH",
	  "folders, separated by colons, where allocators are looked for first, also "
	  "under names such as mimalloc-3.4.3.so" },
	{ "REHEAP_PEER_NAME", "the library that stands for an allocator (REHEAP_PEER_JEMALLOC=/opt/"
			      "jemalloc/lib/libjemalloc.so.2)" },
	{ "TERM", "dumb, or not set: no colour on a terminal" },
	{ "TMPDIR", "where compiled programs are kept while a command runs" },
};

/* Text for roff: no line may begin with a dot or quote, - and \ mean themselves, and a list without
 * blanks, which may be wider than a page, may break behind its commas. */
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
		if (*text == ',' && text[1] && !strchr(" \n", text[1]))
			fputs("\\:", to);
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

static const struct rh_opt help_row[] = {
	{ "help", 'h', RH_OPT_FLAG, .help = "print a summary and do nothing else" },
	{ .name = NULL },
};

static void put_options(const struct rh_opt *row, FILE *to)
{
	for (; row && row->name; row++)
		put_option(row, to);
}

/* Help that a command prints by itself is set verbatim. */
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

static void put_heading(const char *name, const char *summary, FILE *to)
{
	fputs(".TH ", to);
	for (const char *c = name; *c; c++)
		fputc(toupper((unsigned char)*c), to);
	fputs(" 1 \"\" \"reheap ", to);
	put_roff(rh_version, to);
	/* a line of one long list has no blanks that could be stretched */
	fputs("\" \"User Commands\"\n.ad l\n.SH NAME\n", to);
	put_roff(name, to);
	fputs(" \\- ", to);
	put_roff(summary, to);
	fputs("\n.SH SYNOPSIS\n", to);
}

static void put_exits(FILE *to)
{
	fputs(".SH EXIT STATUS\n", to);
	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		fprintf(to, ".TP\n.B %d\n", exits[i].code);
		put_roff(exits[i].meaning, to);
		fputc('\n', to);
	}
}

static void put_variables(FILE *to)
{
	fputs(".SH ENVIRONMENT\n", to);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		fprintf(to, ".TP\n.B %s\n", variables[i].name);
		put_roff(variables[i].meaning, to);
		fputc('\n', to);
	}
}

static void put_also(const struct rh_command *but, FILE *to)
{
	fputs(".SH SEE ALSO\n", to);
	if (but)
		fputs(".BR reheap (1)", to);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden && rh_commands[i] != but) {
			fputs(i || but ? ",\n.BR reheap\\-" : ".BR reheap\\-", to);
			put_roff(rh_commands[i]->name, to);
			fputs(" (1)", to);
		}
	fputc('\n', to);
}

/* Paragraphs of the table's text are lines. */
static void put_description(const struct rh_command *command, FILE *to)
{
	fputs(".SH DESCRIPTION\n", to);
	fputc(toupper((unsigned char)command->summary[0]), to);
	put_roff(command->summary + 1, to);
	fputs(".\n", to);
	for (const char *text = command->details; text && *text;) {
		size_t length = strcspn(text, "\n");
		char *line = strndup(text, length);

		if (!line)
			return;
		fputs(".PP\n", to);
		put_roff(line, to);
		fputc('\n', to);
		free(line);
		text += length;
		text += *text == '\n';
	}
}

void rh_help_man_command(const struct rh_command *command, FILE *to)
{
	char name[64];

	snprintf(name, sizeof(name), "reheap-%s", command->name);
	put_heading(name, command->summary, to);
	fprintf(to, ".B reheap %s\n", command->name);
	put_roff(command->operands ? command->operands : "", to);
	fputc('\n', to);
	put_description(command, to);
	fputs(".SH OPTIONS\n", to);
	put_options(command->opts, to);
	put_options(rh_common_opts, to);
	put_options(help_row, to);
	if (command->more_help)
		put_more(command, to);
	if (command->examples) {
		fputs(".SH EXAMPLES\n.nf\n", to);
		put_roff(command->examples, to);
		fputs("\n.fi\n", to);
	}
	put_exits(to);
	put_variables(to);
	put_also(command, to);
}

void rh_help_man(FILE *to)
{
	put_heading("reheap", rh_purpose, to);
	fputs(".B reheap\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIOPERANDS\\fR]\n.SH COMMANDS\n", to);
	for (int i = 0; rh_commands[i]; i++) {
		if (rh_commands[i]->hidden)
			continue;
		fputs(".TP\n.BR reheap\\-", to);
		put_roff(rh_commands[i]->name, to);
		fputs(" (1)\n", to);
		put_roff(rh_commands[i]->summary, to);
		fputs(".\n", to);
	}
	put_exits(to);
	put_variables(to);
	put_also(NULL, to);
}
