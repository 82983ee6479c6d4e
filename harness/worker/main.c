/*
 * main.c - the worker: a fresh process that replays one program on one backend pair.
 *
 * The driver (harness/launch/worker.c) starts one per trial with the allocator under test
 * in LD_PRELOAD, as users deploy it, and commands it through the control block (ctl.h).
 * Only libc and alloc/ are linked: any other library would allocate from the heap under test
 * before the first event.
 *
 * The life of a worker:
 *	1  maps control block (fd 3) and program (fd 4, checked by the driver, read-only)
 *	2  finds out which object really serves malloc and answers; the driver compares
 *	3  OPEN: tables are made and touched, the heap is opened, one thread per lane takes its
 *	   seat (lanes.c)
 *	4  RUN: lanes replay a segment (loop.c); between segments all lanes sleep and the driver
 *	   reads memory
 *	5  DRAIN, CLOSE, exit
 *
 * Workers are expected to die. The current op of each lane is in the shared block; a fatal
 * signal leaves its number, lane and address there and then kills as usual; a failed check
 * leaves one sentence and waits for the driver's SIGKILL. If the driver dies first, the kernel
 * kills us (PR_SET_PDEATHSIG).
 *
 * Everything of ours is mapped and touched before the heap opens, so that from then on
 * only the backend takes new pages.
 */
#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "harness/control/callgrind_reset.h"
#include "harness/worker/worker.h"

static struct worker worker_self;
static __thread uint32_t my_seat = UINT32_MAX;

void rh_crash_seat(uint32_t seat)
{
	my_seat = seat;
}

/* Async-signal-safe. Returning runs the faulting instruction again under the default action;
 * abort() continues by itself. */
static void on_crash(int signal_number, siginfo_t *info, void *context)
{
	struct rh_ctl *ctl = worker_self.ctl;
	uint32_t none = 0;

	(void)context;
	if (atomic_compare_exchange_strong(&ctl->died_signal, &none, (uint32_t)signal_number)) {
		ctl->died_seat = my_seat;
		ctl->died_address = (uint64_t)(uintptr_t)info->si_addr;
	}
	signal(signal_number, SIG_DFL);
}

/* A sanitizer handles these itself and reports more. */
static void catch_crashes(void)
{
#ifndef RH_SANITIZE
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO };

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &action, NULL);
#else
	(void)on_crash;
#endif
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the driver, which kills us and cleans up */
}

_Noreturn void rh_give_up(struct worker *worker, struct lane *lane, enum rh_exit code,
			  const char *fmt, ...)
{
	struct rh_ctl *ctl = worker->ctl;
	static _Atomic uint32_t claimed;
	uint32_t none = 0;
	va_list ap;

	assert(code != RH_OK);
	if (atomic_compare_exchange_strong(&claimed, &none, 1)) {
		va_start(ap, fmt);
		vsnprintf(ctl->text, sizeof(ctl->text), fmt, ap);
		va_end(ap);
		ctl->code = code;
		ctl->failed_seat = lane ? lane->number : UINT32_MAX;
		atomic_store(&ctl->failed, 1);
		rh_ctl_pass(ctl, RH_CTL_DRIVER);
	}
	for (;;)
		pause();
}

/* Makes the kernel prefer a worker over the driver or other processes when memory runs out. */
static void volunteer_for_oom(void)
{
	struct rh_err refused; /* ignored: the kernel then chooses as usual */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	rh_write_all(fd, "1000", 4, "oom_score_adj", &refused);
	close(fd);
}

/* Does the object that serves malloc define this, too? */
static bool serves_too(const struct rh_ctl *ctl, const char *name)
{
	char path[sizeof(ctl->malloc_path)], build_id[sizeof(ctl->malloc_build_id)];

	rh_object_of(dlsym(RTLD_DEFAULT, name), path, sizeof(path), build_id, sizeof(build_id));
	return strcmp(path, ctl->malloc_path) == 0;
}

