/*
 * fixalloc.h - memory for the heap's own structures.
 *
 * persistent: bump allocation from an area that the owner gives, then from 256 KiB
 * mappings, never freed before the heap is closed; requests of 64 KiB and more that do
 * not fit into what is left get a mapping of their own. fixalloc: objects
 * of one size with a LIFO free list, carved from 16 KiB pieces of persistent memory.
 *
 * Both return NULL when the system refuses, and may be asked again later.
 * Thread rule: fixalloc is called under the heap lock; persistent has its own lock,
 * unless it says that it is guarded.
 */
#ifndef RH_TIERED_FIXALLOC_H
#define RH_TIERED_FIXALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/lock.h"

enum {
	PERSISTENT_CHUNK = 256 * 1024,
	PERSISTENT_DIRECT = 64 * 1024,
	FIXALLOC_CHUNK = 16384,
};
_Static_assert((int)PERSISTENT_DIRECT < (int)PERSISTENT_CHUNK, "what is not direct fits a chunk");

struct persistent_block;

struct persistent {
	struct rh_lock lock;
	bool guarded; /* a lock of the caller's serves: ours is not taken */
	uintptr_t at, end;
	struct persistent_block *chunks, *direct; /* every mapping, for close */
	uint64_t mapped_bytes;
};

/* `area` is zeroed and stays the caller's, who unmaps it after close. */
void rh_persistent_init(struct persistent *persistent, bool guarded, void *area, size_t bytes);
/* Zeroed; align a power of two up to RH_PAGE. */
void *rh_persistent_alloc(struct persistent *persistent, size_t bytes, size_t align);
void rh_persistent_close(struct persistent *persistent);

struct fixalloc {
	struct persistent *from;
	size_t object_bytes, align;
	bool zero; /* objects are zeroed when they come back into use */
	void (*first)(void *ctx, void *object); /* called for each brand-new object */
	void *ctx;
	void *free;
	uintptr_t at, end;
	uint64_t in_use_bytes, chunk_bytes;
};

void *rh_fixalloc(struct fixalloc *fix);
/* Takes memory for some objects now. False = the system refuses. */
bool rh_fixalloc_ahead(struct fixalloc *fix);
void rh_fixalloc_free(struct fixalloc *fix, void *object);

#endif
