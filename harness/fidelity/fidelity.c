/*
 * fidelity.c - the replay of a fidelity run; see fidelity.h.
 *
 * The snapshot: spans of a running program are half empty, and where the holes are decides
 * when the next span is needed. The trace tells each span that existed and, after it, its
 * living objects. So each such span is filled: its objects first, then fillers for the
 * slots that were free; when the snapshot is over, all fillers die and one cycle lets
 * their slots be used again. Then the heap looks as it did when recording began.
 *
 * The dead: Go tells of a death when the slot is swept, which is when somebody looks for
 * one. A heap that sweeps for itself must know at the end of the cycle who is dead. So a
 * second reader runs one cycle ahead, and at each end of a cycle everything dies that is
 * freed until the next; sweeping then happens as this heap has it. Go also has a sweeper in
 * the background, which this heap has not: its share is done at once when half of the
 * recorded frees have come (at the last of them HeapInuse was up to 3.8 % too high on the
 * corpus, at the first 5.6 % too low).
 *
 * Stacks that a lane of the backend makes for itself (two to a thread) were there before
 * recording began, so the recorder told of none; they are left out of StackInuse.
 *
 * Tiny objects: two that shared a block count as one slot on both sides, for the block is
 * what either heap hands out; live bytes count each with its own size instead.
 *
 * Shrinking is the trace's (shrink=off): the backend's own rule looks at how much of a
 * stack is in use, and no trace tells that.
 */
#include "harness/fidelity/fidelity_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 1024 };

static int no_memory(struct rh_err *err)
{
	return rh_fail(err, RH_OS, "memory for the living objects of the replay ran out");
}

/* ---- opening ---- */

static int open_backend(struct replay *replay, struct rh_err *err)
{
	struct rh_fidelity *out = replay->out;
	const char *profile = rh_trace_note_of(replay->trace, "go.profile");
	const char *format = rh_trace_note_of(replay->trace, "go.trace_format");
	const char *lanes = rh_trace_note_of(replay->trace, "go.lanes");

	if (!profile || !format)
		return rh_fail(err, RH_BAD_DATA,
			       "not a trace of a Go program with its reference series (reheap "
			       "import go makes one)");
	if (lanes && strcmp(lanes, "p") != 0)
		return rh_fail(err, RH_BAD_DATA, "its lanes are by %s; fidelity needs the Ps that "
			       "own Go's caches: import it again without lanes=", lanes);
	snprintf(out->profile, sizeof(out->profile), "%s", profile);
	snprintf(out->format, sizeof(out->format), "%s", format);
	snprintf(out->backend, sizeof(out->backend),
		 "tiered:profile=%s:gc=%s/pools:profile=%s:shrink=off", profile,
		 replay->opts->oracle ? "oracle" : "recorded", profile);
	if (rh_spec_parse(&replay->spec, out->backend, 0, err) < 0)
		return -1;
	replay->ops = &replay->spec.layer[0].ops;
	replay->rules = (struct rh_gorules){ true, true, true, strcmp(profile, "1.26") == 0 };
	replay->class_count = rh_gosizes_make(replay->sizes, &replay->rules);
	if (rh_spec_open(&replay->spec, 64, &replay->heap, err) < 0)
		return -1;
	return replay->spec.stack.open(&replay->stacks, replay->spec.stack_knobs, replay->ops,
				       replay->heap, err);
}

static int start_lane(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct lane *lane;
	uint64_t before;

	if (replay->lane_count == replay->lane_cap) {
		uint32_t cap = replay->lane_cap ? 2 * replay->lane_cap : 16;
		void *p = reallocarray(replay->lanes, cap, sizeof(*replay->lanes));

		if (!p)
			return no_memory(err);
		replay->lanes = p;
		replay->lane_cap = cap;
	}
	if (event->lane != replay->lane_count)
		return rh_fail(err, RH_BUG, "lane %u starts out of turn", event->lane);
	lane = &replay->lanes[replay->lane_count++];
	replay->out->lanes = replay->lane_count;
	if (replay->ops->lane_open(replay->heap, &lane->heap, err) < 0)
		return -1;
	before = rh_fidelity_stacks(replay);
	if (replay->spec.stack.lane_open(replay->stacks, lane->heap, &lane->stack, err) < 0)
		return -1;
	replay->own_stacks += rh_fidelity_stacks(replay) - before;
	return 0;
}

/* ---- objects ---- */

static void *serve(struct replay *replay, uint32_t lane, uint64_t size, bool noscan)
{
	/* As compiled programs ask: see alloc/heap/tiered/block.c for what alignment says. */
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
	if (replay->object_count == replay->object_cap) {
		uint32_t cap = replay->object_cap ? 2 * replay->object_cap : 4096;
		void *p = reallocarray(replay->objects, cap, sizeof(*replay->objects));

		if (!p)
			return UINT32_MAX;
		replay->objects = p;
		replay->object_cap = cap;
	}
	return replay->object_count++;
}

