/*
 * names.c - the parts of a cell's name: the hash of its trace and the identities of its backends.
 *
 * Hashing 500 traces of 1 GB takes an hour, so hashes are kept beside the matrix by path, size
 * and modification time; the run of a cell hashes its trace again and compares (work.c).
 *
 * A library is identified by the hash of its file, wherever it lies; a built-in backend by the
 * version of reheap, which is part of every name.
 */
#include "harness/matrix/cells.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc/backend.h"
#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "traces/format/trace.h"

void rh_matrix_hash(const char *text, char name[RH_CELL_NAME + 1])
{
	char digits[SHA256_DIGEST_STRING_LENGTH];

	assert(text);
	SHA256Data((const uint8_t *)text, strlen(text), digits);
	memcpy(name, digits, RH_CELL_NAME);
	name[RH_CELL_NAME] = '\0';
}

/* A relative path starts at the plan's folder, not at the caller's. */
static const char *from_plan(struct rh_pool *pool, const char *plan_path, const char *path)
{
	const char *slash = strrchr(plan_path, '/');

	return *path == '/' || !slash
		       ? path
		       : rh_pool_printf(pool, "%.*s/%s", (int)(slash - plan_path), plan_path, path);
}

/* ---- traces ---- */

struct known {
	char sha256[65];
	unsigned long long events, bytes, changed_ns;
	char *path;
};

struct known_list {
	struct known *list;
	size_t count;
};

static void read_known(const char *hashes, struct known_list *known, struct rh_pool *pool)
{
	FILE *from = hashes ? fopen(hashes, "re") : NULL;
	char *line = NULL;
	size_t room = 0;

	while (from && getline(&line, &room, from) > 0) {
		struct known one;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%64[0-9a-f]\t%llu\t%llu\t%llu\t%n", one.sha256, &one.events,
			   &one.bytes, &one.changed_ns, &at) != 4 ||
		    at == 0)
			continue;
		one.path = rh_pool_text(pool, line + at);
		*(struct known *)rh_pool_grow(pool, &known->list, &known->count, sizeof(one)) = one;
	}
	free(line);
	if (from)
		fclose(from);
}

/* Best effort: without it the next run hashes again. */
static void write_known(const char *hashes, const struct known_list *known)
{
	struct rh_outfile out;
	struct rh_err ignored;

	if (!hashes || rh_outfile_open(&out, hashes, &ignored) < 0)
		return;
	for (size_t i = 0; i < known->count; i++) {
		const struct known *k = &known->list[i];

		if (dprintf(out.fd, "%s\t%llu\t%llu\t%llu\t%s\n", k->sha256, k->events, k->bytes,
			    k->changed_ns, k->path) < 0) {
			rh_outfile_abandon(&out);
			return;
		}
	}
	rh_outfile_commit(&out, &ignored);
}

static int count_events(const char *path, uint64_t *events, struct rh_err *err)
{
	struct rh_trace_totals totals;
	struct rh_event batch[256];
	struct rh_trace *trace;
	bool exact;
	int got = 1;

	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	rh_trace_totals(trace, &totals, &exact);
	while (!exact && (got = rh_trace_next(trace, batch, 256, err)) > 0)
		;
	if (!exact)
		rh_trace_totals(trace, &totals, &exact);
	rh_trace_close(trace);
	*events = totals.events;
	return got < 0 ? -1 : 0;
}

static int know_trace(struct rh_named_trace *trace, struct known_list *known, struct rh_pool *pool,
		      struct rh_err *err)
{
	struct known now = { .path = rh_pool_text(pool, trace->path) };
	struct stat st;

	if (stat(trace->path, &st) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", trace->path);
	now.bytes = (unsigned long long)st.st_size;
	now.changed_ns = (unsigned long long)st.st_mtim.tv_sec * 1000000000ull +
			 (unsigned long long)st.st_mtim.tv_nsec;
	for (size_t i = 0; i < known->count; i++) {
		const struct known *k = &known->list[i];

		if (k->bytes != now.bytes || k->changed_ns != now.changed_ns ||
		    strcmp(k->path, now.path) != 0)
			continue;
		memcpy(trace->sha256, k->sha256, sizeof(trace->sha256));
		trace->events = k->events;
		return 0;
	}
	rh_progress("hashing %s", trace->path);
	if (count_events(trace->path, &trace->events, err) < 0)
		return -1;
	if (!SHA256File(trace->path, trace->sha256))
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be read", trace->path);
	memcpy(now.sha256, trace->sha256, sizeof(now.sha256));
	now.events = trace->events;
	*(struct known *)rh_pool_grow(pool, &known->list, &known->count, sizeof(now)) = now;
	return 0;
}

/* The first matching pattern; else the name up to its first - or dot. */
static const char *family_of(const struct rh_plan *plan, const char *path, struct rh_pool *pool)
{
	const char *name = rh_base_name(path);
	size_t bytes = strcspn(name, "-.");

	for (size_t i = 0; i < plan->families_count; i++)
		if (plan->families[i].value && fnmatch(plan->families[i].value, name, 0) == 0)
			return plan->families[i].name;
	return bytes ? rh_pool_printf(pool, "%.*s", (int)bytes, name) : name;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct rh_named_trace *)a)->path,
		      ((const struct rh_named_trace *)b)->path);
}

