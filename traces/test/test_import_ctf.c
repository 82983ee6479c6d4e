/*
 * test_import_ctf.c - folders of CTF: a trace written here by hand, byte by byte, comes out event
 * by event; what the tracer discarded is said; and what is no such folder, or none that can be
 * read, is refused in one sentence. Needs babeltrace2.
 */
#include <sys/stat.h>

#include "traces/test/import_support.h"

enum { PACKET_BYTES = 4096, MAGIC = 0xc1fc1fc1u };

static const char metadata[] =
	"/* CTF 1.8 */\n"
	"typealias integer { size = 32; align = 8; signed = false; } := u32;\n"
	"typealias integer { size = 64; align = 8; signed = false; } := u64;\n"
	"clock { name = c; freq = 1000000000; offset_s = 1500000000; };\n"
	"typealias integer { size = 64; align = 8; signed = false; map = clock.c.value; } := ns;\n"
	"trace { major = 1; minor = 8; byte_order = le;\n"
	" packet.header := struct { u32 magic; u32 stream_id; }; };\n"
	"stream { id = 0;\n"
	" packet.context := struct { ns timestamp_begin; ns timestamp_end; u64 content_size;\n"
	"  u64 packet_size; u64 events_discarded; u32 cpu_id; };\n"
	" event.header := struct { u32 id; ns timestamp; };\n"
	" event.context := struct { u32 vtid; u32 vpid; }; };\n"
	"event { name = \"lttng_ust_libc:malloc\"; id = 0; stream_id = 0;\n"
	" fields := struct { u64 size; u64 ptr; }; };\n"
	"event { name = \"lttng_ust_libc:free\"; id = 1; stream_id = 0;\n"
	" fields := struct { u64 ptr; }; };\n"
	"event { name = \"lttng_ust_libc:realloc\"; id = 2; stream_id = 0;\n"
	" fields := struct { u64 in_ptr; u64 size; u64 ptr; }; };\n"
	"event { name = \"lttng_ust_statedump:start\"; id = 3; stream_id = 0; };\n";

struct packet {
	unsigned char bytes[PACKET_BYTES];
	size_t used;
};

static void put(struct packet *packet, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		packet->bytes[packet->used++] = (unsigned char)(value >> (8 * i));
}

static void begin(struct packet *packet, uint64_t first, uint64_t last, uint64_t lost)
{
	memset(packet, 0, sizeof(*packet));
	put(packet, MAGIC, 4);
	put(packet, 0, 4);
	put(packet, first, 8);
	put(packet, last, 8);
	put(packet, 0, 8); /* the bits of content: filled in at the end */
	put(packet, PACKET_BYTES * 8, 8);
	put(packet, lost, 8);
	put(packet, 3, 4);
}

struct event {
	unsigned id;
	uint64_t time;
	uint32_t thread;
	uint64_t fields[3];
	size_t count;
};

static void event(struct packet *packet, struct event event)
{
	put(packet, event.id, 4);
	put(packet, event.time, 8);
	put(packet, event.thread, 4);
	put(packet, 500, 4);
	for (size_t i = 0; i < event.count; i++)
		put(packet, event.fields[i], 8);
}

static void append(FILE *file, struct packet *packet)
{
	struct packet bits = { .used = 0 };

	put(&bits, packet->used * 8, 8);
	memcpy(packet->bytes + 24, bits.bytes, 8);
	assert_int_equal(fwrite(packet->bytes, 1, PACKET_BYTES, file), PACKET_BYTES);
}