static void find_malloc(struct rh_ctl *ctl)
{
	static const char *const family[] = { "free", "calloc", "realloc" };
	char path[sizeof(ctl->malloc_path)], build_id[sizeof(ctl->malloc_build_id)];
	void *libc = dlsym(RTLD_DEFAULT, "abort");

	rh_object_of(dlsym(RTLD_DEFAULT, "malloc"), ctl->malloc_path, sizeof(ctl->malloc_path),
		     ctl->malloc_build_id, sizeof(ctl->malloc_build_id));
	rh_object_of(libc, path, sizeof(path), build_id, sizeof(build_id));
	ctl->malloc_is_libc = strcmp(path, ctl->malloc_path) == 0;
	rh_malloc_version(ctl->malloc_version, sizeof(ctl->malloc_version));
	for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++)
		if (!serves_too(ctl, family[i]))
			ctl->malloc_mixed = 1;
}

/* Of an allocator without malloc_usable_size: that of libc would read its own head before the
 * block, where there is none. */
static size_t as_asked(struct rh_lane *lane, const void *p, size_t size)
{
	(void)lane;
	(void)p;
	return size;
}

static void find_heap(struct worker *worker)
{
	struct rh_ctl *ctl = worker->ctl;
	struct rh_backend *ops = &worker->spec.layer[worker->spec.depth - 1].ops;

	if (ops->caps & RH_CAP_PROCESS) {
		if (!serves_too(ctl, "malloc_usable_size"))
			ops->usable = as_asked;
		memcpy(ctl->heap_path, ctl->malloc_path, sizeof(ctl->heap_path));
		memcpy(ctl->heap_build_id, ctl->malloc_build_id, sizeof(ctl->heap_build_id));
		memcpy(ctl->heap_version, ctl->malloc_version, sizeof(ctl->heap_version));
	} else {
		rh_object_of((const void *)(uintptr_t)ops->open, ctl->heap_path,
			     sizeof(ctl->heap_path), ctl->heap_build_id,
			     sizeof(ctl->heap_build_id));
	}
	assert(ctl->heap_path[0]); /* its code lies somewhere */
	if (!ctl->heap_version[0])
		rh_build_version(ctl->heap_path, ctl->heap_build_id, ctl->heap_version,
				 sizeof(ctl->heap_version));
}

static struct rh_ctl *map_ctl(void)
{
	struct stat st;
	struct rh_ctl *ctl;

	if (fstat(RH_CTL_FD, &st) < 0 || (size_t)st.st_size < sizeof(*ctl))
		return NULL;
	ctl = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   RH_CTL_FD, 0);
	if (ctl == MAP_FAILED || ctl->magic != RH_CTL_MAGIC || ctl->version != RH_CTL_VERSION ||
	    ctl->bytes != (uint64_t)st.st_size)
		return NULL;
	close(RH_CTL_FD);
	return ctl;
}

/* Checks only that it is the file that the driver has checked thoroughly. */
static int map_program(struct rh_program *program, struct rh_err *err)
{
	struct stat st;
	const struct rh_program_head *head;

	if (fstat(RH_CTL_PROGRAM_FD, &st) < 0 || (size_t)st.st_size < sizeof(*head))
		return rh_fail(err, RH_BUG, "worker: the program cannot be read");
	program->base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, RH_CTL_PROGRAM_FD, 0);
	if (program->base == MAP_FAILED)
		return rh_fail_errno(err, RH_OS, "worker: the program cannot be mapped");
	close(RH_CTL_PROGRAM_FD);
	head = (const void *)program->base;
	if (head->magic != RH_PROGRAM_MAGIC || head->version != RH_PROGRAM_VERSION ||
	    head->bytes != (uint64_t)st.st_size)
		return rh_fail(err, RH_BUG, "worker: what came as program is none");
	assert(head->lanes > 0 &&
	       head->lane_table + head->lanes * sizeof(struct rh_program_lane) <= head->bytes);
	program->head = head;
	program->lanes = (const void *)(program->base + head->lane_table);
	program->grain_table = (const void *)(program->base + head->grain_table);
	program->grain_facts = (const void *)(program->base + head->grain_facts);
	return 0;
}

/* Mapped and touched: all our pages are resident before the heap opens. */
void *rh_map_touched(size_t bytes)
{
	volatile char *p = rh_map(bytes);

	for (size_t at = 0; p && at < bytes; at += RH_PAGE)
		p[at] = 0;
	return (void *)p;
}

