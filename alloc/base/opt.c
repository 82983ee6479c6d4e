/*
 * opt.c - the one option parser: rows in, values out.
 *
 * A value reaches its field through set_value(), whichever door it came in by
 * (default, argv, knob, KEY=VALUE). getopt_long does the splitting of argv, so
 * that --name=value, --name value, -n5 and abbreviations work as elsewhere.
 */
#include "alloc/base/opt.h"
#include "alloc/base/printable.h"
#include "alloc/base/suggest.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The tables for getopt stand on the stack. The longest one, of `replay`, has room
 * for more; an assertion in getopt_tables sees a 64th row before a user does. */
enum { OPTS_MAX = 64 };

struct unit {
	const char *name;
	uint64_t scale;
};

/* Whole numbers are scaled as integers: a double would lose the low bits past 2^53. */
static int parse_scaled(const char *text, const struct unit *units, uint64_t *out,
			struct rh_err *err)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const struct unit *unit = units;
	double fraction = -1;
	uint64_t whole;
	char *end;

	/* strtoull would take blanks, '+' and '-': -1 would become 2^64 - 1 without a
	 * word. */
	if (text[0] < '0' || text[0] > '9')
		return rh_fail(err, RH_USAGE, "'%s' is not a number", text);
	errno = 0;
	whole = strtoull(text, &end, hex ? 16 : 10);
	if (errno == ERANGE)
		return rh_fail(err, RH_USAGE, "'%s' is too large", text);
	/* Only 1.5g and the like go by way of a double; its 53 bits are more than
	 * anybody writes behind a point. */
	if (*end == '.' && !hex)
		fraction = strtod(text, &end);
	while (unit->name && strcasecmp(end, unit->name) != 0)
		unit++;
	if (!unit->name)
		return rh_fail(err, RH_USAGE, "'%s': unit '%s' is not known", text, end);
	if (fraction >= 0) {
		fraction = fraction * (double)unit->scale + 0.5;
		/* The largest double below 2^64. The conversion of a larger one is
		 * undefined behaviour, and on x86 gives 0. */
		if (fraction >= 18446744073709549568.0)
			return rh_fail(err, RH_USAGE, "'%s' is too large", text);
		*out = (uint64_t)fraction;
	} else if (__builtin_mul_overflow(whole, unit->scale, out)) {
		return rh_fail(err, RH_USAGE, "'%s' is too large", text);
	}
	return 0;
}

int rh_parse_uint(const char *text, uint64_t *out, struct rh_err *err)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };

	if (strchr(text, '.'))
		return rh_fail(err, RH_USAGE, "'%s' is not a whole number", text);
	return parse_scaled(text, units, out, err);
}

/* kb is 1,024 bytes: these are sizes of memory, where 64kb means a power of two. */
int rh_parse_size(const char *text, uint64_t *out, struct rh_err *err)
{
	static const struct unit units[] = { { "", 1 },
					     { "b", 1 },
					     { "k", 1ull << 10 },
					     { "kb", 1ull << 10 },
					     { "kib", 1ull << 10 },
					     { "m", 1ull << 20 },
					     { "mb", 1ull << 20 },
					     { "mib", 1ull << 20 },
					     { "g", 1ull << 30 },
					     { "gb", 1ull << 30 },
					     { "gib", 1ull << 30 },
					     { "t", 1ull << 40 },
					     { "tb", 1ull << 40 },
					     { "tib", 1ull << 40 },
					     { NULL, 0 } };

	return parse_scaled(text, units, out, err);
}

/* A number without a unit is seconds, as in timeout(1) and sleep(1). m is minutes:
 * sizes are another parser's. */
int rh_parse_time(const char *text, uint64_t *out_ns, struct rh_err *err)
{
	static const struct unit units[] = { { "", 1000000000 },
					     { "s", 1000000000 },
					     { "ms", 1000000 },
					     { "us", 1000 },
					     { "ns", 1 },
					     { "m", 60000000000 },
					     { "min", 60000000000 },
					     { "h", 3600000000000 },
					     { NULL, 0 } };

	return parse_scaled(text, units, out_ns, err);
}

