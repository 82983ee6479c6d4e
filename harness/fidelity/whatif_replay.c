/*
 * whatif_replay.c - see whatif.h: a setting with a limit, by a replay of all objects.
 *
 * GOMEMLIMIT counts what is mapped and not released: spans with all their holes, stacks, and the
 * runtime's own structures (whatif_inside.h). Holes depend on which objects die next to each
 * other, so nothing that was summed up per cycle says how many there will be in spans of classes
 * that nobody asks for. The heap itself does: fidelity.h replays every object on it, with deaths
 * spread between the recorded cycles (deaths.c), and its pacer starts the cycles.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "harness/fidelity/fidelity.h"
#include "harness/fidelity/whatif_inside.h"

enum { PAGE = 8192 };

#define GLOBALS_USUAL 160000.0 /* bytes with pointers, in all programs tried */
#define MARKING_MOST  10000.0  /* percent, as the heap takes it */

/* What is left of the limit for spans and stacks. */
static uint64_t left_of(const struct rh_whatif *whatif, uint64_t limit)
{
	uint64_t marked = 0, others;

	for (uint32_t i = 0; i < whatif->count; i++)
		marked += whatif->cycles[i].marked / whatif->count;
	others = own_structures(marked);
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
		.alone = whatif->recorder && !setting->traced,
	};
	char knobs[128];
	struct rh_fidelity *run;

	rh_whatif_knobs(whatif, setting, knobs, sizeof(knobs));
	how.setting = knobs;
	run = rh_fidelity_run(path, &how, err);
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
	outcome->tight = (double)run->sums.goals < TIGHT * (double)run->sums.marked;
	rh_fidelity_free(run);
	return 0;
}
