/*
 * map.c - the pieces of the area that this process has mapped.
 *
 * Pieces are mapped on demand: header and processes at once, ring heads (and our producers with
 * them) by 64, and 64 KiB of a ring, more after its owner had to wait. The first thread has 1 MiB
 * mapped at once: in the first second nothing more is mapped for it (filter.c). A process with one
 * thread has 1.3 MiB of ours in its address space.
 *
 * No descriptor is kept, because programs close descriptors that they do not know. There is one
 * only while a process starts. Later a piece is a second mapping of the header (made by mremap
 * of 0 bytes), moved to another place of the same file by remap_file_pages, which needs no
 * descriptor; it is marked deprecated, and on kernels without it we open the area's path.
 *
 * A program may have locked all its future memory (mlockall): our mappings are unlocked, so
 * that they do not count against its limit. Nor do all rings together grow past 1/32 of a
 * limited address space.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "traces/record/shim/drawn.h"
#include "traces/record/shim/shim.h"

enum { GROUPS = RH_RINGS / RH_RING_GROUP, SPARE_RINGS = 16, SHARE_LOG2 = 5, LOG2_MASK = 63 };

struct group {
	_Atomic(struct rh_ring *) heads;
	_Atomic(struct producer *) producers; /* RH_RING_GROUP, and a guard in the first */
};

/* These survive a fork, as the mappings do. */
static struct group groups[GROUPS];
static uintptr_t ring_at[RH_RINGS]; /* address of its data, log2 of the bytes below */
static _Atomic uint64_t mapped;	    /* bytes of rings */
static bool wipe_works = true;

bool shim_wipe_works(void)
{
	return wipe_works;
}

static uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static void *map_by_path(uint64_t offset, uint64_t bytes)
{
	int fd = shim_open_area();
	void *p = fd < 0 ? MAP_FAILED
			 : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void *map_moved(uint64_t offset, uint64_t bytes)
{
	void *p;

	bytes = (bytes + page_bytes() - 1) / page_bytes() * page_bytes(); /* or it moves nothing */
	p = mremap(shim.area, 0, bytes, MREMAP_MAYMOVE);
	if (p == MAP_FAILED) /* valgrind cannot make a second one */
		return map_by_path(offset, bytes);
	if (remap_file_pages(p, bytes, 0, offset / page_bytes(), 0) == 0)
		return p;
	munmap(p, bytes);
	return map_by_path(offset, bytes);
}

static void *map_pages(uint64_t offset, uint64_t bytes)
{
	void *p;

	if (shim.fd >= 0) { /* the process starts */
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shim.fd, (off_t)offset);
		p = p == MAP_FAILED ? NULL : p;
	} else {
		p = shim_filtered() ? NULL : map_moved(offset, bytes);
	}
	if (p && !shim_filtered()) {
		munlock(p, bytes);
		madvise(p, bytes, MADV_DONTDUMP);
	}
	return p;
}

/* Pages larger than 4 KiB hold several groups of ring heads, texts and kids. */
void *shim_map(uint64_t offset, uint64_t bytes)
{
	uint64_t inside = offset & (page_bytes() - 1);
	char *p = map_pages(offset - inside, bytes + inside);

	return p ? p + inside : NULL;
}

void shim_unmap(void *p, uint64_t bytes)
{
	uint64_t inside = (uintptr_t)p & (page_bytes() - 1);

	munmap((char *)p - inside, bytes + inside);
}

void *shim_map_wiped(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (shim_filtered() || madvise(p, bytes, MADV_WIPEONFORK) < 0)
		wipe_works = false;
	if (!shim_filtered())
		munlock(p, bytes);
	return p;
}

enum { PRODUCERS_BYTES = (RH_RING_GROUP + 1) * sizeof(struct producer) };

static bool map_group(struct group *group, uint32_t index)
{
	struct rh_ring *heads, *no_heads = NULL;
	struct producer *producers, *no_producers = NULL;

	if (shim_filtered() && shim.fd < 0)
		return false;
	producers = shim_map_wiped(PRODUCERS_BYTES);
	if (producers &&
	    !atomic_compare_exchange_strong(&group->producers, &no_producers, producers))
		munmap(producers, PRODUCERS_BYTES);
	heads = shim_map(RH_AREA_HEADS_AT + index * RH_AREA_GROUP_BYTES, RH_AREA_GROUP_BYTES);
	if (heads && !atomic_compare_exchange_strong(&group->heads, &no_heads, heads))
		shim_unmap(heads, RH_AREA_GROUP_BYTES);
	return atomic_load(&group->heads) && atomic_load(&group->producers);
}

bool shim_group(uint32_t ring)
{
	struct group *group = &groups[ring / RH_RING_GROUP];

	if (atomic_load(&group->heads) && atomic_load(&group->producers))
		return true;
	return map_group(group, ring / RH_RING_GROUP);
}

struct rh_ring *shim_ring(uint32_t ring)
{
	return atomic_load(&groups[ring / RH_RING_GROUP].heads) + ring % RH_RING_GROUP;
}

