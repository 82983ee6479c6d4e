/*
 * packed.c - see packed.h. One decoder is one row of `kinds`; what they share is the loop in
 * rh_packed_read: fill, step, until something came out.
 *
 * The libraries are those that libarchive has loaded already, and are asked for by their names
 * (dlopen), with the few types of theirs that we hand over written down here: each of these is part
 * of an ABI that has not changed for twenty years, zlib and lz4 compare a version on the first
 * call, and test_packed.c holds the sizes against the headers where those are installed. So nothing
 * more is needed to build, and a library that is missing costs only the bytes before a cut.
 *
 * A file may hold several streams, one behind another, and zero bytes between and behind them
 * (tapes, xz). Anything else behind a stream is not unpacked, and the input counts as broken off.
 */
#include "traces/import/packed.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { PIECE_BYTES = 256 << 10, MAGIC_MAX = 10, WHY_BYTES = 160 };
#define XZ_MEMORY (1ull << 30) /* windows of xz -9 take 64 MiB */

enum step { MORE, STREAM_END, DAMAGED };

struct kind {
	const char *name;
	const char *whole; /* what of it unpacks as a whole or not at all; "" = nothing does */
	bool (*matches)(const unsigned char *at, size_t bytes);
	/* A decoder for one stream; false: its library is not there, or no memory. */
	bool (*begin)(struct rh_packed *packed);
	/* Takes of in[at, end), puts behind out[0, out_bytes). */
	enum step (*step)(struct rh_packed *packed);
	void (*end)(struct rh_packed *packed);
};

/* z_stream of zlib.h */
struct zlib_stream {
	const unsigned char *next_in;
	unsigned avail_in;
	unsigned long total_in;
	unsigned char *next_out;
	unsigned avail_out;
	unsigned long total_out;
	const char *msg;
	void *state, *zalloc, *zfree, *opaque;
	int data_type;
	unsigned long adler, reserved;
};

/* bz_stream of bzlib.h */
struct bzip_stream {
	const unsigned char *next_in;
	unsigned avail_in, total_in[2];
	unsigned char *next_out;
	unsigned avail_out, total_out[2];
	void *state, *alloc, *free, *opaque;
};

/* lzma_stream of lzma/base.h */
struct lzma_stream {
	const unsigned char *next_in;
	size_t avail_in;
	uint64_t total_in;
	unsigned char *next_out;
	size_t avail_out;
	uint64_t total_out;
	const void *allocator;
	void *internal, *pointers[4];
	uint64_t seek_pos, number;
	size_t sizes[2];
	int words[2];
};

const size_t rh_packed_sizes[3] = { sizeof(struct zlib_stream), sizeof(struct bzip_stream),
				    sizeof(struct lzma_stream) };

struct rh_packed {
	const struct kind *kind; /* NULL: bytes pass as they are */
	int fd;
	bool looked; /* at the first bytes */
	bool in_stream, ended, over;
	uint64_t bytes_in;
	size_t at, end, out_bytes;
	char truncated[WHY_BYTES], why[WHY_BYTES];
	union {
		struct zlib_stream zlib;
		struct bzip_stream bzip;
		struct lzma_stream lzma;
		ZSTD_DStream *zstd;
		void *lz4;
	} of;
	unsigned char in[PIECE_BYTES], out[PIECE_BYTES];
};

/* ---- the libraries ---- */

static struct {
	int (*inflateInit2_)(struct zlib_stream *, int, const char *, int);
	int (*inflate)(struct zlib_stream *, int);
	int (*inflateEnd)(struct zlib_stream *);
} zlib;

static struct {
	int (*decompressInit)(struct bzip_stream *, int, int);
	int (*decompress)(struct bzip_stream *);
	int (*decompressEnd)(struct bzip_stream *);
} bzip;

static struct {
	int (*stream_decoder)(struct lzma_stream *, uint64_t, uint32_t);
	int (*code)(struct lzma_stream *, int);
	void (*end)(struct lzma_stream *);
} lzma;

static struct {
	size_t (*create)(void **, unsigned);
	size_t (*decompress)(void *, void *, size_t *, const void *, size_t *, const void *);
	size_t (*free)(void *);
	unsigned (*isError)(size_t);
	const char *(*getErrorName)(size_t);
} lz4;

/* `entries`: pointers to functions, one for each name. They stay: so does the library. */
static bool bind(const char *soname, const char *const *names, size_t count, void *entries)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL), *entry;

	for (size_t i = 0; library && i < count; i++) {
		entry = dlsym(library, names[i]);
		if (!entry)
			return false;
		memcpy((char *)entries + i * sizeof(entry), &entry, sizeof(entry));
	}
	return library != NULL;
}

