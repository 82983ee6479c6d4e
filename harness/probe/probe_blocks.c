/*
 * probe_blocks.c - what live blocks waste, which of them share a cache line, and what is still
 * resident a second after everything was freed.
 *
 * It has its own worker, once per setting: addresses are the same in every rep except for the
 * interleaving of lanes. The worker scans its live blocks (blocks.h) about SCANS times, and
 * always at the peak of live bytes. The metrics come from the scan with the most bytes asked
 * for:
 *
 *	memory.internal_waste	(usable - asked) / asked, with usable as malloc_usable_size or
 *				the backend reports it: bytes that the program cannot use
 *	memory.false_sharing	lines with blocks of two lanes or more / lines with live blocks
 *	memory.page_density	bytes asked for / bytes of the pages they lie in
 *
 * After the drain the worker rests for a second: by then allocators that return memory later
 * (decay, a background thread) have done what they do without being called. Heaps of our own
 * have no thread for it; those that can be told that the program is idle are (trim in
 * alloc/backend.h). The process's malloc is not, for hardly a program calls malloc_trim.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/control/blocks.h"
#include "harness/probe/probe.h"
#include "harness/probe/probe_memory.h"
#include "traces/format/event.h"

enum { SCANS = 16, REST_US = 1000000, COLUMNS = 6, OBJECTS_MIN = 64 };

struct own {
	struct rh_memory_probe memory;
	struct rh_block_scan most; /* the scan with the most bytes asked for */
	uint64_t events, next;	   /* so far; when the next scan is due */
	uint64_t live_most;	   /* of the scans */
	struct rh_blocks_found *found;
	bool knows_usable; /* the backend reports usable sizes */
};

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	(void)text;
	(void)text_bytes;
	return config->under ? "workers run under another program, which moves blocks" : NULL;
}

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = calloc(1, sizeof(*own));

	if (!own)
		return rh_fail(err, RH_OS, "no memory for scans of blocks");
	own->memory.fd = -1;
	own->found = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*own->found));
	own->found->given_back_bytes = NAN;
	run->own = own;
	rh_probe_area(run, RH_AREA_BLOCKS, sizeof(struct rh_block_scan));
	return 0;
}

static int start_blocks(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = run->own;

	(void)err;
	rh_memory_open(&own->memory, run->worker->pid);
	return 0;
}

static bool hands_out_memory(const struct rh_probe_run *run)
{
	const struct rh_spec *spec = run->result->backends[run->trial->backend].spec;

	return !(spec->layer[0].ops.caps & RH_CAP_NO_MEMORY);
}

static void add_value(struct rh_pool *pool, double **column, size_t *count, uint64_t value)
{
	*(double *)rh_pool_grow(pool, column, count, sizeof(**column)) = (double)value;
}

static void keep_scan(const struct rh_probe_run *run, const struct rh_block_scan *scan)
{
	struct own *own = run->own;
	struct rh_blocks_found *found = own->found;

#define ADD(key, value) add_value(rh_probe_pool(run), &found->key, &found->key##_count, value)
	ADD(event_last, own->events);
	ADD(objects, scan->objects);
	ADD(requested_bytes, scan->requested);
	ADD(usable_bytes, scan->usable);
	ADD(lines, scan->lines);
	ADD(lines_shared, scan->lines_shared);
	ADD(pages, scan->pages);
#undef ADD
	own->knows_usable |= scan->usable != scan->requested && scan->objects > 0;
	if (scan->requested > own->most.requested)
		own->most = *scan;
}

static int segment(struct rh_probe_run *run, const struct rh_segment *done, struct rh_err *err)
{
	const struct rh_program_head *head = run->program->program.head;
	struct own *own = run->own;
	uint64_t all = head->events * run->trial->copies;

	own->events = done->event_last;
	if (!hands_out_memory(run) ||
	    (own->events < own->next && own->events < all && done->live_bytes <= own->live_most))
		return 0;
	if (done->live_bytes > own->live_most)
		own->live_most = done->live_bytes;
	own->next = own->events + all / SCANS;
	if (rh_worker_command(run->worker, RH_CTL_BLOCK_SCAN, err) < 0)
		return -1;
	keep_scan(run, rh_probe_area_of(run->worker, RH_AREA_BLOCKS));
	return 0;
}

static void readings(struct rh_probe_run *run)
{
	const struct own *own = run->own;
	const struct rh_block_scan *most = &own->most;
	double requested = (double)most->requested;

	if (most->objects < OBJECTS_MIN)
		return;
	if (own->knows_usable)
		rh_probe_reading(run, "memory.internal_waste",
				 ((double)most->usable - requested) / requested);
	if (run->trial->lanes * run->trial->copies > 1)
		rh_probe_reading(run, "memory.false_sharing",
				 (double)most->lines_shared / (double)most->lines);
	rh_probe_reading(run, "memory.page_density",
			 requested / ((double)most->pages * (double)rh_page_bytes()));
}

static int drained(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = run->own;
	uint64_t at_once = rh_memory_read(&own->memory);

	if (!hands_out_memory(run))
		return 0;
	if (rh_worker_command(run->worker, RH_CTL_TRIM, err) < 0)
		return -1;
	usleep(REST_US);
	run->trial->anon_rested = rh_memory_read(&own->memory);
	if (at_once != RH_NONE && run->trial->anon_rested != RH_NONE)
		own->found->given_back_bytes = (double)at_once - (double)run->trial->anon_rested;
	run->trial->found.blocks = own->found;
	readings(run);
	if (!own->knows_usable && own->most.objects)
		return rh_fail(err, RH_ABSENT,
			       "internal waste: this backend does not report usable "
			       "sizes (or gave exactly what was asked for)");
	return 0;
}

static void release(struct rh_probe_run *run)
{
	struct own *own = run->own;

	if (!own)
		return;
	rh_memory_close(&own->memory);
	free(own);
	run->own = NULL;
}

/* ---- the table ---- */

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	static const char *const names[COLUMNS - 1] = {
		"memory.internal_waste", "memory.false_sharing",     "memory.page_density",
		"memory.retained_bytes", "memory.retained_1s_bytes",
	};

	if (!rh_table_metric(table, backend, "memory.page_density"))
		return false;
	for (int c = 0; c < COLUMNS - 1; c++) {
		const struct rh_metric *metric = rh_table_metric(table, backend, names[c]);
		bool bytes = metric && strcmp(metric->unit, "bytes") == 0;

		rh_metric_cell(cell[c], metric, bytes ? 1.0 / (1 << 20) : 100,
			       bytes ? "%.2f MiB" : "%.2f %%");
	}
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = {
		"blocks",	"internal waste",   "shared lines",
		"page density", "kept after drain", "kept after 1 s",
	};
	const struct rh_probe_table table = {
		.result = result,
		.like = like,
		.heads = heads,
		.columns = COLUMNS,
		.fill = fill_row,
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to, "\nOf the live blocks where most was live. Shared lines: cache lines "
			    "with blocks made on two lanes or more.\n\n");
}

static const struct rh_headline headlines[] = {
	{ "memory.internal_waste", "blocks, internal waste" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_blocks = {
	.name = "blocks",
	.summary = "internal waste and false sharing of live blocks, memory kept after a second",
	.headlines = headlines,
	.source = "own",
	.own_pass = true,
	.reps_max = 1,
	.absent_why = absent_why,
	.prepare = prepare,
	.start = start_blocks,
	.segment = segment,
	.drained = drained,
	.release = release,
	.print = print,
};
