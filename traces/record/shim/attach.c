/*
 * attach.c - a process finds the area, a thread finds a ring.
 *
 * 1. The first event of a process (often before any constructor) reads REHEAP_RECORD
 *    from the environment, from /proc/self/environ when libc has not set environ yet,
 *    and maps the head of that file (map.c).
 * 2. It takes a process slot: always for the program itself (also after exec), for others only
 *    with --follow-children.
 * 3. The first event of each thread takes the first ring whose mutex it can lock.
 * 4. A forked child takes its own slot before fork() returns in it: its parent may be gone
 *    afterwards, and the supervisor waits only for processes it knows. A child made by a bare
 *    clone finds the guard wiped at its first event.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/shim/drawn.h"
#include "traces/record/shim/patch.h"
#include "traces/record/shim/shim.h"

struct shim shim = { .fd = -1 };
struct producer shim_nobody;
__thread struct producer *shim_self = &shim_nobody;
__thread uint32_t shim_number;
static __thread int attaching;
/* After a failed search for a ring, so many calls of this thread do not search again. A search
 * takes 300 system calls if the address space is used up, and most of a second under valgrind. */
static __thread uint32_t pass_over, in_vain;
enum { PASS_MOST = 4096 };

/* From the environment. */
static struct {
	char path[128];
	int inherited; /* descriptor, -1 = none */
	uint64_t cookie;
} where = { .inherited = -1 };

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

static const char key[] = RH_RECORD_ENV "=";
enum { KEY_BYTES = sizeof key - 1 };
/* The variable in /proc/self/environ, read through a window: there is no room for all. */
static bool early_environment(char *text, size_t room)
{
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	char window[1024];
	ssize_t got = 0;
	bool found = false;

	while (fd >= 0 && !found && (got = read(fd, window, sizeof window)) > 0)
		for (ssize_t i = 0; i < got && !found; i++) {
			if (at < room)
				text[at] = window[i];
			at++;
			if (window[i])
				continue;
			found = at <= room && strncmp(text, key, KEY_BYTES) == 0;
			at = 0;
		}
	if (fd >= 0)
		close(fd);
	return found;
}

/* libc's environ is not set yet for calls made while the loader runs. */
static bool find_variable(char *text, size_t room)
{
	if (!environ)
		return early_environment(text, room);
	for (char **e = environ; *e; e++)
		if (strncmp(*e, key, KEY_BYTES) == 0 && strlen(*e) < room) {
			memcpy(text, *e, strlen(*e) + 1);
			return true;
		}
	return false;
}

/* PATH,FD,COOKIE */
static bool read_where(const char *at)
{
	const char *fd, *cookie;

	fd = strchr(at, RH_RECORD_ENV_FD);
	cookie = fd ? strchr(fd + 1, RH_RECORD_ENV_FD) : NULL;
	if (!cookie || (size_t)(fd - at) >= sizeof where.path)
		return false;
	memset(where.path, 0, sizeof where.path);
	memcpy(where.path, at, (size_t)(fd - at));
	where.inherited = (int)strtol(fd + 1, NULL, 10);
	where.cookie = strtoull(cookie + 1, NULL, 16);
	return true;
}

static bool read_variable(void)
{
	char text[KEY_BYTES + 256] = { 0 };

	return find_variable(text, sizeof text - 1) && read_where(text + KEY_BYTES);
}

/* A descriptor for us to close, or -1. The file at that path or number may be another one. */
int shim_open_area(void)
{
	return open(where.path, O_RDWR | O_CLOEXEC);
}

static struct rh_area *map_head(int fd)
{
	struct rh_area *area;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size < RH_AREA_RINGS_AT)
		return NULL;
	area = mmap(NULL, RH_AREA_HEADS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED)
		return NULL;
	if (area->magic == RH_AREA_MAGIC && area->cookie == where.cookie) {
		shim.inode = st.st_ino;
		return area;
	}
	munmap(area, RH_AREA_HEADS_AT);
	return NULL;
}

/* Opened by path; if that is not allowed or leads elsewhere, by the inherited descriptor, which
 * stays open for later images. */
static bool open_area(void)
{
	int fd = shim_open_area();
	struct rh_area *area = map_head(fd);

	if (!area && fd >= 0) {
		close(fd);
		fd = -1;
	}
	if (!area) {
		fd = where.inherited;
		area = map_head(fd);
	}
	if (!area)
		return false;
	shim.area = area; /* an earlier one is still in use if we attach late */
	shim.fd = fd;
	return true;
}

