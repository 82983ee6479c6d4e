/*
 * probe_locks.c - contention: which lanes wait, for which locks, and how we know (locks.h).
 *
 * It rides along. Two layers, so that every backend has a row whatever it reports about itself:
 *
 *   of the thread (kernel, source sw)	efficiency = CPU / (lanes x wall); blocked = the part of
 *	a lane's time that was neither CPU, nor waiting for a CPU (run delay), nor asleep for
 *	another lane because of the recorded order: locks and page-fault I/O remain; voluntary
 *	switches; futex calls and contended kernel locks by tracepoint
 *   of the lock (source own)	locks of our backends by class and instance; those that jemalloc
 *	reports about its own mutexes (mallctl; its wait time excludes spinning)
 *
 * wait share = wait / (lanes x wall). Convoy = p99 of waits / p99 of holds: above 1, waiters
 * queue behind more than the holder; both are upper edges of powers of two, so the quotient is
 * right within a factor of 2. Utilisation = share of the wall clock a lock was held, from one
 * hold in 64.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/control/locks.h"
#include "harness/probe/probe.h"
#include "traces/format/event.h"

enum { TOP = 10, COLUMNS = 12 };

/* A lock, or all locks of a class together. */
struct tally {
	struct rh_lock_row sum;
	uint32_t instances;
	double utilisation; /* the most of any instance; NAN = no hold was sampled */
};

struct own {
	struct rh_lock_row *first; /* rows before the first segment */
	uint64_t first_count;
};

static double ticks_to_ns(const struct rh_probe_run *run, const struct rh_lock_row *row,
			  double wait)
{
	return row->source == RH_LOCK_OWN ? rh_probe_ns(run, wait) : wait;
}

static double lane_wall_ns(const struct rh_probe_run *run)
{
	return (double)run->life->wall_ns * run->life->lanes * run->life->copies;
}

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	size_t seats = (size_t)run->program->program.head->lanes * run->trial->copies;

	(void)err;
	rh_probe_area(run, RH_AREA_LOCKS,
		      sizeof(struct rh_lock_area) + seats * sizeof(struct rh_lane_meters));
	return 0;
}

static int start_locks(struct rh_probe_run *run, struct rh_err *err)
{
	struct rh_lock_area *area = rh_probe_area_of(run->worker, RH_AREA_LOCKS);
	struct own *own = calloc(1, sizeof(*own));

	if (!own)
		return rh_fail(err, RH_OS, "no memory for locks");
	run->own = own;
	run->worker->ctl->count = 1;
	if (rh_worker_command(run->worker, RH_CTL_LOCKS, err) < 0)
		return -1;
	own->first = malloc(((size_t)area->rows + 1) * sizeof(*own->first));
	if (!own->first)
		return rh_fail(err, RH_OS, "no memory for %llu locks",
			       (unsigned long long)area->rows);
	memcpy(own->first, area->row, area->rows * sizeof(*own->first));
	own->first_count = area->rows;
	memset(area->lane, 0, run->worker->ctl->seats * sizeof(area->lane[0]));
	return 0;
}

static void release(struct rh_probe_run *run)
{
	struct own *own = run->own;

	if (own)
		free(own->first);
	free(own);
	run->own = NULL;
}

/* ---- tallies ---- */

static void add_log2(uint32_t *to, const uint32_t *from, int sign)
{
	for (int i = 0; i < RH_LOCK_WAIT_BUCKETS; i++)
		to[i] = sign > 0 ? to[i] + from[i] : to[i] - from[i];
}

/* Waits before the first segment are subtracted. Maxima stay as they are. */
static void subtract(struct rh_lock_row *row, const struct rh_lock_row *before)
{
	row->acquired -= before->acquired;
	row->contended -= before->contended;
	row->owner_switches -= before->owner_switches;
	row->wait -= before->wait;
	row->hold -= before->hold;
	row->hold_samples -= before->hold_samples;
	add_log2(row->wait_log2, before->wait_log2, -1);
	add_log2(row->hold_log2, before->hold_log2, -1);
}

static void take_first_off(const struct own *own, struct rh_lock_area *area)
{
	for (uint64_t i = 0; i < area->rows; i++)
		for (uint64_t j = 0; j < own->first_count; j++) {
			/* The order is mostly the same. */
			const struct rh_lock_row *before = &own->first[(i + j) % own->first_count];

			if (before->instance != area->row[i].instance ||
			    before->source != area->row[i].source ||
			    strcmp(before->name, area->row[i].name) != 0)
				continue;
			subtract(&area->row[i], before);
			break;
		}
}

