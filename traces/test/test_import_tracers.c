/*
 * test_import_tracers.c - perf's and LTTng's text of probes on malloc, Umpire's replay logs,
 * glibc's workloads, malloc-bench's protocol buffers, and tables with what a tracer says around
 * them: known lines to known events.
 */
#include "traces/test/import_support.h"

/* The lines are from perf 6.1 on a program of two threads, with glibc 2.36. */
static void test_perf(void **state)
{
	(void)state;
	ik_expect("perf",
		  "   pt 212 [000] 17286.641847:          probe_libc:calloc: "
		  "(7fe0) n=0x11 size=0x10\n"
		  "   pt 212 [000] 17286.641885:  probe_libc:calloc__return: "
		  "(7fe0 <- 7fe1) block=0x100\n"
		  "my prog 213 [001] 17286.650169:        probe_libc:malloc: (7fe0) bytes=0x64\n"
		  "   pt 212 [000] 17286.650170:         probe_libc:realloc: "
		  "(7fe0) old=0x0 size=0x7\n"
		  "   pt 212 [000] 17286.650171:          probe_libc:malloc: (7fe0) bytes=0x7\n"
		  "my prog 213 [001] 17286.650223: probe_libc:malloc__return: "
		  "(7fe0 <- 56) block=0x200\n"
		  "   pt 212 [000] 17286.650224:  probe_libc:malloc__return: "
		  "(7fe0 <- 56) block=0x300\n"
		  "   pt 212 [000] 17286.650225: probe_libc:realloc__return: "
		  "(7fe0 <- 56) block=0x300\n"
		  "my prog 213 [001] 17286.650229:          probe_libc:free: (7fe0) block=0x100\n"
		  "my prog 213 [001] 17286.650230:          probe_libc:free: (7fe0) block=0x0\n"
		  "my prog 213 [001] 17286.650231: probe_libc:malloc__return: "
		  "(7fe0 <- 56) block=0x900\n"
		  "[ perf record: Woken up 1 times to write data ]\n",
		  "lane_start lane=0 time=38000\n"
		  "alloc lane=0 id=0 size=272 flags=zeroed time=38000\n"
		  "lane_start lane=1 time=8376000\n"
		  "alloc lane=1 id=1 size=100 time=8376000\n"
		  "alloc lane=0 id=2 size=7 flags=realloc time=8378000\n"
		  "free lane=1 id=0 time=8382000\n"
		  "free_null lane=1 time=8383000\n");
	assert_int_equal(ik_note("drop.first_half"), 3);
	assert_int_equal(ik_note("drop.nested"), 2);
	assert_int_equal(ik_note("drop.no_entry"), 1);
	assert_int_equal(ik_note("drop.other_line"), 1);
	ik_refuse("perf", "pt 7 [000] 1.500000: sched:sched_switch: prev=1\n",
		  "its probe is on none");
	ik_refuse("perf", "pt 7 [000] 1.500000: probe_libc:malloc: (7f)\n",
		  "the probe must fetch it");
}

/* The same probes in the file `trace` of tracefs, and two names for one function. */
static void test_tracefs(void **state)
{
	(void)state;
	ik_expect("perf",
		  "# tracer: nop\n#\n# entries-in-buffer/entries-written: 5/5   #P:2\n#\n"
		  "#                                _-----=> irqs-off/BH-disabled\n"
		  "#              | |         |   |||||     |         |\n"
		  "  pt-7   [000] DNZff 10.000001: memalign_1: (0x7fe0) align=0x40 size=640\n"
		  "  pt-7   [000] DNZff 10.000002: aligned_alloc: (0x7fe0) align=0x40 size=640\n"
		  "  pt-7   [000] DNZff 10.000003: aligned_alloc__return: (0x1 <- 0x2) block=0x40\n"
		  "  pt-7   [000] DNZff 10.000004: memalign_ret: (0x1 <- 0x2) block=0x40\n"
		  "  pt-7   [000] DNZff 10.000005: free: (0x7fe0) block=0x40\n",
		  "lane_start lane=0 time=3000\n"
		  "alloc lane=0 id=0 size=640 align=64 time=3000\n"
		  "free lane=0 id=0 time=4000\n");
	assert_int_equal(ik_note("drop.other_line"), 6);
}