static void close_area(void)
{
	if (shim.fd >= 0 && shim.fd != where.inherited)
		close(shim.fd);
	shim.fd = -1;
}

/* From /proc/self/status, read by calls that the loader also makes. */
static uint64_t status_field(const char *name, uint64_t otherwise)
{
	char text[4096];
	size_t got = read_file("/proc/self/status", text, sizeof text - 1), bytes = strlen(name);

	text[got] = '\0';
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, bytes) == 0)
			return strtoull(line + bytes, NULL, 10);
	}
	return otherwise;
}

static void describe(uint32_t slot)
{
	struct rh_proc_text *text =
		shim_map(RH_AREA_TEXTS_AT + slot * sizeof(struct rh_proc_text), sizeof *text);
	ssize_t got = -1;

	if (!text)
		return;
	if (!shim_filtered())
		got = readlink("/proc/self/exe", text->exe, sizeof text->exe - 1);
	text->exe[got > 0 ? got : 0] = '\0';
	text->args_bytes = (uint32_t)read_file("/proc/self/cmdline", text->args, sizeof text->args);
	shim_unmap(text, sizeof *text);
}

static void hold_alive(struct rh_proc *proc)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&proc->alive, &attr);
	pthread_mutex_lock(&proc->alive);
	pthread_mutexattr_destroy(&attr);
}

/* A process under a filter may not ask for its pid; libc knows the thread's. */
static int32_t own_pid(const struct rh_proc *proc)
{
	return atomic_load(&shim.filter) ? SHIM_OWNER(proc->alive) : getpid();
}

/* The sources of its memory are copied from its parent: a forked child may never look itself. */
static void inherit(struct rh_proc *proc, const struct rh_proc *parent)
{
	memset(proc->serves, 0, sizeof proc->serves);
	memset(proc->foreign, 0, sizeof proc->foreign);
	atomic_store(&proc->heaps, parent ? atomic_load(&parent->heaps) : 0);
	if (!parent)
		return;
	memcpy(proc->serves, parent->serves, sizeof proc->serves);
	memcpy(proc->foreign, parent->foreign, sizeof proc->foreign);
}

static void fill_slot(struct rh_proc *proc, uint32_t how, uint32_t parent)
{
	hold_alive(proc);
	proc->pid = own_pid(proc);
	proc->ppid = atomic_load(&shim.filter) ? 0 : getppid();
	proc->how = how;
	proc->mapped = (uint64_t)(uintptr_t)shim.area;
	proc->parent = parent;
	proc->stamp = shim_now();
	atomic_store(&proc->filter, atomic_load(&shim.filter));
	proc->end_stamp = 0;
	proc->user_us[0] = proc->kernel_us[0] = 0;
	inherit(proc, how == RH_PROC_FORKED ? rh_area_proc(shim.area, parent) : NULL);
	shim_figures(proc, false);
}

