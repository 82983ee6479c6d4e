/*
 * real.h - one run of a real program, with an allocator put under it as users deploy it.
 *
 * The program gets LD_PRELOAD and the variables of the variant, the null device for its input and
 * output, and a process group of its own, all of which is killed at the end, whatever happens.
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
#include "harness/launch/watch.h"

struct rh_real {
	char **argv;		    /* NULL-terminated; argv[0] is looked for in PATH */
	const char *driver;	    /* for sh -c; NULL = the program ends by itself */
	const struct rh_spec *spec; /* NULL = the environment as it is */
	const char *libc;    /* preloaded where the spec preloads nothing; NULL = nothing: for a
				program that links another allocator */
	const char *behind;  /* a library to load after the one that serves malloc; NULL = none */
	uint64_t timeout_ns; /* 0 = none */
	bool watch;	     /* its threads (watch.h) */
	int output_fd;	     /* for its standard error; -1 = the null device */
};

struct rh_real_cost {
	double user_s, system_s, wall_s;
	uint64_t peak_rss_bytes, faults;
	uint64_t switches; /* voluntary ones */
	struct rh_watched watched;
};

int rh_real_run(const struct rh_real *real, struct rh_real_cost *cost, struct rh_err *err);

#endif
