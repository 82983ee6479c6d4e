/*
 * test_figures.c - figures as data: which figures are drawn from the fixture, which are left
 * out and why; rows are sorted, text is escaped, and an adapted SVG has its own ids.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/install_paths.h"
#include "plots/figure/figure.h"
#include "plots/figure/svg_pack.h"

static void fixture_path(char *path, size_t bytes)
{
	struct rh_err err = { 0 };

	assert_int_equal(rh_install_path("plots/test/fixture.json", path, bytes, &err), 0);
}

static void open_fixture(struct rh_view *view, struct rh_figures *figures)
{
	char path[4096];
	char *paths[] = { path };
	struct rh_err err = { 0 };

	fixture_path(path, sizeof(path));
	if (rh_view_open(view, paths, 1, NULL, &err) < 0)
		fail_msg("%s", err.text);
	rh_figures_build(view, figures);
}

static const struct rh_figure *figure_of(const struct rh_figures *figures, const char *name)
{
	for (size_t i = 0; i < figures->count; i++)
		if (strcmp(figures->list[i].name, name) == 0)
			return &figures->list[i];
	fail_msg("there is no figure %s", name);
	return NULL;
}

static void every_figure_has_data_in_the_fixture(void **state)
{
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	assert_int_equal(figures.count, 29);
	for (size_t i = 0; i < figures.count; i++) {
		const struct rh_figure *figure = &figures.list[i];

		/* the fixture has no latency by kind, no instructions, no tasks, one pass, no
		 * program that ran itself, and is older than times taken apart */
		if (strcmp(figure->name, "latency-kinds") == 0 ||
		    strcmp(figure->name, "passes") == 0 ||
		    strncmp(figure->name, "tasks-", 6) == 0 ||
		    strncmp(figure->name, "truth-", 6) == 0 ||
		    strcmp(figure->name, "time-apart") == 0 ||
		    strcmp(figure->name, "instructions") == 0 ||
		    strcmp(figure->name, "hot-split") == 0) {
			assert_non_null(figure->absent_why);
			continue;
		}
		assert_null(figure->absent_why);
		assert_non_null(figure->title);
		assert_non_null(figure->x_text);
		assert_true(figure->width >= 460 && figure->height > 60);
		assert_true(figure->x_min < figure->x_max);
		assert_true(figure->left + figure->right < figure->width);
	}
	rh_view_close(&view);
}

static void rows_are_sorted_and_controls_left_out_of_memory(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "time-ratio");
	assert_int_equal(figure->panel_count, 2);
	assert_int_equal(figure->series_count, 6);
	for (size_t i = 1; i < figure->panels[0].last; i++)
		assert_true(figure->series[i - 1].points[0].x <= figure->series[i].points[0].x);
	figure = figure_of(&figures, "memory-peak");
	assert_int_equal(figure->series_count, 6);
	rh_view_close(&view);
}

static void throughput_has_an_ideal_line(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;
	size_t ideal = 0;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "lanes");
	for (size_t i = 0; i < figure->series_count; i++) {
		if (figure->series[i].style >= 0)
			continue;
		ideal++;
		assert_true(figure->series[i].points[0].y == 0);
		assert_true(figure->series[i].points[1].x == 2);
	}
	assert_int_equal(ideal, 1);
	rh_view_close(&view);
}

static void percentiles_come_from_names(void **state)
{
	static const double nines[] = { 2, 10, 100, 1000, 10000 };
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "latency");
	assert_int_equal(figure->series[0].point_count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_true(fabs(figure->series[0].points[i].x / nines[i] - 1) < 1e-6);
	rh_view_close(&view);
}

static void sizes_are_octaves_and_never_below_the_clock(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "latency-sizes");
	assert_int_equal(figure->panel_count, 5); /* alloc, free at 1 lane; and remote at 2 */
	for (size_t s = 0; s < figure->series_count; s++) {
		const struct rh_series *series = &figure->series[s];

		/* the last octave of the fixture (100 samples) counts, and has no upper end */
		assert_int_equal(series->point_count, 11);
		assert_true(series->points[0].x == 8);
		assert_true(series->points[10].x == 2097152);
		for (size_t i = 0; i < series->point_count; i++)
			assert_true(series->points[i].y >= figure->floor_ns);
	}
	rh_view_close(&view);
}

