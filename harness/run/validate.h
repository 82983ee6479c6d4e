/*
 * validate.h - does a replay predict reality? The real program under every allocator, next to its
 * replay.
 *
 *	1  the program is recorded twice, on the baseline, to see whether two runs make the same
 *	   calls. A program that links its own allocator gets libc's preloaded wherever libc is
 *	   meant
 *	2  on request, each backend once under callgrind: instructions
 *	3  rounds: every backend under the program, under what does nothing (what loading costs:
 *	   time of /bin/true, memory of a worker) and under the replay of the recording, next to
 *	   each other, so that the machine's load hits both sides; the order is shuffled for each
 *	   round. More rounds than asked for, within a budget of time, where they can be expected
 *	   to bring a verdict on CPU time (validate_rounds.c)
 *	   The replay reads the first byte of a block before it frees it: programs mostly have,
 *	   and headers beside blocks are then in the cache. On programs of the tuning half (those
 *	   of set_scales in validate_compare.c) that makes 25 of 31 significant changes of time
 *	   in the allocator's code right to a third, for 19 without
 *	4  if several threads call the heap: replays that keep the recorded gaps, for contention
 *	   (validate_paced.c)
 *	5  of the user time of both sides the part in the allocator's own code, by samples: what
 *	   changes elsewhere is the program's own and is not predicted (harness/launch/samples.h)
 *	   On the baseline that also shows how much longer calls take in the program than in the
 *	   replay, and the predictions are scaled for it. Only the baseline's real run is used
 *	   for that: nothing that was observed under another allocator is in its prediction
 *	6  change against the baseline, predicted beside observed (validate_compare.c), which
 *	   becomes a part of the result (harness/result/fields_truth.h)
 *
 * A program whose two recordings differ by more than 1 % in heap calls is compared by rates: the
 * prediction is scaled to the mean number of calls and reported per call.
 *
 * Refused, with the reason: programs under 50 ms of CPU, programs whose heap calls cannot be
 * seen, backends that cannot be put under a program.
 *
 * Ownership: rh_validate_free. Thread rule: main thread. Errors: RH_USAGE, RH_FAILED, those of
 * real.h and run.h.
 */
#ifndef RH_VALIDATE_H
#define RH_VALIDATE_H

#include "harness/launch/real.h"
#include "harness/result/truth.h"
#include "harness/run/run.h"

struct rh_validate_config {
	char **argv;
	const char *driver, *backends, *baseline; /* driver, baseline may be NULL */
	const char *trace;			  /* where the recording is kept */
	uint64_t reps, seed, timeout_ns;
	uint64_t budget_ns; /* of time for all of it, while more rounds than `reps` help; 0: none */
	bool quiet;
	bool instructions; /* callgrind, of the program and of the whole replay */
	bool input;	   /* the program reads our standard input, a file, each time */
};

/* validate_runner.c: a child of ours, forked while we are small, that runs the programs. */
struct rh_runner {
	int fd;
	int pid; /* 0: none */
};
struct rh_runner_job {
	uint32_t row; /* of `rows`, as they were when the runner was forked */
	bool nothing; /* /bin/true instead of the program */
	bool watch;   /* its threads */
	char libc[64];
	char behind[96]; /* what the program loads is loaded in what does nothing, too */
};
struct rh_validate;
int rh_runner_begin(struct rh_runner *runner, const struct rh_validate_config *config,
		    const struct rh_validate *of, struct rh_err *err);
int rh_runner_run(const struct rh_runner *runner, const struct rh_runner_job *job,
		  struct rh_real_cost *cost, struct rh_err *err);
void rh_runner_end(struct rh_runner *runner);

/* The first ones are judged; the others show where a change comes from. */
enum rh_validate_field {
	RH_VALIDATE_CPU,
	RH_VALIDATE_RSS,
	RH_VALIDATE_INSTRUCTIONS, /* of the whole program */
	RH_VALIDATE_HEAP,	  /* of those, the ones inside calls of the allocator */
	RH_VALIDATE_CODE,	  /* user time in the allocator's own code, sampled */
	/* contention, of programs with threads: all threads together */
	RH_VALIDATE_ASLEEP,   /* time in which they neither ran nor waited for a CPU */
	RH_VALIDATE_SWITCHES, /* how often they went to sleep */
	RH_VALIDATE_FUTEX,    /* calls of futex(2) */
	RH_VALIDATE_JUDGED,
	RH_VALIDATE_USER = RH_VALIDATE_JUDGED,
	RH_VALIDATE_KERNEL,
	RH_VALIDATE_FAULTS,
	RH_VALIDATE_FIELDS
};

struct rh_validate_what {
	const char *name, *unit; /* in the result: "cpu", "s" */
	const char *title;	 /* for people */
	const char *shown;	 /* the unit there, and how many of it are one of `unit` */
	double scale;
	const char *rate; /* the unit of a rate per heap call, likewise; NULL = it has none */
	double rate_scale;
};
extern const struct rh_validate_what rh_validate_whats[RH_VALIDATE_FIELDS];

