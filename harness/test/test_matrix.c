/*
 * test_matrix.c - a matrix without replays: plans, cells of a task's file, effects pooled by
 * machines, with known answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "harness/matrix/analysis.h"
#include "harness/matrix/task.h"

static char dir[] = "/tmp/reheap-matrix-test-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[200];

	(void)state;
	snprintf(path, sizeof(path), "%s/cells", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/plan.json", dir);
	unlink(path);
	return rmdir(dir);
}

/* ---- plans ---- */

static int read_plan(const char *text, struct rh_plan *plan, struct rh_pool *pool,
		     struct rh_err *err)
{
	char path[200];
	FILE *to;

	snprintf(path, sizeof(path), "%s/plan.json", dir);
	to = fopen(path, "w");
	assert_non_null(to);
	fputs(text, to);
	assert_int_equal(fclose(to), 0);
	return rh_plan_read(plan, path, pool, err);
}

static void test_plan_defaults(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_plan plan;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(read_plan("{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":"
				   "[\"b\"],\"runs\":[{\"kind\":\"timing\"},{\"kind\":"
				   "\"deterministic\",\"lanes\":\"1,recorded\"}]}",
				   &plan, pool, &err),
			 0);
	assert_string_equal(plan.baseline, "libc");
	assert_float_equal(plan.aa, 0.02, 0);
	assert_int_equal(plan.runs[0].reps, 6);
	assert_int_equal(plan.runs[1].reps, 1);
	assert_string_equal(plan.runs[0].probes, "time,memory");
	assert_string_equal(plan.runs[1].probes, "counters");
	assert_int_equal(plan.machines_count, 1);
	assert_string_equal(plan.machines[0].name, "any");
	assert_int_equal(rh_plan_kind(plan.runs[1].kind), RH_CELL_DETERMINISTIC);
	rh_pool_close(pool);
}

