/*
 * fuzz_compile.c - a fuzz target for compiling: traces, text or binary (a `reheap-trace 1` head is
 * put before what has neither head), to programs, as recorded and folded onto two lanes with all
 * that can be asked for. Properties: an error is one sentence; the program has every event of the
 * trace; two compilations count the same.
 */
#include "harness/compile/compile.h"
#include "harness/compile/program.h"
#include "traces/format/frame.h"
#include "traces/test/fuzz_support.h"

static void compile(const char *path, const struct rh_compile_options *options)
{
	struct rh_compile_stats one = { 0 }, two = { 0 };
	struct rh_program program;
	struct rh_err err = { 0 };

	if (rh_compile(path, options, &program, &one, &err) < 0) {
		demand_error(&err);
		return;
	}
	rh_program_unmap(&program);
	demand(rh_compile_edges(path, options, &two, &err) == 0, "what compiles has edges", &err);
	demand(one.events == two.events && one.waits == two.waits, "both ways count the same",
	       &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char head[] = "reheap-trace 1\n";
	const struct rh_compile_options plain = { 0 };
	const struct rh_compile_options folded = {
		.lanes = 2, .grain_events = 8, .epoch_events = 64, .times = true, .touch = true
	};
	size_t skip = sizeof(head) - 1;
	struct fuzz_file file;
	char *text;

	if (bytes > 1 << 16)
		return 0;
	text = malloc(sizeof(head) + bytes);
	demand(text != NULL, "there is memory", NULL);
	memcpy(text, head, skip);
	memcpy(text + skip, data, bytes);
	if (bytes < skip ||
	    (memcmp(data, head, skip - 2) != 0 && memcmp(data, rh_magic, sizeof(rh_magic)) != 0))
		skip = 0;
	if (fuzz_file_open(&file, text + skip, sizeof(head) - 1 + bytes - skip)) {
		compile(file.path, &plain);
		compile(file.path, &folded);
	}
	fuzz_file_close(&file);
	free(text);
	return 0;
}
