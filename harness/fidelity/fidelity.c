/*
 * fidelity.c - the replay of a fidelity run; see fidelity.h.
 *
 * Before the first event the snapshot is rebuilt: objects and holes (layout.c), stacks (start.c).
 *
 * Deaths: Go records a death when the slot is swept, which is when an allocation needs one. A heap
 * that does its own sweeping must know at the end of the cycle which objects are dead. So a second
 * reader runs one cycle ahead, and at the end of each cycle every object dies that the trace frees
 * before the end of the next. sweeps.c says how spans are swept then and which are reused. Lane
 * caches are flushed where the trace says so. From the point where it says that marking begins,
 * freed stacks are kept for the next cycle.
 *
 * Two runs: one follows the recorded cycles and the recorded stacks, stack by stack, and is the
 * one that is judged. In the other (oracle) the heap's own pacer starts the cycles, and tasks
 * spawn, grow and exit as in `reheap replay`; it shows how closely stack reuse between goroutines
 * resembles Go's.
 *
 * Tiny objects: two that shared a block count as one slot on both sides, because both heaps hand
 * out whole blocks; live bytes count each object with its own size.
 *
 * Only recorded shrinks are replayed (shrink=off): the backend's own rule looks at how much of a
 * stack is in use, which no trace records.
 */
#include "harness/fidelity/state.h"

#include "alloc/base/goversions.h"
#include "alloc/base/grow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Rounds of finding the start and the order of steps; the last two change little. */
enum { BATCH = 1024, START_ROUNDS = 4 };

/* Only recorded shrinks are replayed: see above. */
#define BY_TASK	 "threads=off:shrink=off"
#define BY_STACK BY_TASK ":reuse=off:flush="

/* Of stacks: traces say when empty spans of theirs were freed, those of earlier reheaps do not. */
static const char *flush_of(const struct replay *replay)
{
	return replay->has_trims ? "apart" : "lane";
}

static const char memory_for[] = "the living objects of the replay";

/* ---- opening ---- */

static int open_backend(struct replay *replay, struct rh_err *err)
{
	struct rh_fidelity *out = replay->out;
	const char *noted = rh_trace_note_of(replay->trace, "go.profile");
	const char *profile = noted && replay->opts->profile ? replay->opts->profile : noted;
	const char *unseen = rh_trace_note_of(replay->trace, "import.unseen");
	const char *why = rh_trace_note_of(replay->trace, "go.profile_why");
	const char *cut = rh_trace_note_of(replay->trace, "import.truncated");
	const char *open = rh_trace_note_of(replay->trace, "go.profile_open");
	const char *format = rh_trace_note_of(replay->trace, "go.trace_format");
	const char *lanes = rh_trace_note_of(replay->trace, "go.lanes");
	const struct rh_goversion *row;

	if (replay->opts->profile && !rh_goversion_nearest(replay->opts->profile, false))
		return rh_fail(err, RH_USAGE,
			       "--profile: '%s' is no version of Go (reheap list profiles)",
			       replay->opts->profile);
	if (!profile || !format || !rh_goversion_nearest(profile, false))
		return rh_fail(err, RH_BAD_DATA,
			       "not a trace of a Go program with its reference series (reheap "
			       "import go makes one)");
	if (rh_trace_note_of(replay->trace, "go.snapshot"))
		return rh_fail(err, RH_INCONCLUSIVE,
			       "the heap when recording began is missing, as in all snapshots of a "
			       "flight recorder: record with trace.Start or /debug/pprof/trace");
	if (lanes && strcmp(lanes, "p") != 0)
		return rh_fail(err, RH_BAD_DATA,
			       "its lanes are by %s; fidelity needs the Ps that "
			       "own Go's caches: import it again without lanes=",
			       lanes);
	row = rh_goversion_of(rh_goversion_nearest(profile, false));
	profile = row->name;
	snprintf(out->profile, sizeof(out->profile), "%s", profile);
	snprintf(out->format, sizeof(out->format), "%s", format);
	snprintf(out->why, sizeof(out->why), "%s",
		 replay->opts->profile ? "given by --profile"
		 : why		       ? why
				       : "");
	snprintf(out->unseen, sizeof(out->unseen), "%s", unseen ? unseen : "");
	snprintf(out->cut, sizeof(out->cut), "%s", cut ? cut : "");
	snprintf(out->open, sizeof(out->open), "%s", open && !replay->opts->profile ? open : "");
	snprintf(out->no_goals, sizeof(out->no_goals), "%s",
		 replay->opts->no_goals ? replay->opts->no_goals : "");
	out->gogc = replay->opts->gogc;
	snprintf(out->setting, sizeof(out->setting), "%s",
		 replay->opts->setting ? replay->opts->setting : "");
	snprintf(out->backend, sizeof(out->backend),
		 "tiered:profile=%s:gc=%s%s%s/pools:profile=%s:%s%s", profile,
		 replay->opts->oracle ? "oracle" : "recorded:flush=lane",
		 out->setting[0] ? ":" : "", out->setting, profile,
		 replay->opts->oracle ? BY_TASK : BY_STACK,
		 replay->opts->oracle ? "" : flush_of(replay));
	if (rh_spec_parse(&replay->spec, out->backend, 0, err) < 0)
		return -1;
	replay->ops = &replay->spec.layer[0].ops;
	replay->rules = rh_goversion_rules(&row->heap);
	replay->class_count = rh_gosizes_make(replay->sizes, &replay->rules);
	if (rh_spec_open(&replay->spec, 64, &replay->heap, err) < 0)
		return -1;
	return replay->spec.stack.open(&replay->stacks, replay->spec.stack_knobs, replay->ops,
				       replay->heap, err);
}