static void test_plan_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":[\"b\"],\"runs\":"
		  "[{\"kind\":\"timing\",\"rep\":3}]}",
		  "no key 'rep'" },
		{ "{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":[\"b\"],\"runs\":"
		  "[{\"kind\":\"timing\",\"copies\":\"recorded\"}]}",
		  "\"copies\" takes numbers" },
		{ "{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":[\"b\"],\"runs\":"
		  "[{\"kind\":\"timing\"}],\"machines\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
		  "two classes of machines" },
		{ "{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":[\"b\"],\"runs\":"
		  "[{\"kind\":\"timing\",\"lanes\":\"\"}]}",
		  "\"lanes\" takes numbers" },
		{ "{\"schema\":\"reheap.plan/1\",\"traces\":[\"a\"],\"backends\":[\"b\"],\"runs\":"
		  "[{\"kind\":\"timing\"}],\"aa\":2}",
		  "\"aa\" is a share" },
		{ "[]", "schema is absent" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rh_pool *pool = rh_pool_open();
		struct rh_err err = { 0 };
		struct rh_plan plan;

		assert_int_equal(read_plan(rows[i].text, &plan, pool, &err), -1);
		if (!strstr(err.text, rows[i].why))
			fail_msg("'%s' does not say '%s'", err.text, rows[i].why);
		rh_pool_close(pool);
	}
}

/* ---- the cells of a task ---- */

static struct rh_cell cell_named(const char *name, const char *trace)
{
	return (struct rh_cell){ .name = name,
				 .kind = "timing",
				 .machine = "any",
				 .family = "f",
				 .trace = trace,
				 .sha256 = "0",
				 .events = UINT64_MAX,
				 .backend = "tiered",
				 .label = "tiered",
				 .backend_is = "tiered",
				 .baseline = "libc",
				 .baseline_label = "libc",
				 .baseline_is = "libc",
				 .lanes = "1",
				 .copies = "1",
				 .probes = "time",
				 .touch = "auto",
				 .reps = 1,
				 .passes = 1,
				 .seed = 1,
				 .version = rh_version,
				 .absent = "not where the plan was read" };
}

static void test_task_parts(void **state)
{
	enum { CELLS = 7, PER_TASK = 3 };
	struct rh_cell cells[CELLS];
	const struct rh_cell *list[CELLS];
	char names[CELLS][RH_CELL_NAME + 1], path[200];
	struct rh_pool *pool = rh_pool_open();
	size_t seen = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/cells", dir);
	for (int i = 0; i < CELLS; i++) {
		snprintf(names[i], sizeof(names[i]), "%032x", i);
		/* of different lengths */
		cells[i] = cell_named(names[i], i % 2 ? "/a/long/way/to/a.rht" : "/b");
		list[i] = &cells[i];
	}
	assert_int_equal(rh_task_write(path, list, CELLS, PER_TASK, NULL), 0);
	for (size_t task = 0; task < 3; task++) {
		struct rh_matrix m;

		assert_int_equal(rh_task_read(path, task, &m, pool, NULL), 0);
		assert_int_equal(m.cells_count, task < 2 ? PER_TASK : 1);
		for (size_t i = 0; i < m.cells_count; i++, seen++) {
			assert_string_equal(m.cells[i].name, names[seen]);
			assert_string_equal(m.cells[i].trace, cells[seen].trace);
			assert_null(m.cells[i].absent);
		}
	}
	assert_int_equal(seen, CELLS);
	assert_int_equal(rh_task_read(path, 3, &(struct rh_matrix){ 0 }, pool, NULL), -1);
	assert_int_equal(truncate(path, 200), 0);
	assert_int_equal(rh_task_read(path, 2, &(struct rh_matrix){ 0 }, pool, NULL), -1);
	rh_pool_close(pool);
}

/* ---- effects ---- */

static struct rh_effect_row row_of(const char *machine, const char *label, double ratio)
{
	return (struct rh_effect_row){ .cell = "c",
				       .kind = "timing",
				       .machine = machine,
				       .family = "f",
				       .trace = "t",
				       .sha256 = "s",
				       .label = label,
				       .lanes = "1",
				       .copies = "1",
				       .probes = "time",
				       .metric = "m",
				       .effect = { ratio, ratio * 0.99, ratio * 1.01, 0.97, 6,
						   true } };
}

static void pool_rows(const struct rh_effect_row *rows, size_t count, struct rh_pooled *pooled,
		      struct rh_pool *pool)
{
	const struct rh_effect_row *list[16];

	assert_true(count <= 16);
	for (size_t i = 0; i < count; i++)
		list[i] = &rows[i];
	rh_pool_blocks(list, count, pooled, pool);
}

/* Ten cells on one class and one on another: each class counts once. */
static void test_classes_count_once(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row rows[11];
	struct rh_pooled p;

	(void)state;
	for (int i = 0; i < 10; i++)
		rows[i] = row_of("a", "x", i % 2 ? 0.79 : 0.81);
	rows[10] = row_of("b", "x", 0.5);
	pool_rows(rows, 11, &p, pool);
	assert_int_equal(p.block_count, 2);
	assert_int_equal(p.cells, 11);
	assert_false(p.refused);
	assert_float_equal(p.ratio, sqrt(0.8 * 0.5), 0.001);
	assert_float_equal(p.least, 0.5, 0.001);
	assert_float_equal(p.most, 0.8, 0.001);
	assert_true(p.lo < p.ratio && p.ratio < p.hi && p.hi < 1);
	assert_int_equal(rh_pooled_verdict(&p, true), RH_BETTER);
	rh_pool_close(pool);
}

static void test_contradiction_is_refused(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row rows[4] = { row_of("a", "x", 0.80), row_of("a", "x", 0.81),
					 row_of("b", "x", 1.20), row_of("b", "x", 1.21) };
	struct rh_pooled p;

	(void)state;
	pool_rows(rows, 4, &p, pool);
	assert_true(p.refused);
	assert_string_equal(p.blocks[p.against[0]].machine, "a");
	assert_string_equal(p.blocks[p.against[1]].machine, "b");
	assert_true(isnan(p.ratio));
	assert_int_equal(rh_pooled_verdict(&p, true), RH_CANNOT_TELL);
	/* A class without a verdict contradicts none. */
	rows[2].effect.ratio = 0.7;
	rows[3].effect.ratio = 1.6;
	pool_rows(rows, 4, &p, pool);
	assert_false(p.refused);
	rh_pool_close(pool);
}

static void test_outlier_is_found(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row rows[12];
	struct rh_far_cell *list;

	(void)state;
	for (int i = 0; i < 12; i++)
		rows[i] = row_of("a", "x", 0.9 + 0.002 * i);
	assert_int_equal(rh_outliers(rows, 12, &list, 5, pool), 0);
	rows[7].effect = (struct rh_estimate){ 1.8, 1.7, 1.9, 0.97, 6, true };
	assert_int_equal(rh_outliers(rows, 12, &list, 5, pool), 1);
	assert_ptr_equal(list[0].row, &rows[7]);
	rows[7].effect.lo = 0.5; /* its own interval holds what is usual */
	assert_int_equal(rh_outliers(rows, 12, &list, 5, pool), 0);
	rows[7].effect.lo = 1.7;
	rows[7].aa = true;
	assert_int_equal(rh_outliers(rows, 12, &list, 5, pool), 0);
	rh_pool_close(pool);
}

static void test_since_pairs_the_same_question(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row before[3] = { row_of("a", "x", 1.0), row_of("b", "x", 1.0),
					   row_of("a", "y", 1.0) };
	struct rh_effect_row after[3] = { row_of("a", "x", 1.01), row_of("b", "x", 1.10),
					  row_of("a", "z", 2.0) };
	struct rh_since *list;

	(void)state;
	assert_int_equal(rh_since(&(struct rh_effects){ before, 3 },
				  &(struct rh_effects){ after, 3 }, &list, pool),
			 2);
	assert_true(list[0].claims);
	assert_string_equal(list[0].after->machine, "b");
	assert_float_equal(list[0].change, 1.10, 1e-9);
	assert_false(list[1].claims);
	rh_pool_close(pool);
}

static void test_grid(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_effect_row rows[4] = { row_of("a", "x", 0.5), row_of("a", "y", 2.0),
					 row_of("a", "x", 0.5), row_of("a", "y", 2.0) };
	struct rh_grid grid;

	(void)state;
	rows[2].family = rows[3].family = "e";
	rh_grid_make(rows, 4, &grid, pool);
	assert_int_equal(grid.family_count, 2);
	assert_string_equal(grid.families[0], "e");
	assert_int_equal(grid.label_count, 2);
	assert_float_equal(grid.cells[0].ratio, 0.5, 1e-9);
	assert_float_equal(grid.cells[3].ratio, 2.0, 1e-9);
	assert_int_equal(grid.all[1].cells, 2);
	rh_grid_make(rows, 0, &grid, pool);
	assert_int_equal(grid.family_count + grid.label_count, 0);
	rh_pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_defaults),
		cmocka_unit_test(test_plan_refused),
		cmocka_unit_test(test_task_parts),
		cmocka_unit_test(test_classes_count_once),
		cmocka_unit_test(test_contradiction_is_refused),
		cmocka_unit_test(test_outlier_is_found),
		cmocka_unit_test(test_since_pairs_the_same_question),
		cmocka_unit_test(test_grid),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
