/*
 * counters_papi.c - counters by PAPI, which knows the events of more CPUs than we do.
 *
 * The library is opened on demand (dlopen): reheap runs without it and then says so. It is
 * loaded into the driver only and attaches to the worker's threads, one event set per thread.
 * Names in the chains are presets (PAPI_...) or native events; which one counted is part of the
 * result.
 *
 * Attaching needs a PMU even for software events: PAPI 7.0 tests its permission on the
 * instruction counter.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/probe/counters.h"

#if __has_include(<papi.h>)
#include <papi.h>

struct rh_counter_set {
	int handle;
	unsigned count;
};

/* The functions that we call, with the types of its header. */
static struct {
	__typeof__(&PAPI_library_init) library_init;
	__typeof__(&PAPI_set_debug) set_debug;
	__typeof__(&PAPI_set_domain) set_domain;
	__typeof__(&PAPI_create_eventset) create_eventset;
	__typeof__(&PAPI_assign_eventset_component) assign_eventset_component;
	__typeof__(&PAPI_attach) attach;
	__typeof__(&PAPI_add_named_event) add_named_event;
	__typeof__(&PAPI_start) start;
	__typeof__(&PAPI_stop) stop;
	__typeof__(&PAPI_cleanup_eventset) cleanup_eventset;
	__typeof__(&PAPI_destroy_eventset) destroy_eventset;
	__typeof__(&PAPI_strerror) strerror;
} papi;

static int find_symbols(void *library)
{
	static const char *const names[] = {
		"PAPI_library_init",
		"PAPI_set_debug",
		"PAPI_set_domain",
		"PAPI_create_eventset",
		"PAPI_assign_eventset_component",
		"PAPI_attach",
		"PAPI_add_named_event",
		"PAPI_start",
		"PAPI_stop",
		"PAPI_cleanup_eventset",
		"PAPI_destroy_eventset",
		"PAPI_strerror",
	};
	void *entry[sizeof(names) / sizeof(names[0])];

	_Static_assert(sizeof(entry) == sizeof(papi), "a name for every function");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		entry[i] = dlsym(library, names[i]);
		if (!entry[i])
			return -1;
	}
	memcpy(&papi, entry, sizeof(papi));
	return 0;
}

static int load(struct rh_err *err)
{
	static const char *const sonames[] = { "libpapi.so.7.0", "libpapi.so.7.1", "libpapi.so.7.2",
					       "libpapi.so" };
	void *library = NULL;
	int version;

	for (size_t i = 0; !library && i < sizeof(sonames) / sizeof(sonames[0]); i++)
		library = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return rh_fail(err, RH_ABSENT, "PAPI is not found: install libpapi7.0");
	if (find_symbols(library) < 0)
		return rh_fail(err, RH_ABSENT, "the libpapi that is found lacks functions we call");
	version = papi.library_init(PAPI_VER_CURRENT);
	if (version != PAPI_VER_CURRENT)
		return rh_fail(err, RH_ABSENT, "PAPI does not start: %s",
			       version > 0 ? "its version is not the one of the header"
					   : papi.strerror(version));
	papi.set_debug(PAPI_QUIET);
	return 0;
}

static int ready(struct rh_err *err)
{
	static struct rh_err kept;
	static enum { UNTRIED, GOOD, BAD } state;

	if (state == UNTRIED)
		state = load(&kept) == 0 ? GOOD : BAD;
	return state == GOOD ? 0 : rh_fail(err, kept.code, "%s", kept.text);
}

static const char *const *chain(enum rh_counter counter, enum rh_cpu_family family)
{
	static const char *const any[RH_COUNTERS][RH_COUNT_CHAIN_MAX] = {
		[RH_COUNT_INSTRUCTIONS] = { "PAPI_TOT_INS", "perf::INSTRUCTIONS" },
		[RH_COUNT_CYCLES] = { "PAPI_TOT_CYC", "perf::CYCLES" },
		[RH_COUNT_L1D_MISSES] = { "PAPI_L1_DCM", "perf::L1-DCACHE-LOAD-MISSES" },
		[RH_COUNT_L2_MISSES] = { "PAPI_L2_DCM" },
		[RH_COUNT_LLC_MISSES] = { "PAPI_L3_TCM", "PAPI_L3_LDM", "perf::CACHE-MISSES" },
		[RH_COUNT_DTLB_MISSES] = { "PAPI_TLB_DM", "perf::DTLB-LOAD-MISSES" },
		[RH_COUNT_BRANCH_MISSES] = { "PAPI_BR_MSP", "perf::BRANCH-MISSES" },
		[RH_COUNT_PAGE_FAULTS] = { "perf::PAGE-FAULTS" },
		[RH_COUNT_CONTEXT_SWITCHES] = { "perf::CONTEXT-SWITCHES" },
		[RH_COUNT_MIGRATIONS] = { "perf::CPU-MIGRATIONS" },
		[RH_COUNT_TASK_CLOCK] = { "perf::TASK-CLOCK" },
	};
	static const char *const own[][RH_COUNTERS][RH_COUNT_CHAIN_MAX] = {
		[RH_CPU_INTEL] = { { NULL } },
		/* No L3 counter on the core: requests that leave the core come nearest. */
		[RH_CPU_AMD] = { [RH_COUNT_LLC_MISSES] = { "perf::CACHE-MISSES" } },
		[RH_CPU_ARM] = {
			[RH_COUNT_L1D_MISSES] = { "PAPI_L1_DCM", "L1D_CACHE_REFILL" },
			[RH_COUNT_L2_MISSES] = { "PAPI_L2_DCM", "L2D_CACHE_REFILL" },
			[RH_COUNT_LLC_MISSES] = { "LL_CACHE_MISS", "LL_CACHE_MISS_RD",
						  "perf::CACHE-MISSES" },
			[RH_COUNT_DTLB_MISSES] = { "L2D_TLB_REFILL", "PAPI_TLB_DM" },
		},
		[RH_CPU_OTHER] = { { NULL } },
	};

	return own[family][counter][0] ? own[family][counter] : any[counter];
}

