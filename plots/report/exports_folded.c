/*
 * exports_folded.c - which functions execute more instructions than the baseline's, as folded
 * stacks with two counts: `object;function BASELINE BACKEND`, per 1000 events.
 *
 * Differential flame graphs are drawn from this (flamegraph.pl reads it directly; red has
 * grown, blue has shrunk). The counts are callgrind's self costs, so a stack is an object and a
 * function in it; functions that are not among a result's most expensive ones are `(other)`.
 * ';', space and line end are replaced in names, because they are structure.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report/exports.h"
#include "plots/figure/figure.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/result/pool.h"

enum { FUNCTIONS_MAX = 64, NAME_BYTES = 160 };

struct function {
	char name[NAME_BYTES]; /* "object;function" */
	double ir[2];	       /* per event: baseline, backend */
};

struct profile {
	struct function list[2 * FUNCTIONS_MAX + 1];
	size_t count;
};

static const struct rh_callgrind_found *callgrind_of(const struct rh_view *view, size_t scene,
						     size_t style)
{
	const struct rh_trial_done **list;
	size_t count = rh_view_trials(view, scene, style, &list);

	/* Once a place, not in every trial. */
	for (size_t i = 0; i < count; i++)
		if (list[i]->probes && list[i]->probes->callgrind)
			return list[i]->probes->callgrind;
	return NULL;
}

static void fold_name(char *to, const char *object, const char *function)
{
	size_t split;

	snprintf(to, NAME_BYTES, "%.60s", object ? rh_base_name(object) : "?");
	split = strlen(to);
	snprintf(to + split, NAME_BYTES - split, "|%.90s", function ? function : "?");
	for (char *at = to; *at; at++)
		if (*at == ';' || (unsigned char)*at <= ' ')
			*at = '_';
	to[split] = ';';
}

static void add(struct profile *profile, const char *name, int side, double ir)
{
	size_t i = 0;

	while (i < profile->count && strcmp(profile->list[i].name, name) != 0)
		i++;
	if (i == sizeof(profile->list) / sizeof(profile->list[0]))
		return;
	if (i == profile->count)
		snprintf(profile->list[profile->count++].name, NAME_BYTES, "%s", name);
	profile->list[i].ir[side] += ir;
}

static double instructions_of(const struct rh_callgrind_found *found)
{
	for (size_t i = 0; i < found->totals_count; i++)
		if (strcmp(found->totals[i].name, "Ir") == 0)
			return found->totals[i].value;
	return NAN;
}

static void add_side(struct profile *profile, const struct rh_callgrind_found *found, int side)
{
	double rest = instructions_of(found) / (double)found->events;

	for (size_t i = 0; i < found->functions_count && i < FUNCTIONS_MAX; i++) {
		const struct rh_function_cost *row = &found->functions[i];
		char name[NAME_BYTES];

		if (!isfinite(row->ir))
			break;
		fold_name(name, row->object, row->name);
		add(profile, name, side, row->ir);
		rest -= row->ir;
	}
	if (isfinite(rest) && rest > 0)
		add(profile, "(other)", side, rest);
}

/* "instructions-2-tiered_profile_1.22.folded"; numbered, since names may fold together. */
static void file_name(const struct rh_view *view, size_t scene, size_t style, char *name,
		      size_t bytes)
{
	static const char fits[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";
	size_t used;

	snprintf(name, bytes, "instructions-%zu-", scene * view->style_count + style + 1);
	used = strlen(name);
	snprintf(name + used, bytes - used, "%.60s", view->styles[style].spec);
	for (char *at = name + used; *at; at++)
		if (!strchr(fits, *at))
			*at = '_';
	used = strlen(name);
	snprintf(name + used, bytes - used, ".folded");
}

static int write_one(const struct rh_view *view, size_t scene, size_t style, const char *dir,
		     struct rh_err *err)
{
	const struct rh_callgrind_found *base = callgrind_of(view, scene, (size_t)view->baseline);
	const struct rh_callgrind_found *own = callgrind_of(view, scene, style);
	struct profile *profile;
	char name[128], *text = NULL;
	size_t bytes = 0;
	FILE *to;
	int result;

	if (!base || !own)
		return 0;
	profile = rh_pool_alloc(view->pool, 1, sizeof(*profile));
	add_side(profile, base, 0);
	add_side(profile, own, 1);
	to = rh_memory_text(&text, &bytes);
	for (size_t i = 0; i < profile->count; i++)
		rh_print(to, "%s %.0f %.0f\n", profile->list[i].name, 1000 * profile->list[i].ir[0],
			 1000 * profile->list[i].ir[1]);
	fclose(to);
	file_name(view, scene, style, name, sizeof(name));
	result = rh_figure_put(dir, name, text, bytes, err);
	free(text);
	return result;
}

int rh_exports_folded(const struct rh_view *view, const char *dir, struct rh_err *err)
{
	for (size_t s = 0; view->baseline >= 0 && s < view->scene_count; s++)
		for (size_t b = 0; b < view->style_count; b++)
			if ((int)b != view->baseline && write_one(view, s, b, dir, err) < 0)
				return -1;
	return 0;
}