static double utilisation(const struct rh_probe_run *run, const struct rh_lock_row *row)
{
	if (!row->hold_samples || !run->life->wall_ns)
		return NAN;
	return rh_probe_ns(run, (double)row->hold) / (double)row->hold_samples *
	       (double)row->acquired / (double)run->life->wall_ns;
}

static void add_to(struct tally *to, const struct rh_probe_run *run, const struct rh_lock_row *row)
{
	double used = utilisation(run, row);

	to->sum.acquired += row->acquired;
	to->sum.contended += row->contended;
	to->sum.owner_switches += row->owner_switches;
	to->sum.wait += row->wait;
	to->sum.wait_max = row->wait_max > to->sum.wait_max ? row->wait_max : to->sum.wait_max;
	to->sum.hold += row->hold;
	to->sum.hold_samples += row->hold_samples;
	to->sum.hold_max = row->hold_max > to->sum.hold_max ? row->hold_max : to->sum.hold_max;
	add_log2(to->sum.wait_log2, row->wait_log2, 1);
	add_log2(to->sum.hold_log2, row->hold_log2, 1);
	to->instances++;
	if (isfinite(used) && !(to->utilisation >= used))
		to->utilisation = used;
}

/* Classes by name and source. */
static size_t classes_of(const struct rh_probe_run *run, const struct rh_lock_area *area,
			 struct tally **out)
{
	struct tally *classes = NULL;
	size_t count = 0;

	for (uint64_t i = 0; i < area->rows; i++) {
		const struct rh_lock_row *row = &area->row[i];
		size_t c = 0;

		while (c < count && (strcmp(classes[c].sum.name, row->name) != 0 ||
				     classes[c].sum.source != row->source))
			c++;
		if (c == count) {
			struct tally *made = rh_grow(&classes, &count, sizeof(*classes));

			memcpy(made->sum.name, row->name, sizeof(row->name));
			made->sum.source = row->source;
			made->utilisation = NAN;
		}
		add_to(&classes[c], run, row);
	}
	*out = classes;
	return count;
}

/* Upper edge of the bucket with the quantile, in ticks; NAN without any. */
static double log2_quantile(const uint32_t *buckets, double q)
{
	uint64_t all = 0, seen = 0;

	for (int i = 0; i < RH_LOCK_WAIT_BUCKETS; i++)
		all += buckets[i];
	for (int i = 0; all && i < RH_LOCK_WAIT_BUCKETS; i++) {
		seen += buckets[i];
		if ((double)seen >= q * (double)all)
			return ldexp(1, i + 1);
	}
	return NAN;
}

/* ---- the document ---- */

static void fill_waits(const struct rh_probe_run *run, const uint32_t *buckets,
		       struct rh_lock_found *to)
{
	to->waits = rh_pool_alloc(rh_probe_pool(run), RH_LOCK_WAIT_BUCKETS, sizeof(*to->waits));
	for (int i = 0; i < RH_LOCK_WAIT_BUCKETS; i++)
		if (buckets[i])
			to->waits[to->waits_count++] =
				(struct rh_bucket){ rh_probe_ns(run, ldexp(1, i + 1)), buckets[i] };
}

static void fill_class(const struct rh_probe_run *run, const struct tally *t,
		       struct rh_lock_found *to)
{
	const struct rh_lock_row *row = &t->sum;
	double wait_p99 = log2_quantile(row->wait_log2, .99);
	double hold_p99 = log2_quantile(row->hold_log2, .99);

	rh_record_clear(&rh_lock_found_type, to);
	to->name = rh_pool_text(rh_probe_pool(run), row->name);
	to->source = row->source == RH_LOCK_OWN ? "own" : "mallctl";
	to->acquired = row->acquired;
	to->contended = row->contended;
	to->owner_switches = row->owner_switches;
	to->wait_ns = ticks_to_ns(run, row, (double)row->wait);
	to->wait_max_ns = ticks_to_ns(run, row, (double)row->wait_max);
	to->wait_share = to->wait_ns / lane_wall_ns(run);
	if (row->source != RH_LOCK_OWN)
		return;
	to->wait_p99_ns = rh_probe_ns(run, wait_p99);
	if (row->hold_samples)
		to->hold_mean_ns = rh_probe_ns(run, (double)row->hold / (double)row->hold_samples);
	to->hold_p99_ns = rh_probe_ns(run, hold_p99);
	to->convoy = wait_p99 / hold_p99;
	to->utilisation = t->utilisation;
	fill_waits(run, row->wait_log2, to);
}

