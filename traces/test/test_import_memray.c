/*
 * test_import_memray.c - captures of memray as its versions write them, made here byte by byte: the
 * same calls in each form are the same events, a cut anywhere keeps what stands before it, and what
 * is no recording is refused. (The reader was held against captures of memray 1.17 itself and
 * against the writer of 1.20, by what memray's own reader counts in them.)
 */
#include "traces/test/import_support.h"

enum { NEWEST = 13, OLDEST = 9, PACKED = 12, CALLS = 9 };

static struct {
	unsigned char bytes[2000];
	size_t count, ends[CALLS]; /* where each call ends */
	uint64_t address, recent[15];
	unsigned version;
	bool native;
} file;

static void put_bytes(const void *bytes, size_t count)
{
	assert_true(file.count + count <= sizeof(file.bytes));
	memcpy(file.bytes + file.count, bytes, count);
	file.count += count;
}

static void put_byte(unsigned byte)
{
	put_bytes(&(unsigned char){ (unsigned char)byte }, 1);
}

static void put_varint(uint64_t value)
{
	for (; value > 127; value >>= 7)
		put_byte((unsigned)(value & 127) | 128);
	put_byte((unsigned)value);
}

static void put_signed(int64_t value)
{
	put_varint(value < 0 ? (uint64_t)(-1 - value) << 1 | 1 : (uint64_t)value << 1);
}

static void put_string(const char *text)
{
	put_bytes(text, strlen(text) + 1);
}

static void put_head(unsigned version, bool native, unsigned format)
{
	static const char zeros[64];

	memset(&file, 0, sizeof(file));
	file.version = version;
	file.native = native;
	put_string("memray");
	put_bytes(&version, 4);
	put_bytes(zeros, version >= PACKED ? 4 : 0);
	put_byte(native);
	if (version >= 10)
		put_byte(format);
	put_bytes(zeros, 32);
	put_string("prog.py a");
	put_bytes(zeros, 4 + 16 + 1 + (version >= 11) + (version >= PACKED));
	if (version >= NEWEST)
		put_bytes("/lib\0/a\0/b\0\0/c\0", 16);
}

static void put_thread(uint64_t thread)
{
	put_byte(12);
	put_bytes(&thread, 8);
}

/* A call by its number in new files. */
static void put_call(unsigned allocator, uint64_t address, uint64_t bytes)
{
	static const unsigned char old[] = { 0, 15, 12, 13, 14, 2, 1, 4, 3, 5, 6, 7, 8, 9, 10, 11 };
	bool is_free = allocator == 1 || allocator == 5;
	unsigned which = 0;

	if (file.version < PACKED) {
		put_byte((file.native ? 2 : 1) | (unsigned)old[allocator] << 4);
		put_signed((int64_t)(address - file.address));
		file.address = address;
		if (file.native || !is_free)
			put_varint(bytes);
		if (file.native)
			put_signed(3);
		return;
	}
	while (which < 15 && file.recent[which] != address)
		which++;
	put_byte(128 | which << 3 | (allocator < 8 ? allocator : 0));
	if (which == 15) {
		put_signed((int64_t)((address >> 3) - file.address));
		file.address = address >> 3;
		memmove(file.recent + 1, file.recent, sizeof(file.recent) - 8);
		file.recent[0] = address;
	}
	if (allocator >= 8)
		put_byte(allocator);
	if (file.native && !is_free)
		put_signed(-2);
	if (!is_free)
		put_varint(bytes);
}

/* Records of all kinds that are no calls. */
static void put_others(void)
{
	if (file.version < PACKED) {
		put_byte(3); /* a frame: number, names, line */
		put_signed(1);
		put_string("f");
		put_string("prog.py");
		put_signed(-7);
		put_byte(4);
		put_signed(1);
		put_byte(0x29);
	} else {
		put_byte(65);
		put_varint(700);
		put_signed(-1);
		put_byte(0x13);
		put_byte(14); /* code: number, names, line, table */
		put_varint(700);
		put_string("f");
		put_string("prog.py");
		put_signed(12);
		put_varint(5);
		put_bytes("\x80\0z\0\1", 5);
	}
	put_byte(5);
	put_signed(64);
	put_signed(1);
	put_byte(6);
	put_byte(7); /* an image of one segment */
	put_string("/lib/x.so");
	put_varint(1);
	put_bytes("\0\0\0\0\0\x7f\0\0", 8);
	put_byte(8);
	put_bytes("\0\x10\0\0\0\0\0\0", 8);
	put_varint(300);
	put_byte(10);
	put_string("worker");
}

static void put_time(uint64_t ms)
{
	put_byte(file.version < PACKED ? 11 : 2);
	put_varint(5000000);
	put_varint(ms);
}

static const struct {
	unsigned thread, allocator;
	uint64_t address, bytes;
} calls[CALLS] = {
	{ 77, 6, 0x7f0000001000, 100 },	     /* malloc */
	{ 77, 8, 0x55550000, 300 },	     /* calloc */
	{ 78, 5, 0x7f0000001000, 0 },	     /* free, of what the other thread has */
	{ 78, 7, 0x7f0000001000, 5000 },     /* realloc */
	{ 78, 12, 0x7f0000100000, 4096 },    /* valloc */
	{ 77, 14, 0x7f1000000000, 1 << 20 }, /* mmap */
	{ 77, 2, 0x7f1000000010, 24 },	     /* of pymalloc */
	{ 77, 1, 0x7f1000000010, 0 },	     { 77, 15, 0x7f1000000000, 1 << 20 }, /* munmap */
};

