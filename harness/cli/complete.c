/*
 * complete.c - reheap complete: the possible endings of a command line that is being typed.
 *
 * The shells' own files (`reheap help --completion SHELL`) hold no list of words: they pass the
 * line up to the cursor and get one candidate per line, so the candidates always match the
 * backends, knobs, probes, importers and generators of the installed reheap. When nothing is
 * printed, the shell offers files.
 *
 *  1. split the line into words as a shell does, quotes and backslashes included, and drop what
 *     stands before reheap (NAME=VALUE, sudo, time, or a command that reheap records);
 *  2. the word at the cursor is an option, the value of one (by `values`, or the names of its
 *     row), or an operand (by `operands`);
 *  3. a candidate replaces the whole word: `libc,ti` gives `libc,tiered`, and
 *     `tiered:profile=1.` gives `tiered:profile=1.22`.
 */
#include <stdio.h>
#include <string.h>

#include "alloc/base/os.h"
#include "alloc/backend.h"
#include "alloc/base/goversions.h"
#include "alloc/registry.h"
#include "ci/gate/gate.h"
#include "harness/cli/command.h"
#include "harness/probe/probe.h"
#include "harness/result/fields.h"
#include "traces/edit/export.h"
#include "traces/gen/gen.h"
#include "traces/import/import.h"

enum { WORDS_MAX = 256, LINE_MAX_BYTES = 8192 };

struct line {
	char text[LINE_MAX_BYTES];
	char *word[WORDS_MAX];
	int count;	  /* the last word is the one at the cursor, maybe empty */
	const char *stem; /* the text before the part that is completed */
	size_t stem_bytes;
};

/* ---- candidates ---- */

static void offer(const struct line *line, const char *part, const char *name, const char *tail)
{
	if (strncmp(name, part, strlen(part)) == 0)
		printf("%.*s%s%s\n", (int)line->stem_bytes, line->stem, name, tail);
}

static void offer_names(const struct line *line, const char *part, const char *const *names)
{
	for (int i = 0; names && names[i]; i++)
		offer(line, part, names[i], "");
}

/* The part after the last of `separators`; the text before it becomes the stem. */
static const char *last_part(struct line *line, const char *word, const char *separators)
{
	const char *part = word;

	for (const char *c = word; *c; c++)
		if (strchr(separators, *c))
			part = c + 1;
	line->stem_bytes += (size_t)(part - word);
	return part;
}

/* KEY=VALUE words of a table: keys first, then the names of a key. */
static void offer_keys(struct line *line, const char *part, const struct rh_opt *table)
{
	const char *equals = strchr(part, '=');

	for (const struct rh_opt *row = table; row && row->name; row++) {
		size_t length = strlen(row->name);

		if (!equals) {
			offer(line, part, row->name, "=");
		} else if ((size_t)(equals - part) == length &&
			   strncmp(part, row->name, length) == 0) {
			line->stem_bytes += length + 1;
			offer_names(line, equals + 1, row->names);
			return;
		}
	}
}

/* ---- values ---- */

static void offer_heaps(const struct line *line, const char *part, bool peers)
{
	for (int i = 0; rh_backends[i]; i++)
		offer(line, part, rh_backends[i]->name, "");
	for (const struct rh_peer *peer = rh_peers; peers && peer->name; peer++) {
		char path[4096];

		if (rh_peer_find(peer, path, sizeof(path), NULL) == 0)
			offer(line, part, peer->name, "");
	}
}

/* Behind a colon: a knob of the last backend that was named, or what a decorator wraps. */
static void complete_knob(struct line *line, const char *part)
{
	const char *knob = last_part(line, part, ":"), *end;
	const struct rh_backend *owner = NULL;

	for (const char *at = part; at < knob; at = end + 1) {
		const struct rh_backend *named;

		end = strchr(at, ':');
		named = rh_backend_find(at, (size_t)(end - at));
		owner = named ? named : owner;
	}
	offer_keys(line, knob, owner ? owner->knobs : NULL);
	if (owner && owner->caps & RH_CAP_DECORATOR)
		offer_heaps(line, knob, true);
}

