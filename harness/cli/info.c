/*
 * info.c - `reheap info`: the contents of a trace, before it is replayed.
 *
 * One pass takes the counts of check.h; the edges come from a compile that writes nothing
 * (harness/compile/compile.h), which reads the file a second time. The same numbers are printed
 * as a table or, with --json, as one document with unchanging keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "harness/cli/command.h"
#include "harness/compile/compile.h"
#include "alloc/base/progress.h"
#include "traces/format/check.h"
#include "alloc/base/printable.h"

struct info_opts {
	bool json;
	bool no_edges;
};

static const struct rh_opt info_options[] = {
	{ "json", 'j', RH_OPT_FLAG, offsetof(struct info_opts, json),
	  .help = "one JSON document instead of the table" },
	{ "no-edges", 0, RH_OPT_FLAG, offsetof(struct info_opts, no_edges),
	  .help = "do not compile: half the time, no edges" },
	{ .name = NULL }
};

struct info {
	const char *path;
	struct rh_trace *trace;
	struct rh_check check;
	struct rh_compile_stats edges;
	const char *edges_absent; /* NULL, or why there are none */
	char why[sizeof(((struct rh_err *)0)->text)];
};

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* ---- table ---- */

/* 1536 -> "1.5K"; exact below 1024. Eight buffers, so that one printf may use several. */
static const char *brief(uint64_t value)
{
	static char texts[8][24];
	static unsigned next;
	char *text = texts[next++ % 8];
	static const char units[] = "KMGTPE";
	double v = (double)value;
	int unit = -1;

	while (v >= 1023.5 && unit < 5) {
		v /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, sizeof(texts[0]), "%" PRIu64, value);
	else
		snprintf(text, sizeof(texts[0]), v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
	return text;
}

static const char *brief_ns(uint64_t ns)
{
	static char texts[4][24];
	static unsigned next;
	char *text = texts[next++ % 4];
	static const struct {
		double ns;
		const char *unit;
	} units[] = {
		{ 1e9, "s" },
		{ 1e6, "ms" },
		{ 1e3, "us" },
		{ 1, "ns" },
	};
	int i = 0;

	while (i < 3 && (double)ns < units[i].ns)
		i++;
	snprintf(text, sizeof(texts[0]), "%.3g %s", (double)ns / units[i].ns, units[i].unit);
	return text;
}

static void print_histogram(const char *title, const uint64_t *octaves,
			    const char *(*label)(uint64_t))
{
	uint64_t total = 0, most = 0;
	unsigned first = RH_CHECK_OCTAVES, last = 0;

	for (unsigned i = 0; i < RH_CHECK_OCTAVES; i++) {
		if (!octaves[i])
			continue;
		total += octaves[i];
		most = octaves[i] > most ? octaves[i] : most;
		first = i < first ? i : first;
		last = i;
	}
	if (!total)
		return;
	rh_print(stdout, "\n%s\n", title);
	for (unsigned i = first; i <= last; i++) {
		static const char bar[] = "########################################";
		int length = (int)(40 * share(octaves[i], most) + 0.5);

		rh_print(stdout, "  from %-9s %12" PRIu64 " %6.2f%%  %.*s\n",
			 label(rh_octave_from(i)), octaves[i], 100 * share(octaves[i], total),
			 length, bar);
	}
}

static void print_notes(const struct rh_trace *trace)
{
	const struct rh_note *note;
	size_t i;

	for (i = 0; (note = rh_trace_note(trace, i)); i++) {
		if (i == 0)
			printf("\nnotes\n");
		rh_print(stdout, "  %-22s ", note->key);
		rh_print(stdout, "%s\n", note->value);
	}
}

/* Last, the recorder's own notes. */
static void print_verdict(const struct rh_trace *trace)
{
	const char *said = rh_trace_note_of(trace, "complete");

	if (said && strncmp(said, "no: ", 4) == 0)
		rh_print(stdout, "\nnot complete: %s\n", said + 4);
	else if (said)
		printf("\ncomplete: every heap call of the program is in it\n");
}

static void print_kinds(const struct rh_trace_totals *totals)
{
	printf("events           %" PRIu64 "\n", totals->events);
	for (int kind = 0; kind < RH_EV_COUNT; kind++)
		if (totals->by_kind[kind])
			rh_print(stdout, "  %-14s %12" PRIu64 " %6.2f%%\n",
				 rh_event_rows[kind].word, totals->by_kind[kind],
				 100 * share(totals->by_kind[kind], totals->events));
}

static void print_objects(const struct rh_check *check)
{
	const struct rh_trace_totals *totals = &check->totals;

	rh_print(stdout,
		 "objects          %" PRIu64 " born, %" PRIu64 " bytes (mean %.1f, largest %s)\n",
		 check->births, check->bytes_born, share(check->bytes_born, check->births),
		 brief(totals->size_max));
	printf("  live peak      %" PRIu64 " objects, %" PRIu64 " bytes\n",
	       totals->live_objects_peak, totals->live_bytes_peak);
	printf("  live at end    %" PRIu64 " objects, %" PRIu64 " bytes\n",
	       totals->live_objects_end, totals->live_bytes_end);
	printf("  remote frees   %" PRIu64 " of %" PRIu64 " deaths (%.2f%%)\n",
	       check->deaths_remote, check->deaths,
	       100 * share(check->deaths_remote, check->deaths));
	if (check->deaths_sized)
		printf("  sized frees    %" PRIu64 " (%.2f%%)\n", check->deaths_sized,
		       100 * share(check->deaths_sized, check->deaths));
	if (check->calls_lost)
		printf("  calls lost     %" PRIu64 " in %" PRIu64 " gaps\n", check->calls_lost,
		       totals->by_kind[RH_EV_GAP]);
	if (totals->by_kind[RH_EV_MAP] || totals->by_kind[RH_EV_UNMAP])
		printf("  mapped itself  %" PRIu64 " bytes at most, and %" PRIu64
		       " of files (not replayed)\n",
		       check->mapped_peak, check->mapped_file_peak);
	printf("  by realloc     %" PRIu64 " births (%.2f%%)\n", totals->by_kind[RH_EV_RESIZE],
	       100 * share(totals->by_kind[RH_EV_RESIZE], check->births));
	printf("  size zero      %" PRIu64 "\n", check->births_zero_size);
	printf("  zeroed         %" PRIu64 "\n", check->births_zeroed);
	if (check->births_realloc)
		printf("  realloc(NULL)  %" PRIu64 "\n", check->births_realloc);
	if (check->births_new)
		printf("  C++ new        %" PRIu64 "\n", check->births_new);
	printf("  aligned        %" PRIu64 "\n", check->births - check->align[0]);
	for (unsigned i = 1; i < RH_CHECK_OCTAVES; i++)
		if (check->align[i])
			rh_print(stdout, "    to %-9s %12" PRIu64 "\n", brief(1ull << i),
				 check->align[i]);
	if (check->births_estimated)
		printf("  size guessed   %" PRIu64 "\n", check->births_estimated);
	if (check->scan_known)
		printf("  no pointers    %" PRIu64 " of %" PRIu64 " known\n", check->noscan,
		       check->scan_known);
}

static void print_lanes(const struct info *info)
{
	const struct rh_check *check = &info->check;
	const struct rh_trace_totals *totals = &check->totals;

	rh_print(stdout,
		 "lanes            %" PRIu64 " started, %" PRIu64 " stopped, at most %" PRIu64
		 " at once, %" PRIu64 " that alloc or free\n",
		 totals->lanes, check->lanes_stopped, check->lanes_alive_peak, check->lanes_busy);
	if (totals->tasks)
		rh_print(stdout,
			 "tasks            %" PRIu64 " spawned, at most %" PRIu64
			 " at once, %" PRIu64 " at the end\n",
			 totals->tasks, check->tasks_alive_peak, check->tasks_alive_end);
	if (info->edges_absent)
		rh_print(stdout, "edges            absent, because %s\n", info->edges_absent);
	else
		printf("edges            %" PRIu64 " between lanes, %" PRIu64
		       " waits after pruning (%.3f%% of events)\n",
		       info->edges.edges_all, info->edges.waits,
		       100 * share(info->edges.waits, totals->events));
}

/* The resources that the recorded program used, including a little for the recorder. */
static void print_program(const struct rh_trace *trace)
{
	static const char *const keys[] = { "cpu_user_ns", "cpu_kernel_ns", "wall_ns" };
	const char *peak = rh_trace_note_of(trace, "peak_rss_bytes");
	const char *calls = rh_trace_note_of(trace, "recorded_calls");
	uint64_t ns[3], bytes;
	struct rh_err ignored;

	for (int i = 0; i < 3; i++) {
		const char *value = rh_trace_note_of(trace, keys[i]);

		if (!value || rh_parse_uint(value, &ns[i], &ignored) < 0)
			return;
	}
	rh_print(stdout, "program          CPU %s user, %s kernel; wall %s", brief_ns(ns[0]),
		 brief_ns(ns[1]), brief_ns(ns[2]));
	if (peak && rh_parse_uint(peak, &bytes, &ignored) == 0)
		rh_print(stdout, "; peak RSS %s", brief(bytes));
	if (calls)
		rh_print(stdout, " (recording of %s calls included)", calls);
	printf("\n");
}

/* Two standard errors: 95 of 100 values are nearer. */
static void print_estimate(const char *what, const struct rh_sample_sum *estimate, const char *more)
{
	rh_print(stdout, "  %-14s %15.0f +- %-12.0f estimated%s\n", what, estimate->value,
		 2 * rh_sample_error(estimate), more);
}

/* What a sample says about all blocks. */
static void print_sample(const struct rh_check_sample *sample)
{
	char size[32];

	if (!sample->interval)
		return;
	printf("sample           one byte in %" PRIu64 " is hit, and blocks with one are recorded; "
	       "what follows\n                 \"estimated\" is of all blocks, with two standard "
	       "errors; all else counts the sample\n",
	       sample->interval);
	print_estimate("births", &sample->births, "");
	print_estimate("bytes born", &sample->bytes_born, "");
	print_estimate("live at end", &sample->live_objects, "");
	print_estimate("bytes of that", &sample->live_bytes, "");
	print_estimate("bytes at most", &sample->live_bytes_most,
		       " (the largest of many estimates: rather too much)");
	for (unsigned i = 0; i < RH_CHECK_OCTAVES; i++) {
		if (!(sample->size[i].value > 0))
			continue;
		snprintf(size, sizeof(size), "from %s", brief(rh_octave_from(i)));
		print_estimate(size, &sample->size[i], " births");
	}
}

static void print_table(const struct info *info)
{
	static const char *const names[] = { "time", "task", "site", "arg" };
	unsigned columns = rh_trace_columns(info->trace);
	const struct rh_check *check = &info->check;

	rh_print(stdout, "%s\n", info->path);
	if (rh_trace_truncated(info->trace))
		rh_print(stdout, "cut off          %s\n", rh_trace_truncated(info->trace));
	printf("columns         ");
	for (int i = 0; i < 4; i++)
		if (columns >> i & 1)
			rh_print(stdout, " %s", names[i]);
	rh_print(stdout, "%s\n", columns ? "" : " none");
	print_sample(&check->sample);
	print_kinds(&check->totals);
	print_lanes(info);
	print_objects(check);
	if (check->totals.time_ns_last != RH_NONE)
		rh_print(stdout,
			 "time             %s, %" PRIu64 " stamps before an earlier event's\n",
			 brief_ns(check->totals.time_ns_last), check->time_back);
	print_program(info->trace);
	print_histogram("births by size, bytes", check->size, brief);
	print_histogram("deaths by age, events", check->life_events, brief);
	print_histogram("deaths by age, time", check->life_ns, brief_ns);
	print_notes(info->trace);
	print_verdict(info->trace);
}

/* ---- JSON ---- */

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* [[from, count], ...] of the non-empty octaves. */
static json_t *octaves_json(const uint64_t *octaves)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < RH_CHECK_OCTAVES; i++)
		if (octaves[i])
			json_array_append_new(list,
					      json_pack("[I, I]", (json_int_t)rh_octave_from(i),
							(json_int_t)octaves[i]));
	return list;
}

