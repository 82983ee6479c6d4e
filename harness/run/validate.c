/*
 * validate.c - the plan of a validation: recordings, then rounds that alternate programs and
 * replays.
 */
#include "harness/run/validate.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "harness/run/invocation.h"
#include "traces/format/trace.h"

#define CPU_LEAST_S	0.05
#define CALLS_LEAST	1000
#define DIFFERENT_SHARE 0.01 /* of the calls of two recordings */
#define THREAD_SHARE	0.01 /* of the calls: a thread with fewer contends with nobody */
enum { SAID_BYTES = 600, LINKED_BYTES = 64 };
_Static_assert(sizeof(((struct rh_validate *)0)->linked) == LINKED_BYTES, "a name of a file");

/* For LD_PRELOAD: the loader knows where it is. */
static const char libc_name[] = "libc.so.6";
static const char runtime_name[] = "libstdc++.so.6";

struct rounds {
	const struct rh_validate_config *config;
	struct rh_validate *out;
};

/* ---- recording ---- */

/* The recorder's output, to say why it failed. */
static void last_words(int fd, char *text, size_t bytes)
{
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t got = pread(fd, text, bytes - 1, size < (off_t)bytes ? 0 : size - (off_t)bytes + 1);

	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* `preload`: the library the program is to run on; NULL = its own. */
static int record(const struct rh_validate_config *config, const char *path, const char *preload,
		  struct rh_err *err)
{
	static char command[] = "record", quiet[] = "-q", output[] = "-o", on[] = "--preload",
		    end[] = "--";
	char self[4096], said[SAID_BYTES];
	char *head[] = { self, command, quiet, output, (char *)(uintptr_t)path, end, NULL, NULL };
	size_t given = 0, fixed = 6;
	struct rh_real real = { .driver = config->driver, .timeout_ns = config->timeout_ns };
	struct rh_real_cost cost;
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char **argv;
	int result;

	if (preload) {
		head[fixed - 1] = on;
		head[fixed++] = (char *)(uintptr_t)preload;
		head[fixed++] = end;
	}
	while (config->argv[given])
		given++;
	argv = calloc(fixed + given + 1, sizeof(*argv));
	if (length <= 0 || !argv)
		return free(argv), rh_fail(err, RH_OS, "reheap cannot start itself to record");
	self[length] = '\0';
	memcpy(argv, head, fixed * sizeof(*argv));
	memcpy(argv + fixed, config->argv, given * sizeof(*argv));
	real.argv = argv;
	real.output_fd = memfd_create("reheap-said", MFD_CLOEXEC);
	result = rh_real_run(&real, &cost, err);
	if (real.output_fd >= 0)
		last_words(real.output_fd, said, sizeof(said));
	if (result < 0 && !rh_interrupted)
		rh_fail(err, err->code, "%s cannot be recorded: %s", config->argv[0],
			real.output_fd >= 0 && said[0] ? said : err->text);
	if (real.output_fd >= 0)
		close(real.output_fd);
	free(argv);
	return result;
}

/* What validate wants to know of a recording. */
struct recorded {
	uint64_t calls;
	uint32_t threads;	   /* that make a part of them worth a word */
	bool in_cxx;		   /* it calls operator new */
	char served[LINKED_BYTES]; /* the malloc that served them; "" = the trace does not say */
};

static int count_calls(struct rh_trace *trace, struct recorded *recorded, struct rh_err *err)
{
	static struct rh_event batch[RH_TRACE_BATCH];
	uint64_t *of_lane = NULL;
	size_t lanes = 0;
	int count;

	while ((count = rh_trace_next(trace, batch, RH_TRACE_BATCH, err)) > 0)
		for (int i = 0; i < count; i++) {
			if (batch[i].kind != RH_EV_ALLOC && batch[i].kind != RH_EV_FREE &&
			    batch[i].kind != RH_EV_RESIZE)
				continue;
			while (lanes <= batch[i].lane)
				*(uint64_t *)rh_grow(&of_lane, &lanes, sizeof(*of_lane)) = 0;
			of_lane[batch[i].lane]++;
			recorded->in_cxx |= batch[i].flags & RH_EVF_NEW;
			recorded->calls++;
		}
	for (size_t i = 0; i < lanes; i++)
		recorded->threads += (double)of_lane[i] >= THREAD_SHARE * (double)recorded->calls;
	free(of_lane);
	return count;
}

static int look_at(const char *path, struct recorded *recorded, struct rh_err *err)
{
	struct rh_trace *trace;
	const char *name;
	int result;

	*recorded = (struct recorded){ .calls = 0 };
	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	result = count_calls(trace, recorded, err);
	name = result == 0 ? rh_trace_note_of(trace, "allocator") : NULL;
	snprintf(recorded->served, sizeof(recorded->served), "%s", name ? name : "");
	rh_trace_close(trace);
	return result;
}

static bool is_libc(const char *served)
{
	return served[0] == '\0' || strncmp(served, "libc.", 5) == 0 ||
	       strncmp(served, "libc-", 5) == 0;
}

/* Recorded on the baseline: a program that asks for usable sizes makes other calls on other
 * allocators. */
static int record_on_baseline(const struct rh_validate_config *config, struct rh_validate *out,
			      struct rh_err *err)
{
	const char *preload = out->result.backends[out->base].spec->preload;
	struct recorded recorded;

	if (!config->quiet)
		rh_progress("recording %s", config->argv[0]);
	if (record(config, config->trace, preload[0] ? preload : NULL, err) < 0 ||
	    look_at(config->trace, &recorded, err) < 0)
		return -1;
	if (!preload[0] && !is_libc(recorded.served)) {
		snprintf(out->linked, sizeof(out->linked), "%s", recorded.served);
		if (record(config, config->trace, libc_name, err) < 0 ||
		    look_at(config->trace, &recorded, err) < 0)
			return -1;
		if (!is_libc(recorded.served))
			return rh_fail(err, RH_FAILED,
				       "%s runs on the malloc of %s whatever is preloaded: no "
				       "other allocator can be put under it",
				       config->argv[0], recorded.served);
	}
	out->events = recorded.calls;
	out->threads = recorded.threads;
	/* Allocators in C++ load its runtime; for a program in C++ that is no cost of theirs. */
	snprintf(out->behind, sizeof(out->behind), "%s%s%s", out->linked,
		 out->linked[0] && recorded.in_cxx ? ":" : "", recorded.in_cxx ? runtime_name : "");
	return 0;
}

static int record_twice(const struct rh_validate_config *config, struct rh_validate *out,
			struct rh_err *err)
{
	struct recorded recorded;
	char again[4096 + 8];
	const char *preload = out->result.backends[out->base].spec->preload;
	double apart;
	int result;

	snprintf(again, sizeof(again), "%s.again", config->trace);
	if (record_on_baseline(config, out, err) < 0)
		return -1;
	if (out->events < CALLS_LEAST)
		return rh_fail(err, RH_FAILED,
			       "%s made %llu heap calls that a preloaded library sees: it ignores "
			       "preloads (static, setuid, an allocator of its own) or has no use "
			       "for a heap",
			       config->argv[0], (unsigned long long)out->events);
	result = record(config, again,
			preload[0]	 ? preload
			: out->linked[0] ? libc_name
					 : NULL,
			err) < 0 ||
				 look_at(again, &recorded, err) < 0
			 ? -1
			 : 0;
	unlink(again);
	if (result < 0)
		return -1;
	out->events_again = recorded.calls;
	apart = fabs((double)out->events - (double)out->events_again);
	out->nondeterministic = apart > DIFFERENT_SHARE * (double)out->events;
	out->calls_mean = ((double)out->events + (double)out->events_again) / 2;
	return 0;
}

/* ---- the real runs ---- */

static int long_enough(const struct rh_validate_config *config, const char *name,
		       const struct rh_real_cost *cost, struct rh_err *err)
{
	double cpu_s = cost->user_s + cost->system_s;

	if (cpu_s >= CPU_LEAST_S)
		return 0;
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
			    (unsigned long long)config->reps, config->argv[0], row->name);
	snprintf(job.libc, sizeof(job.libc), "%s", out->linked[0] ? libc_name : "");
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
	row->futex[round] =
		cost.watched.futex_calls == UINT64_MAX ? NAN : (double)cost.watched.futex_calls;
	snprintf(out->futex_why, sizeof(out->futex_why), "%s", cost.watched.futex_why);
	row->load_cpu[round] = loading.user_s + loading.system_s;
	row->load_rss[round] = (double)loading.peak_rss_bytes;
	return round == 0 ? long_enough(config, row->name, &cost, err) : 0;
}

