/*
 * fuzz_spec.c - a fuzz target for backends as they are named: lists of variants with sweeps,
 * labels, environments, knobs and stack backends. Properties: an error is one sentence; every text
 * of a list is a variant that parses; the same list gives the same variants.
 */
#include "alloc/backend.h"
#include "alloc/base/variant.h"
#include "traces/test/fuzz_support.h"

static void parse_one(const char *text)
{
	static struct rh_spec spec;
	struct rh_variant variant;
	struct rh_err err = { 0 };

	if (rh_variant_parse(&variant, text, &err) < 0)
		demand_error(&err);
	err = (struct rh_err){ 0 };
	/* What names a file looks at the file system, which is no part of the input. */
	if (!strstr(text, ".so") && rh_spec_parse(&spec, text, 0, &err) < 0)
		demand_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rh_err err = { 0 };
	char *copy, *list, *again;
	size_t count = 0, count_again = 0, used = 0;

	if (bytes > 2000)
		return 0;
	copy = malloc(bytes + 1);
	demand(copy != NULL, "there is memory", NULL);
	memcpy(copy, data, bytes);
	copy[bytes] = '\0';
	parse_one(copy);
	list = rh_variant_list(copy, &count, &err);
	if (!list) {
		demand_error(&err);
		free(copy);
		return 0;
	}
	demand(count <= RH_VARIANTS_MAX, "a list is bounded", NULL);
	again = rh_variant_list(copy, &count_again, &err);
	demand(again && count == count_again, "the same list is as long again", &err);
	for (size_t i = 0; i < count; i++) {
		demand(strcmp(list + used, again + used) == 0, "the same list is the same", NULL);
		parse_one(list + used);
		used += strlen(list + used) + 1;
	}
	free(again);
	free(list);
	free(copy);
	return 0;
}