/* All lanes at once: the initial owner of every stack is set before the first event. */
static int open_lanes(struct replay *replay, struct rh_err *err)
{
	uint32_t count = replay->steps.lanes;

	replay->lanes = calloc(count, sizeof(*replay->lanes));
	replay->drive.lanes = calloc(count, sizeof(*replay->drive.lanes));
	if (!replay->lanes || !replay->drive.lanes)
		return rh_no_memory(err, memory_for);
	for (uint32_t i = 0; i < count; i++) {
		struct lane *lane = &replay->lanes[i];

		if (replay->ops->lane_open(replay->heap, &lane->heap, err) < 0 ||
		    replay->spec.stack.lane_open(replay->stacks, lane->heap, &lane->stack, err) < 0)
			return -1;
		replay->drive.lanes[i] = lane->stack;
	}
	replay->lane_count = replay->drive.lane_count = count;
	replay->drive.ops = &replay->spec.stack;
	replay->drive.stacks = replay->stacks;
	return 0;
}

static int start_lane(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	if (event->lane != replay->out->lanes)
		return rh_fail(err, RH_BUG, "lane %u starts out of turn", event->lane);
	replay->out->lanes++;
	return 0;
}

/* The start is deduced from the order of the steps, and the order of some from the start. */
static int find_start(struct replay *replay, const char *trial, struct rh_err *err)
{
	struct stack_races races = { 0 };

	for (unsigned round = 0; round < START_ROUNDS; round++) {
		rh_start_close(&replay->start);
		if (rh_start_find(&replay->start, &replay->steps, trial, err) < 0)
			return -1;
		if (replay->has_trims &&
		    rh_stack_start_by_places(&replay->steps, &replay->start, err) < 0)
			return -1;
		if (replay->has_trims &&
		    rh_stack_races(&replay->steps, &replay->start, &races, err) < 0)
			return -1;
		replay->out->stacks_put += races.moved;
		if (!races.moved)
			break;
	}
	replay->out->stacks_open = races.open;
	replay->out->stacks_wrong = races.wrong;
	return 0;
}

