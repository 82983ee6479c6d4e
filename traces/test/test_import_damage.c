/*
 * test_import_damage.c - logs that are torn, mixed and cut, the same way for every importer
 * that reads lines: what is whole comes in, what is not is counted, and no number is read
 * as a shorter one. The expected events are written down here or are those of the whole log.
 */
#include "traces/test/import_support.h"

/* Four records of each format, as lines; `first` is all that must stand before them. */
static const struct sample {
	const char *format, *first, *line[4];
	bool mixes;   /* records are found in the middle of a line */
	bool foreign; /* whole lines of other text are distinguished from torn ones */
} samples[] = {
	{ "android",
	  "",
	  { "1: malloc 0x1000 1234", "1: calloc 0x2000 12 34", "1: realloc 0x3000 0x1000 5678",
	    "1: free 0x3000" },
	  true,
	  true },
	{ "heaptrack",
	  "v 10400 3\nI 1000 1\n",
	  { "+ 4d2 1 1000", "+ 198 2 2000", "- 1000", "- 2000" },
	  true,
	  false },
	{ "logalloc",
	  "",
	  { "7 1 malloc(1234)=0x1000", "7 1 calloc(12,34)=0x2000",
	    "7 1 realloc(0x1000,5678)=0x3000", "7 1 free(0x3000)" },
	  true,
	  true },
	{ "malloclab", "2\n4\n", { "a 0 1234", "a 1 408", "r 0 5678", "f 1" }, true, true },
	{ "mtrace",
	  "= Start\n",
	  { "@ ./t:[0x1149] + 0x1000 0x4d2", "@ ./t:[0x1149] + 0x2000 0x198",
	    "@ ./t:[0x1150] - 0x1000", "@ ./t:[0x1150] - 0x2000" },
	  true,
	  true },
	{ "valgrind",
	  "",
	  { "--7-- malloc(1234) = 0x1000", "--7-- calloc(12,34) = 0x2000",
	    "--7-- realloc(0x1000,5678) = 0x3000", "--7-- free(0x3000)" },
	  true,
	  true },
	{ "lttng",
	  "",
	  { "[01:02:03.000000004] h lttng_ust_libc:malloc: "
	    "{ cpu_id = 1 }, { size = 1234, ptr = 0x1000 }",
	    "[01:02:03.000000005] h lttng_ust_libc:malloc: "
	    "{ cpu_id = 1 }, { size = 408, ptr = 0x2000 }",
	    "[01:02:03.000000006] h lttng_ust_libc:free: { cpu_id = 1 }, { ptr = 0x1000 }",
	    "[01:02:03.000000007] h lttng_ust_libc:free: { cpu_id = 1 }, { ptr = 0x2000 }" },
	  true,
	  true },
	{ "perf",
	  "p 7 [000] 1.000001: l:malloc: (7f) bytes=1234\n",
	  { "p 7 [000] 1.000002: l:malloc__return: (7f <- 8) block=0x1000",
	    "p 7 [000] 1.000003: l:malloc: (7f) bytes=408",
	    "p 7 [000] 1.000004: l:malloc__return: (7f <- 8) block=0x2000",
	    "p 7 [000] 1.000005: l:free: (7f) block=0x1000" },
	  true,
	  true },
	{ "umpire",
	  "",
	  { "{\"name\":\"allocate\",\"size\":1234,\"pointer\":\"0x1000\",\"timestamp\":4}",
	    "{\"name\":\"allocate\",\"size\":408,\"pointer\":\"0x2000\",\"timestamp\":5}",
	    "{\"name\":\"deallocate\",\"pointer\":\"0x1000\",\"timestamp\":6}",
	    "{\"name\":\"deallocate\",\"pointer\":\"0x2000\",\"timestamp\":7}" },
	  true,
	  true },
	{ "csv",
	  "time,thread,op,old,size,ptr\n",
	  { "4,7,malloc,0,1234,0x1000", "5,7,malloc,0,408,0x2000", "6,7,realloc,0x1000,5678,0x3000",
	    "7,7,free,0,0,0x3000" },
	  true,
	  true },
	{ "ltrace",
	  "",
	  { "[pid 7] prog->malloc(1234) = 0x1000", "[pid 7] calloc(12, 34) = 0x2000",
	    "[pid 7] realloc(0x1000, 5678) = 0x3000", "[pid 7] prog->free(0x3000) = <void>" },
	  true,
	  true },
	{ "go-allocfree",
	  "",
	  { "tracealloc(0xc000001000, 0x4d2, main.node)", "tracealloc(0xc000002000, 0x198)",
	    "tracefree(0xc000001000, 0x4d2)", "tracefree(0xc000002000, 0x198)" },
	  true,
	  false },
	{ "wee_alloc", "", { "Alloc(1234),", "Alloc(408),", "Free(0),", "Free(1)," }, true, true },
};
enum { SAMPLES = sizeof(samples) / sizeof(*samples) };

