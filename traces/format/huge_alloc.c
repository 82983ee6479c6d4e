/*
 * huge_alloc.c - see huge_alloc.h.
 */
#include "traces/format/huge_alloc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/base/os.h"

/* Below two huge pages malloc serves as well, and mapping would waste up to one of them. */
enum { HUGE_PAGE = 2 << 20, MAPPED_FROM = 2 * HUGE_PAGE };

static _Atomic uint64_t limit;	 /* that was set; 0: none was */
static _Atomic uint64_t of_file; /* of the largest file, in bytes; 0: none was opened */
static _Atomic uint64_t in_use;	 /* of tables that are mapped */
/* Sticky: whoever reports the failure, several calls up, asks for the reason then. */
static _Atomic bool refused;

void rh_huge_limit(uint64_t bytes)
{
	atomic_store(&limit, bytes);
}

/* The largest file counts: with two of them open, the limit of the smaller would refuse the larger.
 */
void rh_huge_of_file(uint64_t file_bytes)
{
	uint64_t bytes = UINT64_MAX, before = atomic_load(&of_file);

	if (file_bytes < (UINT64_MAX - RH_LARGE_FREE) / RH_LARGE_RATIO)
		bytes = RH_LARGE_FREE + file_bytes * RH_LARGE_RATIO;
	while (before < bytes && !atomic_compare_exchange_weak(&of_file, &before, bytes))
		;
}

/* Half of the memory: the other half is for the page cache of the trace and for everybody else. */
uint64_t rh_huge_limit_machine(void)
{
	uint64_t set = atomic_load(&limit);

	return set ? set : (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

static bool is_of_file(void)
{
	uint64_t bytes = atomic_load(&of_file);

	/* A limit that the user set wins over both, upwards as well. */
	return !atomic_load(&limit) && bytes && bytes < rh_huge_limit_machine();
}

uint64_t rh_huge_limit_bytes(void)
{
	return is_of_file() ? atomic_load(&of_file) : rh_huge_limit_machine();
}

const char *rh_huge_limit_why(void)
{
	return is_of_file() ? " for a file of its size" : "";
}

bool rh_huge_refused(void)
{
	return atomic_load(&refused);
}

int rh_huge_fail(uint64_t living, struct rh_err *err)
{
	if (rh_huge_refused())
		return rh_fail(err, RH_OS,
			       "%llu living objects and more need over %llu MiB of memory, the "
			       "limit%s; --limit-memory SIZE raises it",
			       (unsigned long long)living,
			       (unsigned long long)(rh_huge_limit_bytes() >> 20),
			       rh_huge_limit_why());
	return rh_fail(err, RH_OS, "memory for the living objects of the trace ran out");
}

/* Room within the limit; small tables are not counted, they cannot add up. */
static bool claim_bytes(size_t bytes)
{
	assert(bytes >= MAPPED_FROM); /* what is smaller comes from malloc and is not counted */
	/* Added before it is compared: two threads cannot both take the last room. */
	if (atomic_fetch_add(&in_use, bytes) + bytes <= rh_huge_limit_bytes())
		return true;
	atomic_fetch_sub(&in_use, bytes);
	atomic_store(&refused, true);
	return false;
}

/* What is counted against the limit is what is mapped, so that giving back takes off
 * the same. */
static size_t whole_pages(size_t bytes)
{
	return rh_page_up(bytes);
}

void *rh_huge_alloc(size_t bytes)
{
	size_t head, room = whole_pages(bytes);
	char *p;

	if (bytes < MAPPED_FROM)
		return calloc(1, bytes ? bytes : 1);
	if (bytes > SIZE_MAX / 2 || !claim_bytes(room))
		return NULL;
	/* One huge page more, so that an aligned stretch lies somewhere inside; the ends are given
	 * back. */
	p = rh_map(room + HUGE_PAGE);
	if (!p) {
		atomic_fetch_sub(&in_use, room);
		return NULL;
	}
	head = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
	if (head)
		rh_unmap(p, head);
	rh_unmap(p + head + room, HUGE_PAGE - head);
	/* Advice: a system without huge pages is slower, not wrong. */
	(void)madvise(p + head, room, MADV_HUGEPAGE);
	assert((uintptr_t)(p + head) % HUGE_PAGE == 0);
	return p + head;
}

void rh_huge_free(void *p, size_t bytes)
{
	if (bytes < MAPPED_FROM) {
		free(p);
	} else if (p) {
		assert(atomic_load(&in_use) >= whole_pages(bytes)); /* given back as it was taken */
		rh_unmap(p, whole_pages(bytes));
		atomic_fetch_sub(&in_use, whole_pages(bytes));
	}
}
