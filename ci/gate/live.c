/*
 * live.c - see the header.
 */
#include "ci/gate/live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/random.h"
#include "harness/control/latency.h"
#include "harness/result/result.h"
#include "traces/format/event.h"

enum { VERIFY_EVENTS = 4000000, VERIFY_LATE_EVENTS = 500000 };
/* One in four single operations is timed, fewer in long traces: this many samples suffice. */
enum { SAMPLE = 4, SAMPLES_ENOUGH = 150000 };

static const char *const side_names[] = { "baseline", "candidate" };

/* ---- life ---- */

void rh_gate_live_pin(const struct rh_gate_bench *bench, struct rh_gate_pair_row *row,
		      cpu_set_t *kept, uint64_t *random)
{
	unsigned wanted, seen = 0;
	cpu_set_t one;

	row->cpu = UINT32_MAX;
	sched_getaffinity(0, sizeof(*kept), kept);
	if (bench->program->head->lanes > 1)
		return;
	wanted = (unsigned)(rh_random(random) % (unsigned)CPU_COUNT(kept));
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, kept) || seen++ != wanted)
			continue;
		CPU_SET(cpu, &one);
		row->cpu = cpu;
	}
	sched_setaffinity(0, sizeof(one), &one);
}

/* Every command has the whole time limit, however long the pass. */
static void set_deadline(struct rh_gate_live *side)
{
	side->worker.deadline_ns = rh_now_ns() + side->timeout_ns;
}

int rh_gate_live_name(int which, int result, struct rh_err *err)
{
	if (result < 0 && !rh_interrupted)
		rh_err_prefix(err, "%s", side_names[which]);
	return result;
}

int rh_gate_live_start(struct rh_gate_bench *bench, struct rh_gate_live *side, int which,
		       bool verify, struct rh_err *err)
{
	struct rh_gate_side *identity = &bench->side[which];
	struct rh_worker_start how = {
		.spec = identity->spec,
		.program = bench->program,
		.clock = bench->clock,
		.copies = 1,
		.replay.touch = bench->config->touch,
		.turn_over = !bench->folded,
		.replay.verify = verify,
		.deadline_ns = rh_now_ns() + bench->config->timeout_ns,
	};
	const struct rh_program_head *head = bench->program->head;
	struct rh_memory_figures figures = { .rss = RH_NONE };
	uint64_t since = rh_now_ns();
	const struct rh_ctl *ctl;

	if (bench->latency && !verify) {
		how.replay.sample = head->events / SAMPLES_ENOUGH;
		how.replay.sample = how.replay.sample > SAMPLE ? how.replay.sample : SAMPLE;
		how.seed = bench->sample_seed;
		how.area_bytes[RH_AREA_LATENCY] = head->lanes * sizeof(struct rh_latency_lane);
	}
	*side = (struct rh_gate_live){ .timeout_ns = bench->config->timeout_ns, .born_ns = since };
	side->worker.said_fd = side->memory.fd = -1;
	if (rh_worker_start(&side->worker, &how, err) < 0)
		return rh_gate_live_name(which, -1, err);
	side->worker.ctl->keep = 1;
	if (rh_worker_command(&side->worker, RH_CTL_OPEN, err) < 0)
		return rh_gate_live_name(which, -1, err);
	side->startup_ns = rh_now_ns() - since;
	ctl = side->worker.ctl;
	snprintf(identity->malloc_path, sizeof(identity->malloc_path), "%s", ctl->malloc_path);
	snprintf(identity->malloc_build_id, sizeof(identity->malloc_build_id), "%s",
		 ctl->malloc_build_id);
	snprintf(identity->malloc_version, sizeof(identity->malloc_version), "%s",
		 ctl->malloc_version);
	snprintf(identity->heap_path, sizeof(identity->heap_path), "%s", ctl->heap_path);
	snprintf(identity->heap_build_id, sizeof(identity->heap_build_id), "%s",
		 ctl->heap_build_id);
	snprintf(identity->heap_version, sizeof(identity->heap_version), "%s", ctl->heap_version);
	rh_memory_open(&side->memory, side->worker.pid);
	if (side->memory.fd >= 0)
		rh_memory_read_all(&side->memory, &figures);
	side->rss_start = figures.anon;
	side->shared_start = figures.shared;
	side->image_bytes = figures.rss == RH_NONE ? 0 : figures.rss;
	rh_gate_spend(bench, RH_GATE_STARTING, since);
	return 0;
}

