/*
 * test_import_text.c - our own text form from logs that are torn, mixed and cut. Events name
 * objects by number there, so what a lost line means for those behind it is the matter. The
 * expected events are written down here, or counted in the whole trace.
 */
#include "traces/test/import_support.h"

#define HEAD "reheap-trace 1\n"

/* A torn birth: its number is passed over, and what names it is left out. */
static void test_torn_birth(void **state)
{
	static const char *const torn[] = {
		"alloc lane=0 id=1 si\n",
		"alloc\n",
		"alloc la\n",
		"alloc lane=0 id=1 size=2alloc\n",
		"lane=0 id=1 size=20\n",
		"alloc lane=0 id=1 size=20 alig\n",
		"alloc lane=0 id=x size=20\n",
		"alloc lane=0 id=1 size=6",
		"progress 1alloc lane=0 id=1 size=",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(torn) / sizeof(*torn); i++) {
		char text[600];

		snprintf(text, sizeof(text),
			 HEAD "lane_start lane=0\nalloc lane=0 id=0 size=10\n%s"
			      "alloc lane=0 id=2 size=30\nfree lane=0 id=1\nfree lane=0 id=2\n"
			      "resize lane=0 id=3 old=0 size=40\nend events=7\n",
			 torn[i]);
		ik_expect("text", text,
			  "lane_start lane=0\n"
			  "alloc lane=0 id=0 size=10\n"
			  "alloc lane=0 id=1 size=30\n"
			  "free lane=0 id=1\n"
			  "resize lane=0 id=2 old=0 size=40\n");
		if (ik_note("drop.torn_line") + ik_note("repair.foreign_text") != 1)
			fail_msg("%s: %s", torn[i], "not counted once");
		assert_int_equal(ik_note("drop.lost_object"), 1);
	}
}

/* The same where births have no numbers and are counted. */
static void test_torn_birth_unnumbered(void **state)
{
	(void)state;
	ik_expect("text",
		  HEAD "alloc lane=0 size=10\nalloc lane=0 siz\nalloc lane=0 size=30\n"
		       "resize lane=0 old=1 size=40\nfree lane=0 id=2\nfree lane=0 id=3\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=10\n"
		  "alloc lane=0 id=1 size=30\n"
		  "alloc lane=0 id=2 size=40\n"
		  "free lane=0 id=1\n"
		  "free lane=0 id=2\n");
	assert_int_equal(ik_note("drop.torn_line"), 1);
	assert_int_equal(ik_note("repair.realloc_unknown"), 1);
}

/* A line that was written twice, first in part: nothing is lost. */
static void test_written_again(void **state)
{
	(void)state;
	ik_expect("text",
		  HEAD
		  "alloc lane=0 id=0 size=10\nalloc lane=0 id=1 siz\nalloc lane=0 id=1 size=30\n"
		  "free lane=0 id=0\nfree lane=0 id=1\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=10\n"
		  "alloc lane=0 id=1 size=30\n"
		  "free lane=0 id=0\n"
		  "free lane=0 id=1\n");
	assert_int_equal(ik_note("drop.torn_line"), 1);
	assert_int_equal(ik_note("drop.lost_object"), 0);
}

/* Tasks have numbers, too; a start of a lane that was lost is made. */
static void test_torn_task_and_lane(void **state)
{
	(void)state;
	ik_expect("text",
		  "reheap-trace 1 columns=task\n"
		  "lane_start lane=0\nspawn lane=0 id=1 size=2048\nspawn lane=0 id=2 siz\n"
		  "spawn lane=0 id=3 size=4096\nexit lane=0 id=2\nexit lane=0 id=3\nlane_st\n"
		  "alloc lane=0 id=0 size=10 task=2\nalloc lane=0 id=1 size=11 task=3\n"
		  "lane_start lane=2\n",
		  "lane_start lane=0\n"
		  "spawn lane=0 id=1 size=2048\n"
		  "spawn lane=0 id=2 size=4096\n"
		  "exit lane=0 id=2\n"
		  "alloc lane=0 id=0 size=10\n"
		  "alloc lane=0 id=1 size=11 task=2\n"
		  "lane_start lane=1\n"
		  "lane_start lane=2\n");
	assert_int_equal(ik_note("drop.torn_line"), 1);
	assert_int_equal(ik_note("drop.other_line"), 1);
	assert_int_equal(ik_note("drop.lost_task"), 1);
	assert_int_equal(ik_note("repair.lost_task"), 1);
}