static char log_text[200000];
static size_t log_bytes;

static void add(const char *text)
{
	size_t bytes = strlen(text);

	assert_true(log_bytes + bytes < sizeof(log_text));
	memcpy(log_text + log_bytes, text, bytes + 1);
	log_bytes += bytes;
}

static void begin(const struct sample *sample)
{
	log_bytes = 0;
	add(sample->first);
}

static void add_lines(const struct sample *sample)
{
	for (int i = 0; i < 4; i++) {
		add(sample->line[i]);
		add("\n");
	}
}

/* The events of the log as text; ik has the binary import of it. */
static char *events_of(const char *format, size_t bytes)
{
	char *events;

	store_trace(scratch_path("input.txt"), log_text, bytes);
	ik_import_as(format, scratch_path("input.txt"), RH_FORM_TEXT, NULL);
	if (ik.rc < 0)
		return NULL;
	events = ik_event_lines(ik.path);
	/* Notes at the end of a text trace are there only when it was read to its end. */
	ik_import_as(format, scratch_path("input.txt"), RH_FORM_BINARY, NULL);
	return events;
}

/* The events of the undamaged log. */
static char *whole_of(const struct sample *sample)
{
	begin(sample);
	add_lines(sample);
	return events_of(sample->format, log_bytes);
}

/* Cut after any byte: an error before the first record, else the beginning of what the whole
 * log gives, and the note wherever a line was begun. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct sample *sample = &samples[s];
		size_t head = strlen(sample->first);
		char *whole;

		whole = whole_of(sample);
		assert_non_null(whole);
		for (size_t cut = head + strlen(sample->line[0]) + 1; cut < log_bytes; cut++) {
			char *part = events_of(sample->format, cut);

			if (!part)
				fail_msg("%s cut at %zu: %s", sample->format, cut, ik.err.text);
			if (strncmp(whole, part, strlen(part)) != 0)
				fail_msg("%s cut at %zu:\n%s", sample->format, cut, part);
			assert_int_equal(ik_has_note("import.truncated"),
					 log_text[cut - 1] != '\n');
			free(part);
		}
		free(whole);
	}
}

/* A program writes to the log: lines of its own, and text before a record. */
static void test_foreign(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct sample *sample = &samples[s];
		char *whole, *mixed;

		whole = whole_of(sample);
		begin(sample);
		for (int i = 0; i < 4; i++) {
			if (sample->foreign)
				add("Hello, world!\n");
			if (sample->mixes)
				add("a progress bar at 42 percent .. ");
			add(sample->line[i]);
			add("\n");
		}
		mixed = events_of(sample->format, log_bytes);
		if (!mixed)
			fail_msg("%s: %s", sample->format, ik.err.text);
		assert_string_equal(mixed, whole);
		if (sample->foreign && ik_note("drop.other_line") != 4)
			fail_msg("%s: lines of others", sample->format);
		if (ik_note("repair.foreign_text") != (sample->mixes ? 4u : 0u))
			fail_msg("%s: text of others", sample->format);
		ik_adds_up(sample->format);
		free(whole);
		free(mixed);
	}
}

/* And behind it. */
static void test_foreign_behind(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct sample *sample = &samples[s];
		char *whole, *mixed;

		whole = whole_of(sample);
		begin(sample);
		for (int i = 0; i < 4; i++) {
			add(sample->line[i]);
			add(i % 2 ? " .. done\n" : " (42 percent)\n");
		}
		mixed = events_of(sample->format, log_bytes);
		if (!mixed)
			fail_msg("%s: %s", sample->format, ik.err.text);
		if (strcmp(mixed, whole) == 0) {
			if (ik_note("repair.foreign_text") != 4)
				fail_msg("%s: text of others behind", sample->format);
		} else {
			/* A number behind a number may be of the record. */
			if (ik_note("drop.torn_line") + ik_note("repair.foreign_text") != 4)
				fail_msg("%s:\n%s", sample->format, mixed);
		}
		ik_adds_up(sample->format);
		free(whole);
		free(mixed);
	}
}

/* One line of 401 torn is left out and counted; of every ten one is too many, and what would
 * take them is said; where none may be, one is. */
