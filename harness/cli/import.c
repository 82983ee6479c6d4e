/*
 * import.c - `reheap import`: turns a foreign trace into a trace, with an account of every line.
 *
 * The work is rh_import's (traces/import/import.c). This file parses the command line and prints
 * an account of every line afterwards. The account is read back from the notes of the written
 * trace, so that the output agrees with the file; for a trace that goes down a pipe it comes
 * from the writer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "traces/format/names.h"
#include "traces/import/import.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"

enum { IMPORT_OPTS_MAX = 256, SOME = 64 };

struct import_opts {
	const char *out;
	int form;
	uint64_t level;
	double max_damage;
};

static const char *const forms[] = { [RH_FORM_BINARY] = "binary", [RH_FORM_TEXT] = "text", NULL };

static const struct rh_opt import_options[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct import_opts, out), .arg = "T.rht",
	  .help = "the trace to write; - or nothing: standard output" },
	{ "form", 0, RH_OPT_NAME, offsetof(struct import_opts, form), "binary", .names = forms,
	  .arg = "FORM", .help = "how to write it" },
	{ "level", 0, RH_OPT_UINT, offsetof(struct import_opts, level), "0", .max = 19, .arg = "N",
	  .help = "zstd level; 0 = the writer's default" },
	{ "max-damage", 0, RH_OPT_SHARE, offsetof(struct import_opts, max_damage), "1%", .max = 1,
	  .arg = "SHARE", .help = "torn lines that may be left out, of all lines" },
	{ .name = NULL }
};

static void print_notes(FILE *to, const struct rh_names *notes, const char *prefix,
			const char *title)
{
	const char *before = "";

	rh_print(to, "  %-9s ", title);
	for (size_t i = 0; i < notes->note_count; i++) {
		const struct rh_note *note = notes->notes[i];

		if (strncmp(note->key, prefix, strlen(prefix)) != 0 ||
		    strcmp(note->value, "0") == 0)
			continue;
		rh_print(to, "%s%s %s", before, note->value, note->key + strlen(prefix));
		before = ", ";
	}
	rh_print(to, "%s\n", *before ? "" : "nothing");
}

static void print_events(FILE *to, const struct rh_trace_totals *totals)
{
	const char *before = " (";

	fprintf(to, "  events    %" PRIu64, totals->events);
	for (int kind = 0; kind < RH_EV_COUNT; kind++) {
		if (!totals->by_kind[kind])
			continue;
		rh_print(to, "%s%" PRIu64 " %s", before, totals->by_kind[kind],
			 rh_event_rows[kind].word);
		before = ", ";
	}
	rh_print(to, "%s\n", *before == ',' ? ")" : "");
}

static const char *note_of(const struct rh_names *notes, const char *key)
{
	for (size_t i = 0; i < notes->note_count; i++)
		if (strcmp(notes->notes[i]->key, key) == 0)
			return notes->notes[i]->value;
	return NULL;
}

/* The sum that must hold; 12 lines = 9 events + 3 dropped. */
static void print_sum(FILE *to, const struct rh_importer *importer, const struct rh_names *notes,
		      const struct rh_trace_totals *totals)
{
	struct rh_import_account account;

	rh_import_account(importer, notes, totals, &account);
	rh_print(to, "  input     %" PRIu64 " %s = %" PRIu64 " events + %" PRIu64 " dropped",
		 account.lines, note_of(notes, "import.records") ? "records" : "lines",
		 account.from_lines, account.dropped);
	if (account.lines != account.from_lines + account.dropped)
		fputs(" DOES NOT ADD UP: please report this", to);
	if (account.added)
		fprintf(to, "; %" PRIu64 " events added", account.added);
	fputc('\n', to);
}

static void print_note(FILE *to, const struct rh_names *notes, const char *key, const char *word)
{
	const char *text = note_of(notes, key);

	if (text)
		rh_print(to, "  %-9s %s\n", word, text);
}

static void print_account(FILE *to, const struct rh_importer *importer, const char *path,
			  const struct rh_trace_totals *totals, const struct rh_names *notes)
{
	rh_print(to, "%s\n", path);
	rh_print(to, "  format    %s\n", importer->name);
	print_sum(to, importer, notes, totals);
	print_events(to, totals);
	print_notes(to, notes, "drop.", "dropped");
	print_notes(to, notes, "repair.", "repaired");
	print_notes(to, notes, "estimate.", "estimated");
	print_note(to, notes, "import.truncated", "cut off");
	print_note(to, notes, "import.unseen", "not seen");
	print_note(to, notes, "import.unsuited", "not suited for");
	fprintf(to, "  lanes     %" PRIu64 "\n", totals->lanes);
	fprintf(to,
		"  objects   %" PRIu64 " (live at most %" PRIu64 " and %" PRIu64
		" bytes; left live %" PRIu64 ")\n",
		totals->objects, totals->live_objects_peak, totals->live_bytes_peak,
		totals->live_objects_end);
}

/* RH_PARTIAL when the input was cut off. */
static int check_whole(const struct rh_names *notes, const char *input, struct rh_err *err)
{
	return note_of(notes, "import.truncated")
		       ? rh_fail(err, RH_PARTIAL, "%s was cut off; what it had is in the result",
				 input)
		       : 0;
}

static int account(const struct rh_importer *importer, const char *input, const char *path,
		   const struct rh_trace_totals *totals, struct rh_err *err)
{
	struct rh_trace_totals counted;
	struct rh_event batch[SOME];
	struct rh_trace *trace;
	bool exact;
	int got = 0;

	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	rh_trace_totals(trace, &counted, &exact);
	/* A text trace has its totals and last notes only at its end. */
	while (!exact && (got = rh_trace_next(trace, batch, SOME, err)) > 0)
		;
	if (got >= 0) {
		print_account(stdout, importer, path, totals, rh_trace_names(trace));
		got = check_whole(rh_trace_names(trace), input, err);
	}
	rh_trace_close(trace);
	return got < 0 ? -1 : 0;
}

