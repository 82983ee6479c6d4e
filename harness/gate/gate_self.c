/*
 * gate_self.c - the gate gated: how often is it wrong on this machine? And recomputation.
 *
 * --self-test runs two kinds of gates, one after the other in turn: an allocator against
 * itself, and slow:0% against slow:5% of it (the same code with 5 % more operations: the
 * decorator's own cost is on both sides). It prints the share of false alarms and of found
 * slow-downs, each with an exact 95 % bound, and the seconds a gate takes. With --keep a
 * line per gate is appended to a file; what is there already is not run again.
 *
 * --recompute judges the samples of a document again. The verdict must come out as
 * stated, else the document was changed or the rule is another: exit 5.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/command.h"
#include "harness/gate/gate_extra.h"
#include "harness/gate/gate_tell.h"
#include "harness/run/stat.h"

enum kind { SAME, SLOWER, KINDS };

static const char *const kind_names[KINDS] = { "same", "slower" };

struct score {
	size_t verdicts[RH_GATE_INVALID + 1];
	size_t count;
	double seconds, seconds_most, ratio_logs, pairs;
};

struct self {
	const struct rh_gate_opts *opts;
	const struct rh_gate *gate;
	const char *backend;
	double share;			/* of more operations */
	FILE *keep;
	struct score score[KINDS];
};

/* ---- bounds ---- */

/* The share p at which `hits` or fewer of n have probability 0.05. */
static double upper_bound(size_t hits, size_t n)
{
	double low = 0, high = 1;

	for (int i = 0; i < 60 && n; i++) {
		double p = (low + high) / 2, sum = 0;

		for (size_t k = 0; k <= hits; k++)
			sum += exp(lgamma((double)n + 1) - lgamma((double)k + 1) -
				   lgamma((double)(n - k) + 1) + (double)k * log(p) +
				   (double)(n - k) * log1p(-p));
		if (sum > 0.05)
			low = p;
		else
			high = p;
	}
	return hits >= n ? 1 : high;
}

/* ---- one gate ---- */

static void count(struct score *score, enum rh_gate_verdict verdict, double ratio, unsigned pairs,
		  double seconds)
{
	score->verdicts[verdict]++;
	score->count++;
	score->seconds += seconds;
	score->pairs += pairs;
	if (isfinite(ratio) && ratio > 0)
		score->ratio_logs += log(ratio);
	if (seconds > score->seconds_most)
		score->seconds_most = seconds;
}

static void keep_line(struct self *self, enum kind kind, const struct rh_gate *gate)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	const struct rh_gate_look *look = &worst->result[RH_GATE_WALL].look;

	count(&self->score[kind], gate->verdict, exp(look->median), look->pairs, gate->seconds);
	if (gate->verdict == RH_GATE_INVALID)
		fprintf(stderr, "reheap gate: a gate was not valid: %s\n", worst->why);
	if (!self->keep)
		return;
	fprintf(self->keep, "%s %s %s %.5f %.5f %.5f %u %.2f\n", kind_names[kind], self->backend,
		rh_gate_verdict_name(gate->verdict), exp(look->median), exp(look->lo),
		exp(look->hi), look->pairs, gate->seconds);
	fflush(self->keep);
}

static int one_gate(struct self *self, enum kind kind, uint64_t number, struct rh_err *err)
{
	struct rh_gate gate = { .config = self->gate->config, .host = self->gate->host,
				.clock = self->gate->clock };
	char baseline[600], candidate[600];
	int result;

	snprintf(baseline, sizeof(baseline), "%s%s", kind == SAME ? "" : "slow:0%:",
		 self->backend);
	if (kind == SAME)
		snprintf(candidate, sizeof(candidate), "%s", self->backend);
	else
		snprintf(candidate, sizeof(candidate), "slow:%g%%:%s", 100 * self->share,
			 self->backend);
	gate.config.baseline = baseline;
	gate.config.candidate = candidate;
	gate.config.seed += 2 * number + kind;
	gate.config.no_verify |= number > 0;
	result = rh_gate_prepare(&gate, err) < 0 ? -1 : rh_gate_run(&gate, err);
	if (result == 0)
		keep_line(self, kind, &gate);
	rh_gate_free(&gate);
	return result;
}

/* ---- what a file has already ---- */

static void read_kept(struct self *self, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[1024], kind[16], backend[512], verdict[32];
	double ratio, lo, hi, seconds;
	unsigned pairs;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%15s %511s %31s %lf %lf %lf %u %lf", kind, backend, verdict,
			   &ratio, &lo, &hi, &pairs, &seconds) != 8 ||
		    strcmp(backend, self->backend) != 0)
			continue;
		for (int v = RH_GATE_PASS; v <= RH_GATE_INVALID; v++)
			if (strcmp(verdict, rh_gate_verdict_name((enum rh_gate_verdict)v)) == 0)
				count(&self->score[strcmp(kind, kind_names[SAME]) != 0],
				      (enum rh_gate_verdict)v, ratio, pairs, seconds);
	}
	if (file)
		fclose(file);
}

