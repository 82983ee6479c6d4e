/*
 * packed.h - the outermost wrapping of an input, peeled piece by piece: gz, xz, zst, bz2, lz4.
 *
 * libarchive peels these, too, but unpacks a block ahead: of a file that was cut off it gives
 * nothing of the last 64 to 256 KiB, and of a short one nothing at all. Here every byte that stands
 * before the cut comes out. What is none of the five, and one whose library is not there, passes as
 * it is, and libarchive sees to it.
 *
 * Thread rule: one thread. Memory: two buffers of 256 KiB and the decoder's window.
 */
#ifndef RH_IMPORT_PACKED_H
#define RH_IMPORT_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rh_packed;

/* NULL: no memory. The descriptor stays the caller's. */
struct rh_packed *rh_packed_open(int fd);
/* Unpacked bytes, valid until the next call: how many, 0 at the end, -1 with errno (0: the data are
 * damaged, see rh_packed_why). */
ssize_t rh_packed_read(struct rh_packed *packed, const void **bytes);
/* NULL, or a sentence: how the input broke off. Known when the end was reached. */
const char *rh_packed_truncated(const struct rh_packed *packed);
/* NULL, or what is wrong with the packed bytes. */
const char *rh_packed_why(const struct rh_packed *packed);
/* Packed bytes that were unpacked so far. */
uint64_t rh_packed_bytes(const struct rh_packed *packed);
void rh_packed_close(struct rh_packed *packed);

/* Bytes of z_stream, bz_stream and lzma_stream as they are written down here, for the test. */
extern const size_t rh_packed_sizes[3];

#endif
