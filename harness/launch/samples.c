/*
 * samples.c - see samples.h.
 *
 * An event that is inherited by threads to come has its samples in a ring only if it is bound to
 * a CPU: so there is one event for each thread and CPU, and one ring for each CPU, which all events
 * of that CPU share. The kernel also reports each mapping of code, in the same rings; a look reads
 * mappings of all rings before samples, because a thread may map on one CPU and run on another.
 */
#include "harness/launch/samples.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/backend.h"
#include "alloc/base/grow.h"

enum {
	RING_PAGES = 16, /* a power of two */
	RECORD_BYTES = 8192,
};

/* ---- which code ---- */

static bool starts_with_any(const char *name, const char *const *heads)
{
	for (; *heads; heads++)
		if (strncmp(name, *heads, strlen(*heads)) == 0)
			return true;
	return false;
}

int rh_code_add(struct rh_code *code, const char *path, struct rh_err *err)
{
	static const char *const libc[] = { "libc.so", "libc-", NULL };
	static const char *const nobody[] = { "ld-",	 "ld64",	  "libm.so",   "libm-",
					      "libmvec", "libgcc_s",	  "libstdc++", "libpthread",
					      "libdl",	 "librt",	  "libatomic", "libresolv",
					      "libc++",	 "reheap-worker", NULL };
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct rh_code_part *part = &code->part[code->count];

	if (starts_with_any(name, nobody))
		return 0;
	for (unsigned i = 0; i < code->count; i++)
		if (strcmp(code->part[i].path, path) == 0)
			return 0;
	if (code->count == RH_CODE_PARTS_MAX || strlen(path) >= sizeof(part->path))
		return rh_fail(err, RH_ABSENT, "the allocator lies in too many files: %s", path);
	*part = (struct rh_code_part){ .end = UINT64_MAX };
	memcpy(part->path, path, strlen(path));
	if (starts_with_any(name, libc) &&
	    rh_library_malloc_code(path, &part->first, &part->end, err) < 0)
		return -1;
	code->count++;
	return 0;
}

/* The next mapping of code in a file; false = there is none. */
static bool next_code(FILE *maps, uint64_t *start, uint64_t *end, uint64_t *offset, char *path)
{
	char line[RH_CODE_PATH_BYTES + 128], may[5];
	unsigned long from, to, at;
	int name = 0;

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &from, &to, may, &at, &name) < 4 ||
		    may[2] != 'x' || line[name] != '/')
			continue;
		line[strcspn(line, "\n")] = '\0';
		*start = from;
		*end = to;
		*offset = at;
		snprintf(path, RH_CODE_PATH_BYTES, "%s", line + name);
		return true;
	}
	return false;
}

static FILE *maps_of(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	return fopen(path, "re");
}

int rh_code_of(struct rh_code *code, pid_t worker, struct rh_err *err)
{
	char path[RH_CODE_PATH_BYTES];
	uint64_t start, end, offset;
	FILE *maps = maps_of(worker);
	int result = 0;

	if (!maps)
		return rh_fail_errno(err, RH_ABSENT, "/proc/%d/maps", (int)worker);
	while (result == 0 && next_code(maps, &start, &end, &offset, path))
		result = rh_code_add(code, path, err);
	fclose(maps);
	return result;
}

/* ---- where it lies ---- */

/* A mapping of `bytes` of a file, from `offset` on, at `start`. */
static void add_mapping(struct rh_samples *s, uint64_t start, uint64_t bytes, uint64_t offset,
			const char *path)
{
	for (unsigned i = 0; i < s->code->count; i++) {
		const struct rh_code_part *part = &s->code->part[i];
		uint64_t first = part->first > offset ? part->first : offset;
		uint64_t end = part->end < offset + bytes ? part->end : offset + bytes;

		if (strcmp(part->path, path) != 0 || first >= end ||
		    !rh_reserve(&s->ranges, &s->range_room, s->range_count + 1, sizeof(*s->ranges)))
			continue;
		s->ranges[s->range_count++] =
			(struct rh_samples_range){ start + first - offset, start + end - offset };
	}
}

