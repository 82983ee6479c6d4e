/*
 * test_import_formats.c - the other importers: known lines to known events, bad ones to
 * their message, and recordings that the real tools make of this very program: run with
 * the argument "victim" it makes a known sequence of calls and ends.
 */
#include <malloc.h>
#include <mcheck.h>

#include "traces/test/import_support.h"

/* ---- malloclab ---- */

#define LAB_EVENTS(of_null)                               \
	"lane_start lane=0\n"                             \
	"alloc lane=0 id=0 size=512\n"                    \
	"alloc lane=0 id=1 size=128\n"                    \
	"resize lane=0 id=2 old=0 size=640\n"             \
	"free lane=0 id=1\n" of_null "free lane=0 id=2\n" \
	"alloc lane=0 id=3 size=8\n"
static const char lab_events[] = LAB_EVENTS("");

static void test_malloclab(void **state)
{
	(void)state;
	ik_expect("malloclab", "20000\n2\n7\n1\na 0 512\na 1 128\nr 0 640\nf 1\nf -1\nf 0\na 1 8\n",
		  LAB_EVENTS("free_null lane=0\n"));
	assert_int_equal(ik_note("import.lines"), 11);
	assert_int_equal(ik_note("drop.header_line"), 4);
	assert_int_equal(ik_note("malloclab.weight"), 1);
	assert_int_equal(ik_note("repair.header_ops"), 0);
	/* the new header, CRLF, and a count that promises two more lines */
	ik_expect("malloclab",
		  "3\r\n2\r\n8\r\n5000\r\n\r\na 0 512\r\na 1 128\r\nr 0 640\r\nf 1\r\n"
		  "f 0\r\na 1 8\r\n",
		  lab_events);
	assert_int_equal(ik_note("malloclab.weight"), 3);
	assert_int_equal(ik_note("repair.header_ops"), 2);
	assert_int_equal(ik_note("drop.blank_line"), 1);
}

static void test_malloclab_refused(void **state)
{
	(void)state;
	ik_refuse("malloclab", "a 0 512\n", ":1: not a malloclab");
	ik_refuse("malloclab", "1\n1\nx 0 1\na 0 1\ny 1\n1\n2\n",
		  ":6: not a malloclab trace line: a number alone");
	ik_refuse("malloclab", "1\n1\n1\n1\na 0\na 1\n", "no size");
	ik_refuse("malloclab", "1\n1\n1\n1\na 0 1 2\nf 0 1\n", ":5: ");
	ik_refuse("malloclab", "1\n1\n1\n1\na -2 1\na -2 1\n", "no id");
	ik_refuse("malloclab", "1\n1\n1\na 0 9223372036854775808\nf -2\n", ":4: ");
	ik_refuse("malloclab", "hello\n", ":1: ");
}

/* Two numbers, or five; and a last line without newline, which may be half of one. */
static void test_malloclab_headers(void **state)
{
	static const char events[] = "lane_start lane=0\n"
				     "alloc lane=0 id=0 size=64\n"
				     "alloc lane=0 id=1 size=32\n"
				     "free lane=0 id=0\n"
				     "free lane=0 id=1\n";

	(void)state;
	ik_expect("malloclab", "2\n4\na 0 64\na 1 32\nf 0\nf 1\n", events);
	assert_int_equal(ik_note("drop.header_line"), 2);
	assert_int_equal(ik_note("repair.header_ops"), 0);
	ik_expect("malloclab", "2\n9\na 0 64\na 1 32\nf 0\nf 1\nf 1", events);
	assert_true(ik_has_note("import.truncated"));
	assert_int_equal(ik_note("drop.cut_line"), 1);
	assert_int_equal(ik_note("repair.header_ops"), 5);
	ik_expect("malloclab", "1\n2\n3\n4\n5\na 0 64\na 1 32\nf 0\nf 1\n", events);
	assert_int_equal(ik_note("drop.header_line"), 5);
}

/* ---- text ---- */

