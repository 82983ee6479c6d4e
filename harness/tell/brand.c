/*
 * brand.c - the table of looks.
 *
 * Colours are those of Okabe and Ito, which people with any common colour blindness tell
 * apart; each is dark enough for white paper and light enough for a dark page. The table
 * is keyed by name, not by order, so that mimalloc is the same blue in every figure of
 * every report.
 */
#include "harness/tell/brand.h"

#include <stdio.h>
#include <string.h>

/* gnuplot's filled marks: circle, square, triangle up, triangle down, diamond, pentagon */
enum { CIRCLE = 7, SQUARE = 5, UP = 9, DOWN = 11, DIAMOND = 13, PENTAGON = 15 };

static const struct look {
	const char *name;
	uint32_t color;
	int dash, mark;
	bool control;
} looks[] = {
	{ "bump", 0xb8ab1f, 3, DOWN, true },
	{ "checked", 0x999999, 4, SQUARE, true },
	{ "failing", 0x999999, 5, UP, true },
	{ "jemalloc", 0xd55e00, 1, SQUARE, false },
	{ "libc", 0x000000, 1, CIRCLE, false },
	{ "mimalloc", 0x0072b2, 1, UP, false },
	{ "null", 0x999999, 3, DIAMOND, true },
	{ "scudo", 0x56b4e9, 2, PENTAGON, false },
	{ "slow", 0x999999, 2, DOWN, true },
	{ "tbbmalloc", 0xcc79a7, 2, DOWN, false },
	{ "tcmalloc", 0xe69f00, 1, DIAMOND, false },
	{ "tiered", 0x009e73, 1, CIRCLE, false },
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

static bool is_decorator(const char *name, size_t bytes)
{
	const struct look *look = find_look(name, bytes);

	return look && look->control && strcmp(look->name, "null") != 0 &&
	       strcmp(look->name, "bump") != 0;
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

/* "slow:5%:jemalloc" is a look at jemalloc: words are skipped until one is a known heap. */
static bool inner_heap(const char *spec, const char **start, size_t *bytes)
{
	const char *word = strchr(spec, ':');

	while (word) {
		size_t length = strcspn(++word, ":/");
		const struct look *look = find_look(word, length);

		if (look && !is_decorator(word, length)) {
			*start = word;
			*bytes = length;
			return true;
		}
		word = strchr(word, ':');
	}
	return false;
}

void rh_brand_heap(const char *spec, const char **start, size_t *bytes)
{
	size_t length = strcspn(spec, ":");
	const char *slash = memrchr(spec, '/', length);

	*start = spec;
	*bytes = length;
	if (is_decorator(spec, length)) {
		inner_heap(spec, start, bytes);
		return;
	}
	/* "libc/thread" names a stack backend; "./lib/libmine.so" is a path. */
	if (slash && spec[0] != '.' && spec[0] != '/' &&
	    !memmem(slash, length - (size_t)(slash - spec), ".so", 3))
		*bytes = strcspn(spec, "/");
	else
		strip_path(start, bytes);
}

void rh_brand_style(struct rh_brand *brand, int variant)
{
	const struct look *look;
	uint32_t hash = 2166136261u;
	const char *name;
	size_t bytes;
	int mark = 0;

	rh_brand_heap(brand->spec, &name, &bytes);
	look = find_look(name, bytes);
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	if (look) {
		brand->color = look->color;
		brand->dash = look->dash;
		while (marks[mark] != look->mark)
			mark++;
	} else {
		brand->color = strangers[hash % STRANGER_COUNT];
		brand->dash = 2 + (int)(hash / STRANGER_COUNT / MARK_COUNT % (DASH_COUNT - 1));
		mark = (int)(hash / STRANGER_COUNT % MARK_COUNT);
	}
	brand->control = (look && look->control) ||
			 is_decorator(brand->spec, strcspn(brand->spec, ":"));
	brand->dash = 1 + (brand->dash - 1 + variant) % DASH_COUNT;
	brand->mark = marks[(mark + variant) % MARK_COUNT];
}