/* The stacks as they lay when recording began. */
static int start_stacks(struct replay *replay, struct rh_err *err)
{
	char trial[sizeof(replay->out->backend)];

	if (replay->opts->oracle)
		return 0;
	snprintf(trial, sizeof(trial), "null/pools:profile=%s:%s%s", replay->out->profile, BY_STACK,
		 flush_of(replay));
	if (find_start(replay, trial, err) < 0 ||
	    rh_start_make(&replay->start, &replay->steps, &replay->drive, err) < 0)
		return -1;
	replay->recorded.stack_pages = replay->start.pages;
	return 0;
}

/* ---- objects ---- */

void rh_fidelity_flush(struct replay *replay, uint32_t lane)
{
	if (replay->lanes[lane].stale)
		replay->ops->lane_flush(replay->lanes[lane].heap);
	replay->lanes[lane].stale = false;
}

void *rh_fidelity_serve(struct replay *replay, uint32_t lane, uint64_t size, bool noscan)
{
	/* Alignment as compiled programs request it: alloc/heap/tiered/block.c says what it
	 * implies. */
	return replay->ops->alloc_as(replay->lanes[lane].heap, size, noscan ? 0 : 8,
				     noscan ? RH_ALLOC_NOSCAN : 0);
}

static uint32_t take_record(struct replay *replay)
{
	uint32_t index = replay->unused;

	if (index != UINT32_MAX) {
		replay->unused = replay->objects[index].lane;
		return index;
	}
	if (!rh_reserve32(&replay->objects, &replay->object_cap, replay->object_count + 1,
			  sizeof(*replay->objects)))
		return UINT32_MAX;
	return replay->object_count++;
}

/* Bytes that count as live: a tiny object has its own, everything else its slot. */
uint64_t rh_fidelity_live(const struct replay *replay, const struct object *object, int side)
{
	if (object->kind[side] == RH_CLASS_UNKNOWN)
		return 0;
	if (object->kind[side] == 5 && object->size < 16)
		return object->size;
	return rh_fidelity_slot(replay, object->kind[side], object->size);
}

void *rh_fidelity_bury(struct replay *replay, uint64_t id, uint32_t lane)
{
	uint64_t index = rh_map_remove(&replay->ids, id);
	struct object *object;
	void *p;

	if (index == RH_MAP_NONE)
		return NULL;
	object = &replay->objects[index];
	p = object->p;
	if (p)
		replay->ops->free(replay->lanes[lane].heap, p, object->size);
	replay->recorded.live_bytes -= rh_fidelity_live(replay, object, 0);
	replay->replayed_live -= rh_fidelity_live(replay, object, 1);
	object->lane = replay->unused;
	replay->unused = (uint32_t)index;
	return p;
}

/* The first object of its class on a lane may already have its block from the snapshot. */
void *rh_fidelity_take(struct replay *replay, uint32_t lane, uint64_t size, uint32_t kind)
{
	void **taken = &replay->lanes[lane].taken[kind < FIDELITY_KINDS ? kind : 0];
	void *p = *taken;

	rh_fidelity_flush(replay, lane);
	if (!replay->begun || !p)
		return rh_fidelity_serve(replay, lane, size, kind & 1);
	*taken = NULL;
	return p;
}

int rh_fidelity_bear(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	bool noscan = event->flags & RH_EVF_NOSCAN;
	uint32_t index = take_record(replay);
	struct object *object;
	int dies;

	if (index == UINT32_MAX || !rh_map_put(&replay->ids, event->id, index))
		return rh_no_memory(err, memory_for);
	object = &replay->objects[index];
	*object = (struct object){ .size = event->size, .lane = event->lane };
	object->kind[0] = rh_fidelity_kind(replay, event->size, noscan);
	object->p = rh_flight_end(replay, event, object->kind[0]);
	if (!object->p)
		object->p = rh_fidelity_take(replay, event->lane, event->size, object->kind[0]);
	object->kind[1] =
		object->p ? replay->ops->class_of(replay->heap, object->p) : RH_CLASS_UNKNOWN;
	if (!rh_sweeps_note(replay, event->lane, object->p))
		return rh_no_memory(err, memory_for);
	replay->out->failed += !object->p;
	replay->out->objects++;
	replay->out->estimated += (event->flags & RH_EVF_ESTIMATED) != 0;
	replay->out->class_right += object->kind[0] == object->kind[1];
	replay->recorded.live_bytes += rh_fidelity_live(replay, object, 0);
	replay->replayed_live += rh_fidelity_live(replay, object, 1);
	dies = rh_deaths_at_birth(replay, event->id, err);
	if (dies > 0)
		rh_fidelity_bury(replay, event->id, event->lane);
	return dies < 0 ? -1 : 0;
}

