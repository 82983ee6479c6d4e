/*
 * example_pools.cc - a backend in C++: pools of equal blocks without headers, because a free says
 * the size. Any C++ since C++11 will do.
 *
 *	c++ -std=c++11 -O2 -fPIC -shared example_pools.cc $(pkg-config --cflags reheap) -o pools.so
 *	reheap replay T.rht --backend ./pools.so,libc
 *
 * Three rules for C++: (1) nothing here may take memory from malloc, so no new, no containers of
 * the standard library; objects are placed in mapped memory; (2) no exception leaves a function of
 * the table: all of them are noexcept; (3) the table needs no extern "C" and no attribute, because
 * the header has declared it.
 *
 * A size belongs to a pool: steps of 16 bytes up to 1 KiB, then powers of two up to 1 MiB. Each
 * lane has a free list for each pool, and cuts new blocks from slabs that belong to the heap. Size
 * and not address decides where a freed block goes, so a block costs no byte but its own. Larger
 * ones are mappings with a head before the block.
 */
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <sys/mman.h>

#include "alloc/backend.h"

namespace {

constexpr std::size_t step = 16, steps_most = 1024, pools_most = std::size_t(1) << 20;
constexpr unsigned steps = steps_most / step, doubled = 10, pools = steps + 1 + doubled;
constexpr std::size_t slab_bytes = std::size_t(4) << 20;

void *map(std::size_t bytes) noexcept
{
	void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? nullptr : p;
}

std::uintptr_t up(std::uintptr_t at, std::size_t align) noexcept
{
	return (at + align - 1) & ~std::uintptr_t(align - 1);
}

/* A mapping that close has to give back; at its beginning, or before a large block. */
struct Mapping {
	Mapping *next, **back;
	void *base;
	std::size_t bytes;
};

class Mappings {
	std::mutex lock;
	Mapping *first = nullptr;

public:
	/* At `at`, within the mapping. */
	void add(std::uintptr_t at, void *base, std::size_t bytes) noexcept
	{
		std::lock_guard<std::mutex> held(lock);
		Mapping *mapping = new (reinterpret_cast<void *>(at))
			Mapping{ first, &first, base, bytes };

		if (first)
			first->back = &mapping->next;
		first = mapping;
	}
	void drop(Mapping *mapping) noexcept
	{
		{
			std::lock_guard<std::mutex> held(lock);

			*mapping->back = mapping->next;
			if (mapping->next)
				mapping->next->back = mapping->back;
		}
		munmap(mapping->base, mapping->bytes);
	}
	~Mappings()
	{
		while (first) {
			Mapping *mapping = first;

			first = mapping->next;
			munmap(mapping->base, mapping->bytes);
		}
	}
};

struct Block {
	Block *next;
};

unsigned pool_of(std::size_t size) noexcept
{
	if (size <= steps_most)
		return unsigned((size + step - 1) / step);
	return steps + 54 - unsigned(__builtin_clzll(size - 1));
}

std::size_t bytes_of(unsigned pool) noexcept
{
	if (pool <= steps)
		return pool ? pool * step : step;
	return steps_most << (pool - steps);
}

int no_memory(rh_err *err) noexcept
{
	if (err) {
		err->code = RH_OS;
		std::snprintf(err->text, sizeof(err->text), "pools: no memory");
	}
	return -1;
}

} // namespace

/* The header declares these two; what is in them is ours. */
struct rh_heap {
	Mappings mappings;
	std::atomic<std::uint64_t> slabs{ 0 };
	std::mutex lock; /* guards these two */
	rh_lane *lanes = nullptr;
	std::uint64_t sized = 0; /* of lanes that are closed */
};

struct rh_lane {
	rh_heap *heap;
	std::uintptr_t at = 0, end = 0; /* of the slab that it cuts from */
	std::atomic<std::uint64_t> sized{ 0 }; /* written by the lane, read by stats meanwhile */
	Block *free[pools] = {};
	rh_lane *next;

	explicit rh_lane(rh_heap *of) noexcept : heap(of)
	{
		std::lock_guard<std::mutex> held(heap->lock);

		next = heap->lanes;
		heap->lanes = this;
	}
	~rh_lane()
	{
		std::lock_guard<std::mutex> held(heap->lock);
		rh_lane **at = &heap->lanes;

		while (*at != this)
			at = &(*at)->next;
		*at = next;
		heap->sized += sized;
	}
};

