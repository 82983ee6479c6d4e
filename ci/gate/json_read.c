/*
 * json_read.c - reads a gate's document back and checks everything in it.
 *
 * Every number has a range and every field a kind; a missing or null value gets the default
 * given here, and anything else is refused with its path ("scenarios[0].pairs[2].cpu"). The
 * first fault is the one reported. Limits are those of the number's type in memory, or of what
 * a gate can write.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ci/gate/report.h"
#include "harness/result/load.h"
#include "harness/result/result.h"

enum { PATH_BYTES = 160, TEXT_MAX = 4096 };
#define WHOLE_MAX  9007199254740992.0 /* 2^53: whole numbers of JSON are exact up to here */
#define LOG_MAX	   100.0	      /* of a ratio: e^100 is no measurement */
#define FIGURE_MAX 1e18
#define SHARES_MAX 10.0

/* Where we are in the document. */
struct place {
	char path[PATH_BYTES];
	struct rh_err *err;
	bool failed;
};

static void enter(struct place *inner, const struct place *outer, const char *key, size_t index)
{
	*inner = (struct place){ .err = outer->err };
	if (index == SIZE_MAX)
		snprintf(inner->path, sizeof(inner->path), "%.100s%s%.40s", outer->path,
			 outer->path[0] ? "." : "", key);
	else
		snprintf(inner->path, sizeof(inner->path), "%.100s%s%.30s[%zu]", outer->path,
			 outer->path[0] ? "." : "", key, index);
}

static void refuse(struct place *place, const char *key, const char *what)
{
	if (!place->failed)
		rh_fail(place->err, RH_BAD_DATA, "%s%s%s %s", place->path,
			place->path[0] ? "." : "", key, what);
	place->failed = true;
}

static bool is_absent(const json_t *value)
{
	return !value || json_is_null(value);
}

/* A number from lo to hi; missing: none. */
static double figure(struct place *place, const json_t *value, const char *key,
		     const double range[2], double none)
{
	double number = json_number_value(value);
	char what[120];

	if (is_absent(value))
		return none;
	if (json_is_number(value) && number >= range[0] && number <= range[1])
		return number;
	snprintf(what, sizeof(what), "must be a number from %.9g to %.9g", range[0], range[1]);
	refuse(place, key, what);
	return none;
}

static double number_of(struct place *place, const json_t *object, const char *key,
			const double range[2], double none)
{
	return figure(place, json_object_get(object, key), key, range, none);
}

static uint64_t whole(struct place *place, const json_t *value, const char *key, double most,
		      uint64_t none)
{
	const double range[] = { 0, most };
	double number;
	char what[120];

	if (is_absent(value))
		return none;
	number = figure(place, value, key, range, 0);
	if (number == floor(number))
		return (uint64_t)number;
	snprintf(what, sizeof(what), "must be a whole number from 0 to %.0f", most);
	refuse(place, key, what);
	return none;
}

static uint64_t whole_of(struct place *place, const json_t *object, const char *key, double most,
			 uint64_t none)
{
	return whole(place, json_object_get(object, key), key, most, none);
}

static bool flag_of(struct place *place, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!is_absent(value) && !json_is_boolean(value))
		refuse(place, key, "must be true or false");
	return json_is_true(value);
}

static const char *text_of(struct place *place, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (is_absent(value))
		return "";
	if (!json_is_string(value) || json_string_length(value) > TEXT_MAX)
		refuse(place, key, "must be a text of at most 4096 bytes");
	return json_is_string(value) ? json_string_value(value) : "";
}

/* An object or an array; missing: NULL, whose members are all missing. */
static const json_t *part_of(struct place *place, const json_t *object, const char *key, bool array)
{
	const json_t *value = json_object_get(object, key);

	if (is_absent(value))
		return NULL;
	if (array ? json_is_array(value) : json_is_object(value))
		return value;
	refuse(place, key, array ? "must be an array" : "must be an object");
	return NULL;
}

/* ---- the rule ---- */

