/*
 * compile.c - from a trace to a program, in one streaming pass.
 *
 * Cast: events.c handles the events one by one; lanes.c assigns each to a replay lane; ids.c
 * knows the living objects and tasks.c the tasks; slots.c hands out slots; clocks.c says which
 * edges need a WAIT; out.c collects the ops of an epoch and spools them; join.c makes the
 * program file from the spool; program.c maps and checks it.
 *
 * Path of a compilation:
 *   1. a prescan reads the trace once in advance, only if something must be known ahead: the
 *      weight of each lane for folding, or residency at death for TOUCH ops;
 *   2. events stream through rh_compile_event(), a grain ends every `fine` of them, an
 *      epoch every `epoch_grains` grains;
 *   3. the spool is joined, lane by lane; grains are merged where the grain table would
 *      be large.
 *
 * Invariants. The recorded order is one legal order, so any prefix of it is a legal place
 * for a barrier, and a WAIT always names something earlier in it: replay cannot
 * deadlock. Edges never leave an epoch, since the barrier between epochs enforces them.
 *
 * Tried: two passes, counting before writing. Decoding costs more than compiling, so the saved
 * pass is worth more than the copy through the spool (24 bytes of file traffic per event).
 */
#include "harness/compile/compile.h"

#include <assert.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc/base/interrupt.h"
#include "alloc/base/opt.h"
#include "alloc/base/os.h"
#include "harness/compile/file.h"
#include "harness/compile/state.h"
#include "alloc/base/progress.h"
#include "traces/format/huge_alloc.h"
#include "traces/format/sample.h"
#include "traces/format/trace.h"

enum { PROGRAM_EVENT_BYTES = 8 };
enum { GRAIN_EVENTS = 512, EPOCH_EVENTS = 1 << 18, EPOCH_GRAINS_MAX = 4096 };
/* A grain is the finest step at which a replay can look at memory, and short programs have only a
 * few thousand events. Above this size the grain table is made coarser: it should not push the ops
 * out of the caches. */
enum { GRAIN_TABLE_BYTES_MAX = 4 << 20 };
/* touch_known: share of deaths. Blocks that live to the end have no recorded residency, so it
 * cannot be all. */
#define KNOWN_SHARE 0.9
/* The bound where the trace does not say what the program had resident. */
#define TOUCH_UNKNOWN_BYTES (4ull << 30)

struct job {
	const char *path;
	const struct rh_compile_options *options;
	struct rh_compiling c;
	struct rh_touch touch;
	uint64_t *lane_events; /* prescan: by trace lane */
	uint32_t prescan_lanes, prescan_cap;
	uint32_t fine, epoch_grains; /* events in a fine grain, fine grains in an epoch */
	uint32_t left;		     /* events until the next cut */
	bool times, touched;	     /* asked for, and the trace has them */
	uint64_t deaths, known;	     /* prescan: those with their residency */
	struct rh_compile_stats *stats;
	struct rh_event batch[RH_TRACE_BATCH];
};

/* ---- prescan ---- */

static int prescan_lane(struct job *job, uint32_t lane, struct rh_err *err)
{
	if (lane >= RH_COMPILE_TRACE_LANES_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "lane %u is beyond %d, the highest a trace may name", lane,
			       RH_COMPILE_TRACE_LANES_MAX - 1);
	if (lane >= job->prescan_cap) {
		uint32_t cap = lane + lane / 2 + 16;
		uint64_t *more = reallocarray(job->lane_events, cap, sizeof(*more));

		if (!more)
			return rh_fail(err, RH_OS, "no memory to count the events of %u lanes",
				       cap);
		memset(more + job->prescan_cap, 0, (cap - job->prescan_cap) * sizeof(*more));
		job->lane_events = more;
		job->prescan_cap = cap;
	}
	if (lane >= job->prescan_lanes)
		job->prescan_lanes = lane + 1;
	assert(job->prescan_lanes <= job->prescan_cap);
	job->lane_events[lane]++;
	return 0;
}

