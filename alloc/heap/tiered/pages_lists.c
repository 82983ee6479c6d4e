/*
 * pages_lists.c - the page heap of the older profiles: free spans by length.
 *
 *	free[1..127]	lists of free spans of exactly that many pages, newest first
 *	freelarge	spans of 128 pages (1 MiB) and more: one list before 1.9, then
 *			a treap ordered by (pages, address)
 *
 *	free, scav	1.12: two treaps hold all, spans that are in memory and those wholly
 *			given back; the shorter fit of the two, in memory when they are alike
 *
 * Best fit: the first non-empty list from n upwards, then the smallest large span,
 * lowest address among equals. What is left of a span that is too long goes back as a
 * span of its own. A freed span joins free neighbours, which it finds in the map of
 * pages at the page before and the page after: a free span is entered there at its
 * first and last page only. Everything happens under the one heap lock.
 *
 * Released pages are counted per span; using any of a span uses all of it again.
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"

/* _MaxMHeapList of Go: 1 MiB. */
enum { EXACT = 128 };

static uint32_t page_of(const struct rh_heap *heap, const struct mspan *span)
{
	return (uint32_t)rh_page_index(heap, span->base);
}

/* ---- treap: next = left, prev = right, priority by address ---- */

/* Of the address, where Go draws it at random: the shape of the tree, and so the time
 * of a replay, is the same in every run. */
static uint64_t priority(const struct mspan *span)
{
	uint64_t x = (uint64_t)span->base * 0x9e3779b97f4a7c15u;

	return x ^ x >> 29;
}

/* Address second, so that keys differ and the lowest of equal lengths is taken. */
static bool before(const struct mspan *a, const struct mspan *b)
{
	return a->page_count != b->page_count ? a->page_count < b->page_count : a->base < b->base;
}

/* Splits a tree into what stands before the key and what does not. */
static void split(struct mspan *tree, const struct mspan *key, struct mspan **low,
		  struct mspan **high)
{
	while (tree) {
		if (before(tree, key)) {
			*low = tree;
			low = &tree->prev;
			tree = tree->prev;
		} else {
			*high = tree;
			high = &tree->next;
			tree = tree->next;
		}
	}
	*low = *high = NULL;
}

/* A free span stands in a list or in a treap, never in both, so the links of one
 * serve the other. */
static void treap_insert(struct mspan **root, struct mspan *span)
{
	while (*root && priority(*root) >= priority(span))
		root = before(*root, span) ? &(*root)->prev : &(*root)->next;
	split(*root, span, &span->next, &span->prev);
	/* split puts the smaller side first: left is next, right is prev */
	*root = span;
}

static void treap_remove(struct mspan **root, struct mspan *span)
{
	struct mspan *left, *right;

	while (*root != span)
		root = before(*root, span) ? &(*root)->prev : &(*root)->next;
	left = span->next;
	right = span->prev;
	while (left && right) {
		if (priority(left) >= priority(right)) {
			*root = left;
			root = &left->prev;
			left = left->prev;
		} else {
			*root = right;
			root = &right->next;
			right = right->next;
		}
	}
	*root = left ? left : right;
	span->next = span->prev = NULL;
}

/* The leftmost key that is long enough: by the order, the shortest that fits and the
 * lowest of these. */
static struct mspan *treap_best(struct mspan *tree, size_t page_count)
{
	struct mspan *best = NULL;

	while (tree) {
		if (tree->page_count >= page_count) {
			best = tree;
			tree = tree->next;
		} else {
			tree = tree->prev;
		}
	}
	return best;
}

/* ---- the set of free spans ---- */

/* All of the list, as Go's bestFit did: what made large blocks slow in a fragmented
 * heap, and what the treap of 1.9 replaced. */
static struct mspan *list_best(struct span_list *list, size_t page_count)
{
	struct mspan *best = NULL;

	for (struct mspan *span = list->first; span; span = span->next) {
		if (span->page_count >= page_count && (!best || before(span, best)))
			best = span;
	}
	return best;
}

/* The treap that a free span is in; NULL: a list. */
static struct mspan **treap_of(struct rh_heap *heap, const struct mspan *span)
{
	/* By whether anything of it is in memory, so a span changes the tree when it is
	 * given back or joined. */
	if (heap->profile->two_treaps)
		return span->scav_pages < span->page_count ? &heap->pages.treap : &heap->pages.scav;
	return heap->profile->treap && span->page_count >= EXACT ? &heap->pages.treap : NULL;
}