/* What a program printed before, behind and between. */
static void test_foreign(void **state)
{
	(void)state;
	ik_expect("text",
		  "Hello\nprogress 0% reheap-trace 1 columns=site\n"
		  "10 % .. alloc lane=0 id=0 size=10 site=3\nHello, world!\n"
		  "alloc lane=0 id=1 size=30 20 % ..\n"
		  "30 %alloc lane=0 id=2 size=31free lane=0 id=1 free lane=0 id=2 40 %\n"
		  "free lane=0 id=0 (that was all)\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=10 site=3\n"
		  "alloc lane=0 id=1 size=30\n"
		  "free lane=0 id=1\n"
		  "free lane=0 id=0\n");
	assert_int_equal(ik_note("repair.foreign_text"), 5);
	assert_int_equal(ik_note("drop.other_line"), 2);
	assert_int_equal(ik_note("drop.lost_object"), 1);
}

/* A page that was never written holds many births: they count as torn, and are few or too many. */
static void test_hole(void **state)
{
	static char text[200000];

	(void)state;
	for (int hole = 4; hole <= 400; hole *= 100) {
		size_t at = (size_t)snprintf(text, sizeof(text), HEAD "lane_start lane=0\n");

		for (int i = 0; i < 2000; i++) {
			if (i >= 500 && i < 500 + hole)
				continue;
			at += (size_t)snprintf(text + at, sizeof(text) - at,
					       i == 499 ? "alloc lane=0 id=%d si"
							: "alloc lane=0 id=%d size=16\n",
					       i);
		}
		for (int i = 0; i < 2000; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "free lane=0 id=%d\n",
					       i);
		snprintf(text + at, sizeof(text) - at, "end\n");
		if (hole > 40) {
			ik_refuse("text", text, "--max-damage");
			continue;
		}
		ik_import_text("text", text);
		ik_adds_up("text");
		assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 2000 - hole - 1);
		assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 2000 - hole - 1);
		assert_int_equal(ik_note("drop.lost_object"), hole + 1);
	}
}

/* A wrong number without a torn line before it is refused by name, and so is a second trace. */
static void test_refused(void **state)
{
	char text[4000];
	size_t at;

	(void)state;
	ik_refuse("text", HEAD "alloc lane=0 id=7 size=1\n",
		  ":2: not a line of a text trace: objects are");
	ik_refuse("text", HEAD "alloc lane=0 size=1\nend\n" HEAD "alloc lane=0 size=1\n",
		  ":4: not a line of a text trace: a second trace begins here");
	ik_refuse("text", HEAD "alloc lane=0 size=1\n" HEAD "alloc lane=0 size=1\n", ":3: ");
	at = (size_t)snprintf(text, sizeof(text), HEAD);
	for (int i = 0; i < 50; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "alloc lane=0 size=1\n%s",
				       i % 10 ? "" : "free lane=0 id=999\n");
	ik_refuse("text", text,
		  ":3: not a line of a text trace: object 999 was never born (5 of 56");
}

/* Cut after any byte: the beginning of what the whole gives. */
static void test_cut_anywhere(void **state)
{
	static const char text[] = HEAD "lane_start lane=0\nalloc lane=0 id=0 size=1234\n"
					"resize lane=0 id=1 old=0 size=5678\nfree lane=0 id=1\n";
	char path[128], *whole;

	(void)state;
	snprintf(path, sizeof(path), "%s", scratch_path("input.txt"));
	store_trace(path, text, strlen(text));
	ik_import_as("text", path, RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	whole = ik_event_lines(ik.path);
	for (size_t cut = strlen(HEAD) + 19; cut < strlen(text); cut++) {
		char *part;

		store_trace(path, text, cut);
		ik_import_as("text", path, RH_FORM_TEXT, NULL);
		expect_ok(ik.rc, &ik.err);
		part = ik_event_lines(ik.path);
		if (strncmp(whole, part, strlen(part)) != 0)
			fail_msg("cut at %zu:\n%s", cut, part);
		free(part);
		ik_import_as("text", path, RH_FORM_BINARY, NULL);
		assert_int_equal(ik_has_note("import.truncated"), text[cut - 1] != '\n');
	}
	free(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_birth),    cmocka_unit_test(test_torn_birth_unnumbered),
		cmocka_unit_test(test_written_again), cmocka_unit_test(test_torn_task_and_lane),
		cmocka_unit_test(test_foreign),	      cmocka_unit_test(test_hole),
		cmocka_unit_test(test_refused),	      cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
