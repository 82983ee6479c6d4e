/*
 * cmd_list.c - `reheap list`: what there is of a kind, what is absent, and why.
 *
 * A kind is a row of `kinds`; each walks its own table and hands entries to one printer,
 * so text and JSON cannot disagree. Absent things are listed with their reason: nobody
 * should have to guess why a name does not work here.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "alloc/backend.h"
#include "harness/command.h"
#include "harness/probe/probe.h"
#include "traces/gen.h"
#include "traces/import.h"

struct opts {
	bool json;
};

struct entry {
	const char *name;
	const char *kind;	/* "heap", "decorator", "peer", "stack"; NULL where all are alike */
	const char *summary;
	const char *absent_why;
	const char *path;	/* of a library */
	const struct rh_opt *knobs;
	const char *example;	/* "looks like", "stresses" */
};

struct list {
	json_t *rows;	/* NULL: print text */
};

static void put_text(const struct entry *entry)
{
	printf("  %-12s %-10s %s\n", entry->name, entry->absent_why ? "absent" : "present",
	       entry->summary);
	if (entry->absent_why)
		printf("  %-23s %s\n", "", entry->absent_why);
	if (entry->path)
		printf("  %-23s %s\n", "", entry->path);
	if (entry->example)
		printf("  %-23s %s\n", "", entry->example);
	for (const struct rh_opt *row = entry->knobs; row && row->name; row++)
		printf("  %-23s %s=%s  %s%s%s%s\n", "", row->name, row->arg ? row->arg : "VALUE",
		       row->help ? row->help : "", row->dflt ? " [" : "",
		       row->dflt ? row->dflt : "", row->dflt ? "]" : "");
}

static json_t *knobs_json(const struct rh_opt *knobs)
{
	json_t *rows = json_array();

	for (const struct rh_opt *row = knobs; row && row->name; row++)
		json_array_append_new(rows, json_pack("{s:s, s:s?, s:s?}", "name", row->name,
						      "help", row->help, "default", row->dflt));
	return rows;
}

static void put(struct list *list, const struct entry *entry)
{
	if (!list->rows) {
		put_text(entry);
		return;
	}
	json_array_append_new(list->rows, json_pack(
		"{s:s, s:s?, s:b, s:s?, s:s, s:s?, s:s?, s:o}", "name", entry->name, "kind",
		entry->kind, "present", !entry->absent_why, "absent_why", entry->absent_why,
		"summary", entry->summary, "path", entry->path, "about", entry->example, "knobs",
		knobs_json(entry->knobs)));
}

static void list_peers(struct list *list)
{
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++) {
		char path[4096];
		struct rh_err why = { 0 };
		bool found = rh_peer_find(peer, path, sizeof(path), &why) == 0;

		put(list, &(struct entry){ .name = peer->name, .kind = "peer",
					   .summary = peer->summary,
					   .absent_why = found ? NULL : why.text,
					   .path = found ? path : NULL });
	}
}

static void heading(const struct list *list, const char *text)
{
	if (!list->rows)
		printf("%s\n", text);
}

static void list_backends(struct list *list)
{
	heading(list, "heap backends, built in");
	for (int i = 0; rh_backends[i]; i++)
		put(list, &(struct entry){ .name = rh_backends[i]->name,
					   .kind = rh_backends[i]->caps & RH_CAP_DECORATOR ?
						   "decorator" : "heap",
					   .summary = rh_backends[i]->summary,
					   .absent_why = rh_backends[i]->absent_why,
					   .knobs = rh_backends[i]->knobs });
	heading(list, "heap backends of the system (or any path to a .so)");
	list_peers(list);
	heading(list, "stack backends (after a slash: libc/none)");
	for (int i = 0; rh_stack_backends[i]; i++)
		put(list, &(struct entry){ .name = rh_stack_backends[i]->name, .kind = "stack",
					   .summary = rh_stack_backends[i]->summary,
					   .absent_why = rh_stack_backends[i]->absent_why,
					   .knobs = rh_stack_backends[i]->knobs });
}

static void list_importers(struct list *list)
{
	for (int i = 0; rh_importers[i]; i++)
		put(list, &(struct entry){ .name = rh_importers[i]->name,
					   .summary = rh_importers[i]->summary,
					   .absent_why = rh_importers[i]->absent_why,
					   .knobs = rh_importers[i]->opts,
					   .example = rh_importers[i]->looks_like });
}

static void list_generators(struct list *list)
{
	for (int i = 0; rh_generators[i]; i++)
		put(list, &(struct entry){ .name = rh_generators[i]->name,
					   .summary = rh_generators[i]->summary,
					   .knobs = rh_generators[i]->opts,
					   .example = rh_generators[i]->stresses });
}

/* As if all were asked for: some look for what they can use only then. */
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

		snprintf(source, sizeof(source), "source %s; %s", probe->source, probe->own_pass ?
			 "a pass of its own" : "rides along");
		put(list, &(struct entry){ .name = probe->name, .kind = "probe",
					   .summary = probe->summary,
					   .absent_why = probe->absent_why ?
						   probe->absent_why(&plain, text, sizeof(text)) :
						   NULL,
					   .example = source });
	}
	rh_result_free(&scratch);
}

static const struct kind {
	const char *name;
	void (*walk)(struct list *list);
} kinds[] = {
	{ "backends", list_backends },
	{ "generators", list_generators },
	{ "importers", list_importers },
	{ "probes", list_probes },
	{ NULL, NULL }
};

static int no_such_kind(const char *name, struct rh_err *err)
{
	char all[128] = "";

	for (const struct kind *kind = kinds; kind->name; kind++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", all[0] ? ", " : "",
			 kind->name);
	return rh_fail(err, RH_USAGE, "'%s' cannot be listed (there are: %s)", name, all);
}

static enum rh_exit run_list(const void *opts, int argc, char **argv, struct rh_err *err)
{
	const struct opts *mine = opts;
	const struct kind *kind = kinds;
	struct list list = { .rows = mine->json ? json_array() : NULL };

	(void)argc;
	while (kind->name && strcmp(kind->name, argv[0]) != 0)
		kind++;
	if (kind->name)
		kind->walk(&list);
	else
		no_such_kind(argv[0], err);
	if (list.rows && kind->name) {
		json_dumpf(list.rows, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(list.rows);
	return kind->name ? RH_OK : err->code;
}

static const struct rh_opt list_opts[] = {
	{ "json", 0, RH_OPT_FLAG, offsetof(struct opts, json), .help = "machine-readable" },
	{ .name = NULL }
};

const struct rh_command rh_cmd_list = {
	.name = "list",
	.operands = "backends|generators|importers|probes",
	.summary = "what is there, what is absent, and why",
	.examples = "reheap list backends\nreheap list importers --json",
	.opts = list_opts,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 1,
	.operands_max = 1,
	.run = run_list,
};