static void test_text(void **state)
{
	static const char text[] = "# made by hand\n"
				   "reheap-trace 1 columns=site\r\n"
				   "note program=x\\\\y\n"
				   "note source=somewhere\n"
				   "\n"
				   "alloc lane=0 size=64 site=2\n"
				   "resize lane=1 old=0 size=128\n"
				   "free lane=0 id=1\n"
				   "site 2=main.c:3\n";
	struct rh_trace *trace;

	(void)state;
	ik_expect("text", text,
		  "site 2=main.c:3\n"
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=64 site=2\n"
		  "lane_start lane=1\n"
		  "resize lane=1 id=1 old=0 size=128\n"
		  "free lane=0 id=1\n");
	assert_int_equal(ik_note("repair.lane_start"), 2);
	assert_int_equal(ik_note("repair.no_end"), 1);
	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	assert_string_equal(rh_trace_note_of(trace, "program"), "x\\y");
	assert_string_equal(rh_trace_note_of(trace, "before.source"), "somewhere");
	assert_string_equal(rh_trace_site(trace, 2), "main.c:3");
	rh_trace_close(trace);
}

/* What the maker makes at random, written as text, comes back to the event. */
static void test_text_identity(void **state)
{
	enum { EVENTS = 20000 };
	struct rh_event *events = malloc(EVENTS * sizeof(*events));
	char text[128];
	struct maker maker;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	int rc;

	(void)state;
	assert_non_null(events);
	snprintf(text, sizeof(text), "%s", scratch_path("all.txt"));
	for (unsigned columns = 0; columns < 16; columns += 5) {
		maker_open(&maker, columns, columns + 3);
		for (size_t i = 0; i < EVENTS; i++)
			maker_event(&maker, -1, &events[i]);
		maker_close(&maker);
		write_events(text, RH_FORM_TEXT, columns, events, EVENTS);
		ik_import_as("text", text, RH_FORM_BINARY, NULL);
		expect_ok(ik.rc, &ik.err);
		expect_ok(rh_trace_open(&trace, ik.path, &err), &err);
		assert_int_equal(rh_trace_columns(trace), columns);
		assert_int_equal(read_trace_prefix(trace, events, EVENTS, &rc, &err), EVENTS);
		expect_ok(rc, &err);
		rh_trace_close(trace);
	}
	free(events);
}

static void test_text_refused(void **state)
{
	static const char head[] = "reheap-trace 1\n";
	char text[200];
	static const struct {
		const char *line, *part;
	} bad[] = {
		{ "malloc lane=0 size=1", ":2: " },
		{ "alloc lane=0", ":2: " },
		{ "free lane=0 id=0", ":2: " },
		{ "alloc lane=5 size=1", ":2: " },
		{ "end\nalloc lane=0 size=1", ":3: not a line of a text trace: something follows" },
		{ "note x", ":2: not a line of a text trace: a note is written" },
		{ "site x=1", "no site number" },
		{ "alloc lane=0 size=9223372036854775808", ":2: " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "%s%s\n", head, bad[i].line);
		ik_refuse("text", text, bad[i].part);
	}
	ik_refuse("text", "alloc lane=0 size=1\n", ":1: ");
	ik_refuse("text", "# nothing\n", "blanks and comments");
}

/* ---- logs of other tools, by hand ---- */

