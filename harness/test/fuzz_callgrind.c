/*
 * fuzz_callgrind.c - a fuzz target for the output files of callgrind. Properties: an error is
 * one sentence; no function costs more than all together.
 */
#include "harness/probe/callgrind.h"
#include "traces/test/fuzz_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rh_callgrind callgrind = { 0 };
	struct rh_err err = { 0 };
	struct fuzz_file file;

	if (bytes > 1 << 18 || !fuzz_file_open(&file, data, bytes))
		return 0;
	if (rh_callgrind_read(&callgrind, file.path, &err) < 0)
		demand_error(&err);
	rh_callgrind_free(&callgrind);
	fuzz_file_close(&file);
	return 0;
}
