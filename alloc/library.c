/*
 * library.c - reads the dynamic symbols of an ELF file, bounds first.
 *
 * The driver must know whether a file the user named is an allocator without running a
 * stranger's constructors, so it does not dlopen. The file is mapped; every offset and
 * count is checked against its length before it is followed.
 */
#include "alloc/library.h"

#include <assert.h>
#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "alloc/backend.h"
#include "alloc/base/os.h"

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#elif defined(__riscv)
enum { MACHINE = EM_RISCV };
#else
enum { MACHINE = EM_NONE };
#endif

/* `count` things of `each` bytes at `offset`, or NULL when the file does not hold them (or they
 * are not aligned as a table in ELF is). Every read of the file goes through here, so no table
 * can lead outside the mapping, however the numbers were forged. */
static const void *part(const struct rh_filemap *file, uint64_t offset, uint64_t count,
			uint64_t each)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(count, each, &bytes) || offset > file->bytes ||
	    bytes > file->bytes - offset || (each > 1 && offset % sizeof(ElfW(Addr)) != 0))
		return NULL;
	return file->base + offset;
}

static const ElfW(Ehdr) *
	header_of(const struct rh_filemap *file, const char *path, struct rh_err *err)
{
	const ElfW(Ehdr) *head = part(file, 0, 1, sizeof(*head));
	/* A 32-bit library beside ours is common (lib32); its structures have other
	 * sizes. */
	const unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;

	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) {
		rh_fail(err, RH_BAD_DATA, "%s is not a shared library (no ELF header)", path);
		return NULL;
	}
	if (head->e_ident[EI_CLASS] != class ||
	    (MACHINE != EM_NONE && head->e_machine != MACHINE)) {
		rh_fail(err, RH_BAD_DATA, "%s is a library for another kind of machine", path);
		return NULL;
	}
	/* A program is ET_EXEC or ET_DYN too; one that defines malloc and free for
	 * itself would be preloaded and fail in ld.so, which reports it. */
	if (head->e_type != ET_DYN) {
		rh_fail(err, RH_BAD_DATA, "%s is ELF, but not a shared library", path);
		return NULL;
	}
	return head;
}

static void look_at(const ElfW(Sym) * symbol, const char *names, uint64_t names_bytes,
		    struct rh_library *library, bool *has_free)
{
	const char *name = names + symbol->st_name;

	/* Undefined means that the library calls malloc, which most do. */
	if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= names_bytes)
		return;
	if (strcmp(name, "malloc") == 0)
		library->has_malloc = true;
	else if (strcmp(name, "free") == 0)
		*has_free = true;
	else if (strcmp(name, "reheap_backend") == 0)
		library->has_native = true;
}

/* ---- the table of symbols ---- */

struct symbols {
	const ElfW(Sym) * first;
	uint64_t count;
	const char *names;
	uint64_t names_bytes;
};

static int read_symbols(const struct rh_filemap *file, const char *path, struct symbols *out,
			struct rh_err *err)
{
	const ElfW(Ehdr) *head = header_of(file, path, err);
	const ElfW(Shdr) * sections;

	*out = (struct symbols){ .count = 0 };
	if (!head)
		return -1;
	sections = part(file, head->e_shoff, head->e_shnum, sizeof(*sections));
	/* Section headers and not PT_DYNAMIC: strip keeps them, and they give the
	 * number of symbols, which the dynamic table only has by way of a hash table. */
	if (!sections || head->e_shnum == 0 || head->e_shentsize != sizeof(*sections))
		return rh_fail(err, RH_BAD_DATA, "%s is cut off: its section table is missing",
			       path);
	for (unsigned i = 0; i < head->e_shnum; i++) {
		const ElfW(Shdr) *table = &sections[i], *text;

		if (table->sh_type != SHT_DYNSYM || table->sh_link >= head->e_shnum)
			continue;
		text = &sections[table->sh_link];
		out->count = table->sh_size / sizeof(*out->first);
		out->first = part(file, table->sh_offset, out->count, sizeof(*out->first));
		out->names = part(file, text->sh_offset, text->sh_size, 1);
		out->names_bytes = text->sh_size;
		/* A last byte of 0 ends every name that starts inside. */
		if (!out->first || !out->names || text->sh_size == 0 ||
		    out->names[text->sh_size - 1] != '\0')
			return rh_fail(err, RH_BAD_DATA,
				       "%s is damaged: its symbols lie outside it", path);
	}
	return 0;
}

static int scan(const struct rh_filemap *file, const char *path, struct rh_library *library,
		struct rh_err *err)
{
	struct symbols symbols;
	bool has_free = false;