/* ---- the end of the snapshot ---- */

/* An extra cycle that was not recorded: it finds the dead objects and, if `sweeps`, sweeps them at
 * once. */
static void own_cycle(struct replay *replay, uint32_t lane, bool sweeps)
{
	replay->ops->gc_begin(replay->lanes[lane].heap);
	replay->ops->gc_end(replay->lanes[lane].heap);
	for (uint32_t i = 0; i < replay->lane_count; i++)
		replay->ops->lane_flush(replay->lanes[i].heap);
	if (sweeps)
		replay->ops->gc_begin(replay->lanes[lane].heap);
}

static int end_snapshot(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	replay->snapshot_over = true;
	if (rh_layout_make(replay, err) < 0)
		return -1;
	rh_layout_release(replay, lane, false);
	own_cycle(replay, lane, true);
	if (rh_deaths_open(replay, lane, err) < 0)
		return -1;
	/* The oracle would count the fillers as living until its first cycle. */
	if (replay->opts->deaths == FIDELITY_SPREAD) {
		rh_layout_release(replay, lane, true);
		replay->ops->collect(replay->lanes[lane].heap, replay->opts->marked_before);
	}
	/* Recording began while the last cycle was still being swept. */
	if (replay->dead.count)
		own_cycle(replay, lane, false);
	rh_layout_cache(replay);
	return 0;
}

/* ---- tasks ---- */

static int spawn(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	size_t bytes = event->size == RH_NONE ? 0 : event->size;
	void *task = replay->spec.stack.spawn(replay->lanes[event->lane].stack, bytes);

	replay->out->failed += !task;
	if (task && !rh_map_put(&replay->tasks, event->id, (uintptr_t)task))
		return rh_no_memory(err, memory_for);
	return 0;
}

static void task_event(struct replay *replay, const struct rh_event *event)
{
	const struct rh_stack_backend *ops = &replay->spec.stack;
	struct rh_stack_lane *lane = replay->lanes[event->lane].stack;
	uint64_t task = event->kind == RH_EV_EXIT ? rh_map_remove(&replay->tasks, event->id)
						  : rh_map_get(&replay->tasks, event->id);

	if (task == RH_MAP_NONE)
		return;
	if (event->kind == RH_EV_EXIT)
		ops->exit(lane, (void *)(uintptr_t)task);
	else if (event->kind == RH_EV_GROW)
		replay->out->failed += ops->grow(lane, (void *)(uintptr_t)task, event->size,
						 event->arg == RH_NONE ? 0 : event->arg) < 0;
	else
		ops->shrink(lane, (void *)(uintptr_t)task, event->size);
}

/* ---- events ---- */

static bool asked_for(const struct replay *replay)
{
	return replay->deaths.ended < replay->opts->asked_for_count &&
	       replay->opts->asked_for[replay->deaths.ended];
}

