/*
 * fields_truth.h - the part of a result that `reheap validate` adds: the real program under
 * each allocator, next to the replay of its recording. Part of fields.h. Thread rule:
 * constants.
 */
#ifndef RH_FIELDS_TRUTH_H
#define RH_FIELDS_TRUTH_H

#define RH_FIELDS_TRUTH_CHANGE(F)                                                          \
	F(U32, _, backend, NEED, "", "index into `backends`")                              \
	F(TEXT, _, what, NEED, "",                                                         \
	  "`cpu`, `rss`, `instructions`, `heap_instructions`, `allocator` (user time in "  \
	  "its own code), `asleep`, `switches`, "                                          \
	  "`futex`, `user`, `kernel`, `faults`")                                           \
	F(TEXT, _, unit, EVER, "", "`s`, `bytes` or `count`")                              \
	F(REAL, _, predicted, EVER, "", "change against the baseline, by replay: centre")  \
	F(REAL, _, predicted_lo, EVER, "", "its interval")                                 \
	F(REAL, _, predicted_hi, EVER, "", "its upper end")                                \
	F(REAL, _, observed, EVER, "", "change of the program itself, without loading")    \
	F(REAL, _, observed_lo, EVER, "", "its interval")                                  \
	F(REAL, _, observed_hi, EVER, "", "its upper end")                                 \
	F(REAL, _, level, EVER, "", "confidence of both intervals; 1: counts that repeat") \
	F(REAL, _, slack, EVER, "", "a change below is of no interest")                    \
	F(REAL, _, off, EVER, "", "predicted - observed")                                  \
	F(TEXT, _, verdict, EVER, "", "`predicted`, `off` or `cannot tell`")               \
	F(TEXT, _, why, NULL, "", "where it is off, or why there is no verdict")

#define RH_FIELDS_TRUTH_SEEN(F)                                                               \
	F(U32, _, backend, NEED, "", "index into `backends`")                                 \
	F(REALS, _, user_s, EVER, "s", "CPU time of the program, by round")                   \
	F(REALS, _, kernel_s, EVER, "s", "in the kernel")                                     \
	F(REALS, _, wall_s, EVER, "s", "wall time")                                           \
	F(INTS, _, rss_bytes, EVER, "bytes", "most resident")                                 \
	F(INTS, _, faults, EVER, "", "page faults")                                           \
	F(REALS, _, load_cpu_s, EVER, "s", "CPU time of /bin/true under it")                  \
	F(INTS, _, load_rss_bytes, EVER, "bytes", "resident in a process that does nothing")  \
	F(REALS, _, asleep_s, MAY, "s", "all threads: neither running nor waiting for a CPU") \
	F(REALS, _, threads_s, MAY, "s", "all threads: from the first look to the last")      \
	F(REALS, _, inside_s, MAY, "s", "user time in the allocator's own code, sampled")     \
	F(REALS, _, outside_s, MAY, "s", "user time elsewhere, sampled: the program's own")   \
	F(INTS, _, switches, MAY, "", "voluntary context switches")                           \
	F(INTS, _, futex_calls, MAY, "", "calls of futex(2)")                                 \
	F(U64, _, instructions, MAY, "", "of the program under callgrind, once")              \
	F(U64, _, load_instructions, MAY, "", "of /bin/true under callgrind")                 \
	F(U64, _, heap_instructions, MAY, "", "of the program's: in calls of the allocator")

#define RH_FIELDS_VALIDATION(F)                                                                 \
	F(TEXTS, _, argv, EVER, "", "the program and its words")                                \
	F(TEXT, _, driver, NULL, "", "command that loaded it")                                  \
	F(TEXT, _, linked, NULL, "",                                                            \
	  "the allocator it links; libc was preloaded wherever libc is meant")                  \
	F(U64, _, rounds, EVER, "", "each ran it once under every backend")                     \
	F(U64, _, calls, EVER, "", "heap calls of the recording that was replayed")             \
	F(U64, _, calls_again, EVER, "", "of a second recording")                               \
	F(BOOL, _, nondeterministic, EVER, "",                                                  \
	  "they differ by more than 1 %: predictions are scaled to the mean of both")           \
	F(U32, _, threads, EVER, "", "that make 1 % of the heap calls or more")                 \
	F(TEXT, _, futex_why, NULL, "", "why futex calls were not counted")                     \
	F(TEXT, _, sample_why, NULL, "", "why user time was not sampled")                       \
	F(REAL, _, cpu_s, EVER, "s", "CPU time under the baseline, median")                     \
	F(REAL, _, load_s, EVER, "s", "of it, loading")                                         \
	F(REAL, _, heap_s, EVER, "s", "the heap's own by replay, net of the floor")             \
	F(REAL, _, calls_ratio, MAY, "",                                                        \
	  "on the baseline, user time in the allocator's code: the program's / the "            \
	  "replay's")                                                                           \
	F(REAL, _, calls_scale, MAY, "",                                                        \
	  "by which the others' predicted times of calls are scaled for it: its root; 1 if it " \
	  "is below 1 and one thread calls the heap")                                           \
	F(REAL, _, calls_scale_base, MAY, "",                                                   \
	  "by which the baseline's are: the same, or then the ratio itself")                    \
	F(REAL, _, rss_bytes, EVER, "bytes", "most resident under the baseline, median")        \
	F(LIST, truth_change, changes, EVER, "", "predicted beside observed")                   \
	F(LIST, truth_seen, seen, EVER, "", "what was observed, by backend")

#endif
