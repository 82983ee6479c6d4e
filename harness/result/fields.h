/*
 * fields.h - every field of a result, once: its key, unit and meaning; every metric, once: its
 * name, unit, source and direction.
 *
 * These lists generate the structures (below), the writer and reader of result files (json.c), the
 * JSON Schema and the tables of RESULT.md (schema.c). A key that is renamed here is renamed
 * everywhere, and code that used the old one does not compile.
 *
 * To add a field: one line here, under the structure it belongs to, and the code that fills it.
 * To add a metric: one line in RH_METRICS (fields_metrics.h), and rh_probe_reading() (probes) or a
 * row in metrics.c. Then `make result-doc` writes the tables of RESULT.md anew.
 *
 * Shapes and how absent values look: record.h. Ownership: a pool. Thread rule: plain data.
 */
#ifndef RH_FIELDS_H
#define RH_FIELDS_H

#include "harness/result/fields_metrics.h"
#include "harness/result/fields_truth.h"
#include "harness/result/record.h"

/* ---- where and how a run was made ---- */

#define RH_FIELDS_TOOL(F)                                                           \
	F(TEXT, _, name, EVER, "", "`reheap`")                                      \
	F(TEXT, _, version, EVER, "", "version, with the commit it was built from") \
	F(TEXTS, _, argv, EVER, "", "the command line")

#define RH_FIELDS_CLOCK_USED(F)                                                   \
	F(TEXT, _, source, NULL, "", "`tsc` or the name of a system clock")       \
	F(TEXT, _, why, NULL, "", "why not the TSC")                              \
	F(REAL, _, ns_per_tick, EVER, "ns", "length of a tick")                   \
	F(REAL, _, granularity_ns, EVER, "ns", "smallest step that was seen")     \
	F(REAL, _, pair_cost_ns, EVER, "ns", "cost of an empty pair of readings") \
	F(REAL, _, drift_ppm, EVER, "ppm", "against CLOCK_MONOTONIC_RAW")

#define RH_FIELDS_HOST_USED(F)                                                 \
	F(TEXT, _, name, NULL, "", "name of the host")                         \
	F(TEXT, _, kernel, NULL, "", "release of the kernel")                  \
	F(TEXT, _, cpu_model, NULL, "", "model of the CPU")                    \
	F(U32, _, cpus, EVER, "", "CPUs online")                               \
	F(U32, _, cpus_allowed, EVER, "", "CPUs this process may use")         \
	F(U64, _, memory_bytes, EVER, "bytes", "memory of the machine")        \
	F(U64, _, page_bytes, EVER, "bytes", "size of a page")                 \
	F(TEXT, _, hypervisor, NULL, "", "name of the hypervisor")             \
	F(TEXT, _, thp, NULL, "", "setting of transparent huge pages")         \
	F(TEXT, _, governor, NULL, "", "frequency governor")                   \
	F(TEXT, _, libc, NULL, "", "version of libc")                          \
	F(REAL, _, load1, EVER, "", "load average over a minute at the start") \
	F(REAL, _, fault_ns, MAY, "ns", "CPU time of a page fault, measured")  \
	F(REC, clock_used, clock, EVER, "", "the clock that times were read from")

#define RH_FIELDS_CONFIG_USED(F)                                                   \
	F(U64, _, reps, EVER, "", "trials of every backend")                       \
	F(U64, _, seed, EVER, "", "of the order of trials")                        \
	F(U64, _, passes, MAY, "",                                                 \
	  "passes over the trace in each trial, where a number was asked for")     \
	F(U64, _, for_ns, MAY, "ns", "passes went on for so long (`--for`)")       \
	F(INTS, _, lanes, EVER, "", "numbers of lanes that were run")              \
	F(INTS, _, copies, EVER, "", "numbers of copies that were run")            \
	F(TEXT, _, touch, EVER, "", "what was written of blocks (`--touch`)")      \
	F(TEXT, _, pace, EVER, "", "`none`, `think` or `open` (`--pace`)")         \
	F(BOOL, _, verify, EVER, "", "every block was filled and checked")         \
	F(TEXTS, _, probes, EVER, "", "what was asked for (`--probes`)")           \
	F(TEXT, _, baseline, NULL, "", "spec that ratios refer to")                \
	F(U64, _, memory_limit, NULL, "bytes", "writable memory a worker may map") \
	F(U64, _, sample, EVER, "", "latency times one operation in so many")      \
	F(REAL, _, speed, EVER, "", "of `--pace`: 2 = twice as fast as recorded")  \
	F(BOOL, _, pin, EVER, "", "each lane stayed on one CPU")

