/*
 * compile.c - from a trace to a program, in one streaming pass.
 *
 * Cast: compile_events.c takes the events one by one; compile_lanes.c says on which
 * replay lane each goes; compile_ids.c knows the living objects and compile_tasks.c
 * the tasks; compile_slots.c hands out slots; compile_clocks.c says which edges need
 * a WAIT; compile_out.c collects the ops of an epoch and spools them; compile_join.c
 * makes the program file of the spool; program.c maps and checks it.
 *
 * Path of a compilation:
 *   1. a survey reads the trace once before, only when something must be known ahead: the
 *      weight of each lane to fold onto several, residency at death for TOUCH ops;
 *   2. events stream through rh_compile_event(), a grain ends every `fine` of them, an
 *      epoch every `epoch_grains` grains;
 *   3. the spool is joined, lane by lane; grains are merged where the grain table would
 *      be large.
 *
 * Invariants. The recorded order is one legal order, so any prefix of it is a legal place
 * for a barrier, and a WAIT always names something earlier in it: replay cannot
 * deadlock. Edges never leave an epoch, since the barrier between keeps them.
 *
 * Tried: two passes, counting before writing. Decoding is dearer than compiling, so
 * the pass saved is worth more than the copy that the spool costs (24 bytes of file
 * traffic an event).
 */
#include "harness/compile/compile.h"

#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "harness/compile/compile_file.h"
#include "harness/compile/compile_state.h"
#include "harness/parts.h"
#include "traces/trace.h"

enum { GRAIN_EVENTS = 4096, EPOCH_EVENTS = 1 << 18, EPOCH_GRAINS_MAX = 4096 };
/* Above this the grain table is made coarser: it should not push the ops out of caches. */
enum { GRAIN_TABLE_BYTES_MAX = 4 << 20 };

struct job {
	const char *path;
	const struct rh_compile_options *options;
	struct rh_compiling c;
	struct rh_touch touch;
	uint64_t *lane_events;		/* survey: by trace lane */
	uint32_t survey_lanes, survey_cap;
	uint32_t fine, epoch_grains;	/* events in a fine grain, fine grains in an epoch */
	uint32_t left;			/* events until the next cut */
	bool times, touched;		/* asked for, and the trace has them */
	struct rh_compile_stats *stats;
	struct rh_event batch[RH_TRACE_BATCH];
};

/* ---- survey ---- */

static int survey_lane(struct job *job, uint32_t lane, struct rh_err *err)
{
	if (lane >= RH_COMPILE_TRACE_LANES_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "lane %u is beyond %d, the highest a trace may name", lane,
			       RH_COMPILE_TRACE_LANES_MAX - 1);
	if (lane >= job->survey_cap) {
		uint32_t cap = lane + lane / 2 + 16;
		uint64_t *more = reallocarray(job->lane_events, cap, sizeof(*more));

		if (!more)
			return rh_fail(err, RH_OS, "no memory to count the events of %u lanes",
				       cap);
		memset(more + job->survey_cap, 0, (cap - job->survey_cap) * sizeof(*more));
		job->lane_events = more;
		job->survey_cap = cap;
	}
	if (lane >= job->survey_lanes)
		job->survey_lanes = lane + 1;
	job->lane_events[lane]++;
	return 0;
}

static int survey_touch(struct job *job, const struct rh_event *event, struct rh_err *err)
{
	bool birth = event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE;
	bool death = event->kind == RH_EV_FREE || event->kind == RH_EV_RESIZE;
	uint64_t object = event->kind == RH_EV_FREE ? event->id : event->old;

	if (death && event->arg != RH_NONE && event->arg > 0 &&
	    rh_touch_death(&job->touch, object, event->arg, err) < 0)
		return -1;
	return birth ? rh_touch_birth(&job->touch, err) : 0;
}

static int survey(struct job *job, struct rh_err *err)
{
	struct rh_trace *trace;
	int count;

	if (strcmp(job->path, "-") == 0)
		return rh_fail(err, RH_USAGE,
			       "standard input can be read only once, and folding onto several "
			       "lanes or recorded touch needs two looks; save the trace first");
	if (rh_trace_open(&trace, job->path, err) < 0)
		return -1;
	job->touched = job->options->touch && (rh_trace_columns(trace) & RH_COL_ARG);
	if (job->touched && rh_touch_open(&job->touch, job->options->work_dir, err) < 0) {
		rh_trace_close(trace);
		return -1;
	}
	while ((count = rh_trace_next(trace, job->batch, RH_TRACE_BATCH, err)) > 0)
		for (int i = 0; i < count; i++)
			if (survey_lane(job, job->batch[i].lane, err) < 0 ||
			    (job->touched && survey_touch(job, &job->batch[i], err) < 0)) {
				rh_trace_close(trace);
				return rh_err_prefix(err, "%s", job->path);
			}
	rh_trace_close(trace);
	if (count == 0 && job->touched && rh_touch_rewind(&job->touch, err) < 0)
		return -1;
	return count;
}

