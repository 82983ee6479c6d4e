/*
 * tour.c - `reheap tour`: Go's memory step by step, from the real code of a profile as it runs.
 *
 * A heap and stack pools of one lane; each step makes one request and prints which tiers it
 * passed, in order, and what changed. Nothing is printed that was not counted: a tier is named
 * because its counter moved (table `tiers`). The figure is drawn from the same counters.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/goversions.h"
#include "alloc/base/printable.h"
#include "alloc/registry.h"
#include "alloc/stack/pools/profile.h"
#include "harness/cli/command.h"
#include "plots/figure/figure.h"

enum { FIGURES_MAX = 1024, NAME_BYTES = 48, HELD_MAX = 512, DEEP_FRAME = 96 };

struct opts {
	const char *profile, *plot, *style;
};

static const struct rh_opt tour_options[] = {
	{ "profile", 0, RH_OPT_TEXT, offsetof(struct opts, profile), "1.17", .arg = "VERSION",
	  .help = "which Go, 1.4 or later (reheap list profiles)" },
	{ "plot", 0, RH_OPT_TEXT, offsetof(struct opts, plot), .arg = "PREFIX",
	  .help = "write the steps to PREFIX.tsv and draw PREFIX.svg" },
	{ "style", 0, RH_OPT_TEXT, offsetof(struct opts, style), .arg = "FILE",
	  .help = "gnuplot commands for that figure, read before its first panel" },
	{ .name = NULL }
};

struct figures {
	struct {
		char name[NAME_BYTES];
		uint64_t value;
	} of[FIGURES_MAX];
	int count;
};

struct held {
	void *p;
	size_t size;
};

struct tour {
	struct rh_spec spec;
	const struct rh_backend *ops;
	const struct rh_stack_backend *stacks_ops;
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_stacks *stacks;
	struct rh_stack_lane *stack_lane;
	const struct pool_profile *pool;
	struct figures before, after;
	struct held held[HELD_MAX];
	int held_count, step;
	void *task, *other;
	unsigned frames; /* of task */
	const char *short_title;
	FILE *data; /* of the figure, NULL = none */
	bool failed;
};

/* ---- figures ---- */

static void note(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct figures *figures = ctx;

	(void)unit;
	if (figures->count == FIGURES_MAX)
		return;
	snprintf(figures->of[figures->count].name, NAME_BYTES, "%s", name);
	figures->of[figures->count++].value = value;
}

static void read_figures(struct tour *tour, struct figures *figures)
{
	figures->count = 0;
	tour->ops->stats(tour->heap, note, figures);
	tour->stacks_ops->stats(tour->stacks, note, figures);
}

static uint64_t value_of(const struct figures *figures, const char *name)
{
	for (int i = 0; i < figures->count; i++)
		if (strcmp(figures->of[i].name, name) == 0)
			return figures->of[i].value;
	return 0;
}

static int64_t moved(const struct tour *tour, const char *name)
{
	return (int64_t)(value_of(&tour->after, name) - value_of(&tour->before, name));
}

/* ---- which tiers ---- */

/* In the order in which a request passes them; a tier was passed if its counter rose. */
static const struct {
	const char *tier, *counters[3];
} tiers[] = {
	{ "gfree", { "pools.g.local_hits", "pools.g.global_hits", "pools.g.batches_to_global" } },
	{ "stackcache", { "pools.stackcache.hits", "pools.stackcache.refills" } },
	{ "stackpool", { "pools.stackcache.refills", "pools.stackpool.allocs" } },
	{ "stackLarge", { "pools.stackLarge.allocs", "pools.stackLarge.hits" } },
	{ "mcache.tiny", { "tiny.allocs", "class02.16.noscan.allocs" } },
	{ "mcache.alloc", { "mcache.hits", "mcache.misses" } },
	{ "mcentral", { "mcache.refills" } },
	{ "pagecache", { "pcache.hits", "pcache.refills" } },
	{ "mheap", { "mheap.span_allocs", "pcache.refills" } },
	{ "arena", { "mheap.grows" } },
};

enum { TIERS = sizeof(tiers) / sizeof(tiers[0]) };

