/*
 * shim.h - inside the recorded program: who is who.
 *
 *	malloc.c   the malloc family: calls the real one, puts a record
 *	thread.c   pthread_create, C11 threads, joins
 *	put.c      the slow half of a record: rings full, wide sizes, signal handlers
 *	attach.c   a process finds the area, a thread finds a ring, a fork starts anew
 *	real.c     the functions we stand in front of, and memory until they are known
 *	site.c     --sites and --residency
 *
 * Path of one malloc: real malloc; clock; 16 bytes into this thread's ring; publish.
 * About 20 instructions, no lock, no shared counter, no system call.
 *
 * What keeps it harmless:
 *   - no memory from the recorded heap, ever: mmap and static storage only;
 *   - a producer's state lies in pages the kernel wipes on fork (MADV_WIPEONFORK), so a
 *     forked child, made by whatever call, finds limit == pos == 0, takes the slow path
 *     and starts a ring of its own instead of writing into its parent's;
 *   - a signal handler that allocates while its thread is inside put() finds `busy` and
 *     leaves its record in the side buffer, which the interrupted put() flushes;
 *   - errno is kept; nothing here is a cancellation point; nothing is exported but the
 *     functions we stand in front of.
 *
 * Thread rule: a producer belongs to its thread. struct shim is written at start and by
 * a forked child while it has one thread.
 */
#ifndef RH_RECORD_SHIM_H
#define RH_RECORD_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "traces/record/area.h"

#define SHIM_EXPORT __attribute__((visibility("default")))
#define SHIM_LIKELY(x) __builtin_expect(!!(x), 1)
#define SHIM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SHIM_BARRIER() __asm__ volatile("" ::: "memory")

enum {
	SHIM_SIDE = 7,			/* records a signal handler may leave behind */
	SHIM_OWNERS = 1 << 16,		/* 512 KiB: exact for 1 MiB of neighbouring blocks */
};

struct side_record { uint64_t kind_flags, address, size, now; };

/* One thread's end of its ring. The first line and a half is all that the fast path
 * touches. pos, limit and mask count bytes. */
struct producer {
	uint64_t pos;			/* next record, counted since the ring's first use */
	uint64_t limit;			/* slow path when pos == limit */
	uint64_t base;			/* stamp of the last BASE record */
	uint64_t mask;
	struct rh_rec *data;
	_Atomic uint64_t *head;
	uintptr_t busy;			/* stack of the put() under way; 0 = none */
	uint32_t skip;			/* events the last clock read still serves */
	uint32_t nested;		/* records in side[] */
	/* second line: the clock while there is one thread, then the slow path */
	uint64_t last;			/* last clock read */
	uint32_t beat;			/* the supervisor's beat at that read */
	_Atomic uint32_t sample;	/* events it shall serve beyond its own; 0 = none */
	struct rh_ring *ring;		/* NULL: wiped by fork, or never attached */
	uint32_t grow;			/* widen the ring as soon as it is empty */
	uint32_t site;			/* last SITE written */
	uint64_t id;			/* of the ring in owners[] */
	uint64_t pad1[3];
	struct side_record side[SHIM_SIDE];
	uint64_t pad2[4];
};
_Static_assert(offsetof(struct producer, last) == 64, "one line for the fast path");
_Static_assert(sizeof(struct producer) % 64 == 0, "no false sharing of producers");

enum shim_state { SHIM_UNKNOWN, SHIM_ON, SHIM_OFF };

struct shim {
	struct rh_area *area;
	struct producer *producers;	/* RH_RINGS and a guard, wiped on fork */
	uint32_t counter;		/* stamps are the CPU's counter */
	uint32_t every_slow;		/* for sites, residency, or without a counter */
	_Atomic uint32_t many;		/* a second thread was seen: clock at every event */
	uint32_t state;			/* enum shim_state */
	uint32_t proc;			/* our slot */
	uint32_t rings_usable;		/* how many of the area's rings fit our address space */
	_Atomic uint32_t thread_next;
	_Atomic uint32_t starting;	/* one thread at a time maps the area */
	uint64_t default_stack;
	_Atomic uint64_t *owners;	/* SHIM_OWNERS slots; see shim_counter_owned */
};
extern struct shim shim;

extern struct producer shim_nobody;		/* of a thread that has no ring: always busy */
extern __thread struct producer *shim_self;	/* never NULL */
extern __thread uint32_t shim_number;	/* this thread's number + 1; 0 = none yet */

struct real {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
};
extern struct real real;
bool shim_boot_owns(const void *p);
size_t shim_boot_room(const void *p);

/* Slow halves. `kind_flags` is a record's word without the address. */
void shim_put_slow(struct producer *p, uint64_t kind_flags, uint64_t address, uint64_t size,
		   uint64_t now, const void *caller) __attribute__((cold, noinline));
void shim_put_odd(uint64_t kind_flags, uint64_t address, uint64_t size, const void *caller)
	__attribute__((cold, noinline));
void shim_flush_side(struct producer *p);

