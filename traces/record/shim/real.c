/*
 * real.c - the real functions behind the interposed ones.
 *
 * The table starts with functions that first look the real ones up, so no call tests
 * whether that has happened. dlsym may itself allocate; while it runs, memory comes
 * from a small static arena that is never given back (free of it does nothing). These
 * few blocks belong to the loader, not to the program, and are not recorded.
 *
 * RTLD_NEXT, not __libc_malloc, so that a program that preloads or links jemalloc keeps it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/record/shim/hook.h"

static struct real originals;
_Alignas(16) char shim_boot_arena[SHIM_BOOT_BYTES];
_Atomic uint32_t shim_boot_used;
static __thread int resolving;

/* Bytes that may be copied out of a boot block: up to the end of the memory handed out. */
size_t shim_boot_room(const void *p)
{
	size_t used = atomic_load(&shim_boot_used);

	return (uintptr_t)shim_boot_arena + used - (uintptr_t)p;
}

static void *boot_take(size_t align, size_t size)
{
	uint32_t at;
	size_t want;

	if (align < 16)
		align = 16;
	if (size > SHIM_BOOT_BYTES || align > RH_AREA_PAGE_MOST)
		return NULL;
	at = atomic_load(&shim_boot_used);
	do {
		want = ((uintptr_t)shim_boot_arena + at + align - 1) / align * align -
		       (uintptr_t)shim_boot_arena;
		if (want + size > SHIM_BOOT_BYTES) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&shim_boot_used, &at,
					       (uint32_t)(want + ((size + 15) & ~15ul))));
	return shim_boot_arena + want;
}

/* Recognised by symbols of their runtimes, in libraries (gcc) or in the program (clang). */
#define WEAK(name) extern void name(void) __attribute__((weak, visibility("default")))
WEAK(__asan_init);
WEAK(__tsan_init);
WEAK(__msan_init);
WEAK(__hwasan_init);
WEAK(__lsan_init);

bool shim_sanitizer(void)
{
	return __asan_init || __tsan_init || __msan_init || __hwasan_init || __lsan_init;
}

static bool late;

/* When loaded late we are in no scope that has a next definition. */
static void *find(const char *name)
{
	void *p = late ? shim_hook_find(name) : dlsym(RTLD_NEXT, name);
	static const char text[] = "reheap record: the program has no malloc to record\n";

	if (!p && strcmp(name, "malloc") == 0) {
		if (write(2, text, sizeof text - 1) < 0)
			_exit(126);
		_exit(126);
	}
	return p;
}

/* ISO C has no cast from object to function pointers; the union is what POSIX blesses. */
#define FIND_BY(look_up, name)                          \
	do {                                            \
		union {                                 \
			void *object;                   \
			__typeof__(real.name) function; \
		} u;                                    \
		u.object = look_up(#name);              \
		found.name = u.function;                \
	} while (0)

#define FIND(name) FIND_BY(find, name)
/* dlsym allocates if there is no such function, and not every allocator has these. */
#define FIND_MAYBE(name) FIND_BY(shim_hook_find, name)

/* True when the real functions are in place; false while this thread is finding them. */
static bool resolve(void)
{
	struct real found;
	int saved = errno;

	if (resolving)
		return false;
	resolving = 1;
	FIND(malloc);
	FIND(free);
	FIND(calloc);
	FIND(realloc);
	FIND(memalign);
	FIND(aligned_alloc);
	FIND(posix_memalign);
	FIND(valloc);
	FIND(pvalloc);
	if (shim_sanitizer()) { /* its dl_iterate_phdr does not work yet */
		FIND(malloc_usable_size);
		found.free_sized = NULL;
		found.free_aligned_sized = NULL;
	} else {
		FIND_MAYBE(malloc_usable_size);
		FIND_MAYBE(free_sized);
		FIND_MAYBE(free_aligned_sized);
	}
	originals = real = found;
	resolving = 0;
	errno = saved;
	return true;
}

void shim_real_late(void)
{
	late = !originals.malloc;
	if (late)
		resolve();
}

static void *first_malloc(size_t size)
{
	return resolve() ? real.malloc(size) : boot_take(16, size);
}

static void first_free(void *p)
{
	if (resolve())
		real.free(p);
}

static void *first_calloc(size_t count, size_t size)
{
	if (resolve())
		return real.calloc(count, size);
	if (size && count > SHIM_BOOT_BYTES / size)
		return NULL;
	return boot_take(16, count * size); /* static storage never used before is zero */
}

static void *first_realloc(void *p, size_t size)
{
	return resolve() ? real.realloc(p, size) : NULL;
}

static void *first_memalign(size_t align, size_t size)
{
	return resolve() ? real.memalign(align, size) : boot_take(align, size);
}

static void *first_aligned_alloc(size_t align, size_t size)
{
	return resolve() ? real.aligned_alloc(align, size) : boot_take(align, size);
}

static int first_posix_memalign(void **out, size_t align, size_t size)
{
	if (resolve())
		return real.posix_memalign(out, align, size);
	*out = boot_take(align, size);
	return *out ? 0 : ENOMEM;
}

static void *first_valloc(size_t size)
{
	return resolve() ? real.valloc(size) : boot_take((size_t)sysconf(_SC_PAGESIZE), size);
}

static void *first_pvalloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return resolve() ? real.pvalloc(size) : boot_take(page, (size + page - 1) & -page);
}

static size_t first_usable_size(void *p)
{
	return resolve() && real.malloc_usable_size ? real.malloc_usable_size(p) : 0;
}

struct real real = {
	.malloc = first_malloc,
	.free = first_free,
	.calloc = first_calloc,
	.realloc = first_realloc,
	.memalign = first_memalign,
	.aligned_alloc = first_aligned_alloc,
	.posix_memalign = first_posix_memalign,
	.valloc = first_valloc,
	.pvalloc = first_pvalloc,
	.malloc_usable_size = first_usable_size,
};

/* ---- does operator new call malloc, and delete free? ---- */

static __thread const void *probe_last;

static void *note(void *p)
{
	probe_last = p;
	return p;
}

static void *probe_malloc(size_t size)
{
	return note(originals.malloc(size));
}

static void *probe_calloc(size_t count, size_t size)
{
	return note(originals.calloc(count, size));
}

static void *probe_memalign(size_t align, size_t size)
{
	return note(originals.memalign(align, size));
}

static void *probe_aligned_alloc(size_t align, size_t size)
{
	return note(originals.aligned_alloc(align, size));
}

static void *probe_realloc(void *p, size_t size)
{
	return note(originals.realloc(p, size));
}

static void probe_free(void *p)
{
	note(p);
	originals.free(p);
}

static int probe_posix_memalign(void **out, size_t align, size_t size)
{
	int failed = originals.posix_memalign(out, align, size);

	if (!failed)
		note(*out);
	return failed;
}

/* Other threads may use the same functions meanwhile, which is harmless. */
void shim_probe_begin(void)
{
	if (!originals.malloc && !resolve())
		return;
	probe_last = NULL;
	real.malloc = probe_malloc;
	real.calloc = probe_calloc;
	real.realloc = probe_realloc;
	real.free = probe_free;
	real.memalign = probe_memalign;
	real.aligned_alloc = probe_aligned_alloc;
	real.posix_memalign = probe_posix_memalign;
}

bool shim_probe_end(const void *block)
{
	if (originals.malloc)
		real = originals;
	return block && block == probe_last;
}

void *(*shim_real_malloc(void))(size_t)
{
	if (!originals.malloc)
		resolve();
	return originals.malloc ? originals.malloc : real.malloc;
}