/* ---- what was replayed, and on which backends ---- */

#define RH_FIELDS_PROGRAM_USED(F)                                            \
	F(U32, _, lanes, EVER, "", "lanes it was compiled for")              \
	F(BOOL, _, folded, EVER, "", "recorded lanes are merged onto fewer") \
	F(U64, _, waits, EVER, "", "waits for another lane")                 \
	F(U64, _, publishes, EVER, "", "places where progress is published") \
	F(U64, _, slots, EVER, "", "slots of the table of objects")          \
	F(U32, _, grains, EVER, "", "stretches it can be stopped between")   \
	F(U32, _, epoch_grains, EVER, "", "grains between two barriers")     \
	F(U64, _, compile_ns, EVER, "ns", "time it took to compile")         \
	F(U64, _, edges_all, MAY, "", "edges before pruning")

#define RH_FIELDS_TRACE_USED(F)                                                   \
	F(TEXT, _, path, EVER, "", "path as given")                               \
	F(TEXT, _, name, EVER, "", "last part of the path")                       \
	F(PAIRS, _, notes, EVER, "", "notes of the trace")                        \
	F(LIST, program_used, programs, EVER, "", "one for each number of lanes") \
	F(TEXT, _, sha256, MAY, "", "of the trace file")                          \
	F(U64, _, events, MAY, "", "events")                                      \
	F(U64, _, objects, MAY, "", "objects")                                    \
	F(U32, _, lanes_recorded, MAY, "", "lanes of the recording")              \
	F(U64, _, live_bytes_peak, MAY, "bytes", "most bytes in use at a time")   \
	F(U64, _, live_objects_peak, MAY, "", "most objects in use at a time")    \
	F(U64, _, size_max, MAY, "bytes", "largest object")                       \
	F(TEXT, _, truncated, NULL, "", "what is missing of a file that was cut off")

#define RH_FIELDS_IDENTITY(F)                                                         \
	F(TEXT, _, malloc_path, NULL, "", "library that served malloc in the worker") \
	F(TEXT, _, malloc_build_id, NULL, "", "its build id")                         \
	F(TEXT, _, malloc_version, MAY, "", "its version, as it says itself")         \
	F(TEXT, _, heap_path, NULL, "", "object with the code of the heap")           \
	F(TEXT, _, heap_build_id, NULL, "", "its build id")                           \
	F(TEXT, _, heap_version, MAY, "",                                             \
	  "its version, as it says itself; else what tells its builds apart")         \
	F(PAIRS, _, env, EVER, "", "variables that steer allocators")

#define RH_FIELDS_BACKEND_USED(F)                                                             \
	F(TEXT, _, spec, NEED, "", "what it is called: its label, or the variant as given")   \
	F(TEXT, _, given, MAY, "",                                                            \
	  "the variant behind a label: `[LABEL=]BACKEND[@NAME=VALUE...]`")                    \
	F(TEXT, _, heap, EVER, "", "name of the heap itself, without decorators and knobs")   \
	F(TEXT, _, stack, NULL, "", "stack backend")                                          \
	F(BOOL, _, control, EVER, "",                                                         \
	  "measures the harness or a bound (`null`, `bump`, decorators)")                     \
	F(BOOL, _, deployable, EVER, "", "can be put under a real program")                   \
	F(TEXT, _, status, EVER, "", "`ok`, `absent` or `failed`")                            \
	F(TEXT, _, why, NULL, "", "why it is not ok")                                         \
	F(TEXT, _, role, EVER, "", "`asked`, or `floor`: the null backend that runs unasked") \
	F(REC, identity, identity, EVER, "", "who really served malloc")

/* ---- a trial ---- */

#define RH_FIELDS_DIED(F)                                        \
	F(U32, _, lane, EVER, "", "lane of the worker")          \
	F(U64, _, op, EVER, "", "operation on that lane")        \
	F(U64, _, event, EVER, "", "event of the trace near it") \
	F(TEXT, _, text, EVER, "", "the place in words")

#define RH_FIELDS_WAITS(F)                                     \
	F(U64, _, count, EVER, "", "waits met")                \
	F(U64, _, blocked, EVER, "", "waits that had to wait") \
	F(U64, _, ns, EVER, "ns", "time spent in them")

