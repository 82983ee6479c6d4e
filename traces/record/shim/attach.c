/*
 * attach.c - a process finds the area, a thread finds a ring.
 *
 * 1. The first event of a process (often before any constructor) reads REHEAP_RECORD
 *    from the environment, from /proc/self/environ when libc has not set environ yet,
 *    and maps that file: all of it without access, so that a program which locks its
 *    memory does not pin gigabytes of rings; what is used is opened piece by piece.
 * 2. It takes a process slot: always when it is the program itself (also after exec),
 *    else only with --follow-children.
 * 3. The first event of each thread takes the first ring whose mutex it can have.
 * 4. A forked child finds the guard wiped: it takes its own slot, or stays out.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/shim/shim.h"

struct shim shim;
struct producer shim_nobody;
__thread struct producer *shim_self = &shim_nobody;
__thread uint32_t shim_number;
static __thread int attaching;
static unsigned char ring_open[RH_RINGS];	/* survives fork, as the mappings do */
static uint32_t wipe_works;

extern char **environ;

static size_t read_file(const char *path, char *into, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t got;

	if (fd < 0)
		return 0;
	while (have < room && (got = read(fd, into + have, room - have)) > 0)
		have += (size_t)got;
	close(fd);
	return have;
}

/* libc's environ is not there yet for calls made while the loader still works. */
static bool area_path(char *path, size_t room)
{
	static const char key[] = RH_RECORD_ENV "=";
	const size_t key_bytes = sizeof key - 1;
	static char text[256 * 1024];
	size_t have, at;

	if (environ) {
		for (char **e = environ; *e; e++)
			if (strncmp(*e, key, key_bytes) == 0 && strlen(*e) < room) {
				memcpy(path, *e + key_bytes, strlen(*e) - key_bytes + 1);
				return true;
			}
		return false;
	}
	have = read_file("/proc/self/environ", text, sizeof text - 1);
	for (at = 0; at < have; at += strlen(text + at) + 1)
		if (strncmp(text + at, key, key_bytes) == 0 && strlen(text + at) < room) {
			memcpy(path, text + at + key_bytes, strlen(text + at) - key_bytes + 1);
			return true;
		}
	return false;
}

static bool map_producers(void)
{
	size_t bytes = (RH_RINGS + 1) * sizeof(struct producer) +
		       SHIM_OWNERS * sizeof *shim.owners;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == (char *)MAP_FAILED)
		return false;
	wipe_works = madvise(p, bytes, MADV_WIPEONFORK) == 0;
	shim.producers = (struct producer *)p;
	shim.owners = (void *)(p + (RH_RINGS + 1) * sizeof(struct producer));
	return true;
}

/* As many rings as the address space (ulimit -v) has room for. */
static struct rh_area *map_all(int fd, const struct rh_area *head)
{
	uint32_t rings = RH_RINGS;
	void *p;

	for (; rings >= 8; rings /= 2) {
		p = mmap(NULL, RH_AREA_RINGS_AT + rings * head->ring_bytes, PROT_NONE,
			 MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (p != MAP_FAILED) {
			if (mprotect(p, RH_AREA_RINGS_AT, PROT_READ | PROT_WRITE) < 0)
				return NULL;
			madvise(p, RH_AREA_RINGS_AT + rings * head->ring_bytes, MADV_DONTDUMP);
			shim.rings_usable = rings;
			return p;
		}
	}
	return NULL;
}

static struct rh_area *map_fd(int fd)
{
	struct rh_area *head = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), *area = NULL;
	struct stat st;

	if (head == MAP_FAILED)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size >= 4096 && head->magic == RH_AREA_MAGIC)
		area = map_all(fd, head);
	munmap(head, 4096);
	return area;
}

/* By path; by the inherited descriptor where that is not allowed. It stays open for the
 * images to come. */
