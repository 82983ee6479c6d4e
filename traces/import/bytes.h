/*
 * bytes.h - a binary recording byte by byte, and the numbers that protocol buffers and memray
 * write: seven bits a byte, the lowest first, the highest bit of a byte set where another one
 * follows.
 *
 * Each function returns RH_BYTES_OK, or what it ended by; after anything but that nothing more is
 * read. Ownership: the input stays the caller's. Thread rule: none shared.
 */
#ifndef RH_IMPORT_BYTES_H
#define RH_IMPORT_BYTES_H

#include "traces/import/import.h"

enum { RH_BYTES_BUFFER = 8192, RH_BYTES_VARINT_MAX = 10 };

enum rh_bytes_result {
	RH_BYTES_OK,
	RH_BYTES_END,  /* the input is over */
	RH_BYTES_BAD,  /* a number of more than 10 bytes */
	RH_BYTES_FAIL, /* of the input, with err */
};

struct rh_bytes {
	struct rh_input *input;
	size_t at, end;
	unsigned char buffer[RH_BYTES_BUFFER];
};

static inline enum rh_bytes_result rh_bytes_next(struct rh_bytes *bytes, unsigned char *byte,
						 struct rh_err *err)
{
	if (bytes->at == bytes->end) {
		ssize_t got = rh_input_read(bytes->input, bytes->buffer, RH_BYTES_BUFFER, err);

		if (got <= 0)
			return got < 0 ? RH_BYTES_FAIL : RH_BYTES_END;
		bytes->at = 0;
		bytes->end = (size_t)got;
	}
	*byte = bytes->buffer[bytes->at++];
	return RH_BYTES_OK;
}

/* *count becomes how many bytes it had, also when the input ended in it. */
static inline enum rh_bytes_result rh_bytes_varint(struct rh_bytes *bytes, uint64_t *value,
						   unsigned *count, struct rh_err *err)
{
	unsigned char byte = 0;

	*value = 0;
	for (*count = 0; *count < RH_BYTES_VARINT_MAX; (*count)++) {
		enum rh_bytes_result result = rh_bytes_next(bytes, &byte, err);

		if (result != RH_BYTES_OK)
			return result;
		*value |= (uint64_t)(byte & 0x7f) << (7 * *count);
		if (!(byte & 0x80))
			return RH_BYTES_OK;
	}
	return RH_BYTES_BAD;
}

#endif
