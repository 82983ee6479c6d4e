/*
 * whatif.c - `reheap whatif`: what another GOGC or GOMEMLIMIT would do to a recorded Go program.
 * First how well the model reproduces the recorded run, then a row for each setting; --json and -o
 * say the same as a document (whatif_document.h).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/cli/command.h"
#include "harness/fidelity/fidelity.h"
#include "harness/fidelity/whatif.h"
#include "harness/fidelity/whatif_document.h"
#include "plots/figure/figure.h"

enum { VALUES_MAX = 32, NEAR_PERCENT = 20 }; /* values of each list; of collections */

struct opts {
	const char *gogc, *memlimit, *plot, *output, *style;
	struct rh_whatif_setting recorded;
	bool json, traced, quick;
};

static const struct rh_opt whatif_options[] = {
	{ "gogc", 0, RH_OPT_TEXT, offsetof(struct opts, gogc), "50,100,200,off", .arg = "LIST",
	  .help = "values of GOGC, percent or off" },
	{ "memlimit", 0, RH_OPT_TEXT, offsetof(struct opts, memlimit), "off", .arg = "LIST",
	  .help = "values of GOMEMLIMIT, such as 64M,1G, or off" },
	{ "recorded-gogc", 0, RH_OPT_UINT, offsetof(struct opts, recorded.gogc), .min = 1,
	  .max = 100000, .off = true, .arg = "PERCENT|off",
	  .help = "GOGC of the recorded run; else by its environment or its goals" },
	{ "recorded-memlimit", 0, RH_OPT_SIZE, offsetof(struct opts, recorded.limit), .min = 1,
	  .off = true, .arg = "BYTES|off",
	  .help = "GOMEMLIMIT of the recorded run; else by its environment" },
	{ "traced", 0, RH_OPT_FLAG, offsetof(struct opts, traced),
	  .help = "predict the program as it is traced again, with the recorder's own blocks" },
	{ "quick", 0, RH_OPT_FLAG, offsetof(struct opts, quick),
	  .help = "by sums for each collection, without a replay for each row" },
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct opts, output), .arg = "W.json",
	  .help = "write the answers as JSON (reheap list schema-whatif), besides the table" },
	{ "json", 'j', RH_OPT_FLAG, offsetof(struct opts, json),
	  .help = "print that document instead of the table" },
	{ "plot", 0, RH_OPT_TEXT, offsetof(struct opts, plot), .arg = "PREFIX",
	  .help = "write PREFIX.tsv and draw PREFIX.svg: peak heap against marking" },
	{ "style", 0, RH_OPT_TEXT, offsetof(struct opts, style), .arg = "FILE",
	  .help = "gnuplot commands for that figure, read before its first panel" },
	{ .name = NULL }
};

/* ---- lists of values ---- */

static int parse_value(const char *word, bool size, uint64_t *value, struct rh_err *err)
{
	if (strcmp(word, "off") == 0) {
		*value = WHATIF_OFF;
		return 0;
	}
	if ((size ? rh_parse_size : rh_parse_uint)(word, value, err) < 0)
		return -1;
	if (*value == 0 || (!size && *value > 100000))
		return rh_fail(err, RH_USAGE, "'%s' is out of range", word);
	return 0;
}

/* The number of values, or -1. */
static int parse_list(const char *name, const char *text, bool size, uint64_t values[VALUES_MAX],
		      struct rh_err *err)
{
	char copy[512], *rest = copy, *word;
	int count = 0;

	if (strlen(text) >= sizeof(copy))
		return rh_fail(err, RH_USAGE, "%s: the list is too long", name);
	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, ","))) {
		if (count == VALUES_MAX)
			return rh_fail(err, RH_USAGE, "%s: more than %d values", name, VALUES_MAX);
		if (parse_value(word, size, &values[count++], err) < 0)
			return rh_err_prefix(err, "%s", name);
	}
	return count;
}

/* ---- printing ---- */

static const char *gogc_word(uint64_t gogc, char *text, size_t bytes)
{
	if (gogc == WHATIF_OFF)
		snprintf(text, bytes, "off");
	else
		snprintf(text, bytes, "%" PRIu64, gogc);
	return text;
}

