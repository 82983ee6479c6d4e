/*
 * latency_run.h - what the latency probe reports besides totals: latency over the run (the heat
 * map) and by size with all lanes together.
 *
 * The run is cut into at most RH_LATENCY_COLUMNS stretches of whole segments, each with a
 * coarse histogram: four buckets an octave, as fine as a picture can show. It is fed between
 * segments, while the lanes rest; a trace with more segments gets longer stretches.
 *
 * Thread rule: one thread. Errors: open returns NULL when memory ran out; add then loses its
 * stretch and json says NULL.
 */
#ifndef RH_LATENCY_RUN_H
#define RH_LATENCY_RUN_H

#include "harness/control/latency.h"
#include "harness/result/fields.h"

enum { RH_LATENCY_COLUMNS = 64, RH_LATENCY_COARSE = RH_HIST_BUCKETS / 8 };

struct rh_latency_rec;

struct rh_latency_rec *rh_latency_run_open(void);
void rh_latency_run_close(struct rh_latency_rec *run); /* NULL allowed */

/* After a segment of so many events: adds what the lanes have recorded since the last call. */
void rh_latency_run_add(struct rh_latency_rec *run, const struct rh_latency_lane *lanes,
			uint32_t seats, uint64_t events);

/* Buckets are counted from first_bucket; NULL with fewer than two stretches or no samples. */
struct rh_latency_run *rh_latency_run_found(struct rh_pool *pool, const struct rh_latency_rec *rec,
					    double ns_per_tick);

/* Columns over the cells of all lanes that have samples. */
struct rh_latency_sizes *rh_latency_sizes(struct rh_pool *pool, const struct rh_latency_lane *lanes,
					  uint32_t seats, double ns_per_tick);

#endif