static struct rh_area *map_area(char *path)
{
	char *comma = strchr(path, RH_RECORD_ENV_FD), *at;
	int inherited = -1, fd;
	struct rh_area *area;

	if (comma) {
		*comma = '\0';
		inherited = 0;
		for (at = comma + 1; *at >= '0' && *at <= '9' && inherited < 1000000; at++)
			inherited = inherited * 10 + *at - '0';
		if (*at)
			inherited = -1;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return inherited >= 0 ? map_fd(inherited) : NULL;
	area = map_fd(fd);
	close(fd);
	return area;
}

static void describe(struct rh_proc *proc)
{
	ssize_t got = readlink("/proc/self/exe", proc->exe, sizeof proc->exe - 1);

	proc->exe[got > 0 ? got : 0] = '\0';
	proc->args_bytes = (uint32_t)read_file("/proc/self/cmdline", proc->args,
					       sizeof proc->args);
}

static bool take_slot(uint32_t how)
{
	struct rh_area *area = shim.area;

	for (uint32_t i = 0; i < RH_PROCS; i++) {
		struct rh_proc *proc = rh_area_proc(area, i);
		uint32_t want = RH_PROC_FREE, high;

		if (!atomic_compare_exchange_strong(&proc->state, &want, RH_PROC_CLAIMED))
			continue;
		proc->pid = getpid();
		proc->ppid = getppid();
		proc->how = how;
		proc->stamp = shim_now();
		describe(proc);
		high = atomic_load(&area->procs_high);
		while (high < i + 1 &&
		       !atomic_compare_exchange_weak(&area->procs_high, &high, i + 1))
			;
		atomic_store(&proc->state, RH_PROC_READY);
		shim.proc = i;
		return true;
	}
	atomic_fetch_add(&area->no_proc, 1);
	return false;
}

static void forked_without_wipe(void)
{
	memset(shim.producers, 0, (RH_RINGS + 1) * sizeof(struct producer));
}

static uint32_t begin(uint32_t how)
{
	struct producer *guard = &shim.producers[RH_RINGS];

	atomic_store(&shim.thread_next, 0);
	shim.many = 0;
	guard->last = 1;
	if (how == RH_PROC_FORKED && !shim.area->follow) {
		atomic_fetch_add(&shim.area->forks_ignored, 1);
		return SHIM_OFF;
	}
	return take_slot(how) ? SHIM_ON : SHIM_OFF;
}

static uint32_t start_process(void)
{
	char path[256];
	pthread_attr_t attr;
	size_t stack;

	if (!area_path(path, sizeof path) || !(shim.area = map_area(path)) || !map_producers())
		return SHIM_OFF;
	shim.counter = shim.area->clock_counter;
	shim.exact = shim.area->sample <= 1;
	shim.every_slow = shim.area->sites || shim.area->residency || !shim.counter;
	if (pthread_attr_init(&attr) == 0) {
		if (pthread_attr_getstacksize(&attr, &stack) == 0)
			shim.default_stack = stack;
		pthread_attr_destroy(&attr);
	}
	if (getpid() == atomic_load(&shim.area->main_pid))
		return begin(RH_PROC_MAIN);
	if (!shim.area->follow) {
		atomic_fetch_add(&shim.area->forks_ignored, 1);
		return SHIM_OFF;
	}
	return begin(RH_PROC_EXECED);
}

/* Is this process recorded? Decides it on the first call, and again after a fork. */
bool shim_process_on(void)
{
	uint32_t expected = 0;

	if (shim.state == SHIM_ON && shim.producers[RH_RINGS].last == 0) {
		shim_number = 0;
		shim.state = begin(RH_PROC_FORKED);
	}
	if (shim.state != SHIM_UNKNOWN)
		return shim.state == SHIM_ON;
	if (!atomic_compare_exchange_strong(&shim.starting, &expected, 1))
		return false;
	shim.state = start_process();
	if (shim.state == SHIM_ON && !wipe_works)
		pthread_atfork(NULL, NULL, forked_without_wipe);
	return shim.state == SHIM_ON;
}

static bool open_ring(uint32_t index)
{
	if (!ring_open[index]) {
		if (mprotect(rh_area_data(shim.area, index), shim.area->ring_bytes,
			     PROT_READ | PROT_WRITE) < 0)
			return false;
		ring_open[index] = 1;
	}
	return true;
}

/* True when the ring is ours to write. */
static bool take_ring(uint32_t index)
{
	struct rh_ring *ring = rh_area_ring(shim.area, index);
	int got = pthread_mutex_trylock(&ring->owner);
	uint32_t mine = shim.proc + 1;

	if (got == EOWNERDEAD)
		got = pthread_mutex_consistent(&ring->owner);
	if (got != 0)
		return false;
	if ((atomic_load(&ring->proc) == mine ||
	     atomic_load(&ring->head) == atomic_load(&ring->tail)) && open_ring(index)) {
		atomic_store(&ring->proc, mine);
		return true;
	}
	pthread_mutex_unlock(&ring->owner);
	return false;
}

/* Producers beyond those in use are untouched: rings_high bounds them. */
void shim_now_many(void)
{
	uint32_t high;

	if (atomic_exchange(&shim.many, 1))
		return;
	high = atomic_load(&shim.area->rings_high);
	for (uint32_t i = 0; i < high && i < shim.rings_usable; i++)
		atomic_store(&shim.producers[i].owners, shim.owners);
}

static void introduce(struct producer *p)
{
	uint64_t now = shim_now(), words[1];

	if (!shim_number)
		shim_number = atomic_fetch_add(&shim.thread_next, 1) + 1;
	if (shim_number > 1)
		shim_now_many();
	if (!shim_room(p, 1 + RH_REC_MOST_WORDS))
		return;
	words[0] = rh_rec_stamp(now);
	shim_append(p, words, 1);
	shim_append_long(p, RH_REC_START, (uint64_t)pthread_self(),
			 (uint64_t)(shim_number - 1) << 32 | (uint32_t)syscall(SYS_gettid));
}

static struct producer *use_ring(uint32_t index)
{
	struct producer *p = &shim.producers[index];
	struct rh_ring *ring = rh_area_ring(shim.area, index);
	uint32_t high = atomic_load(&shim.area->rings_high);

