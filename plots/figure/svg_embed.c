/*
 * svg_embed.c - adapts gnuplot's SVG to share a page with others.
 *
 * gnuplot repeats ids in every file (gnuplot_canvas, gpPt0 ...), writes black as ink, and
 * titles its groups "gnuplot_plot_1", which browsers show when the pointer rests; gnuplot
 * passes a mark's text to a script, which we do not use, so we put it into a <title>. One pass
 * over the text: attribute values that are ids or point to one get a prefix, black becomes
 * currentColor, titles go, and the root element gets a style that follows the page's colour
 * scheme. The input is made by gnuplot from our script; text in it (names from outside) stands
 * between tags and is already escaped there, but for the > of ]]>.
 */
#include <stdint.h>
#include <string.h>

#include "plots/figure/figure.h"

/* The bytes of the character at p, when XML 1.0 may hold it: well-formed UTF-8, no surrogate, and
 * neither U+FFFE nor U+FFFF. 0 when it may not. */
static int xml_bytes(const unsigned char *p)
{
	int more = p[0] < 0x80 ? 0 : p[0] < 0xc2 ? -1 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	uint32_t code = more > 0 ? p[0] & (0x3fu >> more) : p[0];

	for (int i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (more < 0 || code > 0x10ffff || (more == 2 && code < 0x800) ||
	    (more == 3 && code < 0x10000) || (code >= 0xd800 && code < 0xe000) || code == 0xfffe ||
	    code == 0xffff)
		return 0;
	return more + 1;
}

/* One character that is no markup, or U+FFFD for a byte that cannot stand there. The next. */
static const char *put_character(const char *at, FILE *to)
{
	unsigned char c = (unsigned char)*at;
	int bytes = xml_bytes((const unsigned char *)at);

	if (c < 0x20 && c != '\n' && c != '\t') {
		fputc(' ', to);
		return at + 1;
	}
	if (!bytes) {
		fputs("\xef\xbf\xbd", to);
		return at + 1;
	}
	fwrite(at, 1, (size_t)bytes, to);
	return at + bytes;
}

void rh_escape_xml(const char *text, FILE *to)
{
	static const char marks[] = "&<>\"'";
	static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };

	while (text && *text) {
		const char *mark = strchr(marks, *text);

		if (mark) {
			fputs(names[mark - marks], to);
			text++;
		} else {
			text = put_character(text, to);
		}
	}
}

static bool starts(const char *at, const char *with)
{
	return strncmp(at, with, strlen(with)) == 0;
}

/* Replacements inside a tag; longest first. "%" stands for the id prefix. */
static const struct swap {
	const char *from, *to;
} swaps[] = {
	{ "<rect x=\"0\" y=\"0\"", "<rect class=\"page\" x=\"0\" y=\"0\"" },
	/* quiet words: no one grey has a contrast of 4.5 on white and on the dark page */
	{ "fill=\"rgb(128,128,128)\" font-family", "class=\"quiet\" font-family" },
	{ " color=\"black\"", "" },
	{ " color=\"white\"", "" },
	{ "stroke='black'", "stroke='currentColor'" },
	{ "stroke=\"black\"", "stroke=\"currentColor\"" },
	{ "fill=\"black\"", "fill=\"currentColor\"" },
	{ "fill = 'black'", "fill='currentColor'" },
	{ "fill='black'", "fill='currentColor'" },
	{ "rgb(  0,   0,   0)", "currentColor" },
	{ "rgb(0,0,0)", "currentColor" },
	{ " id='", " id='%-" },
	{ " id=\"", " id=\"%-" },
	{ "href='#", "href='#%-" },
	{ "href=\"#", "href=\"#%-" },
	{ "url(#", "url(#%-" },
};
enum { SWAP_COUNT = sizeof(swaps) / sizeof(swaps[0]) };

static const char hover_begin[] = "<g onmousemove=\"gnuplot_svg.showHypertext(evt,'";

static void put_prefixed(const char *text, const char *id, FILE *to)
{
	for (; *text; text++) {
		if (*text == '%')
			fputs(id, to);
		else
			fputc(*text, to);
	}
}

