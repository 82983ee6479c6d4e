/*
 * counts.c - the deterministic tier: instructions, simulated cache misses and LOCKed
 * operations per event, of one whole replay under callgrind on each side.
 *
 * The same build on the same machine gives the same instructions again (bit by bit with
 * glibc and tcmalloc, within 0.02 % with allocators that hash addresses or time), so one
 * run on each side decides and a growth of 1 % is a fact. It does not see waiting, interference
 * between cores' caches, page faults or the kernel.
 *
 * With several lanes the scheduler (here valgrind's) decides the order of their operations, and
 * which frees are remote changes slightly. Measured on an Android trace, identical builds of
 * four allocators on two lanes: instructions within 0.15 %, L1D misses 1.4 %, LOCKed operations
 * 1.4 %. Hence 0.5 % for instructions and six times that for the other two.
 *
 * Memory misses of the last level are reported and do not gate (with several threads
 * they vary five-fold). Lanes are run on one CPU: then none spins for another.
 *
 * Beside it the memory system calls are counted, by a tracer (calls.c), and the minor
 * faults of the same replay, by the kernel. An allocator that returns memory by the clock makes
 * different calls each time, so each side is counted twice: the row shows the mean, and the
 * difference between two runs of the same code does not count as one between two codes. Nor do
 * a handful of extra calls (16, or 64 faults): one more arena is one more mmap.
 */
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/progress.h"
#include "ci/gate/gate.h"
#include "ci/gate/calls.h"

enum {
	TIMEOUT_FACTOR = 20, /* of the plain one: valgrind takes its time */
	TWICE = 2,
	CALLS_SLACK = 16,
	FAULTS_SLACK = 64,
};

struct row {
	const char *name, *unit;
	enum rh_callgrind_event first, second; /* added up; the same = one */
	double times;			       /* counts_threshold: limit; 0 = reported only */
	double least;			       /* per event; below it a ratio is ignored */
};

static const struct row rows[] = {
	{ "instructions", "Ir/event", RH_CG_IR, RH_CG_IR, 1, 0 },
	{ "locked", "LOCK operations/event", RH_CG_GE, RH_CG_GE, 6, 0.02 },
	{ "d1-misses", "simulated L1D misses/event", RH_CG_D1MR, RH_CG_D1MW, 6, 0.01 },
	{ "reads", "data reads/event", RH_CG_DR, RH_CG_DR, 0, 0 },
	{ "writes", "data writes/event", RH_CG_DW, RH_CG_DW, 0, 0 },
	{ "ll-misses", "simulated LL misses/event", RH_CG_DLMR, RH_CG_DLMW, 0, 0 },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* Per thousand events; the sum of the calls gates, and the faults. */
static const char memory_calls[] = "memory-calls", minor_faults[] = "minor-faults";
static const char calls_unit[] = "calls/1000 events", faults_unit[] = "faults/1000 events";
enum { CALLS_TIMES = 6, FAULTS_TIMES = 4 };

struct counted { /* of one run of one side */
	struct rh_calls calls;
	uint64_t faults;
};

static void one_cpu(cpu_set_t *kept)
{
	cpu_set_t one;

	sched_getaffinity(0, sizeof(*kept), kept);
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, kept))
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* The grains of the first `events_max` events. */
static uint64_t grains_of(const struct rh_program *program, uint64_t events_max, uint64_t *events)
{
	uint64_t grain = 0;

	*events = 0;
	while (grain < program->head->grains && (!events_max || *events < events_max))
		*events += program->grain_facts[grain++].events;
	return grain;
}

/* All of it, then the drain and a clean exit; the minor faults of the lanes. */
static int replay(struct rh_worker *worker, uint64_t grains, uint64_t *faults, struct rh_err *err)
{
	const struct rh_program_head *head = worker->program->head;
	uint64_t grain = 0, count;

	if (rh_worker_command(worker, RH_CTL_OPEN, err) < 0)
		return -1;
	for (; grain < grains; grain += count) {
		count = rh_ctl_stretch(1, head->grains, head->epoch_grains, grain, grains - grain);
		if (rh_worker_run(worker, grain, count, err) < 0)
			return -1;
		for (uint32_t s = 0; s < head->lanes; s++) {
			const struct rh_ctl_seat *seat = &worker->ctl->seat[s];

			*faults += seat->faults_minor;
			if (seat->alloc_failed)
				return rh_fail(err, RH_INVALID, "%llu allocations failed",
					       (unsigned long long)seat->alloc_failed);
		}
	}
	if (rh_worker_command(worker, RH_CTL_DRAIN, err) < 0)
		return -1;
	return rh_worker_close(worker, err);
}