#define RH_FIELDS_MEMORY(F)                                                \
	F(U64, _, rss_start_bytes, MAY, "bytes", "before the first event") \
	F(U64, _, rss_peak_bytes, MAY, "bytes", "most at any time")        \
	F(U64, _, rss_end_bytes, MAY, "bytes", "after the last segment")   \
	F(U64, _, rss_drained_bytes, MAY, "bytes", "after every live object was freed")

#define RH_FIELDS_SEGMENTS(F)                                                               \
	F(INTS, _, events, EVER, "", "events")                                              \
	F(INTS, _, event_last, EVER, "", "events up to its end")                            \
	F(INTS, _, wall_ns, EVER, "ns", "release to last lane")                             \
	F(INTS, _, cpu_ns, EVER, "ns", "CPU time of the lanes")                             \
	F(INTS, _, rss_bytes, MAY, "bytes", "resident, less the harness's own")             \
	F(INTS, _, live_bytes, EVER, "bytes", "in use at its end")                          \
	F(INTS, _, live_objects, EVER, "", "in use at its end")                             \
	F(INTS, _, live_tasks, EVER, "", "alive at its end")                                \
	F(INTS, _, stack_bytes, EVER, "bytes", "frames called and not returned at its end") \
	F(INTS, _, spawns, EVER, "", "tasks made in it")                                    \
	F(INTS, _, calls, EVER, "", "calls made in it")                                     \
	F(INTS, _, stack_reserved_bytes, MAY, "bytes", "what the stack backend holds")      \
	F(INTS, _, pss_bytes, MAY, "bytes",                                                 \
	  "with shared pages by their share, less the harness's own")                       \
	F(INTS, _, mapped_bytes, MAY, "bytes", "address space, less the harness's own")     \
	F(INTS, _, huge_bytes, MAY, "bytes", "of the resident ones, in huge pages")         \
	F(INTS, _, faults_minor, EVER, "", "page faults without I/O")                       \
	F(INTS, _, faults_major, EVER, "", "page faults with I/O")                          \
	F(INTS, _, switches_voluntary, EVER, "", "context switches by waiting")             \
	F(INTS, _, switches_involuntary, EVER, "", "context switches by the scheduler")

#define RH_FIELDS_PASSES(F)                                                                \
	F(INTS, _, events, EVER, "", "events")                                             \
	F(INTS, _, wall_ns, EVER, "ns", "sum over segments, release to last lane")         \
	F(INTS, _, cpu_ns, EVER, "ns", "CPU time of the lanes")                            \
	F(INTS, _, kernel_ns, EVER, "ns", "of it in the kernel, by the kernel's ticks")    \
	F(INTS, _, run_delay_ns, MAY, "ns", "ready without a CPU, all lanes")              \
	F(INTS, _, blocked_ns, EVER, "ns", "waiting for other lanes, in recorded order")   \
	F(INTS, _, faults, EVER, "", "page faults")                                        \
	F(INTS, _, rss_peak_bytes, MAY, "bytes", "most at the end of a segment")           \
	F(INTS, _, rss_end_bytes, MAY, "bytes", "at its end")                              \
	F(INTS, _, live_end_bytes, EVER, "bytes", "in use at its end")                     \
	F(INTS, _, carried_objects, EVER, "", "alive when it began, from the pass before") \
	F(INTS, _, carried_bytes, EVER, "bytes", "alive when it began, from the pass before")

#define RH_FIELDS_STAT(F)                                     \
	F(TEXT, _, name, EVER, "", "as the backend calls it") \
	F(TEXT, _, unit, EVER, "", "its unit")                \
	F(U64, _, value, EVER, "", "its value before the drain")

/* ---- what probes found ---- */

#define RH_FIELDS_QUANTILE(F)                                                           \
	F(REAL, _, ns, EVER, "ns", "upper edge of its bucket, 1/32 wide at most")       \
	F(BOOL, _, exact, EVER, "", "not below `exact_from_ns`")                        \
	F(REAL, _, lo, MAY, "ns", "95 % interval by ranks; ten samples beyond or more") \
	F(REAL, _, hi, MAY, "ns", "its upper end")

#define RH_FIELDS_LATENCY_OF(F)                                 \
	F(TEXT, _, kind, MAY, "", "kind of operation: its key") \
	F(U64, _, n, EVER, "", "samples")                       \
	F(REAL, _, mean_ns, EVER, "ns", "mean")                 \
	F(REAL, _, max_ns, EVER, "ns", "largest")               \
	F(REC, quantile, p50, EVER, "", "median")               \
	F(REC, quantile, p90, EVER, "", "90 %")                 \
	F(REC, quantile, p99, EVER, "", "99 %")                 \
	F(REC, quantile, p99_9, EVER, "", "99.9 %")             \
	F(REC, quantile, p99_99, EVER, "", "99.99 %")           \
	F(BUCKETS, _, buckets, MAY, "ns", "upper edge and count of every bucket in use")

