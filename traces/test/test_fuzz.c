/*
 * test_fuzz.c - replays a seeded corpus through the fuzz target: valid traces in both
 * forms, and the same with bytes changed, cut, doubled and swapped. The same on every run.
 */
#include "traces/test/fuzz_trace.c"
#include "traces/test/test_support.h"

enum { CORPUS_EVENTS = 120, MUTATIONS = 150 };

static void mutate(struct maker *maker, char *data, size_t *bytes)
{
	for (uint64_t edits = 1 + maker_below(maker, 4); edits && *bytes > 8; edits--) {
		size_t at = (size_t)maker_below(maker, *bytes), room = *bytes - at;
		size_t length = 1 + (size_t)maker_below(maker, room < 16 ? room : 16);

		switch (maker_below(maker, 5)) {
		case 0:
			data[at] = (char)maker_random(maker);
			break;
		case 1:
			data[at] ^= (char)(1u << maker_below(maker, 8));
			break;
		case 2:
			memset(data + at, maker_below(maker, 2) ? 0xff : 0, length);
			break;
		case 3:
			memmove(data + at, data + maker_below(maker, *bytes - length + 1), length);
			break;
		default:
			memmove(data + at, data + at + length, room - length);
			*bytes -= length;
		}
	}
}

static void replay(enum rh_trace_form form, unsigned columns)
{
	struct rh_event events[CORPUS_EVENTS];
	const char *path = scratch_path("corpus");
	struct maker maker;
	size_t bytes, mutated_bytes;
	char *data, *mutated;

	maker_open(&maker, columns, columns + 7);
	for (size_t i = 0; i < CORPUS_EVENTS; i++)
		maker_event(&maker, -1, &events[i]);
	write_events(path, form, columns, events, CORPUS_EVENTS);
	data = load_trace(path, &bytes);
	mutated = malloc(bytes);
	assert_non_null(mutated);
	assert_int_equal(LLVMFuzzerTestOneInput((uint8_t *)data, bytes), 0);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(mutated, data, bytes);
		mutated_bytes = bytes;
		mutate(&maker, mutated, &mutated_bytes);
		assert_int_equal(LLVMFuzzerTestOneInput((uint8_t *)mutated, mutated_bytes), 0);
	}
	free(data);
	free(mutated);
	maker_close(&maker);
}

/* Small blocks compress to literals, so changed bytes reach the codec and not only zstd. */
static void test_binary(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < 16; columns += 3)
		replay(RH_FORM_BINARY, columns);
}

static void test_text(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < 16; columns += 5)
		replay(RH_FORM_TEXT, columns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
