/*
 * sandbox.c - see sandbox.h. A filter is a program of classic BPF without loops: it reads the
 * call's number and arguments as words, and returns what the kernel does.
 *
 * Arguments matter where a filter forbids code that can be written (systemd's
 * MemoryDenyWriteExecute): memory is asked for as the loader asks.
 */
#include "traces/record/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "traces/record/process.h"

#define REFUSED                                                                                 \
	"process %d is under a filter of system calls, which may kill it for what loading the " \
	"recorder takes: "

/* The filter's registers. */
struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static bool load(struct machine *m, const struct sock_filter *op, const struct seccomp_data *data)
{
	uint32_t value = 0;

	switch (BPF_MODE(op->code)) {
	case BPF_ABS:
		if (op->code != (BPF_LD | BPF_W | BPF_ABS) || op->k % 4 || op->k > sizeof *data - 4)
			return false;
		memcpy(&value, (const char *)data + op->k, sizeof value);
		break;
	case BPF_IMM:
		value = op->k;
		break;
	case BPF_LEN:
		value = sizeof *data;
		break;
	case BPF_MEM:
		if (op->k >= BPF_MEMWORDS)
			return false;
		value = m->memory[op->k];
		break;
	default:
		return false;
	}
	*(BPF_CLASS(op->code) == BPF_LD ? &m->a : &m->x) = value;
	return true;
}

static bool store(struct machine *m, const struct sock_filter *op)
{
	if (op->k >= BPF_MEMWORDS)
		return false;
	m->memory[op->k] = BPF_CLASS(op->code) == BPF_ST ? m->a : m->x;
	return true;
}

/* Multiplying and dividing are refused: no filter that we have seen does. */
static bool calculate(struct machine *m, const struct sock_filter *op)
{
	uint32_t by = BPF_SRC(op->code) == BPF_X ? m->x : op->k;

	switch (BPF_OP(op->code)) {
	case BPF_AND:
		m->a &= by;
		return true;
	case BPF_OR:
		m->a |= by;
		return true;
	case BPF_XOR:
		m->a ^= by;
		return true;
	case BPF_ADD:
		m->a += by;
		return true;
	case BPF_SUB:
		m->a -= by;
		return true;
	case BPF_LSH:
		m->a = by < 32 ? m->a << by : 0;
		return true;
	case BPF_RSH:
		m->a = by < 32 ? m->a >> by : 0;
		return true;
	case BPF_NEG:
		m->a = 0 - m->a;
		return true;
	default:
		return false;
	}
}

/* Operations to leave out after this one; at least `left`: it leads out of the filter. */
static uint32_t jump(const struct machine *m, const struct sock_filter *op, uint32_t left)
{
	uint32_t by = BPF_SRC(op->code) == BPF_X ? m->x : op->k;

	switch (BPF_OP(op->code)) {
	case BPF_JA:
		return op->k;
	case BPF_JEQ:
		return m->a == by ? op->jt : op->jf;
	case BPF_JGT:
		return m->a > by ? op->jt : op->jf;
	case BPF_JGE:
		return m->a >= by ? op->jt : op->jf;
	case BPF_JSET:
		return m->a & by ? op->jt : op->jf;
	default:
		return left;
	}
}

