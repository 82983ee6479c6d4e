/*
 * record_target.c - a program to be recorded, of which everything is known.
 *
 *	record_target MODE [NUMBER...]
 *
 * Blocks whose sizes matter to a test have sizes from MAGIC up, which nothing in libc
 * asks for; what a test must know beyond that is printed on stdout. Each mode is one
 * function and one row of the table at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

enum { MAGIC = 7001, LANES = 64 };

static long number[4];
static char **self_argv;
extern char **environ;

static void *keep(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

static void churn(long count, size_t size)
{
	while (count-- > 0)
		free(keep(malloc(size)));
}

/* ---- every function of the family, once ---- */

static int family(void)
{
	volatile size_t huge = SIZE_MAX / 2;
	void *volatile none = NULL; /* compilers make a malloc of realloc(NULL, n) */
	void *p = NULL, *q;

	free(keep(malloc(MAGIC)));
	free(keep(calloc(7, 1003))); /* 7021 */
	p = keep(realloc(none, MAGIC + 30));
	p = keep(realloc(p, MAGIC + 31));
	p = keep(reallocarray(p, 8, 880)); /* 7040 */
	free(p);
	free(keep(aligned_alloc(256, 7168)));
	free(keep(memalign(64, MAGIC + 60)));
	if (posix_memalign(&p, 4096, MAGIC + 70) != 0)
		return 1;
	free(keep(p));
	free(keep(valloc(MAGIC + 80)));
	free(keep(pvalloc(MAGIC + 90)));
	q = keep(malloc(MAGIC + 100));
	if (malloc_usable_size(q) < MAGIC + 100)
		return 1;
	free(q);
	free(none);
	p = keep(malloc(MAGIC + 110));
	errno = EBADF;
	free(p);
	if (errno != EBADF)
		return 2;
	errno = 0;
	if (keep(malloc(huge)) || errno != ENOMEM)
		return 3;
	errno = 0;
	if (keep(reallocarray(NULL, huge, 3)) || errno != ENOMEM)
		return 4;
	if (posix_memalign(&p, 3, 100) != EINVAL)
		return 5;
	p = keep(malloc(5ull << 30)); /* sizes past 32 bits; never touched */
	free(p);
	return p ? 0 : 6;
}

/* ---- threads ---- */

static void *storm_thread(void *arg)
{
	pthread_barrier_t *all = arg;

	pthread_barrier_wait(all); /* all alive at once */
	churn(number[1], MAGIC);
	pthread_barrier_wait(all);
	return NULL;
}

static int storm(void)
{
	pthread_t *thread = calloc((size_t)number[0], sizeof *thread);
	pthread_barrier_t all;
	pthread_attr_t attr;

	pthread_barrier_init(&all, NULL, (unsigned)number[0]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	for (long i = 0; i < number[0]; i++)
		if (pthread_create(&thread[i], &attr, storm_thread, &all) != 0)
			_exit(77);
	for (long i = 0; i < number[0]; i++)
		pthread_join(thread[i], NULL);
	free(thread);
	return 0;
}

static void *short_thread(void *arg)
{
	(void)arg;
	free(keep(malloc(MAGIC)));
	return NULL;
}

static int sequence(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (long i = 0; i < number[0]; i++) {
		if (pthread_create(&thread, &attr, short_thread, NULL) != 0)
			_exit(77);
		pthread_join(thread, NULL);
	}
	return 0;
}

static pthread_key_t key;
static _Atomic int at_its_end; /* threads that have made all their calls but those of their end */

static void wait_for_ends(int count)
{
	while (atomic_load(&at_its_end) < count)
		usleep(1000);
}

static void key_gone(void *value)
{
	free(value); /* after the thread's function has returned */
	churn(1, MAGIC + 1);
}

static void *ends_by_exit(void *arg)
{
	pthread_setspecific(key, malloc(MAGIC));
	atomic_fetch_add(&at_its_end, 1);
	if (arg)
		pthread_exit(NULL);
	pause(); /* cancelled here */
	return NULL;
}

static void *ends_raw(void *arg)
{
	(void)arg;
	churn(1, MAGIC + 2);
	atomic_fetch_add(&at_its_end, 1);
	syscall(SYS_exit, 0); /* no cleanup whatever */
	return NULL;
}

static int c11_thread(void *arg)
{
	(void)arg;
	churn(1, MAGIC + 3);
	return 5;
}

static int endings(void)
{
	pthread_t thread;
	thrd_t c11;
	int result;

	pthread_key_create(&key, key_gone);
	pthread_create(&thread, NULL, ends_by_exit, &key);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, ends_by_exit, NULL);
	wait_for_ends(2);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, ends_raw, NULL);
	pthread_detach(thread);
	wait_for_ends(3);
	if (thrd_create(&c11, c11_thread, NULL) != thrd_success ||
	    thrd_join(c11, &result) != thrd_success || result != 5)
		return 1;
	return 0;
}

