/*
 * json.c - a gate as a document, schema reheap.gate/1 (json_read.c reads it).
 *
 * Everything a verdict rests on is in it: rule, raw blocks (one log ratio each, by metric,
 * in columns), pairs, counts, the library that served malloc on each side, the machine. Numbers
 * are written with 17 digits, so that reading and judging again gives the same verdict.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ci/gate/report.h"
#include "version.h"
#include "harness/result/result.h"

enum { DIGITS = 17 };

/* JSON has no infinity; null stands for "none". */
static json_t *real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
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
	set(object, "malloc_version", text(side->malloc_version));
	set(object, "heap_path", text(side->heap_path));
	set(object, "heap_build_id", text(side->heap_build_id));
	set(object, "heap_version", text(side->heap_version));
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
	set(object, "by_pairs", json_boolean(look->by_pairs));
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
		json_array_append_new(column,
				      text(scenario->blocks[i].baseline_first ? "ABBA" : "BAAB"));
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
			set(side, "kept_bytes", json_integer((json_int_t)row->kept[s]));
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
	json_t *object = json_object(), *metrics = json_array(), *spent = json_object();

	set(object, "trace", text(scenario->trace));
	set(object, "sha256", text(scenario->sha256));
	set(object, "lanes", json_integer(scenario->lanes));
	set(object, "lanes_recorded", json_integer(scenario->lanes_recorded));
	set(object, "events", json_integer((json_int_t)scenario->events));
	set(object, "live_objects_end", json_integer((json_int_t)scenario->live_objects_end));
	set(object, "live_bytes_end", json_integer((json_int_t)scenario->live_bytes_end));
	set(object, "verdict", text(rh_gate_verdict_name(scenario->verdict)));
	set(object, "why", text(scenario->why));
	set(object, "note", text(scenario->note));
	for (int p = 0; p < RH_GATE_PARTS; p++)
		set(spent, rh_gate_part_names[p], real(scenario->spent[p]));
	set(object, "seconds", real(scenario->seconds));
	set(object, "seconds_of", spent);
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
	set(object, "latency_by_default", json_boolean(!config->latency_asked));
	set(object, "pairs_max", json_integer((json_int_t)config->pairs_max));
	set(object, "blocks", json_integer((json_int_t)config->blocks));
	set(object, "touch", json_integer(config->touch));
	set(object, "improve_check", real(config->improve));
	set(object, "budget_ns_per_event", real(config->budget_ns));
	set(object, "seed", json_integer((json_int_t)(config->seed & INT64_MAX)));
	set(object, "inconclusive",
	    text(config->inconclusive_passes  ? "pass"
		 : config->inconclusive_fails ? "fail"
					      : "exit-3"));
	return object;
}

static json_t *cause_object(const struct rh_gate_cause *cause)
{
	json_t *object = json_object(), *by = json_object();

	set(object, "failed", text(cause->failed));
	set(object, "trace", text(cause->of->trace));
	set(object, "lanes", json_integer(cause->of->lanes));
	for (unsigned i = 0; i < cause->line_count; i++)
		set(by, cause->line[i].by, text(cause->line[i].text));
	set(object, "by", by);
	return object;
}

static json_t *causes_array(const struct rh_gate *gate)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < gate->cause_count; i++)
		json_array_append_new(rows, cause_object(&gate->causes[i]));
	return rows;
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
	if (gate->first_bad[0])
		set(root, "first_bad", text(gate->first_bad));
	if (gate->cause_count)
		set(root, "causes", causes_array(gate));
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
	char *dump =
		json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(DIGITS));
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
