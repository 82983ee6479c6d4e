/*
 * fuzz_gate.c - a fuzz target for what the gate and the history read: documents, policies,
 * documents that are added to a history, and a history's database. The first byte says which.
 * Properties: an error is one sentence; a document is in a history once.
 */
#include "ci/gate/extra.h"
#include "ci/gate/gate.h"
#include "ci/gate/history.h"
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

static void add_to_history(const char *path)
{
	struct rh_history *history;
	struct rh_err err = { 0 };
	size_t rows, again;

	demand(rh_history_open(&history, "", true, &err) < 0, "an empty name is none", &err);
	err = (struct rh_err){ 0 };
	demand(rh_history_open(&history, ":memory:", true, &err) == 0, "there is memory", &err);
	if (rh_history_add(history, path, &rows, &err) < 0)
		demand_error(&err);
	else
		demand(rh_history_add(history, path, &again, &err) == 0 && again == 0,
		       "it is in there once", &err);
	rh_history_close(history);
}

/* A database needs a name of its own, as its journal stands beside it. */
static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	int c;

	while (in && out && (c = getc(in)) != EOF)
		putc(c, out);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

static void read_history(const char *from)
{
	struct rh_history_pick pick = { .metric = "*", .backend = "l" };
	char path[96];
	struct rh_history *history;
	struct rh_err err = { 0 };
	FILE *nowhere = fopen("/dev/null", "w");

	snprintf(path, sizeof(path), "%s/rh-fuzz-%d.db", fuzz_folder(), (int)getpid());
	copy_file(from, path);
	if (nowhere && rh_history_open(&history, path, false, &err) == 0) {
		if (rh_history_show(history, &pick, true, nowhere, &err) < 0 ||
		    rh_history_export(history, &pick, true, nowhere, &err) < 0)
			demand_error(&err);
		rh_history_close(history);
	} else if (nowhere) {
		demand_error(&err);
	}
	if (nowhere)
		fclose(nowhere);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const reads[])(const char *path) = { read_document, read_policy,
							   add_to_history, read_history };
	struct fuzz_file file;

	if (bytes < 2 || bytes > 1 << 18 || !fuzz_file_open(&file, data + 1, bytes - 1))
		return 0;
	reads[data[0] % 4](file.path);
	fuzz_file_close(&file);
	return 0;
}