/* ---- blocks passed between threads; the size says who frees ---- */

static _Atomic(void *) mailbox[LANES];
static _Atomic long passed;

static void *pass_thread(void *arg)
{
	long me = (long)(intptr_t)arg, lanes = number[0];
	uint32_t seed = (uint32_t)me * 2654435761u + 1;

	churn(1, MAGIC + 2 * LANES + (size_t)me); /* says who this is */
	for (long i = 0; i < number[1]; i++) {
		long to = (seed = seed * 1103515245u + 12345u) / 65536 % (unsigned long)lanes;
		void *p = malloc(MAGIC + (size_t)to), *mine, *none = NULL;

		if (!atomic_compare_exchange_strong(&mailbox[to], &none, p)) {
			p = realloc(p, MAGIC + LANES + (size_t)me); /* nobody takes it: ours */
			free(p);
		}
		mine = atomic_exchange(&mailbox[me], NULL);
		if (mine) {
			free(mine);
			atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed);
		}
	}
	return NULL;
}

static int pass(void)
{
	pthread_t thread[LANES];

	for (long i = 0; i < number[0]; i++)
		pthread_create(&thread[i], NULL, pass_thread, (void *)(intptr_t)i);
	for (long i = 0; i < number[0]; i++)
		pthread_join(thread[i], NULL);
	for (long i = 0; i < number[0]; i++)
		free(atomic_load(&mailbox[i]));
	printf("%ld\n", atomic_load(&passed));
	return 0;
}

/* The tightest hand-over there is: no locked instruction between malloc's return, the
 * other thread's sight of the block and its free; and the block goes straight back. */
static struct {
	_Alignas(128) _Atomic(void *) block;
} hands[2];

static void *hand_thread(void *arg)
{
	long me = (long)(intptr_t)arg;
	void *p;

	for (long i = 0; i < number[0]; i++) {
		if (me == 0) {
			atomic_store_explicit(&hands[1].block, malloc(MAGIC), memory_order_release);
			while (!(p = atomic_load_explicit(&hands[0].block, memory_order_acquire)))
				;
			free(p);
			atomic_store_explicit(&hands[0].block, NULL, memory_order_release);
		} else {
			while (!(p = atomic_load_explicit(&hands[1].block, memory_order_acquire)))
				;
			free(p);
			atomic_store_explicit(&hands[1].block, NULL, memory_order_release);
			atomic_store_explicit(&hands[0].block, malloc(MAGIC + 1),
					      memory_order_release);
			while (atomic_load_explicit(&hands[0].block, memory_order_acquire))
				;
		}
	}
	return NULL;
}

