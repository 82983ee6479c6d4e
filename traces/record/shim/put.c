/*
 * put.c - the slow half of a record.
 *
 * Entered for one event in 128 (or fewer, see next_read), for a block that another thread had,
 * for sizes of 64 KiB and more, when half a ring is full, in a thread's first call, and from
 * signal handlers. Whatever happens here, errno is kept and the program continues.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/shim/drawn.h"
#include "traces/record/shim/shim.h"

enum {
	WAIT_NS = 100 * 1000 * 1000,
	PATIENCE_MS = 1000, /* without a beat: then the program continues, and calls are lost */
	SPINS_PER_MS = 20000,
	WARY_MS = 50, /* of a young process: more than a supervisor on a busy machine needs */
};
#define DENSE_TICKS 512 /* between events: more, and each may have a clock read */

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	shim_raw(SYS_futex, (long)word, op, value, (long)timeout, 0, 0);
}

uint64_t shim_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void wake_supervisor(struct rh_area *area)
{
	if (atomic_load_explicit(&area->sleeping, memory_order_relaxed) && !shim_wary()) {
		atomic_fetch_add(&area->wake, 1);
		futex(&area->wake, FUTEX_WAKE, 1, NULL);
	}
}

static void add(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

/* The supervisor holds that mutex for as long as it lives. */
bool shim_recorder_is_dead(struct rh_area *area)
{
	int got = pthread_mutex_trylock(&area->recorder);

	if (got == EBUSY)
		return false;
	if (got == 0 || got == EOWNERDEAD)
		pthread_mutex_unlock(&area->recorder);
	atomic_store(&area->closed, 1);
	return true;
}

/* A clock for this wait: in ms; bare: without a system call. */
static uint64_t patience_clock(bool bare, uint64_t spins)
{
	if (!bare)
		return shim_clock() / 1000000;
	return shim.counter && !shim_clockless() && shim.area->ticks_per_ms
		       ? shim_counter() / shim.area->ticks_per_ms
		       : spins / SPINS_PER_MS;
}

/* poll: without a system call. A thread of real-time priority may have the supervisor's CPU: so a
 * young process, which is only perhaps under a filter, sleeps after a while. */
static void pause_for_tail(struct rh_area *area, struct rh_ring *ring, uint32_t seen, bool poll)
{
	static const struct timespec timeout = { 0, WAIT_NS };

	if (poll) {
		for (int i = 0; i < 100; i++)
			SHIM_PAUSE();
		return;
	}
	wake_supervisor(area);
	futex(&ring->tail_moves, FUTEX_WAIT, seen, &timeout);
}

/* A thread has waited in vain, and there has been no beat since. */
static bool stalled(const struct rh_area *area)
{
	return atomic_load(&area->stalled) == atomic_load(&area->beat) + 1;
}

/*
 * Waits until the supervisor has moved the tail. False: recording has ended, or there was no
 * beat for a second: a hanging recorder must not hang the program. Then no thread of any
 * process waits again before the next beat (100 threads started one after the other waited 100
 * s); calls lost until then are counted.
 */
static bool wait_for_beats(struct rh_ring *ring, uint64_t tail_seen)
{
	struct rh_area *area = shim.area;
	uint32_t beat = atomic_load(&area->beat), seen;
	uint64_t beat_at, began, spins = 0;
	bool bare = shim_wary(), poll;

	began = beat_at = patience_clock(bare, 0);
	for (;; spins++) {
		seen = atomic_load(&ring->tail_moves);
		atomic_store(&ring->waiting, 1);
		if (atomic_load(&ring->tail) != tail_seen)
			return true;
		if (atomic_load(&area->closed) || !atomic_load(&area->recording) || stalled(area) ||
		    shim_recorder_is_dead(area))
			return false;
		poll = shim_filtered() || (bare && patience_clock(bare, spins) - began <= WARY_MS);
		pause_for_tail(area, ring, seen, poll);
		if (atomic_load(&area->beat) != beat) {
			beat = atomic_load(&area->beat);
			beat_at = patience_clock(bare, spins);
		} else if (patience_clock(bare, spins) - beat_at > PATIENCE_MS) {
			atomic_store(&area->stalled, beat + 1);
			return false;
		}
	}
}

static bool wait_for_tail(struct producer *p, uint64_t tail_seen)
{
	uint64_t began = shim_filtered() ? 0 : shim_clock();
	bool moved = wait_for_beats(p->ring, tail_seen);

	if (!moved)
		return false;
	atomic_store(&p->ring->waiting, 0);
	add(&p->ring->waits, 1);
	if (began)
		add(&p->ring->wait_ns, shim_clock() - began);
	return true;
}

/* An empty ring may be widened: the supervisor reads mask after head. */
static void widen(struct producer *p)
{
	uint64_t bytes = p->mask + 1, most = shim.area->ring_bytes, *data;

	p->grow = 0;
	if (bytes >= most)
		return;
	bytes = bytes * RH_RING_GROW < most ? bytes * RH_RING_GROW : most;
	if (shim_wary() && shim_ring_has(p->index) < bytes)
		return;
	data = shim_ring_data(p->index, bytes);
	if (!data)
		return;
	p->data = data;
	p->mask = bytes - 1;
	atomic_store(&p->ring->mask, (uint32_t)p->mask);
}

static uint64_t head_of(const struct producer *p)
{
	return atomic_load_explicit(&p->ring->head, memory_order_relaxed);
}

static void publish(struct producer *p, uint64_t head)
{
	atomic_store_explicit(&p->ring->head, head, memory_order_release);
}

/* The supervisor sets it to 0 now and then: a value that we store over that can only delay reading
 * the clock; it never exceeds the room. */
static void set_limit(struct producer *p, uint64_t limit)
{
	atomic_store_explicit(&p->ring->limit, limit, memory_order_relaxed);
}

/* A signal handler that allocates meanwhile is not a nested call: nothing of ours is half done, and
 * it may wait for room itself, or jump away. */
static bool wait_open(struct producer *p, uint64_t tail)
{
	uintptr_t at = p->at;
	bool moved;

	p->room = 0;
	set_limit(p, 0);
	shim_idle(p);
	moved = wait_for_tail(p, tail);
	SHIM_BARRIER();
	p->at = at;
	return moved;
}

/*
 * Grants free space of the ring up to half of it, if necessary up to all of it, and never past
 * its end: records do not wrap. True: it is enough. If the rest at the end is too short, it is
 * filled with PAD (0), and the search continues after it.
 */
static bool grant(struct producer *p, uint64_t need, uint64_t tail)
{
	uint64_t size = p->mask + 1, head = head_of(p), used = head - tail;
	uint64_t at = head & p->mask, to_end = size - at, upto;

	if (to_end < need && used + to_end <= size) {
		memset((char *)p->data + at, 0, to_end);
		publish(p, head += to_end);
		used += to_end;
		at = 0;
		to_end = size;
	}
	if (used + need > size)
		return false;
	upto = tail + (used + need < size / 2 ? size / 2 : size);
	p->room = upto < head + to_end ? upto : head + to_end;
	p->bias = (uint64_t)(uintptr_t)p->data + at - head;
	if (used + need >= size / 2)
		wake_supervisor(shim.area);
	return true;
}

bool shim_room(struct producer *p, uint32_t words)
{
	struct rh_area *area = shim.area;
	uint64_t need = words * sizeof(uint64_t);

	if (head_of(p) + need <= p->room)
		return true;
	for (;;) {
		uint64_t tail = atomic_load_explicit(&p->ring->tail, memory_order_acquire);
		bool empty = tail == head_of(p);

		if (p->grow && empty)
			widen(p);
		if (!p->grow && grant(p, need, tail))
			return true;
		if (atomic_load(&area->closed) || !atomic_load(&area->recording) || stalled(area))
			return false;
		if (area->drop) {
			wake_supervisor(area);
			return false;
		}
		if (p->mask + 1 < area->ring_bytes)
			p->grow = 1;
		if (!wait_open(p, tail))
			return false;
	}
}

void shim_append(struct producer *p, const uint64_t *words, uint32_t count)
{
	uint64_t head = head_of(p), *at = (uint64_t *)(head + p->bias);

	for (uint32_t i = 0; i < count; i++)
		at[i] = words[i];
	publish(p, head + count * sizeof *words);
}

void shim_append_long(struct producer *p, uint32_t what, uint64_t address, uint64_t tail)
{
	struct rh_rec rec = { .kind = (uint8_t)what,
			      .align_log2 = (uint8_t)(what >> 8),
			      .address = address,
			      .tail = tail };
	uint64_t words[RH_REC_MOST_WORDS];

	shim_append(p, words, rh_rec_pack(&rec, words));
}

/* ---- stamps ---- */

/* The clock for one event of a block: fenced if other threads may have had the block. */
static uint64_t read_clock(struct producer *p, uint32_t what, uint64_t address)
{
	_Atomic uint64_t *owners = p->owners;

	if (SHIM_UNLIKELY(!shim.counter || shim_clockless()))
		return shim_now();
	if (!owners)
		return shim.exact ? shim_counter_after() : shim_counter();
	if ((what & 255) <= RH_REC_FREE_RESIDENT) {
		if (shim_owned(p, owners, address))
			return shim_counter();
		atomic_store_explicit(&owners[shim_owner_slot(address)], address ^ p->key,
				      memory_order_relaxed);
	}
	return shim_counter_after();
}

/*
 * When to read the clock next: after up to `sample` events if they are dense, at each event if
 * they are so far apart that a read costs relatively nothing. So the time of an event is exact
 * to some microseconds where it matters.
 */
static void next_read(struct producer *p, uint64_t now)
{
	uint64_t head = head_of(p), most = shim.area->sample * sizeof(uint64_t), stop;
	uint64_t events = (head - p->last_head) / sizeof(uint64_t);

	if (now - p->last > events * DENSE_TICKS)
		p->every = p->every > 16 ? p->every / 2 : 8;
	else if (p->every < most)
		p->every *= 2;
	p->last = now;
	p->last_head = head;
	stop = head + (p->every < most ? p->every : most) - sizeof(uint64_t);
	set_limit(p, stop < p->room ? stop : p->room);
}

/* ---- records ---- */

static bool recording(void)
{
	return atomic_load_explicit(&shim.area->recording, memory_order_relaxed) &&
	       !atomic_load_explicit(&shim.area->closed, memory_order_relaxed);
}

static bool is_event(uint32_t what)
{
	unsigned kind = what & 255;

	return kind == RH_REC_FREE_RESIDENT || (kind < RH_REC_LONG && (RH_REC_EVENTS >> kind & 1));
}

/* A call without room: lost in a stall, or made while recording was off. Decided only here. */
static void missed(struct producer *p, uint32_t what)
{
	p->room = 0; /* the next record, however short, comes after a GAP */
	set_limit(p, 0);
	if (!is_event(what))
		return;
	if (recording()) {
		add(&p->ring->dropped, 1);
		p->lost++;
	} else {
		add(&p->ring->outside, 1);
	}
}

/* A stamped record, after a GAP if calls were lost. `at` is held. */
static void append_whole(struct producer *p, uint32_t what, uint64_t address, uint64_t size,
			 uint64_t now)
{
	uint64_t words[1 + 2 * RH_REC_MOST_WORDS] = { rh_rec_stamp(now) };
	struct rh_rec rec = { .kind = (uint8_t)what,
			      .align_log2 = (uint8_t)(what >> 8),
			      .address = address,
			      .tail = size };
	struct rh_rec gap = { .kind = RH_REC_GAP, .tail = p->lost };
	uint32_t count = 1;

	if (p->lost)
		count += rh_rec_pack(&gap, words + count);
	count += rh_rec_pack(&rec, words + count);
	if (!shim_room(p, count)) {
		missed(p, what);
		return;
	}
	shim_append(p, words, count);
	p->lost = 0;
}

/* --sites and --residency. */
static void look_twice(struct producer *p, uint32_t *what, uint64_t address, uint64_t *size,
		       struct shim_from from)
{
	unsigned kind = *what & 255;

	if (shim.area->sites && (rh_rec_is_birth(kind) || kind == RH_REC_RE_END) &&
	    shim_room(p, SHIM_SITE_ROOM))
		shim_site(p, from);
	if (shim.area->residency && kind == RH_REC_FREE && address && !shim_filtered()) {
		if (*size && shim_room(p, 2 * RH_REC_MOST_WORDS + 1))
			shim_append_long(p, RH_REC_SIZED, 0, *size);
		*what = RH_REC_FREE_RESIDENT;
		*size = shim_resident((const void *)(uintptr_t)address);
	}
}

static void flush_side(struct producer *p)
{
	int saved = errno;
	uint32_t i;

	shim_hold(p);
	for (i = 0; i < *(volatile uint32_t *)&p->nested; i++) {
		struct side_record *side = &p->side[i];

		append_whole(p, (uint32_t)side->what, side->address, side->size, side->now);
	}
	p->nested = 0;
	shim_idle(p);
	errno = saved;
}

static void idle(struct producer *p)
{
	shim_idle(p);
	if (SHIM_UNLIKELY(p->nested != 0))
		flush_side(p);
}

static void put_odd(uint32_t what, uint64_t address, uint64_t size, struct shim_from from);

/* Its ring belongs to an area that no longer exists, or recording has ended for good and we must
 * detach: this thread has no ring. */
static bool leave_ring(struct producer *p)
{
	bool stale = p->generation != atomic_load(&shim.generation);

	if (!stale && atomic_load(&shim.late) != SHIM_EARLY &&
	    atomic_load_explicit(&shim.area->closed, memory_order_relaxed))
		shim_let_go(p->generation, false);
	else if (!stale)
		return false;
	shim_idle(p);
	shim_self = &shim_nobody;
	shim_number = 0;
	pthread_mutex_unlock(&p->ring->owner);
	return true;
}

/* Recording is off, the ring is full, the record is long, or every event takes the slow path. */
static __attribute__((cold, noinline)) void put_slower(struct producer *p, uint32_t what,
						       uint64_t address, uint64_t size,
						       struct shim_from from)
{
	int saved = errno;
	uint64_t now;

	if (SHIM_UNLIKELY(atomic_load(&shim.late) != SHIM_EARLY) && leave_ring(p)) {
		put_odd(what, address, size, from);
		errno = saved;
		return;
	}
	if (!recording()) {
		add(&p->ring->outside, is_event(what));
		p->room = 0; /* stay on this path until it begins again */
		set_limit(p, 0);
	} else {
		now = read_clock(p, what, address);
		if (shim.every_slow)
			look_twice(p, &what, address, &size, from);
		append_whole(p, what, address, size, now);
		next_read(p, now);
		if (shim.every_slow || p->lost)
			p->room = 0;
		if (shim.every_slow || shim.exact || p->lost)
			set_limit(p, 0);
	}
	idle(p);
	errno = saved;
}

static void put_held(struct producer *p, uint32_t what, uint64_t address, uint64_t size,
		     struct shim_from from)
{
	uint64_t head = head_of(p), now, *at = (uint64_t *)(head + p->bias);

	if (SHIM_UNLIKELY(head + 2 * sizeof *at > p->room || !recording() ||
			  p->generation != atomic_load(&shim.generation) ||
			  !rh_rec_is_short(address >> 3 | address << 61, size))) {
		put_slower(p, what, address, size, from);
		return;
	}
	now = read_clock(p, what, address);
	at[0] = rh_rec_stamp(now);
	at[1] = rh_rec_short((enum rh_rec_kind)what, address, size);
	publish(p, head + 2 * sizeof *at);
	if (!shim.exact) /* else the limit stays behind us */
		next_read(p, now);
	idle(p);
}

static bool on_signal_stack(uintptr_t frame)
{
	stack_t now;

	return !shim_filtered() && sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK) &&
	       frame - (uintptr_t)now.ss_sp < now.ss_size;
}

