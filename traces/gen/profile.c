/*
 * profile.c - reads, scales and samples size profiles (see profile.h).
 *
 * Numbers are read by strtod, which rounds correctly, and then only multiplied, divided
 * and truncated, which IEEE 754 fixes to the bit; so targets and thresholds are the same
 * on every machine.
 */
#include "traces/gen/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/import.h"

/* Our own: a server that parses small requests, keeps tables of medium objects and a few
 * large buffers. Most allocations are small and short-lived, most bytes are not. */
static const struct rh_gen_profile_row builtin[] = {
	{ 8, 310, 2100, 0 },	{ 16, 1900, 9200, 0 },	 { 24, 1250, 7400, 0 },
	{ 32, 2400, 8800, 0 },	{ 40, 820, 5200, 0 },	 { 48, 1400, 6100, 0 },
	{ 56, 350, 1900, 0 },	{ 64, 1650, 5600, 0 },	 { 80, 540, 3300, 0 },
	{ 96, 610, 2900, 0 },	{ 112, 260, 1500, 0 },	 { 128, 890, 2400, 0 },
	{ 160, 230, 1300, 0 },	{ 192, 310, 1100, 0 },	 { 256, 640, 1250, 0 },
	{ 320, 120, 520, 0 },	{ 384, 95, 430, 0 },	 { 512, 420, 610, 0 },
	{ 640, 60, 240, 0 },	{ 768, 75, 190, 0 },	 { 1024, 380, 340, 0 },
	{ 1280, 30, 95, 0 },	{ 1536, 44, 88, 0 },	 { 2048, 165, 140, 0 },
	{ 3072, 22, 42, 0 },	{ 4096, 130, 96, 0 },	 { 6144, 11, 18, 0 },
	{ 8192, 58, 46, 0 },	{ 12288, 6, 9, 0 },	 { 16384, 31, 27, 0 },
	{ 24576, 2.5, 4.5, 0 }, { 32768, 12, 11, 0 },	 { 65536, 7, 9, 0 },
	{ 131072, 1.6, 3, 0 },	{ 262144, 0.5, 1.2, 0 }, { 1048576, 0.06, 0.35, 0 },
};

static int add_row(struct rh_gen_profile *profile, struct rh_gen_profile_row row, uint64_t size_max)
{
	if (row.size > size_max) {
		profile->left_out++;
		return 0;
	}
	if (profile->rows == RH_GEN_PROFILE_ROWS_MAX)
		return -1;
	profile->row[profile->rows++] = row;
	return 0;
}

static bool read_number(const char **at, double *value)
{
	char *end;

	*value = strtod(*at, &end);
	if (end == *at || !isfinite(*value) || *value < 0)
		return false;
	while (*end == ' ' || *end == '\t')
		end++;
	*at = end;
	return true;
}

static bool parse_row(const char *text, struct rh_gen_profile_row *row)
{
	double size;

	if (!read_number(&text, &size) || *text++ != ',' || !read_number(&text, &row->rate) ||
	    *text++ != ',' || !read_number(&text, &row->live) || *text != '\0')
		return false;
	if (size < 1 || size >= 9e15)
		return false;
	row->size = (uint64_t)size;
	row->target = 0;
	return true;
}

static int bad_row(struct rh_input *input, const char *why, const char *line, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: not a size profile: %s: '%.60s'",
		       rh_input_path(input), (unsigned long long)rh_input_line_number(input), why,
		       line);
}

static int read_rows(struct rh_gen_profile *profile, struct rh_input *input, uint64_t size_max,
		     struct rh_err *err)
{
	struct rh_gen_profile_row row;
	ssize_t length;
	char *line;

	while ((length = rh_input_line(input, &line, err)) >= 0) {
		/* A first line of words is a heading. */
		if (length == 0 || line[0] == '#' ||
		    (rh_input_line_number(input) == 1 && strncmp(line, "size", 4) == 0))
			continue;
		if (!parse_row(line, &row))
			return bad_row(input, "each line is size, alloc_rate, live_count", line,
				       err);
		if (row.rate > 0 && add_row(profile, row, size_max) < 0)
			return bad_row(input, "more than 4096 rows", line, err);
	}
	return length == RH_INPUT_END ? 0 : -1;
}

static int read_csv(struct rh_gen_profile *profile, const char *csv, uint64_t size_max,
		    struct rh_err *err)
{
	struct rh_input *input;
	int result;

	if (rh_input_open(&input, csv, err) < 0)
		return -1;
	result = read_rows(profile, input, size_max, err);
	rh_input_close(input);
	return result;
}

/* Vose's method in integers: weights are scaled to a sum near count * 2^32, so that a row
 * with 2^32 is drawn by itself exactly as often as it should. */
