/*
 * figure_dress.c - makes gnuplot's SVG fit to share a page.
 *
 * gnuplot repeats ids in every file (gnuplot_canvas, gpPt0 ...), writes black as ink, and
 * titles its groups "gnuplot_plot_1", which browsers show when the pointer rests. One pass
 * over the text: attribute values that are ids or point to one get a prefix, black becomes
 * currentColor, titles go, and the root element gets a style that follows the page's colour
 * scheme. The input is made by gnuplot from our script; text in it (names from outside)
 * stands between tags, is already escaped there, and is copied as it is.
 */
#include <string.h>

#include "harness/tell/figure.h"

void rh_escape_xml(const char *text, FILE *to)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '&')
			fputs("&amp;", to);
		else if (c == '<')
			fputs("&lt;", to);
		else if (c == '>')
			fputs("&gt;", to);
		else if (c == '"')
			fputs("&quot;", to);
		else if (c == '\'')
			fputs("&#39;", to);
		else if (c >= 0x20 || c == '\n' || c == '\t')
			fputc(c, to);
		else
			fputc(' ', to);
	}
}

static bool starts(const char *at, const char *with)
{
	return strncmp(at, with, strlen(with)) == 0;
}

/* What a piece inside a tag becomes; longest first. "%" stands for the id prefix. */
static const struct swap {
	const char *from, *to;
} swaps[] = {
	{ "<rect x=\"0\" y=\"0\"", "<rect class=\"page\" x=\"0\" y=\"0\"" },
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

static void put_head(const char *viewbox, size_t viewbox_bytes, const char *id, const char *title,
		     const char *caption, FILE *to)
{
	fprintf(to,
		"<svg id=\"%s\" class=\"figure\" role=\"img\" aria-labelledby=\"%s-title\" %.*s "
		"xmlns=\"http://www.w3.org/2000/svg\" "
		"xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n",
		id, id, (int)viewbox_bytes, viewbox);
	fprintf(to, "<title id=\"%s-title\">", id);
	rh_escape_xml(title, to);
	fputs("</title>\n<desc>", to);
	rh_escape_xml(caption, to);
	fprintf(to, "</desc>\n<style>#%s{color:#15181c}#%s .page{fill:#fff}"
		"@media(prefers-color-scheme:dark){#%s{color:#e3e7eb}#%s .page{fill:#15181c}}"
		"</style>\n", id, id, id, id);
}

static const char *skip_past(const char *at, const char *what)
{
	const char *found = strstr(at, what);

	return found ? found + strlen(what) : at + strlen(at);
}

void rh_svg_dress(const char *svg, const char *id, const char *title, const char *caption,
		  FILE *to)
{
	const char *at = strstr(svg, "<svg");
	const char *viewbox = strstr(svg, "viewBox=\"");
	const char *quote = viewbox ? strchr(viewbox + 9, '"') : NULL;

	if (!at || !quote)
		return;
	put_head(viewbox, (size_t)(quote + 1 - viewbox), id, title, caption, to);
	at = skip_past(at, ">");
	while (*at) {
		if (starts(at, "<title>"))
			at = skip_past(at, "</title>");
		else if (starts(at, "<desc>"))
			at = skip_past(at, "</desc>");
		else if (starts(at, "<filter"))
			at = skip_past(at, "</filter>");
		else if (*at == '<')
			at = copy_tag(at, id, to);
		else if (*at == '\n' && (at[1] == '\n' || at[1] == '\t' || at[1] == ' '))
			at++;	/* gnuplot's indentation is a fifth of the file */
		else if (*at == '\t')
			at++;
		else
			fputc(*at++, to);
	}
}
