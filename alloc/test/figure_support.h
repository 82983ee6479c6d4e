/*
 * figure_support.h - one figure of what a heap says of itself (ops->stats), by its name, for the
 * tests of heaps. A name that the heap does not say fails the test. Everything is static.
 */
#ifndef RH_FIGURE_SUPPORT_H
#define RH_FIGURE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/backend.h"

struct figure_wanted {
	const char *name;
	uint64_t value;
	bool found;
};

static void figure_pick(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct figure_wanted *wanted = ctx;

	(void)unit;
	if (strcmp(name, wanted->name) == 0) {
		wanted->value = value;
		wanted->found = true;
	}
}

static uint64_t figure_of(const struct rh_backend *ops, struct rh_heap *heap, const char *name)
{
	struct figure_wanted wanted = { .name = name };

	ops->stats(heap, figure_pick, &wanted);
	if (!wanted.found)
		fail_msg("no figure called %s", name);
	return wanted.value;
}

#endif
