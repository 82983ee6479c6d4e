/*
 * run.c - the plan of a run: which trials there are, and in which order.
 *
 * For every trace, number of lanes and number of copies, rep by rep: one trial of every
 * backend, in an order shuffled anew (seeded) for each rep. Machines drift (one process
 * to the next differs by 2x on a busy VM), so backends are compared within a rep, where
 * they ran next to each other, and never run block by block.
 *
 * There is no discarded warm-up trial: each trial is a fresh process whose first touches are
 * part of the measurement, and the one thing that trials share, the page cache of the program,
 * was warmed when the program was compiled and checked.
 *
 * The null floor is always among the backends. A backend that is absent has a reason
 * instead of trials. One that exceeded the time limit is not tried again in the same setting;
 * after any other failure the remaining trials run as planned.
 */
#include "harness/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc/base/progress.h"
#include "alloc/base/random.h"
#include "harness/probe/probe.h"
#include "harness/probe/machine_noise.h"
#include "traces/format/trace.h"

enum { EPOCH_EVENTS_COPIES = 1 << 20, SAMPLE_MEAN = 32 };

/* ---- lists of words ---- */

/* The next word of a comma-separated list; NULL at the end. *list is advanced. */
static char *next_word(char **list)
{
	char *word = *list, *comma;

	if (!word || !*word)
		return NULL;
	comma = strchr(word, ',');
	*list = comma ? comma + 1 : NULL;
	if (comma)
		*comma = '\0';
	return word;
}

/* A list of numbers on the command line, and where it goes. */
struct numbers {
	const char *what; /* the option, for errors */
	bool recorded;	  /* accepts the word "recorded" for 0 */
	uint32_t **list;
	size_t *count;
};

static int parse_numbers(const char *text, const struct numbers *to, struct rh_err *err)
{
	const char *what = to->what;
	bool recorded = to->recorded;
	char *copy = strdup(text), *at = copy, *word;
	struct rh_err why;
	uint64_t value;
	int result = 0;

	if (!copy)
		return rh_fail(err, RH_OS, "no memory for --%s", what);
	while (result == 0 && (word = next_word(&at))) {
		if (recorded && strcmp(word, "recorded") == 0)
			value = 0;
		else if (rh_parse_uint(word, &value, &why) < 0 || value == 0 ||
			 value > RH_CTL_SEATS_MAX)
			result = rh_fail(
				err, RH_USAGE, "--%s takes numbers from 1 to %d%s, not '%s'", what,
				RH_CTL_SEATS_MAX, recorded ? " or the word recorded" : "", word);
		if (result == 0)
			*(uint32_t *)rh_grow(to->list, to->count, sizeof(uint32_t)) =
				(uint32_t)value;
	}
	free(copy);
	if (result == 0 && *to->count == 0)
		return rh_fail(err, RH_USAGE, "--%s is empty", what);
	return result;
}

/* ---- backends ---- */

/* Its role, for readers of the result: no later stage has to guess it from the name. */
static void classify(struct rh_run_backend *backend)
{
	const struct rh_spec *spec = backend->spec;
	const struct rh_backend *outer = &spec->layer[0].ops,
				*heap = &spec->layer[spec->depth - 1].ops;

	snprintf(backend->heap, sizeof(backend->heap), "%s", heap->name);
	backend->control = outer->caps & (RH_CAP_NO_MEMORY | RH_CAP_NO_REUSE | RH_CAP_DECORATOR);
	backend->deployable = !backend->control && outer->caps & RH_CAP_PROCESS;
}

