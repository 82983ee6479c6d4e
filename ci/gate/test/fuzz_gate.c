/*
 * fuzz_gate.c - a fuzz target for what the gate reads: its own documents, policies, lists of
 * metrics. The first byte says which. Properties: an error is one sentence.
 */
#include "ci/gate/extra.h"
#include "ci/gate/gate.h"
#include "ci/gate/report.h"
#include "traces/test/fuzz_support.h"

static void read_document(const char *path)
{
	struct rh_gate gate = { 0 };
	enum rh_gate_verdict stored;
	struct rh_err err = { 0 };
	json_t *document = NULL;

	if (rh_gate_read_json(&gate, path, &document, &stored, &err) < 0)
		demand_error(&err);
	rh_gate_free(&gate);
	json_decref(document);
}

static void read_policy(const char *path)
{
	struct rh_gate_opts opts = { .policy = path };
	struct rh_gate_documents documents = { 0 };
	struct rh_gate_config config = { 0 };
	struct rh_err err = { 0 };

	if (rh_gate_read_policy(&opts, &config, &documents, &err) < 0)
		demand_error(&err);
	rh_gate_documents_free(&documents);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_file file;

	if (bytes < 2 || bytes > 1 << 18 || !fuzz_file_open(&file, data + 1, bytes - 1))
		return 0;
	if (data[0] & 1)
		read_policy(file.path);
	else
		read_document(file.path);
	fuzz_file_close(&file);
	return 0;
}
