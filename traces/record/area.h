/*
 * area.h - the memory that a recorded program and `reheap record` share.
 *
 * One memfd is the area of one recording. The supervisor makes it; every recorded process opens it
 * by path (/proc/SUPERVISOR/fd/N), or uses an inherited descriptor if it may not open the path
 * (another PID namespace, dropped privileges).
 *
 *	+--------+-----------+------------+-------+----------+--------+--------+---
 *	| header | processes | ring heads | texts | children | ring 0 | ring 1 | ...
 *	+--------+-----------+------------+-------+----------+--------+--------+---
 *	 4 KiB    RH_PROCS    RH_RINGS     RH_PROCS RH_KIDS    ring_bytes each, sparse
 *
 * No process maps all of it. A recorded process maps header and processes (320 KiB), ring heads by
 * 64, and the used part of each ring it owns: 64 KiB at first. A program that limits its address
 * space, or locks its memory, loses next to nothing. The supervisor maps all but texts and rings,
 * and reads those with pread, so its own memory does not grow with them.
 *
 * A ring belongs to one thread at a time. Ownership is a robust process-shared mutex:
 * the kernel marks it when its thread dies, however it dies, so the next thread takes over the ring
 * with one trylock, without a system call or any other synchronisation. A successor in the same
 * process appends after its predecessor; another process waits until the ring is drained, because
 * `proc` names the process whose records it holds.
 *
 * Producer: writes records at `head`, publishes with one release store. Consumer (the
 * supervisor): copies [tail, head) to the capture, then moves tail. The pages are reused: fresh
 * pages would cost five times as much as a write(2) from warm ones. A ring starts small (cache) and
 * its owner widens it, when empty, after it had to wait once.
 *
 * A record is one 64-bit word, or three.
 *	short	63..60 kind | 59..44 size | 43..0 address / 8 (AArch64: 59..45, 44..0)
 *	STAMP	63..60 kind | 59..0 clock: when the records that follow happened, or later
 *	SITE	63..60 kind | 31..0 site number of the events that follow
 *	long	63..60 LONG | 15..8 log2 of the alignment | 7..0 kind; address; tail
 * Short records keep a put() small: a ring's cache lines travel between two cores, and eight
 * records per line instead of four save 1 ns per call and half of the drain. Sizes from 64 KiB
 * (AArch64: 32), alignments and everything rare use the long form.
 *
 * Stamps. A record happened no earlier than the STAMP before it, so in a merge by stamps an
 * unstamped record comes out early, never late. That suffices: a record that must not precede one
 * of another ring (which has the block's last event) always has its own STAMP, read after that
 * event was seen. See shim.h, shim_owned.
 *
 * Thread rule: as above. Errors: none; a process that maps it checks magic and version.
 */
#ifndef RH_RECORD_AREA_H
#define RH_RECORD_AREA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "traces/format/event.h"
#include "traces/format/row.h"

#define RH_AREA_MAGIC 0x31316572615f6872u /* "hr_are11" */
/* In the environment: the area's path, the descriptor inherited or -1, and the area's
 * cookie in hex, with commas between. */
#define RH_RECORD_ENV	 "REHEAP_RECORD"
#define RH_RECORD_ENV_FD ','

enum {
	RH_RINGS = 8192,	 /* threads alive at once, all processes together */
	RH_PROCS = 1024,	 /* process images alive at once */
	RH_RING_FIRST = 65536,	 /* bytes of a ring at first: stays in L2 */
	RH_RING_GROW = 4,	 /* factor of widening */
	RH_RING_READY = 1 << 20, /* of the first thread's ring, mapped at once */
	RH_RING_GROUP = 64,	 /* ring heads are mapped by so many */
	RH_KIDS = 1024,		 /* programs started unrecorded, between two sweeps */
};

/* Kinds. A: address, S: size or number (the tail of a long record). Those below LONG
 * have a short form. */