static int failed(struct rh_counter_set *set, const char *what, int code, struct rh_err *err)
{
	if (set->handle != PAPI_NULL) {
		papi.cleanup_eventset(set->handle);
		papi.destroy_eventset(&set->handle);
	}
	free(set);
	return rh_fail(err, RH_ABSENT, "%s%s%s", what ? what : "", what ? ": " : "",
		       papi.strerror(code));
}

/* Switches and migrations happen in the kernel, so sets of software events only also count there;
 * PAPI has one domain per set, and hardware events must count user mode only. */
static bool all_software(const char *const *names, unsigned count)
{
	static const char *const kernel[] = { "perf::CONTEXT-SWITCHES", "perf::CPU-MIGRATIONS" };
	bool any = false;

	for (unsigned i = 0; i < count; i++) {
		any |= strcmp(names[i], kernel[0]) == 0 || strcmp(names[i], kernel[1]) == 0;
		if (strncmp(names[i], "PAPI_", 5) == 0)
			return false;
	}
	return any;
}

static int start_papi(struct rh_counter_set **out, const char *const *names, unsigned count,
		      pid_t thread, struct rh_err *err)
{
	struct rh_counter_set *set = calloc(1, sizeof(*set));
	int code;

	if (!set)
		return rh_fail(err, RH_OS, "no memory for counters");
	set->handle = PAPI_NULL;
	papi.set_domain(all_software(names, count) ? PAPI_DOM_ALL : PAPI_DOM_USER);
	code = papi.create_eventset(&set->handle);
	if (code == PAPI_OK)
		code = papi.assign_eventset_component(set->handle, 0);
	if (code == PAPI_OK)
		code = papi.attach(set->handle, (unsigned long)thread);
	if (code != PAPI_OK)
		return failed(set, "attach", code, err);
	for (; set->count < count; set->count++) {
		code = papi.add_named_event(set->handle, names[set->count]);
		if (code != PAPI_OK)
			return failed(set, count > 1 ? names[set->count] : NULL, code, err);
	}
	code = papi.start(set->handle);
	if (code != PAPI_OK)
		return failed(set, NULL, code, err);
	*out = set;
	return 0;
}

static int stop(struct rh_counter_set *set, uint64_t *values, struct rh_err *err)
{
	long long got[RH_COUNT_SET_MAX] = { 0 };
	int code = papi.stop(set->handle, got);

	if (code != PAPI_OK)
		return failed(set, NULL, code, err);
	for (unsigned i = 0; values && i < set->count; i++)
		values[i] = (uint64_t)got[i];
	papi.cleanup_eventset(set->handle);
	papi.destroy_eventset(&set->handle);
	free(set);
	return 0;
}

#else

static int ready(struct rh_err *err)
{
	return rh_fail(err, RH_ABSENT, "reheap was built without PAPI (libpapi-dev)");
}

static const char *const *chain(enum rh_counter counter, enum rh_cpu_family family)
{
	(void)counter;
	(void)family;
	return NULL;
}

static int start_papi(struct rh_counter_set **out, const char *const *names, unsigned count,
		      pid_t thread, struct rh_err *err)
{
	(void)out;
	(void)names;
	(void)count;
	(void)thread;
	return ready(err);
}

static int stop(struct rh_counter_set *set, uint64_t *values, struct rh_err *err)
{
	(void)set;
	(void)values;
	return ready(err);
}
#endif

const struct rh_counter_source rh_counters_papi = {
	.name = "papi",
	.open = ready,
	.chain = chain,
	.start = start_papi,
	.stop = stop,
};
