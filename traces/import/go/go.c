/*
 * go.c - Go execution traces (1.23 and later) with the allocation experiment.
 *
 * One generation at a time: read (wire.c), its types (types.c), its events in one
 * order (order.c), the handling of each event (below, heap.c, tasks.c). The first generation is
 * scanned once in advance, for facts that its first events need: how many goroutines there
 * were, and whether tiny objects are recorded one by one.
 *
 * Lanes are Ps unless asked otherwise: a P is what owns caches in Go, and what runs at the
 * same time. A thread sweeps while it takes over a P, before it records which one; such events
 * go to the lane of the P it held last.
 */
#include "traces/import/go/go.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/gopacer.h"

#define TIME_MAX_NS (1ull << 62) /* what a trace holds: traces/format/order.h */

static const char *const lane_names[] = { "p", "thread", "goroutine", NULL };
static const char *const size_names[] = { "slot", "middle", "smallest", NULL };

static const struct rh_opt go_options[] = {
	{ "profile", 0, RH_OPT_NAME, offsetof(struct go_opts, profile), "auto",
	  .names = rh_go_profile_names, .arg = "auto|VERSION",
	  .help = "which Go was recorded; auto: by the format and what slots were used" },
	{ "lanes", 0, RH_OPT_NAME, offsetof(struct go_opts, lanes), "p", .names = lane_names,
	  .arg = "p|thread|goroutine", .help = "what becomes a lane" },
	{ "sizes", 0, RH_OPT_NAME, offsetof(struct go_opts, sizes), "slot", .names = size_names,
	  .arg = "slot|middle|smallest",
	  .help = "size of what has no type: all of its slot, the middle, or the least" },
	{ "gogc", 0, RH_OPT_TEXT, offsetof(struct go_opts, gogc), .arg = "PERCENT|off|unset",
	  .help = "GOGC in the environment of the program, where that is known" },
	{ "memlimit", 0, RH_OPT_TEXT, offsetof(struct go_opts, memlimit), .arg = "BYTES|off|unset",
	  .help = "GOMEMLIMIT in the environment of the program" },
	{ .name = NULL }
};

static const char *const count_keys[] = {
#define X(name, word) word,
	GO_COUNTS(X)
#undef X
};

static const char *const series_names[] = { NULL,
#define X(name, word) word,
					    GO_SERIES(X)
#undef X
};

/* ---- events out ---- */

static uint64_t lane_key(struct go_import *import, const struct go_thread *thread)
{
	struct go_actor *g;

	switch (import->opts.lanes) {
	case GO_LANES_THREAD:
		return thread->id;
	case GO_LANES_GOROUTINE:
		g = rh_go_current(&import->order, thread);
		return g ? g->id : RH_NONE;
	}
	if (thread->p == GO_NONE)
		import->without_p++;
	return thread->p_last == RH_NONE ? 0 : thread->p_last;
}

static uint64_t time_of(const struct go_import *import, uint64_t units)
{
	uint64_t past = units - import->time_zero;
	double ns;

	/* Signed, for which CPUs have an instruction. */
	if (units <= import->time_zero || past >> 63)
		return units <= import->time_zero ? 0 : TIME_MAX_NS;
	ns = (double)(int64_t)past * import->wire.ns_per_unit;
	return ns < (double)TIME_MAX_NS ? (uint64_t)(int64_t)ns : TIME_MAX_NS;
}

int rh_go_put(struct go_import *import, struct go_thread *thread, struct rh_event *event,
	      bool extra, struct rh_err *err)
{
	const struct go_actor *g = rh_go_current(&import->order, thread);

	import->added += extra;
	event->time_ns = time_of(import, thread->event.time);
	if (g && g->task)
		event->task = g->task;
	return rh_build_other(import->build, lane_key(import, thread), event, err);
}

int rh_go_put_on(struct go_import *import, struct go_thread *thread, uint64_t p,
		 struct rh_event *event, struct rh_err *err)
{
	uint64_t lane = import->opts.lanes == GO_LANES_P ? p : lane_key(import, thread);

	import->added++;
	event->time_ns = time_of(import, thread->event.time);
	return rh_build_other(import->build, lane, event, err);
}

int rh_go_put_ref(struct go_import *import, struct go_thread *thread, struct go_ref ref,
		  struct rh_err *err)
{
	struct rh_event event = rh_go_event_of(RH_EV_REF);

	event.id = ref.series;
	event.arg = ref.value == RH_NONE ? ref.value - 1 : ref.value;
	return rh_go_put(import, thread, &event, ref.extra, err);
}

