/*
 * area.h - the memory that a recorded program and `reheap record` share.
 *
 * One memfd is the area of one recording. The supervisor makes it; every recorded
 * process maps it (by path, /proc/SUPERVISOR/fd/N, so that a program that closes all
 * its descriptors or calls exec stays with us; a forked child inherits the mapping; one
 * that was root and is not any more has the descriptor).
 *
 *	+--------+-----------+------------+-----------+-----------+---
 *	| header | processes | ring heads | ring 0    | ring 1    | ...
 *	+--------+-----------+------------+-----------+-----------+---
 *	 1 page   RH_PROCS    RH_RINGS     ring_bytes each, sparse
 *
 * A ring belongs to one thread at a time. Ownership is a robust process-shared mutex:
 * the kernel marks it when its thread dies, however it dies, so the next thread takes
 * the ring over with one trylock, without a system call and without asking anybody.
 * A successor in the same process appends behind its predecessor; another process
 * waits until the ring is drained, because `proc` says whose records it holds.
 *
 * Producer: writes records at `head`, publishes with one release store. Consumer (the
 * supervisor): copies [tail, head) to the capture, then moves tail. The pages are used
 * over and over: fresh pages would cost five times a write(2) from warm ones. A ring
 * starts small (cache) and its owner widens it, when empty, once it had to wait.
 *
 * A record is one 64-bit word, or three.
 *	short	63..60 kind | 59..44 size | 43..0 address / 8
 *	STAMP	63..60 kind | 59..0 clock: when the records that follow happened, or later
 *	SITE	63..60 kind | 31..0 site number of the events that follow
 *	long	63..60 LONG | 15..8 log2 of the alignment | 7..0 kind; address; tail
 * A short record is what a put() takes and no more: a ring's lines travel between two
 * cores, and eight records on a line instead of four take 1 ns off a call and half of
 * the drain. Sizes from 64 KiB, alignments and all that is seldom take the long form.
 *
 * Stamps. A record happened not before the STAMP in front of it, so in a merge by stamps
 * an unstamped record comes out early, never late. That is enough: a record that must not
 * precede one of another ring (the block's last event was there) always has a STAMP of
 * its own, read after that event was seen. See shim.h, shim_owned.
 *
 * Thread rule: as above. Errors: none; who maps it checks magic and version.
 */
#ifndef RH_RECORD_AREA_H
#define RH_RECORD_AREA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define RH_AREA_MAGIC 0x31616572615f6872u	/* "hr_area1" */
/* In the environment: the area's path, a comma, and the descriptor inherited or -1. */
#define RH_RECORD_ENV "REHEAP_RECORD"
#define RH_RECORD_ENV_FD ','

enum {
	RH_RINGS = 8192,		/* threads alive at once, all processes together */
	RH_PROCS = 1024,		/* process images alive at once */
	RH_RING_FIRST = 65536,		/* bytes of a ring at first: stays in L2 */
	RH_RING_GROW = 4,		/* factor of widening */
};

/* Kinds. A: address, S: size or number (the tail of a long record). Those below LONG
 * have a short form. */
enum rh_rec_kind {
	RH_REC_PAD,		/* skipped: the end of a ring too short for what follows */
	RH_REC_FREE,		/* A, before the real free */
	RH_REC_ALLOC,		/* A, S; A = 0: the call failed */
	RH_REC_CALLOC,
	RH_REC_RE_BEGIN,	/* A = old block, before the real realloc */
	RH_REC_RE_END,		/* A = new block (0 = none), S = size, after it */
	RH_REC_STAMP,
	RH_REC_SITE,
	RH_REC_LONG = 15,
	RH_REC_FREE_RESIDENT,	/* A, S = bytes resident */
	RH_REC_START,		/* a thread takes the ring: A = pthread_t, S = its number in
				   the upper half, its thread id in the lower */
	RH_REC_SPAWN,		/* before pthread_create: A = stack bytes, S = thread number */
	RH_REC_SPAWNED,		/* after it: A = pthread_t, S = thread number */
	RH_REC_SPAWN_FAILED,	/* after it: S = thread number */
	RH_REC_EXIT,		/* the thread's function has returned */
	RH_REC_JOIN_BEGIN,	/* before pthread_join: A = pthread_t */
	RH_REC_JOIN_END,	/* after it succeeded: A = pthread_t */
	RH_REC_NAME,		/* S = site number; its name is in the TEXT records that follow */
	RH_REC_TEXT,		/* 16 bytes of it */
	RH_REC_KINDS
};

