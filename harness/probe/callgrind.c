/*
 * callgrind.c - reading what callgrind wrote. Its format, as far as we use it:
 *
 *	events: Ir Dr Dw ...		names of the numbers
 *	ob=(1) /path  fl=(2) file.c  fn=(3) name	where what follows belongs; "(3)" alone
 *						names what was defined before
 *	16 5 1 0 ...			line, then costs (missing ones are 0): self cost
 *	cob= cfi= cfl= cfn=		the callee ...
 *	calls=2 20			... and how often; the next line is inclusive cost
 *
 * Lines may start with + - or * (relative positions). Only self costs are added up, so that
 * nothing is counted twice; only a call into the heap is counted by its inclusive cost.
 */
#include "harness/probe/callgrind.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/launch/host.h"
#include "harness/result/result.h"

const char *const rh_callgrind_names[RH_CG_COUNT] = { "Ir",   "Dr",   "Dw",   "I1mr", "D1mr",
						      "D1mw", "ILmr", "DLmr", "DLmw", "Ge" };

enum { EVENTS_MAX = 32, ID_MAX = 1 << 24 };

/* Functions of the harness that wait for another lane. */
static const char *const waiting_names[] = { "wait_for", "rh_futex_wait", "rh_futex_wait_private",
					     "rh_futex_wake", "rh_futex_wake_private" };

/* Calls into the heap; allocators add a prefix (je_, mi_, tc_), and callgrind may report a function
 * under any of its names. */
static const char *const heap_names[] = {
	"malloc",
	"free",
	"calloc",
	"realloc",
	"memalign",
	"aligned_alloc",
	"valloc",
	"pvalloc",
	"cfree",
	"posix_memalign",
	"free_sized",
	"malloc_size",
	"malloc_usable_size",
	"reallocarray",
	"free_aligned_sized",
	"malloc_good_size",
	"usable_size",
};
static const char *const heap_letters[] = { "", "__libc_", "je_", "mi_", "tc_", "scalable_" };

struct names { /* by callgrind's number */
	char **text;
	size_t count;
};

struct reader {
	struct rh_callgrind *out;
	struct names names[2]; /* objects, functions */
	size_t *function_of;   /* index in out by number of the function; + 1 */
	size_t function_of_count;
	int column[EVENTS_MAX]; /* enum rh_callgrind_event or -1 */
	size_t columns;
	size_t positions;	 /* leading fields of a cost line */
	size_t object, function; /* current numbers */
	size_t callee;
	uint64_t calls;
	bool *heap_of; /* by number of the function: belongs to the heap, once looked up */
	bool *heap_asked;
	size_t heap_count;
	bool skip; /* the next cost line belongs to a call */
};

/* Quotes as --under reads words: a backslash before a character that would end one. */
static void escape_blanks(const char *from, char *to, size_t to_bytes)
{
	size_t used = 0;

	for (; *from && used + 3 < to_bytes; from++) {
		if (*from == '\\' || isspace((unsigned char)*from))
			to[used++] = '\\';
		to[used++] = *from;
	}
	to[used] = '\0';
}

int rh_callgrind_under(char *under, size_t under_bytes, const char *out_path, struct rh_err *err)
{
	const char *tunables = getenv("GLIBC_TUNABLES");
	char path[4096];
	int length;

	if (!rh_in_path("valgrind", path, sizeof(path)))
		return rh_fail(err, RH_ABSENT,
			       "valgrind is not installed (apt-get install "
			       "valgrind)");
	escape_blanks(out_path, path, sizeof(path));
	length = snprintf(under, under_bytes,
			  "env LC_ALL=C GLIBC_TUNABLES=%s%sglibc.cpu.hwcaps="
			  "-AVX512F,-AVX512VL,-AVX2,-ERMS,-FSRM valgrind --quiet --tool=callgrind "
			  "--toggle-collect=rh_loop_run --cache-sim=yes --collect-bus=yes "
			  "--I1=32768,8,64 --D1=32768,8,64 --LL=8388608,16,64 --fair-sched=yes "
			  "--vgdb=no --dump-line=no --callgrind-out-file=%s",
			  tunables ? tunables : "", tunables ? ":" : "", path);
	if (length < 0 || (size_t)length >= under_bytes)
		return rh_fail(err, RH_USAGE, "the command line of valgrind is too long");
	return 0;
}