/* Bytes that count as live: a tiny object has its own, everything else its slot. */
static uint64_t live_bytes(const struct replay *replay, const struct object *object, int side)
{
	if (object->kind[side] == RH_CLASS_UNKNOWN)
		return 0;
	if (object->kind[side] == 5 && object->size < 16)
		return object->size;
	return rh_fidelity_slot(replay, object->kind[side], object->size);
}

static int bear(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	bool noscan = event->flags & RH_EVF_NOSCAN;
	uint32_t index = take_record(replay);
	struct object *object;

	if (index == UINT32_MAX || !rh_map_put(&replay->ids, event->id, index))
		return no_memory(err);
	object = &replay->objects[index];
	*object = (struct object){ .size = event->size, .lane = event->lane };
	object->p = serve(replay, event->lane, event->size, noscan);
	object->kind[0] = rh_fidelity_kind(replay, event->size, noscan);
	object->kind[1] = object->p ? replay->ops->class_of(replay->heap, object->p) :
				      RH_CLASS_UNKNOWN;
	replay->out->failed += !object->p;
	replay->out->objects++;
	replay->out->estimated += (event->flags & RH_EVF_ESTIMATED) != 0;
	replay->out->class_right += object->kind[0] == object->kind[1];
	replay->recorded.live_bytes += live_bytes(replay, object, 0);
	replay->replayed_live += live_bytes(replay, object, 1);
	if (replay->opening.open)
		replay->opening.taken++;
	return 0;
}

/* Frees an object if it lives: what a cycle found dead went when the cycle ended. */
static void bury(struct replay *replay, uint64_t id, uint32_t lane)
{
	uint64_t index = rh_map_remove(&replay->ids, id);
	struct object *object;

	if (index == RH_MAP_NONE)
		return;
	object = &replay->objects[index];
	if (object->p)
		replay->ops->free(replay->lanes[lane].heap, object->p, object->size);
	replay->recorded.live_bytes -= live_bytes(replay, object, 0);
	replay->replayed_live -= live_bytes(replay, object, 1);
	object->lane = replay->unused;
	replay->unused = (uint32_t)index;
}

/* ---- what a cycle found dead ---- */

/* Reads on to the end of the next cycle and frees what is freed until then: all of that
 * was found dead by the cycle that ends now. */
static int bury_dead(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	struct ahead *ahead = &replay->ahead;

	replay->unswept = 0;
	for (;;) {
		const struct rh_event *event;

		if (ahead->at == ahead->count) {
			ahead->count = rh_trace_next(ahead->trace, ahead->batch, AHEAD_BATCH, err);
			ahead->at = 0;
			if (ahead->count <= 0)
				return ahead->count;
		}
		event = &ahead->batch[ahead->at++];
		if (event->kind == RH_EV_FREE) {
			bury(replay, event->id, lane);
			replay->unswept++;
		}
		if (event->kind == RH_EV_GC_END) {
			replay->sweep_at = replay->unswept / 2;
			return 0;
		}
	}
}

/* ---- the first layout ---- */

static int fill_slot(struct replay *replay, uint32_t lane, uint64_t size, bool noscan,
		     struct rh_err *err)
{
	if (replay->filler_count == replay->filler_cap) {
		size_t cap = replay->filler_cap ? 2 * replay->filler_cap : 1024;
		void *p = reallocarray(replay->fillers, cap, sizeof(*replay->fillers));

		if (!p)
			return no_memory(err);
		replay->fillers = p;
		replay->filler_cap = cap;
	}
	replay->fillers[replay->filler_count] = (struct filler){
		serve(replay, lane, size, noscan), size, false };
	replay->out->failed += !replay->fillers[replay->filler_count].p;
	replay->filler_count++;
	replay->out->layout++;
	return 0;
}

/* All objects of the span are in: its other slots were free. */
static int close_span(struct replay *replay, struct rh_err *err)
{
	struct opening *opening = &replay->opening;
	const struct rh_gosize *size = &replay->sizes[opening->kind >> 1];
	uint64_t bytes = size->bytes;

	if (!opening->open)
		return 0;
	opening->open = false;
	if (!(opening->kind & 1) && bytes > RH_GO_HEADER_MIN)
		bytes -= RH_GO_HEADER;
	/* A span without an object was a lane's reserve until the next cycle; one slot of it
	 * stays taken that long, or the heap would drop it. */
	if (opening->taken == 0) {
		if (fill_slot(replay, opening->lane, bytes, opening->kind & 1, err) < 0)
			return -1;
		replay->fillers[replay->filler_count - 1].held = true;
		opening->taken++;
	}
	for (; opening->taken < opening->slots; opening->taken++)
		if (fill_slot(replay, opening->lane, bytes, opening->kind & 1, err) < 0)
			return -1;
	return 0;
}

static int open_span(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	uint32_t kind = (uint32_t)(event->arg & 511) >> 1;

	if (close_span(replay, err) < 0)
		return -1;
	if (replay->opts->no_layout || event->arg & 1 || kind < 2 ||
	    kind >= 2 * replay->class_count)
		return 0;
	replay->opening = (struct opening){
		.open = true, .any = true, .kind = kind, .lane = event->lane,
		.slots = rh_gosize_slots(&replay->sizes[kind >> 1], kind & 1, &replay->rules),
	};
	return 0;
}

