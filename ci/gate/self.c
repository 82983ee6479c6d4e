/*
 * self.c - the gate gated: how often is it wrong on this machine? And recomputation.
 *
 * --self-test runs two kinds of gates, one after the other in turn: an allocator against
 * itself, and slow:0% against slow:S% of it (the same code with S more operations: the
 * decorator's own cost is on both sides). S is measured first (slow.c), so that it
 * takes 5 % more *time*; --slow-by gives it instead. With --slow-tail it is not the mean that
 * grows: one free in fifty takes so long that free.p99 is that much more, and latencies alone gate.
 * It prints the share of false alarms and of found slow-downs, each with an exact 95 % bound, the
 * time ratio that was really injected, and the seconds a gate takes. With --keep a line per gate,
 * and S, are appended to a file; what is there already is not run again.
 *
 * The injected ratio is the mean over *pairs* (gates weighted by theirs): a gate stops
 * early when its pairs look slow, so the mean over gates would overstate it; the sum over
 * pairs does not (Wald).
 *
 * --recompute judges the samples of a document again. The verdict must come out as
 * stated, else the document was changed or the rule is another: exit 5.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/progress.h"
#include "ci/gate/extra.h"
#include "ci/gate/slow.h"
#include "ci/gate/report.h"
#include "harness/result/stat.h"
#include "alloc/base/printable.h"

enum kind { SAME, SLOWER, KINDS };

static const char *const kind_names[KINDS] = { "same", "slower" };

struct score {
	size_t verdicts[RH_GATE_INVALID + 1];
	size_t count;
	double seconds, seconds_most;
	double ratio_logs, pairs; /* ln(ratio) summed over pairs */
};

struct self {
	const struct rh_gate_opts *opts;
	const struct rh_gate *gate;
	const char *backend;
	double target; /* of more time, of more free.p99; 0 = --slow-by gives operations */
	bool tail;
	struct rh_gate_slow slow;
	size_t strangers; /* kept gates of another slow-down */
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

/* What is planted, as a knob of slow. */
static const char *knob_of(const struct self *self, char text[32])
{
	if (self->tail)
		snprintf(text, 32, "late=%.0fns", self->slow.late_ns);
	else
		snprintf(text, 32, "%.4g%%", 100 * self->slow.share);
	return text;
}

static void count(struct score *score, enum rh_gate_verdict verdict, double ratio, unsigned pairs,
		  double seconds)
{
	score->verdicts[verdict]++;
	score->count++;
	score->seconds += seconds;
	score->pairs += pairs;
	if (isfinite(ratio) && ratio > 0)
		score->ratio_logs += log(ratio) * pairs;
	if (seconds > score->seconds_most)
		score->seconds_most = seconds;
}

static void keep_line(struct self *self, enum kind kind, const struct rh_gate *gate)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	const struct rh_gate_look *look =
		&worst->result[self->tail ? RH_GATE_FREE_P99 : RH_GATE_WALL].look;
	char knob[32];

	count(&self->score[kind], gate->verdict, exp(look->median), look->pairs, gate->seconds);
	rh_print(stdout, "gate %zu, %s: %s, ratio %.4f [%.4f, %.4f], %u pairs, %.1f s\n",
		 self->score[kind].count, kind == SAME ? "against itself" : "slowed down",
		 rh_gate_verdict_name(gate->verdict), exp(look->median), exp(look->lo),
		 exp(look->hi), look->pairs, gate->seconds);
	fflush(stdout);
	if (gate->verdict == RH_GATE_INVALID)
		rh_print(stderr, "reheap gate: a gate was not valid: %s\n", worst->why);
	if (!self->keep)
		return;
	rh_print(self->keep, "%s %s %s %.5f %.5f %.5f %u %.2f", kind_names[kind], self->backend,
		 rh_gate_verdict_name(gate->verdict), exp(look->median), exp(look->lo),
		 exp(look->hi), look->pairs, gate->seconds);
	if (kind == SLOWER)
		rh_print(self->keep, " %s", knob_of(self, knob));
	fputc('\n', self->keep);
	fflush(self->keep);
}

