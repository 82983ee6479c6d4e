/*
 * fuzz_program.c - a fuzz target for compiled programs. Most bytes of a file that is made at random
 * are refused by the first check, so the input is changes (three bytes: where, where, what) to a
 * small program that is right. Properties: an error is one sentence; without changes it is taken;
 * what is taken can be walked from end to end by the counts that it names.
 */
#include "harness/compile/compile.h"
#include "harness/compile/program.h"
#include "traces/test/fuzz_support.h"

static const char events[] = "reheap-trace 1\n"
			     "lane_start lane=0\nlane_start lane=1\n"
			     "alloc lane=0 id=0 size=64\nalloc lane=0 id=1 size=4096 align=64\n"
			     "free lane=1 id=0\nresize lane=1 id=2 old=1 size=100000\n"
			     "alloc lane=1 id=3 size=8 flags=zeroed\nfree lane=0 id=3\n"
			     "free lane=0 id=2\nlane_stop lane=1\nlane_stop lane=0\n";

/* The bytes of the program, compiled once. */
static const uint8_t *make_right(size_t *bytes)
{
	static struct rh_program right;
	struct rh_compile_options options = { .grain_events = 4 };
	struct rh_err err = { 0 };
	struct fuzz_file file;

	if (!right.base) {
		demand(fuzz_file_open(&file, events, sizeof(events) - 1), "there is memory", NULL);
		demand(rh_compile(file.path, &options, &right, NULL, &err) == 0, "it compiles",
		       &err);
		fuzz_file_close(&file);
	}
	*bytes = right.head->bytes;
	return right.base;
}

/* All words that the hot loop would read. */
static uint64_t walk(const struct rh_program *program)
{
	uint64_t sum = 0;

	for (uint32_t lane = 0; lane < program->head->lanes; lane++) {
		const uint64_t *words = (const uint64_t *)rh_program_ops(program, lane);

		for (uint64_t i = 0; i < program->lanes[lane].op_words; i++)
			sum += words[i];
	}
	for (uint32_t grain = 0; grain < program->head->grains; grain++)
		sum += program->grain_facts[grain].events;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	size_t whole;
	const uint8_t *right = make_right(&whole);
	struct rh_program program;
	struct rh_err err = { 0 };
	struct fuzz_file file;
	uint8_t *changed = malloc(whole);
	int fd;

	demand(changed != NULL, "there is memory", NULL);
	memcpy(changed, right, whole);
	for (size_t i = 0; i + 2 < bytes && i < 3 * 64; i += 3)
		changed[(data[i] | data[i + 1] << 8) % whole] = data[i + 2];
	if (fuzz_file_open(&file, changed, whole)) {
		fd = dup(file.fd);
		if (fd >= 0 && rh_program_map(&program, fd, &err) == 0) {
			volatile uint64_t sum = walk(&program);

			(void)sum;
			rh_program_unmap(&program);
		} else if (fd >= 0) {
			demand_error(&err);
			demand(bytes > 2, "what was compiled is taken", &err);
		}
	}
	fuzz_file_close(&file);
	free(changed);
	return 0;
}
