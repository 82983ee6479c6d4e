/*
 * printable.c - see the header: text is read one character at a time, each becomes itself or
 * an escape (struct glyph); a format is walked conversion by conversion, of which only %s is
 * ours and the others are left to fprintf.
 */
#include "alloc/base/printable.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The longest escape is \U0e0001 of nine bytes with its NUL, and a character of UTF-8
 * takes four. */
enum { GLYPH_BYTES = 12, SPEC_BYTES = 32 };

struct glyph {
	char text[GLYPH_BYTES];
	size_t bytes; /* of the text */
	size_t taken; /* of the input */
};

/* ---- characters ---- */

/* Code point of well-formed UTF-8 at s, its length to *taken; 0 length when it is not. Strict
 * as in RFC 3629: overlong forms, surrogates and code points past U+10FFFF are no characters,
 * because a terminal that is more lenient would obey a control hidden in them. */
static uint32_t decode(const unsigned char *s, size_t left, size_t *taken)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t code = length == 1 ? s[0] : s[0] & (0xffu >> (length + 1));

	assert(left > 0);
	*taken = 0;
	/* 0xc0 and 0xc1 only begin overlong forms of ASCII. */
	if ((s[0] >= 0x80 && s[0] < 0xc2) || s[0] > 0xf4 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		/* A byte that continues nothing: the first byte alone is escaped and
		 * reading goes on behind it, so that one bad byte costs one escape
		 * and no letter after it. */
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*taken = length;
	return code;
}

/* Controls, and marks that make text look like another. From U+E0000 on are tags and private
 * use, which show nothing. U+00AD, U+200B and U+2060 have no width and would make two different
 * names look the same. */
static bool hides(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x061c ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	       (code >= 0xfff9 && code <= 0xfffb) || code >= 0xe0000;
}

static bool begins(const char *text, size_t left, const char *word)
{
	return strlen(word) <= left && memcmp(text, word, strlen(word)) == 0;
}

/* "::error::" counts at the start of a line, where runners first drop blanks. */
static bool commands(const char *text, size_t at, size_t length)
{
	const char *here = text + at;
	size_t left = length - at;

	if (begins(here, left, "##[") || begins(here, left, "##vso["))
		return true;
	/* Azure reads "##[" in the middle of a line, GitHub "::" only in front. */
	return begins(here, left, "::") && strspn(text, " ") >= at;
}

/* Escapes are of C, so a name can be pasted into printf or $'...' to get the bytes
 * back. The backslash itself stays: doubling it would change each Windows path and
 * make printing twice differ from once. */
static void next_glyph(const char *text, size_t at, size_t length, struct glyph *glyph)
{
	static const char short_names[] = "abtnvfr";
	const unsigned char *s = (const unsigned char *)text + at;
	uint32_t code = decode(s, length - at, &glyph->taken);
	int bytes;

	if (glyph->taken && !hides(code) && !commands(text, at, length)) {
		memcpy(glyph->text, s, glyph->taken);
		glyph->bytes = glyph->taken;
		return;
	}
	/* 7 to 13 have letters in C. */
	if (!glyph->taken || (code < 0x80 && (code < 7 || code > 13)))
		bytes = snprintf(glyph->text, sizeof(glyph->text), "\\x%02x", s[0]);
	else if (code <= 13)
		bytes = snprintf(glyph->text, sizeof(glyph->text), "\\%c", short_names[code - 7]);
	else
		bytes = snprintf(glyph->text, sizeof(glyph->text),
				 code < 0x10000 ? "\\u%04x" : "\\U%06x", code);
	glyph->bytes = (size_t)bytes;
	glyph->taken += glyph->taken == 0;
	assert(glyph->bytes < GLYPH_BYTES && glyph->taken > 0 && glyph->taken <= length - at);
}

/* For texts that go on through snprintf into errors and cells, where no stream is at
 * hand. */