static int one_gate(struct self *self, enum kind kind, uint64_t number, struct rh_err *err)
{
	struct rh_gate gate = { .config = self->gate->config,
				.host = self->gate->host,
				.clock = self->gate->clock };
	char baseline[600], candidate[600], knob[32];
	int result;

	snprintf(baseline, sizeof(baseline), "%s%s", kind == SAME ? "" : "slow:0%:", self->backend);
	if (kind == SAME)
		snprintf(candidate, sizeof(candidate), "%s", self->backend);
	else
		snprintf(candidate, sizeof(candidate), "slow:%s:%s", knob_of(self, knob),
			 self->backend);
	gate.config.baseline = baseline;
	gate.config.candidate = candidate;
	gate.config.seed += 2 * number + kind;
	gate.config.no_verify |= number > 0;
	gate.config.resume = NULL;
	result = rh_gate_prepare(&gate, err) < 0 ? -1 : rh_gate_run(&gate, err);
	if (result == 0)
		keep_line(self, kind, &gate);
	rh_gate_free(&gate);
	return result;
}

/* ---- what a file has already ---- */

/* A line of a file: "same libc pass 1.001 0.99 1.01 3 1.2", "slower ... 1.43%", or
 * "calibrated libc 1.43% 1.05 1.046 1.054 32 12.1"; of a tail late=250ns instead of 1.43%. */
struct kept {
	char kind[16], backend[512], verdict[32], share[32];
	double ratio, lo, hi, seconds;
	unsigned pairs;
};

static void take_line(struct self *self, const struct kept *line)
{
	enum kind kind = strcmp(line->kind, kind_names[SAME]) == 0 ? SAME : SLOWER;
	char knob[32];

	if (strcmp(line->kind, "calibrated") == 0) {
		bool is_tail = strncmp(line->verdict, "late=", 5) == 0;

		if (self->target > 0 && is_tail == self->tail)
			self->slow = (struct rh_gate_slow){
				.share = is_tail ? 0 : strtod(line->verdict, NULL) / 100,
				.late_ns = is_tail ? strtod(line->verdict + 5, NULL) : 0,
				.ratio = line->ratio,
				.lo = line->lo,
				.hi = line->hi,
				.pairs = line->pairs,
				.seconds = line->seconds
			};
		return;
	}
	if (kind == SLOWER && strcmp(line->share, knob_of(self, knob)) != 0) {
		self->strangers++;
		return;
	}
	for (int v = RH_GATE_PASS; v <= RH_GATE_INVALID; v++)
		if (strcmp(line->verdict, rh_gate_verdict_name((enum rh_gate_verdict)v)) == 0)
			count(&self->score[kind], (enum rh_gate_verdict)v, line->ratio, line->pairs,
			      line->seconds);
}

/* A line that was cut by a crash is no gate. */
static void read_kept(struct self *self, const char *path)
{
	FILE *file = fopen(path, "re");
	char text[1024];

	while (file && fgets(text, sizeof(text), file)) {
		struct kept line = { .pairs = 0 };

		if (strchr(text, '\n') &&
		    sscanf(text, "%15s %511s %31s %lf %lf %lf %u %lf %31s", line.kind, line.backend,
			   line.verdict, &line.ratio, &line.lo, &line.hi, &line.pairs,
			   &line.seconds, line.share) >= 8 &&
		    strcmp(line.backend, self->backend) == 0)
			take_line(self, &line);
	}
	if (file)
		fclose(file);
	if (self->strangers)
		rh_print(stderr,
			 "reheap gate: %zu gates of another slow-down in %s are not "
			 "counted\n",
			 self->strangers, path);
}

static int open_kept(struct self *self, const char *path, struct rh_err *err)
{
	read_kept(self, path);
	self->keep = fopen(path, "ae");
	return self->keep ? 0 : rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be written", path);
}

/* ---- the slow-down ---- */

