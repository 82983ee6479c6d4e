/*
 * drain.h - empties the rings into the capture, and knows the processes behind them.
 *
 * An image is one program in one process: a fork makes a new one, and so does an exec. Thread
 * rule: one thread. Errors: RH_OS for memory; a capture that cannot grow is not an error of a
 * pass but its end: `full` is set, and later records are counted as discarded.
 */
#ifndef RH_RECORD_DRAIN_H
#define RH_RECORD_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/err.h"
#include "traces/record/capture.h"
#include "traces/record/figures.h"

struct rh_image {
	int pid, ppid, how; /* pid: as we see it; how: enum rh_proc_how */
	int inner;	    /* pid as it sees itself */
	int pidfd;	    /* -1: ended, or not available */
	bool over;
	bool found; /* pid is certain */
	uint32_t slot;
	uint64_t stamp;
	uint64_t filter_look; /* stamp of the next look for a filter */
	uint64_t events, threads;
	uint64_t anonymous_peak; /* bytes, sampled now and then */
	struct rh_figures_life life;
	uint32_t heaps; /* enum rh_heap */
	char foreign[RH_PROC_FOREIGN], serves[RH_PROC_SERVES];
	char exe[512], args[1024];
	uint32_t args_bytes;
};

/* The state that gives a ring's next record its meaning; kept so that every chunk can be read
 * alone. */
struct rh_ring_past {
	uint64_t stamp;
	uint32_t thread, tid, site;
};

struct rh_drain {
	struct rh_area *area;
	int area_fd;
	uint64_t area_inode;
	uint64_t ring_bytes; /* as we made them */
	uint64_t *words;     /* of the ring that is being drained */
	size_t words_room;
	struct rh_capture capture;
	struct rh_image *images;
	size_t image_count, image_room;
	int32_t slot_image[RH_PROCS]; /* image in a slot, -1 = none seen */
	struct rh_ring_past past[RH_RINGS];
	uint32_t fullest;		  /* of the rings at the last pass, in percent */
	uint64_t last_events, last_bytes; /* keep this many of the last; 0 = all */
	uint64_t events, bytes, discarded;
	bool stopped;	    /* nothing more is kept */
	struct rh_err full; /* text set: why the capture stopped growing */
	/* Called once when the capture cannot grow; true: there is more room than before. */
	bool (*make_room)(void *of);
	void *make_room_of;
	uint64_t full_stamp;
};

int rh_drain_open(struct rh_drain *drain, struct rh_area *area, int area_fd, const char *beside,
		  struct rh_err *err);
/* An image from a capture; ended: as it was in the end (--later), not when it was found. */
struct rh_drain_recovered {
	const void *image;
	size_t bytes;
	bool ended;
};
int rh_drain_recover(struct rh_drain *drain, struct rh_drain_recovered from, struct rh_err *err);
/* One pass over all rings: those a quarter full, or all that are not empty. Returns the
 * words taken, -1 on error. */
int64_t rh_drain_pass(struct rh_drain *drain, bool all, struct rh_err *err);
/* Every ring's next event reads the clock, and checks whether it is to be recorded. */
void rh_drain_beat(struct rh_drain *drain);
/* Recording stops or resumes: from here on, the resource use of processes does not count, or counts
 * again. */
void rh_drain_pause(struct rh_drain *drain, bool off);
/* The program itself has ended but is not reaped: the last reading of its resource use. */
void rh_drain_last_look(struct rh_drain *drain, int pid);
/* Marks processes under a system call filter, so that the shim makes no system calls there; looks
 * at each at intervals of a part of its age, and when a thread of it asks. */
void rh_drain_filters(struct rh_drain *drain);
/* Looks for new processes and dead ones. main_over: the program itself has been reaped. */
int rh_drain_processes(struct rh_drain *drain, bool main_over, struct rh_err *err);
/* The youngest image of a process; SIZE_MAX: none. */
size_t rh_drain_newest(const struct rh_drain *drain, int pid, bool with_events);
/* Images that still run, the program itself not counted. */
size_t rh_drain_running(const struct rh_drain *drain);
void rh_drain_close(struct rh_drain *drain);

#endif
