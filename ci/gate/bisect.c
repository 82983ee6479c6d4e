/*
 * bisect.c - which commit made the allocator slower: git bisect, with the gate as the judge.
 *
 * GOOD and BAD are gated first: without a regression between them there is nothing to find. Then
 * git bisect walks in the candidate's checkout (its state belongs to that worktree: neither the
 * user's files nor the user's own bisection are touched). Every commit is built from scratch, so
 * that no stale object is judged in its place, and gated against GOOD's build.
 *
 * Commits that do not build, stay undecided or die are skipped, in the sense of git bisect: when
 * only such commits are left, all candidates are named.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "ci/gate/extra.h"
#include "ci/gate/report.h"

#define BETWEEN ".."

/* Sides that point into o->bisect or an operand live as long as the command's arguments. */
enum { SIDE_BYTES = 512 };
static char good_side[SIDE_BYTES], bad_side[SIDE_BYTES];

/* The operand that is not a file is BAD. */
static const char *take_bad(struct rh_gate_config *config)
{
	for (uint32_t i = 0; i < config->trace_count; i++) {
		const char *name = config->traces[i];

		if (access(name, F_OK) == 0)
			continue;
		memmove(&config->traces[i], &config->traces[i + 1],
			(config->trace_count - i - 1) * sizeof(config->traces[0]));
		config->trace_count--;
		return name;
	}
	return NULL;
}

/* "git:COMMIT" of a name in the repository: in the checkout, HEAD~3 is another commit. */
static int resolve(const char *repo, const char *name, int length, char side[SIDE_BYTES],
		   struct rh_err *err)
{
	char wanted[300], commit[100];
	const char *const argv[] = { "git",	  "-C",	      repo,
				     "rev-parse", "--verify", "--end-of-options",
				     wanted,	  NULL };

	snprintf(wanted, sizeof(wanted), "%.*s^{commit}", length, name);
	if (!rh_gate_read_git(argv, commit, sizeof(commit)))
		return rh_fail(err, RH_USAGE, "--bisect: '%.*s' is no commit of %s", length, name,
			       repo);
	commit[strcspn(commit, "\n")] = '\0';
	snprintf(side, SIDE_BYTES, "git:%s", commit);
	return 0;
}

int rh_gate_bisect_sides(struct rh_gate_opts *o, struct rh_gate_config *config, struct rh_err *err)
{
	const char *between = strstr(o->bisect, BETWEEN);
	const char *bad = between ? between + strlen(BETWEEN) : take_bad(config);
	int length = between ? (int)(between - o->bisect) : (int)strlen(o->bisect);

	if (o->baseline || o->candidate)
		return rh_fail(err, RH_USAGE,
			       "--bisect names both sides: leave out --baseline and "
			       "--candidate");
	if (!bad || !*bad || length == 0)
		return rh_fail(err, RH_USAGE,
			       "--bisect needs two revisions: --bisect GOOD BAD, or GOOD..BAD");
	if (!o->build || !o->artifact)
		return rh_fail(err, RH_USAGE,
			       "--bisect needs --build COMMAND and --artifact PATH "
			       "(the library it makes)");
	if (resolve(o->repo, o->bisect, length, good_side, err) < 0 ||
	    resolve(o->repo, bad, (int)strlen(bad), bad_side, err) < 0)
		return -1;
	config->baseline = o->baseline = good_side;
	config->candidate = o->candidate = bad_side;
	return 0;
}

/* ---- one commit ---- */

static void subject_of(const char *commit, char *text, size_t bytes)
{
	const char *const argv[] = { "git",  "-C",	   rh_gate_candidate_folder(),
				     "show", "--no-patch", "--format=%h %s",
				     commit, NULL };

	rh_gate_read_git(argv, text, bytes);
	text[strcspn(text, "\n")] = '\0';
}