static int prescan_touch(struct job *job, const struct rh_event *event, struct rh_err *err)
{
	bool birth = event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE;
	bool death = event->kind == RH_EV_FREE || event->kind == RH_EV_RESIZE;
	uint64_t object = event->kind == RH_EV_FREE ? event->id : event->old;

	job->deaths += death;
	job->known += death && event->arg != RH_NONE;
	if (death && event->arg != RH_NONE &&
	    rh_touch_death(&job->touch, object, event->arg, err) < 0)
		return -1;
	return birth ? rh_touch_birth(&job->touch, err) : 0;
}

static bool wants_touch(const struct job *job)
{
	return job->options->touch || (job->options->touch_known && strcmp(job->path, "-") != 0);
}

static int prescan_batch(struct job *job, int count, struct rh_err *err)
{
	if (rh_interrupt_check(err) < 0)
		return -1;
	for (int i = 0; i < count; i++)
		if (prescan_lane(job, job->batch[i].lane, err) < 0 ||
		    (job->touched && prescan_touch(job, &job->batch[i], err) < 0))
			return -1;
	return 0;
}

static int prescan(struct job *job, struct rh_err *err)
{
	struct rh_trace *trace;
	int count;

	if (strcmp(job->path, "-") == 0)
		return rh_fail(err, RH_USAGE,
			       "standard input can be read only once, and folding onto several "
			       "lanes or recorded touch needs two looks; save the trace first");
	if (rh_trace_open(&trace, job->path, err) < 0)
		return -1;
	job->touched = wants_touch(job) && (rh_trace_columns(trace) & RH_COL_ARG);
	if (job->touched && rh_touch_open(&job->touch, job->options->work_dir, err) < 0) {
		rh_trace_close(trace);
		return -1;
	}
	while ((count = rh_trace_next(trace, job->batch, RH_TRACE_BATCH, err)) > 0) {
		if (prescan_batch(job, count, err) < 0) {
			rh_trace_close(trace);
			return rh_err_prefix(err, "%s", job->path);
		}
	}
	rh_trace_close(trace);
	if (!job->options->touch && job->known < job->deaths * KNOWN_SHARE)
		job->touched = false;
	if (count == 0 && job->touched && rh_touch_rewind(&job->touch, err) < 0)
		return -1;
	return count;
}

/* ---- how much may be touched ---- */

/* A program cannot have touched more than it ever had resident. If the recorder did not note that,
 * the bound is half of the machine's memory. */
static uint64_t touch_bound(const struct rh_trace *trace, bool *noted)
{
	uint64_t bound = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
	const struct rh_note *note;
	struct rh_err ignored;

	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++)
		if (strcmp(note->key, "peak_rss_bytes") == 0) {
			*noted = rh_parse_uint(note->value, &bound, &ignored) == 0;
			return bound;
		}
	return bound < TOUCH_UNKNOWN_BYTES ? bound : TOUCH_UNKNOWN_BYTES;
}

/* ---- the pass ---- */

static int choose_grains(struct job *job, struct rh_err *err)
{
	uint32_t epoch = job->options->epoch_events ? job->options->epoch_events : EPOCH_EVENTS;

	if (epoch > RH_EPOCH_EVENTS_MAX || job->options->grain_events > RH_EPOCH_EVENTS_MAX)
		return rh_fail(err, RH_USAGE, "an epoch or grain has at most %d events",
			       RH_EPOCH_EVENTS_MAX);
	job->fine = job->options->grain_events ? job->options->grain_events
		    : epoch < GRAIN_EVENTS     ? epoch
					       : GRAIN_EVENTS;
	job->epoch_grains = epoch / job->fine;
	if (job->epoch_grains < 1)
		job->epoch_grains = 1;
	if (job->epoch_grains > EPOCH_GRAINS_MAX)
		job->epoch_grains = EPOCH_GRAINS_MAX;
	job->left = job->fine;
	assert(job->fine > 0);
	assert((uint64_t)job->fine * job->epoch_grains <= RH_EPOCH_EVENTS_MAX);
	return 0;
}

