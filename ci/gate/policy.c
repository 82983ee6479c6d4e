/*
 * policy.c - a project's requirements on its allocator, kept in its repository.
 *
 *	{
 *	  "schema": "reheap.policy/1",
 *	  "traces": ["traces/server.rht"],		paths from the policy file's folder
 *	  "lanes": "1,cpus,many",		which is what it is when nothing is said
 *	  "tier": "both",
 *	  "threshold": "5%",
 *	  "metrics": { "wall": "5%", "p99": "20%", "rss": "10%" },	these gate
 *	  "counts": "1%",
 *	  "improve-check": "50%",
 *	  "budget": { "ns-per-event": 40 },
 *	  "inconclusive": "exit-3"
 *	}
 *
 * An unknown word is an error: a misread policy protects nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ci/gate/extra.h"
#include "harness/result/load.h"
#include "harness/result/result.h"
#include "alloc/base/suggest.h"

/* A larger limit protects nothing. */
#define SHARE_MAX 10.0

static int metric_named(const char *name)
{
	for (int m = 0; m < RH_GATE_METRICS; m++)
		if (strcmp(rh_gate_metric_rows[m].name, name) == 0)
			return m;
	return -1;
}

static void set_defaults(struct rh_gate_config *config)
{
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		double own = rh_gate_metric_rows[m].threshold;

		config->metric_threshold[m] = own > 0 ? own : config->threshold;
		config->metric_gates[m] = false;
	}
}

/* One row of the table gates, at `share` (0: its own limit). */
static int set_row(struct rh_gate_config *config, int metric, double share, struct rh_err *err)
{
	const char *name = rh_gate_metric_rows[metric].name;

	config->metric_gates[metric] = true;
	if (share == 0)
		return 0;
	config->metric_threshold[metric] = share;
	if (!(share <= SHARE_MAX))
		return rh_fail(err, RH_USAGE, "metric %s: a limit above %.0f%% protects nothing",
			       name, 100 * SHARE_MAX);
	if (share < 0.005)
		return rh_fail(err, RH_USAGE,
			       "metric %s: a threshold below 0.5 %% cannot be decided by time",
			       name);
	return 0;
}

static int no_such_metric(const char *name, struct rh_err *err)
{
	static const char *const of_all_kinds[] = { "p50", "p99", "p99.9" };
	struct rh_suggestion near = rh_suggestion_for(name, strlen(name));
	const char *meant;

	for (int m = 0; m < RH_GATE_METRICS; m++)
		rh_suggest_consider(&near, rh_gate_metric_rows[m].name);
	for (size_t i = 0; i < sizeof(of_all_kinds) / sizeof(of_all_kinds[0]); i++)
		rh_suggest_consider(&near, of_all_kinds[i]);
	meant = rh_suggest_nearest(&near);
	return rh_fail(
		err, RH_USAGE,
		"there is no metric '%s'; %s%s%sthere are wall, cpu, median, "
		"batch-p99, part, rss, faults, startup, image, exit, process, "
		"background, files, threads, maps, moved, children, changes, and of single "
		"operations p50, p99, p99.9, also of one kind: alloc.p99, free.p99, remote.p99, "
		"resize.p99, and class",
		name, meant ? "did you mean " : "", meant ? meant : "", meant ? "? " : "");
}

static int set_metric(struct rh_gate_config *config, const char *name, double share,
		      struct rh_err *err)
{
	static const char *const kinds[RH_GATE_KINDS] = { "alloc", "free", "remote", "resize" };
	int metric = metric_named(name);
	char one[32];

	if (metric >= 0)
		return set_row(config, metric, share, err);
	/* "p99" is that of each kind of operation. */
	for (int k = 0; k < RH_GATE_KINDS; k++) {
		snprintf(one, sizeof(one), "%s.%.16s", kinds[k], name);
		metric = metric_named(one);
		if (metric < 0)
			return no_such_metric(name, err);
		if (set_row(config, metric, share, err) < 0)
			return -1;
	}
	return 0;
}

static bool gates_any(const struct rh_gate_config *config)
{
	for (int m = 0; m < RH_GATE_METRICS; m++)
		if (config->metric_gates[m])
			return true;
	return false;
}

