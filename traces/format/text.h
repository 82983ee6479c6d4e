/*
 * text.h - one event as one line, and back. The grammar is FORMAT.md, "Text".
 *
 *	alloc lane=0 id=17 size=64 align=32 flags=zeroed site=3
 *
 * Internal to the trace core. Thread rule: none shared. Memory: the caller's.
 */
#ifndef RH_TEXT_H
#define RH_TEXT_H

#include "traces/format/order.h"

enum {
	RH_TEXT_EVENT_MAX = 512,	    /* longest line printed, with its newline */
	RH_TEXT_LINE_MAX = 2 * 65535 + 600, /* longest line read: a note, all escaped */
};

#define RH_TEXT_MAGIC "reheap-trace"

/* Prints a line with its newline; returns the byte after it. event is legal and its absent
 * fields are cleared. */
char *rh_text_print(char *at, const struct rh_event *event, const struct rh_order *order);

/* Reads a line (NUL-terminated, changed) that starts with a kind. Births without id get the
 * next number. False: the reason is in order->why. */
bool rh_text_parse(char *line, struct rh_order *order, struct rh_event *event);

/* Of a line that starts with a kind: how many bytes of it are KEY=VALUE words, up to the first
 * other word that is not the beginning of a key either. */
size_t rh_text_event_bytes(const char *line);
/* Whether these bytes are "size=" or the like, or the beginning of it. */
bool rh_text_begins_key(const char *text, size_t bytes);

/* The first line, "reheap-trace 1 columns=time,arg". */
char *rh_text_print_head(char *at, unsigned columns);
bool rh_text_parse_head(char *line, unsigned *columns, unsigned *version, char *why,
			size_t why_bytes);

/* Newline, carriage return and backslash become two characters: at most 2 * bytes, no NUL. */
char *rh_text_escape(char *at, const char *text, size_t bytes);
/* In place; the new length, or -1 for an unknown escape. */
long rh_text_unescape(char *text);

char *rh_text_print_u64(char *at, uint64_t value);
/* Decimal digits only, the whole word. */
bool rh_text_parse_u64(const char *word, uint64_t *value);

#endif
