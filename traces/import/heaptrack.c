/*
 * heaptrack.c - recordings of heaptrack, raw (heaptrack --raw) and interpreted (its default).
 *
 * Each line is a letter and hexadecimal numbers. Of them:
 *
 *	v VERSION FORMAT	first line		- PTR			a free
 *	X COMMAND		the program		+ SIZE STACK PTR	an allocation
 *	c MS			time since the start	A			attached later
 *
 * The command may have newlines: up to the line of the system (I PAGE PAGES), or the first
 * allocation or stack where there is none, lines belong to it. A realloc is a free and an
 * allocation: it stays so here. Threads are not recorded: one lane. Time is that of the last
 * clock line, which comes every 10 ms or so; lines before the first one have none.
 *
 * heaptrack_interpret, which runs by default, numbers the pairs of size and stack, and reduces a
 * call to that number:
 *
 *	s LENGTH TEXT	a string, from 1	i IP MODULE FUNCTION FILE LINE	an address
 *	t IP PARENT	a stack, from 1		a SIZE STACK	a pair, from 0
 *	+ PAIR					- PAIR
 *
 * Things have numbers by their order, so that a torn line of one of these still counts as one, of
 * which nothing is known (drop.pair_unknown). Order, size and site are exact there. Which of the
 * living objects of a pair is freed is not known: the youngest is taken, and estimate.identity
 * counts how often there was a choice. Sites are the numbers of stacks, named by the function on
 * top.
 */
#include "traces/import/lines.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"
#include "traces/import/scan.h"

enum { THREAD = 0, NUMBERS_MAX = 3, COMMAND_BYTES = 4096 };
static const uint64_t NS_PER_MS = 1000000;
static const uint64_t UNKNOWN = UINT64_MAX;

struct line {
	char letter;
	unsigned count; /* numbers after it, when nothing else is */
	uint64_t number[NUMBERS_MAX];
	const char *text; /* the line, while it is the input's */
};

/* A pair of size and stack, and its living objects: nodes from the youngest. */
struct pair {
	uint64_t size, stack;
	uint32_t youngest, live;
};

struct node {
	uint32_t below;
};

struct heaptrack {
	struct rh_build *build;
	struct rh_trace_out *out;
	uint64_t time_ns;
	bool begun, in_command, interpreted;
	struct rh_input *input;
	uint64_t torn_line; /* number of the last */
	char command[COMMAND_BYTES];
	struct pair *pairs;
	struct node *nodes; /* an object's address is the number of its node, from 1 */
	char **strings;
	uint64_t *functions; /* of addresses: index of a string + 1 */
	uint64_t *tops;	     /* of stacks: index of an address + 1, then 0 once it is named */
	size_t pair_count, pair_cap, node_count, node_cap, string_count, string_cap;
	size_t function_count, function_cap, top_count, top_cap;
	uint32_t spare; /* nodes that are free, a list */
};

/* Every line is taken: which are torn is known only to put. */
static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;
	const char *p = *at;

	*line = (struct line){ .letter = *p, .text = p };
	p++;
	while (line->count < NUMBERS_MAX && scan_char(&p, ' ') &&
	       scan_hex(&p, &line->number[line->count]))
		line->count++;
	if (!scan_end(&p))
		line->count = NUMBERS_MAX + 1;
	*at += strlen(*at);
	return NULL;
}

static const char memory_for[] = "the sites of a heaptrack file";

/* ---- interpreted ---- */

static int add_string(struct heaptrack *heaptrack, const char *text, struct rh_err *err)
{
	const char *at = text;
	uint64_t length;

	/* The length came with the third format; before that the text alone. */
	if (scan_hex(&at, &length) && *at == ' ' && strlen(at + 1) == length)
		text = at + 1;
	if (!rh_reserve(&heaptrack->strings, &heaptrack->string_cap, heaptrack->string_count + 1,
			sizeof(*heaptrack->strings)))
		return rh_no_memory(err, memory_for);
	heaptrack->strings[heaptrack->string_count] = strdup(text);
	return heaptrack->strings[heaptrack->string_count++] ? 0 : rh_no_memory(err, memory_for);
}

/* "i IP MODULE [FUNCTION ...]" */
static int add_address(struct heaptrack *heaptrack, const char *at, struct rh_err *err)
{
	uint64_t ip, module, function = 0;

	if (scan_hex(&at, &ip) && scan_char(&at, ' ') && scan_hex(&at, &module) &&
	    scan_char(&at, ' '))
		scan_hex(&at, &function);
	if (!rh_reserve(&heaptrack->functions, &heaptrack->function_cap,
			heaptrack->function_count + 1, sizeof(*heaptrack->functions)))
		return rh_no_memory(err, memory_for);
	heaptrack->functions[heaptrack->function_count++] = function;
	return 0;
}