#define RH_FIELDS_LATENCY_CELLS(F)                                       \
	F(TEXTS, _, kind, EVER, "", "kind of operation")                 \
	F(INTS, _, size_to, EVER, "bytes",                               \
	  "sizes above the octave below, up to this; null: above 1 MiB") \
	F(INTS, _, lane, EVER, "", "lane")                               \
	F(INTS, _, n, EVER, "", "samples")                               \
	F(REALS, _, p50_ns, EVER, "ns", "median")                        \
	F(REALS, _, p99_ns, EVER, "ns", "99 %")                          \
	F(REALS, _, max_ns, EVER, "ns", "largest")

#define RH_FIELDS_LATENCY_SIZES(F)                                                    \
	F(TEXTS, _, kind, EVER, "", "kind of operation")                              \
	F(INTS, _, size_to, EVER, "bytes", "as in `latency_cells`")                   \
	F(INTS, _, n, EVER, "", "samples of all lanes")                               \
	F(REALS, _, mean_ns, EVER, "ns", "mean; n x mean is what these samples took") \
	F(REALS, _, p50_ns, EVER, "ns", "median")                                     \
	F(REALS, _, p99_ns, EVER, "ns", "99 %")

#define RH_FIELDS_LATENCY_RUN(F)                                                                 \
	F(INTS, _, events, EVER, "", "events of each stretch, at most 64 stretches")             \
	F(U64, _, first_bucket, EVER, "", "number of the first bucket, the same in every trial") \
	F(REALS, _, edges_ns, EVER, "ns",                                                        \
	  "lower edges of buckets, four an octave, and the last upper one")                      \
	F(ROWS, _, counts, EVER, "", "by stretch: bucket, counted from `first_bucket`, and samples")

#define RH_FIELDS_LONG_BATCH(F)                                                        \
	F(U32, _, lane, EVER, "", "lane")                                              \
	F(REAL, _, ns, EVER, "ns", "time without waits for other lanes")               \
	F(U64, _, ops, EVER, "", "operations of the batch")                            \
	F(U64, _, op, EVER, "", "operation at its end")                                \
	F(U64, _, faults_minor, EVER, "", "page faults without I/O")                   \
	F(U64, _, faults_major, EVER, "", "page faults with I/O")                      \
	F(U64, _, switches_voluntary, EVER, "", "context switches by waiting")         \
	F(U64, _, switches_involuntary, EVER, "", "context switches by the scheduler") \
	F(U64, _, run_delay_ns, NULL, "ns", "runnable without a CPU")

#define RH_FIELDS_OUTLIERS(F)                                                           \
	F(U64, _, batches, EVER, "", "batches that were timed")                         \
	F(U64, _, batch_ops, EVER, "", "operations of a batch, at least")               \
	F(U64, _, count, EVER, "", "batches that took too long")                        \
	F(U64, _, times_median, EVER, "", "too long: so many times the running median") \
	F(REAL, _, ns, EVER, "ns", "time in them")                                      \
	F(U64, _, with_faults, EVER, "", "of them with a page fault")                   \
	F(U64, _, with_switches, EVER, "", "of them with a context switch")             \
	F(LIST, long_batch, longest, EVER, "", "the longest, 32 a lane at most")

#define RH_FIELDS_LATENCY_FOUND(F)                                                               \
	F(TEXT, _, source, EVER, "", "`own`")                                                    \
	F(U64, _, sample, EVER, "", "one operation in so many was timed")                        \
	F(U64, _, wall_ns, EVER, "ns", "of this pass")                                           \
	F(U64, _, events, EVER, "", "of this pass")                                              \
	F(U64, _, migrated, EVER, "", "samples dropped: the thread changed CPU inside")          \
	F(REAL, _, granularity_ns, EVER, "ns", "step of the clock")                              \
	F(REAL, _, exact_from_ns, EVER, "ns", "three steps: smaller values are mostly rounding") \
	F(REAL, _, pair_ns, EVER, "ns", "cost of an empty pair, taken off every sample")         \
	F(REAL, _, pair_drift_ns, EVER, "ns", "how far it moved from first to last segment")     \
	F(BOOL, _, drifted, EVER, "", "by more than one step of the clock")                      \
	F(REC, latency_of, all, EVER, "", "all operations")                                      \
	F(REC, latency_of, response, MAY, "", "`--pace open`: from when an operation was due")   \
	F(MAP, latency_of, kinds, EVER, "", "by kind of operation")                              \
	F(REC, latency_cells, cells, EVER, "", "columns by kind, size and lane")                 \
	F(REC, latency_sizes, sizes, EVER, "", "columns by kind and size")                       \
	F(REC, latency_run, run, NULL, "", "over the run; null with fewer than two segments")    \
	F(REC, outliers, outliers, EVER, "", "batches that took much longer than others")

