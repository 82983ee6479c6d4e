/*
 * fixalloc.c - persistent chunks and the fixed-size allocator on them.
 *
 * A chunk of fixalloc is 16384 bytes rounded down to whole objects, so that the
 * number of bytes taken per object is what the same rule gives elsewhere. Nothing
 * goes back to the system before close: span structs are reused, never unmapped,
 * which is what lets another lane read a span's owner without a lock.
 */
#include "alloc/heap/tiered/fixalloc.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/os.h"
#include "alloc/heap/tiered/heap.h"

/* Stands at the start of a chunk for the chunk, and somewhere in a chunk for a mapping of
 * its own: at the start of that it would cost a page that nothing else touches. */
struct persistent_block {
	struct persistent_block *next;
	void *base;
	size_t bytes;
};

static const struct rh_lock_class persistent_class = { "persistent", TIER_RANK_PERSISTENT, 0 };

void rh_persistent_init(struct persistent *persistent, bool guarded, void *area, size_t bytes)
{
	assert(area && bytes);
	memset(persistent, 0, sizeof(*persistent));
	persistent->at = (uintptr_t)area;
	persistent->end = persistent->at + bytes;
	persistent->guarded = guarded;
	rh_lock_init(&persistent->lock, &persistent_class, 0);
}

static void keep(struct persistent *persistent, struct persistent_block **list,
		 struct persistent_block *block, void *base, size_t bytes)
{
	*block = (struct persistent_block){ *list, base, bytes };
	*list = block;
	persistent->mapped_bytes += bytes;
}

/* Where so many bytes would lie in what is left; 0 = they do not fit. */
static uintptr_t room_for(const struct persistent *persistent, size_t bytes, size_t align)
{
	uintptr_t at = (persistent->at + align - 1) & ~(align - 1);

	return at <= persistent->end && bytes <= persistent->end - at ? at : 0;
}

static void *from_chunk(struct persistent *persistent, size_t bytes, size_t align)
{
	uintptr_t at = room_for(persistent, bytes, align);

	/* The rest of the old chunk is lost, less than a request that is no mapping
	 * of its own: 64 KiB of 256. */
	if (!at) {
		struct persistent_block *chunk = rh_map(PERSISTENT_CHUNK);

		if (!chunk)
			return NULL;
		keep(persistent, &persistent->chunks, chunk, chunk, PERSISTENT_CHUNK);
		at = ((uintptr_t)(chunk + 1) + align - 1) & ~(align - 1);
		persistent->end = (uintptr_t)chunk + PERSISTENT_CHUNK;
	}
	assert(at % align == 0 && at + bytes <= persistent->end);
	persistent->at = at + bytes;
	return (void *)at;
}

static void *alloc_locked(struct persistent *persistent, size_t bytes, size_t align)
{
	struct persistent_block *block;
	void *base;

	assert((align & (align - 1)) == 0 && align <= RH_PAGE);
	/* From 64 KiB on a mapping of its own: maps are long and touched in part, and
	 * would leave a chunk's rest unused. */
	if (bytes < PERSISTENT_DIRECT || room_for(persistent, bytes, align))
		return from_chunk(persistent, bytes, align);
	/* The record first: a mapping that nobody knows of would stay after close. */
	block = from_chunk(persistent, sizeof(*block), 8);
	base = block ? rh_map(bytes) : NULL;
	if (base)
		keep(persistent, &persistent->direct, block, base, bytes);
	return base;
}

void *rh_persistent_alloc(struct persistent *persistent, size_t bytes, size_t align)
{
	void *p;

	if (!persistent->guarded)
		rh_lock(&persistent->lock);
	p = alloc_locked(persistent, bytes, align < 8 ? 8 : align);
	if (!persistent->guarded)
		rh_unlock(&persistent->lock);
	return p;
}

static void unmap_all(struct persistent_block *block)
{
	while (block) {
		struct persistent_block *next = block->next;

		rh_unmap(block->base, block->bytes);
		block = next;
	}
}

void rh_persistent_close(struct persistent *persistent)
{
	/* First those, since their records lie in the chunks. */
	unmap_all(persistent->direct);
	unmap_all(persistent->chunks);
	persistent->direct = persistent->chunks = NULL;
	persistent->at = persistent->end = 0;
}

bool rh_fixalloc_ahead(struct fixalloc *fix)
{
	/* A lane is larger than a chunk and gets exactly its own bytes. */
	size_t bytes = fix->object_bytes < FIXALLOC_CHUNK
			       ? FIXALLOC_CHUNK - FIXALLOC_CHUNK % fix->object_bytes
			       : fix->object_bytes;
	uintptr_t chunk = (uintptr_t)rh_persistent_alloc(fix->from, bytes, fix->align);

	assert(fix->at == fix->end);
	if (!chunk)
		return false;
	fix->at = chunk;
	fix->end = chunk + bytes;
	fix->chunk_bytes += bytes;
	return true;
}

void *rh_fixalloc(struct fixalloc *fix)
{
	void *object = fix->free;

	if (object) {
		fix->free = *(void **)object;
		/* Only what comes back: memory of a chunk is zero as it comes from
		 * the system. */
		if (fix->zero)
			memset(object, 0, fix->object_bytes);
		fix->in_use_bytes += fix->object_bytes;
		return object;
	}
	if (fix->at == fix->end && !rh_fixalloc_ahead(fix))
		return NULL;
	assert(fix->at + fix->object_bytes <= fix->end);
	object = (void *)fix->at;
	fix->at += fix->object_bytes;
	fix->in_use_bytes += fix->object_bytes;
	/* Once in the life of a struct, not once for each use: the table of all spans
	 * has a row for each. */
	if (fix->first)
		fix->first(fix->ctx, object);
	return object;
}

void rh_fixalloc_free(struct fixalloc *fix, void *object)
{
	assert(fix->in_use_bytes >= fix->object_bytes);
	/* Overwrites the first word only. Of a span that is alloc_cache, which nobody
	 * reads of a dead one; owner and state stay readable. */
	*(void **)object = fix->free;
	fix->free = object;
	fix->in_use_bytes -= fix->object_bytes;
}
