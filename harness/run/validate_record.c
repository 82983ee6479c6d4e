/*
 * validate_record.c - the two recordings of a validation, and why a program cannot be validated:
 * it fails, makes no calls that a preloaded library sees, or leaves the work to others.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "harness/run/invocation.h"
#include "harness/run/validate.h"
#include "traces/format/trace.h"

#define DIFFERENT_SHARE 0.01 /* of the calls of two recordings */
#define THREAD_SHARE	0.01 /* of the calls: a thread with fewer contends with nobody */
#define CHILDREN_SHARE	0.2  /* of the user time: it is worth a word */
enum { SAID_BYTES = 600, LINKED_BYTES = 64, CALLS_LEAST = 1000, LARGE_BYTES = 16 << 10 };
_Static_assert(sizeof(((struct rh_validate *)0)->linked) == LINKED_BYTES, "a name of a file");

static const char runtime_name[] = "libstdc++.so.6"; /* for LD_PRELOAD: the loader knows where */

/* The last line that the recorder or the program wrote, to say why one of them failed. */
static void last_words(int fd, char *text, size_t bytes)
{
	char tail[SAID_BYTES], *line;
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = size < SAID_BYTES ? 0 : size - SAID_BYTES + 1;
	ssize_t got = fd < 0 ? 0 : pread(fd, tail, sizeof(tail) - 1, from);

	while (got > 0 && tail[got - 1] == '\n')
		got--;
	tail[got > 0 ? got : 0] = '\0';
	line = strrchr(tail, '\n');
	snprintf(text, bytes, "%s", line ? line + 1 : tail);
}

/* The recorder ends as the program did; what it says itself begins with its name. */
static void explain_failure(const char *program, int status, const char *said, struct rh_err *err)
{
	bool own = strncmp(said, "reheap", 6) == 0 || strncmp(said, "record:", 7) == 0;
	char why[SAID_BYTES];

	snprintf(why, sizeof(why), "%s", own ? said : err->text);
	if (WIFSIGNALED(status) && !own)
		rh_fail(err, err->code, "%s was ended by signal %d (%s) when it was recorded%s%s",
			program, WTERMSIG(status), strsignal(WTERMSIG(status)),
			said[0] ? "; it said: " : "", said);
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && !own)
		rh_fail(err, err->code,
			"%s ended with exit status %d when it was recorded: a run that fails is no "
			"measure of one that works%s%s",
			program, WEXITSTATUS(status), said[0] ? "; it said: " : "", said);
	else
		rh_fail(err, err->code, "%s cannot be recorded: %s", program, why);
}

static int record(const struct rh_validate_config *config, const char *path, const char *preload,
		  unsigned *left, struct rh_err *err)
{
	static char command[] = "record", quiet[] = "-q", output[] = "-o", on[] = "--preload",
		    end[] = "--";
	char self[4096], said[SAID_BYTES];
	char *head[] = { self, command, quiet, output, (char *)(uintptr_t)path, end, NULL, NULL };
	size_t given = 0, fixed = 6;
	struct rh_real real = { .driver = config->driver,
				.name = config->argv[0],
				.timeout_ns = config->timeout_ns,
				.input = config->input };
	struct rh_real_cost cost = { .status = 0 };
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
	last_words(real.output_fd, said, sizeof(said));
	*left = cost.left;
	if (result < 0 && !rh_interrupted)
		explain_failure(config->argv[0], cost.status, said, err);
	if (real.output_fd >= 0)
		close(real.output_fd);
	free(argv);
	return result;
}

/* What validate wants to know of a recording. */
struct recorded {
	uint64_t calls, births, born_bytes;
	uint32_t threads;	   /* that make a part of them worth a word */
	bool in_cxx;		   /* it calls operator new */
	char served[LINKED_BYTES]; /* the malloc that served them; "" = the trace does not say */
	char complete[200];	   /* the recorder's verdict: "yes", or why not */
	unsigned left;		   /* processes that it left running */
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
			if (batch[i].kind == RH_EV_ALLOC) {
				recorded->births++;
				recorded->born_bytes += batch[i].size;
			}
			recorded->calls++;
		}
	for (size_t i = 0; i < lanes; i++)
		recorded->threads += (double)of_lane[i] >= THREAD_SHARE * (double)recorded->calls;
	free(of_lane);
	return count;
}

/* `preload`: the library the program is to run on; NULL = its own. */
static int record_to(const struct rh_validate_config *config, const char *path, const char *preload,
		     struct recorded *recorded, struct rh_err *err)
{
	struct rh_trace *trace;
	const char *name;
	int result;

