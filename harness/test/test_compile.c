/*
 * test_compile.c - compiled programs before an independent judge (check_program.h): small
 * traces with known edges, random ones in every shape of lanes, grains and epochs,
 * the Android traces where they are at hand; and what compiling says when it cannot.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/compile/compile.h"
#include "harness/test/check_program.h"
#include "traces/import.h"

static char dir[40];
static char trace_path[64];

/* ---- making traces ---- */

struct maker {
	struct rh_trace_out *out;
	uint64_t objects, tasks, events;
};

static void make_open(struct maker *maker, unsigned columns)
{
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY,
				      .columns = columns };
	struct rh_err err = { 0 };

	*maker = (struct maker){ 0 };
	CHECK(rh_trace_create(&maker->out, &make, &err) == 0, "%s", err.text);
}

static void make_put(struct maker *maker, struct rh_event event)
{
	struct rh_err err = { 0 };

	maker->events++;
	CHECK(rh_trace_put(maker->out, &event, 1, &err) == 0, "%s", err.text);
}

static void make_close(struct maker *maker)
{
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };

	CHECK(rh_trace_finish(maker->out, &totals, &err) == 0, "%s", err.text);
	assert_int_equal(totals.events, maker->events);
}

/* Unknown first, then what the event says: later initialisers win, which is meant. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define EVENT(...) \
	((struct rh_event){ .time_ns = RH_NONE, .id = RH_NONE, .old = RH_NONE, .arg = RH_NONE, \
			    .task = RH_TASK_NONE, __VA_ARGS__ })

static void lane_start(struct maker *m, uint32_t lane)
{
	make_put(m, EVENT(.kind = RH_EV_LANE_START, .lane = lane));
}

static void lane_stop(struct maker *m, uint32_t lane)
{
	make_put(m, EVENT(.kind = RH_EV_LANE_STOP, .lane = lane));
}

static uint64_t alloc_of(struct maker *m, uint32_t lane, uint64_t size)
{
	make_put(m, EVENT(.kind = RH_EV_ALLOC, .lane = lane, .id = m->objects, .size = size));
	return m->objects++;
}

static void free_of(struct maker *m, uint32_t lane, uint64_t id)
{
	make_put(m, EVENT(.kind = RH_EV_FREE, .lane = lane, .id = id));
}

static uint64_t resize_of(struct maker *m, uint32_t lane, uint64_t old, uint64_t size)
{
	make_put(m, EVENT(.kind = RH_EV_RESIZE, .lane = lane, .id = m->objects, .old = old,
			  .size = size));
	return m->objects++;
}

/* ---- compiling and judging ---- */

static struct rh_compile_stats judge(const struct rh_compile_options *options)
{
	struct rh_compile_stats stats, edges;
	struct rh_program program;
	struct rh_err err = { 0 };

	CHECK(rh_compile(trace_path, options, &program, &stats, &err) == 0, "%s", err.text);
	check_program(trace_path, &program);
	assert_int_equal(program.head->slots, stats.slots);
	assert_int_equal(program.head->lanes, stats.lanes);
	assert_int_equal(strlen(program.head->trace_sha256), 64);
	rh_program_unmap(&program);
	CHECK(rh_compile_edges(trace_path, options, &edges, &err) == 0, "%s", err.text);
	assert_int_equal(edges.waits, stats.waits);
	assert_int_equal(edges.publishes, stats.publishes);
	assert_int_equal(edges.edges_all, stats.edges_all);
	return stats;
}

static struct rh_compile_stats judge_lanes(uint32_t lanes)
{
	return judge(&(struct rh_compile_options){ .lanes = lanes });
}

/* ---- edges that can be counted by hand ---- */

static void frees_in_order_wait_each(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	for (int i = 0; i < 3; i++)
		alloc_of(&m, 0, 16);
	for (uint64_t i = 0; i < 3; i++)
		free_of(&m, 1, i);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 3);
	assert_int_equal(stats.publishes, 3);
	stats = judge_lanes(1);
	assert_int_equal(stats.edges_all, 0);
	assert_int_equal(stats.waits, 0);
	assert_int_equal(stats.lanes, 1);
}

static void frees_backwards_wait_once(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	for (int i = 0; i < 3; i++)
		alloc_of(&m, 0, 16);
	for (uint64_t i = 3; i-- > 0; )
		free_of(&m, 1, i);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 1);
	assert_int_equal(stats.publishes, 1);
}

