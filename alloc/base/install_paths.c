/*
 * install_paths.c - where the rest of the installation is, and its version.
 *
 * A file is looked for beside the binary (a build tree), in the source tree the
 * binary was built in (build/, or build/san-x/ and deeper: the folder that holds the
 * Makefile and harness/), and under PREFIX/libexec/reheap and PREFIX/share/reheap when
 * the binary is PREFIX/bin/reheap. Nothing is compiled in, so an installation
 * may be moved as a whole.
 */
#include "alloc/base/install_paths.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "version.h"

const char rh_version[] = RH_VERSION;

/* A binary is at most this far below the source tree: build/san-x/debug/test/harness/test. */
enum { TREE_DEPTH = 7 };

static bool there(char *path, size_t path_bytes, const char *dir, const char *between,
		  const char *name)
{
	int length = snprintf(path, path_bytes, "%s/%s%s", dir, between, name);

	/* A path that was cut could name another file. */
	return length > 0 && (size_t)length < path_bytes && access(path, F_OK) == 0;
}

static bool up(char *dir)
{
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return false;
	*slash = '\0';
	return true;
}

/* A header marks the top and not the Makefile: any project that embeds this one has a
 * Makefile. */
static bool in_source_tree(char *path, size_t path_bytes, const char *from, const char *name)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", from);
	for (int i = 0; i < TREE_DEPTH; i++) {
		if (there(path, path_bytes, dir, "", "harness/cli/command.h"))
			return there(path, path_bytes, dir, "", name) ||
			       there(path, path_bytes, dir, "traces/", name);
		if (!up(dir))
			break;
	}
	return false;
}

int rh_install_path(const char *name, char *path, size_t path_bytes, struct rh_err *err)
{
	char dir[PATH_MAX];
	/* Not argv[0]: that is what the caller says, and `exec -a` says anything. */
	ssize_t length = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

	if (length <= 0)
		return rh_fail_errno(
			err, RH_OS,
			"it is not known where this binary is, so %s cannot be found (is "
			"/proc mounted?)",
			name);
	dir[length] = '\0';
	up(dir);
	/* Tests sit in folders of their own, test/harness/test below the binaries. */
	if (there(path, path_bytes, dir, "", name) || there(path, path_bytes, dir, "../", name) ||
	    there(path, path_bytes, dir, "../../../", name) ||
	    there(path, path_bytes, dir, "../../../../", name) ||
	    in_source_tree(path, path_bytes, dir, name) ||
	    there(path, path_bytes, dir, "../libexec/reheap/", name) ||
	    there(path, path_bytes, dir, "../share/reheap/", name))
		return 0;
	path[0] = '\0';
	return rh_fail(err, RH_ABSENT,
		       "%s is missing: it is neither beside %s/ nor in a source tree above it nor "
		       "in ../libexec/reheap or ../share/reheap; run make, or make install",
		       name, dir);
}
