/*
 * os.c - Linux calls behind os.h. No malloc anywhere, also not through stdio.
 */
#include "alloc/base/os.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* The mask needs a power of two. A sum that wraps is excluded where sizes come from
 * outside (rh_map). */
static size_t round_up(size_t bytes, size_t align)
{
	assert((align & (align - 1)) == 0);
	return (bytes + align - 1) & ~(align - 1);
}

/* Asked once and kept, since every large block is rounded with it. Two threads that
 * ask at once both store the same number, so relaxed order is enough. */
static _Atomic size_t page_bytes;

size_t rh_page_bytes(void)
{
	size_t bytes = atomic_load_explicit(&page_bytes, memory_order_relaxed);

	if (!bytes) {
		bytes = (size_t)sysconf(_SC_PAGESIZE);
		atomic_store_explicit(&page_bytes, bytes, memory_order_relaxed);
	}
	return bytes;
}

/* Tests of heaps whose runs of pages would differ on a machine with pages of 16 or 64
 * KiB; set before any heap exists, or a heap would mix two sizes. */
void rh_page_bytes_pretend(size_t bytes)
{
	assert((bytes & (bytes - 1)) == 0);
	atomic_store_explicit(&page_bytes, bytes, memory_order_relaxed);
}

size_t rh_page_up(size_t bytes)
{
	return round_up(bytes, rh_page_bytes());
}

size_t rh_page_within(uintptr_t at, size_t bytes, uintptr_t *first)
{
	uintptr_t end = (at + bytes) & ~(uintptr_t)(rh_page_bytes() - 1);

	/* Only whole pages may be given to madvise: a page that is partly in use
	 * would lose the data of its other tenant. */
	*first = round_up(at, rh_page_bytes());
	return end > *first ? end - *first : 0;
}

