/*
 * target.c - see target.h.
 *
 * A thread of the program will call dlopen, so it must be a program with a loader: glibc's. It
 * must not hold a lock that dlopen takes: the allocator's or the loader's own, so it must not
 * be inside the code of either. In libc, that is the code around the functions of malloc's
 * object file: from 16 KiB before the first exported one, where the static ones are, to 4 KiB
 * after the last.
 */
#include "traces/record/place.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traces/record/area.h"

enum { DYNAMIC_MAX = 256, PHDRS_MAX = 64, CHAIN_MAX = 4096, BEFORE = 16384, BEHIND = 4096 };

bool rh_target_read(const struct rh_target *target, uint64_t at, void *into, size_t bytes)
{
	return pread(target->mem, into, bytes, (off_t)at) == (ssize_t)bytes;
}

const struct rh_target_map *rh_target_map_of(const struct rh_target *target, uint64_t at)
{
	for (size_t i = 0; i < target->map_count; i++)
		if (at >= target->maps[i].low && at < target->maps[i].high)
			return &target->maps[i];
	return NULL;
}

bool rh_target_avoids(const struct rh_target *target, uint64_t at)
{
	for (size_t i = 0; i < target->avoid_count; i++)
		if (at >= target->avoid[i].low && at < target->avoid[i].high)
			return true;
	return false;
}

static void avoid(struct rh_target *target, uint64_t low, uint64_t high)
{
	if (target->avoid_count < RH_TARGET_CODE)
		target->avoid[target->avoid_count++] = (struct rh_target_code){ low, high };
}

/* ---- /proc ---- */

static void line_of_status(int pid, const char *field, char *text, size_t room)
{
	char path[64], line[512];
	size_t bytes = strlen(field);
	FILE *in;

	text[0] = '\0';
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof line, in))
		if (strncmp(line, field, bytes) == 0) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(text, room, "%s", line + bytes + strspn(line + bytes, " \t"));
			break;
		}
	if (in)
		fclose(in);
}

static long number_of_status(int pid, const char *field)
{
	char text[512];

	line_of_status(pid, field, text, sizeof text);
	return text[0] ? strtol(text, NULL, 10) : -1;
}

static int read_maps(struct rh_target *target, struct rh_err *err)
{
	char path[64], line[4500];
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/maps", target->pid);
	in = fopen(path, "re");
	target->maps = calloc(RH_TARGET_MAPS, sizeof *target->maps);
	target->map_count = 0;
	while (in && target->maps && fgets(line, sizeof line, in) &&
	       target->map_count < RH_TARGET_MAPS) {
		struct rh_target_map *map = &target->maps[target->map_count];
		unsigned long long low, high, inode;
		char access[8];
		int at = 0;

		if (sscanf(line, "%llx-%llx %7s %*s %*s %llu %n", &low, &high, access, &inode,
			   &at) < 4)
			continue;
		*map = (struct rh_target_map){
			.low = low, .high = high, .inode = inode, .executable = access[2] == 'x'
		};
		line[strcspn(line, "\n")] = '\0';
		snprintf(map->path, sizeof map->path, "%.255s", at ? line + at : "");
		target->map_count++;
	}
	if (in)
		fclose(in);
	if (target->map_count)
		return 0;
	return rh_target_refused(target, err);
}

static bool same_namespace(int pid, const char *which)
{
	char path[64], theirs[64] = "", ours[64] = "";
	ssize_t got;

	snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, which);
	got = readlink(path, theirs, sizeof theirs - 1);
	snprintf(path, sizeof path, "/proc/self/ns/%s", which);
	return got > 0 && readlink(path, ours, sizeof ours - 1) == got &&
	       memcmp(theirs, ours, (size_t)got) == 0;
}

static bool same_root(int pid)
{
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/root/", pid);
	return stat(path, &theirs) == 0 && stat("/", &ours) == 0 && theirs.st_dev == ours.st_dev &&
	       theirs.st_ino == ours.st_ino;
}

