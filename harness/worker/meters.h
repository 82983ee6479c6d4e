/*
 * meters.h - the kernel's figures about a lane's thread, read around the timed region of a
 * segment: run delay, switches, futex calls, contended kernel locks.
 *
 * Used only when the contention probe rides along (RH_AREA_LOCKS); then a segment costs each
 * lane about 4 us outside its timing. For turns of the gate, run delay alone is read. Thread
 * rule: the lane's thread.
 */
#ifndef RH_WORKER_METERS_H
#define RH_WORKER_METERS_H

#include <stdint.h>

struct lane;
struct worker;

struct meters {
	int schedstat, futex, kernel;			      /* -1 = cannot be read */
	uint64_t run_delay_ns, futex_calls, kernel_contended; /* when the segment began */
	uint64_t futex_replay; /* counted by the loop where it waits or wakes */
	uint64_t slept_ticks, slept_cpu_ns, slept_delay_ns, sleeps_replay;
};

/* One sleep of the replay itself. */
struct nap {
	uint64_t ticks, cpu_ns, delay_ns, switches;
};

/* Called once, before threads start: finds the available tracepoints. */
void rh_meters_find(struct worker *worker);
/* On the lane's thread, when it sits down and leaves. */
void rh_meters_open(struct lane *lane);
void rh_meters_close(struct lane *lane);
/* Right before the start of the timed region and right after its end. */
void rh_meters_begin(struct lane *lane);
void rh_meters_end(struct lane *lane);

/* Around a sleep for the recorded order or the pace, which is not charged to the allocator. */
void rh_meters_sleep(struct lane *lane, struct nap *nap);
void rh_meters_awake(struct lane *lane, const struct nap *nap);

/* Second number of a schedstat file: ns runnable without a CPU; RH_NONE when it cannot be read. */
uint64_t rh_run_delay(int fd);

#endif