static int add_stack(struct heaptrack *heaptrack, uint64_t ip, struct rh_err *err)
{
	if (!rh_reserve(&heaptrack->tops, &heaptrack->top_cap, heaptrack->top_count + 1,
			sizeof(*heaptrack->tops)))
		return rh_no_memory(err, memory_for);
	heaptrack->tops[heaptrack->top_count++] = ip;
	return 0;
}

/* The name of a stack's site goes out once. */
static int name_stack(struct heaptrack *heaptrack, uint64_t stack, struct rh_err *err)
{
	uint64_t ip, function;

	if (stack == 0 || stack > heaptrack->top_count || stack > UINT32_MAX)
		return 0;
	ip = heaptrack->tops[stack - 1];
	heaptrack->tops[stack - 1] = 0;
	function = ip && ip <= heaptrack->function_count ? heaptrack->functions[ip - 1] : 0;
	if (function == 0 || function > heaptrack->string_count)
		return 0;
	return rh_trace_add_site(heaptrack->out, (uint32_t)stack, heaptrack->strings[function - 1],
				 err);
}

static int add_pair(struct heaptrack *heaptrack, uint64_t size, uint64_t stack, struct rh_err *err)
{
	if (!rh_reserve(&heaptrack->pairs, &heaptrack->pair_cap, heaptrack->pair_count + 1,
			sizeof(*heaptrack->pairs)))
		return rh_no_memory(err, memory_for);
	heaptrack->pairs[heaptrack->pair_count++] = (struct pair){ .size = size, .stack = stack };
	return name_stack(heaptrack, stack, err);
}

static uint32_t site_of(uint64_t stack)
{
	return stack <= UINT32_MAX ? (uint32_t)stack : RH_SITE_NONE;
}

/* A node for an object: a spare one or a new one; 0 without memory. */
static uint32_t take_node(struct heaptrack *heaptrack)
{
	uint32_t node = heaptrack->spare;

	if (node) {
		heaptrack->spare = heaptrack->nodes[node - 1].below;
		return node;
	}
	if (heaptrack->node_count == UINT32_MAX ||
	    !rh_reserve(&heaptrack->nodes, &heaptrack->node_cap, heaptrack->node_count + 1,
			sizeof(*heaptrack->nodes)))
		return 0;
	return (uint32_t)++heaptrack->node_count;
}

static int put_birth(struct heaptrack *heaptrack, struct pair *pair, struct rh_err *err)
{
	uint32_t node = take_node(heaptrack);

	if (!node)
		return rh_no_memory(err, memory_for);
	heaptrack->nodes[node - 1].below = pair->youngest;
	pair->youngest = node;
	pair->live++;
	rh_build_stamp(heaptrack->build, heaptrack->time_ns, RH_TASK_NONE, site_of(pair->stack));
	return rh_build_alloc(heaptrack->build, THREAD,
			      RH_BLOCK(.address = node, .size = pair->size), err);
}

static int put_death(struct heaptrack *heaptrack, struct pair *pair, struct rh_err *err)
{
	uint32_t node = pair->youngest;

	if (!node) {
		rh_build_count(heaptrack->build, "drop.free_unknown", 1);
		return 0;
	}
	if (pair->live > 1)
		rh_build_count(heaptrack->build, "estimate.identity", 1);
	pair->youngest = heaptrack->nodes[node - 1].below;
	pair->live--;
	heaptrack->nodes[node - 1].below = heaptrack->spare;
	heaptrack->spare = node;
	rh_build_stamp(heaptrack->build, heaptrack->time_ns, RH_TASK_NONE, RH_SITE_NONE);
	return rh_build_free(heaptrack->build, THREAD, node, RH_NONE, err);
}

static int put_pair(struct heaptrack *heaptrack, const struct line *line, const char **why,
		    struct rh_err *err)
{
	struct pair *pair;

	if (line->number[0] >= heaptrack->pair_count) {
		*why = "that pair of size and stack has not come yet";
		return RH_LINE_TORN;
	}
	pair = &heaptrack->pairs[line->number[0]];
	if (pair->size == UNKNOWN) {
		rh_build_count(heaptrack->build, "drop.pair_unknown", 1);
		return 0;
	}
	return line->letter == '+' ? put_birth(heaptrack, pair, err)
				   : put_death(heaptrack, pair, err);
}

