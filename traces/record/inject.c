/*
 * inject.c - see inject.h. The steps:
 *
 *	1. one thread after the other is stopped and examined; one that is inside the allocator
 *	   or the loader, or was called by them, is released at once;
 *	2. the code below is written into 512 unused zero bytes at the end of a code mapping (a
 *	   page usually extends past the code in the file);
 *	3. its data goes on the thread's own stack, below the part that the thread may use;
 *	4. the thread's next instruction is set to the first of that code; it is released.
 *
 * Which thread. A word on the stack is a return address if it points into code right after a
 * call. None in the first 128 KiB may point into the allocator or the loader. Return addresses
 * that the loader left on the stack at the start may still be in gaps of later frames, so if no
 * thread is found for a second, we accept a thread that waits in a system call not made by the
 * allocator or the loader: the first return address outside of libc decides.
 *
 * We do what the kernel would have done on the thread's return: a system call that our stop
 * interrupted is restarted.
 */
#include "traces/record/inject.h"

#if defined(__x86_64__)

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/sandbox.h"

enum {
	ROOM = 512,	    /* for the code */
	STACK = 256 * 1024, /* which the code maps itself; same number as there */
	RED_ZONE = 128,	    /* below rsp, the thread's own */
	SCAN = 128 * 1024,  /* of the stack */
	LEAST_STACK = 8192, /* that must be left below rsp */
	STRINGS = 1200,	    /* the three of them */
	STOP_MS = 5000,	    /* for one thread to stop */
	STRICT_MS = 1000,
	PATIENCE_MS = 10000,
};

/* On the thread's stack; its end lies where the red zone begins. Offsets are in the code. */
struct block {
	uint64_t library, function, argument;			 /* 0 */
	uint64_t dlopen, dlsym, dlerror, errno_location;	 /* 24 */
	uint64_t stack;						 /* 56 */
	uint64_t all_signals, old_signals;			 /* 64 */
	uint64_t errno_kept, mode;				 /* 80 */
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8; /* 96: as they are popped */
	uint64_t rax, rcx, rdx, rsi, rdi, flags, rip;
};
_Static_assert(sizeof(struct block) == 232, "as the code has it");

/*
 * rbx: the block. Switches to its own stack, blocks signals, saves errno and the vector
 * registers, loads the library, calls the function, and restores everything. A result other
 * than 0 stays in the first word of that stack, and the address of dlerror's text in the
 * second.
 */
__asm__(".pushsection .rodata\n"
	".globl rh_inject_code, rh_inject_code_end\n"
	".hidden rh_inject_code, rh_inject_code_end\n"
	"rh_inject_code:\n"
	"	mov 56(%rbx), %rdi\n"
	"	mov $0x40000, %esi\n"
	"	mov $3, %edx\n"
	"	mov $0x100022, %r10d\n" /* private, anonymous, at that address or fail */
	"	mov $-1, %r8\n"
	"	xor %r9d, %r9d\n"
	"	mov $9, %eax\n"
	"	syscall\n"
	"	cmp %rax, 56(%rbx)\n"
	"	jne 9f\n"
	"	mov %rax, %r12\n"
	"	mov $2, %edi\n"
	"	lea 64(%rbx), %rsi\n"
	"	lea 72(%rbx), %rdx\n"
	"	mov $8, %r10d\n"
	"	mov $14, %eax\n" /* rt_sigprocmask */
	"	syscall\n"
	"	lea 0x3e000(%r12), %r13\n"
	"	mov %r13, %rsp\n"
	"	mov $0xe7, %eax\n" /* x87, SSE, AVX, AVX-512 */
	"	xor %edx, %edx\n"
	"	xsave64 (%r13)\n"
	"	cld\n"
	"	call *48(%rbx)\n"
	"	mov %rax, %r14\n"
	"	mov (%rax), %eax\n"
	"	mov %eax, 80(%rbx)\n"
	"	mov (%rbx), %rdi\n"
	"	mov 88(%rbx), %rsi\n"
	"	call *24(%rbx)\n"
	"	mov $-1, %r15\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	mov %rax, %rdi\n"
	"	mov 8(%rbx), %rsi\n"
	"	call *32(%rbx)\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	mov 16(%rbx), %rdi\n"
	"	call *%rax\n"
	"	movslq %eax, %r15\n"
	"	jmp 2f\n"
	"1:	cmpq $0, 40(%rbx)\n"
	"	je 2f\n"
	"	call *40(%rbx)\n"
	"	mov %rax, 8(%r12)\n"
	"2:	mov 80(%rbx), %eax\n"
	"	mov %eax, (%r14)\n"
	"	mov $0xe7, %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 (%r13)\n"
	"	lea 96(%rbx), %rsp\n"
	"	test %r15, %r15\n"
	"	jz 3f\n"
	"	mov %r15, (%r12)\n"
	"	jmp 4f\n"
	"3:	mov %r12, %rdi\n"
	"	mov $0x40000, %esi\n"
	"	mov $11, %eax\n" /* munmap */
	"	syscall\n"
	"4:	mov $2, %edi\n"
	"	lea 72(%rbx), %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	mov $14, %eax\n"
	"	syscall\n"
	"9:	lea 96(%rbx), %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	pop %r11\n"
	"	pop %r10\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %rax\n"
	"	pop %rcx\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	popfq\n"
	"	ret $128\n" /* over the red zone */
	"rh_inject_code_end:\n"
	".popsection\n");