static int make_copies(struct worker *worker, struct rh_err *err)
{
	const struct rh_program_head *head = worker->program.head;
	uint32_t copies = worker->ctl->copies;

	assert(copies > 0 && worker->seats == copies * worker->lanes);
	worker->copies = rh_map_touched(copies * sizeof(*worker->copies));
	worker->lane = rh_map_touched(worker->seats * sizeof(*worker->lane));
	if (!worker->copies || !worker->lane)
		return rh_fail(err, RH_OS, "worker: no memory for %u lanes", worker->seats);
	for (uint32_t k = 0; k < copies; k++) {
		struct copy *copy = &worker->copies[k];

		copy->slots = rh_map_touched(((size_t)head->slots + 1) * sizeof(void *));
		copy->tasks = rh_map_touched(((size_t)head->task_slots + 1) * sizeof(void *));
		copy->progress = rh_map_touched(worker->lanes * sizeof(*copy->progress));
		copy->lanes = worker->lane + (size_t)k * worker->lanes;
		if (!copy->slots || !copy->tasks || !copy->progress)
			return rh_fail(err, RH_OS, "worker: no memory for the %u slots of copy %u",
				       head->slots, k + 1);
	}
	return 0;
}

static void set_lane(struct worker *worker, uint32_t number)
{
	struct lane *lane = &worker->lane[number];
	struct copy *copy = &worker->copies[number / worker->lanes];
	const struct rh_backend *ops = &worker->spec.layer[0].ops;

	assert(number < worker->seats);
	lane->worker = worker;
	lane->copy = copy;
	lane->index = number % worker->lanes;
	lane->number = number;
	lane->alloc = ops->alloc;
	lane->free = ops->free;
	lane->heap_ops = ops;
	lane->stack_ops = &worker->spec.stack;
	lane->first_sizes =
		worker->program.head->stacks_grow && (lane->stack_ops->caps & RH_CAP_FIXED_STACKS);
	lane->slots = copy->slots;
	lane->tasks = copy->tasks;
	lane->progress = copy->progress;
	lane->seat = &worker->ctl->seat[number];
	lane->seat->ops = rh_program_ops(&worker->program, lane->index);
	lane->op = lane->end = lane->seat->ops;
}

/* Writable private memory, as the kernel counts it (RLIMIT_DATA): reserved address space does not
 * count, so allocators that reserve gigabytes can be limited as well. */
static int limit_memory(uint64_t bytes, struct rh_err *err)
{
	char text[256], *at = text;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	struct rlimit limit;
	uint64_t pages = 0;

	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return rh_fail(err, RH_OS, "worker: /proc/self/statm cannot be read for the limit");
	text[length] = '\0';
	for (int field = 0; field < 6; field++)
		pages = strtoull(at, &at, 10);
	limit.rlim_cur = limit.rlim_max = pages * rh_page_bytes() + bytes;
	if (setrlimit(RLIMIT_DATA, &limit) < 0)
		return rh_fail_errno(err, RH_OS, "worker: memory cannot be limited");
	return 0;
}

static int open_all(struct worker *worker, struct rh_err *err)
{
	struct rh_ctl *ctl = worker->ctl;
	struct rh_spec *spec = &worker->spec;

	if (rh_spec_parse(spec, ctl->spec, 1, err) < 0)
		return -1;
	find_heap(worker);
	worker->lanes = worker->program.head->lanes;
	worker->seats = ctl->copies * worker->lanes;
	if (worker->seats > ctl->seats)
		return rh_fail(err, RH_BUG, "worker: %u seats for %u lanes", ctl->seats,
			       worker->seats);
	assert(worker->seats > 0 && worker->seats <= RH_CTL_SEATS_MAX);
	if (!rh_cpus_get(&worker->cpus))
		return rh_fail_errno(err, RH_OS, "worker: its CPUs cannot be asked for");
	worker->cpu_count = rh_cpus_count(&worker->cpus);
	worker->spread = ctl->replay.pin || (worker->seats > 1 && worker->seats <= rh_cpu_count());
	worker->wait_spin_ticks = worker->seats <= rh_cpu_count() ? ctl->spin_ticks : 0;
	if (make_copies(worker, err) < 0 || rh_passes_open(worker, err) < 0 ||
	    rh_sample_open(worker, err) < 0 ||
	    (ctl->replay.memory_limit && limit_memory(ctl->replay.memory_limit, err) < 0) ||
	    rh_spec_open(spec, worker->seats, &worker->heap, err) < 0)
		return -1;
	if (spec->stack.open(&worker->stacks, spec->stack_knobs, &spec->layer[0].ops, worker->heap,
			     err) < 0)
		return -1;
	rh_meters_find(worker);
	rh_pace_open(worker);
	for (uint32_t i = 0; i < worker->seats; i++)
		set_lane(worker, i);
	return rh_seats_open(worker, err);
}

