/*
 * real.h - one run of a real program, with an allocator put under it as users deploy it.
 *
 * The program gets LD_PRELOAD and the variables of the variant, the null device for its output, a
 * file or the null device for its input, and a process group of its own, all of which is killed at
 * the end, whatever happens, with every process that it has left behind.
 * A server is driven: the command runs beside it, and the server gets SIGTERM when that is over.
 *
 * Costs are those of wait4(2): the program and the children it waited for. Peak memory is at least
 * what the caller itself has resident at that moment (the kernel carries it over exec), so measure
 * before the caller grows.
 *
 * Thread rule: main thread. Errors: RH_NO_INPUT it cannot be started; RH_FAILED it ended with an
 * error or took too long, or the driver failed; RH_OS.
 */
#ifndef RH_REAL_H
#define RH_REAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/backend.h"
#include "harness/launch/samples.h"
#include "harness/launch/watch.h"

struct rh_real {
	char **argv;		    /* NULL-terminated; argv[0] is looked for in PATH */
	const char *name;	    /* in errors; NULL = argv[0] */
	const char *driver;	    /* for sh -c; NULL = the program ends by itself */
	const struct rh_spec *spec; /* NULL = the environment as it is */
	const char *libc;    /* preloaded where the spec preloads nothing; NULL = nothing: for a
				program that links another allocator */
	const char *behind;  /* a library to load after the one that serves malloc; NULL = none */
	uint64_t timeout_ns; /* 0 = none */
	bool watch;	     /* its threads (watch.h) */
	const struct rh_code *code; /* sampled: user time in it (samples.h); NULL = it is not */
	bool input; /* it reads our standard input, a file, from its start; false: the null device
		     */
	int output_fd; /* for its standard error; -1 = the null device */
};

struct rh_real_cost {
	double user_s, system_s, wall_s;
	uint64_t peak_rss_bytes, faults;
	uint64_t switches; /* voluntary ones */
	int status;	   /* of wait(2), where it ended by itself; else 0 */
	unsigned left;	   /* processes that it left running, and that were ended */
	struct rh_watched watched;
	struct rh_sampled sampled;
};

int rh_real_run(const struct rh_real *real, struct rh_real_cost *cost, struct rh_err *err);

#endif
