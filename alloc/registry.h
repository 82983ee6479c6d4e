/*
 * registry.h - what alloc/ knows by name, and how names are looked up.
 *
 * The tables themselves are rh_backends, rh_stack_backends and rh_peers of backend.h.
 * Internal to alloc/, its tests and `reheap list`. Thread rule: any, all is constant.
 */
#ifndef RH_REGISTRY_H
#define RH_REGISTRY_H

#include <stdbool.h>

#include "alloc/backend.h"
#include "alloc/base/lock.h"
#include "alloc/base/os.h"

/* One per file of alloc/heap/ and alloc/stack/. */
extern const struct rh_backend rh_backend_bump, rh_backend_checked, rh_backend_failing,
	rh_backend_libc, rh_backend_null, rh_backend_slow, rh_backend_tiered;
extern const struct rh_stack_backend rh_stack_backend_heap, rh_stack_backend_none,
	rh_stack_backend_pools, rh_stack_backend_segmented, rh_stack_backend_thread;

/* By a name of name_bytes bytes that need not end in NUL; NULL when there is none. */
const struct rh_backend *rh_backend_find(const char *name, size_t name_bytes);
const struct rh_stack_backend *rh_stack_backend_find(const char *name, size_t name_bytes);
const struct rh_peer *rh_peer_by_name(const char *name, size_t name_bytes);

/* "did you mean jemalloc? " (or nothing) and "there are: bump, ..." for a wrong name. */
void rh_backend_suggest(const char *name, size_t name_bytes, char *text, size_t text_bytes);
void rh_stack_suggest(const char *name, size_t name_bytes, char *text, size_t text_bytes);

#endif
