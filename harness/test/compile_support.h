/*
 * compile_support.h - helpers for the tests of compiling: a folder for the trace, compiling and
 * judging it (check_program.h), and refusals. For inclusion into one test program.
 */
#ifndef RH_COMPILE_SUPPORT_H
#define RH_COMPILE_SUPPORT_H

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/compile/compile.h"
#include "harness/test/check_program.h"
#include "harness/test/trace_maker.h"

static char dir[40];

/* Compiles the trace and judges it; the pass that only counts edges must agree. */
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

/* Compiling must fail and the sentence name `names`; the class of the error. */
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

#endif