int rh_gate_read_metrics(struct rh_gate_config *config, const char *text, struct rh_err *err)
{
	char *copy = strdup(text), *at = NULL;
	int result = 0;

	if (!copy)
		return rh_fail(err, RH_OS, "no memory for the list of metrics");
	set_defaults(config);
	config->latency_asked = strcmp(text, RH_GATE_METRICS_DEFAULT) != 0;
	for (char *word = strtok_r(copy, ",", &at); word && result == 0;
	     word = strtok_r(NULL, ",", &at)) {
		char *share = strchr(word, '=');

		double limit = 0;

		if (share)
			*share++ = '\0';
		if (share && rh_parse_share(share, &limit, err) < 0)
			result = rh_err_prefix(err, "metric %s", word);
		else if (share && limit == 0)
			result = rh_fail(err, RH_USAGE,
					 "metric %s: a limit of 0 %% cannot be decided", word);
		else
			result = set_metric(config, word, limit, err);
	}
	free(copy);
	if (result == 0 && !gates_any(config))
		result = rh_fail(err, RH_USAGE, "--metrics names none: nothing would gate");
	return result;
}

static int share_of(const json_t *value, const char *key, double *share, struct rh_err *err)
{
	const char *text = json_string_value(value);

	if (json_is_number(value)) {
		*share = json_number_value(value);
		if (*share > 1)
			return rh_fail(err, RH_USAGE,
				       "\"%s\": %g would be %g %%: did you mean \"%g%%\"?", key,
				       *share, 100 * *share, *share);
	} else if (!text || rh_parse_share(text, share, err) < 0) {
		if (text)
			return rh_err_prefix(err, "\"%s\"", key);
		return rh_fail(err, RH_USAGE, "\"%s\" must be a share: \"5%%\" or 0.05", key);
	}
	if (!(*share >= 0 && *share <= SHARE_MAX))
		return rh_fail(err, RH_USAGE, "\"%s\" must be from 0%% to %.0f%%", key,
			       100 * SHARE_MAX);
	return 0;
}

static int read_metrics(json_t *object, struct rh_gate_config *config, struct rh_err *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object) || json_object_size(object) == 0)
		return rh_fail(err, RH_USAGE,
			       "\"metrics\" must name at least one metric: "
			       "{\"wall\": \"5%%\"}");
	set_defaults(config);
	config->latency_asked = true;
	json_object_foreach(object, name, value)
	{
		double share;

		if (share_of(value, name, &share, err) < 0)
			return -1;
		if (share == 0)
			return rh_fail(err, RH_USAGE,
				       "metric %s: a limit of 0 %% cannot be decided", name);
		if (set_metric(config, name, share, err) < 0)
			return -1;
	}
	return 0;
}

/* Paths are relative to the policy's folder, not to the caller's. */
static int read_traces(json_t *array, const char *path, struct rh_gate_config *config,
		       struct rh_gate_documents *documents, struct rh_err *err)
{
	const char *slash = strrchr(path, '/');
	size_t index;
	json_t *value;

	if (!json_is_array(array) || json_array_size(array) == 0)
		return rh_fail(err, RH_USAGE, "\"traces\" must list at least one path");
	if (config->trace_count)
		return 0; /* the command line names some, which take precedence */
	json_array_foreach(array, index, value)
	{
		const char *name = json_string_value(value);
		char full[4096];

		if (!name || !*name)
			return rh_fail(err, RH_USAGE, "\"traces\" must be texts");
		if (*name == '/' || !slash)
			snprintf(full, sizeof(full), "%s", name);
		else
			snprintf(full, sizeof(full), "%.*s/%s", (int)(slash - path), path, name);
		*(char **)rh_grow(&documents->traces, &documents->trace_count, sizeof(char *)) =
			strdup(full);
	}
	config->traces = documents->traces;
	config->trace_count = (uint32_t)documents->trace_count;
	return 0;
}

static int word_of(const json_t *value, const char *key, const char *const *words,
		   struct rh_err *err)
{
	for (int i = 0; json_is_string(value) && words[i]; i++)
		if (strcmp(words[i], json_string_value(value)) == 0)
			return i;
	rh_fail(err, RH_USAGE, "\"%s\" must be one of %s, %s, %s", key, words[0], words[1],
		words[2]);
	return -1;
}