/* What is counted. */
struct subject {
	const struct rh_gate *gate;
	const struct rh_program *program;
	bool folded;
};

/* One side replayed under another program. */
static int replay_under(const struct subject *of, int which, const char *under, uint64_t *faults,
			struct rh_err *err)
{
	const struct rh_gate *gate = of->gate;
	const struct rh_program *program = of->program;
	struct rh_worker_start how = {
		.spec = gate->side[which].spec,
		.program = program,
		.clock = &gate->clock,
		.copies = 1,
		.replay.touch = gate->config.touch,
		.turn_over = !of->folded,
		.under = under,
		.deadline_ns = rh_now_ns() + TIMEOUT_FACTOR * gate->config.timeout_ns,
	};
	struct rh_worker worker = { .said_fd = -1 };
	uint64_t events;
	cpu_set_t kept;
	int result;

	one_cpu(&kept);
	result = rh_worker_start(&worker, &how, err);
	sched_setaffinity(0, sizeof(kept), &kept);
	if (result == 0)
		result = replay(&worker, grains_of(program, gate->config.events_max, &events),
				faults, err);
	rh_worker_end(&worker);
	return result;
}

static int temporary(char *path, struct rh_err *err)
{
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return rh_fail_errno(err, RH_OS, "%s cannot be created", path);
	close(fd);
	return 0;
}

static int count_side(const struct subject *of, int which, struct rh_callgrind *counts,
		      struct rh_err *err)
{
	char path[] = "/tmp/reheap-counts-XXXXXX", under[2048];
	uint64_t faults = 0;
	int result;

	if (temporary(path, err) < 0)
		return -1;
	result = rh_callgrind_under(under, sizeof(under), path, err);
	if (result == 0)
		result = replay_under(of, which, under, &faults, err);
	if (result == 0)
		result = rh_callgrind_read(counts, path, err);
	unlink(path);
	return result;
}

/* ---- system calls ---- */

static int count_calls(const struct subject *of, int which, struct counted *counted,
		       struct rh_err *err)
{
	char path[] = "/tmp/reheap-calls-XXXXXX", under[2048];
	int result;

	if (temporary(path, err) < 0)
		return -1;
	result = rh_calls_under(under, sizeof(under), path, err);
	if (result == 0)
		result = replay_under(of, which, under, &counted->faults, err);
	if (result == 0)
		result = rh_calls_read(&counted->calls, path, err);
	unlink(path);
	return result;
}

static uint64_t all_calls(const struct rh_calls *calls)
{
	uint64_t sum = 0;

	for (int i = 0; i < RH_CALLS_COUNT; i++)
		sum += calls->count[i];
	return sum;
}

/* value[side][run] is of a whole replay; slack, too. */
static void keep_twice(struct rh_gate_scenario *scenario, struct rh_gate_count row,
		       const uint64_t value[2][TWICE], double slack)
{
	double per = 1000 / (double)(scenario->counted_events ? scenario->counted_events : 1);
	double spread = 0, mean[2];

	for (int s = 0; s < 2; s++) {
		mean[s] = ((double)value[s][0] + (double)value[s][1]) / TWICE;
		spread = fmax(spread, fabs((double)value[s][0] - (double)value[s][1]));
	}
	row.source = "own";
	row.baseline = mean[0] * per;
	row.candidate = mean[1] * per;
	row.slack = (slack + spread) * per;
	scenario->counts[scenario->count_count++] = row;
}

static void keep_calls(struct rh_gate_scenario *scenario, struct counted counted[2][TWICE])
{
	uint64_t value[2][TWICE];

	for (int kind = -1; kind < RH_CALLS_COUNT; kind++) {
		for (int i = 0; i < 2 * TWICE; i++) {
			const struct rh_calls *calls = &counted[i / TWICE][i % TWICE].calls;

			value[i / TWICE][i % TWICE] =
				kind < 0 ? all_calls(calls) : calls->count[kind];
		}
		keep_twice(scenario,
			   (struct rh_gate_count){ .name = kind < 0 ? memory_calls
								    : rh_calls_names[kind],
						   .unit = calls_unit },
			   value, CALLS_SLACK);
	}
	for (int i = 0; i < 2 * TWICE; i++)
		value[i / TWICE][i % TWICE] = counted[i / TWICE][i % TWICE].faults;
	keep_twice(scenario, (struct rh_gate_count){ .name = minor_faults, .unit = faults_unit },
		   value, FAULTS_SLACK);
}