static void heat_tiles_the_run_without_overlap(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "latency-run");
	assert_int_equal(figure->panel_count, 3);
	for (size_t s = 0; s < figure->series_count; s++) {
		const struct rh_series *series = &figure->series[s];
		unsigned darkest = 0;

		for (size_t i = 0; i < series->point_count; i++) {
			const struct rh_figure_point *a = &series->points[i], *b = a + 1;

			assert_true(a->x_lo < a->x_hi && a->y_lo < a->y_hi);
			assert_true(a->n >= 1 && a->n <= RH_HEAT_LEVELS);
			assert_true(a->x_hi <= 700000);
			if (i + 1 < series->point_count && a->y_lo == b->y_lo)
				assert_true(a->x_hi <= b->x_lo);
			darkest = a->n > darkest ? a->n : darkest;
		}
		assert_true(darkest >= 5);
	}
	rh_view_close(&view);
}

static void classes_share_a_colour_and_differ_in_dash(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "lock-classes");
	assert_int_equal(figure->panel_count, 2);
	for (size_t p = 0; p < 2; p++) {
		const struct rh_series *a = &figure->series[figure->panels[p].first], *b = a + 1;
		const struct rh_backend_style *style = &view.styles[a->style];

		assert_int_equal(figure->panels[p].last - figure->panels[p].first, 2);
		assert_int_equal(a->style, b->style);
		assert_int_not_equal(rh_series_dash(style, a), rh_series_dash(style, b));
		assert_int_not_equal(rh_series_mark(style, a), rh_series_mark(style, b));
		/* most waited for first; at one lane nobody waits */
		assert_true(a->points[1].y > b->points[1].y);
		assert_true(a->points[0].x == 1 && a->points[0].y == 0);
	}
	rh_view_close(&view);
}

static void tiers_stand_in_the_order_of_the_path(void **state)
{
	const struct rh_figure *figure;
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	figure = figure_of(&figures, "tiers");
	assert_int_equal(figure->panels[0].rows, 8);
	assert_true(isnan(figure->series[0].points[0].x)); /* no tiny block was used */
	assert_string_equal(figure->series[0].points[0].text, "none");
	assert_true(fabs(figure->series[1].points[0].x - 1000 * 340000.0 / 350000) < 1e-9);
	for (size_t i = 0; i < 8; i++)
		assert_true(figure->series[i].points[0].y == (double)i);
	rh_view_close(&view);
}

static void absent_data_is_absent_with_a_reason(void **state)
{
	struct rh_figures figures;
	struct rh_view view;

	(void)state;
	open_fixture(&view, &figures);
	/* A view of nothing but times. */
	for (size_t i = 0; i < view.metric_count; i++)
		if (strncmp(view.metrics[i].name, "time.", 5) != 0)
			view.metrics[i].name = "something.else";
	rh_figures_build(&view, &figures);
	assert_non_null(figure_of(&figures, "memory-peak")->absent_why);
	assert_non_null(figure_of(&figures, "latency")->absent_why);
	assert_non_null(figure_of(&figures, "cache-misses")->absent_why);
	assert_non_null(figure_of(&figures, "lock-wait")->absent_why);
	assert_non_null(figure_of(&figures, "time-memory")->absent_why);
	assert_null(figure_of(&figures, "time-ratio")->absent_why);
	rh_view_close(&view);
}

static void xml_is_escaped(void **state)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_escape_xml("<a href=\"x\">&'\x01é", to);
	fclose(to);
	assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&amp;&#39; é");
	free(text);
}

static void tex_prints_what_it_is_given(void **state)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_escape_tex("50 % of $x_1 {a^b}~#&\\input --touch <i> é", to);
	fclose(to);
	assert_string_equal(text, "50 \\% of \\$x\\_1 \\{a\\textasciicircum{}b\\}"
				  "\\textasciitilde{}\\#\\&\\textbackslash{}input -{}-touch "
				  "\\textless{}i\\textgreater{} é");
	free(text);
}

