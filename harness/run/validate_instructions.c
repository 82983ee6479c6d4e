/*
 * validate_instructions.c - the instructions of a real program, counted by callgrind.
 *
 * As for a replay (harness/probe/callgrind.c): no cache is simulated, and the C library takes the
 * same string functions on every CPU. Children of the program are not counted.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/launch/host.h"
#include "harness/probe/callgrind.h"
#include "harness/run/validate.h"

static char tunables_name[] = "GLIBC_TUNABLES=";
enum { TUNABLES_BYTES = 4096, HEAD_MAX = 12 };

/* What the variant or the environment asks for, and the string functions. */
static void tunables_of(const struct rh_real *real, char *text)
{
	const char *given = getenv("GLIBC_TUNABLES");
	size_t bytes = strlen(tunables_name);

	for (unsigned i = 0; real->spec && i < real->spec->variant.env_count; i++)
		if (strncmp(real->spec->variant.env[i], tunables_name, bytes) == 0)
			given = real->spec->variant.env[i] + bytes;
	snprintf(text, TUNABLES_BYTES,
		 "%s%s%sglibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-ERMS,-FSRM", tunables_name,
		 given ? given : "", given ? ":" : "");
}

static int run_under(const struct rh_real *real, const char *path, struct rh_err *err)
{
	static char env[] = "env", valgrind[] = "valgrind", quiet[] = "--quiet",
		    tool[] = "--tool=callgrind", vgdb[] = "--vgdb=no", lines[] = "--dump-line=no",
		    fair[] = "--fair-sched=yes";
	char tunables[TUNABLES_BYTES], out[128];
	char *head[] = { env, tunables, valgrind, quiet, tool, vgdb, lines, fair, out };
	size_t fixed = sizeof(head) / sizeof(head[0]), given = 0;
	struct rh_real under = *real;
	struct rh_real_cost cost;
	int result;

	_Static_assert(sizeof(head) / sizeof(head[0]) <= HEAD_MAX, "words before the program");
	while (real->argv[given])
		given++;
	tunables_of(real, tunables);
	snprintf(out, sizeof(out), "--callgrind-out-file=%s", path);
	under.argv = calloc(fixed + given + 1, sizeof(*under.argv));
	if (!under.argv)
		return rh_fail(err, RH_OS, "no memory for callgrind");
	memcpy(under.argv, head, sizeof(head));
	memcpy(under.argv + fixed, real->argv, given * sizeof(*under.argv));
	result = rh_real_run(&under, &cost, err);
	free(under.argv);
	return result;
}

int rh_validate_instructions(const struct rh_real *real, struct rh_validate_count *count,
			     struct rh_err *err)
{
	char path[] = "/tmp/reheap-callgrind-XXXXXX", found[4096];
	struct rh_callgrind profile;
	int fd, result;

	*count = (struct rh_validate_count){ NAN, NAN };
	if (!rh_in_path("valgrind", found, sizeof(found)))
		return rh_fail(err, RH_ABSENT,
			       "valgrind is not installed (apt-get install valgrind)");
	fd = mkstemp(path);
	if (fd < 0)
		return rh_fail_errno(err, RH_CANT_CREATE, "no temporary file in /tmp");
	close(fd);
	result = run_under(real, path, err);
	if (result == 0)
		result = rh_callgrind_read(&profile, path, err);
	if (result == 0) {
		count->all = (double)profile.total[RH_CG_IR] + (double)profile.waiting[RH_CG_IR];
		count->heap = (double)profile.heap_ir;
		rh_callgrind_free(&profile);
	}
	unlink(path);
	return result;
}