/* Copies one tag, from '<' to '>', with the swaps made. Returns where it ended. */
static const char *copy_tag(const char *at, const char *id, FILE *to)
{
	while (*at && *at != '>') {
		int i = 0;

		while (i < SWAP_COUNT && !starts(at, swaps[i].from))
			i++;
		if (i < SWAP_COUNT) {
			put_prefixed(swaps[i].to, id, to);
			at += strlen(swaps[i].from);
		} else {
			fputc(*at++, to);
		}
	}
	if (*at)
		fputc(*at++, to);
	return at;
}

/* The element's own attributes. */
struct head {
	const char *viewbox; /* the attribute, of viewbox_bytes */
	size_t viewbox_bytes;
	const char *id, *title, *caption;
};

static void put_head(const struct head *head, FILE *to)
{
	const char *id = head->id;

	fprintf(to,
		"<svg id=\"%s\" class=\"figure\" role=\"img\" aria-labelledby=\"%s-title\" %.*s "
		"xmlns=\"http://www.w3.org/2000/svg\" "
		"xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n",
		id, id, (int)head->viewbox_bytes, head->viewbox);
	fprintf(to, "<title id=\"%s-title\">", id);
	rh_escape_xml(head->title, to);
	fputs("</title>\n<desc>", to);
	rh_escape_xml(head->caption, to);
	fprintf(to,
		"</desc>\n<style>#%s{color:#15181c}#%s .page{fill:#fff}#%s .quiet{fill:#59636e}"
		"@media(prefers-color-scheme:dark){#%s{color:#e3e7eb}#%s .page{fill:#15181c}"
		"#%s .quiet{fill:#9aa4af}}</style>\n",
		id, id, id, id, id, id);
}

/* <g onmousemove="gnuplot_svg.showHypertext(evt,'TEXT')" onmouseout="..."><title> </title> becomes
 * <g><title>TEXT</title>. TEXT is escaped by gnuplot already, quotes too. */
static const char *copy_hover(const char *at, FILE *to)
{
	const char *text = at + strlen(hover_begin), *end = strstr(text, "')\"");

	if (!end)
		return at + strlen(at);
	fputs("<g class=\"tip\"><title>", to);
	for (; text < end; text++) {
		if (*text == '<' || *text == '>')
			continue;
		fputc(*text, to);
	}
	fputs("</title>", to);
	at = strstr(end, "</title>");
	return at ? at + strlen("</title>") : end + strlen(end);
}

/* gnuplot opens and closes a group for each change of pen, drawn with or not: a third of a file.
 * Returns what follows a group that holds nothing; NULL for any other. */
static const char *empty_group(const char *at)
{
	const char *end = starts(at, "<g ") ? strchr(at, '>') : NULL;

	if (!end)
		return NULL;
	end++;
	end += strspn(end, " \t\n");
	return starts(end, "</g>") ? end + strlen("</g>") : NULL;
}

static const char *skip_past(const char *at, const char *what)
{
	const char *found = strstr(at, what);

	return found ? found + strlen(what) : at + strlen(at);
}

void rh_svg_dress(const char *svg, const char *id, const char *title, const char *caption, FILE *to)
{
	const char *at = strstr(svg, "<svg");
	const char *viewbox = strstr(svg, "viewBox=\"");
	const char *quote = viewbox ? strchr(viewbox + 9, '"') : NULL;

	if (!at || !quote)
		return;
	put_head(&(struct head){ viewbox, (size_t)(quote + 1 - viewbox), id, title, caption }, to);
	at = skip_past(at, ">");
	while (*at) {
		const char *after = empty_group(at);

		if (after)
			at = after;
		else if (starts(at, "<title>"))
			at = skip_past(at, "</title>");
		else if (starts(at, "<desc>"))
			at = skip_past(at, "</desc>");
		else if (starts(at, "<filter"))
			at = skip_past(at, "</filter>");
		else if (starts(at, hover_begin))
			at = copy_hover(at, to);
		else if (*at == '<')
			at = copy_tag(at, id, to);
		else if (*at == '\n' && (at[1] == '\n' || at[1] == '\t' || at[1] == ' '))
			at++; /* gnuplot's indentation is a fifth of the file */
		else if (*at == '\t')
			at++;
		else if (*at == '>' && at++) /* ]]> in a name is no text in XML */
			fputs("&gt;", to);
		else
			at = put_character(at, to);
	}
}
