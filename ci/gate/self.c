/*
 * self.c - the self-test: how often is the gate wrong on this machine? And recomputation.
 *
 * --self-test runs two kinds of gates, one after the other in turn: an allocator against
 * itself, and slow:0% against slow:lag=S% of it (the same code with a wait of S ns for each
 * operation, on the mean: the decorator's own cost is on both sides). S is measured first (slow.c),
 * so that it takes 5 % more *time*; --slow-by gives a share of more operations instead. With
 * --slow-tail it is not the mean that grows: one free in fifty takes so much longer that free.p99
 * is that much more, and latencies alone gate; with --slow-memory so much more is held from the
 * first lane's start to its end. It prints the share of false alarms and of found slow-downs, each
 * with an exact 95 % bound, the time ratio that was really injected, and the seconds a gate takes.
 * With
 * --keep a line per gate, and S, are appended to a file; what is there already is not run again.
 *
 * For gates of identical code each gating metric is counted as well: how many pairs were beyond its
 * margin, and whether it alone would have failed. The expected rate is printed next to it, computed
 * exactly from the share of pairs by the sign test's rule over all looks (decide.c).
 *
 * The injected ratio is the mean over *pairs* (gates weighted by theirs): a gate stops
 * early when its pairs look slow, so the mean over gates would overstate it; the sum over
 * pairs does not (Wald).
 *
 * --recompute judges the samples of a document again. The verdict must be the one stated, else the
 * document was changed or the rule differs: exit 5.
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

enum plant { PLANT_TIME, PLANT_TAIL, PLANT_MEMORY };

/* Of one metric that is decided by pairs or blocks, over all gates of a kind. */
struct tally {
	size_t gates, fails;
	size_t pairs, over; /* beyond the margin; paired metrics */
};

struct score {
	struct tally metric[RH_GATE_METRICS];
	size_t verdicts[RH_GATE_INVALID + 1];
	size_t count;
	double seconds, seconds_most;
	double ratio_logs, pairs; /* ln(ratio) summed over pairs */
};

struct self {
	const struct rh_gate_opts *opts;
	const struct rh_gate *gate;
	const char *backend;
	double target; /* of more time, free.p99, memory; 0 = --slow-by gives operations */
	enum plant plant;
	struct rh_gate_slow slow;
	size_t strangers; /* kept gates of another slow-down */
	FILE *keep;
	struct score score[KINDS];
};

/* ---- bounds ---- */

/* The share p at which `hits` or fewer of n have that probability. */
static double upper_bound(size_t hits, size_t n, double tail)
{
	double low = 0, high = 1;

	for (int i = 0; i < 60 && n; i++) {
		double p = (low + high) / 2, sum = 0;

		for (size_t k = 0; k <= hits; k++)
			sum += exp(lgamma((double)n + 1) - lgamma((double)k + 1) -
				   lgamma((double)(n - k) + 1) + (double)k * log(p) +
				   (double)(n - k) * log1p(-p));
		if (sum > tail)
			low = p;
		else
			high = p;
	}
	return hits >= n ? 1 : high;
}

static double lower_bound(size_t hits, size_t n, double tail)
{
	return 1 - upper_bound(n - hits, n, tail);
}

/* ---- one gate ---- */

