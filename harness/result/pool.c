/*
 * pool.c - memory that is freed at once, over glibc's obstack.
 */
#include "harness/result/pool.h"

#include <assert.h>
#include <obstack.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/err.h"

static _Noreturn void no_memory(void)
{
	fputs("reheap: no memory for results\n", stderr);
	exit(RH_OS);
}

void *rh_scratch(size_t count, size_t bytes)
{
	void *memory = calloc(count ? count : 1, bytes);

	assert(bytes > 0);
	if (!memory)
		no_memory();
	return memory;
}

static void *chunk_alloc(size_t bytes)
{
	void *chunk = malloc(bytes);

	if (!chunk)
		no_memory();
	return chunk;
}
#define obstack_chunk_alloc chunk_alloc
#define obstack_chunk_free  free

struct rh_pool {
	struct obstack stack;
};

struct rh_pool *rh_pool_open(void)
{
	struct rh_pool *pool = chunk_alloc(sizeof(*pool));

	obstack_init(&pool->stack);
	return pool;
}

void rh_pool_close(struct rh_pool *pool)
{
	if (!pool)
		return;
	obstack_free(&pool->stack, NULL);
	free(pool);
}

/* obstack's macro rounds a pointer up as a number that is added to NULL; clang's sanitizer objects.
 */
#ifdef __clang__
__attribute__((no_sanitize("pointer-overflow")))
#endif
void *
rh_pool_alloc(struct rh_pool *pool, size_t count, size_t bytes)
{
	size_t total;
	void *p;

	assert(bytes > 0);
	if (__builtin_mul_overflow(count, bytes, &total) || total > (size_t)1 << 40)
		no_memory();
	p = obstack_alloc(&pool->stack, total ? total : 1);
	return memset(p, 0, total);
}

char *rh_pool_text(struct rh_pool *pool, const char *text)
{
	size_t bytes = text ? strlen(text) + 1 : 0;

	return text ? memcpy(rh_pool_alloc(pool, bytes, 1), text, bytes) : NULL;
}

char *rh_pool_printf(struct rh_pool *pool, const char *fmt, ...)
{
	va_list ap;
	int bytes;
	char *text;

	va_start(ap, fmt);
	bytes = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(bytes >= 0);
	text = rh_pool_alloc(pool, (size_t)bytes + 1, 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)bytes + 1, fmt, ap);
	va_end(ap);
	return text;
}

void *rh_pool_grow(struct rh_pool *pool, void *array_pointer, size_t *count, size_t bytes)
{
	size_t n = *count;
	char *array;

	memcpy(&array, array_pointer, sizeof(array));
	assert(n == 0 || array);
	if ((n & (n - 1)) == 0) {
		char *larger = rh_pool_alloc(pool, n ? 2 * n : 1, bytes);

		if (n)
			memcpy(larger, array, n * bytes);
		array = larger;
		memcpy(array_pointer, &array, sizeof(array));
	}
	memset(array + n * bytes, 0, bytes);
	(*count)++;
	return array + n * bytes;
}