/* The folder `name`, with a stream of two packets in a folder below it. */
static const char *make_trace(const char *name, uint64_t lost)
{
	static char folder[256], path[300];
	struct packet packet;
	FILE *file;

	snprintf(folder, sizeof(folder), "%s", scratch_path(name));
	mkdir(folder, 0755);
	snprintf(path, sizeof(path), "%s/ust", folder);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/ust/metadata", folder);
	store_trace(path, metadata, sizeof(metadata) - 1);
	snprintf(path, sizeof(path), "%s/ust/channel0_0", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	begin(&packet, 1000, 5000, 0);
	event(&packet, (struct event){ 3, 1000, 7, { 0 }, 0 });
	event(&packet, (struct event){ 0, 1500, 7, { 64, 0x7f0010 }, 2 });
	event(&packet, (struct event){ 0, 2500, 8, { 100, 0x7f0100 }, 2 });
	event(&packet, (struct event){ 1, 5000, 8, { 0x7f0010 }, 1 });
	append(file, &packet);
	begin(&packet, 6000, 9000, lost);
	event(&packet, (struct event){ 2, 6500, 7, { 0x7f0100, 4096, 0x7f2000 }, 3 });
	event(&packet, (struct event){ 1, 9000, 7, { 0 }, 1 });
	append(file, &packet);
	assert_int_equal(fclose(file), 0);
	return folder;
}

static bool is_absent(void)
{
	const struct rh_importer *importer = rh_importer_of("ctf", &ik.err);

	if (!importer->absent_why())
		return false;
	print_message("# SKIP %s\n", importer->absent_why());
	return true;
}

static void test_events(void **state)
{
	const char *folder = make_trace("trace", 0);

	(void)state;
	if (is_absent())
		skip();
	ik_import_as("ctf", folder, RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path, "lane_start lane=0 time=0\n"
				 "alloc lane=0 id=0 size=64 time=0\n"
				 "lane_start lane=1 time=1000\n"
				 "alloc lane=1 id=1 size=100 time=1000\n"
				 "free lane=1 id=0 time=3500\n"
				 "resize lane=0 id=2 old=1 size=4096 time=5000\n"
				 "free_null lane=0 time=7500\n");
	ik_import_as("ctf", folder, RH_FORM_BINARY, NULL);
	ik_adds_up("ctf");
	assert_int_equal(ik_note("import.lines"), 6);
	assert_int_equal(ik_note("drop.other_line"), 1);
	assert_false(ik_has_note("import.unseen"));
	assert_false(ik_has_note("import.truncated"));
}

static void test_by_content(void **state)
{
	const char *folder = make_trace("trace", 0);
	struct rh_input *input;

	(void)state;
	expect_ok(rh_input_open(&input, folder, &ik.err), &ik.err);
	assert_true(rh_input_is_folder(input));
	assert_string_equal(rh_importer_by_content(input, &ik.err)->name, "ctf");
	rh_input_close(input);
}

static void test_discarded(void **state)
{
	struct rh_trace *trace;

	(void)state;
	if (is_absent())
		skip();
	ik_import_as("ctf", make_trace("lossy", 5), RH_FORM_BINARY, NULL);
	expect_ok(ik.rc, &ik.err);
	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	assert_non_null(
		strstr(rh_trace_note_of(trace, "import.unseen"), "5 events that the tracer"));
	rh_trace_close(trace);
}

static void expect_refused(const char *path, const char *part)
{
	ik_import_as("ctf", path, RH_FORM_BINARY, NULL);
	assert_int_equal(ik.rc, -1);
	if (!strstr(ik.err.text, part))
		fail_msg("'%s' is not in: %s", part, ik.err.text);
	assert_int_equal(access(ik.path, F_OK), -1);
}

static void test_refused(void **state)
{
	const char *folder = make_trace("broken", 0);
	char path[300];

	(void)state;
	if (is_absent())
		skip();
	expect_refused("/proc/self/fd", "is a directory");
	snprintf(path, sizeof(path), "%s/ust/metadata", folder);
	store_trace(path, "/* CTF 1.8 */ trace { nonsense", 30);
	expect_refused(folder, "babeltrace2 cannot read it: ");
	store_trace(scratch_path("packed"), metadata, sizeof(metadata) - 1);
	expect_refused(scratch_path("packed"), "CTF is a folder");
}

/* The process of another trace, and the one that is there. */
static void test_processes(void **state)
{
	const char *folder = make_trace("trace", 0);

	(void)state;
	if (is_absent())
		skip();
	ik_import_as("ctf", folder, RH_FORM_BINARY, "pid=500");
	expect_ok(ik.rc, &ik.err);
	ik_import_as("ctf", folder, RH_FORM_BINARY, "pid=501");
	assert_int_equal(ik.rc, -1);
	assert_non_null(strstr(ik.err.text, "these are: 500"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),	  cmocka_unit_test(test_by_content),
		cmocka_unit_test(test_discarded), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
