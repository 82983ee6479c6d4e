/*
 * test_gate_judge.c - what becomes a verdict besides the interval: memory, late blocks,
 * wonders, counts, and what may be stored as a baseline. Gates made by hand.
 */
#include "ci/gate/latency.h"
#include "ci/gate/live.h"
#include "ci/gate/test/gate_support.h"

/* Pairs like the first, so many, of which the first `over` have that much memory. */
static enum rh_gate_verdict memory_of(struct rh_gate *gate, size_t count, size_t over, double bytes)
{
	struct rh_gate_scenario *row = &gate->scenarios[0];
	const struct rh_gate_pair_row first = row->pairs[0]; /* growing moves it */

	while (row->pair_count < count)
		*(struct rh_gate_pair_row *)rh_grow(&row->pairs, &row->pair_count, sizeof(first)) =
			first;
	row->pair_count = count;
	for (size_t p = 0; p < count; p++) {
		row->pairs[p].value[0][RH_GATE_RSS] = 1e8;
		row->pairs[p].value[1][RH_GATE_RSS] = p < over ? bytes : 1e8;
	}
	rh_gate_judge(gate);
	return row->result[RH_GATE_RSS].look.verdict;
}

/* At a limit of 10 %, 10 % more is found; what three pairs say alone is noise (judge.c). */
static void memory_is_decided_by_a_sign_test(void **state)
{
	struct rh_gate gate;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	gate.config.metric_threshold[RH_GATE_RSS] = 0.10;
	assert_int_equal(memory_of(&gate, 3, 0, 1.1e8), RH_GATE_PASS);
	assert_int_equal(memory_of(&gate, 6, 6, 1.1e8), RH_GATE_INCONCLUSIVE);
	assert_int_equal(memory_of(&gate, 7, 7, 1.1e8), RH_GATE_FAIL);
	assert_int_equal(gate.verdict, RH_GATE_FAIL);
	assert_int_equal(memory_of(&gate, 7, 7, 1.04e8), RH_GATE_PASS);
	assert_int_equal(memory_of(&gate, 4, 1, 1.1e8), RH_GATE_INCONCLUSIVE);
	assert_int_equal(memory_of(&gate, 6, 1, 1.1e8), RH_GATE_PASS);
	assert_int_equal(memory_of(&gate, 9, 8, 1.1e8), RH_GATE_INCONCLUSIVE);
	assert_int_equal(memory_of(&gate, 11, 10, 1.1e8), RH_GATE_FAIL);
	gate.config.pairs_max = 4; /* no more are allowed */
	assert_int_equal(memory_of(&gate, 4, 4, 1.1e8), RH_GATE_FAIL);
	assert_int_equal(memory_of(&gate, 4, 3, 1.1e8), RH_GATE_INCONCLUSIVE);
	/* twice as much of next to nothing is nothing */
	for (int p = 0; p < 4; p++) {
		gate.scenarios[0].pairs[p].value[0][RH_GATE_RSS] = 10000;
		gate.scenarios[0].pairs[p].value[1][RH_GATE_RSS] = 20000;
	}
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_PASS);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