static bool passed(const struct tour *tour, size_t tier)
{
	/* Before 1.6 large stacks come from the page heap at once; the counter is of their size. */
	if (strcmp(tiers[tier].tier, "stackLarge") == 0 && tour->pool->large != POOL_LARGE_LISTS)
		return false;
	for (size_t i = 0; i < 3 && tiers[tier].counters[i]; i++)
		if (moved(tour, tiers[tier].counters[i]) > 0)
			return true;
	return false;
}

static void print_path(const struct tour *tour)
{
	const char *arrow = "";

	printf("   path   ");
	for (size_t i = 0; i < TIERS; i++) {
		if (!passed(tour, i))
			continue;
		rh_print(stdout, "%s%s", arrow, tiers[i].tier);
		arrow = " -> ";
	}
	puts(*arrow ? "" : "none: no memory was asked for");
}

static bool is_list(const char *name)
{
	return strncmp(name, "mheap.free", 10) == 0 || strncmp(name, "mheap.busy", 10) == 0 ||
	       strncmp(name, "mheap.scav", 10) == 0 || strncmp(name, "mcentral[", 9) == 0;
}

static void print_list(const char *name, uint64_t was, uint64_t is)
{
	rh_print(stdout, "   list   %-34s %" PRIu64 " -> %" PRIu64 "\n", name, was, is);
}

/* Lists that became longer or shorter. */
static void print_lists(const struct tour *tour)
{
	for (int i = 0; i < tour->before.count; i++) {
		const char *name = tour->before.of[i].name;

		if (is_list(name) && value_of(&tour->after, name) == 0)
			print_list(name, tour->before.of[i].value, 0);
	}
	for (int i = 0; i < tour->after.count; i++) {
		const char *name = tour->after.of[i].name;

		if (is_list(name) && moved(tour, name) != 0)
			print_list(name, value_of(&tour->before, name), tour->after.of[i].value);
	}
}

static void print_figure(const struct tour *tour, const char *name)
{
	if (moved(tour, name) != 0)
		rh_print(stdout, "   %-6s %-34s %" PRIu64 " -> %" PRIu64 "\n", "figure", name,
			 value_of(&tour->before, name), value_of(&tour->after, name));
}

static void print_memory(const struct tour *tour)
{
	rh_print(stdout,
		 "   memory HeapInuse %" PRIu64 " KiB, StackInuse %" PRIu64 " KiB, virtual %" PRIu64
		 " KiB, physical %" PRIu64 " KiB\n\n",
		 value_of(&tour->after, "HeapInuse") >> 10,
		 value_of(&tour->after, "StackInuse") >> 10,
		 (value_of(&tour->after, "HeapSys") + value_of(&tour->after, "StackInuse")) >> 10,
		 value_of(&tour->after, "arenas.resident") >> 10);
}

static void begin_data(struct tour *tour)
{
	fputs("step\twhat\tfirst tier\tlast tier\tHeapInuse\tStackInuse\tvirtual\tphysical",
	      tour->data);
	for (size_t i = 0; i < TIERS; i++)
		rh_print(tour->data, "\t%s", tiers[i].tier);
	fputc('\n', tour->data);
}

/* The step as a row of the figure: which tiers from where to where, MiB. */
static void write_data(const struct tour *tour)
{
	const struct figures *is = &tour->after;
	double mib = 1 << 20;
	size_t first = TIERS, last = 0;

	for (size_t i = 0; i < TIERS; i++)
		if (passed(tour, i)) {
			first = first == TIERS ? i : first;
			last = i;
		}
	rh_print(tour->data, "%d\t%s", tour->step, tour->short_title);
	if (first == TIERS)
		fputs("\tNaN\tNaN", tour->data);
	else
		rh_print(tour->data, "\t%zu\t%zu", first + 1, last + 1);
	rh_print(tour->data, "\t%.4f\t%.4f\t%.4f\t%.4f", (double)value_of(is, "HeapInuse") / mib,
		 (double)value_of(is, "StackInuse") / mib,
		 (double)(value_of(is, "HeapSys") + value_of(is, "StackInuse")) / mib,
		 (double)value_of(is, "arenas.resident") / mib);
	for (size_t i = 0; i < TIERS; i++)
		rh_print(tour->data, "\t%d", passed(tour, i));
	fputc('\n', tour->data);
}

