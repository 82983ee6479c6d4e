/*
 * faults.c - a preload that makes the n-th call of one kind fail, in the process that REHEAP_FAULT
 * names: "KIND N", with KIND one of malloc open write fsync rename mmap fork pipe. Whether it came
 * that far is written to descriptor REHEAP_FAULT_SEEN (a byte): the matrix ends a kind when a
 * command did not reach call N any more.
 *
 * Calls of malloc that libarchive, libpapi and libpfm make are not counted: they crash when one
 * fails (libarchive 3.6 in archive_read_open and archive_read_next_header), and that is not ours to
 * mend. With REHEAP_FAULT_OWN set, only the calls that stand in the program itself are, for
 * commands that come to glob(3): that of glibc 2.36 frees twice.
 *
 * The failure is what the kernel would say: ENOMEM, EMFILE, ENOSPC, EIO, EAGAIN. Only the
 * process that was started counts, not what it starts (the environment is taken away at once).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { NONE, MALLOC, OPEN, WRITE, FSYNC, RENAME, MMAP, FORK, PIPE };
static const char *const words[] = { "none",   "malloc", "open", "write", "fsync",
				     "rename", "mmap",	 "fork", "pipe" };

static enum kind wanted;
static long at = -1;
static _Atomic long count;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static struct range {
	uintptr_t from, to;
} own, foreign[8]; /* where the program lies, and libraries whose calls do not count */
static unsigned foreign_count;
static int own_only;

static int note_range(struct dl_phdr_info *info, size_t bytes, void *first)
{
	static const char *const names[] = { "libarchive.", "libpapi.", "libpfm." };
	struct range range = { UINTPTR_MAX, 0 };
	int *is_first = first;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		range.from = from < range.from ? from : range.from;
		range.to = from + info->dlpi_phdr[i].p_memsz;
	}
	if (*is_first)
		own = range;
	*is_first = 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strstr(info->dlpi_name, names[i]) && foreign_count < 8)
			foreign[foreign_count++] = range;
	return 0;
}

static int lies_in(struct range range, const void *caller)
{
	return (uintptr_t)caller >= range.from && (uintptr_t)caller < range.to;
}

/* Whether a call of malloc from there counts. */
static int counts(const void *caller)
{
	if (own_only)
		return lies_in(own, caller);
	for (unsigned i = 0; i < foreign_count; i++)
		if (lies_in(foreign[i], caller))
			return 0;
	return 1;
}

__attribute__((constructor)) static void read_wish(void)
{
	int first = 1;

	const char *wish = getenv("REHEAP_FAULT");
	char word[16] = "";
	long n = 0;

	if (!wish || sscanf(wish, "%15s %ld", word, &n) != 2)
		return;
	unsetenv("REHEAP_FAULT");
	unsetenv("LD_PRELOAD");
	for (unsigned i = 1; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(word, words[i]) == 0)
			wanted = (enum kind)i;
	own_only = getenv("REHEAP_FAULT_OWN") != NULL;
	dl_iterate_phdr(note_range, &first);
	count = 0;
	at = n;
}

/* Whether this call is the one that fails. */
static int fails(enum kind kind, int error)
{
	const char *seen;

	if (kind != wanted || at < 0 || ++count != at)
		return 0;
	seen = getenv("REHEAP_FAULT_SEEN");
	if (seen) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, seen, O_WRONLY | O_CREAT, 0600);

		if (fd >= 0)
			syscall(SYS_close, fd);
	}
	errno = error;
	return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void *malloc(size_t bytes)
{
	return counts(__builtin_return_address(0)) && fails(MALLOC, ENOMEM) ? NULL
									    : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	return counts(__builtin_return_address(0)) && fails(MALLOC, ENOMEM)
		       ? NULL
		       : __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
	return counts(__builtin_return_address(0)) && fails(MALLOC, ENOMEM)
		       ? NULL
		       : __libc_realloc(p, bytes);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (fails(OPEN, EMFILE))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (fails(OPEN, EMFILE))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	return fails(OPEN, EMFILE) ? NULL : REAL(fopen)(path, mode);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
	return fails(WRITE, ENOSPC) ? -1 : syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd)
{
	return fails(FSYNC, EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	return fails(RENAME, EIO) ? -1 : REAL(rename)(from, to);
}

void *mmap(void *where, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (fails(MMAP, ENOMEM))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, where, bytes, protection, flags, fd, offset);
}

pid_t fork(void)
{
	return fails(FORK, EAGAIN) ? -1 : REAL(fork)();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	return fails(FORK, EAGAIN) ? EAGAIN
				   : REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	return fails(FORK, EAGAIN) ? EAGAIN
				   : REAL(posix_spawnp)(pid, file, actions, attributes, argv, envp);
}

int pipe2(int ends[2], int flags)
{
	return fails(PIPE, EMFILE) ? -1 : (int)syscall(SYS_pipe2, ends, flags);
}

int pipe(int ends[2])
{
	return pipe2(ends, 0);
}