static void dressing_makes_ids_its_own(void **state)
{
	static const char svg[] =
		"<?xml version='1.0'?>\n<svg \n viewBox=\"0 0 4 2\"\n "
		"xmlns=\"x\">\n<title>Gnuplot</title>\n"
		"<desc>by</desc><g id=\"gnuplot_canvas\" color=\"black\"><path id='gpPt0' "
		"stroke='black'/>"
		"<use xlink:href='#gpPt0' color='rgb(  0,   0,   0)'/><g clip-path=\"url(#c)\">"
		"<text fill=\"black\"> id='not me' black</text></g></g></svg>";
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_svg_dress(svg, "fig", "A & B", "caption", to);
	fclose(to);
	assert_non_null(strstr(text, "viewBox=\"0 0 4 2\""));
	assert_non_null(strstr(text, "A &amp; B</title>"));
	assert_null(strstr(text, "Gnuplot"));
	assert_non_null(strstr(text, "id=\"fig-gnuplot_canvas\""));
	assert_non_null(strstr(text, "id='fig-gpPt0' stroke='currentColor'"));
	assert_non_null(strstr(text, "href='#fig-gpPt0' color='currentColor'"));
	assert_non_null(strstr(text, "url(#fig-c)"));
	assert_non_null(strstr(text, "> id='not me' black<"));
	free(text);
}

/* gnuplot passes a mark's text to a script; here it is a title. */
static void marks_tell_without_a_script(void **state)
{
	static const char svg[] =
		"<svg viewBox=\"0 0 10 10\">\n"
		"<g onmousemove=\"gnuplot_svg.showHypertext(evt,'a &amp; &lt;b> 1.00')\" "
		"onmouseout=\"gnuplot_svg.hideHypertext()\"><title> </title>\n"
		"<use xlink:href='#gpPt6'/></g><title>dropped</title></svg>";
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_svg_dress(svg, "fig", "t", "c", to);
	fclose(to);
	assert_non_null(strstr(text, "<title>a &amp; &lt;b 1.00</title>"));
	assert_non_null(strstr(text, "<use xlink:href='#fig-gpPt6'/></g>"));
	assert_null(strstr(text, "onmouse"));
	assert_null(strstr(text, "dropped"));
	free(text);
}

static char *packed(const char *svg)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	rh_svg_pack(svg, to);
	fclose(to);
	return text;
}

/* What is inherited moves to what draws; alike elements share a class, other ones keep their own
 * words, and what looks as the root says nothing. */
static void packing_keeps_the_picture(void **state)
{
	static const char svg[] =
		"<svg id=\"f\" viewBox=\"0 0 4 2\"><title id=\"f-title\">t</title>"
		"<style>#f{}</style>\n"
		"<g id=\"f-canvas\"><defs><path id='f-a' d='M0,0 h2'/><path id='f-b' d='M1,1 h2'/>"
		"</defs>\n<g fill=\"none\" stroke=\"currentColor\" stroke-linecap=\"butt\">"
		"<path d='M70.00,140.00 L75.04,140.00 L80.00,140.00 L80.00,130.00 M1,1 '/></g>"
		"<g fill=\"none\" stroke=\"currentColor\"><path stroke='rgb( 0, 16, 255)' "
		"d='M0,0 L1,1'/></g>"
		"<g stroke=\"none\" fill=\"currentColor\" font-family=\"serif\" "
		"font-size=\"12.00\" "
		"transform=\"translate(1.04,2.00)\"><text> a  b</text></g>"
		"<g stroke=\"none\" fill=\"currentColor\" font-family=\"serif\" "
		"font-size=\"12.00\">"
		"<text>1</text><text>2</text></g>"
		"<g class=\"tip\"><title>jemalloc: 1</title><use xlink:href='#f-b' "
		"transform='translate(3.00,4.00) scale(6.75)' opacity='0.00'/></g>"
		"<use xlink:href='#f-a' color='red' stroke='currentColor'/>"
		"<use xlink:href='#f-a' color='white'/>"
		"<path d='M5,5 L5,5'/></g></svg>\n";
	char *text = packed(svg);

	(void)state;
	assert_non_null(strstr(text, "<path d=\"M70,140h10v-10\"/>"));
	assert_non_null(strstr(text, "<path d=\"M0,0l1,1\" stroke=\"#0010ff\"/>"));
	assert_non_null(strstr(text, "font-family=\"serif\">"));
	assert_non_null(strstr(text, " transform=\"translate(1,2)\">a  b</text>"));
	assert_non_null(strstr(text, "{fill:currentColor;font-size:12px;stroke:none}"));
	assert_non_null(strstr(text, "<circle class=\"tip\" opacity=\"0\" cx=\"3\" cy=\"4\" "
				     "r=\"6.8\"><title>jemalloc: 1</title></circle>"));
	assert_non_null(strstr(text, "id=\"f-a\""));
	assert_non_null(strstr(text, "color=\"red\""));
	assert_null(strstr(text, "white"));
	assert_null(strstr(text, "<g"));
	assert_null(strstr(text, "f-canvas"));
	assert_null(strstr(text, "M5,5"));
	free(text);
}

