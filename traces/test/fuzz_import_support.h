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

/* An importer, and a number that chooses the values of its options. */
struct fuzz_import {
	const struct rh_importer *importer;
	unsigned choice;
};

/* Of every option that is a word, the one whose turn it is. */
static inline void choose_options(const struct fuzz_import *from, void *opts, struct rh_err *err)
{
	const struct rh_opt_target target = { from->importer->opts, opts, "fuzz" };

	for (const struct rh_opt *row = from->importer->opts; row->name; row++) {
		unsigned count = 0;

		while (row->type == RH_OPT_NAME && row->names[count])
			count++;
		if (count)
			demand(rh_opt_set(&target, row->name, row->names[from->choice % count],
					  err) == 0,
			       "a word of an option is taken", err);
	}
}

/* Whichever importer it is found to be of. */
static inline void find_format(const char *path)
{
	struct rh_input *input;
	struct rh_err err = { 0 };

	if (rh_input_open(&input, path, &err) < 0) {
		demand_error(&err);
		return;
	}
	if (!rh_importer_by_content(input, &err))
		demand_error(&err);
	rh_input_close(input);
}

static inline bool import_once(const struct fuzz_import *from, const char *path)
{
	const struct rh_importer *importer = from->importer;
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
	if (importer->opts)
		choose_options(from, opts, &err);
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
static inline void fuzz_import(const struct fuzz_import *from, const void *data, size_t bytes)
{
	struct fuzz_file file;

	if (!fuzz_file_open(&file, data, bytes)) {
		fuzz_file_close(&file);
		return;
	}
	find_format(file.path);
	lseek(file.fd, 0, SEEK_SET);
	if (import_once(from, file.path)) {
		uint64_t first;

		check_trace(from->importer);
		first = hash_out();
		lseek(file.fd, 0, SEEK_SET);
		demand(import_once(from, file.path), "it is imported again", NULL);
		demand(hash_out() == first, "the same input gives the same bytes", NULL);
	}
	unlink(out_path());
	fuzz_file_close(&file);
}

#endif