/* Of perf 6.1 with -F +pid and with -g, of a recording by thread, of tracefs with record-tgid. */
static void processes_and_stacks(void **state)
{
	static const char *const heads[] = { "q 4/%u [000]", "q-%u   (  4) [001] DBZff", "q %u" };
	static const char events[] = "lane_start lane=0 time=1000\n"
				     "alloc lane=0 id=0 size=17 flags=zeroed time=1000\n"
				     "free lane=0 id=0 time=3000\n";
	char text[2000], head[60];

	(void)state;
	for (int i = 0; i < 3; i++) {
		size_t used = 0;

		for (int line = 0; line < 4; line++) {
			static const char *const rest[] = {
				"p:calloc: (7f) n=0x11 size=1",
				"p:calloc__return: (7f <- 8) block=0x10", "p:malloc: (7f) bytes=3",
				"p:free: (7f) block=0x10"
			};

			/* The third line is of another process, or a thread that the end cuts. */
			snprintf(head, sizeof(head),
				 line == 2 && i == 0 ? "q 9/%u [000]" : heads[i],
				 line == 2 ? 9 : 5);
			used += (size_t)snprintf(
				text + used, sizeof(text) - used,
				"%s 907.00000%d: %s\n"
				"\t  996e0 __libc_calloc+0x0 (/usr/lib/libc.so.6)\n"
				"\t  891f5 [unknown] (/usr/lib/libc.so.6)\n\n",
				head, line, rest[line]);
		}
		ik_expect("perf", text, events);
		assert_int_equal(ik_note("drop.other_line"), 8);
		assert_false(ik_has_note("drop.torn_line"));
		assert_int_equal(ik_note("drop.other_process"), i == 0);
		assert_int_equal(ik_has_note("import.unseen"), i != 0);
	}
	ik_import_text("perf", "q 4/5 [000] 1.000001: p:free: (7f) block=0x10\n");
	ik_import_as("perf", scratch_path("input.txt"), RH_FORM_BINARY, "pid=5");
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "process 5 is not in it (these are: 4)"));
}

/* A thread whose return was lost goes on: a later call of the same name takes its place. */
static void lost_samples_cost_one_call(void **state)
{
	(void)state;
	ik_expect("perf",
		  "a 7 [000] 1.000001: p:realloc: (7f) old=0x0 size=8\n"
		  "a 7 [000] 1.000002: p:malloc: (7f) bytes=1\n"
		  "a 7 [000] 1.000003: p:realloc: (7f) old=0x0 size=9\n"
		  "a 7 [000] 1.000004: p:realloc__return: (7f <- 8) block=0x10\n"
		  "a 7 [000] 1.000005: p:calloc: (7f) n=2 size=2\n"
		  "a 7 [000] 1.000006: p:malloc: (7f) bytes=1\n"
		  "a 7 [000] 1.000007: p:malloc: (7f) bytes=2\n"
		  "a 7 [000] 1.000008: p:malloc: (7f) bytes=3\n"
		  "a 7 [000] 1.000009: p:malloc: (7f) bytes=4\n"
		  "a 7 [000] 1.000010: p:malloc: (7f) bytes=5\n"
		  "a 7 [000] 1.000011: p:malloc__return: (7f <- 8) block=0x20\n",
		  "lane_start lane=0 time=3000\n"
		  "alloc lane=0 id=0 size=9 flags=realloc time=3000\n"
		  "alloc lane=0 id=1 size=5 time=10000\n");
}