/* Two lanes wait for the same event: it is published once. */
static void one_publish_serves_all(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	for (uint32_t i = 0; i < 3; i++)
		lane_start(&m, i);
	alloc_of(&m, 0, 16);
	alloc_of(&m, 0, 16);
	free_of(&m, 1, 1);
	free_of(&m, 2, 1 - 1);
	alloc_of(&m, 0, 16);
	resize_of(&m, 1, 2, 32);
	free_of(&m, 2, 3);
	make_close(&m);
	stats = judge(NULL);
	/* 1 and 0 at different places of lane 0, then 2, then lane 1's resize. */
	assert_int_equal(stats.waits, 4);
	assert_int_equal(stats.publishes, 4);
}

/* News that came by way of a third lane. */
static void third_lane_tells(void **state)
{
	struct rh_compile_stats stats;
	uint64_t a, b, c;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	for (uint32_t i = 0; i < 3; i++)
		lane_start(&m, i);
	a = alloc_of(&m, 0, 16);
	b = alloc_of(&m, 0, 16);
	free_of(&m, 1, b);		/* waits for lane 0 */
	c = alloc_of(&m, 1, 16);
	free_of(&m, 2, c);		/* waits for lane 1 ... */
	free_of(&m, 2, a);		/* ... which knew of lane 0 */
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 2);
}

/* The third lane learnt only after the event that was waited for. */
static void third_lane_learns_later(void **state)
{
	struct rh_compile_stats stats;
	uint64_t a, b, c;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	for (uint32_t i = 0; i < 3; i++)
		lane_start(&m, i);
	a = alloc_of(&m, 0, 16);
	b = alloc_of(&m, 0, 16);
	c = alloc_of(&m, 1, 16);
	free_of(&m, 1, b);
	free_of(&m, 2, c);
	free_of(&m, 2, a);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 3);
}

static void barriers_replace_edges(void **state)
{
	struct rh_compile_options options = { .grain_events = 4, .epoch_events = 4 };
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	alloc_of(&m, 0, 16);
	alloc_of(&m, 0, 16);
	free_of(&m, 1, 0);
	free_of(&m, 1, 1);
	make_close(&m);
	stats = judge(&options);
	assert_int_equal(stats.edges_all, 2);
	assert_int_equal(stats.waits, 0);
}

static void tasks_are_ordered(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_TASK | RH_COL_ARG);
	lane_start(&m, 0);
	lane_start(&m, 1);
	make_put(&m, EVENT(.kind = RH_EV_SPAWN, .id = 1, .size = 2048, .task = 0));
	/* its first event waits for the spawn, later ones do not */
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .lane = 1, .id = 0, .size = 8, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .lane = 1, .id = 1, .size = 8, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_CALL, .lane = 1, .id = 1, .size = 64, .task = 1));
	/* moves to lane 0: the op before on lane 1 is waited for */
	make_put(&m, EVENT(.kind = RH_EV_GROW, .lane = 0, .id = 1, .size = 4096, .arg = 64,
			   .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_RETURN, .lane = 0, .id = 1, .size = 64, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_EXIT, .lane = 0, .id = 1, .task = 1));
	/* joined on lane 1: waits for the exit */
	make_put(&m, EVENT(.kind = RH_EV_JOIN, .lane = 1, .id = 1, .task = 0));
	make_put(&m, EVENT(.kind = RH_EV_SPAWN, .lane = 1, .id = 2, .size = 2048, .task = 0));
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.waits, 3);
	assert_int_equal(stats.task_slots, 16);	/* a line of 8 for each lane */
	stats = judge_lanes(1);
	assert_int_equal(stats.waits, 0);
}

static void stopped_lanes_give_way(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	for (uint32_t i = 1; i <= 100; i++) {
		lane_start(&m, i);
		free_of(&m, 0, alloc_of(&m, i, 100));
		lane_stop(&m, i);
	}
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.lanes_recorded, 101);
	assert_int_equal(stats.lanes, 2);
	assert_int_equal(stats.waits, 100);
	stats = judge_lanes(7);
	assert_int_equal(stats.lanes, 7);
	stats = judge_lanes(1000);
	assert_int_equal(stats.lanes, 101);	/* none that would only idle */
}