extern const unsigned char rh_inject_code[], rh_inject_code_end[];

/* ---- is it safe? ---- */

static bool is_return(const struct rh_target *target, uint64_t at)
{
	const struct rh_target_map *map = rh_target_map_of(target, at);
	unsigned char before[7];

	if (!map || !map->executable || !rh_target_read(target, at - 7, before, sizeof before))
		return false;
	return before[2] == 0xe8 || (before[5] == 0xff && (before[6] >> 3 & 7) == 2) ||
	       (before[4] == 0xff && (before[5] >> 3 & 7) == 2) ||
	       (before[1] == 0xff && (before[2] >> 3 & 7) == 2) ||
	       (before[0] == 0xff && (before[1] >> 3 & 7) == 2);
}

static bool in_libc(const struct rh_target *target, uint64_t at)
{
	const struct rh_target_map *map = rh_target_map_of(target, at);
	const struct rh_target_map *libc = rh_target_map_of(target, target->libc);

	return map && libc && strcmp(map->path, libc->path) == 0;
}

static bool waits(const struct user_regs_struct *regs)
{
	return (long)regs->orig_rax >= 0;
}

static bool stack_is_clean(const struct rh_target *target, const struct user_regs_struct *regs,
			   bool strict)
{
	const struct rh_target_map *stack = rh_target_map_of(target, regs->rsp);
	static uint64_t words[SCAN / sizeof(uint64_t)];
	size_t bytes;

	if (!stack || regs->rsp - stack->low < LEAST_STACK || regs->rsp % 8)
		return false;
	bytes = stack->high - regs->rsp < SCAN ? stack->high - regs->rsp : SCAN;
	if (!rh_target_read(target, regs->rsp, words, bytes))
		return false;
	for (size_t i = 0; i < bytes / sizeof words[0]; i++) {
		if (rh_target_avoids(target, words[i]) && is_return(target, words[i]))
			return false;
		if (!strict && waits(regs) && !in_libc(target, words[i]) &&
		    is_return(target, words[i]))
			return true;
	}
	return strict;
}

static bool is_safe(const struct rh_target *target, const struct user_regs_struct *regs,
		    bool strict)
{
	return !rh_target_avoids(target, regs->rip) && stack_is_clean(target, regs, strict);
}

/* ---- a system call that our stop interrupted ---- */

/* Those that a stop ends with EINTR, although there is no signal (signal(7)); of sockets, where
 * they have a timeout. They begin again with the whole of it: how much was over is not known.
 * connect and close may not begin again. */
