/*
 * test_import_tables.c - ltrace, tables with named columns, and the exporters that write calls:
 * known lines to known events, and every exporter's output imported again.
 */
#include "traces/edit/export.h"
#include "traces/test/import_support.h"

static void test_ltrace(void **state)
{
	(void)state;
	ik_expect("ltrace",
		  "prog->malloc(100)                    = 0x55d0a0\n"
		  "hello from the program\n"
		  "[pid 7] libz.so.1->calloc(10, 20)    = 0x55d0b0\n"
		  "[pid 8] malloc(64 <unfinished ...>\n"
		  "[pid 7] prog->realloc(0x55d0a0, 300 <unfinished ...>\n"
		  "[pid 8] <... malloc resumed> )       = 0x55d0c0\n"
		  "[pid 7] <... realloc resumed> )      = 0x55d0d0\n"
		  "progress 1prog->memalign(64, 1000)   = 0x55d0e0\n"
		  "[pid 7] prog->free(0x55d0b0)         = <void>\n"
		  "prog->free(nil)                      = <void>\n"
		  "--- SIGCHLD (Child exited) ---\n"
		  "+++ exited (status 0) +++\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=100\n"
		  "lane_start lane=1\n"
		  "alloc lane=1 id=1 size=200 flags=zeroed\n"
		  "lane_start lane=2\n"
		  "alloc lane=2 id=2 size=64\n"
		  "resize lane=1 id=3 old=0 size=300\n"
		  "alloc lane=0 id=4 size=1000 align=64\n"
		  "free lane=1 id=1\n"
		  "free_null lane=0\n");
	assert_int_equal(ik_note("drop.first_half"), 2);
	assert_int_equal(ik_note("drop.other_line"), 3);
	assert_int_equal(ik_note("repair.foreign_text"), 1);
	ik_expect("ltrace",
		  "1700000000.000500 malloc(1) = 0x10\n"
		  "1700000001.500500 free(0x10) = <void>\n",
		  "lane_start lane=0 time=0\n"
		  "alloc lane=0 id=0 size=1 time=0\n"
		  "free lane=0 id=0 time=1500000000\n");
	ik_refuse("ltrace", "hello\n", ":1: not an ltrace line");
}

/* As ltrace 0.7.3 prints a program of threads with -f -ttt -T -o FILE. Each call is one event, by
 * the thread, the time and the arguments of its own. */
static void ltrace_has_many_looks(void **state)
{
	(void)state;
	ik_expect("ltrace",
		  "665 1796049970.000001 q->malloc(33 <unfinished ...>\n"
		  "666 1796049970.000002 q->realloc(0, 100, 3, 0x7f81) = 0x200 <0.000223>\n"
		  "666 1796049970.000003 q->free(0x200 <no return ...>\n"
		  "667 1796049970.000004 +++ exited (status 0) +++\n"
		  "666 1796049970.000005 <... free resumed> ) = <void> <0.000010>\n"
		  "665 1796049970.000006 <... malloc resumed> ) = 0x100 <0.000818>\n"
		  "665 1796049970.000007 q->memalign(64, 100, 24, 0x5639) = 0x140\n"
		  "665 1796049970.000008 q->aligned_alloc(32, 128, 0, -1) = 0x300\n"
		  "665 1796049970.000009 q->reallocarray(0, 3, 7, 0x7fd5 <unfinished ...>\n"
		  "665 1796049970.000010 libc.so.6->calloc(0, 21) = 0x400\n"
		  "665 1796049970.000011 <... reallocarray resumed> ) = 0x400\n"
		  "665 1796049970.000012 q->_Znwm(4, 1, 2, 3) = 0x500\n"
		  "665 1796049970.000013 q->_ZdlPv(0x500, 4) = 0x7f\n"
		  "665 1796049970.000014 q->posix_memalign(0x7ffe, 128, 77, 3) = 0\n"
		  "665 1796049970.000015 --- SIGCHLD (Child exited) ---\n",
		  "lane_start lane=0 time=1000\n"
		  "alloc lane=0 id=0 size=100 flags=realloc time=1000\n"
		  "free lane=0 id=0 time=4000\n"
		  "lane_start lane=1 time=5000\n"
		  "alloc lane=1 id=1 size=33 time=5000\n"
		  "alloc lane=1 id=2 size=100 align=64 time=6000\n"
		  "alloc lane=1 id=3 size=128 align=32 time=7000\n"
		  "alloc lane=1 id=4 size=21 flags=realloc time=10000\n"
		  "alloc lane=1 id=5 size=4 flags=new time=11000\n"
		  "free lane=1 id=5 time=12000\n");
	assert_int_equal(ik_note("drop.first_half"), 3);
	assert_int_equal(ik_note("drop.nested"), 1);
	assert_int_equal(ik_note("drop.other_line"), 2);
	assert_false(ik_has_note("repair.foreign_text"));
}

