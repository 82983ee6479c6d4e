/*
 * spec_support.h - one heap of one lane, opened by its name and knobs, for the tests of
 * decorators. For inclusion into one test program; everything is static.
 */
#ifndef RH_SPEC_SUPPORT_H
#define RH_SPEC_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc/registry.h"

static struct rh_spec spec;
static struct rh_heap *heap;
static struct rh_lane *lane;
static const struct rh_backend *ops;

static void open_spec(const char *text)
{
	struct rh_err err = { 0 };

	if (rh_spec_parse(&spec, text, 1, &err) < 0 || rh_spec_open(&spec, 1, &heap, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	ops = &spec.layer[0].ops;
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
}

static void close_spec(void)
{
	ops->lane_close(lane);
	ops->close(heap);
}

#endif