static json_t *events_json(const struct rh_trace_totals *totals)
{
	json_t *kinds = json_object();

	for (int kind = 0; kind < RH_EV_COUNT; kind++)
		set_count(kinds, rh_event_rows[kind].word, totals->by_kind[kind]);
	return json_pack("{s:I, s:o}", "count", (json_int_t)totals->events, "by_kind", kinds);
}

static json_t *objects_json(const struct rh_check *check)
{
	json_t *object = json_object();

	set_count(object, "births", check->births);
	set_count(object, "deaths", check->deaths);
	set_count(object, "deaths_sized", check->deaths_sized);
	set_count(object, "calls_lost", check->calls_lost);
	set_count(object, "bytes_born", check->bytes_born);
	set_count(object, "size_max", check->totals.size_max);
	set_count(object, "live_objects_peak", check->totals.live_objects_peak);
	set_count(object, "live_bytes_peak", check->totals.live_bytes_peak);
	set_count(object, "live_objects_end", check->totals.live_objects_end);
	set_count(object, "live_bytes_end", check->totals.live_bytes_end);
	set_count(object, "deaths_remote", check->deaths_remote);
	set_count(object, "births_by_resize", check->totals.by_kind[RH_EV_RESIZE]);
	set_count(object, "births_zero_size", check->births_zero_size);
	set_count(object, "births_zeroed", check->births_zeroed);
	set_count(object, "births_realloc_null", check->births_realloc);
	set_count(object, "births_new", check->births_new);
	set_count(object, "births_aligned", check->births - check->align[0]);
	set_count(object, "births_estimated", check->births_estimated);
	set_count(object, "scan_known", check->scan_known);
	set_count(object, "noscan", check->noscan);
	json_object_set_new(object, "by_size", octaves_json(check->size));
	json_object_set_new(object, "bytes_by_size", octaves_json(check->size_bytes));
	json_object_set_new(object, "by_align_log2", octaves_json(check->align));
	json_object_set_new(object, "by_age_events", octaves_json(check->life_events));
	json_object_set_new(object, "by_age_ns", octaves_json(check->life_ns));
	return object;
}

