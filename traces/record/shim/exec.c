/*
 * exec.c - the program starts another: will that one be recorded?
 *
 * The loader of the new program decides, and if it does not load us, nothing of ours is left
 * there to report it. So we check before the exec: the file (static, musl, setuid, another
 * machine) and the environment it gets. A program that will not be recorded is reported to the
 * supervisor in a slot of the area; the exec itself is unchanged. The programs that glibc
 * starts by itself (system, popen) are /bin/sh.
 *
 * All of it may run in the child of a vfork, in its parent's memory: no allocation, no static
 * state, plain file descriptors. errno is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "traces/record/judge.h"
#include "traces/record/shim/hook.h"

enum { HEAD_BYTES = RH_JUDGE_BYTES, PATH_BYTES = 1024, DEPTH = 4, FEW = 512 };

extern char **environ;

/* ---- the file ---- */

static size_t read_head(const char *path, char *head)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : pread(fd, head, HEAD_BYTES, 0);

	if (fd >= 0)
		close(fd);
	return got > 0 ? (size_t)got : 0;
}

/* "#! interpreter argument": the interpreter takes the place of the path. */
static bool is_script(char *head, size_t bytes, char *path)
{
	size_t at = 2, from;

	if (bytes < 3 || memcmp(head, "#!", 2) != 0)
		return false;
	while (at < bytes && (head[at] == ' ' || head[at] == '\t'))
		at++;
	for (from = at; at < bytes && !strchr(" \t\r\n", head[at]);)
		at++;
	if (at == from || at - from >= PATH_BYTES)
		return false;
	memcpy(path, head + from, at - from);
	path[at - from] = '\0';
	return true;
}

/* False: an exec of it would fail. The kernel reads the name first, so an invalid pointer gets the
 * program its own error. */