/* By place, through the library, by time since the last line and of the day. */
static void ltrace_has_many_heads(void **state)
{
	static const char plain[] = "lane_start lane=0\nalloc lane=0 id=0 size=33\n"
				    "resize lane=0 id=1 old=0 size=100\nfree lane=0 id=1\n";

	(void)state;
	ik_expect("ltrace",
		  "[pid 7] [0x55e60d2a624e] q->malloc(33 <unfinished ...>\n"
		  "[pid 7] [0x55e60d2a626a] <... malloc resumed> ) = 0x10\n"
		  "[pid 7] [0x55e60d2a626a]     q->realloc(0x10, 100) = 0x20\n"
		  "[pid 7] [0x55e60d2a626a] q->free(0x20) = <void>\n",
		  plain);
	/* The call through the table of the program, and the function itself in the library. */
	ik_expect("ltrace",
		  "696 malloc(33 <unfinished ...>\n"
		  "696 malloc@libc.so.6(33 <unfinished ...>\n"
		  "695 <... pthread_create resumed> ) = 0\n"
		  "696 <... malloc resumed> ) = 0x10\n"
		  "696 <... malloc resumed> ) = 0x10\n"
		  "696 realloc@libc.so.6(0x10, 100) = 0x20\n"
		  "696 free@libc.so.6(0x20) = <void>\n",
		  plain);
	assert_int_equal(ik_note("drop.nested"), 2);
	assert_int_equal(ik_note("drop.other_line"), 1);
	ik_expect("ltrace",
		  "  0.000000 malloc(33) = 0x10\n"
		  "  0.000400 realloc(0x10, 100) = 0x20\n"
		  "  1.000100 free(0x20) = <void>\n",
		  "lane_start lane=0 time=0\nalloc lane=0 id=0 size=33 time=0\n"
		  "resize lane=0 id=1 old=0 size=100 time=400000\n"
		  "free lane=0 id=1 time=1000500000\n");
	ik_expect("ltrace",
		  "[pid 5] 23:59:58 malloc(33) = 0x10\n"
		  "[pid 5] 23:59:58.500000 realloc(0x10, 100) = 0x20\n"
		  "[pid 5] 23:59:59 free(0x20) = <void>\n",
		  "lane_start lane=0 time=0\nalloc lane=0 id=0 size=33 time=0\n"
		  "resize lane=0 id=1 old=0 size=100 time=500000000\n"
		  "free lane=0 id=1 time=1000000000\n");
	/* A second line that was lost costs its call, and four others at most. */
	ik_expect("ltrace",
		  "[pid 5] realloc(0x90, 1 <unfinished ...>\n"
		  "[pid 5] malloc(2) = 0x20\n[pid 5] malloc(3) = 0x30\n"
		  "[pid 5] malloc(4) = 0x40\n[pid 5] malloc(5) = 0x50\n"
		  "[pid 5] malloc(6) = 0x60\n[pid 5] malloc(7) = 0x70\n",
		  "lane_start lane=0\nalloc lane=0 id=0 size=6\nalloc lane=0 id=1 size=7\n");
	/* Other functions, of a log without -e, are neither records nor torn ones. */
	ik_expect("ltrace",
		  "(0, 0, 603904, -1, 0x1f25bc2)                    = 0x3b0de21160\n"
		  "realloc(NULL, 80)                                = 0x10\n"
		  "g_malloc(64)                                     = 0x20\n"
		  "_int_malloc@libc.so.6(0x7fb8941ebc40, 552, 0, 0x1132010) = 0x1132260\n"
		  "7 <... g_free resumed> )                         = 0\n"
		  "<... g_malloc resumed> )                         = 0x30\n"
		  "f(3) = 9 prog->malloc(40)                        = 0x50\n",
		  "lane_start lane=0\nalloc lane=0 id=0 size=80 flags=realloc\n"
		  "alloc lane=0 id=1 size=40\n");
	assert_int_equal(ik_note("drop.other_line"), 5);
	assert_int_equal(ik_note("repair.foreign_text"), 1);
	ik_expect("ltrace", "[pid 5] malloc(10 malloc(20) = 0x1\n",
		  "lane_start lane=0\nalloc lane=0 id=0 size=20\n");
	assert_int_equal(ik_note("repair.foreign_text"), 1);
}