#define RH_FIELDS_LOCK_FOUND(F)                                                                  \
	F(TEXT, _, name, EVER, "", "class of the lock")                                          \
	F(TEXT, _, source, EVER, "", "`own` (counters in the lock) or `mallctl` (jemalloc's)")   \
	F(U64, _, acquired, EVER, "", "times it was taken")                                      \
	F(U64, _, contended, EVER, "", "times another had it")                                   \
	F(U64, _, owner_switches, EVER, "", "times another lane had it before")                  \
	F(REAL, _, wait_ns, EVER, "ns", "time waited; jemalloc's without spinning")              \
	F(REAL, _, wait_max_ns, EVER, "ns", "longest wait")                                      \
	F(REAL, _, wait_share, EVER, "share", "wait / (lanes x wall)")                           \
	F(REAL, _, wait_p99_ns, MAY, "ns",                                                       \
	  "upper edge of a power of two; `own` only, as all below")                              \
	F(REAL, _, hold_mean_ns, MAY, "ns", "mean hold; one in 64 is timed")                     \
	F(REAL, _, hold_p99_ns, MAY, "ns", "upper edge of a power of two")                       \
	F(REAL, _, convoy, MAY, "ratio", "wait p99 / hold p99")                                  \
	F(REAL, _, utilisation, MAY, "share", "of the wall clock the busiest instance was held") \
	F(BUCKETS, _, waits, MAY, "ns", "upper edge and count of waits")                         \
	F(U64, _, instances, MAY, "", "locks of the class")                                      \
	F(U64, _, instance, MAY, "", "number of a single lock (`top`)")

#define RH_FIELDS_LOCKS_FOUND(F)                                                              \
	F(TEXTS, _, sources, EVER, "", "where the numbers come from")                         \
	F(REAL, _, span_ns, EVER, "ns", "of all lanes, start to end of their segments")       \
	F(REAL, _, cpu_ns, EVER, "ns", "CPU time in them")                                    \
	F(REAL, _, run_delay_ns, NULL, "ns", "runnable without a CPU")                        \
	F(REAL, _, slept_for_order_ns, EVER, "ns",                                            \
	  "asleep for another lane's recorded order or for recorded times")                   \
	F(REAL, _, blocked_share, NULL, "share", "of the span: neither of those three")       \
	F(U64, _, switches_voluntary, EVER, "", "without the replay's own")                   \
	F(U64, _, futex_calls, NULL, "", "without the replay's own; by tracepoint")           \
	F(U64, _, kernel_contended, NULL, "", "contended locks of the kernel; by tracepoint") \
	F(LIST, lock_found, classes, EVER, "", "locks that can be seen, by class")            \
	F(LIST, lock_found, top, EVER, "", "the ten single locks with most contention")       \
	F(U64, _, dropped, EVER, "", "locks that had no room")

#define RH_FIELDS_MUTEX_FOUND(F)                                              \
	F(TEXT, _, source, EVER, "", "`own`")                                 \
	F(U64, _, acquired, EVER, "", "pthread mutexes and spin locks taken") \
	F(U64, _, contended, EVER, "", "times another had it")                \
	F(U64, _, refused, EVER, "", "trylock that failed")                   \
	F(REAL, _, wait_ns, EVER, "ns", "time waited")                        \
	F(REAL, _, wait_max_ns, EVER, "ns", "longest wait")                   \
	F(U64, _, futex_waits, EVER, "", "futex waits through `syscall()`")   \
	F(U64, _, futex_wakes, EVER, "", "futex wakes through `syscall()`")   \
	F(U64, _, wall_ns, EVER, "ns", "of this pass")                        \
	F(U64, _, events, EVER, "", "of this pass")                           \
	F(BUCKETS, _, waits, EVER, "ns", "upper edge and count of waits")

