/*
 * whatif_replay.c - see whatif.h: a setting by a replay of all objects.
 *
 * fidelity.h replays every object on the heap of that Go, with deaths spread between the recorded
 * cycles (deaths.c), and its pacer starts the cycles. What sums per cycle do not know is there:
 *	when those were born who live on: between two cycles the heap may have fallen to nothing
 *	spans in caches: they count as live when a P takes them, half a MiB for each cycle
 *	what GOMEMLIMIT counts: spans with all their holes, which depend on who dies beside whom
 * The runtime's own structures, which a limit counts too, are constants (whatif_inside.h).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/fidelity/fidelity.h"
#include "harness/fidelity/whatif_inside.h"

enum { PAGE = 8192 };

#define GLOBALS_USUAL 160000.0 /* bytes with pointers, in all programs tried */
#define MARKING_MOST  10000.0  /* percent, as the heap takes it */

/* What is left of the limit for spans and stacks. */
static uint64_t left_of(const struct rh_whatif *whatif, uint64_t limit)
{
	uint64_t others = own_structures(whatif);

	return limit > others + PAGE ? limit - others : PAGE;
}

bool rh_whatif_knobs(const struct rh_whatif *whatif, const struct rh_whatif_setting *setting,
		     char *text, size_t bytes)
{
	char gogc[32] = "off", limit[64] = "";
	double stacks = 0, share = 0;

	for (uint32_t i = 0; i < whatif->count; i++)
		stacks += (double)whatif->cycles[i].stacks / whatif->count;
	if (whatif->roots > GLOBALS_USUAL && stacks > 0)
		share = (whatif->roots - GLOBALS_USUAL) / stacks;
	if (share > 1)
		share = 1;
	if (setting->gogc != WHATIF_OFF)
		snprintf(gogc, sizeof(gogc), "%" PRIu64, setting->gogc);
	if (setting->limit != WHATIF_OFF)
		snprintf(limit, sizeof(limit), ":limit=%" PRIu64, left_of(whatif, setting->limit));
	if ((size_t)snprintf(text, bytes, "gogc=%s%s:roots=%.0f:stacks=%.4f:marking=%.2f%%", gogc,
			     limit, whatif->roots - share * stacks, share,
			     fmin(100 * whatif->black, MARKING_MOST)) < bytes)
		return true;
	text[0] = '\0'; /* no program has roots of a hundred digits */
	return false;
}

int rh_whatif_replay(const struct rh_whatif *whatif, const char *path,
		     const struct rh_whatif_setting *setting, struct rh_whatif_outcome *outcome,
		     struct rh_err *err)
{
	struct rh_fidelity_opts how = {
		.oracle = true,
		.deaths = FIDELITY_SPREAD,
		.marked_before = rh_whatif_marked_before(whatif, setting->traced),
		.alone = whatif->recorder && !setting->traced,
	};
	char knobs[128];
	struct rh_fidelity *run;
	bool *asked_for = calloc(whatif->count, sizeof(*asked_for));

	if (!asked_for)
		return rh_fail(err, RH_OS, "no memory for the collections");
	for (uint32_t i = 0; i < whatif->count; i++)
		asked_for[i] = whatif->cycles[i].asked_for;
	how.asked_for = asked_for;
	how.asked_for_count = whatif->count;
	rh_whatif_knobs(whatif, setting, knobs, sizeof(knobs));
	how.setting = knobs;
	run = rh_fidelity_run(path, &how, err);
	free(asked_for);
	if (!run)
		return -1;
	*outcome = rh_whatif_ask(whatif, setting);
	outcome->replayed = true;
	outcome->cycles = run->cycles[1];
	outcome->marked = run->sums.marked;
	outcome->goal_mean = run->cycles[1] ? (double)run->sums.goals / (double)run->cycles[1] : 0;
	if (run->sums.live_peak || !run->cycles[1])
		outcome->peak_ended = outcome->peak = run->sums.live_peak;
	if (outcome->peak < run->sums.live_last)
		outcome->peak = run->sums.live_last;
	outcome->limited = run->sums.limited > 0;
	outcome->tight = setting->limit != WHATIF_OFF &&
			 (double)run->sums.goals < TIGHT * (double)run->sums.marked;
	rh_fidelity_free(run);
	return 0;
}
