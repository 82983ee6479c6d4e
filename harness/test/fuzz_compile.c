/*
 * fuzz_compile.c - a fuzz target for compiling: text traces (a `reheap-trace 1` head is put
 * before what has none) to programs. Properties: an error is one sentence; the program has
 * every event of the trace; two compilations count the same.
 */
#include "harness/compile/compile.h"
#include "harness/compile/program.h"
#include "traces/test/fuzz_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char head[] = "reheap-trace 1\n";
	struct rh_compile_options options = { 0 };
	struct rh_compile_stats one = { 0 }, two = { 0 };
	struct rh_program program;
	struct rh_err err = { 0 };
	struct fuzz_file file;
	char *text;

	if (bytes > 1 << 16)
		return 0;
	text = malloc(sizeof(head) + bytes);
	demand(text != NULL, "there is memory", NULL);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + sizeof(head) - 1, data, bytes);
	if (fuzz_file_open(&file, text, sizeof(head) - 1 + bytes)) {
		if (rh_compile(file.path, &options, &program, &one, &err) == 0) {
			rh_program_unmap(&program);
			demand(rh_compile_edges(file.path, &options, &two, &err) == 0,
			       "what compiles has edges", &err);
			demand(one.events == two.events && one.waits == two.waits,
			       "both ways count the same", &err);
		} else {
			demand_error(&err);
		}
	}
	fuzz_file_close(&file);
	free(text);
	return 0;
}
