/*
 * shim.h - inside the recorded program: the files and the state.
 *
 *	malloc.c   the malloc family: calls the real one, puts a record (call.h)
 *	new.c      every operator new and delete
 *	family_*.c the own interfaces of allocators
 *	hook.c     finds the real functions of those two, and which of them call malloc
 *	thread.c   pthread_create, C11 threads, joins
 *	put.c      the slow half of a record: wide sizes, stamps, signal handlers
 *	wait.c     rings full
 *	attach.c   a process finds the area, a thread finds a ring, a fork starts over
 *	map.c      the pieces of the area that are mapped
 *	drawn.c    --sample-bytes: which blocks are recorded
 *	filter.c   seccomp: no system call of ours once the program forbids them
 *	real.c     the real functions, and memory until they are known
 *	look.c     other sources of memory in the process
 *	own_new.c  whether a program's own operator new calls malloc
 *	loaded.c   repeats these checks when objects were loaded
 *	site.c     --sites and --residency
 *	exec.c     programs that are started but will not be recorded
 *	mapped.c   --maps: the program's own mappings (maps/ is the library that reports them)
 *
 * Path of one malloc: real malloc; check the block's owner; 8 bytes into this thread's ring;
 * publish. About 25 instructions, no clock, no lock, no shared counter, no system call.
 *
 * What keeps it harmless:
 *   - no memory from the recorded heap, ever: mmap and static storage only;
 *   - a producer's state lies in pages the kernel wipes on fork (MADV_WIPEONFORK), so a forked
 *     child, however made, finds at == 0, takes the slow path and starts its own ring instead
 *     of writing into its parent's;
 *   - a signal handler that allocates while its thread is inside put() finds `at` held and
 *     leaves its record in the side buffer, which the interrupted put() flushes;
 *   - errno is kept; nothing here is a cancellation point; nothing is exported but the
 *     interposed functions.
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

/* The thread that holds a robust mutex, as the C library noted it. */
#ifdef __GLIBC__
#define SHIM_OWNER(mutex) ((mutex).__data.__owner)
#else /* musl: the number is in the lock word, below its two flags */
#define SHIM_OWNER(mutex) ((mutex).__u.__vi[1] & 0x3fffffff)
#endif

/* Declarations as well: our own symbols are reached without the GOT. */
#pragma GCC visibility push(hidden)

#define SHIM_EXPORT	 __attribute__((visibility("default")))
#define SHIM_LIKELY(x)	 __builtin_expect(!!(x), 1)
#define SHIM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#if defined(__x86_64__)
#define SHIM_PAUSE() __builtin_ia32_pause()
#else
#define SHIM_PAUSE() __asm__ volatile("yield" ::: "memory")
#endif
#define SHIM_BARRIER() __asm__ volatile("" ::: "memory")

enum {
	SHIM_SIDE = 23,	       /* records a signal handler may leave behind */
	SHIM_OWNERS = 1 << 18, /* 2 MiB, touched as used: exact for 4 MiB of heap */
};

/* The description of a record: its kind, and log2 of the alignment above it. */
#define SHIM_WHAT(kind, align_log2) ((uint32_t)(kind) | (uint32_t)(align_log2) << 8)

struct side_record {
	uint64_t what, address, size, now;
};

/*
 * One thread's end of its ring. The fast path touches only the first line, besides the
 * ring's own. `at` says in one word where the ring is and whether it is ours now:
 *	odd	idle; the ring's address + 1
 *	even	the stack of the put() in progress
 *	0	no ring: never attached, or wiped by fork
 */
