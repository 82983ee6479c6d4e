/*
 * stored.c - a baseline that is a file.
 *
 * Absolute times of two runs cannot be compared (the same code differed by 2 x from one
 * process to the next on a busy VM), but ratios to something that runs next to the candidate
 * can: the reference, a built-in backend that changes only with reheap itself. The stored file
 * is a whole document of a gate `candidate against reference`; later the new candidate runs
 * against the same reference, and the difference of the two medians is judged with both
 * intervals.
 *
 * That holds on the same kind of machine only, so CPU model, number of CPUs, kernel, libc,
 * version of reheap, reference and touch must be those of the file, and every trace of
 * the file (by its hash, at its lanes) must be there: anything else is NO_BASELINE.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ci/gate/extra.h"
#include "version.h"
#include "ci/gate/report.h"
#include "harness/result/load.h"

enum { PAIRS_STORED = 8, DAYS_OLD = 30 };
#define THRESHOLD_ADVISED 0.10
#define LOG_MAX		  100.0 /* of a ratio that was measured */

bool rh_gate_is_stored(const struct rh_gate_opts *o)
{
	size_t length = o->baseline ? strlen(o->baseline) : 0;

	return o->save_baseline || (length > 5 && strcmp(o->baseline + length - 5, ".json") == 0);
}

/* ---- saving ---- */

static bool alike(const struct rh_gate *a, const struct rh_gate *b, double threshold)
{
	for (size_t i = 0; i < a->scenario_count && i < b->scenario_count; i++) {
		const struct rh_gate_look *x = &a->scenarios[i].result[RH_GATE_WALL].look;
		const struct rh_gate_look *y = &b->scenarios[i].result[RH_GATE_WALL].look;

		if (!(fabs(x->median - y->median) < rh_gate_margin(threshold)))
			return false;
	}
	return a->scenario_count == b->scenario_count;
}

int rh_gate_may_store(const struct rh_gate *gate, struct rh_err *err)
{
	const struct rh_gate_side *candidate = &gate->side[1];

	if (rh_gate_is_dirty(candidate->revision))
		return rh_fail(err, RH_INVALID,
			       "%s lies in a git tree with uncommitted changes "
			       "(%s): it would not be known later what this baseline was; commit "
			       "them, or name git:REVISION",
			       candidate->label, candidate->revision);
	if (gate->host.load1 > gate->host.cpus_allowed)
		return rh_fail(err, RH_INVALID,
			       "the load is %.1f on %u CPU%s: a baseline is made "
			       "on a quiet machine",
			       gate->host.load1, gate->host.cpus_allowed,
			       gate->host.cpus_allowed == 1 ? "" : "s");
	return 0;
}

/* A scenario that was measured to its end may be stored, whatever its verdict, if its interval is
 * narrow enough to separate a threshold from no change. */
int rh_gate_worth_storing(const struct rh_gate *gate, struct rh_err *err)
{
	for (size_t i = 0; i < gate->scenario_count; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];
		const struct rh_gate_look *look = &row->result[RH_GATE_WALL].look;

		if (row->broken || !row->block_count)
			return rh_fail(err, RH_INVALID, "%s cannot be stored: %.400s", row->trace,
				       row->why[0] ? row->why : "nothing was measured");
		if (!((look->hi - look->lo) / 2 < look->margin))
			return rh_fail(err, RH_INVALID,
				       "%s cannot be stored: its interval of "
				       "+-%.1f %% is wider than half the threshold; a quieter "
				       "machine or a wider threshold is needed",
				       row->trace, 50 * (look->hi - look->lo));
	}
	return 0;
}

static int capture(struct rh_gate *gate, struct rh_err *err)
{
	if (rh_gate_prepare(gate, err) < 0 || rh_gate_may_store(gate, err) < 0 ||
	    rh_gate_run(gate, err) < 0)
		return -1;
	return rh_gate_worth_storing(gate, err);
}

