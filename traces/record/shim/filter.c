/*
 * filter.c - programs that forbid themselves system calls.
 *
 * Once a filter is on, a system call that the program did not make itself may kill it. So we
 * watch for filters (prctl, and syscall() for seccomp(2)); what threads will need is mapped
 * before; and from then on we make no system calls in this process: waiting for a full ring
 * polls it, rings do not grow, no thread is woken. A filter from before the program is seen in
 * /proc/self/status at its start.
 *
 * A filter that was installed by a bare system call instruction is seen by the supervisor alone,
 * which looks at intervals of 1/32 of the process's age, from 1 to 100 ms. So before a system call
 * of ours a thread asks the supervisor to look right then (shim_ask): between its answer and our
 * call the thread runs no instruction of the program. It never wakes the supervisor, which comes
 * by itself, the sooner the fuller the rings are. What remains is a thread's start within such an
 * interval after the filter, a filter that another thread installs for all at that moment, and
 * strict mode by a bare instruction, which makes reading the counter fatal at once.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "traces/record/shim/hook.h"

enum {
	ASK_MS = 50, /* more than a supervisor on a busy machine needs. Else a thread of real-time
			priority, which may have the supervisor's CPU, would wait for ever */
	YOUNG_MS = 1000, /* an exit does not ask before: programs that live for milliseconds would
			   wait for a beat each */
	ASK_SPINS = 100,
};

uint32_t shim_ask(void)
{
	if (shim.state != SHIM_ON)
		return 0;
	return atomic_fetch_add(&rh_area_proc(shim.area, shim.proc)->asked, 1) + 1;
}

static bool answered(uint32_t question)
{
	uint32_t upto = atomic_load(&rh_area_proc(shim.area, shim.proc)->answered);

	return (int32_t)(upto - question) >= 0;
}

bool shim_may_call(uint32_t question, uint64_t waited_ms)
{
	if (shim.state != SHIM_ON || shim_clockless())
		return false;
	/* In this order: the supervisor writes what it saw, then the answer. */
	return (answered(question) || waited_ms > ASK_MS) && !shim_filtered();
}

bool shim_may_call_asked(void)
{
	const struct rh_area *area = shim.area;
	uint64_t began;
	uint32_t question;

	if (shim.state != SHIM_ON || shim_filtered() || shim_clockless())
		return false;
	began = shim_now();
	for (question = shim_ask(); !answered(question);) {
		if (shim_now() - began > ASK_MS * area->ticks_per_ms || atomic_load(&area->closed))
			return false;
		for (int i = 0; i < ASK_SPINS; i++)
			SHIM_PAUSE();
	}
	return !shim_filtered();
}

bool shim_may_call_now(void)
{
	const struct rh_area *area = shim.area;

	if (shim_filtered() || shim_clockless())
		return false;
	if (shim_now() - rh_area_proc(shim.area, shim.proc)->stamp < YOUNG_MS * area->ticks_per_ms)
		return true;
	return shim_may_call_asked();
}

int shim_prctl(int, long, long, long, long) __asm__("prctl");
long shim_syscall(long, long, long, long, long, long, long) __asm__("syscall");

static int (*real_prctl)(int, long, long, long, long);
static long (*real_syscall)(long, long, long, long, long, long, long);

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

/* State to restore when the filter is refused. */
struct before {
	uint32_t filter, tsc_off;
};

/* Strict mode also forbids reading the counter. */
static struct before filter_soon(bool strict)
{
	struct before before = { atomic_load(&shim.filter), atomic_load(&shim.tsc_off) };

	if (shim.state == SHIM_ON && !shim_filtered())
		shim_stock_up();
	atomic_store(&shim.filter, 1);
	if (strict)
		atomic_store(&shim.tsc_off, 1);
	return before;
}

static void filter_refused(struct before before)
{
	atomic_store(&shim.filter, before.filter);
	atomic_store(&shim.tsc_off, before.tsc_off);
}

static int set_tsc(int (*set)(int, long, long, long, long), long how)
{
	uint32_t before = atomic_exchange(&shim.tsc_off, how == PR_TSC_SIGSEGV);
	int result = set(PR_SET_TSC, how, 0, 0, 0);

	if (result != 0)
		atomic_store(&shim.tsc_off, before);
	return result;
}

SHIM_EXPORT int shim_prctl(int what, long a, long b, long c, long d)
{
	struct before before;
	int result;

	if (!real_prctl)
		NEXT(real_prctl, "prctl");
	if (what == PR_SET_TSC)
		return set_tsc(real_prctl, a);
	if (what != PR_SET_SECCOMP)
		return real_prctl(what, a, b, c, d);
	before = filter_soon(a == SECCOMP_MODE_STRICT);
	result = real_prctl(what, a, b, c, d);
	if (result != 0)
		filter_refused(before);
	return result;
}

static __attribute__((noinline)) long set_filter(long number, long a, long b, long c)
{
	struct before before = filter_soon(a == SECCOMP_SET_MODE_STRICT);
	long result = real_syscall(number, a, b, c, 0, 0, 0);

	if (result != 0)
		filter_refused(before);
	return result;
}

/* All others leave by a jump, as if we were not there: a clone call needs its own frame. */
SHIM_EXPORT long shim_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (!real_syscall)
		NEXT(real_syscall, "syscall");
	if (SHIM_UNLIKELY(number == SYS_seccomp &&
			  (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)))
		return set_filter(number, a, b, c);
	if (SHIM_UNLIKELY(number == SYS_prctl && (a == PR_SET_SECCOMP || a == PR_SET_TSC)))
		return shim_prctl((int)a, b, c, d, e);
	return real_syscall(number, a, b, c, d, e, f);
}