static void test_valgrind(void **state)
{
	(void)state;
	ik_expect("valgrind",
		  "==5== Memcheck, a memory error detector\n"
		  "--5-- malloc(100) = 0x4A41040\n"
		  "--5-- calloc(10,20) = 0x4A41150\n"
		  "--5-- realloc(0x4A41040,300) = 0x4A41350\n"
		  "output of the program\n"
		  "--5-- realloc(0x0,50)malloc(50) = 0x4A41400\n"
		  "--5-- realloc(0x4A41400,0)free(0x4A41400)\n"
		  "--6-- malloc(1) = 0x4A41040\n"
		  "--5-- memalign(al 64, size 1000) = 0x4A48740\n"
		  "--5-- _ZnwmSt11align_val_t(size 96, al 32) = 0x4D6ECC0\n"
		  "--5-- _ZnwmRKSt9nothrow_t(4) = 0x4D6FE70\n"
		  "--5-- _ZdlPvmSt11align_val_t(0x4D6ECC0)\n"
		  "--5-- _ZdlPvm(0x4D6FE70)\n"
		  "--5-- malloc(4611686018427387904) = 0x0\n"
		  "--5-- free(0x0)\n"
		  "--5-- free(0x4A41350)\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=100\n"
		  "alloc lane=0 id=1 size=200 flags=zeroed\n"
		  "resize lane=0 id=2 old=0 size=300\n"
		  "alloc lane=0 id=3 size=50 flags=realloc\n"
		  "free lane=0 id=3\n"
		  "alloc lane=0 id=4 size=1000 align=64\n"
		  "alloc lane=0 id=5 size=96 align=32\n"
		  "alloc lane=0 id=6 size=4 flags=new\n"
		  "free lane=0 id=5\n"
		  "free lane=0 id=6\n"
		  "free_null lane=0\n"
		  "free lane=0 id=2\n");
	assert_int_equal(ik_note("drop.other_line"), 2);
	assert_int_equal(ik_note("drop.other_process"), 1);
	assert_int_equal(ik_note("drop.failed"), 1);
	assert_int_equal(ik_note("valgrind.pid"), 5);
	ik_import_as("valgrind", scratch_path("input.txt"), RH_FORM_BINARY, "pid=6");
	expect_ok(ik.rc, &ik.err);
	assert_int_equal(ik.totals.objects, 1);
	ik_import_as("valgrind", scratch_path("input.txt"), RH_FORM_BINARY, "pid=9");
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "process 9 is not in it (these are: 5, 6)"));
	ik_refuse("valgrind", "hello\n", "of valgrind --trace-malloc=yes");
}

static void test_heaptrack(void **state)
{
	(void)state;
	ik_expect("heaptrack",
		  "v 10400 3\nX ./prog a b\nI 1000 5e2990\nt 7f2c6848cb9f 0\n"
		  "+ 11c00 4 55ef385e1530\nc a\n+ c8 8 55ef385f31d0\n- 55ef385e1530\nR 3f4\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=72704\n"
		  "alloc lane=0 id=1 size=200 time=10000000\n"
		  "free lane=0 id=0 time=10000000\n");
	assert_int_equal(ik_note("drop.other_line"), 6);
	ik_refuse("heaptrack", "v 10400 3\n+ 10 1\n+ 10 1\n",
		  ":2: not a heaptrack line: an allocation");
	ik_refuse("heaptrack", "v 10400 3\n- xyz\n- \n", "a free is");
	ik_refuse("heaptrack", "hello\n", ":1: not a heaptrack line: the first");
}

static void test_logalloc(void **state)
{
	(void)state;
	ik_expect("logalloc",
		  "18545 7 malloc(32)=0x7f90495120e0\n"
		  "18545 8 calloc(4,42)=0x10\n"
		  "18545 7 realloc(0x10,100)=0x20\n"
		  "18546 7 free(0x20)\n"
		  "18545 7 posix_memalign(64,42)=0x30\n"
		  "18545 7 malloc(1)=(nil)\n"
		  "18545 7 jemalloc_stats()\n"
		  "18545 8 free(0x7f90495120e0)\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=32\n"
		  "lane_start lane=1\n"
		  "alloc lane=1 id=1 size=168 flags=zeroed\n"
		  "resize lane=0 id=2 old=1 size=100\n"
		  "alloc lane=0 id=3 size=42 align=64\n"
		  "mark lane=0 id=1\n"
		  "free lane=1 id=0\n"
		  "site 1=jemalloc_stats\n");
	assert_int_equal(ik_note("drop.other_process"), 1);
	assert_int_equal(ik_note("drop.failed"), 1);
	/* munged, without thread ids; slots are used again */
	ik_expect("logalloc",
		  "1 malloc(42)=#1\n1 malloc(24)=#2\n1 free(#1)\n1 valloc(8)=#1\n1 free(#0)\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=42\n"
		  "alloc lane=0 id=1 size=24\n"
		  "free lane=0 id=0\n"
		  "alloc lane=0 id=2 size=8 align=4096\n"
		  "free_null lane=0\n");
	ik_import_as("logalloc", scratch_path("input.txt"), RH_FORM_BINARY, "pid=4");
	assert_non_null(strstr(ik.err.text, "process 4 is not in it (these are: 1)"));
	ik_refuse("logalloc", "1 1 malloc(5)\n", ":1: not a logalloc line: the result is missing");
	ik_refuse("logalloc", "1 1 frobnicate(5)=0x1\n", "the function is not known");
	ik_refuse("logalloc", "1 1 calloc(5)=0x1\n", "the arguments are wrong");
	ik_refuse("logalloc", "malloc(5)=0x1\n", "process id");
}