size_t rh_printable(char *to, size_t bytes, const char *text)
{
	size_t length = strlen(text), used = 0;
	struct glyph glyph;

	assert(bytes > 0);
	for (size_t at = 0; at < length; at += glyph.taken) {
		next_glyph(text, at, length, &glyph);
		/* An escape that is cut would read as another one. */
		if (used + glyph.bytes >= bytes)
			break;
		memcpy(to + used, glyph.text, glyph.bytes);
		used += glyph.bytes;
	}
	assert(used < bytes);
	to[used] = '\0';
	return used;
}

/* ---- streams ---- */

/* Characters of the first `length` bytes as they are printed. */
static size_t put(FILE *to, const char *text, size_t length)
{
	struct glyph glyph;
	size_t columns = 0;

	for (size_t at = 0; at < length; at += glyph.taken) {
		next_glyph(text, at, length, &glyph);
		/* Without a stream it only measures, so width and output can never
		 * differ. */
		if (to)
			fwrite(glyph.text, 1, glyph.bytes, to);
		columns += glyph.text[0] == '\\' ? glyph.bytes : 1;
	}
	return columns;
}

void rh_print_text(FILE *to, const char *text)
{
	put(to, text, strlen(text));
}

/* How much of the text goes into so many columns: to the last blank, else to the last comma or bar,
 * else all of a word. */
static size_t fitting(const char *text, size_t bytes, size_t columns)
{
	size_t at = columns;

	if (bytes <= columns)
		return bytes;
	while (at > 0 && text[at] != ' ')
		at--;
	while (at > 0 && text[at - 1] == ' ')
		at--;
	if (at > 0)
		return at;
	for (at = columns; at > 0; at--)
		if (text[at - 1] == ',' || text[at - 1] == '|')
			return at;
	at = 1; /* or no end would come */
	while (at < bytes && text[at] != ' ')
		at++;
	return at;
}

void rh_print_wrapped(FILE *to, const char *text, size_t bytes, int from, int width)
{
	const char *end = text + bytes;
	int indent = 0;

	while (text < end) {
		size_t take = fitting(text, (size_t)(end - text), (size_t)(width - from));

		rh_print(to, "%*s%.*s\n", indent, "", (int)take, text);
		text += take;
		while (text < end && *text == ' ')
			text++;
		indent = from;
	}
	if (bytes == 0)
		fputc('\n', to);
}

void rh_print_csv(FILE *to, const char *text)
{
	bool quoted = text[strcspn(text, ",\"\r\n")] != '\0';

	if (quoted)
		fputc('"', to);
	while (*text) {
		/* Each stretch between quotes is printed on its own. A "::" behind a
		 * quote counts as in front then: an escape too many does no harm. */
		size_t plain = strcspn(text, "\"");

		put(to, text, plain);
		text += plain;
		if (*text)
			fputs("\"\"", to);
		text += *text != '\0';
	}
	if (quoted)
		fputc('"', to);
}

/* The spec is rebuilt with '*' replaced by its digits, because only one argument can
 * be handed on to fprintf. */
struct conversion {
	char spec[SPEC_BYTES]; /* "%-5.3l", without the last letter */
	size_t used;
	bool left;
	int width, precision; /* -1: none */
	char size;	      /* 'H' hh, 'L' ll, else as written; 0: none */
	char letter;
};

static void keep(struct conversion *c, char letter)
{
	assert(c->used + 2 < sizeof(c->spec));
	c->spec[c->used++] = letter;
	c->spec[c->used] = '\0';
}

/* A number, or '*' of the arguments; the spec gets its digits. */
static const char *read_number(const char *at, struct conversion *c, int *value, va_list *ap)
{
	char digits[16];

	*value = 0;
	if (*at == '*') {
		*value = va_arg(*ap, int);
		snprintf(digits, sizeof(digits), "%d", *value);
		at++;
	} else {
		size_t count = strspn(at, "0123456789");

		assert(count < sizeof(digits));
		snprintf(digits, sizeof(digits), "%.*s", (int)count, at);
		for (size_t i = 0; i < count; i++)
			*value = *value * 10 + at[i] - '0';
		at += count;
	}
	for (const char *d = digits; *d; d++)
		keep(c, *d);
	return at;
}