static void test_torn(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct sample *sample = &samples[s];
		size_t half = strlen(sample->line[0]) / 2;
		char torn[100];

		snprintf(torn, sizeof(torn), "%.*s\n", (int)half, sample->line[0]);
		/* "+ 4d2 1 1" is whole; a number that is cut in a record cannot be seen. */
		if (strcmp(sample->format, "heaptrack") == 0)
			snprintf(torn, sizeof(torn), "+ 4d2 1\n");
		if (strcmp(sample->format, "malloclab") == 0)
			snprintf(torn, sizeof(torn), "a 0\n");
		if (strcmp(sample->format, "ltrace") == 0)
			snprintf(torn, sizeof(torn), "[pid 7] prog->malloc(1234)\n");
		if (strcmp(sample->format, "android") == 0)
			snprintf(torn, sizeof(torn), "1: malloc 0x1000\n");
		if (strcmp(sample->format, "mtrace") == 0)
			snprintf(torn, sizeof(torn), "@ ./t:[0x1149] + 0x1000\n");
		begin(sample);
		for (int i = 0; i < 100; i++) {
			add_lines(sample);
			if (i == 50)
				add(torn);
		}
		free(events_of(sample->format, log_bytes));
		expect_ok(ik.rc, &ik.err);
		if (ik_note("drop.torn_line") != 1)
			fail_msg("%s: '%s' is not torn", sample->format, torn);
		ik_adds_up(sample->format);
		begin(sample);
		for (int i = 0; i < 20; i++) {
			add_lines(sample);
			add(torn);
		}
		assert_null(events_of(sample->format, log_bytes));
		assert_int_equal(ik.err.code, RH_BAD_DATA);
		if (!strstr(ik.err.text, "20 of 10") || !strstr(ik.err.text, "--max-damage "))
			fail_msg("%s: %s", sample->format, ik.err.text);
	}
}

/* A line broke off, and the next stands behind it in one: what is whole comes in, what is lost is
 * not, and no value is taken from the wrong one. */
static void test_joined(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct sample *sample = &samples[s];
		char half[100], *joined, *without;
		bool counts = strcmp(sample->format, "wee_alloc") == 0;
		/* A line of these is half of a call, and no event alone. */
		bool is_half = strcmp(sample->format, "perf") == 0;

		/* Numbers run together there: "+ 4d2 1+ 198 2 2000", "4,7,mal5,7,malloc". */
		if (!sample->mixes || strcmp(sample->format, "csv") == 0 ||
		    strcmp(sample->format, "malloclab") == 0)
			continue;
		snprintf(half, sizeof(half), "%.*s", (int)strlen(sample->line[0]) * 3 / 5,
			 sample->line[0]);
		begin(sample);
		add(half);
		add(sample->line[1]);
		add("\n");
		if (is_half)
			add_lines(sample);
		joined = events_of(sample->format, log_bytes);
		if (!joined)
			fail_msg("%s: %s", sample->format, ik.err.text);
		ik_adds_up(sample->format);
		if (!ik_note("repair.foreign_text") && !ik_note("drop.no_entry"))
			fail_msg("%s: nothing is said", sample->format);
		begin(sample);
		add(sample->line[1]);
		add("\n");
		if (is_half)
			add_lines(sample);
		without = events_of(sample->format, log_bytes);
		if (!counts)
			assert_string_equal(joined, without);
		free(joined);
		free(without);
	}
}

/* A log of which nothing is left is no trace of 0 events; a number that goes on is not its
 * beginning; a record that other text was written into is said to be lost where the next is taken.
 */
