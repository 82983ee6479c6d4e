/*
 * preload.c - see preload.h: LD_PRELOAD, REHEAP_RECORD, and variables for sanitizers.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/record/area.h"
#include "traces/record/preload.h"

/*
 * glibc's loader replaces $LIB by its own folder, from which the path leads back to the root;
 * musl's takes it literally, finds nothing, and continues without us; with a plain path it
 * would find a library that it cannot link, and fail. "": the machine has no such folder, and
 * musl programs fail.
 */
static const char *soft_root(void)
{
	static const char root[] = "/$LIB/../../../../../../../..";
	char probe[64];
	const char *why;
	void *none;

	snprintf(probe, sizeof probe, "%s/dev/null", root);
	none = dlopen(probe, RTLD_LAZY);
	why = none ? NULL : dlerror();
	return why && strstr(why, "No such file") ? "" : root;
}

/* gcc's AddressSanitizer ends a program that has another library before it, unless an option allows
 * that. */
static int bear_sanitizer(void)
{
	static const char bear[] = "verify_asan_link_order=0";
	const char *old = getenv("ASAN_OPTIONS");
	char options[4096];

	if ((size_t)snprintf(options, sizeof options, "%s%s%s", old ? old : "",
			     old && *old ? ":" : "", bear) >= sizeof options)
		return 0; /* such a program then ends with its own message */
	return setenv("ASAN_OPTIONS", options, 1);
}

int rh_preload_set(const struct rh_record_opts *opts, const char *area_path, struct rh_err *err)
{
	const char *old = opts->preload ? opts->preload : getenv("LD_PRELOAD");
	const char *root = *opts->shim == '/' ? soft_root() : "", *maps = opts->maps_shim;
	char preload[8192];

	if (strpbrk(opts->shim, " :$"))
		return rh_fail(err, RH_OS,
			       "%s: the loader splits preloaded paths at spaces and "
			       "colons, and replaces what follows a $; install reheap under a path "
			       "without them",
			       opts->shim);
	if ((size_t)snprintf(preload, sizeof preload, "%s%s%s%s%s%s%s", root, opts->shim,
			     maps ? ":" : "", maps ? root : "", maps ? maps : "",
			     old && *old ? ":" : "", old && *old ? old : "") >= sizeof preload)
		return rh_fail(err, RH_OS, "LD_PRELOAD would be longer than %zu bytes",
			       sizeof preload);
	if (setenv("LD_PRELOAD", preload, 1) < 0 || setenv(RH_RECORD_ENV, area_path, 1) < 0 ||
	    (opts->follow && bear_sanitizer() < 0))
		return rh_fail_errno(err, RH_OS, "the program's environment cannot be set");
	return 0;
}
