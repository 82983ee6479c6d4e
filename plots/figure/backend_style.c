/*
 * backend_style.c - the table of looks.
 *
 * Colours are those of Okabe and Ito, which people with any common colour blindness can
 * distinguish; each is dark enough for white paper and light enough for a dark page. The table
 * is keyed by name, not by order, so that mimalloc is the same blue in every figure of every
 * report.
 */
#include "plots/figure/backend_style.h"

#include <stdio.h>
#include <string.h>

/* gnuplot's filled marks: circle, square, triangle up, triangle down, diamond, pentagon */
enum { CIRCLE = 7, SQUARE = 5, UP = 9, DOWN = 11, DIAMOND = 13, PENTAGON = 15 };

static const struct look {
	const char *name;
	uint32_t color;
	int dash, mark;
} looks[] = {
	{ "bump", 0xb8ab1f, 3, DOWN },	     { "jemalloc", 0xd55e00, 1, SQUARE },
	{ "libc", 0x000000, 1, CIRCLE },     { "mimalloc", 0x0072b2, 1, UP },
	{ "null", 0x999999, 3, DIAMOND },    { "scudo", 0x56b4e9, 2, SQUARE },
	{ "tbbmalloc", 0xcc79a7, 2, DOWN },  { "tcmalloc", 0xe69f00, 1, DIAMOND },
	{ "tiered", 0x009e73, 1, PENTAGON },
};
enum { LOOK_COUNT = sizeof(looks) / sizeof(looks[0]) };

static const uint32_t strangers[] = { 0x56b4e9, 0xcc79a7, 0xe69f00, 0x009e73, 0x0072b2, 0xd55e00 };
static const int marks[] = { CIRCLE, SQUARE, UP, DOWN, DIAMOND, PENTAGON };
enum { STRANGER_COUNT = 6, MARK_COUNT = 6, DASH_COUNT = 5 };

static const struct look *find_look(const char *name, size_t bytes)
{
	for (int i = 0; i < LOOK_COUNT; i++)
		if (strlen(looks[i].name) == bytes && memcmp(looks[i].name, name, bytes) == 0)
			return &looks[i];
	return NULL;
}

/* A path: its last part, without lib and what follows .so. */
static void strip_path(const char **start, size_t *bytes)
{
	const char *at = *start, *end = *start + *bytes;
	const char *slash = memrchr(at, '/', *bytes), *so;

	if (!slash && (*bytes < 3 || memcmp(end - 3, ".so", 3) != 0))
		return;
	if (slash)
		at = slash + 1;
	if (end - at > 3 && memcmp(at, "lib", 3) == 0)
		at += 3;
	so = memmem(at, (size_t)(end - at), ".so", 3);
	*start = at;
	*bytes = (size_t)((so && so > at ? so : end) - at);
}

void rh_backend_style_set(struct rh_backend_style *style, int variant)
{
	const char *name = style->heap;
	const struct look *look;
	uint32_t hash = 2166136261u;
	size_t bytes = strcspn(name, ":");
	int mark = 0;

	strip_path(&name, &bytes);
	look = find_look(name, bytes);
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	if (look) {
		style->color = look->color;
		style->dash = look->dash;
		while (marks[mark] != look->mark)
			mark++;
	} else {
		style->color = strangers[hash % STRANGER_COUNT];
		style->dash = 2 + (int)(hash / STRANGER_COUNT / MARK_COUNT % (DASH_COUNT - 1));
		mark = (int)(hash / STRANGER_COUNT % MARK_COUNT);
	}
	style->dash = 1 + (style->dash - 1 + variant) % DASH_COUNT;
	style->mark = marks[(mark + variant) % MARK_COUNT];
}