static void test_nothing_is_left(void **state)
{
	static const struct {
		const char *format, *text;
	} rows[] = {
		{ "android", "1: free 0x10\n1: malloc 0x0 8\n" },
		{ "lttng",
		  "[20:38:11.907388453] h lttng_ust_libc:malloc: { cpu_id = 1 }, { size = 1.5e3, "
		  "ptr = 0x10 }\n[20:38:11.907388463] h lttng_ust_libc:free: { cpu_id = 1 }, { "
		  "ptr = 0x10 }\n" },
		{ "heaptrack", "v 10500 3\nX ./a\n+ 64 10 done\n- 10 20 done\n" },
		{ "umpire",
		  "{\"kind\":\"replay\",\"uid\":1,\"timestamp\":2,\"event\":\"deallocate\","
		  "\"payload\":{\"memory_ptr\":\"0x10\"}}\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ik_refuse(rows[i].format, rows[i].text, "nothing in it is an event");
	ik_expect("android", "1: malloc 0x10 8progress 1: malloc 0x20 9\n1: free 0x20\n",
		  "lane_start lane=0\nalloc lane=0 id=0 size=9\nfree lane=0 id=0\n");
	assert_int_equal(ik_note("repair.torn_record"), 1);
	/* An alignment that is none. */
	ik_expect("android", "1: memalign 0x10 18446744073709551615 8\n",
		  "lane_start lane=0\nalloc lane=0 id=0 size=8\n");
	assert_int_equal(ik_note("repair.alignment"), 1);
}

/* What counts lines counts a torn one, too: its place keeps its number. */
static void test_ghosts(void **state)
{
	(void)state;
	ik_expect("wee_alloc", "Alloc(1),\nAlloc(2),\nAll\nAlloc(4Alloc(5),\nFree(1),\nFree(4),\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=1\n"
		  "alloc lane=0 id=1 size=2\n"
		  "alloc lane=0 id=2 size=5\n"
		  "free lane=0 id=1\n"
		  "free lane=0 id=2\n");
	assert_int_equal(ik_note("drop.other_line"), 1);
	assert_int_equal(ik_note("repair.foreign_text"), 1);
	ik_expect("heaptrack",
		  "v 10400 3\nX /bin/prog\nI 1000 1\n"
		  "s 4 main\ns 3 top\ni 7f01 0 1\ni 7f02 0 2\nt 1 0\nt 2 1\n"
		  "a 40\na 80 2\n+ 1\n+ 0\n- 1\n- 0\n",
		  "site 2=top\n"
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=128 site=2\n"
		  "free lane=0 id=0\n");
	assert_int_equal(ik_note("drop.torn_line"), 1);
	assert_int_equal(ik_note("drop.pair_unknown"), 2);
}

/* A time whose digits ran together is not believed, and neither the next ones spoilt. */
static void test_times(void **state)
{
	(void)state;
	ik_expect("umpire",
		  "{\"name\":\"allocate\",\"size\":1,\"pointer\":\"0x1000\",\"timestamp\":100}\n"
		  "{\"name\":\"allocate\",\"size\":2,\"pointer\":\"0x2000\","
		  "\"timestamp\":9999999999999999999}\n"
		  "{\"name\":\"deallocate\",\"pointer\":\"0x2000\",\"timestamp\":107}\n"
		  "{\"name\":\"deallocate\",\"pointer\":\"0x1000\",\"timestamp\":101}\n",
		  "lane_start lane=0 time=0\n"
		  "alloc lane=0 id=0 size=1 time=0\n"
		  "alloc lane=0 id=1 size=2 time=0\n"
		  "free lane=0 id=1 time=7\n"
		  "free lane=0 id=0 time=7\n");
	assert_int_equal(ik_note("repair.clock_beyond"), 1);
	assert_int_equal(ik_note("repair.clock_back"), 1);
}

/* A program printed more in a line than lines may have: the record behind it is found. */
static void test_long_line(void **state)
{
	static char text[150000];
	size_t at = 0;

	(void)state;
	for (size_t bytes = 70000; bytes <= 140000; bytes += 70000) {
		at = (size_t)snprintf(text, sizeof(text), "--7-- malloc(8) = 0x1000\n");
		memset(text + at, 'x', bytes);
		at += bytes;
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       " --7-- malloc(9) = 0x2000\n--7-- free(0x2000)\n");
		ik_expect("valgrind", text,
			  "lane_start lane=0\n"
			  "alloc lane=0 id=0 size=8\n"
			  "alloc lane=0 id=1 size=9\n"
			  "free lane=0 id=1\n");
		assert_int_equal(ik_note("repair.foreign_text"), 1);
	}
}

/* Two processes of one log: a record in another. Its number is not taken for a whole one. */
static void test_fork(void **state)
{
	(void)state;
	ik_expect("mtrace",
		  "= Start\n"
		  "@ ./t:[0x1149] + 0x5581e0 0x64\n"
		  "@ ./t:[0x1149] + 0x558250 0x64\n"
		  "@ ./t:[0x1149] - 0x55@ ./t:[0x1160] - 0x5581e0\n"
		  "8250\n"
		  "@ ./t:[0x1160] - 0x558250\n"
		  "= End\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=100\n"
		  "alloc lane=0 id=1 size=100\n"
		  "free lane=0 id=0\n"
		  "free lane=0 id=1\n");
	assert_int_equal(ik_note("drop.torn_line"), 1);
	assert_int_equal(ik_note("repair.foreign_text"), 1);
}

/* What the program writes without a newline before valgrind's record; and its times. */
static void test_valgrind_lines(void **state)
{
	(void)state;
	ik_expect("valgrind",
		  "==7== Memcheck\n"
		  "progress 0--7-- malloc(100) = 0x4D71C80\n"
		  "--7-- free(0x4D71C80)progress 1\n"
		  "progress ---7-- malloc(101) = 0x4D71D30\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=100\n"
		  "free lane=0 id=0\n"
		  "alloc lane=0 id=1 size=101\n");
	assert_int_equal(ik_note("repair.foreign_text"), 3);
	ik_expect("valgrind",
		  "==00:00:00:00.000 7== Memcheck\n"
		  "--00:00:00:01.489 7-- malloc(100) = 0x4D71C80\n"
		  "--00:00:01:02.500 7-- free(0x4D71C80)\n",
		  "lane_start lane=0 time=1489000000\n"
		  "alloc lane=0 id=0 size=100 time=1489000000\n"
		  "free lane=0 id=0 time=62500000000\n");
}

/* A command with newlines, one of which looks like a letter of heaptrack's. */
static void test_heaptrack_command(void **state)
{
	static const char *const commands[] = {
		"python3 -c \nimport os\nprint(os.getpid())\n",
		"awk {print}\nA 7 0 2\n",
		"sh -c \n- 10\nc 7\nsome i s t a\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		char text[500];

		snprintf(text, sizeof(text),
			 "v 10500 3\nX %s\nI 1000 7d0000\n+ 40 1 55aa0010\nc a\n- 55aa0010\n",
			 commands[i]);
		ik_expect("heaptrack", text,
			  "lane_start lane=0\n"
			  "alloc lane=0 id=0 size=64\n"
			  "free lane=0 id=0 time=10000000\n");
		assert_false(ik_has_note("heaptrack.attached"));
		assert_true(ik_has_note("program"));
	}
}

/* Sizes, sites and order are exact; which of two alike dies is guessed and counted. */
static void test_heaptrack_interpreted(void **state)
{
	(void)state;
	ik_expect("heaptrack",
		  "v 10400 3\nX /bin/prog\nI 1000 5e2922\n"
		  "s 4 main\ns 4 f(x)\n"
		  "i 7f01 0 1 0 1\ni 7f02 0 2\nt 1 0\nt 2 1\n"
		  "a 40 1\n+ 0\n+ 0\n"
		  "a 80 2\n+ 1\nc a\n- 0\n- 0\n- 0\n- 1\n"
		  "# strings: 2\n",
		  "site 1=main\n"
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=64 site=1\n"
		  "alloc lane=0 id=1 size=64 site=1\n"
		  "site 2=f(x)\n"
		  "alloc lane=0 id=2 size=128 site=2\n"
		  "free lane=0 id=1 time=10000000\n"
		  "free lane=0 id=0 time=10000000\n"
		  "free lane=0 id=2 time=10000000\n");
	assert_int_equal(ik_note("estimate.identity"), 1);
	assert_int_equal(ik_note("drop.free_unknown"), 1);
	assert_true(ik_has_note("heaptrack.identity"));
}

/* A zero byte would end the line for whoever reads it. */
static void test_zero_byte(void **state)
{
	static const char text[] = "1: malloc 0x10 8\0junk\n1: free 0x10\n";

	(void)state;
	ik_import("android", "input.txt", text, sizeof(text) - 1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "input.txt:1: a zero byte"));
}

