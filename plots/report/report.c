/*
 * report.c - the page: head, verdict, overview, figures, tables, provenance, documents.
 *
 * Everything that came from outside passes rh_escape_xml on its way in; documents are
 * JSON in which every '<' is written \u003c, so nothing in them can end the element.
 */
#include "plots/report/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/result/pool.h"

/* Documents larger than this in total are embedded without the segments and histograms of their
 * trials, which totals and metrics summarise: 200 trials of 100 segments are 1.4 MB, with latency
 * histograms 4 MB, and a page should open at once. Where that is still too much, trials and metrics
 * stay out, too: the tables show them, and results.csv beside the page has them all. */
enum { DOCUMENTS_BYTES_MAX = 500000 };
enum part { WHOLE, WITHOUT_DETAILS, WITHOUT_NUMBERS };

int rh_report_style(const char *plots_dir, FILE *to, struct rh_err *err)
{
	char path[4096], buffer[4096];
	size_t bytes;
	FILE *from;

	snprintf(path, sizeof(path), "%s/report.css", plots_dir);
	from = fopen(path, "re");
	if (!from)
		return rh_fail(err, RH_NO_INPUT, "%s cannot be opened: %s", path,
			       rh_errno_text(errno));
	fputs("<style>\n", to);
	while ((bytes = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, bytes, to);
	fclose(from);
	fputs("</style>\n", to);
	return 0;
}

static void write_title(const struct rh_view *view, FILE *to)
{
	fputs("<title>reheap: ", to);
	for (size_t d = 0; d < view->doc_count && d < 3; d++) {
		fputs(d ? ", " : "", to);
		rh_escape_xml(view->docs[d].name, to);
	}
	fputs("</title>\n", to);
}

/* Lines of text become items; the first may stand out. */
static void write_lines(const char *text, bool first_stands_out, FILE *to)
{
	bool first = first_stands_out, open = false;

	while (*text) {
		size_t bytes = strcspn(text, "\n");
		char *line = memcpy(rh_scratch(bytes + 1, 1), text, bytes);

		if (!first && !open) {
			fputs("<ul>\n", to);
			open = true;
		}
		fputs(first ? "<p class=\"lead\">" : "<li>", to);
		rh_escape_xml(line, to);
		fputs(first ? ".</p>\n" : ".</li>\n", to);
		free(line);
		first = false;
		text += bytes + (text[bytes] == '\n');
	}
	if (open)
		fputs("</ul>\n", to);
}

static void write_overall(const struct rh_view *view, FILE *to)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *words = rh_memory_text(&text, &bytes);

	rh_verdict_worth(view, words);
	rh_verdict_overall(view, words);
	fclose(words);
	write_lines(text, true, to);
	free(text);
}

void rh_report_scene(const struct rh_view *view, size_t scene, FILE *to)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *words = rh_memory_text(&text, &bytes);

	rh_verdict_scene(view, scene, words);
	fclose(words);
	write_lines(text, false, to);
	free(text);
}

static void write_verdict(const struct rh_view *view, FILE *to)
{
	fputs("<section id=\"verdict\">\n<h2>Verdict</h2>\n", to);
	write_overall(view, to);
	if (view->scene_count == 1)
		rh_report_scene(view, 0, to);
	fputs("</section>\n", to);
}

static int write_figure(const struct rh_figure *figure, const struct rh_draw *draw, FILE *to,
			struct rh_err *err)
{
	struct rh_filemap map;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.svg", draw->dir, figure->name);
	if (rh_filemap_open(&map, path, err) < 0)
		return -1;
	fputs("<figure>\n", to);
	if (map.base)
		fwrite(map.base, 1, map.bytes, to);
	rh_filemap_close(&map);
	fputs("<figcaption>", to);
	rh_escape_xml(figure->caption, to);
	fprintf(to, " <span class=\"files\">%s.tsv, %s.gp</span></figcaption>\n</figure>\n",
		figure->name, figure->name);
	return 0;
}

/* The one figure above the fold: over all traces, or of the only one. */
static const struct rh_figure *first_figure(const struct rh_figures *figures)
{
	static const char *const names[] = { "trade", "time-memory" };

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		for (size_t i = 0; i < figures->count; i++)
			if (strcmp(figures->list[i].name, names[n]) == 0 &&
			    !figures->list[i].absent_why)
				return &figures->list[i];
	return NULL;
}

static int write_pareto(const struct rh_figures *figures, const struct rh_draw *draw, FILE *to,
			struct rh_err *err)
{
	const struct rh_figure *figure = first_figure(figures);