int rh_parse_share(const char *text, double *out, struct rh_err *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || !isfinite(value))
		return rh_fail(err, RH_USAGE, "'%s' is not a share such as 5%% or 0.05", text);
	if (strcmp(end, "%") == 0)
		value /= 100;
	else if (*end)
		return rh_fail(err, RH_USAGE, "'%s' is not a share such as 5%% or 0.05", text);
	/* 5 can mean 5 % or 500 %: a gate that lets 500 % pass fails nothing, so the
	 * user has to say which. */
	else if (value > 1)
		return rh_fail(err, RH_USAGE, "'%s' would be %g %%: did you mean %s%%?", text,
			       100 * value, text);
	*out = value;
	return 0;
}

static int parse_flag(const char *text, bool *out, struct rh_err *err)
{
	/* The empty text is KEY alone, as in `pools:reuse`. */
	static const char *const yes[] = { "", "yes", "on", "1", "true", NULL };
	static const char *const no[] = { "no", "off", "0", "false", NULL };

	/* Values are written only on success, so a failed parse leaves the default. */
	for (int i = 0; yes[i]; i++)
		if (strcmp(text, yes[i]) == 0)
			return *out = true, 0;
	for (int i = 0; no[i]; i++)
		if (strcmp(text, no[i]) == 0)
			return *out = false, 0;
	return rh_fail(err, RH_USAGE, "'%s' is neither yes nor no", text);
}

static int parse_real(const char *text, double *out, struct rh_err *err)
{
	char *end;

	*out = strtod(text, &end);
	/* strtod knows "nan" and "inf", and no knob has a meaning for them. */
	if (end == text || *end || !isfinite(*out))
		return rh_fail(err, RH_USAGE, "'%s' is not a number", text);
	return 0;
}

/* Where notes go is a matter of the program: a library that prints on its own would
 * spoil what the caller writes. NULL drops them. */
void (*rh_opt_note)(const char *text);

/* Exact words only: an abbreviation of a version would pick one of several. */
static int name_index(const char *const *names, const char *text)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

/* The word that stands for one that is not allowed, and says so. */
static int nearest_name(const struct rh_opt *row, const char *text)
{
	const char *near = row->nearest ? row->nearest(text) : NULL;
	char note[160];

	if (!near)
		return -1;
	snprintf(note, sizeof(note), "%s=%.32s is not modelled by itself: %s stands for it",
		 row->name, text, near);
	if (rh_opt_note)
		rh_opt_note(note);
	return name_index(row->names, near);
}

static int parse_name(const struct rh_opt *row, const char *text, int *out, struct rh_err *err)
{
	char all[512] = "";
	int index = name_index(row->names, text);

	assert(row->names);
	if (index < 0)
		index = nearest_name(row, text);
	if (index >= 0)
		return *out = index, 0;
	for (int i = 0; row->names[i]; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 row->names[i]);
	return rh_fail(err, RH_USAGE, "'%s' is not one of %s", text, all);
}

/* 0 and 0 is a row without bounds; a max of 0 is one without an upper bound, because
 * 0 as the upper bound of a count makes no sense. */
static int check_bounds(const struct rh_opt *row, double value, const char *text,
			struct rh_err *err)
{
	if (row->min == 0 && row->max == 0)
		return 0;
	if (value >= row->min && (row->max == 0 || value <= row->max))
		return 0;
	if (row->max == 0)
		return rh_fail(err, RH_USAGE, "'%s' is below the least allowed, %g", text,
			       row->min);
	return rh_fail(err, RH_USAGE, "'%s' is outside %g to %g", text, row->min, row->max);
}

