/*
 * verify.c - the checks of --verify, which make an allocator test of any backend and any trace.
 *
 *	born	the block is aligned as asked (else as malloc promises: 16 from 16 bytes on,
 *		8 from 8; noscan blocks anyhow), the backend's usable size covers it, zeroed
 *		memory is zero; then it is filled with a pattern of its slot, copy and size, and
 *		what the usable size is more with 0xee: a usable size that is not there
 *		overwrites the neighbour
 *	dies	every word of the pattern is still there (at free, resize, and in the drain
 *		for whatever is live at the end)
 *	resized	the part both sizes share came along; then the pattern of the new size
 *	tasks	where calls turn into returns, at exit and now and then on the way: every frame
 *		of the stack is whole and every pointer in it points where it should
 *
 * Two live blocks that overlap cannot both keep their patterns, so overlap is found when the
 * first of them dies. Blocks up to WHOLE_BYTES are filled and checked whole; beyond that both
 * ends and a word in every page, of PAGES_MAX pages at most: a run with gigabyte objects stays
 * possible, and memory that was handed out twice or never mapped is still noticed.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "harness/worker/ops.h"
#include "harness/worker/worker.h"

enum { WHOLE_BYTES = 64 << 10, END_BYTES = 2048, PAGES_MAX = 16384 };

static uint64_t pattern_seed(const struct lane *lane, uint32_t slot, size_t size)
{
	uint64_t x = (uint64_t)(lane->copy - lane->worker->copies) << 32 | slot;

	x = (x ^ size * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	return (x ^ x >> 31) | 1;
}

static uint64_t pattern_word(uint64_t seed, size_t at)
{
	return (at + 1) * seed;
}

/* The offset of the word to look at after the one at `at`. */
static size_t next_word(size_t at, size_t words_bytes)
{
	size_t stride;

	if (words_bytes <= WHOLE_BYTES || at + 8 < END_BYTES || at + END_BYTES >= words_bytes)
		return at + 8;
	stride = (words_bytes / PAGES_MAX + RH_PAGE - 1) / RH_PAGE * RH_PAGE;
	assert(stride >= RH_PAGE); /* so that it ends */
	at = (at / stride + 1) * stride;
	return at + END_BYTES < words_bytes ? at : words_bytes - END_BYTES;
}

/* Every check is worded the same way: which object, where, what. */
static _Noreturn void violation(struct lane *lane, uint32_t slot, const void *p, size_t size,
				const char *what)
{
	rh_give_up(lane->worker, lane, RH_FAILED, "verify: %s (object of %zu bytes at %p, slot %u)",
		   what, size, p, slot);
}

static void check_words(struct lane *lane, uint32_t slot, const char *p, size_t size, size_t upto)
{
	size_t words_bytes = size & ~(size_t)7, seed = pattern_seed(lane, slot, size);
	char what[200];

	assert(upto <= size);
	for (size_t at = 0; at < words_bytes; at = next_word(at, words_bytes)) {
		uint64_t word, want = pattern_word(seed, at);

		if (at + 8 > upto)
			return;
		memcpy(&word, p + at, 8);
		if (word == want)
			continue;
		snprintf(what, sizeof(what),
			 "contents changed at offset %zu: %016llx, was %016llx; another block "
			 "overlaps it or claims to be larger than it is, or somebody wrote into it",
			 at, (unsigned long long)word, (unsigned long long)want);
		violation(lane, slot, p, size, what);
	}
	for (size_t at = words_bytes; at < size && at < upto; at++)
		if ((unsigned char)p[at] != (unsigned char)(seed >> (at & 7) * 8))
			violation(lane, slot, p, size, "contents changed in the last bytes");
}

static void fill(char *p, size_t size, uint64_t seed)
{
	size_t words_bytes = size & ~(size_t)7;

	assert(seed % 2 == 1); /* never all zeros, which check_zero would take for fresh memory */
	for (size_t at = 0; at < words_bytes; at = next_word(at, words_bytes)) {
		uint64_t word = pattern_word(seed, at);

		memcpy(p + at, &word, 8);
	}
	for (size_t at = words_bytes; at < size; at++)
		p[at] = (char)(seed >> (at & 7) * 8);
}