struct producer {
	uintptr_t at;
	uint64_t bias;			    /* address of a byte of the ring less its count */
	_Atomic(_Atomic uint64_t *) owners; /* NULL while the process has one thread */
	uint64_t key;			    /* of the ring in owners[] */
	uint32_t nested;		    /* records in side[] */
	uint32_t every;			    /* bytes of records that one clock read serves now */
	uint64_t last, last_head;	    /* last clock read, and head at it */
	uint64_t room;			    /* head may go this far */
	/* second line: the slow path */
	struct rh_ring *ring;
	uint64_t mask;
	uint64_t *data;
	uint32_t grow; /* widen the ring as soon as it is empty */
	uint32_t site; /* last SITE written */
	uint32_t index;
	uint32_t generation; /* of the area that the ring lies in */
	uint64_t lost;	     /* calls since the last record that was put */
	uint32_t allowed;    /* this search for room may make system calls */
	uint32_t pad1[3];
	struct side_record side[SHIM_SIDE];
	uint64_t pad2[4];
};
_Static_assert(offsetof(struct producer, ring) == 64, "one line for the fast path");
_Static_assert(sizeof(struct producer) % 64 == 0, "no false sharing of producers");
_Static_assert(offsetof(struct rh_ring, head) == 0, "at - 1 is where head is");

enum shim_state { SHIM_UNKNOWN, SHIM_ON, SHIM_OFF, SHIM_DORMANT };
/* State of a shim that was loaded into a running process. */
enum shim_late { SHIM_EARLY, SHIM_LATE, SHIM_LEAVING, SHIM_LEFT };

struct shim {
	struct rh_area *area;	     /* header and processes */
	int fd;			     /* of the area, while the process starts; then -1 */
	uint64_t inode;		     /* of the area */
	uint32_t counter;	     /* stamps are the CPU's counter */
	uint32_t every_slow;	     /* for sites, residency, or without a counter */
	uint32_t exact;		     /* every event has a stamp of its own */
	_Atomic uint32_t many;	     /* a second thread was seen */
	_Atomic uint32_t filter;     /* of system calls: we make no more of them */
	_Atomic uint32_t tsc_off;    /* reading the counter kills (strict seccomp, PR_SET_TSC) */
	uint32_t state;		     /* enum shim_state */
	uint32_t proc;		     /* our slot */
	uint32_t dormant;	     /* preloaded to sleep: dormant.c */
	_Atomic uint32_t late;	     /* enum shim_late */
	_Atomic uint32_t generation; /* areas that this process has had before */
	_Atomic uint32_t thread_next;
	_Atomic uint32_t starting; /* one thread at a time maps the area */
	uint64_t default_stack;
	_Atomic(_Atomic uint64_t *) owners; /* SHIM_OWNERS slots; see shim_owned */
};
extern struct shim shim;

extern struct producer shim_nobody;	    /* of a thread that has no ring */
extern __thread struct producer *shim_self; /* never NULL */
extern __thread uint32_t shim_number;	    /* this thread's number + 1; 0 = none yet */

#if defined(__x86_64__)
enum { SHIM_PAGE_MOST = 4096 };
#else
enum { SHIM_PAGE_MOST = RH_AREA_PAGE_MOST };
#endif
union shim_own_page { /* a page of its own, however large those are: a file is mapped over it */
	struct rh_dormant page;
	char room[SHIM_PAGE_MOST];
};
extern union shim_own_page shim_own_page;
#define shim_sleep (shim_own_page.page)

/* The first thing that a call checks: enum rh_aside. Read once per call, because it changes. */
static inline __attribute__((always_inline)) int32_t shim_aside(void)
{
	return __builtin_expect(atomic_load_explicit(&shim_sleep.asleep, memory_order_acquire), 0);
}

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
	/* NULL where the allocator has none */
	size_t (*malloc_usable_size)(void *);
	void (*free_sized)(void *, size_t);
	void (*free_aligned_sized)(void *, size_t, size_t);
};
extern struct real real;
/* malloc as it was found, whatever `real` holds at the moment. */
void *(*shim_real_malloc(void))(size_t);

/* Memory handed out before the real functions were known. */
enum { SHIM_BOOT_BYTES = 64 * 1024 };
extern char shim_boot_arena[SHIM_BOOT_BYTES];
extern _Atomic uint32_t shim_boot_used; /* bytes of it */
size_t shim_boot_room(const void *p);

