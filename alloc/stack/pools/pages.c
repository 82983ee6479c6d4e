/*
 * pages.c - where spans come from: the pages the paired heap lends, else our own.
 *
 * Ours: runs up to 512 KiB are cut from chunks of 4 MiB and kept by size when they come
 * back (a page fault costs 2.5 us here, more than a hundred spawns); what is kept beyond
 * 16 MiB stays ours but loses its memory, of which only whole pages of the system go: a run
 * shares those at its ends with its neighbours where they are larger than 8 KiB. Larger runs are
 * mapped and unmapped.
 *
 * Span structs are kept by lanes, 64 at a time.
 */
#include <sys/mman.h>

#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

const struct rh_lock_class rh_stackpages_class = { "stackpages", STACK_RANK_PAGES, 0 };

enum {
	/* As the tiered heap grows, so that pools beside another heap ask the system
	 * as often as Go would. */
	CHUNK_BYTES = 4 << 20,
	/* An eighth of a chunk: what is left at its end and too short is at most
	 * that. */
	RUN_PAGES_MAX = 64,
	KEEP_BYTES = 16 << 20,
	BLOCK_BYTES = 65536,
};

/* Memory of span structs. */
struct block {
	struct block *next;
	struct stack_span spans[];
};
enum { BLOCK_SPANS = (BLOCK_BYTES - sizeof(struct block)) / sizeof(struct stack_span) };

static unsigned list_of(uint32_t page_count)
{
	return 31u - (unsigned)__builtin_clz(page_count);
}

/* ---- span structs ---- */

static bool more_structs(struct page_source *source)
{
	struct block *block = rh_map(BLOCK_BYTES);

	rh_debug_assert(rh_lock_held(&source->lock));
	if (!block)
		return false;
	block->next = source->blocks;
	source->blocks = block;
	/* Writing the links touches all 64 KiB; but a span of 32 KiB and more stands
	 * behind each struct of 40 bytes. */
	for (size_t i = 0; i < BLOCK_SPANS; i++) {
		block->spans[i].next = source->span_structs;
		source->span_structs = &block->spans[i];
	}
	return true;
}

static struct stack_span *take_struct(struct rh_stack_lane *lane)
{
	struct page_source *source = &lane->stacks->pages;
	struct stack_span *span;

	/* One lock for 64 structs; a lane that only takes and gives runs has its own
	 * back before the next look. */
	if (!lane->spans) {
		rh_lock(&source->lock);
		for (int i = 0; i < SPAN_BATCH; i++) {
			if (!source->span_structs && !more_structs(source))
				break;
			span = source->span_structs;
			source->span_structs = span->next;
			span->next = lane->spans;
			lane->spans = span;
		}
		rh_unlock(&source->lock);
	}
	span = lane->spans;
	if (span)
		lane->spans = span->next;
	return span;
}

static void put_struct(struct rh_stack_lane *lane, struct stack_span *span)
{
	span->next = lane->spans;
	lane->spans = span;
}

/* ---- our own pages; `span` has its page_count, its base is set ---- */

/* Mappings are remembered in spans of their own, for close. */
static bool new_chunk(struct rh_stack_lane *lane)
{
	struct page_source *source = &lane->stacks->pages;
	struct stack_span *chunk = source->span_structs;
	void *base;

	rh_debug_assert(rh_lock_held(&source->lock));
	if (!chunk && !more_structs(source))
		return false;
	base = rh_map(CHUNK_BYTES);
	if (!base)
		return false;
	chunk = source->span_structs;
	source->span_structs = chunk->next;
	chunk->base = (uintptr_t)base;
	chunk->page_count = CHUNK_BYTES / RH_STACK_PAGE;
	span_push(&source->mapped, chunk);
	source->chunk = chunk->base;
	source->chunk_end = chunk->base + CHUNK_BYTES;
	return true;
}

/* What is left of a chunk and too short is never touched, so it costs addresses only. */
static bool take_run(struct rh_stack_lane *lane, struct stack_span *span)
{
	struct page_source *source = &lane->stacks->pages;
	struct stack_list *runs = &source->runs[list_of(span->page_count)];
	size_t bytes = (size_t)span->page_count * RH_STACK_PAGE;
	bool done = true;

	rh_debug_assert(span->page_count <= RUN_PAGES_MAX);
	rh_lock(&source->lock);
	/* Equal length only, nothing is split or joined: stacks come in few sizes,
	 * and what one leaves is asked for again. */
	if (runs->first) {
		struct stack_span *run = runs->first;

		span_remove(runs, run);
		rh_debug_assert(run->page_count == span->page_count && source->free_bytes >= bytes);
		source->free_bytes -= bytes;
		span->base = run->base;
		/* The caller brought a struct, so the one of the free run is left
		 * over. */
		run->next = source->span_structs;
		source->span_structs = run;
	} else if (source->chunk_end - source->chunk >= bytes || new_chunk(lane)) {
		span->base = source->chunk;
		source->chunk += bytes;
	} else {
		done = false;
	}
	rh_unlock(&source->lock);
	return done;
}