/* "(3) name" or "(3)": the number, and the name kept under it. */
static int read_name(struct names *names, char *at, size_t *number, struct rh_err *err)
{
	char *close;
	unsigned long id;

	if (*at != '(')
		return rh_fail(err, RH_BAD_DATA,
			       "callgrind's output names a function without a "
			       "number: '%.40s'",
			       at);
	id = strtoul(at + 1, &close, 10);
	if (close == at + 1 || *close != ')' || id > ID_MAX)
		return rh_fail(err, RH_BAD_DATA, "callgrind's output has a wrong number: '%.40s'",
			       at);
	while (names->count <= id)
		*(char **)rh_grow(&names->text, &names->count, sizeof(char *)) = NULL;
	close++;
	close += strspn(close, " ");
	if (*close && !names->text[id])
		names->text[id] = strdup(close);
	*number = id;
	return 0;
}

static const char *name_of(const struct names *names, size_t number)
{
	return number < names->count && names->text[number] ? names->text[number] : "?";
}

static struct rh_callgrind_function *function_in_force(struct reader *reader)
{
	struct rh_callgrind *out = reader->out;
	struct rh_callgrind_function *row;

	while (reader->function_of_count <= reader->function)
		*(size_t *)rh_grow(&reader->function_of, &reader->function_of_count,
				   sizeof(size_t)) = 0;
	if (reader->function_of[reader->function])
		return &out->functions[reader->function_of[reader->function] - 1];
	row = rh_grow(&out->functions, &out->function_count, sizeof(*row));
	row->name = strdup(name_of(&reader->names[1], reader->function));
	row->object = strdup(name_of(&reader->names[0], reader->object));
	reader->function_of[reader->function] = out->function_count;
	return row;
}

static bool is_waiting(const char *name)
{
	for (size_t i = 0; i < sizeof(waiting_names) / sizeof(waiting_names[0]); i++)
		if (strcmp(name, waiting_names[i]) == 0)
			return true;
	return false;
}

static bool is_heap_name(const char *name)
{
	size_t length = strcspn(name, "'"); /* "malloc'2": called by itself */

	if (strncmp(name, "operator new", 12) == 0 || strncmp(name, "operator delete", 15) == 0)
		return true;
	for (size_t l = 0; l < sizeof(heap_letters) / sizeof(heap_letters[0]); l++)
		for (size_t i = 0; i < sizeof(heap_names) / sizeof(heap_names[0]); i++) {
			size_t before = strlen(heap_letters[l]),
			       all = before + strlen(heap_names[i]);

			if (length == all && strncmp(name, heap_letters[l], before) == 0 &&
			    strncmp(name + before, heap_names[i], all - before) == 0)
				return true;
		}
	return false;
}

/* Tens of thousands of calls, few functions. */
static bool is_heap(struct reader *reader, size_t number)
{
	while (reader->heap_count <= number) {
		size_t count = reader->heap_count;

		*(bool *)rh_grow(&reader->heap_of, &count, sizeof(bool)) = false;
		*(bool *)rh_grow(&reader->heap_asked, &reader->heap_count, sizeof(bool)) = false;
	}
	if (!reader->heap_asked[number]) {
		reader->heap_asked[number] = true;
		reader->heap_of[number] = is_heap_name(name_of(&reader->names[1], number));
	}
	return reader->heap_of[number];
}

/* The inclusive cost of a call. */
static void read_call(struct reader *reader, char *at)
{
	if (!is_heap(reader, reader->callee) || is_heap(reader, reader->function))
		return;
	reader->out->heap_calls += reader->calls;
	for (size_t i = 0; i < reader->columns && isdigit((unsigned char)*at); i++) {
		uint64_t value = strtoull(at, &at, 10);

		at += strspn(at, " ");
		if (reader->column[i] == RH_CG_IR)
			reader->out->heap_ir += value;
	}
}

