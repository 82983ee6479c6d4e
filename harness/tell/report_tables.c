/*
 * report_tables.c - the parts of the page that are tables: overview, metrics, warnings,
 * provenance.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/tell/report.h"

static void cell(const char *tag, const char *class, const char *text, FILE *to)
{
	if (class)
		fprintf(to, "<%s class=\"%s\">", tag, class);
	else
		fprintf(to, "<%s>", tag);
	rh_escape_xml(text, to);
	fprintf(to, "</%s>", tag);
}

/* ---- warnings ---- */

static void warn_status(const struct rh_doc *doc, FILE *to)
{
	json_t *row;
	size_t at;

	json_array_foreach(json_object_get(doc->root, "backends"), at, row) {
		const char *status = rh_json_text(row, "status"), *spec = rh_json_text(row, "spec");
		const char *why = rh_json_text(row, "why");

		if (!status || strcmp(status, "ok") == 0)
			continue;
		fputs("<li>", to);
		rh_escape_xml(spec ? spec : "?", to);
		fprintf(to, " %s: ", strcmp(status, "absent") == 0 ? "is absent" : "failed");
		rh_escape_xml(why ? why : "no reason given", to);
		fputs("</li>\n", to);
	}
}

static void warn_trials(const struct rh_doc *doc, FILE *to)
{
	const json_t *backends = json_object_get(doc->root, "backends");
	json_t *trial;
	size_t at, failed = 0, all = 0;
	const char *first = NULL, *spec = NULL;

	json_array_foreach(json_object_get(doc->root, "trials"), at, trial) {
		const char *status = rh_json_text(trial, "status");

		all++;
		if (!status || strcmp(status, "failed") != 0)
			continue;
		if (failed++ == 0) {
			double backend = rh_json_number(trial, "backend");

			first = rh_json_text(trial, "why");
			spec = backend >= 0
				       ? rh_json_text(json_array_get(backends, (size_t)backend),
						      "spec")
				       : NULL;
		}
	}
	if (failed == 0)
		return;
	fprintf(to, "<li>%zu of %zu trials failed; the first: ", failed, all);
	rh_escape_xml(spec ? spec : "?", to);
	fputs(": ", to);
	rh_escape_xml(first ? first : "no reason given", to);
	fputs("</li>\n", to);
}

static void warn_absent(const struct rh_doc *doc, FILE *to)
{
	json_t *row;
	size_t at;

	json_array_foreach(json_object_get(doc->root, "absent"), at, row) {
		const char *metric = rh_json_text(row, "metric"), *why = rh_json_text(row, "why");

		fputs("<li>not measured: ", to);
		rh_escape_xml(metric ? metric : "?", to);
		fputs(": ", to);
		rh_escape_xml(why ? why : "no reason given", to);
		fputs("</li>\n", to);
	}
}

/* Results of several machines share a page, but times of two machines are never comparable. */
static void warn_machines(const struct rh_view *view, FILE *to)
{
	const char *first = NULL;

	for (size_t d = 0; d < view->doc_count; d++) {
		const char *cpu = rh_json_text(json_object_get(view->docs[d].root, "host"),
					       "cpu_model");

		if (!first)
			first = cpu;
		else if (cpu && strcmp(cpu, first) != 0) {
			fputs("<li>The results are of different CPUs: compare ratios across them, "
			      "never times.</li>\n", to);
			return;
		}
	}
}

void rh_report_warnings(const struct rh_view *view, FILE *to)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *list = open_memstream(&text, &bytes);

	if (!list)
		abort();
	warn_machines(view, list);
	for (size_t d = 0; d < view->doc_count; d++) {
		json_t *line;
		size_t at;

		json_array_foreach(json_object_get(view->docs[d].root, "warnings"), at, line) {
			fputs("<li>", list);
			if (view->doc_count > 1) {
				rh_escape_xml(view->docs[d].name, list);
				fputs(": ", list);
			}
			rh_escape_xml(json_string_value(line), list);
			fputs("</li>\n", list);
		}
		warn_status(&view->docs[d], list);
		warn_trials(&view->docs[d], list);
		warn_absent(&view->docs[d], list);
	}
	fclose(list);
	if (bytes)
		fprintf(to, "<section id=\"warnings\">\n<h2>Know before you believe it</h2>\n<ul>\n"
			"%s</ul>\n</section>\n", text);
	free(text);
}

/* ---- overview: backends by settings ---- */

static const struct {
	const char *word, *class;
} verdicts[] = {
	[RH_BETTER] = { "faster", "better" },
	[RH_SAME] = { "same", "same" },
	[RH_WORSE] = { "slower", "worse" },
	[RH_CANNOT_TELL] = { "cannot tell", "open" },
};

