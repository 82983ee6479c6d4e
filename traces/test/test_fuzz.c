/*
 * test_fuzz.c - replays a seeded corpus through the fuzz target: valid traces in both
 * forms, and the same with bytes changed, cut, doubled and swapped. The same on every run.
 */
#include "traces/test/fuzz_trace.c"
#include "traces/test/kit.h"

enum { CORPUS_EVENTS = 120, MUTATIONS = 150 };

static void mutate(struct kit *kit, char *data, size_t *bytes)
{
	for (uint64_t edits = 1 + kit_below(kit, 4); edits && *bytes > 8; edits--) {
		size_t at = (size_t)kit_below(kit, *bytes), room = *bytes - at;
		size_t length = 1 + (size_t)kit_below(kit, room < 16 ? room : 16);

		switch (kit_below(kit, 5)) {
		case 0:
			data[at] = (char)kit_random(kit);
			break;
		case 1:
			data[at] ^= (char)(1u << kit_below(kit, 8));
			break;
		case 2:
			memset(data + at, kit_below(kit, 2) ? 0xff : 0, length);
			break;
		case 3:
			memmove(data + at, data + kit_below(kit, *bytes - length + 1), length);
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
	const char *path = kit_path("corpus");
	struct kit kit;
	size_t bytes, mutated_bytes;
	char *data, *mutated;

	kit_open(&kit, columns, columns + 7);
	for (size_t i = 0; i < CORPUS_EVENTS; i++)
		kit_event(&kit, -1, &events[i]);
	kit_write(path, form, columns, events, CORPUS_EVENTS);
	data = kit_load(path, &bytes);
	mutated = malloc(bytes);
	assert_non_null(mutated);
	assert_int_equal(LLVMFuzzerTestOneInput((uint8_t *)data, bytes), 0);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(mutated, data, bytes);
		mutated_bytes = bytes;
		mutate(&kit, mutated, &mutated_bytes);
		assert_int_equal(LLVMFuzzerTestOneInput((uint8_t *)mutated, mutated_bytes), 0);
	}
	free(data);
	free(mutated);
	kit_close(&kit);
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