/*
 * Are we a signal handler that interrupted the put() in progress? Then our frame lies below its
 * frame, or we are on a signal stack and it is not. Otherwise that put() was abandoned, because
 * a handler jumped out of it.
 */
static bool interrupted(uintptr_t under_way, uintptr_t frame)
{
	return frame < under_way ? !on_signal_stack(under_way) || on_signal_stack(frame)
				 : on_signal_stack(frame) && !on_signal_stack(under_way);
}

/* The call that found a sampling recording: it is itself subject to the draw. */
static bool is_left_out(uint32_t what, uint64_t address, uint64_t size)
{
	unsigned kind = what & 255;

	if (rh_rec_is_birth(kind))
		return !shim_draws((const void *)(uintptr_t)address, size);
	return kind <= RH_REC_USABLE;
}

/* No ring yet, or it is held. */
static __attribute__((cold, noinline)) void put_odd(uint32_t what, uint64_t address, uint64_t size,
						    struct shim_from from)
{
	uintptr_t frame = shim_stack();
	struct producer *p = shim_self;
	uint32_t at;

	if (p->at == 0) { /* none yet, or we are a forked child and it was wiped */
		int32_t aside = shim_aside();

		shim_self = &shim_nobody;
		p = shim.state == SHIM_OFF ? NULL : shim_attach();
		if (!p && shim.state == SHIM_ON && is_event(what) && !recording())
			atomic_fetch_add(&shim.area->outside, 1);
		if (!p || (!aside && shim_aside() < 0 && is_left_out(what, address, size)))
			return;
	} else if (interrupted(p->at, frame)) {
		at = p->nested;
		if (at == SHIM_SIDE) {
			add(&p->ring->nested, 1);
			return;
		}
		p->nested = at + 1;
		p->side[at] =
			(struct side_record){ what, address, size, read_clock(p, what, address) };
		return;
	}
	shim_hold(p);
	put_slower(p, what, address, size, from);
}

void shim_put_long(uint32_t what, uint64_t address, uint64_t size, struct shim_from from)
{
	struct producer *p = shim_self;
	int saved = errno;

	if (shim_aside() > 0)
		return;
	if (p->at & 1) {
		shim_hold(p);
		put_slower(p, what, address, size, from);
	} else {
		put_odd(what, address, size, from);
	}
	errno = saved;
}

void shim_put_rest(enum shim_need need, uint32_t what, uint64_t address, uint64_t size,
		   struct shim_from from)
{
	if (SHIM_LIKELY(need == SHIM_HELD))
		put_held(shim_self, what, address, size, from);
	else if (need == SHIM_NESTED)
		flush_side(shim_self);
	else
		shim_put_long(what, address, size, from);
}