static int hand(void)
{
	pthread_t thread[2];

	for (long i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, hand_thread, (void *)(intptr_t)i);
	for (long i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* ---- death: a shared file holds how many calls each thread had finished ---- */

static _Atomic uint64_t *progress;

static void *dying_thread(void *arg)
{
	_Atomic uint64_t *mine = &progress[8 * (intptr_t)arg];

	while (mine) {
		keep(malloc(MAGIC + (size_t)(intptr_t)arg));
		atomic_store(mine, atomic_load(mine) + 1);
	}
	return NULL;
}

/* number[0] threads allocate until number[1] ms are over; the argument after those is
 * the file, the one after that how to die. */
static int die(void)
{
	const char *how = self_argv[5];
	int fd = open(self_argv[4], O_RDWR | O_CREAT, 0600);
	pthread_t thread;
	char command[32];

	if (fd < 0 || ftruncate(fd, 65536) < 0)
		return 1;
	progress = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (long i = 0; i < number[0]; i++)
		pthread_create(&thread, NULL, dying_thread, (void *)(intptr_t)i);
	usleep((useconds_t)number[1] * 1000);
	for (long i = 0; i < number[0]; i++) /* on a busy machine one may not have begun */
		while (atomic_load(&progress[8 * i]) == 0)
			usleep(1000);
	signal(SIGABRT, SIG_DFL);
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(how, "abort") == 0)
		abort();
	else if (strcmp(how, "segv") == 0)
		*(volatile int *)8 = 1;
	else if (strcmp(how, "_exit") == 0)
		_exit(7);
	else if (strcmp(how, "exec") == 0) {
		snprintf(command, sizeof command, "exit 9");
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	}
	return 1;
}

/* ---- known numbers of blocks in each size, for sampling ---- */

static void classes_round(void)
{
	void *p = keep(malloc(MAGIC)), *q = keep(calloc(1, MAGIC + 1)), *r = NULL;

	p = keep(realloc(p, MAGIC + 2));
	if (posix_memalign(&r, 64, MAGIC + 3) != 0)
		abort();
	q = keep(realloc(q, MAGIC + 4));
	free(p);
	free(q);
	free(r);
	free(keep(malloc(MAGIC + 5)));
	free(keep(malloc(40)));
	free(keep(malloc(700)));
	free(keep(malloc(200000)));
}

static void *classes_thread(void *unused)
{
	for (long i = 0; i < number[0]; i++)
		classes_round();
	return unused;
}

/* Rounds, threads beside the first one. */
static int classes(void)
{
	pthread_t thread[LANES];

	for (long i = 0; i < number[1] && i < LANES; i++)
		if (pthread_create(&thread[i], NULL, classes_thread, NULL) != 0)
			_exit(77);
	classes_thread(NULL);
	for (long i = 0; i < number[1] && i < LANES; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* ---- processes ---- */

static int forks(void)
{
	pid_t child;
	int status;

	churn(10, MAGIC);
	child = fork();
	if (child == 0) {
		churn(20, MAGIC + 1);
		child = fork();
		if (child == 0) {
			churn(30, MAGIC + 2);
			_exit(0);
		}
		waitpid(child, &status, 0);
		exit(0);
	}
	waitpid(child, &status, 0);
	child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* no fork handler runs */
	if (child == 0) {
		churn(40, MAGIC + 3);
		_exit(0);
	}
	waitpid(child, &status, 0);
	churn(10, MAGIC);
	return 0;
}

static int spawns(void)
{
	char *argv[] = { self_argv[0], (char *)"churn", (char *)"25", NULL };
	pid_t child;
	int status;

	churn(10, MAGIC);
	if (posix_spawn(&child, self_argv[0], NULL, NULL, argv, environ) != 0)
		return 1;
	waitpid(child, &status, 0);
	child = vfork();
	if (child == 0) {
		execv(self_argv[0], argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	churn(10, MAGIC);
	return 0;
}

static int just_churn(void)
{
	churn(number[0], MAGIC);
	return 0;
}

static int exec_twice(void)
{
	char *argv[] = { self_argv[0], (char *)"churn", (char *)"33", NULL };

	churn(11, MAGIC + 1);
	execv(self_argv[0], argv);
	return 1;
}

/* ---- signal handlers ---- */

static volatile sig_atomic_t handled;
static sigjmp_buf back;
static volatile sig_atomic_t may_jump;

static void on_alarm(int unused)
{
	(void)unused;
	handled = handled + 1;
	free(keep(malloc(MAGIC + 5)));
	if (may_jump && handled % 16 == 0)
		siglongjmp(back, 1);
}

/* The main thread only spins on small blocks; the handler interrupts it anywhere. glibc
 * survives that for blocks of other sizes in the thread's cache, which is all we need. */
static int signals(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { { 0, 200 }, { 0, 200 } };

	free(malloc(MAGIC + 5));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (handled < number[0])
		free(keep(malloc(24)));
	timer = (struct itimerval){ { 0, 0 }, { 0, 0 } };
	setitimer(ITIMER_REAL, &timer, NULL);
	printf("%d\n", (int)handled);
	return 0;
}

/* ---- the rest ---- */

static int surroundings(void)
{
	struct rlimit files = { 1024, 1024 };

	churn(10, MAGIC);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	if (chdir("/") < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	mlockall(MCL_CURRENT | MCL_FUTURE);
	churn(10, MAGIC);
	return 0;
}

/* Uses so many ms of CPU time beyond what the process used to get here and touches so many MiB;
 * then once more a tenth of both, as another image, where the third number says so. */
static int burn(void)
{
	char *block = keep(malloc((size_t)number[1] << 20)), ms[24], mib[24];
	char *argv[] = { self_argv[0], (char *)"burn", ms, mib, NULL };
	struct timespec start, now;
	long used_ms;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	memset(block, 1, (size_t)number[1] << 20);
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
		used_ms = (now.tv_sec - start.tv_sec) * 1000 +
			  (now.tv_nsec - start.tv_nsec) / 1000000;
	} while (used_ms < number[0]);
	free(block);
	if (!number[2])
		return 0;
	snprintf(ms, sizeof ms, "%ld", number[0] / 10);
	snprintf(mib, sizeof mib, "%ld", number[1] / 10);
	execv(self_argv[0], argv);
	return 1;
}

static int echo_environment(void)
{
	const char *preload = getenv("LD_PRELOAD");

	printf("%s\n", preload ? preload : "");
	return 0;
}

static int slow(void)
{
	for (long i = 0; i < number[0]; i++) {
		churn(1, MAGIC + (size_t)i);
		usleep((useconds_t)number[1] * 1000);
	}
	return 0;
}

static off_t bytes_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* CAPTURE OUT [SIGNAL]: a block of MAGIC; the signal to the recorder, which is our parent; then
 * others until they are seen in its capture (or that is gone), a block of MAGIC + 2, others until
 * OUT is there ("-": no matter), and a block of MAGIC + 59. */
static int watched(void)
{
	const char *capture = self_argv[2], *out = self_argv[3];
	off_t before = bytes_of(capture), now = before;

	churn(1, MAGIC);
	if (self_argv[4])
		kill(getppid(), (int)strtol(self_argv[4], NULL, 10));
	while (now >= 0 && now < before + 65536) {
		churn(100, MAGIC + 1);
		usleep(1000);
		now = bytes_of(capture);
	}
	churn(1, MAGIC + 2);
	while (strcmp(out, "-") != 0 && access(out, F_OK) < 0) {
		churn(100, MAGIC + 1);
		usleep(1000);
	}
	churn(1, MAGIC + 59);
	return 0;
}

static int leave(void)
{
	return (int)number[0];
}

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{ "burn", burn },	  { "churn", just_churn }, { "classes", classes },
	{ "die", die },		  { "endings", endings },  { "environment", echo_environment },
	{ "exec", exec_twice },	  { "exit", leave },	   { "family", family },
	{ "forks", forks },	  { "hand", hand },	   { "pass", pass },
	{ "sequence", sequence }, { "signals", signals },  { "slow", slow },
	{ "spawns", spawns },	  { "storm", storm },	   { "surroundings", surroundings },
	{ "watched", watched },
};

int main(int argc, char **argv)
{
	self_argv = argv;
	for (int i = 2; i < argc && i < 6; i++)
		number[i - 2] = strtol(argv[i], NULL, 10);
	for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run();
	fprintf(stderr, "record_target: no such mode\n");
	return 64;
}