/* What is planted, as a knob of slow. */
static const char *knob_of(const struct self *self, char text[32])
{
	if (self->plant == PLANT_TAIL)
		snprintf(text, 32, "late=%.0fns", self->slow.late_ns);
	else if (self->plant == PLANT_MEMORY)
		snprintf(text, 32, "hold=%.0f", self->slow.hold_bytes);
	else
		snprintf(text, 32, "%s%.4g%%", self->target > 0 ? "lag=" : "",
			 100 * self->slow.share);
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

/* The metric in which the plant is. */
static int planted_metric(const struct self *self)
{
	return self->plant == PLANT_TAIL     ? RH_GATE_FREE_P99
	       : self->plant == PLANT_MEMORY ? RH_GATE_RSS
					     : RH_GATE_WALL;
}

/* What each metric says: in a file "wall=3/0,rss=3/1,free.p99=7/7!" are pairs, those beyond the
 * margin, and a failure. */
static void tally(struct score *score, const struct rh_gate *gate, char *text, size_t bytes)
{
	const struct rh_gate_scenario *row = &gate->scenarios[0];
	size_t length = 0;

	text[0] = '\0';
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const struct rh_gate_look *look = &row->result[m].look;
		bool fails = look->verdict == RH_GATE_FAIL;

		if (!gate->config.metric_gates[m] || row->broken || look->pairs == 0)
			continue;
		score->metric[m].gates++;
		score->metric[m].fails += fails;
		score->metric[m].pairs += look->pairs;
		score->metric[m].over += look->pairs_above;
		if (length < bytes)
			length +=
				(size_t)snprintf(text + length, bytes - length, "%s%s=%u/%u%s",
						 length ? "," : "", rh_gate_metric_rows[m].name,
						 look->pairs, look->pairs_above, fails ? "!" : "");
	}
}

static void take_tally(struct score *score, char *text)
{
	char *at = NULL;

	for (char *word = strtok_r(text, ",", &at); word; word = strtok_r(NULL, ",", &at)) {
		char name[32], bang = 0;
		unsigned pairs, over;

		if (sscanf(word, "%31[^=]=%u/%u%c", name, &pairs, &over, &bang) < 3)
			continue;
		for (int m = 0; m < RH_GATE_METRICS; m++)
			if (strcmp(name, rh_gate_metric_rows[m].name) == 0) {
				score->metric[m].gates++;
				score->metric[m].fails += bang == '!';
				score->metric[m].pairs += pairs;
				score->metric[m].over += over;
			}
	}
}

static void keep_line(struct self *self, enum kind kind, const struct rh_gate *gate)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	const struct rh_gate_look *look = &worst->result[planted_metric(self)].look;
	char knob[32], metrics[600];

	count(&self->score[kind], gate->verdict, exp(look->median), look->pairs, gate->seconds);
	tally(&self->score[kind], gate, metrics, sizeof(metrics));
	rh_print(stdout, "gate %zu, %s: %s, ratio %.4f [%.4f, %.4f], %u pairs, %.1f s\n",
		 self->score[kind].count, kind == SAME ? "against itself" : "slowed down",
		 rh_gate_verdict_name(gate->verdict), exp(look->median), exp(look->lo),
		 exp(look->hi), look->pairs, gate->seconds);
	fflush(stdout);
	if (gate->verdict == RH_GATE_INVALID)
		rh_print(stderr, "reheap gate: a gate was not valid: %s\n", worst->why);
	if (!self->keep)
		return;
	rh_print(self->keep, "%s %s %s %.5f %.5f %.5f %u %.2f %s %s\n", kind_names[kind],
		 self->backend, rh_gate_verdict_name(gate->verdict), exp(look->median),
		 exp(look->lo), exp(look->hi), look->pairs, gate->seconds,
		 kind == SLOWER ? knob_of(self, knob) : "-", metrics[0] ? metrics : "-");
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

/* ---- gates already in the file ---- */

/* A line of a file: "same libc pass 1.001 0.99 1.01 3 1.2", "slower ... 1.43%", or
 * "calibrated libc lag=1.43% 1.05 1.046 1.054 32 12.1"; of a tail late=250ns instead, of
 * memory hold=800000, of --slow-by 1.43%. Behind the share ("-" for the same) stands the tally. */
struct kept {
	char kind[16], backend[512], verdict[32], share[32], metrics[600];
	double ratio, lo, hi, seconds;
	unsigned pairs;
};