enum rh_rec_kind {
	RH_REC_PAD,		   /* skipped: the end of a ring too short for what follows */
	RH_REC_FREE = RH_ROW_FREE, /* A (0 = NULL), S = the size passed + 1 (0 = none), before the
				      real free */
	RH_REC_ALLOC,		   /* A, S; A = 0: the call failed */
	RH_REC_CALLOC,
	RH_REC_RE_BEGIN, /* A = old block, before the real realloc */
	RH_REC_RE_END,	 /* A = new block (0 = none), S = size, after it */
	RH_REC_STAMP,
	RH_REC_SITE,
	RH_REC_USABLE,	/* A: the usable size of a living block was asked for */
	RH_REC_RE_BORN, /* A, S, as ALLOC: by realloc of NULL */
	RH_REC_NEW,	/* A, S, as ALLOC: by operator new of C++ */
	RH_REC_LONG = 15,
	RH_REC_FREE_RESIDENT, /* A, S = bytes resident */
	RH_REC_START,	      /* a thread takes the ring: A = pthread_t, S = its number in
				 the upper half, its thread id in the lower */
	RH_REC_SPAWN,	      /* before pthread_create: A = stack bytes, S = thread number */
	RH_REC_SPAWNED,	      /* after it: A = pthread_t, S = thread number */
	RH_REC_SPAWN_FAILED,  /* after it: S = thread number */
	RH_REC_EXIT,	      /* the thread's function has returned */
	RH_REC_JOIN_BEGIN,    /* before pthread_join: A = pthread_t */
	RH_REC_JOIN_END,      /* after it succeeded: A = pthread_t */
	RH_REC_NAME,	      /* S = site number; its name is in the TEXT records that follow */
	RH_REC_TEXT,	      /* 16 bytes of it */
	RH_REC_SIZED,	      /* S = the size passed + 1, for the FREE_RESIDENT that follows */
	RH_REC_GAP,	      /* S = calls of this ring that were lost right here */
	RH_REC_MAP,	      /* A, S = bytes, enum rh_map_how as the alignment; after it */
	RH_REC_UNMAP,	      /* A, S = bytes; before it, of an mremap after it */
	RH_REC_KINDS
};

enum { RH_REC_MOST_WORDS = 3 };
_Static_assert((int)RH_REC_ALLOC == RH_ROW_ALLOC && (int)RH_REC_CALLOC == RH_ROW_CALLOC &&
		       (int)RH_REC_RE_BEGIN == RH_ROW_RE_BEGIN &&
		       (int)RH_REC_RE_END == RH_ROW_RE_END && (int)RH_REC_SITE == RH_ROW_SITE &&
		       (int)RH_REC_USABLE == RH_ROW_USABLE &&
		       (int)RH_REC_RE_BORN == RH_ROW_RE_BORN && (int)RH_REC_NEW == RH_ROW_NEW,
	       "short calls are words of a row");

/* A record outside the ring. */
struct rh_rec {
	uint64_t address, tail;
	uint8_t kind, align_log2;
};

static inline unsigned rh_rec_words(uint64_t head)
{
	return head >> 60 == RH_REC_LONG ? 3 : 1;
}

/* Short kinds that are calls into the allocator, as a set. */
#define RH_REC_CALLS                                                                            \
	(1u << RH_REC_FREE | 1u << RH_REC_ALLOC | 1u << RH_REC_CALLOC | 1u << RH_REC_RE_BEGIN | \
	 1u << RH_REC_RE_END | 1u << RH_REC_USABLE | 1u << RH_REC_RE_BORN | 1u << RH_REC_NEW)
/* Those of them that make a block. */
static inline bool rh_rec_is_birth(unsigned kind)
{
	return (1u << RH_REC_ALLOC | 1u << RH_REC_CALLOC | 1u << RH_REC_RE_BORN |
		1u << RH_REC_NEW) >>
		       kind &
	       1;
}