static int worse_first(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->sum.contended != y->sum.contended)
		return x->sum.contended < y->sum.contended ? 1 : -1;
	if (x->sum.acquired != y->sum.acquired)
		return x->sum.acquired < y->sum.acquired ? 1 : -1;
	return 0;
}

/* The ten single locks with the longest waits. */
static void fill_top(const struct rh_probe_run *run, const struct rh_lock_area *area,
		     struct rh_locks_found *found)
{
	struct tally *all = calloc((size_t)area->rows + 1, sizeof(*all));

	for (uint64_t i = 0; all && i < area->rows; i++)
		all[i] = (struct tally){ area->row[i], 1, utilisation(run, &area->row[i]) };
	if (all)
		qsort(all, (size_t)area->rows, sizeof(*all), worse_first);
	for (uint64_t i = 0; all && i < area->rows && i < TOP && all[i].sum.acquired; i++) {
		struct rh_lock_found *row = rh_pool_grow(rh_probe_pool(run), &found->top,
							 &found->top_count, sizeof(*row));

		fill_class(run, &all[i], row);
		row->instance = all[i].sum.instance;
	}
	free(all);
}

static void add_source(const struct rh_probe_run *run, struct rh_locks_found *found, bool is,
		       const char *name)
{
	if (is)
		*(const char **)rh_pool_grow(rh_probe_pool(run), &found->sources,
					     &found->sources_count, sizeof(name)) = name;
}

static void fill_sources(const struct rh_probe_run *run, const struct rh_lock_area *area,
			 bool delay_known, struct rh_locks_found *found)
{
	bool own = false;

	for (uint64_t i = 0; i < area->rows; i++)
		own |= area->row[i].source == RH_LOCK_OWN;
	add_source(run, found, true, "thread CPU time, rusage");
	add_source(run, found, delay_known, "schedstat");
	add_source(run, found, !area->futex_why[0], "tracepoint sys_enter_futex");
	add_source(run, found, !area->kernel_why[0], "tracepoint contention_begin");
	add_source(run, found, area->mallctl == RH_MALLCTL_READ, "mallctl stats.mutexes");
	add_source(run, found, own, "counters in the locks");
}

/* ---- numbers ---- */

struct threads {
	double span_ns, cpu_ns, delay_ns, slept_ns;
	uint64_t switches, futex, kernel;
};

/* Less the replay's own part; some of its waits end before they sleep. */
static uint64_t less(uint64_t all, uint64_t ours)
{
	return all > ours ? all - ours : 0;
}

static struct threads add_lanes(const struct rh_probe_run *run, const struct rh_lock_area *area)
{
	struct threads t = { 0 };

	for (uint32_t s = 0; s < run->worker->ctl->seats; s++) {
		const struct rh_lane_meters *m = &area->lane[s];

		t.span_ns += rh_probe_ns(run, (double)m->span_ticks);
		t.cpu_ns += (double)m->cpu_ns;
		t.delay_ns += m->run_delay_ns == RH_NONE ? NAN : (double)m->run_delay_ns;
		/* Going to sleep takes CPU time and waking up waits for a CPU: both are counted
		 * already. */
		t.slept_ns += rh_probe_ns(run, (double)m->slept_ticks) - (double)m->slept_cpu_ns -
			      (double)m->slept_delay_ns;
		t.switches += less(m->switches_voluntary, m->sleeps_replay);
		t.futex += less(m->futex_calls, m->futex_replay);
		t.kernel += m->kernel_contended;
	}
	return t;
}

/* Negative when the clocks disagree by more than the short blocked time. */
static double blocked_share(const struct threads *t)
{
	double blocked = t->span_ns - t->cpu_ns - t->delay_ns - t->slept_ns;

	return t->span_ns > 0 ? (blocked < 0 ? 0 : blocked) / t->span_ns : NAN;
}

static void thread_readings(struct rh_probe_run *run, const struct rh_lock_area *area,
			    const struct threads *t)
{
	double events = (double)run->life->events;

	rh_probe_reading(run, "locks.blocked_share", blocked_share(t));
	rh_probe_reading(run, "locks.run_delay_share", t->delay_ns / t->span_ns);
	rh_probe_reading(run, "locks.switches_voluntary_per_event", (double)t->switches / events);
	if (!area->futex_why[0])
		rh_probe_reading(run, "locks.futex_per_event", (double)t->futex / events);
	if (!area->kernel_why[0])
		rh_probe_reading(run, "locks.kernel_contended_per_event",
				 (double)t->kernel / events);
}