static void waiting_for_a_cpu_at_the_end_is_nothing(void **state)
{
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	row = &gate.scenarios[0];
	gate.config.metric_gates[RH_GATE_END] = true;
	gate.config.pairs_max = 4;
	gate.config.metric_threshold[RH_GATE_END] = 0.25;
	for (int p = 0; p < 4; p++) {
		row->pairs[p].value[0][RH_GATE_END] = 1e6;
		row->pairs[p].value[1][RH_GATE_END] = 20e6;
	}
	rh_gate_judge(&gate);
	assert_int_equal(row->result[RH_GATE_END].look.verdict, RH_GATE_PASS);
	for (int p = 0; p < 4; p++)
		row->pairs[p].value[1][RH_GATE_END] = 60e6;
	rh_gate_judge(&gate);
	assert_int_equal(row->result[RH_GATE_END].look.verdict, RH_GATE_FAIL);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

/* Pair rows of latencies alone: `over` of `count` candidates have twice the percentile. */
static enum rh_gate_verdict judged(struct rh_gate *gate, size_t count, size_t over)
{
	struct rh_gate_scenario *row = &gate->scenarios[0];
	const int metric = RH_GATE_LATENCY + 1;

	while (row->pair_count < count)
		*(struct rh_gate_pair_row *)rh_grow(&row->pairs, &row->pair_count,
						    sizeof(*row->pairs)) =
			(struct rh_gate_pair_row){ .cpu = UINT32_MAX };
	row->pair_count = count;
	for (size_t p = 0; p < count; p++) {
		if (p >= 4)
			rh_gate_row_clear(&row->pairs[p], 0);
		row->pairs[p].value[0][metric] = 200;
		row->pairs[p].value[1][metric] = p < over ? 400 : 200;
	}
	rh_gate_judge(gate);
	return row->result[metric].look.verdict;
}

static void latencies_are_decided_by_a_sign_test(void **state)
{
	struct rh_gate gate;
	struct rh_gate_result *result;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	gate.config.pairs_max = 40;
	gate.config.metric_gates[RH_GATE_LATENCY + 1] = true;
	gate.config.metric_threshold[RH_GATE_LATENCY + 1] = 0.15;
	result = &gate.scenarios[0].result[RH_GATE_LATENCY + 1];
	assert_int_equal(judged(&gate, 3, 0), RH_GATE_PASS);
	assert_int_equal(judged(&gate, 3, 1), RH_GATE_INCONCLUSIVE);
	assert_true(result->look.more);
	assert_int_equal(judged(&gate, 5, 1), RH_GATE_INCONCLUSIVE);
	assert_int_equal(judged(&gate, 6, 1), RH_GATE_PASS);
	assert_int_equal(judged(&gate, 8, 2), RH_GATE_INCONCLUSIVE);
	assert_int_equal(judged(&gate, 9, 2), RH_GATE_PASS);
	assert_int_equal(judged(&gate, 6, 6), RH_GATE_INCONCLUSIVE);
	assert_int_equal(judged(&gate, 7, 7), RH_GATE_FAIL);
	assert_int_equal(gate.verdict, RH_GATE_FAIL);
	assert_int_equal(judged(&gate, 9, 8), RH_GATE_INCONCLUSIVE);
	/* by default an undecided one is reported and holds nothing up */
	gate.config.latency_asked = false;
	assert_int_equal(judged(&gate, 24, 12), RH_GATE_INCONCLUSIVE);
	assert_false(result->gates || result->look.more);
	assert_int_equal(gate.verdict, RH_GATE_PASS);
	gate.config.latency_asked = true;
	assert_int_equal(judged(&gate, 24, 12), RH_GATE_INCONCLUSIVE);
	assert_true(result->gates && result->look.more);
	assert_int_equal(gate.verdict, RH_GATE_INCONCLUSIVE);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

/* resize.p99 of few pairs: so few samples that it has none in the others. */
static void a_kind_that_hardly_occurs_holds_nothing_up(void **state)
{
	const int seldom = RH_GATE_LATENCY + RH_GATE_OF_RESIZE * RH_GATE_QUANTILES + 1;
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	row = &gate.scenarios[0];
	gate.config.metric_gates[seldom] = gate.config.latency_asked = true;
	for (size_t p = 0; p < row->pair_count; p++) {
		rh_gate_row_clear(&row->pairs[p], RH_GATE_LATENCY);
		for (int side = 0; side < 2; side++) {
			row->pairs[p].value[side][RH_GATE_LATENCY] = 20;
			row->pairs[p].value[side][seldom] = p < 2 ? 100 + 900 * side : NAN;
		}
	}
	rh_gate_judge(&gate);
	assert_int_equal(row->result[seldom].look.pairs, 2);
	assert_false(row->result[seldom].gates || row->result[seldom].look.more);
	assert_int_equal(gate.verdict, RH_GATE_PASS);
	for (int side = 0; side < 2; side++) /* three of four are enough */
		row->pairs[2].value[side][seldom] = 100 + 900 * side;
	rh_gate_judge(&gate);
	assert_true(row->result[seldom].gates && row->result[seldom].look.more);
	assert_int_equal(gate.verdict, RH_GATE_INCONCLUSIVE);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

static struct rh_latency_lane *lanes[2]; /* of two sides */

/* `count` operations of a kind and size on both sides; the candidate's take `times` as long. */
static void operate(unsigned kind, uint64_t size, unsigned count, uint64_t times)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t ticks = 100 + i % 7;

		for (int side = 0; side < 2; side++)
			rh_hist_add(&lanes[side]->cell[kind][rh_latency_octave(size)],
				    side ? ticks * times : ticks);
	}
}

static double class_ratio(void)
{
	const struct rh_latency_lane *const sides[2] = { lanes[0], lanes[1] };
	double ticks[2];

	if (!rh_gate_latency_class(sides, 1, ticks))
		return NAN;
	return ticks[1] / ticks[0];
}

static void one_class_of_sizes_is_seen_in_many(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		/* The structure begins at a page. */
		assert_non_null(lanes[side] = aligned_alloc(4096, sizeof(*lanes[side])));
		memset(lanes[side], 0, sizeof(*lanes[side]));
	}
	assert_true(isnan(class_ratio()));
	operate(RH_LAT_FREE, 48, 39, 10);
	assert_true(isnan(class_ratio())); /* one is missing */
	operate(RH_LAT_FREE, 48, 40000, 1);
	operate(RH_LAT_ALLOC, 48, 40000, 1);
	assert_float_equal(class_ratio(), 1, 0);
	/* large ones of two octaves, none of which has enough: 5 in 10,000 operations */
	operate(RH_LAT_ALLOC, 70000, 22, 10);
	assert_float_equal(class_ratio(), 1, 0);
	operate(RH_LAT_ALLOC, 140000, 22, 10);
	assert_float_equal(class_ratio(), 10, 0.5);
	operate(RH_LAT_ALLOC, 70000, 380, 1); /* most of the class by now is as it was */
	assert_true(class_ratio() > 5);	      /* but not its 90th percentile */
	for (int side = 0; side < 2; side++)
		memset(lanes[side], 0, sizeof(*lanes[side]));
	operate(RH_LAT_ALLOC, 48, 1000000, 1);
	operate(RH_LAT_RESIZE, 70000, 44, 10);
	assert_float_equal(class_ratio(), 1, 0); /* not a thousandth of all time */
	operate(RH_LAT_RESIZE, 70000, 256, 10);
	assert_float_equal(class_ratio(), 10, 0.5);
	free(lanes[0]);
	free(lanes[1]);
}