static int cycle(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct lane *lane = &replay->lanes[event->lane];

	for (uint32_t i = 0; i < replay->lane_count; i++)
		rh_sweeps_settle(replay, i);
	if (event->kind == RH_EV_GC_BEGIN) {
		replay->deaths.begun = true;
		if (rh_fidelity_edge(replay, event, err) < 0)
			return -1;
		if (replay->begun && asked_for(replay))
			replay->ops->collect(lane->heap, UINT64_MAX);
		replay->ops->gc_begin(lane->heap); /* what is left is swept now */
		if (!replay->has_marks)
			replay->spec.stack.gc_begin(lane->stack);
		return 0;
	}
	replay->out->cycles[0]++;
	if (replay->out->cycles[0] == 1)
		rh_layout_release(replay, event->lane, true);
	if (rh_fidelity_edge(replay, event, err) < 0 ||
	    rh_deaths_cycle_ended(replay, event->lane, err) < 0)
		return -1;
	replay->ops->gc_end(lane->heap);
	replay->spec.stack.gc_end(lane->stack);
	for (uint32_t i = 0; i < replay->lane_count; i++)
		replay->lanes[i].stale = true;
	return 0;
}

/* There is one for each stack event of the trace: scan.c read the same ones. */
static const struct step *next_step(struct replay *replay)
{
	const struct step *step;

	do {
		assert(replay->step_at < replay->steps.count);
		step = &replay->steps.of[replay->step_at++];
	} while (step->kind != STEP_ALLOC && step->kind != STEP_FREE);
	return step;
}

/* A recorded stack is made or freed, in the order of races.c; after one was made the spans are
 * compared. */
static int stack_event(struct replay *replay, const struct rh_event *event, enum series series,
		       struct rh_err *err)
{
	const struct step *step;

	if (series != SERIES_STACK_ALLOC && series != SERIES_STACK_FREE)
		return 0;
	step = next_step(replay);
	if (step->kind == STEP_FREE)
		rh_drive_free(&replay->drive, step->lane, step->word);
	else if (!rh_drive_alloc(&replay->drive, step->lane, step->word))
		return rh_no_memory(err, memory_for);
	if (series == SERIES_STACK_FREE)
		return 0;
	if (place_span(event->arg) == 0)
		replay->lost_stacks +=
			place_pooled(event->arg) ? POOL_SPAN_BYTES : place_bytes(event->arg);
	replay->out->stacks_made++;
	replay->out->stacks_right +=
		rh_drive_bytes(&replay->drive) == replay->recorded.stack_pages * RH_GO_PAGE;
	return 0;
}

static int reference(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	enum series series = rh_fidelity_record(replay, event);

	if (series == SERIES_SPAN)
		return rh_layout_add(replay, event, err);
	if (series == SERIES_SPAN_ALLOC || series == SERIES_FLUSHED)
		rh_sweeps_settle(replay, event->lane);
	if (series == SERIES_SPAN_ALLOC)
		return rh_flight_begin(replay, event, err);
	if (series == SERIES_STACK && !replay->snapshot_over)
		return end_snapshot(replay, event->lane, err);
	rh_flight_marks(replay, event, series);
	if (series == SERIES_TRIMMED && !replay->opts->oracle)
		replay->spec.stack.gc_end(replay->lanes[event->lane].stack);
	if (series == SERIES_FILLS)
		rh_sweeps_fill(replay, event->lane, event->arg);
	if (series == SERIES_SPAN_FREE || series == SERIES_FILLS)
		rh_sweeps_settle(replay, event->lane);
	if (series == SERIES_FLUSHED) {
		rh_fidelity_flush(replay, event->lane);
		replay->spec.stack.lane_flush(replay->lanes[event->lane].stack);
	}
	return replay->opts->oracle ? 0 : stack_event(replay, event, series, err);
}

/* Stacks come last in a snapshot, and with each a task; tasks of ended goroutines end. */
static bool of_snapshot(const struct replay *replay, const struct rh_event *event)
{
	uint8_t series = event->kind == RH_EV_REF && event->id < sizeof(replay->series)
				 ? replay->series[event->id]
				 : SERIES_OTHER;

	return series == SERIES_STACK || series == SERIES_STACK_SPAN ||
	       event->kind == RH_EV_SPAWN || event->kind == RH_EV_EXIT ||
	       event->kind == RH_EV_LANE_START;
}