static void lock_readings(struct rh_probe_run *run, const struct tally *classes, size_t count)
{
	double acquired = 0, contended = 0, wait_ns = 0, used = NAN;

	for (size_t c = 0; c < count; c++) {
		const struct tally *t = &classes[c];

		acquired += (double)t->sum.acquired;
		contended += (double)t->sum.contended;
		wait_ns += ticks_to_ns(run, &t->sum, (double)t->sum.wait);
		if (isfinite(t->utilisation) && !(used >= t->utilisation))
			used = t->utilisation;
	}
	if (count == 0)
		return;
	rh_probe_reading(run, "locks.acquired_per_event", acquired / (double)run->life->events);
	rh_probe_reading(run, "locks.contended_per_event", contended / (double)run->life->events);
	rh_probe_reading(run, "locks.contended_share", acquired > 0 ? contended / acquired : 0);
	rh_probe_reading(run, "locks.wait_share", wait_ns / lane_wall_ns(run));
	rh_probe_reading(run, "locks.utilisation_max", used);
}

/* A missing tracepoint is missing for all backends: one row. */
static void absent_once(struct rh_result *result, const char *metric, const char *why)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strcmp(result->absent[i].metric, metric) == 0)
			return;
	rh_result_absent(result, metric, -1, "%s", why);
	result->partial = true;
}

static void note_absent(struct rh_probe_run *run, const struct rh_lock_area *area, size_t classes,
			const struct threads *t)
{
	struct rh_result *result = run->result;

	if (area->futex_why[0])
		absent_once(result, "locks.futex_per_event", area->futex_why);
	if (area->kernel_why[0])
		absent_once(result, "locks.kernel_contended_per_event", area->kernel_why);
	if (!isfinite(t->delay_ns))
		absent_once(result, "locks.run_delay_share",
			    "/proc/thread-self/schedstat cannot be read: this kernel keeps no "
			    "schedstats");
	if (area->mallctl == RH_MALLCTL_NO_STATS && classes == 0)
		absent_once(result, "locks.wait_share",
			    "this jemalloc was built without statistics");
}

static struct rh_locks_found *make_found(const struct rh_probe_run *run,
					 const struct rh_lock_area *area,
					 const struct threads *threads)
{
	struct rh_locks_found *found = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));

	*found = (struct rh_locks_found){
		.span_ns = threads->span_ns,
		.cpu_ns = threads->cpu_ns,
		.run_delay_ns = threads->delay_ns,
		.slept_for_order_ns = threads->slept_ns,
		.blocked_share = blocked_share(threads),
		.switches_voluntary = threads->switches,
		.futex_calls = area->futex_why[0] ? UINT64_MAX : threads->futex,
		.kernel_contended = area->kernel_why[0] ? UINT64_MAX : threads->kernel,
		.dropped = area->dropped,
	};
	fill_sources(run, area, isfinite(threads->delay_ns), found);
	fill_top(run, area, found);
	return found;
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	struct rh_lock_area *area = rh_probe_area_of(run->worker, RH_AREA_LOCKS);
	struct rh_locks_found *found;
	struct threads threads;
	struct tally *classes;
	size_t count;

	run->worker->ctl->count = 0;
	if (rh_worker_command(run->worker, RH_CTL_LOCKS, err) < 0)
		return -1;
	take_first_off(run->own, area);
	count = classes_of(run, area, &classes);
	threads = add_lanes(run, area);
	thread_readings(run, area, &threads);
	lock_readings(run, classes, count);
	note_absent(run, area, count, &threads);
	found = run->trial->found.locks = make_found(run, area, &threads);
	found->classes = rh_pool_alloc(rh_probe_pool(run), count, sizeof(*found->classes));
	found->classes_count = count;
	for (size_t c = 0; c < count; c++) {
		fill_class(run, &classes[c], &found->classes[c]);
		found->classes[c].instances = classes[c].instances;
	}
	free(classes);
	return 0;
}

/* ---- the table ---- */

/* "mheap 1.2 %": the class with the longest wait in the last trial that has one; and the source of
 * the lock numbers. */