/* Entries of a folder of /proc, or lines of a file; 0 = it cannot be read. */
static unsigned count_of(pid_t pid, const char *name)
{
	char path[64], text[4096];
	unsigned count = 0;
	ssize_t length;
	struct dirent *entry;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir) {
		closedir(dir);
		return count;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (length = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < length; i++)
			count += text[i] == '\n';
	if (fd >= 0)
		close(fd);
	return count;
}

int rh_gate_live_close(struct rh_gate_bench *bench, struct rh_gate_live *side, int which,
		       struct rh_err *err)
{
	struct rh_gate_side *identity = &bench->side[which];
	uint64_t since = rh_now_ns();
	int result;

	for (uint32_t l = 0; l < side->worker.ctl->seats; l++)
		side->moved_bytes += side->worker.ctl->seat[l].moved_bytes;
	side->files = count_of(side->worker.pid, "fd");
	side->threads = count_of(side->worker.pid, "task");
	side->maps = count_of(side->worker.pid, "maps");
	set_deadline(side);
	result = rh_worker_command(&side->worker, RH_CTL_DRAIN, err);
	if (result == 0)
		result = rh_worker_close(&side->worker, err);
	side->exit_ns = side->worker.exit_ns;
	side->cpu_ns = side->worker.cpu_ns;
	side->others_cpu_ns = side->worker.others_cpu_ns;
	side->life_ns = since - side->born_ns;
	side->children = side->worker.children;
	side->changed = side->worker.changed;
	identity->changed |= side->changed;
	if (!identity->said[0])
		rh_worker_said(&side->worker, identity->said, sizeof(identity->said));
	rh_gate_spend(bench, RH_GATE_ENDING, since);
	return rh_gate_live_name(which, result, err);
}

int rh_gate_live_start_both(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			    struct rh_err *err)
{
	int first = rh_random(&bench->random) & 1, result;

	for (int s = 0; s < 2; s++)
		side[s] = (struct rh_gate_live){ .worker.said_fd = -1, .memory.fd = -1 };
	bench->sample_seed = rh_random(&bench->random);
	result = rh_gate_live_start(bench, &side[first], first, false, err);
	return result < 0 ? -1 : rh_gate_live_start(bench, &side[!first], !first, false, err);
}

int rh_gate_live_close_both(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			    struct rh_err *err)
{
	int first = rh_random(&bench->random) & 1; /* the second may wait for what it leaves */
	int result = rh_gate_live_close(bench, &side[first], first, err);

	return result < 0 ? -1 : rh_gate_live_close(bench, &side[!first], !first, err);
}

void rh_gate_live_end(struct rh_gate_live *side)
{
	rh_memory_close(&side->memory);
	rh_worker_end(&side->worker);
}

/* ---- a turn ---- */

/* Checks the counts of the trace after a command. */
static int check_turn(const struct rh_gate_live *side, struct rh_err *err)
{
	const struct rh_program *program = side->worker.program;

	for (uint32_t s = 0; s < side->worker.ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &side->worker.ctl->seat[s];
		struct rh_worker_place place;

		if (!seat->alloc_failed)
			continue;
		rh_worker_place_of(program, s, seat->first_failed_op, &place);
		return rh_fail(err, RH_INVALID,
			       "%llu allocations failed, the first at %s: it did less work than "
			       "the trace asks for",
			       (unsigned long long)seat->alloc_failed, place.text);
	}
	return 0;
}

/* What the end of a pass handed to the next. */
static int check_carried(struct rh_gate_live *side, struct rh_err *err)
{
	const struct rh_program *program = side->worker.program;
	const struct rh_grain *last = &program->grain_facts[program->head->grains - 1];
	const struct rh_ctl *ctl = side->worker.ctl;

	if (!side->again)
		return 0;
	side->again = false;
	if (ctl->carried_objects == last->live_objects && ctl->carried_bytes == last->live_bytes)
		return 0;
	return rh_fail(
		err, RH_INVALID,
		"%llu objects of %llu bytes were carried into a pass where the trace has "
		"%llu of %llu",
		(unsigned long long)ctl->carried_objects, (unsigned long long)ctl->carried_bytes,
		(unsigned long long)last->live_objects, (unsigned long long)last->live_bytes);
}

void rh_gate_live_again(struct rh_gate_live *side)
{
	side->again = side->grain == side->worker.program->head->grains;
	side->grain = side->again ? 0 : side->grain;
}

static void send_run(struct rh_gate_live *side, const struct rh_gate_stretch *what)
{
	struct rh_ctl *ctl = side->worker.ctl;

	set_deadline(side);
	ctl->lead = what->lead;
	ctl->batches = what->timed;
	ctl->first = what->first;
	ctl->count = what->count;
	rh_worker_send(&side->worker, RH_CTL_RUN);
}