static inline bool shim_boot_owns(const void *p)
{
	return SHIM_UNLIKELY(atomic_load_explicit(&shim_boot_used, memory_order_relaxed) != 0) &&
	       (uintptr_t)p - (uintptr_t)shim_boot_arena < SHIM_BOOT_BYTES;
}

/* The caller of malloc: the return address, and where the stack was before the call (0 if the
 * return address does not lie right below that). Only --sites uses it; passed to slow halves only.
 */
struct shim_from {
	const void *caller;
	uintptr_t frame;
};

#if defined(__x86_64__)
#define SHIM_FROM() \
	((struct shim_from){ __builtin_return_address(0), (uintptr_t)__builtin_dwarf_cfa() })
#else
#define SHIM_FROM() ((struct shim_from){ __builtin_return_address(0), 0 })
#endif
#define SHIM_NOBODY ((struct shim_from){ NULL, 0 })

/* The remaining work of an unfinished put(). */
enum shim_need {
	SHIM_DONE,
	SHIM_LONG,   /* not begun: it has no short form */
	SHIM_ODD,    /* not begun: no ring, or a put() of this thread is in progress */
	SHIM_HELD,   /* `at` is held; the slow path */
	SHIM_NESTED, /* done, but a signal handler left a record meanwhile */
};
/* Does that; `what` is a kind with log2 of the alignment above it. errno is kept. */
void shim_put_rest(enum shim_need need, uint32_t what, uint64_t address, uint64_t size,
		   struct shim_from from) __attribute__((noinline));
/* A rare record, or one that only has a long form; it has its own stamp. */
void shim_put_long(uint32_t what, uint64_t address, uint64_t size, struct shim_from from)
	__attribute__((noinline));

/* This thread's producer, attached now if need be; NULL: not recorded (and why is counted). */
struct producer *shim_attach(void);
bool shim_process_on(void);
/* Maps the area that the text names (as in the environment) and takes a slot; does not change the
 * state. */
enum rh_late shim_start_late(const char *text);
/* late.c: recording has ended for a process that we attached to late: detaches. Called again in a
 * forked child that is not to be recorded. Only for the recording of that generation. */
void shim_let_go(uint32_t generation, bool child);
/* real.c: the real functions, looked up from an object that was opened late. */
void shim_real_late(void);
/* wait.c */
bool shim_recorder_is_dead(struct rh_area *area); /* and closes it then */
bool shim_stalled(const struct rh_area *area);	  /* do not wait before the next beat */
bool shim_wait_for_tail(struct producer *p, uint64_t tail_seen);
static inline void shim_count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}
/* late.c: see area.h, RH_LATE_FUNCTION. */
int rh_record_attach(const char *where) SHIM_EXPORT;
/* dormant.c: falls asleep if the environment says so; wakes when asked to (true: it is recorded
 * from now on); recording has ended. */
void shim_dormant(void);
bool shim_wake(void);
void shim_sleep_again(bool child);
/* look.c: stores the other sources of memory in this process in its slot. `reads`: files, which
 * takes system calls. */
void shim_look(bool reads);
/* look.c: the program has that function of another allocator, without us between. */
void shim_look_past_us(const void *function);
/* local.c: does an object have a malloc that the loader does not know? Reads its file. */
struct dl_phdr_info;
bool shim_local_malloc(const struct dl_phdr_info *info);
/* own_new.c: does the executable's operator new, at that address, call malloc? */
bool shim_new_comes_to_malloc(const struct dl_phdr_info *info, const void *operator_new);
/* loaded.c: whether objects came or went since the last call. */
bool shim_loaded_anew(void);
/* exec.c: finds the real functions of the exec family; reports to the supervisor a program that is
 * not recorded, started at that time or soon after; returns its slot + 1 (0: none).
 */
void shim_exec_ready(void);
uint32_t shim_tell_kid(enum rh_kid_why why, const char *exe, int pid, uint64_t at);
/* real.c: built with a sanitizer. Its interposed functions may not be called before its runtime has
 * started, but we run earlier: so we only pass calls on. */
