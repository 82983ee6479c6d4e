/*
 * fuzz_import.c - a fuzz target for the importers, through each wrapping.
 *
 * The last byte of the input says what the rest is packed in (nothing, gzip, zstd, xz, zip,
 * tar), the one before it which importer reads it; where RH_FUZZ_IMPORTER fixes the importer, the
 * values of its options that are words.
 *
 * Properties, beyond not crashing: fuzz_import_support.h.
 */
#include <archive.h>
#include <archive_entry.h>

#include "traces/test/fuzz_import_support.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static char packed[(1 << 20) + 65536];
	const struct rh_importer *importer;
	const char *fixed = getenv("RH_FUZZ_IMPORTER");
	struct rh_err err = { 0 };
	unsigned how, which, count = 0;

	if (bytes < 3 || bytes > 1 << 20)
		return 0;
	while (rh_importers[count])
		count++;
	how = data[bytes - 1] % WRAPPINGS;
	which = data[bytes - 2];
	importer = fixed ? rh_importer_of(fixed, &err) : rh_importers[which % count];
	demand(importer != NULL, "the importer is known", &err);
	bytes = how == PLAIN ? bytes - 2 : wrap(how, data, bytes - 2, packed, sizeof(packed));
	fuzz_import(&(struct fuzz_import){ importer, which },
		    how == PLAIN ? (const void *)data : packed, bytes);
	return 0;
}
