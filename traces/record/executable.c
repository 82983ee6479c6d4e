/*
 * executable.c - which file will run, and can it be recorded?
 *
 * The loader silently ignores LD_PRELOAD for setuid programs and cannot honour it for static
 * ones; an empty recording after an hour is a bad way to find out. So the file is checked
 * first: PT_INTERP (dynamic at all, and by glibc), the machine, the setuid bits and file
 * capabilities, and whether it defines or imports malloc.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/executable.h"

enum { NOT_FOUND = 127, NOT_EXECUTABLE = 126, SCRIPT_DEPTH = 4 };

struct look {
	const char *path;
	const uint8_t *base;
	size_t bytes;
	const ElfW(Ehdr) * ehdr;
};

static int search_path(const char *name, char *path, size_t room)
{
	const char *at = getenv("PATH"), *end;
	int denied = 0;

	if (!at)
		at = "/bin:/usr/bin";
	for (;; at = end + 1) {
		end = strchrnul(at, ':');
		if ((size_t)snprintf(path, room, "%.*s%s%s", (int)(end - at), at,
				     end > at ? "/" : "", name) < room) {
			struct stat st;

			if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
				if (access(path, X_OK) == 0)
					return 0;
				denied = 1;
			}
		}
		if (!*end)
			break;
	}
	return denied ? NOT_EXECUTABLE : NOT_FOUND;
}

static int locate(const char *name, char *path, size_t room, int *status, struct rh_err *err)
{
	struct stat st;

	if (!strchr(name, '/')) {
		*status = search_path(name, path, room);
		if (*status)
			return rh_fail(err, RH_NO_INPUT,
				       *status == NOT_FOUND
					       ? "%s: no such program in PATH"
					       : "%s: found in PATH but not executable",
				       name);
		return 0;
	}
	*status = NOT_FOUND;
	if ((size_t)snprintf(path, room, "%s", name) >= room)
		return rh_fail(err, RH_NO_INPUT, "%.80s...: the path is too long", name);
	if (stat(path, &st) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s", name);
	*status = NOT_EXECUTABLE;
	if (!S_ISREG(st.st_mode))
		return rh_fail(err, RH_NO_INPUT, "%s: is not a file that can be run", name);
	if (access(path, X_OK) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s", name);
	*status = 0;
	return 0;
}

static int check_privilege(const char *path, struct rh_err *err)
{
	struct stat st;
	const char *why = NULL;

	if (stat(path, &st) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s", path);
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		why = "setuid";
	else if ((st.st_mode & S_ISGID) && st.st_gid != getgid())
		why = "setgid";
	else if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		why = "given file capabilities";
	if (why)
		return rh_fail(err, RH_ABSENT,
			       "%s is %s: the loader refuses to preload a recorder into it; record "
			       "it as its owner, or a copy without that bit",
			       path, why);
	return 0;
}

static const ElfW(Phdr) * program_header(const struct look *look, uint32_t type)
{
	const ElfW(Phdr) * ph;

	if (look->ehdr->e_phentsize != sizeof *ph || look->ehdr->e_phoff > look->bytes ||
	    look->ehdr->e_phnum * sizeof *ph > look->bytes - look->ehdr->e_phoff)
		return NULL;
	ph = (const void *)(look->base + look->ehdr->e_phoff);
	for (int i = 0; i < look->ehdr->e_phnum; i++)
		if (ph[i].p_type == type && ph[i].p_offset <= look->bytes &&
		    ph[i].p_filesz <= look->bytes - ph[i].p_offset)
			return &ph[i];
	return NULL;
}

static const ElfW(Shdr) * dynamic_symbols(const struct look *look, const ElfW(Shdr) * *strings)
{
	const ElfW(Shdr) * sh;
	int i, count = look->ehdr->e_shnum;

	if (look->ehdr->e_shentsize != sizeof *sh || look->ehdr->e_shoff > look->bytes ||
	    count * sizeof *sh > look->bytes - look->ehdr->e_shoff || look->ehdr->e_shoff % 8)
		return NULL;
	sh = (const void *)(look->base + look->ehdr->e_shoff);
	for (i = 0; i < count; i++) {
		if (sh[i].sh_type != SHT_DYNSYM || sh[i].sh_link >= (uint32_t)count)
			continue;
		*strings = &sh[sh[i].sh_link];
		if (sh[i].sh_offset % 8 || sh[i].sh_offset > look->bytes ||
		    sh[i].sh_size > look->bytes - sh[i].sh_offset ||
		    (*strings)->sh_offset > look->bytes ||
		    (*strings)->sh_size > look->bytes - (*strings)->sh_offset)
			return NULL;
		return &sh[i];
	}
	return NULL;
}

/* Recognised by the names that they leave in a program. Each interposes malloc and ends the program
 * if another library comes before it. */
static const char *sanitizer_of(const char *name)
{
	static const char *const known[][2] = {
		{ "__asan_init", "AddressSanitizer" },
		{ "__tsan_init", "ThreadSanitizer" },
		{ "__msan_init", "MemorySanitizer" },
		{ "__hwasan_init", "HWAddressSanitizer" },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(name, known[i][0]) == 0)
			return known[i][1];
	return NULL;
}

/* Whether the program itself defines malloc, or calls none of the family. Returns the sanitizer it
 * is built with, or NULL. */