static void read_limits(struct place *place, const json_t *rule, struct rh_gate_config *config)
{
	static const double shares[] = { 0, SHARES_MAX };
	const json_t *gates = part_of(place, rule, "gates", false);
	const json_t *limits = part_of(place, rule, "thresholds", false);
	struct place at;

	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const char *name = rh_gate_metric_rows[m].name;

		enter(&at, place, "gates", SIZE_MAX);
		config->metric_gates[m] = flag_of(&at, gates, name);
		place->failed |= at.failed;
		enter(&at, place, "thresholds", SIZE_MAX);
		config->metric_threshold[m] = number_of(&at, limits, name, shares, 0.05);
		place->failed |= at.failed;
	}
	config->latency_asked = !flag_of(place, rule, "latency_by_default");
}

static int word_of(struct place *place, const json_t *object, const char *key,
		   const char *const words[3])
{
	const char *text = text_of(place, object, key);

	for (int w = 0; w < 3; w++)
		if (strcmp(text, words[w]) == 0)
			return w;
	if (*text)
		refuse(place, key, "is none of the words that are known");
	return 0;
}

static int read_rule(struct place *outer, const json_t *root, struct rh_gate_config *config)
{
	static const char *const tiers[] = { "wall", "deterministic", "both" };
	static const char *const ways[] = { "exit-3", "pass", "fail" };
	static const double shares[] = { 0, SHARES_MAX }, alphas[] = { 1e-9, 0.5 };
	static const double figures[] = { 0, FIGURE_MAX };
	const json_t *rule = part_of(outer, root, "rule", false);
	struct place place;
	int way;

	if (!rule && !outer->failed)
		refuse(outer, "rule", "is missing");
	enter(&place, outer, "rule", SIZE_MAX);
	read_limits(&place, rule, config);
	config->tier = (enum rh_gate_tier)word_of(&place, rule, "tier", tiers);
	config->counts_threshold = number_of(&place, rule, "counts_threshold", shares, 0.01);
	config->alpha = number_of(&place, rule, "alpha", alphas, 0.005);
	config->improve = number_of(&place, rule, "improve_check", shares, 0);
	config->budget_ns = number_of(&place, rule, "budget_ns_per_event", figures, 0);
	config->pairs_min = whole_of(&place, rule, "pairs_min", 10000, 3);
	config->pairs_max = whole_of(&place, rule, "pairs_max", 10000, 24);
	config->blocks = whole_of(&place, rule, "blocks", 100000, 40);
	config->seed = whole_of(&place, rule, "seed", 18446744073709549568.0, 0);
	way = word_of(&place, rule, "inconclusive", ways);
	config->inconclusive_passes = way == 1;
	config->inconclusive_fails = way == 2;
	return outer->failed || place.failed ? -1 : 0;
}

/* ---- a scenario ---- */

/* The range of a number, and its default when missing. */
struct domain {
	double range[2], none;
};

static double sample(struct place *place, const json_t *samples, const char *name, size_t i,
		     const struct domain *domain)
{
	const json_t *column = json_object_get(samples, name);
	char key[64];

	snprintf(key, sizeof(key), "%.40s[%zu]", name, i);
	return figure(place, json_array_get(column, i), key, domain->range, domain->none);
}

static void read_block(struct place *place, const json_t *samples, size_t i,
		       struct rh_gate_block *block)
{
	static const struct domain shares = { { 0, 1 }, 0 }, logs = { { -LOG_MAX, LOG_MAX }, NAN };
	const json_t *order = json_array_get(json_object_get(samples, "order"), i);

	block->pair = (uint32_t)whole(place, json_array_get(json_object_get(samples, "pair"), i),
				      "pair", 10000, 0);
	block->unit = (uint32_t)whole(place, json_array_get(json_object_get(samples, "unit"), i),
				      "unit", UINT32_MAX, 0);
	block->baseline_first =
		json_is_string(order) && strcmp(json_string_value(order), "ABBA") == 0;
	block->late[0] = sample(place, samples, "late_baseline", i, &shares);
	block->late[1] = sample(place, samples, "late_candidate", i, &shares);
	for (int m = 0; m < RH_GATE_PAIRED; m++) {
		const char *name = rh_gate_metric_rows[m].name;

		block->d[m] = sample(place, samples, name, i, &logs);
	}
}

