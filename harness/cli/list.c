/*
 * list.c - `reheap list`: what exists of a kind, what is absent, and why.
 *
 * A kind is a row of `kinds`; each walks its own table and hands entries to one printer,
 * so text and JSON cannot disagree. Absent things are listed with their reason: nobody
 * should have to guess why a name does not work here.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "alloc/backend.h"
#include "alloc/base/progress.h"
#include "alloc/base/goversions.h"
#include "harness/cli/command.h"
#include "harness/fidelity/whatif_document.h"
#include "harness/launch/peer_version.h"
#include "harness/probe/probe.h"
#include "harness/result/fields.h"
#include "traces/gen/gen.h"
#include "traces/import/import.h"
#include "traces/import/known.h"
#include "alloc/base/printable.h"
#include "alloc/base/suggest.h"

struct opts {
	bool json;
};

enum { BUILDS_MAX = 32, PATH_MAX_BYTES = 4096 };

struct builds {
	const char *found; /* the one that stands first: not here again */
	struct build {
		char path[PATH_MAX_BYTES], version[64];
	} build[BUILDS_MAX];
	size_t count;
};

struct entry {
	const char *name;
	const char *kind; /* "heap", "decorator", "peer", "stack"; NULL where all are of one kind */
	const char *summary;
	const char *absent_why;
	const char *path; /* of a library */
	const char *version;
	const struct builds *builds; /* more of them in REHEAP_PATH */
	const struct rh_opt *knobs;
	const char *example; /* "looks like", "stresses" */
};

#define FIELDS_KNOB(F)                         \
	F(TEXT, _, name, EVER, "", "its name") \
	F(TEXT, _, help, NULL, "", "a phrase") \
	F(TEXT, _, default_, NULL, "", "when it is not given")
#define FIELDS_BUILD(F)                            \
	F(TEXT, _, path, EVER, "", "of a library") \
	F(TEXT, _, version, NULL, "", "as it says itself; else which build it is")
#define FIELDS_LISTED(F)                                                                         \
	F(TEXT, _, name, EVER, "", "the word to give")                                           \
	F(TEXT, _, kind, NULL, "", "heap, decorator, peer, stack, probe")                        \
	F(BOOL, _, present, EVER, "", "can be used here")                                        \
	F(TEXT, _, absent_why, NULL, "", "why not")                                              \
	F(TEXT, _, summary, EVER, "", "one line")                                                \
	F(TEXT, _, path, NULL, "", "of a library")                                               \
	F(TEXT, _, version, NULL, "", "of a library, as it says itself; else which build it is") \
	F(TEXT, _, about, NULL, "", "looks like, stresses, source")                              \
	F(LIST, listed_build, builds, NULL, "", "more builds of it in REHEAP_PATH")              \
	F(LIST, listed_knob, knobs, EVER, "", "what can be set")

RH_RECORD(listed_build, FIELDS_BUILD)
RH_RECORD(listed_knob, FIELDS_KNOB)
RH_RECORD(listed, FIELDS_LISTED)

#define SELF struct rh_listed_build
RH_RECORD_TABLE(listed_build, FIELDS_BUILD)
#undef SELF
#define SELF struct rh_listed_knob
RH_RECORD_TABLE(listed_knob, FIELDS_KNOB)
#undef SELF
#define SELF struct rh_listed
RH_RECORD_TABLE(listed, FIELDS_LISTED)
#undef SELF

struct list {
	struct rh_pool *pool; /* NULL: print text */
	struct rh_listed *rows;
	size_t row_count;
};

static void put_library(const char *before, const char *path, const char *version)
{
	const char *said = version && version[0] ? version : NULL;

	rh_print(stdout, "  %-26s %s%s%s%s\n", "", before, path,
		 !said				   ? ""
		 : isdigit((unsigned char)said[0]) ? ", version "
						   : ", ",
		 said ? said : "");
}

static void put_text(const struct entry *entry)
{
	rh_print(stdout, "  %-15s %-10s %s\n", entry->name,
		 entry->absent_why ? "absent" : "present", entry->summary);
	if (entry->absent_why)
		rh_print(stdout, "  %-26s %s\n", "", entry->absent_why);
	if (entry->path)
		put_library("", entry->path, entry->version);
	for (size_t i = 0; entry->builds && i < entry->builds->count; i++)
		put_library("also ", entry->builds->build[i].path, entry->builds->build[i].version);
	if (entry->example)
		rh_print(stdout, "  %-26s %s\n", "", entry->example);
	for (const struct rh_opt *row = entry->knobs; row && row->name; row++)
		rh_print(stdout, "  %-26s %s=%s  %s%s%s%s\n", "", row->name,
			 row->arg ? row->arg : "VALUE", row->help ? row->help : "",
			 row->dflt ? " [" : "", row->dflt ? row->dflt : "", row->dflt ? "]" : "");
}

static void add_knobs(struct list *list, struct rh_listed *row, const struct rh_opt *knobs)
{
	for (; knobs && knobs->name; knobs++)
		*(struct rh_listed_knob *)rh_pool_grow(list->pool, &row->knobs, &row->knobs_count,
						       sizeof(*row->knobs)) =
			(struct rh_listed_knob){ knobs->name, knobs->help, knobs->dflt };
}