bool shim_sanitizer(void);
/* figures.c: stores the CPU time that the process has used, and at exit its peak memory. */
void shim_figures(struct rh_proc *proc, bool over);
/* Room for that many words in one piece; false: they cannot be kept. Records that belong together
 * request all their room at once, so that they are dropped as a whole. */
bool shim_room(struct producer *p, uint32_t words);
/* These need room, and publish what they wrote. */
void shim_append(struct producer *p, const uint64_t *words, uint32_t count);
void shim_append_long(struct producer *p, uint32_t what, uint64_t address, uint64_t tail);
uint64_t shim_clock(void);
/* From here on blocks may pass between threads, also those of the first thread. */
void shim_now_many(void);

/* map.c. A failed request gives NULL or false. */
int shim_open_area(void);
void *shim_map(uint64_t offset, uint64_t bytes); /* neither need be a multiple of a page */
void shim_unmap(void *p, uint64_t bytes);
bool shim_group(uint32_t ring); /* its head and producer are mapped; ask before these: */
struct rh_ring *shim_ring(uint32_t ring);
struct producer *shim_producer(uint32_t ring); /* NULL: not mapped */
/* At least that many bytes of its data; only its owner asks, when it is empty. */
uint64_t *shim_ring_data(uint32_t ring, uint64_t bytes);
uint64_t shim_ring_has(uint32_t ring); /* bytes of it that are mapped */
bool shim_owners(void);
struct producer *shim_guard(void); /* last is 0 in a forked child */
bool shim_wipe_works(void);
void shim_wipe(void); /* if the kernel does not */
/* Memory that a forked child finds zeroed, or NULL. */
void *shim_map_wiped(size_t bytes);
void shim_stock_up(void);
/* The next area begins. Areas that threads may still write to stay mapped. */
void shim_map_forget(void);

/* A filter of system calls is on, seen by us or by the supervisor. */
static inline bool shim_filtered(void)
{
	return atomic_load_explicit(&shim.filter, memory_order_relaxed) ||
	       (shim.state == SHIM_ON && rh_area_proc(shim.area, shim.proc)->filter);
}

/* filter.c: a filter may be on that nobody has seen yet. Asks the supervisor, and whether that
 * question is answered, and allowed; or has waited so long that a call must be risked. */
uint32_t shim_ask(void);
bool shim_may_call(uint32_t question, uint64_t waited_ms);
/* The same, polling for the answer, which comes within a beat; at an exit: a young process does not
 * ask. */
bool shim_may_call_asked(void);
bool shim_may_call_now(void);

/* site.c */
/* Writes the site of the next record; `at` is held, there is room for it (SHIM_SITE_ROOM). */
void shim_site(struct producer *p, struct shim_from from);
enum { SHIM_SITE_ROOM = 64 };
uint64_t shim_resident(const void *block);

/* A bare system call: no cancellation point, errno left alone, -errno on failure. */
static inline long shim_raw(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#endif
}

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

/* The counter, read after all earlier instructions have completed. Later stores need no fence: none
 * is visible before rdtsc has retired. */
static inline uint64_t shim_counter_after(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lfence" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
	return shim_counter();
}

/* No clock may be read here; we use the supervisor's last one. */
static inline bool shim_clockless(void)
{
	return atomic_load_explicit(&shim.tsc_off, memory_order_relaxed);
}

/* A stamp outside the fast path, by the recording's clock. */
static inline uint64_t shim_now(void)
{
	if (SHIM_UNLIKELY(shim_clockless()))
		return atomic_load(&shim.area->now);
	return shim.counter ? shim_counter_after() : shim_clock();
}