static void emit_stat(void *opaque, const char *name, const char *unit, uint64_t value)
{
	struct rh_ctl *ctl = opaque;
	struct rh_ctl_stat *row = &ctl->stats[ctl->stat_count];

	if (ctl->stat_count == RH_CTL_STATS_MAX)
		return;
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->unit, sizeof(row->unit), "%s", unit);
	row->value = value;
	ctl->stat_count++;
}

static void drain_all(struct worker *worker)
{
	struct rh_ctl *ctl = worker->ctl;
	uint64_t objects, bytes;

	ctl->drained_objects = ctl->drained_bytes = 0;
	for (uint32_t k = 0; k < ctl->copies; k++) {
		rh_drain_copy(worker, &worker->copies[k], &objects, &bytes);
		ctl->drained_objects += objects;
		ctl->drained_bytes += bytes;
	}
}

/* ---- processes that it starts ---- */

static _Atomic uint32_t forks;

#ifndef RH_SANITIZE
static void count_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

static void begin_first(int argc, char **argv, char **env)
{
	(void)argc, (void)argv;
	rh_changes_first(env);
	pthread_atfork(NULL, count_fork, NULL); /* the C library has room for 48: no malloc */
}

/* Runs before every constructor, that of a preloaded allocator, too. */
__attribute__((section(".preinit_array"),
	       used)) static void (*const before_all)(int, char **, char **) = begin_first;
#endif

/* fork() is counted; what was started by other means (vfork, posix_spawn, system) is one if it was
 * waited for. */
static uint32_t count_children(void)
{
	uint32_t count = atomic_load(&forks);
	struct rusage used;

	assert(worker_self.ctl); /* whose field it goes to */
	if (count == 0 && getrusage(RUSAGE_CHILDREN, &used) == 0 && used.ru_minflt > 0)
		count = 1;
	return count;
}

static void obey(struct worker *worker)
{
	struct rh_ctl *ctl = worker->ctl;
	struct rh_err err = { 0 };

	assert(atomic_load(&ctl->turn) == RH_CTL_WORKER); /* the baton is ours */
	switch (ctl->command) {
	case RH_CTL_OPEN:
		if (open_all(worker, &err) < 0)
			rh_give_up(worker, NULL, err.code, "%s", err.text);
		break;
	case RH_CTL_PREROLL:
		rh_seats_preroll(worker, ctl->replay.verify);
		rh_callgrind_reset();
		break;
	case RH_CTL_RUN:
		rh_seats_run(worker, ctl->first, ctl->count, ctl->replay.verify);
		break;
	case RH_CTL_STATS:
		ctl->stat_count = 0;
		worker->spec.layer[0].ops.stats(worker->heap, emit_stat, ctl);
		if (worker->spec.stack.stats)
			worker->spec.stack.stats(worker->stacks, emit_stat, ctl);
		break;
	case RH_CTL_LOCKS:
		rh_locks_read(worker, ctl->count == 1);
		break;
	case RH_CTL_BLOCK_SCAN:
		rh_block_scan(worker);
		break;
	case RH_CTL_TURN:
		rh_seats_turn(worker);
		break;
	case RH_CTL_DRAIN:
		drain_all(worker);
		break;
	case RH_CTL_TRIM:
		rh_seats_do(worker, JOB_TRIM, worker->lane, worker->seats);
		break;
	case RH_CTL_CLOSE:
		rh_seats_close(worker);
		worker->spec.stack.close(worker->stacks);
		worker->spec.layer[0].ops.close(worker->heap);
		ctl->others_cpu_ns = rh_others_cpu_ns(worker);
		ctl->children = count_children();
		ctl->changed = rh_changes_at_end(on_crash);
		break;
	}
}