static int set_value(const struct rh_opt *row, void *target, const char *text, struct rh_err *err)
{
	/* Rows hold offsets and not pointers, so one constant table serves every
	 * instance of the structure. */
	char *field = (char *)target + row->offset;
	uint64_t whole = 0;
	double real = 0;

	switch (row->type) {
	case RH_OPT_FLAG:
		return parse_flag(text, (bool *)field, err);
	case RH_OPT_TEXT:
		/* Not copied: argv outlives the fields, and words of a spec lie in
		 * the store of rh_opt_set_word. */
		*(const char **)field = text;
		return 0;
	case RH_OPT_NAME:
		return parse_name(row, text, (int *)field, err);
	case RH_OPT_REAL:
	case RH_OPT_SHARE:
		if ((row->type == RH_OPT_REAL ? parse_real : rh_parse_share)(text, &real, err) <
			    0 ||
		    check_bounds(row, real, text, err) < 0)
			return -1;
		*(double *)field = real;
		return 0;
	case RH_OPT_UINT:
		/* As GOGC=off: "never" is the largest number, so comparisons need no
		 * second case. Before the bounds, which would refuse it. */
		if (row->off && strcmp(text, "off") == 0) {
			*(uint64_t *)field = UINT64_MAX;
			return 0;
		}
		/* fall through */
	case RH_OPT_SIZE:
	case RH_OPT_TIME:
		if ((row->type == RH_OPT_UINT	? rh_parse_uint
		     : row->type == RH_OPT_SIZE ? rh_parse_size
						: rh_parse_time)(text, &whole, err) < 0 ||
		    check_bounds(row, (double)whole, text, err) < 0)
			return -1;
		*(uint64_t *)field = whole;
		return 0;
	}
	/* Not in a default label: the compiler warns when a new type has no case. */
	return rh_fail(err, RH_BUG, "option type %d of '%s' is not known", (int)row->type,
		       row->name);
}

/* Defaults are texts and take the way of user input, so what `--help` shows is what
 * happens and a default out of bounds fails in the first test. */
int rh_opt_defaults(const struct rh_opt *table, void *target, struct rh_err *err)
{
	for (const struct rh_opt *row = table; row && row->name; row++)
		if (row->dflt && set_value(row, target, row->dflt, err) < 0)
			return rh_err_prefix(err, "default of %s", row->name);
	return 0;
}

static const struct rh_opt *find_row(const struct rh_opt *table, const char *name, size_t bytes)
{
	for (const struct rh_opt *row = table; row && row->name; row++)
		if (strlen(row->name) == bytes && memcmp(row->name, name, bytes) == 0)
			return row;
	return NULL;
}

/* given is the offset plus 1, since 0 means that nobody asks. Some options only
 * differ between "not given" and "given as the default" (a trace's own value stands
 * in). */
static void mark_given(const struct rh_opt *row, void *target)
{
	if (row->given)
		*((bool *)((char *)target + row->given - 1)) = true;
}

/* The whole list, too: a backend has a dozen knobs at most, and each cuts a look at the manual. */
static int no_such_row(const struct rh_opt *table, const char *what, const char *name, size_t bytes,
		       struct rh_err *err)
{
	struct rh_suggestion near = rh_suggestion_for(name, bytes);
	const char *nearest;

	for (const struct rh_opt *row = table; row && row->name; row++)
		rh_suggest_consider(&near, row->name);
	nearest = rh_suggest_nearest(&near);
	return rh_fail(err, RH_USAGE, "%s has no option '%.*s'%s%s%s (it has: %s)", what,
		       (int)bytes, name, nearest ? ": did you mean " : "", nearest ? nearest : "",
		       nearest ? "?" : "", near.all[0] ? near.all : "none");
}

int rh_opt_set(const struct rh_opt_target *target, const char *name, const char *value,
	       struct rh_err *err)
{
	const struct rh_opt *row = find_row(target->table, name, strlen(name));

	if (!row)
		return no_such_row(target->table, target->what, name, strlen(name), err);
	if (set_value(row, target->fields, value, err) < 0)
		return rh_err_prefix(err, "%s: %s", target->what, name);
	mark_given(row, target->fields);
	return 0;
}

