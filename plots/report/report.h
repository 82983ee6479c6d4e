/*
 * report.h - DIR/report.html: one self-contained page, verdict first.
 *
 * No script runs, nothing is fetched: style and figures are inline, the result documents lie
 * in <script type="application/json"> for recomputation. Thread rule: one thread.
 */
#ifndef RH_REPORT_H
#define RH_REPORT_H

#include "harness/result/estimate.h"
#include "plots/figure/figure.h"

/* The figures have been written by rh_figure_write. */
int rh_report_write(const struct rh_view *view, const struct rh_figures *figures,
		    const struct rh_draw *draw, struct rh_err *err);

/* The verdict of each scene in words, best first. Plain text, one sentence a line; names from
 * outside as they are. */
void rh_verdict_scene(const struct rh_view *view, size_t scene, FILE *to);
/* "; most of it in frees from other threads (71 % of ...)": where the difference between a style
 * and the baseline lies, as far as timed operations show; "" when they do not. In the pool. */
const char *rh_verdict_cause(const struct rh_view *view, size_t scene, size_t style, bool faster);
/* What another heap is worth to the recorded programs; nothing if no trace can say it. */
void rh_verdict_worth(const struct rh_view *view, FILE *to);
/* One line on slow sizes; nothing if latency by size was not measured. */
void rh_verdict_sizes(const struct rh_figures *figures, FILE *to);
/* All scenes together (geometric means); nothing when there is one. */
void rh_verdict_overall(const struct rh_view *view, FILE *to);

/* report.css of plots_dir as an element <style>; every page of ours has it. */
int rh_report_style(const char *plots_dir, FILE *to, struct rh_err *err);

/* Parts of the page, in its order. */
void rh_report_overview(const struct rh_view *view, FILE *to);
/* The verdict of one scene, as a list. */
void rh_report_scene(const struct rh_view *view, size_t scene, FILE *to);
/* Observations of the real programs next to the predictions; nothing if none ran. */
void rh_report_validation(const struct rh_view *view, FILE *to);
/* The table of one scene. */
void rh_report_metrics(const struct rh_view *view, size_t scene, FILE *to);
void rh_report_provenance(const struct rh_view *view, FILE *to);
void rh_report_warnings(const struct rh_view *view, FILE *to);
void rh_report_documents(const struct rh_view *view, FILE *to);

#endif
