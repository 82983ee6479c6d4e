/*
 * load.h - a JSON document from a file, the same way for results, gates, policies and stored
 * baselines.
 *
 * "-" is standard input; a pipe will do, as it is read once. A byte order mark is passed over. A
 * key that stands twice in an object is an error, and so is anything behind the document. Read as
 * it comes, so what is no JSON ends at its first byte, however long it is.
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
