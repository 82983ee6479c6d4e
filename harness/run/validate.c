/*
 * validate.c - the plan of a validation: recordings, then rounds that alternate programs and
 * replays.
 */
#include "harness/run/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "harness/run/invocation.h"

#define CPU_LEAST_S 0.05

const char rh_validate_libc[] = "libc.so.6";

struct rounds {
	const struct rh_validate_config *config;
	struct rh_validate *out;
	uint64_t began_ns, rounds_ns; /* validation, and its first round */
};

/* ---- the real runs ---- */

static int long_enough(const struct rh_validate_config *config, const char *name,
		       const struct rh_real_cost *cost, struct rh_err *err)
{
	double cpu_s = cost->user_s + cost->system_s;

	if (cpu_s >= CPU_LEAST_S)
		return 0;
	if (cost->left)
		return rh_fail(err, RH_FAILED,
			       "under %s: %s goes on in the background, in %u process%s that it "
			       "left: let it run in the foreground, a server with --driver",
			       name, config->argv[0], cost->left, cost->left == 1 ? "" : "es");
	return rh_fail(
		err, RH_FAILED,
		"under %s: %s takes %.0f ms of CPU: under %.0f ms the clock of the kernel says "
		"nothing; give it more to do",
		name, config->argv[0], 1e3 * cpu_s, 1e3 * CPU_LEAST_S);
}

/* Runs the program and measures what loading costs, under one backend; next to a trial of its
 * replay. */
static int run_round(void *of, uint32_t round, uint32_t backend, struct rh_err *err)
{
	const struct rounds *rounds = of;
	const struct rh_validate_config *config = rounds->config;
	struct rh_validate *out = rounds->out;
	struct rh_runner_job job = { .row = backend, .watch = out->threads > 1 },
			     load = { .row = backend, .nothing = true };
	struct rh_validate_row *row = &out->rows[backend];
	struct rh_real_cost cost, loading;

	if (backend >= out->row_count)
		return 0; /* the floor */
	if (!config->quiet)
		rh_progress("round %u of %llu: %s under %s", round + 1,
			    (unsigned long long)(out->rounds_wanted ? out->rounds_wanted
								    : config->reps),
			    config->argv[0], row->name);
	snprintf(job.libc, sizeof(job.libc), "%s", out->linked[0] ? rh_validate_libc : "");
	memcpy(load.libc, job.libc, sizeof(load.libc));
	memcpy(load.behind, out->behind, sizeof(load.behind));
	if (rh_runner_run(&out->runner, &load, &loading, err) < 0 ||
	    rh_runner_run(&out->runner, &job, &cost, err) < 0)
		return rh_err_prefix(err, "under %s", row->name);
	row->user[round] = cost.user_s;
	row->system[round] = cost.system_s;
	row->wall[round] = cost.wall_s;
	row->rss[round] = (double)cost.peak_rss_bytes;
	row->faults[round] = (double)cost.faults;
	row->asleep[round] = cost.watched.asleep_s;
	row->threads[round] = cost.watched.seen_s;
	row->switches[round] = (double)cost.switches;
	row->inside[round] = cost.sampled.inside_s;
	row->outside[round] = cost.sampled.outside_s;
	row->others[round] = cost.sampled.others_s;
	if (cost.sampled.why[0])
		snprintf(out->sample_why, sizeof(out->sample_why), "%s", cost.sampled.why);
	row->futex[round] =
		cost.watched.futex_calls == UINT64_MAX ? NAN : (double)cost.watched.futex_calls;
	snprintf(out->futex_why, sizeof(out->futex_why), "%s", cost.watched.futex_why);
	row->load_cpu[round] = loading.user_s + loading.system_s;
	row->load_rss[round] = (double)loading.peak_rss_bytes;
	return round == 0 ? long_enough(config, row->name, &cost, err) : 0;
}

/* The paced replays of a program with threads last as long as the program each: that time is kept
 * for them. */
static uint64_t paced_ns(const struct rounds *rounds)
{
	const struct rh_validate *out = rounds->out;
	double wall_s = rh_stat_interval(out->rows[out->base].wall, out->rounds, 0.95).median;

	return out->threads > 1 ? (uint64_t)(1e9 * wall_s * (double)(out->row_count + 1) *
					     (double)rounds->config->reps)
				: 0;
}