static void handed_over_slots_come_back(void **state)
{
	struct rh_compile_options options = { .grain_events = 256, .epoch_events = 1024 };
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	for (int i = 0; i < 20000; i++)
		free_of(&m, 1, alloc_of(&m, 0, 64));
	make_close(&m);
	stats = judge(&options);
	/* An epoch bears 512; without handing back it would be 20,000. */
	assert_in_range(stats.slots, 512, 2 * 512 + 16);
	stats = judge_lanes(1);
	assert_int_equal(stats.slots, 8);
}

/* ---- random traces ---- */

struct random {
	struct maker m;
	uint64_t seed;
	uint64_t live[2000], live_count;
	uint64_t tasks[64], task_count;
	uint32_t lanes[400], lane_count, lanes_started, lanes_max;
	uint64_t time_ns;
};

static uint64_t below(struct random *r, uint64_t bound)
{
	r->seed ^= r->seed << 13;
	r->seed ^= r->seed >> 7;
	r->seed ^= r->seed << 17;
	return r->seed % bound;
}

static uint64_t random_size(struct random *r)
{
	uint64_t kind = below(r, 100);

	return kind == 0 ? (1ull << 32) + below(r, 1000) : kind < 5 ? below(r, 1 << 22) :
							   below(r, 300);
}

static void random_task_event(struct random *r, struct rh_event event)
{
	static const uint8_t kinds[] = { RH_EV_CALL, RH_EV_RETURN, RH_EV_GROW, RH_EV_SHRINK };
	uint64_t index = r->task_count ? below(r, r->task_count) : 0;
	bool spawn = r->task_count < 2 || (r->task_count < 64 && below(r, 4) == 0);

	event.size = 64 + below(r, 8192);
	event.id = spawn ? ++r->m.tasks : r->tasks[index];
	event.kind = spawn ? RH_EV_SPAWN : below(r, 3) == 0 ? RH_EV_EXIT : kinds[below(r, 4)];
	if (spawn)
		r->tasks[r->task_count++] = event.id;
	if (event.kind == RH_EV_EXIT) {
		r->tasks[index] = r->tasks[--r->task_count];
		event.size = 0;
	}
	make_put(&r->m, event);
	if (event.kind == RH_EV_EXIT && below(r, 2)) {
		event.kind = RH_EV_JOIN;
		event.lane = r->lanes[below(r, r->lane_count)];
		event.task = RH_TASK_NONE;
		make_put(&r->m, event);
	}
}

static void random_object_event(struct random *r, struct rh_event event)
{
	uint64_t index = r->live_count ? below(r, r->live_count) : 0;
	uint64_t what = r->live_count == 0 ? 0 : r->live_count == 2000 ? 9 : below(r, 10);

	if (below(r, 4))	/* the young die first, mostly */
		index = r->live_count ? r->live_count - 1 - index % (1 + r->live_count / 8) : 0;
	event.size = random_size(r);
	event.id = r->m.objects;
	if (what < 5) {
		event.kind = RH_EV_ALLOC;
		event.flags = (uint16_t)below(r, 4);
		event.align_log2 = below(r, 8) ? 0 : (uint8_t)(3 + below(r, 18));
		r->live[r->live_count++] = r->m.objects++;
	} else if (what == 5) {
		event.kind = RH_EV_RESIZE;
		event.old = r->live[index];
		event.arg = RH_NONE;
		r->live[index] = r->m.objects++;
	} else {
		event.kind = RH_EV_FREE;
		event.id = r->live[index];
		event.size = 0;
		event.arg = below(r, 2) ? below(r, 5000) : RH_NONE;
		r->live[index] = r->live[--r->live_count];
	}
	make_put(&r->m, event);
}

static void random_lane_event(struct random *r, struct rh_event event)
{
	uint32_t index = (uint32_t)below(r, r->lane_count + 1u);

	event.task = RH_TASK_NONE;
	if (index < r->lane_count && r->lane_count > 1) {
		event.kind = RH_EV_LANE_STOP;
		event.lane = r->lanes[index];
		r->lanes[index] = r->lanes[--r->lane_count];
	} else if (r->lane_count < r->lanes_max) {
		event.kind = RH_EV_LANE_START;
		event.lane = r->lanes[r->lane_count++] = r->lanes_started++;
	} else {
		event.kind = below(r, 2) ? RH_EV_GC_BEGIN : RH_EV_GC_END;
		event.id = below(r, 100);
	}
	make_put(&r->m, event);
}