/* short_title is printed in the figure. */
static void begin(struct tour *tour, const char *short_title, const char *title)
{
	tour->short_title = short_title;
	rh_print(stdout, "%2d. %s\n", ++tour->step, title);
	read_figures(tour, &tour->before);
}

static void end(struct tour *tour)
{
	static const char *const shown[] = {
		"pools.spans.made",
		"pools.spans.freed",
		"pools.grows",
		"pools.shrinks",
		"pools.copy.bytes",
		"pools.copy.frames",
		"pools.copy.pointers_adjusted",
		"NumGC",
		"sweep.spans_freed",
		"pcache.pages",
		"spans.in_use",
		"large.allocs",
	};

	read_figures(tour, &tour->after);
	print_path(tour);
	print_lists(tour);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		print_figure(tour, shown[i]);
	print_memory(tour);
	if (tour->data)
		write_data(tour);
}

/* ---- steps ---- */

static void *ask(struct tour *tour, size_t size, bool noscan)
{
	struct held *held = &tour->held[tour->held_count];

	held->size = size;
	held->p =
		tour->ops->alloc_as(tour->lane, size, noscan ? 0 : 8, noscan ? RH_ALLOC_NOSCAN : 0);
	tour->failed |= !held->p;
	if (held->p) {
		memset(held->p, 1, size);
		tour->held_count++;
	}
	return held->p;
}

static void step_alloc(struct tour *tour, const char *short_title, const char *title, size_t size,
		       bool noscan)
{
	begin(tour, short_title, title);
	ask(tour, size, noscan);
	end(tour);
}

/* Objects of one class until its span is full and mcentral is asked again. */
static void step_fill(struct tour *tour)
{
	begin(tour, "24 B x 400", "objects of 24 bytes until the span in mcache.alloc is full");
	for (int i = 0; i < 400 && tour->held_count < HELD_MAX - 16; i++)
		ask(tour, 24, false);
	end(tour);
}

static void step_objects(struct tour *tour)
{
	step_alloc(tour, "tiny, 5 B", "a tiny object: 5 bytes without pointers", 5, true);
	step_alloc(tour, "tiny again", "another tiny one: it goes into the same 16 bytes", 5, true);
	step_alloc(tour, "small, 24 B",
		   "a small object: 24 bytes with pointers, the first of its class", 24, false);
	step_alloc(tour, "24 B again", "another of the same class", 24, false);
	step_fill(tour);
	step_alloc(tour, "large, 100 KiB", "a large object: 100 KiB, 13 pages", 100 << 10, true);
	step_alloc(tour, "large, 2 MiB", "a larger one: 2 MiB, 256 pages", 2 << 20, true);
}

static void *spawn(struct tour *tour, size_t bytes)
{
	void *task = tour->stacks_ops->spawn(tour->stack_lane, bytes);

	tour->failed |= !task;
	return task;
}

static void step_spawn(struct tour *tour)
{
	begin(tour, "stack, 2 KiB", "a goroutine: the first stack of 2 KiB");
	tour->task = spawn(tour, 0);
	end(tour);
	begin(tour, "another stack", "another goroutine");
	tour->other = spawn(tour, 0);
	end(tour);
	begin(tour, "stack reused", "it ends, and a new one takes over its stack");
	tour->stacks_ops->exit(tour->stack_lane, tour->other);
	tour->other = spawn(tour, 0);
	end(tour);
	begin(tour, "stack, 64 KiB",
	      "one with 64 KiB of stack, past stackcache and stackpool; it ends, and as no "
	      "collection runs, its stack goes back to the page heap at once");
	tour->stacks_ops->exit(tour->stack_lane, spawn(tour, 65536));
	end(tour);
}

static void call_deep(struct tour *tour, unsigned frames)
{
	while (tour->frames < frames && !tour->failed) {
		tour->failed |=
			tour->stacks_ops->call(tour->stack_lane, tour->task, DEEP_FRAME) < 0;
		tour->frames++;
	}
}