#define RH_FIELDS_PACE_FOUND(F)                                             \
	F(TEXT, _, source, EVER, "", "`own`")                               \
	F(U64, _, n, EVER, "", "operations with a recorded time")           \
	F(REAL, _, lag_p50_ns, EVER, "ns", "how late they began: median")   \
	F(REAL, _, lag_p99_ns, EVER, "ns", "99 %")                          \
	F(REAL, _, lag_max_ns, EVER, "ns", "largest")                       \
	F(REAL, _, waited_ns, EVER, "ns", "time waited for recorded times") \
	F(BOOL, _, could_not_keep_pace, EVER, "", "lag at p99 above a tenth of the run")

#define RH_FIELDS_COUNTED(F)                                                       \
	F(TEXT, _, name, MAY, "", "what was counted: its key")                     \
	F(TEXT, _, event, EVER, "", "name under which it counted")                 \
	F(TEXT, _, source, EVER, "", "`hw` (user mode) or `sw` (user and kernel)") \
	F(U64, _, total, EVER, "", "of all lanes")                                 \
	F(INTS, _, lanes, EVER, "", "of each lane")                                \
	F(U64, _, events, EVER, "", "events replayed meanwhile")                   \
	F(U64, _, segments, EVER, "", "how often the thread slept in between")

#define RH_FIELDS_COUNTERS_FOUND(F)                  \
	F(TEXT, _, by, EVER, "", "`papi` or `perf`") \
	F(MAP, counted, events, EVER, "", "what was counted, by name")

#define RH_FIELDS_FUNCTION_COST(F)                                                       \
	F(TEXT, _, name, NULL, "", "function")                                           \
	F(TEXT, _, object, NULL, "", "program or library")                               \
	F(REAL, _, ir, EVER, "/event", "instructions")                                   \
	F(REAL, _, d1_misses, EVER, "/event", "misses of the first level, data")         \
	F(REAL, _, ll_misses, EVER, "/event", "misses of the last level")                \
	F(REAL, _, i1_misses, EVER, "/event", "misses of the first level, instructions") \
	F(REAL, _, data_refs, EVER, "/event", "loads and stores")                        \
	F(REAL, _, lock_ops, EVER, "/1000 events", "operations with a LOCK prefix")

#define RH_FIELDS_CALLGRIND_FOUND(F)                                                          \
	F(TEXT, _, source, EVER, "", "`sim`")                                                 \
	F(U64, _, events, EVER, "", "events replayed for it")                                 \
	F(BOOL, _, shortened, EVER, "", "the trace has more")                                 \
	F(TEXT, _, caches, EVER, "", "the simulated machine")                                 \
	F(NUMS, _, totals, EVER, "", "callgrind's own events, without waits for other lanes") \
	F(U64, _, waiting_ir, EVER, "", "instructions of those waits")                        \
	F(LIST, function_cost, functions, EVER, "", "the twelve with most instructions")

#define RH_FIELDS_BLOCKS_FOUND(F)                                                            \
	F(INTS, _, event_last, EVER, "", "events up to the scan")                            \
	F(INTS, _, objects, EVER, "", "live blocks")                                         \
	F(INTS, _, requested_bytes, EVER, "bytes", "asked for")                              \
	F(INTS, _, usable_bytes, EVER, "bytes", "what the heap says it gave")                \
	F(INTS, _, lines, EVER, "", "cache lines they lie in")                               \
	F(INTS, _, lines_shared, EVER, "", "of those with blocks made on two lanes or more") \
	F(INTS, _, pages, EVER, "", "pages they lie in")                                     \
	F(INT, _, given_back_bytes, MAY, "bytes", "in the second after the drain")

#define RH_FIELDS_STACKS_FOUND(F)                                                             \
	F(U64, _, tasks_most, EVER, "", "most tasks alive")                                   \
	F(U64, _, spawns, EVER, "", "tasks made")                                             \
	F(U64, _, calls, EVER, "", "calls made")                                              \
	F(NUMS, _, hit_rates, EVER, "share", "by tier: what it could serve of what asked it") \
	F(NUMS, _, counts, EVER, "", "what the stack backend counts, by its own names")