static bool run_more(void *of, uint32_t done)
{
	const struct rounds *rounds = of;
	const struct rh_validate_config *config = rounds->config;
	uint64_t now = rh_now_ns(), used;

	rounds->out->rounds = done;
	used = now - rounds->began_ns + paced_ns(rounds);
	return rh_validate_more(config, rounds->out, (now - rounds->rounds_ns) / done,
				used < config->budget_ns ? config->budget_ns - used : 0);
}

/* Before callgrind, which takes a minute or more. */
static int check_length(const struct rh_validate_config *config, struct rh_validate *out,
			struct rh_err *err)
{
	struct rh_runner_job job = { .row = (uint32_t)out->base };
	struct rh_real_cost cost;

	if (!config->instructions)
		return 0; /* the first round says it */
	snprintf(job.libc, sizeof(job.libc), "%s", out->linked[0] ? rh_validate_libc : "");
	if (rh_runner_run(&out->runner, &job, &cost, err) < 0)
		return rh_err_prefix(err, "under %s", out->rows[out->base].name);
	return long_enough(config, out->rows[out->base].name, &cost, err);
}

static int count_instructions(const struct rh_validate_config *config, struct rh_validate *out,
			      struct rh_err *err)
{
	static char true_path[] = "/bin/true";
	static char *nothing[] = { true_path, NULL };

	for (size_t i = 0; config->instructions && i < out->row_count; i++) {
		struct rh_validate_row *row = &out->rows[i];
		struct rh_real real = { .argv = config->argv,
					.driver = config->driver,
					.spec = out->result.backends[i].spec,
					.libc = out->linked[0] ? rh_validate_libc : NULL,
					.timeout_ns = config->timeout_ns,
					.input = config->input,
					.output_fd = -1 };
		struct rh_real empty = { .argv = nothing,
					 .spec = real.spec,
					 .libc = real.libc,
					 .behind = out->behind[0] ? out->behind : NULL,
					 .output_fd = -1 };

		if (!config->quiet)
			rh_progress("%s under %s and callgrind", config->argv[0], row->name);
		if (rh_validate_instructions(&empty, &row->load_count, err) == 0 &&
		    rh_validate_instructions(&real, &row->count, err) == 0 &&
		    (i != out->base || rh_validate_instructions(&real, &out->again, err) == 0))
			continue;
		if (rh_interrupted || i == out->base || err->code == RH_ABSENT)
			return rh_err_prefix(err, "under %s and callgrind", row->name);
		row->count = (struct rh_validate_count){ NAN, NAN };
		rh_result_warn(&out->result,
			       "no instructions under %s, which callgrind does not bear: %s",
			       row->name, err->text);
	}
	return 0;
}

/* ---- backends ---- */

static bool deployable(const struct rh_spec *spec)
{
	return spec->depth == 1 && (spec->layer[0].ops.caps & RH_CAP_PROCESS) && !spec->native[0];
}

char *rh_validate_backends(void)
{
	char *list = strdup("libc"), path[4096];
	struct rh_err ignored;

	for (const struct rh_peer *peer = rh_peers; peer->name && list; peer++) {
		char *longer;

		if (rh_peer_find(peer, path, sizeof(path), &ignored) < 0 ||
		    asprintf(&longer, "%s,%s", list, peer->name) < 0)
			continue;
		free(list);
		list = longer;
	}
	return list;
}

static double *numbers(const struct rh_validate_config *config)
{
	return calloc(rh_validate_rounds_most(config), sizeof(double));
}

/* One row for each backend; the floor, which the replay adds last, has none. */
static int make_rows(const struct rh_validate_config *config, struct rh_validate *out,
		     struct rh_err *err)
{
	for (size_t i = 0; i < out->result.backend_count; i++) {
		const struct rh_run_backend *backend = &out->result.backends[i];
		struct rh_validate_row *row;

		if (backend->floor)
			continue;
		if (backend->status == RH_STATUS_ABSENT)
			return rh_fail(err, RH_ABSENT, "%s", backend->why);
		if (!deployable(backend->spec))
			return rh_fail(err, RH_USAGE,
				       "%s cannot be put under a real program: it is a model or a "
				       "control (libc, an installed allocator or a .so can)",
				       backend->text);
		row = rh_grow(&out->rows, &out->row_count, sizeof(*row));
		*row = (struct rh_validate_row){
			.name = backend->text,
			.user = numbers(config),
			.system = numbers(config),
			.wall = numbers(config),
			.rss = numbers(config),
			.faults = numbers(config),
			.load_cpu = numbers(config),
			.load_rss = numbers(config),
			.asleep = numbers(config),
			.threads = numbers(config),
			.switches = numbers(config),
			.futex = numbers(config),
			.inside = numbers(config),
			.outside = numbers(config),
			.others = numbers(config),
			.count = { NAN, NAN },
			.load_count = { NAN, NAN },
		};
	}
	if (out->row_count < 2)
		return rh_fail(err, RH_USAGE,
			       "name two backends at least: changes are against a baseline");
	out->base = out->result.baseline;
	return 0;
}