/* ---- the pass ---- */

static int choose_grains(struct job *job, struct rh_err *err)
{
	uint32_t epoch = job->options->epoch_events ? job->options->epoch_events : EPOCH_EVENTS;

	if (epoch > RH_EPOCH_EVENTS_MAX || job->options->grain_events > RH_EPOCH_EVENTS_MAX)
		return rh_fail(err, RH_USAGE, "an epoch or grain has at most %d events",
			       RH_EPOCH_EVENTS_MAX);
	job->fine = job->options->grain_events ? job->options->grain_events :
		    epoch < GRAIN_EVENTS ? epoch : GRAIN_EVENTS;
	job->epoch_grains = epoch / job->fine;
	if (job->epoch_grains < 1)
		job->epoch_grains = 1;
	if (job->epoch_grains > EPOCH_GRAINS_MAX)
		job->epoch_grains = EPOCH_GRAINS_MAX;
	job->left = job->fine;
	return 0;
}

static int start(struct job *job, bool edges_only, struct rh_err *err)
{
	struct rh_compiling *c = &job->c;
	int spool = -1;

	c->epoch = 1;
	c->time_ns_last = c->grain.time_ns = RH_NONE;
	c->times = job->times;
	c->touch = job->touched ? &job->touch : NULL;
	if (rh_lanes_open(&c->lanes, job->options->lanes, job->lane_events, job->survey_lanes,
			  err) < 0)
		return -1;
	if (!edges_only && (spool = rh_work_file(job->options->work_dir, err)) < 0)
		return -1;
	if (rh_out_open(&c->out, spool, job->epoch_grains, err) < 0 ||
	    rh_ids_open(&c->objects, 0, err) < 0 || rh_tasks_open(&c->tasks, err) < 0)
		return -1;
	return rh_compile_lanes(c, c->lanes.count, err);
}

static int cut(struct job *job, struct rh_err *err)
{
	struct rh_compiling *c = &job->c;

	if (rh_out_cut(&c->out, &c->grain, err) < 0)
		return -1;
	c->grain.events = c->grain.bytes_allocated = c->grain.spawns = c->grain.calls = 0;
	job->left = job->fine;
	if (c->out.cut_count < job->epoch_grains)
		return 0;
	rh_progress("compiling %s: %llu events", job->path, (unsigned long long)c->events);
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

static int pass(struct job *job, bool edges_only, struct rh_err *err)
{
	struct rh_trace *trace;
	int count;

	if (rh_trace_open(&trace, job->path, err) < 0)
		return -1;
	job->times = job->options->times && (rh_trace_columns(trace) & RH_COL_TIME);
	count = start(job, edges_only, err);
	while (count == 0 && (count = rh_trace_next(trace, job->batch, RH_TRACE_BATCH, err)) > 0) {
		count = take_batch(job, count, err);
		if (count < 0)
			rh_err_prefix(err, "%s", job->path);
	}
	if (count == 0) {
		note_truncated(job, trace);
		count = end(job, err);
	}
	rh_trace_close(trace);
	return count;
}

/* ---- the program ---- */

/* How many fine grains make one: the fewest that divide an epoch and keep the table small;
 * a size that was asked for stays. */
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
	return merge;
}

static void fill_head(const struct job *job, uint32_t merge, struct rh_program_head *head)
{
	const struct rh_compiling *c = &job->c;

	*head = (struct rh_program_head){
		.magic = RH_PROGRAM_MAGIC, .version = RH_PROGRAM_VERSION,
		.lanes_recorded = c->lanes.recorded, .epoch_grains = job->epoch_grains / merge,
		.slots = c->slots.used, .task_slots = c->task_slots.used,
		.paced = job->times, .touched = job->touched,
		.events = c->events, .objects = c->objects.next, .tasks = c->task_count,
		.size_max = c->size_max, .live_bytes_peak = c->live_bytes_peak,
		.live_objects_peak = c->live_objects_peak, .live_bytes_end = c->grain.live_bytes,
		.live_objects_end = c->grain.live_objects, .time_ns_last = c->time_ns_last };
	snprintf(head->trace_path, sizeof(head->trace_path), "%s", job->path);
	/* What came through a pipe is gone: the text stays empty. */
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
	fcntl(fd, F_SETFD, 0);		/* workers inherit it */
	return rh_program_map(program, fd, err);
}

static void fill_stats(struct job *job)
{
	const struct rh_compiling *c = &job->c;
	struct rh_compile_stats *stats = job->stats;

	stats->events = c->events;
	stats->edges_all = c->edges_all;
	stats->edges_address = RH_NONE;	/* a trace has no addresses */
	stats->waits = c->out.waits;
	stats->publishes = c->out.publishes;
	stats->slots = c->slots.used;
	stats->task_slots = c->task_slots.used;
	stats->lanes_recorded = c->lanes.recorded;
	stats->lanes = c->lanes.count;
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
	    (!(job->options->lanes > 1 || (job->options->touch && program)) ||
	     survey(job, err) == 0) &&
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
