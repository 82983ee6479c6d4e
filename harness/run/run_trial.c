/*
 * run_trial.c - one worker's life, as numbers.
 *
 *	start, OPEN | memory | PREROLL (copies) | RUN, memory, RUN, memory ... | later passes:
 *	RUN, memory ... | STATS | DRAIN | memory | CLOSE
 *
 * Probes (probe.h) are asked between these steps. A probe that changes what runs gets a life
 * of its own (rh_run_pass), of which the trial keeps only what the probe says.
 *
 * Segments never cross an epoch or the wrap of a copy. Their length is a compromise: the
 * memory curve wants many, but each edge is a barrier that makes lanes wait for the
 * slowest and costs about 0.1 ms outside the timing. One lane gets about 64 segments of at
 * least 16 k events, several lanes get at least 64 k events (1 ms and more per lane). Copies are
 * at different places of the program, so their segments differ in length and the shorter one
 * idles: with 12 segments two copies keep two CPUs 80 % busy and look 1.7 times as fast as one,
 * with 4 segments 97 % and 1.96 times. So copies get 4.
 *
 * With one copy a segment ends at the peak of live bytes, to the grain: a short program has one
 * segment, and at its end a heap that unmaps looks as if it had never held the live bytes (libc
 * 508 KiB for a program of 604 KiB live, 0.39 MiB for one of 1.2).
 *
 * Everything that a trial says of one pass refers to the first: --passes 5 and --passes 1 agree
 * there. Probes that ride along end with it. The blocks that a pass carries into the next must
 * be those that the trace says live at its end.
 *
 * After the last segment the cheap checks run: every op word was executed, no allocation failed,
 * and the drain found live what the trace says is live. A trial that did less work than recorded
 * is not comparable and counts as failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/control/pace.h"
#include "harness/probe/probe.h"
#include "harness/probe/probe_memory.h"
#include "harness/run/run.h"
#include "traces/format/event.h"

enum {
	SEGMENTS_WANTED = 64,
	SEGMENTS_WANTED_COPIES = 4,
	SEGMENT_EVENTS_MIN = 16384,
	SEGMENT_EVENTS_MIN_LANES = 65536,
	TIMEOUT_BASE_S = 60,
	TIMEOUT_EVENT_NS = 2000,
};

struct trial_run {
	const struct rh_run_config *config;
	struct rh_result *result;
	struct rh_trial *trial;
	const struct rh_run_program *program;
	struct rh_worker worker;
	struct rh_memory_probe memory;
	const struct rh_probe *own_pass; /* NULL: the trial's own life */
	uint32_t pass;			 /* which own pass of this rep */
	struct rh_probe_set *probes;
	uint64_t grains; /* virtual: where this life ends */
	uint64_t fullest;
};

static uint64_t segment_grains(const struct trial_run *run)
{
	const struct rh_program_head *head = run->program->program.head;
	uint64_t grain_events = head->grains ? head->events / head->grains : 1;
	uint64_t want = run->config->segment_events;
	uint64_t wanted = run->trial->copies > 1 ? SEGMENTS_WANTED_COPIES : SEGMENTS_WANTED;
	uint64_t least = head->lanes * run->trial->copies > 1 ? SEGMENT_EVENTS_MIN_LANES
							      : SEGMENT_EVENTS_MIN;

	if (!want)
		want = head->events / wanted;
	if (!run->config->segment_events && want < least)
		want = least;
	if (!grain_events)
		grain_events = 1;
	return want > grain_events ? want / grain_events : 1;
}

/* Adds up what the program says of virtual grains [v, v + count), over all copies. */
static void facts_of(const struct trial_run *run, uint64_t v, uint64_t count,
		     struct rh_segment *segment)
{
	const struct rh_program_head *head = run->program->program.head;
	const struct rh_grain *facts = run->program->program.grain_facts;