static void make_random(uint64_t seed, uint32_t lanes_max, uint32_t events)
{
	static struct random r;

	r = (struct random){ .seed = seed * 0x9e3779b97f4a7c15ull + 1, .lanes_max = lanes_max };
	make_open(&r.m, RH_COL_TIME | RH_COL_TASK | RH_COL_ARG);
	for (uint32_t i = 0; i < lanes_max; i++) {
		lane_start(&r.m, i);
		r.lanes[r.lane_count++] = r.lanes_started++;
	}
	while (r.m.events < events) {
		uint64_t what = below(&r, 200);
		struct rh_event event = EVENT(.time_ns = r.time_ns += below(&r, 3000),
					      .lane = r.lanes[below(&r, r.lane_count)]);

		if (below(&r, 3) == 0)
			event.task = r.task_count ? (uint32_t)r.tasks[below(&r, r.task_count)] : 0;
		if (what < 2)
			random_lane_event(&r, event);
		else if (what < 30)
			random_task_event(&r, event);
		else
			random_object_event(&r, event);
	}
	make_close(&r.m);
}

static void random_traces_keep_order(void **state)
{
	static const struct { uint32_t lanes_max, events, grain, epoch; } shapes[] = {
		{ 2, 5000, 0, 0 }, { 3, 20000, 100, 1000 }, { 8, 20000, 64, 64 },
		{ 20, 30000, 0, 0 }, { 40, 30000, 1, 50 }, { 300, 40000, 512, 8192 },
	};
	static const uint32_t folds[] = { 0, 1, 2, 3, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (uint64_t seed = 1; seed <= 3; seed++) {
			make_random(seed * 100 + i, shapes[i].lanes_max, shapes[i].events);
			for (size_t k = 0; k < sizeof(folds) / sizeof(folds[0]); k++) {
				struct rh_compile_options options = {
					.lanes = folds[k], .grain_events = shapes[i].grain,
					.epoch_events = shapes[i].epoch, .times = seed == 2,
					.touch = seed == 3 };
				struct rh_compile_stats stats = judge(&options);

				assert_true(stats.waits <= stats.edges_all);
				assert_true(folds[k] != 1 || stats.waits == 0);
			}
		}
}

/* Same input, same bytes. */
static void compiling_is_reproducible(void **state)
{
	struct rh_program a, b;
	struct rh_err err = { 0 };

	(void)state;
	make_random(5, 20, 20000);
	CHECK(rh_compile(trace_path, NULL, &a, NULL, &err) == 0, "%s", err.text);
	CHECK(rh_compile(trace_path, NULL, &b, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(a.head->bytes, b.head->bytes);
	assert_memory_equal(a.base, b.base, a.head->bytes);
	rh_program_unmap(&a);
	rh_program_unmap(&b);
}

/* More ids than the young window, few of them alive: the old half of the table works. */
static void long_lived_objects_are_found(void **state)
{
	uint64_t old[64];
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	for (uint64_t i = 0; i < 64; i++) {
		old[i] = alloc_of(&m, 0, 1000 + i);
		for (int k = 0; k < 3000; k++)
			free_of(&m, 0, alloc_of(&m, 0, 8));
	}
	for (uint64_t i = 0; i < 64; i += 2)
		free_of(&m, 0, old[i]);
	for (uint64_t i = 1; i < 64; i += 2)
		free_of(&m, 0, resize_of(&m, 0, old[i], 5));
	make_close(&m);
	assert_int_equal(judge(NULL).slots, 72);
}

/* So many live long that the window widens, with some in the hash already. */
static void many_long_lived_objects_are_found(void **state)
{
	enum { MANY = 200000 };
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	for (uint64_t i = 0; i < MANY; i++)
		alloc_of(&m, 0, i % 500);
	for (uint64_t i = 0; i < MANY; i++)	/* a permutation: 7919 is prime */
		free_of(&m, i & 1, i * 7919 % MANY);
	make_close(&m);
	assert_int_equal(judge_lanes(1).slots, MANY);
	judge(NULL);
}

/* ---- what rides along ---- */

static const struct rh_op *find_op(const struct rh_program *program, uint32_t lane, unsigned kind,
				   int nth)
{
	const struct rh_op *op = rh_program_ops(program, lane);

	for (uint64_t at = 0; at < program->lanes[lane].op_words; at += check_words(&op[at]))
		if (RH_OP_KIND(op[at].what) == kind && nth-- == 0)
			return &op[at];
	return NULL;
}

static void touch_comes_from_residency(void **state)
{
	struct rh_compile_options options = { .touch = true };
	struct rh_program program;
	struct rh_err err = { 0 };
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_ARG);
	lane_start(&m, 0);
	alloc_of(&m, 0, 100000);
	alloc_of(&m, 0, 100);
	alloc_of(&m, 0, 100);
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 1, .arg = 4096));	/* more than it has */
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 2));		/* unknown */
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 0, .arg = 8192));
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->touched, 1);
	assert_int_equal(find_op(&program, 0, RH_OP_TOUCH, 0)->size, 8192);
	assert_int_equal(find_op(&program, 0, RH_OP_TOUCH, 1)->size, 100);
	assert_null(find_op(&program, 0, RH_OP_TOUCH, 2));
	assert_int_equal(RH_OP_SLOT(find_op(&program, 0, RH_OP_TOUCH, 0)->what),
			 RH_OP_SLOT(find_op(&program, 0, RH_OP_ALLOC, 0)->what));
	rh_program_unmap(&program);
}