static const char events[] = "lane_start lane=0\n"
			     "alloc lane=0 id=0 size=100\n"
			     "alloc lane=0 id=1 size=300 flags=zeroed time=0\n"
			     "lane_start lane=1 time=10000000\n"
			     "free lane=1 id=0 time=10000000\n"
			     "alloc lane=1 id=2 size=5000 time=20000000\n"
			     "alloc lane=1 id=3 size=4096 align=4096 time=30000000\n"
			     "map lane=0 id=0 size=1048576 time=40000000\n"
			     "alloc lane=0 id=4 size=24 time=50000000\n"
			     "free lane=0 id=4 time=60000000\n"
			     "unmap lane=0 id=0 size=1048576 time=70000000\n";

static void make(unsigned version, bool native)
{
	put_head(version, native, 0);
	for (unsigned i = 0; i < CALLS; i++) {
		if (i == 0 || calls[i].thread != calls[i - 1].thread)
			put_thread(calls[i].thread);
		if (i == 3)
			put_others();
		put_call(calls[i].allocator, calls[i].address, calls[i].bytes);
		file.ends[i] = file.count;
		put_time(40 + 10 * i);
	}
	/* An object is born in a block, and the address of it is a new one. */
	if (version >= PACKED) {
		put_byte(32 | 15 << 1 | 1);
		put_signed(2);
		if (native)
			put_signed(1);
		put_byte(32 | 0 << 1);
	}
	put_byte(version < PACKED ? 0x10 : 1);
}

static void all_versions_are_read(void **state)
{
	(void)state;
	for (unsigned version = OLDEST; version <= NEWEST; version++)
		for (int native = 0; native < 2; native++) {
			make(version, native);
			ik_import("memray", "m.bin", file.bytes, file.count);
			ik_adds_up("memray");
			assert_false(ik_has_note("import.truncated"));
			assert_int_equal(ik_note("memray.version"), version);
			assert_int_equal(ik_note("drop.object_record"), version < PACKED ? 0 : 2);
			assert_int_equal(ik_note("drop.other_record"), version < PACKED ? 5 : 6);
			assert_int_equal(ik_note("drop.frame_record"), version < PACKED ? 3 : 2);
			ik_import_as("memray", scratch_path("m.bin"), RH_FORM_TEXT, NULL);
			ik_expect_lines(ik.path, events);
		}
}

/* A file that was never closed is kept in pages of zero bytes. */
static void cut_anywhere(void **state)
{
	(void)state;
	for (unsigned version = 11; version <= NEWEST; version++) {
		unsigned whole = 0;

		make(version, true);
		for (size_t cut = 1; cut < file.count; cut++) {
			static unsigned char padded[4096];

			memset(padded, 0, sizeof(padded));
			memcpy(padded, file.bytes, cut);
			whole += whole < CALLS && cut >= file.ends[whole];
			ik_import("memray", "m.bin", file.bytes, cut);
			if (whole == 0) {
				assert_int_equal(ik.err.code, RH_BAD_DATA);
				continue;
			}
			ik_adds_up("memray");
			assert_true(ik_has_note("import.truncated"));
			assert_int_equal(ik.totals.objects + ik.totals.by_kind[RH_EV_FREE] +
						 ik.totals.by_kind[RH_EV_MAP] +
						 ik.totals.by_kind[RH_EV_UNMAP],
					 whole);
			/* The zeros may complete the last record. */
			ik_import("memray", "m.bin", padded, sizeof(padded));
			if (ik.rc == 0)
				ik_adds_up("memray");
		}
		assert_int_equal(whole, CALLS);
	}
}

static void expect_refused(const char *part)
{
	struct stat st;

	ik_import("memray", "m.bin", file.bytes, file.count);
	assert_int_equal(ik.rc, -1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	if (!strstr(ik.err.text, part))
		fail_msg("'%s' is not in: %s", part, ik.err.text);
	assert_int_equal(stat(ik.path, &st), -1);
}

static void others_are_refused(void **state)
{
	(void)state;
	put_head(14, false, 0);
	expect_refused("the numbers 9 to 13 (memray 1.5 to 1.20), and this has 14");
	put_head(8, false, 0);
	expect_refused("and this has 8");
	put_head(11, false, 1);
	expect_refused("--aggregate: sums, not calls");
	put_head(NEWEST, false, 0);
	file.count -= 3;
	expect_refused("cut off in its head");
	put_head(NEWEST, false, 0);
	put_byte(1);
	expect_refused("it has no allocation");
	put_head(NEWEST, false, 0);
	put_call(6, 0x1000, 1);
	expect_refused("record 1: no thread was named before the first call");
	make(NEWEST, false);
	put_byte(1);
	expect_refused("something follows the last record");
	make(NEWEST, false);
	file.bytes[file.ends[0]] = 3;
	expect_refused("record 3: a record is of no known kind");
	make(11, false);
	file.bytes[file.ends[0]] = 0x20;
	expect_refused("record 3: a record is of no known kind");
	put_head(12, false, 0);
	put_thread(1);
	put_byte(128 | 15 << 3);
	put_signed(5);
	put_byte(16);
	put_varint(1);
	expect_refused("record 2: an allocator is none of 1 to 15");
	put_head(12, false, 0);
	put_bytes("\x0c"
		  "12345678\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		  21);
	expect_refused("record 2: a number is too long");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_versions_are_read),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
