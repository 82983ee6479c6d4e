/*
 * stage.c - copies a trace to this machine when it is not there yet (stage.h).
 */
#include "harness/matrix/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/os.h"

enum { CHUNK = 1 << 20 };

static int copy_bytes(int from, int to, const struct rh_cell *cell, const char *path,
		      struct rh_err *err)
{
	char digits[SHA256_DIGEST_STRING_LENGTH], *chunk = malloc(CHUNK);
	SHA2_CTX hash;
	ssize_t got = 0;
	int result = chunk ? 0 : rh_fail(err, RH_OS, "no memory to copy a trace");

	SHA256Init(&hash);
	while (result == 0 && (got = read(from, chunk, CHUNK)) != 0) {
		if (got < 0 && errno != EINTR)
			result = rh_fail_errno(err, RH_NO_INPUT, "%s cannot be read", cell->trace);
		if (got > 0) {
			SHA256Update(&hash, (const uint8_t *)chunk, (size_t)got);
			result = rh_write_all(to, chunk, (size_t)got, path, err);
		}
	}
	SHA256End(&hash, digits);
	free(chunk);
	if (result == 0 && strcmp(digits, cell->sha256) != 0)
		result = rh_fail(err, RH_BAD_DATA,
				 "%s is not the file it was when the plan was read", cell->trace);
	return result;
}

static int copy_trace(const struct rh_cell *cell, const char *path, struct rh_err *err)
{
	int from = open(cell->trace, O_RDONLY | O_CLOEXEC), result;
	struct rh_outfile out;

	if (from < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", cell->trace);
	result = rh_outfile_open(&out, path, err);
	if (result == 0) {
		result = copy_bytes(from, out.fd, cell, path, err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		else
			rh_outfile_abandon(&out);
	}
	close(from);
	return result;
}

/* Whether the existing file can be the trace, by its size: hashing costs a second per GB, and
 * replay hashes it anyway. */
static bool is_there(const char *path, const char *original)
{
	struct stat here, there;

	return stat(path, &here) == 0 &&
	       (stat(original, &there) < 0 || here.st_size == there.st_size);
}

const char *rh_stage(const char *cache, const struct rh_cell *cell, struct rh_pool *pool,
		     struct rh_err *err)
{
	const char *name = rh_base_name(cell->trace);
	const char *dir = rh_pool_printf(pool, "%s/%s", cache, cell->sha256);
	const char *path = rh_pool_printf(pool, "%s/%s", dir, name);
	int lock, result = 0;

	if (is_there(path, cell->trace))
		return path;
	if (rh_make_dirs(dir, err) < 0)
		return NULL;
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		result = rh_fail_errno(err, RH_IO, "%s cannot be locked", dir);
	if (result == 0 && !is_there(path, cell->trace))
		result = copy_trace(cell, path, err);
	if (lock >= 0)
		close(lock);
	return result == 0 ? path : NULL;
}
