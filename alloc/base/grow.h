/*
 * grow.h - arrays that grow by doubling.
 *
 *	struct x { struct row *rows; size_t count, room; } *x;
 *
 *	if (!rh_reserve(&x->rows, &x->room, x->count + 1, sizeof(*x->rows)))
 *		return rh_no_memory(err, "the rows");
 *	x->rows[x->count++] = row;
 *
 * Doubling makes n additions cost n copies at most; the first room is RH_GROW_FIRST elements, so
 * that lists of a few do not start with a chain of small ones. What overflows size_t counts as no
 * memory.
 *
 * Ownership: the array is the caller's, freed with free(). Thread rule: none shared. Errors: false,
 * and then the array and its room are as they were.
 */
#ifndef RH_GROW_H
#define RH_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

enum { RH_GROW_FIRST = 16 };

/* Room for `need` elements. array_pointer is the address of the array's pointer; what is new of the
 * array is not cleared. */
bool rh_reserve(void *array_pointer, size_t *room, size_t need, size_t element_bytes);
/* The same for a room that is counted in 32 bits. */
bool rh_reserve32(void *array_pointer, uint32_t *room, size_t need, size_t element_bytes);
/* The same, and what is new is zero. */
bool rh_reserve_zeroed(void *array_pointer, size_t *room, size_t need, size_t element_bytes);
bool rh_reserve32_zeroed(void *array_pointer, uint32_t *room, size_t need, size_t element_bytes);

/* -1 with RH_OS, "no memory for WHAT": the one way to say it. */
int rh_no_memory(struct rh_err *err, const char *what);

#endif
