/*
 * report_tables.c - the parts of the page that are tables: overview, metrics, warnings,
 * provenance.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report/report.h"
#include "harness/result/pool.h"

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
	for (size_t b = 0; b < doc->file.backends_count; b++) {
		const struct rh_backend_used *row = &doc->file.backends[b];

		if (!row->status || strcmp(row->status, "ok") == 0)
			continue;
		fputs("<li>", to);
		rh_escape_xml(row->spec, to);
		fprintf(to, " %s: ", strcmp(row->status, "absent") == 0 ? "is absent" : "failed");
		rh_escape_xml(row->why ? row->why : "no reason given", to);
		fputs("</li>\n", to);
	}
}

static void warn_trials(const struct rh_doc *doc, FILE *to)
{
	const struct rh_trial_done *first = NULL;
	size_t failed = 0;

	for (size_t t = 0; t < doc->file.trials_count; t++) {
		const struct rh_trial_done *trial = &doc->file.trials[t];

		if (!trial->status || strcmp(trial->status, "failed") != 0)
			continue;
		failed++;
		first = first ? first : trial;
	}
	if (!first)
		return;
	fprintf(to, "<li>%zu of %zu trials failed; the first: ", failed, doc->file.trials_count);
	rh_escape_xml(doc->file.backends[first->backend].spec, to);
	fputs(": ", to);
	rh_escape_xml(first->why ? first->why : "no reason given", to);
	fputs("</li>\n", to);
}

static void warn_absent(const struct rh_doc *doc, FILE *to)
{
	for (size_t i = 0; i < doc->file.absent_count; i++) {
		const struct rh_absent_metric *row = &doc->file.absent[i];

		fputs("<li>not measured: ", to);
		rh_escape_xml(row->metric ? row->metric : "?", to);
		fputs(": ", to);
		rh_escape_xml(row->why ? row->why : "no reason given", to);
		fputs("</li>\n", to);
	}
}

/* Results of several machines share a page, but times of two machines are never comparable. */
static void warn_machines(const struct rh_view *view, FILE *to)
{
	const char *first = NULL;

	for (size_t d = 0; d < view->doc_count; d++) {
		const struct rh_host_used *host = view->docs[d].file.host;
		const char *cpu = host ? host->cpu_model : NULL;

		if (!first)
			first = cpu;
		else if (cpu && strcmp(cpu, first) != 0) {
			fputs("<li>The results are of different CPUs: compare ratios across them, "
			      "never times.</li>\n",
			      to);
			return;
		}
	}
}

/* Only lines that have not occurred before: results of one machine repeat the same warnings. */
static size_t put_unique(char *text, FILE *to)
{
	size_t count = 0;

	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		size_t bytes = (size_t)(end - line) + 1;
		bool seen = false;

		for (const char *at = text; at < line && !seen; at = strchr(at, '\n') + 1)
			seen = strncmp(at, line, bytes) == 0;
		if (!seen)
			fwrite(line, 1, bytes, to);
		count += !seen;
	}
	return count;
}

void rh_report_warnings(const struct rh_view *view, FILE *to)
{
	char *text = NULL, *items = NULL;
	size_t bytes = 0, item_bytes = 0, count;
	FILE *list = rh_memory_text(&text, &bytes), *unique = rh_memory_text(&items, &item_bytes);

	warn_machines(view, list);
	for (size_t d = 0; d < view->doc_count; d++) {
		const struct rh_document *file = &view->docs[d].file;

		for (size_t i = 0; i < file->warnings_count; i++) {
			fputs("<li>", list);
			rh_escape_xml(file->warnings[i] ? file->warnings[i] : "", list);
			fputs("</li>\n", list);
		}
		warn_status(&view->docs[d], list);
		warn_trials(&view->docs[d], list);
		warn_absent(&view->docs[d], list);
	}
	fclose(list);
	count = put_unique(text, unique);
	fclose(unique);
	if (count)
		fprintf(to,
			"<section id=\"warnings\">\n<h2>Know before you believe it</h2>\n"
			"<details><summary>%zu note%s on these measurements</summary>\n<ul>\n"
			"%s</ul></details>\n</section>\n",
			count, count == 1 ? "" : "s", items);
	free(text);
	free(items);
}

