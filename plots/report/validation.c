/*
 * validation.c - the report's section on validation: the replay's predictions next to the real
 * program under each allocator (reheap validate).
 */
#include <math.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "plots/report/report.h"

static const struct shown {
	const char *what, *title, *unit;
	double scale;
} shown[] = {
	{ "cpu", "CPU time", "ms", 1e3 },
	{ "rss", "peak resident memory", "MiB", 1.0 / (1 << 20) },
	{ "instructions", "instructions, by callgrind", "million", 1e-6 },
	{ "heap_instructions", "the heap's own instructions, by callgrind", "million", 1e-6 },
	{ "allocator", "user time in the allocator's own code, sampled", "ms", 1e3 },
	{ "asleep", "time asleep, all threads", "ms", 1e3 },
	{ "switches", "voluntary context switches", "thousand", 1e-3 },
	{ "futex", "futex calls", "thousand", 1e-3 },
	{ "user", "user CPU time", "ms", 1e3 },
	{ "kernel", "kernel CPU time", "ms", 1e3 },
	{ "faults", "page faults", "thousand", 1e-3 },
};

static void put_cell(double median, double lo, double hi, double scale, FILE *to)
{
	fprintf(to, "<td>%+.1f", median * scale);
	if (isfinite(lo) && isfinite(hi) && lo < hi)
		fprintf(to, " <small>[%+.1f, %+.1f]</small>", lo * scale, hi * scale);
	fputs("</td>", to);
}

static void put_row(const struct rh_document *file, const struct rh_truth_change *change,
		    double scale, FILE *to)
{
	fputs("<tr><th>", to);
	rh_escape_xml(file->backends[change->backend].spec, to);
	fputs("</th>", to);
	put_cell(change->predicted, change->predicted_lo, change->predicted_hi, scale, to);
	put_cell(change->observed, change->observed_lo, change->observed_hi, scale, to);
	fputs("<td>", to);
	rh_escape_xml(change->verdict ? change->verdict : "", to);
	if (change->verdict && strcmp(change->verdict, "off") == 0)
		fprintf(to, " by %+.1f", change->off * scale);
	if (change->why) {
		fputs(": ", to);
		rh_escape_xml(change->why, to);
	}
	fputs("</td></tr>\n", to);
}

static void put_table(const struct rh_document *file, const struct shown *field, FILE *to)
{
	const struct rh_validation *v = file->validation;
	bool open = false;

	for (size_t i = 0; i < v->changes_count; i++) {
		if (strcmp(v->changes[i].what, field->what) != 0)
			continue;
		if (!open)
			rh_print(to,
				 "<h3>Change of %s, %s</h3>\n<div class=\"wide\" tabindex=\"0\">"
				 "<table>\n<thead><tr><th>backend</th><th>predicted</th>"
				 "<th>observed</th><th>verdict</th></tr></thead>\n<tbody>\n",
				 field->title, field->unit);
		open = true;
		put_row(file, &v->changes[i], field->scale, to);
	}
	if (open)
		fputs("</tbody></table></div>\n", to);
}

/* How much of the answer a replay can give. */
static void put_share(const struct rh_validation *v, FILE *to)
{
	double own = v->cpu_s - v->load_s, share = own > 0 ? v->heap_s / own : NAN;

	if (!isfinite(share))
		return;
	share = fmin(fmax(share, 0), 1);
	rh_print(to,
		 "<p>The heap is about %.0f %% of its CPU time by the replay. What an allocator "
		 "does to the other %.0f %%, the program's own loads, is observed and not "
		 "predicted.</p>\n",
		 100 * share, 100 * (1 - share));
}

static void put_program(const struct rh_document *file, FILE *to)
{
	const struct rh_validation *v = file->validation;

	fputs("<p>", to);
	for (size_t i = 0; i < v->argv_count && i < 8; i++) {
		fputs(i ? " " : "", to);
		rh_escape_xml(v->argv[i] ? v->argv[i] : "", to);
	}
	fprintf(to, ": %.0f ms of CPU, %.1f MiB at most under ", 1e3 * v->cpu_s,
		v->rss_bytes / (1 << 20));
	rh_escape_xml(file->config && file->config->baseline ? file->config->baseline : "?", to);
	fputs(v->nondeterministic ? ". Two recordings of it differ by more than 1 % in heap calls: "
				    "predictions are scaled to the mean of both.</p>\n"
				  : ".</p>\n",
	      to);
	put_share(v, to);
	if (v->futex_why) {
		fputs("<p>Futex calls were not counted: ", to);
		rh_escape_xml(v->futex_why, to);
		fputs(".</p>\n", to);
	}
	for (size_t f = 0; f < sizeof(shown) / sizeof(shown[0]); f++)
		put_table(file, &shown[f], to);
}

void rh_report_validation(const struct rh_view *view, FILE *to)
{
	bool open = false;

	for (size_t d = 0; d < view->doc_count; d++) {
		if (!view->docs[d].file.validation)
			continue;
		if (!open)
			fputs("<section id=\"truth\">\n<h2>Predicted and observed</h2>\n"
			      "<p>The program itself ran under each allocator, beside the replay "
			      "of its recording. Brackets: intervals of the change by what rounds "
			      "scatter, without any error of the model; what loading a library "
			      "costs is taken off.</p>\n",
			      to);
		open = true;
		put_program(&view->docs[d].file, to);
	}
	if (open)
		fputs("</section>\n", to);
}