	for (uint32_t k = 0; k < run->trial->copies; k++) {
		uint64_t grain = rh_ctl_grain(k, run->trial->copies, head->grains, v);

		for (uint64_t g = grain; g < grain + count; g++) {
			segment->events += facts[g].events;
			segment->spawns += facts[g].spawns;
			segment->calls += facts[g].calls;
		}
		segment->live_bytes += facts[grain + count - 1].live_bytes;
		segment->live_objects += facts[grain + count - 1].live_objects;
		segment->live_tasks += facts[grain + count - 1].live_tasks;
		segment->stack_bytes += facts[grain + count - 1].stack_bytes;
	}
}

/* The number of virtual grains that hold the first `events` events of all copies; 0 = all. */
static uint64_t grains_until(const struct trial_run *run, uint64_t events_max)
{
	const struct rh_program_head *head = run->program->program.head;
	uint64_t v = 0;
	struct rh_segment so_far = { 0 };

	if (!events_max)
		return head->grains;
	while (v < head->grains && so_far.events < events_max)
		facts_of(run, v++, 1, &so_far);
	return v;
}

static uint64_t to_ns(const struct trial_run *run, uint64_t ticks)
{
	return (uint64_t)((double)ticks * run->result->clock.ns_per_tick + 0.5);
}

/* Adds up the seats. */
static void read_seats(const struct trial_run *run, struct rh_segment *segment,
		       struct rh_trial_pass *pass)
{
	const struct rh_ctl *ctl = run->worker.ctl;
	uint64_t start = UINT64_MAX, end = 0;

	for (uint32_t s = 0; s < ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];

		if (seat->start_ticks < start)
			start = seat->start_ticks;
		if (seat->end_ticks > end)
			end = seat->end_ticks;
		segment->cpu_ns += seat->cpu_ns;
		segment->faults_minor += seat->faults_minor;
		segment->faults_major += seat->faults_major;
		segment->switches_voluntary += seat->switches_voluntary;
		segment->switches_involuntary += seat->switches_involuntary;
		pass->waits += seat->waits;
		pass->blocked += seat->blocked;
		pass->blocked_ns += to_ns(run, seat->blocked_ticks);
		pass->slept_ns += to_ns(run, seat->slept_ticks);
		pass->kernel_ns += seat->kernel_ns;
		pass->run_delay_ns = pass->run_delay_ns == RH_NONE || seat->run_delay_ns == RH_NONE
					     ? RH_NONE
					     : pass->run_delay_ns + seat->run_delay_ns;
		run->trial->alloc_failed += seat->alloc_failed;
	}
	segment->wall_ns = to_ns(run, end - start);
	for (uint32_t s = 0; s < ctl->seats; s++)
		pass->idle_ns +=
			to_ns(run, ctl->seat[s].start_ticks - start + end - ctl->seat[s].end_ticks);
	segment->live_bytes += ctl->kept_bytes;
	segment->live_objects += ctl->kept_objects;
	segment->live_tasks += ctl->kept_tasks;
}

static uint64_t more_of(uint64_t a, uint64_t b)
{
	return a == RH_NONE || (b != RH_NONE && b > a) ? b : a;
}

/* Adds a finished segment to its pass. */
static void add_to_pass(const struct trial_run *run, const struct rh_segment *segment,
			struct rh_trial_pass *pass)
{
	pass->events += segment->events;
	pass->wall_ns += segment->wall_ns;
	pass->cpu_ns += segment->cpu_ns;
	pass->faults_minor += segment->faults_minor;
	pass->faults_major += segment->faults_major;
	pass->anon_peak = more_of(pass->anon_peak, segment->anon_most);
	pass->anon_end = segment->anon_bytes;
	pass->live_peak = more_of(pass->live_peak, segment->live_bytes);
	pass->live_end = segment->live_bytes;
	pass->carried_objects += run->worker.ctl->carried_objects;
	pass->carried_bytes += run->worker.ctl->carried_bytes;
}

