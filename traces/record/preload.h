/*
 * preload.h - the environment by which the program to be recorded, and its children, load the shim.
 * Thread rule: the forked child, before its exec. Errors: RH_OS.
 */
#ifndef RH_RECORD_PRELOAD_H
#define RH_RECORD_PRELOAD_H

#include "traces/record/record.h"

/* `area_path` as in area.h, RH_RECORD_ENV. Existing preloads are kept, after the shim. */
int rh_preload_set(const struct rh_record_opts *opts, const char *area_path, struct rh_err *err);

#endif