static int start_job(struct job *job, bool edges_only, struct rh_err *err)
{
	struct rh_compiling *c = &job->c;
	int spool = -1;

	c->epoch = 1;
	c->time_ns_last = c->grain.time_ns = RH_NONE;
	c->times = job->times;
	c->touch = job->touched ? &job->touch : NULL;
	if (rh_lanes_open(&c->lanes, job->options->lanes, job->lane_events, job->prescan_lanes,
			  err) < 0)
		return -1;
	if (!edges_only && (spool = rh_work_file(job->options->work_dir, err)) < 0)
		return -1;
	if (rh_out_open(&c->out, spool, job->epoch_grains, err) < 0 ||
	    rh_ids_open(&c->objects, 0, err) < 0 || rh_tasks_open(&c->tasks, err) < 0)
		return -1;
	return rh_compile_lanes(c, c->lanes.count, err);
}

/* A program takes 8 bytes per event, which all workers map; while it is joined, its folder holds
 * twice that. If the trace says how many events it has, lack of space is reported before hours of
 * work. */
static int check_memory(const struct job *job, uint64_t events, struct rh_err *err)
{
	uint64_t limit = rh_huge_limit_machine();

	if (events <= limit / PROGRAM_EVENT_BYTES)
		return 0;
	return rh_fail(
		err, RH_OS,
		"%s: %s%llu events make a program of %llu MiB, over the limit of %llu MiB "
		"of memory; --limit-memory SIZE raises it, reheap cut --first N takes a part",
		job->path, events == job->c.events ? "its first " : "its ",
		(unsigned long long)events,
		(unsigned long long)((events * PROGRAM_EVENT_BYTES) >> 20),
		(unsigned long long)(limit >> 20));
}

static int cut(struct job *job, struct rh_err *err)
{
	struct rh_compiling *c = &job->c;

	assert(c->grain.events == job->fine - job->left);
	if (rh_out_cut(&c->out, &c->grain, err) < 0)
		return -1;
	c->grain.events = c->grain.bytes_allocated = c->grain.spawns = c->grain.calls = 0;
	job->left = job->fine;
	if (c->out.cut_count < job->epoch_grains)
		return 0;
	rh_progress("compiling %s: %llu events", job->path, (unsigned long long)c->events);
	if (c->out.spool >= 0 && check_memory(job, c->events, err) < 0)
		return -1;
	return rh_out_epoch(&c->out, err) < 0 ? -1 : rh_compile_barrier(c, err);
}

static int take_batch(struct job *job, int count, struct rh_err *err)
{
	for (int i = 0; i < count; i++) {
		if (rh_compile_event(&job->c, &job->batch[i], err) < 0)
			return -1;
		if (--job->left == 0 && cut(job, err) < 0)
			return -1;
	}
	return 0;
}

static int end(struct job *job, struct rh_err *err)
{
	struct rh_compiling *c = &job->c;

	if (c->events == 0)
		return rh_fail(err, RH_BAD_DATA, "%s: has no events to replay%s%s", job->path,
			       job->stats->truncated ? "; " : "",
			       job->stats->truncated ? job->stats->truncated : "");
	if (job->left < job->fine && cut(job, err) < 0)
		return -1;
	return c->out.cut_count ? rh_out_epoch(&c->out, err) : 0;
}

static void note_truncated(struct job *job, const struct rh_trace *trace)
{
	const char *said = rh_trace_truncated(trace);
	struct rh_compile_stats *stats = job->stats;

	if (!said)
		return;
	snprintf(stats->truncated_text, sizeof(stats->truncated_text), "%s", said);
	stats->truncated = stats->truncated_text;
}