static int replay_event(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	replay->out->events++;
	rh_flight_part(replay, event);
	if (replay->snapshot_over && !replay->begun && !of_snapshot(replay, event))
		rh_fidelity_begin(replay);
	switch (event->kind) {
	case RH_EV_LANE_START:
		return start_lane(replay, event, err);
	case RH_EV_ALLOC:
		rh_sweeps_settle(replay, event->lane);
		if (replay->begun && replay->opts->deaths == FIDELITY_SPREAD)
			rh_deaths_due(replay, event->lane);
		return replay->layout.count && !replay->snapshot_over
			       ? rh_layout_add(replay, event, err)
			       : rh_fidelity_bear(replay, event, err);
	case RH_EV_FREE:
		rh_sweeps_slot(replay, event);
		return 0;
	case RH_EV_SPAWN:
		return replay->opts->oracle ? spawn(replay, event, err) : 0;
	case RH_EV_EXIT:
	case RH_EV_GROW:
	case RH_EV_SHRINK:
		if (replay->opts->oracle)
			task_event(replay, event);
		return 0;
	case RH_EV_GC_BEGIN:
	case RH_EV_GC_END:
		return cycle(replay, event, err);
	case RH_EV_REF:
		return reference(replay, event, err);
	}
	return 0;
}

static int run_all(struct replay *replay, const char *path, struct rh_err *err)
{
	static struct rh_event batch[BATCH];
	const char *differs;
	int got;

	rh_fidelity_series(replay);
	if (open_backend(replay, err) < 0)
		return -1;
	if (!memchr(replay->series, SERIES_FLUSHED, sizeof(replay->series)))
		return rh_fail(err, RH_BAD_DATA,
			       "an earlier reheap imported it, without the "
			       "places of stacks: import it again");
	if (rh_fidelity_scan(replay, path, err) < 0 || open_lanes(replay, err) < 0 ||
	    start_stacks(replay, err) < 0)
		return -1;
	differs = rh_trace_note_of(replay->trace, "go.class_differs");
	replay->out->class_differs = differs ? strtoull(differs, NULL, 10) : 0;
	while ((got = rh_trace_next(replay->trace, batch, BATCH, err)) > 0)
		for (int i = 0; i < got; i++)
			if (replay_event(replay, &batch[i], err) < 0)
				return -1;
	if (got == 0)
		rh_fidelity_finish(replay);
	return got;
}

static void child(const char *path, const struct rh_fidelity_opts *opts, struct rh_fidelity *out)
{
	static struct replay replay;

	replay.out = out;
	replay.opts = opts;
	replay.unused = UINT32_MAX;
	if (rh_trace_open(&replay.trace, path, &out->err) == 0 &&
	    rh_trace_open(&replay.ahead.trace, path, &out->err) == 0 &&
	    run_all(&replay, path, &out->err) == 0)
		out->done = true;
	if ((out->err.code == RH_BAD_DATA || out->err.code == RH_INCONCLUSIVE) &&
	    strncmp(out->err.text, path, strlen(path)) != 0)
		rh_err_prefix(&out->err, "%s", path);
}

struct rh_fidelity *rh_fidelity_run(const char *path, const struct rh_fidelity_opts *opts,
				    struct rh_err *err)
{
	struct rh_fidelity *out =
		mmap(NULL, sizeof(*out), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	if (out == MAP_FAILED) {
		rh_fail_errno(err, RH_OS, "memory for the result");
		return NULL;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		child(path, opts, out);
		_exit(0); /* blocks still live die with the process */
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		rh_fail_errno(err, RH_OS, "cannot run the replay");
	else if (WIFSIGNALED(status))
		rh_fail(err, RH_FAILED, "%s: the replay died of signal %d after %llu events", path,
			WTERMSIG(status), (unsigned long long)out->events);
	else if (!out->done)
		*err = out->err;
	else
		return out;
	rh_fidelity_free(out);
	return NULL;
}

void rh_fidelity_free(struct rh_fidelity *fidelity)
{
	if (fidelity)
		munmap(fidelity, sizeof(*fidelity));
}
