/*
 * variant.h - one allocator under several settings: how a variant is written, and lists of them.
 *
 *	[LABEL=]BACKEND[@NAME=VALUE]...
 *
 *	jemalloc@MALLOC_CONF=narenas:1			a variable of the environment
 *	old=./libmine.so				a label
 *	jemalloc@MALLOC_CONF="narenas:1,tcache:false"	quotes keep a comma or a brace
 *	tiered:gogc={50,100,200}			a sweep: three variants
 *
 * A list separates variants by commas. One that stands in it twice is measured twice: the second
 * is called NAME#2.
 *
 * Ownership: rh_variant_list returns one block that the caller frees. Thread rule: pure functions.
 * Errors: RH_USAGE; RH_OS without memory.
 */
#ifndef RH_VARIANT_H
#define RH_VARIANT_H

#include <stddef.h>

#include "alloc/base/err.h"

enum {
	RH_VARIANT_LABEL_BYTES = 64,
	RH_VARIANT_TEXT_BYTES = 512, /* of the whole, with its NUL */
	RH_VARIANT_ENV_MAX = 16,
	RH_VARIANTS_MAX = 256, /* in one list */
};

_Static_assert(RH_VARIANT_LABEL_BYTES < RH_VARIANT_TEXT_BYTES, "a label is part of the text");

struct rh_variant {
	char label[RH_VARIANT_LABEL_BYTES]; /* "" = none */
	char spec[RH_VARIANT_TEXT_BYTES];   /* the backend alone */
	char env_text[RH_VARIANT_TEXT_BYTES];
	const char *env[RH_VARIANT_ENV_MAX]; /* "NAME=VALUE", in env_text: do not copy the struct */
	unsigned env_count;
};

int rh_variant_parse(struct rh_variant *variant, const char *text, struct rh_err *err);

/* Where the backend alone stands in `text`: without label and environment. */
void rh_variant_bare(const char *text, const char **start, size_t *bytes);

/* The variants of a list, braces expanded and names made unique: `count` texts, each ended by NUL,
 * one after another. NULL on error. An empty list has none. */
char *rh_variant_list(const char *list, size_t *count, struct rh_err *err);

#endif
