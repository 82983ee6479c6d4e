/*
 * known.h - files that people hold for recordings and that are none, or none that can be read here:
 * what they are, and the way to something that can be. Thread rule: constants.
 */
#ifndef RH_IMPORT_KNOWN_H
#define RH_IMPORT_KNOWN_H

#include <stddef.h>
#include <stdio.h>

struct rh_known {
	const char *what, *way; /* "a core dump or program" and a sentence of what to do */
};

/* A clause for what is wrapped in something that is not unwrapped here, or has other characters or
 * line ends than importers read: what it is, and how it becomes readable. Else NULL. */
const char *rh_known_text(const char *bytes, size_t count);

/* The row of the file that begins with these bytes; NULL when it is not known. */
const struct rh_known *rh_known_find(const char *bytes, size_t count);

/* All rows that somebody may ask for, for `reheap list importers`. */
void rh_known_print(FILE *to);

#endif
