/*
 * cells.c - tables for a person: widths, alignment, thousands, colour.
 *
 * Widths count characters as they will be printed (printable.h escapes what a terminal would
 * obey), not bytes. Colour is written around a cell and its padding, so that it moves nothing.
 */
#include "alloc/base/cells.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/printable.h"

enum { GROUP = 3, SHOWN_MAX = RH_CELL * 8 };

const char *const rh_colour_names[] = { "auto", "always", "never", NULL };
enum rh_colour rh_colour = RH_COLOUR_AUTO;

/* NO_COLOR counts when it is not empty (no-color.org). The user's --colour comes
 * first: CI logs are no terminals but show colour. */
bool rh_colour_on(FILE *to)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	if (rh_colour != RH_COLOUR_AUTO)
		return rh_colour == RH_COLOUR_ALWAYS;
	return !(none && *none) && term && *term && strcmp(term, "dumb") != 0 && isatty(fileno(to));
}

/* Green, red and dim of the terminal's own palette: its owner chose them to be readable. */
static const char *tone_begin(enum rh_tone tone, bool colour)
{
	static const char *const begin[] = { "", "\033[32m", "\033[31m", "\033[2m" };

	assert((size_t)tone < sizeof(begin) / sizeof(begin[0]));
	return colour ? begin[tone] : "";
}

static const char *tone_end(enum rh_tone tone, bool colour)
{
	return colour && tone != RH_TONE_NONE ? "\033[0m" : "";
}

/* ---- thousands ---- */

void rh_group_number(char *text, size_t bytes, uint64_t value)
{
	snprintf(text, bytes, "%llu", (unsigned long long)value);
	rh_group_digits(text, bytes);
}

/* Digits that are the whole part of a number: not within a word, not after a point. Dates,
 * versions, hashes, paths and 0x1f are words; only a number that stands alone gets commas. */
static size_t whole_digits(const char *text, size_t at)
{
	size_t length = strspn(text + at, "0123456789");
	unsigned char before = at ? (unsigned char)text[at - 1] : ' ';
	unsigned char after = (unsigned char)text[at + length];

	if (isalnum(before) || before >= 0x80 || strchr("_.,:=#/@", before))
		return 0;
	/* A letter behind is a unit or a word ("4k", "2nd"): left alone, so that no
	 * cell mixes both notations. */
	if (isalpha(after) || after >= 0x80 || (after && strchr("_:=#/@", after)))
		return 0;
	return length;
}

/* A text that would not fit is left as it is: cut digits would be a wrong number. */
void rh_group_digits(char *text, size_t bytes)
{
	char out[SHOWN_MAX];
	size_t used = 0, at = 0;

	while (text[at]) {
		size_t run = strspn(text + at, "0123456789");
		size_t whole = run ? whole_digits(text, at) : 0;

		/* At most one comma for each digit, one byte of other text and the
		 * NUL. */
		if (used + 2 * run + 2 > sizeof(out))
			return;
		for (size_t i = 0; i < run; i++) {
			if (i && whole > GROUP && (run - i) % GROUP == 0)
				out[used++] = ',';
			out[used++] = text[at + i];
		}
		if (run == 0)
			out[used++] = text[at++];
		at += run;
	}
	assert(used < sizeof(out));
	out[used] = '\0';
	if (used < bytes)
		memcpy(text, out, used + 1);
}

/* ---- the table ---- */

/* Continuation bytes of UTF-8 take no column. Wide characters (CJK) count as one:
 * wcwidth depends on the locale, and names of backends have none. */
static int shown_width(const char *cell)
{
	char shown[SHOWN_MAX];
	int width = 0;

	rh_printable(shown, sizeof(shown), cell);
	for (const char *c = shown; *c; c++)
		width += ((unsigned char)*c & 0xc0) != 0x80;
	return width;
}

static bool is_left(const struct rh_cells *cells, int column)
{
	/* The set is one word: tables of more columns align the rest to the right. */
	return column < 64 && cells->left >> column & 1;
}

static void print_row(FILE *to, const struct rh_cells *cells, size_t row, const int *width,
		      bool colour)
{
	for (int c = 0; c < cells->columns; c++) {
		size_t at = row * (size_t)cells->columns + (size_t)c;
		enum rh_tone tone = cells->tone ? (enum rh_tone)cells->tone[at] : RH_TONE_NONE;
		bool left = is_left(cells, c), last = c == cells->columns - 1;
		int room = left ? -width[c] : width[c];

		fputs(cells->markdown ? "| " : c ? "  " : "", to);
		fputs(tone_begin(tone, colour), to);
		/* No blanks at the end of a line: they show in diffs of golden files
		 * and wrap narrow terminals. */
		rh_print(to, "%*s", last && left && !cells->markdown ? 0 : room, cells->cell[at]);
		fputs(tone_end(tone, colour), to);
		fputs(cells->markdown ? " " : "", to);
	}
	fputs(cells->markdown ? "|\n" : "\n", to);
}

void rh_print_cells(FILE *to, const struct rh_cells *cells)
{
	size_t columns = (size_t)cells->columns;
	int *width = calloc(columns, sizeof(*width));
	bool colour = !cells->markdown && rh_colour_on(to);

	assert(cells->columns > 0);
	/* A table is for people; its numbers are in the result too, so it is dropped
	 * rather than the run. */
	if (!width)
		return;
	for (size_t i = 0; i < cells->rows * columns; i++) {
		int c = (int)(i % columns), shown;

		/* Not the heads and not columns of names: "jemalloc-5300" is no
		 * number to group. */
		if (i >= columns && !is_left(cells, c))
			rh_group_digits(cells->cell[i], RH_CELL);
		shown = shown_width(cells->cell[i]);
		width[c] = shown > width[c] ? shown : width[c];
	}
	for (size_t row = 0; row < cells->rows; row++) {
		print_row(to, cells, row, width, colour);
		for (int c = 0; cells->markdown && row == 0 && c < cells->columns; c++)
			fputs(is_left(cells, c) ? "|---" : "|--:", to);
		fputs(cells->markdown && row == 0 ? "|\n" : "", to);
	}
	free(width);
}