uint32_t rh_sandbox_run(const struct sock_filter *filter, uint32_t count,
			const struct seccomp_data *data)
{
	struct machine m = { 0 };

	for (uint32_t at = 0, over; at < count; at++) {
		const struct sock_filter *op = &filter[at];
		bool fine = true;

		switch (BPF_CLASS(op->code)) {
		case BPF_LD:
		case BPF_LDX:
			fine = load(&m, op, data);
			break;
		case BPF_ST:
		case BPF_STX:
			fine = store(&m, op);
			break;
		case BPF_ALU:
			fine = calculate(&m, op);
			break;
		case BPF_JMP:
			over = jump(&m, op, count - at);
			fine = over < count - at;
			at += fine ? over : 0;
			break;
		case BPF_RET:
			return BPF_RVAL(op->code) == BPF_A ? m.a : op->k;
		default: /* BPF_MISC */
			if (BPF_MISCOP(op->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
		if (!fine)
			return SECCOMP_RET_KILL_PROCESS;
	}
	return SECCOMP_RET_KILL_PROCESS; /* it ran off its end */
}

#if defined(__x86_64__)

struct call {
	const char *name;
	int number;
	uint64_t third, fourth; /* arguments: protection and flags of memory, else 0 */
};

#define CALL(name) #name, SYS_##name

static const struct call calls[] = {
	/* the loader */
	{ CALL(openat), 0, 0 },
	{ CALL(read), 0, 0 },
	{ CALL(pread64), 0, 0 },
	{ CALL(close), 0, 0 },
	{ CALL(fstat), 0, 0 },
	{ CALL(newfstatat), 0, 0 },
	{ CALL(readlink), 0, 0 },
	{ CALL(getcwd), 0, 0 },
	{ CALL(brk), 0, 0 },
	{ CALL(munmap), 0, 0 },
	{ CALL(mmap), PROT_READ, MAP_PRIVATE },
	{ CALL(mmap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS },
	{ CALL(mmap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED },
	{ CALL(mmap), PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED },
	{ CALL(mprotect), PROT_NONE, 0 },
	{ CALL(mprotect), PROT_READ, 0 },
	{ CALL(mprotect), PROT_READ | PROT_WRITE, 0 },
	/* the recorder */
	{ CALL(mmap), PROT_READ | PROT_WRITE, MAP_SHARED },
	{ CALL(mmap), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED },
	{ CALL(madvise), 0, 0 },
	{ CALL(futex), 0, 0 },
	{ CALL(gettid), 0, 0 },
	{ CALL(getpid), 0, 0 },
	{ CALL(getppid), 0, 0 },
	{ CALL(getrusage), 0, 0 },
	{ CALL(clock_gettime), 0, 0 },
	{ CALL(rt_sigprocmask), 0, 0 },
	{ CALL(sigaltstack), 0, 0 },
	{ CALL(sched_yield), 0, 0 },
	{ CALL(fcntl), 0, 0 },
	{ CALL(lseek), 0, 0 },
	{ CALL(mincore), 0, 0 },
	{ CALL(write), 0, 0 },
};

/* The first call that this filter does not allow, or NULL. */
static const char *forbids(const struct sock_filter *filter, uint32_t count)
{
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		const struct call *call = &calls[i];
		const struct seccomp_data data = {
			.nr = call->number,
			.arch = AUDIT_ARCH_X86_64,
			.args = { 0, 4096, call->third, call->fourth },
		};
		uint32_t result = rh_sandbox_run(filter, count, &data) & SECCOMP_RET_ACTION_FULL;

		if (result != SECCOMP_RET_ALLOW && result != SECCOMP_RET_LOG)
			return call->name;
	}
	return NULL;
}

/* The number of filters; -1: refused. */
static int look_at_filters(int pid, pid_t tid, struct rh_err *err)
{
	static struct sock_filter filter[BPF_MAXINSNS];

	for (long i = 0;; i++) {
		long count = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, i, NULL);
		const char *call;

		if (count < 0 && errno == ENOENT && i > 0)
			return (int)i;
		if (count > 0 && count <= BPF_MAXINSNS)
			count = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, i, filter);
		if (count <= 0 || count > BPF_MAXINSNS)
			return rh_fail(err, RH_ABSENT,
				       REFUSED "it cannot be read (%s); as root outside of any "
					       "sandbox it can, or start it under reheap record",
				       pid, strerror(count < 0 ? errno : ENOENT));
		call = forbids(filter, (uint32_t)count);
		if (call)
			return rh_fail(err, RH_ABSENT,
				       REFUSED "it forbids %s; start it under reheap record", pid,
				       call);
	}
}

int rh_sandbox_allows(int pid, pid_t tid, struct rh_err *err)
{
	uint32_t filters = 0;
	int count;

	switch (rh_process_sandbox(pid, &filters)) {
	case RH_SANDBOX_NONE:
		return 0;
	case RH_SANDBOX_ALIKE:
		count = look_at_filters(pid, tid, err);
		if (count < 0 || (uint32_t)count == filters)
			return count;
		break;
	default:
		break;
	}
	return rh_fail(err, RH_ABSENT,
		       REFUSED "its threads have different ones; start it under reheap record",
		       pid);
}

#else

int rh_sandbox_allows(int pid, pid_t tid, struct rh_err *err)
{
	(void)tid;
	return rh_process_filtered(pid, 0)
		       ? rh_fail(err, RH_ABSENT, REFUSED "start it under reheap record", pid)
		       : 0;
}

#endif