static void step_grow(struct tour *tour)
{
	char title[160];

	snprintf(title, sizeof(title),
		 "calls 2 KiB deep: a frame would reach below the guard, %u bytes above the end; "
		 "the stack is copied to one of twice the size",
		 tour->pool->guard_bytes);
	begin(tour, "2 KiB deep", title);
	call_deep(tour, 2048 / DEEP_FRAME);
	end(tour);
	begin(tour, "20 KiB deep",
	      "calls 20 KiB deep: copied again and again, past stackpool in the end");
	call_deep(tour, 20480 / DEEP_FRAME);
	end(tour);
}

static void begin_collection(struct tour *tour)
{
	tour->stacks_ops->gc_begin(tour->stack_lane);
	tour->ops->gc_begin(tour->lane);
}

static void end_collection(struct tour *tour)
{
	tour->ops->gc_end(tour->lane);
	tour->ops->lane_flush(tour->lane);
	tour->stacks_ops->gc_end(tour->stack_lane);
}

static void step_collect(struct tour *tour, const char *short_title, const char *title)
{
	begin(tour, short_title, title);
	begin_collection(tour);
	end_collection(tour);
	end(tour);
}

static void step_shrink(struct tour *tour)
{
	begin(tour, "calls return", "the calls return: nothing is given back yet");
	for (; tour->frames > 1; tour->frames--)
		tour->stacks_ops->ret(tour->stack_lane, tour->task, DEEP_FRAME);
	end(tour);
	step_collect(tour, "GC: halved",
		     "a collection: less than a quarter of the stack is used, it is halved");
	step_collect(tour, "GC: again", "the next collection: halved again");
}

/* A cycle finds the blocks that die while it marks, as in the replay of a recorded cycle. */
static void step_die(struct tour *tour)
{
	begin(tour, "GC begins",
	      "a collection begins; every object becomes unreachable, and nobody notices");
	begin_collection(tour);
	while (tour->held_count > 0) {
		struct held *held = &tour->held[--tour->held_count];

		tour->ops->free(tour->lane, held->p, held->size);
	}
	end(tour);
	begin(tour, "GC ends",
	      "the collection ends: it has marked what lives; spans are to be swept");
	end_collection(tour);
	end(tour);
	begin(tour, "24 B swept",
	      "24 bytes again: the first span of the class that is swept has room");
	ask(tour, 24, false);
	end(tour);
	step_collect(tour, "GC: sweeps",
		     "the next collection first sweeps what is left: empty spans go back "
		     "to the page heap");
}

/* ---- the whole ---- */

static int open_tour(struct tour *tour, const char *profile, struct rh_err *err)
{
	char backend[160];
	int row = 0;

	while (rh_pool_profile_names[row] && strcmp(rh_pool_profile_names[row], profile) != 0)
		row++;
	tour->pool = &rh_pool_profiles[row];
	snprintf(backend, sizeof(backend),
		 "tiered:profile=%s:gc=recorded:scavenge=off/pools:profile=%s:threads=off", profile,
		 profile);
	if (rh_spec_parse(&tour->spec, backend, 0, err) < 0)
		return -1;
	tour->ops = &tour->spec.layer[0].ops;
	tour->stacks_ops = &tour->spec.stack;
	if (rh_spec_open(&tour->spec, 1, &tour->heap, err) < 0 ||
	    tour->stacks_ops->open(&tour->stacks, tour->spec.stack_knobs, tour->ops, tour->heap,
				   err) < 0 ||
	    tour->ops->lane_open(tour->heap, &tour->lane, err) < 0)
		return -1;
	return tour->stacks_ops->lane_open(tour->stacks, tour->lane, &tour->stack_lane, err);
}

static void close_tour(struct tour *tour)
{
	if (tour->stack_lane)
		tour->stacks_ops->lane_close(tour->stack_lane);
	if (tour->stacks)
		tour->stacks_ops->close(tour->stacks);
	if (tour->lane)
		tour->ops->lane_close(tour->lane);
	if (tour->heap)
		tour->ops->close(tour->heap);
}