/* What the recorder says it could not see. */
static void note_incomplete(struct job *job, const struct rh_trace *trace)
{
	const char *said = rh_trace_note_of(trace, "complete");

	job->stats->sample = rh_trace_sample(trace);
	if (said && strncmp(said, "no: ", 4) == 0)
		snprintf(job->stats->incomplete, sizeof(job->stats->incomplete), "%s", said + 4);
}

static int check_room(const struct job *job, const struct rh_trace *trace, struct rh_err *err)
{
	uint64_t need, free_bytes;
	struct rh_trace_totals totals;
	struct statvfs fs;
	bool exact;

	rh_trace_totals(trace, &totals, &exact);
	if (!exact || totals.events == 0)
		return 0;
	if (check_memory(job, totals.events, err) < 0)
		return -1;
	need = totals.events * PROGRAM_EVENT_BYTES * 2;
	if (fstatvfs(job->c.out.spool, &fs) < 0 || fs.f_blocks == 0)
		return 0;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (need <= free_bytes)
		return 0;
	return rh_fail(err, RH_CANT_CREATE,
		       "%s: its %llu events need %llu MiB of work files, and their folder has %llu "
		       "MiB free (set TMPDIR to a roomier place)",
		       job->path, (unsigned long long)totals.events,
		       (unsigned long long)(need >> 20), (unsigned long long)(free_bytes >> 20));
}

static int pass(struct job *job, bool edges_only, struct rh_err *err)
{
	struct rh_trace *trace;
	int count;

	if (rh_trace_open(&trace, job->path, err) < 0)
		return -1;
	job->times = job->options->times && (rh_trace_columns(trace) & RH_COL_TIME);
	job->c.touch_bound = touch_bound(trace, &job->stats->touch_noted);
	count = start_job(job, edges_only, err);
	if (count == 0 && !edges_only)
		count = check_room(job, trace, err);
	while (count == 0 && (count = rh_trace_next(trace, job->batch, RH_TRACE_BATCH, err)) > 0) {
		count = rh_interrupt_check(err) < 0 ? -1 : take_batch(job, count, err);
		if (count < 0)
			rh_err_prefix(err, "%s", job->path);
	}
	if (count == 0) {
		note_truncated(job, trace);
		note_incomplete(job, trace);
		count = end(job, err);
	}
	rh_trace_close(trace);
	return count;
}

/* ---- the program ---- */

/* How many fine grains make one: the smallest number that divides an epoch and keeps the table
 * small; a requested size is kept. */
static uint32_t choose_merge(const struct job *job)
{
	const struct rh_out *out = &job->c.out;
	uint32_t merge = 1;

	if (job->options->grain_events)
		return 1;
	while (merge < job->epoch_grains &&
	       (job->epoch_grains % merge ||
		(out->grain_count / merge + 1) * out->lane_count * sizeof(uint64_t) >
			GRAIN_TABLE_BYTES_MAX))
		merge++;
	assert(job->epoch_grains % merge == 0); /* else a grain would lie across a barrier */
	return merge;
}

static void fill_head(const struct job *job, uint32_t merge, struct rh_program_head *head)
{
	const struct rh_compiling *c = &job->c;

	*head = (struct rh_program_head){ .magic = RH_PROGRAM_MAGIC,
					  .version = RH_PROGRAM_VERSION,
					  .lanes_recorded = c->lanes.recorded,
					  .epoch_grains = job->epoch_grains / merge,
					  .slots = c->slots.used,
					  .task_slots = c->task_slots.used,
					  .paced = job->times,
					  .touched = job->touched,
					  .stacks_grow = c->stacks_grow,
					  .events = c->events,
					  .objects = c->objects.next,
					  .tasks = c->task_count,
					  .size_max = c->size_max,
					  .live_bytes_peak = c->live_bytes_peak,
					  .live_objects_peak = c->live_objects_peak,
					  .live_bytes_end = c->grain.live_bytes,
					  .live_objects_end = c->grain.live_objects,
					  .time_ns_last = c->time_ns_last };
	assert(c->objects.next <= c->events && c->grain.live_objects <= c->live_objects_peak);
	snprintf(head->trace_path, sizeof(head->trace_path), "%s", job->path);
	/* A pipe cannot be read again: the text stays empty. */
	if (strcmp(job->path, "-") != 0 && !SHA256File(job->path, head->trace_sha256))
		head->trace_sha256[0] = '\0';
}

