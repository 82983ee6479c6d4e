/*
 * worth.c - the sentence above the tables of a run: the heap's share of the program, and what
 * another allocator would save (harness/result/worth.h). One for each trace, for its first
 * setting: the program ran once, with its own threads.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/result/worth.h"
#include "harness/run/run.h"

static bool print_one(const struct rh_result *result, const struct rh_trial *like, bool named,
		      FILE *to)
{
	const struct rh_metric *heap =
		rh_metric_like(result, like, result->baseline, "program.heap_share");
	struct rh_worth worth = { .trace = named ? rh_base_name(result->traces[like->trace].path)
						 : NULL };

	worth.rows = heap ? calloc(result->backend_count + 1, sizeof(*worth.rows)) : NULL;
	if (!worth.rows)
		return false;
	worth.base = result->backends[result->baseline].text;
	worth.heap = heap->median;
	for (uint32_t b = 0; b < result->backend_count; b++) {
		const struct rh_metric *m = rh_metric_like(result, like, b, "program.saved_share");

		if (m && result->backends[b].deployable && !result->backends[b].control)
			worth.rows[worth.count++] =
				(struct rh_worth_row){ result->backends[b].text, m->median, m->lo,
						       m->hi, m->level };
	}
	rh_worth_print(&worth, to);
	free(worth.rows);
	return true;
}

bool rh_result_print_worth(const struct rh_result *result, const struct rh_trial **places,
			   size_t count, FILE *to)
{
	bool said = false;

	for (size_t p = 0; p < count; p++) {
		bool first = true;

		for (size_t q = 0; q < p; q++)
			first &= places[q]->trace != places[p]->trace;
		if (first)
			said |= print_one(result, places[p], result->trace_count > 1, to);
	}
	if (said)
		fputc('\n', to);
	return said;
}
