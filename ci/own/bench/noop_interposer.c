/*
 * noop_interposer.c - the least that any preloaded recorder costs: passes malloc's
 * family through and does nothing. A baseline of `make bench-record`.
 */
#include <dlfcn.h>
#include <stddef.h>

static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
static void *(*next_realloc)(void *, size_t);

void *malloc(size_t size);
void free(void *p);
void *realloc(void *p, size_t size);

static void find(void)
{
	*(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&next_free = dlsym(RTLD_NEXT, "free");
	*(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
}

void *malloc(size_t size)
{
	if (!next_malloc)
		find();
	return next_malloc(size);
}

void free(void *p)
{
	if (!next_free)
		find();
	next_free(p);
}

void *realloc(void *p, size_t size)
{
	if (!next_realloc)
		find();
	return next_realloc(p, size);
}