/* Every sample is found by its lines alone, also behind foreign ones where those may be. */
static void test_by_content(void **state)
{
	(void)state;
	for (int s = 0; s < SAMPLES; s++) {
		const struct rh_importer *found;
		struct rh_input *input;
		char *line;

		begin(&samples[s]);
		add_lines(&samples[s]);
		store_trace(scratch_path("input.txt"), log_text, log_bytes);
		expect_ok(rh_input_open(&input, scratch_path("input.txt"), &ik.err), &ik.err);
		found = rh_importer_by_content(input, &ik.err);
		assert_non_null(found);
		assert_string_equal(found->name, samples[s].format);
		/* and nothing was taken */
		assert_true(rh_input_line(input, &line, &ik.err) > 0);
		assert_int_equal(strncmp(line, log_text, strlen(line)), 0);
		rh_input_close(input);
	}
	store_trace(scratch_path("input.txt"), "hello\nworld\n", 12);
	{
		struct rh_input *input;

		expect_ok(rh_input_open(&input, scratch_path("input.txt"), &ik.err), &ik.err);
		assert_null(rh_importer_by_content(input, &ik.err));
		assert_int_equal(ik.err.code, RH_BAD_DATA);
		rh_input_close(input);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_foreign_behind),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_ghosts),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_valgrind_lines),
		cmocka_unit_test(test_heaptrack_command),
		cmocka_unit_test(test_heaptrack_interpreted),
		cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_by_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
