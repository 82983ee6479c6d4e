/*
 * svg_path.c - numbers and paths of an SVG in as few letters as make a difference on a screen.
 *
 * gnuplot writes hundredths of a pixel and both coordinates of each corner. A tenth is finer than
 * any screen, a line along an axis needs one number, and steps in one direction are one step:
 *
 *	M70.00,140.00 L75.04,140.00 L80.00,140.00 L80.00,130.00	becomes	M70,140h10v-10
 *
 * Corners are rounded first and differences taken of what was rounded, so that no error grows
 * along a line.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/figure/svg_pack.h"
#include "harness/result/pool.h"

enum { TENTHS_MAX = 10000000 }; /* of a coordinate: beyond it a path is left as it is */

/* Where the pen is, in tenths, and the straight run that is not written yet. */
struct track {
	FILE *to;
	long x, y, from_x, from_y; /* from: of the subpath, where z leads */
	long run_x, run_y;	   /* at most one of both is not 0 */
	bool drawn;		   /* something of this subpath was written */
	bool moved;		   /* a move waits to be written */
	size_t lines;
};

static void put_tenths(long tenths, FILE *to)
{
	long whole = labs(tenths) / 10, rest = labs(tenths) % 10;

	if (tenths < 0)
		fputc('-', to);
	if (whole || !rest)
		fprintf(to, "%ld", whole);
	if (rest)
		fprintf(to, ".%ld", rest);
}

static void put_pair(char letter, long x, long y, FILE *to)
{
	fputc(letter, to);
	put_tenths(x, to);
	if (y >= 0)
		fputc(',', to);
	put_tenths(y, to);
}

static void end_run(struct track *t)
{
	if (t->run_x || t->run_y) {
		fputc(t->run_x ? 'h' : 'v', t->to);
		put_tenths(t->run_x ? t->run_x : t->run_y, t->to);
	}
	t->run_x = t->run_y = 0;
}

static bool goes_on(long run, long step)
{
	return (run > 0 && step > 0) || (run < 0 && step < 0);
}

static void line_to(struct track *t, long x, long y)
{
	long dx = x - t->x, dy = y - t->y;

	if (!dx && !dy)
		return;
	if (t->moved)
		put_pair('M', t->x, t->y, t->to);
	t->moved = false;
	t->drawn = true;
	t->lines++;
	if (!(dy == 0 && goes_on(t->run_x, dx)) && !(dx == 0 && goes_on(t->run_y, dy)))
		end_run(t);
	if (dy == 0)
		t->run_x += dx;
	else if (dx == 0)
		t->run_y += dy;
	else
		put_pair('l', dx, dy, t->to);
	t->x = x;
	t->y = y;
}

static void move_to(struct track *t, long x, long y)
{
	end_run(t);
	t->x = t->from_x = x;
	t->y = t->from_y = y;
	t->moved = true;
	t->drawn = false;
}

static void close_path(struct track *t)
{
	end_run(t);
	if (t->drawn)
		fputc('z', t->to);
	t->x = t->from_x;
	t->y = t->from_y;
	t->moved = true;
	t->drawn = false;
}

/* "12.30,4.00" in tenths; NULL when there is none. Returns what follows. */
static const char *read_pair(const char *at, long *x, long *y)
{
	char *end;
	double a = strtod(at, &end), b;

	if (end == at)
		return NULL;
	at = end + strspn(end, ", \t\n");
	b = strtod(at, &end);
	if (end == at || !(fabs(a) < TENTHS_MAX / 10.0) || !(fabs(b) < TENTHS_MAX / 10.0))
		return NULL;
	*x = lround(a * 10);
	*y = lround(b * 10);
	return end;
}

/* Points one after the other, M, L and z; false at anything else. */
static bool walk(const char *at, struct track *t)
{
	bool move = true;

	for (;;) {
		long x, y;

		at += strspn(at, ", \t\n");
		if (!*at)
			break;
		if (*at == 'M' || *at == 'L') {
			move = *at++ == 'M';
			continue;
		}
		if (*at == 'z' || *at == 'Z') {
			close_path(t);
			at++;
			continue;
		}
		at = read_pair(at, &x, &y);
		if (!at)
			return false;
		if (move)
			move_to(t, x, y);
		else
			line_to(t, x, y);
		move = false;
	}
	end_run(t);
	return true;
}

const char *rh_svg_path(struct rh_pool *pool, const char *d, bool polygon)
{
	struct track track = { 0 };
	const char *result = d;
	char *text = NULL;
	size_t bytes = 0;
	bool read;

	track.to = rh_memory_text(&text, &bytes);
	read = walk(d, &track);
	if (read && polygon)
		close_path(&track);
	fclose(track.to);
	if (read)
		result = track.lines ? rh_pool_text(pool, text) : "";
	else if (polygon)
		result = NULL;
	free(text);
	return result;
}

/* One number with at most `digits` decimals. */
static void put_number(double value, int digits, FILE *to)
{
	char text[64];
	size_t bytes;

	snprintf(text, sizeof(text), "%.*f", digits, value);
	bytes = strlen(text);
	if (strchr(text, '.'))
		while (text[bytes - 1] == '0' || text[bytes - 1] == '.')
			if (text[--bytes] == '.')
				break;
	text[bytes] = '\0';
	if (strcmp(text, "-0") == 0)
		fputs("0", to);
	else if (strncmp(text, "0.", 2) == 0)
		fputs(text + 1, to);
	else if (strncmp(text, "-0.", 3) == 0)
		fprintf(to, "-%s", text + 2);
	else
		fputs(text, to);
}

const char *rh_svg_numbers(struct rh_pool *pool, const char *value, int digits)
{
	const char *at = value, *short_text;
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);

	while (*at) {
		char *end = NULL;
		double number = strchr("-.0123456789", *at) ? strtod(at, &end) : 0;

		if (end && end != at && fabs(number) < 1e9) {
			put_number(number, digits, to);
			at = end;
		} else {
			fputc(*at++, to);
		}
	}
	fclose(to);
	short_text = rh_pool_text(pool, text);
	free(text);
	return short_text;
}
