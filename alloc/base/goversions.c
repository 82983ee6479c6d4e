/*
 * goversions.c - see goversions.h: the rows by name, and the nearest one.
 */
#include "alloc/base/goversions.h"

#include <stdlib.h>
#include <string.h>

const struct rh_goversion rh_goversions[] = {
#define X(version, difference, stacks) \
	{ .name = version, .differs = difference, .segmented = true },
	GO_SEGMENTED(X)
#undef X
#define X(version, difference, facts, stacks) \
	{ .name = version, .differs = difference, .heap = { .name = version, facts } },
		GO_VERSIONS(X)
#undef X
			{ .name = NULL }
};

/* The N of "1.N", -1 when it is none. */
static long minor_of(const char *text, const char **rest)
{
	char *end;
	long minor;

	if (strncmp(text, "go", 2) == 0)
		text += 2;
	if (strncmp(text, "1.", 2) != 0 || text[2] < '0' || text[2] > '9')
		return -1;
	minor = strtol(text + 2, &end, 10);
	*rest = end;
	return minor;
}

const char *rh_goversion_nearest(const char *text, bool segmented)
{
	const char *rest = "", *row_rest = "", *near = NULL, *oldest = NULL;
	long minor = minor_of(text, &rest);

	if (minor < 0 || (*rest && *rest != '.' && *rest != '-'))
		return NULL;
	for (const struct rh_goversion *row = rh_goversions; row->name; row++) {
		long of = minor_of(row->name, &row_rest);

		if (row->segmented != segmented)
			continue;
		if (!oldest)
			oldest = row->name;
		if (of <= minor && (!*row_rest || (of == minor && strcmp(row_rest, rest) == 0)))
			near = row->name;
	}
	return near ? near : oldest;
}

const struct rh_goversion *rh_goversion_of(const char *name)
{
	for (const struct rh_goversion *row = rh_goversions; row->name; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}
