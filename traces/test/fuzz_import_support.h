/*
 * fuzz_import_support.h - an import as a fuzz target sees it, with what must hold afterwards: a
 * failed one leaves no file and one sentence; a trace that was made opens again and reads to its
 * end; every line of the input is accounted for; the same input gives the same bytes.
 */
#ifndef RH_TRACES_TEST_FUZZ_IMPORT_SUPPORT_H
#define RH_TRACES_TEST_FUZZ_IMPORT_SUPPORT_H

#include "traces/format/names.h"
#include "traces/import/import.h"
#include "traces/test/fuzz_support.h"

static inline const char *out_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/rh-fuzz-%d.rht", fuzz_folder(), (int)getpid());
	return path;
}

static inline bool import_once(const struct rh_importer *importer, const char *path)
{
	_Alignas(16) unsigned char opts[256] = { 0 };
	struct rh_trace_make make = { .path = out_path(), .level = 1 };
	struct rh_import_job job = { .importer = importer,
				     .path = path,
				     .opts = opts,
				     .make = &make,
				     .max_damage = RH_MAX_DAMAGE };
	struct rh_err err = { 0 };

	unlink(make.path);
	if (importer->opts)
		demand(rh_opt_defaults(importer->opts, opts, &err) == 0, "defaults are legal",
		       &err);
	if (rh_import(&job, NULL, &err) == 0)
		return true;
	demand_error(&err);
	demand(access(make.path, F_OK) != 0, "a failed import leaves nothing", &err);
	return false;
}

static inline void check_trace(const struct rh_importer *importer)
{
	struct rh_import_account account;
	struct rh_trace_totals totals;
	bool exact;
	struct rh_trace *trace;
	struct rh_event batch[256];
	struct rh_err err = { 0 };
	int got;

	demand(rh_trace_open(&trace, out_path(), &err) == 0, "what was made opens", &err);
	while ((got = rh_trace_next(trace, batch, 256, &err)) > 0)
		;
	demand(got == 0, "it reads to its end", &err);
	demand(rh_trace_truncated(trace) == NULL, "it is whole", &err);
	rh_trace_totals(trace, &totals, &exact);
	rh_import_account(importer, rh_trace_names(trace), &totals, &account);
	demand(account.lines == account.from_lines + account.dropped, "the account adds up", &err);
	rh_trace_close(trace);
}

static inline uint64_t hash_out(void)
{
	uint64_t h = 0xcbf29ce484222325ull;
	FILE *file = fopen(out_path(), "r");
	int c;

	demand(file != NULL, "the trace is there", NULL);
	while ((c = getc(file)) != EOF)
		h = (h ^ (unsigned)c) * 0x100000001b3ull;
	fclose(file);
	return h;
}

/* Imports these bytes twice and holds the two against each other. */
static inline void fuzz_import(const struct rh_importer *importer, const void *data, size_t bytes)
{
	struct fuzz_file file;

	if (fuzz_file_open(&file, data, bytes) && import_once(importer, file.path)) {
		uint64_t first;

		check_trace(importer);
		first = hash_out();
		lseek(file.fd, 0, SEEK_SET);
		demand(import_once(importer, file.path), "it is imported again", NULL);
		demand(hash_out() == first, "the same input gives the same bytes", NULL);
	}
	unlink(out_path());
	fuzz_file_close(&file);
}

#endif
