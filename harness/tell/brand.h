/*
 * brand.h - how a backend looks: the same colour and mark in every figure, by its name.
 *
 * Known names have a row in brand.c; a stranger gets one of the same colours by its spelling,
 * with a dash and a mark of its own. Variants of one backend (knobs, paired stacks) keep its
 * colour and differ by dash and mark. Thread rule: pure functions.
 */
#ifndef RH_BRAND_H
#define RH_BRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_brand {
	const char *spec;	/* "tiered:profile=1.22/pools", as given */
	const char *label;	/* what fits beside a row: at most RH_LABEL_MAX characters */
	uint32_t color;		/* 0xRRGGBB; 0 = the ink, black on light and white on dark */
	int dash, mark;		/* gnuplot's dash type and filled point type */
	bool control;		/* measures the harness or a bound (null, bump, checked ...) */
};

enum { RH_LABEL_MAX = 26 };

/* Fills color, dash, mark and control from spec; `variant` counts earlier brands of the same
 * heap name. */
void rh_brand_style(struct rh_brand *brand, int variant);

/* Bytes of spec that name the heap: up to the first ':' or '/STACK'; for a path its last part
 * without "lib" and ".so". Decorators are skipped. */
void rh_brand_heap(const char *spec, const char **start, size_t *bytes);

#endif