static void free_fillers(struct replay *replay, uint32_t lane, bool held)
{
	for (size_t i = 0; i < replay->filler_count; i++) {
		struct filler *filler = &replay->fillers[i];

		if (!filler->p || filler->held != held)
			continue;
		replay->ops->free(replay->lanes[lane].heap, filler->p, filler->size);
		filler->p = NULL;
	}
}

static int end_snapshot(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	if (close_span(replay, err) < 0)
		return -1;
	replay->snapshot_over = true;
	free_fillers(replay, lane, false);
	if (bury_dead(replay, lane, err) < 0)
		return -1;
	replay->ops->gc_begin(replay->lanes[lane].heap);
	replay->ops->gc_end(replay->lanes[lane].heap);
	return 0;
}

/* ---- tasks ---- */

static int spawn(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	size_t bytes = event->size == RH_NONE ? 0 : event->size;
	void *task = replay->spec.stack.spawn(replay->lanes[event->lane].stack, bytes);

	replay->out->failed += !task;
	if (task && !rh_map_put(&replay->tasks, event->id, (uintptr_t)task))
		return no_memory(err);
	return 0;
}

static void task_event(struct replay *replay, const struct rh_event *event)
{
	const struct rh_stack_backend *ops = &replay->spec.stack;
	struct rh_stack_lane *lane = replay->lanes[event->lane].stack;
	uint64_t task = event->kind == RH_EV_EXIT ? rh_map_remove(&replay->tasks, event->id) :
						    rh_map_get(&replay->tasks, event->id);

	if (task == RH_MAP_NONE)
		return;
	if (event->kind == RH_EV_EXIT)
		ops->exit(lane, (void *)(uintptr_t)task);
	else if (event->kind == RH_EV_GROW)
		replay->out->failed += ops->grow(lane, (void *)(uintptr_t)task, event->size, 0) < 0;
	else
		ops->shrink(lane, (void *)(uintptr_t)task, event->size);
}

/* ---- events ---- */

static int cycle(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct lane *lane = &replay->lanes[event->lane];

	if (event->kind == RH_EV_GC_BEGIN) {
		replay->ops->gc_begin(lane->heap);	/* Go's begins once all is swept */
		if (rh_fidelity_edge(replay, event, err) < 0)
			return -1;
		replay->spec.stack.gc_begin(lane->stack);
		return 0;
	}
	replay->out->cycles[0]++;
	if (replay->out->cycles[0] == 1)
		free_fillers(replay, event->lane, true);
	if (rh_fidelity_edge(replay, event, err) < 0 || bury_dead(replay, event->lane, err) < 0)
		return -1;
	replay->ops->gc_end(lane->heap);
	replay->spec.stack.gc_end(lane->stack);
	return 0;
}

static int reference(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	enum series series = rh_fidelity_record(replay, event);

	if (series == SERIES_SPAN)
		return open_span(replay, event, err);
	if (series == SERIES_STACK && !replay->snapshot_over)
		return end_snapshot(replay, event->lane, err);
	return 0;
}

static int take(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	replay->out->events++;
	switch (event->kind) {
	case RH_EV_LANE_START:
		return start_lane(replay, event, err);
	case RH_EV_ALLOC:
		return bear(replay, event, err);
	case RH_EV_FREE:
		bury(replay, event->id, event->lane);
		/* In the middle of the recorded sweep all that is left of ours is swept at once. */
		if (replay->unswept && --replay->unswept == replay->sweep_at)
			replay->ops->gc_begin(replay->lanes[event->lane].heap);
		return 0;
	case RH_EV_SPAWN:
		return spawn(replay, event, err);
	case RH_EV_EXIT:
	case RH_EV_GROW:
	case RH_EV_SHRINK:
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

static int run_all(struct replay *replay, struct rh_err *err)
{
	static struct rh_event batch[BATCH];
	const char *differs;
	int got;

	if (open_backend(replay, err) < 0)
		return -1;
	rh_fidelity_series(replay);
	differs = rh_trace_note_of(replay->trace, "go.class_differs");
	replay->out->class_differs = differs ? strtoull(differs, NULL, 10) : 0;
	while ((got = rh_trace_next(replay->trace, batch, BATCH, err)) > 0)
		for (int i = 0; i < got; i++)
			if (take(replay, &batch[i], err) < 0)
				return -1;
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
	    run_all(&replay, &out->err) == 0)
		out->done = true;
	if (out->err.code == RH_BAD_DATA && strncmp(out->err.text, path, strlen(path)) != 0)
		rh_err_prefix(&out->err, "%s", path);
}

struct rh_fidelity *rh_fidelity_run(const char *path, const struct rh_fidelity_opts *opts,
				    struct rh_err *err)
{
	struct rh_fidelity *out = mmap(NULL, sizeof(*out), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
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
		_exit(0);	/* blocks still live die with the process */
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