static json_t *lanes_json(const struct info *info)
{
	json_t *object = json_object();

	set_count(object, "count", info->check.totals.lanes);
	set_count(object, "stopped", info->check.lanes_stopped);
	set_count(object, "alive_peak", info->check.lanes_alive_peak);
	set_count(object, "busy", info->check.lanes_busy);
	set_count(object, "tasks", info->check.totals.tasks);
	set_count(object, "tasks_alive_peak", info->check.tasks_alive_peak);
	return object;
}

static json_t *edges_json(const struct info *info)
{
	json_t *object = json_object();

	if (info->edges_absent) {
		json_object_set_new(object, "absent", json_string(info->edges_absent));
		return object;
	}
	set_count(object, "before_pruning", info->edges.edges_all);
	set_count(object, "waits", info->edges.waits);
	set_count(object, "publishes", info->edges.publishes);
	return object;
}

static json_t *estimate_json(const struct rh_sample_sum *estimate)
{
	return json_pack("{s:f, s:f}", "value", estimate->value, "standard_error",
			 rh_sample_error(estimate));
}

/* [[from, births, bytes], ...] of the non-empty octaves. */
static json_t *sizes_json(const struct rh_check_sample *sample)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < RH_CHECK_OCTAVES; i++)
		if (sample->size[i].value > 0)
			json_array_append_new(list,
					      json_pack("[I, o, o]", (json_int_t)rh_octave_from(i),
							estimate_json(&sample->size[i]),
							estimate_json(&sample->size_bytes[i])));
	return list;
}