/* Those of them that become an event of the trace. */
#define RH_REC_EVENTS (RH_REC_CALLS & ~(1u << RH_REC_RE_BEGIN))

enum { RH_REC_ADDRESS_BITS = RH_ROW_ADDRESS_BITS, RH_REC_SIZE_BITS = RH_ROW_SIZE_BITS };

static inline uint64_t rh_rec_short(enum rh_rec_kind kind, uint64_t address, uint64_t size)
{
	return rh_row_word(kind, address, size);
}

/* Has it a short form? `rotated` is the address rotated right by 3: for an 8-byte aligned user
 * address all its upper bits are zero. */
static inline int rh_rec_is_short(uint64_t rotated, uint64_t size)
{
	return (rotated >> RH_REC_ADDRESS_BITS | size >> RH_REC_SIZE_BITS) == 0;
}

static inline uint64_t rh_rec_stamp(uint64_t stamp)
{
	return (uint64_t)RH_REC_STAMP << 60 | (stamp & ((1ull << 60) - 1));
}

static inline uint64_t rh_rec_site(uint32_t site)
{
	return (uint64_t)RH_REC_SITE << 60 | site;
}

/* Writes it into words[3], in the shorter form; returns the number of words. */
static inline unsigned rh_rec_pack(const struct rh_rec *rec, uint64_t *words)
{
	uint64_t rotated = rec->address >> 3 | rec->address << 61;

	if (rec->kind < RH_REC_LONG && RH_REC_CALLS >> rec->kind & 1 && !rec->align_log2 &&
	    rh_rec_is_short(rotated, rec->tail)) {
		words[0] = rh_rec_short((enum rh_rec_kind)rec->kind, rec->address, rec->tail);
		return 1;
	}
	words[0] = (uint64_t)RH_REC_LONG << 60 | (uint64_t)rec->align_log2 << 8 | rec->kind;
	words[1] = rec->address;
	words[2] = rec->tail;
	return 3;
}

/* Reads it from words that hold all of it. The tail of a STAMP is its clock, of a SITE its number.
 */
static inline void rh_rec_unpack(const uint64_t *words, struct rh_rec *rec)
{
	uint64_t head = words[0];

	*rec = (struct rh_rec){ .kind = (uint8_t)(head >> 60) };
	if (rec->kind == RH_REC_LONG) {
		rec->kind = (uint8_t)head;
		rec->align_log2 = head >> 8 & 63;
		rec->address = words[1];
		rec->tail = words[2];
	} else if (rec->kind == RH_REC_STAMP || rec->kind == RH_REC_SITE) {
		rec->tail = head & ((1ull << 60) - 1);
	} else {
		rec->address = rh_row_address(head);
		rec->tail = rh_row_size(head);
	}
}

/* A glibc mutex has 40 bytes on x86-64 and 48 on AArch64, padded to a full line. */
#define RH_MUTEX_WORDS (sizeof(pthread_mutex_t) / 8)

/* Head of a ring: one line for each writer. */
struct rh_ring {
	_Atomic uint64_t head;	     /* producer: bytes of records written, ever */
	_Atomic uint64_t limit;	     /* producer: where it looks at clock and room again;
					supervisor, once a beat: 0, now */
	_Atomic uint32_t mask;	     /* producer, when empty: bytes in use - 1 */
	_Atomic uint32_t proc;	     /* producer, when empty: process slot + 1; 0 = never used */
	_Atomic uint64_t waits;	     /* producer: times it waited for room ... */
	_Atomic uint64_t wait_ns;    /* ... and how long in all */
	_Atomic uint64_t dropped;    /* producer: records dropped (--on-full drop) */
	_Atomic uint64_t nested;     /* producer: records of signal handlers that found no room */
	_Atomic uint64_t outside;    /* producer: calls made while recording was off */
	_Atomic uint64_t tail;	     /* supervisor: bytes of records taken, ever */
	_Atomic uint32_t tail_moves; /* supervisor: futex word of a waiting producer */
	_Atomic uint32_t waiting;    /* producer: 1 while it waits on tail_moves */
	uint64_t pad2[6];
	pthread_mutex_t owner; /* robust, process-shared */
	uint64_t pad3[8 - RH_MUTEX_WORDS];
	uint64_t pad4[8];
};
_Static_assert(sizeof(struct rh_ring) % 64 == 0, "whole lines");