/* Writes all of the usable size that the allocator reports: if that is too much, it corrupts a
 * neighbour or the allocator's own data. */
static void fill_slack(char *p, size_t size, size_t usable)
{
	assert(usable >= size);
	if (usable - size > WHOLE_BYTES) {
		memset(p + size, 0xee, END_BYTES);
		memset(p + usable - END_BYTES, 0xee, END_BYTES);
	} else {
		memset(p + size, 0xee, usable - size);
	}
}

static size_t alignment_due(size_t size, size_t align)
{
	assert((align & (align - 1)) == 0);
	if (align)
		return align;
	if (size >= 16)
		return 16;
	return size >= 8 ? 8 : 1;
}

static void check_zero(struct lane *lane, uint32_t slot, const char *p, size_t size)
{
	size_t words_bytes = size & ~(size_t)7;
	uint64_t word;

	for (size_t at = 0; at < words_bytes; at = next_word(at, words_bytes)) {
		memcpy(&word, p + at, 8);
		if (word)
			violation(lane, slot, p, size, "memory asked for as zeroed is not zero");
	}
	for (size_t at = words_bytes; at < size; at++)
		if (p[at])
			violation(lane, slot, p, size, "memory asked for as zeroed is not zero");
}

static void check_place(struct lane *lane, uint32_t slot, void *p, size_t size, size_t align)
{
	size_t usable;
	char what[96];

	if ((uintptr_t)p % alignment_due(size, align)) {
		snprintf(what, sizeof(what), "not aligned to %zu bytes",
			 alignment_due(size, align));
		violation(lane, slot, p, size, what);
	}
	usable = lane->heap_ops->usable(lane->heap, p, size);
	if (usable < size)
		violation(lane, slot, p, size,
			  "the usable size is smaller than what was asked for");
	/* ThreadSanitizer's own malloc reports 1 usable byte for a block of 0 bytes, but means 0.
	 */
	if (size)
		fill_slack(p, size, usable);
}

void rh_verify_born(struct lane *lane, uint32_t slot, const struct rh_verify_birth *born)
{
	check_place(lane, slot, born->p, born->size, born->align);
	if (born->zeroed)
		check_zero(lane, slot, born->p, born->size);
	fill(born->p, born->size, pattern_seed(lane, slot, born->size));
}

void rh_verify_dies(struct lane *lane, uint32_t slot, const void *p, size_t size)
{
	check_words(lane, slot, p, size, size);
}

void rh_verify_resized(struct lane *lane, uint32_t slot, void *p, size_t size_old, size_t size_new)
{
	check_place(lane, slot, p, size_new, 0);
	check_words(lane, slot, p, size_old, size_old < size_new ? size_old : size_new);
	fill(p, size_new, pattern_seed(lane, slot, size_new));
}

void rh_verify_task(struct lane *lane, uint32_t slot)
{
	struct rh_err err;

	if (lane->tasks[slot] && lane->stack_ops->verify &&
	    lane->stack_ops->verify(lane->stack, lane->tasks[slot], &err) < 0)
		rh_give_up(lane->worker, lane, RH_FAILED, "verify: task in slot %u: %s", slot,
			   err.text);
}

/* Frames stay where a move put them until they return: checking at the first return of a row proves
 * all moves of the row. Checking at every op would make deep recursion quadratic. */
void rh_verify_task_op(struct lane *lane, const struct rh_op *op)
{
	enum { CALLS_BETWEEN = 64 };
	uint32_t slot = RH_OP_SLOT(op->what);
	uint64_t at = (uint64_t)(op - lane->seat->ops);

	switch (RH_OP_KIND(op->what)) {
	case RH_OP_CALL:
		if (at % CALLS_BETWEEN == 0)
			rh_verify_task(lane, slot);
		break;
	case RH_OP_RETURN:
		if (at && RH_OP_KIND(op[-1].what) != RH_OP_RETURN)
			rh_verify_task(lane, slot);
		break;
	case RH_OP_EXIT:
		rh_verify_task(lane, slot);
		break;
	}
}
