/*
 * test_commands.c - the command table is sound, and everything printed from it says all
 * that is in it: help, manual page, completions; parts of the installation are found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/help.h"

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	print(to);
	fclose(to);
	return text;
}

static char *printed_command(const struct rh_command *command)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	rh_help_command(command, to);
	fclose(to);
	return text;
}

static void contains(const char *text, const char *what, const char *of)
{
	if (!strstr(text, what))
		fail_msg("'%s' of %s is not told", what, of);
}

static void rows_are_sound(void **state)
{
	(void)state;
	assert_non_null(rh_commands[0]);
	for (int i = 0; rh_commands[i]; i++) {
		const struct rh_command *command = rh_commands[i];
		_Alignas(16) unsigned char opts[RH_COMMAND_OPTS_MAX] = { 0 };
		struct rh_err err = { 0 };

		assert_non_null(command->run);
		assert_true(command->summary && command->summary[0]);
		assert_true(command->opts_bytes <= RH_COMMAND_OPTS_MAX);
		assert_true(command->operands_max < 0 ||
			    command->operands_max >= command->operands_min);
		if (rh_opt_defaults(command->opts, opts, &err) < 0)
			fail_msg("%s: %s", command->name, err.text);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(command->name, rh_commands[k]->name);
		for (const struct rh_opt *row = command->opts; row && row->name; row++) {
			assert_true(row->offset < command->opts_bytes);
			if (!row->help || !row->help[0])
				fail_msg("%s --%s has no help", command->name, row->name);
		}
	}
}

static void help_tells_every_option(void **state)
{
	char *all = printed(rh_help_all);

	(void)state;
	for (int i = 0; rh_commands[i]; i++) {
		const struct rh_command *command = rh_commands[i];
		char *text = printed_command(command);

		if (!command->hidden)
			contains(all, command->summary, command->name);
		contains(text, command->operands ? command->operands : "", command->name);
		for (const struct rh_opt *row = command->opts; row && row->name; row++) {
			contains(text, row->name, command->name);
			contains(text, row->help, command->name);
		}
		contains(text, "--help", command->name);
		free(text);
	}
	free(all);
}

/* Hands text to a program on its stdin; its exit status. */
static int feed(const char *program, const char *text)
{
	FILE *to = popen(program, "w");

	assert_non_null(to);
	fputs(text, to);
	return pclose(to);
}

static void manual_page_is_roff(void **state)
{
	char *text = printed(rh_help_man);

	(void)state;
	assert_int_equal(strncmp(text, ".TH REHEAP 1", 12), 0);
	for (int i = 0; rh_commands[i]; i++)
		if (!rh_commands[i]->hidden)
			contains(text, rh_commands[i]->name, "the manual page");
	contains(text, ".SH EXIT STATUS", "the manual page");
	if (system("command -v groff >/dev/null") == 0)
		assert_int_equal(
			feed("test -z \"$(groff -man -Tascii -ww 2>&1 >/dev/null)\"", text), 0);
	else
		print_message("groff is not here: the page was not rendered\n");
	free(text);
}

static void completion_is_bash(void **state)
{
	char *text = printed(rh_help_completion);
	char *test;

	(void)state;
	assert_int_equal(feed("bash -n", text), 0);
	assert_true(asprintf(&test, "%s\nCOMP_WORDS=(reheap he) COMP_CWORD=1\n_reheap\n"
			     "[ \"${COMPREPLY[*]}\" = help ] || exit 1\n"
			     "COMP_WORDS=(reheap help --m) COMP_CWORD=2\n_reheap\n"
			     "[ \"${COMPREPLY[*]}\" = --man ] || exit 2\n"
			     "COMP_WORDS=(reheap help --completion b) COMP_CWORD=3\n_reheap\n"
			     "[ \"${COMPREPLY[*]}\" = bash ] || exit 3\n", text) > 0);
	assert_int_equal(feed("bash", test), 0);
	free(test);
	free(text);
}

static void version_is_known(void **state)
{
	char *text = printed(rh_help_version);

	(void)state;
	assert_int_equal(strncmp(text, "reheap ", 7), 0);
	assert_true(strlen(text) > 8);
	free(text);
}

static void parts_are_found(void **state)
{
	struct rh_err err = { 0 };
	char path[4096];

	(void)state;
	/* The source tree this test was built in, found from the binary alone. */
	if (rh_find_part("harness/command.h", path, sizeof(path), &err) < 0) {
		print_message("built outside the source tree: %s\n", err.text);
	} else {
		assert_int_equal(access(path, R_OK), 0);
		assert_int_equal(rh_find_part("plots", path, sizeof(path), &err), 0);
		assert_int_equal(rh_find_part("corpus", path, sizeof(path), &err), 0);
		assert_non_null(strstr(path, "traces/corpus"));
	}
	assert_int_equal(rh_find_part("no-such-part", path, sizeof(path), &err), -1);
	assert_int_equal(err.code, RH_ABSENT);
	assert_non_null(strstr(err.text, "no-such-part"));
	/* A path that does not fit is not found, and nothing is written beyond it. */
	assert_int_equal(rh_find_part("plots", path, 4, &err), -1);
}

static void progress_is_for_terminals(void **state)
{
	int saved = dup(STDERR_FILENO), ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	rh_progress("working: %d", 1);
	rh_progress("%s", "");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(help_tells_every_option),
		cmocka_unit_test(manual_page_is_roff),
		cmocka_unit_test(completion_is_bash),
		cmocka_unit_test(version_is_known),
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(progress_is_for_terminals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