static void test_wee_alloc(void **state)
{
	(void)state;
	ik_expect("wee_alloc", "Alloc(128),\nAlloc(7),\nFree(0),\nFree(0),\nAlloc(0)\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=128\n"
		  "alloc lane=0 id=1 size=7\n"
		  "free lane=0 id=0\n"
		  "alloc lane=0 id=2 size=0\n");
	assert_int_equal(ik_note("drop.free_unknown"), 1);
	ik_refuse("wee_alloc", "Alloc(1),\nFree(1),\nFree(2)\n",
		  ":2: not a wee_alloc line: that Alloc");
	ik_refuse("wee_alloc", "Malloc(1)\n", "it is neither");
	ik_refuse("wee_alloc", "Alloc(1x);\n", "a bracket are missing");
}

/* ---- mtrace, both kinds ---- */

static void test_mtrace_text(void **state)
{
	(void)state;
	ik_expect("mtrace",
		  "= Start\n"
		  "@ ./t:[0x1] + 0x10 0xc8\n"
		  "@ /a path/with + blanks:(f+0x1)[0x2] + 0x20 0x10\n"
		  "@ ./t:[0x1] < 0x10\n"
		  "@ ./t:[0x1] > 0x30 0x200\n"
		  "@ ./t:[0x1] + (nil) 0x4000000000000000\n"
		  "@ ./t:[0x1] ! 0x30 0x4000000000000000\n"
		  "- 0x20\n"
		  "= End\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=200\n"
		  "alloc lane=0 id=1 size=16\n"
		  "resize lane=0 id=2 old=0 size=512\n"
		  "free lane=0 id=1\n");
	assert_int_equal(ik_note("drop.failed"), 2);
	assert_int_equal(ik_note("drop.header_line"), 2);
	assert_int_equal(ik_note("drop.realloc_first_half"), 1);
	ik_refuse("mtrace", "hello\n", ":1: not an mtrace line");
	ik_refuse("mtrace", "= Start\n@ ./t:[0x1] > 0x30 0x200\n@ x > 0x3 0x2\n",
		  ":2: not an mtrace line");
}

static void record(unsigned char *at, int32_t thread, uint32_t type, const uint64_t words[4])
{
	memset(at, 0, 64);
	memcpy(at, &thread, 4);
	memcpy(at + 4, &type, 4);
	memcpy(at + 8, words, 32);
}