static int add_backend(struct rh_result *result, const char *text, bool floor, struct rh_err *err)
{
	struct rh_run_backend *backend;
	struct rh_err why = { 0 };
	struct rh_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return rh_fail(err, RH_OS, "no memory for backend %s", text);
	if (rh_spec_parse(spec, text, 0, &why) < 0 && why.code != RH_ABSENT) {
		*err = why;
		free(spec);
		return -1;
	}
	backend = rh_grow(&result->backends, &result->backend_count, sizeof(*backend));
	backend->spec = spec;
	backend->given = strdup(text);
	backend->text = strdup(spec->variant.label[0] ? spec->variant.label : text);
	if (!backend->given || !backend->text)
		return rh_fail(err, RH_OS, "no memory for the names of backends");
	backend->floor = floor;
	if (why.code != RH_ABSENT)
		classify(backend);
	if (why.code == RH_ABSENT) {
		backend->status = RH_STATUS_ABSENT;
		backend->code = RH_ABSENT;
		snprintf(backend->why, sizeof(backend->why), "%s", why.text);
		snprintf(backend->heap, sizeof(backend->heap), "%s", text);
		return 0;
	}
	snprintf(backend->stack, sizeof(backend->stack), "%s",
		 spec->stack.name ? spec->stack.name : "none");
	return 0;
}

static int find_backend(const struct rh_result *result, const char *text)
{
	for (size_t i = 0; i < result->backend_count; i++)
		if (strcmp(result->backends[i].text, text) == 0 ||
		    strcmp(result->backends[i].given, text) == 0)
			return (int)i;
	return -1;
}

/* The variants of --backend, then those of --sweep. */
static int add_backends(const struct rh_run_config *config, struct rh_result *result,
			struct rh_err *err)
{
	const char *sweep = config->sweep ? config->sweep : "", *at;
	char *list, *texts = NULL;
	size_t count = 0;
	int failed = 0;

	if (asprintf(&list, "%s%s%s", config->backends, *sweep ? "," : "", sweep) < 0)
		return rh_fail(err, RH_OS, "no memory for a list of backends");
	texts = rh_variant_list(list, &count, err);
	free(list);
	if (!texts)
		return -1;
	at = texts;
	for (size_t i = 0; i < count && !failed; i++, at += strlen(at) + 1)
		failed = add_backend(result, at, false, err);
	free(texts);
	if (failed)
		return -1;
	if (result->backend_count == 0)
		return rh_fail(err, RH_USAGE,
			       "--backend names no backend (see reheap list backends)");
	if (find_backend(result, "null") < 0 && add_backend(result, "null", true, err) < 0)
		return -1;
	result->floor = (uint32_t)find_backend(result, "null");
	return 0;
}

static int choose_baseline(const char *wanted, struct rh_result *result, struct rh_err *err)
{
	int found = find_backend(result, wanted ? wanted : "libc");

	if (found < 0 && wanted)
		return rh_fail(err, RH_USAGE,
			       "--baseline %s is not among the backends of --backend", wanted);
	result->baseline = found < 0 ? 0 : (uint32_t)found;
	return 0;
}

int rh_run_prepare(struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	result->speed = config->replay.speed > 0 ? config->replay.speed : 1;
	result->pin = config->replay.pin;
	result->sample = config->replay.sample =
		config->replay.sample ? config->replay.sample : SAMPLE_MEAN;
	if (rh_probes_choose(config, result, err) < 0 ||
	    parse_numbers(
		    config->copies,
		    &(struct numbers){ "copies", false, &config->copy_list, &config->copy_count },
		    err) < 0)
		return -1;
	if (!config->lanes)
		*(uint32_t *)rh_grow(&config->lane_list, &config->lane_count, sizeof(uint32_t)) =
			RH_LANES_DEFAULT;
	else if (parse_numbers(config->lanes,
			       &(struct numbers){ "lanes", true, &config->lane_list,
						  &config->lane_count },
			       err) < 0)
		return -1;
	if (add_backends(config, result, err) < 0 ||
	    choose_baseline(config->baseline, result, err) < 0)
		return -1;
	return 0;
}

void rh_run_config_free(struct rh_run_config *config)
{
	free(config->lane_list);
	free(config->copy_list);
}

/* ---- programs ---- */

static void read_notes(struct rh_run_trace *trace)
{
	const struct rh_note *note;
	struct rh_trace *in;
	struct rh_err ignored;

	if (rh_trace_open(&in, trace->path, &ignored) < 0)
		return;
	for (size_t i = 0; (note = rh_trace_note(in, i)); i++) {
		struct rh_pair *row = rh_grow(&trace->notes, &trace->note_count, sizeof(*row));

		row->name = strdup(note->key);
		row->value = strdup(note->value);
		/* If memory runs out only the note is lost, not the replay. */
		if (!row->name || !row->value) {
			free((char *)(uintptr_t)row->name);
			free((char *)(uintptr_t)row->value);
			trace->note_count--;
			break;
		}
	}
	rh_trace_close(in);
}

