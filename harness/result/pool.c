/*
 * pool.c - memory that is freed at once: chunks in a list, each twice the one before, up to 64 KiB.
 * An allocation larger than a chunk gets its own chunk.
 */
#include "harness/result/pool.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/err.h"
#include "alloc/base/grow.h"

enum { FIRST_BYTES = 4096, MOST_BYTES = 65536, ALIGN = _Alignof(max_align_t) };

struct chunk {
	struct chunk *next;
	max_align_t bytes[];
};

struct rh_pool {
	struct chunk *chunks; /* the newest first */
	char *at, *end;	      /* the free part of the newest */
	size_t chunk_bytes;   /* of the next one */
};

static void say_no_memory(void)
{
	fputs("reheap: no memory for results\n", stderr);
}

static _Noreturn void no_memory(void)
{
	say_no_memory();
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

void *rh_scratch_bytes(size_t bytes)
{
	void *memory = malloc(bytes ? bytes : 1);

	if (!memory)
		no_memory();
	return memory;
}

struct text {
	char **text;
	size_t *bytes, room;
};

/* Within a stream, whose lock exit() would want: without the atexit functions. */
static ssize_t add_text(void *cookie, const char *from, size_t bytes)
{
	struct text *to = cookie;
	size_t need = *to->bytes + bytes + 1;

	assert(need > bytes);
	if (!rh_reserve(to->text, &to->room, need, 1)) {
		say_no_memory();
		_exit(RH_OS);
	}
	memcpy(*to->text + *to->bytes, from, bytes);
	*to->bytes += bytes;
	(*to->text)[*to->bytes] = '\0';
	return (ssize_t)bytes;
}

/* For ftell() alone. */
static int find_text(void *cookie, off64_t *offset, int whence)
{
	const struct text *to = cookie;

	if (whence != SEEK_CUR || *offset != 0)
		return -1;
	*offset = (off64_t)*to->bytes;
	return 0;
}

static int end_text(void *cookie)
{
	free(cookie);
	return 0;
}

FILE *rh_memory_text(char **text, size_t *bytes)
{
	static const cookie_io_functions_t functions = { .write = add_text,
							 .seek = find_text,
							 .close = end_text };
	struct text *cookie = rh_scratch(1, sizeof(*cookie));
	FILE *to;

	cookie->text = text;
	cookie->bytes = bytes;
	cookie->room = FIRST_BYTES;
	*bytes = 0;
	*text = rh_scratch(1, cookie->room);
	to = fopencookie(cookie, "w", functions);
	if (!to)
		no_memory();
	return to;
}

struct rh_pool *rh_pool_open(void)
{
	struct rh_pool *pool = rh_scratch(1, sizeof(*pool));

	pool->chunk_bytes = FIRST_BYTES;
	return pool;
}

void rh_pool_close(struct rh_pool *pool)
{
	struct chunk *next;

	if (!pool)
		return;
	for (struct chunk *chunk = pool->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(pool);
}

static char *chunk_add(struct rh_pool *pool, size_t bytes)
{
	struct chunk *chunk = malloc(offsetof(struct chunk, bytes) + bytes);

	if (!chunk)
		no_memory();
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	return (char *)chunk->bytes;
}

void *rh_pool_alloc(struct rh_pool *pool, size_t count, size_t bytes)
{
	size_t total, room;
	char *p;

	assert(bytes > 0);
	if (__builtin_mul_overflow(count, bytes, &total) || total > (size_t)1 << 40)
		no_memory();
	room = ((total ? total : 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (room > (size_t)(pool->end - pool->at)) {
		if (room > pool->chunk_bytes / 4)
			return memset(chunk_add(pool, room), 0, total);
		pool->at = chunk_add(pool, pool->chunk_bytes);
		pool->end = pool->at + pool->chunk_bytes;
		if (pool->chunk_bytes < MOST_BYTES)
			pool->chunk_bytes *= 2;
	}
	p = pool->at;
	pool->at += room;
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