static void insert(struct rh_heap *heap, struct mspan *span)
{
	struct page_heap *pages = &heap->pages;
	struct mspan **treap = treap_of(heap, span);
	uint32_t page = page_of(heap, span);

	rh_debug_assert(rh_lock_held(&heap->lock) && span->page_count > 0);
	rh_span_set_state(span, SPAN_FREE);
	/* The ends only: neighbours look at nothing else, and a free span of a GiB
	 * would mean 131,072 entries. */
	heap->spans[page] = heap->spans[page + span->page_count - 1] = span;
	if (treap)
		treap_insert(treap, span);
	else if (span->page_count < EXACT)
		rh_list_push_front(&pages->free[span->page_count], span);
	else
		rh_list_push_front(pages->freelarge, span);
}

/* Before page_count or scav_pages change: both decide where it stands. */
static void take_out(struct rh_heap *heap, struct mspan *span)
{
	struct mspan **treap = treap_of(heap, span);
	uint32_t page = page_of(heap, span);

	rh_debug_assert(rh_lock_held(&heap->lock) && rh_span_state(span) == SPAN_FREE);
	heap->spans[page] = heap->spans[page + span->page_count - 1] = NULL;
	if (treap)
		treap_remove(treap, span);
	else
		rh_list_remove(span);
}

int rh_lists_open(struct rh_heap *heap)
{
	struct span_list *lists =
		rh_persistent_alloc(&heap->persistent, (EXACT + 1) * sizeof(*lists), 8);

	heap->pages.free = lists;
	heap->pages.freelarge = lists ? lists + EXACT : NULL;
	return lists ? 0 : -1;
}

static struct mspan *best_fit(struct rh_heap *heap, size_t page_count)
{
	if (heap->profile->two_treaps) {
		struct mspan *here = treap_best(heap->pages.treap, page_count);
		struct mspan *gone = treap_best(heap->pages.scav, page_count);

		/* In memory wins a tie, for it costs no page faults. */
		return !gone || (here && here->page_count <= gone->page_count) ? here : gone;
	}
	/* LIFO within a length: the span that was freed last is the likeliest to be
	 * in the caches of the CPU. */
	for (size_t i = page_count; i < EXACT; i++) {
		if (heap->pages.free[i].first)
			return heap->pages.free[i].first;
	}
	return heap->profile->treap ? treap_best(heap->pages.treap, page_count)
				    : list_best(heap->pages.freelarge, page_count);
}

struct mspan *rh_lists_alloc(struct rh_heap *heap, size_t page_count, size_t *scav_pages,
			     bool *released)
{
	struct mspan *span = best_fit(heap, page_count), *rest;

	rh_debug_assert(rh_lock_held(&heap->lock) && page_count > 0);
	if (!span)
		return NULL;
	rh_debug_assert(span->page_count >= page_count && rh_span_state(span) == SPAN_FREE);
	*released = span->scav_pages == span->page_count;
	if (span->page_count > page_count) {
		/* Before anything is changed: without a struct for the rest the heap
		 * is as it was. */
		rest = rh_fixalloc(&heap->span_alloc);
		if (!rest)
			return NULL;
		take_out(heap, span);
		rest->base = span->base + (page_count << TIER_PAGE_SHIFT);
		rest->page_count = span->page_count - (uint32_t)page_count;
		/* As sysUsed did on the whole span, although only a part of it is
		 * taken: the figure of released bytes drops by all of it. */
		rest->scav_pages = 0;
		span->page_count = (uint32_t)page_count;
		insert(heap, rest);
	} else {
		take_out(heap, span);
	}
	rh_debug_assert(span->page_count == page_count);
	*scav_pages = span->scav_pages;
	span->scav_pages = 0;
	return span;
}

/* Joins a free neighbour into span. */
static void join(struct rh_heap *heap, struct mspan *span, struct mspan *other)
{
	rh_debug_assert(other->base + rh_span_bytes(other) == span->base ||
			span->base + rh_span_bytes(span) == other->base);
	take_out(heap, other);
	if (other->base < span->base)
		span->base = other->base;
	span->page_count += other->page_count;
	span->scav_pages += other->scav_pages;
	rh_span_set_state(other, SPAN_DEAD);
	rh_fixalloc_free(&heap->span_alloc, other);
}

