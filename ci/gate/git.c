/*
 * git.c - sides that are revisions of an allocator's own repository.
 *
 * git:REVISION is checked out into a folder of its own (git worktree, detached: neither
 * the user's files nor branches are touched), built there by the user's command, and its
 * artifact takes the place of the revision. The folders are removed at the end, also after an
 * interrupt. Both sides are built by the same command in folders whose names have the same
 * length, so that a compiled-in path does not shift anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/progress.h"
#include "ci/gate/extra.h"

#define PREFIX "git:"

static struct checkout {
	char repo[4096];
	char folder[64];
	char path[64 + 4096]; /* of the artifact */
	char label[600];
} checkouts[2];

int rh_gate_run_in(const char *folder, const char *const *argv, struct rh_err *err)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return rh_fail_errno(err, RH_OS, "%s cannot be run", argv[0]);
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		if (null >= 0)
			dup2(null, STDIN_FILENO);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		if (chdir(folder) == 0)
			execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return rh_fail_errno(err, RH_OS, "%s got lost", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return rh_fail(err, RH_FAILED, "%s ended with %s %d", argv[0],
		       WIFSIGNALED(status) ? "signal" : "status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static int check_out(struct checkout *checkout, const char *repo, const char *revision,
		     struct rh_err *err)
{
	const char *const add[] = { "git",	"worktree",	  "add",    "--quiet",
				    "--detach", checkout->folder, revision, NULL };

	if (revision[0] == '-' || revision[0] == '\0')
		return rh_fail(err, RH_USAGE, "'%s' is no revision", revision);
	snprintf(checkout->repo, sizeof(checkout->repo), "%s", repo);
	snprintf(checkout->folder, sizeof(checkout->folder), "/tmp/reheap-gate-XXXXXX");
	if (!mkdtemp(checkout->folder))
		return rh_fail_errno(err, RH_OS, "%s cannot be made", checkout->folder);
	if (rh_gate_run_in(repo, add, err) < 0)
		return rh_err_prefix(err, "revision %s of %s cannot be checked out", revision,
				     repo);
	return 0;
}

/* The library must be inside the checkout: otherwise it is not the one that was built. */
static int find_artifact(struct checkout *checkout, const char *artifact, struct rh_err *err)
{
	if (artifact[0] == '/')
		return rh_fail(err, RH_USAGE, "--artifact is a path inside the checkout, not %s",
			       artifact);
	snprintf(checkout->path, sizeof(checkout->path), "%s/%s", checkout->folder, artifact);
	if (access(checkout->path, R_OK) < 0)
		return rh_fail(err, RH_FAILED, "the build made no %s", artifact);
	return 0;
}

static int build_in(const struct rh_gate_opts *o, struct checkout *checkout, struct rh_err *err)
{
	const char *const build[] = { "sh", "-c", o->build, NULL };

	if (rh_gate_run_in(checkout->folder, build, err) < 0)
		return rh_err_prefix(err, "--build");
	return find_artifact(checkout, o->artifact, err);
}

static int revision(const struct rh_gate_opts *o, struct checkout *checkout, const char **side,
		    const char **label, struct rh_err *err)
{
	const char *name = *side + strlen(PREFIX);

	if (!o->build || !o->artifact)
		return rh_fail(err, RH_USAGE,
			       "git:%s needs --build COMMAND and --artifact PATH "
			       "(the library it makes)",
			       name);
	rh_progress("checking out and building %s", name);
	if (check_out(checkout, o->repo, name, err) < 0)
		return -1;
	if (build_in(o, checkout, err) < 0)
		return rh_err_prefix(err, "revision %s", name);
	snprintf(checkout->label, sizeof(checkout->label), "%s (%s)", *side, o->artifact);
	*side = checkout->path;
	*label = checkout->label;
	return 0;
}

/* ---- identity of a library ---- */

bool rh_gate_read_git(const char *const *argv, char *text, size_t bytes)
{
	int out[2], status;
	size_t length = 0;
	ssize_t got;
	pid_t pid;

	text[0] = '\0';
	if (pipe2(out, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
		    dup2(out[1], STDOUT_FILENO) >= 0)
			execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	while (pid > 0 && length < bytes - 1 &&
	       (got = read(out[0], text + length, bytes - 1 - length)) > 0)
		length += (size_t)got;
	close(out[0]);
	text[length] = '\0';
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		text[0] = '\0';
		return false;
	}
	return true;
}

/* `git describe` of the tree that holds `folder`; "" when there is none, or no git. */
static void describe(const char *folder, char *text, size_t bytes)
{
	const char *const argv[] = { "git",	 "-C",	    folder,	   "describe",
				     "--always", "--dirty", "--abbrev=12", NULL };

	rh_gate_read_git(argv, text, bytes);
	text[strcspn(text, "\n")] = '\0';
}

bool rh_gate_is_dirty(const char *revision)
{
	static const char end[] = "-dirty";
	size_t length = strlen(revision);

	return length >= sizeof(end) - 1 && strcmp(revision + length - (sizeof(end) - 1), end) == 0;
}

void rh_gate_file_identity(struct rh_gate_side *side)
{
	const char *path = side->spec->preload[0] ? side->spec->preload : side->spec->native;
	char copy[4096];

	side->file_sha256[0] = side->revision[0] = '\0';
	if (!path[0])
		return;
	if (!SHA256File(path, side->file_sha256))
		side->file_sha256[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", path);
	describe(dirname(copy), side->revision, sizeof(side->revision));
}

/* ---- all ---- */

int rh_gate_revisions(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	struct rh_gate_config *config = &gate->config;
	const char **sides[] = { &config->baseline, &config->candidate };
	const char **labels[] = { &config->baseline_label, &config->candidate_label };
	static const char *const names[] = { "baseline", "candidate" };

	for (int s = 0; s < 2; s++) {
		char tree[96];

		if (!*sides[s] || strncmp(*sides[s], PREFIX, strlen(PREFIX)) != 0)
			continue;
		describe(o->repo, tree, sizeof(tree));
		if (rh_gate_is_dirty(tree))
			rh_gate_warn(gate, "%s has uncommitted changes (%s), which are not in %s",
				     o->repo, tree, *sides[s]);
		if (revision(o, &checkouts[s], sides[s], labels[s], err) < 0) {
			/* A baseline that cannot be built cannot be compared with. */
			if (s == 0 && err->code == RH_FAILED)
				err->code = RH_NO_BASELINE;
			return rh_err_prefix(err, "%s", names[s]);
		}
	}
	return 0;
}

void rh_gate_revisions_end(void)
{
	for (int s = 0; s < 2; s++) {
		struct checkout *checkout = &checkouts[s];
		const char *const drop[] = { "git",	"worktree",	  "remove",
					     "--force", checkout->folder, NULL };
		struct rh_err ignored;

		if (!checkout->folder[0])
			continue;
		/* An empty folder that git never got to is not a worktree. */
		if (rmdir(checkout->folder) < 0)
			rh_gate_run_in(checkout->repo, drop, &ignored);
		checkout->folder[0] = '\0';
	}
}

const char *rh_gate_candidate_folder(void)
{
	return checkouts[1].folder;
}

int rh_gate_build_candidate(const struct rh_gate_opts *o, struct rh_err *err)
{
	return build_in(o, &checkouts[1], err);
}