static void read_costs(struct reader *reader, char *at)
{
	struct rh_callgrind_function *function;
	uint64_t *sum;

	for (size_t i = 0; i < reader->positions; i++) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	if (reader->skip) {
		reader->skip = false;
		read_call(reader, at);
		return;
	}
	function = function_in_force(reader);
	sum = is_waiting(function->name) ? reader->out->waiting : reader->out->total;
	for (size_t i = 0; i < reader->columns && isdigit((unsigned char)*at); i++) {
		uint64_t value = strtoull(at, &at, 10);

		at += strspn(at, " ");
		if (reader->column[i] < 0)
			continue;
		function->self[reader->column[i]] += value;
		sum[reader->column[i]] += value;
	}
}

static int read_events(struct reader *reader, char *at, struct rh_err *err)
{
	char *kept = NULL;

	reader->columns = 0;
	for (char *word = strtok_r(at, " ", &kept); word; word = strtok_r(NULL, " ", &kept)) {
		if (reader->columns == EVENTS_MAX)
			return rh_fail(err, RH_BAD_DATA, "callgrind counts too many events");
		reader->column[reader->columns] = -1;
		for (int e = 0; e < RH_CG_COUNT; e++)
			if (strcmp(word, rh_callgrind_names[e]) == 0)
				reader->column[reader->columns] = e;
		reader->columns++;
	}
	return 0;
}

static int read_line(struct reader *reader, char *line, struct rh_err *err)
{
	static const struct {
		const char *key;
		int kind;
	} names[] = {
		{ "ob=", 0 },
		{ "fn=", 1 },
		{ "cob=", 2 },
		{ "cfn=", 3 },
	};

	if (isdigit((unsigned char)line[0]) || line[0] == '+' || line[0] == '-' || line[0] == '*') {
		read_costs(reader, line);
		return 0;
	}
	if (strncmp(line, "events: ", 8) == 0)
		return read_events(reader, line + 8, err);
	if (strncmp(line, "positions: ", 11) == 0) {
		reader->positions = 1 + (strchr(line + 11, ' ') != NULL);
		return 0;
	}
	if (strncmp(line, "calls=", 6) == 0) {
		reader->skip = true;
		reader->calls = strtoull(line + 6, NULL, 10);
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t length = strlen(names[i].key), number = 0;

		if (strncmp(line, names[i].key, length) != 0)
			continue;
		if (read_name(&reader->names[names[i].kind % 2], line + length, &number, err) < 0)
			return -1;
		if (names[i].kind == 0)
			reader->object = number;
		if (names[i].kind == 1)
			reader->function = number;
		if (names[i].kind == 3)
			reader->callee = number;
	}
	return 0;
}

static int most_first(const void *a, const void *b)
{
	const struct rh_callgrind_function *x = a, *y = b;

	return (x->self[RH_CG_IR] < y->self[RH_CG_IR]) - (x->self[RH_CG_IR] > y->self[RH_CG_IR]);
}

static void reader_free(struct reader *reader)
{
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < reader->names[k].count; i++)
			free(reader->names[k].text[i]);
		free(reader->names[k].text);
	}
	free(reader->function_of);
	free(reader->heap_of);
	free(reader->heap_asked);
}

int rh_callgrind_read(struct rh_callgrind *out, const char *path, struct rh_err *err)
{
	struct reader reader = { .out = out, .positions = 1 };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int result = 0;

	*out = (struct rh_callgrind){ 0 };
	if (!file)
		return rh_fail_errno(err, RH_NO_INPUT, "%s, callgrind's output, cannot be read",
				     path);
	while (result == 0 && (length = getline(&line, &room, file)) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		result = read_line(&reader, line, err);
	}
	free(line);
	fclose(file);
	reader_free(&reader);
	if (result == 0 && (reader.columns == 0 || out->total[RH_CG_IR] == 0))
		result = rh_fail(err, RH_BAD_DATA,
				 "%s: callgrind counted nothing: the replay loop "
				 "was not found, or the worker died",
				 path);
	if (result == 0)
		qsort(out->functions, out->function_count, sizeof(*out->functions), most_first);
	else
		rh_callgrind_free(out);
	return result;
}

void rh_callgrind_free(struct rh_callgrind *callgrind)
{
	for (size_t i = 0; i < callgrind->function_count; i++) {
		free(callgrind->functions[i].name);
		free(callgrind->functions[i].object);
	}
	free(callgrind->functions);
	*callgrind = (struct rh_callgrind){ 0 };
}