/* ---- events in ---- */

static int alloc_event(struct go_import *import, struct go_thread *thread,
		       const struct go_event *event, struct rh_err *err)
{
	import->alloc_events++;
	if (event->kind >= GO_STACK)
		return rh_go_stack_event(import, thread, event, err);
	return rh_go_heap_event(import, thread, event, err);
}

/*
 * A file that was cut off lacks the last batches of every thread, and threads write theirs at
 * different times: what is there goes on after what is not. So the generation of the cut counts
 * up to the first event that cannot be without one that is missing.
 */
static bool past_the_cut(struct go_import *import)
{
	static const enum go_count signs[] = {
		GO_N_DROP_FREE_UNKNOWN,	  GO_N_DROP_OBJECT_UNKNOWN_SPAN,
		GO_N_DROP_OBJECT_ODD,	  GO_N_DROP_SPAN_UNKNOWN,
		GO_N_DROP_SPAN_ODD,	  GO_N_DROP_STACK_UNKNOWN,
		GO_N_REPAIR_SLOT_LIVE,	  GO_N_REPAIR_SPAN_OVERLAP,
		GO_N_REPAIR_OBJECT_ENDED,
	};
	uint64_t seen = 0;

	if (import->order.forced && !import->wire.truncated[0])
		snprintf(import->wire.truncated, sizeof(import->wire.truncated),
			 "damaged in generation %" PRIu64
			 ": threads wait for events that are not there, batches are missing",
			 import->generation.number);
	if (import->past_cut || !import->wire.truncated[0])
		return import->past_cut;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		seen += import->counts[signs[i]];
	if (!import->cut_begun)
		import->seen_before_cut = seen;
	import->cut_begun = true;
	import->past_cut = seen > import->seen_before_cut;
	return import->past_cut;
}

/* Whether something is due before an event, or it may not count: mostly not. */
static inline bool watches(const struct go_import *import)
{
	return import->order.forced || import->wire.truncated[0] || import->gc_started ||
	       import->gc_p != GO_NONE || import->tasks.snapshot == GO_SNAPSHOT_OPEN;
}

/* What is due before the event. 1: it does not count. */
static int watch(struct go_import *import, struct go_thread *thread, const struct go_event *event,
		 struct rh_err *err)
{
	if (past_the_cut(import)) {
		go_count(import, GO_N_DROP_PAST_CUT);
		return 1;
	}
	if (import->tasks.snapshot == GO_SNAPSHOT_OPEN && event->kind != GO_STACK &&
	    rh_go_snapshot_end(import, thread, err) < 0)
		return -1;
	if (import->gc_p != GO_NONE && rh_go_flush_ender(import, thread, event, err) < 0)
		return -1;
	if (import->gc_started && thread->id == import->gc_thread &&
	    rh_go_flush_idle(import, thread, err) < 0)
		return -1;
	return 0;
}

/* What is none of an allocation. */
static int other_event(struct go_import *import, struct go_thread *thread,
		       const struct go_event *event, struct go_actor *subject, struct rh_err *err)
{
	switch (event->kind) {
	case GO_CREATE:
	case GO_CREATE_BLOCKED:
	case GO_CREATE_SYSCALL:
	case GO_STATUS:
	case GO_STATUS_STACK:
	case GO_DESTROY:
	case GO_DESTROY_SYSCALL:
	case GO_SWITCH_DESTROY:
		return rh_go_task_event(import, thread, event, subject, err);
	case GO_GC_ACTIVE:
	case GO_GC_BEGIN:
	case GO_GC_END:
		return rh_go_cycle_event(import, thread, event, err);
	case GO_PROC_START:
	case GO_STW_BEGIN:
	case GO_STW_END:
		return rh_go_flush_event(import, thread, event, err);
	case GO_HEAP_ALLOC:
		return rh_go_put_ref(import, thread,
				     (struct go_ref){ GO_REF_HEAP_LIVE, event->args[0], false },
				     err);
	case GO_HEAP_GOAL:
		return rh_go_put_ref(import, thread,
				     (struct go_ref){ GO_REF_HEAP_GOAL, event->args[0], false },
				     err);
	case GO_SWEEP_END:
		return rh_go_put_ref(import, thread,
				     (struct go_ref){ GO_REF_SWEPT, event->args[0], false }, err);
	}
	go_count(import, GO_N_DROP_SCHEDULING);
	return 0;
}