int rh_opt_set_word(const struct rh_opt_target *target, const char *word, size_t word_bytes,
		    struct rh_opt_store *store, struct rh_err *err)
{
	const char *what = target->what;
	/* The first '=' ends the name: values such as MALLOC_CONF=a=b may have more. */
	const char *equals = memchr(word, '=', word_bytes);
	size_t name_bytes = equals ? (size_t)(equals - word) : word_bytes;
	size_t value_bytes = equals ? word_bytes - name_bytes - 1 : 0;
	const struct rh_opt *row = find_row(target->table, word, name_bytes);
	char *value = store->at;

	if (!row)
		return no_such_row(target->table, what, word, name_bytes, err);
	if (!equals && row->type != RH_OPT_FLAG)
		return rh_fail(err, RH_USAGE, "%s: %s needs a value: %s=%s", what, row->name,
			       row->name, row->arg ? row->arg : "VALUE");
	/* A spec is not ended by NUL between its words, so values are copied to where
	 * the caller keeps them as long as the fields. */
	if (value_bytes + 1 > store->left)
		return rh_fail(err, RH_USAGE, "%s: %s is too long", what, row->name);
	memcpy(value, equals ? equals + 1 : "", value_bytes);
	value[value_bytes] = '\0';
	store->at += value_bytes + 1;
	store->left -= value_bytes + 1;
	if (set_value(row, target->fields, value, err) < 0)
		return rh_err_prefix(err, "%s: %s", what, row->name);
	mark_given(row, target->fields);
	return 0;
}

int rh_opt_set_words(const struct rh_opt_target *target, int count, char **words,
		     struct rh_opt_store *store, struct rh_err *err)
{
	if (rh_opt_defaults(target->table, target->fields, err) < 0)
		return -1;
	if (count && !target->table)
		return rh_fail(err, RH_USAGE, "%s takes no options, and here is '%s'", target->what,
			       words[0]);
	for (int i = 0; i < count; i++)
		if (rh_opt_set_word(target, words[i], strlen(words[i]), store, err) < 0)
			return -1;
	return 0;
}

/* Fills getopt's two tables from ours; index i of `long_opts` is row i. */
static int getopt_tables(const struct rh_opt *table, struct option *long_opts, char *short_opts,
			 bool stop_early)
{
	int count = 0;
	char *at = short_opts;

	/* '+': what comes after the first operand is the command line of another
	 * program (`record -- prog -x`), and its options are not ours. */
	if (stop_early)
		*at++ = '+';
	/* In front, ':' makes getopt return ':' for a missing value instead of '?',
	 * so that the two mistakes get different messages. */
	*at++ = ':';
	*at++ = 'h';
	for (; table && table[count].name; count++) {
		const struct rh_opt *row = &table[count];
		bool has_value = row->type != RH_OPT_FLAG;

		assert(count < OPTS_MAX - 1);
		long_opts[count] =
			(struct option){ row->name, has_value ? required_argument : no_argument,
					 /* Above every letter, so that optopt says too
					  * whether a long or a short option was wrong. */
					 NULL, 1000 + count };
		if (row->letter) {
			*at++ = row->letter;
			if (has_value)
				*at++ = ':';
		}
	}
	*at = '\0';
	long_opts[count] = (struct option){ "help", no_argument, NULL, 'h' };
	long_opts[count + 1] = (struct option){ 0 };
	return count;
}

/* Suggests for long options only: after a single dash stands a group of letters,
 * where nearness means nothing. */
static int no_such_option(const char *word, const char *what, const struct rh_opt *table, int count,
			  struct rh_err *err)
{
	const char *name = word + strspn(word, "-"), *near = NULL;
	struct rh_suggestion s = rh_suggestion_for(name, strcspn(name, "="));

	for (int i = 0; i < count; i++)
		rh_suggest_consider(&s, table[i].name);
	if (word[0] == '-' && word[1] == '-')
		near = rh_suggest_nearest(&s);
	return rh_fail(err, RH_USAGE, "no such option %s%s%s%s (see reheap %s --help)", word,
		       near ? ": did you mean --" : "", near ? near : "", near ? "?" : "", what);
}