int rh_target_refused(const struct rh_target *target, struct rh_err *err)
{
	FILE *in = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = in ? fgetc(in) : '0';

	if (in)
		fclose(in);
	if (geteuid() != 0 && target->uid != geteuid())
		return rh_fail(err, RH_ABSENT,
			       "process %d is another user's (%u): run reheap as that user, or as "
			       "root",
			       target->pid, (unsigned)target->uid);
	if (scope == '3')
		return rh_fail(
			err, RH_ABSENT,
			"this kernel lets nobody attach to a process (yama ptrace_scope 3, "
			"until it is booted anew); start the program under reheap record, or "
			"preload the recorder asleep (REHEAP_DORMANT, see --help)");
	if (geteuid() != 0 && scope != '0')
		return rh_fail(err, RH_ABSENT,
			       "process %d may not be attached to (yama ptrace_scope %c): run "
			       "reheap as root, or sysctl kernel.yama.ptrace_scope=0, or start the "
			       "program under reheap record",
			       target->pid, scope);
	return rh_fail(err, RH_ABSENT,
		       "process %d may not be attached to: it is setuid, or has made itself "
		       "undumpable, or this container lacks CAP_SYS_PTRACE; start it under reheap "
		       "record",
		       target->pid);
}

/* ---- symbols ---- */

struct symbols {
	uint64_t table, strings, hash;
};

