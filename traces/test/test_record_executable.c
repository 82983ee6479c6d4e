/*
 * test_record_executable.c - what cannot be recorded is said before anything runs.
 */
#include "traces/test/record_run.h"

#include "traces/record/executable.h"

static int look(const char *name, char *text, size_t room)
{
	struct rh_executable found;
	struct rh_err err = { 0 };
	int got = rh_executable_find(name, &found, &err);

	snprintf(text, room, "%s", got < 0 ? err.text : found.warning);
	return got < 0 ? found.status : 0;
}

static void write_file(const char *path, const void *data, size_t bytes, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void missing_and_not_executable(void **state)
{
	char text[700], path[80];

	(void)state;
	assert_int_equal(look("/nowhere/at/all", text, sizeof text), 127);
	assert_int_equal(look("no-such-program-anywhere", text, sizeof text), 127);
	assert_non_null(strstr(text, "no such program"));
	assert_int_equal(look("", text, sizeof text), 127);
	assert_int_equal(look("/tmp", text, sizeof text), 126);
	snprintf(path, sizeof path, "%s/text", work_dir);
	write_file(path, "hello", 5, 0600);
	if (access(path, X_OK) != 0)
		assert_int_equal(look(path, text, sizeof text), 126);
}

static void ordinary_programs(void **state)
{
	char text[700];

	(void)state;
	assert_int_equal(look("sh", text, sizeof text), 0);
	assert_string_equal(text, "");
	assert_int_equal(look(helper, text, sizeof text), 0);
	assert_string_equal(text, "");
}

/* The helper's own ELF file, made static by renaming its interpreter segment. */
static void changed_elf(void **state)
{
	char text[700], path[80];
	struct stat st;
	unsigned char *data;
	int fd = open(helper, O_RDONLY);
	uint64_t table;
	unsigned count, size;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	data = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	memcpy(&table, data + 32, 8);
	size = data[54] | data[55] << 8;
	count = data[56] | data[57] << 8;
	snprintf(path, sizeof path, "%s/changed", work_dir);
	for (unsigned i = 0; i < count; i++)
		if (data[table + i * size] == 3) /* PT_INTERP */
			data[table + i * size] = 0;
	write_file(path, data, (size_t)st.st_size, 0700);
	assert_int_equal(look(path, text, sizeof text), RH_ABSENT);
	assert_non_null(strstr(text, "statically linked"));
	data[18] = 2; /* EM_SPARC */
	write_file(path, data, (size_t)st.st_size, 0700);
	assert_int_equal(look(path, text, sizeof text), RH_ABSENT);
	assert_non_null(strstr(text, "another machine"));
	/* headers that point anywhere */
	data[18] = 62;
	memset(data + 32, 0xff, 16);
	write_file(path, data, (size_t)st.st_size, 0700);
	assert_int_equal(look(path, text, sizeof text), RH_ABSENT);
	for (size_t cut = 0; cut < 200; cut += 7) {
		write_file(path, data, cut, 0700);
		look(path, text, sizeof text);
	}
	free(data);
}

static void privileged(void **state)
{
	char text[700], path[80];

	(void)state;
	if (getuid() != 0) {
		print_message("# SKIP only root can make a file another's\n");
		skip();
	}
	snprintf(path, sizeof path, "%s/setuid", work_dir);
	write_file(path, "#!/bin/sh\n", 10, 0700);
	assert_int_equal(chown(path, 65534, 0), 0);
	assert_int_equal(chmod(path, 04755), 0);
	assert_int_equal(look(path, text, sizeof text), RH_ABSENT);
	assert_non_null(strstr(text, "setuid"));
}

static void nothing_runs_when_refused(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct rh_err err = { 0 };
	char *argv[] = { (char *)"/nowhere/at/all", NULL };

	(void)state;
	assert_int_equal(record(&opts, argv, &err), 127);
	assert_non_null(strstr(err.text, "/nowhere/at/all"));
	assert_int_not_equal(access(out_path, F_OK), 0);
	opts.out = "/nowhere/at/all.rht";
	argv[0] = helper;
	assert_int_equal(record(&opts, argv, &err), RH_CANT_CREATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_and_not_executable),
		cmocka_unit_test(ordinary_programs),
		cmocka_unit_test(changed_elf),
		cmocka_unit_test(privileged),
		cmocka_unit_test(nothing_runs_when_refused),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