static int take_event(void *ctx, struct go_thread *thread, const struct go_event *event,
		      struct go_actor *subject, struct rh_err *err)
{
	struct go_import *import = ctx;
	int result = watches(import) ? watch(import, thread, event, err) : 0;

	if (result)
		return result < 0 ? -1 : 0;
	return go_is_alloc(event->kind) ? alloc_event(import, thread, event, err)
					: other_event(import, thread, event, subject, err);
}

/* ---- the whole ---- */

static int name_series(struct go_import *import, struct rh_err *err)
{
	for (uint32_t i = 1; i < GO_SERIES_COUNT; i++)
		if (rh_trace_add_site(import->out, i, series_names[i], err) < 0)
			return -1;
	import->types.sites = GO_SERIES_COUNT;
	return 0;
}

static int one_generation(struct go_import *import, struct rh_err *err)
{
	if (import->wire.ns_per_unit == 0)
		import->wire.ns_per_unit = 64; /* what nearly all systems use */
	if (import->generations++ == 0) {
		import->time_zero = import->generation.time_first;
		if (rh_go_look_through(import, err) < 0)
			return -1;
	}
	if (rh_go_types_read(import, err) < 0)
		return -1;
	rh_go_judge_parts(import);
	rh_go_shapes_forget(import);
	if (import->generations == 1 && import->types.have_info)
		import->tasks.snapshot = GO_SNAPSHOT_DUE;
	if (rh_go_order_merge(&import->order, &import->generation, take_event, import, err) < 0)
		return -1;
	if (import->tasks.snapshot != GO_SNAPSHOT_OVER && import->order.thread_count &&
	    rh_go_snapshot_end(import, &import->order.threads[0], err) < 0)
		return -1;
	if (import->alloc_events)
		return 0;
	if (import->wire.truncated[0])
		return rh_fail(
			err, RH_BAD_DATA,
			"%s: %s; no allocation event comes before that (each thread writes its "
			"first ones when it has 64 KiB)",
			rh_input_path(import->wire.input), import->wire.truncated);
	return rh_fail(err, RH_BAD_DATA,
		       "%s: holds no allocation events: the program must run with "
		       "GODEBUG=traceallocfree=1 when tracing starts (Go 1.23 or later)",
		       rh_input_path(import->wire.input));
}

static int add_counts(struct go_import *import, struct rh_err *err)
{
	struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{ "import.records", import->order.events },
		{ "import.added", import->added },
		{ "go.generations", import->generations },
		{ "go.cycles", import->gc_ended },
		{ "go.objects", import->heap.objects },
		{ "go.sizes_exact", import->heap.exact },
		{ "go.events_without_p", import->without_p },
		{ "go.status_again", import->order.status_again },
		{ "go.class_differs", import->counts[GO_N_CLASS_DIFFERS] },
	};

	import->counts[GO_N_REPAIR_ORDER] = import->order.forced;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (rh_trace_add_count(import->out, counts[i].key, counts[i].value, err) < 0)
			return -1;
	for (int i = 0; i < GO_N_CLASS_DIFFERS; i++)
		rh_build_count(import->build, count_keys[i], import->counts[i]);
	return 0;
}

/* What the recorder did not see, whatever the program did, and what follows from it. */
static int add_unseen(struct go_import *import, const char *profile, struct rh_err *err)
{
	struct rh_trace_out *out = import->out;

	if (!import->types.have_info) {
		if (rh_trace_add_note(out, "go.snapshot",
				      "missing: the trace does not begin where recording began",
				      err) < 0 ||
		    rh_trace_add_note(out, "import.unseen",
				      "the heap when recording began: a flight recorder's snapshot "
				      "has none, and no types or sizes with it",
				      err) < 0)
			return -1;
		return rh_trace_add_note(
			out, "import.unsuited",
			"fidelity, whatif and replays that judge memory: sizes are "
			"guesses; record with trace.Start or /debug/pprof/trace",
			err);
	}
	if (strcmp(profile, "1.23") != 0)
		return 0;
	if (rh_trace_add_note(out, "import.unseen",
			      "tiny objects after the first of each block, and stacks made inside "
			      "other events (the recorder of Go 1.23; 1.24 and later see them)",
			      err) < 0)
		return -1;
	return rh_trace_add_note(out, "import.unsuited",
				 "counts of objects, and what is recorded of stacks", err);
}