static int answer_run(struct rh_gate_live *side, const struct rh_gate_stretch *what,
		      struct rh_err *err)
{
	uint64_t first = what->first, count = what->count, lead = what->lead;
	const struct rh_ctl *ctl = side->worker.ctl;
	const struct rh_program_head *head = side->worker.program->head;
	uint64_t words = 0, done = 0;

	if (rh_worker_answer(&side->worker, err) < 0 || check_turn(side, err) < 0 ||
	    check_carried(side, err) < 0)
		return -1;
	for (uint32_t l = 0; l < head->lanes; l++) {
		const uint64_t *table = side->worker.program->grain_table;

		words += table[(first + count) * head->lanes + l] -
			 table[(first - lead) * head->lanes + l];
		done += ctl->seat[l].op_words;
		side->faults += ctl->seat[l].faults_minor;
		side->switches += ctl->seat[l].switches_involuntary;
	}
	side->grain = first + count;
	if (words == done)
		return 0;
	return rh_fail(err, RH_INVALID, "%llu op words were executed where the trace has %llu",
		       (unsigned long long)done, (unsigned long long)words);
}

int rh_gate_live_run(struct rh_gate_live *side, const struct rh_gate_stretch *what,
		     struct rh_err *err)
{
	send_run(side, what);
	return answer_run(side, what, err);
}

int rh_gate_live_run_up(struct rh_gate_live *side, uint64_t to, struct rh_err *err)
{
	const struct rh_program_head *head = side->worker.program->head;

	while (side->grain < to) {
		uint64_t count = rh_ctl_stretch(1, head->grains, head->epoch_grains, side->grain,
						to - side->grain);

		if (rh_gate_live_run(
			    side, &(struct rh_gate_stretch){ .first = side->grain, .count = count },
			    err) < 0)
			return -1;
	}
	return 0;
}

int rh_gate_live_run_out(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			 struct rh_err *err)
{
	int first = rh_random(&bench->random) & 1;

	for (int i = 0; i < 2; i++) {
		int which = i ? !first : first;

		if (rh_gate_live_run_up(&side[which], bench->program->head->grains, err) < 0)
			return rh_gate_live_name(which, -1, err);
		rh_gate_live_memory(&side[which]);
	}
	return 0;
}

int rh_gate_live_drain(struct rh_gate_live *side, struct rh_err *err)
{
	const struct rh_program *program = side->worker.program;
	const struct rh_ctl *ctl = side->worker.ctl;
	const struct rh_grain *last = &program->grain_facts[program->head->grains - 1];

	set_deadline(side);
	if (rh_worker_command(&side->worker, RH_CTL_DRAIN, err) < 0)
		return -1;
	side->grain = 0;
	if (ctl->drained_objects == last->live_objects && ctl->drained_bytes == last->live_bytes)
		return 0;
	return rh_fail(
		err, RH_INVALID,
		"the drain found %llu objects of %llu bytes where the trace has %llu of "
		"%llu",
		(unsigned long long)ctl->drained_objects, (unsigned long long)ctl->drained_bytes,
		(unsigned long long)last->live_objects, (unsigned long long)last->live_bytes);
}

/* Median and 99th percentile of the batches of all lanes. */
static void read_batches(const struct rh_ctl *ctl, struct rh_gate_turn *turn)
{
	size_t count = 0, at = 0;
	double *all;

	for (uint32_t s = 0; s < ctl->seats; s++)
		count += ctl->seat[s].batch_count;
	all = calloc(count + 1, sizeof(*all));
	for (uint32_t s = 0; all && s < ctl->seats; s++)
		for (uint32_t b = 0; b < ctl->seat[s].batch_count; b++)
			all[at++] = ctl->seat[s].batch_ticks[b] + 1.0;
	rh_stat_sort(all, at);
	turn->median = rh_stat_median(all, at);
	turn->p99 = at ? all[(at * 99 + 99) / 100 - 1] : NAN;
	free(all);
}

/* Share of the lanes' time in which one could have run and did not. By run delay where the kernel
 * reports it: a lane that is woken by another and then has to queue for a CPU is late, and its CPU
 * time does not show it, because it was waiting all the time. */