static void read_samples(struct place *outer, const json_t *scenario, struct rh_gate_scenario *row)
{
	const json_t *samples = part_of(outer, scenario, "samples", false);
	const json_t *pair;
	struct place place;
	size_t count;

	enter(&place, outer, "samples", SIZE_MAX);
	pair = part_of(&place, samples, "pair", true);
	count = json_array_size(pair);
	for (int m = 0; m < RH_GATE_PAIRED; m++)
		if (json_array_size(json_object_get(samples, rh_gate_metric_rows[m].name)) != count)
			refuse(&place, rh_gate_metric_rows[m].name, "has not as many as blocks");
	for (size_t i = 0; i < count && !place.failed; i++) {
		struct rh_gate_block *block =
			rh_grow(&row->blocks, &row->block_count, sizeof(*block));

		read_block(&place, samples, i, block);
		if (i && block->pair < block[-1].pair)
			refuse(&place, "pair", "is not in ascending order");
	}
	outer->failed |= place.failed;
}

static void read_side(struct place *outer, const json_t *pair, int s, struct rh_gate_pair_row *row)
{
	static const char *const names[] = { "baseline", "candidate" };
	static const double figures[] = { 0, FIGURE_MAX };
	const json_t *side = part_of(outer, pair, names[s], false);
	struct place place;

	enter(&place, outer, names[s], SIZE_MAX);
	for (int m = RH_GATE_PAIRED; m < RH_GATE_METRICS; m++)
		row->value[s][m] =
			number_of(&place, side, rh_gate_metric_rows[m].name, figures, NAN);
	row->ns_per_event[s] = number_of(&place, side, "ns_per_event", figures, NAN);
	row->switches[s] = whole_of(&place, side, "switches", WHOLE_MAX, 0);
	row->kept[s] = whole_of(&place, side, "kept_bytes", WHOLE_MAX, 0);
	outer->failed |= place.failed;
}

static void read_pairs(struct place *outer, const json_t *scenario, struct rh_gate_scenario *row)
{
	const json_t *array = part_of(outer, scenario, "pairs", true), *object;

	for (size_t i = 0; i < json_array_size(array) && !outer->failed; i++) {
		struct rh_gate_pair_row *pair =
			rh_grow(&row->pairs, &row->pair_count, sizeof(*pair));
		struct place place;

		enter(&place, outer, "pairs", i);
		object = json_array_get(array, i);
		if (!json_is_object(object))
			refuse(&place, "", "must be an object");
		pair->cpu = (uint32_t)whole_of(&place, object, "cpu", UINT32_MAX, UINT32_MAX);
		for (int s = 0; s < 2; s++)
			read_side(&place, object, s, pair);
		outer->failed |= place.failed;
	}
}

static void read_counts(struct place *outer, const json_t *scenario, struct rh_gate_scenario *row)
{
	static const double figures[] = { 0, FIGURE_MAX };
	const json_t *array = part_of(outer, scenario, "counts", true);

	if (json_array_size(array) > RH_GATE_COUNTS_MAX)
		refuse(outer, "counts", "has more than 16 rows");
	for (size_t i = 0; i < json_array_size(array) && !outer->failed; i++) {
		const json_t *object = json_array_get(array, i);
		struct rh_gate_count *count = &row->counts[row->count_count++];
		struct place place;

		enter(&place, outer, "counts", i);
		*count = (struct rh_gate_count){
			.name = text_of(&place, object, "name"),
			.unit = text_of(&place, object, "unit"),
			.source = text_of(&place, object, "source"),
			.slack = number_of(&place, object, "slack", figures, 0),
			.baseline = number_of(&place, object, "baseline", figures, 0),
			.candidate = number_of(&place, object, "candidate", figures, 0),
		};
		outer->failed |= place.failed;
	}
}

static int read_verdict(struct place *place, const json_t *object, enum rh_gate_verdict *verdict)
{
	const char *name = text_of(place, object, "verdict");

	for (int v = RH_GATE_PASS; v <= RH_GATE_INVALID; v++)
		if (strcmp(name, rh_gate_verdict_name((enum rh_gate_verdict)v)) == 0) {
			*verdict = (enum rh_gate_verdict)v;
			return 0;
		}
	refuse(place, "verdict", "is no verdict");
	return -1;
}

