/*
 * put.c - the slow half of a record.
 *
 * Entered for one event in 128 (or fewer, see next_read), for a block that another thread had,
 * for sizes of 64 KiB and more, when half a ring is full, in a thread's first call, and from
 * signal handlers. Whatever happens here, errno is kept and the program continues.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/shim/drawn.h"
#include "traces/record/shim/shim.h"

#define DENSE_TICKS 512 /* between events: more, and each may have a clock read */

uint64_t shim_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* An empty ring may be widened: the supervisor reads mask after head. It has moved the tail, and
 * had answered before whether we may. */
static void widen(struct producer *p)
{
	uint64_t bytes = p->mask + 1, most = shim.area->ring_bytes, *data;

	p->grow = 0;
	if (bytes >= most)
		return;
	bytes = bytes * RH_RING_GROW < most ? bytes * RH_RING_GROW : most;
	if (!p->allowed && shim_ring_has(p->index) < bytes)
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
	moved = shim_wait_for_tail(p, tail);
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
	return true;
}

bool shim_room(struct producer *p, uint32_t words)
{
	struct rh_area *area = shim.area;
	uint64_t need = words * sizeof(uint64_t);

	if (head_of(p) + need <= p->room)
		return true;
	p->allowed = 0; /* the program ran meanwhile */
	for (;;) {
		uint64_t tail = atomic_load_explicit(&p->ring->tail, memory_order_acquire);
		bool empty = tail == head_of(p);

		if (p->grow && empty)
			widen(p);
		if (!p->grow && grant(p, need, tail))
			return true;
		if (atomic_load(&area->closed) || !atomic_load(&area->recording) ||
		    shim_stalled(area))
			return false;
		if (area->drop)
			return false;
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
		shim_count(&p->ring->dropped, 1);
		p->lost++;
	} else {
		shim_count(&p->ring->outside, 1);
	}
}

enum { WHOLE_WORDS = 1 + 2 * RH_REC_MOST_WORDS };

/* A stamped record, after a GAP if calls were lost. `at` is held, and there is room. */
static void write_whole(struct producer *p, const struct side_record *call)
{
	uint64_t words[WHOLE_WORDS] = { rh_rec_stamp(call->now) };
	struct rh_rec rec = { .kind = (uint8_t)call->what,
			      .align_log2 = (uint8_t)(call->what >> 8),
			      .address = call->address,
			      .tail = call->size };
	struct rh_rec gap = { .kind = RH_REC_GAP, .tail = p->lost };
	uint32_t count = 1;

	if (p->lost)
		count += rh_rec_pack(&gap, words + count);
	count += rh_rec_pack(&rec, words + count);
	shim_append(p, words, count);
	p->lost = 0;
}

static void append_whole(struct producer *p, const struct side_record *call)
{
	if (shim_room(p, WHOLE_WORDS))
		write_whole(p, call);
	else
		missed(p, (uint32_t)call->what);
}

/* ---- what signal handlers left ---- */

/* Counts in producer.nested: of records that were left, and of those that were taken out again. */
enum { TAKEN_SHIFT = 16, LEFT_MASK = (1 << TAKEN_SHIFT) - 1 };

static uint32_t in_side(uint32_t nested)
{
	return (nested & LEFT_MASK) - (nested >> TAKEN_SHIFT);
}

/* Only a signal handler of this thread can have come between: no other CPU writes it. */
static bool change_nested(struct producer *p, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&p->nested, &from, to, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

/* Called by a handler that interrupted a put(). Whatever is put next looks for it first. */
static void leave_aside(struct producer *p, const struct side_record *call)
{
	uint32_t nested;

	do {
		nested = *(volatile uint32_t *)&p->nested;
		if (in_side(nested) == SHIM_SIDE) {
			shim_count(&p->ring->nested, 1);
			return;
		}
	} while (!change_nested(p, nested, nested + 1));
	p->side[(nested & LEFT_MASK) % SHIM_SIDE] = *call;
	set_limit(p, 0);
}

/* The oldest, if it is still there. */
static bool take_from_side(struct producer *p, uint32_t nested, struct side_record *call)
{
	*call = p->side[(nested >> TAKEN_SHIFT) % SHIM_SIDE];
	return change_nested(p, nested, nested + (1u << TAKEN_SHIFT));
}

/*
 * `at` is held. First the room, then the record: while we wait for room, handlers put theirs
 * themselves, and before that those that are left here. A record that was taken before the wait
 * would come after theirs: a free after the next birth of its block (seen: one in 40 runs of 300
 * signals beside a load of 9).
 */
static void drain_side(struct producer *p)
{
	struct side_record call;

	for (;;) {
		uint32_t nested = *(volatile uint32_t *)&p->nested;

		if (!in_side(nested)) {
			if (change_nested(p, nested, 0))
				return;
		} else if (head_of(p) + WHOLE_WORDS * sizeof(uint64_t) <= p->room) {
			if (take_from_side(p, nested, &call))
				write_whole(p, &call);
		} else if (!shim_room(p, WHOLE_WORDS)) {
			nested = *(volatile uint32_t *)&p->nested;
			if (in_side(nested) && take_from_side(p, nested, &call))
				missed(p, (uint32_t)call.what);
		}
	}
}

static void flush_side(struct producer *p)
{
	int saved = errno;

	do {
		shim_hold(p);
		drain_side(p);
		shim_idle(p);
	} while (SHIM_UNLIKELY(*(volatile uint32_t *)&p->nested != 0));
	errno = saved;
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
		shim_count(&p->ring->outside, is_event(what));
		p->room = 0; /* stay on this path until it begins again */
		set_limit(p, 0);
	} else {
		if (p->nested)
			drain_side(p);
		now = read_clock(p, what, address);
		if (shim.every_slow)
			look_twice(p, &what, address, &size, from);
		append_whole(p, &(struct side_record){ what, address, size, now });
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

	if (SHIM_UNLIKELY(head + 2 * sizeof *at > p->room || p->nested || !recording() ||
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

	if (p->at == 0) { /* none yet, or we are a forked child and it was wiped */
		int32_t aside = shim_aside();

		shim_self = &shim_nobody;
		p = shim.state == SHIM_OFF ? NULL : shim_attach();
		if (!p && shim.state == SHIM_ON && is_event(what) && !recording())
			atomic_fetch_add(&shim.area->outside, 1);
		if (!p || (!aside && shim_aside() < 0 && is_left_out(what, address, size)))
			return;
	} else if (interrupted(p->at, frame)) {
		leave_aside(p, &(struct side_record){ what, address, size,
						      read_clock(p, what, address) });
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