/* A line of which only the letter is known keeps its number. It comes twice, as a line and as a
 * part of one (lines.c). */
static int add_unknown(struct heaptrack *heaptrack, char letter, struct rh_err *err)
{
	if (heaptrack->torn_line == rh_input_line_number(heaptrack->input))
		return 0;
	heaptrack->torn_line = rh_input_line_number(heaptrack->input);
	switch (letter) {
	case 's':
		return add_string(heaptrack, "", err);
	case 'i':
		return add_address(heaptrack, "", err);
	case 't':
		return add_stack(heaptrack, 0, err);
	default:
		return add_pair(heaptrack, UNKNOWN, 0, err);
	}
}

/* s, i, t and a: what numbers stand for. */
static int put_table(struct heaptrack *heaptrack, const struct line *line, const char **why,
		     struct rh_err *err)
{
	bool has_text = line->text[1] == ' ' && line->text[2];

	if (line->letter == 's' && has_text)
		return add_string(heaptrack, line->text + 2, err);
	if (line->letter == 'i' && has_text)
		return add_address(heaptrack, line->text + 2, err);
	if (line->letter == 't' && line->count == 2)
		return add_stack(heaptrack, line->number[0], err);
	if (line->letter == 'a' && line->count == 2 && scan_size_fits(1, line->number[0], why)) {
		heaptrack->interpreted = true;
		return add_pair(heaptrack, line->number[0], line->number[1], err);
	}
	*why = "an interpreted line is 's TEXT', 'i IP MODULE ...', 't IP PARENT' or 'a SIZE "
	       "STACK'";
	return add_unknown(heaptrack, line->letter, err) < 0 ? -1 : RH_LINE_TORN;
}

/* ---- raw ---- */

/* A word that is no number begins at `at`. */
static bool is_foreign(const char *at)
{
	uint64_t number;

	scan_blanks(&at);
	return *at == '\0' || !scan_hex(&at, &number) || (*at && *at != ' ');
}

/* A call in a line that a program wrote into as well: false when there is none. */
static bool find_call(const struct heaptrack *heaptrack, const char *text, struct line *line)
{
	for (const char *at = text; (at = strpbrk(at, "+-")) != NULL; at++) {
		unsigned need = *at == '+' && !heaptrack->interpreted ? 3 : 1;
		const char *p = at + 1;

		*line = (struct line){ .letter = *at, .text = at };
		while (line->count < need && scan_char(&p, ' ') &&
		       scan_hex(&p, &line->number[line->count]))
			line->count++;
		if (line->count == need && (*p == '\0' || (*p == ' ' && is_foreign(p))))
			return true;
	}
	return false;
}

static int put_call(struct heaptrack *heaptrack, const struct line *line, const char **why,
		    struct rh_err *err)
{
	bool is_alloc = line->letter == '+';
	struct line found;

	if (heaptrack->interpreted && line->count == 1)
		return put_pair(heaptrack, line, why, err);
	*why = is_alloc ? "an allocation is '+ SIZE STACK PTR'" : "a free is '- PTR'";
	if (heaptrack->interpreted || line->count != (is_alloc ? 3u : 1u)) {
		if (!find_call(heaptrack, line->text, &found))
			return RH_LINE_TORN;
		rh_build_count(heaptrack->build, "repair.foreign_text", 1);
		return put_call(heaptrack, &found, why, err);
	}
	if (!is_alloc)
		return rh_build_free(heaptrack->build, THREAD, line->number[0], RH_NONE, err);
	if (!scan_size_fits(line->number[2], line->number[0], why))
		return RH_LINE_TORN;
	return rh_build_alloc(heaptrack->build, THREAD,
			      RH_BLOCK(.address = line->number[2], .size = line->number[0]), err);
}

static int put_clock(struct heaptrack *heaptrack, const struct line *line, const char **why)
{
	*why = "a time is 'c MILLISECONDS'";
	if (line->count != 1 || line->number[0] > UINT64_MAX / 4 / NS_PER_MS)
		return RH_LINE_TORN;
	rh_build_count(heaptrack->build, "drop.other_line", 1);
	/* A torn one may lie before the last. */
	if (heaptrack->time_ns == RH_NONE || heaptrack->time_ns < line->number[0] * NS_PER_MS)
		heaptrack->time_ns = line->number[0] * NS_PER_MS;
	rh_build_stamp(heaptrack->build, heaptrack->time_ns, RH_TASK_NONE, RH_SITE_NONE);
	return 0;
}

/* ---- the command ---- */