/* [LABEL=]HEAP[:KNOB=VALUE...][/STACK], one of a list. A path is left to the shell. */
static void complete_backends(struct line *line, const char *word)
{
	const char *part = last_part(line, word, ",");
	const char *slash, *colon, *equals = strchr(part, '=');

	if (equals && memchr(part, ':', (size_t)(equals - part)) == NULL) {
		line->stem_bytes += (size_t)(equals + 1 - part);
		part = equals + 1;
	}
	slash = strchr(part, '/');
	colon = strchr(part, ':');
	if (part[0] == '.' || part[0] == '/')
		return;
	if (slash) {
		line->stem_bytes += (size_t)(slash + 1 - part);
		for (int i = 0; rh_stack_backends[i]; i++)
			offer(line, slash + 1, rh_stack_backends[i]->name, "");
	} else if (colon) {
		complete_knob(line, part);
	} else {
		offer_heaps(line, part, true);
	}
}

static void complete_built_in(struct line *line, const char *word)
{
	offer_heaps(line, word, false);
}

static void complete_probes(struct line *line, const char *word)
{
	const char *part = last_part(line, word, ",");

	for (int i = 0; rh_probes[i]; i++)
		offer(line, part, rh_probes[i]->name, "");
	offer(line, part, "all", "");
}

static void complete_limits(struct line *line, const char *word)
{
	const char *part = last_part(line, word, ",");

	for (int i = 0; i < RH_GATE_METRICS; i++)
		offer(line, part, rh_gate_metric_rows[i].name, "");
}

static void complete_metrics(struct line *line, const char *word)
{
	for (const struct rh_metric_row *row = rh_metric_rows; row->name; row++)
		offer(line, word, row->name, "");
}

static void complete_profiles(struct line *line, const char *word)
{
	for (const struct rh_goversion *row = rh_goversions; row->name; row++)
		if (!row->segmented)
			offer(line, word, row->name, "");
}

/* Options whose values are not a closed list of their row: by a function, or of these words, where
 * a comma begins the next. A command goes before all commands (NULL). */
static const struct {
	const char *command, *option;
	void (*complete)(struct line *line, const char *word);
	const char *words;
} values[] = {
	{ NULL, "backend", complete_backends, NULL },
	{ NULL, "baseline", complete_backends, NULL },
	{ NULL, "candidate", complete_backends, NULL },
	{ NULL, "sweep", complete_backends, NULL },
	{ NULL, "between", complete_backends, NULL },
	{ NULL, "reference", complete_built_in, NULL },
	{ NULL, "probes", complete_probes, NULL },
	{ NULL, "metrics", complete_limits, NULL },
	{ NULL, "metric", complete_metrics, NULL },
	{ NULL, "profile", complete_profiles, NULL },
	{ NULL, "toggle", NULL, "USR1|USR2|HUP" },
	{ NULL, "counters", NULL, "auto|papi|perf|callgrind|none" },
	{ NULL, "gogc", NULL, "off" },
	{ NULL, "memlimit", NULL, "off" },
	{ NULL, "recorded-gogc", NULL, "off" },
	{ NULL, "recorded-memlimit", NULL, "off" },
	{ "record", "keep", NULL, "first|last" },
	{ "plot", "format", NULL, "svg|png|pdf|tex" },
	{ "replay", "lanes", NULL, "recorded" },
	{ "replay", "sample", NULL, "every" },
	{ "gate", "lanes", NULL, "recorded|cpus|many" },
};

static void offer_words(struct line *line, const char *word, const char *words)
{
	const char *part = last_part(line, word, ",");
	char all[64], *at = all, *one;

	snprintf(all, sizeof(all), "%s", words);
	while ((one = strsep(&at, "|")))
		offer(line, part, one, "");
}

