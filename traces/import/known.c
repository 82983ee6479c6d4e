/*
 * known.c - see known.h.
 *
 * To add one: a row in `rows`; `magic` stands at the first byte, or anywhere in the first 512 where
 * `anywhere` is set. Only what no importer reads belongs here: a row wins over nothing but an
 * importer that does not know the file either.
 */
#include "traces/import/known.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "alloc/base/wrapping.h"

enum { LOOK_BYTES = 512 };

struct row {
	const char *magic;
	size_t magic_bytes;
	bool anywhere;
	bool listed; /* somebody may look for it in the list of formats */
	struct rh_known known;
};

#define MAGIC(text) text, sizeof(text) - 1, false
#define WORDS(text) text, sizeof(text) - 1, true
#define SAMPLES	    "it holds samples or sums, not calls; `reheap record` sees the calls"

static const struct row rows[] = {
	{ MAGIC("PERFILE2"),
	  true,
	  { "a file of perf record", "perf script -i FILE > calls.txt, and import that" } },
	{ MAGIC("heap profile:"), true, { "a heap profile of gperftools", SAMPLES } },
	{ MAGIC("heap_v2/"), true, { "a heap profile of jemalloc", SAMPLES } },
	{ MAGIC("desc: "),
	  true,
	  { "a snapshot file of massif",
	    "it holds sums; valgrind --trace-malloc=yes prints the calls" } },
	{ WORDS("\"dhatFileVersion\""),
	  true,
	  { "a file of DHAT",
	    "it holds sums by place; valgrind --trace-malloc=yes prints the calls" } },
	{ MAGIC("JAVA PROFILE "), true, { "a heap dump of Java", SAMPLES } },
	{ MAGIC("Nettrace"), true, { "a trace of .NET", SAMPLES } },
	{ MAGIC("\x89RHT"),
	  false,
	  { "a trace of reheap already",
	    "reheap info FILE shows it, reheap replay FILE runs it" } },
	{ WORDS("\"reheap.result/"),
	  false,
	  { "a result of reheap replay", "reheap compare FILE and reheap plot FILE read it" } },
	{ WORDS("\"reheap.gate/"),
	  false,
	  { "what reheap gate wrote", "reheap gate --recompute FILE reads it" } },
	{ MAGIC("\x7f"
		"ELF"),
	  false,
	  { "a program, library or core dump", "reheap record -o T.rht -- PROGRAM records it" } },
	{ MAGIC("SQLite format 3"), false, { "a database of SQLite", "export its rows as CSV" } },
	{ MAGIC("\x89PNG"), false, { "a picture", "name the recording" } },
	{ MAGIC("%PDF-"), false, { "a PDF document", "name the recording" } },
	{ WORDS("<html"),
	  false,
	  { "a web page", "what was asked for may not have been there: look at it" } },
};

/* Line ends of a Mac of the last century. */
static bool ends_in_returns(const char *bytes, size_t count)
{
	const char *at = memchr(bytes, '\r', count);

	return at && !memchr(bytes, '\n', count) && !memchr(bytes, '\0', count);
}

static bool is_row(const struct row *row, const char *bytes, size_t count)
{
	size_t look = count < LOOK_BYTES ? count : LOOK_BYTES;

	if (row->anywhere)
		return memmem(bytes, look, row->magic, row->magic_bytes) != NULL;
	return count >= row->magic_bytes && memcmp(bytes, row->magic, row->magic_bytes) == 0;
}

const char *rh_known_text(const char *bytes, size_t count)
{
	assert(bytes || count == 0);
	if (ends_in_returns(bytes, count))
		return "text whose lines end in carriage returns alone (tr '\\r' '\\n' < FILE "
		       "makes it readable)";
	return rh_wrapping_of(bytes, count);
}

const struct rh_known *rh_known_find(const char *bytes, size_t count)
{
	assert(bytes || count == 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is_row(&rows[i], bytes, count))
			return &rows[i].known;
	return NULL;
}

void rh_known_print(FILE *to)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].listed)
			rh_print(to, "  %s: %s\n", rows[i].known.what, rows[i].known.way);
}
