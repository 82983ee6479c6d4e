/*
 * variant.c - reads variants: the label in front, the environment behind, braces, lists.
 *
 * A label is letters, digits and . _ + - # before the first '='; a knob's '=' always follows a
 * ':'. The environment starts at an '@' that a variable's name and '=' follow, so that a path may
 * contain an '@'. Both are found without knowing any backend.
 */
#include "alloc/base/variant.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The depth of the recursion in expand(): each level has a text of 512 bytes on the
 * stack. Eight sweeps of two are the 256 of RH_VARIANTS_MAX. */
enum { BRACES_MAX = 8 };

/* '/' and ':' are no letters of a label, so ./lib=x.so is a path and tiered:gogc=50 a
 * spec. */
static size_t label_bytes(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || (text[n] && strchr("._+-#", text[n])))
		n++;
	return n > 0 && text[n] == '=' ? n : 0;
}

/* A name as POSIX allows it (XBD 8.1); user@host/lib.so has no '=' behind such a
 * name. */
static bool starts_env(const char *at)
{
	size_t n = 1;

	if (*at != '@' || !(isalpha((unsigned char)at[1]) || at[1] == '_'))
		return false;
	while (isalnum((unsigned char)at[n]) || at[n] == '_')
		n++;
	return at[n] == '=';
}

/* The first of `stops` (or a new variable) outside quotes, or the end. */
static const char *find_end(const char *at, const char *stops, bool env)
{
	bool quoted = false;

	for (; *at; at++) {
		if (*at == '"')
			quoted = !quoted;
		else if (!quoted && (strchr(stops, *at) || (env && starts_env(at))))
			break;
	}
	return at;
}

void rh_variant_bare(const char *text, const char **start, size_t *bytes)
{
	size_t label = label_bytes(text);

	*start = text + (label ? label + 1 : 0);
	*bytes = (size_t)(find_end(*start, "", true) - *start);
}

/* One NAME=VALUE without its quotes into the store. The quotes are of this notation only: the
 * variable's value has none, whatever the shell did. */
static int add_env(struct rh_variant *variant, const char *from, const char *end, char **to,
		   struct rh_err *err)
{
	/* A second LD_PRELOAD would take the place of the one with which reheap
	 * preloads the library under test, and the result would name an allocator
	 * that never ran. */
	static const char *const ours[] = { "LD_PRELOAD=", "REHEAP_PAD=" };

	assert(from <= end);
	if (variant->env_count == RH_VARIANT_ENV_MAX)
		return rh_fail(err, RH_USAGE, "'%s' sets more than %d variables", variant->spec,
			       RH_VARIANT_ENV_MAX);
	variant->env[variant->env_count++] = *to;
	for (const char *at = from; at < end; at++)
		if (*at != '"')
			*(*to)++ = *at;
	*(*to)++ = '\0';
	assert(*to <= variant->env_text + sizeof(variant->env_text));
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strncmp(from, ours[i], strlen(ours[i])) == 0)
			return rh_fail(err, RH_USAGE,
				       "%.*s is set by reheap itself: name the library as the "
				       "backend (./libmine.so)",
				       (int)strcspn(from, "="), from);
	return 0;
}

