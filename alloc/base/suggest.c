/*
 * suggest.c - see suggest.h. Distance is that of Levenshtein: letters to insert, drop or replace.
 */
#include "alloc/base/suggest.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Longer than any name of a command, option or backend; it bounds the work at 961
 * steps and the row to the stack. A longer word is nobody's slip of one name. */
enum { NAME_MAX_BYTES = 31 };

/* Letters to insert, drop or replace to make b of a. */
static size_t edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	/* One row of the table of Wagner and Fischer; the cell up and to the left is
	 * the only one that a single row would lose. */
	size_t row[NAME_MAX_BYTES + 1];

	if (a_bytes > NAME_MAX_BYTES || b_bytes > NAME_MAX_BYTES)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_bytes; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_bytes; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_bytes];
}

void rh_suggest_consider(struct rh_suggestion *s, const char *row)
{
	size_t distance = edit_distance(s->name, s->name_bytes, row, strlen(row));
	size_t used = strlen(s->all);

	assert(used < sizeof(s->all));
	/* Of two that are equally near the first wins: tables are sorted, so the
	 * answer does not depend on anything else. */
	if (distance < s->distance) {
		s->distance = distance;
		s->nearest = row;
	}
	snprintf(s->all + used, sizeof(s->all) - used, "%s%s", used ? ", " : "", row);
}

/* A third of the word may be wrong, and one letter of a short one. */
const char *rh_suggest_nearest(const struct rh_suggestion *s)
{
	/* A distance of the whole word shares no letter with it: for "x" every name
	 * of one letter would be near. */
	bool near =
		s->nearest && s->distance <= 1 + s->name_bytes / 3 && s->distance < s->name_bytes;

	return near ? s->nearest : NULL;
}

void rh_suggest_write(const struct rh_suggestion *s, char *text, size_t text_bytes)
{
	const char *near = rh_suggest_nearest(s);

	snprintf(text, text_bytes, "%s%s%sthere are: %s", near ? "did you mean " : "",
		 near ? near : "", near ? "? " : "", s->all);
}
