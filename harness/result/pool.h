/*
 * pool.h - memory that is freed at once: for results, documents and pages.
 *
 * Ownership: close frees everything that came from the pool; scratch is freed by the caller.
 * Thread rule: one thread. Errors: none are returned; when memory runs out the driver prints a
 * line and ends with RH_OS.
 */
#ifndef RH_POOL_H
#define RH_POOL_H

#include <stddef.h>
#include <stdio.h>

struct rh_pool;

/* Zeroed memory that the caller frees; never NULL. */
void *rh_scratch(size_t count, size_t bytes);

/* As malloc(), but never NULL: for a library that does not look. jansson's reader loses a character
 * of its text where memory runs out, and asserts. */
void *rh_scratch_bytes(size_t bytes);

/* A stream into memory: at each flush and at its end *text has all of it and a NUL behind, *bytes
 * says how much. The text is freed by the caller. Unlike that of open_memstream() it is whole or
 * the driver ends: a page without its middle would look like one. */
FILE *rh_memory_text(char **text, size_t *bytes);

struct rh_pool *rh_pool_open(void);
void rh_pool_close(struct rh_pool *pool); /* NULL allowed */

void *rh_pool_alloc(struct rh_pool *pool, size_t count, size_t bytes); /* zeroed; never NULL */
char *rh_pool_text(struct rh_pool *pool, const char *text);	       /* a copy; NULL stays NULL */
char *rh_pool_printf(struct rh_pool *pool, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Room for one more element at the end of an array of the pool; returns it zeroed. The array moves
 * when it grows (to twice its size); the old copy stays until the pool is closed. */
void *rh_pool_grow(struct rh_pool *pool, void *array_pointer, size_t *count, size_t bytes);

#endif