int rh_variant_parse(struct rh_variant *variant, const char *text, struct rh_err *err)
{
	const char *start, *at, *end;
	char *to = variant->env_text;
	size_t bytes;

	/* The length is checked once here, and that covers every copy below: label,
	 * spec and environment are parts of text. */
	*variant = (struct rh_variant){ .env_count = 0 };
	if (strlen(text) >= sizeof(variant->spec))
		return rh_fail(err, RH_USAGE, "a backend of %zu letters is too long ('%.40s...')",
			       strlen(text), text);
	rh_variant_bare(text, &start, &bytes);
	if (start > text + sizeof(variant->label))
		return rh_fail(err, RH_USAGE, "the label of '%.40s...' is longer than %zu letters",
			       text, sizeof(variant->label) - 1);
	if (start > text)
		memcpy(variant->label, text, (size_t)(start - text) - 1);
	assert(bytes < sizeof(variant->spec));
	memcpy(variant->spec, start, bytes);
	for (at = start + bytes; *at; at = end) {
		end = find_end(at + 1, "", true);
		if (add_env(variant, at + 1, end, &to, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- lists ---- */

struct list {
	char *texts;
	size_t bytes, count;
};

/* One block of texts, since the list is handed out as that; 256
 * short ones are quick to walk. */
static const char *text_at(const struct list *list, size_t i)
{
	const char *at = list->texts;

	assert(i < list->count);
	while (i-- > 0)
		at += strlen(at) + 1;
	return at;
}

static int append(struct list *list, const char *text, struct rh_err *err)
{
	size_t bytes = strlen(text) + 1;
	/* Exact growth: at most 256 short texts, and the caller keeps the block. */
	char *grown = realloc(list->texts, list->bytes + bytes);

	if (!grown)
		return rh_fail(err, RH_OS, "no memory for a list of backends");
	list->texts = grown;
	if (list->count == RH_VARIANTS_MAX)
		return rh_fail(err, RH_USAGE, "more than %d backends in one list", RH_VARIANTS_MAX);
	memcpy(grown + list->bytes, text, bytes);
	list->bytes += bytes;
	list->count++;
	assert(list->count <= RH_VARIANTS_MAX);
	return 0;
}

static bool has_text(const struct list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(text_at(list, i), text) == 0)
			return true;
	return false;
}

/* Labels name the columns of a table and the rows of a result: two that are equal
 * could not be distinguished there. */
static bool has_label(const struct list *list, const char *label, size_t bytes)
{
	for (size_t i = 0; i < list->count; i++)
		if (label_bytes(text_at(list, i)) == bytes &&
		    memcmp(text_at(list, i), label, bytes) == 0)
			return true;
	return false;
}

/* "libc" for a second libc, "libmine.so" for a second ./libmine.so. */
static int short_name(const char *text, const char **start)
{
	const char *slash = *text == '.' || *text == '/' ? strrchr(text, '/') : NULL;
	size_t bytes;

	*start = slash ? slash + 1 : text;
	bytes = strcspn(*start, ":@/\"=#");
	/* Room for '#' and the number within RH_VARIANT_LABEL_BYTES. */
	return bytes > 40 ? 40 : (int)bytes;
}

/* Adds a text; when it is there already, under a name of its own. */
static int add_unique(struct list *list, const char *text, struct rh_err *err)
{
	char named[RH_VARIANT_TEXT_BYTES + 60];
	size_t label = label_bytes(text);
	const char *start;
	int bytes;

	/* Given labels are the user's words and never changed; only names that nobody
	 * gave get a number. */
	if (label && has_label(list, text, label))
		return rh_fail(err, RH_USAGE, "two backends are called '%.*s'", (int)label, text);
	if (!has_text(list, text))
		return append(list, text, err);
	bytes = short_name(text, &start);
	/* At most RH_VARIANTS_MAX rounds: one of so many numbers is free, since the
	 * list has no more texts. */
	for (unsigned again = 2;; again++) {
		snprintf(named, sizeof(named), "%.*s#%u=%s", bytes, start, again, text);
		label = label_bytes(named);
		/* A name with letters that no label may have cannot be numbered. */
		if (!label || strlen(named) >= RH_VARIANT_TEXT_BYTES)
			return rh_fail(err, RH_USAGE,
				       "'%.60s' stands in the list twice: label them, as "
				       "in a=%.60s",
				       text, text);
		if (!has_label(list, named, label))
			return append(list, named, err);
	}
}

/* Expands the first brace and goes on with each result. */
static int expand(struct list *list, const char *text, int depth, struct rh_err *err)
{
	const char *open = find_end(text, "{}", false), *close, *at, *end;
	char made[RH_VARIANT_TEXT_BYTES];

	assert(depth <= BRACES_MAX);
	if (!*open)
		return *text ? add_unique(list, text, err) : 0;
	/* The next brace of either kind: an inner '{' is a sweep within a sweep,
	 * which nobody has asked for. */
	close = find_end(open + 1, "{}", false);
	if (*open == '}' || *close != '}')
		return rh_fail(err, RH_USAGE, "'%s': a sweep is written {A,B,C}", text);
	if (depth == BRACES_MAX)
		return rh_fail(err, RH_USAGE, "'%.40s...' has more than %d sweeps", text,
			       BRACES_MAX);
	/* From left to right, so the last sweep varies fastest, as nested loops do. */
	for (at = open + 1; at <= close; at = end + 1) {
		int length;

		end = find_end(at, ",}", false);
		length = snprintf(made, sizeof(made), "%.*s%.*s%s", (int)(open - text), text,
				  (int)(end - at), at, close + 1);
		if (length < 0 || (size_t)length >= sizeof(made))
			return rh_fail(err, RH_USAGE, "'%.40s...' is too long", text);
		if (expand(list, made, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

/* The comma that ends a variant: not in quotes, not in braces. */
static const char *variant_end(const char *at)
{
	int depth = 0;

	for (; *(at = find_end(at, ",{}", false)); at++) {
		if (*at == ',' && depth == 0)
			break;
		depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
	}
	return at;
}

char *rh_variant_list(const char *text, size_t *count, struct rh_err *err)
{
	struct list list = { .texts = calloc(1, 1) };
	const char *end;
	int failed = list.texts ? 0 : rh_fail(err, RH_OS, "no memory for a list of backends");

	for (; !failed && *text; text = end + (*end == ',')) {
		char one[RH_VARIANT_TEXT_BYTES];

		end = variant_end(text);
		/* "a,,b" and "a," are slips of a script whose variable was empty:
		 * measuring less than was asked would look like success. */
		if (end == text || (*end == ',' && !end[1])) {
			failed = rh_fail(err, RH_USAGE, "--backend has an empty name: ...'%.40s'",
					 text);
			break;
		}
		if ((size_t)(end - text) >= sizeof(one)) {
			failed = rh_fail(err, RH_USAGE, "'%.40s...' is too long", text);
			break;
		}
		snprintf(one, sizeof(one), "%.*s", (int)(end - text), text);
		failed = expand(&list, one, 0, err);
	}
	*count = list.count;
	if (!failed)
		return list.texts;
	free(list.texts);
	return NULL;
}