static int make_alias(struct rh_gen_alias *alias, const uint64_t *weight, uint32_t count,
		      struct rh_err *err)
{
	uint64_t *left = reallocarray(NULL, count, sizeof(*left));
	uint32_t *stack = reallocarray(NULL, count, sizeof(*stack));
	uint32_t small = 0, large = count;

	alias->count = count;
	alias->threshold = reallocarray(NULL, count, sizeof(*alias->threshold));
	alias->other = reallocarray(NULL, count, sizeof(*alias->other));
	if (!left || !stack || !alias->threshold || !alias->other) {
		free(left);
		free(stack);
		return rh_fail(err, RH_OS, "no memory for a size profile");
	}
	for (uint32_t i = 0; i < count; i++) {
		left[i] = weight[i];
		stack[left[i] < 1ull << 32 ? small++ : --large] = i;
	}
	/* Small ones are on stack[0, small), large ones on stack[large, count). */
	while (small > 0 && large < count) {
		uint32_t poor = stack[--small], rich = stack[large];

		alias->threshold[poor] = (uint32_t)left[poor];
		alias->other[poor] = rich;
		left[rich] -= (1ull << 32) - left[poor];
		if (left[rich] < 1ull << 32) {
			large++;
			stack[small++] = rich;
		}
	}
	/* What is left is 2^32 up to rounding. */
	while (small > 0 || large < count) {
		uint32_t row = small > 0 ? stack[--small] : stack[large++];

		alias->threshold[row] = UINT32_MAX;
		alias->other[row] = row;
	}
	free(left);
	free(stack);
	return 0;
}

static int make_tables(struct rh_gen_profile *profile, struct rh_err *err)
{
	uint64_t *weight = reallocarray(NULL, profile->rows, sizeof(*weight));
	double rates = 0, lives = 0, scale;
	int result;

	if (!weight)
		return rh_fail(err, RH_OS, "no memory for a size profile");
	for (uint32_t i = 0; i < profile->rows; i++) {
		rates += profile->row[i].rate;
		lives += profile->row[i].live;
	}
	scale = (double)profile->rows * 4294967296.0;
	for (uint32_t i = 0; i < profile->rows; i++)
		weight[i] = (uint64_t)(profile->row[i].rate / rates * scale);
	result = make_alias(&profile->by_rate, weight, profile->rows, err);
	for (uint32_t i = 0; i < profile->rows; i++)
		weight[i] = (uint64_t)(profile->row[i].live / lives * scale);
	if (result == 0)
		result = make_alias(&profile->by_live, weight, profile->rows, err);
	free(weight);
	return result;
}

static int set_targets(struct rh_gen_profile *profile, uint64_t heap_bytes, const char *name,
		       struct rh_err *err)
{
	double bytes = 0, scale;

	for (uint32_t i = 0; i < profile->rows; i++)
		bytes += (double)profile->row[i].size * profile->row[i].live;
	if (profile->rows == 0 || !(bytes > 0) || !isfinite(bytes))
		return rh_fail(err, RH_BAD_DATA,
			       "%s: no row has a rate, a live count and a size "
			       "within a quarter of the heap",
			       name);
	scale = (double)heap_bytes / bytes;
	for (uint32_t i = 0; i < profile->rows; i++) {
		double target = profile->row[i].live * scale;

		/* 2^31 objects of one size need 32 GiB of handles. */
		if (target >= 2147483648.0)
			return rh_fail(err, RH_USAGE,
				       "a heap of %llu bytes holds too many objects of %llu bytes",
				       (unsigned long long)heap_bytes,
				       (unsigned long long)profile->row[i].size);
		profile->row[i].target = (uint64_t)(target * 4294967296.0);
	}
	return 0;
}

int rh_gen_profile_open(struct rh_gen_profile *profile, const char *csv, uint64_t heap_bytes,
			uint64_t size_max, struct rh_err *err)
{
	int result = 0;

	*profile = (struct rh_gen_profile){ 0 };
	profile->row = reallocarray(NULL, RH_GEN_PROFILE_ROWS_MAX, sizeof(*profile->row));
	if (!profile->row)
		return rh_fail(err, RH_OS, "no memory for a size profile");
	if (csv)
		result = read_csv(profile, csv, size_max, err);
	else
		for (size_t i = 0; i < sizeof(builtin) / sizeof(*builtin); i++)
			add_row(profile, builtin[i], size_max);
	if (result == 0)
		result = set_targets(profile, heap_bytes, csv ? csv : "built-in profile", err);
	if (result == 0)
		result = make_tables(profile, err);
	if (result < 0)
		rh_gen_profile_close(profile);
	return result;
}

void rh_gen_profile_close(struct rh_gen_profile *profile)
{
	free(profile->row);
	free(profile->by_rate.threshold);
	free(profile->by_rate.other);
	free(profile->by_live.threshold);
	free(profile->by_live.other);
	*profile = (struct rh_gen_profile){ 0 };
}