#define BIND(soname, names, table) bind(soname, names, sizeof(table) / sizeof(void *), &(table))

static enum step damaged(struct rh_packed *packed, const char *what)
{
	snprintf(packed->why, sizeof(packed->why), "its %s data are damaged: %s",
		 packed->kind->name, what);
	return DAMAGED;
}

/* What a step took and made. */
static void moved(struct rh_packed *packed, size_t in_left, size_t out_left)
{
	assert(in_left <= packed->end - packed->at && out_left <= PIECE_BYTES - packed->out_bytes);
	packed->at = packed->end - in_left;
	packed->out_bytes = PIECE_BYTES - out_left;
}

/* ---- gz ---- */

static bool is_gzip(const unsigned char *at, size_t bytes)
{
	return bytes >= 3 && at[0] == 0x1f && at[1] == 0x8b && at[2] == 8;
}

static bool gzip_begin(struct rh_packed *packed)
{
	enum { GZIP_WINDOW = 15 + 16 }; /* 16: with the head and the check of gzip */
	static const char *const names[] = { "inflateInit2_", "inflate", "inflateEnd" };

	if (!zlib.inflate && !BIND("libz.so.1", names, zlib))
		return false;
	memset(&packed->of.zlib, 0, sizeof(packed->of.zlib));
	return zlib.inflateInit2_(&packed->of.zlib, GZIP_WINDOW, "1.2.11",
				  (int)sizeof(packed->of.zlib)) == 0;
}

static enum step gzip_step(struct rh_packed *packed)
{
	enum { Z_OK = 0, Z_STREAM_END = 1, Z_BUF_ERROR = -5 };
	struct zlib_stream *z = &packed->of.zlib;
	int result;

	z->next_in = packed->in + packed->at;
	z->avail_in = (unsigned)(packed->end - packed->at);
	z->next_out = packed->out + packed->out_bytes;
	z->avail_out = (unsigned)(PIECE_BYTES - packed->out_bytes);
	result = zlib.inflate(z, 0);
	moved(packed, z->avail_in, z->avail_out);
	if (result == Z_STREAM_END)
		return STREAM_END;
	if (result == Z_OK || result == Z_BUF_ERROR)
		return MORE;
	return damaged(packed, z->msg ? z->msg : "zlib refuses them");
}

static void gzip_end(struct rh_packed *packed)
{
	zlib.inflateEnd(&packed->of.zlib);
}

/* ---- bz2 ---- */

