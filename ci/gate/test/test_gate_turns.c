/*
 * test_gate_turns.c - turns by real workers: a lead runs and is not timed, batches cover the
 * timed part, a drained worker starts anew, a pair makes its blocks. Facts, no times.
 */
#include <math.h>

#include "ci/gate/gate.h"
#include "harness/test/worker_support.h"

static struct rh_program program;
static struct rh_clock clock_here;
static struct rh_gate_side sides[2];

static void compile_trace(uint32_t lanes)
{
	struct rh_compile_options options = { .grain_events = 256 };
	struct rh_compile_stats stats;
	struct rh_err err = { 0 };

	make_mixed(lanes, 4000);
	if (rh_compile(trace_path, &options, &program, &stats, &err) < 0)
		fail_msg("%s", err.text);
	rh_clock_calibrate(&clock_here, 1000000);
	for (int s = 0; s < 2; s++) {
		sides[s].spec = calloc(1, sizeof(*sides[s].spec));
		assert_int_equal(rh_spec_parse(sides[s].spec, "libc", 0, &err), 0);
	}
}

static void forget(void)
{
	rh_program_unmap(&program);
	for (int s = 0; s < 2; s++)
		free(sides[s].spec);
}

static uint64_t words_between(uint32_t lane, uint64_t from, uint64_t to)
{
	const uint64_t *table = program.grain_table;
	uint32_t lanes = program.head->lanes;

	return table[to * lanes + lane] - table[from * lanes + lane];
}

static void start_worker(struct rh_worker *worker)
{
	struct rh_worker_start how = {
		.spec = sides[0].spec,
		.program = &program,
		.clock = &clock_here,
		.copies = 1,
		.replay.touch = RH_TOUCH_FIRST,
		.turn_over = true,
		.deadline_ns = UINT64_MAX,
	};
	struct rh_err err = { 0 };

	if (rh_worker_start(worker, &how, &err) < 0 ||
	    rh_worker_command(worker, RH_CTL_OPEN, &err) < 0)
		fail_msg("%s", err.text);
}

/* All of the trace, ten grains at a time, the first four of each untimed. */
static void replay_all(struct rh_worker *worker)
{
	struct rh_err err = { 0 };
	uint64_t grains = program.head->grains, epoch = program.head->epoch_grains;

	for (uint64_t g = 0; g < grains;) {
		uint64_t count = rh_ctl_stretch(1, grains, epoch, g, 10);
		uint64_t lead = count > 4 ? 4 : 0;

		worker->ctl->lead = lead;
		worker->ctl->batches = 1;
		if (rh_worker_run(worker, g + lead, count - lead, &err) < 0)
			fail_msg("%s", err.text);
		for (uint32_t l = 0; l < program.head->lanes; l++) {
			const struct rh_ctl_seat *seat = &worker->ctl->seat[l];
			uint64_t ticks = 0;

			assert_int_equal(seat->op_words, words_between(l, g, g + count));
			assert_int_equal(seat->alloc_failed, 0);
			assert_int_equal(seat->batch_count, count - lead);
			assert_int_equal(seat->batch_grains, 1);
			for (uint32_t b = 0; b < seat->batch_count; b++)
				ticks += seat->batch_ticks[b];
			assert_true(ticks <= seat->end_ticks - seat->start_ticks);
			/* waits of the untimed lead are not the timed part's */
			assert_true(seat->blocked_ticks <= seat->end_ticks - seat->start_ticks);
		}
		g += count;
	}
}

static void drain_twice(struct rh_worker *worker)
{
	const struct rh_grain *last = &program.grain_facts[program.head->grains - 1];
	struct rh_err err = { 0 };

	for (int pass = 0; pass < 2; pass++) {
		replay_all(worker);
		assert_int_equal(rh_worker_command(worker, RH_CTL_DRAIN, &err), 0);
		assert_int_equal(worker->ctl->drained_objects, last->live_objects);
		assert_int_equal(worker->ctl->drained_bytes, last->live_bytes);
	}
	assert_int_equal(rh_worker_command(worker, RH_CTL_DRAIN, &err), 0);
	assert_int_equal(worker->ctl->drained_objects, 0);
	assert_int_equal(rh_worker_close(worker, &err), 0);
	rh_worker_end(worker);
}

static void a_worker_replays_again_after_a_drain(void **state)
{
	struct rh_worker worker;

	(void)state;
	for (uint32_t lanes = 1; lanes <= 2; lanes++) {
		compile_trace(lanes);
		start_worker(&worker);
		drain_twice(&worker);
		forget();
	}
}

static void a_pair_makes_blocks_of_the_whole_trace(void **state)
{
	struct rh_gate_config config = { .blocks = 12,
					 .timeout_ns = 60000000000ull,
					 .touch = RH_TOUCH_FIRST };
	struct rh_gate_units units = { 0 };
	struct rh_gate_scenario row = { .trace = "t" };
	struct rh_gate_bench bench = { .config = &config,
				       .clock = &clock_here,
				       .side = sides,
				       .program = &program,
				       .units = &units,
				       .random = 3 };
	struct rh_err err = { 0 };
	bool orders[2] = { false };
	size_t units_seen = 0;
	uint8_t seen[4096] = { 0 };

	(void)state;
	compile_trace(1);
	if (rh_gate_pair(&bench, &row, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(row.block_count >= 12);
	assert_int_equal(row.pair_count, 1);
	assert_int_equal(units.first[units.count], program.head->grains);
	for (size_t i = 0; i < row.block_count; i++) {
		orders[row.blocks[i].baseline_first] = true;
		assert_true(row.blocks[i].unit < units.count);
		seen[row.blocks[i].unit % sizeof(seen)] = 1;
		for (int m = 0; m < RH_GATE_PAIRED; m++)
			assert_true(isfinite(row.blocks[i].d[m]));
	}
	for (size_t u = 0; u < sizeof(seen); u++)
		units_seen += seen[u];
	assert_true(units_seen >= 2);
	assert_true(orders[0] && orders[1]);
	assert_true(row.pairs[0].value[0][RH_GATE_RSS] > 0);
	assert_true(sides[1].malloc_path[0] == '/');
	free(row.blocks);
	free(row.pairs);
	free(bench.solo_ticks);
	rh_gate_units_free(&units);
	forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_replays_again_after_a_drain),
		cmocka_unit_test(a_pair_makes_blocks_of_the_whole_trace),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