/* Where nothing is offered the shell offers files. */
static void complete_value(struct line *line, const struct rh_opt *row, const char *word)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (strcmp(values[i].option, row->name) != 0 ||
		    (values[i].command && strcmp(values[i].command, line->word[1]) != 0))
			continue;
		if (values[i].complete)
			values[i].complete(line, word);
		else
			offer_words(line, word, values[i].words);
		return;
	}
	offer_names(line, word, row->names);
}

/* ---- operands ---- */

static void complete_importers(struct line *line, const char *word, int index)
{
	for (int i = 0; rh_importers[i]; i++)
		if (index == 0)
			offer(line, word, rh_importers[i]->name, "");
		else if (index > 1 && strcmp(line->word[2], rh_importers[i]->name) == 0)
			offer_keys(line, word, rh_importers[i]->opts);
}

static void complete_exporters(struct line *line, const char *word, int index)
{
	for (int i = 0; index == 0 && rh_exporters[i].name; i++)
		offer(line, word, rh_exporters[i].name, "");
}

static void complete_generators(struct line *line, const char *word, int index)
{
	if (index == 0) {
		for (int i = 0; rh_generators[i]; i++)
			offer(line, word, rh_generators[i]->name, "");
		return;
	}
	for (int i = 2; i < line->count - 1; i++)
		for (int g = 0; rh_generators[g]; g++)
			if (strcmp(line->word[i], rh_generators[g]->name) == 0) {
				offer_keys(line, word, rh_generators[g]->opts);
				return;
			}
}

static void complete_kinds(struct line *line, const char *word, int index)
{
	const struct rh_command *list = NULL;
	char kinds[256], *at = kinds, *kind;

	for (int i = 0; rh_commands[i]; i++)
		if (strcmp(rh_commands[i]->name, "list") == 0)
			list = rh_commands[i];
	if (!list || index > 0)
		return;
	snprintf(kinds, sizeof(kinds), "%s", list->operands);
	while ((kind = strsep(&at, "|")))
		offer(line, word, kind, "");
}

