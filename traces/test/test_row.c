/*
 * test_row.c - calls in rows (rh_build_rows) make the same file as the same calls made one by one,
 * in every form, under every set of columns, and where events go to a function; in good order and
 * with what has to be mended between.
 */
#include "traces/format/repair.h"
#include "traces/format/row.h"
#include "traces/test/test_support.h"

enum { WORDS = 150000, LIVING = 40000, LANES = 3, COLUMN_SETS = 16, SITES = 5 };

static uint64_t words[WORDS];
static size_t word_count;

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Addresses that live, in no order; each is used again when it is free. */
static struct {
	uint64_t living[LIVING], spare[LIVING];
	size_t count, spare_count;
	uint64_t fresh;
} heap;

static uint64_t an_address(void)
{
	uint64_t address = heap.spare_count ? heap.spare[--heap.spare_count]
					    : 0x7f0000000000 + 16 * ++heap.fresh;

	heap.living[heap.count++] = address;
	return address;
}

static uint64_t take(uint64_t *x)
{
	size_t one = next(x) % 3 ? heap.count - 1 - next(x) % (heap.count < 9 ? heap.count : 9)
				 : next(x) % heap.count;
	uint64_t address = heap.living[one];

	heap.living[one] = heap.living[--heap.count];
	heap.spare[heap.spare_count++] = address;
	return address;
}

static void add(unsigned kind, uint64_t address, uint64_t size)
{
	words[word_count++] = rh_row_word(kind, address, size);
}

static uint64_t a_size(uint64_t *x)
{
	return next(x) % 50 ? next(x) % 300 : next(x) % ((1u << RH_ROW_SIZE_BITS) - 2);
}

static void add_site(uint64_t *x)
{
	words[word_count++] = (uint64_t)RH_ROW_SITE << 60 | next(x) % SITES;
}

/* What no program in good order does, or what the recorder lost the begin of. */
static void add_odd(uint64_t *x)
{
	switch (next(x) % 6) {
	case 0: /* frees what was never born */
		add(RH_ROW_FREE, 0x500000000000 + 16 * (next(x) % 1000), 0);
		break;
	case 1: /* is given what lives */
		add(RH_ROW_ALLOC, heap.living[next(x) % heap.count], a_size(x));
		break;
	case 2: /* failed */
		add(RH_ROW_CALLOC, 0, a_size(x));
		break;
	case 3:
		add(RH_ROW_USABLE, 0x600000000000, 0);
		break;
	case 4:
		add(RH_ROW_RE_BEGIN, 0x500000000000 + 16 * (next(x) % 1000), 0);
		add(RH_ROW_RE_END, an_address(), a_size(x));
		break;
	default: /* NULL is freed */
		add(RH_ROW_FREE, 0, 0);
	}
}

static void add_realloc(uint64_t *x)
{
	uint64_t old = take(x);

	add(RH_ROW_RE_BEGIN, old, 0);
	if (next(x) % 4 == 0)
		add_site(x);
	add(RH_ROW_RE_END, an_address(), a_size(x)); /* a third of them stay where they are */
}

static void make_words(bool odd)
{
	static const uint8_t births[] = { RH_ROW_ALLOC,	 RH_ROW_ALLOC,	 RH_ROW_ALLOC,
					  RH_ROW_CALLOC, RH_ROW_RE_BORN, RH_ROW_NEW };
	uint64_t x = 88172645463325252ull;

	memset(&heap, 0, sizeof heap);
	word_count = 0;
	while (word_count < WORDS - 4) {
		unsigned what = (unsigned)(next(&x) % 100);
		size_t most = word_count < WORDS / 3 ? 200 : LIVING - 1; /* few, then many */

		if (odd && heap.count && next(&x) % 100 == 0)
			add_odd(&x);
		else if (heap.count < 2 || (what < 60 && heap.count < most))
			add(births[next(&x) % 6], an_address(), a_size(&x));
		else if (what < 88)
			add(RH_ROW_FREE, take(&x), what % 4 == 0 ? 1 + a_size(&x) : 0);
		else if (what < 92)
			add_realloc(&x);
		else if (what < 95)
			add(RH_ROW_USABLE, heap.living[next(&x) % heap.count], 0);
		else if (what < 97)
			add(RH_ROW_FREE, 0, 0);
		else
			add_site(&x);
	}
}