static void test_mtrace_binary(void **state)
{
	unsigned char bytes[11 * 64];

	(void)state;
	record(bytes, 1, 255, (uint64_t[4]){ 0x1234, 0, 8, 0 });
	record(bytes + 64, 1, 1 | 0x300, (uint64_t[4]){ 0, 0x10, 100, 0 });
	record(bytes + 128, 2, 2, (uint64_t[4]){ 0, 0x20, 60, 0 });
	record(bytes + 192, 2, 4, (uint64_t[4]){ 0x10, 0x30, 200, 0 });
	record(bytes + 256, 1, 5, (uint64_t[4]){ 0, 0x40, 70, 32 });
	record(bytes + 320, 1, 6, (uint64_t[4]){ 0, 0x50, 80, 0 });
	record(bytes + 384, 1, 8, (uint64_t[4]){ 0, 0x60, 90, 128 });
	record(bytes + 448, 1, 8, (uint64_t[4]){ 12, 0, 90, 128 });
	record(bytes + 512, 1, 3, (uint64_t[4]){ 0x20, 0, 0, 112 });
	record(bytes + 576, 1, 7, (uint64_t[4]){ 0, 0x70, 1, 0 });
	record(bytes + 640, 0, 0, (uint64_t[4]){ 0 });
	store_trace(scratch_path("m.bin"), bytes, sizeof(bytes));
	ik_import_as("mtrace", scratch_path("m.bin"), RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path, "lane_start lane=0\n"
				 "alloc lane=0 id=0 size=100\n"
				 "lane_start lane=1\n"
				 "alloc lane=1 id=1 size=60 flags=zeroed\n"
				 "resize lane=1 id=2 old=0 size=200\n"
				 "alloc lane=0 id=3 size=70 align=32\n"
				 "alloc lane=0 id=4 size=80 align=4096\n"
				 "alloc lane=0 id=5 size=90 align=128\n"
				 "free lane=0 id=1\n"
				 "alloc lane=0 id=6 size=1 align=4096\n");
	ik_import("mtrace", "m.bin", bytes, sizeof(bytes));
	ik_adds_up("mtrace");
	assert_int_equal(ik_note("import.records"), 11);
	assert_int_equal(ik_note("drop.failed"), 1);
	assert_int_equal(ik_note("drop.header_record"), 1);
	assert_int_equal(ik_note("drop.unused_record"), 1);
	ik_import("mtrace", "m.bin", bytes, sizeof(bytes) - 1);
	ik_adds_up("mtrace");
	assert_true(ik_has_note("import.truncated"));
	assert_int_equal(ik_note("drop.cut_record"), 1);
	assert_int_equal(ik_note("import.records"), 11);
	bytes[68] = 77;
	ik_import("mtrace", "m.bin", bytes, sizeof(bytes));
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "record 1 has the unknown type 77"));
}

/* ---- what the real tools make of a real program ---- */

/* Called through these, so that no compiler drops a pair of calls. */
static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;

static int victim(void)
{
	void *block[10], *last;

	mtrace();
	for (size_t i = 0; i < 10; i++)
		block[i] = call_malloc(100001 + i);
	block[0] = call_realloc(block[0], 200001);
	last = calloc(7, 100103);
	for (size_t i = 0; i < 10; i++)
		free(block[i]);
	free(last);
	last = call_malloc(300001);
	return last == NULL;
}

/* The imported trace has the victim's objects, each once, all but the last one freed. */
static void check_victim(bool has_resize)
{
	uint64_t seen[10] = { 0 }, resized = 0, zeroed = 0, left = 0;
	struct rh_event batch[256];
	struct rh_trace *trace;
	int got;

	expect_ok(ik.rc, &ik.err);
	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	while ((got = rh_trace_next(trace, batch, 256, &ik.err)) > 0) {
		for (int i = 0; i < got; i++) {
			if (batch[i].size >= 100001 && batch[i].size <= 100010)
				seen[batch[i].size - 100001]++;
			resized += batch[i].size == 200001 &&
				   batch[i].kind == (has_resize ? RH_EV_RESIZE : RH_EV_ALLOC);
			zeroed += batch[i].size == 7 * 100103;
			left += batch[i].size == 300001;
		}
	}
	expect_ok(got, &ik.err);
	rh_trace_close(trace);
	for (int i = 0; i < 10; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(resized, 1);
	assert_int_equal(zeroed, 1);
	assert_int_equal(left, 1);
	/* Everything at once, and what the run-time libraries hold. */
	assert_in_range(ik.totals.live_bytes_peak, 1800776, 2000000);
	assert_in_range(ik.totals.live_bytes_end, 300001, 400000);
}

/* Runs a shell line with $V = this program and $O = an output path; skips without tool. */
static void run_tool(const char *tool, const char *line, const char *output)
{
	char self[4096], command[10000];
	ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(bytes > 0);
	self[bytes] = '\0';
#ifdef RH_SANITIZE
	print_message("# SKIP a program built with -fsanitize is no victim for %s\n", tool);
	skip();
#endif
	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tool);
	if (system(command) != 0) {
		print_message("# SKIP %s is not installed\n", tool);
		skip();
	}
	snprintf(command, sizeof(command), "V='%s' O='%s'; %s", self, output, line);
	assert_int_equal(system(command), 0);
}

