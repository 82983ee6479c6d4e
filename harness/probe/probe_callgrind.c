/*
 * probe_callgrind.c - instructions, cache misses and LOCKed operations per event on a simulated
 * machine, which is the same everywhere (callgrind.h).
 *
 * It has its own worker under valgrind, once per setting and not once per rep: the same replay
 * gives the same counts. A long trace is cut: the first EVENTS_MAX events take some seconds and
 * are enough for numbers per event; their number is in the result.
 *
 * Not modelled: time spent waiting, real parallelism (valgrind runs one thread at a time), what
 * cores do to each other's caches, TLBs, page faults, the kernel, prefetchers. So its metrics
 * are labelled `sim` and have their own names: a simulated D1 miss is never shown as an L1D
 * miss of the CPU.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/probe/callgrind.h"
#include "harness/control/callgrind_reset.h"
#include "harness/probe/probe.h"

enum { EVENTS_MAX = 1000000, TOP = 12, UNDER_BYTES = 2048, COLUMNS = 7 };
#define TIMEOUT_BASE_NS	 (60ull * 1000000000u)
#define TIMEOUT_EVENT_NS 200000ull /* 2000 instructions of a slow backend at 10 MIPS */

struct own {
	char path[40], under[UNDER_BYTES];
};

static const struct row {
	const char *metric;	      /* in the order of struct rh_function_cost */
	enum rh_callgrind_event a, b; /* the sum of both; equal = one */
	double times;		      /* per so many events */
} rows[] = {
	{ "counters.ir_per_event", RH_CG_IR, RH_CG_IR, 1 },
	{ "counters.d1_misses_per_event", RH_CG_D1MR, RH_CG_D1MW, 1 },
	{ "counters.ll_misses_per_event", RH_CG_DLMR, RH_CG_DLMW, 1 },
	{ "counters.i1_misses_per_event", RH_CG_I1MR, RH_CG_I1MR, 1 },
	{ "counters.data_refs_per_event", RH_CG_DR, RH_CG_DW, 1 },
	{ "counters.lock_ops_per_1000", RH_CG_GE, RH_CG_GE, 1000 },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	char under[UNDER_BYTES];
	struct rh_err err = { 0 };

#ifdef RH_SANITIZE
	return "this build carries a sanitizer, which valgrind cannot run";
#endif
	if (config->replay.verify)
		return "--verify checks every block between the operations";
	if (config->under)
		return "workers run under another program already (--under)";
	if (rh_callgrind_under(under, sizeof(under), "/tmp/x", &err) == 0)
		return NULL;
	snprintf(text, text_bytes, "%s", err.text);
	return text;
}

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = calloc(1, sizeof(*own));
	uint64_t most = run->config->callgrind_events ? run->config->callgrind_events : EVENTS_MAX;
	uint64_t all = run->program->program.head->events * run->trial->copies;
	uint64_t timeout = TIMEOUT_BASE_NS + TIMEOUT_EVENT_NS * (most < all ? most : all);
	int fd;

	if (!own)
		return rh_fail(err, RH_OS, "no memory for callgrind");
	run->own = own;
	if (run->trial->copies > 1 && !RH_CAN_CALLGRIND_RESET)
		return rh_fail(err, RH_ABSENT,
			       "built without valgrind's header: what brings "
			       "copies to their phases would be counted");
	snprintf(own->path, sizeof(own->path), "/tmp/reheap-callgrind-XXXXXX");
	fd = mkstemp(own->path);
	if (fd < 0) {
		own->path[0] = '\0';
		return rh_fail_errno(err, RH_CANT_CREATE, "no temporary file in /tmp");
	}
	close(fd);
	if (rh_callgrind_under(own->under, sizeof(own->under), own->path, err) < 0)
		return -1;
	run->events_max = most;
	run->start->under = own->under;
	run->start->no_spin = true;
	run->start->replay.memory_limit = 0;
	if (!run->config->timeout_ns)
		run->start->deadline_ns = rh_now_ns() + timeout;
	return 0;
}

static void release(struct rh_probe_run *run)
{
	struct own *own = run->own;

	if (own && own->path[0])
		unlink(own->path);
	free(own);
	run->own = NULL;
}

/* ---- findings ---- */

static uint64_t count_of(const uint64_t *counts, const struct row *row)
{
	return counts[row->a] + (row->b == row->a ? 0 : counts[row->b]);
}

