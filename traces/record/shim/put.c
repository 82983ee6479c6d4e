/*
 * put.c - the slow half of a record.
 *
 * Entered for every 2^k-th record (half a ring), after a pause of 2^32 ticks, for a
 * size of 4 GiB and more, in a thread's first call, and from signal handlers. Whatever
 * happens here, errno is kept and the program goes on.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/shim/shim.h"

enum { WAIT_NS = 500 * 1000 * 1000 };
#define PATIENCE_NS 5000000000u		/* without a beat: then the supervisor counts as gone */

/* Raw, so that neither a cancellation point nor another interposer is in the way. */
static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

uint64_t shim_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void wake_supervisor(struct rh_area *area)
{
	if (atomic_load_explicit(&area->sleeping, memory_order_relaxed)) {
		atomic_fetch_add(&area->wake, 1);
		futex(&area->wake, FUTEX_WAKE, 1, NULL);
	}
}

static void add(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter,
			      atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

/* Waits until the supervisor moved the tail. False: nobody drains any more. */
static bool wait_for_tail(struct producer *p, uint64_t tail_seen)
{
	static const struct timespec timeout = { 0, WAIT_NS };
	struct rh_area *area = shim.area;
	struct rh_ring *ring = p->ring;
	uint64_t began = shim_clock(), beat_at = began;
	uint32_t beat = atomic_load(&area->beat), seen;

	add(&ring->waits, 1);
	for (;;) {
		seen = atomic_load(&ring->tail_moves);
		atomic_store(&ring->waiting, 1);
		if (atomic_load(&ring->tail) != tail_seen)
			break;
		if (atomic_load(&area->closed) || !atomic_load(&area->recording))
			return false;
		wake_supervisor(area);
		futex(&ring->tail_moves, FUTEX_WAIT, seen, &timeout);
		if (atomic_load(&area->beat) != beat) {
			beat = atomic_load(&area->beat);
			beat_at = shim_clock();
		} else if (shim_clock() - beat_at > PATIENCE_NS) {
			atomic_store(&area->closed, 1);
			return false;
		}
	}
	atomic_store(&ring->waiting, 0);
	add(&ring->wait_ns, shim_clock() - began);
	return true;
}

/* An empty ring may be widened: the supervisor reads mask after head. */
static void widen(struct producer *p)
{
	uint64_t bytes = p->mask + 1, most = shim.area->ring_bytes;

	p->grow = 0;
	if (bytes < most) {
		bytes = bytes * RH_RING_GROW < most ? bytes * RH_RING_GROW : most;
		p->mask = bytes - 1;
		atomic_store(&p->ring->mask, (uint32_t)p->mask);
	}
}

/* A signal handler that allocates meanwhile is no nested call: nothing of ours is half
 * done, and it may wait for room of its own, or jump away. */
static bool wait_open(struct producer *p, uint64_t tail)
{
	uintptr_t busy = p->busy;
	bool moved;

	p->limit = p->pos;
	p->busy = 0;
	SHIM_BARRIER();
	moved = wait_for_tail(p, tail);
	SHIM_BARRIER();
	p->busy = busy;
	return moved;
}

/* Makes room for `need` records and sets the limit. False: they cannot be kept. Records
 * that belong together ask for all their room at once: what is dropped is whole. */
bool shim_room(struct producer *p, uint32_t need)
{
	struct rh_area *area = shim.area;

	for (;;) {
		uint64_t tail = atomic_load_explicit(&p->ring->tail, memory_order_acquire);
		uint64_t used = (p->pos - tail) / sizeof(struct rh_rec), room;

		if (p->grow && used == 0)
			widen(p);
		room = (p->mask + 1) / sizeof(struct rh_rec);
		if (used + need <= room && !(p->grow && used)) {
			p->limit = tail + (used + need < room / 2 ? room / 2 : room) *
						  sizeof(struct rh_rec);
			if (used + need >= room / 2)
				wake_supervisor(area);
			return true;
		}
		if (atomic_load(&area->closed) || !atomic_load(&area->recording))
			return false;
		if (area->drop) {
			wake_supervisor(area);
			return false;
		}
		if (room * sizeof(struct rh_rec) < area->ring_bytes)
			p->grow = 1;
		if (!wait_open(p, tail))
			return false;
	}
}

/* One raw record; busy is held and there is room. */
static void write_record(struct producer *p, uint64_t word, uint64_t tail)
{
	struct rh_rec *rec = (struct rh_rec *)((char *)p->data + (p->pos & p->mask));

	rec->word = word;
	rec->tail = tail;
	p->pos += sizeof *rec;
	atomic_store_explicit(p->head, p->pos, memory_order_release);
}

void shim_append(struct producer *p, uint64_t word, uint64_t tail)
{
	if (p->pos != p->limit || shim_room(p, 1))
		write_record(p, word, tail);
}

/* The record with whatever must stand before it. busy is held. */
static void append_whole(struct producer *p, uint64_t kind_flags, uint64_t address, uint64_t size,
			 uint64_t now)
{
	bool wide = size >> 32 || address >> 48;

	if (!shim_room(p, 3)) {
		add(&p->ring->dropped, 1);
		return;
	}
	if ((now - p->base) >> 32) {
		shim_append(p, rh_rec_word(RH_REC_BASE, 0), now);
		p->base = now;
	}
	if (wide)
		shim_append(p, rh_rec_word(RH_REC_WIDE, address >> 48), size);
	shim_append(p, kind_flags | (address & RH_REC_ADDRESS),
		    (wide ? 0 : size << 32) | (now - p->base));
}

/* --sites and --residency. */
static void look_twice(struct producer *p, uint64_t *kind_flags, uint64_t address, uint64_t *size,
		       const void *caller)
{
	unsigned kind = *kind_flags >> 48 & 63;

	if (shim.area->sites && (kind == RH_REC_ALLOC || kind == RH_REC_RE_END) &&
	    shim_room(p, SHIM_SITE_ROOM))
		shim_site(p, caller);
	if (shim.area->residency && kind == RH_REC_FREE) {
		*kind_flags |= RH_REC_RESIDENT;
		*size = shim_resident((const void *)(uintptr_t)address);
	}
}

static bool recording(void)
{
	return atomic_load_explicit(&shim.area->recording, memory_order_relaxed) &&
	       !atomic_load_explicit(&shim.area->closed, memory_order_relaxed);
}

void shim_put_slow(struct producer *p, uint64_t kind_flags, uint64_t address, uint64_t size,
		   uint64_t now, const void *caller)
{
	int saved = errno;

	if (!p->ring) {		/* we are a forked child and these pages were wiped */
		p->busy = 0;
		shim_self = &shim_nobody;
		shim_put_odd(kind_flags, address, size, caller);
		return;
	}
	if (!recording()) {
		p->limit = p->pos;	/* stay on this path until it begins again */
	} else {
		if (!shim.counter)
			now = shim_clock();
		if (shim.every_slow)
			look_twice(p, &kind_flags, address, &size, caller);
		append_whole(p, kind_flags, address, size, now);
		if (shim.every_slow)
			p->limit = p->pos;
	}
	SHIM_BARRIER();
	p->busy = 0;
	SHIM_BARRIER();
	if (p->nested)
		shim_flush_side(p);
	errno = saved;
}

void shim_flush_side(struct producer *p)
{
	int saved = errno;
	uint32_t i;

	p->busy = shim_stack();
	SHIM_BARRIER();
	for (i = 0; i < *(volatile uint32_t *)&p->nested; i++) {
		struct side_record *side = &p->side[i];

		append_whole(p, side->kind_flags, side->address, side->size, side->now);
	}
	p->nested = 0;
	SHIM_BARRIER();
	p->busy = 0;
	errno = saved;
}

/*
 * No producer yet, or one that is busy. Busy means that we are a signal handler inside
 * this thread's put(): our frame lies below its frame. A frame at or above it says that
 * the put() is gone, because a handler jumped out of it.
 */
void shim_put_odd(uint64_t kind_flags, uint64_t address, uint64_t size, const void *caller)
{
	uintptr_t frame = shim_stack();
	struct producer *p = shim_self;
	uint64_t now;
	uint32_t at;

	if (p == &shim_nobody) {
		int saved = errno;

		p = shim.state == SHIM_OFF ? NULL : shim_attach();
		errno = saved;
		if (!p)
			return;
	} else if (frame < p->busy) {
		at = p->nested;
		if (at == SHIM_SIDE) {
			add(&p->ring->nested, 1);
			return;
		}
		p->nested = at + 1;
		p->side[at] = (struct side_record){ kind_flags, address, size,
						    shim_now() };
		return;
	}
	now = shim_stamp(p, address);
	p->busy = frame;
	SHIM_BARRIER();
	shim_put_slow(p, kind_flags, address, size, now, caller);
}
