/*
 * fuzz_result.c - a fuzz target for results (reheap.result/1) and gates, read and drawn.
 * Properties: an error is one sentence; what is drawn is as long on every run; what was read is
 * written as a document that reads again.
 */
#include "plots/figure/figure.h"
#include "plots/figure/view.h"
#include "traces/test/fuzz_support.h"

static size_t draw(const struct rh_view *view)
{
	struct rh_figures figures = { 0 };
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	demand(to != NULL, "there is memory", NULL);
	rh_figures_build(view, &figures);
	for (size_t i = 0; i < figures.count; i++)
		if (!figures.list[i].absent_why)
			rh_figure_svg(view, &figures.list[i], to);
	fclose(to);
	free(text);
	return bytes;
}

static void write_again(const struct rh_document *document)
{
	struct rh_document again;
	struct rh_pool *pool = rh_pool_open();
	struct rh_err err = { 0 };
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	demand(to != NULL, "there is memory", NULL);
	demand(rh_record_write(&rh_document_type, document, RH_JSON_INDENTED, to) == 0,
	       "what was read is written", NULL);
	fclose(to);
	demand(rh_record_read(&rh_document_type, &again,
			      &(struct rh_record_source){
				      .path = "again", .text = text, .text_bytes = bytes },
			      pool, &err) == 0,
	       "what was written is read", &err);
	free(text);
	rh_pool_close(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rh_view view = { 0 };
	struct rh_err err = { 0 };
	struct fuzz_file file;
	char *paths[1];

	if (bytes > 1 << 20 || !fuzz_file_open(&file, data, bytes))
		return 0;
	paths[0] = file.path;
	if (rh_view_open(&view, paths, 1, NULL, &err) == 0) {
		demand(draw(&view) == draw(&view), "the same is drawn", NULL);
		write_again(&view.docs[0].file);
	} else {
		demand_error(&err);
	}
	rh_view_close(&view);
	fuzz_file_close(&file);
	return 0;
}
