/*
 * gate_json.c - a gate as a document, schema reheap.gate/1, and back.
 *
 * Everything a verdict rests on is in it: rule, raw blocks (one log ratio each, by metric,
 * in columns), pairs, counts, who served malloc on both sides, the machine. Numbers are
 * written with 17 digits, so that reading and judging again gives the same verdict.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/gate/gate_tell.h"
#include "harness/run/result.h"
#include "version.h"

enum { DIGITS = 17 };

/* JSON knows no infinity; null stands for "none". */
static json_t *real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static double real_of(const json_t *value, double none)
{
	return json_is_number(value) ? json_number_value(value) : none;
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		json_object_set_new(object, key, json_null());
}

static json_t *text(const char *value)
{
	json_t *made = json_string(value);

	return made ? made : json_string("(not UTF-8)");
}

/* ---- out ---- */

static json_t *host_object(const struct rh_gate *gate)
{
	const struct rh_host *host = &gate->host;
	json_t *object = json_object();

	set(object, "kernel", text(host->kernel));
	set(object, "cpu", text(host->cpu_model));
	set(object, "cpus", json_integer(host->cpus));
	set(object, "cpus_allowed", json_integer(host->cpus_allowed));
	set(object, "hypervisor", text(host->hypervisor));
	set(object, "governor", text(host->governor));
	set(object, "libc", text(host->libc));
	set(object, "memory_bytes", json_integer((json_int_t)host->memory_bytes));
	set(object, "load1", json_real(host->load1));
	set(object, "clock", text(gate->clock.name ? gate->clock.name : ""));
	set(object, "ns_per_tick", real(gate->clock.ns_per_tick));
	set(object, "granularity_ticks", json_integer((json_int_t)gate->clock.granularity_ticks));
	return object;
}

static json_t *side_object(const struct rh_gate_side *side)
{
	json_t *object = json_object();

	set(object, "label", text(side->label));
	set(object, "spec", text(side->spec ? side->spec->text : side->label));
	set(object, "malloc_path", text(side->malloc_path));
	set(object, "malloc_build_id", text(side->malloc_build_id));
	set(object, "heap_path", text(side->heap_path));
	set(object, "heap_build_id", text(side->heap_build_id));
	set(object, "file_sha256", text(side->file_sha256));
	set(object, "revision", text(side->revision));
	return object;
}

static json_t *metric_object(const struct rh_gate_scenario *scenario, int m)
{
	const struct rh_gate_result *result = &scenario->result[m];
	const struct rh_gate_look *look = &result->look;
	json_t *object = json_object();

	set(object, "name", text(rh_gate_metric_rows[m].name));
	set(object, "what", text(rh_gate_metric_rows[m].what));
	set(object, "unit", text("ln(candidate/baseline)"));
	set(object, "direction", text("lower-is-better"));
	set(object, "gates", json_boolean(result->gates));
	set(object, "threshold", real(result->rule.threshold));
	set(object, "margin", real(look->margin));
	set(object, "alpha", real(result->rule.alpha));
	set(object, "tests", json_integer(result->rule.tests));
	set(object, "median", real(look->median));
	set(object, "lo", real(look->lo));
	set(object, "hi", real(look->hi));
	set(object, "ratio", real(exp(look->median)));
	set(object, "pairs", json_integer(look->pairs));
	set(object, "blocks", json_integer((json_int_t)look->blocks));
	set(object, "within_sd", real(look->within_sd));
	set(object, "between_sd", real(look->between_sd));
	set(object, "by_pairs", json_boolean(look->clustered));
	set(object, "layout", json_boolean(look->layout));
	set(object, "verdict", text(rh_gate_verdict_name(look->verdict)));
	return object;
}