static bool is_bzip(const unsigned char *at, size_t bytes)
{
	return bytes >= 10 && memcmp(at, "BZh", 3) == 0 && at[3] >= '1' && at[3] <= '9' &&
	       (memcmp(at + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0 ||
		memcmp(at + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0);
}

static bool bzip_begin(struct rh_packed *packed)
{
	static const char *const names[] = { "BZ2_bzDecompressInit", "BZ2_bzDecompress",
					     "BZ2_bzDecompressEnd" };

	if (!bzip.decompress && !BIND("libbz2.so.1.0", names, bzip) &&
	    !BIND("libbz2.so.1", names, bzip))
		return false;
	memset(&packed->of.bzip, 0, sizeof(packed->of.bzip));
	return bzip.decompressInit(&packed->of.bzip, 0, 0) == 0;
}

static enum step bzip_step(struct rh_packed *packed)
{
	enum { BZ_OK = 0, BZ_STREAM_END = 4 };
	struct bzip_stream *b = &packed->of.bzip;
	int result;

	b->next_in = packed->in + packed->at;
	b->avail_in = (unsigned)(packed->end - packed->at);
	b->next_out = packed->out + packed->out_bytes;
	b->avail_out = (unsigned)(PIECE_BYTES - packed->out_bytes);
	result = bzip.decompress(b);
	moved(packed, b->avail_in, b->avail_out);
	if (result == BZ_STREAM_END)
		return STREAM_END;
	return result == BZ_OK ? MORE : damaged(packed, "libbz2 refuses them");
}

static void bzip_end(struct rh_packed *packed)
{
	bzip.decompressEnd(&packed->of.bzip);
}

/* ---- xz ---- */

static bool is_xz(const unsigned char *at, size_t bytes)
{
	return bytes >= 6 && memcmp(at,
				    "\xfd"
				    "7zXZ",
				    6) == 0;
}

static bool xz_begin(struct rh_packed *packed)
{
	static const char *const names[] = { "lzma_stream_decoder", "lzma_code", "lzma_end" };

	if (!lzma.code && !BIND("liblzma.so.5", names, lzma))
		return false;
	memset(&packed->of.lzma, 0, sizeof(packed->of.lzma));
	return lzma.stream_decoder(&packed->of.lzma, XZ_MEMORY, 0) == 0;
}

static enum step xz_step(struct rh_packed *packed)
{
	enum { LZMA_OK = 0, LZMA_STREAM_END = 1, LZMA_MEMLIMIT_ERROR = 6, LZMA_BUF_ERROR = 10 };
	struct lzma_stream *x = &packed->of.lzma;
	int result;

	x->next_in = packed->in + packed->at;
	x->avail_in = packed->end - packed->at;
	x->next_out = packed->out + packed->out_bytes;
	x->avail_out = PIECE_BYTES - packed->out_bytes;
	result = lzma.code(x, 0);
	moved(packed, x->avail_in, x->avail_out);
	if (result == LZMA_STREAM_END)
		return STREAM_END;
	if (result == LZMA_OK || result == LZMA_BUF_ERROR)
		return MORE;
	return damaged(packed, result == LZMA_MEMLIMIT_ERROR ? "they need over 1 GiB to unpack"
							     : "liblzma refuses them");
}

static void xz_end(struct rh_packed *packed)
{
	lzma.end(&packed->of.lzma);
}

/* ---- zst ---- */

static bool is_zstd(const unsigned char *at, size_t bytes)
{
	/* Frames to be skipped are the same of lz4: pzstd puts one before each of its own. */
	return bytes >= 4 && (memcmp(at, "\x28\xb5\x2f\xfd", 4) == 0 ||
			      (at[0] >> 4 == 5 && memcmp(at + 1, "\x2a\x4d\x18", 3) == 0));
}

static bool zstd_begin(struct rh_packed *packed)
{
	packed->of.zstd = ZSTD_createDStream();
	return packed->of.zstd != NULL;
}

static enum step zstd_step(struct rh_packed *packed)
{
	ZSTD_inBuffer in = { packed->in, packed->end, packed->at };
	ZSTD_outBuffer out = { packed->out, PIECE_BYTES, packed->out_bytes };
	size_t result = ZSTD_decompressStream(packed->of.zstd, &out, &in);

	moved(packed, in.size - in.pos, out.size - out.pos);
	if (ZSTD_isError(result))
		return damaged(packed, ZSTD_getErrorName(result));
	return result == 0 ? STREAM_END : MORE;
}

static void zstd_end(struct rh_packed *packed)
{
	ZSTD_freeDStream(packed->of.zstd);
}

/* ---- lz4 ---- */

static bool is_lz4(const unsigned char *at, size_t bytes)
{
	return bytes >= 4 && memcmp(at, "\x04\x22\x4d\x18", 4) == 0;
}

static bool lz4_begin(struct rh_packed *packed)
{
	enum { LZ4F_VERSION = 100 };
	static const char *const names[] = { "LZ4F_createDecompressionContext", "LZ4F_decompress",
					     "LZ4F_freeDecompressionContext", "LZ4F_isError",
					     "LZ4F_getErrorName" };

	return (lz4.getErrorName || BIND("liblz4.so.1", names, lz4)) &&
	       !lz4.isError(lz4.create(&packed->of.lz4, LZ4F_VERSION));
}

static enum step lz4_step(struct rh_packed *packed)
{
	size_t in = packed->end - packed->at, out = PIECE_BYTES - packed->out_bytes;
	size_t result = lz4.decompress(packed->of.lz4, packed->out + packed->out_bytes, &out,
				       packed->in + packed->at, &in, NULL);

	if (lz4.isError(result))
		return damaged(packed, lz4.getErrorName(result));
	packed->at += in;
	packed->out_bytes += out;
	return result == 0 ? STREAM_END : MORE;
}

static void lz4_end(struct rh_packed *packed)
{
	lz4.free(packed->of.lz4);
}

static const struct kind kinds[] = {
	{ "gzip", "", is_gzip, gzip_begin, gzip_step, gzip_end },
	{ "bzip2", "blocks of up to 900 kB", is_bzip, bzip_begin, bzip_step, bzip_end },
	{ "xz", "", is_xz, xz_begin, xz_step, xz_end },
	{ "zstd", "blocks of up to 128 KiB", is_zstd, zstd_begin, zstd_step, zstd_end },
	{ "lz4", "blocks of up to 4 MiB", is_lz4, lz4_begin, lz4_step, lz4_end },
};

/* ---- the loop ---- */

/* More packed bytes behind those that are there: 1, 0 at the end, -1 with errno. */
static int fill(struct rh_packed *packed)
{
	ssize_t got;

	if (packed->at > 0) {
		memmove(packed->in, packed->in + packed->at, packed->end - packed->at);
		packed->end -= packed->at;
		packed->at = 0;
	}
	if (packed->ended)
		return 0;
	assert(packed->end < PIECE_BYTES);
	do
		got = read(packed->fd, packed->in + packed->end, PIECE_BYTES - packed->end);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	packed->ended = got == 0;
	packed->end += (size_t)got;
	packed->bytes_in += (uint64_t)got;
	return got > 0;
}

/* At least so many bytes, or all that come: 0, -1 with errno. */
static int look_ahead(struct rh_packed *packed, size_t bytes)
{
	int more = 1;

	while (more > 0 && packed->end - packed->at < bytes)
		more = fill(packed);
	return more < 0 ? -1 : 0;
}

/* Whether a stream begins here. */
static bool begin_stream(struct rh_packed *packed)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !packed->in_stream; i++)
		if (kinds[i].matches(packed->in + packed->at, packed->end - packed->at) &&
		    kinds[i].begin(packed)) {
			packed->kind = &kinds[i];
			packed->in_stream = true;
		}
	return packed->in_stream;
}

