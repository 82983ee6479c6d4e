/*
 * report.c - the page: head, verdict, overview, figures, tables, provenance, documents.
 *
 * Everything that came from outside passes rh_escape_xml on its way in; documents are
 * JSON in which every '<' is written \u003c, so nothing in them can end the element.
 */
#include "harness/tell/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"

/* Documents larger than this together are embedded without the segments and histograms of their
 * trials, which totals and metrics summarise: 200 trials of 100 segments are 1.4 MB, with latency
 * histograms 4 MB, and a page should open at once. */
enum { DOCUMENTS_BYTES_MAX = 1500000 };

static int copy_css(const char *plots_dir, FILE *to, struct rh_err *err)
{
	char path[4096], buffer[4096];
	size_t bytes;
	FILE *from;

	snprintf(path, sizeof(path), "%s/report.css", plots_dir);
	from = fopen(path, "re");
	if (!from)
		return rh_fail(err, RH_NO_INPUT, "%s cannot be opened: %s", path,
			       strerrordesc_np(errno));
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
		char *line = strndup(text, bytes);

		if (!line)
			abort();
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
	FILE *words = open_memstream(&text, &bytes);

	if (!words)
		abort();
	rh_verdict_overall(view, words);
	fclose(words);
	write_lines(text, true, to);
	free(text);
}

static void write_verdict(const struct rh_view *view, FILE *to)
{
	enum { SCENES_SAID = 12 };

	fputs("<section id=\"verdict\">\n<h2>Verdict</h2>\n", to);
	write_overall(view, to);
	for (size_t s = 0; s < view->scene_count && s < SCENES_SAID; s++) {
		char *text = NULL;
		size_t bytes = 0;
		FILE *words = open_memstream(&text, &bytes);

		if (!words)
			abort();
		rh_verdict_scene(view, s, words);
		fclose(words);
		fprintf(to, "<h3>");
		rh_escape_xml(view->scenes[s].label, to);
		fputs("</h3>\n", to);
		write_lines(text, true, to);
		free(text);
	}
	if (view->scene_count > SCENES_SAID)
		fprintf(to, "<p>%zu more settings are in the tables.</p>\n",
			view->scene_count - SCENES_SAID);
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

static int write_figures(const struct rh_figures *figures, const struct rh_draw *draw, FILE *to,
			 struct rh_err *err)
{
	bool some_absent = false;

	fputs("<section id=\"figures\">\n<h2>Figures</h2>\n<div class=\"figures\">\n", to);
	for (size_t i = 0; i < figures->count; i++) {
		if (figures->list[i].absent_why)
			some_absent = true;
		else if (write_figure(&figures->list[i], draw, to, err) < 0)
			return -1;
	}
	fputs("</div>\n", to);
	if (some_absent)
		fputs("<p class=\"absent\">Not drawn:</p>\n<ul class=\"absent\">\n", to);
	for (size_t i = 0; i < figures->count; i++) {
		if (!figures->list[i].absent_why)
			continue;
		fprintf(to, "<li>%s: ", figures->list[i].name);
		rh_escape_xml(figures->list[i].absent_why, to);
		fputs("</li>\n", to);
	}
	fputs(some_absent ? "</ul>\n</section>\n" : "</section>\n", to);
	return 0;
}

/* A copy of the document whose trials have lost what is long. */
static json_t *without_details(const json_t *root)
{
	json_t *copy = json_deep_copy(root), *trial;
	size_t at;

	json_array_foreach(json_object_get(copy, "trials"), at, trial) {
		json_object_del(trial, "segments");
		json_object_del(trial, "probes");
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

void rh_report_documents(const struct rh_view *view, FILE *to)
{
	char **texts = rh_pool_alloc(view->pool, view->doc_count, sizeof(*texts));
	size_t total = 0;

	for (size_t d = 0; d < view->doc_count; d++) {
		texts[d] = json_dumps(view->docs[d].root, JSON_COMPACT | JSON_REAL_PRECISION(10));
		total += texts[d] ? strlen(texts[d]) : 0;
	}
	for (size_t d = 0; d < view->doc_count; d++) {
		if (total > DOCUMENTS_BYTES_MAX) {
			json_t *less = without_details(view->docs[d].root);

			free(texts[d]);
			texts[d] = json_dumps(less, JSON_COMPACT | JSON_REAL_PRECISION(10));
			json_decref(less);
		}
		fprintf(to, "<script type=\"application/json\" id=\"result-%zu\">", d + 1);
		write_json(texts[d] ? texts[d] : "null", to);
		fputs("</script>\n", to);
		free(texts[d]);
	}
	if (total > DOCUMENTS_BYTES_MAX)
		fputs("<p class=\"files\">The embedded documents leave out segments and "
		      "histograms of trials; the result files have them.</p>\n", to);
}

static int write_page(const struct rh_view *view, const struct rh_figures *figures,
		      const struct rh_draw *draw, FILE *to, struct rh_err *err)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<link rel=\"icon\" href=\"data:,\">\n", to);
	write_title(view, to);
	if (copy_css(draw->plots_dir, to, err) < 0)
		return -1;
	fputs("</head>\n<body>\n<main>\n<h1>What another allocator would do</h1>\n", to);
	write_verdict(view, to);
	rh_report_warnings(view, to);
	rh_report_overview(view, to);
	if (write_figures(figures, draw, to, err) < 0)
		return -1;
	rh_report_tables(view, to);
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
	FILE *to = open_memstream(&text, &bytes);
	int result;

	if (!to)
		abort();
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