/* This thread's producer, attached now if need be; NULL: not recorded (and why is counted). */
struct producer *shim_attach(void);
bool shim_process_on(void);
bool shim_room(struct producer *p, uint32_t need);
void shim_append(struct producer *p, uint64_t word, uint64_t tail);
uint64_t shim_clock(void);
/* From here on every event reads the clock, also those of the only thread so far. */
void shim_now_many(void);

/* site.c */
/* Writes the site of the next record; busy is held and there is room for it (SHIM_SITE_ROOM). */
void shim_site(struct producer *p, const void *caller);
enum { SHIM_SITE_ROOM = 24 };
uint64_t shim_resident(const void *block);

static inline uint64_t shim_counter(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#else
	return shim_clock();
#endif
}

/* The counter, not before what came before it has happened. What follows needs no fence:
 * no store is visible before rdtsc has retired. */
static inline uint64_t shim_counter_after(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
	return shim_counter();
}

/* A stamp outside the fast path, by whatever clock the recording has. */
static inline uint64_t shim_now(void)
{
	return shim.counter ? shim_counter_after() : shim_clock();
}

/*
 * The stamp that orders this event after all earlier ones of its block. A bare rdtsc may
 * run ahead of the load that brought the pointer: 848 ticks were seen, once in two million
 * hand-overs between two spinning threads, and the free was stamped before its alloc. A
 * fence prevents that, but it waits for every cache miss under way: 6 ns in a loop of
 * nothing but malloc, 100 in a program with a large heap. So it is taken only when the
 * block's last event was another ring's (events of one ring are in order by themselves).
 *
 * owners[] remembers, for 64 Ki slots, address and ring of the last event there. Another
 * thread's entry is seen in time: it was written before the block was passed on, and
 * reading it depends on the pointer. A slot taken by another address means a fence too
 * many, never one too few.
 */
static inline __attribute__((always_inline)) uint64_t shim_counter_owned(const struct producer *p,
									 uint64_t address)
{
#if defined(__x86_64__)
	_Atomic uint64_t *slot = &shim.owners[address >> 4 & (SHIM_OWNERS - 1)];
	uint64_t mine = address << 16 | p->id;

	if (SHIM_LIKELY(atomic_load_explicit(slot, memory_order_relaxed) == mine))
		return shim_counter();
	atomic_store_explicit(slot, mine, memory_order_relaxed);
#else
	(void)p, (void)address;
#endif
	return shim_counter_after();
}

/* Where the stack is now; the value of `busy`. */
static inline __attribute__((always_inline)) uintptr_t shim_stack(void)
{
#if defined(__x86_64__)
	uintptr_t at;

	__asm__ volatile("mov %%rsp, %0" : "=r"(at));	/* spares malloc() a frame */
	return at;
#else
	return (uintptr_t)__builtin_frame_address(0);
#endif
}

/*
 * The stamp of an event. A bare counter read costs 12 to 27 ns on a VM, more than all
 * else here. While a process has one thread its events are in order without any stamp,
 * so one read serves `sample` events, unless the supervisor's beat moved in between
 * (it does every 1 to 16 ms): the error is a few events and never more than a beat.
 * From the second thread on every event reads the clock, for the order depends on it.
 */
static inline __attribute__((always_inline)) uint64_t shim_stamp(struct producer *p,
								 uint64_t address)
{
	uint64_t now;

	if (p->skip != 0 &&
	    atomic_load_explicit(&shim.area->beat, memory_order_relaxed) == p->beat) {
		p->skip--;
		return p->last;
	}
	if (!p->sample)
		return shim_counter_owned(p, address);
	now = shim_counter();
	p->last = now;
	p->skip = p->sample;
	p->beat = atomic_load_explicit(&shim.area->beat, memory_order_relaxed);
	return now;
}

/* Puts one record with the stamp of now. A thread without a ring has a producer that is
 * always busy; who must look twice at every event keeps limit at pos. */
static inline __attribute__((always_inline)) void shim_put(uint64_t kind_flags, uint64_t address,
							   uint64_t size, const void *caller)
{
	struct producer *p = shim_self;
	uint64_t now, delta, pos;
	struct rh_rec *rec;

	if (SHIM_UNLIKELY(p->busy != 0)) {
		shim_put_odd(kind_flags, address, size, caller);
		return;
	}
	/* Clock before busy: a handler in between records first and later; the reader
	 * then moves our stamp up to its, which is the direction that stays true. */
	now = shim_stamp(p, address);
	p->busy = shim_stack();
	SHIM_BARRIER();
	pos = p->pos;
	delta = now - p->base;
	if (SHIM_UNLIKELY(pos == p->limit || (delta | size | address >> 16) >> 32 != 0)) {
		shim_put_slow(p, kind_flags, address, size, now, caller);
		return;
	}
	rec = (struct rh_rec *)((char *)p->data + (pos & p->mask));
	rec->word = kind_flags | address;
	rec->tail = size << 32 | delta;
	pos += sizeof *rec;
	p->pos = pos;
	atomic_store_explicit(p->head, pos, memory_order_release);
	SHIM_BARRIER();
	p->busy = 0;
	SHIM_BARRIER();
	if (SHIM_UNLIKELY(p->nested != 0))
		shim_flush_side(p);
}

#define SHIM_KIND(kind) ((uint64_t)(kind) << 48)

#endif