/* Measured twice: a baseline that the same machine cannot repeat within a minute is useless. */
static int save(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	struct rh_gate again = { .config = gate->config, .host = gate->host, .clock = gate->clock };
	int result;

	again.config.seed++;
	if (capture(gate, err) < 0)
		return -1;
	result = capture(&again, err);
	if (result == 0 && !alike(gate, &again, gate->config.threshold))
		result = rh_fail(err, RH_INVALID,
				 "a second capture differs by more than half the "
				 "threshold: this machine is too busy to store a baseline on (load "
				 "%.1f on %u CPUs)",
				 gate->host.load1, gate->host.cpus_allowed);
	rh_gate_free(&again);
	for (size_t i = 0; i < gate->scenario_count && result == 0; i++) {
		gate->scenarios[i].verdict = RH_GATE_PASS;
		snprintf(gate->scenarios[i].note, sizeof(gate->scenarios[i].note),
			 "stored as a baseline: ratios to the reference are not judged");
	}
	gate->verdict = RH_GATE_PASS;
	gate->exit = RH_OK;
	return result < 0 ? -1 : rh_gate_write_json(gate, o->save_baseline, err);
}

/* ---- comparing ---- */

static int same(const char *what, const char *stored, const char *now, struct rh_err *err)
{
	if (strcmp(stored, now) == 0)
		return 0;
	return rh_fail(err, RH_NO_BASELINE, "it was made with %s '%s', this is '%s'", what, stored,
		       now);
}

static int same_place(const struct rh_gate *gate, const json_t *root, struct rh_err *err)
{
	const json_t *host = json_object_get(root, "host");
	char stored[64], now[64];
	const char *kernel = rh_gate_text(host, "kernel");

	snprintf(stored, sizeof(stored), "%.*s", (int)strcspn(kernel, "."), kernel);
	snprintf(now, sizeof(now), "%.*s", (int)strcspn(gate->host.kernel, "."), gate->host.kernel);
	if (same("the kernel", stored, now, err) < 0 ||
	    same("the CPU", rh_gate_text(host, "cpu"), gate->host.cpu_model, err) < 0 ||
	    same("the C library", rh_gate_text(host, "libc"), gate->host.libc, err) < 0 ||
	    same("the version", rh_gate_text(root, "tool"), "reheap " RH_VERSION, err) < 0)
		return -1;
	snprintf(stored, sizeof(stored), "%lld",
		 (long long)json_integer_value(json_object_get(host, "cpus_allowed")));
	snprintf(now, sizeof(now), "%u", gate->host.cpus_allowed);
	return same("CPUs to run on:", stored, now, err);
}

static const json_t *find(const json_t *root, const char *sha256, uint32_t lanes)
{
	const json_t *rows = json_object_get(root, "scenarios");
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row) if (strcmp(rh_gate_text(row, "sha256"), sha256) == 0 &&
						 json_integer_value(json_object_get(
							 row, "lanes")) == lanes) return row;
	return NULL;
}

int rh_gate_match_stored(const struct rh_gate *gate, struct rh_gate_scenario *scenario,
			 struct rh_err *err)
{
	const json_t *row = find(gate->config.stored, scenario->sha256, scenario->lanes);
	const json_t *wall = json_array_get(json_object_get(row, "metrics"), RH_GATE_WALL);
	const json_t *lo = json_object_get(wall, "lo"), *hi = json_object_get(wall, "hi");

	if (!row)
		return rh_fail(err, RH_NO_BASELINE,
			       "the stored baseline has no such trace at %u "
			       "lanes (sha256 %.12s)",
			       scenario->lanes, scenario->sha256);
	if (!json_is_number(lo) || !json_is_number(hi) || fabs(json_number_value(lo)) > LOG_MAX ||
	    fabs(json_number_value(hi)) > LOG_MAX)
		return rh_fail(err, RH_NO_BASELINE, "the stored baseline has no interval for it");
	scenario->stored = true;
	scenario->stored_median = json_number_value(json_object_get(wall, "median"));
	scenario->stored_half = (json_number_value(hi) - json_number_value(lo)) / 2;
	return 0;
}