static void complete_commands(struct line *line, const char *word, int index)
{
	for (int i = 0; index == 0 && rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			offer(line, word, rh_commands[i]->name, "");
}

static void complete_history(struct line *line, const char *word, int index)
{
	if (index == 0)
		offer_words(line, word, "add|show");
}

static const struct {
	const char *command;
	void (*complete)(struct line *line, const char *word, int index);
} operands[] = {
	{ "import", complete_importers }, { "export", complete_exporters },
	{ "gen", complete_generators },	  { "list", complete_kinds },
	{ "help", complete_commands },	  { "history", complete_history },
};

/* ---- the line ---- */

static int split(struct line *line, struct rh_err *err)
{
	char *to = line->text, *from = line->text, quote = 0;

	for (bool more = true; more;) {
		if (line->count == WORDS_MAX)
			return rh_fail(err, RH_USAGE, "the line has more than %d words", WORDS_MAX);
		line->word[line->count++] = to;
		while (*from && (quote || *from != ' ')) {
			if (quote ? *from == quote : *from == '\'' || *from == '"') {
				quote = quote ? 0 : *from;
				from++;
				continue;
			}
			if (*from == '\\' && quote != '\'' && from[1])
				from++;
			*to++ = *from++;
		}
		more = *from == ' ';
		from += strspn(from, " ");
		*to++ = '\0';
	}
	return 0;
}

static bool is_reheap(const char *word)
{
	return strcmp(rh_base_name(word), "reheap") == 0;
}

/* From the last reheap before the cursor on; where there is none, the command has another name.
 * In the line of a reheap it is one only behind "--": it may be the name of a file. */
static void drop_before(struct line *line)
{
	bool ours = is_reheap(line->word[0]);
	int from = line->count - 2;

	while (from > 0 &&
	       !(is_reheap(line->word[from]) && (!ours || strcmp(line->word[from - 1], "--") == 0)))
		from--;
	if (from <= 0)
		return;
	line->count -= from;
	memmove(line->word, line->word + from, (size_t)line->count * sizeof(*line->word));
}

static const struct rh_opt *row_of(const struct rh_opt *row, const char *word, size_t bytes)
{
	for (; row && row->name; row++) {
		if (bytes > 2 && word[0] == '-' && word[1] == '-' &&
		    strlen(row->name) == bytes - 2 && strncmp(row->name, word + 2, bytes - 2) == 0)
			return row;
		if (bytes == 2 && row->letter && word[0] == '-' && word[1] == row->letter)
			return row;
	}
	return NULL;
}

static const struct rh_opt *option_of(const struct rh_command *command, const char *word,
				      size_t bytes)
{
	const struct rh_opt *own = row_of(command->opts, word, bytes);

	return own ? own : row_of(rh_common_opts, word, bytes);
}

static bool takes_value(const struct rh_opt *row)
{
	return row && row->type != RH_OPT_FLAG;
}

/* Operands that stand before the word at the cursor. */
static int operands_before(const struct line *line, const struct rh_command *command)
{
	int operands_count = 0;

	for (int i = 2; i < line->count - 1; i++) {
		const char *word = line->word[i];

		if (word[0] != '-' || !word[1])
			operands_count++;
		else if (takes_value(option_of(command, word, strlen(word))))
			i++;
	}
	return operands_count;
}

static void offer_options(const struct line *line, const char *word, const struct rh_opt *row)
{
	for (; row && row->name; row++) {
		char name[80];

		snprintf(name, sizeof(name), "--%s", row->name);
		offer(line, word, name, "");
	}
}

static void complete_word(struct line *line, const struct rh_command *command)
{
	const char *word = line->word[line->count - 1], *before = line->word[line->count - 2];
	const char *equals = word[0] == '-' ? strchr(word, '=') : NULL;
	const struct rh_opt *row = option_of(command, before, strlen(before));
	int operands_count = operands_before(line, command);

	line->stem = word;
	if (command->stop_early && operands_count > 0)
		return; /* the words of another program */
	if (line->count > 3 && takes_value(row)) {
		complete_value(line, row, word);
	} else if (equals && takes_value(row = option_of(command, word, (size_t)(equals - word)))) {
		line->stem_bytes = (size_t)(equals + 1 - word);
		complete_value(line, row, equals + 1);
	} else if (word[0] == '-') {
		offer_options(line, word, command->opts);
		offer_options(line, word, rh_common_opts);
		offer(line, word, "--help", "");
	} else {
		for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++)
			if (strcmp(operands[i].command, command->name) == 0)
				operands[i].complete(line, word, operands_count);
	}
}

static enum rh_exit run_complete(const void *opts, int argc, char **argv, struct rh_err *err)
{
	static struct line line;

	(void)opts;
	(void)argc;
	if (snprintf(line.text, sizeof(line.text), "%s", argv[0]) >= (int)sizeof(line.text))
		return RH_OK; /* too long to complete */
	if (split(&line, err) < 0)
		return err->code;
	drop_before(&line);
	if (line.count == 2) {
		line.stem = line.word[1];
		complete_commands(&line, line.word[1], 0);
		offer(&line, line.word[1], "--help", "");
		offer(&line, line.word[1], "--version", "");
		return RH_OK;
	}
	for (int i = 0; line.count > 2 && rh_commands[i]; i++)
		if (strcmp(rh_commands[i]->name, line.word[1]) == 0)
			complete_word(&line, rh_commands[i]);
	return RH_OK;
}

const struct rh_command rh_cmd_complete = {
	.name = "complete",
	.operands = "LINE",
	.summary = "candidates for the last word of a command line, for shells",
	.hidden = true,
	.operands_min = 1,
	.operands_max = 1,
	.run = run_complete,
};
