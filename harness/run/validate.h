/*
 * validate.h - is a replay true? The program under every allocator for real, beside its replay.
 *
 *	1  the program is recorded twice: do two runs make the same calls?
 *	2  rounds: every backend under the program and under /bin/true (what loading costs), in an
 *	   order shuffled for each round
 *	3  on request, each once more under callgrind: instructions
 *	4  its trace is replayed on the same backends, as often
 *	5  change against the baseline, predicted beside observed (validate_compare.c), which
 *	   becomes a part of the result (harness/result/fields_truth.h)
 *
 * A program whose two recordings differ by more than 1 % in heap calls is compared by rates: what
 * the replay predicts is scaled to the mean number of calls, and told per call.
 *
 * What is refused, with the reason: programs under 50 ms of CPU, programs that make no heap calls
 * that can be seen, backends that cannot be put under a program.
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
	bool quiet;
	bool instructions; /* callgrind, of the program and of the whole replay */
};

/* The first three are judged; the rest says where a change comes from. */
enum rh_validate_field {
	RH_VALIDATE_CPU,
	RH_VALIDATE_RSS,
	RH_VALIDATE_INSTRUCTIONS,
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

/* A backend: what was seen of it, by round. */
struct rh_validate_row {
	const char *name;			     /* of the result's backend */
	double *user, *system, *wall, *rss, *faults; /* of the program: seconds, bytes, count */
	double *load_cpu, *load_rss;		     /* of /bin/true */
	double instructions, load_instructions;	     /* by callgrind; NaN = not asked for */
	struct rh_truth truth[RH_VALIDATE_FIELDS];   /* seconds; bytes; counts */
};

struct rh_validate {
	struct rh_result result;      /* of the replay */
	struct rh_validate_row *rows; /* by backend of the result, the floor not among them */
	size_t row_count, base;
	uint64_t events, events_again; /* heap calls of the two recordings */
	bool nondeterministic;	       /* they differ by more than 1 % */
	double calls_mean;	       /* of both */
	double cpu_s, load_s;	       /* of the program under the baseline, and of loading it */
	double heap_s;		       /* the heap's own CPU time by the replay, net of the floor */
	double heap_instructions;      /* likewise, by callgrind; NaN = not asked for */
	double rss_bytes;
};

int rh_validate_run(const struct rh_validate_config *config, struct rh_validate *out,
		    struct rh_err *err);
/* Of one program under callgrind: instructions of all its threads. */
int rh_validate_instructions(const struct rh_real *real, double *count, struct rh_err *err);

/* validate_compare.c: fills the rows' truth, the sums, and result.validation. */
int rh_validate_compare(const struct rh_validate_config *config, struct rh_validate *out,
			struct rh_err *err);

void rh_validate_free(struct rh_validate *validate);

/* The backends that can be put under a program and are here: "libc,jemalloc,...". The caller
 * frees it. */
char *rh_validate_backends(void);

#endif
