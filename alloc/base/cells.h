/*
 * cells.h - a table of short texts for a person: aligned on a terminal, or as Markdown.
 *
 * One printer for every such table. In columns of numbers thousands are set apart by commas:
 * machines read JSON and CSV, which are written elsewhere. A cell may have a tone; on a terminal
 * that is a colour. There is none in Markdown, in a pipe or a file, with NO_COLOR in the
 * environment (no-color.org), with TERM=dumb or without TERM, or after --color=never.
 *
 * Thread rule: main thread. Errors: those of the stream; without memory nothing is printed.
 */
#ifndef RH_CELLS_H
#define RH_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { RH_CELL = 96 };

enum rh_tone { RH_TONE_NONE, RH_TONE_BETTER, RH_TONE_WORSE, RH_TONE_QUIET };

enum rh_colour { RH_COLOUR_AUTO, RH_COLOUR_ALWAYS, RH_COLOUR_NEVER };
extern const char *const rh_colour_names[]; /* "auto", "always", "never", NULL */
extern enum rh_colour rh_colour;	    /* --color; auto at first */

/* Whether what is written there may have colours. */
bool rh_colour_on(FILE *to);
struct rh_cells {
	char (*cell)[RH_CELL];	   /* rows * columns, row by row; row 0 is the head */
	const unsigned char *tone; /* enum rh_tone of each cell; NULL = none */
	size_t rows;
	int columns;
	unsigned long long left; /* bit c: column c holds text, is left-aligned and kept as it is */
	bool markdown;
};

void rh_print_cells(FILE *to, const struct rh_cells *cells);

/* The texts of columns that hold words, not numbers: the first, and the last too. */
#define RH_LEFT_FIRST	      1ull
#define RH_LEFT_ENDS(columns) (1ull | 1ull << ((columns)-1))

/* 1234567 -> "1,234,567" */
void rh_group_number(char *text, size_t bytes, uint64_t value);
/* "~12345.67 [1000, 2000]" -> "~12,345.67 [1,000, 2,000]"; digits within words and after a point
 * stay as they are. A text that would not fit stays as it is. */
void rh_group_digits(char *text, size_t bytes);

#endif
