/*
 * record_hard.c - programs that are hard to record, each with a count known beforehand.
 *
 *	daemon N MS FILE	leaves its parent, sleeps, makes N blocks, writes FILE
 *	nested N		makes N blocks as the first process of a PID namespace
 *	strict N		N blocks under strict seccomp
 *	filter N		N blocks under a filter that kills on all but write and exit
 *	bare N			the same, installed by bare system call instructions
 *	late N			the same after 1.2 seconds, when no second thread nor call came
 *	limit MIB USE		limits its own address space to MIB, then uses USE of it
 *	use MIB			uses so much, whoever limits it
 *	lock			locks all its memory, now and later, then makes blocks
 *	many N			N blocks
 *	churn-then N FILE	N blocks, FILE; 2 N blocks, FILE.2; a second; FILE.3
 *	crowd THREADS FILE	FILE, waits for FILE.go; threads one after the other; FILE.2
 *	pest THREADS		threads that are born under a rain of signals, whose handler makes a
 *				block; prints how many blocks it were
 * Ends with 0, with 77 where the machine cannot do it, else with a line and 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void blocks(long count)
{
	for (long i = 0; i < count; i++) {
		char *volatile p = malloc(16 + (size_t)(i & 63));

		*p = 1;
		free(p);
	}
}

static int daemon_of(long count, long ms, const char *file)
{
	int fd;

	if (fork())
		_exit(0);
	setsid();
	usleep((useconds_t)ms * 1000);
	blocks(count);
	fd = open(file, O_CREAT | O_WRONLY, 0644);
	close(fd);
	return fd < 0;
}

static int nested(long count)
{
	pid_t child;
	int status;

	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	child = fork();
	if (child == 0) {
		if (getpid() != 1)
			_exit(1);
		blocks(count);
		_exit(0);
	}
	return waitpid(child, &status, 0) != child || status != 0;
}

static int strict(long count)
{
	static const char done[] = "done\n";

	blocks(1);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
		return 77;
	blocks(count);
	syscall(SYS_exit, write(1, done, sizeof done - 1) < 0);
	return 1;
}

/* As a program that does not go through the C library. */
static long bare_prctl(long what, long a, long b)
{
#if defined(__x86_64__)
	register long c __asm__("r10") = 0;
	register long d __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_prctl), "D"(what), "S"(a), "d"(b), "r"(c), "r"(d)
			 : "rcx", "r11", "memory");
	return result;
#else
	return prctl((int)what, a, b, 0, 0);
#endif
}

static int filtered(long count, bool bare, long after_ns)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof filter[0], filter };

	blocks(1);
	if (after_ns)
		nanosleep(&(struct timespec){ after_ns / 1000000000, after_ns % 1000000000 }, NULL);
	if (bare) {
		bare_prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
		if (bare_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program) < 0)
			return 77;
	} else {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
			return 77;
	}
	blocks(count);
	_exit(0);
}

static int use(long mib)
{
	for (long i = 0; i < mib; i++) {
		char *p = malloc(1 << 20);

		if (!p) {
			printf("malloc failed after %ld MiB\n", i);
			return 1;
		}
		p[0] = 1;
	}
	return 0;
}

static int limit(long mib, long used)
{
	struct rlimit most = { (rlim_t)mib << 20, (rlim_t)mib << 20 };

	if (setrlimit(RLIMIT_AS, &most) < 0)
		return 77;
	return use(used);
}

static int lock(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
		perror("mlockall");
		return 1;
	}
	blocks(100000);
	return 0;
}

static void mark(const char *file, const char *tail)
{
	char path[4096];

	snprintf(path, sizeof path, "%s%s", file, tail);
	close(open(path, O_CREAT | O_WRONLY, 0644));
}

static void wait_for(const char *file, const char *tail)
{
	char path[4096];

	snprintf(path, sizeof path, "%s%s", file, tail);
	while (access(path, F_OK) < 0)
		usleep(1000);
}

/* Between its parts it waits for a signal to continue. */
static int churn_then(long count, const char *file)
{
	blocks(count);
	mark(file, "");
	wait_for(file, ".go");
	blocks(2 * count);
	mark(file, ".2");
	wait_for(file, ".go.2");
	mark(file, ".3");
	return 0;
}

enum { CROWD_BLOCKS = 20000 }; /* of a thread: more than its ring holds */

static void *one_of_crowd(void *unused)
{
	blocks(CROWD_BLOCKS);
	return unused;
}

static int crowd(long threads, const char *file)
{
	pthread_t thread;

	mark(file, "");
	wait_for(file, ".go");
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread, NULL, one_of_crowd, NULL) != 0 ||
		    pthread_join(thread, NULL) != 0)
			return 1;
	mark(file, ".2");
	return 0;
}

static _Atomic long handled;
static _Atomic int rain_over;

/* The first one waits for the thread when that is not under way yet. */
static void make_one(int unused)
{
	static __thread int seen;
	char *volatile p;

	(void)unused;
	if (!seen++)
		return;
	p = malloc(40);
	free(p);
	handled++;
}

static void *rain(void *unused)
{
	while (!rain_over) {
		kill(getpid(), SIGUSR1);
		sched_yield();
	}
	return unused;
}

/* From here on no handler interrupts a malloc of its own thread. */
static void *under_rain(void *dry)
{
	pthread_sigmask(SIG_BLOCK, dry, NULL);
	blocks(1);
	return NULL;
}

static int pest(long threads)
{
	pthread_t cloud, thread;
	pthread_attr_t attr;
	sigset_t none, one;

	sigemptyset(&none);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &one, NULL);
	signal(SIGUSR1, make_one);
	pthread_attr_init(&attr);
	if (pthread_attr_setsigmask_np(&attr, &none) != 0 ||
	    pthread_create(&cloud, NULL, rain, NULL) != 0)
		return 77;
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread, &attr, under_rain, &one) != 0 ||
		    pthread_join(thread, NULL) != 0)
			return 1;
	rain_over = 1;
	pthread_join(cloud, NULL);
	printf("%ld\n", handled + threads);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	long one = argc > 2 ? strtol(argv[2], NULL, 10) : 0,
	     two = argc > 3 ? strtol(argv[3], NULL, 10) : 0;

	if (strcmp(mode, "daemon") == 0 && argc > 4)
		return daemon_of(one, two, argv[4]);
	if (strcmp(mode, "churn-then") == 0 && argc > 3)
		return churn_then(one, argv[3]);
	if (strcmp(mode, "crowd") == 0 && argc > 3)
		return crowd(one, argv[3]);
	if (strcmp(mode, "pest") == 0)
		return pest(one);
	if (strcmp(mode, "nested") == 0)
		return nested(one);
	if (strcmp(mode, "strict") == 0)
		return strict(one);
	if (strcmp(mode, "filter") == 0 || strcmp(mode, "bare") == 0)
		return filtered(one, *mode == 'b', 0);
	if (strcmp(mode, "late") == 0)
		return filtered(one, true, 1200000000);
	if (strcmp(mode, "limit") == 0)
		return limit(one, two);
	if (strcmp(mode, "use") == 0)
		return use(one);
	if (strcmp(mode, "lock") == 0)
		return lock();
	if (strcmp(mode, "many") == 0)
		return blocks(one), 0;
	fprintf(stderr, "unknown mode %s\n", mode);
	return 1;
}
