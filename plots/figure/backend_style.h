/*
 * backend_style.h - how a backend looks: the same colour and mark in every figure, by its name.
 *
 * Known names have a row in backend_style.c; a stranger gets one of the same colours by its
 * spelling, with a dash and a mark of its own. Variants of one backend (knobs, paired stacks) keep
 * its colour and differ by dash and mark. Thread rule: pure functions.
 */
#ifndef RH_BACKEND_STYLE_H
#define RH_BACKEND_STYLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_backend_style {
	const char *spec;  /* its display name: the label, or "tiered:profile=1.22/pools" */
	const char *heap;  /* the heap behind it, as the result says: "tiered", "./libmine.so" */
	const char *label; /* short enough to stand beside a row: at most RH_LABEL_MAX characters */
	uint32_t color;	   /* 0xRRGGBB; 0 = the ink, black on light and white on dark */
	int dash, mark;	   /* gnuplot's dash type and filled point type */
	bool control;	   /* measures the harness or a bound (null, bump, checked ...) */
	bool deployable;   /* can be put under a real program */
};

enum { RH_LABEL_MAX = 26 };

/* Fills color, dash and mark by the name of the heap (for a path its last part without "lib" and
 * ".so"); `variant` counts earlier styles of the same heap. */
void rh_backend_style_set(struct rh_backend_style *style, int variant);

#endif