static void overview_cell(const struct rh_view *view, size_t scene, size_t brand, FILE *to)
{
	struct rh_estimate e;
	enum rh_verdict verdict;

	if ((int)brand == view->baseline &&
	    rh_view_metric(view, scene, brand, "time.ns_per_event")) {
		fputs("<td class=\"same\">1 <small>baseline</small></td>", to);
		return;
	}
	if (!rh_view_ratio(view, scene, brand, "time.ns_per_event", &e)) {
		fputs("<td class=\"none\">-</td>", to);
		return;
	}
	verdict = rh_verdict(&e, true);
	fprintf(to, "<td class=\"%s\">%.2f <small>%s</small></td>", verdicts[verdict].class,
		e.ratio, verdicts[verdict].word);
}

void rh_report_overview(const struct rh_view *view, FILE *to)
{
	if (view->scene_count < 2 || view->baseline < 0)
		return;
	fputs("<section id=\"overview\">\n<h2>Overview</h2>\n<p>Time relative to ", to);
	rh_escape_xml(view->brands[view->baseline].spec, to);
	fputs("; lower is better.</p>\n<div class=\"wide\"><table>\n<thead><tr><th>backend</th>",
	      to);
	for (size_t s = 0; s < view->scene_count; s++)
		cell("th", NULL, view->scenes[s].label, to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t b = 0; b < view->brand_count; b++) {
		fputs("<tr>", to);
		cell("th", NULL, view->brands[b].spec, to);
		for (size_t s = 0; s < view->scene_count; s++)
			overview_cell(view, s, b, to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n</section>\n", to);
}

/* ---- all metrics ---- */

static void number_cell(double value, const char *unit, FILE *to)
{
	char text[40];

	if (strcmp(unit, "bytes") == 0)
		rh_format_bytes(text, sizeof(text), value);
	else
		rh_format_number(text, sizeof(text), value);
	cell("td", NULL, isfinite(value) ? text : "-", to);
}

static void metric_row(const struct rh_view *view, const struct rh_metric *metric, FILE *to)
{
	char text[40];

	fputs("<tr>", to);
	cell("th", NULL, view->brands[metric->brand].spec, to);
	cell("td", "name", metric->name, to);
	number_cell(metric->median, metric->unit, to);
	number_cell(metric->lo, metric->unit, to);
	number_cell(metric->hi, metric->unit, to);
	cell("td", "name", strcmp(metric->unit, "bytes") == 0 ? "" : metric->unit, to);
	snprintf(text, sizeof(text), "%u", metric->n);
	cell("td", NULL, text, to);
	snprintf(text, sizeof(text), "%.1f %%", 100 * metric->level);
	cell("td", NULL, isfinite(metric->level) ? text : "-", to);
	cell("td", "name", metric->source, to);
	fputs("</tr>\n", to);
}

void rh_report_tables(const struct rh_view *view, FILE *to)
{
	fputs("<section id=\"tables\">\n<h2>Tables</h2>\n", to);
	for (size_t s = 0; s < view->scene_count; s++) {
		fprintf(to, "<details%s><summary>", view->scene_count == 1 ? " open" : "");
		rh_escape_xml(view->scenes[s].label, to);
		fputs("</summary>\n<div class=\"wide\"><table>\n<thead><tr><th>backend</th><th "
		      "class=\"name\">metric"
		      "</th><th>median</th><th>low</th><th>high</th><th "
		      "class=\"name\">unit</th><th>n</th>"
		      "<th>level</th><th class=\"name\">source</th></tr></thead>\n<tbody>\n",
		      to);
		for (size_t i = 0; i < view->metric_count; i++)
			if (view->metrics[i].scene == s)
				metric_row(view, &view->metrics[i], to);
		fputs("</tbody></table></div></details>\n", to);
	}
	fputs("<p class=\"files\">Low to high is the sign-test interval of the median over trials; "
	      "level "
	      "is the confidence it reaches. Sources: own = clocks and counts of reheap, sw = "
	      "kernel, "
	      "hw = hardware counters, sim = callgrind.</p>\n</section>\n",
	      to);
}

/* ---- where the numbers come from ---- */

static void fact(const char *name, const json_t *object, const char *key, FILE *to)
{
	const json_t *value = json_object_get(object, key);
	char text[64];

	fputs("<tr>", to);
	cell("th", NULL, name, to);
	if (json_is_string(value)) {
		cell("td", "name", json_string_value(value), to);
	} else if (json_is_number(value)) {
		double number = json_number_value(value);

		if (strstr(key, "bytes"))
			rh_format_bytes(text, sizeof(text), number);
		else
			snprintf(text, sizeof(text), "%.10g", number);
		cell("td", "name", text, to);
	} else if (json_is_boolean(value)) {
		cell("td", "name", json_is_true(value) ? "yes" : "no", to);
	} else {
		cell("td", "name", "not known", to);
	}
	fputs("</tr>\n", to);
}

static void argv_row(const json_t *tool, FILE *to)
{
	json_t *word;
	size_t at;

	fputs("<tr><th>command</th><td class=\"name\"><code>", to);
	json_array_foreach(json_object_get(tool, "argv"), at, word) {
		fputs(at ? " " : "", to);
		rh_escape_xml(json_string_value(word), to);
	}
	fputs("</code></td></tr>\n", to);
}

static void host_table(const struct rh_doc *doc, FILE *to)
{
	const json_t *host = json_object_get(doc->root, "host");
	const json_t *config = json_object_get(doc->root, "config");
	const json_t *clock = json_object_get(host, "clock");

	fputs("<div class=\"wide\"><table class=\"facts\"><tbody>\n", to);
	fact("started", doc->root, "started", to);
	fact("tool", json_object_get(doc->root, "tool"), "version", to);
	argv_row(json_object_get(doc->root, "tool"), to);
	fact("host", host, "name", to);
	fact("CPU", host, "cpu_model", to);
	fact("CPUs", host, "cpus", to);
	fact("CPUs allowed", host, "cpus_allowed", to);
	fact("memory", host, "memory_bytes", to);
	fact("kernel", host, "kernel", to);
	fact("hypervisor", host, "hypervisor", to);
	fact("transparent huge pages", host, "thp", to);
	fact("frequency governor", host, "governor", to);
	fact("libc", host, "libc", to);
	fact("load at start", host, "load1", to);
	fact("clock", clock, "source", to);
	fact("clock step, ns", clock, "granularity_ns", to);
	fact("repetitions", config, "reps", to);
	fact("seed", config, "seed", to);
	fact("touch", config, "touch", to);
	fact("pace", config, "pace", to);
	fact("verify", config, "verify", to);
	fputs("</tbody></table></div>\n", to);
}

static void trace_table(const struct rh_doc *doc, FILE *to)
{
	static const char *const keys[] = { "events", "objects", "lanes_recorded",
					    "live_bytes_peak", "size_max" };
	json_t *trace;
	size_t at;

	fputs("<div class=\"wide\"><table><thead><tr><th>trace</th><th>events</th><th>objects</th>"
	      "<th>lanes recorded</th><th>live "
	      "peak</th><th>largest</th><th>sha256</th></tr></thead>"
	      "<tbody>\n",
	      to);
	json_array_foreach(json_object_get(doc->root, "traces"), at, trace) {
		const char *name = rh_json_text(trace, "name"),
			   *sha = rh_json_text(trace, "sha256");

		fputs("<tr>", to);
		cell("th", NULL, name ? name : "?", to);
		for (size_t k = 0; k < 5; k++) {
			char text[40];
			double value = rh_json_number(trace, keys[k]);

			if (k >= 3)
				rh_format_bytes(text, sizeof(text), value);
			else
				snprintf(text, sizeof(text), "%.0f", value);
			cell("td", NULL, isfinite(value) ? text : "-", to);
		}
		cell("td", "hash", sha ? sha : "", to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

static void backend_table(const struct rh_doc *doc, FILE *to)
{
	json_t *row;
	size_t at;

	fputs("<div class=\"wide\"><table><thead><tr><th>backend</th><th>status</th><th>who serves "
	      "malloc"
	      "</th><th>build id</th></tr></thead><tbody>\n",
	      to);
	json_array_foreach(json_object_get(doc->root, "backends"), at, row) {
		const json_t *identity = json_object_get(row, "identity");
		const char *spec = rh_json_text(row, "spec"), *status = rh_json_text(row, "status");
		const char *path = rh_json_text(identity, "malloc_path");
		const char *id = rh_json_text(identity, "malloc_build_id");

		fputs("<tr>", to);
		cell("th", NULL, spec ? spec : "?", to);
		cell("td", "name", status ? status : "?", to);
		cell("td", "hash", path ? path : "-", to);
		cell("td", "hash", id ? id : "-", to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

void rh_report_provenance(const struct rh_view *view, FILE *to)
{
	fputs("<section id=\"provenance\">\n<h2>Where the numbers come from</h2>\n", to);
	for (size_t d = 0; d < view->doc_count; d++) {
		fputs("<details><summary>", to);
		rh_escape_xml(view->docs[d].path, to);
		fputs("</summary>\n", to);
		host_table(&view->docs[d], to);
		trace_table(&view->docs[d], to);
		backend_table(&view->docs[d], to);
		fputs("</details>\n", to);
	}
	fputs("</section>\n", to);
}
