/*
 * malloc_version.c - the version of the allocator that serves malloc in this process.
 *
 * File names are unreliable (libmimalloc.so.2.0 holds 2.0.9), so we ask the allocator itself
 * through its own function: mi_version, mallctl("version"), tc_version, gnu_get_libc_version. A
 * function counts only if it lies in the object that serves malloc. Allocators without one
 * (Scudo, oneTBB, snmalloc, rpmalloc, Hoard, Google's tcmalloc) are told apart by their build id.
 */
#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/worker/worker.h"

/* The function of that name in malloc's own object; NULL when it has none. */
static void *own_function(const char *name)
{
	void *function = dlsym(RTLD_DEFAULT, name), *serves = dlsym(RTLD_DEFAULT, "malloc");
	Dl_info a, b;

	if (!function || !serves || !dladdr(function, &a) || !dladdr(serves, &b) ||
	    a.dli_fbase != b.dli_fbase)
		return NULL;
	return function;
}

/* mi_version: 209 is 2.0.9, 224 is 2.2.4; newer versions have two digits per part: 30102 is 3.1.2.
 */
static bool of_mimalloc(char *text, size_t bytes)
{
	int (*version)(void);
	int number;

	*(void **)&version = own_function("mi_version");
	if (!version)
		return false;
	number = version();
	if (number >= 10000)
		snprintf(text, bytes, "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
	else
		snprintf(text, bytes, "%d.%d.%d", number / 100, number / 10 % 10, number % 10);
	return true;
}

/* "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c": the part after a plain release is dropped.
 * One that was built without git calls itself 0.0.0, as all such do: that is no version. */
static bool of_jemalloc(char *text, size_t bytes)
{
	static const char *const names[] = { "mallctl", "je_mallctl" };
	int (*control)(const char *, void *, size_t *, void *, size_t);
	const char *version = NULL;
	size_t size = sizeof(version);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*(void **)&control = own_function(names[i]);
		if (control && control("version", &version, &size, NULL, 0) == 0 && version &&
		    strncmp(version, "0.0.0-", 6) != 0) {
			const char *plain = strstr(version, "-0-g");

			snprintf(text, bytes, "%.*s",
				 plain ? (int)(plain - version) : (int)strlen(version), version);
			return true;
		}
	}
	return false;
}

static bool of_tcmalloc(char *text, size_t bytes)
{
	const char *(*version)(int *, int *, const char **);
	const char *patch = "";
	int major = 0, minor = 0;

	*(void **)&version = own_function("tc_version");
	if (!version)
		return false;
	version(&major, &minor, &patch);
	snprintf(text, bytes, "%d.%d%s", major, minor, patch ? patch : "");
	return true;
}

static bool of_libc(char *text, size_t bytes)
{
	const char *(*version)(void);

	*(void **)&version = own_function("gnu_get_libc_version");
	if (!version)
		return false;
	snprintf(text, bytes, "glibc %s", version());
	return true;
}

void rh_malloc_version(char *text, size_t bytes)
{
	text[0] = '\0';
	if (!of_mimalloc(text, bytes) && !of_jemalloc(text, bytes) && !of_tcmalloc(text, bytes))
		of_libc(text, bytes);
}

/* FNV-1a: not against forgery, only so that two builds without an id have two names. */
static uint64_t sum_of(const struct rh_filemap *file)
{
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < file->bytes; i++)
		sum = (sum ^ file->base[i]) * 0x100000001b3;
	return sum;
}

void rh_build_version(const char *path, const char *build_id, char *text, size_t bytes)
{
	struct rh_filemap file;

	assert(bytes > sizeof("build 0123456789ab"));
	text[0] = '\0';
	if (build_id[0]) {
		snprintf(text, bytes, "build %.12s", build_id);
	} else if (rh_filemap_open(&file, path, NULL) == 0) {
		snprintf(text, bytes, "file %012llx", (unsigned long long)(sum_of(&file) >> 16));
		rh_filemap_close(&file);
	}
}