/* Nothing of the stored set may go missing silently. */
static void check_set(struct rh_gate *gate)
{
	const json_t *rows = json_object_get(gate->config.stored, "scenarios");
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row)
	{
		bool here = false;

		for (size_t i = 0; i < gate->scenario_count; i++)
			here |= strcmp(gate->scenarios[i].sha256, rh_gate_text(row, "sha256")) == 0;
		if (here)
			continue;
		rh_gate_warn(gate,
			     "the stored baseline also has %s, which was not given: the sets "
			     "differ",
			     rh_gate_text(row, "trace"));
		if (gate->verdict == RH_GATE_PASS || gate->verdict == RH_GATE_INCONCLUSIVE) {
			gate->verdict = RH_GATE_NO_BASELINE;
			gate->exit = RH_NO_BASELINE;
		}
	}
}

/* What it holds is in range, whichever part of it is used later. */
static int check_document(const char *path, struct rh_err *err)
{
	struct rh_gate read = { 0 };
	enum rh_gate_verdict verdict;
	json_t *document = NULL;
	int result = rh_gate_read_json(&read, path, &document, &verdict, err);

	rh_gate_free(&read);
	json_decref(document);
	if (result < 0)
		err->code = RH_NO_BASELINE;
	return result;
}

static int compare(const char *path, json_t **root, struct rh_gate *gate, struct rh_err *err)
{
	const char *reference;

	*root = rh_json_load(path, err);
	if (!*root) {
		err->code = RH_NO_BASELINE;
		return -1;
	}
	if (check_document(path, err) < 0)
		return -1;
	reference = rh_gate_text(json_object_get(*root, "baseline"), "spec");
	if (strcmp(rh_gate_text(*root, "schema"), "reheap.gate/1") != 0 || !*reference)
		return rh_fail(err, RH_NO_BASELINE,
			       "it is not a stored baseline "
			       "(--save-baseline makes one)");
	if (json_is_true(json_object_get(*root, "unfinished")))
		return rh_fail(err, RH_NO_BASELINE, "it is of a gate that was cut");
	if (same_place(gate, *root, err) < 0)
		return -1;
	gate->config.stored = *root;
	gate->config.baseline = reference;
	return 0;
}

/* Its age and class of machine, by which a reader judges a comparison over time. */
static void note_age(const char *path, const json_t *root, struct rh_gate *gate)
{
	const json_t *host = json_object_get(root, "host");
	struct tm tm = { 0 };
	double days;

	if (!strptime(rh_gate_text(root, "started"), "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		rh_gate_warn(gate, "stored baseline %s does not say when it was made", path);
		return;
	}
	days = difftime(gate->started.tv_sec, timegm(&tm)) / 86400;
	rh_gate_warn(gate, "stored baseline %s: %.1f days old, of %s, %lld CPUs, %s%s", path, days,
		     rh_gate_text(host, "cpu"),
		     (long long)json_integer_value(json_object_get(host, "cpus_allowed")),
		     rh_gate_text(host, "libc"),
		     days < 0	       ? "; its clock was ahead of this one"
		     : days > DAYS_OLD ? "; older than 30 days: make it anew"
				       : "");
}

int rh_gate_stored(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	struct rh_gate_config *config = &gate->config;
	static json_t *root;
	int result;

	for (int m = 0; m < RH_GATE_METRICS; m++)
		config->metric_gates[m] = m == RH_GATE_WALL;
	if (config->pairs_min < PAIRS_STORED)
		config->pairs_min = PAIRS_STORED;
	if (config->pairs_max < config->pairs_min)
		config->pairs_max = config->pairs_min;
	if (o->save_baseline) {
		config->pairs_max = config->pairs_min;
		config->baseline = o->reference;
		return save(o, gate, err);
	}
	config->baseline_label = o->baseline;
	if (compare(o->baseline, &root, gate, err) < 0)
		return rh_err_prefix(err, "stored baseline %s", o->baseline);
	result = rh_gate_prepare(gate, err) < 0 ? -1 : rh_gate_run(gate, err);
	note_age(o->baseline, root, gate);
	if (config->threshold < THRESHOLD_ADVISED)
		rh_gate_warn(gate,
			     "a stored baseline can show differences of %.0f %% at best; "
			     "--threshold 10%% or a baseline that runs here is advised",
			     100 * THRESHOLD_ADVISED);
	if (result == 0)
		check_set(gate);
	json_decref(root);
	root = NULL;
	config->stored = NULL;
	return result;
}