enum rh_proc_state { RH_PROC_FREE, RH_PROC_CLAIMED, RH_PROC_READY };
/* Other sources of memory in a process, as bits. */
enum rh_heap {
	RH_HEAP_FOREIGN = 1u << 0, /* another malloc, in the object `foreign` */
	RH_HEAP_PYMALLOC = 1u << 1,
	RH_HEAP_ZEND = 1u << 2,
	RH_HEAP_JVM = 1u << 3,
	RH_HEAP_V8 = 1u << 4,
	RH_HEAP_GO = 1u << 5,
	RH_HEAP_OWN_NEW = 1u << 6,   /* the executable's operator new does not call malloc */
	RH_HEAP_NAMESPACE = 1u << 7, /* dlmopen: objects with their own libc */
};
enum { RH_PROC_FOREIGN = 84 - sizeof(pthread_mutex_t), RH_PROC_SERVES = 64 };

enum rh_proc_how { RH_PROC_MAIN, RH_PROC_FORKED, RH_PROC_EXECED, RH_PROC_LATE };

/*
 * One process image. The process fills it and sets READY; the supervisor frees it.
 *
 * `pid` is the process's own number, which in another PID namespace is not valid for us. The
 * process is identified by a fact that cannot be wrong: it has this area mapped, at this
 * address (see process.h). `alive` is held by the thread that made the image: together with the
 * owners of its rings it shows that the process lives even where we cannot inspect it.
 */
struct rh_proc {
	_Atomic uint32_t state; /* enum rh_proc_state */
	int32_t pid, ppid;
	uint32_t how;		 /* enum rh_proc_how */
	uint64_t stamp;		 /* when recording of it began */
	uint64_t mapped;	 /* where the header is in its address space */
	uint32_t parent;	 /* forked: slot of the image it is a copy of; else UINT32_MAX */
	_Atomic uint32_t filter; /* of system calls, seen by the process or the supervisor */
	pthread_mutex_t alive;	 /* robust, process-shared */
	_Atomic uint32_t heaps;	 /* enum rh_heap: all seen so far */
	char foreign[RH_PROC_FOREIGN];
	/* What it had used at its begin and at its exit: see shim/figures.c. */
	uint64_t user_us[2], kernel_us[2], peak_rss;
	_Atomic uint64_t end_stamp; /* 0: it has not exited, or could not say so */
	_Atomic uint32_t left;	    /* attached late, and has detached again */
	uint32_t pad1;
	char serves[RH_PROC_SERVES]; /* file name of the object whose malloc serves it */
	/* May the shim make a system call in it? A thread that would counts itself in `asked`; when
	 * the supervisor has looked for a filter it writes up to which number: shim/filter.c. */
	_Atomic uint32_t asked, answered;
};
_Static_assert(sizeof(struct rh_proc) == 256, "four lines");

/* The program of a new image; a forked image is the same program as its parent. */
struct rh_proc_text {
	char exe[512];	 /* resolved path of the executable; "" = unknown */
	char args[3072]; /* command line, NUL-separated, cut off */
	uint32_t args_bytes;
	uint32_t pad[127];
};
_Static_assert(sizeof(struct rh_proc_text) == 4096, "a page");

