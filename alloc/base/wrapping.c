/*
 * wrapping.c - see wrapping.h.
 */
#include "alloc/base/wrapping.h"

#include <stdbool.h>
#include <string.h>

enum { TAR_AT = 257, WIDE_BYTES = 24 };

#define ROW(magic, says)                       \
	{                                      \
		magic, sizeof(magic) - 1, says \
	}

static const struct {
	const char *magic;
	size_t bytes;
	const char *says;
} rows[] = {
	ROW("\x1f\x8b", "packed by gzip (gzip -dc FILE unpacks it)"),
	ROW("\x28\xb5\x2f\xfd", "packed by zstd (zstd -dc FILE unpacks it)"),
	ROW("\xfd"
	    "7zXZ",
	    "packed by xz (xz -dc FILE unpacks it)"),
	ROW("BZh", "packed by bzip2 (bzip2 -dc FILE unpacks it)"),
	ROW("\x04\x22\x4d\x18", "packed by lz4 (lz4 -dc FILE unpacks it)"),
	ROW("\x1f\x9d", "packed by compress (zcat FILE unpacks it)"),
	ROW("PK\x03\x04", "a zip archive (unzip FILE unpacks it)"),
	ROW("7z\xbc\xaf\x27\x1c", "a 7z archive (7z x FILE unpacks it)"),
	ROW("Rar!\x1a\x07", "a RAR archive (unrar x FILE unpacks it)"),
	ROW("\xff\xfe\0\0", "text in UTF-32 (iconv -f UTF-32 -t UTF-8 FILE makes it readable)"),
	ROW("\0\0\xfe\xff", "text in UTF-32 (iconv -f UTF-32 -t UTF-8 FILE makes it readable)"),
	ROW("\xff\xfe", "text in UTF-16 (iconv -f UTF-16 -t UTF-8 FILE makes it readable)"),
	ROW("\xfe\xff", "text in UTF-16 (iconv -f UTF-16 -t UTF-8 FILE makes it readable)"),
};

/* UTF-16 without its mark: every second byte of what should be text is 0. */
static bool is_wide(const unsigned char *at, size_t count)
{
	size_t zeros[2] = { 0, 0 };

	for (size_t i = 0; i < count; i++)
		zeros[i % 2] += at[i] == 0;
	return count >= 8 && (zeros[0] == 0 || zeros[1] == 0) &&
	       zeros[0] + zeros[1] >= count / 2 - 1;
}

const char *rh_wrapping_of(const void *bytes, size_t count)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (count >= rows[i].bytes && memcmp(bytes, rows[i].magic, rows[i].bytes) == 0)
			return rows[i].says;
	/* The only one whose sign does not stand first. */
	if (count >= TAR_AT + 5 && memcmp((const char *)bytes + TAR_AT, "ustar", 5) == 0)
		return "a tar archive (tar -xf FILE unpacks it)";
	if (!is_wide(bytes, count < WIDE_BYTES ? count : WIDE_BYTES))
		return NULL;
	return "text in UTF-16 without its mark (iconv -f UTF-16LE -t UTF-8 FILE makes it "
	       "readable)";
}