static void walk(struct tour *tour)
{
	step_objects(tour);
	step_spawn(tour);
	step_grow(tour);
	step_shrink(tour);
	step_die(tour);
}

/* The names of lists hold a number; which, nobody can guess. */
static void print_head(const struct rh_goversion *row)
{
	rh_print(stdout, "Go %s: %s\n", row->name, row->differs);
	if (!row->heap.radix)
		puts("mheap.free[N] is the list of free spans of N pages of 8 KiB.");
	if (!row->heap.reclaim_bitmap)
		puts("mheap.busy[N] is the list of large objects of N pages.");
	if (!row->heap.span_sets)
		rh_print(stdout,
			 "mcentral[class02.16] has the spans of class 2, objects of 16 bytes%s.\n",
			 row->heap.noscan_split ? "; scan: with pointers, noscan: without" : "");
	putchar('\n');
}

/* The steps are printed first; the figure comes last. */
static int draw(const struct rh_goversion *row, const struct opts *opts, struct rh_err *err)
{
	char of[32], caption[200];

	snprintf(of, sizeof(of), "Go %s", row->name);
	snprintf(caption, sizeof(caption),
		 "Go's memory step by step (profile %s): the tiers that each request passed, "
		 "and the memory after it",
		 row->name);
	return rh_figure_script(&(struct rh_script){ .id = "tour",
						     .of = of,
						     .title = "Which tiers a request passes",
						     .caption = caption,
						     .style = opts->style },
				opts->plot, err);
}

static int open_data(struct tour *tour, const char *prefix, struct rh_err *err)
{
	char name[4096];

	if ((size_t)snprintf(name, sizeof(name), "%s.tsv", prefix) >= sizeof(name))
		return rh_fail(err, RH_USAGE, "--plot: the name is too long");
	tour->data = fopen(name, "w");
	if (!tour->data)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s", name);
	begin_data(tour);
	return 0;
}

static void print_all(struct tour *tour, const struct rh_goversion *row, const struct opts *opts,
		      struct rh_err *err)
{
	if (opts->plot && open_data(tour, opts->plot, err) < 0)
		return;
	print_head(row);
	walk(tour);
	if (tour->failed)
		rh_fail(err, RH_FAILED, "a step was refused memory");
	if (!tour->data)
		return;
	if (fclose(tour->data) != 0)
		rh_fail_errno(err, RH_IO, "%s.tsv", opts->plot);
	if (!err->code)
		draw(row, opts, err);
}

static enum rh_exit run_tour(const void *options, int argc, char **argv, struct rh_err *err)
{
	static struct tour tour;
	const struct opts *opts = options;
	const char *profile = rh_goversion_nearest(opts->profile, false);
	const struct rh_goversion *row = profile ? rh_goversion_of(profile) : NULL;
	char note_text[160];

	(void)argc, (void)argv;
	if (rh_style_check(opts->style, opts->plot, err) < 0)
		return err->code;
	if (!row) {
		rh_fail(err, RH_USAGE, "--profile: '%s' is no version of Go (reheap list profiles)",
			opts->profile);
		return err->code;
	}
	if (strcmp(profile, opts->profile) != 0 && rh_opt_note) {
		snprintf(note_text, sizeof(note_text),
			 "profile %.32s is not modelled by itself: %s stands for it", opts->profile,
			 profile);
		rh_opt_note(note_text);
	}
	memset(&tour, 0, sizeof(tour));
	if (open_tour(&tour, profile, err) == 0)
		print_all(&tour, row, opts, err);
	close_tour(&tour);
	return err->code ? err->code : RH_OK;
}

const struct rh_command rh_cmd_tour = {
	.name = "tour",
	.operands = "",
	.summary = "Go's heap and stacks step by step, as a version of it works",
	.details =
		"Runs the heap and the stack pools of a profile on one lane. Each step makes one "
		"request and prints the tiers it passed in order, the lists that became longer or "
		"shorter, what was copied, and virtual against physical memory. All of it is "
		"counted by the code that serves replays.",
	.examples = "reheap tour --profile 1.8\nreheap tour --profile 1.26 --plot tour",
	.opts = tour_options,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 0,
	.operands_max = 0,
	.run = run_tour,
};