static int read_budget(json_t *object, struct rh_gate_config *config, struct rh_err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return rh_fail(err, RH_USAGE, "\"budget\" must be an object");
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "ns-per-event") != 0 || !json_is_number(value) ||
		    json_number_value(value) <= 0)
			return rh_fail(err, RH_USAGE,
				       "\"budget\" knows \"ns-per-event\", a number "
				       "above 0, and not \"%.40s\"",
				       key);
		config->budget_ns = json_number_value(value);
	}
	return 0;
}

/* The policy that is read, and what it fills. */
struct policy {
	const char *path;
	struct rh_gate_config *config;
	struct rh_gate_documents *documents;
};

static int read_key(const char *key, json_t *value, const struct policy *policy, struct rh_err *err)
{
	struct rh_gate_config *config = policy->config;
	static const char *const tiers[] = { "wall", "deterministic", "both", NULL };
	static const char *const ways[] = { "exit-3", "pass", "fail", NULL };
	int word;

	if (strcmp(key, "schema") == 0 || strcmp(key, "comment") == 0)
		return 0;
	if (strcmp(key, "traces") == 0)
		return read_traces(value, policy->path, config, policy->documents, err);
	if (strcmp(key, "metrics") == 0)
		return read_metrics(value, config, err);
	if (strcmp(key, "threshold") == 0)
		return 0; /* was read first */
	if (strcmp(key, "counts") == 0)
		return share_of(value, key, &config->counts_threshold, err);
	if (strcmp(key, "improve-check") == 0)
		return share_of(value, key, &config->improve, err);
	if (strcmp(key, "budget") == 0)
		return read_budget(value, config, err);
	if (strcmp(key, "lanes") == 0 && json_is_string(value)) {
		if (!config->lanes)
			config->lanes = json_string_value(value);
		return 0;
	}
	if (strcmp(key, "tier") == 0 && (word = word_of(value, key, tiers, err)) >= 0) {
		config->tier = (enum rh_gate_tier)word;
		return 0;
	}
	if (strcmp(key, "inconclusive") == 0 && (word = word_of(value, key, ways, err)) >= 0) {
		config->inconclusive_passes = word == RH_INCONCLUSIVE_PASSES;
		config->inconclusive_fails = word == RH_INCONCLUSIVE_FAILS;
		return 0;
	}
	return err->text[0] ? -1
			    : rh_fail(err, RH_USAGE,
				      "there is nothing named \"%.60s\" in a "
				      "policy, or its value is of the wrong kind",
				      key);
}

static int read_keys(json_t *root, const char *path, struct rh_gate_config *config,
		     struct rh_gate_documents *documents, struct rh_err *err)
{
	const char *schema = json_string_value(json_object_get(root, "schema")), *key;
	json_t *threshold = json_object_get(root, "threshold"), *value;

	if (!schema || strcmp(schema, "reheap.policy/1") != 0)
		return rh_fail(err, RH_USAGE,
			       "it must be an object with \"schema\": "
			       "\"reheap.policy/1\"");
	if (threshold) {
		bool gates[RH_GATE_METRICS];

		if (share_of(threshold, "threshold", &config->threshold, err) < 0)
			return -1;
		memcpy(gates, config->metric_gates, sizeof(gates));
		set_defaults(config);
		memcpy(config->metric_gates, gates, sizeof(gates));
	}
	/* One lane never sees a lock. */
	if (!config->lanes && !json_object_get(root, "lanes"))
		config->lanes = "1,cpus,many";
	json_object_foreach(root, key,
			    value) if (read_key(key, value,
						&(struct policy){ path, config, documents },
						err) < 0) return -1;
	return 0;
}

int rh_gate_read_policy(const struct rh_gate_opts *o, struct rh_gate_config *config,
			struct rh_gate_documents *documents, struct rh_err *err)
{
	documents->policy = rh_json_load(o->policy, err);
	if (!documents->policy) {
		err->code = RH_USAGE;
		return rh_err_prefix(err, "policy");
	}
	err->text[0] = '\0';
	if (read_keys(documents->policy, o->policy, config, documents, err) < 0)
		return rh_err_prefix(err, "policy %s", o->policy);
	return 0;
}

void rh_gate_documents_free(struct rh_gate_documents *documents)
{
	for (size_t i = 0; i < documents->trace_count; i++)
		free(documents->traces[i]);
	free(documents->traces);
	json_decref(documents->policy);
	json_decref(documents->result);
	*documents = (struct rh_gate_documents){ 0 };
}
