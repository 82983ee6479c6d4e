/*
 * choice.c - what a run of one setting says in words, above its table: which backends are shown to
 * be faster than the baseline, which slower, what they need of memory, and for which nothing is
 * shown. Where the trace has what its program took, worth.c says more in its place.
 *
 * Models and controls are nobody's choice: they are left out while something deployable is there.
 */
#include <math.h>
#include <stdlib.h>

#include "alloc/base/printable.h"
#include "harness/run/run.h"

struct option {
	const char *name;
	const struct rh_metric *time;
	enum rh_tone tone;
	double memory; /* peak, relative to the baseline's; NaN = not measured */
};

static int by_time(const void *a, const void *b)
{
	double x = ((const struct option *)a)->time->median;
	double y = ((const struct option *)b)->time->median;

	return (x > y) - (x < y);
}

static bool is_option(const struct rh_result *result, uint32_t b, bool models)
{
	const struct rh_run_backend *backend = &result->backends[b];

	return b != result->baseline && b != result->floor && !backend->control &&
	       (models || backend->deployable);
}

static size_t options_of(const struct rh_result *result, const struct rh_trial *like, bool models,
			 struct option *list)
{
	size_t count = 0;

	for (uint32_t b = 0; b < result->backend_count; b++) {
		const struct rh_metric *time = rh_metric_like(result, like, b, "time.ratio");
		struct rh_estimate memory = { .ratio = NAN };

		if (!time || !is_option(result, b, models))
			continue;
		rh_result_ratio(result, like, b, "memory.rss_peak_bytes", &memory);
		list[count++] = (struct option){
			.name = result->backends[b].text,
			.time = time,
			.tone = rh_time_tone(result, like, b),
			.memory = memory.ratio,
		};
	}
	qsort(list, count, sizeof(*list), by_time);
	return count;
}

static void print_option(const struct option *option, bool first, FILE *to)
{
	const struct rh_metric *time = option->time;
	double change = 100 * (option->memory - 1);

	rh_print(to, "%s%s%s %.2f [%.2f, %.2f]", first ? "" : ", ", option->name,
		 first ? " takes" : "", time->median, time->lo, time->hi);
	if (first)
		fputs(" of its time", to);
	if (fabs(change) >= 2)
		rh_print(to, " and %.0f %% %s peak memory", fabs(change),
			 change > 0 ? "more" : "less");
}

static size_t print_group(const struct option *list, size_t count, enum rh_tone tone, FILE *to)
{
	size_t said = 0;

	for (size_t i = 0; i < count; i++)
		if (list[i].tone == tone)
			print_option(&list[i], said++ == 0, to);
	return said;
}

static size_t count_tone(const struct option *list, size_t count, enum rh_tone tone)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		found += list[i].tone == tone;
	return found;
}

void rh_result_print_choice(const struct rh_result *result, const struct rh_trial *like, FILE *to)
{
	struct option *list = calloc(result->backend_count + 1, sizeof(*list));
	const char *base = result->backends[result->baseline].text;
	size_t count = list ? options_of(result, like, false, list) : 0, open;

	if (list && !count)
		count = options_of(result, like, true, list);
	if (!count || result->reps < 2) {
		free(list);
		return;
	}
	open = count - count_tone(list, count, RH_TONE_BETTER) -
	       count_tone(list, count, RH_TONE_WORSE);
	if (count_tone(list, count, RH_TONE_BETTER)) {
		rh_print(to, "Faster than %s: ", base);
		print_group(list, count, RH_TONE_BETTER, to);
	} else {
		rh_print(to, "Nothing is shown to be faster than %s", base);
	}
	if (count_tone(list, count, RH_TONE_WORSE)) {
		fputs("; slower: ", to);
		print_group(list, count, RH_TONE_WORSE, to);
	}
	for (size_t i = 0, said = 0; i < count && open; i++)
		if (list[i].tone != RH_TONE_BETTER && list[i].tone != RH_TONE_WORSE)
			rh_print(to, "%s%s", said++ ? ", " : "; no difference is shown for ",
				 list[i].name);
	fputs("\n\n", to);
	free(list);
}