static bool take_slot(uint32_t how)
{
	struct rh_area *area = shim.area;
	uint32_t parent = how == RH_PROC_FORKED ? shim.proc : UINT32_MAX;

	for (uint32_t i = 0; i < RH_PROCS; i++) {
		struct rh_proc *proc = rh_area_proc(area, i);
		uint32_t want = RH_PROC_FREE, high;

		if (!atomic_compare_exchange_strong(&proc->state, &want, RH_PROC_CLAIMED))
			continue;
		fill_slot(proc, how, parent);
		if (how != RH_PROC_FORKED)
			describe(i);
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

static uint32_t begin(uint32_t how)
{
	struct producer *guard = shim_guard();

	if (!shim_wipe_works() && how == RH_PROC_FORKED)
		shim_wipe();
	if (how == RH_PROC_FORKED)
		shim_draw_anew();
	atomic_store(&shim.thread_next, 0);
	shim.many = 0;
	pass_over = in_vain = 0;
	guard->last = 1;
	if (how == RH_PROC_FORKED && !shim.area->follow) {
		atomic_fetch_add(&shim.area->forks_ignored, 1);
		return SHIM_OFF;
	}
	return take_slot(how) ? SHIM_ON : SHIM_OFF;
}

static void before_fork(void)
{
	if (shim.state == SHIM_ON && shim.area->follow)
		atomic_fetch_add(&shim.area->forking, 1);
}

static void after_fork(void)
{
	bool counted = shim.state == SHIM_ON && shim.area->follow;

	if (!shim_wipe_works() && shim_guard())
		shim_wipe();
	shim_process_on();
	if (counted)
		atomic_fetch_sub(&shim.area->forking, 1);
}

static void mind_forks(void)
{
	static bool minded;

	if (minded || (!shim.area->follow && shim_wipe_works()))
		return;
	pthread_atfork(before_fork, NULL, after_fork);
	minded = true;
}

static void read_settings(void)
{
	pthread_attr_t attr;
	size_t stack;

	shim.counter = shim.area->clock_counter;
	shim.exact = shim.area->sample <= 1;
	shim.every_slow = shim.area->sites || shim.area->residency || !shim.counter;
	if (status_field("Seccomp:", 0))
		atomic_store(&shim.filter, status_field("Seccomp_filters:", UINT64_MAX) >
						   atomic_load(&shim.area->filters_allowed));
	if (pthread_attr_init(&attr) == 0) {
		if (pthread_attr_getstacksize(&attr, &stack) == 0)
			shim.default_stack = stack;
		pthread_attr_destroy(&attr);
	}
}

static uint32_t how_it_starts(void)
{
	int32_t pid = atomic_load(&shim.filter) ? (int32_t)status_field("Pid:", 0) : getpid();

	return pid == atomic_load(&shim.area->main_pid) ? RH_PROC_MAIN : RH_PROC_EXECED;
}

static bool has_memory(void)
{
	return shim_group(0) && (!shim.area->sample_bytes || shim_draw_ready());
}

static uint32_t start_process(void)
{
	uint32_t how, state = SHIM_OFF;

	if (!read_variable() || !open_area())
		return SHIM_OFF;
	read_settings();
	how = how_it_starts();
	if (how == RH_PROC_EXECED && !shim.area->follow) {
		atomic_fetch_add(&shim.area->forks_ignored, 1);
	} else if (!has_memory()) {
		atomic_fetch_add(&shim.area->no_map, 1);
	} else {
		if (atomic_load(&shim.filter))
			shim_stock_up();
		shim_patch_tables(true);
		state = begin(how);
		if (state == SHIM_ON && shim.area->sample_bytes)
			atomic_store(&shim_sleep.asleep, RH_ASIDE_SAMPLING);
	}
	close_area();
	return state;
}

/* Is this process recorded? Decides it on the first call, and again after a fork. */
bool shim_process_on(void)
{
	uint32_t expected = 0;

	if (shim.state == SHIM_ON && shim_guard()->last == 0) {
		shim_number = 0;
		shim_self = &shim_nobody;
		shim.state = begin(RH_PROC_FORKED);
		if (shim.state == SHIM_OFF)
			shim_let_go(atomic_load(&shim.generation), true);
	}
	if (SHIM_UNLIKELY(shim.state == SHIM_DORMANT))
		return shim_wake();
	if (shim.state != SHIM_UNKNOWN)
		return shim.state == SHIM_ON;
	if (shim_sanitizer()) {
		shim.state = SHIM_OFF;
		return false;
	}
	if (!atomic_compare_exchange_strong(&shim.starting, &expected, 1))
		return false;
	shim.state = start_process();
	if (shim.state == SHIM_ON)
		mind_forks();
	return shim.state == SHIM_ON;
}

enum rh_late shim_start_late(const char *text)
{
	uint32_t state = SHIM_OFF;

	if (!read_where(text) || !open_area())
		return RH_LATE_NO_AREA;
	read_settings();
	if (has_memory())
		state = begin(RH_PROC_LATE);
	close_area();
	if (state != SHIM_ON)
		return RH_LATE_NO_ROOM;
	mind_forks();
	return 0;
}

/* Maps its data, as wide as its mask says. A ring taken over from another process is empty and may
 * be narrowed. */
static uint64_t *ring_data(uint32_t index, struct rh_ring *ring, bool ours)
{
	uint64_t *data = shim_ring_data(index, (uint64_t)atomic_load(&ring->mask) + 1);

	if (data || ours)
		return data;
	data = shim_ring_data(index, RH_RING_FIRST);
	if (data)
		atomic_store(&ring->mask, RH_RING_FIRST - 1);
	return data;
}

/* The address of its data if we may write the ring. */
static uint64_t *take_ring(uint32_t index)
{
	struct rh_ring *ring = shim_ring(index);
	int got = pthread_mutex_trylock(&ring->owner);
	uint32_t mine = shim.proc + 1;
	uint64_t *data = NULL;
	bool ours;

	if (got == EOWNERDEAD)
		got = pthread_mutex_consistent(&ring->owner);
	if (got != 0)
		return NULL;
	ours = atomic_load(&ring->proc) == mine;
	if (ours || atomic_load(&ring->head) == atomic_load(&ring->tail))
		data = ring_data(index, ring,
				 ours && atomic_load(&ring->head) != atomic_load(&ring->tail));
	if (data)
		atomic_store(&ring->proc, mine);
	else
		pthread_mutex_unlock(&ring->owner);
	return data;
}

static uint32_t own_tid(const struct producer *p)
{
	return shim_filtered() ? (uint32_t)SHIM_OWNER(p->ring->owner)
			       : (uint32_t)shim_raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
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
			 (uint64_t)(shim_number - 1) << 32 | own_tid(p));
}

static struct producer *use_ring(uint32_t index, uint64_t *data)
{
	struct producer *p = shim_producer(index);
	struct rh_ring *ring = shim_ring(index);
	uint32_t high = atomic_load(&shim.area->rings_high);

	while (high < index + 1 &&
	       !atomic_compare_exchange_weak(&shim.area->rings_high, &high, index + 1))
		;
	memset(p, 0, sizeof *p);
	shim_hold(p);
	p->ring = ring;
	p->index = index;
	p->generation = atomic_load(&shim.generation);
	p->key = (uint64_t)(index + 1) << 48;
	p->data = data;
	p->mask = atomic_load(&ring->mask);
	p->every = sizeof(uint64_t);
	p->last_head = atomic_load(&ring->head);
	introduce(p);
	p->room = 0;		     /* the first event takes the slow path, which knows of sites */
	if (atomic_load(&shim.many)) /* after rings_high: one of us sees the other */
		atomic_store(&p->owners, atomic_load(&shim.owners));
	shim_idle(p);
	return p;
}

/* Well past the rings in use, failing to get one ring means that none can be had. */
static struct producer *find_ring(void)
{
	uint32_t high = 0;
	uint64_t *data;

	if (pass_over) {
		pass_over--;
		atomic_fetch_add(&shim.area->no_map, 1);
		return NULL;
	}
	for (uint32_t i = 0; i < shim.area->rings; i++) {
		high = atomic_load(&shim.area->rings_high);
		if (i > high + 2 * RH_RING_GROUP)
			break;
		data = shim_group(i) ? take_ring(i) : NULL;
		if (data) {
			in_vain = 0;
			return use_ring(i, data);
		}
	}
	in_vain = in_vain < PASS_MOST ? 2 * in_vain + 1 : PASS_MOST;
	pass_over = in_vain;
	atomic_fetch_add(high < shim.area->rings ? &shim.area->no_map : &shim.area->no_ring, 1);
	return NULL;
}

/* Blocks signals: a handler that allocates while its thread attaches would find no ring. False:
 * under a filter, which may forbid it, or while the process starts, when it has no handlers yet. */
static bool block_signals(uint64_t *before)
{
	static const uint64_t all = UINT64_MAX; /* the kernel's set, 8 bytes */

	return shim.state == SHIM_ON && !shim_filtered() &&
	       shim_raw(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)before, sizeof all, 0,
			0) == 0;
}

