/*
 * export.h - traces out. One exporter is one function and a row in the table of
 * traces/edit/export.c; `reheap export NAME T.rht` finds it there.
 *
 * To add an exporter: write traces/edit/export_NAME.c with its function, declare it below, add
 * the row. The function reads the trace to its end, writes to the path ("-" = stdout; the file
 * appears whole or not at all, through rh_outfile or rh_trace_create) and drops nothing
 * silently: the row's `loses` names what the target format cannot hold.
 *
 * Thread rule: one thread for a trace and its output. Errors: as trace.h; RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_EXPORT_H
#define RH_EXPORT_H

#include <stdio.h>

#include "traces/format/trace.h"

struct rh_exporter {
	const char *name; /* "text" */
	const char *summary;
	const char *loses; /* what the format cannot hold; NULL = nothing */
	bool is_trace;	   /* reheap reads it: it may take a trace's place */
	int (*run)(struct rh_trace *trace, const char *path, struct rh_err *err);
};

/* Ends with name NULL, sorted. */
extern const struct rh_exporter rh_exporters[];

int rh_export_android(struct rh_trace *trace, const char *path, struct rh_err *err);
int rh_export_csv(struct rh_trace *trace, const char *path, struct rh_err *err);
int rh_export_malloc_bench(struct rh_trace *trace, const char *path, struct rh_err *err);
int rh_export_malloclab(struct rh_trace *trace, const char *path, struct rh_err *err);
int rh_export_perfetto(struct rh_trace *trace, const char *path, struct rh_err *err);

/* For exporters that write a stream: opens one on a copy of the output's descriptor (NULL: see
 * errno); its close puts the file in place if result is 0 and otherwise abandons it. */
struct rh_outfile;
FILE *rh_export_stream(const struct rh_outfile *out);
int rh_export_close(FILE *to, struct rh_outfile *out, int result, struct rh_err *err);

/* The row of a name, or NULL. */
const struct rh_exporter *rh_exporter_of(const char *name);

/* Copies the rest of a trace with its notes and names in either form. */
int rh_trace_copy(struct rh_trace *trace, const struct rh_trace_make *make, struct rh_err *err);

#endif
