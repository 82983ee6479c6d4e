/*
 * large.h - zeroed memory for tables that are hit at random.
 *
 * From 4 MiB on it is mapped on its own, at a 2 MiB boundary and with the advice to use
 * huge pages: a table of 64 MiB in pages of 4 KiB costs a page walk at nearly every look,
 * which in a virtual machine is more than the cache miss itself. Below that it is calloc.
 * Pages are touched on first use. Thread rule: any thread.
 */
#ifndef RH_LARGE_H
#define RH_LARGE_H

#include <stddef.h>

/* NULL when there is no memory. Give back with the same bytes. */
void *rh_large(size_t bytes);
void rh_large_free(void *p, size_t bytes);	/* NULL allowed */

#endif