/* All that is left passes as it is. */
static ssize_t pass(struct rh_packed *packed, const void **bytes)
{
	ssize_t count;

	if (packed->at == packed->end) {
		packed->at = packed->end = 0;
		if (fill(packed) < 0)
			return -1;
	}
	*bytes = packed->in + packed->at;
	count = (ssize_t)(packed->end - packed->at);
	packed->at = packed->end;
	return count;
}

/* Behind a stream: another, or the end. 0, -1 with errno. */
static int next_stream(struct rh_packed *packed)
{
	size_t left;

	do {
		while (packed->at < packed->end && packed->in[packed->at] == 0)
			packed->at++;
		if (look_ahead(packed, MAGIC_MAX) < 0)
			return -1;
	} while (packed->at < packed->end && packed->in[packed->at] == 0);
	left = packed->end - packed->at;
	if (begin_stream(packed))
		return 0;
	packed->over = true;
	if (left)
		snprintf(packed->truncated, sizeof(packed->truncated),
			 "what stands behind its %s data, from byte %llu on, is left out",
			 packed->kind->name, (unsigned long long)(packed->bytes_in - left));
	return 0;
}

static void broke_off(struct rh_packed *packed)
{
	const char *whole = packed->kind->whole;

	packed->over = true;
	snprintf(packed->truncated, sizeof(packed->truncated),
		 "its %s data break off at byte %llu%s%s%s", packed->kind->name,
		 (unsigned long long)packed->bytes_in, *whole ? " (it packs " : "", whole,
		 *whole ? ", of which only whole ones unpack)" : "");
}

/* One step of the stream: 0, -1 with errno. */
static int advance(struct rh_packed *packed)
{
	size_t at = packed->at;
	enum step step = packed->kind->step(packed);

	if (step == DAMAGED) {
		errno = 0;
		return -1;
	}
	if (step == STREAM_END) {
		packed->kind->end(packed);
		packed->in_stream = false;
		return 0;
	}
	/* A decoder that neither took nor made anything wants more. */
	if (packed->out_bytes == 0 && packed->at == at) {
		int more = packed->at == 0 && packed->end == PIECE_BYTES ? 0 : fill(packed);

		if (more == 0)
			broke_off(packed);
		return more < 0 ? -1 : 0;
	}
	return 0;
}

ssize_t rh_packed_read(struct rh_packed *packed, const void **bytes)
{
	if (!packed->looked) {
		if (look_ahead(packed, MAGIC_MAX) < 0)
			return -1;
		packed->looked = true;
		begin_stream(packed);
	}
	if (!packed->kind)
		return pass(packed, bytes);
	packed->out_bytes = 0;
	while (packed->out_bytes == 0 && !packed->over)
		if ((packed->in_stream ? advance(packed) : next_stream(packed)) < 0)
			return -1;
	*bytes = packed->out;
	return (ssize_t)packed->out_bytes;
}

struct rh_packed *rh_packed_open(int fd)
{
	struct rh_packed *packed = malloc(sizeof(*packed));

	assert(fd >= 0);
	if (packed) {
		memset(packed, 0, offsetof(struct rh_packed, in));
		packed->fd = fd;
	}
	return packed;
}

const char *rh_packed_truncated(const struct rh_packed *packed)
{
	return packed->truncated[0] ? packed->truncated : NULL;
}

const char *rh_packed_why(const struct rh_packed *packed)
{
	return packed->why[0] ? packed->why : NULL;
}

uint64_t rh_packed_bytes(const struct rh_packed *packed)
{
	return packed->bytes_in - (packed->end - packed->at);
}

void rh_packed_close(struct rh_packed *packed)
{
	if (!packed)
		return;
	if (packed->in_stream)
		packed->kind->end(packed);
	free(packed);
}
