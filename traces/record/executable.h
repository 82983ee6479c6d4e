/*
 * executable.h - which file will run, and can it be recorded? Looks at the ELF header and
 * the dynamic symbols; for a script, at its interpreter. Thread rule: any.
 */
#ifndef RH_RECORD_PROGRAM_H
#define RH_RECORD_PROGRAM_H

#include <stddef.h>

#include "alloc/base/err.h"

/* Finds `name` as execvp would and writes its path. Returns 0; or -1 with *status 127
 * (not found), 126 (not executable) or RH_ABSENT (static, setuid, of another machine or
 * libc), and the sentence in err. `warning` gets a sentence when the program can be
 * recorded but brings an allocator of its own; else "". */
int rh_executable_find(const char *name, char *path, size_t path_bytes, char *warning,
		       size_t warning_bytes, int *status, struct rh_err *err);

#endif