static bool judge_file(const char *name, enum rh_kid_why *why)
{
	_Alignas(16) char head[HEAD_BYTES];
	char path[PATH_BYTES];
	struct stat st;
	size_t bytes;

	*why = RH_KID_RECORDED;
	if (syscall(SYS_faccessat, AT_FDCWD, name, X_OK) < 0)
		return false;
	if (strlen(name) >= sizeof path)
		return true;
	memcpy(path, name, strlen(name) + 1);
	for (int depth = 0; depth < DEPTH; depth++) {
		if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
			return false;
		if (((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
		    ((st.st_mode & S_ISGID) && st.st_gid != getgid()) ||
		    (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)) {
			*why = RH_KID_SETUID;
			return true;
		}
		bytes = read_head(path, head);
		if (is_script(head, bytes, path))
			continue;
		if (bytes >= sizeof(ElfW(Ehdr)) && memcmp(head, ELFMAG, SELFMAG) == 0)
			*why = rh_judge_elf(path, head, bytes);
		break;
	}
	return true;
}

/* ---- the environment ---- */

static const char us[] = "libreheap-record";

/* The entry for us in a list of preloads: will the loader find it? */
static bool is_there(const char *list)
{
	const char *at = strstr(list, us), *end = at + strcspn(at, ": ");
	char path[PATH_BYTES];

	while (at > list && at[-1] != ':' && at[-1] != ' ' &&
	       !(at > list + 1 && *at == '/' && at[-1] == '.' && at[-2] == '.')) /* preload.c */
		at--;
	if ((size_t)(end - at) >= sizeof path || *at != '/')
		return true; /* not known */
	memcpy(path, at, (size_t)(end - at));
	path[end - at] = '\0';
	return access(path, R_OK) == 0;
}

static bool is_area(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == shim.inode;
}

/* Will the new program be able to open the area as the variable says? */
static bool is_open(const char *where)
{
	const char *number = strchr(where, RH_RECORD_ENV_FD);
	char path[PATH_BYTES];
	bool found;
	int fd;

	if (!number || (size_t)(number - where) >= sizeof path)
		return true; /* not known */
	memcpy(path, where, (size_t)(number - where));
	path[number - where] = '\0';
	fd = open(path, O_RDWR | O_CLOEXEC);
	found = is_area(fd);
	if (fd >= 0)
		close(fd);
	if (found)
		return true;
	fd = (int)strtol(number + 1, NULL, 10);
	return is_area(fd) && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static enum rh_kid_why judge_environment(char *const *envp)
{
	enum rh_kid_why why = RH_KID_CLEARED;
	const char *area = NULL;

	for (; envp && *envp; envp++) {
		const char *list = *envp + 11;

		if (strncmp(*envp, "LD_PRELOAD=", 11) == 0 && strstr(list, us))
			why = is_there(list) ? RH_KID_RECORDED : RH_KID_ROOT;
		else if (strncmp(*envp, "LD_PRELOAD=", 11) == 0 && *list)
			why = RH_KID_REPLACED;
		if (strncmp(*envp, RH_RECORD_ENV "=", sizeof RH_RECORD_ENV) == 0)
			area = *envp + sizeof RH_RECORD_ENV;
	}
	if (!area)
		return RH_KID_CLEARED;
	return why == RH_KID_RECORDED && !is_open(area) ? RH_KID_SHUT : why;
}

/* ---- reporting ---- */

static bool write_place(uint32_t place, const struct rh_kid *kid)
{
	struct rh_kid *p = shim_map(RH_AREA_KIDS_AT + place * sizeof *kid, sizeof *kid);

	if (!p)
		return false;
	memcpy(p, kid, sizeof *kid);
	shim_unmap(p, sizeof *p);
	return true;
}

/* The slot that was taken + 1; 0: none. */
uint32_t shim_tell_kid(enum rh_kid_why why, const char *exe, int pid, uint64_t at)
{
	struct rh_kid kid = { .pid = pid, .ppid = getpid(), .at = at, .why = why };

	if (pid == getpid())
		kid.ppid = getppid();
	memcpy(kid.exe, exe, strnlen(exe, sizeof kid.exe - 1));
	for (uint32_t i = 0; i < RH_KIDS; i++) {
		uint8_t none = RH_KID_FREE;

		if (!atomic_compare_exchange_strong(&shim.area->kid_state[i], &none,
						    RH_KID_CLAIMED))
			continue;
		if (!write_place(i, &kid)) {
			atomic_store(&shim.area->kid_state[i], RH_KID_FREE);
			break;
		}
		atomic_store(&shim.area->kid_state[i], RH_KID_READY);
		return i + 1;
	}
	atomic_fetch_add(&shim.area->kids_lost, 1);
	return 0;
}

/* It did not begin after all. */
static void take_back(uint32_t place)
{
	uint8_t ready = RH_KID_READY;

	if (place)
		atomic_compare_exchange_strong(&shim.area->kid_state[place - 1], &ready,
					       RH_KID_FREE);
}

/* If children are not followed, only the program's own process counts. */
static bool watched(void)
{
	return shim.state == SHIM_ON && !shim_filtered() && !atomic_load(&shim.area->closed) &&
	       (shim.area->follow || getpid() == atomic_load(&shim.area->main_pid));
}

static enum rh_kid_why judge(const char *path, char *const *envp)
{
	enum rh_kid_why why;

	if (!judge_file(path, &why))
		return RH_KID_RECORDED;
	return why == RH_KID_RECORDED ? judge_environment(envp) : why;
}

/* Before an exec of this process. */
static uint32_t look_ahead(const char *path, char *const *envp)
{
	int saved = errno;
	uint32_t place = 0;
	enum rh_kid_why why;

	if (watched()) {
		why = judge(path, envp);
		if (why != RH_KID_RECORDED)
			place = shim_tell_kid(why, path, getpid(), shim_clock());
	}
	errno = saved;
	return place;
}

/* The path that execvp would find; else the name itself. */
static const char *find_program(const char *name, char *path)
{
	const char *at = getenv("PATH"), *end;
	struct stat st;

	if (strchr(name, '/'))
		return name;
	for (at = at ? at : "/bin:/usr/bin";; at = end + 1) {
		size_t folder, bytes = strlen(name);

		end = strchrnul(at, ':');
		folder = (size_t)(end - at);
		if (folder + bytes + 2 <= PATH_BYTES) {
			memcpy(path, at, folder);
			path[folder] = '/';
			memcpy(path + folder + (folder != 0), name, bytes + 1);
			if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
				return path;
		}
		if (!*end)
			return name;
	}
}

/* ---- the functions ---- */

typedef int exec_fn(const char *path, char *const argv[], char *const envp[]);
typedef int fexec_fn(int fd, char *const argv[], char *const envp[]);
typedef int execat_fn(int fd, const char *path, char *const argv[], char *const envp[], int flags);
typedef int spawn_fn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

static struct {
	exec_fn *execve, *execvpe;
	fexec_fn *fexecve;
	execat_fn *execveat;
	spawn_fn *posix_spawn, *posix_spawnp;
} next;

#define FIND(name)                                      \
	do {                                            \
		union {                                 \
			void *object;                   \
			__typeof__(next.name) function; \
		} u;                                    \
		u.object = shim_hook_find(#name);       \
		next.name = u.function;                 \
	} while (0)

/* Looked up early: the child of a fork may be unable to, because another thread held the loader's
 * lock. */
void shim_exec_ready(void)
{
	if (next.execve)
		return;
	FIND(execvpe);
	FIND(fexecve);
	FIND(execveat);
	FIND(posix_spawn);
	FIND(posix_spawnp);
	FIND(execve);
}

SHIM_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	uint32_t place = look_ahead(path, envp);
	int result;

	shim_exec_ready();
	result = next.execve(path, argv, envp);
	take_back(place);
	return result;
}

SHIM_EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

SHIM_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	char path[PATH_BYTES];
	uint32_t place = look_ahead(find_program(file, path), envp);
	int result;

	shim_exec_ready();
	result = next.execvpe(file, argv, envp);
	take_back(place);
	return result;
}

SHIM_EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* The arguments of an execl as an array; if they do not fit into `few`, in new pages, which the
 * exec unmaps. NULL: no memory. */
static char **words_of(const char *first, va_list *ap, size_t count, char **few)
{
	char **argv = few;

	if (count >= FEW) {
		argv = mmap(NULL, (count + 1) * sizeof *argv, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (argv == MAP_FAILED)
			return NULL;
	}
	argv[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i <= count; i++)
		argv[i] = va_arg(*ap, char *);
	return argv;
}

static void give_words(char **argv, size_t count, char **few)
{
	if (argv != few)
		munmap(argv, (count + 1) * sizeof *argv);
}

#define EXECL(first, call)                                                          \
	do {                                                                        \
		char *few[FEW], **argv;                                             \
		size_t count = 1;                                                   \
		va_list ap;                                                         \
		int result;                                                         \
                                                                                    \
		va_start(ap, first);                                                \
		while (va_arg(ap, char *))                                          \
			count++;                                                    \
		va_end(ap);                                                         \
		va_start(ap, first);                                                \
		argv = words_of(first, &ap, count, few);                            \
		if (!argv) {                                                        \
			va_end(ap);                                                 \
			errno = ENOMEM;                                             \
			return -1;                                                  \
		}                                                                   \
		result = call; /* of execle, what follows the NULL is next in ap */ \
		va_end(ap);                                                         \
		give_words(argv, count, few);                                       \
		return result;                                                      \
	} while (0)

SHIM_EXPORT int execl(const char *path, const char *arg, ...)
{
	EXECL(arg, execve(path, argv, environ));
}

SHIM_EXPORT int execlp(const char *file, const char *arg, ...)
{
	EXECL(arg, execvpe(file, argv, environ));
}

SHIM_EXPORT int execle(const char *path, const char *arg, ...)
{
	EXECL(arg, execve(path, argv, va_arg(ap, char *const *)));
}

/* The path of a descriptor, to check the file behind it. */
static const char *path_of_fd(int fd, char text[40])
{
	static const char folder[] = "/proc/self/fd/";
	char digits[12];
	int count = 0, at = sizeof folder - 1;

	memcpy(text, folder, sizeof folder);
	do
		digits[count++] = (char)('0' + fd % 10);
	while ((fd /= 10) > 0 && count < 11);
	while (count)
		text[at++] = digits[--count];
	text[at] = '\0';
	return text;
}

SHIM_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	char text[40];
	uint32_t place = fd >= 0 ? look_ahead(path_of_fd(fd, text), envp) : 0;
	int result;

	shim_exec_ready();
	result = next.fexecve(fd, argv, envp);
	take_back(place);
	return result;
}

SHIM_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[],
			 int flags)
{
	char text[40];
	const char *volatile name = path; /* declared nonnull, but it may be NULL */
	bool by_fd = fd >= 0 && (flags & AT_EMPTY_PATH) && name && !*name;
	bool plain = fd == AT_FDCWD || (name && *name == '/');
	uint32_t place = by_fd	 ? look_ahead(path_of_fd(fd, text), envp)
			 : plain ? look_ahead(path, envp)
				 : 0;
	int result;

	shim_exec_ready();
	if (!next.execveat) {
		take_back(place);
		errno = ENOSYS;
		return -1;
	}
	result = next.execveat(fd, path, argv, envp, flags);
	take_back(place);
	return result;
}

/* The child's number is known only afterwards. */
static void look_behind(uint64_t at, const char *path, char *const *envp, int pid)
{
	int saved = errno;
	enum rh_kid_why why;

	if (watched() && shim.area->follow) {
		why = judge(path, envp);
		if (why != RH_KID_RECORDED)
			shim_tell_kid(why, path, pid, at);
	}
	errno = saved;
}

SHIM_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			    const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	uint64_t before = watched() ? shim_clock() : 0;
	pid_t child = 0;
	int failed;

	shim_exec_ready();
	failed = next.posix_spawn(&child, path, actions, attr, argv, envp);
	if (!failed && pid)
		*pid = child;
	if (!failed)
		look_behind(before, path, envp, child);
	return failed;
}

SHIM_EXPORT int posix_spawnp(pid_t *pid, const char *file,
			     const posix_spawn_file_actions_t *actions,
			     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	char path[PATH_BYTES];
	uint64_t before = watched() ? shim_clock() : 0;
	pid_t child = 0;
	int failed;

	shim_exec_ready();
	failed = next.posix_spawnp(&child, file, actions, attr, argv, envp);
	if (!failed && pid)
		*pid = child;
	if (!failed)
		look_behind(before, find_program(file, path), envp, child);
	return failed;
}