#define RH_FIELDS_FOUND(F)                                                                       \
	F(REC, latency_found, latency, MAY, "", "time of single operations (a pass of its own)") \
	F(REC, stacks_found, stacks, MAY, "", "tasks and their stacks")                          \
	F(REC, locks_found, locks, MAY, "", "contention")                                        \
	F(REC, pace_found, pace, MAY, "", "whether recorded times were kept (`--pace`)")         \
	F(REC, mutex_found, mutex, MAY, "", "pthread mutexes (a pass of its own)")               \
	F(REC, counters_found, counters, MAY, "",                                                \
	  "hardware and kernel counters (passes of their own)")                                  \
	F(REC, callgrind_found, callgrind, MAY, "",                                              \
	  "instructions and caches of a simulated machine (a pass of its own)")                  \
	F(REC, blocks_found, blocks, MAY, "", "scans of live blocks (a pass of its own)")

#define RH_FIELDS_TRIAL_DONE(F)                                                              \
	F(U32, _, trace, EVER, "", "index into `traces`")                                    \
	F(U32, _, backend, EVER, "", "index into `backends`")                                \
	F(U32, _, lanes, EVER, "", "lanes")                                                  \
	F(U32, _, copies, EVER, "", "copies of the program side by side")                    \
	F(U32, _, rep, EVER, "", "trials of one rep ran next to each other")                 \
	F(U32, _, order, EVER, "", "place in the shuffled order of its rep")                 \
	F(TEXT, _, status, EVER, "", "`ok`, `failed` or `absent`")                           \
	F(TEXT, _, why, NULL, "", "how it ended when not ok")                                \
	F(U64, _, events, EVER, "", "events replayed")                                       \
	F(U64, _, wall_ns, EVER, "ns", "sum over segments, release to last lane")            \
	F(U64, _, cpu_ns, EVER, "ns", "CPU time of the lanes inside segments")               \
	F(U64, _, alloc_failed, EVER, "", "allocations that failed")                         \
	F(REC, died, died_at, NULL, "", "where a worker ended that should not have")         \
	F(REC, waits, waits, EVER, "", "for other lanes, in recorded order")                 \
	F(REC, memory, memory, EVER, "", "of the heap, the harness's own taken off")         \
	F(REC, segments, segments, EVER, "", "columns of equal length, a row a segment")     \
	F(REC, passes, passes, MAY, "",                                                      \
	  "columns, a row a pass (`--passes`, `--for`); all of the above is the first pass") \
	F(REC, found, probes, EVER, "", "what probes found, by their names")                 \
	F(LIST, stat, stats, MAY, "", "what the backend counts about itself (`--stats`)")

/* ---- all trials together ---- */

#define RH_FIELDS_METRIC(F)                                            \
	F(U32, _, trace, EVER, "", "index into `traces`")              \
	F(U32, _, backend, EVER, "", "index into `backends`")          \
	F(U32, _, lanes, EVER, "", "lanes")                            \
	F(U32, _, copies, EVER, "", "copies")                          \
	F(TEXT, _, name, NEED, "", "see the table of metrics")         \
	F(TEXT, _, unit, EVER, "", "unit of the values")               \
	F(TEXT, _, source, EVER, "", "`hw`, `sw`, `sim` or `own`")     \
	F(TEXT, _, better, EVER, "", "`lower`, `higher` or `none`")    \
	F(U32, _, n, EVER, "", "trials with a value")                  \
	F(REAL, _, median, NEED, "", "median of the values")           \
	F(REAL, _, lo, EVER, "", "sign-test interval of the median")   \
	F(REAL, _, hi, EVER, "", "its upper end")                      \
	F(REAL, _, level, EVER, "", "confidence the interval reaches") \
	F(REAL, _, min, EVER, "", "smallest value")                    \
	F(REAL, _, max, EVER, "", "largest value")                     \
	F(REALS, _, values, EVER, "", "one for each ok trial, in the order of reps")

#define RH_FIELDS_ABSENT_METRIC(F)                                         \
	F(TEXT, _, metric, EVER, "", "metric or probe that was asked for") \
	F(U32, _, backend, NULL, "", "index into `backends`; null = all")  \
	F(TEXT, _, why, EVER, "", "a sentence")