	assert(!library->has_malloc);
	if (read_symbols(file, path, &symbols, err) < 0)
		return -1;
	for (uint64_t s = 0; s < symbols.count; s++)
		look_at(&symbols.first[s], symbols.names, symbols.names_bytes, library, &has_free);
	/* A library of hooks may define malloc alone; its blocks would go back to
	 * another heap. */
	library->has_malloc = library->has_malloc && has_free;
	return 0;
}

int rh_library_inspect(const char *path, struct rh_library *library, struct rh_err *err)
{
	struct rh_filemap file;
	int result;

	*library = (struct rh_library){ 0 };
	if (rh_filemap_open(&file, path, err) < 0)
		return -1;
	result = scan(&file, path, library, err);
	assert(result < 0 || file.bytes > sizeof(ElfW(Ehdr))); /* what was found lies in the file */
	rh_filemap_close(&file);
	return result;
}

/* ---- the code of malloc ---- */

static bool is_malloc_family(const char *name)
{
	static const char *const family[] = {
		"malloc",	  "free",	  "cfree",     "calloc",
		"realloc",	  "memalign",	  "valloc",    "pvalloc",
		"aligned_alloc",  "mallinfo",	  "mallinfo2", "malloc_usable_size",
		"malloc_trim",	  "malloc_stats", "mallopt",   "malloc_info",
		"posix_memalign", "free_sized",	  "morecore",  "free_aligned_sized",
	};
	static const char *const before[] = { "__libc_", "__default_", "__malloc_", "" };

	for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
		size_t skip = strlen(before[b]);

		if (strncmp(name, before[b], skip) != 0)
			continue;
		for (size_t i = 0; i < sizeof(family) / sizeof(family[0]); i++)
			if (strcmp(name + skip, family[i]) == 0)
				return true;
	}
	return false;
}

/* An exported function of the file and its name; NULL = it is none. */
static const char *function_of(const struct symbols *symbols, uint64_t at)
{
	const ElfW(Sym) *symbol = &symbols->first[at];

	assert(at < symbols->count);
	if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= symbols->names_bytes ||
	    (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC &&
	     ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC))
		return NULL;
	return symbols->names + symbol->st_name;
}

/* Where the functions around `malloc` that are not of its family end and begin. */
static bool neighbours(const struct symbols *symbols, uint64_t *first, uint64_t *end)
{
	uint64_t malloc_at = 0, free_at = 0;

	assert(symbols->count == 0 || symbols->names[symbols->names_bytes - 1] == '\0');
	for (uint64_t s = 0; s < symbols->count; s++) {
		const char *name = function_of(symbols, s);

		if (name && strcmp(name, "malloc") == 0)
			malloc_at = symbols->first[s].st_value;
		if (name && strcmp(name, "free") == 0)
			free_at = symbols->first[s].st_value;
	}
	*first = 0;
	*end = UINT64_MAX;
	for (uint64_t s = 0; s < symbols->count; s++) {
		const char *name = function_of(symbols, s);
		uint64_t at = symbols->first[s].st_value, behind = at + symbols->first[s].st_size;

		if (!name || is_malloc_family(name))
			continue;
		if (at < malloc_at && behind > *first)
			*first = behind;
		if (at > malloc_at && at < *end)
			*end = at;
	}
	return malloc_at > 0 && *first <= malloc_at && *end < UINT64_MAX && free_at > *first &&
	       free_at < *end;
}

/* An address of the library is this far into its file. */
static bool into_file(const struct rh_filemap *file, uint64_t *first, uint64_t *end)
{
	const ElfW(Ehdr) *head = part(file, 0, 1, sizeof(*head));
	const ElfW(Phdr) *rows =
		head ? part(file, head->e_phoff, head->e_phnum, sizeof(*rows)) : NULL;

	assert(*first < *end);
	for (unsigned i = 0; rows && i < head->e_phnum; i++) {
		const ElfW(Phdr) *row = &rows[i];

		if (row->p_type != PT_LOAD || *first < row->p_vaddr ||
		    *end > row->p_vaddr + row->p_filesz)
			continue;
		*first += row->p_offset - row->p_vaddr;
		*end += row->p_offset - row->p_vaddr;
		return true;
	}
	return false;
}

int rh_library_malloc_code(const char *path, uint64_t *first, uint64_t *end, struct rh_err *err)
{
	struct rh_filemap file;
	struct symbols symbols;
	int result;

	if (rh_filemap_open(&file, path, err) < 0)
		return -1;
	result = read_symbols(&file, path, &symbols, err);
	if (result == 0 && (!neighbours(&symbols, first, end) || !into_file(&file, first, end)))
		result = rh_fail(err, RH_ABSENT, "the functions of %s's malloc do not lie together",
				 path);
	assert(result < 0 || *first < *end);
	rh_filemap_close(&file);
	return result;
}