static void the_librarys_own_threads_are_a_share_of_life(void **state)
{
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	row = &gate.scenarios[0];
	gate.config.metric_gates[RH_GATE_BACKGROUND] = true;
	gate.config.pairs_max = 4;
	for (int p = 0; p < 4; p++) {
		row->pairs[p].value[0][RH_GATE_BACKGROUND] = 1e9;
		row->pairs[p].value[1][RH_GATE_BACKGROUND] = 1.02e9;
	}
	rh_gate_judge(&gate);
	assert_int_equal(row->result[RH_GATE_BACKGROUND].look.verdict, RH_GATE_PASS);
	for (int p = 0; p < 4; p++)
		row->pairs[p].value[1][RH_GATE_BACKGROUND] = 1.05e9;
	rh_gate_judge(&gate);
	assert_int_equal(row->result[RH_GATE_BACKGROUND].look.verdict, RH_GATE_FAIL);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

/* Blocks b < late of each of the four pairs of a scenario with two lanes were late. */
static void make_late(struct rh_gate_scenario *row, size_t late, bool on_both)
{
	row->lanes = 2;
	for (size_t i = 0; i < row->block_count; i++)
		for (int s = 0; s < 2; s++)
			row->blocks[i].late[s] = i % 40 < late && (s == 1 || on_both) ? 0.5 : 0.05;
}

static void late_blocks_are_dropped_where_others_are_clean(void **state)
{
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	row = &gate.scenarios[0];
	make_late(row, 30, true);
	rh_gate_judge(&gate);
	assert_int_equal(row->dropped, 4 * 30);
	assert_int_equal(row->result[RH_GATE_WALL].look.blocks, 4 * 10);
	make_late(row, 31, true); /* less than a quarter is clean: none is chosen */
	rh_gate_judge(&gate);
	assert_int_equal(row->dropped, 0);
	assert_int_equal(row->result[RH_GATE_WALL].look.blocks, 4 * 40);
	make_late(row, 30, false); /* the candidate's own doing is kept */
	rh_gate_judge(&gate);
	assert_true(row->disturbed_unevenly);
	assert_int_equal(row->dropped, 0);
	make_late(row, 30, true);
	row->lanes = 1;
	rh_gate_judge(&gate);
	assert_int_equal(row->dropped, 0);
	rh_gate_free(&gate);
}

static void a_wonder_is_suspicious(void **state)
{
	struct rh_gate gate;

	(void)state;
	make_gate(&gate);
	gate.config.improve = 0.2;
	gate.scenario_count = 1;
	for (size_t i = 0; i < gate.scenarios[0].block_count; i++)
		gate.scenarios[0].blocks[i].d[RH_GATE_WALL] -= 0.7;
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_INVALID);
	assert_non_null(strstr(gate.scenarios[0].why, "suspicious improvement"));
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

static void counts_fail_beyond_their_limit(void **state)
{
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	gate.config.tier = RH_TIER_DETERMINISTIC;
	gate.scenario_count = 1;
	row = &gate.scenarios[0];
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_INVALID); /* asked for and not there */
	row->counts[0] = (struct rh_gate_count){
		.name = "instructions", .unit = "Ir/event", .baseline = 100, .candidate = 100.99
	};
	row->count_count = 1;
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_PASS);
	row->counts[0].candidate = 101.01;
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_FAIL);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

