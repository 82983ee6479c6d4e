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

uint32_t rh_sandbox_run(const struct sock_filter *filter, uint32_t count,
			const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = { 0 };

	for (uint32_t at = 0; at < count; at++) {
		const struct sock_filter *op = &filter[at];
		uint32_t by = BPF_SRC(op->code) == BPF_X ? x : op->k;
		bool jumps = false;

		switch (op->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (op->k % 4 || op->k > sizeof *data - 4)
				return SECCOMP_RET_KILL_PROCESS;
			memcpy(&a, (const char *)data + op->k, sizeof a);
			break;
		case BPF_LD | BPF_IMM:
			a = op->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = op->k;
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof *data;
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof *data;
			break;
		case BPF_LD | BPF_MEM:
		case BPF_LDX | BPF_MEM:
		case BPF_ST:
		case BPF_STX:
			if (op->k >= BPF_MEMWORDS)
				return SECCOMP_RET_KILL_PROCESS;
			if (BPF_CLASS(op->code) == BPF_LD)
				a = memory[op->k];
			else if (BPF_CLASS(op->code) == BPF_LDX)
				x = memory[op->k];
			else
				memory[op->k] = BPF_CLASS(op->code) == BPF_ST ? a : x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_RET | BPF_K:
			return op->k;
		case BPF_RET | BPF_A:
			return a;
		case BPF_JMP | BPF_JA:
			if (op->k >= count - at)
				return SECCOMP_RET_KILL_PROCESS;
			at += op->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JEQ | BPF_X:
			jumps = a == by;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_X:
			jumps = a > by;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_X:
			jumps = a >= by;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_X:
			jumps = (a & by) != 0;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
		case BPF_ALU | BPF_AND | BPF_X:
			a &= by;
			break;
		case BPF_ALU | BPF_OR | BPF_K:
		case BPF_ALU | BPF_OR | BPF_X:
			a |= by;
			break;
		case BPF_ALU | BPF_XOR | BPF_K:
		case BPF_ALU | BPF_XOR | BPF_X:
			a ^= by;
			break;
		case BPF_ALU | BPF_ADD | BPF_K:
		case BPF_ALU | BPF_ADD | BPF_X:
			a += by;
			break;
		case BPF_ALU | BPF_SUB | BPF_K:
		case BPF_ALU | BPF_SUB | BPF_X:
			a -= by;
			break;
		case BPF_ALU | BPF_LSH | BPF_K:
		case BPF_ALU | BPF_LSH | BPF_X:
			a = by < 32 ? a << by : 0;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
		case BPF_ALU | BPF_RSH | BPF_X:
			a = by < 32 ? a >> by : 0;
			break;
		case BPF_ALU | BPF_NEG:
			a = 0 - a;
			break;
		default: /* multiplying and dividing: no filter that we have seen */
			return SECCOMP_RET_KILL_PROCESS;
		}
		if (BPF_CLASS(op->code) == BPF_JMP && BPF_OP(op->code) != BPF_JA)
			at += jumps ? op->jt : op->jf;
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