void *rh_map(size_t bytes)
{
	void *p;

	if (bytes == 0 || bytes > SIZE_MAX - rh_page_bytes())
		return NULL;
	/* MAP_NORESERVE, because heaps reserve much more address space than they
	 * touch: without it a system of strict overcommit counts the reservation and
	 * refuses. */
	p = mmap(NULL, rh_page_up(bytes), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* munmap takes any address within a page and would unmap the whole of it, hence the
 * assertion. */
void rh_unmap(void *p, size_t bytes)
{
	assert((uintptr_t)p % rh_page_bytes() == 0);
	if (p)
		munmap(p, rh_page_up(bytes));
}

int rh_filemap_open(struct rh_filemap *map, const char *path, struct rh_err *err)
{
	struct stat st = { 0 };
	void *base = NULL;
	/* Not blocking, because opening a pipe nobody writes to would hang. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*map = (struct rh_filemap){ 0 };
	if (fd < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", path);
	/* A device or a pipe has no size to map. The message says what it is, since
	 * <(zcat f) looks like a file to its user. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return rh_fail(err, RH_NO_INPUT, "%s is %s, not a file", path,
			       S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
	}
	/* mmap refuses a length of 0, and an empty file is no error here: its reader
	 * says what it misses. */
	if (st.st_size > 0)
		base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		return rh_fail_errno(err, RH_OS, "%s cannot be mapped", path);
	map->base = base;
	map->bytes = (size_t)st.st_size;
	return 0;
}

void rh_filemap_close(struct rh_filemap *map)
{
	if (map->base)
		munmap((void *)map->base, map->bytes);
	*map = (struct rh_filemap){ 0 };
}

/* A file without a name in the output's folder: whatever ends this process, nothing is left. -1
 * where the file system has none (NFS, FUSE, old overlays) or /proc is not mounted. O_TMPFILE
 * only has a folder, so the file's own name is cut off; a path without a slash lies in the
 * working directory, one in "/" keeps its slash. */
static int open_nameless(struct rh_outfile *out)
{
	const char *slash = strrchr(out->path, '/');
	char folder[sizeof(out->path)];
	int length = slash == out->path ? 1 : slash ? (int)(slash - out->path) : 0;
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", length, out->path);
	fd = open(length ? folder : ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	out->nameless = true;
	/* Checked now and not at commit: a run of an hour must not learn at its end
	 * that its result cannot get a name. */
	if (access("/proc/self/fd", X_OK) == 0)
		return fd;
	out->nameless = false;
	close(fd);
	return -1;
}

/* linkat() never replaces a file, so it gets the temporary's name first. */
static int name_it(const struct rh_outfile *out, int fd)
{
	char self[40];

	if (!out->nameless)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	/* A run that was killed between linkat and rename left this name behind, and
	 * pids come again. */
	unlink(out->temp);
	return linkat(AT_FDCWD, self, AT_FDCWD, out->temp, AT_SYMLINK_FOLLOW);
}

bool rh_same_file(const char *input, const char *output)
{
	bool is_stdin = strcmp(input, "-") == 0;
	struct stat in, out;

	if ((is_stdin ? fstat(STDIN_FILENO, &in) : stat(input, &in)) < 0 || stat(output, &out) < 0)
		return false;
	return S_ISREG(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

/* Nothing of an older file is touched before commit: a run that fails, or is killed,
 * leaves the result of the last good one. */
int rh_outfile_open(struct rh_outfile *out, const char *path, struct rh_err *err)
{
	struct stat st;

	*out = (struct rh_outfile){ .fd = -1 };
	if (strlen(path) >= sizeof(out->path))
		return rh_fail(err, RH_CANT_CREATE, "output path is longer than %d bytes",
			       PATH_MAX);
	if (!path[0])
		return rh_fail(err, RH_CANT_CREATE, "the output path is empty");
	memcpy(out->path, path, strlen(path) + 1);
	if (strcmp(path, "-") == 0) {
		out->is_stdout = true;
		out->fd = STDOUT_FILENO;
		return 0;
	}
	/* A temporary and a rename would replace /dev/null by a file. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		if (S_ISDIR(st.st_mode))
			return rh_fail(err, RH_CANT_CREATE, "%s is a directory, not a file", path);
		/* A device or pipe (/dev/null, /dev/stdout) is written in place. */
		out->is_stdout = true;
		out->fd = open(path, O_WRONLY | O_CLOEXEC);
		if (out->fd < 0)
			return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be written", path);
		return 0;
	}
	/* The file behind a link is replaced, not the link. */
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, out->path))
		path = out->path;
	/* A rename needs leave to write the folder only, so it would replace a file
	 * that its owner made read-only. */
	if (access(path, W_OK) < 0 && errno == EACCES)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be written", path);
	/* Beside the target, since rename works within one file system; with the pid,
	 * since two runs may write the same target. */
	snprintf(out->temp, sizeof(out->temp), "%s.%d.tmp", path, (int)getpid());
	out->fd = open_nameless(out);
	if (out->fd < 0)
		out->fd = open(out->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (out->fd < 0)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be created", path);
	assert(out->fd >= 0);
	return 0;
}

/* A temporary that has a name keeps it: only a nameless one gets its name from the
 * path. */
int rh_outfile_rename(struct rh_outfile *out, const char *path, struct rh_err *err)
{
	if (strcmp(out->path, path) == 0)
		return 0;
	if (out->is_stdout || strlen(path) >= sizeof out->path)
		return rh_fail(err, RH_CANT_CREATE, "%s cannot become %s", out->path, path);
	memcpy(out->path, path, strlen(path) + 1);
	if (out->nameless)
		snprintf(out->temp, sizeof out->temp, "%s.%d.tmp", path, (int)getpid());
	return 0;
}

int rh_outfile_commit(struct rh_outfile *out, struct rh_err *err)
{
	int fd = out->fd;

	assert(fd >= 0); /* commit comes once */
	out->fd = -1;
	if (out->is_stdout)
		return fd == STDOUT_FILENO || close(fd) == 0
			       ? 0
			       : rh_fail_errno(err, RH_IO, "%s cannot be written", out->path);
	if (name_it(out, fd) < 0) {
		rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be put in place", out->path);
		close(fd);
		return -1;
	}
	/* NFS and quotas report a failed write as late as here, before the rename has
	 * replaced the older result. */
	if (close(fd) < 0) {
		rh_fail_errno(err, RH_IO, "%s cannot be written", out->path);
		unlink(out->temp);
		return -1;
	}
	if (rename(out->temp, out->path) < 0) {
		rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be put in place", out->path);
		unlink(out->temp);
		return -1;
	}
	return 0;
}

void rh_outfile_abandon(struct rh_outfile *out)
{
	if (out->fd < 0)
		return;
	if (!out->is_stdout) {
		close(out->fd);
		if (!out->nameless)
			unlink(out->temp);
	} else if (out->fd != STDOUT_FILENO) {
		/* What went to a device cannot be taken back; stdout itself stays open for the
		 * messages that follow. */
		close(out->fd);
	}
	out->fd = -1;
}

int rh_write_all(int fd, const void *data, size_t bytes, const char *what, struct rh_err *err)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		/* A write of 0 bytes is an error too, or the loop would never end. */
		if (n <= 0)
			return rh_fail_errno(err, RH_IO, "%s cannot be written", what);
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

const char *rh_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int rh_make_dirs(const char *path, struct rh_err *err)
{
	char part[4096];
	size_t length = strlen(path);
	struct stat st;

	if (length == 0 || length >= sizeof(part))
		return rh_fail(err, RH_CANT_CREATE, "'%s' is not a usable directory name", path);
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		/* EEXIST is the usual case, and also what another run that makes the
		 * same folders at once causes. */
		if (mkdir(part, 0777) < 0 && errno != EEXIST)
			return rh_fail_errno(err, RH_CANT_CREATE, "directory %s cannot be created",
					     part);
	}
	/* EEXIST does not say what exists: a file of this name is found here. */
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return rh_fail(err, RH_CANT_CREATE, "%s exists and is not a directory", path);
	return 0;
}

uint64_t rh_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The mask, not the number of CPUs of the machine: in a container or under taskset
 * the other CPUs are not ours, and a lane for each of them would share one. */
unsigned rh_cpu_count(void)
{
	struct rh_cpus cpus;
	unsigned count = rh_cpus_get(&cpus) ? rh_cpus_count(&cpus) : 1;

	return count ? count : 1;
}

enum { WORD_CPUS = 8 * sizeof(unsigned long) };

bool rh_cpus_get(struct rh_cpus *cpus)
{
	*cpus = (struct rh_cpus){ { 0 } };
	/* cpu_set_t of glibc ends at 1,024 CPUs; the kernel takes any length that is
	 * at least its own. */
	return sched_getaffinity(0, sizeof(*cpus), (cpu_set_t *)(void *)cpus->word) == 0;
}

bool rh_cpus_set(const struct rh_cpus *cpus)
{
	return sched_setaffinity(0, sizeof(*cpus), (const cpu_set_t *)(const void *)cpus->word) ==
	       0;
}

bool rh_cpus_has(const struct rh_cpus *cpus, int cpu)
{
	return cpu >= 0 && cpu < RH_CPUS_MAX && cpus->word[cpu / WORD_CPUS] >> cpu % WORD_CPUS & 1;
}

unsigned rh_cpus_count(const struct rh_cpus *cpus)
{
	unsigned count = 0;

	for (size_t i = 0; i < RH_CPUS_MAX / WORD_CPUS; i++)
		count += (unsigned)__builtin_popcountl(cpus->word[i]);
	return count;
}

int rh_cpus_nth(const struct rh_cpus *cpus, unsigned n)
{
	for (int cpu = 0; cpu < RH_CPUS_MAX; cpu++) {
		if (rh_cpus_has(cpus, cpu) && n-- == 0)
			return cpu;
	}
	return -1;
}

struct rh_cpus rh_cpus_one(int cpu)
{
	struct rh_cpus one = { { 0 } };

	assert(cpu >= 0 && cpu < RH_CPUS_MAX);
	one.word[cpu / WORD_CPUS] = 1ul << cpu % WORD_CPUS;
	return one;
}

/* One result for "woken", "value changed" and EINTR: every caller looks at its word
 * again anyway, and only a timeout changes what it does. */
static int futex_wait(_Atomic uint32_t *word, int op, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(timeout_ns / 1000000000u),
			       .tv_nsec = (long)(timeout_ns % 1000000000u) };

	if (syscall(SYS_futex, word, op, expected, timeout_ns == UINT64_MAX ? NULL : &ts, NULL,
		    0) == 0)
		return 0;
	return errno == ETIMEDOUT ? -1 : 0;
}

int rh_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	return futex_wait(word, FUTEX_WAIT, expected, timeout_ns);
}

