/*
 * report.h - reports of a gate: for people, for scripts, for CI systems, to a file.
 *
 * Thread rule: one thread. Errors: RH_CANT_CREATE, RH_IO when a file cannot be written,
 * RH_NO_INPUT, RH_BAD_DATA when one cannot be read.
 */
#ifndef RH_GATE_REPORT_H
#define RH_GATE_REPORT_H

#include "ci/gate/gate.h"

/* ---- print.c: a terminal ---- */

void rh_gate_print(const struct rh_gate *gate, FILE *to);
/* One line of a scenario that is finished, while others still run. */
void rh_gate_print_done(const struct rh_gate_scenario *scenario, FILE *to);
/* `REHEAP-GATE verdict=... ratio=... lo=... hi=...`: the last line, of the worst scenario. */
void rh_gate_print_line(const struct rh_gate *gate, FILE *to);
/* All of it in one line: the same words, then the worst scenario and its sentence. */
void rh_gate_print_one_line(const struct rh_gate *gate, FILE *to);

/* "systemui.rht, 2 lanes" */
void rh_gate_scenario_name(const struct rh_gate_scenario *scenario, char *text, size_t bytes);
/* "wall time 5.1 % slower [+4.2 %, +5.9 %]", why it is invalid, ...: one sentence. */
void rh_gate_sentence(const struct rh_gate_scenario *scenario, char *text, size_t bytes);
/* The scenario with the worst verdict, of those the one with the largest wall ratio. */
const struct rh_gate_scenario *rh_gate_worst(const struct rh_gate *gate);

/* ---- json.c: everything, schema reheap.gate/1 ---- */

int rh_gate_write_json(const struct rh_gate *gate, const char *path, struct rh_err *err);
/* Reads a document back into a gate that can be judged and reported, but not run. The document must
 * outlive the gate, which points to its texts. *stored is the verdict it states. */
int rh_gate_read_json(struct rh_gate *gate, const char *path, json_t **document,
		      enum rh_gate_verdict *stored, struct rh_err *err);

/* A text of a document; "" where there is none. */
static inline const char *rh_gate_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* ---- ci.c: formats for CI systems ---- */

/* Writes the output of fill() to the file, whole or not at all. */
int rh_gate_write_by(const struct rh_gate *gate, const char *path, bool append,
		     void (*fill)(const struct rh_gate *, FILE *), struct rh_err *err);
/* "+5.10 % [+4.20 %, +5.90 %], threshold 5.0 %, 3 pairs, 120 blocks" */
void rh_gate_numbers(const struct rh_gate_look *look, double threshold, char *text, size_t bytes);

/* junit.c */
int rh_gate_write_junit(const struct rh_gate *gate, const char *path, struct rh_err *err);
/* At most 60,000 bytes: a comment holds 65,536 characters. Appends when the path is that of
 * GITHUB_STEP_SUMMARY. */
int rh_gate_write_markdown(const struct rh_gate *gate, const char *path, struct rh_err *err);
/* `::error ...` lines for GitHub: the worst first, at most ten. */
void rh_gate_annotate(const struct rh_gate *gate, FILE *to);
/* The array that github-action-benchmark takes as customSmallerIsBetter. */
int rh_gate_write_smaller(const struct rh_gate *gate, const char *path, struct rh_err *err);
int rh_gate_write_bencher(const struct rh_gate *gate, const char *path, struct rh_err *err);

/* ---- figure.c ---- */

/* gate.svg with its .tsv and .gp in dir: every block of every pair, intervals, margin. style: a
 * file of gnuplot commands of the user's, or NULL. */
int rh_gate_plot(const struct rh_gate *gate, const char *dir, const char *style,
		 struct rh_err *err);

#endif