#define RH_FIELDS_DOCUMENT(F)                                                                      \
	F(TEXT, _, schema, NEED, "", "`reheap.result/1`")                                          \
	F(REC, tool, tool, EVER, "", "what wrote it")                                              \
	F(TEXT, _, started, EVER, "", "UTC time of the start (RFC 3339)")                          \
	F(REAL, _, wall_s, EVER, "s", "time the run took")                                         \
	F(U32, _, exit, EVER, "", "0 complete, 1 a trial failed, 6 something asked for is absent") \
	F(REC, host_used, host, EVER, "", "the machine; a value it does not give is null")         \
	F(TEXTS, _, warnings, EVER, "", "sentences a reader must know")                            \
	F(REC, config_used, config, EVER, "", "how it was run")                                    \
	F(LIST, trace_used, traces, NEED, "", "the traces")                                        \
	F(LIST, backend_used, backends, NEED, "", "the backends")                                  \
	F(LIST, trial_done, trials, NEED, "", "one worker's life each")                            \
	F(LIST, metric, metrics, NEED, "", "what the trials say together")                         \
	F(LIST, absent_metric, absent, EVER, "", "asked for and not measured")                     \
	F(REC, validation, validation, MAY, "", "what the program itself did (`reheap validate`)")

/* In the order in which structures depend on each other. */
#define RH_RESULT_RECORDS(R)                          \
	R(tool, RH_FIELDS_TOOL)                       \
	R(clock_used, RH_FIELDS_CLOCK_USED)           \
	R(host_used, RH_FIELDS_HOST_USED)             \
	R(config_used, RH_FIELDS_CONFIG_USED)         \
	R(program_used, RH_FIELDS_PROGRAM_USED)       \
	R(trace_used, RH_FIELDS_TRACE_USED)           \
	R(identity, RH_FIELDS_IDENTITY)               \
	R(backend_used, RH_FIELDS_BACKEND_USED)       \
	R(died, RH_FIELDS_DIED)                       \
	R(waits, RH_FIELDS_WAITS)                     \
	R(memory, RH_FIELDS_MEMORY)                   \
	R(segments, RH_FIELDS_SEGMENTS)               \
	R(passes, RH_FIELDS_PASSES)                   \
	R(stat, RH_FIELDS_STAT)                       \
	R(quantile, RH_FIELDS_QUANTILE)               \
	R(latency_of, RH_FIELDS_LATENCY_OF)           \
	R(latency_cells, RH_FIELDS_LATENCY_CELLS)     \
	R(latency_sizes, RH_FIELDS_LATENCY_SIZES)     \
	R(latency_run, RH_FIELDS_LATENCY_RUN)         \
	R(long_batch, RH_FIELDS_LONG_BATCH)           \
	R(outliers, RH_FIELDS_OUTLIERS)               \
	R(latency_found, RH_FIELDS_LATENCY_FOUND)     \
	R(lock_found, RH_FIELDS_LOCK_FOUND)           \
	R(locks_found, RH_FIELDS_LOCKS_FOUND)         \
	R(mutex_found, RH_FIELDS_MUTEX_FOUND)         \
	R(pace_found, RH_FIELDS_PACE_FOUND)           \
	R(counted, RH_FIELDS_COUNTED)                 \
	R(counters_found, RH_FIELDS_COUNTERS_FOUND)   \
	R(function_cost, RH_FIELDS_FUNCTION_COST)     \
	R(callgrind_found, RH_FIELDS_CALLGRIND_FOUND) \
	R(blocks_found, RH_FIELDS_BLOCKS_FOUND)       \
	R(stacks_found, RH_FIELDS_STACKS_FOUND)       \
	R(found, RH_FIELDS_FOUND)                     \
	R(trial_done, RH_FIELDS_TRIAL_DONE)           \
	R(metric, RH_FIELDS_METRIC)                   \
	R(absent_metric, RH_FIELDS_ABSENT_METRIC)     \
	R(truth_change, RH_FIELDS_TRUTH_CHANGE)       \
	R(truth_seen, RH_FIELDS_TRUTH_SEEN)           \
	R(validation, RH_FIELDS_VALIDATION)           \
	R(document, RH_FIELDS_DOCUMENT)

RH_RESULT_RECORDS(RH_RECORD)

#define RH_RESULT_SCHEMA "reheap.result/1"

/* ---- metrics ---- */

struct rh_metric_row {
	const char *name, *unit, *source, *better, *what;
};
extern const struct rh_metric_row rh_metric_rows[]; /* ends with a row without a name */

/* The row of a metric's name; NULL when it has none. */
const struct rh_metric_row *rh_metric_find(const char *name);

/* ---- a result file ---- */

/* Checks what a table of fields cannot: indices lie inside their arrays, medians are numbers. The
 * pool owns everything. */
int rh_document_read(struct rh_document *document, const char *path, struct rh_pool *pool,
		     struct rh_err *err);
/* The same checks for a document in memory, applied before it is written. */
int rh_document_check(const struct rh_document *document, const char *path, struct rh_err *err);

#endif
