/*
 * record_live.c - a program to be attached to while it runs: record_live THREADS CALLS FOLDER.
 *
 * It makes blocks first (born before). Its threads then allocate all the time until FOLDER/on
 * appears; then each makes exactly CALLS births and deaths of its own, and says so in
 * FOLDER/counted; and when FOLDER/off appears, they go on as before until FOLDER/end. With
 * FOLDER/quiet there from the start they make no call but those CALLS, so that the trace must hold
 * just these. Sums over what they keep in registers and memory say that nothing was disturbed.
 * Exit 0: it was not.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BEFORE = 1000, KEEP = 64 };

static const char *folder;
static int calls, threads;
static atomic_int phase; /* 0 before, 1 counted, 2 after, 3 end */
static atomic_int counted;
static int quiet;
static atomic_int wrong;

static int is_there(const char *name)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return stat(path, &st) == 0;
}

static void say(const char *name)
{
	char path[4096], line[64];
	int fd = (snprintf(path, sizeof path, "%s/%s", folder, name), creat(path, 0644));
	int bytes = snprintf(line, sizeof line, "%d\n", threads * calls);

	if (fd < 0 || write(fd, line, (size_t)bytes) != bytes)
		atomic_fetch_add(&wrong, 1);
	close(fd);
}

static void one_call(int i)
{
	char *volatile p = malloc((size_t)(16 + i % 500));

	memset(p, i, 16);
	if (p[15] != (char)i)
		atomic_fetch_add(&wrong, 1);
	free(p);
}

/* Sums in vector registers that nobody may touch. */
static void compute(void)
{
	double a = 0, b = 1, c = 2, d = 3;

	for (int i = 0; i < 20000; i++) {
		a += 1;
		b += 2;
		c += a - b;
		d += sqrt(a * a);
	}
	if (a != 20000 || b != 40001 || c != 2 - 200030000.0 || d != 3 + 200010000.0)
		atomic_fetch_add(&wrong, 1);
}

static void *works(void *unused)
{
	void *kept[KEEP] = { NULL };
	int at, i = 0, done = 0;

	for (; (at = atomic_load(&phase)) < 3; i++) {
		if (at == 1 && !done) {
			for (int k = 0; k < calls; k++)
				one_call(k);
			done = 1;
			atomic_fetch_add(&counted, 1);
		} else if (!quiet && at != 1) {
			free(kept[i % KEEP]);
			kept[i % KEEP] = malloc((size_t)(i % 3000));
			kept[(i + 7) % KEEP] = realloc(kept[(i + 7) % KEEP], (size_t)(i % 200 + 1));
		} else {
			compute();
		}
	}
	for (int k = 0; k < KEEP; k++)
		free(kept[k]);
	return unused;
}

int main(int argc, char **argv)
{
	static void *before[BEFORE];
	pthread_t thread[64];
	struct timespec nap = { 0, 2000000 };

	if (argc != 4)
		return 2;
	threads = (int)strtol(argv[1], NULL, 10);
	threads = threads < 64 ? threads : 64;
	calls = (int)strtol(argv[2], NULL, 10);
	folder = argv[3];
	quiet = is_there("quiet");
	for (int i = 0; i < BEFORE; i++)
		before[i] = malloc(40);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, works, NULL);
	say("ready");
	while (!is_there("on"))
		nanosleep(&nap, NULL);
	/* Deaths of what was born before. The first of them wakes a recorder that sleeps; what
	 * other threads call meanwhile is not recorded, so they begin after it. */
	for (int i = 0; i < BEFORE; i++)
		free(before[i]);
	atomic_store(&phase, 1);
	while (atomic_load(&counted) < threads)
		nanosleep(&nap, NULL);
	say("counted");
	while (!is_there("off"))
		nanosleep(&nap, NULL);
	atomic_store(&phase, 2);
	say("after");
	while (!is_there("end"))
		nanosleep(&nap, NULL);
	atomic_store(&phase, 3);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	say("bye");
	return atomic_load(&wrong) != 0;
}
