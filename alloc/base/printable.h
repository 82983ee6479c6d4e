/*
 * printable.h - foreign text on its way to a person: a terminal, a log of CI, a table.
 *
 * A name of a file, a note of a trace, a string of a JSON document, words of the command line, an
 * error text: others wrote them, and a terminal or a CI system obeys some of what they may hold.
 * rh_print is fprintf with one difference: what %s brings is made printable, so that
 *
 *	control characters (C0, DEL, C1), line ends   become \n, \t, \x1b, \u009b
 *	marks that reorder or hide text (U+202E ...)  become \u202e
 *	bytes that are not UTF-8                      become \xNN
 *	commands of CI systems ("::error::" where     lose their first character to \x3a, \x23
 *	a text begins, "##[" and "##vso[" anywhere)
 *
 * and all else, letters of any language too, stays as it is. Printing twice changes nothing
 * more. What has an escape of its own (XML, JSON, TSV, a trace as text) is written with
 * fprintf; `make check` knows those files, and holds all others to rh_print.
 *
 * Sources: ECMA-48 (controls), Unicode UAX 9 (marks of direction), the runner's command syntax
 * of GitHub Actions and Azure Pipelines. Thread rule: none shared. Errors: those of the stream.
 * No memory is allocated.
 */
#ifndef RH_PRINTABLE_H
#define RH_PRINTABLE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* fprintf whose %s are made printable. Knows the flags, widths and lengths of printf; %n, %ls and
 * %m are not there. A width counts characters, not bytes. */
void rh_print(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rh_vprint(FILE *to, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The same of one text. */
void rh_print_text(FILE *to, const char *text);

/* The same of `bytes` of it, in lines of at most `width` columns, of which all but the first begin
 * with `from` blanks; broken at blanks, a word that is too long at its commas and bars, else not.
 * The first line begins in column `from`. Ends the last line. */
void rh_print_wrapped(FILE *to, const char *text, size_t bytes, int from, int width);

/* As a field of CSV: in quotes when it needs them (RFC 4180). */
void rh_print_csv(FILE *to, const char *text);

/* Into a buffer, cut where it is full, never within an escape; returns the bytes written. */
size_t rh_printable(char *to, size_t bytes, const char *text);

#endif