static double lateness(const struct rh_gate_bench *bench, const struct rh_ctl *ctl)
{
	double lanes_ns = 0, busy_ns = 0, delay_ns = 0, away_ns = 0;

	for (uint32_t s = 0; s < ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];

		lanes_ns += (double)(seat->end_ticks - seat->start_ticks);
		busy_ns +=
			(double)(seat->end_ticks - seat->start_ticks) - (double)seat->blocked_ticks;
		away_ns -= (double)seat->cpu_ns;
		delay_ns += seat->run_delay_ns == RH_NONE ? NAN : (double)seat->run_delay_ns;
	}
	lanes_ns *= bench->clock->ns_per_tick;
	busy_ns *= bench->clock->ns_per_tick;
	away_ns += busy_ns;
	if (isfinite(delay_ns))
		return lanes_ns > 0 ? fmin(delay_ns / lanes_ns, 1) : 0;
	return busy_ns > 0 && away_ns > 0 ? fmin(away_ns / busy_ns, 1) : 0;
}

void rh_gate_live_turn(const struct rh_gate_bench *bench, struct rh_gate_live *side,
		       struct rh_gate_turn *turn)
{
	const struct rh_ctl *ctl = side->worker.ctl;
	uint64_t first = UINT64_MAX, last = 0;

	*turn = (struct rh_gate_turn){ .late = lateness(bench, ctl) };
	for (uint32_t s = 0; s < ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];

		if (seat->start_ticks < first)
			first = seat->start_ticks;
		if (seat->end_ticks > last)
			last = seat->end_ticks;
		turn->cpu += (double)seat->cpu_ns;
	}
	turn->wall = (double)(last - first);
	side->wall_ns += turn->wall * bench->clock->ns_per_tick;
	read_batches(ctl, turn);
}

void rh_gate_live_memory(struct rh_gate_live *side)
{
	struct rh_memory_figures figures;
	uint64_t now;

	if (side->memory.fd < 0)
		return;
	rh_memory_read_all(&side->memory, &figures);
	now = figures.anon;
	if (now == RH_NONE)
		return;
	/* a heap may lie in shared mappings, too */
	if (figures.shared != RH_NONE && figures.shared > side->shared_start)
		now += figures.shared - side->shared_start;
	side->rss_peak = now > side->rss_peak ? now : side->rss_peak;
	if (side->grain == side->worker.program->head->grains)
		side->rss_kept = now;
}

void rh_gate_live_memory_both(struct rh_gate_bench *bench, struct rh_gate_live side[2])
{
	int first = rh_random(&bench->random) & 1;

	rh_gate_live_memory(&side[first]);
	rh_gate_live_memory(&side[!first]);
}

/* ---- what is kept ---- */

static double log_ratio(double baseline, double candidate)
{
	return log(candidate > 0 ? candidate : 1) - log(baseline > 0 ? baseline : 1);
}

void rh_gate_block_of(struct rh_gate_turn turn[2][2], struct rh_gate_block *block)
{
	for (int u = 0; u < 2; u++) {
		const struct rh_gate_turn *a = &turn[0][u], *b = &turn[1][u];

		block->d[RH_GATE_WALL] += log_ratio(a->wall, b->wall) / 2;
		block->d[RH_GATE_CPU] += log_ratio(a->cpu, b->cpu) / 2;
		block->d[RH_GATE_MEDIAN] += log_ratio(a->median, b->median) / 2;
		block->d[RH_GATE_P99] += log_ratio(a->p99, b->p99) / 2;
		block->late[0] = fmax(block->late[0], a->late);
		block->late[1] = fmax(block->late[1], b->late);
	}
}

void rh_gate_live_keep(struct rh_gate_scenario *scenario, const struct rh_gate_live side[2],
		       struct rh_gate_pair_row *row)
{
	uint64_t base =
		side[0].rss_start < side[1].rss_start ? side[0].rss_start : side[1].rss_start;
	uint64_t life = side[0].life_ns < side[1].life_ns ? side[0].life_ns : side[1].life_ns;