/* Why a program that a recorded process started is not recorded. */
enum rh_kid_why {
	RH_KID_RECORDED, /* no obstacle */
	RH_KID_STATIC,
	RH_KID_MUSL,
	RH_KID_SETUID,	  /* or setgid, or given capabilities */
	RH_KID_CLEARED,	  /* its environment does not name the recorder */
	RH_KID_REPLACED,  /* its LD_PRELOAD names other libraries instead */
	RH_KID_MACHINE,	  /* another word size or processor */
	RH_KID_SANITIZER, /* which tolerates no library before its malloc */
	RH_KID_ROOT,	  /* the recorder's library is missing at its path: chroot, a container */
	RH_KID_BELOW,	  /* started by a program that is not recorded */
	RH_KID_SHUT,	  /* it may not open the area, and the inherited descriptor is closed */
	RH_KID_GONE,	  /* it ended before it was looked at, without a word from the recorder */
	RH_KID_WHYS
};

/* One such program. Its process writes it before the exec; the supervisor frees it. */
enum rh_kid_state { RH_KID_FREE, RH_KID_CLAIMED, RH_KID_READY };
struct rh_kid {
	int32_t pid, ppid; /* as they see themselves */
	uint64_t at;	   /* CLOCK_MONOTONIC, before its exec */
	uint32_t why;
	char exe[492]; /* as it was called, cut off */
};
_Static_assert(sizeof(struct rh_kid) == 512, "eight on a page");

struct rh_area {
	uint64_t magic;
	uint64_t bytes;		/* of the whole area */
	uint64_t ring_bytes;	/* of one ring's records; a power of two */
	uint32_t clock_counter; /* 1: stamps are the CPU's counter; 0: CLOCK_MONOTONIC ns */
	uint32_t follow;	/* forked and spawned processes are recorded as well */
	uint32_t drop;		/* a full ring drops instead of waiting */
	uint32_t residency, sites;
	uint32_t sample;	  /* a clock read serves at most this many events */
	_Atomic int32_t main_pid; /* the program itself: its images are always recorded */
	uint32_t maps;		  /* the program's own mmap and brk are recorded as well */
	uint64_t cookie;	  /* as in the environment: this area and no other */
	uint64_t ticks_per_ms;	  /* of the stamps */
	uint64_t sample_bytes; /* one byte in so many is hit, see shim/gap.h; 0: all is recorded */
	uint64_t sample_seed;
	uint64_t rings;		  /* RH_RINGS, or fewer where the size of files is limited */
	pthread_mutex_t recorder; /* robust; held by the supervisor as long as it lives */
	uint64_t pad1[8 - RH_MUTEX_WORDS];
	/* Written by the supervisor, read by all, seldom. */
	_Atomic uint32_t recording;	  /* 0: producers write nothing (paused, or stopped) */
	_Atomic uint32_t closed;	  /* draining has ended: producers never wait again */
	_Atomic uint32_t beat;		  /* counts passes of the supervisor */
	_Atomic uint32_t filters_allowed; /* of system calls, on a process attached to: they allow
					     what we do. More of them may not */
	_Atomic uint64_t now; /* the clock at the last beat, for threads that may not read it */
	uint64_t pad2b[5];
	/* Written by producers, seldom. */
	_Atomic uint32_t wake; /* futex word the supervisor sleeps on: its signal handler's */
	uint32_t pad3;
	_Atomic uint32_t rings_high; /* rings ever claimed: [0, rings_high) */
	_Atomic uint32_t procs_high;
	_Atomic uint64_t no_ring;	/* events of threads that found no ring */
	_Atomic uint64_t no_proc;	/* processes that found no slot */
	_Atomic uint64_t forks_ignored; /* processes kept out because follow is off */
	_Atomic uint64_t outside;	/* calls of threads without a ring, recording being off */
	_Atomic uint64_t no_map;  /* threads whose ring could not be mapped: a limit, or a filter */
	_Atomic uint32_t forking; /* forks whose child has not registered yet */
	_Atomic uint32_t kids_lost;   /* children that found no place */
	_Atomic uint64_t sample_full; /* blocks that were hit and found no place in the sample */
	_Atomic uint32_t stalled;     /* beat + 1 at which a thread stopped waiting for room: none
					       waits again before the next; 0 = never */
	_Atomic uint8_t kid_state[RH_KIDS];
};
_Static_assert(sizeof(struct rh_area) <= 4096, "a page");