static bool stops_short(long number)
{
	static const short numbers[] = {
		SYS_read,	  SYS_readv,	       SYS_recvfrom, SYS_recvmsg,
		SYS_recvmmsg,	  SYS_write,	       SYS_writev,   SYS_sendto,
		SYS_sendmsg,	  SYS_sendmmsg,	       SYS_accept,   SYS_accept4,
		SYS_msgsnd,	  SYS_msgrcv,	       SYS_semop,    SYS_semtimedop,
		SYS_epoll_wait,	  SYS_epoll_pwait,     441,	     426,
		SYS_io_getevents, SYS_rt_sigtimedwait, 333,
	}; /* epoll_pwait2, io_uring_enter, io_pgetevents */

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* A signal waits for the thread: then its EINTR is due. */
static bool has_signal(const struct rh_target *target, pid_t tid)
{
	unsigned long long pending = 0, blocked = 0, bits;
	char path[64], line[256];
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/task/%d/status", target->pid, (int)tid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof line, in)) {
		if (sscanf(line, "SigPnd: %llx", &bits) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &bits) == 1)
			pending |= bits;
		if (sscanf(line, "SigBlk: %llx", &bits) == 1)
			blocked = bits;
	}
	if (in)
		fclose(in);
	return (pending & ~blocked) != 0;
}

/* Handles kernel-internal error codes that programs never see. True: the registers have changed. */
static bool begin_again(struct user_regs_struct *regs, bool signalled)
{
	enum { RESTARTSYS = 512, RESTARTNOINTR = 513, RESTARTNOHAND = 514, RESTART_BLOCK = 516 };
	long number = (long)regs->orig_rax, result = -(long)regs->rax;

	regs->orig_rax = (unsigned long long)-1;
	if (number < 0)
		return false;
	if (result == RESTART_BLOCK)
		regs->rax = SYS_restart_syscall;
	else if (result == RESTARTSYS || result == RESTARTNOINTR || result == RESTARTNOHAND ||
		 (result == EINTR && !signalled && stops_short(number)))
		regs->rax = (unsigned long long)number;
	else
		return false;
	regs->rip -= 2;
	return true;
}

/* ---- the thread ---- */

static void wait_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)ms * 1000000 }, NULL);
}

enum stopped { STOPPED, GONE, STUCK };

static enum stopped wait_for_stop(pid_t tid)
{
	uint64_t began = rh_now_ns();
	int status;

	for (;;) {
		pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

		if (got < 0 || (got == tid && !WIFSTOPPED(status)))
			return GONE;
		if (got == tid && status >> 16 == PTRACE_EVENT_STOP)
			return STOPPED;
		if (got == tid) /* a signal of its own, which is delivered */
			ptrace(PTRACE_CONT, tid, NULL, (void *)(long)WSTOPSIG(status));
		else if (rh_now_ns() - began > (uint64_t)STOP_MS * 1000000)
			return STUCK;
		else
			usleep(50);
	}
}

static bool poke(pid_t tid, uint64_t at, const void *bytes, size_t count)
{
	for (size_t i = 0; i < count; i += sizeof(long)) {
		long word;

		memcpy(&word, (const char *)bytes + i, sizeof word);
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(at + i), (void *)word) < 0)
			return false;
	}
	return true;
}

static size_t code_bytes(void)
{
	return (size_t)(rh_inject_code_end - rh_inject_code);
}

/* Unused bytes at the end of a code mapping, or this code from an earlier attach. */
static uint64_t find_room(const struct rh_target *target, const unsigned char *code)
{
	unsigned char there[ROOM];
	static const unsigned char nothing[ROOM];

	for (size_t i = 0; i < target->map_count; i++) {
		const struct rh_target_map *map = &target->maps[i];
		uint64_t at = map->high - ROOM;

		if (map->executable && map->path[0] == '/' &&
		    rh_target_read(target, at, there, sizeof there) &&
		    (memcmp(there, nothing, ROOM) == 0 || memcmp(there, code, ROOM) == 0))
			return at;
	}
	return 0;
}