/* The words of the command line: [FORMAT] FILE [KEY=VALUE...]. */
struct words {
	const struct rh_importer *importer; /* NULL: by the content */
	const char *file;
	int count; /* of KEY=VALUE */
	char **values;
};

static int sort_words(struct words *words, int argc, char **argv, struct rh_err *err)
{
	bool has_format = argc >= 2 && !strchr(argv[1], '=');

	*words = (struct words){ .file = argv[has_format],
				 .count = argc - 1 - has_format,
				 .values = argv + 1 + has_format };
	if (has_format) {
		words->importer = rh_importer_of(argv[0], err);
		return words->importer ? 0 : -1;
	}
	if (strcmp(argv[0], "-") != 0 && access(argv[0], F_OK) != 0 && rh_importer_of(argv[0], err))
		return rh_fail(err, RH_USAGE, "which file? reheap import %s FILE", argv[0]);
	return 0;
}

/* `notes`: those of a trace that goes down a pipe and cannot be read back. */
static int import_input(const struct import_opts *opts, struct words *words, struct rh_input *input,
			struct rh_names *notes, struct rh_err *err)
{
	_Alignas(16) unsigned char importer_opts[IMPORT_OPTS_MAX] = { 0 };
	char text[4096];
	struct rh_opt_store store = { text, sizeof(text) };
	struct rh_trace_totals totals;
	struct rh_trace_make make = {
		.path = opts->out ? opts->out : "-",
		.form = opts->form == RH_FORM_TEXT ? RH_FORM_TEXT : RH_FORM_BINARY,
		.level = (int)opts->level,
		.notes = notes,
	};
	struct rh_import_job job = {
		.input = input, .opts = importer_opts, .make = &make, .max_damage = opts->max_damage
	};

	if (!words->importer)
		words->importer = rh_importer_by_content(input, err);
	if (!words->importer)
		return -1;
	job.importer = words->importer;
	if (words->importer->absent_why && words->importer->absent_why())
		return rh_fail(err, RH_ABSENT, "%s is not available here: %s",
			       words->importer->name, words->importer->absent_why());
	if (rh_opt_set_words(&(struct rh_opt_target){ words->importer->opts, importer_opts,
						      words->importer->name },
			     words->count, words->values, &store, err) < 0 ||
	    rh_import(&job, &totals, err) < 0)
		return -1;
	if (make.notes) {
		print_account(stderr, words->importer,
			      strcmp(make.path, "-") == 0 ? "standard output" : make.path, &totals,
			      make.notes);
		return check_whole(make.notes, words->file, err);
	}
	return account(words->importer, words->file, make.path, &totals, err);
}

/* What is written there cannot be read back. */
static bool is_piped(const char *output)
{
	struct stat st;

	return !output || strcmp(output, "-") == 0 ||
	       (stat(output, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static enum rh_exit run_import(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct import_opts *opts = options;
	struct rh_input *input;
	struct words words;
	struct rh_names notes = { 0 };
	bool piped = is_piped(opts->out);
	int result;

	if (sort_words(&words, argc, argv, err) < 0)
		return err->code;
	if (!opts->out && opts->form == RH_FORM_BINARY && isatty(STDOUT_FILENO)) {
		rh_fail(err, RH_USAGE,
			"a trace is not for a terminal: say -o T.rht, --form text, or > T.rht");
		return err->code;
	}
	if (!piped && rh_same_file(words.file, opts->out)) {
		rh_fail(err, RH_USAGE, "%s is the recording itself: name another file with -o",
			opts->out);
		return err->code;
	}
	if (rh_input_open(&input, words.file, err) < 0)
		return err->code;
	result = import_input(opts, &words, input, piped ? &notes : NULL, err);
	rh_names_close(&notes);
	rh_input_close(input);
	return result < 0 ? err->code : RH_OK;
}

static void more_help(FILE *to)
{
	fputs("\nFormats:\n", to);
	for (int i = 0; rh_importers[i]; i++) {
		rh_print(to, "  %-18s %s\n  %-18s   %s\n", rh_importers[i]->name,
			 rh_importers[i]->summary, "", rh_importers[i]->looks_like);
		for (const struct rh_opt *row = rh_importers[i]->opts; row && row->name; row++)
			rh_print(to, "  %-18s   %s=%s: %s\n", "", row->name, row->arg, row->help);
	}
}

const struct rh_command rh_cmd_import = {
	.name = "import",
	.operands = "[FORMAT] FILE [-o T.rht] [KEY=VALUE...]",
	.summary = "make a trace of another tool's recording",
	.details =
		"FORMAT is one of those below; without it, the first lines decide, and the format "
		"that was found is printed. FILE may be - (standard input), compressed (gz, xz, "
		"zst, bz2, lz4), an archive (zip, tar) with one member, or a folder that LTTng "
		"wrote. Every line of it is accounted for: as an event, as dropped, or as "
		"repaired, with the reason. Other text before, after and between the records is "
		"skipped and counted. Torn lines are left out, up to --max-damage of all lines "
		"(one is allowed in any log, none with 0). If the input is cut off, in a Go trace "
		"or in the last line of a log, everything before the cut is imported, and the "
		"exit status is 6.",
	.examples =
		"reheap import systemui.zip -o systemui.rht\n"
		"valgrind --trace-malloc=yes ./prog 2>&1 | reheap import valgrind - -o prog.rht",
	.opts = import_options,
	.opts_bytes = sizeof(struct import_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_import,
	.more_help = more_help,
};