static void test_lttng(void **state)
{
	(void)state;
	ik_expect(
		"lttng",
		"[23:59:59.900000000] (+0.000000000) host lttng_ust_libc:malloc: { cpu_id = 1 }, "
		"{ vpid = 5, vtid = 6 }, { size = 4, ptr = 0x151BD40 }\n"
		"[23:59:59.900000100] (+0.000000100) host lttng_ust_libc:calloc: { cpu_id = 0 }, "
		"{ vpid = 5, vtid = 7 }, { nmemb = 3, size = 7, ptr = 0x20 }\n"
		"[23:59:59.900000200] (+0.000000100) host sched_switch: { cpu_id = 0 }, { x = 1 }\n"
		"[23:59:59.900000300] (+0.000000100) host lttng_ust_libc:free: { cpu_id = 1 }, "
		"{ vpid = 9, vtid = 9 }, { ptr = 0x20 }\n"
		"[00:00:00.000000000] (+0.099999700) host lttng_ust_libc:realloc: { cpu_id = 1 }, "
		"{ vpid = 5, vtid = 6 }, { in_ptr = 0x20, size = 99, ptr = 0x30 }\n"
		"[00:00:00.000000001] (+0.000000001) host lttng_ust_libc:posix_memalign: "
		"{ cpu_id = 1 }, "
		"{ vpid = 5, vtid = 6 }, { out_ptr = 0x40, "
		"alignment = 64, size = 33, result = 0 }\n"
		"[00:00:00.000000002] (+0.000000001) host lttng_ust_libc:free: { cpu_id = 1 }, "
		"{ vpid = 5, vtid = 6 }, { ptr = 0x151BD40 }\n",
		"lane_start lane=0 time=0\n"
		"alloc lane=0 id=0 size=4 time=0\n"
		"lane_start lane=1 time=100\n"
		"alloc lane=1 id=1 size=21 flags=zeroed time=100\n"
		"resize lane=0 id=2 old=1 size=99 time=100000000\n"
		"alloc lane=0 id=3 size=33 align=64 time=100000001\n"
		"free lane=0 id=0 time=100000002\n");
	assert_int_equal(ik_note("drop.other_process"), 1);
	assert_int_equal(ik_note("drop.other_line"), 1);
	assert_false(ik_has_note("import.lanes"));
	ik_expect("lttng",
		  "[20:38:11.907388453] (+3.2) desktop lttng_ust_libc:malloc: { cpu_id = 1 }, "
		  "{ size = 4, ptr = 0x10 }\n"
		  "[20:38:11.907391355] (+0.0) desktop lttng_ust_libc:free: { cpu_id = 1 }, "
		  "{ ptr = 0x10 }\n",
		  "lane_start lane=0 time=0\nalloc lane=0 id=0 size=4 time=0\n"
		  "free lane=0 id=0 time=2902\n");
	assert_true(ik_has_note("import.lanes"));
	ik_refuse("lttng",
		  "[20:38:11.907388453] (+3.2) d lttng_ust_libc:malloc: "
		  "{ cpu_id = 1 }, { size = 4 }\n",
		  "a field is missing");
}

static void test_umpire(void **state)
{
	(void)state;
	ik_expect(
		"umpire",
		"# Copyright\n"
		"{ \"kind\":\"replay\", \"uid\":27, \"timestamp\":100, "
		"\"event\": \"version\", \"payload\": "
		"{ \"major\":0 } }\n"
		"{ \"kind\":\"replay\", \"uid\":27, \"timestamp\":110, "
		"\"event\": \"allocate\", \"payload\": "
		"{ \"allocator_ref\": \"0x9\", \"size\": 134 } }\n"
		"{ \"kind\":\"replay\", \"uid\":27, \"timestamp\":120, "
		"\"event\": \"allocate\", \"payload\": "
		"{ \"allocator_ref\": \"0x9\", \"size\": 134 }, "
		"\"result\": { \"memory_ptr\": \"0x10\" } }\n"
		"{ \"kind\":\"replay\", \"uid\":27, \"timestamp\":150, \"event\": \"deallocate\", "
		"\"payload\": { \"allocator_ref\": \"0x9\", \"memory_ptr\": \"0x10\" } }\n",
		"lane_start lane=0 time=0\nalloc lane=0 id=0 size=134 time=0\n"
		"free lane=0 id=0 time=30\n");
	assert_int_equal(ik_note("drop.first_half"), 1);
	assert_int_equal(ik_note("drop.other_line"), 2);
	ik_expect(
		"umpire",
		"{\"category\":\"operation\",\"name\":\"allocate\",\"numeric_args\":{\"size\":64},"
		"\"string_args\":{\"allocator_ref\":\"0x9\",\"pointer\":\"0x20\"},"
		"\"tags\":{\"replay\":\"true\"},\"timestamp\":5000}\n"
		"{\"category\":\"operation\",\"name\":\"coalesce\",\"tags\":{\"replay\":\"true\"},"
		"\"timestamp\":5001}\n"
		"{\"category\":\"operation\",\"name\":\"deallocate\",\"string_args\":"
		"{\"allocator_ref\":\"0x9\",\"pointer\":\"0x20\"},\"tags\":{\"replay\":\"true\"},"
		"\"timestamp\":5002}\n",
		"lane_start lane=0 time=0\nalloc lane=0 id=0 size=64 time=0\n"
		"free lane=0 id=0 time=2\n");
	ik_refuse("umpire",
		  "{\"category\":\"operation\",\"name\":\"allocate\","
		  "\"string_args\":{\"pointer\":\"0x2\"},"
		  ""
		  "\"timestamp\":5}\n",
		  "it has no size");
}