void rh_lists_free(struct rh_heap *heap, struct mspan *span, size_t scav_pages)
{
	uint32_t page = page_of(heap, span);
	/* Entries of spans in use are written by lanes without this lock, so only a
	 * neighbour that is free is believed; those change under it. */
	struct mspan *low = page ? tier_load(&heap->spans[page - 1]) : NULL;
	struct mspan *high = page + span->page_count < TIER_WINDOW_PAGES
				     ? tier_load(&heap->spans[page + span->page_count])
				     : NULL;

	rh_debug_assert(scav_pages <= span->page_count);
	span->scav_pages = (uint32_t)scav_pages;
	if (low && rh_span_state(low) == SPAN_FREE)
		join(heap, span, low);
	if (high && rh_span_state(high) == SPAN_FREE)
		join(heap, span, high);
	insert(heap, span);
}

bool rh_lists_grow(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	struct mspan *span = rh_fixalloc(&heap->span_alloc);

	if (!span)
		return false;
	span->base = heap->window + ((uintptr_t)page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	/* New pages have never been touched, so they count as given back. */
	rh_lists_free(heap, span, page_count);
	return true;
}

static bool resident(const struct mspan *span)
{
	return span->scav_pages < span->page_count;
}

static struct mspan *treap_resident(struct mspan *tree)
{
	struct mspan *found;

	if (!tree || resident(tree))
		return tree;
	/* The longest end first. */
	found = treap_resident(tree->prev);
	return found ? found : treap_resident(tree->next);
}

/* Long spans first: they give most for one system call. */
static struct mspan *resident_span(struct rh_heap *heap)
{
	struct mspan *span = treap_resident(heap->pages.treap);

	if (!span)
		span = heap->pages.freelarge->first;
	while (span && !resident(span))
		span = span->next;
	for (unsigned i = EXACT - 1; !span && i > 0; i--) {
		span = heap->pages.free[i].first;
		while (span && !resident(span))
			span = span->next;
	}
	return span;
}

size_t rh_lists_scavenge(struct rh_heap *heap, size_t page_max)
{
	struct mspan *span = resident_span(heap);
	size_t released;

	rh_debug_assert(rh_lock_held(&heap->lock));
	(void)page_max; /* a span is released whole, as these heaps did */
	if (!span)
		return 0;
	released = span->page_count - span->scav_pages;
	take_out(heap, span);
	/* In no list and not free, so that no neighbour joins it while the lock is
	 * dropped. */
	rh_span_set_state(span, SPAN_DEAD);
	heap->pages.nobodys += span->page_count;
	rh_unlock(&heap->lock);
	rh_pages_release(heap, span->base, rh_span_bytes(span));
	rh_lock(&heap->lock);
	heap->pages.nobodys -= span->page_count;
	rh_count_released(heap, released);
	rh_lists_free(heap, span, span->page_count);
	return released;
}

static uint64_t treap_pages(const struct mspan *tree)
{
	return tree ? tree->page_count + treap_pages(tree->next) + treap_pages(tree->prev) : 0;
}

const char *rh_lists_check(struct rh_heap *heap, uint64_t *free_pages)
{
	*free_pages = treap_pages(heap->pages.treap) + treap_pages(heap->pages.scav);
	for (unsigned i = 1; i <= EXACT; i++) {
		struct span_list *list = i < EXACT ? &heap->pages.free[i] : heap->pages.freelarge;

		for (struct mspan *span = list->first; span; span = span->next) {
			uint32_t page = page_of(heap, span);
			struct mspan *next = heap->spans[page + span->page_count];

			*free_pages += span->page_count;
			if (rh_span_state(span) != SPAN_FREE || span->list != list)
				return "a span on a free list is not free";
			if (i < EXACT && span->page_count != i)
				return "a free span is on the list of another length";
			if (heap->spans[page] != span ||
			    heap->spans[page + span->page_count - 1] != span)
				return "the ends of a free span are not in the map of pages";
			if (next && rh_span_state(next) == SPAN_FREE)
				return "two free neighbours were not joined";
		}
	}
	return NULL;
}