static void read_mappings(struct rh_samples *s)
{
	char path[RH_CODE_PATH_BYTES];
	uint64_t start, end, offset;
	FILE *maps = maps_of(s->pid);

	while (maps && next_code(maps, &start, &end, &offset, path))
		add_mapping(s, start, end - start, offset, path);
	if (maps)
		fclose(maps);
}

static bool is_inside(const struct rh_samples *s, uint64_t at)
{
	for (size_t i = 0; i < s->range_count; i++)
		if (at >= s->ranges[i].start && at < s->ranges[i].end)
			return true;
	return false;
}

/* ---- rings ---- */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Record bodies; the kernel's headers describe them in comments only. */
struct body_sample {
	uint64_t at;
	uint32_t pid, tid;
};
struct body_mapping {
	uint32_t pid, tid;
	uint64_t start, bytes, offset;
	char path[];
};
struct body_comm {
	uint32_t pid, tid;
};
struct body_lost {
	uint64_t id, count;
};

/* Copies one record out of the ring, where it may wrap. Returns its length. */
static size_t copy_record(const struct rh_samples_ring *ring, uint64_t tail, char *record)
{
	const char *data = (const char *)ring->base + page_bytes();
	size_t ring_bytes = RING_PAGES * page_bytes(), at = tail % ring_bytes, bytes, first;
	struct perf_event_header header;

	memcpy(&header, data + at, sizeof(header)); /* aligned to its 8 bytes: never wraps */
	bytes = header.size < RECORD_BYTES ? header.size : RECORD_BYTES - 1;
	first = bytes < ring_bytes - at ? bytes : ring_bytes - at;
	memcpy(record, data + at, first);
	memcpy(record + first, data, bytes - first);
	record[bytes] = '\0';
	return header.size;
}

static void take_mapping(struct rh_samples *s, const char *record)
{
	const struct perf_event_header *header = (const void *)record;
	const struct body_mapping *mapping = (const void *)(header + 1);
	const struct body_comm *comm = (const void *)(header + 1);

	if (header->type == PERF_RECORD_COMM && header->misc & PERF_RECORD_MISC_COMM_EXEC &&
	    (pid_t)comm->pid == s->pid)
		s->range_count = 0; /* another program: nothing of the old one is mapped */
	if (header->type == PERF_RECORD_MMAP && (pid_t)mapping->pid == s->pid)
		add_mapping(s, mapping->start, mapping->bytes, mapping->offset, mapping->path);
}

static void take_sample(struct rh_samples *s, const char *record)
{
	const struct perf_event_header *header = (const void *)record;
	const struct body_sample *sample = (const void *)(header + 1);
	const struct body_lost *lost = (const void *)(header + 1);

	if (header->type == PERF_RECORD_LOST)
		s->lost += lost->count;
	if (header->type != PERF_RECORD_SAMPLE)
		return;
	if ((pid_t)sample->pid != s->pid)
		s->others++;
	else if (is_inside(s, sample->at))
		s->inside++;
	else
		s->outside++;
}

static void walk(struct rh_samples *s, const struct rh_samples_ring *ring,
		 void (*take)(struct rh_samples *s, const char *record))
{
	const struct perf_event_mmap_page *page = ring->base;
	_Alignas(8) char record[RECORD_BYTES];
	size_t bytes;

	for (uint64_t tail = page->data_tail; tail < ring->head; tail += bytes) {
		bytes = copy_record(ring, tail, record);
		if (bytes < sizeof(struct perf_event_header))
			return;
		take(s, record);
	}
}

void rh_samples_look(struct rh_samples *s)
{
	if (!s->pid)
		return;
	for (size_t i = 0; i < s->ring_count; i++) {
		const struct perf_event_mmap_page *page = s->rings[i].base;

		s->rings[i].head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
		walk(s, &s->rings[i], take_mapping);
	}
	for (size_t i = 0; i < s->ring_count; i++) {
		struct perf_event_mmap_page *page = s->rings[i].base;

		walk(s, &s->rings[i], take_sample);
		__atomic_store_n(&page->data_tail, s->rings[i].head, __ATOMIC_RELEASE);
	}
}

/* ---- events ---- */