/* Limit 6 x 1 %, and what the runs of one side differ by is no difference. */
static void calls_fail_beyond_limit_and_slack(void **state)
{
	struct rh_gate gate;
	struct rh_gate_scenario *row;

	(void)state;
	make_gate(&gate);
	gate.config.tier = RH_TIER_DETERMINISTIC;
	gate.scenario_count = 1;
	row = &gate.scenarios[0];
	row->counts[0] = (struct rh_gate_count){
		.name = "memory-calls", .baseline = 10, .candidate = 10.89, .slack = 0.3
	};
	row->counts[1] = (struct rh_gate_count){ .name = "mmap", .baseline = 1, .candidate = 9 };
	row->count_count = 2;
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_PASS);
	row->counts[0].candidate = 10.91;
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_FAIL);
	assert_false(row->counts[1].failed);
	/* counts that could not all be taken are no pass, whatever the others say */
	row->counts[0].candidate = 10;
	snprintf(row->counts_absent, sizeof(row->counts_absent), "no valgrind");
	rh_gate_judge(&gate);
	assert_int_equal(gate.verdict, RH_GATE_INVALID);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

static void a_baseline_is_made_of_what_can_be_repeated(void **state)
{
	struct rh_gate gate;
	struct rh_err err = { 0 };

	(void)state;
	make_gate(&gate);
	gate.host.cpus_allowed = 2;
	gate.host.load1 = 1.9;
	assert_int_equal(rh_gate_may_store(&gate, &err), 0);
	gate.host.load1 = 2.1;
	assert_int_equal(rh_gate_may_store(&gate, &err), -1);
	assert_int_equal(err.code, RH_INVALID);
	assert_non_null(strstr(err.text, "load is 2.1 on 2 CPUs"));
	gate.host.load1 = 0;
	snprintf(gate.side[1].revision, sizeof(gate.side[1].revision), "v1-3-gabc-dirty");
	assert_int_equal(rh_gate_may_store(&gate, &err), -1);
	assert_non_null(strstr(err.text, "uncommitted"));
	snprintf(gate.side[1].revision, sizeof(gate.side[1].revision), "dirty-name-1");
	assert_int_equal(rh_gate_may_store(&gate, &err), 0);
	assert_int_equal(rh_gate_worth_storing(&gate, &err), 0);
	gate.scenarios[1].result[RH_GATE_WALL].look.hi += 0.05;
	assert_int_equal(rh_gate_worth_storing(&gate, &err), -1);
	assert_int_equal(err.code, RH_INVALID);
	gate.scenarios[1].result[RH_GATE_WALL].look.hi = INFINITY;
	assert_int_equal(rh_gate_worth_storing(&gate, &err), -1);
	gate.scenarios[0].broken = true;
	snprintf(gate.scenarios[0].why, sizeof(gate.scenarios[0].why), "it died");
	assert_int_equal(rh_gate_worth_storing(&gate, &err), -1);
	assert_non_null(strstr(err.text, "it died"));
	rh_gate_free(&gate);
}

