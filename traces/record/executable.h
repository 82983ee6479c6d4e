/*
 * executable.h - which file will run, and can it be recorded? Looks at the ELF header and
 * the dynamic symbols; for a script, at its interpreter. Thread rule: any.
 */
#ifndef RH_RECORD_EXECUTABLE_H
#define RH_RECORD_EXECUTABLE_H

#include <stddef.h>

#include "alloc/base/err.h"

struct rh_executable {
	char path[4096];
	char warning[600]; /* why the trace will lack calls: it brings an allocator of its own; or
			      "" */
	int status;	   /* 0; 127 not found, 126 not executable, RH_ABSENT cannot be recorded */
};

/* Finds `name` as execvp would. Returns 0; or -1 with a status that is not 0 and the sentence in
 * err: RH_ABSENT is a program that is static, setuid, or of another machine or libc. */
int rh_executable_find(const char *name, struct rh_executable *found, struct rh_err *err);

#endif