/* What all words from one place to another share; NULL: at the end. */
struct stretch {
	size_t from, to;
	uint64_t time_ns, thread;
};

static bool next_stretch(struct stretch *stretch, uint64_t *x)
{
	stretch->from = stretch->to;
	stretch->to += 1 + next(x) % (next(x) % 3 ? 4 : 300);
	if (stretch->to > word_count)
		stretch->to = word_count;
	/* A realloc is not torn. */
	while (stretch->to > 1 && stretch->to < word_count &&
	       words[stretch->to] >> 60 != RH_ROW_ALLOC)
		stretch->to++;
	stretch->time_ns = next(x) % 40 == 0 ? RH_NONE : stretch->from * 10;
	stretch->thread = 100 + next(x) % LANES;
	return stretch->from < word_count;
}

/* One call from there; how many words that was. */
static size_t call_at(struct rh_build *build, const struct stretch *stretch, size_t at,
		      uint32_t *site)
{
	static const unsigned flags[RH_ROW_KINDS] = {
		[RH_ROW_CALLOC] = RH_EVF_ZEROED,
		[RH_ROW_RE_BORN] = RH_EVF_REALLOC,
		[RH_ROW_NEW] = RH_EVF_NEW,
	};
	uint64_t word = words[at], address = rh_row_address(word), size = rh_row_size(word);
	uint64_t thread = stretch->thread;
	unsigned kind = (unsigned)(word >> 60);
	size_t end = at;
	struct rh_err err = { 0 };

	if (kind == RH_ROW_SITE) {
		*site = (uint32_t)word;
		return 1;
	}
	for (; kind == RH_ROW_RE_BEGIN && words[end] >> 60 != RH_ROW_RE_END; end++)
		if (words[end] >> 60 == RH_ROW_SITE)
			*site = (uint32_t)words[end];
	rh_build_stamp(build, stretch->time_ns, RH_TASK_NONE,
		       kind == RH_ROW_FREE && !address ? RH_SITE_NONE : *site);
	if (kind == RH_ROW_FREE && size)
		expect_ok(rh_build_free_sized(
				  build, thread,
				  &(struct rh_build_sized){ address, size - 1, RH_NONE }, &err),
			  &err);
	else if (kind == RH_ROW_FREE)
		expect_ok(rh_build_free(build, thread, address, RH_NONE, &err), &err);
	else if (kind == RH_ROW_USABLE)
		expect_ok(rh_build_usable(build, thread, address, &err), &err);
	else if (kind == RH_ROW_RE_BEGIN)
		expect_ok(rh_build_realloc(build, thread, address,
					   RH_BLOCK(.address = rh_row_address(words[end]),
						    .size = rh_row_size(words[end])),
					   &err),
			  &err);
	else
		expect_ok(rh_build_alloc(
				  build, thread,
				  RH_BLOCK(.address = address, .size = size, .flags = flags[kind]),
				  &err),
			  &err);
	return end + 1 - at;
}

/* Is what ends before that word cut off from the end of its realloc? */
static bool cuts_realloc(size_t at)
{
	while (at && words[at - 1] >> 60 == RH_ROW_SITE)
		at--;
	return at && words[at - 1] >> 60 == RH_ROW_RE_BEGIN;
}

/* Rows that are handled together, and the stretch of each. */
struct rows {
	struct rh_row row[RH_ROWS_WORDS];
	struct stretch of[RH_ROWS_WORDS];
	size_t count, words;
};

static void put_rows(struct rh_build *build, struct rows *rows)
{
	struct rh_err err = { 0 };
	size_t at = 0;

	while (at < rows->count) {
		struct rh_row *row = &rows->row[at];
		int got = rh_build_rows(build, row, rows->count - at, &err);
		size_t took;

		if (got < 0)
			expect_ok(got, &err);
		at += (size_t)got;
		if (at == rows->count)
			break;
		row = &rows->row[at];
		assert_true(row->count > 0);
		took = call_at(build, &rows->of[at], (size_t)(row->words - words), &row->site);
		row->words += took;
		row->count -= took;
		at += !row->count;
	}
	rows->count = rows->words = 0;
}

