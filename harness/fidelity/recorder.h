/*
 * recorder.h - the blocks that Go's recorder keeps on the program's heap.
 *
 * runtime.StartTrace makes two buffers for samples of the CPU profiler (traceInitReadCPU in
 * tracecpu.go, 1.23 to 1.26), each 2^17 words and 2^14 pointers, and keeps both until
 * tracing stops: 2.25 MiB that the collector counts as live, and that the same program has
 * not when nobody traces it. They are in the snapshot that begins the trace. Nothing else
 * makes two arrays of 2^14 unsafe.Pointer; so where just two are there, they and two blocks
 * of 1 MiB without pointers are the recorder's.
 *
 * Thread rule: one thread per struct. Nothing allocates, nothing fails.
 */
#ifndef RH_RECORDER_H
#define RH_RECORDER_H

#include "traces/format/trace.h"

enum {
	RH_RECORDER_BLOCKS = 2,
	RH_RECORDER_WORDS = 1 << 20, /* bytes of each */
	RH_RECORDER_TAGS = 1 << 17,
};

/* How many of them were seen so far, zeroed at first. */
struct rh_recorder {
	unsigned words, tags;
};

/* An allocation of the snapshot: whether it is, or may be, one of the recorder's. */
bool rh_recorder_takes(struct rh_recorder *recorder, const struct rh_trace *trace,
		       const struct rh_event *event);
/* Bytes of its blocks, after all of the snapshot; 0 when they are not there. */
uint64_t rh_recorder_bytes(const struct rh_recorder *recorder);

#endif