struct producer *shim_producer(uint32_t ring)
{
	struct producer *first = atomic_load(&groups[ring / RH_RING_GROUP].producers);

	return first ? first + ring % RH_RING_GROUP : NULL;
}

struct producer *shim_guard(void)
{
	return atomic_load(&groups[0].producers) + RH_RING_GROUP;
}

void shim_wipe(void)
{
	_Atomic uint64_t *owners = atomic_load(&shim.owners);

	for (int i = 0; i < GROUPS; i++)
		if (atomic_load(&groups[i].producers))
			memset(atomic_load(&groups[i].producers), 0, PRODUCERS_BYTES);
	if (owners)
		memset((void *)(uintptr_t)owners, 0, SHIM_OWNERS * sizeof *owners);
	if (shim_drawn)
		memset((void *)shim_drawn, 0, sizeof *shim_drawn);
}

/* May all rings together grow by that much? */
static bool affordable(uint64_t more)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
	       atomic_load(&mapped) + more <= limit.rlim_cur >> SHARE_LOG2;
}

uint64_t shim_ring_has(uint32_t ring)
{
	return ring_at[ring] ? 1ull << (ring_at[ring] & LOG2_MASK) : 0;
}

static uint64_t *map_ring(uint32_t ring, uint64_t bytes)
{
	uintptr_t at = ring_at[ring] & ~(uintptr_t)LOG2_MASK;
	uint64_t had = shim_ring_has(ring);
	void *p;

	if (bytes > RH_RING_FIRST && !affordable(bytes - had))
		return NULL;
	p = shim_map(RH_AREA_RINGS_AT + ring * shim.area->ring_bytes, bytes);
	if (!p)
		return NULL;
	if (at)
		munmap((void *)at, had);
	ring_at[ring] = (uintptr_t)p | (uintptr_t)__builtin_ctzll(bytes);
	atomic_fetch_add(&mapped, bytes - had);
	return p;
}

uint64_t *shim_ring_data(uint32_t ring, uint64_t bytes)
{
	uint64_t *first = NULL, wide = RH_RING_READY;

	if (shim_ring_has(ring) >= bytes)
		return (uint64_t *)(ring_at[ring] & ~(uintptr_t)LOG2_MASK);
	if (shim_filtered() && shim.fd < 0)
		return NULL;
	if (bytes < wide && wide <= shim.area->ring_bytes && shim.fd < 0 &&
	    !atomic_load(&shim.thread_next))
		first = map_ring(ring, wide);
	return first ? first : map_ring(ring, bytes);
}

bool shim_owners(void)
{
	_Atomic uint64_t *mine, *none = NULL;

	if (atomic_load(&shim.owners))
		return true;
	if (shim_filtered() && shim.fd < 0)
		return false;
	mine = shim_map_wiped(SHIM_OWNERS * sizeof *mine);
	if (mine && !atomic_compare_exchange_strong(&shim.owners, &none, mine))
		munmap((void *)(uintptr_t)mine, SHIM_OWNERS * sizeof *mine);
	return atomic_load(&shim.owners) != NULL;
}

/* Producers beyond those in use are untouched: rings_high bounds them. Without memory for the table
 * of owners, every event gets its own stamp. */
void shim_now_many(void)
{
	bool owners;
	uint32_t high;

	if (atomic_exchange(&shim.many, 1))
		return;
	owners = shim_owners();
	if (!owners)
		shim.exact = 1;
	high = atomic_load(&shim.area->rings_high);
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct producer *p = shim_producer(i);

		if (!p)
			continue;
		atomic_store(&p->owners, atomic_load(&shim.owners));
		if (!owners && p->ring)
			atomic_store(&p->ring->limit, 0);
	}
}

void shim_map_forget(void)
{
	_Atomic uint64_t *owners = atomic_load(&shim.owners);

	for (uint32_t i = 0; i < RH_RINGS; i++)
		if (atomic_load(&groups[i / RH_RING_GROUP].heads))
			atomic_store(&shim_ring(i)->limit, 0); /* makes its owner check */
	for (int i = 0; i < GROUPS; i++) {
		atomic_store(&groups[i].heads, NULL);
		atomic_store(&groups[i].producers, NULL);
	}
	memset(ring_at, 0, sizeof ring_at);
	atomic_store(&mapped, 0);
	if (owners)
		memset((void *)(uintptr_t)owners, 0, SHIM_OWNERS * sizeof *owners);
	if (shim_drawn)
		memset((void *)shim_drawn, 0, sizeof *shim_drawn);
}

/* Maps what later threads will need, before a filter is on. */
void shim_stock_up(void)
{
	uint32_t high = atomic_load(&shim.area->rings_high);

	shim_owners();
	for (uint32_t i = high; i < high + SPARE_RINGS && i < shim.area->rings; i++)
		if (shim_group(i))
			shim_ring_data(i, RH_RING_FIRST);
}
