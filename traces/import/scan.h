/*
 * scan.h - reading the words of a text line by hand.
 *
 * Each function takes a cursor, and on success moves it past what it read; on failure it
 * returns false and leaves the cursor where it was. Lines end in NUL, so no length is
 * passed. Written out instead of strtoull, because an import should run at the speed of
 * the disk: 20 ns a number there, 3 ns here.
 *
 * Numbers past 2^64 - 1 fail, they do not wrap. Thread rule: none shared.
 */
#ifndef RH_IMPORT_SCAN_H
#define RH_IMPORT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SCAN_DIGITS_SAFE = 19 }; /* of a decimal number that fits whatever they are */

static inline bool scan_decimal(const char **at, uint64_t *value)
{
	const char *p = *at;
	uint64_t v = 0;
	unsigned digit = (unsigned)(*p - '0');

	if (digit > 9)
		return false;
	do {
		if (p - *at >= SCAN_DIGITS_SAFE && v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
		digit = (unsigned)(*++p - '0');
	} while (digit <= 9);
	*at = p;
	*value = v;
	return true;
}

/* By a table: the digits of an address are of any kind, so a branch for letters would go wrong at
 * every second one. -1 where c is none. */
static inline int scan_hex_digit(char c)
{
	static const unsigned char above[256] = {
		/* one more than the digit; 0: none */
		['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
		['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
		['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
		['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
	};

	return (int)above[(unsigned char)c] - 1;
}

/* Hex digits without a prefix. */
static inline bool scan_hex(const char **at, uint64_t *value)
{
	const char *p = *at;
	uint64_t v = 0;
	int digit = scan_hex_digit(*p);

	if (digit < 0)
		return false;
	do {
		if (v >> 60)
			return false;
		v = v << 4 | (unsigned)digit;
		digit = scan_hex_digit(*++p);
	} while (digit >= 0);
	*at = p;
	*value = v;
	return true;
}

/* 0x and hex digits. */
static inline bool scan_address(const char **at, uint64_t *value)
{
	const char *p = *at;

	if (p[0] != '0' || (p[1] != 'x' && p[1] != 'X'))
		return false;
	p += 2;
	if (!scan_hex(&p, value))
		return false;
	*at = p;
	return true;
}

static inline bool scan_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* Byte by byte and unrolled, as most texts are short and differ in the first one: a call of
 * strncmp() costs as much as ten of them. */
static inline __attribute__((always_inline)) bool scan_text(const char **at, const char *text)
{
	size_t bytes = strlen(text);

#pragma GCC unroll 24
	for (size_t i = 0; i < bytes; i++)
		if ((*at)[i] != text[i])
			return false;
	*at += bytes;
	return true;
}

static inline void scan_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

/* Only blanks are left. */
static inline bool scan_end(const char **at)
{
	scan_blanks(at);
	return **at == '\0';
}

/* count * size of calloc; false when it does not fit (such a call returned NULL). */
static inline bool scan_product(uint64_t count, uint64_t size, uint64_t *bytes)
{
	return !__builtin_mul_overflow(count, size, bytes);
}

/* No object has more bytes than any address space, so digits of two numbers ran together.
 * A call that failed may have asked for any size. */
static inline bool scan_size_fits(uint64_t pointer, uint64_t size, const char **why)
{
	if (!pointer || size <= 1ull << 57)
		return true;
	*why = "no object is so large";
	return false;
}

/* log2 of an alignment; 0 (as malloc aligns) when it is no power of two, 63 when it is no alignment
 * at all (repair.alignment). */
static inline unsigned scan_align_log2(uint64_t alignment)
{
	if (alignment == 0 || (alignment & (alignment - 1)))
		return alignment >> 48 ? 63 : 0;
	return (unsigned)__builtin_ctzll(alignment);
}

#endif