static const char table_events[] = "lane_start lane=0 time=0\n"
				   "alloc lane=0 id=0 size=64 time=0\n"
				   "alloc lane=0 id=1 size=200 flags=zeroed time=100\n"
				   "lane_start lane=1 time=200\n"
				   "resize lane=1 id=2 old=0 size=128 time=200\n"
				   "free lane=0 id=1 time=300\n";

static void test_csv(void **state)
{
	(void)state;
	ik_expect("csv",
		  "time,thread,op,old,count,size,ptr\n"
		  "1000,7,malloc,0,0,64,0x7f10\n"
		  "1100,7,calloc,0,10,20,0x7f20\n"
		  "1200,8,realloc,0x7f10,0,128,0x7f30\n"
		  "1300,7,free,,-,,0x7f20\n",
		  table_events);
	assert_int_equal(ik_note("drop.header_line"), 1);
	/* other names, another order, another separator, quotes, units */
	ik_expect("csv",
		  "\"address\";\"function\";\"tid\";\"time_us\";"
		  "\"comment\";\"bytes\";\"old\";\"count\"\n"
		  "0x7f10;\"malloc\";7;1;a;64;;\n"
		  "0x7f20;calloc;7;1;b;20;;10\n"
		  "0x7f30;realloc;8;1;c;128;0x7f10;\n"
		  "0x7f20;free;7;1;d;;;\n",
		  "lane_start lane=0 time=0\n"
		  "alloc lane=0 id=0 size=64 time=0\n"
		  "alloc lane=0 id=1 size=200 flags=zeroed time=0\n"
		  "lane_start lane=1 time=0\n"
		  "resize lane=1 id=2 old=0 size=128 time=0\n"
		  "free lane=0 id=1 time=0\n");
	ik_refuse("csv", "1000,7,malloc,0,64,0x7f10\n",
		  ":1: not a line of a table: the first must");
	ik_refuse("csv", "op,ptr,size\nmalloc,0x10\nmalloc,0x10,5,6\n", "as many fields");
}

static void test_csv_columns(void **state)
{
	const char *path = scratch_path("input.txt");
	static const char text[] = "malloc\t64\t0x10\t5\nfree\t0\t0x10\t5\nmalloc\t9\t0x10\t6\n";

	(void)state;
	store_trace(path, text, sizeof(text) - 1);
	ik_import_as("csv", path, RH_FORM_TEXT, "columns=op,size,ptr,pid");
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path,
			"lane_start lane=0\nalloc lane=0 id=0 size=64\nfree lane=0 id=0\n");
	ik_import_as("csv", path, RH_FORM_BINARY, "columns=op,size,ptr,pid");
	ik_adds_up("csv");
	assert_int_equal(ik_note("drop.other_process"), 1);
	ik_import_as("csv", path, RH_FORM_BINARY, "columns=size,ptr");
	assert_int_equal(ik.err.code, RH_USAGE);
	assert_non_null(strstr(ik.err.text, "op and ptr must be among the names"));
}

/* Both tables that jemalloc's page allocator is traced to. */
static void test_jemalloc_pages(void **state)
{
	(void)state;
	ik_expect("csv",
		  "shard_ind_int,addr_int,nsecs_int,probe,size_int\n"
		  "0,4096000,1000,hpa_alloc,8192\n"
		  "1,8192000,1500,hpa_alloc,4096\n"
		  "1,4096000,1700,hpa_dalloc,8192\n",
		  "lane_start lane=0 time=0\n"
		  "alloc lane=0 id=0 size=8192 time=0\n"
		  "lane_start lane=1 time=500\n"
		  "alloc lane=1 id=1 size=4096 time=500\n"
		  "free lane=1 id=0 time=700\n");
	ik_expect("csv",
		  "process_id,thread_id,thread_name,nsecs_int,_c4,sec_ptr_int,sec_shard_ptr_int,"
		  "edata_ptr_int,size_int,is_frequent_reuse_int\n"
		  "7,8,worker,1000,sec_alloc,1,2,4096000,16384,1\n"
		  "7,9,worker,2000,sec_dalloc,1,2,4096000\n"
		  "9,9,other,2100,sec_alloc,1,2,4096000,16384,1\n",
		  "lane_start lane=0 time=0\n"
		  "alloc lane=0 id=0 size=16384 time=0\n"
		  "lane_start lane=1 time=1000\n"
		  "free lane=1 id=0 time=1000\n");
	assert_int_equal(ik_note("drop.other_process"), 1);
}

