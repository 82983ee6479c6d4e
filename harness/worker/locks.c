/*
 * locks.c - RH_CTL_LOCKS: every lock that can be seen from inside the worker, as rows.
 *
 * Locks of our own backends come through the backend's `locks` entry. jemalloc counts its
 * mutexes itself and reports them through mallctl, which is looked up by name, since the library
 * comes by preload: `stats.mutexes.NAME`, `stats.arenas.4096.mutexes.NAME` and
 * `stats.arenas.4096.bins.J.mutex` (4096 means all arenas together). They are set to zero
 * before the first segment. Its wait time does not include acquisitions by spinning.
 *
 * The query runs on the coordinator, between segments. Names that this jemalloc does not have
 * are skipped: they differ between versions.
 */
#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "harness/control/locks.h"
#include "harness/worker/worker.h"

_Static_assert(sizeof(((struct rh_lock_row *)NULL)->wait_log2) ==
		       sizeof(((struct rh_lock_stats *)NULL)->wait_log2),
	       "a row has the buckets of a lock");
typedef int mallctl_fn(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes);

static struct rh_lock_row *new_row(struct rh_lock_area *area)
{
	if (area->rows == RH_LOCK_ROWS_MAX) {
		area->dropped++;
		return NULL;
	}
	area->row[area->rows] = (struct rh_lock_row){ .instance = 0 };
	return &area->row[area->rows++];
}

static void emit_lock(void *ctx, const struct rh_lock_stats *lock)
{
	struct rh_lock_row *row = new_row(ctx);

	if (!row)
		return;
	snprintf(row->name, sizeof(row->name), "%s", lock->name);
	row->instance = lock->instance;
	row->source = RH_LOCK_OWN;
	row->acquired = lock->acquired;
	row->contended = lock->contended;
	row->owner_switches = lock->owner_switches;
	row->wait = lock->wait_ticks;
	row->wait_max = lock->wait_ticks_max;
	row->hold = lock->hold_ticks;
	row->hold_samples = lock->hold_samples;
	row->hold_max = lock->hold_ticks_max;
	memcpy(row->wait_log2, lock->wait_log2, sizeof(row->wait_log2));
	memcpy(row->hold_log2, lock->hold_log2, sizeof(row->hold_log2));
}

/* ---- jemalloc ---- */

static bool read_number(mallctl_fn *mallctl, const char *prefix, const char *name, uint64_t *value)
{
	char path[160];
	size_t bytes = sizeof(*value);

	*value = 0;
	snprintf(path, sizeof(path), "%s.%s", prefix, name);
	return mallctl(path, value, &bytes, NULL, 0) == 0;
}

static void read_mutex(mallctl_fn *mallctl, struct rh_lock_area *area, const char *prefix,
		       const char *name, uint32_t instance)
{
	struct rh_lock_row *row;
	uint64_t acquired, waits, spins;

	if (!read_number(mallctl, prefix, "num_ops", &acquired) || acquired == 0)
		return;
	row = new_row(area);
	if (!row)
		return;
	snprintf(row->name, sizeof(row->name), "%s", name);
	row->instance = instance;
	row->source = RH_LOCK_MALLCTL;
	row->acquired = acquired;
	read_number(mallctl, prefix, "num_wait", &waits);
	read_number(mallctl, prefix, "num_spin_acq", &spins);
	row->contended = waits + spins;
	read_number(mallctl, prefix, "num_owner_switch", &row->owner_switches);
	read_number(mallctl, prefix, "total_wait_time", &row->wait);
	read_number(mallctl, prefix, "max_wait_time", &row->wait_max);
}

static void read_named(mallctl_fn *mallctl, struct rh_lock_area *area, const char *prefix,
		       const char *const *names)
{
	char path[120];

	for (; *names; names++) {
		snprintf(path, sizeof(path), "%s.%s", prefix, *names);
		read_mutex(mallctl, area, path, *names, 0);
	}
}

static void read_jemalloc(mallctl_fn *mallctl, struct rh_lock_area *area, bool reset)
{
	static const char *const process[] = { "background_thread",
					       "max_per_bg_thd",
					       "ctl",
					       "prof",
					       "prof_thds_data",
					       "prof_dump",
					       "prof_recent_alloc",
					       "prof_recent_dump",
					       "prof_stats",
					       NULL };
	static const char *const arena[] = { "large",
					     "extent_avail",
					     "extents_dirty",
					     "extents_muzzy",
					     "extents_retained",
					     "decay_dirty",
					     "decay_muzzy",
					     "base",
					     "tcache_list",
					     "hpa_shard",
					     "hpa_shard_grow",
					     "hpa_sec",
					     NULL };
	uint64_t epoch = 1;
	unsigned bins = 0;
	size_t bytes = sizeof(bins);
	char path[96];

	if (mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0 ||
	    (reset && mallctl("stats.mutexes.reset", NULL, NULL, NULL, 0) != 0)) {
		area->mallctl = RH_MALLCTL_NO_STATS;
		return;
	}
	area->mallctl = RH_MALLCTL_READ;
	if (reset)
		return;
	read_named(mallctl, area, "stats.mutexes", process);
	read_named(mallctl, area, "stats.arenas.4096.mutexes", arena);
	mallctl("arenas.nbins", &bins, &bytes, NULL, 0);
	for (unsigned j = 0; j < bins; j++) {
		snprintf(path, sizeof(path), "stats.arenas.4096.bins.%u.mutex", j);
		read_mutex(mallctl, area, path, "bin", j);
	}
}

void rh_locks_read(struct worker *worker, bool reset)
{
	struct rh_lock_area *area = rh_ctl_area(worker->ctl, RH_AREA_LOCKS);
	const struct rh_backend *inner = &worker->spec.layer[worker->spec.depth - 1].ops;
	void *symbol;

	assert(worker->spec.depth > 0);
	if (!area)
		return;
	area->rows = area->dropped = 0;
	worker->spec.layer[0].ops.locks(worker->heap, emit_lock, area);
	if (worker->spec.stack.locks)
		worker->spec.stack.locks(worker->stacks, emit_lock, area);
	area->mallctl = RH_MALLCTL_NONE;
	symbol = inner->caps & RH_CAP_PROCESS ? dlsym(RTLD_DEFAULT, "mallctl") : NULL;
	if (symbol) {
		mallctl_fn *mallctl;

		memcpy(&mallctl, &symbol, sizeof(mallctl));
		read_jemalloc(mallctl, area, reset);
	}
}