/* Unused address space, in the middle of the largest hole. */
static uint64_t find_hole(const struct rh_target *target)
{
	uint64_t best = 0, width = 0;

	for (size_t i = 1; i < target->map_count; i++) {
		uint64_t low = target->maps[i - 1].high, high = target->maps[i].low;

		if (high > low && high - low > width && high >> 47 == 0) {
			width = high - low;
			best = low + width / 2;
		}
	}
	return width > 4 * STACK ? best & -(uint64_t)STACK : 0;
}

struct parcel {
	char strings[STRINGS]; /* below the block */
	struct block block;
};

static void fill_block(struct block *block, const struct rh_target *target,
		       const struct user_regs_struct *regs)
{
	*block = (struct block){
		.dlopen = target->dlopen,
		.dlsym = target->dlsym,
		.dlerror = target->dlerror,
		.errno_location = target->errno_location,
		.all_signals = UINT64_MAX,
		.mode = 2 |
			(target->dlerror ? 0 : 0x80000000u), /* RTLD_NOW; the inner one's flag */
		.r15 = regs->r15,
		.r14 = regs->r14,
		.r13 = regs->r13,
		.r12 = regs->r12,
		.rbp = regs->rbp,
		.rbx = regs->rbx,
		.r11 = regs->r11,
		.r10 = regs->r10,
		.r9 = regs->r9,
		.r8 = regs->r8,
		.rax = regs->rax,
		.rcx = regs->rcx,
		.rdx = regs->rdx,
		.rsi = regs->rsi,
		.rdi = regs->rdi,
		.flags = regs->eflags,
		.rip = regs->rip,
	};
}

static uint64_t add_string(struct parcel *parcel, size_t *at, const char *text, uint64_t base)
{
	uint64_t where = base + *at;

	memcpy(parcel->strings + *at, text, strlen(text) + 1);
	*at += strlen(text) + 1;
	return where;
}

/* The code that a thread of the target is to run. */
struct attempt {
	struct rh_target *target;
	struct rh_inject *inject;
	uint64_t code; /* address of the room for our instructions */
	bool strict;
};

/* regs: the registers with which the thread continues. */
static int send_off(const struct attempt *what, pid_t tid, struct user_regs_struct regs,
		    struct rh_err *err)
{
	const struct rh_target *target = what->target;
	struct rh_inject *inject = what->inject;
	uint64_t code = what->code;
	struct parcel parcel = { .strings = { 0 } };
	uint64_t base = regs.rsp - RED_ZONE - sizeof parcel;
	unsigned char padded[ROOM] = { 0 };
	size_t at = 0;

	memcpy(padded, rh_inject_code, code_bytes());
	fill_block(&parcel.block, target, &regs);
	parcel.block.library = add_string(&parcel, &at, inject->library, base);
	parcel.block.function = add_string(&parcel, &at, inject->function, base);
	parcel.block.argument = add_string(&parcel, &at, inject->argument, base);
	parcel.block.stack = inject->stack;
	if (!poke(tid, code, padded, ROOM) || !poke(tid, base, &parcel, sizeof parcel))
		return rh_fail_errno(err, RH_OS, "process %d cannot be written to", target->pid);
	regs.rip = code;
	regs.rbx = base + offsetof(struct parcel, block);
	regs.rsp = base;
	if (ptrace(PTRACE_SETREGS, tid, NULL, &regs) < 0)
		return rh_fail_errno(err, RH_OS, "thread %d cannot be set", (int)tid);
	return 0;
}