struct producer *shim_attach(void)
{
	struct producer *p = NULL;
	uint64_t before = 0;
	bool blocked;

	if (attaching)
		goto none; /* our own call, or a signal handler inside attach under a filter */
	blocked = block_signals(&before);
	attaching = 1;
	if (shim_process_on() && atomic_load(&shim.area->recording) &&
	    !atomic_load(&shim.area->closed)) {
		p = find_ring();
		if (p)
			shim_self = p;
	}
	attaching = 0;
	if (blocked)
		shim_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
	return p;
none:
	if (shim.area && shim.state == SHIM_ON)
		atomic_fetch_add(&shim.area->no_ring, 1);
	return NULL;
}

/* Now that the runtime has started we may print that we do not record. */
static void tell_sanitizer(void)
{
	char exe[256];
	ssize_t got;

	if (!shim_sanitizer() || !read_variable() || !open_area())
		return;
	got = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[got > 0 ? got : 0] = '\0';
	if (shim.area->follow)
		shim_tell_kid(RH_KID_SANITIZER, exe, getpid(), shim_clock());
	close_area();
}

/* The first thread gets its ring at once: before its first call it may forbid what that takes. */
__attribute__((constructor)) static void loaded(void)
{
	if (shim_process_on() && shim_self == &shim_nobody)
		shim_attach();
	tell_sanitizer();
	shim_exec_ready();
	shim_dormant();
	shim_look(true); /* the loader has just opened and mapped them */
}