	if (!figure)
		return 0;
	fputs("<section id=\"cost\">\n<h2>What speed costs in memory</h2>\n", to);
	if (write_figure(figure, draw, to, err) < 0)
		return -1;
	fputs("</section>\n", to);
	return 0;
}

static void write_absent(const struct rh_figures *figures, FILE *to)
{
	size_t count = 0;

	for (size_t i = 0; i < figures->count; i++)
		count += figures->list[i].absent_why != NULL;
	if (!count)
		return;
	fprintf(to,
		"<details class=\"absent\"><summary>%zu figures are not drawn</summary>\n<ul>\n",
		count);
	for (size_t i = 0; i < figures->count; i++) {
		if (!figures->list[i].absent_why)
			continue;
		fprintf(to, "<li>%s: ", figures->list[i].name);
		rh_escape_xml(figures->list[i].absent_why, to);
		fputs("</li>\n", to);
	}
	fputs("</ul></details>\n", to);
}

/* Figures of one title differ by what they show. */
static void write_summary(const struct rh_figures *figures, const struct rh_figure *figure,
			  FILE *to)
{
	size_t same = 0;

	for (size_t i = 0; i < figures->count; i++)
		same += !figures->list[i].absent_why &&
			strcmp(figures->list[i].title, figure->title) == 0;
	fputs("<summary>", to);
	rh_escape_xml(figure->title, to);
	if (same > 1 && figure->panel_count) {
		const char *first = rh_panel_shows(&figure->panels[0]);
		const char *last = rh_panel_shows(&figure->panels[figure->panel_count - 1]);

		fputs(": ", to);
		rh_escape_xml(first, to);
		if (strcmp(first, last) != 0) {
			fputs(" to ", to);
			rh_escape_xml(last, to);
		}
	}
	fputs("</summary>\n", to);
}

static bool shows_scene(const struct rh_panel *panel, const char *label)
{
	const char *shows = rh_panel_shows(panel);
	size_t bytes = strlen(label);

	return shows && strncmp(shows, label, bytes) == 0 &&
	       (shows[bytes] == '\0' || shows[bytes] == ',' || shows[bytes] == ' ');
}

/* The scene that all panels of a figure show; -1 = several, and where there is only one. */
static int scene_of(const struct rh_view *view, const struct rh_figure *figure)
{
	for (size_t s = 0; s < view->scene_count && view->scene_count > 1; s++) {
		size_t panels = 0;

		while (panels < figure->panel_count &&
		       shows_scene(&figure->panels[panels], view->scenes[s].label))
			panels++;
		if (figure->panel_count && panels == figure->panel_count)
			return (int)s;
	}
	return -1;
}

/* One folded part per trace: the findings in words, its figures, all its numbers. */
static int write_traces(const struct rh_view *view, const struct rh_figures *figures,
			const struct rh_draw *draw, FILE *to, struct rh_err *err)
{
	fputs("<section id=\"tables\">\n<h2>Trace by trace</h2>\n", to);
	for (size_t s = 0; s < view->scene_count; s++) {
		fputs("<details><summary>", to);
		rh_escape_xml(view->scenes[s].label, to);
		fputs("</summary>\n", to);
		rh_report_scene(view, s, to);
		for (size_t i = 0; i < figures->count; i++) {
			const struct rh_figure *figure = &figures->list[i];

			if (figure->absent_why || figure == first_figure(figures) ||
			    scene_of(view, figure) != (int)s)
				continue;
			if (write_figure(figure, draw, to, err) < 0)
				return -1;
		}
		rh_report_metrics(view, s, to);
		fputs("</details>\n", to);
	}
	fputs("<p class=\"files\">Below a median stands its sign-test interval over trials; "
	      "level is the confidence it reaches. Sources: own = clocks and counts of reheap, sw "
	      "= kernel, hw = hardware counters, sim = callgrind.</p>\n</section>\n",
	      to);
	return 0;
}

/* One folded part per figure: the page opens short, and each figure is one click away. Figures of
 * one trace among several are placed with that trace. */
static int write_figures(const struct rh_view *view, const struct rh_figures *figures,
			 const struct rh_draw *draw, FILE *to, struct rh_err *err)
{
	fputs("<section id=\"figures\">\n<h2>Figures</h2>\n", to);
	for (size_t i = 0; i < figures->count; i++) {
		const struct rh_figure *figure = &figures->list[i];

		if (figure->absent_why || figure == first_figure(figures) ||
		    scene_of(view, figure) >= 0)
			continue;
		fputs("<details>", to);
		write_summary(figures, figure, to);
		if (write_figure(figure, draw, to, err) < 0)
			return -1;
		fputs("</details>\n", to);
	}
	write_absent(figures, to);
	fputs("</section>\n", to);
	return 0;
}