static json_t *sample_json(const struct rh_check_sample *sample)
{
	json_t *object;

	if (!sample->interval)
		return json_null();
	object = json_pack("{s:I, s:b}", "interval_bytes", (json_int_t)sample->interval,
			   "estimated", 1);
	json_object_set_new(object, "births", estimate_json(&sample->births));
	json_object_set_new(object, "bytes_born", estimate_json(&sample->bytes_born));
	json_object_set_new(object, "live_objects_end", estimate_json(&sample->live_objects));
	json_object_set_new(object, "live_bytes_end", estimate_json(&sample->live_bytes));
	json_object_set_new(object, "live_bytes_most", estimate_json(&sample->live_bytes_most));
	json_object_set_new(object, "by_size", sizes_json(sample));
	return object;
}

static json_t *notes_json(const struct rh_trace *trace)
{
	json_t *object = json_object();
	const struct rh_note *note;

	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++) {
		json_t *value = json_string(note->value);

		/* A program's arguments need not be UTF-8; JSON must be. */
		json_object_set_new(object, note->key, value ? value : json_string("(not UTF-8)"));
	}
	return object;
}

static int print_json(const struct info *info, struct rh_err *err)
{
	static const char *const names[] = { "time", "task", "site", "arg" };
	const struct rh_trace_totals *totals = &info->check.totals;
	const char *cut = rh_trace_truncated(info->trace);
	json_t *root = json_object(), *columns = json_array();
	int rc;

	for (int i = 0; i < 4; i++)
		if (rh_trace_columns(info->trace) >> i & 1)
			json_array_append_new(columns, json_string(names[i]));
	json_object_set_new(root, "trace", json_string(info->path));
	json_object_set_new(root, "truncated", cut ? json_string(cut) : json_null());
	json_object_set_new(root, "columns", columns);
	json_object_set_new(root, "events", events_json(totals));
	json_object_set_new(root, "lanes", lanes_json(info));
	json_object_set_new(root, "edges", edges_json(info));
	json_object_set_new(root, "objects", objects_json(&info->check));
	json_object_set_new(root, "sample", sample_json(&info->check.sample));
	json_object_set_new(root, "time_ns_last",
			    totals->time_ns_last == RH_NONE
				    ? json_null()
				    : json_integer((json_int_t)totals->time_ns_last));
	json_object_set_new(root, "notes", notes_json(info->trace));
	rc = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(root);
	return rc < 0 ? rh_fail(err, RH_IO, "the document cannot be written") : 0;
}

