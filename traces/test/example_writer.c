/*
 * example_writer.c - a trace written by a program: what an allocator's own tracer or a language
 * runtime would do. Build and look at it:
 *
 *	cc example_writer.c $(pkg-config --cflags --libs reheap) -o example_writer
 *	./example_writer example.rht && reheap info example.rht
 */
#include <stdio.h>

#include "traces/format/trace.h"

int main(int argc, char **argv)
{
	struct rh_trace_make make = { .path = argc > 1 ? argv[1] : "example.rht" };
	struct rh_event events[3] = {
		/* Object 0 is born on lane 0, object 1 is zeroed, object 0 dies on lane 1. */
		{ .kind = RH_EV_ALLOC, .lane = 0, .id = 0, .size = 100 },
		{ .kind = RH_EV_ALLOC, .lane = 0, .id = 1, .size = 4096, .flags = RH_EVF_ZEROED },
		{ .kind = RH_EV_FREE, .lane = 1, .id = 0, .arg = RH_NONE },
	};
	struct rh_trace_totals totals;
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	if (rh_trace_create(&out, &make, &err) < 0 ||
	    rh_trace_add_note(out, "program", "example", &err) < 0 ||
	    rh_trace_put(out, events, 3, &err) < 0 || rh_trace_finish(out, &totals, &err) < 0) {
		fprintf(stderr, "example_writer: %s\n", err.text);
		return err.code;
	}
	printf("%llu objects\n", (unsigned long long)totals.objects);
	return 0;
}