static void add_command(struct heaptrack *heaptrack, const char *text)
{
	size_t used = strlen(heaptrack->command);

	snprintf(heaptrack->command + used, sizeof(heaptrack->command) - used, "%s%s",
		 used ? "\n" : "", text);
	rh_build_count(heaptrack->build, "drop.other_line", 1);
}

/* Whether the line cannot be of the command any more. */
static bool ends_command(const struct line *line)
{
	return (line->letter == 'I' && line->count == 2) ||
	       (line->letter == '+' && (line->count == 3 || line->count == 1)) ||
	       ((line->letter == 't' || line->letter == 'a') && line->count == 2);
}

static int put_command(struct heaptrack *heaptrack, struct rh_err *err)
{
	heaptrack->in_command = false;
	return rh_trace_add_note(heaptrack->out, "program", heaptrack->command, err);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct heaptrack *heaptrack = ctx;
	const struct line *line = record;
	struct line found;

	if (!heaptrack->begun && !(line->letter == 'v' && line->count >= 1)) {
		*why = "the first must be 'v VERSION'";
		return RH_LINE_TORN;
	}
	heaptrack->begun = true;
	if (heaptrack->in_command) {
		if (!ends_command(line))
			return add_command(heaptrack, line->text), 0;
		if (put_command(heaptrack, err) < 0)
			return -1;
	}
	/* A letter stands alone; what has more of them is of a program. */
	if (((isalpha((unsigned char)line->letter) && isalpha((unsigned char)line->text[1])) ||
	     (strchr("at", line->letter) && line->count != 2)) &&
	    find_call(heaptrack, line->text, &found)) {
		rh_build_count(heaptrack->build, "repair.foreign_text", 1);
		return put_call(heaptrack, &found, why, err);
	}
	switch (line->letter) {
	case '+':
	case '-':
		return put_call(heaptrack, line, why, err);
	case 'c':
		return put_clock(heaptrack, line, why);
	case 'X':
		if (line->text[1] == ' ') {
			add_command(heaptrack, line->text + 2);
			heaptrack->in_command = true;
			return 0;
		}
		break;
	case 's':
	case 'i':
	case 't':
	case 'a': {
		int result = put_table(heaptrack, line, why, err);

		if (result)
			return result;
		break;
	}
	case 'A':
		if (rh_trace_add_note(heaptrack->out, "heaptrack.attached", "yes", err) < 0)
			return -1;
		break;
	}
	/* Comments and letters of newer versions are no reason to give up. */
	rh_build_count(heaptrack->build, "drop.other_line", 1);
	return 0;
}

static const char *const marks[] = { "", NULL }; /* a file of its own: nothing is foreign */

static const struct rh_line_form form = {
	.what = "a heaptrack line",
	.marks = marks,
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	struct line line;

	if (count < 4 || memcmp(bytes, "v ", 2) != 0 || !rh_lines_first(&form, bytes, count, &line))
		return 0;
	return line.count >= 1 && line.count <= 2 ? 100 : 0;
}

static int add_notes(struct heaptrack *heaptrack, struct rh_err *err)
{
	if (heaptrack->in_command && put_command(heaptrack, err) < 0)
		return -1;
	if (heaptrack->interpreted &&
	    rh_trace_add_note(heaptrack->out, "heaptrack.identity",
			      "the youngest of a site and size dies first", err) < 0)
		return -1;
	return heaptrack->time_ns == RH_NONE
		       ? 0
		       : rh_trace_add_note(heaptrack->out, "clock", "ms", err);
}

static int import_heaptrack(struct rh_input *input, const void *opts, struct rh_build *build,
			    struct rh_trace_out *out, struct rh_err *err)
{
	struct heaptrack heaptrack = {
		.build = build, .out = out, .input = input, .time_ns = RH_NONE
	};
	int result = -1;

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &heaptrack }, err) == 0)
		result = add_notes(&heaptrack, err);
	for (size_t i = 0; i < heaptrack.string_count; i++)
		free(heaptrack.strings[i]);
	free(heaptrack.strings);
	free(heaptrack.functions);
	free(heaptrack.tops);
	free(heaptrack.pairs);
	free(heaptrack.nodes);
	return result;
}

const struct rh_importer rh_import_heaptrack = {
	.name = "heaptrack",
	.summary = "heaptrack, raw (--raw: every object) or as it writes by itself (estimated)",
	.looks_like = "+ 11c00 4 55ef385e1530",
	.columns = RH_COL_TIME | RH_COL_SITE,
	.likeness = likeness,
	.run = import_heaptrack,
};
