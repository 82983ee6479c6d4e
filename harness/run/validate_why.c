/*
 * validate_why.c - the reason beside each verdict of a validation: which side scatters where
 * there is no verdict, and where in the program the change lies that the replay did not predict.
 *
 * The replay runs the heap alone. What an allocator does to the program's own loads (the cache
 * and the page that hold its blocks) is observed and never predicted; so the smaller the heap's
 * share of the program, the less its own time says about the whole.
 */
#include <assert.h>
#include <math.h>

#include "harness/result/estimate.h"
#include "harness/run/validate.h"

double rh_validate_share(const struct rh_validate *validate)
{
	double own = validate->cpu_s - validate->load_s;

	return own > 0 ? fmin(fmax(validate->heap_s / own, 0), 1) : 0;
}

static const char *shown_as(const struct rh_validate *v, enum rh_validate_field field,
			    double *scale)
{
	const struct rh_validate_what *what = &rh_validate_whats[field];
	bool rates = v->nondeterministic && what->rate;

	*scale = rates ? what->rate_scale / v->calls_mean : what->scale;
	return rates ? what->rate : what->shown;
}

static double half_of(const struct rh_interval *interval, double scale)
{
	return scale * (interval->hi - interval->lo) / 2;
}

/* ---- no verdict ---- */

static const char *uncertain(struct rh_validate *v, size_t row, enum rh_validate_field field,
			     uint64_t rounds)
{
	const struct rh_truth *truth = &v->rows[row].truth[field];
	struct rh_pool *pool = rh_result_pool(&v->result);
	double scale, program, replay;
	const char *unit = shown_as(v, field, &scale);

	program = half_of(&truth->observed, scale);
	replay = half_of(&truth->predicted, scale);
	switch (truth->cause) {
	case RH_TRUTH_ABSENT:
		return "one side was not measured";
	case RH_TRUTH_ROUNDS:
		return rh_pool_printf(pool, "%llu round%s too few", (unsigned long long)rounds,
				      rounds == 1 ? " is" : "s are");
	case RH_TRUTH_PROGRAM:
		return rh_pool_printf(pool, "the program scatters by %.1f %s", program, unit);
	case RH_TRUTH_REPLAY:
		return rh_pool_printf(pool, "the replay scatters by %.1f %s", replay, unit);
	case RH_TRUTH_BOTH:
		return rh_pool_printf(pool, "the program scatters by %.1f %s, the replay by %.1f",
				      program, unit, replay);
	default:
		return rh_pool_printf(pool, "apart by %.1f %s, which is about the scatter of both",
				      scale * fabs(truth->off), unit);
	}
}

/* ---- it is off ---- */

/* Whether most of the error of `whole` lies in `part`. */
static bool mostly(const struct rh_truth *part, const struct rh_truth *whole)
{
	return part->off * whole->off > 0 && 2 * fabs(part->off) > fabs(whole->off);
}

/* Most of what is off changed in the program's own code, where nothing is replayed: then the replay
 * has not been wrong, it has not been asked. True where what changed there is significant, and
 * the prediction with it added is near what was observed. */
static bool lies_in_program(const struct rh_validate_row *row)
{
	const struct rh_truth *cpu = &row->truth[RH_VALIDATE_CPU];
	const struct rh_interval *own = &row->own;
	double near = fmax(cpu->slack, fabs(cpu->observed.median) / 3);

	if (own->n == 0 || own->level < RH_LEVEL_MIN || !(own->lo > 0 || own->hi < 0))
		return false;
	return fabs(cpu->off + own->median) <= near;
}

/* CPU time: if the heap's instructions were counted and predicted, they are not the reason. */
static const char *place_of_time(const struct rh_validate_row *row)
{
	const struct rh_truth *cpu = &row->truth[RH_VALIDATE_CPU];

	if (mostly(&row->truth[RH_VALIDATE_KERNEL], cpu))
		return row->truth[RH_VALIDATE_FAULTS].verdict == RH_TRUTH_OFF
			       ? "in the kernel, with other page faults than predicted"
			       : "in the kernel";
	if (row->truth[RH_VALIDATE_CODE].verdict == RH_TRUTH_OFF)
		return "in the allocator's code, which takes another time in the program";
	if (!mostly(&row->truth[RH_VALIDATE_USER], cpu))
		return "";
	return row->truth[RH_VALIDATE_HEAP].verdict == RH_TRUTH_PREDICTED
		       ? "in the program's own loads (the heap's instructions are as predicted)"
		       : "in user time: the program's own loads are not replayed";
}

static const char *wrong(const struct rh_validate *v, size_t row, enum rh_validate_field field)
{
	switch (field) {
	case RH_VALIDATE_CPU:
		return place_of_time(&v->rows[row]);
	case RH_VALIDATE_USER:
		return "the program's own loads are not replayed";
	case RH_VALIDATE_CODE:
		return "the allocator's code takes another time in the program";
	case RH_VALIDATE_ASLEEP:
	case RH_VALIDATE_SWITCHES:
	case RH_VALIDATE_FUTEX:
		return "the program's threads meet elsewhere than the replay's";
	case RH_VALIDATE_RSS:
	case RH_VALIDATE_FAULTS:
	case RH_VALIDATE_INSTRUCTIONS:
	case RH_VALIDATE_HEAP:
		return v->nondeterministic ? "the program does not do the same twice" : "";
	default:
		return "";
	}
}

/* The prediction of the whole is missed, and it is known where: no verdict on it, but the figure.
 */
static const char *own_part(struct rh_validate *v, struct rh_validate_row *row)
{
	const struct rh_interval *own = &row->own;
	double scale;
	const char *unit = shown_as(v, RH_VALIDATE_CPU, &scale);

	row->truth[RH_VALIDATE_CPU].verdict = RH_TRUTH_CANNOT_TELL;
	row->truth[RH_VALIDATE_CPU].cause = RH_TRUTH_ELSEWHERE;
	return rh_pool_printf(rh_result_pool(&v->result),
			      "%+.1f [%+.1f, %+.1f] %s lie in the program's own code, which no "
			      "replay runs",
			      scale * own->median, scale * own->lo, scale * own->hi, unit);
}

void rh_validate_explain(struct rh_validate *validate, uint64_t rounds)
{
	for (size_t b = 0; b < validate->row_count; b++)
		for (int f = 0; f < RH_VALIDATE_FIELDS; f++) {
			enum rh_validate_field field = (enum rh_validate_field)f;
			struct rh_validate_row *row = &validate->rows[b];

			if (f == RH_VALIDATE_CPU && row->truth[f].verdict == RH_TRUTH_OFF &&
			    lies_in_program(row)) {
				row->why[f] = own_part(validate, row);
				continue;
			}
			row->why[f] = row->truth[f].verdict == RH_TRUTH_CANNOT_TELL
					      ? uncertain(validate, b, field, rounds)
				      : row->truth[f].verdict == RH_TRUTH_OFF
					      ? wrong(validate, b, field)
					      : "";
			assert(row->why[f]);
		}
}