/* Two threads: the second waits for a block that the first allocates in its second turn. */
static void test_workload(void **state)
{
	static const unsigned char head[] = { 8, 3, 9, 1, 10, 2, 11, 13, 11, 18, 1, 0, 0 };
	unsigned char bytes[400];
	size_t n = 0, second;

	(void)state;
	memcpy(bytes, head, sizeof(head));
	n = 13;
	/* READ 1; FREE 1; DONE */
	memcpy(bytes + n, (unsigned char[]){ 7, 1, 5, 1, 1 }, 5);
	second = n + 5;
	assert_int_equal(second, 18);
	n = second;
	/* MALLOC 1 300 (two bytes: 2, 44); CALLOC 2 64; WRITE 1; REALLOC 2 2 8; MEMALIGN 0 64 1 */
	memcpy(bytes + n,
	       (unsigned char[]){ 2, 1, 0x82, 44, 3, 2, 64, 6, 1, 4, 2, 2, 8, 12, 0, 64, 1, 1 },
	       18);
	n += 18;
	ik_import("wl", "w.wl", bytes, n);
	ik_adds_up("wl");
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 2);
	assert_int_equal(ik.totals.by_kind[RH_EV_RESIZE], 1);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 1);
	assert_int_equal(ik.totals.by_kind[RH_EV_LANE_START], 2);
	assert_int_equal(ik_note("drop.sync_record"), 2);
	assert_int_equal(ik_note("drop.failed"), 1);
	assert_true(ik_has_note("import.order"));
	ik_import("wl", "w.wl", bytes, n - 1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "cut off"));
	bytes[second + 8] = 0; /* another sync is written than the one waited for */
	ik_import("wl", "w.wl", bytes, n);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "1 threads wait for syncs"));
}

/* Six operations and the head of two numbers; then the same cut after each byte. */
static void test_malloc_bench(void **state)
{
	static const unsigned char bytes[] = {
		0x0a, 6, 0x0a, 4, 8, 0, 16, 100,	      /* malloc id 0, 100 */
		0x0a, 9, 0x0a, 7, 8, 1, 16, 0xac, 2,  24, 64, /* malloc id 1, 300, aligned to 64 */
		0x0a, 8, 0x22, 6, 8, 2, 16, 3,	  24, 7,      /* calloc id 2, 3 of 7 */
		0x0a, 8, 0x1a, 6, 8, 0, 16, 0,	  24, 9,      /* realloc id 0 to 9 */
		0x0a, 4, 0x12, 2, 8, 1,			      /* free id 1 */
		0x0a, 2, 0x12, 0,			      /* free NULL */
		0x10, 3,				      /* most alive */
	};
	static const size_t ends[] = { 8, 19, 29, 39, 45, 49, 51 };
	size_t whole = 0;

	(void)state;
	store_trace(scratch_path("input.trace"), bytes, sizeof(bytes));
	ik_import_as("malloc-bench", scratch_path("input.trace"), RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path, "lane_start lane=0\n"
				 "alloc lane=0 id=0 size=100\n"
				 "alloc lane=0 id=1 size=300 align=64\n"
				 "alloc lane=0 id=2 size=21 flags=zeroed\n"
				 "resize lane=0 id=3 old=0 size=9\n"
				 "free lane=0 id=1\n"
				 "free_null lane=0\n");
	for (size_t cut = 1; cut <= sizeof(bytes); cut++) {
		ik_import("malloc-bench", "input.trace", bytes, cut);
		if (cut < ends[0] && ik.rc < 0)
			continue; /* nothing of it is whole */
		ik_adds_up("malloc-bench");
		whole += cut == ends[whole];
		assert_int_equal(ik_has_note("import.truncated"),
				 whole == 0 || cut != ends[whole - 1]);
	}
	assert_int_equal(whole, 7);
	ik_import("malloc-bench", "input.trace", "\x0a\x02\x2a\x00", 4);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "none of malloc, free"));
}