/* -1 when a worker failed; where tracing is impossible the reason is kept. */
static int calls_of(const struct subject *of, struct rh_gate_scenario *scenario, struct rh_err *err)
{
	static const char *const names[] = { "baseline", "candidate" };
	struct counted counted[2][TWICE] = { { { .faults = 0 } } };

	for (int i = 0; i < 2 * TWICE; i++) {
		rh_progress("%s: counting system calls of the %s", scenario->trace,
			    names[i / TWICE]);
		if (count_calls(of, i / TWICE, &counted[i / TWICE][i % TWICE], err) == 0)
			continue;
		if (err->code != RH_ABSENT)
			return rh_err_prefix(err, "%s under the tracer", names[i / TWICE]);
		snprintf(scenario->calls_absent, sizeof(scenario->calls_absent), "%.290s",
			 err->text);
		return 0;
	}
	keep_calls(scenario, counted);
	return 0;
}

/* ---- both ---- */

static void keep(struct rh_gate_scenario *scenario, const struct rh_callgrind counts[2])
{
	for (size_t i = 0; i < ROWS; i++) {
		struct rh_gate_count *row = &scenario->counts[scenario->count_count++];
		double value[2];

		for (int s = 0; s < 2; s++) {
			value[s] = (double)counts[s].total[rows[i].first];
			if (rows[i].second != rows[i].first)
				value[s] += (double)counts[s].total[rows[i].second];
			value[s] /= (double)scenario->counted_events;
		}
		*row = (struct rh_gate_count){ .name = rows[i].name,
					       .unit = rows[i].unit,
					       .source = "sim",
					       .baseline = value[0],
					       .candidate = value[1] };
	}
}

void rh_gate_count(struct rh_gate *gate, struct rh_gate_scenario *scenario,
		   const struct rh_program *program, bool folded)
{
	static const char *const names[] = { "baseline", "candidate" };
	struct rh_callgrind counts[2] = { { .functions = NULL }, { .functions = NULL } };
	const struct subject of = { gate, program, folded };
	struct rh_err err = { 0 };
	int result = 0;

	grains_of(program, gate->config.events_max, &scenario->counted_events);
	for (int s = 0; s < 2 && result == 0; s++) {
		rh_progress("%s: counting instructions of the %s", scenario->trace, names[s]);
		result = count_side(&of, s, &counts[s], &err);
		if (result < 0 && err.code != RH_ABSENT)
			rh_err_prefix(&err, "%s under callgrind", names[s]);
	}
	if (result == 0)
		keep(scenario, counts);
	if (result == 0)
		result = calls_of(&of, scenario, &err);
	if (result < 0)
		snprintf(scenario->counts_absent, sizeof(scenario->counts_absent), "%.290s",
			 err.text);
	for (int s = 0; s < 2; s++)
		rh_callgrind_free(&counts[s]);
}

static double limit_of(const struct rh_gate_config *config, const char *name, double *least)
{
	*least = 0;
	if (strcmp(name, memory_calls) == 0)
		return CALLS_TIMES * config->counts_threshold;
	if (strcmp(name, minor_faults) == 0)
		return FAULTS_TIMES * config->counts_threshold;
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		*least = rows[i].least;
		return rows[i].times * config->counts_threshold;
	}
	return 0;
}

/* Without counts the tier has no verdict: if it was requested, that is not a pass. */
void rh_gate_judge_counts(const struct rh_gate_config *config, struct rh_gate_scenario *scenario)
{
	scenario->counts_verdict = RH_GATE_PASS;
	for (size_t i = 0; i < scenario->count_count; i++) {
		struct rh_gate_count *row = &scenario->counts[i];
		double least;

		row->limit = limit_of(config, row->name, &least);
		row->failed = row->limit > 0 && row->candidate + least - row->slack >
							(row->baseline + least) * (1 + row->limit);
		if (row->failed)
			scenario->counts_verdict = RH_GATE_FAIL;
	}
	if (scenario->count_count == 0 || scenario->counts_absent[0]) {
		scenario->counts_verdict = RH_GATE_INVALID;
		snprintf(scenario->why, sizeof(scenario->why), "deterministic tier: %s",
			 scenario->counts_absent);
	}
}