/* ---- the report ---- */

static void report(const struct self *self)
{
	const struct score *same = &self->score[SAME], *slower = &self->score[SLOWER];
	size_t alarms = same->verdicts[RH_GATE_FAIL], found = slower->verdicts[RH_GATE_FAIL];

	printf("self-test on this machine: %s, threshold %.1f %%, slowed down by %.1f %% more "
	       "operations\n", self->backend, 100 * self->gate->config.threshold,
	       100 * self->share);
	for (int k = 0; k < KINDS; k++) {
		const struct score *score = &self->score[k];
		double n = score->count ? (double)score->count : NAN;

		printf("  %-28s %zu gates: %zu fail, %zu pass, %zu inconclusive, %zu invalid; "
		       "ratio %.3f, %.1f pairs, %.1f s a gate (most %.1f s)\n",
		       k == SAME ? "against itself" : "with more operations", score->count,
		       score->verdicts[RH_GATE_FAIL], score->verdicts[RH_GATE_PASS],
		       score->verdicts[RH_GATE_INCONCLUSIVE], score->verdicts[RH_GATE_INVALID],
		       exp(score->ratio_logs / n), score->pairs / n, score->seconds / n,
		       score->seconds_most);
	}
	printf("  false alarms: %.2f %% (95 %% sure below %.2f %%)\n",
	       same->count ? 100.0 * (double)alarms / (double)same->count : NAN,
	       100 * upper_bound(alarms, same->count));
	printf("  slow-downs found: %.2f %% (95 %% sure above %.2f %%); passed: %zu\n",
	       slower->count ? 100.0 * (double)found / (double)slower->count : NAN,
	       100 * (1 - upper_bound(slower->count - found, slower->count)),
	       slower->verdicts[RH_GATE_PASS]);
	printf("REHEAP-GATE verdict=self-test same=%zu alarms=%zu slower=%zu found=%zu "
	       "missed=%zu seconds=%.1f\n", same->count, alarms, slower->count, found,
	       slower->verdicts[RH_GATE_PASS],
	       (same->seconds + slower->seconds) /
	       (double)(same->count + slower->count ? same->count + slower->count : 1));
}

enum rh_exit rh_gate_self_test(const struct rh_gate_opts *o, struct rh_gate *gate,
			       struct rh_err *err)
{
	struct self self = { .opts = o, .gate = gate,
			     .backend = o->candidate ? o->candidate : "libc",
			     .share = o->slow_by > 0 ? o->slow_by : gate->config.threshold };
	int result = 0;

	if (!gate->config.trace_count)
		return rh_fail(err, RH_USAGE, "--self-test needs a trace"), RH_USAGE;
	rh_clock_calibrate(&gate->clock, 0);
	if (o->keep) {
		read_kept(&self, o->keep);
		self.keep = fopen(o->keep, "ae");
		if (!self.keep)
			return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be written", o->keep),
			       RH_CANT_CREATE;
	}
	for (uint64_t n = 0; n < o->gates && result == 0; n++) {
		if (self.score[SAME].count <= n)
			result = one_gate(&self, SAME, n, err);
		if (result == 0 && self.score[SLOWER].count <= n)
			result = one_gate(&self, SLOWER, n, err);
	}
	if (self.keep)
		fclose(self.keep);
	if (result < 0)
		return err->code;
	report(&self);
	/* Proven bad: a false alarm in so few gates, or a slow-down that passed. */
	return self.score[SAME].verdicts[RH_GATE_FAIL] * 100 > self.score[SAME].count ||
	       self.score[SLOWER].verdicts[RH_GATE_PASS] ? RH_FAILED : RH_OK;
}

int rh_gate_recompute(const struct rh_gate_opts *o, struct rh_gate *gate,
		      struct rh_gate_documents *documents, struct rh_err *err)
{
	enum rh_gate_verdict stored;

	gate->config = (struct rh_gate_config){ .quiet = o->quiet };
	if (rh_gate_read_json(gate, o->recompute, &documents->result, &stored, err) < 0)
		return -1;
	rh_gate_judge(gate);
	if (gate->verdict != stored)
		return rh_fail(err, RH_INVALID, "%s states the verdict %s, but its samples say %s: "
			       "it was changed, or judged by another rule", o->recompute,
			       rh_gate_verdict_name(stored), rh_gate_verdict_name(gate->verdict));
	return 0;
}
