/*
 * fuzz_options.c - a fuzz target for options as words and on a command line (cut at line ends):
 * every type, from text. Properties: an error is one sentence; a number that was taken lies within
 * its bounds.
 */
#include <stddef.h>

#include "alloc/base/opt.h"
#include "traces/test/fuzz_support.h"

struct target {
	bool flag;
	uint64_t count, size, time;
	double real, share;
	const char *text;
	int name;
	uint64_t limit;
	bool limited;
};

static const char *const names[] = { "one", "two", NULL };

static const char *nearest(const char *text)
{
	return strcmp(text, "1") == 0 ? "one" : NULL;
}

static const struct rh_opt table[] = {
	{ "flag", 'f', RH_OPT_FLAG, offsetof(struct target, flag), .help = "" },
	{ "count", 'c', RH_OPT_UINT, offsetof(struct target, count), "1", .min = 1, .max = 1000 },
	{ "size", 0, RH_OPT_SIZE, offsetof(struct target, size), "4K", .help = "" },
	{ "time", 0, RH_OPT_TIME, offsetof(struct target, time), "1s", .help = "" },
	{ "real", 0, RH_OPT_REAL, offsetof(struct target, real), "0", .help = "" },
	{ "share", 0, RH_OPT_SHARE, offsetof(struct target, share), "1%", .max = 1 },
	{ "text", 0, RH_OPT_TEXT, offsetof(struct target, text), .help = "" },
	{ "name", 0, RH_OPT_NAME, offsetof(struct target, name), "one", .names = names,
	  .nearest = nearest },
	{ "limit", 'l', RH_OPT_UINT, offsetof(struct target, limit), .off = true, .arg = "N",
	  .given = offsetof(struct target, limited) + 1, .help = "no more than that" },
	{ .name = NULL }
};

enum { ARGS_MAX = 16 };

/* `lines` is changed. */
static void parse_line(char *lines, struct target *target)
{
	char name[] = "fuzz", *argv[ARGS_MAX + 2] = { name }, *word;
	struct rh_opt_line line = { .argc = 1, .argv = argv, .stop_early = *lines == '!' };
	struct rh_err err = { 0 };
	int result;
	FILE *loud = stderr, *silent = fopen("/dev/null", "w");

	while (silent && line.argc <= ARGS_MAX && (word = strsep(&lines, "\n")) != NULL)
		argv[line.argc++] = word;
	/* getopt prints by itself. */
	stderr = silent ? silent : loud;
	if (silent)
		rh_opt_help(table, silent);
	result = rh_opt_argv(&(struct rh_opt_target){ table, target, "fuzz" }, &line, &err);
	if (result < 0)
		demand_error(&err);
	else if (result != RH_OPT_HELP)
		demand(line.operands >= 1 && line.operands <= line.argc, "operands are words",
		       &err);
	stderr = loud;
	if (silent)
		fclose(silent);
}

static void check_bounds(const struct target *target)
{
	demand(target->count >= 1 && target->count <= 1000, "a count is within its bounds", NULL);
	demand(target->share >= 0 && target->share <= 1, "a share is within its bounds", NULL);
	demand(target->name == 0 || target->name == 1, "a name is one of the list", NULL);
	demand(target->limited || !target->limit, "what was given is known to be", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct target target = { 0 };
	char room[4096];
	struct rh_opt_store store = { room, sizeof(room) };
	struct rh_err err = { 0 };
	char *copy;

	if (bytes > 2000)
		return 0;
	copy = malloc(bytes + 1);
	demand(copy != NULL, "there is memory", NULL);
	memcpy(copy, data, bytes);
	copy[bytes] = '\0';
	demand(rh_opt_defaults(table, &target, &err) == 0, "defaults are legal", &err);
	if (rh_opt_set_word(&(struct rh_opt_target){ table, &target, "fuzz" }, copy, strlen(copy),
			    &store, &err) < 0)
		demand_error(&err);
	check_bounds(&target);
	target = (struct target){ 0 };
	demand(rh_opt_defaults(table, &target, &err) == 0, "defaults are legal", &err);
	parse_line(copy, &target);
	check_bounds(&target);
	free(copy);
	return 0;
}