/* The first allocation that failed, in words. */
static void note_first_failure(struct trial_run *run)
{
	const struct rh_ctl *ctl = run->worker.ctl;
	struct rh_worker_place *place = &run->trial->died_at;
	const struct rh_program *program = &run->program->program;

	for (uint32_t s = 0; s < ctl->seats && !place->known; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];

		if (!seat->alloc_failed)
			continue;
		rh_worker_place_of(program, s, seat->first_failed_op, place);
	}
}

static void read_memory(const struct trial_run *run, struct rh_segment *segment)
{
	struct rh_memory_figures figures;

	rh_memory_read_all(&run->memory, &figures);
	segment->anon_bytes = figures.anon;
	segment->anon_most = figures.most;
	segment->pss_bytes = figures.pss;
	segment->huge_bytes = figures.huge;
	segment->mapped_bytes = figures.mapped;
}

/* The grain at whose end most bytes are live; the first of several. */
static uint64_t fullest_grain(const struct rh_program *program)
{
	uint64_t fullest = 0;

	for (uint64_t g = 1; g < program->head->grains; g++) {
		if (program->grain_facts[g].live_bytes > program->grain_facts[fullest].live_bytes)
			fullest = g;
	}
	return fullest;
}

/* How many of `count` grains from v on a segment takes: up to the fullest, if it is among them. */
static uint64_t until_fullest(const struct trial_run *run, uint64_t v, uint64_t count)
{
	uint64_t end = run->fullest + 1;

	if (run->trial->copies > 1 || run->config->segment_events || end <= v || end >= v + count)
		return count;
	return end - v;
}

/* One segment from virtual grain *at on, which moves past it. */
static int run_segment(struct trial_run *run, uint64_t *at, struct rh_segment *segment,
		       struct rh_trial_pass *pass, struct rh_err *err)
{
	const struct rh_program_head *head = run->program->program.head;
	uint64_t failed = run->trial->alloc_failed, want = segment_grains(run), v = *at, count;

	count = rh_ctl_stretch(run->trial->copies, head->grains, head->epoch_grains, v,
			       want < run->grains - v ? want : run->grains - v);
	count = until_fullest(run, v, count);
	*segment = (struct rh_segment){ .reserved_bytes = RH_NONE };
	if (rh_worker_run(&run->worker, v, count, err) < 0)
		return -1;
	facts_of(run, v, count, segment);
	read_seats(run, segment, pass);
	if (run->trial->alloc_failed > failed)
		note_first_failure(run);
	read_memory(run, segment);
	add_to_pass(run, segment, pass);
	segment->event_last = pass->events;
	*at = v + count;
	return 0;
}

static struct rh_trial_pass *next_pass(struct rh_trial *trial)
{
	struct rh_trial_pass *pass = rh_grow(&trial->passes, &trial->pass_count, sizeof(*pass));

	pass->anon_peak = pass->anon_end = pass->live_peak = RH_NONE;
	return pass;
}

/* The trial's own figures are those of this pass. */
static int run_first_pass(struct trial_run *run, struct rh_err *err)
{
	struct rh_trial *trial = run->trial;
	struct rh_trial_pass *pass = next_pass(trial);
	struct rh_segment segment;

	for (uint64_t v = 0; v < run->grains;) {
		if (run_segment(run, &v, &segment, pass, err) < 0)
			return -1;
		*(struct rh_segment *)rh_grow(&trial->segments, &trial->segment_count,
					      sizeof(segment)) = segment;
		trial->events = pass->events;
		trial->wall_ns = pass->wall_ns;
		trial->cpu_ns = pass->cpu_ns;
		trial->waits = pass->waits;
		trial->blocked = pass->blocked;
		trial->blocked_ns = pass->blocked_ns;
		rh_probes_segment(run->probes, &trial->segments[trial->segment_count - 1]);
	}
	return 0;
}