static int calibrate(struct self *self, struct rh_err *err)
{
	const struct rh_gate_slow *slow = &self->slow;
	char knob[32];

	if (slow->share > 0 || slow->late_ns > 0 || self->opts->gates_slower == 0)
		return 0;
	if ((self->tail ? rh_gate_find_late : rh_gate_find_slow)(
		    self->gate, self->backend, self->target, &self->slow, err) < 0)
		return -1;
	if (!self->keep)
		return 0;
	rh_print(self->keep, "calibrated %s %s %.5f %.5f %.5f %zu %.2f\n", self->backend,
		 knob_of(self, knob), slow->ratio, slow->lo, slow->hi, slow->pairs, slow->seconds);
	fflush(self->keep);
	return 0;
}

/* ---- the report ---- */

static void report_slow(const struct self *self)
{
	const struct rh_gate_slow *slow = &self->slow;

	rh_print(stdout, "self-test on this machine: %s, threshold %.1f %%\n", self->backend,
		 100 * self->gate->config.threshold);
	if (self->tail && slow->pairs)
		printf("  tail: one free in fifty takes %.0f ns, calibrated to %.1f %% more at the "
		       "99th percentile of frees: ratio %.4f [%.4f, %.4f], two errors, %zu "
		       "pairs, %.0f s\n",
		       slow->late_ns, 100 * self->target, slow->ratio, slow->lo, slow->hi,
		       slow->pairs, slow->seconds);
	else if (slow->pairs)
		printf("  slow-down: %.4g %% more operations, calibrated to %.1f %% more time: "
		       "ratio %.4f [%.4f, %.4f], 95 %%, %zu pairs, %.0f s\n",
		       100 * slow->share, 100 * self->target, slow->ratio, slow->lo, slow->hi,
		       slow->pairs, slow->seconds);
	else if (slow->share > 0)
		printf("  slow-down: %.4g %% more operations, as given; see the ratio for what "
		       "that is in time\n",
		       100 * slow->share);
}

static void report_kind(const struct score *score, const char *name, bool tail)
{
	double n = score->count ? (double)score->count : NAN;

	rh_print(stdout,
		 "  %-16s %zu gates: %zu fail, %zu pass, %zu inconclusive, %zu invalid; "
		 "%s ratio %.4f, %.1f pairs, %.1f s a gate (most %.1f s)\n",
		 name, score->count, score->verdicts[RH_GATE_FAIL], score->verdicts[RH_GATE_PASS],
		 score->verdicts[RH_GATE_INCONCLUSIVE], score->verdicts[RH_GATE_INVALID],
		 tail ? "free.p99" : "time",
		 exp(score->ratio_logs / (score->pairs > 0 ? score->pairs : NAN)), score->pairs / n,
		 score->seconds / n, score->seconds_most);
}

static void report(const struct self *self)
{
	const struct score *same = &self->score[SAME], *slower = &self->score[SLOWER];
	size_t alarms = same->verdicts[RH_GATE_FAIL], found = slower->verdicts[RH_GATE_FAIL];

	report_slow(self);
	report_kind(same, "against itself", self->tail);
	report_kind(slower, "slowed down", self->tail);
	rh_print(stdout, "  false alarms: %.2f %% (95 %% sure below %.2f %%)\n",
		 same->count ? 100.0 * (double)alarms / (double)same->count : NAN,
		 100 * upper_bound(alarms, same->count));
	rh_print(stdout, "  slow-downs found: %.2f %% (95 %% sure above %.2f %%); passed: %zu\n",
		 slower->count ? 100.0 * (double)found / (double)slower->count : NAN,
		 100 * (1 - upper_bound(slower->count - found, slower->count)),
		 slower->verdicts[RH_GATE_PASS]);
}

/* Proven bad: more than 1 % false alarms, or a slow-down that passed. Undecided too often is
 * no proof of anything. */
static enum rh_exit conclude(const struct self *self)
{
	const struct score *same = &self->score[SAME], *slower = &self->score[SLOWER];
	size_t found = slower->verdicts[RH_GATE_FAIL];

	if (same->verdicts[RH_GATE_FAIL] * 100 > same->count || slower->verdicts[RH_GATE_PASS])
		return RH_FAILED;
	if (same->verdicts[RH_GATE_INVALID] || slower->verdicts[RH_GATE_INVALID])
		return RH_INVALID;
	if (same->verdicts[RH_GATE_PASS] * 20 < same->count * 19 || found * 20 < slower->count * 19)
		return RH_INCONCLUSIVE;
	return RH_OK;
}