static void take_line(struct self *self, struct kept *line)
{
	enum kind kind = strcmp(line->kind, kind_names[SAME]) == 0 ? SAME : SLOWER;
	char knob[32];

	if (strcmp(line->kind, "calibrated") == 0) {
		static const char *const words[] = {
			[PLANT_TIME] = "lag=", [PLANT_TAIL] = "late=", [PLANT_MEMORY] = "hold="
		};
		enum plant plant = self->plant;
		const char *word = words[plant];
		double value = strtod(line->verdict + strlen(word), NULL);

		if (self->target > 0 && strncmp(line->verdict, word, strlen(word)) == 0)
			self->slow = (struct rh_gate_slow){
				.share = plant == PLANT_TIME ? value / 100 : 0,
				.late_ns = plant == PLANT_TAIL ? value : 0,
				.hold_bytes = plant == PLANT_MEMORY ? value : 0,
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
	take_tally(&self->score[kind], line->metrics);
}

/* A line cut short by a crash does not count as a gate. */
static void read_kept(struct self *self, const char *path)
{
	FILE *file = fopen(path, "re");
	char text[1024];

	while (file && fgets(text, sizeof(text), file)) {
		struct kept line = { .pairs = 0 };

		if (strchr(text, '\n') &&
		    sscanf(text, "%15s %511s %31s %lf %lf %lf %u %lf %31s %599s", line.kind,
			   line.backend, line.verdict, &line.ratio, &line.lo, &line.hi, &line.pairs,
			   &line.seconds, line.share, line.metrics) >= 8 &&
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

	static int (*const find[])(const struct rh_gate *, const char *, double,
				   struct rh_gate_slow *, struct rh_err *) = {
		[PLANT_TIME] = rh_gate_find_slow,
		[PLANT_TAIL] = rh_gate_find_late,
		[PLANT_MEMORY] = rh_gate_find_hold,
	};

	if (slow->share > 0 || slow->late_ns > 0 || slow->hold_bytes > 0 ||
	    self->opts->gates_slower == 0)
		return 0;
	if (find[self->plant](self->gate, self->backend, self->target, &self->slow, err) < 0)
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
	if (self->plant == PLANT_MEMORY && slow->pairs)
		printf("  memory: %.2f MiB are held, calibrated to %.1f %% more: ratio %.4f "
		       "[%.4f, %.4f], range of %zu pairs, %.0f s\n",
		       slow->hold_bytes / 1048576, 100 * self->target, slow->ratio, slow->lo,
		       slow->hi, slow->pairs, slow->seconds);
	else if (self->plant == PLANT_TAIL && slow->pairs)
		printf("  tail: one free in fifty takes %.0f ns more, calibrated to %.1f %% more "
		       "at the 99th percentile of frees: ratio %.4f [%.4f, %.4f], two errors, "
		       "%zu pairs, %.0f s\n",
		       slow->late_ns, 100 * self->target, slow->ratio, slow->lo, slow->hi,
		       slow->pairs, slow->seconds);
	else if (slow->pairs)
		printf("  slow-down: %.4g ns an operation, calibrated to %.1f %% more time: "
		       "ratio %.4f [%.4f, %.4f], 95 %%, %zu pairs, %.0f s\n",
		       RH_GATE_LAG_NS * slow->share, 100 * self->target, slow->ratio, slow->lo,
		       slow->hi, slow->pairs, slow->seconds);
	else if (slow->share > 0)
		printf("  slow-down: %.4g %% more operations, as given; see the ratio for what "
		       "that is in time\n",
		       100 * slow->share);
}

static void report_kind(const struct score *score, const char *name, enum plant plant)
{
	double n = score->count ? (double)score->count : NAN;

	rh_print(stdout,
		 "  %-16s %zu gates: %zu fail, %zu pass, %zu inconclusive, %zu invalid; "
		 "%s ratio %.4f, %.1f pairs, %.1f s a gate (most %.1f s)\n",
		 name, score->count, score->verdicts[RH_GATE_FAIL], score->verdicts[RH_GATE_PASS],
		 score->verdicts[RH_GATE_INCONCLUSIVE], score->verdicts[RH_GATE_INVALID],
		 plant == PLANT_TAIL	 ? "free.p99"
		 : plant == PLANT_MEMORY ? "rss"
					 : "time",
		 exp(score->ratio_logs / (score->pairs > 0 ? score->pairs : NAN)), score->pairs / n,
		 score->seconds / n, score->seconds_most);
}

/* A row for each metric that gated: how often it failed, with the exact interval at 95 %; and what
 * the share of pairs beyond its margin comes to, at that share and at the end of its interval. */
static void report_metrics(const struct self *self, const struct score *score, const char *kind,
			   const char *what)
{
	bool head = false;

	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const struct tally *row = &score->metric[m];
		bool latency = m >= RH_GATE_LATENCY;
		size_t least = self->gate->config.pairs_min;
		size_t most = latency && !self->gate->config.latency_asked
				      ? RH_GATE_LATENCY_PAIRS_MAX
				      : self->gate->config.pairs_max;
		double p = row->pairs ? (double)row->over / (double)row->pairs : 0;

		if (!row->gates)
			continue;
		if (!head)
			rh_print(stdout, "  %-16s %6s %6s  %-24s %s\n", kind, "gates", what,
				 "rate [95 %]", "pairs beyond the margin, and what follows");
		head = true;
		rh_print(stdout, "    %-14s %6zu %6zu  %6.2f %% [%.2f, %.2f]",
			 rh_gate_metric_rows[m].name, row->gates, row->fails,
			 100.0 * (double)row->fails / (double)row->gates,
			 100 * lower_bound(row->fails, row->gates, 0.025),
			 100 * upper_bound(row->fails, row->gates, 0.025));
		if (m >= RH_GATE_PAIRED)
			printf("    %zu of %zu: %.3f %%, at most %.3f %%", row->over, row->pairs,
			       100 * rh_gate_chance_of_signs(p, rh_gate_pass_tail(m), least, most)
					       .fail,
			       100 * rh_gate_chance_of_signs(
					     upper_bound(row->over, row->pairs, 0.025),
					     rh_gate_pass_tail(m), least, most)
					       .fail);
		fputc('\n', stdout);
	}
}

static void report(const struct self *self)
{
	const struct score *same = &self->score[SAME], *slower = &self->score[SLOWER];
	size_t alarms = same->verdicts[RH_GATE_FAIL], found = slower->verdicts[RH_GATE_FAIL];

	report_slow(self);
	report_kind(same, "against itself", self->plant);
	report_kind(slower, "slowed down", self->plant);
	rh_print(stdout, "  false alarms: %.2f %% (95 %% sure below %.2f %%)\n",
		 same->count ? 100.0 * (double)alarms / (double)same->count : NAN,
		 100 * upper_bound(alarms, same->count, 0.05));
	rh_print(stdout, "  slow-downs found: %.2f %% (95 %% sure above %.2f %%); passed: %zu\n",
		 slower->count ? 100.0 * (double)found / (double)slower->count : NAN,
		 100 * lower_bound(found, slower->count, 0.05), slower->verdicts[RH_GATE_PASS]);
	report_metrics(self, same, "against itself", "failed");
	report_metrics(self, slower, "slowed down", "found");
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

/* A tail is judged by latencies only, because its effect on the mean would be found by the other
 * metrics. */
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
			     .plant = o->slow_tail > 0	   ? PLANT_TAIL
				      : o->slow_memory > 0 ? PLANT_MEMORY
							   : PLANT_TIME,
			     .slow.share = o->slow_by };
	int result;

	if (!gate->config.trace_count)
		return rh_fail(err, RH_USAGE, "--self-test needs a trace");
	if ((o->slow_by > 0) + (o->slow_time > 0) + (self.plant != PLANT_TIME) +
		    (o->slow_tail > 0 && o->slow_memory > 0) >
	    1)
		return rh_fail(err, RH_USAGE,
			       "one of --slow-time, --slow-by, --slow-tail and --slow-memory");
	if (self.plant == PLANT_TAIL && check_tail(&gate->config, err) < 0)
		return -1;
	if (self.plant == PLANT_MEMORY && !gate->config.metric_gates[RH_GATE_RSS])
		return rh_fail(err, RH_USAGE, "--slow-memory is judged by rss: --metrics rss");
	if (!(o->slow_by > 0))
		self.target = self.plant == PLANT_TAIL	   ? o->slow_tail
			      : self.plant == PLANT_MEMORY ? o->slow_memory
			      : o->slow_time > 0	   ? o->slow_time
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