static int check_carried(const struct trial_run *run, const struct rh_trial_pass *pass,
			 struct rh_err *err)
{
	const struct rh_program_head *head = run->program->program.head;
	const struct rh_grain *last = &run->program->program.grain_facts[head->grains - 1];

	if (pass->carried_objects == last->live_objects * run->trial->copies &&
	    pass->carried_bytes == last->live_bytes * run->trial->copies)
		return 0;
	return rh_fail(err, RH_BUG,
		       "%llu objects of %llu bytes were carried into a pass, the trace says %llu "
		       "of %llu",
		       (unsigned long long)pass->carried_objects,
		       (unsigned long long)pass->carried_bytes,
		       (unsigned long long)(last->live_objects * run->trial->copies),
		       (unsigned long long)(last->live_bytes * run->trial->copies));
}

static bool several_passes(const struct trial_run *run)
{
	return !run->own_pass && (run->config->for_ns || run->config->passes > 1);
}

static int run_later_passes(struct trial_run *run, uint64_t since_ns, struct rh_err *err)
{
	const struct rh_run_config *config = run->config;

	for (uint64_t p = 1;
	     config->for_ns ? p < 2 || rh_now_ns() - since_ns < config->for_ns : p < config->passes;
	     p++) {
		struct rh_trial_pass *pass = next_pass(run->trial);
		struct rh_segment segment;

		for (uint64_t v = 0; v < run->grains;)
			if (run_segment(run, &v, &segment, pass, err) < 0)
				return -1;
		if (run->grains && check_carried(run, pass, err) < 0)
			return -1;
	}
	return 0;
}

/* What must be live at the end: copy k stands run->grains after its start. When that is the whole
 * program, this is where it started, and for the first copy the end. */
static int check_drained(const struct trial_run *run, struct rh_err *err)
{
	const struct rh_program_head *head = run->program->program.head;
	const struct rh_grain *facts = run->program->program.grain_facts;
	const struct rh_ctl *ctl = run->worker.ctl;
	uint64_t objects = 0, bytes = 0;

	for (uint32_t k = 0; k < run->trial->copies && head->grains; k++) {
		uint64_t last = rh_ctl_grain(k, run->trial->copies, head->grains, run->grains - 1);

		objects += facts[last].live_objects;
		bytes += facts[last].live_bytes;
	}
	if (objects == ctl->drained_objects && bytes == ctl->drained_bytes)
		return 0;
	return rh_fail(err, RH_BUG,
		       "the drain found %llu objects of %llu bytes live, the trace says "
		       "%llu of %llu",
		       (unsigned long long)ctl->drained_objects,
		       (unsigned long long)ctl->drained_bytes, (unsigned long long)objects,
		       (unsigned long long)bytes);
}

static void keep_stats(struct trial_run *run)
{
	const struct rh_ctl *ctl = run->worker.ctl;

	for (uint32_t i = 0; i < ctl->stat_count && i < RH_CTL_STATS_MAX; i++) {
		struct rh_ctl_stat *row =
			rh_grow(&run->trial->stats, &run->trial->stat_count, sizeof(*row));

		*row = ctl->stats[i];
	}
}

static void keep_identity(const struct trial_run *run)
{
	struct rh_run_backend *backend = &run->result->backends[run->trial->backend];
	const struct rh_ctl *ctl = run->worker.ctl;

	memcpy(backend->malloc_path, ctl->malloc_path, sizeof(backend->malloc_path));
	memcpy(backend->malloc_build_id, ctl->malloc_build_id, sizeof(backend->malloc_build_id));
	memcpy(backend->malloc_version, ctl->malloc_version, sizeof(backend->malloc_version));
	memcpy(backend->heap_path, ctl->heap_path, sizeof(backend->heap_path));
	memcpy(backend->heap_build_id, ctl->heap_build_id, sizeof(backend->heap_build_id));
	memcpy(backend->heap_version, ctl->heap_version, sizeof(backend->heap_version));
}