void rh_validate_free(struct rh_validate *validate)
{
	for (size_t i = 0; i < validate->row_count; i++) {
		struct rh_validate_row *row = &validate->rows[i];
		double *all[] = { row->user,	row->system,   row->wall,     row->rss,
				  row->faults,	row->load_cpu, row->load_rss, row->asleep,
				  row->threads, row->switches, row->futex,    row->inside,
				  row->outside, row->others };

		for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++)
			free(all[n]);
	}
	rh_runner_end(&validate->runner);
	free(validate->rows);
	rh_result_free(&validate->result);
	if (validate->paced)
		rh_result_free(&validate->contended);
}

/* Without a replay on the baseline nothing is predicted. */
static int check_replay(struct rh_validate *out, struct rh_err *err)
{
	for (size_t b = 0; b < out->row_count; b++) {
		const struct rh_run_backend *backend = &out->result.backends[b];

		if (backend->status != RH_STATUS_FAILED)
			continue;
		if (b == out->base)
			return rh_fail(err, RH_FAILED, "the replay on %s failed: %s", backend->text,
				       backend->why);
		rh_result_warn(&out->result, "failed on %s: %s", backend->text, backend->why);
	}
	return 0;
}

int rh_validate_run(const struct rh_validate_config *config, struct rh_validate *out,
		    struct rh_err *err)
{
	char *traces[] = { (char *)(uintptr_t)config->trace };
	struct rounds rounds = { .config = config, .out = out, .began_ns = rh_now_ns() };
	char probes[64], why[RH_SAMPLES_WHY_BYTES] = "";
	struct rh_run_config run = { .traces = traces,
				     .trace_count = 1,
				     .backends = config->backends,
				     .copies = "1",
				     .baseline = config->baseline,
				     .probes = probes,
				     .callgrind_events = UINT64_MAX,
				     .reps = config->reps,
				     .seed = config->seed,
				     .replay = { .touch = RH_TOUCH_AUTO, .read_dying = true },
				     .quiet = config->quiet,
				     .beside = run_round,
				     .more = run_more,
				     .beside_of = &rounds };
	int result;

	snprintf(probes, sizeof(probes), "time,memory%s%s",
		 config->instructions ? ",callgrind" : "",
		 rh_samples_refused(why, sizeof(why)) ? "" : ",code");
	*out = (struct rh_validate){ .rounds = config->reps,
				     .result = { .reps = config->reps,
						 .seed = config->seed,
						 .touch = rh_touch_names[RH_TOUCH_AUTO],
						 .pace = "none",
						 .floor = UINT32_MAX } };
	out->result.probes = rh_pool_text(rh_result_pool(&out->result), probes);
	memcpy(out->sample_why, why, sizeof(why));
	clock_gettime(CLOCK_REALTIME, &out->result.started);
	out->result.argc = rh_argv_read(&out->result.argv);
	rh_host_read(&out->result.host);
	rh_clock_calibrate(&out->result.clock, 0);
	result = rh_run_prepare(&run, &out->result, err);
	if (result == 0)
		result = make_rows(config, out, err);
	if (result == 0)
		result = rh_runner_begin(&out->runner, config, out, err);
	if (result == 0)
		result = rh_validate_record(config, out, err);
	if (result == 0)
		result = check_length(config, out, err);
	if (result == 0)
		result = count_instructions(config, out, err);
	rounds.rounds_ns = rh_now_ns();
	if (result == 0)
		result = rh_run_trials(&run, &out->result, err);
	out->result.reps = out->rounds;
	if (result == 0)
		result = check_replay(out, err);
	if (result == 0 && out->threads > 1)
		result = rh_validate_paced(config, out, err);
	if (result == 0) {
		rh_result_measure(&out->result);
		result = rh_validate_compare(config, out, err);
	}
	rh_run_config_free(&run);
	return result;
}