	for (int s = 0; s < 2; s++) {
		const struct rh_gate_live *one = &side[s];

		row->value[s][RH_GATE_RSS] =
			one->rss_peak > base ? (double)(one->rss_peak - base) : 0;
		row->value[s][RH_GATE_FAULTS] = (double)one->faults;
		row->value[s][RH_GATE_STARTUP] = (double)one->startup_ns;
		row->value[s][RH_GATE_IMAGE] = (double)one->image_bytes;
		row->value[s][RH_GATE_END] = (double)one->exit_ns;
		row->value[s][RH_GATE_PROCESS] = (double)one->cpu_ns;
		/* their share of the time that both lived: 5 % of a CPU are 5 % more */
		row->value[s][RH_GATE_BACKGROUND] = (double)(life + one->others_cpu_ns);
		row->value[s][RH_GATE_FILES] = one->files;
		row->value[s][RH_GATE_THREADS] = one->threads;
		row->value[s][RH_GATE_MAPS] = one->maps;
		row->value[s][RH_GATE_MOVED] = (double)one->moved_bytes;
		row->value[s][RH_GATE_CHILDREN] = one->children;
		if (!(row->value[s][RH_GATE_PART] > 0))
			row->value[s][RH_GATE_PART] = 1; /* a pair of a single block */
		row->value[s][RH_GATE_CHANGES] = __builtin_popcount(one->changed);
		row->kept[s] = one->rss_kept > base ? one->rss_kept - base : 0;
		row->ns_per_event[s] = one->events ? one->wall_ns / (double)one->events : 0;
		row->switches[s] = one->switches;
	}
	*(struct rh_gate_pair_row *)rh_grow(&scenario->pairs, &scenario->pair_count, sizeof(*row)) =
		*row;
}

/* ---- verification ---- */

/* An epoch of every side in the list, at once where they are two. */
static int verify_epoch(struct rh_gate_live *side, const int *list, int count, uint64_t to,
			struct rh_err *err)
{
	const struct rh_program_head *head = side[list[0]].worker.program->head;
	uint64_t first = side[list[0]].grain;
	struct rh_gate_stretch what = {
		.first = first,
		.count = rh_ctl_stretch(1, head->grains, head->epoch_grains, first, to - first),
	};
	int result = 0;

	for (int i = 0; i < count; i++)
		send_run(&side[list[i]], &what);
	for (int i = 0; i < count && result == 0; i++)
		result = rh_gate_live_name(list[i], answer_run(&side[list[i]], &what, err), err);
	return result;
}

static int verify(struct rh_gate_bench *bench, const int *list, int count, struct rh_err *err)
{
	const struct rh_program *program = bench->program;
	struct rh_gate_live side[2] = { { .memory = { .fd = -1 } }, { .memory = { .fd = -1 } } };
	uint64_t grain = 0, events = 0;
	int result = 0;

	while (grain < program->head->grains && events < VERIFY_EVENTS)
		events += program->grain_facts[grain++].events;
	for (int s = 0; s < 2; s++)
		side[s].worker.said_fd = -1;
	for (int i = 0; i < count && result == 0; i++)
		result = rh_gate_live_start(bench, &side[list[i]], list[i], true, err);
	while (result == 0 && side[list[0]].grain < grain)
		result = verify_epoch(side, list, count, grain, err);
	for (int i = 0; i < count && result == 0 && grain == program->head->grains; i++)
		result = rh_gate_live_name(list[i], rh_gate_live_drain(&side[list[i]], err), err);
	for (int i = 0; i < count && result == 0; i++)
		result = rh_gate_live_close(bench, &side[list[i]], list[i], err);
	for (int s = 0; s < 2; s++)
		rh_gate_live_end(&side[s]);
	return result;
}

/* The first drain is of the passes; what is checked then is drained, and checked, at the end. */
int rh_gate_verify_late(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			struct rh_err *err)
{
	static const int both[2] = { 0, 1 };
	const struct rh_program *program = bench->program;
	uint64_t since = rh_now_ns(), faults[2] = { side[0].faults, side[1].faults };
	uint64_t grain = 0, events = 0;
	int result = 0;

	while (grain < program->head->grains && events < VERIFY_LATE_EVENTS)
		events += program->grain_facts[grain++].events;
	for (int s = 0; s < 2 && result == 0; s++) {
		set_deadline(&side[s]);
		result = rh_gate_live_name(s, rh_worker_command(&side[s].worker, RH_CTL_DRAIN, err),
					   err);
		side[s].grain = 0;
		side[s].worker.ctl->replay.verify = true;
	}
	while (result == 0 && side[0].grain < grain)
		result = verify_epoch(side, both, 2, grain, err);
	if (result < 0 && !rh_interrupted)
		rh_err_prefix(err, "checked in a heap that was in use for a while");
	for (int s = 0; s < 2; s++)
		side[s].faults = faults[s];
	rh_gate_spend(bench, RH_GATE_VERIFYING, since);
	return result;
}

int rh_gate_verify(struct rh_gate_bench *bench, bool at_once, struct rh_err *err)
{
	static const int both[2] = { 0, 1 };

	if (at_once)
		return verify(bench, both, 2, err);
	return verify(bench, &both[0], 1, err) < 0 ? -1 : verify(bench, &both[1], 1, err);
}
