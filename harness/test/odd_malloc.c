/*
 * odd_malloc.c - an allocator that misbehaves on request, to test how a worker copes.
 *
 * A bump allocator over one reserved region; free keeps everything. A request of exactly
 * ODD_BYTES (odd_malloc.h) does what REHEAP_ODD says: loop, abort, segv, overlap (hands
 * out the block before once more), unaligned, null, valgrind (abort there),
 * reserve (100 GiB of addresses; abort where they are refused). calloc of ODD_BYTES with
 * "dirty" is not zero. Anything else, and everything without REHEAP_ODD, is honest.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/test/odd_malloc.h"

#define SHOWN	     __attribute__((visibility("default")))

#define REGION_BYTES ((size_t)1 << 34)

static _Atomic size_t used;
static char *_Atomic region;
static char *_Atomic block_before;

SHOWN void *malloc(size_t size);
SHOWN void free(void *p);
SHOWN void *calloc(size_t count, size_t size);
SHOWN void *realloc(void *p, size_t size);
SHOWN void *memalign(size_t align, size_t size);
SHOWN void *aligned_alloc(size_t align, size_t size);
SHOWN int posix_memalign(void **p, size_t align, size_t size);
SHOWN size_t malloc_usable_size(void *p);

/* Sixteen bytes before each block hold its size. */
static void *odd_take(size_t align, size_t size)
{
	char *base = region, *none = NULL;
	size_t room = ((size + 15) & ~(size_t)15) + align + 16, at;

	if (!base) {
		base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (base == MAP_FAILED || !atomic_compare_exchange_strong(&region, &none, base))
			base = region;
	}
	if (size > REGION_BYTES || (at = atomic_fetch_add(&used, room)) + room > REGION_BYTES) {
		errno = ENOMEM;
		return NULL;
	}
	base = (char *)(((uintptr_t)base + at + 16 + align - 1) & ~(uintptr_t)(align - 1));
	memcpy(base - 16, &size, sizeof(size));
	block_before = base;
	return base;
}

static void *odd(size_t size)
{
	const char *what = getenv("REHEAP_ODD");
	char *before = block_before;

	if (!what)
		return odd_take(16, size);
	if (strcmp(what, "loop") == 0)
		for (;;)
			pause();
	if (strcmp(what, "abort") == 0) {
		static const char words[] = "odd_malloc: asked to abort\n";

		if (write(2, words, sizeof(words) - 1) > 0)
			abort();
	}
	if (strcmp(what, "valgrind") == 0 && strstr(getenv("LD_PRELOAD"), "vgpreload")) {
		static const char words[] = "odd_malloc: not under valgrind\n";

		if (write(2, words, sizeof(words) - 1) > 0)
			abort();
	}
	if (strcmp(what, "reserve") == 0 &&
	    mmap(NULL, 100ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		abort();
	if (strcmp(what, "segv") == 0)
		*(volatile char *)(uintptr_t)0x1230 = 1;
	if (strcmp(what, "overlap") == 0) {
		memcpy(before - 16, &size, sizeof(size));
		return before;
	}
	if (strcmp(what, "unaligned") == 0)
		return (char *)odd_take(16, size + 8) + 8;
	if (strcmp(what, "null") == 0)
		return NULL;
	return odd_take(16, size);
}

void *malloc(size_t size)
{
	return size == ODD_BYTES ? odd(size) : odd_take(16, size);
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t count, size_t size)
{
	const char *what = count * size == ODD_BYTES ? getenv("REHEAP_ODD") : NULL;
	char *p;

	if (size && count > SIZE_MAX / size)
		return NULL;
	p = odd_take(16, count * size);
	if (p && what && strcmp(what, "dirty") == 0)
		p[count * size / 2] = 1;
	return p;
}

size_t malloc_usable_size(void *p)
{
	size_t size = 0;

	if (p)
		memcpy(&size, (char *)p - 16, sizeof(size));
	/* The blocks that are odd by 8 bytes have their size further down. */
	return p && (uintptr_t)p % 16 ? ODD_BYTES : size;
}

void *realloc(void *p, size_t size)
{
	size_t old = malloc_usable_size(p);
	char *to = odd_take(16, size);

	if (p && to)
		memcpy(to, p, old < size ? old : size);
	return to;
}

void *memalign(size_t align, size_t size)
{
	return odd_take(align < 16 ? 16 : align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
	*p = memalign(align, size);
	return *p ? 0 : ENOMEM;
}