/* Curves, and whatever is no tree of tags, stay as they are. */
static void packing_leaves_what_it_cannot_read(void **state)
{
	static const char *const whole[] = { "<svg id=\"f\"><path></svg>",     "<svg id=\"f\"",
					     "<svg id=\"f\"><!-- --></svg>",   "no svg",
					     "<svg id=\"f\"><a b=></a></svg>", "" };
	char *text = packed("<svg id=\"f\"><path d=\"M0,0 C1,1 2,2 3,3\"/>"
			    "<polygon points=\"0,0 1,x\"/></svg>");

	(void)state;
	assert_non_null(strstr(text, "d=\"M0,0 C1,1 2,2 3,3\""));
	assert_non_null(strstr(text, "<polygon points=\"0,0 1,x\""));
	free(text);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		text = packed(whole[i]);
		assert_string_equal(text, whole[i]);
		free(text);
	}
}

static void ticks_have_no_exponents(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = { { 0, "0" },	   { 5e-06, "0.000005" }, { 1e-05, "0.00001" },
		     { 0.0005, "0.0005" }, { 0.25, "0.25" },	  { 1200000, "1.2M" } };
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rh_format_tick(text, sizeof(text), rows[i].value);
		assert_string_equal(text, rows[i].text);
	}
}

static void numbers_read_well(void **state)
{
	static const struct {
		double value;
		const char *number, *bytes;
	} rows[] = {
		{ 0, "0.00", "0 B" },
		{ 1.3149, "1.31", "1 B" },
		{ 12.345, "12.3", "12 B" },
		{ 1023, "1023", "1023 B" },
		{ 0.0512, "0.051", "0 B" },
		{ 2048, "2048", "2.00 KiB" },
		{ 9.996, "10.0", "10 B" },
		{ 3e9, "3.00G", "2.79 GiB" },
		{ 1.25e6, "1.25M", "1.19 MiB" },
		{ 6.16e-5, "0.000062", "0 B" },
	};
	char text[40];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rh_format_number(text, sizeof(text), rows[i].value);
		assert_string_equal(text, rows[i].number);
		rh_format_bytes(text, sizeof(text), rows[i].value);
		assert_string_equal(text, rows[i].bytes);
	}
	rh_format_number(text, sizeof(text), NAN);
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_figure_has_data_in_the_fixture),
		cmocka_unit_test(rows_are_sorted_and_controls_left_out_of_memory),
		cmocka_unit_test(throughput_has_an_ideal_line),
		cmocka_unit_test(percentiles_come_from_names),
		cmocka_unit_test(sizes_are_octaves_and_never_below_the_clock),
		cmocka_unit_test(heat_tiles_the_run_without_overlap),
		cmocka_unit_test(classes_share_a_colour_and_differ_in_dash),
		cmocka_unit_test(tiers_stand_in_the_order_of_the_path),
		cmocka_unit_test(absent_data_is_absent_with_a_reason),
		cmocka_unit_test(xml_is_escaped),
		cmocka_unit_test(tex_prints_what_it_is_given),
		cmocka_unit_test(dressing_makes_ids_its_own),
		cmocka_unit_test(marks_tell_without_a_script),
		cmocka_unit_test(packing_keeps_the_picture),
		cmocka_unit_test(packing_leaves_what_it_cannot_read),
		cmocka_unit_test(ticks_have_no_exponents),
		cmocka_unit_test(numbers_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