/* The functions with the most instructions, with their other costs. */
static void fill_functions(const struct rh_probe_run *run, const struct rh_callgrind *profile,
			   struct rh_callgrind_found *found)
{
	double events = (double)run->life->events;
	struct rh_pool *pool = rh_probe_pool(run);

	found->functions = rh_pool_alloc(pool, TOP, sizeof(*found->functions));
	for (size_t i = 0; i < profile->function_count && i < TOP; i++) {
		const struct rh_callgrind_function *f = &profile->functions[i];
		double cost[ROWS];

		for (int r = 0; r < ROWS; r++)
			cost[r] = rows[r].times * (double)count_of(f->self, &rows[r]) / events;
		found->functions[found->functions_count++] = (struct rh_function_cost){
			.name = rh_pool_text(pool, f->name),
			.object = rh_pool_text(pool, f->object),
			.ir = cost[0],
			.d1_misses = cost[1],
			.ll_misses = cost[2],
			.i1_misses = cost[3],
			.data_refs = cost[4],
			.lock_ops = cost[5],
		};
	}
}

static void fill_totals(const struct rh_probe_run *run, const struct rh_callgrind *profile,
			struct rh_callgrind_found *found)
{
	found->totals = rh_pool_alloc(rh_probe_pool(run), RH_CG_COUNT, sizeof(*found->totals));
	for (int e = 0; e < RH_CG_COUNT; e++)
		found->totals[found->totals_count++] =
			(struct rh_named){ rh_callgrind_names[e], (double)profile->total[e] };
}

static int closed(struct rh_probe_run *run, struct rh_err *err)
{
	const struct own *own = run->own;
	const struct rh_program_head *head = run->program->program.head;
	double events = (double)run->life->events;
	struct rh_callgrind_found *found;
	struct rh_callgrind profile;

	if (rh_callgrind_read(&profile, own->path, err) < 0)
		return -1;
	for (int r = 0; r < ROWS && events > 0; r++)
		rh_probe_reading(run, rows[r].metric,
				 rows[r].times * (double)count_of(profile.total, &rows[r]) /
					 events);
	found = run->trial->found.callgrind = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));
	*found = (struct rh_callgrind_found){
		.source = "sim",
		.events = run->life->events,
		.shortened = run->life->events < head->events * run->trial->copies,
		.caches = "I1 32 KiB 8-way, D1 32 KiB 8-way, LL 8 MiB 16-way, lines of 64",
		.waiting_ir = profile.waiting[RH_CG_IR],
	};
	fill_totals(run, &profile, found);
	fill_functions(run, &profile, found);
	rh_callgrind_free(&profile);
	return 0;
}

/* ---- the table ---- */

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	if (!rh_table_metric(table, backend, rows[0].metric))
		return false;
	for (int r = 0; r < ROWS; r++)
		rh_metric_cell(cell[r], rh_table_metric(table, backend, rows[r].metric), 1,
			       r ? "%.3f" : "%.1f");
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = {
		"simulated, per event",
		"instructions",
		"D1 misses",
		"LL misses",
		"I1 misses",
		"data refs",
		"LOCKs / 1000",
	};
	const struct rh_probe_table table = {
		.result = result,
		.like = like,
		.heads = heads,
		.columns = COLUMNS,
		.fill = fill_row,
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to,
			"\nCallgrind, source sim: D1 32 KiB, LL 8 MiB; the replay loop is in "
			"it (row null). At most the first %d events; waits for other lanes are "
			"left out.\n\n",
			EVENTS_MAX);
}

static const struct rh_headline headlines[] = {
	{ "counters.ir_per_event", "simulated, instructions per event" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_callgrind = {
	.name = "callgrind",
	.summary = "instructions, cache misses, LOCKed operations per event, simulated; in all "
		   "where there is no PMU",
	.headlines = headlines,
	.source = "sim",
	.own_pass = true,
	.by_name_only = true,
	.reps_max = 1,
	.absent_why = absent_why,
	.prepare = prepare,
	.closed = closed,
	.release = release,
	.print = print,
	.died = "no instruction tier for this allocator",
	/* valgrind 3.19 has 128 GiB on x86-64 and keeps half for itself: it refuses an mmap of 180
	 * GiB (scudo of LLVM 14) and of 256 GiB (snmalloc 0.7). */
	.addresses_most = 64ull << 30,
};
