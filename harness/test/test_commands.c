/*
 * test_commands.c - the command table is sound, and the help, the manual page and the
 * completions contain all of it; parts of the installation are found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/cli/usage.h"
#include "alloc/base/progress.h"

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
		fail_msg("'%s' of %s is not printed", what, of);
}

/* The same text with each run of white space one space: help breaks its lines at 100 columns. */
static char *unbroken(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool white = *from == ' ' || *from == '\n';

		if (!white || to == text || to[-1] != ' ')
			*to++ = white ? ' ' : *from;
	}
	*to = '\0';
	return text;
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
		char *text = unbroken(printed_command(command));

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

static void is_clean_roff(const char *text)
{
	contains(text, ".SH EXIT STATUS", "a manual page");
	contains(text, ".SH ENVIRONMENT", "a manual page");
	if (system("command -v groff >/dev/null") == 0)
		assert_int_equal(
			feed("test -z \"$(groff -man -Tascii -ww 2>&1 >/dev/null)\"", text), 0);
	else
		print_message("groff is not here: the page was not rendered\n");
}

static char *printed_manual(const struct rh_command *command)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	rh_help_man_command(command, to);
	fclose(to);
	return text;
}

static void manual_pages_are_roff(void **state)
{
	char *text = printed(rh_help_man);

	(void)state;
	assert_int_equal(strncmp(text, ".TH REHEAP 1", 12), 0);
	is_clean_roff(text);
	for (int i = 0; rh_commands[i]; i++) {
		char *page;

		if (rh_commands[i]->hidden)
			continue;
		contains(text, rh_commands[i]->summary, "the manual page");
		page = printed_manual(rh_commands[i]);
		is_clean_roff(page);
		if (rh_commands[i]->examples)
			contains(page, ".SH EXAMPLES", "a manual page");
		free(page);
	}
	free(text);
}

static char *printed_completion(enum rh_shell shell)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	rh_help_completion(shell, to);
	fclose(to);
	return text;
}

/* bash passes the line and strips the part that it does not replace: here with a reheap that
 * answers two candidates for the whole word. */
static void bash_replaces_the_last_piece(void **state)
{
	char *text = printed_completion(RH_SHELL_BASH), *test;

	(void)state;
	assert_int_equal(feed("bash -n", text), 0);
	assert_true(
		asprintf(&test,
			 "%s\nanswer() { [ \"$2\" = 'reheap replay -b tiered:prof' ] || exit 3; "
			 "printf '%%s\\n' tiered:profile= tiered:profiles; }\n"
			 "COMP_LINE='reheap replay -b tiered:prof' COMP_POINT=28\n"
			 "COMP_WORDS=(answer replay -b tiered : prof) COMP_CWORD=5\n_reheap\n"
			 "[ \"${COMPREPLY[*]}\" = 'profile= profiles' ] || exit 1\n",
			 text) > 0);
	assert_int_equal(feed("bash", test), 0);
	free(test);
	free(text);
}

static void every_shell_has_a_file(void **state)
{
	(void)state;
	for (int shell = RH_SHELL_BASH; rh_shells[shell]; shell++) {
		char *text = printed_completion((enum rh_shell)shell);

		contains(text, "complete", rh_shells[shell]);
		free(text);
	}
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
	if (rh_install_path("harness/cli/command.h", path, sizeof(path), &err) < 0) {
		print_message("built outside the source tree: %s\n", err.text);
	} else {
		assert_int_equal(access(path, R_OK), 0);
		assert_int_equal(rh_install_path("plots/layout", path, sizeof(path), &err), 0);
		assert_int_equal(rh_install_path("corpus", path, sizeof(path), &err), 0);
		assert_non_null(strstr(path, "traces/corpus"));
	}
	assert_int_equal(rh_install_path("no-such-part", path, sizeof(path), &err), -1);
	assert_int_equal(err.code, RH_ABSENT);
	assert_non_null(strstr(err.text, "no-such-part"));
	/* A path that does not fit is not found, and nothing is written beyond it. */
	assert_int_equal(rh_install_path("plots/layout", path, 4, &err), -1);
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
		cmocka_unit_test(manual_pages_are_roff),
		cmocka_unit_test(bash_replaces_the_last_piece),
		cmocka_unit_test(every_shell_has_a_file),
		cmocka_unit_test(version_is_known),
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(progress_is_for_terminals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