static const char *limit_word(uint64_t limit, char *text, size_t bytes)
{
	if (limit == WHATIF_OFF)
		snprintf(text, bytes, "off");
	else if (limit % (1 << 20) == 0)
		snprintf(text, bytes, "%" PRIu64 "M", limit >> 20);
	else
		snprintf(text, bytes, "%" PRIu64, limit);
	return text;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static double off_by(double replayed, double recorded)
{
	return recorded > 0 ? 100 * (replayed - recorded) / recorded : 0;
}

/* Collections not begun by growth. */
static unsigned asked_for(const struct rh_whatif *whatif)
{
	unsigned asked = 0;

	for (uint32_t i = 0; i < whatif->count; i++)
		asked += whatif->cycles[i].asked_for;
	return asked;
}

struct check {
	uint64_t cycles, peak, marked;
	double goal; /* mean of the goals after each cycle */
};

static struct check recorded_of(const struct rh_whatif *whatif)
{
	struct check check = { .cycles = whatif->count, .peak = whatif->peak };
	unsigned goals = 0;

	for (uint32_t i = 0; i < whatif->count; i++) {
		check.marked += whatif->cycles[i].marked;
		check.goal += (double)whatif->cycles[i].goal;
		goals += whatif->cycles[i].goal > 0;
	}
	check.goal = goals ? check.goal / goals : 0;
	return check;
}

static bool met(const struct check *was, const struct rh_whatif_outcome *is)
{
	double off = fabs((double)is->cycles - (double)was->cycles);

	return off <= 1 || off <= NEAR_PERCENT / 100.0 * (double)was->cycles;
}

/* "GOGC=100 (by its goals)", and the limit where it is known. */
static void print_recorded(const struct rh_whatif *whatif)
{
	char word[32];

	rh_print(stdout, "\nrecorded with GOGC=%s (%s%s)",
		 gogc_word(whatif->gogc, word, sizeof(word)),
		 whatif->gogc_from == rh_whatif_assumed ? "" : "by its ",
		 whatif->gogc_from == rh_whatif_assumed ? "assumed: its goals do not say"
							: whatif->gogc_from);
	if (whatif->limit_from != rh_whatif_assumed)
		rh_print(stdout, ", GOMEMLIMIT=%s", limit_word(whatif->limit, word, sizeof(word)));
}

static void print_check(const char *path, const struct rh_whatif *whatif, const struct check *was,
			const struct rh_whatif_outcome *is)
{
	unsigned asked = asked_for(whatif);

	rh_print(stdout, "%s: Go %s, %.1f MiB allocated, %" PRIu32 " collections", path,
		 whatif->profile, mib(whatif->allocated), whatif->count);
	if (asked)
		printf(" (%u asked for by the program)", asked);
	print_recorded(whatif);
	rh_print(stdout,
		 "; stacks and globals %.2f MiB; %.2f bytes allocated while one is marked\n",
		 whatif->roots / (1 << 20), whatif->black);
	if (whatif->goals_set)
		rh_print(stdout,
			 "The program set GOGC or a limit itself, %" PRIu32
			 " times: then the rows below are of one that does not\n",
			 whatif->goals_set);
	if (whatif->unseen)
		rh_print(stdout,
			 "At least %.1f MiB count as live that no event tells of, as arenas of the "
			 "program's own (package arena) do: the rows are an order of magnitude\n",
			 mib(whatif->unseen));
	if (whatif->unsuited[0])
		rh_print(stdout, "The trace is not suited for %s\n", whatif->unsuited);
	putchar('\n');
	rh_print(stdout, "  the model at this setting   %12s %12s %9s\n", "recorded", "model",
		 "differ");
	rh_print(stdout, "  %-27s %12" PRIu64 " %12" PRIu64 " %+8.1f%%\n", "collections",
		 was->cycles, is->cycles, off_by((double)is->cycles, (double)was->cycles));
	rh_print(stdout, "  %-27s %12.2f %12.2f %+8.1f%%\n", "peak heap, MiB", mib(was->peak),
		 mib(is->peak), off_by((double)is->peak, (double)was->peak));
	rh_print(stdout, "  %-27s %12.2f %12.2f %+8.1f%%\n", "mean goal, MiB",
		 was->goal / (1 << 20), is->goal_mean / (1 << 20),
		 off_by(is->goal_mean, was->goal));
	rh_print(stdout, "  %-27s %12.2f %12.2f %+8.1f%%\n\n", "marked, MiB", mib(was->marked),
		 mib(is->marked), off_by((double)is->marked, (double)was->marked));
	if (!met(was, is))
		printf("  The model is off at the recorded setting: read the rows below as an "
		       "order of magnitude.\n\n");
}

/* What the rows are of. */
static void print_recorder(const struct rh_whatif *whatif, bool traced)
{
	if (!whatif->recorder)
		return;
	rh_print(stdout,
		 "  Go's recorder kept %.2f MiB of its own on the heap; the rows below %s\n\n",
		 mib(whatif->recorder),
		 traced ? "have them, as another traced run would"
			: "are of the program without them (--traced: with them)");
}

static void print_row(const struct rh_whatif_setting *setting, const struct rh_whatif_outcome *is,
		      uint64_t allocated)
{
	char gogc[32], limit[32];

	rh_print(stdout, "  %8s %10s %12" PRIu64 " %12.2f %12.2f %10.3f%s\n",
		 gogc_word(setting->gogc, gogc, sizeof(gogc)),
		 limit_word(setting->limit, limit, sizeof(limit)), is->cycles, mib(is->peak),
		 mib(is->marked), allocated ? (double)is->marked / (double)allocated : 0,
		 is->limited	  ? "  over its limit: collecting takes half of the CPU"
		 : is->over_limit ? "  over its limit"
		 : is->tight	  ? "  little room under the limit: collections are a guess"
				  : "");
}

/* ---- the document ---- */

static struct rh_whatif_answer answer_of(const struct rh_whatif *whatif,
					 const struct rh_whatif_setting *setting,
					 const struct rh_whatif_outcome *is)
{
	return (struct rh_whatif_answer){
		.gogc = setting->gogc,
		.memlimit_bytes = setting->limit,
		.collections = is->cycles,
		.peak_bytes = is->peak,
		.peak_ended_bytes = is->peak_ended,
		.goal_mean_bytes = is->cycles ? is->goal_mean : NAN,
		.marked_bytes = is->marked,
		.marked_per_byte =
			whatif->allocated ? (double)is->marked / (double)whatif->allocated : NAN,
		.over_limit = is->over_limit,
		.little_room = is->tight,
		.cpu_limited = is->limited,
		.replayed = is->replayed,
	};
}

static struct rh_whatif_recorded recorded_document(const struct rh_whatif *whatif,
						   const struct check *was)
{
	return (struct rh_whatif_recorded){
		.gogc = whatif->gogc,
		.gogc_from = whatif->gogc_from,
		.memlimit_bytes = whatif->limit,
		.memlimit_from = whatif->limit_from,
		.collections = was->cycles,
		.asked_for = asked_for(whatif),
		.peak_bytes = was->peak,
		.goal_mean_bytes = was->goal > 0 ? was->goal : NAN,
		.marked_bytes = was->marked,
		.roots_bytes = whatif->roots,
		.recorder_bytes = whatif->recorder,
		.unseen_bytes = whatif->unseen,
		.black = whatif->black,
	};
}

/* To standard output (path NULL) or to a file that is there whole or not at all. */
static int write_document(const struct rh_whatif_document *document, const char *path,
			  struct rh_err *err)
{
	struct rh_outfile out;
	char *text;
	int result;

	if (!path)
		path = "-";
	text = rh_record_print(&rh_whatif_document_type, document, RH_JSON_INDENTED);
	if (!text)
		return rh_fail(err, RH_OS, "%s: no memory to write the document", document->trace);
	result = rh_outfile_open(&out, path, err);
	if (result == 0) {
		if (rh_write_all(out.fd, text, strlen(text), path, err) < 0 ||
		    rh_outfile_commit(&out, err) < 0)
			result = -1;
		rh_outfile_abandon(&out);
	}
	free(text);
	return result;
}

/* ---- all settings ---- */

struct table {
	const struct rh_whatif *whatif;
	const char *path;
	uint64_t gogc[VALUES_MAX], limit[VALUES_MAX];
	unsigned gogcs, limits;
	bool traced;
	struct rh_whatif_outcome then; /* at the recorded setting */
	struct rh_whatif_outcome of[VALUES_MAX * VALUES_MAX];
	bool quick;
	struct rh_err why; /* it cannot be replayed */
};

static struct rh_whatif_setting setting_at(const struct table *table, unsigned at)
{
	return (struct rh_whatif_setting){ table->gogc[at % table->gogcs],
					   table->limit[at / table->gogcs], table->traced };
}

static struct rh_whatif_setting setting_then(const struct table *table)
{
	return (struct rh_whatif_setting){ table->whatif->gogc, table->whatif->limit, true };
}

static struct rh_whatif_outcome ask(struct table *table, struct rh_whatif_setting setting)
{
	struct rh_whatif_outcome outcome;

	if (!table->quick && !table->why.code &&
	    rh_whatif_replay(table->whatif, table->path, &setting, &outcome, &table->why) == 0)
		return outcome;
	return rh_whatif_ask(table->whatif, &setting);
}

static void ask_all(struct table *table)
{
	table->then = ask(table, setting_then(table));
	for (unsigned i = 0; i < table->gogcs * table->limits; i++)
		table->of[i] = ask(table, setting_at(table, i));
}

/* ---- the figure ---- */

struct mark {
	double marked, peak; /* MiB */
	uint64_t cycles;
	bool named; /* labelled with its GOGC */
};

/* Labels of points close together would overlap: only the first gets one. */
static bool has_room(const struct mark *marks, unsigned at, double width, double height)
{
	for (unsigned i = 0; i < at; i++)
		if (marks[i].named && fabs(marks[i].marked - marks[at].marked) < 0.09 * width &&
		    fabs(marks[i].peak - marks[at].peak) < 0.08 * height)
			return false;
	return true;
}

static void place_marks(const struct table *table, struct mark *marks)
{
	double width = 0, height = 0;
	unsigned count = table->gogcs * table->limits;

	for (unsigned i = 0; i < count; i++) {
		const struct rh_whatif_outcome *is = &table->of[i];

		marks[i] = (struct mark){ mib(is->marked), mib(is->peak), is->cycles, false };
		width = fmax(width, marks[i].marked);
		height = fmax(height, marks[i].peak);
	}
	for (unsigned i = 0; i < count; i++)
		marks[i].named = has_room(marks, i, width, height);
}

static void write_marks(const struct table *table, const struct mark *marks, FILE *to)
{
	char gogc[32], limit[32];
	unsigned at = 0;

	fputs("gogc\tmemlimit\tmarked MiB\tpeak heap MiB\tcycles\tline\tat the point\tof the "
	      "line\n",
	      to);
	for (unsigned l = 0; l < table->limits; l++) {
		limit_word(table->limit[l], limit, sizeof(limit));
		for (unsigned g = 0; g < table->gogcs; g++) {
			const struct mark *mark = &marks[at++];

			gogc_word(table->gogc[g], gogc, sizeof(gogc));
			rh_print(to, "%s\t%s\t%.4f\t%.4f\t%" PRIu64 "\t%u\t%s\t%s%s\n", gogc, limit,
				 mark->marked, mark->peak, mark->cycles, l + 1,
				 mark->named ? gogc : "",
				 table->limit[l] == WHATIF_OFF ? "" : "GOMEMLIMIT=",
				 table->limit[l] == WHATIF_OFF ? "no limit" : limit);
		}
	}
}

static int plot(const struct table *table, const struct opts *opts, const char *path,
		struct rh_err *err)
{
	const char *prefix = opts->plot;
	struct mark *marks = calloc(VALUES_MAX, VALUES_MAX * sizeof(*marks));
	char name[4096];
	FILE *to;

	if (!marks)
		return rh_fail(err, RH_OS, "no memory for the figure");
	place_marks(table, marks);
	snprintf(name, sizeof(name), "%s.tsv", prefix);
	to = fopen(name, "w");
	if (to)
		write_marks(table, marks, to);
	free(marks);
	if (!to)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s", name);
	if (fclose(to) != 0)
		return rh_fail_errno(err, RH_IO, "%s", name);
	return rh_figure_script(
		&(struct rh_script){
			.id = "whatif",
			.of = path,
			.title = "Peak heap and marking, by GOGC",
			.caption = "What each GOGC would cost in memory and in marking, a line "
				   "for each limit",
			.style = opts->style,
		},
		prefix, err);
}

static int document(const struct table *table, const struct opts *opts, const char *path,
		    struct rh_err *err)
{
	const struct rh_whatif_setting then = setting_then(table);
	struct check was = recorded_of(table->whatif);
	struct rh_whatif_recorded recorded = recorded_document(table->whatif, &was);
	struct rh_whatif_answer model = answer_of(table->whatif, &then, &table->then);
	static struct rh_whatif_answer answers[VALUES_MAX * VALUES_MAX];
	struct rh_whatif_document all = {
		.schema = RH_WHATIF_SCHEMA,
		.trace = path,
		.profile = table->whatif->profile,
		.allocated_bytes = table->whatif->allocated,
		.recorded = &recorded,
		.model = &model,
		.met = met(&was, &table->then),
		.traced = table->traced,
		.unsuited = table->whatif->unsuited[0] ? table->whatif->unsuited : NULL,
		.answers = answers,
		.answers_count = (size_t)table->gogcs * table->limits,
	};

	for (unsigned i = 0; i < table->gogcs * table->limits; i++) {
		const struct rh_whatif_setting setting = setting_at(table, i);

		answers[i] = answer_of(table->whatif, &setting, &table->of[i]);
	}
	if (opts->output && write_document(&all, opts->output, err) < 0)
		return -1;
	return opts->json ? write_document(&all, NULL, err) : 0;
}

static void print_table(const struct table *table, const char *path)
{
	struct check was = recorded_of(table->whatif);

	print_check(path, table->whatif, &was, &table->then);
	print_recorder(table->whatif, table->traced);
	if (table->why.code)
		rh_print(stdout, "  By sums for each collection, as it cannot be replayed: %s\n\n",
			 table->why.text);
	rh_print(stdout, "  %8s %10s %12s %12s %12s %10s\n", "GOGC", "GOMEMLIMIT", "collections",
		 "peak MiB", "marked MiB", "per byte");
	for (unsigned i = 0; i < table->gogcs * table->limits; i++) {
		const struct rh_whatif_setting setting = setting_at(table, i);

		print_row(&setting, &table->of[i], table->whatif->allocated);
	}
}

static int answer(const struct table *table, const struct opts *opts, const char *path,
		  struct rh_err *err)
{
	if (!opts->json)
		print_table(table, path);
	if ((opts->json || opts->output) && document(table, opts, path, err) < 0)
		return -1;
	return opts->plot ? plot(table, opts, path, err) : 0;
}

static enum rh_exit run_whatif(const void *options, int argc, char **argv, struct rh_err *err)
{
	static struct table table;
	const struct opts *opts = options;
	struct rh_whatif whatif;
	int gogcs, limits, result;

	(void)argc;
	if (opts->json && opts->output && strcmp(opts->output, "-") == 0) {
		rh_fail(err, RH_USAGE, "--json and -o - are the same");
		return err->code;
	}
	if (rh_style_check(opts->style, opts->plot, err) < 0)
		return err->code;
	if ((gogcs = parse_list("--gogc", opts->gogc, false, table.gogc, err)) < 0 ||
	    (limits = parse_list("--memlimit", opts->memlimit, true, table.limit, err)) < 0 ||
	    rh_whatif_read(&whatif, argv[0], &opts->recorded, err) < 0)
		return err->code;
	table.gogcs = (unsigned)gogcs;
	table.limits = (unsigned)limits;
	table.whatif = &whatif;
	table.path = argv[0];
	table.traced = opts->traced;
	table.quick = opts->quick;
	ask_all(&table);
	result = answer(&table, opts, argv[0], err);
	rh_whatif_close(&whatif);
	return result < 0 ? err->code : RH_OK;
}

const struct rh_command rh_cmd_whatif = {
	.name = "whatif",
	.operands = "T.rht",
	.summary = "what another GOGC or GOMEMLIMIT would do to a recorded Go program",
	.details =
		"Takes a trace made by reheap import go. It first prints how well the model "
		"reproduces the recorded run; then for each setting the collections, the peak of "
		"the heap (live objects and garbage, as gctrace prints it), and the bytes the "
		"collector marks, in all and per byte allocated. Every object is replayed on the "
		"heap of that Go with its pacer, once for each row (--quick: by sums for each "
		"collection, at once). The rows are of the program without Go's recorder, which "
		"keeps 2.25 MiB on the heap. The limit is soft, like Go's: below the live bytes, "
		"collecting takes half of the CPU and no more. When objects died between two "
		"recorded collections nobody knows: record with a low GOGC to know it closer. The "
		"recorded setting is known if record-go started the program.",
	.examples = "reheap whatif service.rht --gogc 50,100,200,off --memlimit 64M,128M\n"
		    "reheap whatif --plot tradeoff service.rht\n"
		    "reheap whatif --json service.rht | jq .answers[0].peak_bytes",
	.opts = whatif_options,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 1,
	.operands_max = 1,
	.run = run_whatif,
};