static void add_builds(struct list *list, struct rh_listed *row, const struct builds *builds)
{
	for (size_t i = 0; builds && i < builds->count; i++) {
		const struct build *build = &builds->build[i];

		*(struct rh_listed_build *)rh_pool_grow(list->pool, &row->builds,
							&row->builds_count, sizeof(*row->builds)) =
			(struct rh_listed_build){
				rh_pool_text(list->pool, build->path),
				rh_pool_text(list->pool, build->version[0] ? build->version : NULL)
			};
	}
}

static void put(struct list *list, const struct entry *entry)
{
	struct rh_listed *row;

	if (!list->pool) {
		put_text(entry);
		return;
	}
	row = rh_pool_grow(list->pool, &list->rows, &list->row_count, sizeof(*row));
	*row = (struct rh_listed){
		.name = entry->name,
		.kind = entry->kind,
		.present = !entry->absent_why,
		.absent_why = rh_pool_text(list->pool, entry->absent_why),
		.summary = entry->summary,
		.path = rh_pool_text(list->pool, entry->path),
		.version = rh_pool_text(list->pool, entry->version),
		.about = rh_pool_text(list->pool, entry->example),
	};
	add_builds(list, row, entry->builds);
	add_knobs(list, row, entry->knobs);
}

static void add_build(void *to, const char *path)
{
	struct builds *builds = to;
	struct build *build = &builds->build[builds->count];

	if (builds->count == BUILDS_MAX || strlen(path) >= sizeof(build->path) ||
	    rh_same_file(path, builds->found))
		return;
	for (size_t i = 0; i < builds->count; i++)
		if (rh_same_file(path, builds->build[i].path))
			return; /* several patterns match it */
	snprintf(build->path, sizeof(build->path), "%s", path);
	rh_peer_version(path, build->version, sizeof(build->version));
	builds->count++;
}

static void list_peers(struct list *list)
{
	static struct builds builds;

	for (const struct rh_peer *peer = rh_peers; peer->name; peer++) {
		char path[PATH_MAX_BYTES], version[64] = "";
		struct rh_err why = { 0 };
		bool found = rh_peer_find(peer, path, sizeof(path), &why) == 0;

		builds.count = 0;
		builds.found = path;
		if (found) {
			rh_peer_version(path, version, sizeof(version));
			rh_peer_builds(peer, add_build, &builds);
		}
		put(list, &(struct entry){ .name = peer->name,
					   .kind = "peer",
					   .summary = peer->summary,
					   .absent_why = found ? NULL : why.text,
					   .path = found ? path : NULL,
					   .version = version[0] ? version : NULL,
					   .builds = &builds });
	}
}

static void heading(const struct list *list, const char *text)
{
	if (!list->pool)
		rh_print(stdout, "%s\n", text);
}

static void list_backends(struct list *list)
{
	heading(list, "heap backends, built in");
	for (int i = 0; rh_backends[i]; i++)
		put(list,
		    &(struct entry){ .name = rh_backends[i]->name,
				     .kind = rh_backends[i]->caps & RH_CAP_DECORATOR ? "decorator"
										     : "heap",
				     .summary = rh_backends[i]->summary,
				     .absent_why = rh_backends[i]->absent_why,
				     .knobs = rh_backends[i]->knobs });
	heading(list, "heap backends of the system (or any path to a .so)");
	list_peers(list);
	heading(list, "stack backends (after a slash: libc/none)");
	for (int i = 0; rh_stack_backends[i]; i++)
		put(list, &(struct entry){ .name = rh_stack_backends[i]->name,
					   .kind = "stack",
					   .summary = rh_stack_backends[i]->summary,
					   .absent_why = rh_stack_backends[i]->absent_why,
					   .knobs = rh_stack_backends[i]->knobs });
}

static void list_importers(struct list *list)
{
	for (int i = 0; rh_importers[i]; i++)
		put(list, &(struct entry){ .name = rh_importers[i]->name,
					   .summary = rh_importers[i]->summary,
					   .absent_why = rh_importers[i]->absent_why
								 ? rh_importers[i]->absent_why()
								 : NULL,
					   .knobs = rh_importers[i]->opts,
					   .example = rh_importers[i]->looks_like });
	heading(list, "not read, and what to do");
	if (!list->pool)
		rh_known_print(stdout);
}

static void list_generators(struct list *list)
{
	for (int i = 0; rh_generators[i]; i++)
		put(list, &(struct entry){ .name = rh_generators[i]->name,
					   .summary = rh_generators[i]->summary,
					   .knobs = rh_generators[i]->opts,
					   .example = rh_generators[i]->stresses });
}