/* 1.5 x the recorded time at the wanted speed, as slack. */
static uint64_t paced_ns(const struct trial_run *run)
{
	double speed = run->config->replay.speed > 0 ? run->config->replay.speed : 1;
	double ns = (double)run->program->program.head->time_ns_last / speed * 1.5;

	return ns < 1e18 ? (uint64_t)ns : (uint64_t)1e18;
}

/* Without a limit set by the user it is generous, and grows with the work. */
static uint64_t limit_ns(const struct trial_run *run)
{
	const struct rh_run_config *config = run->config;
	uint64_t events = run->program->program.head->events * run->trial->copies, pass_ns;

	if (config->timeout_ns)
		return config->timeout_ns;
	pass_ns = TIMEOUT_EVENT_NS * events;
	if (config->replay.pace && (!run->own_pass || run->own_pass->paced))
		pass_ns += paced_ns(run);
	if (several_passes(run))
		pass_ns = config->for_ns ? 2 * pass_ns + 2 * config->for_ns
					 : pass_ns * config->passes;
	return TIMEOUT_BASE_S * 1000000000ull + pass_ns;
}

static int live(struct trial_run *run, struct rh_err *err)
{
	const struct rh_run_config *config = run->config;
	struct rh_trial *trial = run->trial;
	const struct rh_run_backend *backend = &run->result->backends[trial->backend];
	uint64_t since;
	struct rh_worker_start start = {
		.spec = backend->spec,
		.program = &run->program->program,
		.clock = &run->result->clock,
		.copies = trial->copies,
		.replay = config->replay,
		.turn_over = !run->program->folded,
		.under = config->under,
		.deadline_ns = rh_now_ns() + limit_ns(run),
	};

	if (run->own_pass && !run->own_pass->paced)
		start.replay.pace = RH_PACE_NONE;
	if (start.replay.pace) /* every paced life reports how well it kept time */
		start.area_bytes[RH_AREA_PACE] = (size_t)run->program->program.head->lanes *
						 trial->copies * sizeof(struct rh_pace_lane);

	struct rh_memory_figures memory;

	rh_probes_prepare(run->probes, &start);
	if (run->own_pass && !run->probes->mask)
		return 0; /* its preparation failed and has said why */
	run->grains = grains_until(run, rh_probes_events_max(run->probes));
	run->fullest = fullest_grain(&run->program->program);
	if (rh_worker_start(&run->worker, &start, err) < 0)
		return -1;
	run->worker.ctl->keep = several_passes(run);
	if (config->memory && !run->own_pass)
		rh_memory_open(&run->memory, run->worker.pid);
	trial->anon_loaded = rh_memory_read(&run->memory);
	if (rh_worker_command(&run->worker, RH_CTL_OPEN, err) < 0)
		return -1;
	if (!run->own_pass)
		keep_identity(run);
	rh_memory_read_all(&run->memory, &memory);
	trial->anon_start = memory.anon;
	trial->pss_start = memory.pss;
	trial->mapped_start = memory.mapped;
	if (trial->copies > 1 && rh_worker_command(&run->worker, RH_CTL_PREROLL, err) < 0)
		return -1;
	rh_probes_start(run->probes);
	since = rh_now_ns();
	if (run_first_pass(run, err) < 0)
		return -1;
	rh_probes_end(run->probes);
	if (several_passes(run) && run_later_passes(run, since, err) < 0)
		return -1;
	if (config->stats && !run->own_pass &&
	    rh_worker_command(&run->worker, RH_CTL_STATS, err) < 0)
		return -1;
	keep_stats(run);
	trial->addresses_most = rh_memory_addresses_most(run->worker.pid);
	if (rh_worker_command(&run->worker, RH_CTL_DRAIN, err) < 0)
		return -1;
	trial->anon_drained = rh_memory_read(&run->memory);
	rh_probes_drained(run->probes);
	if (check_drained(run, err) < 0)
		return -1;
	if (rh_worker_close(&run->worker, err) < 0)
		return -1;
	rh_probes_closed(run->probes);
	return 0;
}