#ifndef GLOB_BRACE /* musl: {a,b} finds nothing there */
#define GLOB_BRACE 0
#endif

/* Paths that a pattern finds; a file found by two patterns is one trace. */
static int add_pattern(const struct rh_plan *plan, const char *pattern,
		       struct rh_named_traces *traces, struct rh_pool *pool, struct rh_err *err)
{
	glob_t found;

	if (glob(pattern, GLOB_BRACE, NULL, &found) != 0 || found.gl_pathc == 0)
		return rh_fail(err, RH_USAGE,
			       "no trace is called %s (paths start in the plan's folder)", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *full = realpath(found.gl_pathv[i], NULL);
		struct rh_named_trace *row;
		bool seen = false;

		for (size_t j = 0; full && j < traces->count; j++)
			seen |= strcmp(traces->list[j].path, full) == 0;
		if (full && !seen) {
			row = rh_pool_grow(pool, &traces->list, &traces->count, sizeof(*row));
			row->path = rh_pool_text(pool, full);
			row->family = family_of(plan, row->path, pool);
		}
		free(full);
	}
	globfree(&found);
	return 0;
}

int rh_matrix_traces(const struct rh_plan_source *from, struct rh_named_traces *traces,
		     struct rh_pool *pool, struct rh_err *err)
{
	const struct rh_plan *plan = from->plan;
	struct known_list known = { 0 };

	*traces = (struct rh_named_traces){ 0 };
	for (size_t i = 0; i < plan->traces_count; i++)
		if (add_pattern(plan, from_plan(pool, from->path, plan->traces[i]), traces, pool,
				err) < 0)
			return rh_err_prefix(err, "%s", from->path);
	qsort(traces->list, traces->count, sizeof(*traces->list), by_path);
	read_known(from->hashes, &known, pool);
	for (size_t i = 0; i < traces->count; i++)
		if (know_trace(&traces->list[i], &known, pool, err) < 0)
			return -1;
	write_known(from->hashes, &known);
	return 0;
}

/* ---- backends ---- */

/* The same words from whichever folder the plan is read. */
static const char *absolute_variant(const char *text, const char *plan_path, struct rh_pool *pool)
{
	const char *bare;
	char *full;
	size_t bytes;

	rh_variant_bare(text, &bare, &bytes);
	if (*bare != '.')
		return text;
	full = realpath(from_plan(pool, plan_path, rh_pool_printf(pool, "%.*s", (int)bytes, bare)),
			NULL);
	text = full ? rh_pool_printf(pool, "%.*s%s%s", (int)(bare - text), text, full, bare + bytes)
		    : text;
	free(full);
	return text;
}

int rh_matrix_backend(const char *text, const char *plan_path, struct rh_named_backend *backend,
		      struct rh_pool *pool, struct rh_err *err)
{
	struct rh_spec *spec = rh_pool_alloc(pool, 1, sizeof(*spec));
	char digits[SHA256_DIGEST_STRING_LENGTH] = "";
	const char *file, *bare, *words;
	struct rh_err why = { 0 };
	size_t bytes;

	text = absolute_variant(text, plan_path, pool);
	if (rh_spec_parse(spec, text, 0, &why) < 0 && why.code != RH_ABSENT) {
		*err = why;
		return rh_err_prefix(err, "%s", plan_path);
	}
	rh_variant_bare(text, &bare, &bytes);
	words = *bare == '/' ? rh_pool_printf(pool, "file%s", bare + bytes) : bare;
	file = spec->preload[0] ? spec->preload : spec->native;
	if (why.code != RH_ABSENT && file[0] && !SHA256File(file, digits))
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be read", file);
	*backend = (struct rh_named_backend){
		.variant = rh_pool_text(pool, text),
		.label = spec->variant.label[0] ? spec->variant.label : rh_pool_text(pool, text),
		.bare = rh_pool_text(pool, bare),
		.absent = why.code == RH_ABSENT ? rh_pool_text(pool, why.text) : NULL,
	};
	backend->is = why.code == RH_ABSENT ? rh_pool_printf(pool, "%s absent", words)
					    : rh_pool_printf(pool, "%s %.16s%s", words,
							     digits[0] ? digits : "libc ",
							     digits[0] ? "" : rh_libc_version());
	return 0;
}