/* From '%' to the letter; returns what comes after it. */
static const char *read_conversion(const char *at, struct conversion *c, va_list *ap)
{
	assert(*at == '%');
	*c = (struct conversion){ .width = -1, .precision = -1 };
	keep(c, *at++);
	for (; *at && strchr("-+ #0'", *at); at++) {
		c->left |= *at == '-';
		keep(c, *at);
	}
	if (*at == '*' || (*at >= '1' && *at <= '9'))
		at = read_number(at, c, &c->width, ap);
	/* A negative '*' is the flag '-' and a width, says C11 7.21.6.1; -1 would be
	 * taken for "none", and nobody pads to one column. */
	if (c->width < -1) {
		c->left = true;
		c->width = -c->width;
	}
	if (*at == '.') {
		keep(c, *at++);
		at = read_number(at, c, &c->precision, ap);
	}
	while (*at && strchr("hljztL", *at)) {
		/* hh and ll fold into one letter, since a switch takes one. Real 'L'
		 * belongs to long double only, so it cannot collide. */
		c->size = c->size == 'l' ? 'L' : c->size == 'h' ? 'H' : *at;
		keep(c, *at++);
	}
	c->letter = *at;
	keep(c, *at);
	return at + 1;
}

static void put_text(FILE *to, const struct conversion *c, const char *text)
{
	size_t length, columns, wide = c->width > 0 ? (size_t)c->width : 0;

	if (!text)
		text = "(null)";
	/* %.*s is how texts without a NUL are printed: strlen would run past their
	 * end. */
	length = c->precision < 0 ? strlen(text) : strnlen(text, (size_t)c->precision);
	columns = put(NULL, text, length);
	for (size_t i = columns; i < wide && !c->left; i++)
		fputc(' ', to);
	put(to, text, length);
	for (size_t i = columns; i < wide && c->left; i++)
		fputc(' ', to);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* The spec is ours: read_conversion cut it out of a literal that the compiler has checked. */
static void put_integer(FILE *to, const struct conversion *c, va_list *ap)
{
	switch (c->size) {
	case 'l':
		fprintf(to, c->spec, va_arg(*ap, long));
		break;
	case 'L':
		fprintf(to, c->spec, va_arg(*ap, long long));
		break;
	case 'j':
		fprintf(to, c->spec, va_arg(*ap, intmax_t));
		break;
	case 'z':
		fprintf(to, c->spec, va_arg(*ap, size_t));
		break;
	case 't':
		fprintf(to, c->spec, va_arg(*ap, ptrdiff_t));
		break;
	/* hh and h are promoted to int on the way here. */
	default:
		fprintf(to, c->spec, va_arg(*ap, int));
	}
}

static void put_conversion(FILE *to, const struct conversion *c, va_list *ap)
{
	if (c->letter == 's')
		put_text(to, c, va_arg(*ap, const char *));
	else if (c->letter == '%')
		fputc('%', to);
	else if (c->letter == 'p')
		fprintf(to, c->spec, va_arg(*ap, void *));
	else if (strchr("diuoxXc", c->letter))
		put_integer(to, c, ap);
	else if (c->size == 'L')
		fprintf(to, c->spec, va_arg(*ap, long double));
	else
		fprintf(to, c->spec, va_arg(*ap, double));
}
#pragma GCC diagnostic pop

void rh_vprint(FILE *to, const char *fmt, va_list ap)
{
	struct conversion c;
	va_list rest;

	/* va_list is an array on x86-64 and decays as a parameter: only of a copy of
	 * our own may the address be taken. */
	va_copy(rest, ap);
	while (*fmt) {
		size_t plain = strcspn(fmt, "%");

		fwrite(fmt, 1, plain, to);
		fmt += plain;
		if (!*fmt)
			break;
		fmt = read_conversion(fmt, &c, &rest);
		/* An unknown letter would leave its argument unread, and each later
		 * one would be read as another type. */
		assert(strchr("diuoxXcsfFeEgGaAp%", c.letter));
		put_conversion(to, &c, &rest);
	}
	va_end(rest);
}

void rh_print(FILE *to, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rh_vprint(to, fmt, ap);
	va_end(ap);
}