/* The raw samples, in columns: a few hundred numbers a metric. */
static json_t *samples_object(const struct rh_gate_scenario *scenario)
{
	static const char *const late_names[] = { "late_baseline", "late_candidate" };
	json_t *object = json_object(), *column;

	for (int m = 0; m < RH_GATE_PAIRED; m++) {
		column = json_array();
		for (size_t i = 0; i < scenario->block_count; i++)
			json_array_append_new(column, real(scenario->blocks[i].d[m]));
		set(object, rh_gate_metric_rows[m].name, column);
	}
	for (int s = 0; s < 2; s++) {
		column = json_array();
		for (size_t i = 0; i < scenario->block_count; i++)
			json_array_append_new(column, real(scenario->blocks[i].late[s]));
		set(object, late_names[s], column);
	}
	column = json_array();
	for (size_t i = 0; i < scenario->block_count; i++)
		json_array_append_new(column, json_integer(scenario->blocks[i].pair));
	set(object, "pair", column);
	column = json_array();
	for (size_t i = 0; i < scenario->block_count; i++)
		json_array_append_new(column, json_integer(scenario->blocks[i].unit));
	set(object, "unit", column);
	column = json_array();
	for (size_t i = 0; i < scenario->block_count; i++)
		json_array_append_new(column, text(scenario->blocks[i].baseline_first ? "ABBA" :
						   "BAAB"));
	set(object, "order", column);
	return object;
}