static void list_profiles(struct list *list)
{
	heading(list,
		"versions of Go: what is modelled, and how it differs from the row above (which "
		"file of src/runtime says so)");
	for (const struct rh_goversion *row = rh_goversions; row->name; row++) {
		if (!list->rows)
			rh_print(stdout, "  %-18s %-10s %s\n", row->name,
				 row->segmented ? "segmented" : "heap+pools", row->differs);
		else
			put(list,
			    &(struct entry){ .name = row->name,
					     .kind = row->segmented ? "segmented" : "tiered+pools",
					     .summary = row->differs });
	}
	heading(list, "tiered:profile=V/pools:profile=V, or HEAP/segmented:profile=V; any other "
		      "1.N is taken as the newest row before it");
}

/* As if all were asked for: some probes look for their tools only then. */
static void list_probes(struct list *list)
{
	struct rh_run_config plain = { .reps = 1, .probes = "all" };
	struct rh_result scratch = { .reps = 1 };
	struct rh_err err;

	if (rh_probes_choose(&plain, &scratch, &err) < 0)
		return;
	for (int i = 0; rh_probes[i]; i++) {
		char text[300], source[64];
		const struct rh_probe *probe = rh_probes[i];

		snprintf(source, sizeof(source), "source %s; %s", probe->source,
			 probe->own_pass ? "a pass of its own" : "rides along");
		put(list, &(struct entry){ .name = probe->name,
					   .kind = "probe",
					   .summary = probe->summary,
					   .absent_why = probe->absent_why
								 ? probe->absent_why(&plain, text,
										     sizeof(text))
								 : NULL,
					   .example = source });
	}
	rh_result_free(&scratch);
}

static void list_metrics(struct list *list)
{
	for (const struct rh_metric_row *row = rh_metric_rows; row->name; row++) {
		char about[80];

		if (list->pool) {
			snprintf(about, sizeof(about), "unit %s, source %s, better %s", row->unit,
				 row->source, row->better);
			put(list, &(struct entry){ .name = row->name,
						   .kind = row->source,
						   .summary = row->what,
						   .example = about });
			continue;
		}
		rh_print(stdout, "%-38s %-6s %-4s %-7s %s\n", row->name, row->unit, row->source,
			 row->better, row->what);
	}
}

/* The tables of RESULT.md, from the same lists as the reader and the writer. */
static void list_fields(struct list *list)
{
	(void)list;
	rh_record_tables(&rh_document_type, stdout);
	printf("### Metrics\n\n| name | unit | source | better | what |\n|---|---|---|---|---|\n");
	for (const struct rh_metric_row *row = rh_metric_rows; row->name; row++)
		rh_print(stdout, "| `%s` | %s | %s | %s | %s |\n", row->name, row->unit,
			 row->source, row->better, row->what);
}

static void list_schema(struct list *list)
{
	(void)list;
	rh_record_schema(&rh_document_type, "reheap.result/1", stdout);
}

static void list_schema_whatif(struct list *list)
{
	(void)list;
	rh_record_schema(&rh_whatif_document_type, RH_WHATIF_SCHEMA, stdout);
}

static const struct kind {
	const char *name;
	void (*walk)(struct list *list);
} kinds[] = { { "backends", list_backends },
	      { "fields", list_fields },
	      { "generators", list_generators },
	      { "importers", list_importers },
	      { "metrics", list_metrics },
	      { "probes", list_probes },
	      { "profiles", list_profiles },
	      { "schema", list_schema },
	      { "schema-whatif", list_schema_whatif },
	      { NULL, NULL } };

static int no_such_kind(const char *name, struct rh_err *err)
{
	struct rh_suggestion near = rh_suggestion_for(name, strlen(name));
	char text[512];

	for (const struct kind *kind = kinds; kind->name; kind++)
		rh_suggest_consider(&near, kind->name);
	rh_suggest_write(&near, text, sizeof(text));
	return rh_fail(err, RH_USAGE, "'%s' cannot be listed; %s", name, text);
}

static enum rh_exit run_list(const void *opts, int argc, char **argv, struct rh_err *err)
{
	const struct opts *mine = opts;
	const struct kind *kind = kinds;
	struct list list = { .pool = mine->json ? rh_pool_open() : NULL };

	(void)argc;
	rh_end_with_reader();
	while (kind->name && strcmp(kind->name, argv[0]) != 0)
		kind++;
	if (kind->name)
		kind->walk(&list);
	else
		no_such_kind(argv[0], err);
	if (list.row_count)
		rh_records_write(&rh_listed_type, list.rows, list.row_count, RH_JSON_INDENTED,
				 stdout);
	rh_pool_close(list.pool);
	return kind->name ? RH_OK : err->code;
}

static const struct rh_opt list_opts[] = { { "json", 0, RH_OPT_FLAG, offsetof(struct opts, json),
					     .help = "machine-readable" },
					   { .name = NULL } };

const struct rh_command rh_cmd_list = {
	.name = "list",
	.operands = "backends|fields|generators|importers|metrics|probes|profiles|schema|"
		    "schema-whatif",
	.summary = "list what is available, what is absent, and why",
	.details =
		"fields and schema describe result files: as Markdown tables and as JSON Schema; "
		"schema-whatif what whatif --json prints.",
	.examples = "reheap list backends\nreheap list importers --json\n"
		    "reheap list schema > result.schema.json",
	.opts = list_opts,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 1,
	.operands_max = 1,
	.run = run_list,
};
