/*
 * addresses.c - see addresses.h.
 */
#include "traces/format/addresses.h"

#include <assert.h>
#include <string.h>

#include "traces/format/huge_alloc.h"

enum { GROUP_BYTES = BLOCKS_GROUP * BLOCKS_PAGE_IDS * sizeof(uint64_t) };

void rh_blocks_close(struct rh_blocks *blocks)
{
	for (int i = 0; i < BLOCKS_GROUPS; i++)
		rh_huge_free(blocks->group[i], GROUP_BYTES);
	rh_map_close(&blocks->far);
	rh_map_close(&blocks->pages);
	memset(blocks, 0, sizeof *blocks);
}

bool rh_blocks_reserve(struct rh_blocks *blocks, size_t more)
{
	return rh_map_reserve(&blocks->far, more);
}

static uint64_t *page_at(const struct rh_blocks *blocks, uint64_t index)
{
	assert(index < blocks->page_count);
	return blocks->group[index / BLOCKS_GROUP] + index % BLOCKS_GROUP * BLOCKS_PAGE_IDS;
}

/* Where there is no memory for one more there never will be: what lies there is in the hash table,
 * and must stay there. */
static uint64_t *new_page(struct rh_blocks *blocks, uint64_t number)
{
	uint32_t index = blocks->page_count;
	uint64_t **group = &blocks->group[index / BLOCKS_GROUP % BLOCKS_GROUPS];

	blocks->full |= index == BLOCKS_GROUP * BLOCKS_GROUPS;
	if (!blocks->full && index % BLOCKS_GROUP == 0)
		*group = rh_huge_alloc(GROUP_BYTES);
	if (blocks->full || !*group || !rh_map_put(&blocks->pages, number, index)) {
		blocks->full = true;
		return NULL;
	}
	blocks->page_count++;
	return page_at(blocks, index);
}

uint64_t *rh_blocks_page(struct rh_blocks *blocks, uint64_t address, bool make)
{
	uint64_t number = address >> BLOCKS_PAGE_LOG2, index = rh_map_get(&blocks->pages, number);
	uint64_t *ids;

	if (index != RH_MAP_NONE)
		ids = page_at(blocks, index);
	else
		ids = make && !blocks->full ? new_page(blocks, number) : NULL;
	if (ids)
		blocks->seen[number % BLOCKS_SEEN] = (struct blocks_seen){ number + 1, ids };
	return ids;
}
