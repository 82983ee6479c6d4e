/*
 * thread.c - births, ends and joins of threads.
 *
 * A thread is announced before it can run (SPAWN), named once its creator knows the name
 * (SPAWNED), identified by the first record of its ring (START), and writes EXIT when its
 * function returns, calls pthread_exit or is cancelled. Events after EXIT (destructors of
 * thread-local data) still go to its ring: the ring changes hands only when the kernel says
 * that the thread is dead.
 *
 * The argument block of a new thread comes from a static pool, or from a separate page when 256
 * threads are being created at once; never from the recorded heap.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <threads.h>

#include "traces/record/shim/hook.h"

enum { STARTS = 256 };

struct start {
	_Atomic uint32_t taken;
	uint32_t number;
	uint32_t own_page;
	uint32_t pad;
	void *(*fn)(void *);
	thrd_start_t fn_c11;
	void *arg;
};

static struct start starts[STARTS];

static struct start *take_start(void)
{
	struct start *start;
	uint32_t want;

	for (int i = 0; i < STARTS; i++) {
		want = 0;
		if (atomic_compare_exchange_strong(&starts[i].taken, &want, 1))
			return &starts[i];
	}
	start = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	start->own_page = 1;
	return start;
}

static void give_start(struct start *start)
{
	if (start->own_page)
		munmap(start, 4096);
	else
		atomic_store(&start->taken, 0);
}

static void put_exit(void *unused)
{
	(void)unused;
	shim_put_long(RH_REC_EXIT, 0, 0, SHIM_NOBODY);
}

static void enter(struct start *from, struct start *copy)
{
	*copy = *from;
	give_start(from);
	shim_number = copy->number + 1;
	if (shim_self == &shim_nobody)
		shim_attach();
}

static void *run_posix(void *arg)
{
	struct start start;
	void *result;

	enter(arg, &start);
	pthread_cleanup_push(put_exit, NULL);
	result = start.fn(start.arg);
	pthread_cleanup_pop(1);
	return result;
}

static int run_c11(void *arg)
{
	struct start start;
	int result;

	enter(arg, &start);
	pthread_cleanup_push(put_exit, NULL);
	result = start.fn_c11(start.arg);
	pthread_cleanup_pop(1);
	return result;
}

static struct start *announce(uint64_t stack_bytes)
{
	struct start *start = shim_process_on() ? take_start() : NULL;

	if (!start)
		return NULL;
	shim_now_many();
	start->number = atomic_fetch_add(&shim.thread_next, 1);
	shim_put_long(RH_REC_SPAWN, stack_bytes, start->number, SHIM_NOBODY);
	return start;
}

static void announced(bool made, uint32_t number, pthread_t thread)
{
	if (made)
		shim_put_long(RH_REC_SPAWNED, (uint64_t)thread, number, SHIM_NOBODY);
	else
		shim_put_long(RH_REC_SPAWN_FAILED, 0, number, SHIM_NOBODY);
}

/* Not dlsym with RTLD_NEXT: a patched table would lead it to us. */
#define NEXT(pointer, name)                           \
	do {                                          \
		union {                               \
			void *object;                 \
			__typeof__(pointer) function; \
		} u;                                  \
		u.object = shim_hook_find(name);      \
		(pointer) = u.function;               \
	} while (0)

SHIM_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			       void *arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	size_t stack = shim.default_stack;
	struct start *start;
	uint32_t number;
	int failed;

	if (!next)
		NEXT(next, "pthread_create");
	if (attr && pthread_attr_getstacksize(attr, &stack) != 0)
		stack = shim.default_stack;
	start = announce(stack);
	if (!start)
		return next(thread, attr, fn, arg);
	number = start->number;
	start->fn = fn;
	start->arg = arg;
	failed = next(thread, attr, run_posix, start);
	if (failed)
		give_start(start);
	announced(!failed, number, failed ? 0 : *thread);
	return failed;
}

SHIM_EXPORT int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
	static int (*next)(thrd_t *, thrd_start_t, void *);
	struct start *start;
	uint32_t number;
	int result;

	if (!next)
		NEXT(next, "thrd_create");
	start = announce(shim.default_stack);
	if (!start)
		return next(thread, fn, arg);
	number = start->number;
	start->fn_c11 = fn;
	start->arg = arg;
	result = next(thread, run_c11, start);
	if (result != thrd_success)
		give_start(start);
	announced(result == thrd_success, number, result == thrd_success ? *thread : 0);
	return result;
}

SHIM_EXPORT int pthread_join(pthread_t thread, void **result)
{
	static int (*next)(pthread_t, void **);
	int failed;

	if (!next)
		NEXT(next, "pthread_join");
	shim_put_long(RH_REC_JOIN_BEGIN, (uint64_t)thread, 0, SHIM_NOBODY);
	failed = next(thread, result);
	if (!failed)
		shim_put_long(RH_REC_JOIN_END, (uint64_t)thread, 0, SHIM_NOBODY);
	return failed;
}

SHIM_EXPORT int thrd_join(thrd_t thread, int *result)
{
	static int (*next)(thrd_t, int *);
	int failed;

	if (!next)
		NEXT(next, "thrd_join");
	shim_put_long(RH_REC_JOIN_BEGIN, (uint64_t)thread, 0, SHIM_NOBODY);
	failed = next(thread, result);
	if (failed == thrd_success)
		shim_put_long(RH_REC_JOIN_END, (uint64_t)thread, 0, SHIM_NOBODY);
	return failed;
}
