/*
 * test_record_sandbox.c - filters of system calls, run as the kernel runs them.
 */
#include "traces/test/test_support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "traces/record/sandbox.h"

#define COUNT(filter) ((uint32_t)(sizeof(filter) / sizeof *(filter)))
#define NUMBER	      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define THIRD	      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]))
#define END(how)      BPF_STMT(BPF_RET | BPF_K, how)

static uint32_t run(const struct sock_filter *filter, uint32_t count, int number, uint64_t third)
{
	const struct seccomp_data data = { .nr = number, .args = { 0, 0, third } };

	return rh_sandbox_run(filter, count, &data);
}

static void lists_and_ranges(void **state)
{
	const struct sock_filter filter[] = {
		NUMBER,
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 100, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 2, 0),
		END(SECCOMP_RET_ALLOW),
		END(SECCOMP_RET_ERRNO | 1),
		END(SECCOMP_RET_LOG),
	};

	(void)state;
	assert_int_equal(run(filter, COUNT(filter), 6, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(run(filter, COUNT(filter), 7, 0), SECCOMP_RET_LOG);
	assert_int_equal(run(filter, COUNT(filter), 99, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(run(filter, COUNT(filter), 100, 0), SECCOMP_RET_ERRNO | 1);
}

static void arguments_and_memory(void **state)
{
	const struct sock_filter filter[] = {
		THIRD,
		BPF_STMT(BPF_ST, 15),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 15),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1),
		END(SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};

	(void)state;
	assert_int_equal(run(filter, COUNT(filter), 0, 8), SECCOMP_RET_TRAP); /* 8 - 4 */
	assert_int_equal(run(filter, COUNT(filter), 0, 5), 2);		      /* 5 - 2, and 6 */
}

static void what_is_no_filter_kills(void **state)
{
	const struct sock_filter off[] = { NUMBER };
	const struct sock_filter far[] = { BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
					   END(0x7fff0000) };
	const struct sock_filter beyond[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
					      END(0x7fff0000) };
	const struct sock_filter odd[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), END(0x7fff0000) };
	const struct sock_filter memory[] = { BPF_STMT(BPF_ST, 16), END(0x7fff0000) };
	const struct sock_filter jumps[] = { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 255, 255) };
	const struct sock_filter divides[] = { BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), END(0) };

	(void)state;
	assert_int_equal(run(off, COUNT(off), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(far, COUNT(far), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(beyond, COUNT(beyond), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(odd, COUNT(odd), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(memory, COUNT(memory), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(jumps, COUNT(jumps), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(divides, COUNT(divides), 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(off, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_and_ranges),
		cmocka_unit_test(arguments_and_memory),
		cmocka_unit_test(what_is_no_filter_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
