/*
 * mapped.c - the program changed its address space itself: libreheap-maps.so (maps/maps.c) says so.
 *
 * What the allocator maps is its own affair: calls from the object that serves malloc, and ours,
 * are no events. glibc's malloc, threads and loader do not come through the functions at all.
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
