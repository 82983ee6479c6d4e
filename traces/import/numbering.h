/*
 * numbering.h - numbers that a file gives its objects and tasks in order of birth, where some
 * births are lost, over to those of the trace, which has no gaps.
 *
 *	file    0 1 2 - - 5 6 - 8		runs {first 3, count 2, before 0}, {7, 1, 2}
 *	trace   0 1 2     3 4   5
 *
 * Ownership: the runs are the structure's; free(runs) when done. It begins as zero. Memory:
 * O(runs), which is what damage there is. Thread rule: one thread.
 */
#ifndef RH_IMPORT_NUMBERING_H
#define RH_IMPORT_NUMBERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

/* Numbers that no event of the trace bears: `count` from `first` on, `before` ahead of them. */
struct rh_number_run {
	uint64_t first, count, before;
};

struct rh_numbering {
	struct rh_number_run *runs;
	size_t count, cap;
	uint64_t lost;
};

/* The number of the trace for one of the file; false when it was lost. */
bool rh_number_find(const struct rh_numbering *numbering, uint64_t *number);

/* `count` more are lost; `due` is the number of the file that comes next. */
int rh_numbers_lose(struct rh_numbering *numbering, uint64_t due, uint64_t count,
		    struct rh_err *err);

/* A number that was given up comes after all, and those behind it were not lost either: false when
 * it was not. */
bool rh_numbers_found(struct rh_numbering *numbering, uint64_t due, uint64_t number);

#endif
