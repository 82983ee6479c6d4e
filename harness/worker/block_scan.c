/*
 * block_scan.c - looks at all live blocks at once: what they waste, and which of them share a
 * line (harness/control/blocks.h).
 *
 * Live blocks are found as for a drain (rh_alive_find), listed and sorted by address (radix
 * sort: libc's qsort takes memory from malloc), and the lines are counted in one sweep. Lanes
 * rest meanwhile, so this thread may use their handles.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "harness/control/blocks.h"
#include "harness/worker/worker.h"

enum { LINE_SHIFT = 6, DIGIT_BITS = 8, ADDRESS_BITS = 48, SEAT_BITS = 16 };
_Static_assert(ADDRESS_BITS / DIGIT_BITS % 2 == 0, "sorting ends in the array it began in");
_Static_assert(RH_CTL_SEATS_MAX < 1 << SEAT_BITS, "a seat fits its bits");

struct block {
	uint64_t address;
	uint64_t size_seat; /* size in the high 48 bits, seat in the low 16 */
};

struct block_scan {
	struct block *block, *spare;
	size_t count, room;
	struct rh_block_scan *out;
};

static void take_copy(struct worker *worker, struct copy *copy, struct block_scan *scan)
{
	const struct rh_backend *ops = &worker->spec.layer[0].ops;
	uint32_t slots = worker->program.head->slots;

	for (uint32_t s = 0; s < slots; s++) {
		const struct lane *lane = rh_alive_lane(worker, copy, s);
		uint64_t size = rh_alive_size(worker, s);

		if (!lane || !copy->slots[s] || scan->count == scan->room)
			continue;
		rh_debug_assert(size < 1ull << (64 - SEAT_BITS) && lane->number < worker->seats);
		scan->out->objects++;
		scan->out->requested += size;
		scan->out->usable += ops->usable(lane->heap, copy->slots[s], size);
		scan->block[scan->count++] =
			(struct block){ (uint64_t)(uintptr_t)copy->slots[s],
					(size ? size : 1) << SEAT_BITS | lane->number };
	}
}

/* By address, lowest digit first; the result is in `block` because the number of digits is even. */
static void sort(struct block_scan *scan)
{
	size_t start[1 << DIGIT_BITS];

	for (int shift = 0; shift < ADDRESS_BITS; shift += DIGIT_BITS) {
		const uint64_t mask = (1 << DIGIT_BITS) - 1;
		struct block *kept = scan->block;
		size_t sum = 0;

		memset(start, 0, sizeof(start));
		for (size_t i = 0; i < scan->count; i++)
			start[scan->block[i].address >> shift & mask]++;
		for (size_t d = 0; d <= mask; d++) {
			size_t count = start[d];

			start[d] = sum;
			sum += count;
		}
		assert(sum == scan->count);
		for (size_t i = 0; i < scan->count; i++)
			scan->spare[start[kept[i].address >> shift & mask]++] = kept[i];
		scan->block = scan->spare;
		scan->spare = kept;
	}
}

/* One sweep over units of 1 << shift bytes: how many hold a block, and how many blocks of two
 * seats. Only the first and the last unit of a block can be shared. */
static void count_units(const struct block_scan *scan, int shift, uint64_t *units, uint64_t *shared)
{
	uint64_t at = UINT64_MAX, owner = 0, mixed = 0;

	*units = *shared = 0;
	for (size_t i = 0; i < scan->count; i++) {
		const struct block *block = &scan->block[i];
		uint64_t seat = block->size_seat & ((1 << SEAT_BITS) - 1);
		uint64_t first = block->address >> shift;
		uint64_t last = (block->address + (block->size_seat >> SEAT_BITS) - 1) >> shift;

		rh_debug_assert(i == 0 || block[-1].address <= block->address);
		if (first == at) {
			mixed |= owner != seat;
		} else {
			*shared += mixed;
			*units += 1;
			owner = seat;
			mixed = 0;
			at = first;
		}
		if (last > first) {
			*shared += mixed;
			*units += last - first;
			owner = seat;
			mixed = 0;
			at = last;
		}
	}
	*shared += mixed;
}

void rh_block_scan(struct worker *worker)
{
	struct rh_block_scan *out = rh_ctl_area(worker->ctl, RH_AREA_BLOCKS);
	struct block_scan scan = { .out = out };
	uint64_t objects, bytes, none;
	size_t room_bytes;

	if (!out)
		return;
	*out = (struct rh_block_scan){ 0 };
	scan.room = (size_t)worker->ctl->copies * worker->program.head->slots;
	room_bytes = (scan.room + 1) * sizeof(struct block);
	scan.block = rh_map(room_bytes);
	scan.spare = rh_map(room_bytes);
	if (!scan.block || !scan.spare)
		rh_give_up(worker, NULL, RH_OS, "no memory to scan %zu blocks", scan.room);
	for (uint32_t k = 0; k < worker->ctl->copies; k++) {
		rh_alive_find(worker, &worker->copies[k], &objects, &bytes);
		take_copy(worker, &worker->copies[k], &scan);
		rh_alive_drop(worker);
	}
	sort(&scan);
	count_units(&scan, LINE_SHIFT, &out->lines, &out->lines_shared);
	count_units(&scan, __builtin_ctzl(rh_page_bytes()), &out->pages, &none);
	assert(out->lines_shared <= out->lines && out->pages <= out->lines);
	rh_unmap(scan.block, room_bytes);
	rh_unmap(scan.spare, room_bytes);
}
