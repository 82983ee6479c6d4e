/*
 * fuzz_import.c - a fuzz target for the importers, through each wrapping.
 *
 * The last byte of the input says what the rest is packed in (nothing, gzip, zstd, xz, zip,
 * tar), the one before it which importer reads it; RH_FUZZ_IMPORTER fixes the importer.
 *
 * Properties, beyond not crashing: a failed import leaves no file and one sentence; a trace
 * that was made opens again and reads to its end; every line of the input is accounted for;
 * the same input gives the same bytes.
 */
#include <archive.h>
#include <archive_entry.h>

#include "traces/import/import.h"
#include "traces/test/fuzz_support.h"

enum wrapping { PLAIN, GZIP, ZSTD, XZ, ZIP, TAR, WRAPPINGS };

static size_t wrap(enum wrapping how, const uint8_t *data, size_t bytes, char *to, size_t cap)
{
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t used = 0;

	demand(a && entry, "there is memory", NULL);
	if (how == GZIP)
		archive_write_add_filter_gzip(a);
	else if (how == ZSTD)
		archive_write_add_filter_zstd(a);
	else if (how == XZ)
		archive_write_add_filter_xz(a);
	if (how == ZIP)
		archive_write_set_format_zip(a);
	else if (how == TAR)
		archive_write_set_format_ustar(a);
	else
		archive_write_set_format_raw(a);
	archive_write_open_memory(a, to, cap, &used);
	archive_entry_set_pathname(entry, "log");
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_size(entry, (la_int64_t)bytes);
	archive_write_header(a, entry);
	if (bytes)
		archive_write_data(a, data, bytes);
	archive_write_close(a);
	archive_entry_free(entry);
	archive_write_free(a);
	return used;
}

static const char *out_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/rh-fuzz-%d.rht", fuzz_folder(), (int)getpid());
	return path;
}

static bool import_once(const struct rh_importer *importer, const char *path)
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

static void check_trace(const struct rh_importer *importer)
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

static uint64_t hash_out(void)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static char packed[(1 << 20) + 65536];
	const struct rh_importer *importer;
	const char *fixed = getenv("RH_FUZZ_IMPORTER");
	struct rh_err err = { 0 };
	struct fuzz_file file;
	unsigned how, which, count = 0;

	if (bytes < 3 || bytes > 1 << 20)
		return 0;
	while (rh_importers[count])
		count++;
	how = data[bytes - 1] % WRAPPINGS;
	which = data[bytes - 2] % count;
	importer = fixed ? rh_importer_of(fixed, &err) : rh_importers[which];
	demand(importer != NULL, "the importer is known", &err);
	bytes = how == PLAIN ? bytes - 2 : wrap(how, data, bytes - 2, packed, sizeof(packed));
	if (fuzz_file_open(&file, how == PLAIN ? (const void *)data : packed, bytes) &&
	    import_once(importer, file.path)) {
		uint64_t first;

		check_trace(importer);
		first = hash_out();
		lseek(file.fd, 0, SEEK_SET);
		demand(import_once(importer, file.path), "it is imported again", NULL);
		demand(hash_out() == first, "the same input gives the same bytes", NULL);
	}
	unlink(out_path());
	fuzz_file_close(&file);
	return 0;
}