/* What getopt stumbled over: inside a group of letters argv[optind - 1] is another word. */
static int bad_option(int c, char **argv, const struct rh_opt_target *target, int count,
		      struct rh_err *err)
{
	char letter[3] = { '-', (char)optopt, '\0' };
	const char *what = target->what,
		   *word = optopt > 0 && optopt < 1000 ? letter : argv[optind - 1];

	if (c == ':')
		return rh_fail(err, RH_USAGE, "%s needs a value (see reheap %s --help)", word,
			       what);
	if (optopt >= 1000 && optopt < 1000 + count)
		return rh_fail(err, RH_USAGE, "%s takes no value (see reheap %s --help)", word,
			       what);
	return no_such_option(word, what, target->table, count, err);
}

/* Rows and letters share one number space: letters below 1000, rows above. */
static const struct rh_opt *row_of(const struct rh_opt *table, int count, int c)
{
	if (c >= 1000 && c < 1000 + count)
		return &table[c - 1000];
	for (int i = 0; i < count; i++)
		if (table[i].letter == c)
			return &table[i];
	return NULL;
}

int rh_opt_argv(const struct rh_opt_target *target, struct rh_opt_line *line, struct rh_err *err)
{
	const struct rh_opt *table = target->table;
	struct option long_opts[OPTS_MAX + 1];
	char short_opts[2 * OPTS_MAX + 4];
	int count = getopt_tables(table, long_opts, short_opts, line->stop_early);
	int c;

	/* 0, not 1: it makes glibc forget the scan of an earlier command line in this
	 * process (tests parse many), which 1 does not. */
	optind = 0;
	/* getopt would print messages of its own, in its own words and not to where
	 * ours go. */
	opterr = 0;
	while ((c = getopt_long(line->argc, line->argv, short_opts, long_opts, NULL)) != -1) {
		const struct rh_opt *row;

		if (c == 'h')
			return RH_OPT_HELP;
		row = c == ':' || c == '?' ? NULL : row_of(table, count, c);
		if (!row)
			return bad_option(c, line->argv, target, count, err);
		if (set_value(row, target->fields, row->type == RH_OPT_FLAG ? "yes" : optarg, err) <
		    0)
			return rh_err_prefix(err, "--%s", row->name);
		mark_given(row, target->fields);
	}
	line->operands = optind;
	return 0;
}

/* ---- help ---- */

enum { HELP_FROM = 31, HELP_WIDTH = 100 }; /* columns of what an option does */

/* What it does, the names it takes, its default. */
static void describe(const struct rh_opt *row, char *text, size_t bytes)
{
	size_t used = (size_t)snprintf(text, bytes, "%s", row->help ? row->help : "");

	for (int i = 0; row->names && row->names[i] && used < bytes; i++)
		used += (size_t)snprintf(text + used, bytes - used, "%s%s%s", i ? "|" : " (",
					 row->names[i], row->names[i + 1] ? "" : ")");
	/* Flags are off unless said otherwise; [no] behind each would be noise. */
	if (row->dflt && row->type != RH_OPT_FLAG && row->dflt[0] && used < bytes)
		snprintf(text + used, bytes - used, " [%s]", row->dflt);
}

void rh_opt_help(const struct rh_opt *table, FILE *to)
{
	for (const struct rh_opt *row = table; row && row->name; row++) {
		char left[64], text[1024];
		bool has_value = row->type != RH_OPT_FLAG;

		/* Rows without a letter keep its columns blank, so that all long
		 * names begin in one column. */
		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", row->letter ? '-' : ' ',
			 row->letter ? row->letter : ' ', row->letter ? "," : " ", row->name,
			 has_value ? " " : "", has_value ? (row->arg ? row->arg : "VALUE") : "");
		describe(row, text, sizeof(text));
		fprintf(to, "  %-28s ", left);
		rh_print_wrapped(to, text, strlen(text), HELP_FROM, HELP_WIDTH);
	}
}
