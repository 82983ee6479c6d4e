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

static inline bool scan_decimal(const char **at, uint64_t *value)
{
	const char *p = *at;
	uint64_t v = 0;
	unsigned digit = (unsigned)(*p - '0');

	if (digit > 9)
		return false;
	do {
		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
		digit = (unsigned)(*++p - '0');
	} while (digit <= 9);
	*at = p;
	*value = v;
	return true;
}

/* -1 when c is no hex digit. */
static inline int scan_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
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

static inline bool scan_text(const char **at, const char *text)
{
	size_t bytes = strlen(text);

	if (strncmp(*at, text, bytes) != 0)
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