/* ---- overview: backends by settings ---- */

/* How dark a cell is: by how far the ratio is from 1, and only when the interval says so. */
static const char *shade_of(const struct rh_estimate *e, enum rh_verdict verdict)
{
	static const char *const shades[2][3] = { { "b1", "b2", "b3" }, { "w1", "w2", "w3" } };
	double off = e->ratio > 1 ? e->ratio : 1 / e->ratio;

	if ((verdict != RH_BETTER && verdict != RH_WORSE) || off < 1 + RH_SAME_SHARE)
		return verdict == RH_CANNOT_TELL ? "open" : "same";
	return shades[verdict == RH_WORSE][off >= 1.25 ? 2 : off >= 1.1 ? 1 : 0];
}

static void matrix_cell(const struct rh_view *view, size_t scene, size_t style, const char *metric,
			FILE *to)
{
	struct rh_estimate e;
	enum rh_verdict verdict;

	if ((int)style == view->baseline && rh_view_metric(view, scene, style, metric)) {
		fputs("<td class=\"same\">1</td>", to);
		return;
	}
	if (!rh_view_ratio(view, scene, style, metric, &e)) {
		fputs("<td class=\"none\">-</td>", to);
		return;
	}
	verdict = rh_verdict(&e, true);
	fprintf(to,
		"<td class=\"%s\" title=\"%.3f to %.3f, %.1f %% confidence, n = %zu\">%.2f%s</td>",
		shade_of(&e, verdict), e.lo, e.hi, 100 * e.level, e.n, e.ratio,
		verdict == RH_CANNOT_TELL ? "<small> ?</small>" : "");
}

static bool has_ratio(const struct rh_view *view, size_t style, const char *metric)
{
	struct rh_estimate e;

	for (size_t s = 0; s < view->scene_count; s++)
		if (rh_view_ratio(view, s, style, metric, &e))
			return true;
	return false;
}