/* Prints the files whose code an idle process with this allocator has in memory. */
static void print_code(void)
{
	char line[1024], *path;
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof(line), maps)) {
		path = strchr(line, '/');
		if (path && line[strcspn(line, " ") + 3] == 'x')
			dprintf(STDERR_FILENO, "code %s", path);
	}
	if (maps)
		fclose(maps);
}

/* Prints how much is resident of an idle process with this allocator: an exact figure, which its
 * parent cannot read; after it, what code that is. 0 = printed (harness/run/validate_runner.c). */
static int tell_resident(void)
{
	char text[4096], *at;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[length > 0 ? length : 0] = '\0';
	at = strstr(text, "\nRss:");
	if (!at || dprintf(STDERR_FILENO, "resident %lu\n", strtoul(at + 5, NULL, 10)) <= 0)
		return -1;
	print_code();
	return 0;
}

static ssize_t on_flush(void *opaque, const char *text, size_t bytes)
{
	struct rh_ctl *ctl = opaque;

	(void)text;
	ctl->children = count_children();
	ctl->flushed = 1;
	return (ssize_t)bytes;
}

/* exit() flushes streams last, after every destructor. A destructor that calls _exit(0) loses the
 * program's buffered output without a trace in the exit status: so we leave a stream of ours
 * unflushed to detect it. */
static void leave_words(struct rh_ctl *ctl)
{
	static char room[64];
	cookie_io_functions_t calls = { .write = on_flush };
	FILE *words = fopencookie(ctl, "w", calls);

	if (!words || setvbuf(words, room, _IOFBF, sizeof(room)) != 0)
		return;
	fputc('.', words);
	ctl->flush_due = 1;
}

static void answer(struct rh_ctl *ctl)
{
	int adopts = 0;

	/* Where the question is refused (a sandbox, an emulator) nothing is known against it. */
	ctl->adopts = prctl(PR_GET_CHILD_SUBREAPER, &adopts) != 0 || adopts != 0;
	rh_ctl_pass(ctl, RH_CTL_DRIVER);
}

/* For harness/launch/peer_version.c. */
static void print_version(void)
{
	char path[1024], build_id[64], version[64];

	rh_malloc_version(version, sizeof(version));
	if (!version[0] && rh_object_of(dlsym(RTLD_DEFAULT, "malloc"), path, sizeof(path), build_id,
					sizeof(build_id)))
		rh_build_version(path, build_id, version, sizeof(version));
	rh_print(stdout, "%s\n", version);
}

int main(int argc, char **argv)
{
	struct worker *worker = &worker_self;
	struct rh_err err = { 0 };
	struct rh_ctl *ctl;
	long parent = argc == 2 ? strtol(argv[1], NULL, 10) : -1;

	rh_changes_at_start();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 2 && strcmp(argv[1], "version") == 0) {
		print_version();
		return RH_OK;
	}
	if (argc == 2 && strcmp(argv[1], "resident") == 0)
		return tell_resident() == 0 ? RH_OK : RH_ABSENT;
	if (parent < 0 || (parent > 0 && getppid() != (pid_t)parent))
		return RH_USAGE;
	ctl = worker->ctl = map_ctl();
	if (!ctl)
		return RH_USAGE;
	catch_crashes();
	volunteer_for_oom();
	rh_clock_is_counter = ctl->clock_is_counter;
	if (map_program(&worker->program, &err) < 0)
		rh_give_up(worker, NULL, err.code, "%s", err.text);
	find_malloc(ctl);
	for (;;) {
		answer(ctl);
		rh_ctl_await(ctl, RH_CTL_WORKER, ctl->spin_ticks, UINT64_MAX);
		obey(worker);
		if (ctl->command == RH_CTL_CLOSE)
			break;
	}
	leave_words(ctl);
	answer(ctl);
	return 0;
}
