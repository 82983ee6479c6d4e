/*
 * mapped.c - records that the program itself changed its address space, as reported by
 * libreheap-maps.so (maps/maps.c).
 *
 * Mappings by the allocator do not count: calls from the object that serves malloc, and ours,
 * are not events. glibc's malloc, threads and loader do not call these functions at all.
 */
#include <errno.h>

#include "traces/record/shim/hook.h"

void rh_record_map(int kind, int how, const void *address, size_t bytes, const void *caller);

SHIM_EXPORT void rh_record_map(int kind, int how, const void *address, size_t bytes,
			       const void *caller)
{
	struct shim_from from = { caller, 0 };
	int saved = errno;

	if (shim.state != SHIM_ON || !shim.area->maps || !bytes ||
	    hook_within(caller, hook_malloc.low, hook_malloc.bytes) ||
	    hook_within(caller, hook_self.low, hook_self.bytes))
		return;
	shim_put_long(SHIM_WHAT(kind, how), (uintptr_t)address, bytes, from);
	errno = saved;
}
