/*
 * local.c - does an object have a malloc that only it can call?
 *
 * A malloc that is static, hidden or kept out of the dynamic symbols (--exclude-libs, a version
 * script) is called directly, and so are those of allocators that were linked in under names of
 * their own. The loader does not know them; the file's full symbol table (.symtab) does, unless it
 * was stripped. So each object's file is read once. Of a stripped one the last evidence is memory
 * that no event explains (complete.c).
 *
 * An object that offers its malloc to others is not looked at here: look.c knows those. One whose
 * malloc calls ours is none either.
 *
 * Thread rule: one thread at a time, in a callback of dl_iterate_phdr. Errors: none; a file that
 * cannot be read has no malloc. Makes system calls, which the caller knows to be allowed.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "traces/record/shim/hook.h"
#include "traces/record/shim/symbols.h"

enum { SECTIONS = 16, OBJECTS = 512 };
#define TABLE_MOST (1ull << 32)

struct table {
	const char *at;
	size_t bytes;
	void *mapped;
	size_t mapped_bytes;
};

static bool read_at(long fd, void *to, size_t bytes, uint64_t at)
{
	return shim_raw(SYS_pread64, fd, (long)(uintptr_t)to, (long)bytes, (long)at, 0, 0) ==
	       (long)bytes;
}

/* Its last byte is read first: what lies past a file's end may be mapped, but not touched. */
static bool map_section(long fd, const ElfW(Shdr) * section, struct table *table)
{
	uint64_t page = RH_AREA_PAGE_MOST, from = section->sh_offset & ~(page - 1);
	char last;
	long at;

	if (!section->sh_size || section->sh_size > TABLE_MOST || section->sh_offset > TABLE_MOST ||
	    !read_at(fd, &last, 1, section->sh_offset + section->sh_size - 1))
		return false;
	table->mapped_bytes = section->sh_offset - from + section->sh_size;
	at = shim_raw(SYS_mmap, 0, (long)table->mapped_bytes, PROT_READ, MAP_PRIVATE, fd,
		      (long)from);
	if (at < 0 && at > -4096)
		return false;
	table->mapped = (void *)at;
	table->at = (const char *)at + (section->sh_offset - from);
	table->bytes = section->sh_size;
	return true;
}

static void unmap_section(const struct table *table)
{
	shim_raw(SYS_munmap, (long)(uintptr_t)table->mapped, (long)table->mapped_bytes, 0, 0, 0, 0);
}

/* Also of a copy that a compiler made: malloc.part.0. */
static bool is_name(const char *name, const char *of)
{
	size_t bytes = strlen(of);

	return strncmp(name, of, bytes) == 0 && (name[bytes] == '\0' || name[bytes] == '.');
}

/* jemalloc has whatever prefix its user chose; this function of it is always there. */
static bool is_jemalloc(const char *name, size_t bytes)
{
	static const char tail[] = "arena_malloc_hard";

	return bytes >= sizeof tail - 1 && strcmp(name + bytes - (sizeof tail - 1), tail) == 0;
}

static bool is_foreign(const char *name)
{
	/* clang-format off */
	static const char *const names[] = {
		"mi_malloc", "mi_heap_malloc", "tc_malloc", "je_malloc", "rpmalloc",
		"scalable_malloc",
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (is_name(name, names[i]))
			return true;
	return is_jemalloc(name, strlen(name));
}

static bool is_malloc(const struct dl_phdr_info *info, const ElfW(Sym) * symbol, const char *name)
{
#if defined(__x86_64__)
	if (is_name(name, "malloc"))
		return !shim_new_comes_to_malloc(
			info, (const void *)(info->dlpi_addr + symbol->st_value));
#else
	(void)info;
	(void)symbol;
	if (is_name(name, "malloc"))
		return true;
#endif
	return is_foreign(name);
}

static bool search(const struct dl_phdr_info *info, const struct table *symbols,
		   const struct table *strings)
{
	const ElfW(Sym) *symbol = (const void *)symbols->at;

	if (strings->at[strings->bytes - 1] != '\0')
		return false;
	for (size_t i = 0; i < symbols->bytes / sizeof *symbol; i++)
		if (ELF64_ST_TYPE(symbol[i].st_info) == STT_FUNC &&
		    symbol[i].st_shndx != SHN_UNDEF && symbol[i].st_name < strings->bytes &&
		    is_malloc(info, &symbol[i], strings->at + symbol[i].st_name))
			return true;
	return false;
}

static bool search_section(const struct dl_phdr_info *info, long fd, const ElfW(Ehdr) * head,
			   const ElfW(Shdr) * section)
{
	ElfW(Shdr) linked;
	struct table symbols, strings;
	bool found = false;

	if (section->sh_link >= head->e_shnum || section->sh_offset % sizeof(ElfW(Addr)) ||
	    !read_at(fd, &linked, sizeof linked,
		     head->e_shoff + section->sh_link * sizeof linked) ||
	    !map_section(fd, section, &symbols))
		return false;
	if (map_section(fd, &linked, &strings)) {
		found = search(info, &symbols, &strings);
		unmap_section(&strings);
	}
	unmap_section(&symbols);
	return found;
}

static bool search_file(const struct dl_phdr_info *info, long fd)
{
	ElfW(Ehdr) head;
	ElfW(Shdr) sections[SECTIONS];

	if (!read_at(fd, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_shentsize != sizeof sections[0])
		return false;
	for (uint32_t i = 0; i < head.e_shnum; i += SECTIONS) {
		uint32_t count = head.e_shnum - i < SECTIONS ? head.e_shnum - i : SECTIONS;

		if (!read_at(fd, sections, count * sizeof sections[0],
			     head.e_shoff + i * sizeof sections[0]))
			return false;
		for (uint32_t k = 0; k < count; k++)
			if (sections[k].sh_type == SHT_SYMTAB)
				return search_section(info, fd, &head, &sections[k]);
	}
	return false;
}

static bool search_object(const struct dl_phdr_info *info)
{
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	bool found;
	long fd;

	if (!strchr(path, '/')) /* the vDSO has no file */
		return false;
	fd = shim_raw(SYS_openat, AT_FDCWD, (long)(uintptr_t)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return false;
	found = search_file(info, fd);
	shim_raw(SYS_close, fd, 0, 0, 0, 0, 0);
	return found;
}

/* What was found in an object, kept: a later recording of this process asks again. */
struct known {
	uint64_t key; /* 0 = none */
	bool has_malloc;
};

/* An object's answer, read from its file at first; NULL: no room, and no file is read time and
 * again. */
static struct known *known_of(const struct dl_phdr_info *info)
{
	static struct known known[OBJECTS];
	uint64_t key = ((uint64_t)info->dlpi_addr << 16) ^ shim_symbols_hash(info->dlpi_name) ^ 1;

	for (int i = 0; i < OBJECTS; i++) {
		if (known[i].key == key)
			return &known[i];
		if (!known[i].key) {
			known[i].has_malloc = search_object(info);
			known[i].key = key;
			return &known[i];
		}
	}
	return NULL;
}

bool shim_local_malloc(const struct dl_phdr_info *info)
{
	const struct known *known = known_of(info);

	return known && known->has_malloc;
}