/* ---- run ---- */

static void find_edges(struct info *info, const struct info_opts *opts)
{
	struct rh_compile_options options = { 0 };
	struct rh_err err = { 0 };

	if (opts->no_edges) {
		info->edges_absent = "they were not asked for (--no-edges)";
	} else if (strcmp(info->path, "-") == 0) {
		info->edges_absent = "standard input can be read only once";
	} else if (!rh_trace_can_seek(info->trace)) {
		info->edges_absent = "a pipe can be read only once";
	} else if (rh_compile_edges(info->path, &options, &info->edges, &err) < 0) {
		memcpy(info->why, err.text, sizeof(info->why));
		info->edges_absent = info->why;
	}
}

static enum rh_exit run_info(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct info_opts *opts = options;
	struct info info = { .path = argv[0] };
	int rc;

	(void)argc;
	if (rh_trace_open(&info.trace, argv[0], err) < 0)
		return err->code;
	rc = rh_check_trace(info.trace, &info.check, err);
	if (rc == 0) {
		find_edges(&info, opts);
		rh_end_with_reader();
		if (opts->json)
			rc = print_json(&info, err);
		else
			print_table(&info);
	}
	if (rc == 0 && rh_trace_truncated(info.trace))
		rc = rh_fail(err, RH_PARTIAL, "%s", rh_trace_truncated(info.trace));
	rh_trace_close(info.trace);
	return rc < 0 ? err->code : RH_OK;
}

const struct rh_command rh_cmd_info = {
	.name = "info",
	.operands = "T.rht",
	.summary = "show the contents of a trace",
	.details = "Events by kind, lanes, sizes, lifetimes, remote frees, live peak, the order "
		   "between lanes before and after pruning, and the notes: the origin of the trace "
		   "and what an importer dropped, repaired or estimated. T.rht may be - (standard "
		   "input) and may be text.",
	.examples = "reheap info T.rht\n"
		    "reheap info T.rht --json | jq .objects.live_bytes_peak",
	.opts = info_options,
	.opts_bytes = sizeof(struct info_opts),
	.operands_min = 1,
	.operands_max = 1,
	.run = run_info,
};
