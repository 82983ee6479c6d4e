/*
 * resume.c - resumes an interrupted gate.
 *
 * With --resume FILE all samples so far are written there after each pair (a document of
 * json.c marked "unfinished", renamed into place, so that a SIGKILL leaves the last
 * whole one). The same command reads it, takes over the pairs of every scenario and continues
 * with the next; a finished gate removes it. Pairs are independent and the rule is applied
 * after each of them, so a pause between two changes nothing.
 *
 * "The same command" is checked: version, machine, rule, both sides' names and the
 * sha256 of their libraries. Samples of another allocator are never taken over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ci/gate/extra.h"
#include "version.h"
#include "ci/gate/report.h"

static struct {
	struct rh_gate gate;
	json_t *document;
} kept;

/* ---- does the file belong to this command? ---- */

static int same(const char *what, const char *then, const char *now, struct rh_err *err)
{
	if (strcmp(then, now) == 0)
		return 0;
	return rh_fail(err, RH_USAGE, "it was begun with %s '%.100s', this is '%.100s'", what, then,
		       now);
}

static int same_side(const json_t *then, const struct rh_gate_side *now, const char *name,
		     struct rh_err *err)
{
	char what[64];

	snprintf(what, sizeof(what), "the %s", name);
	if (same(what, rh_gate_text(then, "label"), now->label, err) < 0)
		return -1;
	snprintf(what, sizeof(what), "a library of the %s of sha256", name);
	return same(what, rh_gate_text(then, "file_sha256"), now->file_sha256, err);
}

static int same_rule(const struct rh_gate *gate, struct rh_err *err)
{
	const struct rh_gate_config *now = &gate->config, *then = &kept.gate.config;
	const json_t *rule = json_object_get(kept.document, "rule");
	bool alike = now->tier == then->tier && now->alpha == then->alpha &&
		     now->improve == then->improve && now->budget_ns == then->budget_ns &&
		     now->counts_threshold == then->counts_threshold &&
		     now->pairs_min == then->pairs_min && now->pairs_max == then->pairs_max &&
		     now->blocks == then->blocks &&
		     (json_int_t)now->touch == json_integer_value(json_object_get(rule, "touch"));

	for (int m = 0; m < RH_GATE_METRICS; m++)
		alike &= now->metric_gates[m] == then->metric_gates[m] &&
			 now->metric_threshold[m] == then->metric_threshold[m];
	return alike ? 0 : rh_fail(err, RH_USAGE, "it was begun with other options");
}

static int check(const struct rh_gate *gate, struct rh_err *err)
{
	const json_t *host = json_object_get(kept.document, "host");

	if (!kept.gate.unfinished)
		return rh_fail(err, RH_USAGE, "it is the result of a gate that came to its end");
	if (same("version", rh_gate_text(kept.document, "tool"), "reheap " RH_VERSION, err) < 0 ||
	    same("CPU", rh_gate_text(host, "cpu"), gate->host.cpu_model, err) < 0 ||
	    same("kernel", rh_gate_text(host, "kernel"), gate->host.kernel, err) < 0 ||
	    same_side(json_object_get(kept.document, "baseline"), &gate->side[0], "baseline", err) <
		    0 ||
	    same_side(json_object_get(kept.document, "candidate"), &gate->side[1], "candidate",
		      err) < 0)
		return -1;
	return same_rule(gate, err);
}

/* ---- in ---- */

int rh_gate_open_kept(struct rh_gate *gate, struct rh_err *err)
{
	const char *path = gate->config.resume;
	enum rh_gate_verdict stored;

	if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
		return 0;
	memset(&kept, 0, sizeof(kept));
	if (rh_gate_read_json(&kept.gate, path, &kept.document, &stored, err) == 0 &&
	    check(gate, err) == 0)
		return 0;
	err->code = RH_USAGE;
	rh_err_prefix(err, "--resume %s cannot be gone on with (remove it to begin anew)", path);
	rh_gate_close_kept(gate, false);
	return -1;
}

static struct rh_gate_scenario *find(const struct rh_gate_scenario *like)
{
	for (size_t i = 0; i < kept.gate.scenario_count; i++) {
		struct rh_gate_scenario *row = &kept.gate.scenarios[i];

		if (strcmp(row->sha256, like->sha256) == 0 && row->lanes == like->lanes &&
		    row->apart == like->apart && !row->broken)
			return row;
	}
	return NULL;
}

/* Blocks must belong to the stored pairs, or they would be counted for later ones. */
int rh_gate_take_kept(struct rh_gate *gate, struct rh_gate_scenario *scenario, struct rh_err *err)
{
	struct rh_gate_scenario *row = kept.document ? find(scenario) : NULL;

	if (!row || !row->pair_count)
		return 0;
	if (row->block_count == 0 || row->blocks[row->block_count - 1].pair >= row->pair_count)
		return rh_fail(err, RH_INVALID,
			       "%s is damaged: its blocks are not those of its "
			       "pairs",
			       gate->config.resume);
	scenario->blocks = row->blocks;
	scenario->block_count = row->block_count;
	scenario->pairs = row->pairs;
	scenario->pair_count = row->pair_count;
	scenario->passes = row->passes;
	scenario->units = row->units;
	scenario->unit_ns = row->unit_ns;
	scenario->lead = row->lead;
	scenario->seconds = row->seconds;
	gate->seconds += row->seconds;
	row->blocks = NULL;
	row->pairs = NULL;
	row->block_count = row->pair_count = 0;
	rh_gate_warn(gate, "%s, %u lanes: %zu pairs are from %s, where this gate was cut",
		     scenario->trace, scenario->lanes, scenario->pair_count, gate->config.resume);
	return 0;
}

/* ---- out ---- */

int rh_gate_keep(struct rh_gate *gate, struct rh_err *err)
{
	int result;

	if (!gate->config.resume)
		return 0;
	gate->unfinished = true;
	gate->verdict = RH_GATE_INCONCLUSIVE;
	gate->exit = RH_INCONCLUSIVE;
	result = rh_gate_write_json(gate, gate->config.resume, err);
	gate->unfinished = false;
	return result;
}

void rh_gate_close_kept(struct rh_gate *gate, bool ended)
{
	if (ended && gate->config.resume)
		unlink(gate->config.resume);
	rh_gate_free(&kept.gate);
	json_decref(kept.document);
	memset(&kept, 0, sizeof(kept));
}