enum { RH_REC_MOST_WORDS = 3 };

/* A record outside the ring. */
struct rh_rec { uint64_t address, tail; uint8_t kind, align_log2; };

static inline unsigned rh_rec_words(uint64_t head)
{
	return head >> 60 == RH_REC_LONG ? 3 : 1;
}

/* Kinds that become an event of the trace, as a set of short kinds. */
#define RH_REC_EVENTS \
	(1u << RH_REC_FREE | 1u << RH_REC_ALLOC | 1u << RH_REC_CALLOC | 1u << RH_REC_RE_END)

static inline uint64_t rh_rec_short(enum rh_rec_kind kind, uint64_t address, uint64_t size)
{
	return (uint64_t)kind << 60 | size << 44 | address >> 3;
}

/* Has it a short form? `rotated` is the address rotated right by 3: aligned to 8 bytes and
 * below 2^47, all its upper bits are zero. */
static inline int rh_rec_is_short(uint64_t rotated, uint64_t size)
{
	return (rotated >> 44 | size >> 16) == 0;
}

static inline uint64_t rh_rec_stamp(uint64_t stamp)
{
	return (uint64_t)RH_REC_STAMP << 60 | (stamp & ((1ull << 60) - 1));
}

static inline uint64_t rh_rec_site(uint32_t site)
{
	return (uint64_t)RH_REC_SITE << 60 | site;
}

/* Into words[3], in the shorter form; returns how many it took. */
static inline unsigned rh_rec_pack(const struct rh_rec *rec, uint64_t *words)
{
	uint64_t rotated = rec->address >> 3 | rec->address << 61;

	if (rec->kind < RH_REC_STAMP && !rec->align_log2 && rh_rec_is_short(rotated, rec->tail)) {
		words[0] = rh_rec_short((enum rh_rec_kind)rec->kind, rec->address, rec->tail);
		return 1;
	}
	words[0] = (uint64_t)RH_REC_LONG << 60 | (uint64_t)rec->align_log2 << 8 | rec->kind;
	words[1] = rec->address;
	words[2] = rec->tail;
	return 3;
}

/* From words that hold it whole. The tail of a STAMP is its clock, of a SITE its number. */
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
		rec->address = (head & ((1ull << 44) - 1)) << 3;
		rec->tail = head >> 44 & 0xffff;
	}
}

/* Head of a ring: one line for each writer. */
struct rh_ring {
	_Atomic uint64_t head;		/* producer: bytes of records written, ever */
	_Atomic uint64_t limit;		/* producer: where it looks at clock and room again;
					   supervisor, once a beat: 0, now */
	_Atomic uint32_t mask;		/* producer, when empty: bytes in use - 1 */
	_Atomic uint32_t proc;		/* producer, when empty: process slot + 1; 0 = never used */
	_Atomic uint64_t waits;		/* producer: times it waited for room ... */
	_Atomic uint64_t wait_ns;	/* ... and how long in all */
	_Atomic uint64_t dropped;	/* producer: records given up (--on-full drop) */
	_Atomic uint64_t nested;	/* producer: of signal handlers that found no place */
	_Atomic uint64_t outside;	/* producer: calls made while recording was off */
	_Atomic uint64_t tail;		/* supervisor: bytes of records taken, ever */
	_Atomic uint32_t tail_moves;	/* supervisor: futex word of a waiting producer */
	_Atomic uint32_t waiting;	/* producer: 1 while it waits on tail_moves */
	uint64_t pad2[6];
	pthread_mutex_t owner;		/* robust, process-shared */
	uint64_t pad3[3];
	uint64_t pad4[8];
};
_Static_assert(sizeof(pthread_mutex_t) <= 40 + 8, "the owner line");
_Static_assert(sizeof(struct rh_ring) % 64 == 0, "whole lines");

