/*
 * peers.c - the allocators a system may have, and where they are.
 *
 * Where: (1) REHEAP_PEER_<NAME>, which is believed or refused, never passed over;
 * (2) the directories of REHEAP_PATH and (3) of LD_LIBRARY_PATH, (4) those of /etc/ld.so.conf,
 * /usr/local/lib among them, (5) the standard ones. Per directory the patterns of the row in
 * their order; of several matches of one pattern the newest version. A file that is no allocator
 * for this machine (an i386 one in lib32, a linker script) is passed over.
 *
 * REHEAP_PATH is for builds of one's own, which are kept side by side under other names than the
 * loader's: there also NAME.so*, NAME-VERSION.so* and libNAME-VERSION.so*. All of them are listed
 * (rh_peer_builds); the newest is the one that the name alone means.
 *
 * The driver alone looks: glob allocates, and a worker has its peer loaded already.
 */
#include <assert.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc/library.h"
#include "alloc/registry.h"

/* Of Debian and its kin, where there may be no ld.so.conf: in a container, in an initrd. */
#if defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif
#define FILES(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* What stands before and after a peer's name in the folders of REHEAP_PATH. A version begins with a
 * digit: tcmalloc-google.so is no tcmalloc. */
static const struct {
	const char *before, *after;
} own_names[] = { { "", ".so*" }, { "", "-[0-9]*.so*" }, { "lib", "-[0-9]*.so*" } };

const struct rh_peer rh_peers[] = {
	{ "hoard", "Hoard: per-thread superblocks", FILES("libhoard.so*"),
	  "Hoard from its sources (no package)" },
	/* Sonames before globs: a file of development (libX.so) may be a linker script or another
	 * version than the one that programs get. */
	{ "jemalloc", "jemalloc: arenas, slabs, thread caches",
	  FILES("libjemalloc.so.2", "libjemalloc.so*"), "libjemalloc2" },
	{ "mimalloc", "mimalloc: sharded free lists per page",
	  FILES("libmimalloc.so.3*", "libmimalloc.so.2*", "libmimalloc.so*"), "libmimalloc2.0" },
	{ "rpmalloc", "rpmalloc: per-thread spans, lock-free",
	  FILES("librpmallocwrap.so*", "librpmalloc.so*"),
	  "rpmalloc from its sources (no package)" },
	{ "scudo", "Scudo: hardened, the allocator of Android",
	  FILES("/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-"
#if defined(__aarch64__)
		"aarch64.so",
#else
		"x86_64.so",
#endif
		"/usr/lib/llvm-*/lib/clang/*/lib/*-linux-gnu/libclang_rt.scudo_standalone.so",
		"/usr/lib*/clang/*/lib/*/libclang_rt.scudo_standalone*.so"),
	  "libclang-rt-dev" },
	{ "snmalloc", "snmalloc: message passing between threads",
	  FILES("libsnmallocshim.so*", "libsnmalloc.so*"),
	  "snmalloc from its sources (no package)" },
	{ "tbbmalloc", "oneTBB's scalable allocator",
	  FILES("libtbbmalloc_proxy.so.2", "libtbbmalloc_proxy.so*"), "libtbbmalloc2" },
	{ "tcmalloc", "gperftools' thread-caching malloc",
	  FILES("libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libtcmalloc_minimal.so*"),
	  "libtcmalloc-minimal4" },
	{ "tcmalloc-google", "Google's TCMalloc: a cache for each CPU",
	  FILES("libtcmalloc-google.so*"), "TCMalloc from its sources (no package)" },
	{ .name = NULL }
};

struct hunt {
	const char *const *files;
	char *path;
	size_t path_bytes;
	bool found;
	const char *own; /* the peer's name in a folder of REHEAP_PATH, else NULL */
	/* Called for all that match, instead of the search for one; may be NULL. */
	void (*each)(void *to, const char *path);
	void *to;
};

/* No err: a candidate that is no allocator is the ordinary case, and the search goes
 * on. */
static bool is_allocator(const char *path)
{
	struct rh_library library;

	return rh_library_inspect(path, &library, NULL) == 0 && library.has_malloc;
}

/* Of a library and the links to it (libmimalloc.so, .so.3) one is enough. */
static bool is_link(const char *path)
{
	struct stat is;

	return lstat(path, &is) == 0 && S_ISLNK(is.st_mode);
}

/* The newest match of one pattern that is an allocator. */
static void try_pattern(struct hunt *hunt, const char *pattern)
{
	glob_t matches;

	/* Unsorted, because glob would put .so.10 before .so.9; strverscmp below
	 * compares numbers as numbers. */
	if (glob(pattern, GLOB_NOSORT, NULL, &matches) != 0)
		return;
	for (size_t i = 0; i < matches.gl_pathc; i++) {
		const char *match = matches.gl_pathv[i];

		if (hunt->each && !is_link(match) && is_allocator(match))
			hunt->each(hunt->to, match);
		if (hunt->each || strlen(match) >= hunt->path_bytes || !is_allocator(match) ||
		    (hunt->found && strverscmp(match, hunt->path) <= 0))
			continue;
		snprintf(hunt->path, hunt->path_bytes, "%s", match);
		hunt->found = true;
	}
	globfree(&matches);
}

