/*
 * large.c - see large.h.
 */
#include "traces/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "alloc/base/os.h"

enum { HUGE_PAGE = 2 << 20, MAPPED_FROM = 2 * HUGE_PAGE };

static size_t whole_pages(size_t bytes)
{
	return (bytes + RH_PAGE - 1) / RH_PAGE * RH_PAGE;
}

void *rh_large(size_t bytes)
{
	size_t head, room = whole_pages(bytes);
	char *p;

	if (bytes < MAPPED_FROM)
		return calloc(1, bytes ? bytes : 1);
	if (bytes > SIZE_MAX / 2)
		return NULL;
	p = rh_map(room + HUGE_PAGE);
	if (!p)
		return NULL;
	head = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
	if (head)
		rh_unmap(p, head);
	rh_unmap(p + head + room, HUGE_PAGE - head);
	/* Advice: a system without huge pages is slower, not wrong. */
	(void)madvise(p + head, room, MADV_HUGEPAGE);
	return p + head;
}

void rh_large_free(void *p, size_t bytes)
{
	if (bytes < MAPPED_FROM)
		free(p);
	else if (p)
		rh_unmap(p, whole_pages(bytes));
}