/* What the exporter of a name writes, its importer reads as the same events. */
static void round_trip(const char *format, const char *events)
{
	const struct rh_exporter *exporter = rh_exporter_of(format);
	char source[128], target[128];
	struct rh_trace *trace;
	char text[2000];

	assert_non_null(exporter);
	snprintf(source, sizeof(source), "%s", scratch_path("source.rht"));
	snprintf(target, sizeof(target), "%s", scratch_path("target.txt"));
	snprintf(text, sizeof(text), "reheap-trace 1 columns=time\n%send\n", events);
	store_trace(source, text, strlen(text));
	expect_ok(rh_trace_open(&trace, source, &ik.err), &ik.err);
	expect_ok(exporter->run(trace, target, &ik.err), &ik.err);
	rh_trace_close(trace);
	ik_import_as(format, target, RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
}

static void test_export(void **state)
{
	static const char events[] = "lane_start lane=0 time=0\n"
				     "alloc lane=0 id=0 size=64 time=0\n"
				     "alloc lane=0 id=1 size=200 align=64 time=100\n"
				     "lane_start lane=1 time=200\n"
				     "resize lane=1 id=2 old=0 size=128 time=200\n"
				     "free lane=0 id=1 time=300\n"
				     "alloc lane=1 id=3 size=8 flags=zeroed time=400\n"
				     "alloc lane=1 id=4 size=9 flags=realloc time=500\n"
				     "free_null lane=0 time=600\n";

	(void)state;
	round_trip("csv", events);
	ik_expect_lines(ik.path, events);
	round_trip("android", events);
	ik_expect_lines(ik.path, "lane_start lane=0 arg=1 time=0\n"
				 "alloc lane=0 id=0 size=64 time=0\n"
				 "alloc lane=0 id=1 size=200 align=64 time=100\n"
				 "lane_start lane=1 arg=2 time=200\n"
				 "resize lane=1 id=2 old=0 size=128 time=200\n"
				 "free lane=0 id=1 time=300\n"
				 "alloc lane=1 id=3 size=8 flags=zeroed time=400\n"
				 "alloc lane=1 id=4 size=9 flags=realloc time=500\n"
				 "free_null lane=0 time=600\n");
	round_trip("malloclab", events);
	ik_expect_lines(ik.path, "lane_start lane=0\n"
				 "alloc lane=0 id=0 size=64\n"
				 "alloc lane=0 id=1 size=200\n"
				 "resize lane=0 id=2 old=0 size=128\n"
				 "free lane=0 id=1\n"
				 "alloc lane=0 id=3 size=8\n"
				 "alloc lane=0 id=4 size=9\n"
				 "free_null lane=0\n");
	round_trip("malloc-bench", events);
	ik_expect_lines(ik.path, "lane_start lane=0\n"
				 "alloc lane=0 id=0 size=64\n"
				 "alloc lane=0 id=1 size=200 align=64\n"
				 "resize lane=0 id=2 old=0 size=128\n"
				 "free lane=0 id=1\n"
				 "alloc lane=0 id=3 size=8 flags=zeroed\n"
				 "alloc lane=0 id=4 size=9 flags=realloc\n"
				 "free_null lane=0\n");
	round_trip("malloclab", events);
	ik_import_as("malloclab", scratch_path("target.txt"), RH_FORM_BINARY, NULL);
	assert_int_equal(ik_note("repair.header_ops"), 0);
	assert_int_equal(ik_note("malloclab.weight"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ltrace),		 cmocka_unit_test(ltrace_has_many_looks),
		cmocka_unit_test(ltrace_has_many_heads), cmocka_unit_test(test_csv),
		cmocka_unit_test(test_csv_columns),	 cmocka_unit_test(test_jemalloc_pages),
		cmocka_unit_test(test_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