static int write_program(struct job *job, struct rh_program *program, struct rh_err *err)
{
	uint32_t merge = choose_merge(job);
	struct rh_program_head head;
	int fd = rh_work_file(job->options->work_dir, err);

	if (fd < 0)
		return -1;
	fill_head(job, merge, &head);
	if (rh_out_finish(&job->c.out, fd, merge, &head, err) < 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFD, 0); /* workers inherit it */
	return rh_program_map(program, fd, err);
}

static void fill_stats(struct job *job)
{
	const struct rh_compiling *c = &job->c;
	struct rh_compile_stats *stats = job->stats;

	stats->events = c->events;
	stats->edges_all = c->edges_all;
	stats->edges_address = RH_NONE; /* a trace has no addresses */
	stats->waits = c->out.waits;
	stats->publishes = c->out.publishes;
	stats->slots = c->slots.used;
	stats->task_slots = c->task_slots.used;
	stats->untouched = c->untouched;
	stats->untouched_bytes = c->untouched_bytes;
	stats->touch_bound = c->touch_bound;
	stats->lanes_recorded = c->lanes.recorded;
	stats->lanes = c->lanes.count;
	assert(stats->publishes <= stats->waits && stats->waits <= stats->edges_all);
}

static void close_job(struct job *job)
{
	rh_out_close(&job->c.out);
	rh_lanes_close(&job->c.lanes);
	rh_ids_close(&job->c.objects);
	rh_tasks_close(&job->c.tasks);
	rh_slots_close(&job->c.slots);
	rh_slots_close(&job->c.task_slots);
	rh_clocks_close(&job->c.clocks);
	rh_touch_close(&job->touch);
	free(job->c.paced_ns);
	free(job->c.asked);
	free(job->lane_events);
	free(job);
}

/* program NULL: only the edges. */
static int compile(const char *path, const struct rh_compile_options *options,
		   struct rh_program *program, struct rh_compile_stats *stats, struct rh_err *err)
{
	static const struct rh_compile_options plain;
	struct rh_compile_stats unasked;
	struct job *job = calloc(1, sizeof(*job));
	uint64_t began = rh_now_ns();
	int done = -1;

	if (!job)
		return rh_fail(err, RH_OS, "no memory for compiling");
	job->path = path;
	job->options = options ? options : &plain;
	job->stats = stats ? stats : &unasked;
	job->touch.fd = job->c.out.spool = -1;
	*job->stats = (struct rh_compile_stats){ 0 };
	if (choose_grains(job, err) == 0 &&
	    (!(job->options->lanes > 1 || (wants_touch(job) && program)) ||
	     prescan(job, err) == 0) &&
	    pass(job, !program, err) == 0 && (!program || write_program(job, program, err) == 0)) {
		fill_stats(job);
		job->stats->wall_ns = rh_now_ns() - began;
		done = 0;
	}
	close_job(job);
	return done;
}

int rh_compile(const char *trace_path, const struct rh_compile_options *options,
	       struct rh_program *program, struct rh_compile_stats *stats, struct rh_err *err)
{
	return compile(trace_path, options, program, stats, err);
}

int rh_compile_edges(const char *trace_path, const struct rh_compile_options *options,
		     struct rh_compile_stats *stats, struct rh_err *err)
{
	return compile(trace_path, options, NULL, stats, err);
}
