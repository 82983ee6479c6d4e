/*
 * maps.c - interposes mmap, munmap, mremap, brk and sbrk, and reports the program's calls to
 * the recorder's shim (mapped.c). A separate library, preloaded after the shim only with
 * --maps, so that without that option none of these calls passes through us.
 *
 * Calls made while the real functions are being found go to the kernel directly.
 * Thread rule: any. Errors: those of the real functions, errno as they left it.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/area.h"

#define EXPORT	 __attribute__((visibility("default")))
#define CALLER() __builtin_return_address(0)

/* Without the shim there is nothing to report to. */
extern void rh_record_map(int kind, int how, const void *address, size_t bytes, const void *caller)
	__attribute__((weak, visibility("default")));

static struct {
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	void *(*mremap)(void *, size_t, size_t, int, ...);
	int (*brk)(void *);
	void *(*sbrk)(intptr_t);
} next;
static __thread int finding;

#define FIND(name)                                      \
	do {                                            \
		union {                                 \
			void *object;                   \
			__typeof__(next.name) function; \
		} u;                                    \
		u.object = dlsym(RTLD_NEXT, #name);     \
		next.name = u.function;                 \
	} while (0)

static int found(void)
{
	if (next.mmap)
		return 1;
	if (finding)
		return 0;
	finding = 1;
	FIND(munmap);
	FIND(mremap);
	FIND(brk);
	FIND(sbrk);
	FIND(mmap);
	finding = 0;
	return next.mmap != NULL;
}

static void note_call(int kind, int how, const void *address, size_t bytes, const void *caller)
{
	if (rh_record_map && !finding)
		rh_record_map(kind, how, address, bytes, caller);
}

static size_t pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) & -page;
}

static void *map(void *at, size_t bytes, int prot, int flags, int fd, off_t offset,
		 const void *caller)
{
	void *p = found() ? next.mmap(at, bytes, prot, flags, fd, offset)
			  : (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);

	if (p != MAP_FAILED)
		note_call(RH_REC_MAP, flags & MAP_ANONYMOUS ? RH_MAP_ANONYMOUS : RH_MAP_FILE, p,
			  pages(bytes), caller);
	return p;
}

EXPORT void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return map(at, bytes, prot, flags, fd, offset, CALLER());
}

EXPORT void *mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
	return map(at, bytes, prot, flags, fd, offset, CALLER());
}

EXPORT int munmap(void *p, size_t bytes)
{
	note_call(RH_REC_UNMAP, 0, p, pages(bytes), CALLER());
	return found() ? next.munmap(p, bytes) : (int)syscall(SYS_munmap, p, bytes);
}

EXPORT void *mremap(void *p, size_t old, size_t bytes, int flags, ...)
{
	void *to = NULL, *q;
	va_list ap;

	if (flags & MREMAP_FIXED) {
		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	q = found() ? next.mremap(p, old, bytes, flags, to)
		    : (void *)syscall(SYS_mremap, p, old, bytes, flags, to);
	if (q == MAP_FAILED)
		return q;
	note_call(RH_REC_UNMAP, 0, p, pages(old), CALLER());
	note_call(RH_REC_MAP, RH_MAP_MREMAP, q, pages(bytes), CALLER());
	return q;
}

/* The break went from `low` to `high`, or back. */
static void broke(uintptr_t from, uintptr_t to, const void *caller)
{
	if (to > from)
		note_call(RH_REC_MAP, RH_MAP_BRK, (void *)from, to - from, caller);
	else if (to < from)
		note_call(RH_REC_UNMAP, 0, (void *)to, from - to, caller);
}

EXPORT int brk(void *to)
{
	void *from = found() && next.sbrk ? next.sbrk(0) : to;
	int failed = next.brk ? next.brk(to) : -1;

	if (!failed)
		broke((uintptr_t)from, (uintptr_t)to, CALLER());
	return failed;
}

EXPORT void *sbrk(intptr_t change)
{
	void *from = found() && next.sbrk ? next.sbrk(change) : (void *)-1;

	if (from != (void *)-1 && change)
		broke((uintptr_t)from, (uintptr_t)from + (uintptr_t)change, CALLER());
	return from;
}
