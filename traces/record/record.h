/*
 * record.h - records what a program does to memory: `reheap record`.
 *
 *	executable.c	finds the program and reports early if it cannot be recorded
 *	supervise.c	starts it, keeps the clock of the recording, passes signals on
 *	drain.c		empties the rings into the capture, knows the processes
 *	capture.c	the capture: a file beside the output until the traces are there
 *	recover.c	the traces of a capture whose recorder was killed
 *	process.c	which process is an image, and does it live
 *	attach.c	joins a process that runs, and lets it go: it is looked at (target.c)
 *			and made to load the shim (inject.c)
 *	merge.c		all threads' chunks as one stream, ordered by stamp
 *	calls.c		these calls into events
 *	emit.c		a trace: begun, written in turns, ended
 *	rotate.c	--rotate: the trace as segments
 *	stream.c	the thread that writes traces while the program runs
 *	figures.c	the resources that the program itself used
 *	shim/		the other side: the code inside the program
 *
 * While the program runs, the supervisor only copies bytes, and a thread of low priority writes
 * traces from what has been copied; the rest is written after the program's end. Memory depends
 * on threads and live objects: some 10 MB for each image that is written meanwhile, at most
 * four, and, measured, 65 bytes (at most 95) per object at the peak of live objects. `make
 * bench-finish` prints its speed.
 *
 * Thread rule: one recording per process, from its main thread (it installs signal
 * handlers and restores them). Errors: RH_CANT_CREATE, RH_NO_INPUT (126/127 belong to
 * the shell: see rh_record_run), RH_ABSENT, RH_OS, RH_IO.
 */
#ifndef RH_TRACES_RECORD_H
#define RH_TRACES_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/err.h"

enum rh_record_full { RH_FULL_WAIT, RH_FULL_DROP };
enum rh_record_keep { RH_KEEP_FIRST, RH_KEEP_LAST };

struct rh_record_opts {
	const char *out;       /* "trace.rht" */
	const char *shim;      /* path of libreheap-record.so */
	const char *maps_shim; /* path of libreheap-maps.so: record the program's own mmap and
				     brk as well; NULL: do not */
	const char *preload;   /* preloaded before the program's own allocator; NULL: the value of
				       LD_PRELOAD */
	const char *area_file; /* the shared area is this new file; NULL: it has no name */
	const char *version;   /* of the recorder, for the trace's notes */
	uint64_t attach_after_ns; /* recording starts this long after the program */
	uint64_t duration_ns;	  /* ... and ends this much later; 0 = with the program */
	uint64_t max_events;	  /* 0 = no bound */
	uint64_t max_bytes;	  /* of raw capture; 0 = no bound */
	uint64_t buffer_bytes;	  /* most a ring may grow to */
	bool later;		  /* the capture is kept, and no trace written: later.h */
	int pid;		  /* attach to this process; 0: run a program */
	uint64_t sample;	  /* events that one clock read may serve */
	uint64_t sample_bytes;	  /* one byte in so many is hit; 0: record all */
	uint64_t sample_seed;	  /* of the draws; 0: another one each time */
	uint64_t along_events;	  /* of an image that is written while it runs;
				     0 = 200,000, after 60 ms */
	uint64_t rotate_bytes;	  /* a new segment after so many bytes of trace, */
	uint64_t rotate_ns;	  /* or so much time; both 0 = one trace */
	uint64_t keep_segments;	  /* keep only the last so many; 0 = all */
	int keep;		  /* enum rh_record_keep */
	int on_full;		  /* enum rh_record_full */
	int level;		  /* zstd level of the trace, 0 = default */
	int toggle;		  /* signal that starts and stops recording; 0 = none */
	bool paused;		  /* begin with recording off */
	bool follow;		  /* record children as well, each in OUT.PID.rht */
	bool residency;
	bool sites;
	bool time;	      /* keep the time of every event */
	bool quiet;	      /* no summary */
	bool strict;	      /* what cannot be recorded is not run */
	bool sigpipe_ignored; /* the program starts with SIGPIPE ignored; else with the default */
	void (*progress)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
};

/*
 * Runs argv[0] with argv under the recorder (or joins process opts->pid: argv is not used, and
 * the status is 0 whatever becomes of it) and writes the trace.
 * Returns 0 when the program ran, whatever became of the trace: a trace that could not
 * be written is reported on stderr and in trace_ok. -1: it was not started, and the status
 * is 127 (not found), 126 (not executable) or the class of the error.
 */
struct rh_record_end {
	int status;    /* as a shell sees it: exit status, or 128 + signal */
	int signal;    /* that ended it; 0 = none */
	bool trace_ok; /* the trace is written */
	uint64_t lost; /* calls */
};
int rh_record_run(const struct rh_record_opts *opts, char **argv, struct rh_record_end *end,
		  struct rh_err *err);

/*
 * Writes the traces of a capture whose recorder was killed. Of opts, only out (NULL = the name
 * given to that recorder), level, quiet, version and progress count. The capture is removed
 * when all traces are written.
 */
int rh_record_recover(const struct rh_record_opts *opts, const char *capture, struct rh_err *err);

#endif
