/*
 * run.h - all trials of one replay command.
 *
 * prepare checks every word of the configuration before anything runs; trials compiles
 * and replays; then rh_result_measure condenses. A trial that fails, or a backend that
 * is absent, is part of the result and not an error here.
 * Thread rule: main thread. Errors: RH_USAGE, those of rh_compile, RH_OS.
 */
#ifndef RH_RUN_H
#define RH_RUN_H

#include "alloc/base/cells.h"
#include "harness/result/estimate.h"
#include "harness/result/run_config.h"
#include "harness/result/result.h"

int rh_run_prepare(struct rh_run_config *config, struct rh_result *result, struct rh_err *err);
int rh_run_trials(const struct rh_run_config *config, struct rh_result *result, struct rh_err *err);
void rh_run_config_free(struct rh_run_config *config);

#define RH_LANES_DEFAULT UINT32_MAX /* in lane_list: as recorded, at most one per CPU */

/* warnings.c: what a reader must know about a run, into result->warnings. */
void rh_run_warn(const struct rh_run_config *config, struct rh_result *result);

/* ---- what is printed of a result: table.c calls these ---- */

/* The first trial of every setting (trace, lanes, copies), in the order they ran; places has room
 * for all trials. */
size_t rh_result_places(const struct rh_result *result, const struct rh_trial **places);
/* matrix.c: settings down, backends across. */
void rh_result_print_matrix(const struct rh_result *result, const struct rh_trial **places,
			    size_t count, FILE *to, bool markdown);
/* A metric of bytes to the baseline's, with its interval, paired by repetition. False: one is
 * absent, or 0. */
bool rh_result_ratio(const struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		     const char *metric, struct rh_estimate *out);
/* Whether the intervals show a difference to the baseline. */
enum rh_tone rh_time_tone(const struct rh_result *result, const struct rh_trial *like,
			  uint32_t backend);
enum rh_tone rh_memory_tone(const struct rh_result *result, const struct rh_trial *like,
			    uint32_t backend);
/* fault_cost.c: CPU time of a page fault on this machine; 0 when it cannot be measured. */
double rh_fault_cost_ns(void);
/* table_apart.c: where the time went. */
void rh_result_print_apart(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			   bool markdown);
/* worth.c: what another allocator is worth to the program, a line for each trace that can say it.
 * Whether one could. */
bool rh_result_print_worth(const struct rh_result *result, const struct rh_trial **places,
			   size_t count, FILE *to);
/* choice.c: which backends are faster or slower in one setting, a line above its table. */
void rh_result_print_choice(const struct rh_result *result, const struct rh_trial *like, FILE *to);
/* summary.c: a line for each probe, what could not be measured, and the notes. */
void rh_result_print_summary(const struct rh_result *result, const struct rh_trial **places,
			     size_t count, FILE *to, const struct rh_telling *how);
/* 1536 -> "1.5 KiB" */
void rh_size_text(char *text, size_t text_bytes, double bytes);
/* Time net of the floor for people: "12.3", "< 4.5" where it may be nothing, "noise" where the
 * floor took longer. RH_CELL bytes; without a metric "-". */
void rh_net_cell(char *cell, const struct rh_metric *m);

/* run_trial.c: one worker's life. Fills trial, whose setting is already filled in. Never fails
 * itself: errors become the trial's status. */
void rh_run_trial(const struct rh_run_config *config, struct rh_result *result,
		  struct rh_trial *trial);

/* A separate worker for an own-pass probe (probe.h), after a trial that is ok: the same program,
 * backend and setting. Its findings go into trial->probes and trial->readings; on an error the
 * probe is absent for that backend and the trial stays as it is. */
struct rh_probe;
void rh_run_pass(const struct rh_run_config *config, struct rh_result *result,
		 struct rh_trial *trial, const struct rh_probe *probe, uint32_t pass);

#endif
