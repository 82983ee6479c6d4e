/*
 * mutex.c - counts pthread mutexes, spin locks and futex calls of the allocator under test:
 * a library preloaded before it, only in workers of the mutex probe.
 *
 * It sees calls through the dynamic linker: pthread_mutex_lock, pthread_mutex_trylock,
 * pthread_spin_lock and syscall(SYS_futex). glibc's own arenas lock inside libc, and an allocator
 * with its own system call instruction is not seen either; the document shows that by having no
 * numbers for such a backend.
 *
 * A lock is tried first; when that fails, the wait for the real one is timed. Only a lane inside
 * a segment counts, into its own memory: no atomics, no sharing. All other threads go straight
 * through. The real functions are looked up on first use, because an allocator may lock before
 * our constructor runs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/clock.h"
#include "harness/control/mutex.h"

#define EXPORT __attribute__((visibility("default")))

bool rh_clock_is_counter;

static struct {
	int (*lock)(pthread_mutex_t *mutex);
	int (*trylock)(pthread_mutex_t *mutex);
	int (*spin_lock)(pthread_spinlock_t *lock);
	int (*spin_trylock)(pthread_spinlock_t *lock);
	long (*syscall)(long number, ...);
	const char *text, *text_end; /* of the worker */
} real;

static _Thread_local struct rh_mutex_lane *mine;

EXPORT rh_mutex_attach_fn rh_mutex_attach;

void rh_mutex_attach(struct rh_mutex_lane *lane, bool clock_is_counter, const void *text,
		     const void *text_end)
{
	rh_clock_is_counter = clock_is_counter;
	real.text = text;
	real.text_end = text_end;
	mine = lane;
}

/* ISO C has no cast from an object pointer to a function. */
#define FIND(field, name)                                             \
	do {                                                          \
		if (!real.field) {                                    \
			void *found_ = dlsym(RTLD_NEXT, name);        \
                                                                      \
			memcpy(&real.field, &found_, sizeof(found_)); \
		}                                                     \
	} while (0)

static bool own_call(const void *caller)
{
	return (const char *)caller >= real.text && (const char *)caller < real.text_end;
}

static void waited(struct rh_mutex_lane *lane, uint64_t since)
{
	uint64_t ticks = rh_ticks() - since;
	int bucket = ticks ? 63 - __builtin_clzll(ticks) : 0;

	lane->contended++;
	lane->wait_ticks += ticks;
	if (ticks > lane->wait_ticks_max)
		lane->wait_ticks_max = ticks;
	lane->wait_log2[bucket < RH_MUTEX_BUCKETS ? bucket : RH_MUTEX_BUCKETS - 1]++;
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct rh_mutex_lane *lane = mine;
	uint64_t since;
	int result;

	FIND(lock, "pthread_mutex_lock");
	if (!lane)
		return real.lock(mutex);
	FIND(trylock, "pthread_mutex_trylock");
	lane->acquired++;
	result = real.trylock(mutex);
	if (result != EBUSY)
		return result;
	since = rh_ticks();
	result = real.lock(mutex);
	waited(lane, since);
	return result;
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	struct rh_mutex_lane *lane = mine;
	int result;

	FIND(trylock, "pthread_mutex_trylock");
	result = real.trylock(mutex);
	if (lane) {
		lane->acquired += result == 0;
		lane->refused += result == EBUSY;
	}
	return result;
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *lock)
{
	struct rh_mutex_lane *lane = mine;
	uint64_t since;
	int result;

	FIND(spin_lock, "pthread_spin_lock");
	if (!lane)
		return real.spin_lock(lock);
	FIND(spin_trylock, "pthread_spin_trylock");
	lane->acquired++;
	if (real.spin_trylock(lock) == 0)
		return 0;
	since = rh_ticks();
	result = real.spin_lock(lock);
	waited(lane, since);
	return result;
}

static void count_futex(struct rh_mutex_lane *lane, long operation)
{
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
		lane->futex_waits++;
		break;
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		lane->futex_wakes++;
		break;
	}
}

EXPORT long syscall(long number, ...)
{
	struct rh_mutex_lane *lane = mine;
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	FIND(syscall, "syscall");
	if (lane && number == SYS_futex && !own_call(__builtin_return_address(0)))
		count_futex(lane, a[1]);
	return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