/* Takes from the front of the stretch what there is room for. */
static void add_row(struct rh_build *build, struct rows *rows, struct stretch *left, uint32_t *site)
{
	size_t take = left->to - left->from;
	struct rh_row *row = &rows->row[rows->count];
	struct rh_err err = { 0 };

	take = take < RH_ROWS_WORDS - rows->words ? take : RH_ROWS_WORDS - rows->words;
	while (take && cuts_realloc(left->from + take))
		take--;
	if (take) {
		*row = (struct rh_row){ .words = words + left->from,
					.count = take,
					.time_ns = left->time_ns,
					.site = *site };
		rh_build_stamp(build, left->time_ns, RH_TASK_NONE, RH_SITE_NONE);
		expect_ok(rh_build_lane(build, left->thread, &row->lane, &err), &err);
		for (size_t i = 0; i < take; i++)
			if (row->words[i] >> 60 == RH_ROW_SITE)
				*site = (uint32_t)row->words[i];
		rows->of[rows->count++] = *left;
		rows->words += take;
		left->from += take;
	}
}

static void in_rows(struct rh_build *build, struct rows *rows, struct stretch stretch,
		    uint32_t *site, uint64_t *x)
{
	while (stretch.from < stretch.to) {
		add_row(build, rows, &stretch, site);
		if (stretch.from < stretch.to || rows->words == RH_ROWS_WORDS || next(x) % 9 == 0)
			put_rows(build, rows);
	}
}

static int put_on(void *to, const struct rh_event *events, size_t count, struct rh_err *err)
{
	return rh_trace_put(to, events, count, err);
}

struct way {
	enum rh_trace_form form;
	unsigned columns;
	bool rows, redirected;
};

static void write_it(const char *path, const struct way *way)
{
	struct rh_trace_make make = {
		.path = path, .form = way->form, .columns = way->columns, .level = 1
	};
	struct stretch stretch = { .to = 0 };
	struct rows rows = { .count = 0 };
	uint64_t x = 99, y = 77;
	struct rh_trace_out *out;
	struct rh_build *build;
	uint32_t site = RH_SITE_NONE;
	struct rh_err err = { 0 };

	expect_ok(rh_trace_create(&out, &make, &err), &err);
	expect_ok(rh_build_open(&build, out, &err), &err);
	rh_build_batches(build);
	if (way->redirected)
		rh_build_redirect(build, put_on, out);
	rh_build_stamp(build, 0, RH_TASK_NONE, RH_SITE_NONE);
	for (uint32_t lane = 0; lane < LANES; lane++)
		expect_ok(rh_build_lane(build, 100 + lane, &lane, &err), &err);
	while (next_stretch(&stretch, &x)) {
		if (way->rows)
			in_rows(build, &rows, stretch, &site, &y);
		else
			for (size_t at = stretch.from; at < stretch.to;)
				at += call_at(build, &stretch, at, &site);
	}
	put_rows(build, &rows);
	expect_ok(rh_build_finish(build, &err), &err);
	rh_build_close(build);
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
}

static void compare(const struct way *way)
{
	const struct way one_by_one = { .form = way->form, .columns = way->columns };
	char one[4096];
	const char *fast;
	size_t bytes, bytes_fast;
	char *data, *data_fast;

	snprintf(one, sizeof one, "%s", scratch_path("one.rht"));
	fast = scratch_path("fast.rht");
	write_it(one, &one_by_one);
	write_it(fast, way);
	data = load_trace(one, &bytes);
	data_fast = load_trace(fast, &bytes_fast);
	assert_int_equal(bytes, bytes_fast);
	assert_memory_equal(data, data_fast, bytes);
	free(data);
	free(data_fast);
}

static void the_same_file(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * COLUMN_SETS; i++) {
		make_words(i >= COLUMN_SETS);
		compare(&(struct way){ .columns = i % COLUMN_SETS, .rows = true });
	}
}

static void the_same_text(void **state)
{
	(void)state;
	make_words(true);
	compare(&(struct way){
		.form = RH_FORM_TEXT, .columns = RH_COL_TIME | RH_COL_SITE, .rows = true });
}

static void the_same_for_a_function(void **state)
{
	(void)state;
	make_words(true);
	compare(&(struct way){
		.columns = RH_COL_TIME | RH_COL_SITE, .rows = true, .redirected = true });
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_file),
		cmocka_unit_test(the_same_text),
		cmocka_unit_test(the_same_for_a_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
