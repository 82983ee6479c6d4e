/*
 * test_fleet.c - a policy over a matrix: what fails, and how often nothing fails, over simulated
 * matrices at the worst place a matrix without a regression can be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "ci/gate/fleet.h"

enum { FAMILIES = 20, CELLS = 5, REPS = 6, ROWS = FAMILIES * CELLS, MATRICES = 1000 };

static uint64_t seed = 1;

static double uniform(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

/* Long tails on both sides, median 0: two processes in ten meet a neighbour. */
static double noise(void)
{
	double near = 0.01 * (uniform() - uniform());

	return uniform() < 0.2 ? near + 0.3 * (uniform() - 0.5) : near;
}

struct made {
	struct rh_effect_row rows[ROWS];
	double logs[ROWS][REPS];
	char names[FAMILIES][8];
};

/* effect(family) is the ln of the ratio. */
static void make(struct made *m, const double *effects)
{
	for (int r = 0; r < ROWS; r++) {
		int family = r / CELLS;

		snprintf(m->names[family], sizeof(m->names[family]), "f%d", family);
		for (int i = 0; i < REPS; i++)
			m->logs[r][i] = effects[family] + noise();
		m->rows[r] = (struct rh_effect_row){ .cell = m->names[family],
						     .family = m->names[family],
						     .label = "x",
						     .machine = "any",
						     .metric = "time.ns_per_event",
						     .trace = "t",
						     .lanes = "1",
						     .copies = "1",
						     .effect = { .ratio = exp(effects[family]) },
						     .logs = m->logs[r],
						     .log_count = REPS };
	}
}

static size_t failures(const struct made *m, struct rh_fleet_family **list, struct rh_pool *pool)
{
	struct rh_fleet_families families = { .pool = pool };
	size_t failed = 0;

	rh_fleet_collect(&(struct rh_effects){ (struct rh_effect_row *)m->rows, ROWS },
			 (struct rh_fleet_limit){ 0.05, 0, false }, &families);
	assert_int_equal(families.count, FAMILIES);
	rh_fleet_decide(&families, RH_FLEET_ALPHA);
	for (size_t i = 0; i < families.count; i++)
		failed += families.list[i].verdict == RH_GATE_FAIL;
	*list = families.list;
	return failed;
}

/* Every family at half the limit, where it must not fail: one matrix in a hundred may, by chance.
 * 1000 matrices: 10, and three standard deviations more. */
static void test_false_alarms(void **state)
{
	static struct made made;
	double effects[FAMILIES];
	size_t alarms = 0;

	(void)state;
	for (int f = 0; f < FAMILIES; f++)
		effects[f] = log1p(0.05) / 2;
	for (int i = 0; i < MATRICES; i++) {
		struct rh_pool *pool = rh_pool_open();
		struct rh_fleet_family *list;

		make(&made, effects);
		alarms += failures(&made, &list, pool) > 0;
		rh_pool_close(pool);
	}
	print_message("%zu of %d matrices at half the limit fail\n", alarms, (int)MATRICES);
	assert_true(alarms <= 20);
}

static void test_one_family_fails(void **state)
{
	static struct made made;
	double effects[FAMILIES] = { 0 };
	size_t found = 0, others = 0, fine = 0;

	(void)state;
	effects[7] = log1p(0.10);
	for (int i = 0; i < 100; i++) {
		struct rh_pool *pool = rh_pool_open();
		struct rh_fleet_family *list;

		make(&made, effects);
		failures(&made, &list, pool);
		for (int f = 0; f < FAMILIES; f++) {
			bool failed = list[f].verdict == RH_GATE_FAIL;

			found += failed && strcmp(list[f].family, "f7") == 0;
			others += failed && strcmp(list[f].family, "f7") != 0;
			fine += list[f].verdict == RH_GATE_PASS;
		}
		rh_pool_close(pool);
	}
	assert_true(found >= 95);
	assert_int_equal(others, 0);
	assert_true(fine >= 100 * (FAMILIES - 1) - 5);
}

/* Six repetitions of one cell cannot reach a share of 1 %: that is not a pass, either. */
static void test_too_few(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	double logs[REPS] = { 0.2, 0.21, 0.2, 0.19, 0.2, 0.22 };
	struct rh_effect_row row = { .cell = "c",
				     .family = "f",
				     .label = "x",
				     .machine = "any",
				     .metric = "m",
				     .effect = { .ratio = 1.22 },
				     .logs = logs,
				     .log_count = REPS };
	struct rh_fleet_families families = { .pool = pool };

	(void)state;
	rh_fleet_collect(&(struct rh_effects){ &row, 1 }, (struct rh_fleet_limit){ 0.05, 0, false },
			 &families);
	rh_fleet_decide(&families, RH_FLEET_ALPHA);
	assert_int_equal(families.count, 1);
	assert_float_equal(families.list[0].p_slow, 1.0 / 64, 1e-12);
	assert_int_equal(families.list[0].verdict, RH_GATE_INCONCLUSIVE);
	rh_pool_close(pool);
}

static void test_counts_are_exact(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row rows[3];
	struct rh_fleet_families families = { .pool = pool };

	(void)state;
	for (int i = 0; i < 3; i++)
		rows[i] = (struct rh_effect_row){ .cell = "c",
						  .family = i < 2 ? "f" : "g",
						  .label = "x",
						  .machine = "any",
						  .metric = "counters.ir_per_event",
						  .effect = { .ratio = i == 1 ? 1.006 : 1.004 } };
	rh_fleet_collect(&(struct rh_effects){ rows, 3 }, (struct rh_fleet_limit){ 0.005, 0, true },
			 &families);
	rh_fleet_decide(&families, RH_FLEET_ALPHA);
	assert_int_equal(families.count, 2);
	assert_int_equal(families.list[0].verdict, RH_GATE_FAIL);
	assert_int_equal(families.list[0].culprit_count, 1);
	assert_ptr_equal(families.list[0].culprits[0], &rows[1]);
	assert_int_equal(families.list[1].verdict, RH_GATE_PASS);
	rh_pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_false_alarms),
		cmocka_unit_test(test_one_family_fails),
		cmocka_unit_test(test_too_few),
		cmocka_unit_test(test_counts_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
