/*
 * calls.c - reheap calls OUT PROGRAM ARGS...: the tracer that the gate puts before a
 * worker (ci/gate/calls.c). Not listed: it is a part, not a tool.
 */
#include "harness/cli/command.h"
#include "ci/gate/calls.h"

static const struct rh_opt opts[] = { { .name = NULL } };

static enum rh_exit run_calls(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	int status = rh_calls_trace(argv[0], argv + 1, err);

	(void)opaque;
	(void)argc;
	return status < 0 ? err->code : (enum rh_exit)status;
}

const struct rh_command rh_cmd_calls = {
	.name = "calls",
	.operands = "OUT PROGRAM ARGS...",
	.summary = "count the memory system calls of a program",
	.opts = opts,
	.stop_early = true,
	.hidden = true,
	.operands_min = 2,
	.operands_max = -1,
	.run = run_calls,
};