static void read_texts(struct place *place, const json_t *object, struct rh_gate_scenario *row)
{
	row->trace = text_of(place, object, "trace");
	snprintf(row->sha256, sizeof(row->sha256), "%s", text_of(place, object, "sha256"));
	snprintf(row->why, sizeof(row->why), "%s", text_of(place, object, "why"));
	snprintf(row->note, sizeof(row->note), "%s", text_of(place, object, "note"));
	snprintf(row->counts_absent, sizeof(row->counts_absent), "%s",
		 text_of(place, object, "counts_absent"));
	snprintf(row->calls_absent, sizeof(row->calls_absent), "%s",
		 text_of(place, object, "calls_absent"));
}

static int read_scenario(struct place *place, const json_t *object, struct rh_gate_scenario *row)
{
	static const double figures[] = { 0, FIGURE_MAX }, logs[] = { -LOG_MAX, LOG_MAX };
	static const double halves[] = { 0, LOG_MAX };

	if (!json_is_object(object))
		refuse(place, "", "must be an object");
	read_texts(place, object, row);
	row->lanes = (uint32_t)whole_of(place, object, "lanes", UINT32_MAX, 0);
	row->lanes_recorded = (uint32_t)whole_of(place, object, "lanes_recorded", UINT32_MAX, 0);
	row->events = whole_of(place, object, "events", WHOLE_MAX, 0);
	row->counted_events = whole_of(place, object, "counted_events", WHOLE_MAX, 0);
	row->seconds = number_of(place, object, "seconds", figures, 0);
	row->units = whole_of(place, object, "turns_per_pass", UINT32_MAX, 0);
	row->lead = whole_of(place, object, "lead", UINT32_MAX, 0);
	row->unit_ns = number_of(place, object, "turn_ns", figures, 0);
	row->passes = (uint32_t)whole_of(place, object, "passes", UINT32_MAX, 0);
	read_pairs(place, object, row);
	read_counts(place, object, row);
	read_samples(place, object, row);
	/* An unfinished scenario stays unfinished: its samples do not show that. */
	row->broken = flag_of(place, object, "broken");
	row->apart = flag_of(place, object, "apart");
	row->stored = !is_absent(json_object_get(object, "stored_half"));
	row->stored_median = number_of(place, object, "stored_median", logs, 0);
	row->stored_half = number_of(place, object, "stored_half", halves, 0);
	if (row->broken)
		read_verdict(place, object, &row->verdict);
	return place->failed ? -1 : 0;
}

static const char *label_of(struct place *outer, const json_t *root, const char *side)
{
	const json_t *object = part_of(outer, root, side, false);
	struct place place;
	const char *label;

	enter(&place, outer, side, SIZE_MAX);
	label = text_of(&place, object, "label");
	outer->failed |= place.failed;
	return label;
}

static int read_root(struct rh_gate *gate, const json_t *root, enum rh_gate_verdict *stored,
		     struct rh_err *err)
{
	static const double figures[] = { 0, FIGURE_MAX };
	struct place place = { .err = err };
	const json_t *rows;

	if (strcmp(text_of(&place, root, "schema"), "reheap.gate/1") != 0)
		return rh_fail(err, RH_BAD_DATA, "it is not a document of schema reheap.gate/1");
	if (read_rule(&place, root, &gate->config) < 0 || read_verdict(&place, root, stored) < 0)
		return -1;
	gate->side[0].label = label_of(&place, root, "baseline");
	gate->side[1].label = label_of(&place, root, "candidate");
	gate->seconds = number_of(&place, root, "seconds", figures, 0);
	gate->unfinished = flag_of(&place, root, "unfinished");
	rows = part_of(&place, root, "scenarios", true);
	for (size_t i = 0; i < json_array_size(rows) && !place.failed; i++) {
		struct rh_gate_scenario *row =
			rh_grow(&gate->scenarios, &gate->scenario_count, sizeof(*row));
		struct place at;

		enter(&at, &place, "scenarios", i);
		if (read_scenario(&at, json_array_get(rows, i), row) < 0)
			return -1;
	}
	if (!place.failed && gate->scenario_count == 0)
		refuse(&place, "scenarios", "is empty");
	return place.failed ? -1 : 0;
}

int rh_gate_read_json(struct rh_gate *gate, const char *path, json_t **document,
		      enum rh_gate_verdict *stored, struct rh_err *err)
{
	*document = rh_json_load(path, err);
	if (!*document)
		return -1;
	if (read_root(gate, *document, stored, err) < 0)
		return rh_err_prefix(err, "%s", path);
	return 0;
}
