/*
 * library.h - what a shared library is, read from its file: nothing of it is run.
 * Internal to alloc/ and its tests. Thread rule: any.
 */
#ifndef RH_LIBRARY_H
#define RH_LIBRARY_H

#include <stdbool.h>

#include "alloc/base/err.h"

struct rh_library {
	bool has_malloc; /* defines malloc and free: can be preloaded */
	bool has_native; /* defines reheap_backend */
};

/* RH_NO_INPUT: cannot be opened; RH_BAD_DATA: not a shared library for this machine. */
int rh_library_inspect(const char *path, struct rh_library *library, struct rh_err *err);

#endif