/* Settings down, backends across; controls are no contestants. */
static void matrix(const struct rh_view *view, const char *metric, const char *title, FILE *to)
{
	bool any = false;

	for (size_t b = 0; b < view->style_count; b++)
		any |= !view->styles[b].control && has_ratio(view, b, metric);
	if (!any)
		return;
	fprintf(to,
		"<h3>%s</h3>\n<div class=\"wide\" tabindex=\"0\"><table class=\"heat\">\n"
		"<thead><tr><th>trace</th>",
		title);
	for (size_t b = 0; b < view->style_count; b++)
		if (!view->styles[b].control && has_ratio(view, b, metric))
			cell("th", NULL, view->styles[b].label, to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t s = 0; s < view->scene_count; s++) {
		fputs("<tr>", to);
		cell("th", NULL, view->scenes[s].label, to);
		for (size_t b = 0; b < view->style_count; b++)
			if (!view->styles[b].control && has_ratio(view, b, metric))
				matrix_cell(view, s, b, metric, to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

void rh_report_overview(const struct rh_view *view, FILE *to)
{
	if (view->baseline < 0)
		return;
	fputs("<section id=\"overview\">\n<h2>Traces by allocators</h2>\n<p>Relative to ", to);
	rh_escape_xml(view->styles[view->baseline].spec, to);
	fputs(": below 1 is better (green), above 1 worse (orange); no colour: within 2 %, or ? "
	      "where this run cannot tell.</p>\n",
	      to);
	matrix(view, "time.ns_per_event", "Time", to);
	matrix(view, "memory.rss_peak_bytes", "Peak memory", to);
	fputs("</section>\n", to);
}

/* ---- all metrics ---- */

static void put_value(double value, const char *unit, FILE *to)
{
	char text[40];

	if (strcmp(unit, "bytes") == 0)
		rh_format_bytes(text, sizeof(text), value);
	else
		rh_format_number(text, sizeof(text), value);
	rh_escape_xml(isfinite(value) ? text : "-", to);
}

/* Median, and below it where it lies: an interval is narrower than two columns. */
static void value_cell(const struct rh_view_metric *m, FILE *to)
{
	fputs("<td>", to);
	put_value(m->median, m->unit, to);
	if (isfinite(m->lo) && isfinite(m->hi) && m->lo < m->hi) {
		fputs("<br><small>", to);
		put_value(m->lo, m->unit, to);
		fputs(" to ", to);
		put_value(m->hi, m->unit, to);
		fputs("</small>", to);
	}
	fputs("</td>", to);
}

/* One metric over all backends; trials and confidence are those of the backend with fewest. */
static void metric_row(const struct rh_view *view, const struct rh_view_metric *first,
		       const bool *shown, FILE *to)
{
	const struct rh_view_metric *least = first;
	char text[40];

	fputs("<tr>", to);
	cell("th", NULL, first->name, to);
	for (size_t b = 0; b < view->style_count; b++) {
		const struct rh_view_metric *m =
			shown[b] ? rh_view_metric(view, first->scene, b, first->name) : NULL;

		if (m && m->n < least->n)
			least = m;
		if (m)
			value_cell(m, to);
		else if (shown[b])
			fputs("<td>-</td>", to);
	}
	cell("td", "name", strcmp(first->unit, "bytes") == 0 ? "" : first->unit, to);
	snprintf(text, sizeof(text), "%u", least->n);
	cell("td", NULL, text, to);
	snprintf(text, sizeof(text), "%.1f %%", 100 * least->level);
	cell("td", NULL, isfinite(least->level) ? text : "-", to);
	cell("td", "name", first->source, to);
	fputs("</tr>\n", to);
}

static bool named_before(const struct rh_view_metric *const *list, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(list[i]->name, list[index]->name) == 0)
			return true;
	return false;
}

/* Metrics down, backends across: what is compared stands side by side. */
void rh_report_metrics(const struct rh_view *view, size_t scene, FILE *to)
{
	const struct rh_view_metric **list =
		rh_pool_alloc(view->pool, view->metric_count + 1, sizeof(struct rh_view_metric *));
	bool *shown = rh_pool_alloc(view->pool, view->style_count + 1, sizeof(*shown));
	size_t count = 0;

	for (size_t i = 0; i < view->metric_count; i++) {
		if (view->metrics[i].scene != scene)
			continue;
		list[count++] = &view->metrics[i];
		shown[view->metrics[i].style] = true;
	}
	fputs("<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr><th>metric</th>", to);
	for (size_t b = 0; b < view->style_count; b++)
		if (shown[b])
			cell("th", NULL, view->styles[b].label, to);
	fputs("<th class=\"name\">unit</th><th>n</th><th>level</th><th class=\"name\">source</th>"
	      "</tr></thead>\n<tbody>\n",
	      to);
	for (size_t i = 0; i < count; i++)
		if (!named_before(list, i))
			metric_row(view, list[i], shown, to);
	fputs("</tbody></table></div>", to);
}

/* ---- where the numbers come from ---- */

static void fact(const char *name, const char *value, FILE *to)
{
	fputs("<tr>", to);
	cell("th", NULL, name, to);
	cell("td", "name", value ? value : "not known", to);
	fputs("</tr>\n", to);
}

static void argv_row(const struct rh_tool *tool, FILE *to)
{
	fputs("<tr><th>command</th><td class=\"name\"><code>", to);
	for (size_t i = 0; tool && i < tool->argv_count; i++) {
		fputs(i ? " " : "", to);
		rh_escape_xml(tool->argv[i] ? tool->argv[i] : "?", to);
	}
	fputs("</code></td></tr>\n", to);
}

#define HOST(key)   rh_record_text(&rh_host_used_type, host, key, view->pool)
#define CONFIG(key) rh_record_text(&rh_config_used_type, file->config, key, view->pool)
#define CLOCK(key)  rh_record_text(&rh_clock_used_type, host ? host->clock : NULL, key, view->pool)

static void host_table(const struct rh_view *view, const struct rh_document *file, FILE *to)
{
	const struct rh_host_used *host = file->host;
	char memory[40] = "";

	if (host && host->memory_bytes != UINT64_MAX)
		rh_format_bytes(memory, sizeof(memory), (double)host->memory_bytes);
	fputs("<div class=\"wide\" tabindex=\"0\"><table class=\"facts\"><tbody>\n", to);
	fact("started", file->started, to);
	fact("tool", file->tool ? file->tool->version : NULL, to);
	argv_row(file->tool, to);
	fact("host", HOST("name"), to);
	fact("CPU", HOST("cpu_model"), to);
	fact("CPUs", HOST("cpus"), to);
	fact("CPUs allowed", HOST("cpus_allowed"), to);
	fact("memory", memory[0] ? memory : NULL, to);
	fact("kernel", HOST("kernel"), to);
	fact("hypervisor", HOST("hypervisor"), to);
	fact("transparent huge pages", HOST("thp"), to);
	fact("frequency governor", HOST("governor"), to);
	fact("libc", HOST("libc"), to);
	fact("load at start", HOST("load1"), to);
	fact("clock", CLOCK("source"), to);
	fact("clock step, ns", CLOCK("granularity_ns"), to);
	fact("repetitions", CONFIG("reps"), to);
	fact("seed", CONFIG("seed"), to);
	fact("touch", CONFIG("touch"), to);
	fact("pace", CONFIG("pace"), to);
	fact("verify", CONFIG("verify"), to);
	fputs("</tbody></table></div>\n", to);
}
#undef HOST
#undef CONFIG
#undef CLOCK

static void count_cell(uint64_t value, bool bytes, FILE *to)
{
	char text[40] = "-";

	if (value != UINT64_MAX && bytes)
		rh_format_bytes(text, sizeof(text), (double)value);
	else if (value != UINT64_MAX)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	cell("td", NULL, text, to);
}

static void trace_table(const struct rh_document *file, FILE *to)
{
	fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th>trace</th><th>events</th>"
	      "<th>objects</th>"
	      "<th>lanes recorded</th><th>live "
	      "peak</th><th>largest</th><th>sha256</th></tr></thead>"
	      "<tbody>\n",
	      to);
	for (size_t i = 0; i < file->traces_count; i++) {
		const struct rh_trace_used *trace = &file->traces[i];
		uint64_t lanes = trace->lanes_recorded;

		fputs("<tr>", to);
		cell("th", NULL, trace->name ? trace->name : "?", to);
		count_cell(trace->events, false, to);
		count_cell(trace->objects, false, to);
		count_cell(lanes == UINT32_MAX ? UINT64_MAX : lanes, false, to);
		count_cell(trace->live_bytes_peak, true, to);
		count_cell(trace->size_max, true, to);
		cell("td", "hash", trace->sha256 ? trace->sha256 : "", to);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

static void backend_table(const struct rh_document *file, FILE *to)
{
	fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th>backend</th><th>status</th>"
	      "<th>who serves "
	      "malloc"
	      "</th><th>version</th><th>build id</th></tr></thead><tbody>\n",
	      to);
	for (size_t i = 0; i < file->backends_count; i++) {
		const struct rh_backend_used *row = &file->backends[i];
		const struct rh_identity *identity = row->identity;

		fputs("<tr>", to);
		cell("th", NULL, row->spec, to);
		cell("td", "name", row->status ? row->status : "?", to);
		cell("td", "hash", identity && identity->malloc_path ? identity->malloc_path : "-",
		     to);
		cell("td", "name",
		     identity && identity->malloc_version ? identity->malloc_version : "-", to);
		cell("td", "hash",
		     identity && identity->malloc_build_id ? identity->malloc_build_id : "-", to);
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
		host_table(view, &view->docs[d].file, to);
		trace_table(&view->docs[d].file, to);
		backend_table(&view->docs[d].file, to);
		fputs("</details>\n", to);
	}
	fputs("</section>\n", to);
}