static void worst_class(const struct rh_result *result, const struct rh_trial *like, uint32_t b,
			char *worst, char *source)
{
	double most = 0;

	snprintf(worst, RH_CELL, "-");
	snprintf(source, RH_CELL, "sw only");
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];
		const struct rh_locks_found *found = trial->found.locks;

		if (trial->backend != b || trial->program != like->program ||
		    trial->copies != like->copies)
			continue;
		for (size_t i = 0; found && i < found->classes_count; i++) {
			const struct rh_lock_found *row = &found->classes[i];

			snprintf(source, RH_CELL, "sw, %s", row->source);
			if (row->wait_share <= most)
				continue;
			most = row->wait_share;
			snprintf(worst, RH_CELL, "%.30s %.2f %%", row->name, most * 100);
		}
	}
}

/* Where the time of all lanes went, 100 %: each part is bounded by the remainder of the parts
 * before it, because the kernel's clocks do not agree to the percent. The meters cover the time in
 * which a lane ran a segment; that becomes a share of all lanes' time. */
static void fill_threads(const struct rh_probe_table *table, uint32_t backend,
			 char (*cell)[RH_CELL])
{
	static const char *const names[] = { "time.cpu_share", "locks.blocked_share",
					     "apart.delay" };
	const struct rh_metric *idle = rh_table_metric(table, backend, "apart.idle");
	double left = 1;

	for (int i = 0; i < 3; i++) {
		const struct rh_metric *m = rh_table_metric(table, backend, names[i]);
		double share = m ? m->median : i == 0 ? NAN : 0;

		if (i == 1 && idle)
			share *= 1 - idle->median;
		share = share > left ? left : share;
		left -= share;
		snprintf(cell[i], RH_CELL, m ? "%.1f %%" : "-", 100 * share);
	}
	snprintf(cell[3], RH_CELL, isfinite(left) ? "%.1f %%" : "-", 100 * left);
}

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
#define METRIC(name) rh_table_metric(table, backend, name)
	const struct rh_metric *mutex = METRIC("mutex.acquired_per_event");

	if (!METRIC("locks.switches_voluntary_per_event") && !mutex)
		return false;
	fill_threads(table, backend, cell);
	rh_metric_cell(cell[4], METRIC("locks.switches_voluntary_per_event"), 1e6, "%.1f");
	rh_metric_cell(cell[5], METRIC("locks.futex_per_event"), 1e6, "%.1f");
	rh_metric_cell(cell[6], METRIC("locks.acquired_per_event"), 1, "%.4f");
	rh_metric_cell(cell[7], METRIC("locks.contended_share"), 100, "%.3f %%");
	rh_metric_cell(cell[8], METRIC("locks.wait_share"), 100, "%.2f %%");
	worst_class(table->result, table->like, backend, cell[9], cell[10]);
	if (!METRIC("locks.acquired_per_event") && mutex && mutex->median > 0) {
		rh_metric_cell(cell[6], mutex, 1, "%.4f");
		rh_metric_cell(cell[7], METRIC("mutex.contended_share"), 100, "%.3f %%");
		rh_metric_cell(cell[8], METRIC("mutex.wait_share"), 100, "%.2f %%");
		snprintf(cell[10], RH_CELL, "sw, pthread");
	}
	/* No waits by that library means little: libc's own locks bypass it. */
	mutex = METRIC("mutex.futex_per_event");
	if (!METRIC("locks.futex_per_event") && mutex && mutex->median > 0)
		rh_metric_cell(cell[5], mutex, 1e6, "%.1f*");
#undef METRIC
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = {
		"contention", "efficiency",  "blocked",	  "run delay", "left",	      "sleeps/M",
		"futex/M",    "locks/event", "contended", "lock wait", "worst class", "source",
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
			"\nEfficiency: CPU / (lanes x wall). Blocked: asleep, but not for "
			"another lane's recorded order. Run delay: ready, without a CPU. Left: "
			"waits for other lanes, and a lane not begun or ended before others. The "
			"four are 100 %%.\nSleeps and futex calls per million "
			"events; lock wait per (lanes x wall).\nSource: sw the kernel; own "
			"counters in the locks; mallctl jemalloc's own counters; pthread mutexes "
			"counted by a preloaded library (--probes mutex); sw only: its locks "
			"cannot be seen from outside. *: by that library, not by the kernel's "
			"tracepoint.\n\n");
}

static const struct rh_headline headlines[] = {
	{ "locks.blocked_share", "contention, time blocked in the kernel" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_locks = {
	.name = "locks",
	.summary = "contention: blocked time, switches, futex calls; locks that can be seen, "
		   "by class",
	.headlines = headlines,
	.source = "own",
	.prepare = prepare,
	.start = start_locks,
	.end = end,
	.release = release,
	.print = print,
};