/* Before callgrind, which takes a minute or more. */
static int check_length(const struct rh_validate_config *config, struct rh_validate *out,
			struct rh_err *err)
{
	struct rh_runner_job job = { .row = (uint32_t)out->base };
	struct rh_real_cost cost;

	if (!config->instructions)
		return 0; /* the first round says it */
	snprintf(job.libc, sizeof(job.libc), "%s", out->linked[0] ? libc_name : "");
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
					.libc = out->linked[0] ? libc_name : NULL,
					.timeout_ns = config->timeout_ns,
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

static double *numbers(uint64_t count)
{
	return calloc(count, sizeof(double));
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
			.user = numbers(config->reps),
			.system = numbers(config->reps),
			.wall = numbers(config->reps),
			.rss = numbers(config->reps),
			.faults = numbers(config->reps),
			.load_cpu = numbers(config->reps),
			.load_rss = numbers(config->reps),
			.asleep = numbers(config->reps),
			.threads = numbers(config->reps),
			.switches = numbers(config->reps),
			.futex = numbers(config->reps),
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
				  row->threads, row->switches, row->futex };

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
	struct rounds rounds = { config, out };
	struct rh_run_config run = { .traces = traces,
				     .trace_count = 1,
				     .backends = config->backends,
				     .copies = "1",
				     .baseline = config->baseline,
				     .probes = config->instructions ? "time,memory,callgrind"
								    : "time,memory",
				     .callgrind_events = UINT64_MAX,
				     .reps = config->reps,
				     .seed = config->seed,
				     .replay.touch = RH_TOUCH_AUTO,
				     .quiet = config->quiet,
				     .beside = run_round,
				     .beside_of = &rounds };
	int result;

	*out = (struct rh_validate){ .result = { .reps = config->reps,
						 .seed = config->seed,
						 .touch = rh_touch_names[RH_TOUCH_AUTO],
						 .pace = "none",
						 .probes = run.probes,
						 .floor = UINT32_MAX } };
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
		result = record_twice(config, out, err);
	if (result == 0)
		result = check_length(config, out, err);
	if (result == 0)
		result = count_instructions(config, out, err);
	if (result == 0)
		result = rh_run_trials(&run, &out->result, err);
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