	while (high < index + 1 &&
	       !atomic_compare_exchange_weak(&shim.area->rings_high, &high, index + 1))
		;
	memset(p, 0, sizeof *p);
	shim_hold(p);
	p->ring = ring;
	p->key = (uint64_t)(index + 1) << 48;
	p->data = rh_area_data(shim.area, index);
	p->mask = atomic_load(&ring->mask);
	p->every = sizeof(uint64_t);
	p->last_head = atomic_load(&ring->head);
	introduce(p);
	if (atomic_load(&shim.many))	/* behind rings_high: one of us sees the other */
		atomic_store(&p->owners, shim.owners);
	shim_idle(p);
	return p;
}

struct producer *shim_attach(void)
{
	struct producer *p = NULL;

	if (attaching)
		goto none;	/* a signal handler inside attach, or a call of our own */
	attaching = 1;
	if (shim_process_on() && atomic_load(&shim.area->recording) &&
	    !atomic_load(&shim.area->closed)) {
		for (uint32_t i = 0; i < shim.rings_usable && !p; i++)
			if (take_ring(i))
				p = use_ring(i);
		if (!p)
			atomic_fetch_add(&shim.area->no_ring, 1);
		if (p)
			shim_self = p;
	}
	attaching = 0;
	return p;
none:
	if (shim.area && shim.state == SHIM_ON)
		atomic_fetch_add(&shim.area->no_ring, 1);
	return NULL;
}

__attribute__((constructor)) static void loaded(void)
{
	shim_process_on();
}