static int clean_build(const struct rh_gate_opts *o, struct rh_err *err)
{
	static const char *const clean[] = { "git", "clean", "-q", "-f", "-d", "-x", NULL };

	if (rh_gate_run_in(rh_gate_candidate_folder(), clean, err) < 0)
		return -1;
	return rh_gate_build_candidate(o, err);
}

/* The word for git bisect; -1: interrupted. */
static int judge_commit(const struct rh_gate_opts *o, const struct rh_gate *gate, const char **word,
			struct rh_err *err)
{
	struct rh_gate step = { .config = gate->config, .host = gate->host, .clock = gate->clock };
	char name[300], sentence[900];
	int result;

	*word = "skip";
	step.config.say_done = false;
	subject_of("HEAD", name, sizeof(name));
	if (clean_build(o, err) < 0) {
		rh_print(stdout, "bisect: skip  %s: %s\n", name, err->text);
		return 0;
	}
	result = rh_gate_prepare(&step, err) < 0 ? -1 : rh_gate_run(&step, err);
	if (result < 0 && !rh_interrupted) {
		rh_print(stdout, "bisect: skip  %s: %s\n", name, err->text);
		result = 0;
	} else if (result == 0) {
		*word = step.verdict == RH_GATE_PASS   ? "good"
			: step.verdict == RH_GATE_FAIL ? "bad"
						       : "skip";
		rh_gate_sentence(rh_gate_worst(&step), sentence, sizeof(sentence));
		rh_print(stdout, "bisect: %s  %s: %s\n", *word, name, sentence);
	}
	fflush(stdout);
	rh_gate_free(&step);
	return result;
}

/* ---- the walk ---- */

/* The commits that may still be the first bad one, newest first, a line each; returns their number.
 */
static size_t suspects(char *text, size_t bytes)
{
	const char *const argv[] = { "git",
				     "-C",
				     rh_gate_candidate_folder(),
				     "rev-list",
				     "refs/bisect/bad",
				     "--not",
				     "--glob=refs/bisect/good-*",
				     NULL };
	size_t count = 0;

	rh_gate_read_git(argv, text, bytes);
	for (const char *c = text; *c; c++)
		count += *c == '\n';
	return count;
}

static int bisect_step(const char *word, struct rh_err *err)
{
	const char *const argv[] = { "git", "bisect", word, NULL };

	return rh_gate_run_in(rh_gate_candidate_folder(), argv, err);
}

static void conclude(struct rh_gate *gate, char *list, size_t count)
{
	char *newest = list, *oldest = list, names[2][300];

	if (count == 0)
		return;
	newest[strcspn(newest, "\n")] = '\0';
	subject_of(newest, names[0], sizeof(names[0]));
	if (count == 1) {
		snprintf(gate->first_bad, sizeof(gate->first_bad), "%s", names[0]);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		oldest += strlen(oldest) + 1;
		oldest[strcspn(oldest, "\n")] = '\0';
	}
	subject_of(oldest, names[1], sizeof(names[1]));
	snprintf(gate->first_bad, sizeof(gate->first_bad),
		 "one of %zu, the others could not be judged: %s ... %s", count, names[1],
		 names[0]);
}

int rh_gate_bisect(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	const char *const start[] = { "git", "bisect", "start", "HEAD", good_side + 4, NULL };
	enum { LIST_BYTES = 1 << 20 };
	char *list = malloc(LIST_BYTES);
	const char *word;
	size_t count;
	int result;

	if (!list)
		return rh_fail(err, RH_OS, "no memory for the list of commits");
	result = rh_gate_run_in(rh_gate_candidate_folder(), start, err);
	if (result < 0)
		rh_err_prefix(err, "git bisect cannot begin");
	while (result == 0 && (count = suspects(list, LIST_BYTES)) > 1) {
		result = judge_commit(o, gate, &word, err);
		if (result == 0 && bisect_step(word, err) < 0)
			break; /* only skipped commits are left */
	}
	if (result == 0)
		conclude(gate, list, suspects(list, LIST_BYTES));
	free(list);
	return result;
}