static void give_run(struct rh_stack_lane *lane, struct stack_span *span)
{
	struct page_source *source = &lane->stacks->pages;
	size_t bytes = (size_t)span->page_count * RH_STACK_PAGE, whole;
	uintptr_t first;
	bool release;

	rh_debug_assert(span->page_count <= RUN_PAGES_MAX);
	rh_lock(&source->lock);
	/* Looked at under the lock and acted on without it: two lanes may both
	 * release where one would do. */
	release = source->free_bytes >= KEEP_BYTES;
	if (!release) {
		span_push(&source->runs[list_of(span->page_count)], span);
		source->free_bytes += bytes;
	}
	rh_unlock(&source->lock);
	if (!release)
		return;
	/* Not on the list meanwhile: nobody can be handed pages that are being given
	 * back. */
	whole = rh_page_within(span->base, bytes, &first);
	if (whole && madvise((void *)first, whole, MADV_DONTNEED) < 0)
		whole = 0; /* locked by the program */
	rh_lock(&source->lock);
	span_push(&source->runs[list_of(span->page_count)], span);
	source->free_bytes += bytes;
	source->released_bytes += whole;
	rh_unlock(&source->lock);
}

/* Beyond 512 KiB a run is rare and its faults are dear either way; kept, it would
 * hold its memory for a size that may not come again. */
static bool map_run(struct rh_stack_lane *lane, struct stack_span *span)
{
	struct page_source *source = &lane->stacks->pages;
	void *base = rh_map((size_t)span->page_count * RH_STACK_PAGE);

	if (!base)
		return false;
	span->base = (uintptr_t)base;
	rh_lock(&source->lock);
	span_push(&source->mapped, span);
	rh_unlock(&source->lock);
	return true;
}

static void unmap_run(struct rh_stack_lane *lane, struct stack_span *span)
{
	struct page_source *source = &lane->stacks->pages;

	rh_lock(&source->lock);
	span_remove(&source->mapped, span);
	rh_unlock(&source->lock);
	rh_unmap((void *)span->base, (size_t)span->page_count * RH_STACK_PAGE);
	put_struct(lane, span);
}

/* ---- what the tiers call ---- */

static bool take_span(struct rh_stack_lane *lane, struct stack_span *span)
{
	const struct rh_backend *ops = lane->stacks->heap_ops;

	/* The heap's pages where it lends any: stacks and blocks then compete for the
	 * same memory, as in Go. */
	if (!ops->stack_pages)
		return span->page_count <= RUN_PAGES_MAX ? take_run(lane, span)
							 : map_run(lane, span);
	span->base = (uintptr_t)ops->stack_pages(lane->heap_lane, span->page_count);
	return span->base != 0;
}

struct stack_span *rh_pages_take(struct rh_stack_lane *lane, uint32_t page_count)
{
	struct stack_span *span = take_struct(lane);

	if (!span)
		return NULL;
	*span = (struct stack_span){ .page_count = page_count };
	if (!take_span(lane, span)) {
		put_struct(lane, span);
		return NULL;
	}
	stack_add(&lane->n.spans_made, 1);
	stack_add(&lane->d_in_use, (int64_t)page_count * RH_STACK_PAGE);
	return span;
}

void rh_pages_give(struct rh_stack_lane *lane, struct stack_span *span)
{
	const struct rh_backend *ops = lane->stacks->heap_ops;

	stack_add(&lane->n.spans_freed, 1);
	stack_add(&lane->d_in_use, -(int64_t)span->page_count * RH_STACK_PAGE);
	if (ops->stack_pages) {
		ops->stack_pages_free(lane->heap_lane, (void *)span->base, span->page_count);
		put_struct(lane, span);
	} else if (span->page_count <= RUN_PAGES_MAX) {
		give_run(lane, span);
	} else {
		unmap_run(lane, span);
	}
}

void rh_pages_lane_close(struct rh_stack_lane *lane)
{
	struct page_source *source = &lane->stacks->pages;
	struct stack_span *span;

	rh_lock(&source->lock);
	while ((span = lane->spans)) {
		lane->spans = span->next;
		span->next = source->span_structs;
		source->span_structs = span;
	}
	rh_unlock(&source->lock);
}

/* Pages that a heap lent go with the heap. */
void rh_pages_close(struct rh_stacks *stacks)
{
	struct page_source *source = &stacks->pages;
	struct block *block, *next;

	/* The structs lie in blocks that are unmapped last, since the list runs
	 * through them. */
	for (struct stack_span *span = source->mapped.first; span; span = span->next)
		rh_unmap((void *)span->base, (size_t)span->page_count * RH_STACK_PAGE);
	for (block = source->blocks; block; block = next) {
		next = block->next;
		rh_unmap(block, BLOCK_BYTES);
	}
}