static void write_contents(const struct rh_view *view, FILE *to)
{
	fputs("<nav aria-label=\"Contents\"><a href=\"#verdict\">Verdict</a> ", to);
	if (view->baseline >= 0)
		fputs("<a href=\"#overview\">Traces by allocators</a> ", to);
	fputs("<a href=\"#figures\">Figures</a> <a href=\"#tables\">Trace by trace</a> "
	      "<a href=\"#provenance\">Where the numbers come from</a></nav>\n",
	      to);
}

/* A copy of the document without what is long. */
static struct rh_document part_of(const struct rh_view *view, const struct rh_document *whole,
				  enum part part)
{
	struct rh_document copy = *whole;

	if (part == WITHOUT_NUMBERS)
		copy.trials_count = copy.metrics_count = 0;
	copy.trials = rh_pool_alloc(view->pool, copy.trials_count + 1, sizeof(*copy.trials));
	for (size_t t = 0; t < copy.trials_count; t++) {
		copy.trials[t] = whole->trials[t];
		copy.trials[t].segments = NULL;
		copy.trials[t].probes = NULL;
		copy.trials[t].stats = NULL;
	}
	return copy;
}

static void write_json(const char *text, FILE *to)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("\\u003c", to);
		else
			fputc(*text, to);
	}
}

/* The documents as texts, of all of them the same part; how long they are together. */
static size_t print_parts(const struct rh_view *view, enum part part, char **texts)
{
	size_t total = 0;

	for (size_t d = 0; d < view->doc_count; d++) {
		struct rh_document less = view->docs[d].file;

		if (part != WHOLE)
			less = part_of(view, &view->docs[d].file, part);
		free(texts[d]);
		texts[d] = rh_record_print(&rh_document_type, &less, RH_JSON_COMPACT);
		total += texts[d] ? strlen(texts[d]) : 0;
	}
	return total;
}

void rh_report_documents(const struct rh_view *view, FILE *to)
{
	static const char *const says[] = {
		[WITHOUT_DETAILS] = "The embedded documents leave out segments and histograms of "
				    "trials; the result files have them.",
		[WITHOUT_NUMBERS] = "The embedded documents say how was measured, and leave out "
				    "trials and metrics; results.csv and the result files have "
				    "them.",
	};
	char **texts = rh_pool_alloc(view->pool, view->doc_count + 1, sizeof(*texts));
	enum part part = WHOLE;

	while (print_parts(view, part, texts) > DOCUMENTS_BYTES_MAX && part != WITHOUT_NUMBERS)
		part++;
	for (size_t d = 0; d < view->doc_count; d++) {
		fprintf(to, "<script type=\"application/json\" id=\"result-%zu\">", d + 1);
		write_json(texts[d] ? texts[d] : "null", to);
		fputs("</script>\n", to);
		free(texts[d]);
	}
	if (says[part])
		fprintf(to, "<p class=\"files\">%s</p>\n", says[part]);
}

static int write_page(const struct rh_view *view, const struct rh_figures *figures,
		      const struct rh_draw *draw, FILE *to, struct rh_err *err)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<link rel=\"icon\" href=\"data:,\">\n",
	      to);
	write_title(view, to);
	if (rh_report_style(draw->plots_dir, to, err) < 0)
		return -1;
	fputs("</head>\n<body>\n<main>\n<h1>What another allocator would do</h1>\n", to);
	write_contents(view, to);
	write_verdict(view, to);
	rh_report_validation(view, to);
	rh_report_overview(view, to);
	if (write_pareto(figures, draw, to, err) < 0 ||
	    write_figures(view, figures, draw, to, err) < 0 ||
	    write_traces(view, figures, draw, to, err) < 0)
		return -1;
	rh_report_warnings(view, to);
	rh_report_provenance(view, to);
	rh_report_documents(view, to);
	fputs("</main>\n</body>\n</html>\n", to);
	return 0;
}

int rh_report_write(const struct rh_view *view, const struct rh_figures *figures,
		    const struct rh_draw *draw, struct rh_err *err)
{
	struct rh_outfile out;
	char path[4096], *text = NULL;
	size_t bytes = 0;
	FILE *to = rh_memory_text(&text, &bytes);
	int result;

	result = write_page(view, figures, draw, to, err);
	fclose(to);
	snprintf(path, sizeof(path), "%s/report.html", draw->dir);
	if (result == 0)
		result = rh_outfile_open(&out, path, err);
	if (result == 0) {
		result = rh_write_all(out.fd, text, bytes, path, err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		else
			rh_outfile_abandon(&out);
	}
	free(text);
	return result;
}