static void print_line(const struct self *self, enum rh_exit code)
{
	const struct score *same = &self->score[SAME], *slower = &self->score[SLOWER];
	size_t gates = same->count + slower->count;

	printf("REHEAP-GATE verdict=self-test same=%zu alarms=%zu slower=%zu found=%zu "
	       "missed=%zu ratio=%.4f seconds=%.1f exit=%d\n",
	       same->count, same->verdicts[RH_GATE_FAIL], slower->count,
	       slower->verdicts[RH_GATE_FAIL], slower->verdicts[RH_GATE_PASS],
	       exp(slower->ratio_logs / (slower->pairs > 0 ? slower->pairs : NAN)),
	       (same->seconds + slower->seconds) / (double)(gates ? gates : 1), code);
}

static int run_gates(struct self *self, struct rh_err *err)
{
	uint64_t wanted[KINDS] = { self->opts->gates, self->opts->gates_slower };
	int result = 0;

	for (uint64_t n = 0; result == 0 && (n < wanted[SAME] || n < wanted[SLOWER]); n++)
		for (int k = 0; k < KINDS && result == 0; k++)
			if (n < wanted[k] && self->score[k].count <= n)
				result = one_gate(self, (enum kind)k, n, err);
	return result;
}

/* A tail is judged by latencies: what it costs on the mean would be found by the others. */
static int check_tail(const struct rh_gate_config *config, struct rh_err *err)
{
	bool others = false;

	for (int m = 0; m < RH_GATE_LATENCY; m++)
		others |= config->metric_gates[m];
	if (others || !config->metric_gates[RH_GATE_FREE_P99])
		return rh_fail(err, RH_USAGE,
			       "--slow-tail is judged by latencies alone, free.p99 among them: "
			       "--metrics p99");
	return 0;
}

int rh_gate_self_test(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	struct self self = { .opts = o,
			     .gate = gate,
			     .backend = o->candidate ? o->candidate : "libc",
			     .tail = o->slow_tail > 0,
			     .slow.share = o->slow_by };
	int result;

	if (!gate->config.trace_count)
		return rh_fail(err, RH_USAGE, "--self-test needs a trace");
	if ((o->slow_by > 0) + (o->slow_time > 0) + self.tail > 1)
		return rh_fail(err, RH_USAGE, "one of --slow-time, --slow-by and --slow-tail");
	if (self.tail && check_tail(&gate->config, err) < 0)
		return -1;
	if (!(o->slow_by > 0))
		self.target = self.tail		 ? o->slow_tail
			      : o->slow_time > 0 ? o->slow_time
						 : gate->config.threshold;
	rh_clock_calibrate(&gate->clock, 0);
	if (o->keep && open_kept(&self, o->keep, err) < 0)
		return -1;
	result = calibrate(&self, err) < 0 ? -1 : run_gates(&self, err);
	if (self.keep)
		fclose(self.keep);
	if (result < 0)
		return -1;
	rh_progress("%s", "");
	gate->exit = conclude(&self);
	report(&self);
	print_line(&self, gate->exit);
	return 0;
}

int rh_gate_recompute(const struct rh_gate_opts *o, struct rh_gate *gate,
		      struct rh_gate_documents *documents, struct rh_err *err)
{
	enum rh_gate_verdict stored;

	gate->config = (struct rh_gate_config){ .quiet = o->quiet };
	if (rh_gate_read_json(gate, o->recompute, &documents->result, &stored, err) < 0)
		return -1;
	if (gate->unfinished)
		return rh_fail(err, RH_INVALID,
			       "%s is of a gate that was cut: its command goes on "
			       "from it with --resume",
			       o->recompute);
	rh_gate_judge(gate);
	if (gate->verdict != stored)
		return rh_fail(err, RH_INVALID,
			       "%s states the verdict %s, but its samples say %s: "
			       "it was changed, or judged by another rule",
			       o->recompute, rh_gate_verdict_name(stored),
			       rh_gate_verdict_name(gate->verdict));
	return 0;
}