/* Copies are independent but stop at each other's barriers, so barriers are kept few. */
static bool many_copies(const struct rh_run_config *config)
{
	for (size_t c = 0; c < config->copy_count; c++)
		if (config->copy_list[c] > 1)
			return true;
	return false;
}

/* Where trials run. */
struct place {
	uint32_t trace, program, copies;
	uint32_t rep;	    /* the current one */
	size_t trial_first; /* of the trials of this place */
};

/* program->trace says which trace. */
static int compile(struct rh_result *result, const struct rh_run_config *config, uint32_t lanes,
		   struct rh_run_program *program, struct rh_err *err)
{
	uint32_t trace = program->trace;
	struct rh_compile_options options = {
		.lanes = lanes,
		.touch = config->replay.touch == RH_TOUCH_RECORDED,
		.touch_known = config->replay.touch == RH_TOUCH_AUTO,
		.times = config->replay.pace != RH_PACE_NONE,
		.epoch_events = many_copies(config) ? EPOCH_EVENTS_COPIES : 0,
	};

	program->folded = lanes != 0;
	if (!config->quiet)
		rh_progress("compiling %s", result->traces[trace].path);
	if (rh_compile(result->traces[trace].path, &options, &program->program, &program->stats,
		       err) < 0)
		return -1;
	if (config->replay.pace && !program->program.head->paced) {
		rh_program_unmap(&program->program);
		return rh_fail(err, RH_USAGE, "%s has no recorded times that --pace could keep",
			       result->traces[trace].path);
	}
	program->lanes = program->program.head->lanes;
	result->traces[trace].lanes_recorded = program->program.head->lanes_recorded;
	return 0;
}

/* Compiles for `lanes` (0 recorded, RH_LANES_DEFAULT); place->program gets the index, that of an
 * earlier program if the result would be the same. */
static int add_program(const struct rh_run_config *config, struct rh_result *result, uint32_t lanes,
		       struct place *place, struct rh_err *err)
{
	struct rh_run_program made = { .trace = place->trace };
	uint32_t cpus = rh_cpu_count();

	if (compile(result, config, lanes == RH_LANES_DEFAULT ? 0 : lanes, &made, err) < 0)
		return -1;
	if (lanes == RH_LANES_DEFAULT && made.lanes > cpus) {
		rh_program_unmap(&made.program);
		if (compile(result, config, cpus, &made, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < result->program_count; i++) {
		if (result->programs[i].trace != place->trace ||
		    result->programs[i].lanes != made.lanes)
			continue;
		rh_program_unmap(&made.program);
		place->program = (uint32_t)i;
		return 0;
	}
	place->program = (uint32_t)result->program_count;
	*(struct rh_run_program *)rh_grow(&result->programs, &result->program_count, sizeof(made)) =
		made;
	return 0;
}

/* ---- order ---- */

static void shuffle(uint32_t *order, size_t count, uint64_t *state)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)(rh_random(state) % i);
		uint32_t kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}

/* ---- trials ---- */

static void take_backend_status(struct rh_run_backend *backend, const struct rh_trial *trial)
{
	if (trial->status == RH_STATUS_OK || backend->status != RH_STATUS_OK)
		return;
	backend->status = trial->status;
	backend->code = trial->code;
	snprintf(backend->why, sizeof(backend->why), "%s", trial->why);
}

/* The null floor has nothing to verify, so its failure must not hide the real one. */
static bool skipped(const struct rh_run_config *config, const struct rh_run_backend *backend)
{
	return backend->status == RH_STATUS_ABSENT ||
	       (config->replay.verify && backend->spec->layer[0].ops.caps & RH_CAP_NO_MEMORY);
}