namespace {

bool new_slab(rh_lane *lane, std::size_t need) noexcept
{
	std::size_t bytes = need + 4096 > slab_bytes ? need + 4096 : slab_bytes;
	void *base = map(bytes);

	if (!base)
		return false;
	lane->heap->mappings.add(std::uintptr_t(base), base, bytes);
	lane->heap->slabs++;
	lane->at = std::uintptr_t(base) + up(sizeof(Mapping), step);
	lane->end = std::uintptr_t(base) + bytes;
	return true;
}

void *large(rh_lane *lane, std::size_t size, std::size_t align) noexcept
{
	std::size_t bytes = up(size + align + sizeof(Mapping), 4096);
	void *base = size <= PTRDIFF_MAX ? map(bytes) : nullptr;
	std::uintptr_t p;

	if (!base)
		return nullptr;
	p = up(std::uintptr_t(base) + sizeof(Mapping), align);
	lane->heap->mappings.add(p - sizeof(Mapping), base, bytes);
	return reinterpret_cast<void *>(p);
}

/* A block of an alignment of its own is cut, never taken from the list; freed, it joins it. */
void *get(rh_lane *lane, std::size_t size, std::size_t align) noexcept
{
	if (size > pools_most)
		return large(lane, size, align);
	unsigned pool = pool_of(size);

	if (align <= step && lane->free[pool]) {
		Block *block = lane->free[pool];

		lane->free[pool] = block->next;
		return block;
	}
	std::uintptr_t at = up(lane->at, align);

	if (at + bytes_of(pool) > lane->end) {
		if (!new_slab(lane, bytes_of(pool) + align))
			return nullptr;
		at = up(lane->at, align);
	}
	lane->at = at + bytes_of(pool);
	return reinterpret_cast<void *>(at);
}

void *alloc(rh_lane *lane, std::size_t size) noexcept
{
	return get(lane, size, step);
}

void *alloc_as(rh_lane *lane, std::size_t size, std::size_t align, std::uint32_t flags) noexcept
{
	void *p = get(lane, size, align < step ? step : align);

	if (p && flags & RH_ALLOC_ZEROED)
		std::memset(p, 0, size);
	return p;
}

void give(rh_lane *lane, void *p, std::size_t size) noexcept
{
	if (size > pools_most) {
		lane->heap->mappings.drop(static_cast<Mapping *>(p) - 1);
		return;
	}
	unsigned pool = pool_of(size);

	lane->free[pool] = new (p) Block{ lane->free[pool] };
}

/* Where the program itself said the size (delete with a size, sdallocx). This heap knows it
 * anyway; one that does not would take the shorter way here. */
void give_sized(rh_lane *lane, void *p, std::size_t size) noexcept
{
	lane->sized.store(lane->sized.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
	give(lane, p, size);
}

void *resize(rh_lane *lane, void *p, std::size_t from, std::size_t to) noexcept
{
	if (from <= pools_most && to <= pools_most && pool_of(from) == pool_of(to))
		return p;
	return rh_resize_by_copy(&reheap_backend, lane, p, from, to);
}

int open(rh_heap **heap, const void *, const rh_heap_env *, rh_err *err) noexcept
{
	void *p = map(sizeof(rh_heap));

	*heap = p ? new (p) rh_heap : nullptr;
	return p ? 0 : no_memory(err);
}

void close(rh_heap *heap) noexcept
{
	heap->~rh_heap();
	munmap(heap, sizeof(*heap));
}

int lane_open(rh_heap *heap, rh_lane **lane, rh_err *err) noexcept
{
	void *p = map(sizeof(rh_lane));

	*lane = p ? new (p) rh_lane(heap) : nullptr;
	return p ? 0 : no_memory(err);
}

void lane_close(rh_lane *lane) noexcept
{
	lane->~rh_lane();
	munmap(lane, sizeof(*lane));
}

/* While lanes work. */
void stats(rh_heap *heap, rh_stat_fn *emit, void *ctx) noexcept
{
	std::lock_guard<std::mutex> held(heap->lock);
	std::uint64_t sized = heap->sized;

	for (const rh_lane *lane = heap->lanes; lane; lane = lane->next)
		sized += lane->sized.load(std::memory_order_relaxed);
	emit(ctx, "slabs", "count", heap->slabs);
	emit(ctx, "frees.sized", "count", sized);
}

/* Entries that stay null are filled in by reheap. With C++20 the table can be written by names. */
rh_backend table() noexcept
{
	rh_backend made = {};

	made.abi = RH_BACKEND_ABI;
	made.name = "pools";
	made.summary = "pools of equal blocks, found by the size that a free says: an example in C++";
	made.open = open;
	made.close = close;
	made.lane_open = lane_open;
	made.lane_close = lane_close;
	made.alloc = alloc;
	made.alloc_as = alloc_as;
	made.free = give;
	made.free_sized = give_sized;
	made.resize = resize;
	made.stats = stats;
	return made;
}

} // namespace

const rh_backend reheap_backend = table();