/* Shared, not private: these words lie in memory that driver and worker both map,
 * where a private futex of one process is never woken by the other. */
void rh_futex_wake(_Atomic uint32_t *word, int waiters)
{
	syscall(SYS_futex, word, FUTEX_WAKE, waiters, NULL, NULL, 0);
}

int rh_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	return futex_wait(word, FUTEX_WAIT_PRIVATE, expected, timeout_ns);
}

int rh_futex_wake_private(_Atomic uint32_t *word, int waiters)
{
	return (int)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, NULL, NULL, 0);
}

static bool membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) == 0;
}

bool rh_membarrier_ready(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

/* EXPEDITED interrupts only the processors that run us (some microseconds); the plain
 * command waits for a grace period of RCU, which is milliseconds. */
bool rh_membarrier(void)
{
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
	       (rh_membarrier_ready() && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}

struct object_search {
	uintptr_t address;
	char *path, *build_id;
	size_t path_bytes, build_id_bytes;
	bool found;
};

/* Notes lie one behind another, name and description padded; the notes of GNU
 * properties are padded to 8 where the segment says so, all others to 4 (gABI,
 * PT_NOTE). Bounds are checked, because the object may be somebody's broken library. */
static void copy_build_id(struct object_search *search, const struct dl_phdr_info *info,
			  const ElfW(Phdr) * segment)
{
	const unsigned char *base = (const void *)(info->dlpi_addr + segment->p_vaddr);
	size_t align = segment->p_align == 8 ? 8 : 4, at = 0;

	while (at + sizeof(ElfW(Nhdr)) <= segment->p_memsz) {
		const ElfW(Nhdr) *head = (const void *)(base + at);
		size_t name = at + sizeof(*head);
		size_t desc = name + round_up(head->n_namesz, 4);

		if (desc + head->n_descsz > segment->p_memsz)
			return;
		if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 &&
		    memcmp(base + name, "GNU", 4) == 0) {
			/* Two digits a byte, cut where the caller's buffer ends. */
			for (unsigned i = 0;
			     i < head->n_descsz && 2 * i + 3 <= search->build_id_bytes; i++)
				snprintf(search->build_id + 2 * i, 3, "%02x", base[desc + i]);
			return;
		}
		at = round_up(desc + head->n_descsz, align);
	}
}

/* Called for each loaded object; a result other than 0 ends the walk. A program
 * header decides and not the base address, because objects have holes between their
 * segments. */
static int match_object(struct dl_phdr_info *info, size_t size, void *opaque)
{
	struct object_search *search = opaque;
	bool inside = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && search->address >= start &&
		    search->address < start + ph->p_memsz)
			inside = true;
	}
	if (!inside)
		return 0;
	snprintf(search->path, search->path_bytes, "%s", info->dlpi_name);
	/* The loader gives the program itself no name. */
	if (!info->dlpi_name[0]) {
		ssize_t n = readlink("/proc/self/exe", search->path, search->path_bytes - 1);

		search->path[n > 0 ? n : 0] = '\0';
	}
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE && !search->build_id[0])
			copy_build_id(search, info, &info->dlpi_phdr[i]);
	search->found = true;
	return 1;
}

/* Not dladdr: it names the object but not its program headers, and the build id is
 * what makes two results comparable whose paths are the same. */
bool rh_object_of(const void *address, char *path, size_t path_bytes, char *build_id,
		  size_t build_id_bytes)
{
	struct object_search search = { (uintptr_t)address, path,	    build_id,
					path_bytes,	    build_id_bytes, false };

	path[0] = build_id[0] = '\0';
	dl_iterate_phdr(match_object, &search);
	return search.found;
}

/* strerror may translate, allocate and take a lock of the locale; this runs in
 * workers whose malloc is under test and in handlers of signals. */
const char *rh_errno_text(int number)
{
#ifdef __GLIBC__
	const char *text = strerrordesc_np(number);

	return text ? text : "error of an unknown number";
#else
	return strerror(number);
#endif
}

const char *rh_libc_version(void)
{
#ifdef __GLIBC__
	return gnu_get_libc_version();
#else
	return "musl";
#endif
}
