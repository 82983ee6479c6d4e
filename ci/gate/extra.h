/*
 * extra.h - the parts around a gate: its options, policy files, git revisions, stored
 * baselines, recomputation, the self-test. Each is in the file of its name.
 *
 * Thread rule: main thread.
 */
#ifndef RH_GATE_EXTRA_H
#define RH_GATE_EXTRA_H

#include "ci/gate/gate.h"

enum { RH_INCONCLUSIVE_EXIT_3, RH_INCONCLUSIVE_PASSES, RH_INCONCLUSIVE_FAILS };

struct rh_gate_opts {
	const char *baseline, *candidate, *metrics, *lanes, *policy, *build, *artifact, *repo,
		*save_baseline, *reference, *recompute, *keep, *output, *junit, *markdown, *smaller,
		*bencher, *plot, *style, *resume, *bisect;
	double threshold, counts_threshold, alpha, improve, slow_by, slow_time, slow_tail,
		slow_memory;
	uint64_t pairs_max, pairs_min, blocks, seed, timeout_ns, events_max, gates, gates_slower,
		memory, budget;
	int tier, touch, inconclusive;
	bool self_test, annotate, no_verify, no_cause, quiet, quiet_ci, gates_slower_given;
};

/* JSON documents whose texts a gate points into. */
struct rh_gate_documents {
	json_t *policy, *result;
	char **traces;
	size_t trace_count;
};
void rh_gate_documents_free(struct rh_gate_documents *documents);

/* ---- policy.c ---- */

#define RH_GATE_METRICS_DEFAULT                                                                \
	"wall,part,rss,faults,startup,image,exit,process,background,files,threads,maps,moved," \
	"children,changes,p99,p99.9,class"
/* "wall,p99=20%" to which metrics gate and at what. */
int rh_gate_read_metrics(struct rh_gate_config *config, const char *text, struct rh_err *err);
/* Traces, thresholds and budgets of a file; settings that the file does not name are kept. */
int rh_gate_read_policy(const struct rh_gate_opts *o, struct rh_gate_config *config,
			struct rh_gate_documents *documents, struct rh_err *err);

/* ---- git.c ---- */

/* Sides named git:REVISION are checked out, built and replaced by the resulting library. Others are
 * unchanged. */
int rh_gate_revisions(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err);
void rh_gate_revisions_end(void);
/* Runs argv in `folder`; its output goes to ours' standard error. */
int rh_gate_run_in(const char *folder, const char *const *argv, struct rh_err *err);
/* The output of a git command; false, and "", when it failed. */
bool rh_gate_read_git(const char *const *argv, char *text, size_t bytes);
/* Where rh_gate_revisions put the candidate, and its build once more, after a checkout there. */
const char *rh_gate_candidate_folder(void);
int rh_gate_build_candidate(const struct rh_gate_opts *o, struct rh_err *err);

/* ---- bisect.c ---- */

/* --bisect GOOD..BAD, or GOOD with BAD among the operands: sets both sides. */
int rh_gate_bisect_sides(struct rh_gate_opts *o, struct rh_gate_config *config, struct rh_err *err);
/* After a FAIL of BAD against GOOD, while the checkouts stand: which commit did it. Fills
 * gate->first_bad. */
int rh_gate_bisect(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err);

/* The library a side's spec names: its sha256, and the revision of the tree it lies in. */
void rh_gate_file_identity(struct rh_gate_side *side);
bool rh_gate_is_dirty(const char *revision);

/* ---- stored.c ---- */

bool rh_gate_is_stored(const struct rh_gate_opts *o);
/* Whether machine and candidate are fit to make a baseline. RH_INVALID on a busy machine (load
 * above its CPUs) and for a library from a tree with uncommitted changes. */
int rh_gate_may_store(const struct rh_gate *gate, struct rh_err *err);
/* Whether the measurement is worth storing. RH_INVALID when it is broken, or its interval is wider
 * than half the threshold. */
int rh_gate_worth_storing(const struct rh_gate *gate, struct rh_err *err);
/* The stored figures of a scenario; RH_NO_BASELINE when there are none that compare. */
int rh_gate_match_stored(const struct rh_gate *gate, struct rh_gate_scenario *scenario,
			 struct rh_err *err);
int rh_gate_stored(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err);

/* ---- resume.c: the file of an interrupted gate, config->resume ---- */

/* Reads the file of an earlier run of the same command; RH_USAGE when it belongs to another command
 * or is not such a file. Does nothing when there is no file. */
int rh_gate_open_kept(struct rh_gate *gate, struct rh_err *err);
/* The kept pairs of a scenario: same trace, same lanes, same way. */
int rh_gate_take_kept(struct rh_gate *gate, struct rh_gate_scenario *scenario, struct rh_err *err);
/* After each pair: all samples so far, whole or not at all. */
int rh_gate_keep(struct rh_gate *gate, struct rh_err *err);
/* A finished gate removes the file. */
void rh_gate_close_kept(struct rh_gate *gate, bool ended);

/* ---- self.c ---- */

int rh_gate_recompute(const struct rh_gate_opts *o, struct rh_gate *gate,
		      struct rh_gate_documents *documents, struct rh_err *err);
/* Prints its report and its last line; gate->exit says what it means. */
int rh_gate_self_test(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err);

#endif
