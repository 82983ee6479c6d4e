/*
 * plan.c - reads a plan and fills in what it leaves out (plan.h).
 *
 * Replay itself checks its own words (lanes, probes, touch), in the pilot or the first cell;
 * this file checks the words that decide which cells exist.
 */
#include "harness/matrix/plan.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "alloc/base/opt.h"
#include "harness/control/ctl.h"

#define SELF struct rh_plan_machine
RH_RECORD_TABLE_CLOSED(plan_machine, RH_FIELDS_PLAN_MACHINE)
#undef SELF
#define SELF struct rh_plan_run
RH_RECORD_TABLE_CLOSED(plan_run, RH_FIELDS_PLAN_RUN)
#undef SELF
#define SELF struct rh_plan
RH_RECORD_TABLE_CLOSED(plan, RH_FIELDS_PLAN)
#undef SELF

const char *const rh_cell_kinds[] = { "timing", "deterministic", NULL };

enum { REPS_DEFAULT = 6, REPS_MAX = 10000 };

enum rh_cell_kind rh_plan_kind(const char *word)
{
	assert(word);
	return strcmp(word, rh_cell_kinds[RH_CELL_DETERMINISTIC]) == 0 ? RH_CELL_DETERMINISTIC
								       : RH_CELL_TIMING;
}

/* A list of numbers, or the word recorded. */
static int check_numbers(const char *path, const char *key, const char *list, bool recorded,
			 struct rh_err *err)
{
	for (const char *at = list;; at++) {
		size_t bytes = strcspn(at, ",");
		struct rh_err ignored;
		char word[32];
		uint64_t value;

		snprintf(word, sizeof(word), "%.*s", (int)bytes, at);
		if (!(recorded && strcmp(word, "recorded") == 0) &&
		    (rh_parse_uint(word, &value, &ignored) < 0 || value == 0 ||
		     value > RH_CTL_SEATS_MAX))
			return rh_fail(err, RH_USAGE,
				       "%s: \"%s\" takes numbers from 1 to %d%s, not '%.30s'", path,
				       key, RH_CTL_SEATS_MAX,
				       recorded ? " or the word recorded" : "", word);
		at += bytes;
		if (!*at)
			return 0;
	}
}

static int fill_run(struct rh_plan_run *run, const char *path, struct rh_err *err)
{
	bool counts;

	if (strcmp(run->kind, rh_cell_kinds[0]) != 0 && strcmp(run->kind, rh_cell_kinds[1]) != 0)
		return rh_fail(err, RH_USAGE,
			       "%s: \"kind\" is timing or deterministic, not '%.40s'", path,
			       run->kind);
	counts = rh_plan_kind(run->kind) == RH_CELL_DETERMINISTIC;
	run->lanes = run->lanes ? run->lanes : "1";
	run->copies = run->copies ? run->copies : "1";
	run->probes = run->probes ? run->probes : counts ? "counters" : "time,memory";
	run->touch = run->touch ? run->touch : "auto";
	run->reps = run->reps != UINT32_MAX ? run->reps : counts ? 1 : REPS_DEFAULT;
	run->passes = run->passes != UINT32_MAX ? run->passes : 1;
	if (run->reps < 1 || run->reps > REPS_MAX || run->passes < 1)
		return rh_fail(err, RH_USAGE, "%s: \"reps\" are from 1 to %d, \"passes\" from 1",
			       path, REPS_MAX);
	if (check_numbers(path, "lanes", run->lanes, true, err) < 0)
		return -1;
	return check_numbers(path, "copies", run->copies, false, err);
}

static int check_machines(struct rh_plan *plan, const char *path, struct rh_pool *pool,
			  struct rh_err *err)
{
	if (plan->machines_count == 0) {
		plan->machines = rh_pool_alloc(pool, 1, sizeof(*plan->machines));
		plan->machines_count = 1;
		rh_record_clear(&rh_plan_machine_type, plan->machines);
		plan->machines->name = "any";
	}
	for (size_t i = 0; i < plan->machines_count; i++) {
		const char *name = plan->machines[i].name;

		if (!*name || name[strcspn(name, " \t\n/")])
			return rh_fail(err, RH_USAGE,
				       "%s: '%.40s' is no name of a class of machines: letters, "
				       "digits, - and _",
				       path, name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(plan->machines[j].name, name) == 0)
				return rh_fail(err, RH_USAGE,
					       "%s: two classes of machines are called '%.40s'",
					       path, name);
	}
	return 0;
}

int rh_plan_read(struct rh_plan *plan, const char *path, struct rh_pool *pool, struct rh_err *err)
{
	if (rh_record_read(&rh_plan_type, plan,
			   &(struct rh_record_source){ .path = path, .schema = RH_PLAN_SCHEMA },
			   pool, err) < 0)
		return -1;
	plan->baseline = plan->baseline ? plan->baseline : "libc";
	plan->aa = isnan(plan->aa) ? 0.02 : plan->aa;
	plan->seed = plan->seed == UINT32_MAX ? 1 : plan->seed;
	if (!(plan->aa >= 0 && plan->aa <= 1))
		return rh_fail(err, RH_USAGE, "%s: \"aa\" is a share from 0 to 1", path);
	if (!plan->traces_count || !plan->backends_count || !plan->runs_count)
		return rh_fail(err, RH_USAGE, "%s: \"%s\" is empty: there is nothing to run", path,
			       !plan->traces_count     ? "traces"
			       : !plan->backends_count ? "backends"
						       : "runs");
	for (size_t i = 0; i < plan->traces_count; i++)
		if (!plan->traces[i] || !*plan->traces[i])
			return rh_fail(err, RH_USAGE, "%s: an empty text in \"traces\"", path);
	for (size_t i = 0; i < plan->backends_count; i++)
		if (!plan->backends[i] || !*plan->backends[i])
			return rh_fail(err, RH_USAGE, "%s: an empty text in \"backends\"", path);
	for (size_t i = 0; i < plan->runs_count; i++)
		if (fill_run(&plan->runs[i], path, err) < 0)
			return -1;
	return check_machines(plan, path, pool, err);
}