/* Parts that are mapped separately begin on a page of any size; processes are mapped with the
 * header. */
#define RH_AREA_PAGE_MOST   65536u
#define RH_AREA_PROCS_AT    4096u
#define RH_AREA_HEADS_AT    (5u * RH_AREA_PAGE_MOST)
#define RH_AREA_TEXTS_AT    (RH_AREA_HEADS_AT + RH_RINGS * (uint64_t)sizeof(struct rh_ring))
#define RH_AREA_KIDS_AT	    (RH_AREA_TEXTS_AT + RH_PROCS * (uint64_t)sizeof(struct rh_proc_text))
#define RH_AREA_RINGS_AT    (RH_AREA_KIDS_AT + RH_KIDS * (uint64_t)sizeof(struct rh_kid))
#define RH_AREA_GROUP_BYTES (RH_RING_GROUP * (uint64_t)sizeof(struct rh_ring))
_Static_assert(RH_AREA_PROCS_AT + RH_PROCS * sizeof(struct rh_proc) <= RH_AREA_HEADS_AT, "room");
_Static_assert(RH_AREA_TEXTS_AT % RH_AREA_PAGE_MOST == 0 &&
		       RH_AREA_RINGS_AT % RH_AREA_PAGE_MOST == 0 &&
		       RH_RING_FIRST % RH_AREA_PAGE_MOST == 0,
	       "pages");

/* These two require the area to be mapped up to the texts, as in the supervisor. */
static inline struct rh_proc *rh_area_proc(struct rh_area *area, uint32_t index)
{
	return (struct rh_proc *)((char *)area + RH_AREA_PROCS_AT) + index;
}

static inline struct rh_ring *rh_area_ring(struct rh_area *area, uint32_t index)
{
	return (struct rh_ring *)((char *)area + RH_AREA_HEADS_AT) + index;
}

/* In a process that runs already, this function of the shim is called, with the text that would
 * otherwise be in the environment. */
#define RH_LATE_FUNCTION "rh_record_attach"
/* Its result; 0: the process is recorded. */
enum rh_late { RH_LATE_RECORDED = 1, RH_LATE_BUSY, RH_LATE_NO_AREA, RH_LATE_NO_ROOM };

/*
 * The page of a process whose preloaded shim is asleep, see shim/dormant.c. It has a name in
 * /dev/shm, or in the folder that the variable names.
 */
#define RH_DORMANT_ENV	"REHEAP_DORMANT"
#define RH_DORMANT_FILE "reheap-dormant."
/* Why calls do not simply go into the ring. One comparison with 0 covers all three reasons. */
enum rh_aside { RH_ASIDE_NOT, RH_ASIDE_ASLEEP, RH_ASIDE_SAMPLING = INT32_MIN };
struct rh_dormant {
	_Atomic int32_t asleep; /* enum rh_aside; the process sets ASLEEP; a recorder that wants it
				   sets NOT; then the process again, if it is to sample */
	int32_t pid;		/* as the process sees itself */
	uint64_t magic;
	_Atomic uint32_t failed; /* enum rh_late: why it could not attach when asked */
	uint32_t pad;
	char where[256]; /* the area, as in the environment; before asleep is cleared */
	char rest[4096 - 280];
};
enum { RH_DORMANT_BYTES = 4096 };
_Static_assert(sizeof(struct rh_dormant) == RH_DORMANT_BYTES, "a page");

struct rh_record_opts;
struct rh_err;
/* Supervisor: makes the area of a recording, mapped up to RH_AREA_TEXTS_AT, and its file
 * descriptor. The calling thread is its recorder. */
struct rh_area *rh_area_make(const struct rh_record_opts *opts, int counter, int *fd,
			     struct rh_err *err);
void rh_area_close(struct rh_area *area, int fd);

#endif
