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

struct rh_compressor {
	ZSTD_CCtx *zstd;
	uint8_t *stored;
	size_t stored_cap, stored_bytes; /* stored_bytes: or zstd's error */
	struct rh_compressor_job job;
	bool threaded, thread_refused;
	pthread_t thread;
	pthread_mutex_t lock; /* of state; the job belongs to whom it names */
	pthread_cond_t changed;
	enum state state; /* STARTED: the thread may use the job, else the caller */
};

/* zstd forgets the prefix after each block, so it is named each time. */
static void squeeze(struct rh_compressor *compressor)
{
	const struct rh_compressor_job *job = &compressor->job;

	assert(job->raw || !job->raw_bytes);
	if (job->prefix)
		ZSTD_CCtx_refPrefix(compressor->zstd, job->prefix, job->prefix_bytes);
	compressor->stored_bytes = ZSTD_compress2(compressor->zstd, compressor->stored,
						  compressor->stored_cap, job->raw, job->raw_bytes);
}

/* Both sides wait on one condition: there are two threads, and the state says whose turn it is. */
static void set_state(struct rh_compressor *compressor, enum state state)
{
	pthread_mutex_lock(&compressor->lock);
	compressor->state = state;
	pthread_cond_broadcast(&compressor->changed);
	pthread_mutex_unlock(&compressor->lock);
}

/* Holds the lock only to read and change the state: only the thread uses the job and the output
 * while it is STARTED. */
static void *work(void *arg)
{
	struct rh_compressor *compressor = arg;

	for (;;) {
		enum state state;

		pthread_mutex_lock(&compressor->lock);
		while (compressor->state != STARTED && compressor->state != ENDED)
			pthread_cond_wait(&compressor->changed, &compressor->lock);
		state = compressor->state;
		pthread_mutex_unlock(&compressor->lock);
		if (state == ENDED)
			return NULL;
		assert(state == STARTED);
		squeeze(compressor);
		set_state(compressor, DONE);
	}
}

/* Signals are for the threads that know what to do about them. */
static void make_thread(struct rh_compressor *compressor)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Signals are blocked before the thread exists: it inherits the mask, and
	 * none can reach it in between. */
	compressor->threaded = pthread_create(&compressor->thread, NULL, work, compressor) == 0;
	compressor->thread_refused = !compressor->threaded;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int rh_compressor_open(struct rh_compressor **result, int level, size_t raw_max, struct rh_err *err)
{
	struct rh_compressor *compressor = calloc(1, sizeof(*compressor));

	*result = compressor;
	if (!compressor)
		return rh_fail(err, RH_OS, "memory for compressing a trace ran out");
	pthread_mutex_init(&compressor->lock, NULL);
	pthread_cond_init(&compressor->changed, NULL);
	/* The worst that zstd can make of a block, so compression never fails for
	 * want of room and nothing is allocated per block. */
	compressor->stored_cap = ZSTD_compressBound(raw_max);
	compressor->stored = malloc(compressor->stored_cap);
	compressor->zstd = ZSTD_createCCtx();
	/* *result is set: the caller closes what there is. */
	if (!compressor->stored || !compressor->zstd)
		return rh_fail(err, RH_OS, "memory for compressing a trace ran out");
	if (ZSTD_isError(ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_compressionLevel, level)))
		return rh_fail(err, RH_OS, "zstd refuses level %d", level);
	return 0;
}

void rh_compressor_close(struct rh_compressor *compressor)
{
	struct rh_err ignored = { 0 };
	size_t bytes;

	if (!compressor)
		return;
	/* The thread may be reading the caller's buffers, which are freed after this. */
	rh_compressor_wait(compressor, &bytes, &ignored);
	if (compressor->threaded) {
		set_state(compressor, ENDED);
		pthread_join(compressor->thread, NULL);
	}
	pthread_mutex_destroy(&compressor->lock);
	pthread_cond_destroy(&compressor->changed);
	ZSTD_freeCCtx(compressor->zstd);
	free(compressor->stored);
	free(compressor);
}

/* Ends the thread and keeps the result: the state is put back to what it was, so that
 * rh_compressor_wait() still finds a block that was done. */
void rh_compressor_leave(struct rh_compressor *compressor)
{
	enum state before;

	if (!compressor->threaded)
		return;
	pthread_mutex_lock(&compressor->lock);
	while (compressor->state == STARTED)
		pthread_cond_wait(&compressor->changed, &compressor->lock);
	before = compressor->state;
	assert(before != STARTED && before != ENDED);
	compressor->state = ENDED;
	pthread_cond_broadcast(&compressor->changed);
	pthread_mutex_unlock(&compressor->lock);
	pthread_join(compressor->thread, NULL);
	compressor->threaded = false;
	compressor->state = before;
}

/* The caller's buffers belong to the thread until rh_compressor_wait: copying them would
 * cost what the thread saves. */
void rh_compressor_start(struct rh_compressor *compressor, const struct rh_compressor_job *job)
{
	assert(compressor->state == IDLE); /* nothing is under way */
	compressor->job = *job;
	/* The thread is made with the first block that can overlap with anything; where none can be
	 * had (limits of containers) traces are written all the same, only later. */
	if (!compressor->threaded && !compressor->thread_refused)
		make_thread(compressor);
	if (compressor->threaded)
		set_state(compressor, STARTED);
	else
		squeeze(compressor);
}

const uint8_t *rh_compressor_wait(struct rh_compressor *compressor, size_t *bytes,
				  struct rh_err *err)
{
	pthread_mutex_lock(&compressor->lock);
	while (compressor->state == STARTED)
		pthread_cond_wait(&compressor->changed, &compressor->lock);
	assert(compressor->state != ENDED);
	compressor->state = IDLE;
	pthread_mutex_unlock(&compressor->lock);
	/* zstd's errors are sizes beyond any real one: the thread hands them over
	 * like a result. */
	*bytes = compressor->stored_bytes;
	if (!ZSTD_isError(*bytes))
		return compressor->stored;
	rh_fail(err, RH_OS, "zstd says %s", ZSTD_getErrorName(*bytes));
	return NULL;
}

/* On the caller's thread: for the last block and for names, where there is nothing to
 * do meanwhile. */
const uint8_t *rh_compressor_squeeze(struct rh_compressor *compressor,
				     const struct rh_compressor_job *job, size_t *bytes,
				     struct rh_err *err)
{
	assert(compressor->state == IDLE);
	compressor->job = *job;
	squeeze(compressor);
	return rh_compressor_wait(compressor, bytes, err);
}