static json_t *pairs_array(const struct rh_gate_scenario *scenario)
{
	static const char *const names[] = { "baseline", "candidate" };
	json_t *array = json_array();

	for (size_t p = 0; p < scenario->pair_count; p++) {
		const struct rh_gate_pair_row *row = &scenario->pairs[p];
		json_t *object = json_object();

		set(object, "cpu", row->cpu == UINT32_MAX ? json_null() : json_integer(row->cpu));
		for (int s = 0; s < 2; s++) {
			json_t *side = json_object();

			for (int m = RH_GATE_PAIRED; m < RH_GATE_METRICS; m++)
				set(side, rh_gate_metric_rows[m].name, real(row->value[s][m]));
			set(side, "ns_per_event", real(row->ns_per_event[s]));
			set(side, "switches", json_integer((json_int_t)row->switches[s]));
			set(object, names[s], side);
		}
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *counts_array(const struct rh_gate_scenario *scenario)
{
	json_t *array = json_array();

	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];
		json_t *object = json_object();

		set(object, "name", text(row->name));
		set(object, "unit", text(row->unit));
		set(object, "source", text(row->source));
		set(object, "baseline", real(row->baseline));
		set(object, "candidate", real(row->candidate));
		set(object, "slack", real(row->slack));
		set(object, "limit", row->limit > 0 ? real(row->limit) : json_null());
		set(object, "failed", json_boolean(row->failed));
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *scenario_object(const struct rh_gate_scenario *scenario)
{
	json_t *object = json_object(), *metrics = json_array();

	set(object, "trace", text(scenario->trace));
	set(object, "sha256", text(scenario->sha256));
	set(object, "lanes", json_integer(scenario->lanes));
	set(object, "lanes_recorded", json_integer(scenario->lanes_recorded));
	set(object, "events", json_integer((json_int_t)scenario->events));
	set(object, "verdict", text(rh_gate_verdict_name(scenario->verdict)));
	set(object, "why", text(scenario->why));
	set(object, "note", text(scenario->note));
	set(object, "seconds", real(scenario->seconds));
	set(object, "turns_per_pass", json_integer((json_int_t)scenario->units));
	set(object, "lead", json_integer((json_int_t)scenario->lead));
	set(object, "turn_ns", real(scenario->unit_ns));
	set(object, "passes", json_integer(scenario->passes));
	set(object, "dropped", json_integer((json_int_t)scenario->dropped));
	set(object, "broken", json_boolean(scenario->broken));
	set(object, "apart", json_boolean(scenario->apart));
	if (scenario->stored) {
		set(object, "stored_median", real(scenario->stored_median));
		set(object, "stored_half", real(scenario->stored_half));
	}
	set(object, "disturbed_unevenly", json_boolean(scenario->disturbed_unevenly));
	for (int m = 0; m < RH_GATE_METRICS && scenario->block_count; m++)
		json_array_append_new(metrics, metric_object(scenario, m));
	set(object, "metrics", metrics);
	set(object, "counts", counts_array(scenario));
	set(object, "counted_events", json_integer((json_int_t)scenario->counted_events));
	set(object, "counts_absent", text(scenario->counts_absent));
	set(object, "calls_absent", text(scenario->calls_absent));
	set(object, "pairs", pairs_array(scenario));
	set(object, "samples", samples_object(scenario));
	return object;
}

static json_t *rule_object(const struct rh_gate_config *config)
{
	static const char *const tiers[] = { "wall", "deterministic", "both" };
	json_t *object = json_object(), *gates = json_object(), *limits = json_object();

	for (int m = 0; m < RH_GATE_METRICS; m++) {
		set(gates, rh_gate_metric_rows[m].name, json_boolean(config->metric_gates[m]));
		set(limits, rh_gate_metric_rows[m].name, real(config->metric_threshold[m]));
	}
	set(object, "tier", text(tiers[config->tier]));
	set(object, "gates", gates);
	set(object, "thresholds", limits);
	set(object, "counts_threshold", real(config->counts_threshold));
	set(object, "alpha", real(config->alpha));
	set(object, "pairs_min", json_integer((json_int_t)config->pairs_min));
	set(object, "pairs_max", json_integer((json_int_t)config->pairs_max));
	set(object, "blocks", json_integer((json_int_t)config->blocks));
	set(object, "touch", json_integer(config->touch));
	set(object, "improve_check", real(config->improve));
	set(object, "budget_ns_per_event", real(config->budget_ns));
	set(object, "seed", json_integer((json_int_t)(config->seed & INT64_MAX)));
	set(object, "inconclusive", text(config->inconclusive_passes ? "pass" :
					 config->inconclusive_fails ? "fail" : "exit-3"));
	return object;
}

static json_t *document_of(const struct rh_gate *gate)
{
	json_t *root = json_object(), *words = json_array(), *rows = json_array();
	json_t *notes = json_array();
	char when[40];
	struct tm tm;

	gmtime_r(&gate->started.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	for (int i = 0; i < gate->argc; i++)
		json_array_append_new(words, text(gate->argv[i]));
	for (size_t i = 0; i < gate->scenario_count; i++)
		json_array_append_new(rows, scenario_object(&gate->scenarios[i]));
	for (size_t i = 0; i < gate->warning_count; i++)
		json_array_append_new(notes, text(gate->warnings[i]));
	set(root, "schema", text("reheap.gate/1"));
	set(root, "tool", text("reheap " RH_VERSION));
	set(root, "started", text(when));
	set(root, "argv", words);
	set(root, "verdict", text(rh_gate_verdict_name(gate->verdict)));
	set(root, "exit", json_integer(gate->exit));
	set(root, "seconds", real(gate->seconds));
	if (gate->unfinished)
		set(root, "unfinished", json_true());
	set(root, "rule", rule_object(&gate->config));
	set(root, "host", host_object(gate));
	set(root, "baseline", side_object(&gate->side[0]));
	set(root, "candidate", side_object(&gate->side[1]));
	set(root, "scenarios", rows);
	set(root, "notes", notes);
	return root;
}

int rh_gate_write_json(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	json_t *root = document_of(gate);
	char *dump = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(DIGITS));
	struct rh_outfile out;
	int result = -1;

	json_decref(root);
	if (!dump)
		return rh_fail(err, RH_OS, "no memory for the document");
	if (rh_outfile_open(&out, path, err) == 0) {
		result = rh_write_all(out.fd, dump, strlen(dump), path, err);
		if (result == 0)
			result = rh_write_all(out.fd, "\n", 1, path, err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		rh_outfile_abandon(&out);
	}
	free(dump);
	return result;
}

/* ---- in ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static int read_rule(const json_t *rule, struct rh_gate_config *config, struct rh_err *err)
{
	static const char *const tiers[] = { "wall", "deterministic", "both" };
	const char *way = text_of(rule, "inconclusive");

	if (!json_is_object(rule))
		return rh_fail(err, RH_BAD_DATA, "there is no rule in it");
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const char *name = rh_gate_metric_rows[m].name;

		config->metric_gates[m] =
			json_is_true(json_object_get(json_object_get(rule, "gates"), name));
		config->metric_threshold[m] = real_of(
			json_object_get(json_object_get(rule, "thresholds"), name), 0.05);
	}
	for (int t = 0; t < 3; t++)
		if (strcmp(text_of(rule, "tier"), tiers[t]) == 0)
			config->tier = (enum rh_gate_tier)t;
	config->counts_threshold = real_of(json_object_get(rule, "counts_threshold"), 0.01);
	config->alpha = real_of(json_object_get(rule, "alpha"), 0.005);
	config->improve = real_of(json_object_get(rule, "improve_check"), 0);
	config->budget_ns = real_of(json_object_get(rule, "budget_ns_per_event"), 0);
	config->pairs_min = (uint64_t)real_of(json_object_get(rule, "pairs_min"), 3);
	config->pairs_max = (uint64_t)real_of(json_object_get(rule, "pairs_max"), 24);
	config->blocks = (uint64_t)real_of(json_object_get(rule, "blocks"), 40);
	config->seed = (uint64_t)real_of(json_object_get(rule, "seed"), 0);
	config->inconclusive_passes = strcmp(way, "pass") == 0;
	config->inconclusive_fails = strcmp(way, "fail") == 0;
	return 0;
}

static bool is_abba(const json_t *order)
{
	return json_is_string(order) && strcmp(json_string_value(order), "ABBA") == 0;
}

static int read_samples(const json_t *samples, struct rh_gate_scenario *row, struct rh_err *err)
{
	const json_t *pair = json_object_get(samples, "pair");
	size_t count = json_array_size(pair);

	for (size_t i = 0; i < count; i++) {
		struct rh_gate_block *block = rh_grow(&row->blocks, &row->block_count,
						      sizeof(*block));

		block->pair = (uint32_t)json_integer_value(json_array_get(pair, i));
		block->unit = (uint32_t)json_integer_value(
			json_array_get(json_object_get(samples, "unit"), i));
		block->baseline_first = is_abba(json_array_get(
			json_object_get(samples, "order"), i));
		block->late[0] = real_of(json_array_get(
			json_object_get(samples, "late_baseline"), i), 0);
		block->late[1] = real_of(json_array_get(
			json_object_get(samples, "late_candidate"), i), 0);
		for (int m = 0; m < RH_GATE_PAIRED; m++) {
			const json_t *column = json_object_get(samples,
							       rh_gate_metric_rows[m].name);

			if (json_array_size(column) != count)
				return rh_fail(err, RH_BAD_DATA, "samples of %s are not as many as "
					       "blocks", rh_gate_metric_rows[m].name);
			block->d[m] = real_of(json_array_get(column, i), NAN);
		}
		if (i && block->pair < block[-1].pair)
			return rh_fail(err, RH_BAD_DATA, "blocks are not in the order of pairs");
	}
	return 0;
}

static void read_pairs(const json_t *array, struct rh_gate_scenario *row)
{
	static const char *const names[] = { "baseline", "candidate" };
	size_t index;
	json_t *object;

	json_array_foreach(array, index, object) {
		struct rh_gate_pair_row *pair = rh_grow(&row->pairs, &row->pair_count,
							sizeof(*pair));

		pair->cpu = (uint32_t)real_of(json_object_get(object, "cpu"), UINT32_MAX);
		for (int s = 0; s < 2; s++) {
			const json_t *side = json_object_get(object, names[s]);

			for (int m = RH_GATE_PAIRED; m < RH_GATE_METRICS; m++)
				pair->value[s][m] = real_of(json_object_get(
					side, rh_gate_metric_rows[m].name), 0);
			pair->ns_per_event[s] = real_of(json_object_get(side, "ns_per_event"), 0);
			pair->switches[s] = (uint64_t)real_of(json_object_get(side, "switches"), 0);
		}
	}
}

static void read_counts(const json_t *array, struct rh_gate_scenario *row)
{
	size_t index;
	json_t *object;

	json_array_foreach(array, index, object) {
		if (row->count_count == RH_GATE_COUNTS_MAX)
			break;
		row->counts[row->count_count++] = (struct rh_gate_count){
			.name = text_of(object, "name"), .unit = text_of(object, "unit"),
			.source = text_of(object, "source"),
			.slack = real_of(json_object_get(object, "slack"), 0),
			.baseline = real_of(json_object_get(object, "baseline"), 0),
			.candidate = real_of(json_object_get(object, "candidate"), 0),
		};
	}
}

static int read_verdict(const char *name, enum rh_gate_verdict *verdict, struct rh_err *err)
{
	for (int v = RH_GATE_PASS; v <= RH_GATE_INVALID; v++)
		if (strcmp(name, rh_gate_verdict_name((enum rh_gate_verdict)v)) == 0) {
			*verdict = (enum rh_gate_verdict)v;
			return 0;
		}
	return rh_fail(err, RH_BAD_DATA, "it states no verdict");
}

static int read_scenario(const json_t *object, struct rh_gate_scenario *row, struct rh_err *err)
{
	row->trace = text_of(object, "trace");
	snprintf(row->sha256, sizeof(row->sha256), "%s", text_of(object, "sha256"));
	snprintf(row->why, sizeof(row->why), "%s", text_of(object, "why"));
	snprintf(row->note, sizeof(row->note), "%s", text_of(object, "note"));
	snprintf(row->counts_absent, sizeof(row->counts_absent), "%s",
		 text_of(object, "counts_absent"));
	snprintf(row->calls_absent, sizeof(row->calls_absent), "%s",
		 text_of(object, "calls_absent"));
	row->lanes = (uint32_t)real_of(json_object_get(object, "lanes"), 0);
	row->lanes_recorded = (uint32_t)real_of(json_object_get(object, "lanes_recorded"), 0);
	row->events = (uint64_t)real_of(json_object_get(object, "events"), 0);
	row->counted_events = (uint64_t)real_of(json_object_get(object, "counted_events"), 0);
	row->seconds = real_of(json_object_get(object, "seconds"), 0);
	row->units = (size_t)real_of(json_object_get(object, "turns_per_pass"), 0);
	row->lead = (size_t)real_of(json_object_get(object, "lead"), 0);
	row->unit_ns = real_of(json_object_get(object, "turn_ns"), 0);
	row->passes = (uint32_t)real_of(json_object_get(object, "passes"), 0);
	read_pairs(json_object_get(object, "pairs"), row);
	read_counts(json_object_get(object, "counts"), row);
	if (read_samples(json_object_get(object, "samples"), row, err) < 0)
		return -1;
	/* What did not come to its end stays so: samples cannot tell. */
	row->broken = json_is_true(json_object_get(object, "broken"));
	row->apart = json_is_true(json_object_get(object, "apart"));
	row->stored = json_is_real(json_object_get(object, "stored_half"));
	row->stored_median = real_of(json_object_get(object, "stored_median"), 0);
	row->stored_half = real_of(json_object_get(object, "stored_half"), 0);
	return row->broken ? read_verdict(text_of(object, "verdict"), &row->verdict, err) : 0;
}

static int read_root(struct rh_gate *gate, const json_t *root, enum rh_gate_verdict *stored,
		     struct rh_err *err)
{
	const json_t *rows = json_object_get(root, "scenarios");
	size_t index;
	json_t *object;

	if (strcmp(text_of(root, "schema"), "reheap.gate/1") != 0)
		return rh_fail(err, RH_BAD_DATA, "it is not a document of schema reheap.gate/1");
	if (read_rule(json_object_get(root, "rule"), &gate->config, err) < 0 ||
	    read_verdict(text_of(root, "verdict"), stored, err) < 0)
		return -1;
	gate->side[0].label = text_of(json_object_get(root, "baseline"), "label");
	gate->side[1].label = text_of(json_object_get(root, "candidate"), "label");
	gate->seconds = real_of(json_object_get(root, "seconds"), 0);
	gate->unfinished = json_is_true(json_object_get(root, "unfinished"));
	json_array_foreach(rows, index, object)
		if (read_scenario(object, rh_grow(&gate->scenarios, &gate->scenario_count,
						  sizeof(struct rh_gate_scenario)), err) < 0)
			return -1;
	if (gate->scenario_count == 0)
		return rh_fail(err, RH_BAD_DATA, "there is no scenario in it");
	return 0;
}

int rh_gate_read_json(struct rh_gate *gate, const char *path, json_t **document,
		      enum rh_gate_verdict *stored, struct rh_err *err)
{
	json_error_t where;

	*document = json_load_file(path, 0, &where);
	if (!*document)
		return rh_fail(err, access(path, R_OK) == 0 ? RH_BAD_DATA : RH_NO_INPUT,
			       "%s, line %d: %s", path, where.line, where.text);
	if (read_root(gate, *document, stored, err) < 0)
		return rh_err_prefix(err, "%s", path);
	return 0;
}