/* Instructions of one run under callgrind, over all threads. */
struct rh_validate_count {
	double all, heap; /* heap: inside calls of the malloc family, callees included */
};

/* The observations of one backend, by round. */
struct rh_validate_row {
	const char *name;			     /* of the result's backend */
	double *user, *system, *wall, *rss, *faults; /* of the program: seconds, bytes, count */
	double *load_cpu, *load_rss;		     /* of /bin/true */
	/* of the program's threads, NaN = not watched: seconds, the time they were seen, counts */
	double *asleep, *threads, *switches, *futex;
	/* user time in the allocator's code, elsewhere in the program, and of processes that it
	 * started; NaN = not sampled: seconds */
	double *inside, *outside, *others;
	struct rh_interval own; /* change of user time elsewhere: of the program's own */
	struct rh_validate_count count, load_count; /* by callgrind; NaN = not asked for */
	struct rh_truth truth[RH_VALIDATE_FIELDS];  /* seconds; bytes; counts */
	const char *why[RH_VALIDATE_FIELDS];	    /* of the pool: "" = nothing to say */
};

struct rh_validate {
	struct rh_result result;      /* of the replay */
	struct rh_validate_row *rows; /* by backend of the result, the floor not among them */
	size_t row_count, base;
	uint64_t rounds, rounds_wanted; /* that have run; that shall */
	uint64_t events, events_again;	/* heap calls of the two recordings */
	bool nondeterministic;		/* they differ by more than 1 % */
	double calls_mean;		/* of both */
	char linked[64];		/* the allocator that the program links; "" = libc's */
	char behind[96];		/* that, and the C++ runtime if it has one */
	struct rh_runner runner;
	double cpu_s, load_s; /* of the program under the baseline, and of loading it */
	double heap_s;	      /* the heap's own CPU time by the replay, net of the floor */
	/* of the time in the allocator's code under the baseline, observed to replayed (NaN = not
	 * known), and by which predicted times of calls were scaled for it (1 = not): of the
	 * others, and of the baseline itself */
	double ratio, scale, base_scale;
	double heap_instructions;  /* likewise, by callgrind; NaN = not asked for */
	double inside_s, others_s; /* observed under the baseline: in the allocator's code, and of
				    * processes that it started; NaN = not sampled */
	char sample_why[RH_SAMPLES_WHY_BYTES]; /* why nothing is sampled; "" = it is */
	struct rh_validate_count again; /* of a second run on the baseline: the program's scatter */
	double rss_bytes;
	uint32_t threads;	    /* that make 1 % of the heap calls or more */
	bool paced;		    /* with several of them: there is a second replay */
	struct rh_result contended; /* it, with recorded gaps kept and its sleeps counted */
	char futex_why[RH_TRACEPOINT_WHY_BYTES]; /* why the program's futex calls are not counted */
};

/* Whether a field is of contention. */
static inline bool rh_validate_contends(enum rh_validate_field field)
{
	return field >= RH_VALIDATE_ASLEEP && field <= RH_VALIDATE_FUTEX;
}

int rh_validate_run(const struct rh_validate_config *config, struct rh_validate *out,
		    struct rh_err *err);
int rh_validate_instructions(const struct rh_real *real, struct rh_validate_count *count,
			     struct rh_err *err);

/* validate_record.c: fills the number of calls and threads, and what the program links. */
int rh_validate_record(const struct rh_validate_config *config, struct rh_validate *out,
		       struct rh_err *err);
/* Preloaded where libc is meant and the program links another allocator: the loader knows where it
 * is. */
extern const char rh_validate_libc[];

/* validate_paced.c: fills `contended`. */
int rh_validate_paced(const struct rh_validate_config *config, struct rh_validate *out,
		      struct rh_err *err);
/* One figure of one of its trials; NAN where it was not measured. */
double rh_validate_paced_value(const struct rh_trial *trial, enum rh_validate_field field);

/* validate_rounds.c: how many rounds there may be; whether another one follows. */
uint64_t rh_validate_rounds_most(const struct rh_validate_config *config);
bool rh_validate_more(const struct rh_validate_config *config, struct rh_validate *out,
		      uint64_t round_ns, uint64_t left_ns);

/* validate_compare.c: fills the rows' truth from the rounds that have run, and the sums. */
int rh_validate_judge(const struct rh_validate_config *config, struct rh_validate *out,
		      struct rh_err *err);
/* The same, with the reasons and result.validation. */
int rh_validate_compare(const struct rh_validate_config *config, struct rh_validate *out,
			struct rh_err *err);

/* validate_why.c: fills the rows' why. */
void rh_validate_explain(struct rh_validate *validate, uint64_t rounds);

/* The heap's share of the program's CPU time, by its replay: 0 to 1. */
double rh_validate_share(const struct rh_validate *validate);

void rh_validate_free(struct rh_validate *validate);

/* The backends that can be put under a program and are installed: "libc,jemalloc,...". The caller
 * frees it. */
char *rh_validate_backends(void);

#endif