static bool hung(const struct rh_result *result, size_t first, uint32_t backend)
{
	for (size_t t = first; t < result->trial_count; t++)
		if (result->trials[t].backend == backend && result->trials[t].timed_out)
			return true;
	return false;
}

static void show_progress(const struct rh_run_config *config, const struct rh_result *result,
			  const struct rh_trial *trial)
{
	if (!config->quiet)
		rh_progress(
			"%s, %u lane%s x %u, rep %u of %llu: %s", result->traces[trial->trace].path,
			trial->lanes, trial->lanes == 1 ? "" : "s", trial->copies, trial->rep + 1,
			(unsigned long long)config->reps, result->backends[trial->backend].text);
}

/* Workers of probes that need their own run after the trials of a rep, in the same order, so that
 * the trials themselves run next to each other. */
static void run_passes(const struct rh_run_config *config, struct rh_result *result, uint32_t rep,
		       size_t first)
{
	for (size_t p = 0; rh_probes[p]; p++) {
		const struct rh_probe *probe = rh_probes[p];
		uint32_t passes = probe->passes ? probe->passes(config) : 1;

		if (!probe->own_pass || !rh_probe_chosen(config, probe) ||
		    (probe->reps_max && rep >= probe->reps_max))
			continue;
		for (size_t t = first; t < result->trial_count && !rh_interrupted; t++) {
			struct rh_trial *trial = &result->trials[t];

			if (trial->status != RH_STATUS_OK)
				continue;
			rh_progress("%s, rep %u of %u: %s, %s", result->traces[trial->trace].path,
				    rep + 1, (unsigned)config->reps,
				    result->backends[trial->backend].text, probe->name);
			for (uint32_t pass = 0; pass < passes && !rh_interrupted; pass++)
				rh_run_pass(config, result, trial, probe, pass);
		}
	}
}

/* Runs one backend's trial unless it is skipped. False: interrupted. */
static bool run_one(const struct rh_run_config *config, struct rh_result *result,
		    const struct rh_trial *place, size_t first, uint32_t *ran)
{
	struct rh_run_backend *backend = &result->backends[place->backend];
	struct rh_trial trial = *place;

	if (skipped(config, backend) || hung(result, first, place->backend))
		return true;
	(*ran)++;
	show_progress(config, result, &trial);
	rh_run_trial(config, result, &trial);
	if (rh_interrupted) {
		/* It was interrupted; it did not fail. */
		free(trial.segments);
		free(trial.passes);
		return false;
	}
	*(struct rh_trial *)rh_grow(&result->trials, &result->trial_count, sizeof(trial)) = trial;
	take_backend_status(backend, &trial);
	return true;
}

static int run_beside(const struct rh_run_config *config, const struct rh_trial *place,
		      struct rh_err *err)
{
	return config->beside ? config->beside(config->beside_of, place->rep, place->backend, err)
			      : 0;
}

static int run_rep(const struct rh_run_config *config, struct rh_result *result,
		   const struct place *place, uint64_t *state, struct rh_err *err)
{
	uint32_t *order = calloc(result->backend_count, sizeof(*order)), ran = 0;
	size_t trials = result->trial_count;
	int failed = 0;

	if (!order)
		return rh_fail(err, RH_OS, "no memory for the order of trials");
	for (uint32_t b = 0; b < result->backend_count; b++)
		order[b] = b;
	shuffle(order, result->backend_count, state);
	for (size_t i = 0; i < result->backend_count && !rh_interrupted && failed == 0; i++) {
		struct rh_trial trial = {
			.trace = place->trace,
			.program = place->program,
			.backend = order[i],
			.lanes = result->programs[place->program].lanes,
			.copies = place->copies,
			.rep = place->rep,
			.order = ran,
		};
		bool before = config->beside && rh_random(state) >> 63;

		if (before)
			failed = run_beside(config, &trial, err);
		if (failed == 0 && run_one(config, result, &trial, place->trial_first, &ran) &&
		    !before)
			failed = run_beside(config, &trial, err);
	}
	free(order);
	if (failed < 0)
		return -1;
	run_passes(config, result, place->rep, trials);
	return rh_interrupted ? rh_fail(err, RH_FAILED, "interrupted") : 0;
}

