/*
 * test_figures.c - figures as data: what is drawn from the fixture, what is left out and why,
 * that rows are sorted and text is escaped, and that dressing an SVG makes its ids its own.
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

#include "harness/command.h"
#include "harness/figure.h"

static void fixture_path(char *path, size_t bytes)
{
	struct rh_err err = { 0 };
	size_t used;

	assert_int_equal(rh_find_part("plots", path, bytes, &err), 0);
	used = strlen(path);
	snprintf(path + used, bytes - used, "/test/fixture.json");
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
	assert_int_equal(figures.count, 12);
	for (size_t i = 0; i < figures.count; i++) {
		const struct rh_figure *figure = &figures.list[i];

		/* the fixture has no latency by kind and no view of the kernel's */
		if (strcmp(figure->name, "latency-kinds") == 0 ||
		    strcmp(figure->name, "blocked") == 0) {
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
	assert_int_equal(figure->series_count, 8);
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
		if (figure->series[i].brand >= 0)
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

static void numbers_read_well(void **state)
{
	static const struct {
		double value;
		const char *number, *bytes;
	} rows[] = {
		{ 0, "0.00", "0 B" },		{ 1.3149, "1.31", "1 B" },
		{ 12.345, "12.3", "12 B" },	{ 1023, "1023", "1023 B" },
		{ 0.0512, "0.051", "0 B" },	{ 2048, "2048", "2.00 KiB" },
		{ 9.996, "10.0", "10 B" },	{ 3e9, "3.00e+09", "2.79 GiB" },
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
		cmocka_unit_test(absent_data_is_absent_with_a_reason),
		cmocka_unit_test(xml_is_escaped),
		cmocka_unit_test(dressing_makes_ids_its_own),
		cmocka_unit_test(numbers_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