enum rh_proc_state { RH_PROC_FREE, RH_PROC_CLAIMED, RH_PROC_READY };
enum rh_proc_how { RH_PROC_MAIN, RH_PROC_FORKED, RH_PROC_EXECED };

/* One process image. The process fills it and sets READY; the supervisor frees it. */
struct rh_proc {
	_Atomic uint32_t state;		/* enum rh_proc_state */
	int32_t pid, ppid;
	uint32_t how;			/* enum rh_proc_how */
	uint64_t stamp;			/* when it began recording */
	char exe[512];			/* resolved path of the executable; "" = unknown */
	char args[1024];		/* command line, NUL-separated, cut off */
	uint32_t args_bytes;
	uint32_t pad[3];
};

struct rh_area {
	uint64_t magic;
	uint64_t bytes;			/* of the whole area */
	uint64_t ring_bytes;		/* of one ring's records; a power of two */
	uint32_t clock_counter;		/* 1: stamps are the CPU's counter; 0: CLOCK_MONOTONIC ns */
	uint32_t follow;		/* forked and spawned processes are recorded too */
	uint32_t drop;			/* a full ring drops instead of waiting */
	uint32_t residency, sites;
	uint32_t sample;		/* a clock read serves at most this many events */
	_Atomic int32_t main_pid;	/* the program itself: its images are always recorded */
	uint32_t pad0;
	uint64_t pad1[1];
	/* Written by the supervisor, read by all, seldom. */
	_Atomic uint32_t recording;	/* 0: producers keep out (paused, or stopped) */
	_Atomic uint32_t closed;	/* nobody drains any more: producers never wait again */
	_Atomic uint32_t beat;		/* counts passes of the supervisor */
	uint32_t pad2[13];
	/* Written by producers, seldom. */
	_Atomic uint32_t wake;		/* futex word the supervisor sleeps on */
	_Atomic uint32_t sleeping;
	_Atomic uint32_t rings_high;	/* rings ever claimed: [0, rings_high) */
	_Atomic uint32_t procs_high;
	_Atomic uint64_t no_ring;	/* events of threads that found no ring */
	_Atomic uint64_t no_proc;	/* processes that found no slot */
	_Atomic uint64_t forks_ignored;	/* processes kept out because follow is off */
	_Atomic uint64_t outside;	/* calls of threads without a ring, recording being off */
	uint64_t pad3[2];
};

#define RH_AREA_PROCS_AT 4096u
#define RH_AREA_HEADS_AT (RH_AREA_PROCS_AT + RH_PROCS * (uint64_t)sizeof(struct rh_proc))
#define RH_AREA_RINGS_AT \
	((RH_AREA_HEADS_AT + RH_RINGS * (uint64_t)sizeof(struct rh_ring) + 4095) & ~4095ull)

static inline struct rh_proc *rh_area_proc(struct rh_area *area, uint32_t index)
{
	return (struct rh_proc *)((char *)area + RH_AREA_PROCS_AT) + index;
}

static inline struct rh_ring *rh_area_ring(struct rh_area *area, uint32_t index)
{
	return (struct rh_ring *)((char *)area + RH_AREA_HEADS_AT) + index;
}

static inline uint64_t *rh_area_data(struct rh_area *area, uint32_t index)
{
	return (uint64_t *)((char *)area + RH_AREA_RINGS_AT + index * area->ring_bytes);
}

struct rh_record_opts;
struct rh_err;
/* Supervisor: makes the area of a recording and its file descriptor; unmap with bytes. */
struct rh_area *rh_area_make(const struct rh_record_opts *opts, int counter, int *fd,
			     struct rh_err *err);

#endif