/* 1: redirected, 0: not this thread, -1: no thread can be used. */
static int try_thread(const struct attempt *what, pid_t tid, struct rh_err *err)
{
	struct rh_target *target = what->target;
	struct user_regs_struct regs;
	enum stopped stopped;
	int result = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return errno == ESRCH ? 0 : rh_target_refused(target, err);
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	stopped = wait_for_stop(tid);
	if (stopped == STUCK) /* it is released when we end */
		return rh_fail(err, RH_OS, "thread %d of process %d does not stop", (int)tid,
			       target->pid);
	if (stopped == GONE)
		return 0;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) == 0) {
		bool safe = is_safe(target, &regs, what->strict);
		bool again = begin_again(&regs, has_signal(target, tid));

		int filters = safe ? rh_sandbox_allows(target->pid, tid, err) : 0;

		if (filters > 0)
			atomic_store(what->inject->filters, (uint32_t)filters);
		if (safe && filters >= 0)
			result = send_off(what, tid, regs, err) < 0 ? -1 : 1;
		else if (again)
			ptrace(PTRACE_SETREGS, tid, NULL, &regs);
		result = filters < 0 ? -1 : result;
	}
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return result;
}

static int try_all(const struct attempt *what, struct rh_err *err)
{
	struct dirent *entry;
	char path[64];
	int result = 0;
	DIR *all;

	snprintf(path, sizeof path, "/proc/%d/task", what->target->pid);
	all = opendir(path);
	if (!all)
		return rh_fail(err, RH_NO_INPUT, "process %d is over", what->target->pid);
	while (result == 0 && (entry = readdir(all))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid > 0)
			result = try_thread(what, tid, err);
	}
	closedir(all);
	return result;
}

int rh_inject_start(struct rh_target *target, struct rh_inject *inject, struct rh_err *err)
{
	unsigned char padded[ROOM] = { 0 };
	uint64_t code, began = rh_now_ns(), ms = 0;
	int result = 0;

	if (strlen(inject->library) + strlen(inject->function) + strlen(inject->argument) + 3 >
	    STRINGS)
		return rh_fail(err, RH_OS, "%s: too long a path to load a library from",
			       inject->library);
	memcpy(padded, rh_inject_code, code_bytes());
	code = find_room(target, padded);
	inject->stack = find_hole(target);
	if (!code || !inject->stack)
		return rh_fail(err, RH_ABSENT,
			       "process %d has no %s left: start the program under reheap record",
			       target->pid, code ? "address space" : "room behind its code");
	while (result == 0 && ms < PATIENCE_MS) {
		result = try_all(&(struct attempt){ target, inject, code, ms < STRICT_MS }, err);
		if (result == 0 && !rh_target_read(target, code, padded, 1))
			return rh_fail(err, RH_ABSENT, "process %d has become another program",
				       target->pid);
		if (result == 0)
			wait_ms(ms < STRICT_MS ? 1 : 10);
		ms = (rh_now_ns() - began) / 1000000;
	}
	if (result == 0)
		return rh_fail(
			err, RH_OS,
			"no thread of process %d came out of its allocator or its loader for "
			"%d s: try again",
			target->pid, PATIENCE_MS / 1000);
	return result < 0 ? -1 : 0;
}

enum rh_inject_state rh_inject_look(const struct rh_target *target, const struct rh_inject *inject,
				    int *result, char *text, size_t room)
{
	int64_t words[2];

	text[0] = '\0';
	if (!rh_target_read(target, inject->stack, words, sizeof words) || !words[0])
		return RH_INJECT_RUNS;
	*result = (int)words[0];
	for (size_t i = 0; words[1] && i + 1 < room; i++) {
		if (!rh_target_read(target, (uint64_t)words[1] + i, text + i, 1) || !text[i])
			break;
		text[i + 1] = '\0';
	}
	return RH_INJECT_FAILED;
}

#else

int rh_inject_start(struct rh_target *target, struct rh_inject *inject, struct rh_err *err)
{
	(void)inject;
	return rh_fail(
		err, RH_ABSENT,
		"attaching to process %d is absent, because only x86-64 is known; preload the "
		"recorder asleep, or start the program under reheap record",
		target->pid);
}

enum rh_inject_state rh_inject_look(const struct rh_target *target, const struct rh_inject *inject,
				    int *result, char *text, size_t room)
{
	(void)target;
	(void)inject;
	(void)result;
	(void)text;
	(void)room;
	return RH_INJECT_RUNS;
}

#endif
