/*
 * export.c - `reheap export`: writes a trace in another format. The formats are the rows of
 * traces/edit/export.c.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "traces/format/sample.h"
#include "traces/edit/export.h"
#include "alloc/base/printable.h"

struct export_opts {
	const char *out;
};

static const struct rh_opt export_options[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct export_opts, out), "-", .arg = "FILE",
	  .help = "where to write; - is standard output" },
	{ .name = NULL }
};

static int unknown_format(const char *name, struct rh_err *err)
{
	char known[256] = "";
	size_t used = 0;

	for (const struct rh_exporter *row = rh_exporters; row->name; row++) {
		int bytes = snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
				     row->name);

		if (bytes < 0 || (size_t)bytes >= sizeof(known) - used)
			break;
		used += (size_t)bytes;
	}
	return rh_fail(err, RH_USAGE, "there is no export format '%s' (there are: %s)", name,
		       known);
}

static int export_trace(const struct rh_exporter *exporter, const char *from, const char *to,
			struct rh_err *err)
{
	struct rh_trace *trace;
	int rc;

	if (rh_trace_open(&trace, from, err) < 0)
		return -1;
	rc = exporter->run(trace, to, err);
	if (rc == 0 && !exporter->is_trace && rh_trace_sample(trace))
		rh_print(stderr,
			 "reheap export: %s is a sample of its program's blocks (one byte in %llu "
			 "hit), and %s cannot say so\n",
			 from, (unsigned long long)rh_trace_sample(trace), exporter->name);
	/* The events up to the damage have been written; the user learns that some are missing. */
	if (rc == 0 && rh_trace_truncated(trace))
		rc = rh_fail(err, RH_PARTIAL, "%s", rh_trace_truncated(trace));
	rh_trace_close(trace);
	return rc;
}

static enum rh_exit run_export(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct export_opts *opts = options;
	const struct rh_exporter *exporter = rh_exporter_of(argv[0]);

	(void)argc;
	if (strcmp(opts->out, "-") == 0)
		rh_end_with_reader();
	if (!exporter)
		unknown_format(argv[0], err);
	else if (strcmp(argv[0], "binary") == 0 && strcmp(opts->out, "-") == 0 &&
		 isatty(STDOUT_FILENO))
		rh_fail(err, RH_USAGE, "a trace is not for a terminal: say -o T.rht or > T.rht");
	else if (rh_same_file(argv[1], opts->out))
		rh_fail(err, RH_USAGE, "%s is the trace itself: name another file with -o",
			opts->out);
	else if ((exporter->is_trace || rh_trace_spare(opts->out, err) == 0) &&
		 export_trace(exporter, argv[1], opts->out, err) == 0)
		return RH_OK;
	return err->code;
}

static void more_help(FILE *to)
{
	fputs("\nFormats:\n", to);
	for (const struct rh_exporter *row = rh_exporters; row->name; row++) {
		rh_print(to, "  %-18s %s\n", row->name, row->summary);
		if (row->loses)
			rh_print(to, "  %-18s   cannot hold: %s\n", "", row->loses);
	}
}

const struct rh_command rh_cmd_export = {
	.name = "export",
	.operands = "FORMAT T.rht [-o FILE]",
	.summary = "write a trace in another form",
	.details = "Text and binary hold the same: exporting there and back gives the same trace. "
		   "T.rht may be - (standard input) and may itself be text.",
	.examples = "reheap export text T.rht | less\n"
		    "reheap export binary edited.txt -o T.rht",
	.opts = export_options,
	.opts_bytes = sizeof(struct export_opts),
	.operands_min = 2,
	.operands_max = 2,
	.run = run_export,
	.more_help = more_help,
};
