/*
 * fields_metrics.h - every metric of a result, once: name, unit, source, direction, meaning.
 * Part of fields.h, which says how to add one. Thread rule: constants.
 */
#ifndef RH_FIELDS_METRICS_H
#define RH_FIELDS_METRICS_H

/* M(name, unit, source, better, what). A '*' at the end stands for percentiles (p50, p99_9). */
#define RH_METRICS(M)                                                                             \
	M("time.ns_per_event", "ns", "own", "lower", "wall time / events, replay loop included")  \
	M("time.ns_per_event_net", "ns", "own", "lower", "the same less the null floor's")        \
	M("time.ratio", "ratio", "own", "lower", "to the baseline, paired within reps")           \
	M("time.ratio_net", "ratio", "own", "lower", "the same of net times")                     \
	M("time.cpu_ns_per_event", "ns", "sw", "lower", "CPU time / events")                      \
	M("time.cpu_share", "share", "sw", "none", "CPU / (lanes x wall)")                        \
	M("time.wait_share", "share", "own", "none",                                              \
	  "time blocked by recorded order / (lanes x wall)")                                      \
	M("program.heap_share", "share", "sw", "none",                                            \
	  "CPU time of the heap, net of the null floor / the program's as recorded")              \
	M("program.saved_share", "share", "sw", "higher",                                         \
	  "CPU time less than with the baseline / the program's as recorded")                     \
	M("apart.user", "share", "sw", "none", "of lane time: CPU time in the allocator")         \
	M("apart.loop", "share", "sw", "none", "CPU time of the replay loop: the null floor's")   \
	M("apart.faults", "share", "sw", "none", "page faults, at their measured cost")           \
	M("apart.kernel", "share", "sw", "none", "what else the kernel did")                      \
	M("apart.waits", "share", "own", "none", "for other lanes, in recorded order")            \
	M("apart.delay", "share", "sw", "none", "ready without a CPU")                            \
	M("apart.idle", "share", "own", "none", "a lane had ended, or not begun, in a segment")   \
	M("apart.rest", "share", "own", "none",                                                   \
	  "none of these; the eight of a trial are 1 together")                                   \
	M("waits.per_event", "share", "own", "none", "waits met")                                 \
	M("waits.blocked_per_event", "share", "own", "none", "waits that had to wait")            \
	M("memory.rss_start_bytes", "bytes", "sw", "lower", "resident before the first event")    \
	M("memory.rss_peak_bytes", "bytes", "sw", "lower", "most resident at any time")           \
	M("memory.reserved_peak_bytes", "bytes", "sw", "none", "most address space")              \
	M("memory.huge_peak_bytes", "bytes", "sw", "none", "most in huge pages")                  \
	M("memory.retained_bytes", "bytes", "sw", "lower", "resident after all was freed")        \
	M("memory.retained_1s_bytes", "bytes", "sw", "lower",                                     \
	  "the same a second later (probe blocks)")                                               \
	M("memory.retained_share", "share", "sw", "lower", "retained / peak")                     \
	M("memory.fragmentation_peak", "ratio", "sw", "lower",                                    \
	  "resident / in use, where most was in use")                                             \
	M("memory.faults_per_event", "count", "sw", "lower", "page faults")                       \
	M("steady.ns_per_event", "ns", "own", "lower", "later passes: wall time / events")        \
	M("steady.ns_per_event_net", "ns", "own", "lower", "the same less the null floor's")      \
	M("steady.ratio", "ratio", "own", "lower", "later passes: to the baseline, paired")       \
	M("steady.cpu_ns_per_event", "ns", "sw", "lower", "later passes: CPU time / events")      \
	M("steady.rss_peak_bytes", "bytes", "sw", "lower", "later passes: most resident")         \
	M("steady.rss_end_bytes", "bytes", "sw", "lower", "resident at the end of the last pass") \
	M("steady.faults_per_event", "count", "sw", "lower", "later passes: page faults")         \
	M("memory.internal_waste", "share", "own", "lower", "(usable - asked) / asked")           \
	M("memory.false_sharing", "share", "own", "lower",                                        \
	  "cache lines of two lanes / lines in use")                                              \
	M("memory.page_density", "share", "own", "higher", "asked for / the pages it lies in")    \
	M("stacks.rss_bytes_per_task", "bytes", "sw", "lower",                                    \
	  "where most tasks live, since the start")                                               \
	M("stacks.reserved_bytes_per_task", "bytes", "own", "lower",                              \
	  "what the stack backend holds, there")                                                  \
	M("stacks.ns_per_spawn", "ns", "own", "lower", "all of the replay for each task made")    \
	M("latency.ns_per_event", "ns", "own", "none", "of the timed pass: what timing adds")     \
	M("latency.max", "ns", "own", "lower", "longest operation")                               \
	M("latency.response.*", "ns", "own", "lower",                                             \
	  "from when an operation was due (`--pace open`)")                                       \
	M("latency.*", "ns", "own", "lower",                                                      \
	  "percentile of all operations, or of a kind: `latency.KIND.p99`")                       \
	M("locks.blocked_share", "share", "sw", "lower", "blocked in the kernel / lane time")     \
	M("locks.run_delay_share", "share", "sw", "none", "ready without a CPU / lane time")      \
	M("locks.switches_voluntary_per_event", "count", "sw", "lower",                           \
	  "without the replay's own")                                                             \
	M("locks.futex_per_event", "count", "sw", "lower", "without the replay's own")            \
	M("locks.kernel_contended_per_event", "count", "sw", "lower",                             \
	  "contended locks of the kernel")                                                        \
	M("locks.acquired_per_event", "count", "own", "lower",                                    \
	  "locks taken, where they can be seen")                                                  \
	M("locks.contended_per_event", "count", "own", "lower", "of those, contended")            \
	M("locks.contended_share", "share", "own", "lower", "contended / taken")                  \
	M("locks.wait_share", "share", "own", "lower", "waiting for locks / (lanes x wall)")      \
	M("locks.utilisation_max", "share", "own", "none", "the busiest lock: held / wall")       \
	M("mutex.ns_per_event", "ns", "own", "none", "of the pass that counts mutexes")           \
	M("mutex.acquired_per_event", "count", "own", "lower", "pthread mutexes taken")           \
	M("mutex.contended_share", "share", "own", "lower", "contended / taken")                  \
	M("mutex.wait_share", "share", "own", "lower", "waiting / (lanes x wall)")                \
	M("mutex.futex_per_event", "count", "own", "lower", "futex calls through `syscall()`")    \
	M("pace.lag_p50", "ns", "own", "lower", "how late operations began, median")              \
	M("pace.lag_p99", "ns", "own", "lower", "the same, 99 %")                                 \
	M("pace.waited_share", "share", "own", "none",                                            \
	  "waiting for recorded times / (lanes x wall)")                                          \
	M("counters.instructions_per_event", "count", "hw", "lower", "instructions")              \
	M("counters.cycles_per_event", "count", "hw", "lower", "cycles")                          \
	M("counters.l1d_misses_per_event", "count", "hw", "lower",                                \
	  "misses of the first level, data")                                                      \
	M("counters.l2_misses_per_event", "count", "hw", "lower", "misses of the second level")   \
	M("counters.llc_misses_per_event", "count", "hw", "lower", "misses of the last level")    \
	M("counters.dtlb_misses_per_event", "count", "hw", "lower", "misses of the data TLB")     \
	M("counters.branch_misses_per_event", "count", "hw", "lower", "mispredicted branches")    \
	M("counters.page_faults_per_event", "count", "sw", "lower", "page faults")                \
	M("counters.context_switches_per_event", "count", "sw", "lower", "context switches")      \
	M("counters.migrations_per_event", "count", "sw", "lower", "moves to another CPU")        \
	M("counters.task_clock_ns_per_event", "ns", "sw", "lower", "CPU time")                    \
	M("counters.ir_per_event", "count", "sim", "lower", "instructions, simulated")            \
	M("counters.d1_misses_per_event", "count", "sim", "lower",                                \
	  "misses of the first level, data, simulated")                                           \
	M("counters.ll_misses_per_event", "count", "sim", "lower",                                \
	  "misses of the last level, simulated")                                                  \
	M("counters.i1_misses_per_event", "count", "sim", "lower",                                \
	  "misses of the first level, instructions, simulated")                                   \
	M("counters.data_refs_per_event", "count", "sim", "lower", "loads and stores, simulated") \
	M("counters.lock_ops_per_1000", "count", "sim", "lower",                                  \
	  "operations with a LOCK prefix per 1000 events, simulated")                             \
	M("code.allocator_ns_per_event", "ns", "sw", "lower",                                     \
	  "user time in the allocator's own code, sampled")                                       \
	M("code.other_ns_per_event", "ns", "sw", "none",                                          \
	  "user time outside of it: the loop, and blocks that are touched")

#endif