static bool find_dynamic(const struct rh_target *target, uint64_t base, uint64_t *dynamic)
{
	Elf64_Ehdr head;
	Elf64_Phdr one;
	bool found = false;

	if (!rh_target_read(target, base, &head, sizeof head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof one)
		return false;
	for (int i = 0; i < head.e_phnum && i < PHDRS_MAX && !found; i++) {
		if (!rh_target_read(target, base + head.e_phoff + (uint64_t)i * sizeof one, &one,
				    sizeof one))
			return false;
		found = one.p_type == PT_DYNAMIC;
	}
	*dynamic = (head.e_type == ET_DYN ? base : 0) + one.p_vaddr;
	return found;
}

/* The loader has turned the file's offsets into addresses. */
static bool find_symbols(const struct rh_target *target, uint64_t base, struct symbols *symbols)
{
	uint64_t at;
	Elf64_Dyn entry;

	*symbols = (struct symbols){ 0 };
	if (!find_dynamic(target, base, &at))
		return false;
	for (int i = 0; i < DYNAMIC_MAX; i++, at += sizeof entry) {
		uint64_t value;

		if (!rh_target_read(target, at, &entry, sizeof entry) || entry.d_tag == DT_NULL)
			break;
		value = entry.d_un.d_ptr < base ? base + entry.d_un.d_ptr : entry.d_un.d_ptr;
		if (entry.d_tag == DT_SYMTAB)
			symbols->table = value;
		else if (entry.d_tag == DT_STRTAB)
			symbols->strings = value;
		else if (entry.d_tag == DT_GNU_HASH)
			symbols->hash = value;
	}
	return symbols->table && symbols->strings && symbols->hash;
}

static uint32_t hash_of(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

static bool is_named(const struct rh_target *target, uint64_t at, const char *name)
{
	char text[64];
	size_t bytes = strlen(name) + 1;

	return bytes <= sizeof text && rh_target_read(target, at, text, bytes) &&
	       memcmp(text, name, bytes) == 0;
}

/* The GNU hash table, a few words at a time. The function's address and size; 0: none. */
static uint64_t look_up(const struct rh_target *target, uint64_t base, const char *name,
			uint64_t *size)
{
	struct symbols symbols;
	uint32_t head[4], index, hash = hash_of(name), here;
	uint64_t buckets, chain;
	Elf64_Sym symbol;

	if (!find_symbols(target, base, &symbols) ||
	    !rh_target_read(target, symbols.hash, head, sizeof head) || !head[0])
		return 0;
	buckets = symbols.hash + sizeof head + head[2] * sizeof(uint64_t);
	chain = buckets + head[0] * sizeof index;
	if (!rh_target_read(target, buckets + hash % head[0] * sizeof index, &index, sizeof index))
		return 0;
	for (int i = 0; i < CHAIN_MAX && index >= head[1]; i++, index++) {
		if (!rh_target_read(target, chain + (index - head[1]) * sizeof here, &here,
				    sizeof here) ||
		    !rh_target_read(target, symbols.table + index * sizeof symbol, &symbol,
				    sizeof symbol))
			return 0;
		if ((here | 1) == (hash | 1) && symbol.st_shndx != SHN_UNDEF &&
		    ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
		    is_named(target, symbols.strings + symbol.st_name, name)) {
			*size = symbol.st_size;
			return base + symbol.st_value;
		}
		if (here & 1)
			break;
	}
	return 0;
}

/* ---- what is loaded ---- */

static bool has_name(const struct rh_target_map *map, const char *part)
{
	const char *slash = strrchr(map->path, '/');

	return slash && strncmp(slash + 1, part, strlen(part)) == 0;
}

static uint64_t base_of(const struct rh_target *target, const char *part)
{
	for (size_t i = 0; i < target->map_count; i++)
		if (has_name(&target->maps[i], part))
			return target->maps[i].low;
	return 0;
}

static void avoid_file(struct rh_target *target, const struct rh_target_map *like)
{
	for (size_t i = 0; i < target->map_count; i++)
		if (target->maps[i].executable && strcmp(target->maps[i].path, like->path) == 0)
			avoid(target, target->maps[i].low, target->maps[i].high);
}

static void avoid_libc(struct rh_target *target)
{
	static const char *const names[] = { "malloc",	      "free",
					     "calloc",	      "realloc",
					     "aligned_alloc", "posix_memalign",
					     "mallinfo",      "malloc_usable_size" };
	uint64_t low = UINT64_MAX, high = 0, size = 0;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		uint64_t at = look_up(target, target->libc, names[i], &size);

		/* an entry that leads out of libc was patched by an earlier recording */
		if (!at || at - target->libc > 64u << 20)
			continue;
		low = at < low ? at : low;
		high = at + size > high ? at + size : high;
	}
	if (high)
		avoid(target, low - BEFORE, high + BEHIND);
}

/* Every file once, where it begins: its first mapping. */
static bool is_first(const struct rh_target *target, size_t index)
{
	const struct rh_target_map *map = &target->maps[index];

	if (map->path[0] != '/' || !map->inode)
		return false;
	return index == 0 || strcmp(target->maps[index - 1].path, map->path) != 0;
}

static int look_at_objects(struct rh_target *target, struct rh_err *err)
{
	uint64_t size, loader = base_of(target, "ld-linux");
	char exe[300], path[64];
	ssize_t got;

	snprintf(path, sizeof path, "/proc/%d/exe", target->pid);
	got = readlink(path, exe, sizeof exe - 1);
	exe[got > 0 ? got : 0] = '\0';
	for (size_t i = 0; i < target->map_count; i++) {
		const struct rh_target_map *map = &target->maps[i];

		if (has_name(map, "ld-linux") || has_name(map, "ld-2.") ||
		    has_name(map, "libreheap-record"))
			avoid_file(target, map);
		if (!is_first(target, i) || map->low == target->libc || map->low == loader ||
		    has_name(map, "libreheap-record") ||
		    !look_up(target, map->low, "malloc", &size))
			continue;
		if (strncmp(exe, map->path, sizeof map->path - 1) == 0)
			return rh_fail(
				err, RH_ABSENT,
				"process %d has a malloc inside its own executable, whose "
				"calls pass through no table: link it as a library, or run the "
				"program with libc's",
				target->pid);
		avoid_file(target, map);
	}
	avoid_libc(target);
	return 0;
}

static int find_functions(struct rh_target *target, struct rh_err *err)
{
	uint64_t size;

	target->dlopen = look_up(target, target->libc, "dlopen", &size);
	target->dlsym = look_up(target, target->libc, "dlsym", &size);
	target->dlerror = look_up(target, target->libc, "dlerror", &size);
	if (!target->dlopen || !target->dlsym) { /* glibc before 2.34 */
		target->dlopen = look_up(target, target->libc, "__libc_dlopen_mode", &size);
		target->dlsym = look_up(target, target->libc, "__libc_dlsym", &size);
		target->dlerror = 0;
	}
	target->errno_location = look_up(target, target->libc, "__errno_location", &size);
	if (target->dlopen && target->dlsym && target->errno_location)
		return 0;
	return rh_fail(err, RH_ABSENT,
		       "no dlopen is found in the libc of process %d: only glibc's is known; start "
		       "the program under reheap record",
		       target->pid);
}

/* It has a recorder of another build loaded: two would count each other. */
static int look_for_shim(const struct rh_target *target, const char *shim, struct rh_err *err)
{
	struct stat st = { 0 };
	char tag[40];

	stat(shim, &st);
	rh_place_tag(shim, tag);
	for (size_t i = 0; i < target->map_count; i++)
		if (has_name(&target->maps[i], "libreheap-record") &&
		    target->maps[i].inode != st.st_ino && !has_name(&target->maps[i], tag))
			return rh_fail(
				err, RH_ABSENT,
				"process %d has loaded the recorder of another build, %s: use "
				"that reheap, or restart the program",
				target->pid, target->maps[i].path);
	return 0;
}

/* The note that Go's linker leaves. A goroutine's stack has no room for us. */
static bool is_go(const struct rh_target *target, uint64_t base)
{
	Elf64_Ehdr head;
	Elf64_Phdr one;
	uint32_t note[4];

	if (!rh_target_read(target, base, &head, sizeof head) || head.e_phentsize != sizeof one)
		return false;
	for (int i = 0; i < head.e_phnum && i < PHDRS_MAX; i++)
		if (rh_target_read(target, base + head.e_phoff + (uint64_t)i * sizeof one, &one,
				   sizeof one) &&
		    one.p_type == PT_NOTE &&
		    rh_target_read(target, (head.e_type == ET_DYN ? base : 0) + one.p_vaddr, note,
				   sizeof note) &&
		    note[0] == 4 && memcmp(&note[3], "Go", 3) == 0)
			return true;
	return false;
}

static int look_at_kind(struct rh_target *target, struct rh_err *err)
{
	Elf64_Ehdr head = { .e_machine = 0 };
	char path[64];
	int fd;
	ssize_t got;

	snprintf(path, sizeof path, "/proc/%d/exe", target->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? rh_target_refused(target, err)
				       : rh_fail(err, RH_NO_INPUT,
						 "process %d is over, or a thread of the kernel",
						 target->pid);
	got = read(fd, &head, sizeof head);
	close(fd);
	if (got != sizeof head || head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    head.e_machine != EM_X86_64)
		return rh_fail(
			err, RH_ABSENT,
			"process %d is no x86-64 program: reheap attaches to no other; start "
			"it under a reheap of its architecture",
			target->pid);
	if (is_go(target, target->maps[0].low))
		return rh_fail(
			err, RH_ABSENT,
			"process %d is a Go program: reheap record-go --pprof records a running "
			"one",
			target->pid);
	if (base_of(target, "ld-musl") || base_of(target, "libc.musl"))
		return rh_fail(err, RH_ABSENT,
			       "process %d runs on musl: only glibc programs can be attached to",
			       target->pid);
	target->libc = base_of(target, "libc.so.6");
	if (!target->libc)
		target->libc = base_of(target, "libc-2.");
	if (!target->libc)
		return rh_fail(err, RH_ABSENT,
			       "process %d is static: it has no loader to bring the recorder in; "
			       "link it dynamically",
			       target->pid);
	return 0;
}

static int look_at_state(struct rh_target *target, struct rh_err *err)
{
	long tracer = number_of_status(target->pid, "TracerPid:");
	char state[32], name[64];

	if (tracer > 0) {
		line_of_status((int)tracer, "Name:", name, sizeof name);
		return rh_fail(err, RH_ABSENT, "process %d is traced by %s (%ld): end that first",
			       target->pid, name[0] ? name : "another process", tracer);
	}
	line_of_status(target->pid, "State:", state, sizeof state);
	if (state[0] == 'T')
		return rh_fail(err, RH_ABSENT, "process %d is stopped: kill -CONT %d first",
			       target->pid, target->pid);
	if (state[0] == 'Z' || state[0] == 'X')
		return rh_fail(err, RH_NO_INPUT, "process %d is over", target->pid);
	return 0;
}

static int identify(struct rh_target *target, struct rh_err *err)
{
	char text[512], path[64];
	struct stat st;
	const char *last;

	snprintf(path, sizeof path, "/proc/%d", target->pid);
	target->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0);
	if (target->pidfd < 0 || stat(path, &st) < 0)
		return rh_fail(err, RH_NO_INPUT, "there is no process %d", target->pid);
	line_of_status(target->pid, "Uid:", text, sizeof text);
	target->uid = (uid_t)strtoul(text, NULL, 10);
	line_of_status(target->pid, "Gid:", text, sizeof text);
	target->gid = (gid_t)strtoul(text, NULL, 10);
	line_of_status(target->pid, "NSpid:", text, sizeof text);
	last = strrchr(text, '\t');
	target->inner = text[0] ? (int)strtol(last ? last + 1 : text, NULL, 10) : target->pid;
	if (target->pid == (int)getpid())
		return rh_fail(err, RH_USAGE, "reheap does not record itself");
	return 0;
}

/* The shim is loaded already, so no ptrace is needed. */
static bool find_dormant(struct rh_target *target)
{
	for (size_t i = 0; i < target->map_count; i++) {
		const struct rh_target_map *map = &target->maps[i];

		if (!has_name(map, RH_DORMANT_FILE))
			continue;
		snprintf(target->dormant, sizeof target->dormant, "/proc/%d/root%s", target->pid,
			 map->path);
		target->dormant_inode = map->inode;
		return true;
	}
	return false;
}

int rh_target_open(struct rh_target *target, int pid, const char *shim, struct rh_err *err)
{
	char path[64];

	*target = (struct rh_target){ .pid = pid, .pidfd = -1, .mem = -1 };
	if (identify(target, err) < 0 || look_at_state(target, err) < 0)
		goto fail;
	target->apart = target->uid != geteuid() || !same_namespace(pid, "pid") ||
			!same_namespace(pid, "mnt") || !same_root(pid);
	if (read_maps(target, err) < 0)
		goto fail;
	if (find_dormant(target)) {
		if (number_of_status(pid, "Seccomp:") <= 0)
			return 0;
		rh_fail(err, RH_ABSENT,
			"process %d has put itself under a filter of system calls while its "
			"recorder slept; start it under reheap record",
			pid);
		goto fail;
	}
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	target->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (target->mem < 0) {
		rh_target_refused(target, err);
		goto fail;
	}
	if (look_at_kind(target, err) < 0 || look_for_shim(target, shim, err) < 0 ||
	    find_functions(target, err) < 0 || look_at_objects(target, err) < 0)
		goto fail;
	return 0;
fail:
	rh_target_close(target);
	return -1;
}

void rh_target_close(struct rh_target *target)
{
	if (target->pidfd >= 0)
		close(target->pidfd);
	if (target->mem >= 0)
		close(target->mem);
	free(target->maps);
	*target = (struct rh_target){ .pidfd = -1, .mem = -1 };
}
