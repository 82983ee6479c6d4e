/*
 * load.h - a JSON document from a file, the same way for results, gates, policies and stored
 * baselines.
 *
 * "-" is standard input; a pipe works, since the input is read only once. A byte order mark is
 * skipped. A duplicate key in an object is an error, and so is anything after the document. The
 * input is parsed while it is read, so a file that is not JSON is refused at its first byte,
 * however long it is.
 *
 * Ownership: the document is the caller's (json_decref). Errors: NULL with RH_NO_INPUT or
 * RH_BAD_DATA, naming the file and the line. Thread rule: none shared.
 */
#ifndef RH_RESULT_LOAD_H
#define RH_RESULT_LOAD_H

#include <jansson.h>

#include "alloc/base/err.h"

json_t *rh_json_load(const char *path, struct rh_err *err);

#endif