/*
 * The order between threads. The events of one ring are in order by themselves; a bare
 * counter read costs 12 to 27 ns on a VM, more than all else here. So an event has its own
 * stamp only if the block's last event was on another ring; all others share the last stamp of
 * their ring, which lies before them. Say block X has an event on ring A and then one on ring
 * B. B's is stamped after A's has completed; A's own stamp, or the last one before it, was read
 * before A's event: so the merge by stamps puts A's first.
 *
 * owners[] remembers, for 256 Ki slots, address and ring of the last event there. Another
 * thread's entry is seen in time: it was written before the block was passed on, and
 * reading it depends on the pointer. The whole address is compared: a slot taken by another
 * block means an extra stamp, never a missing one. While the process has one thread nothing is
 * looked up: START of the second thread is stamped after all its events.
 *
 * The stamp is fenced. A bare rdtsc may run ahead of the load that brought the pointer:
 * 848 ticks were seen, once in two million hand-overs between two spinning threads, and
 * the free was stamped before its alloc.
 */
static inline __attribute__((always_inline)) uint64_t shim_owner_slot(uint64_t address)
{
	/* address / 16, and address / 32768 on top: neighbours stay neighbours, and the
	 * arenas of threads, 64 MiB apart, do not meet. */
	uint64_t both = (1ull << 42) + (1ull << 31);

	__asm__("" : "+r"(both)); /* one multiplication, not two shifts and a sum */
	return address * both >> 46;
}
_Static_assert(SHIM_OWNERS == 1 << (64 - 46), "the slots that the shift leaves");

static inline __attribute__((always_inline)) bool
shim_owned(const struct producer *p, const _Atomic uint64_t *owners, uint64_t address)
{
	return atomic_load_explicit(&owners[shim_owner_slot(address)], memory_order_relaxed) ==
	       (address ^ p->key);
}

static inline __attribute__((always_inline)) uintptr_t shim_stack(void)
{
	return (uintptr_t)__builtin_frame_address(0);
}

/* Marks the put() in progress as this one. Straight from the register: malloc() needs no frame. */
static inline __attribute__((always_inline)) void shim_hold(struct producer *p)
{
#if defined(__x86_64__)
	__asm__ volatile("mov %%rsp, %0" : "=m"(p->at) : : "memory");
#else
	p->at = shim_stack() & ~(uintptr_t)1;
	SHIM_BARRIER();
#endif
}

static inline void shim_idle(struct producer *p)
{
	SHIM_BARRIER();
	p->at = (uintptr_t)p->ring + 1;
	SHIM_BARRIER();
}

/*
 * Puts one short record. Its time is the ring's last stamp: at most `sample` events old, and of
 * this beat of the supervisor (1 to 16 ms), which sets limit to 0.
 *
 * `word` is the record; it is a short one already. `at` comes first: from here on a signal
 * handler leaves its record to us, so no stamp of its record gets between our look at owners[]
 * and our record. A thread whose every event needs the slow path keeps limit at 0.
 *
 * The remaining work is returned instead of called, so that malloc() and free() can do it at
 * their ends and need no frame before.
 */
static inline __attribute__((always_inline)) enum shim_need shim_put(uint64_t word,
								     uint64_t address)
{
	struct producer *p = shim_self;
	uintptr_t at = p->at;
	_Atomic uint64_t *owners;
	struct rh_ring *ring;
	uint64_t head;

	if (SHIM_UNLIKELY(!(at & 1)))
		return SHIM_ODD;
	shim_hold(p);
	ring = (struct rh_ring *)(at - 1);
	head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	if (SHIM_UNLIKELY(head >= atomic_load_explicit(&ring->limit, memory_order_relaxed)))
		return SHIM_HELD;
	owners = atomic_load_explicit(&p->owners, memory_order_relaxed);
	if (owners && SHIM_UNLIKELY(!shim_owned(p, owners, address)))
		return SHIM_HELD;
	*(uint64_t *)(head + p->bias) = word;
	atomic_store_explicit(&ring->head, head + sizeof(uint64_t), memory_order_release);
	SHIM_BARRIER();
	p->at = at;
	SHIM_BARRIER();
	return SHIM_UNLIKELY(p->nested != 0) ? SHIM_NESTED : SHIM_DONE;
}

#pragma GCC visibility pop

#endif