/* Seven operations as bytehound exports them, then the file cut after every eight bytes. */
static void test_bytehound(void **state)
{
	static const uint64_t numbers[] = {
		2, 7,				  /* slots, operations */
		1, 0, 1000, 64,			  /* alloc */
		1, 1, 1010, 128, 3, 0, 1020, 256, /* realloc */
		2, 1, 1020, 0,			  /* free */
		1, 1, 1030, 0,	 2, 0, 1040, 0,	  2, 1, 1050, 0,
	};
	const struct rh_importer *found;
	struct rh_input *input;

	(void)state;
	store_trace(scratch_path("b.bin"), numbers, sizeof(numbers));
	ik_import_as("bytehound", scratch_path("b.bin"), RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path, "lane_start lane=0 time=0\n"
				 "alloc lane=0 id=0 size=64 time=0\n"
				 "alloc lane=0 id=1 size=128 time=10000\n"
				 "resize lane=0 id=2 old=0 size=256 time=20000\n"
				 "free lane=0 id=1 time=20000\n"
				 "alloc lane=0 id=3 size=0 time=30000\n"
				 "free lane=0 id=2 time=40000\n"
				 "free lane=0 id=3 time=50000\n");
	expect_ok(rh_input_open(&input, scratch_path("b.bin"), &ik.err), &ik.err);
	found = rh_importer_by_content(input, &ik.err);
	assert_non_null(found);
	assert_string_equal(found->name, "bytehound");
	rh_input_close(input);
	for (size_t cut = 24; cut <= sizeof(numbers); cut += 8) {
		ik_import("bytehound", "b.bin", numbers, cut);
		ik_adds_up("bytehound");
		assert_int_equal(ik_has_note("import.truncated"), cut < sizeof(numbers));
		assert_int_equal(ik_note("drop.cut_record"), cut % 32 != 16);
	}
	for (size_t cut = 15; cut <= 16; cut++) {
		ik_import("bytehound", "b.bin", numbers, cut);
		assert_int_equal(ik.err.code, RH_BAD_DATA);
	}
	{
		uint64_t beyond[] = { 1, 1, 1, 1, 0, 8 };

		ik_import("bytehound", "b.bin", beyond, sizeof(beyond));
		assert_non_null(strstr(ik.err.text, "operation 0: its slot is beyond"));
		beyond[2] = 4;
		beyond[3] = 0;
		ik_import("bytehound", "b.bin", beyond, sizeof(beyond));
		assert_non_null(strstr(ik.err.text, "none of 1 (alloc), 2 (free), 3 (realloc)"));
	}
}

/* What bpftrace says before and after the table of its script. */
static void a_table_may_have_a_tracer_around_it(void **state)
{
	(void)state;
	ik_expect("csv",
		  "Attaching 9 probes...\n"
		  "time,thread,op,old,size,ptr\n"
		  "10,7,malloc,0,64,0x10\n"
		  "20,7,free,0,0,0x10\n"
		  "\n"
		  "@m[12]: 100\n",
		  "lane_start lane=0 time=0\nalloc lane=0 id=0 size=64 time=0\n"
		  "free lane=0 id=0 time=10\n");
	assert_int_equal(ik_note("drop.other_line"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_perf),
		cmocka_unit_test(test_tracefs),
		cmocka_unit_test(processes_and_stacks),
		cmocka_unit_test(lost_samples_cost_one_call),
		cmocka_unit_test(test_lttng),
		cmocka_unit_test(test_umpire),
		cmocka_unit_test(test_workload),
		cmocka_unit_test(test_malloc_bench),
		cmocka_unit_test(test_bytehound),
		cmocka_unit_test(a_table_may_have_a_tracer_around_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
