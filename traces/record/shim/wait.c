/*
 * wait.c - a thread whose ring is full waits until the supervisor has made room. Thread rule: any
 * thread, for its own ring. Errors: false.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "traces/record/shim/shim.h"

enum {
	WAIT_NS = 100 * 1000 * 1000,
	PATIENCE_MS = 1000, /* without a beat: then the program continues, and calls are lost */
	SPINS_PER_MS = 20000,
};

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	shim_raw(SYS_futex, (long)word, op, value, (long)timeout, 0, 0);
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

/* A clock for this wait, in ms; no system call where the CPU's counter is the clock. */
static uint64_t patience_clock(uint64_t spins)
{
	return shim_clockless() || !shim.area->ticks_per_ms ? spins / SPINS_PER_MS
							    : shim_now() / shim.area->ticks_per_ms;
}

static void pause_for_tail(struct rh_ring *ring, uint32_t seen, bool allowed)
{
	static const struct timespec timeout = { 0, WAIT_NS };

	if (allowed)
		futex(&ring->tail_moves, FUTEX_WAIT, seen, &timeout);
	else
		for (int i = 0; i < 100; i++)
			SHIM_PAUSE();
}

/* A thread has waited in vain, and there has been no beat since. */
bool shim_stalled(const struct rh_area *area)
{
	return atomic_load(&area->stalled) == atomic_load(&area->beat) + 1;
}

/*
 * Waits until the supervisor has moved the tail. False: recording has ended, or there was no
 * beat for a second: a hanging recorder must not hang the program. Then no thread of any
 * process waits again before the next beat (100 threads started one after the other waited 100
 * s); calls lost until then are counted. Polls, until it may sleep.
 */
static bool wait_for_beats(struct producer *p, uint64_t tail_seen)
{
	struct rh_area *area = shim.area;
	struct rh_ring *ring = p->ring;
	uint32_t beat = atomic_load(&area->beat), seen, question = shim_ask();
	uint64_t began = patience_clock(0), beat_at = began, spins = 0;

	for (;; spins++) {
		seen = atomic_load(&ring->tail_moves);
		atomic_store(&ring->waiting, 1);
		if (atomic_load(&ring->tail) != tail_seen) {
			p->allowed = shim_may_call(question, 0); /* answered before that */
			return true;
		}
		if (atomic_load(&area->closed) || !atomic_load(&area->recording) ||
		    shim_stalled(area) || shim_recorder_is_dead(area))
			return false;
		p->allowed = shim_may_call(question, patience_clock(spins) - began);
		pause_for_tail(ring, seen, p->allowed);
		if (atomic_load(&area->beat) != beat) {
			beat = atomic_load(&area->beat);
			beat_at = patience_clock(spins);
		} else if (patience_clock(spins) - beat_at > PATIENCE_MS) {
			atomic_store(&area->stalled, beat + 1);
			return false;
		}
	}
}

bool shim_wait_for_tail(struct producer *p, uint64_t tail_seen)
{
	uint64_t began = shim_now();

	if (!wait_for_beats(p, tail_seen))
		return false;
	atomic_store(&p->ring->waiting, 0);
	shim_count(&p->ring->waits, 1);
	shim_count(&p->ring->wait_ns, (shim_now() - began) * 1000000 / shim.area->ticks_per_ms);
	return true;
}