static bool is_more(const struct rh_run_config *config, uint32_t reps)
{
	return config->more && !rh_interrupted && config->more(config->beside_of, reps);
}

static int run_place(const struct rh_run_config *config, struct rh_result *result,
		     struct place *place, uint64_t *state, struct rh_err *err)
{
	place->trial_first = result->trial_count;
	for (place->rep = 0; place->rep < config->reps || is_more(config, place->rep); place->rep++)
		if (run_rep(config, result, place, state, err) < 0)
			return -1;
	return 0;
}

static bool place_done(const struct rh_result *result, const struct place *place)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].program == place->program &&
		    result->trials[t].copies == place->copies)
			return true;
	return false;
}

static int run_trace(const struct rh_run_config *config, struct rh_result *result, uint32_t trace,
		     uint64_t *state, struct rh_err *err)
{
	struct place place = { .trace = trace };

	for (size_t l = 0; l < config->lane_count; l++) {
		uint32_t lanes = config->lane_list[l];

		if (add_program(config, result, lanes, &place, err) < 0)
			return -1;
		for (size_t c = 0; c < config->copy_count; c++) {
			place.copies = config->copy_list[c];
			/* --lanes 4,8 on a trace of one lane gives the same setting twice. */
			if (!place_done(result, &place) &&
			    run_place(config, result, &place, state, err) < 0)
				return -1;
		}
	}
	read_notes(&result->traces[trace]);
	return 0;
}

/* ---- the verdict ---- */

/* Trials that had ended are kept; the one that was running is left out. */
static void warn_of_interruption(struct rh_result *result)
{
	result->partial = true;
	rh_result_warn(result, "interrupted after %zu trials: what had not ended is left out",
		       result->trial_count);
}

static enum rh_exit exit_class(const struct rh_result *result)
{
	enum rh_exit code = result->partial ? RH_PARTIAL : RH_OK;

	for (size_t b = 0; b < result->backend_count; b++) {
		if (result->backends[b].status == RH_STATUS_FAILED)
			return RH_FAILED;
		if (result->backends[b].status == RH_STATUS_ABSENT)
			code = RH_PARTIAL;
	}
	for (size_t i = 0; i < result->program_count; i++)
		if (result->programs[i].stats.truncated_text[0])
			code = RH_PARTIAL;
	return code;
}

/* Every trace is opened more than once, but a pipe can be read only once. */
static int check_trace_files(const struct rh_run_config *config, struct rh_err *err)
{
	struct stat st;

	for (uint32_t t = 0; t < config->trace_count; t++)
		if (stat(config->traces[t], &st) == 0 && !S_ISREG(st.st_mode) &&
		    !S_ISDIR(st.st_mode))
			return rh_fail(
				err, RH_NO_INPUT,
				"%s is no file but a pipe or a device, and a trace is read more "
				"than once to be replayed: put it into a file",
				config->traces[t]);
	return 0;
}

int rh_run_trials(const struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	uint64_t state = config->seed, since;
	struct rh_cpu_times before, after;

	if (check_trace_files(config, err) < 0)
		return -1;
	if (config->quiet_check)
		rh_machine_noise_check(result);
	result->fault_ns = rh_fault_cost_ns();
	since = rh_now_ns();
	rh_cpu_times_read("/proc/stat", &before);
	for (uint32_t t = 0; t < config->trace_count; t++) {
		struct rh_run_trace *trace =
			rh_grow(&result->traces, &result->trace_count, sizeof(*trace));

		trace->path = config->traces[t];
	}
	for (uint32_t t = 0; t < config->trace_count && !rh_interrupted; t++)
		if (run_trace(config, result, t, &state, err) < 0 &&
		    !(rh_interrupted && result->trial_count))
			return -1;
	if (rh_interrupted)
		warn_of_interruption(result);
	rh_progress("%s", "");
	result->wall_s = (double)(rh_now_ns() - since) / 1e9;
	if (rh_cpu_times_read("/proc/stat", &after))
		rh_machine_noise_steal(result, &before, &after);
	rh_run_warn(config, result);
	result->exit = exit_class(result);
	return 0;
}