/* Refused before anything is read. */
static int check_environment(const struct go_opts *opts, struct rh_err *err)
{
	uint64_t value;

	if (rh_go_read_gogc(opts->gogc, &value) < 0)
		return rh_fail(err, RH_USAGE, "gogc: '%s' is neither a number nor off", opts->gogc);
	if (rh_go_read_memlimit(opts->memlimit, &value) < 0)
		return rh_fail(err, RH_USAGE, "memlimit: '%s' is neither a size nor off",
			       opts->memlimit);
	return 0;
}

static int add_environment(struct go_import *import, struct rh_err *err)
{
	const struct go_opts *opts = &import->opts;

	if (opts->gogc && rh_trace_add_note(import->out, "go.gogc", opts->gogc, err) < 0)
		return -1;
	return opts->memlimit ? rh_trace_add_note(import->out, "go.memlimit", opts->memlimit, err)
			      : 0;
}

static int add_notes(struct go_import *import, struct rh_err *err)
{
	char format[32], why[160];
	const char *profile = rh_go_profile_of(import, why, sizeof(why));

	snprintf(format, sizeof(format), "1.%u", import->wire.version);
	if (rh_trace_add_note(import->out, "go.trace_format", format, err) < 0 ||
	    rh_trace_add_note(import->out, "go.profile", profile, err) < 0 ||
	    rh_trace_add_note(import->out, "go.profile_why", why, err) < 0 ||
	    rh_trace_add_note(import->out, "go.lanes", lane_names[import->opts.lanes], err) < 0)
		return -1;
	if (rh_go_profile_open(import) &&
	    rh_trace_add_note(import->out, "go.profile_open", "1.23 or 1.24", err) < 0)
		return -1;
	if (add_unseen(import, profile, err) < 0 || add_environment(import, err) < 0)
		return -1;
	if (!import->wire.truncated[0])
		return 0;
	return rh_trace_add_note(import->out, "import.truncated", import->wire.truncated, err);
}

static void close_import(struct go_import *import)
{
	rh_go_generation_close(&import->generation);
	rh_go_order_close(&import->order);
	rh_go_types_close(&import->types);
	rh_go_heap_close(&import->heap);
	rh_go_tasks_close(&import->tasks);
	free(import);
}

static int import_all(struct go_import *import, struct rh_err *err)
{
	int got;

	if (name_series(import, err) < 0)
		return -1;
	while ((got = rh_go_wire_next(&import->wire, &import->generation, err)) > 0)
		if (one_generation(import, err) < 0)
			return -1;
	if (got < 0)
		return -1;
	if (!import->generations)
		return rh_fail(err, RH_BAD_DATA, "%s: ends before its first event",
			       rh_input_path(import->wire.input));
	if (rh_go_tasks_finish(import, err) < 0 || add_counts(import, err) < 0)
		return -1;
	return add_notes(import, err);
}

static int import_go(struct rh_input *input, const void *opts, struct rh_build *build,
		     struct rh_trace_out *out, struct rh_err *err)
{
	struct go_import *import;
	int result = -1;

	if (check_environment(opts, err) < 0)
		return -1;
	import = calloc(1, sizeof(*import));
	if (!import)
		return rh_go_no_memory(err);
	import->opts = *(const struct go_opts *)opts;
	import->build = build;
	import->out = out;
	rh_build_batches(build);
	import->gc_thread = import->gc_ender = import->gc_starter = RH_NONE;
	import->gc_p = GO_NONE;
	if (rh_go_wire_open(&import->wire, input, err) == 0) {
		rh_go_order_open(&import->order, &import->wire);
		rh_go_heap_open(&import->heap);
		result = import_all(import, err);
	}
	close_import(import);
	return result;
}

static unsigned likeness(const char *bytes, size_t count)
{
	return count >= 16 && memcmp(bytes, "go 1.", 5) == 0 && memcmp(bytes + 7, " trace", 6) == 0
		       ? 100
		       : 0;
}

/* Level 7 took half of the CPU of an import (1.7 M records: 0.48 of 0.95 s); 5 takes half of that
 * for 4 % more bytes. */
enum { LEVEL = 3 };

const struct rh_importer rh_import_go = {
	.name = "go",
	.summary = "Go execution trace (1.23 and later) made with GODEBUG=traceallocfree=1",
	.looks_like = "trace.out of runtime/trace, 'go test -trace' or /debug/pprof/trace",
	.opts = go_options,
	.opts_bytes = sizeof(struct go_opts),
	.columns = RH_COL_TIME | RH_COL_TASK | RH_COL_SITE | RH_COL_ARG,
	.level = LEVEL,
	.likeness = likeness,
	.run = import_go,
};