static void try_dir(struct hunt *hunt, const char *dir, size_t dir_bytes)
{
	char pattern[4096];

	for (int i = 0; hunt->files[i] && !hunt->found; i++) {
		/* Patterns that are whole paths have been tried first, once. An empty
		 * directory is an empty entry (":/a"), which for ld.so is the working
		 * directory: not here, where it would make a result depend on where
		 * it was run. */
		if (hunt->files[i][0] == '/' || dir_bytes == 0)
			continue;
		snprintf(pattern, sizeof(pattern), "%.*s/%s", (int)dir_bytes, dir, hunt->files[i]);
		try_pattern(hunt, pattern);
	}
	for (size_t i = 0; hunt->own && i < sizeof(own_names) / sizeof(own_names[0]); i++) {
		if (hunt->found || dir_bytes == 0)
			return;
		snprintf(pattern, sizeof(pattern), "%.*s/%s%s%s", (int)dir_bytes, dir,
			 own_names[i].before, hunt->own, own_names[i].after);
		try_pattern(hunt, pattern);
	}
}

static void try_dir_list(struct hunt *hunt, const char *list)
{
	while (list && *list && !hunt->found) {
		/* ld.so takes both separators in LD_LIBRARY_PATH. */
		size_t bytes = strcspn(list, ":;");

		try_dir(hunt, list, bytes);
		list += bytes + (list[bytes] != '\0');
	}
}

/* One line of ld.so.conf: a directory, a comment, or an include of more such files. */
static void try_conf(struct hunt *hunt, const char *conf, int depth);

static void try_conf_line(struct hunt *hunt, char *line, int depth)
{
	glob_t more;

	line += strspn(line, " \t");
	line[strcspn(line, "#\r\n")] = '\0';
	if (strncmp(line, "include", 7) == 0 && isspace((unsigned char)line[7])) {
		line += 7 + strspn(line + 7, " \t");
		/* Five levels: a file that includes itself ends the search instead of
		 * the stack. Sorted here, as ldconfig reads them. */
		if (depth > 4 || glob(line, 0, NULL, &more) != 0)
			return;
		for (size_t i = 0; i < more.gl_pathc && !hunt->found; i++)
			try_conf(hunt, more.gl_pathv[i], depth + 1);
		globfree(&more);
	} else {
		/* "=TYPE" behind a directory is an old form of ldconfig that still
		 * occurs. */
		try_dir(hunt, line, strcspn(line, " \t="));
	}
}

static void try_conf(struct hunt *hunt, const char *conf, int depth)
{
	char line[4096];
	FILE *file = fopen(conf, "re");

	while (file && !hunt->found && fgets(line, sizeof(line), file))
		try_conf_line(hunt, line, depth);
	if (file)
		fclose(file);
}

static int from_environment(const struct rh_peer *peer, char *path, size_t path_bytes,
			    struct rh_err *err)
{
	char variable[64] = "REHEAP_PEER_";
	size_t at = strlen(variable);
	struct rh_library library;
	const char *value;

	for (const char *c = peer->name; *c && at < sizeof(variable) - 1; c++)
		variable[at++] =
			(char)(isalnum((unsigned char)*c) ? toupper((unsigned char)*c) : '_');
	assert(at < sizeof(variable));
	variable[at] = '\0';
	value = getenv(variable);
	if (!value || !value[0])
		return 0;
	/* Set and wrong is an error, not a reason to search on: the user would
	 * compare another build than the one named. */
	if (strlen(value) >= path_bytes)
		return rh_fail(err, RH_ABSENT, "%s: %s is too long", peer->name, variable);
	if (rh_library_inspect(value, &library, err) < 0) {
		/* ABSENT instead of the file's own class: gates skip a peer that is
		 * absent, and its variable is part of that. */
		if (err)
			err->code = RH_ABSENT;
		return rh_err_prefix(err, "%s: %s", peer->name, variable);
	}
	if (!library.has_malloc)
		return rh_fail(err, RH_ABSENT, "%s: %s=%s defines no malloc", peer->name, variable,
			       value);
	memcpy(path, value, strlen(value) + 1);
	return 1;
}

int rh_peer_find(const struct rh_peer *peer, char *path, size_t path_bytes, struct rh_err *err)
{
	struct hunt hunt = { .files = peer->files, .path = path, .path_bytes = path_bytes };
	int given = from_environment(peer, path, path_bytes, err);

	if (given != 0)
		return given > 0 ? 0 : -1;
	/* Whole paths (Scudo lies in folders of LLVM that no list has). */
	for (int i = 0; peer->files[i] && !hunt.found; i++)
		if (peer->files[i][0] == '/')
			try_pattern(&hunt, peer->files[i]);
	hunt.own = peer->name;
	try_dir_list(&hunt, getenv("REHEAP_PATH"));
	hunt.own = NULL;
	try_dir_list(&hunt, getenv("LD_LIBRARY_PATH"));
	if (!hunt.found)
		try_conf(&hunt, "/etc/ld.so.conf", 0);
	try_dir_list(&hunt, "/lib/" MULTIARCH ":/usr/lib/" MULTIARCH
			    ":/lib64:/usr/lib64:/lib:/usr/lib:/usr/local/lib64:/usr/local/lib");
	if (hunt.found)
		return 0;
	return rh_fail(err, RH_ABSENT, "%s is not found: install %s", peer->name, peer->package);
}

void rh_peer_builds(const struct rh_peer *peer, void (*each)(void *to, const char *path), void *to)
{
	struct hunt hunt = { .files = peer->files, .own = peer->name, .each = each, .to = to };

	try_dir_list(&hunt, getenv("REHEAP_PATH"));
}
