/*
 * numbering.c - see numbering.h. Runs are in the order of the file, so one is found by halving.
 */
#include "traces/import/numbering.h"

#include "alloc/base/grow.h"

bool rh_number_find(const struct rh_numbering *numbering, uint64_t *number)
{
	size_t low = 0, high = numbering->count;
	const struct rh_number_run *run;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (numbering->runs[middle].first <= *number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return true;
	run = &numbering->runs[low - 1];
	if (*number - run->first < run->count)
		return false;
	*number -= run->before + run->count;
	return true;
}

/* The run that ends before `due`; NULL when the number before it was borne. */
static struct rh_number_run *last_run(const struct rh_numbering *numbering, uint64_t due)
{
	struct rh_number_run *last =
		numbering->count ? &numbering->runs[numbering->count - 1] : NULL;

	return last && last->first + last->count == due ? last : NULL;
}

int rh_numbers_lose(struct rh_numbering *numbering, uint64_t due, uint64_t count,
		    struct rh_err *err)
{
	struct rh_number_run *last = last_run(numbering, due);

	if (last) {
		last->count += count;
	} else {
		if (!rh_reserve(&numbering->runs, &numbering->cap, numbering->count + 1,
				sizeof(*numbering->runs)))
			return rh_no_memory(err, "numbers that were lost");
		numbering->runs[numbering->count++] = (struct rh_number_run){
			.first = due, .count = count, .before = numbering->lost
		};
	}
	numbering->lost += count;
	return 0;
}

bool rh_numbers_found(struct rh_numbering *numbering, uint64_t due, uint64_t number)
{
	struct rh_number_run *last = last_run(numbering, due);

	if (!last || number < last->first || number >= due)
		return false;
	numbering->lost -= due - number;
	last->count -= due - number;
	numbering->count -= last->count == 0;
	return true;
}