static void pace_adds_up_to_recorded_time(void **state)
{
	struct rh_compile_options options = { .times = true };
	struct rh_program program;
	struct rh_err err = { 0 };
	uint64_t sum = 0;
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_TIME);
	make_put(&m, EVENT(.kind = RH_EV_LANE_START, .time_ns = 5));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 0, .size = 1, .time_ns = 100));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 1, .size = 1, .time_ns = 100));
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 0, .time_ns = 9000000000));
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->paced, 1);
	assert_int_equal(find_op(&program, 0, RH_OP_PACE, 0)->size, 100);
	for (int i = 0; find_op(&program, 0, RH_OP_PACE, i); i++)
		sum += find_op(&program, 0, RH_OP_PACE, i)->size;
	assert_int_equal(sum, 9000000000);
	assert_int_equal(program.head->time_ns_last, 9000000000);
	rh_program_unmap(&program);
}

static void facts_of_grains(void **state)
{
	struct rh_compile_options options = { .grain_events = 3, .epoch_events = 6 };
	struct rh_program program;
	struct rh_err err = { 0 };
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	alloc_of(&m, 0, 10);
	alloc_of(&m, 0, 20);
	free_of(&m, 0, 0);
	alloc_of(&m, 0, 5);
	free_of(&m, 0, 1);
	free_of(&m, 0, 2);
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->grains, 3);
	assert_int_equal(program.head->epoch_grains, 2);
	assert_int_equal(program.grain_facts[0].live_bytes, 30);
	assert_int_equal(program.grain_facts[0].bytes_allocated, 30);
	assert_int_equal(program.grain_facts[1].live_bytes, 5);
	assert_int_equal(program.grain_facts[1].live_objects, 1);
	assert_int_equal(program.grain_facts[1].bytes_allocated, 5);
	assert_int_equal(program.grain_facts[2].events, 1);
	assert_int_equal(program.grain_facts[2].live_bytes, 0);
	assert_int_equal(program.head->live_bytes_peak, 30);
	assert_int_equal(program.head->live_objects_peak, 2);
	assert_int_equal(program.head->size_max, 20);
	assert_true(program.head->time_ns_last == RH_NONE);
	rh_program_unmap(&program);
}

/* ---- when it cannot ---- */

static enum rh_exit fails(const char *path, const struct rh_compile_options *options,
			  const char *names)
{
	struct rh_compile_stats stats;
	struct rh_program program;
	struct rh_err err = { 0 };

	assert_int_equal(rh_compile(path, options, &program, &stats, &err), -1);
	CHECK(strstr(err.text, names), "'%s' does not name '%s'", err.text, names);
	return err.code;
}

static void says_what_is_wrong(void **state)
{
	struct rh_compile_options many = { .lanes = 5000 };
	struct rh_compile_options nowhere = { .work_dir = "/no/such/dir" };
	struct rh_compile_options long_epoch = { .epoch_events = UINT32_MAX };
	struct rh_compile_options two = { .lanes = 2 };
	struct maker m;

	(void)state;
	assert_int_equal(fails("/no/such/trace.rht", NULL, "/no/such/trace.rht"), RH_NO_INPUT);
	make_open(&m, 0);
	make_close(&m);
	assert_int_equal(fails(trace_path, NULL, trace_path), RH_BAD_DATA);
	make_random(1, 4, 2000);
	assert_int_equal(fails(trace_path, &many, "5000"), RH_USAGE);
	assert_int_equal(fails(trace_path, &nowhere, "/no/such/dir"), RH_CANT_CREATE);
	assert_int_equal(fails(trace_path, &long_epoch, "epoch"), RH_USAGE);
	assert_int_equal(fails("-", &two, "standard input"), RH_USAGE);
}

