/*
 * compressor.c - see compressor.h.
 *
 * A block of Go events takes zstd about as long as all that comes before it, so that side
 * by side they take half the time. One block at a time is enough: what one side is faster
 * than the other could not be caught up by a queue.
 */
#include "traces/format/compressor.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <zstd.h>

enum state { IDLE, STARTED, DONE, ENDED };

struct rh_press {
	ZSTD_CCtx *zstd;
	uint8_t *stored;
	size_t stored_cap, stored_bytes; /* stored_bytes: or zstd's error */
	struct rh_press_job job;
	bool threaded, thread_refused;
	pthread_t thread;
	pthread_mutex_t lock; /* of state; the job belongs to whom it names */
	pthread_cond_t changed;
	enum state state; /* STARTED: the thread may use the job, else the caller */
};

/* zstd forgets the prefix after each block, so it is named each time. */
static void squeeze(struct rh_press *press)
{
	const struct rh_press_job *job = &press->job;

	if (job->prefix)
		ZSTD_CCtx_refPrefix(press->zstd, job->prefix, job->prefix_bytes);
	press->stored_bytes = ZSTD_compress2(press->zstd, press->stored, press->stored_cap,
					     job->raw, job->raw_bytes);
}

/* Both sides wait on one condition: there are two threads, and the state says whose turn it is. */
static void set_state(struct rh_press *press, enum state state)
{
	pthread_mutex_lock(&press->lock);
	press->state = state;
	pthread_cond_broadcast(&press->changed);
	pthread_mutex_unlock(&press->lock);
}

/* Holds the lock only to read and change the state: only the thread uses the job and the output
 * while it is STARTED. */
static void *work(void *arg)
{
	struct rh_press *press = arg;

	for (;;) {
		enum state state;

		pthread_mutex_lock(&press->lock);
		while (press->state != STARTED && press->state != ENDED)
			pthread_cond_wait(&press->changed, &press->lock);
		state = press->state;
		pthread_mutex_unlock(&press->lock);
		if (state == ENDED)
			return NULL;
		assert(state == STARTED);
		squeeze(press);
		set_state(press, DONE);
	}
}

/* Signals are for the threads that know what to do about them. */
static void make_thread(struct rh_press *press)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Signals are blocked before the thread exists: it inherits the mask, and
	 * none can reach it in between. */
	press->threaded = pthread_create(&press->thread, NULL, work, press) == 0;
	press->thread_refused = !press->threaded;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int rh_press_open(struct rh_press **result, int level, size_t raw_max, struct rh_err *err)
{
	struct rh_press *press = calloc(1, sizeof(*press));

	*result = press;
	if (!press)
		return rh_fail(err, RH_OS, "memory for compressing a trace ran out");
	pthread_mutex_init(&press->lock, NULL);
	pthread_cond_init(&press->changed, NULL);
	/* The worst that zstd can make of a block, so compression never fails for
	 * want of room and nothing is allocated per block. */
	press->stored_cap = ZSTD_compressBound(raw_max);
	press->stored = malloc(press->stored_cap);
	press->zstd = ZSTD_createCCtx();
	/* *result is set: the caller closes what there is. */
	if (!press->stored || !press->zstd)
		return rh_fail(err, RH_OS, "memory for compressing a trace ran out");
	if (ZSTD_isError(ZSTD_CCtx_setParameter(press->zstd, ZSTD_c_compressionLevel, level)))
		return rh_fail(err, RH_OS, "zstd refuses level %d", level);
	return 0;
}

void rh_press_close(struct rh_press *press)
{
	struct rh_err ignored = { 0 };
	size_t bytes;

	if (!press)
		return;
	/* The thread may be reading the caller's buffers, which are freed after this. */
	rh_press_wait(press, &bytes, &ignored);
	if (press->threaded) {
		set_state(press, ENDED);
		pthread_join(press->thread, NULL);
	}
	pthread_mutex_destroy(&press->lock);
	pthread_cond_destroy(&press->changed);
	ZSTD_freeCCtx(press->zstd);
	free(press->stored);
	free(press);
}

/* Ends the thread and keeps the result: the state is put back to what it was, so that
 * rh_press_wait() still finds a block that was done. */
void rh_press_leave(struct rh_press *press)
{
	enum state before;

	if (!press->threaded)
		return;
	pthread_mutex_lock(&press->lock);
	while (press->state == STARTED)
		pthread_cond_wait(&press->changed, &press->lock);
	before = press->state;
	press->state = ENDED;
	pthread_cond_broadcast(&press->changed);
	pthread_mutex_unlock(&press->lock);
	pthread_join(press->thread, NULL);
	press->threaded = false;
	press->state = before;
}

/* The caller's buffers belong to the thread until rh_press_wait: copying them would
 * cost what the thread saves. */
void rh_press_start(struct rh_press *press, const struct rh_press_job *job)
{
	assert(press->state == IDLE); /* nothing is under way */
	press->job = *job;
	/* The thread is made with the first block that can overlap with anything; where none can be
	 * had (limits of containers) traces are written all the same, only later. */
	if (!press->threaded && !press->thread_refused)
		make_thread(press);
	if (press->threaded)
		set_state(press, STARTED);
	else
		squeeze(press);
}

const uint8_t *rh_press_wait(struct rh_press *press, size_t *bytes, struct rh_err *err)
{
	pthread_mutex_lock(&press->lock);
	while (press->state == STARTED)
		pthread_cond_wait(&press->changed, &press->lock);
	assert(press->state != ENDED);
	press->state = IDLE;
	pthread_mutex_unlock(&press->lock);
	/* zstd's errors are sizes beyond any real one: the thread hands them over
	 * like a result. */
	*bytes = press->stored_bytes;
	if (!ZSTD_isError(*bytes))
		return press->stored;
	rh_fail(err, RH_OS, "zstd says %s", ZSTD_getErrorName(*bytes));
	return NULL;
}

/* On the caller's thread: for the last block and for names, where there is nothing to
 * do meanwhile. */
const uint8_t *rh_press_squeeze(struct rh_press *press, const struct rh_press_job *job,
				size_t *bytes, struct rh_err *err)
{
	assert(press->state == IDLE);
	press->job = *job;
	squeeze(press);
	return rh_press_wait(press, bytes, err);
}