/* A life with the probes that belong to it; `keeper` is the trial that keeps their findings. */
static int live_with_probes(struct trial_run *run, struct rh_trial *keeper, struct rh_err *err)
{
	struct rh_probe_set probes;
	struct rh_probe_run like = { .config = run->config,
				     .result = run->result,
				     .program = run->program,
				     .trial = keeper,
				     .life = run->trial,
				     .worker = &run->worker,
				     .pass = run->pass };
	int result;

	run->trial->anon_start = run->trial->anon_drained = run->trial->anon_rested = RH_NONE;
	run->trial->anon_loaded = run->trial->addresses_most = RH_NONE;
	run->trial->pss_start = run->trial->mapped_start = RH_NONE;
	run->program = like.program = &run->result->programs[keeper->program];
	rh_probes_open(&probes, &like, run->own_pass);
	run->probes = &probes;
	result = live(run, err);
	rh_probes_close(&probes);
	run->probes = NULL; /* they end with this function */
	rh_memory_close(&run->memory);
	return result;
}

/* Why a worker died under a probe and not otherwise: it reserves more addresses than there are. */
static void explain_death(const struct rh_trial *trial, const struct rh_probe *probe,
			  struct rh_err *err)
{
	uint64_t most = trial->addresses_most;

	if (probe->died)
		rh_err_prefix(err, "%s", probe->died);
	if (probe->addresses_most && most != RH_NONE && most > probe->addresses_most)
		snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text),
			 "; it reserves %.0f GiB of addresses, and gets at most %.0f there",
			 (double)most / (1ull << 30), (double)probe->addresses_most / (1ull << 30));
}

void rh_run_pass(const struct rh_run_config *config, struct rh_result *result,
		 struct rh_trial *trial, const struct rh_probe *probe, uint32_t pass)
{
	struct rh_trial life = { .trace = trial->trace,
				 .program = trial->program,
				 .backend = trial->backend,
				 .lanes = trial->lanes,
				 .copies = trial->copies,
				 .rep = trial->rep };
	struct trial_run run = { .config = config,
				 .result = result,
				 .trial = &life,
				 .worker = { .said_fd = -1 },
				 .memory = { .fd = -1 },
				 .own_pass = probe,
				 .pass = pass };
	struct rh_err err = { 0 };

	if (live_with_probes(&run, trial, &err) < 0) {
		explain_death(trial, probe, &err);
		rh_probe_failed(result, probe, (int)trial->backend, &err);
	}
	free(life.segments);
	free(life.passes);
	rh_worker_end(&run.worker);
}

void rh_run_trial(const struct rh_run_config *config, struct rh_result *result,
		  struct rh_trial *trial)
{
	struct trial_run run = { .config = config,
				 .result = result,
				 .trial = trial,
				 .worker = { .said_fd = -1 },
				 .memory = { .fd = -1 } };
	struct rh_err err = { 0 };

	trial->status = RH_STATUS_OK;
	if (live_with_probes(&run, trial, &err) < 0) {
		trial->code = err.code;
		trial->status = err.code == RH_ABSENT ? RH_STATUS_ABSENT : RH_STATUS_FAILED;
		snprintf(trial->why, sizeof(trial->why), "%s", err.text);
		trial->died_at = run.worker.place;
		trial->timed_out = run.worker.timed_out;
	} else if (trial->alloc_failed) {
		trial->code = RH_FAILED;
		trial->status = RH_STATUS_FAILED;
		snprintf(trial->why, sizeof(trial->why), "%llu allocations failed, the first at %s",
			 (unsigned long long)trial->alloc_failed, trial->died_at.text);
	}
	rh_worker_end(&run.worker);
}
