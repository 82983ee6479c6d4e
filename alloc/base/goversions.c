/*
 * goversions.c - see goversions.h: the rows by name, and the nearest one.
 */
#include "alloc/base/goversions.h"

#include <stdlib.h>
#include <string.h>

/* Ordered by version, oldest first: rh_goversion_nearest relies on it. The column of
 * stacks is dropped here, because base/ knows no structure of stack/. */
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

	/* runtime.Version() and go.mod differ in this prefix. */
	if (strncmp(text, "go", 2) == 0)
		text += 2;
	/* strtol would take "1. 5" and "1.-3". */
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

	/* Patch levels and suffixes (1.21.3, 1.22-rc1) do not change the memory
	 * model. */
	if (minor < 0 || (*rest && *rest != '.' && *rest != '-'))
		return NULL;
	for (const struct rh_goversion *row = rh_goversions; row->name; row++) {
		long of = minor_of(row->name, &row_rest);

		/* Two tables in one: segmented stacks up to 1.3, pools from 1.4. A version of the
		 * one kind must not stand for one of the other. */
		if (row->segmented != segmented)
			continue;
		if (!oldest)
			oldest = row->name;
		/* The last row not above it stands for it: a row stands for all
		 * versions until the next one differs. Rows with a suffix are named
		 * exactly or not at all. */
		if (of <= minor && (!*row_rest || (of == minor && strcmp(row_rest, rest) == 0)))
			near = row->name;
	}
	/* Older than every row: the oldest is the nearest that is known. */
	return near ? near : oldest;
}

const struct rh_goversion *rh_goversion_of(const char *name)
{
	for (const struct rh_goversion *row = rh_goversions; row->name; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}