	*recorded = (struct recorded){ .calls = 0 };
	if (record(config, path, preload, &recorded->left, err) < 0)
		return -1;
	/* The recorder itself was ended, before it had begun. */
	if (config->driver && access(path, F_OK) < 0)
		return rh_fail(err, RH_FAILED,
			       "the driver ended before %s had begun: it must wait for the server, "
			       "load it, and then end",
			       config->argv[0]);
	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	result = count_calls(trace, recorded, err);
	name = result == 0 ? rh_trace_note_of(trace, "allocator") : NULL;
	snprintf(recorded->served, sizeof(recorded->served), "%s", name ? name : "");
	name = result == 0 ? rh_trace_note_of(trace, "complete") : NULL;
	snprintf(recorded->complete, sizeof(recorded->complete), "%s", name ? name : "yes");
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
			      struct recorded *recorded, struct rh_err *err)
{
	const char *preload = out->result.backends[out->base].spec->preload;

	if (!config->quiet)
		rh_progress("recording %s", config->argv[0]);
	if (record_to(config, config->trace, preload[0] ? preload : NULL, recorded, err) < 0)
		return -1;
	if (!preload[0] && !is_libc(recorded->served)) {
		snprintf(out->linked, sizeof(out->linked), "%s", recorded->served);
		if (record_to(config, config->trace, rh_validate_libc, recorded, err) < 0)
			return -1;
		if (!is_libc(recorded->served))
			return rh_fail(err, RH_FAILED,
				       "%s runs on the malloc of %s whatever is preloaded: no "
				       "other allocator can be put under it",
				       config->argv[0], recorded->served);
	}
	out->events = recorded->calls;
	out->threads = recorded->threads;
	/* Allocators in C++ load its runtime; for a program in C++ that is no cost of theirs. */
	snprintf(out->behind, sizeof(out->behind), "%s%s%s", out->linked,
		 out->linked[0] && recorded->in_cxx ? ":" : "",
		 recorded->in_cxx ? runtime_name : "");
	return 0;
}

/* The share of the user time that processes have which the program starts; 0 = none is known. */
static double share_of_children(const struct rh_validate *out)
{
	uint32_t base = (uint32_t)out->base;
	struct rh_runner_job load = { .row = base, .nothing = true }, job = { .row = base };
	struct rh_real_cost cost;
	struct rh_err ignored;
	double all;

	if (rh_runner_run(&out->runner, &load, &cost, &ignored) < 0 ||
	    rh_runner_run(&out->runner, &job, &cost, &ignored) < 0)
		return 0;
	all = cost.sampled.inside_s + cost.sampled.outside_s + cost.sampled.others_s;
	return all > 0 ? cost.sampled.others_s / all : 0;
}

static int too_few_calls(const struct rh_validate_config *config, const struct rh_validate *out,
			 const struct recorded *recorded, struct rh_err *err)
{
	double children = strcmp(recorded->complete, "yes") == 0 ? share_of_children(out) : 0;
	double mean =
		recorded->births ? (double)recorded->born_bytes / (double)recorded->births : 0;
	char why[300] = "it has no use for a heap";

	if (recorded->left)
		snprintf(
			why, sizeof(why),
			"it goes on in the background, in %u process%s that it left: let it run in "
			"the foreground, a server with --driver",
			recorded->left, recorded->left == 1 ? "" : "es");
	else if (children > CHILDREN_SHARE)
		snprintf(why, sizeof(why),
			 "%.0f %% of the user time is that of processes it starts: name the one "
			 "that does the work",
			 100 * children);
	else if (strcmp(recorded->complete, "yes") != 0)
		snprintf(why, sizeof(why), "others cannot be seen: %s", recorded->complete);
	else if (mean >= LARGE_BYTES)
		snprintf(why, sizeof(why),
			 "it takes its memory in few large blocks (%llu of %.0f KiB on the mean) "
			 "and divides them itself, or uses them whole: no malloc does much for it",
			 (unsigned long long)recorded->births, mean / 1024);
	return rh_fail(err, RH_FAILED,
		       "%s made %llu heap calls that a preloaded library sees, too few to judge "
		       "(%d): %s",
		       config->argv[0], (unsigned long long)out->events, CALLS_LEAST, why);
}

int rh_validate_record(const struct rh_validate_config *config, struct rh_validate *out,
		       struct rh_err *err)
{
	struct recorded recorded;
	char again[4096 + 8];
	const char *preload = out->result.backends[out->base].spec->preload;
	double apart;
	int result;

	snprintf(again, sizeof(again), "%s.again", config->trace);
	if (record_on_baseline(config, out, &recorded, err) < 0)
		return -1;
	if (out->events < CALLS_LEAST)
		return too_few_calls(config, out, &recorded, err);
	result = record_to(config, again,
			   preload[0]	    ? preload
			   : out->linked[0] ? rh_validate_libc
					    : NULL,
			   &recorded, err);
	unlink(again);
	if (result < 0)
		return -1;
	out->events_again = recorded.calls;
	apart = fabs((double)out->events - (double)out->events_again);
	out->nondeterministic = apart > DIFFERENT_SHARE * (double)out->events;
	out->calls_mean = ((double)out->events + (double)out->events_again) / 2;
	return 0;
}