/* Nothing that the tool itself writes is taken for a torn line. */
static void check_real(const char *format, bool has_resize)
{
	ik_adds_up(format);
	assert_false(ik_has_note("drop.torn_line"));
	assert_false(ik_has_note("repair.foreign_text"));
	check_victim(has_resize);
}

static void test_real_valgrind(void **state)
{
	static const char *const words[] = { "-q", "", "-v --time-stamp=yes --trace-children=yes" };
	const char *output = scratch_path("vg.log");
	char line[200];

	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(line, sizeof(line),
			 "valgrind %s --trace-malloc=yes --log-file=$O $V victim", words[i]);
		run_tool("valgrind", line, output);
		ik_import_as("valgrind", output, RH_FORM_BINARY, NULL);
		check_real("valgrind", true);
	}
}

/* Raw, then as it is by default. */
static void test_real_heaptrack(void **state)
{
	static const char *const words[][2] = { { "--raw", "raw.*" }, { "", "[gz]*" } };
	const char *output = scratch_path("ht");
	char line[200], found[200];

	(void)state;
	snprintf(found, sizeof(found), "%s.link", output);
	for (int i = 0; i < 2; i++) {
		snprintf(line, sizeof(line),
			 "rm -f $O.*; heaptrack %s -o $O $V victim >/dev/null 2>&1 && "
			 "ln -s $O.%s $O.link",
			 words[i][0], words[i][1]);
		run_tool("heaptrack", line, output);
		ik_import_as("heaptrack", found, RH_FORM_BINARY, NULL);
		check_real("heaptrack", false);
	}
}

/* To a file with times, and what stands on standard error. */
static void test_real_ltrace(void **state)
{
	static const char *const words[] = { "-f -ttt -o $O", "-f -i -T 2>$O" };
	const char *output = scratch_path("lt.log");
	char line[200];

	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(line, sizeof(line), "ltrace -x malloc+calloc+realloc+free -L %s $V victim",
			 words[i]);
		run_tool("ltrace", line, output);
		ik_import_as("ltrace", output, RH_FORM_BINARY, NULL);
		check_real("ltrace", true);
	}
}

static void test_real_mtrace(void **state)
{
	const char *output = scratch_path("mt.log");

	(void)state;
	/* The library that mtrace(3) has needed since glibc 2.34 comes with libc6. */
	run_tool("env", "LD_PRELOAD=libc_malloc_debug.so.0 MALLOC_TRACE=$O $V victim 2>/dev/null",
		 output);
	if (access(output, R_OK) != 0) {
		print_message("# SKIP this C library has no mtrace\n");
		skip();
	}
	ik_import_as("mtrace", output, RH_FORM_BINARY, NULL);
	check_real("mtrace", true);
}

static void test_unknown_format(void **state)
{
	struct rh_err err = { 0 };

	(void)state;
	assert_null(rh_importer_of("androit", &err));
	assert_int_equal(err.code, RH_USAGE);
	for (int i = 0; rh_importers[i]; i++) {
		assert_non_null(strstr(err.text, rh_importers[i]->name));
		if (i)
			assert_true(strcmp(rh_importers[i - 1]->name, rh_importers[i]->name) < 0);
		assert_true(rh_importers[i]->opts_bytes <= 256);
		assert_ptr_equal(rh_importer_of(rh_importers[i]->name, &err), rh_importers[i]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malloclab),	  cmocka_unit_test(test_malloclab_refused),
		cmocka_unit_test(test_malloclab_headers), cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_identity),	  cmocka_unit_test(test_text_refused),
		cmocka_unit_test(test_valgrind),	  cmocka_unit_test(test_heaptrack),
		cmocka_unit_test(test_logalloc),	  cmocka_unit_test(test_wee_alloc),
		cmocka_unit_test(test_mtrace_text),	  cmocka_unit_test(test_mtrace_binary),
		cmocka_unit_test(test_real_valgrind),	  cmocka_unit_test(test_real_heaptrack),
		cmocka_unit_test(test_real_ltrace),	  cmocka_unit_test(test_real_mtrace),
		cmocka_unit_test(test_unknown_format),
	};

	if (argc > 1 && strcmp(argv[1], "victim") == 0)
		return victim();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
