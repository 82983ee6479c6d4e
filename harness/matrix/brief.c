/*
 * brief.c - reads the parts of a result that a matrix needs (brief.h).
 *
 * Trials are nine tenths of a result's bytes. They are cut out of the text before the JSON
 * library parses it: 10,000 results take 4 s instead of 17. The matching of brackets knows
 * strings; a text whose brackets do not close goes to the library unchanged, which reports the
 * error.
 */
#include "harness/matrix/brief.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"

#define SELF struct rh_brief_trace
RH_RECORD_TABLE(brief_trace, RH_FIELDS_BRIEF_TRACE)
#undef SELF
#define SELF struct rh_brief
RH_RECORD_TABLE(brief, RH_FIELDS_BRIEF)
#undef SELF

/* The place after the string that begins at `at`; `end` when it does not end. */
static const char *behind_string(const char *at, const char *end)
{
	assert(at < end && *at == '"');
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\';
	return at < end ? at + 1 : end;
}

/* The place after the array that begins at `at`; `end` when it does not end. */
static const char *behind_array(const char *at, const char *end)
{
	size_t depth = 0;

	assert(at < end && *at == '[');
	while (at < end) {
		if (*at == '"') {
			at = behind_string(at, end);
			continue;
		}
		depth += *at == '[';
		depth -= *at == ']';
		at++;
		if (depth == 0)
			return at;
	}
	return end;
}

/* Where the top-level "trials" of the document begin and end; false when there are none. */
static bool find_trials(const char *text, const char *end, const char **from, const char **to)
{
	static const char key[] = "\"trials\":[";
	size_t depth = 0;

	for (const char *at = text; at < end;) {
		if (*at == '"' && depth == 1 && (size_t)(end - at) > sizeof(key) &&
		    memcmp(at, key, sizeof(key) - 1) == 0) {
			*from = at + sizeof(key) - 2;
			*to = behind_array(*from, end);
			return *to < end;
		}
		if (*at == '"') {
			at = behind_string(at, end);
			continue;
		}
		depth += *at == '{' || *at == '[';
		depth -= depth > 0 && (*at == '}' || *at == ']');
		at++;
	}
	return false;
}

static int parse(struct rh_brief *brief, const struct rh_filemap *map, const char *path,
		 struct rh_pool *pool, struct rh_err *err)
{
	const char *text = (const char *)map->base, *end = text + map->bytes, *from, *to;
	char *less;
	size_t bytes;
	int result;

	if (!map->bytes || !find_trials(text, end, &from, &to))
		return rh_record_read(&rh_brief_type, brief,
				      &(struct rh_record_source){ .path = path,
								  .text = text ? text : "",
								  .text_bytes = map->bytes,
								  .schema = RH_RESULT_SCHEMA },
				      pool, err);
	bytes = (size_t)(from - text) + 2 + (size_t)(end - to);
	less = malloc(bytes);
	if (!less)
		return rh_fail(err, RH_OS, "no memory for %s", path);
	memcpy(less, text, (size_t)(from - text));
	memcpy(less + (from - text), "[]", 2);
	memcpy(less + (from - text) + 2, to, (size_t)(end - to));
	result = rh_record_read(&rh_brief_type, brief,
				&(struct rh_record_source){ .path = path,
							    .text = less,
							    .text_bytes = bytes,
							    .schema = RH_RESULT_SCHEMA },
				pool, err);
	free(less);
	return result;
}

int rh_brief_read(struct rh_brief *brief, const char *path, struct rh_pool *pool,
		  struct rh_err *err)
{
	struct rh_filemap map;
	int result;

	if (rh_filemap_open(&map, path, err) < 0)
		return -1;
	result = parse(brief, &map, path, pool, err);
	rh_filemap_close(&map);
	for (size_t i = 0; result == 0 && i < brief->metrics_count; i++)
		if (brief->metrics[i].backend >= brief->backends_count ||
		    !isfinite(brief->metrics[i].median))
			result =
				rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu] is not whole", path, i);
	return result;
}