static const char *judge_symbols(const struct look *look, char *warning, size_t room)
{
	static const char *const family[] = { "malloc", "calloc", "realloc",
					      "_Znwm",	"strdup", "__libc_start_main",
					      NULL };
	const ElfW(Shdr) * strings, *table = dynamic_symbols(look, &strings);
	const ElfW(Sym) * sym;
	bool imports = false, defines = false;
	const char *sanitizer = NULL;

	if (!table)
		return NULL;
	sym = (const void *)(look->base + table->sh_offset);
	for (size_t i = 0; i < table->sh_size / sizeof *sym; i++) {
		const char *name = (const char *)look->base + strings->sh_offset + sym[i].st_name;

		if (sym[i].st_name >= strings->sh_size ||
		    !memchr(name, 0, strings->sh_size - sym[i].st_name))
			continue;
		if (!sanitizer)
			sanitizer = sanitizer_of(name);
		for (int k = 0; family[k]; k++)
			if (strcmp(name, family[k]) == 0)
				imports = true;
		if (strcmp(name, "malloc") == 0 && sym[i].st_shndx != SHN_UNDEF)
			defines = true;
	}
	if (defines)
		snprintf(warning, room,
			 "%s brings its own malloc: its calls bypass the recorder, "
			 "only what goes through libc is seen",
			 look->path);
	else if (!imports)
		snprintf(warning, room,
			 "%s calls no malloc of libc (an allocator of its own? "
			 "Go programs: see reheap import go)",
			 look->path);
	return sanitizer;
}

static bool is_loader(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, "ld-", 3) == 0;
}

static int judge_elf(const struct look *look, char *warning, size_t room, struct rh_err *err)
{
	const ElfW(Phdr) * interp;
	const char *loader, *sanitizer;

	if (look->base[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
#if defined(__x86_64__)
	    look->ehdr->e_machine != EM_X86_64
#elif defined(__aarch64__)
	    look->ehdr->e_machine != EM_AARCH64
#else
	    look->ehdr->e_machine == EM_NONE
#endif
	)
		return rh_fail(err, RH_ABSENT,
			       "%s is built for another machine than this "
			       "recorder; it needs one of its own kind",
			       look->path);
	interp = program_header(look, PT_INTERP);
	/* The loader called as a program (ld-linux-x86-64.so.2 PROGRAM) preloads what the loader
	 * does. */
	if (!interp && program_header(look, PT_DYNAMIC) && is_loader(look->path))
		return 0;
	if (!interp)
		return rh_fail(err, RH_ABSENT,
			       "%s is statically linked: nothing can be preloaded "
			       "into it; link it dynamically to record it",
			       look->path);
	loader = (const char *)look->base + interp->p_offset;
	if (interp->p_filesz && memmem(loader, interp->p_filesz, "ld-musl", 7))
		return rh_fail(err, RH_ABSENT,
			       "%s is built on musl and this recorder on glibc; "
			       "record it with a reheap built there",
			       look->path);
	sanitizer = judge_symbols(look, warning, room);
	if (sanitizer)
		return rh_fail(err, RH_ABSENT,
			       "%s is built with %s, which is the program's malloc and lets no "
			       "recorder before it; record a build without -fsanitize",
			       look->path, sanitizer);
	return 0;
}

/* Interpreter of "#!": the first word. False when it is not a script. */
static bool interpreter(const struct look *look, char *path, size_t room)
{
	size_t at = 2, from;

	if (look->bytes < 3 || memcmp(look->base, "#!", 2) != 0)
		return false;
	while (at < look->bytes && (look->base[at] == ' ' || look->base[at] == '\t'))
		at++;
	from = at;
	while (at < look->bytes && at < 4096 && !strchr(" \t\r\n", look->base[at]))
		at++;
	if (at == from || at - from >= room)
		return false;
	memcpy(path, look->base + from, at - from);
	path[at - from] = '\0';
	return true;
}

static int judge(const char *path, int depth, char *warning, size_t room, struct rh_err *err)
{
	char next[4096];
	struct rh_filemap map;
	struct look look;
	int result = 0;
	bool script;

	if (check_privilege(path, err) < 0)
		return -1;
	if (rh_filemap_open(&map, path, err) < 0) {
		err->text[0] = '\0'; /* executable but not readable: nothing can be said */
		return 0;
	}
	look = (struct look){ path, map.base, map.bytes, (const void *)map.base };
	script = interpreter(&look, next, sizeof next);
	if (!script && map.bytes >= sizeof *look.ehdr && memcmp(map.base, ELFMAG, SELFMAG) == 0)
		result = judge_elf(&look, warning, room, err);
	rh_filemap_close(&map);
	if (script && depth < SCRIPT_DEPTH && access(next, X_OK) == 0)
		return judge(next, depth + 1, warning, room, err);
	return result;
}

int rh_executable_find(const char *name, struct rh_executable *found, struct rh_err *err)
{
	found->status = 0;
	found->warning[0] = '\0';
	if (!*name) {
		found->status = NOT_FOUND;
		return rh_fail(err, RH_NO_INPUT, "the program's name is empty");
	}
	if (locate(name, found->path, sizeof found->path, &found->status, err) < 0)
		return -1;
	if (judge(found->path, 0, found->warning, sizeof found->warning, err) < 0) {
		found->status = err->code;
		return -1;
	}
	return 0;
}