/* A file may grow to 64 KiB only: what a full disk looks like, at every write there is. */
static void full_disk_is_an_error(void **state)
{
	struct rlimit before, limit;

	(void)state;
	make_random(1, 4, 40000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t bytes = 0; bytes <= 256 << 10; bytes += 64 << 10) {
		limit = (struct rlimit){ bytes, before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(fails(trace_path, NULL, "TMPDIR"), RH_IO);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	judge(NULL);
}

static void cut_off_traces_compile_as_far_as_whole(void **state)
{
	struct rh_compile_stats whole, part;
	struct stat st;

	(void)state;
	make_random(3, 4, 400000);	/* several blocks */
	whole = judge(NULL);
	assert_null(whole.truncated);
	assert_int_equal(stat(trace_path, &st), 0);
	assert_int_equal(truncate(trace_path, st.st_size / 2), 0);
	part = judge(NULL);
	assert_non_null(part.truncated);
	assert_in_range(part.events, 1, whole.events - 1);
}

static void too_many_lanes_at_once(void **state)
{
	struct maker m;

	(void)state;
	make_open(&m, 0);
	for (uint32_t i = 0; i < 5000; i++)
		lane_start(&m, i);
	alloc_of(&m, 4999, 1);
	make_close(&m);
	assert_int_equal(fails(trace_path, NULL, "--lanes"), RH_BAD_DATA);
	assert_int_equal(judge_lanes(64).lanes, 64);
}

/* ---- real traces ---- */

static const char *shared(char *path, size_t bytes, const char *name)
{
	const char *base = getenv("REHEAP_SHARED");

	snprintf(path, bytes, "%s/data/android/%s.zip", base ? base : "../shared", name);
	return access(path, R_OK) == 0 ? path : NULL;
}

static void android(const char *name, double waits_max)
{
	const struct rh_importer *importer;
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY };
	_Alignas(16) unsigned char opts[256] = { 0 };
	struct rh_trace_totals totals;
	struct rh_compile_stats stats;
	struct rh_err err = { 0 };
	char path[512];

	if (!shared(path, sizeof(path), name)) {
		print_message("%s.zip is not here: REHEAP_SHARED names the folder with data/\n",
			      name);
		skip();
	}
	importer = rh_importer_of("android", &err);
	assert_non_null(importer);
	CHECK(rh_import(importer, path, opts, &make, &totals, &err) == 0, "%s", err.text);
	stats = judge(NULL);
	assert_int_equal(stats.events, totals.events);
	CHECK((double)stats.waits <= waits_max * (double)stats.events, "%lu waits", stats.waits);
	for (uint32_t lanes = 1; lanes <= 4; lanes *= 2)
		assert_int_equal(judge_lanes(lanes).lanes, lanes);
}

static void android_systemui(void **state)
{
	(void)state;
	android("systemui", 0.013);
}

static void android_surfaceflinger(void **state)
{
	(void)state;
	android("surfaceflinger", 0.008);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/reheap-compile-%ld", (long)getpid());
	if (mkdir(dir, 0700) < 0)
		return -1;
	snprintf(trace_path, sizeof(trace_path), "%s/t.rht", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(trace_path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frees_in_order_wait_each),
		cmocka_unit_test(frees_backwards_wait_once),
		cmocka_unit_test(one_publish_serves_all),
		cmocka_unit_test(third_lane_tells),
		cmocka_unit_test(third_lane_learns_later),
		cmocka_unit_test(barriers_replace_edges),
		cmocka_unit_test(tasks_are_ordered),
		cmocka_unit_test(stopped_lanes_give_way),
		cmocka_unit_test(handed_over_slots_come_back),
		cmocka_unit_test(random_traces_keep_order),
		cmocka_unit_test(compiling_is_reproducible),
		cmocka_unit_test(long_lived_objects_are_found),
		cmocka_unit_test(many_long_lived_objects_are_found),
		cmocka_unit_test(touch_comes_from_residency),
		cmocka_unit_test(pace_adds_up_to_recorded_time),
		cmocka_unit_test(facts_of_grains),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(full_disk_is_an_error),
		cmocka_unit_test(cut_off_traces_compile_as_far_as_whole),
		cmocka_unit_test(too_many_lanes_at_once),
		cmocka_unit_test(android_systemui),
		cmocka_unit_test(android_surfaceflinger),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