/* Forty blocks of eight passes: slower by a half in an eighth of the trace, in a pass, nowhere. */
static void the_worst_part_is_found(void **state)
{
	struct rh_gate_block blocks[40] = { { .pair = 0 } };
	double part[2], *at;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		blocks[i] = (struct rh_gate_block){ .pass = i / 5, .unit = i % 5 * 8 };
	rh_gate_worst_part(blocks, 40, 40, part);
	assert_float_equal(part[0], 1, 1e-12);
	assert_float_equal(part[1], 1, 1e-12);
	for (unsigned i = 0; i < 40; i++)
		if (blocks[i].unit == 16)
			blocks[i].d[RH_GATE_WALL] = log(1.5);
	rh_gate_worst_part(blocks, 40, 40, part);
	assert_float_equal(part[0], 1, 1e-12);
	assert_float_equal(part[1], 1.5, 1e-9);
	for (unsigned i = 0; i < 40; i++)
		blocks[i].d[RH_GATE_WALL] = blocks[i].pass == 1 ? -log(1.5) : 0;
	rh_gate_worst_part(blocks, 40, 40, part);
	assert_float_equal(part[0], 1.5, 1e-9);
	assert_float_equal(part[1], 1, 1e-12);
	at = &blocks[7].d[RH_GATE_WALL]; /* one block alone is no part */
	for (unsigned i = 0; i < 40; i++)
		blocks[i].d[RH_GATE_WALL] = 0;
	*at = 3;
	rh_gate_worst_part(blocks, 40, 40, part);
	assert_float_equal(part[1], 1, 1e-12);
	rh_gate_worst_part(blocks, 3, 40, part);
	assert_float_equal(part[1], 1, 1e-12);
}

/* A part of the trace that is a half slower in each pair fails beside a median of nothing; one that
 * is so in every other pair is reported and holds nothing up. */
static void a_slow_part_fails(void **state)
{
	struct rh_gate gate;
	struct rh_gate_result *result;

	(void)state;
	make_gate(&gate);
	gate.scenario_count = 1;
	gate.config.metric_gates[RH_GATE_PART] = true;
	gate.config.metric_threshold[RH_GATE_PART] = 0.30;
	gate.config.pairs_max = 4;
	gate.config.latency_asked = false;
	result = &gate.scenarios[0].result[RH_GATE_PART];
	for (int p = 0; p < 4; p++)
		for (int s = 0; s < 2; s++)
			gate.scenarios[0].pairs[p].value[s][RH_GATE_PART] = s ? 1.5 : 1.02;
	rh_gate_judge(&gate);
	assert_int_equal(result->look.verdict, RH_GATE_FAIL);
	for (int p = 0; p < 2; p++)
		gate.scenarios[0].pairs[2 * p].value[1][RH_GATE_PART] = 1.02;
	rh_gate_judge(&gate);
	assert_int_equal(result->look.verdict, RH_GATE_INCONCLUSIVE);
	assert_false(result->gates);
	gate.scenario_count = 2;
	rh_gate_free(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worst_part_is_found),
		cmocka_unit_test(a_slow_part_fails),
		cmocka_unit_test(memory_is_decided_by_a_sign_test),
		cmocka_unit_test(waiting_for_a_cpu_at_the_end_is_nothing),
		cmocka_unit_test(latencies_are_decided_by_a_sign_test),
		cmocka_unit_test(a_kind_that_hardly_occurs_holds_nothing_up),
		cmocka_unit_test(one_class_of_sizes_is_seen_in_many),
		cmocka_unit_test(the_librarys_own_threads_are_a_share_of_life),
		cmocka_unit_test(late_blocks_are_dropped_where_others_are_clean),
		cmocka_unit_test(a_wonder_is_suspicious),
		cmocka_unit_test(counts_fail_beyond_their_limit),
		cmocka_unit_test(calls_fail_beyond_limit_and_slack),
		cmocka_unit_test(a_baseline_is_made_of_what_can_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