static int open_event(pid_t thread, int cpu, bool on_exec)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = RH_SAMPLE_NS,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID,
		.disabled = on_exec,
		.enable_on_exec = on_exec,
		.inherit = 1,
		.mmap = 1,
		.comm = 1,
		.comm_exec = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The samples of an event go to the ring of its CPU, which the first event there makes. */
static bool join_ring(struct rh_samples *s, int fd, int cpu)
{
	struct rh_samples_ring ring = { .cpu = cpu, .fd = fd };

	for (size_t i = 0; i < s->ring_count; i++)
		if (s->rings[i].cpu == cpu)
			return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, s->rings[i].fd) == 0;
	if (!rh_reserve(&s->rings, &s->ring_room, s->ring_count + 1, sizeof(*s->rings)))
		return false;
	ring.base = mmap(NULL, (RING_PAGES + 1) * page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	if (ring.base == MAP_FAILED)
		return false;
	s->rings[s->ring_count++] = ring;
	return true;
}

static bool sample_thread(struct rh_samples *s, pid_t thread, bool on_exec)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_CONF);

	for (int cpu = 0; cpu < cpus; cpu++) {
		int fd = open_event(thread, cpu, on_exec);

		if (fd < 0 && errno == ENODEV)
			continue; /* that CPU is off */
		if (fd < 0 || !rh_reserve(&s->fds, &s->fd_room, s->fd_count + 1, sizeof(*s->fds)))
			return false;
		s->fds[s->fd_count++] = fd;
		if (!join_ring(s, fd, cpu))
			return false;
	}
	return true;
}

static bool sample_threads(struct rh_samples *s, bool on_exec)
{
	char path[32];
	const struct dirent *entry;
	bool good = true;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)s->pid);
	tasks = opendir(path);
	while (tasks && good && (entry = readdir(tasks))) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

		good = thread <= 0 || sample_thread(s, thread, on_exec);
	}
	if (tasks)
		closedir(tasks);
	return good && s->ring_count > 0;
}

static void let_go(struct rh_samples *s)
{
	for (size_t i = 0; i < s->ring_count; i++)
		munmap(s->rings[i].base, (RING_PAGES + 1) * page_bytes());
	for (size_t i = 0; i < s->fd_count; i++)
		close(s->fds[i]);
	free(s->rings);
	free(s->fds);
	free(s->ranges);
	s->rings = NULL;
	s->fds = NULL;
	s->ranges = NULL;
	s->ring_count = s->fd_count = s->range_count = 0;
	s->ring_room = s->fd_room = s->range_room = 0;
}

bool rh_samples_refused(char *why, size_t bytes)
{
	int fd = open_event(0, -1, false);

	if (fd >= 0)
		close(fd);
	else
		snprintf(why, bytes, "samples of the CPU clock: perf_event_open: %s",
			 strerror(errno));
	return fd < 0;
}

void rh_samples_open(struct rh_samples *samples, pid_t pid, const struct rh_code *code,
		     bool on_exec)
{
	assert(pid > 0);
	*samples = (struct rh_samples){ .pid = pid, .code = code };
	if (!on_exec)
		read_mappings(samples);
	if (code->count > 0 && sample_threads(samples, on_exec))
		return;
	if (code->count == 0)
		snprintf(samples->why, sizeof(samples->why), "no code of an allocator is known");
	else
		snprintf(samples->why, sizeof(samples->why), "perf_event_open: %s",
			 strerror(errno));
	let_go(samples);
}

void rh_samples_end(struct rh_samples *s, struct rh_sampled *out)
{
	double seconds = RH_SAMPLE_NS / 1e9, seen;

	*out = (struct rh_sampled){ NAN, NAN, NAN, 0, "" };
	if (!s->pid)
		return;
	memcpy(out->why, s->why, sizeof(out->why));
	if (s->ring_count > 0) {
		rh_samples_look(s);
		seen = (double)(s->inside + s->outside + s->others);
		if (s->lost > 0 && seen > 0) /* what was lost was like the rest */
			seconds *= 1 + (double)s->lost / seen;
		out->inside_s = seconds * (double)s->inside;
		out->outside_s = seconds * (double)s->outside;
		out->others_s = seconds * (double)s->others;
		out->samples = s->inside + s->outside + s->others;
	}
	let_go(s);
	*s = (struct rh_samples){ .pid = 0 };
}
