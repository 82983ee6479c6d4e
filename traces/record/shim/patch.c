/*
 * patch.c - see patch.h.
 *
 * We interpose exactly the functions that we export: the list is our own symbol table. The real
 * function is that of the first other object with the name, in the order of loading.
 *
 * x86-64 and aarch64 name their relocations differently and mean the same three: a slot of the
 * procedure linkage table, one of the GOT, and an address in data.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "traces/record/shim/hook.h"
#include "traces/record/shim/patch.h"
#include "traces/record/shim/symbols.h"

enum { ENTRIES = 256 };

#if defined(__x86_64__)
#define IS_SLOT(type) \
	((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT || (type) == R_X86_64_64)
#else
#define IS_SLOT(type) \
	((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT || (type) == R_AARCH64_ABS64)
#endif

struct entry {
	const char *name;
	uint32_t hash;
	uintptr_t ours, next;	/* next: 0 if no other object defines it */
	const ElfW(Sym) * real; /* its entry in that object's table, */
	ElfW(Addr) value;	/* as it was, */
	uint32_t in;		/* and whether that is patched: enum table */
};
enum table { TABLE_LEFT, TABLE_WANTED, TABLE_PATCHED };

static struct entry entries[ENTRIES];
static uint32_t entry_count;

/* ---- the list ---- */

static bool is_self(const struct shim_symbols *symbols)
{
	return hook_within(symbols->table, hook_self.low, hook_self.bytes);
}

static int list_own(struct dl_phdr_info *info, size_t bytes, void *unused)
{
	struct shim_symbols symbols;
	uint32_t first, end;

	(void)bytes;
	(void)unused;
	if (!shim_symbols_read(info, &symbols) || !is_self(&symbols))
		return 0;
	shim_symbols_defined(&symbols, &first, &end);
	for (uint32_t i = first; i < end && entry_count < ENTRIES; i++) {
		const ElfW(Sym) *symbol = &symbols.table[i];
		const char *name = symbols.strings + symbol->st_name;

		if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
			continue;
		entries[entry_count++] =
			(struct entry){ .name = name,
					.hash = shim_symbols_hash(name),
					.ours = info->dlpi_addr + symbol->st_value };
	}
	return 1;
}

static int list_real(struct dl_phdr_info *info, size_t bytes, void *unused)
{
	struct shim_symbols symbols;

	(void)bytes;
	(void)unused;
	if (!shim_symbols_read(info, &symbols) || is_self(&symbols))
		return 0;
	for (uint32_t i = 0; i < entry_count; i++) {
		struct entry *entry = &entries[i];
		const ElfW(Sym) *symbol =
			entry->next ? NULL : shim_symbols_find(&symbols, entry->name, entry->hash);

		if (!symbol)
			continue;
		entry->real = symbol;
		entry->value = symbol->st_value;
		entry->next = info->dlpi_addr + symbol->st_value;
	}
	return 0;
}

/* For thread functions as well, the next definition counts, whichever object has it. */
static bool is_wanted(const struct entry *entry)
{
	return entry->next &&
	       (hook_within((const void *)entry->next, hook_malloc.low, hook_malloc.bytes) ||
		strncmp(entry->name, "pthread_", 8) == 0 || strncmp(entry->name, "thrd_", 5) == 0);
}

static bool make_list(void)
{
	if (entry_count)
		return true;
	shim_hook_ranges();
	if (!hook_malloc.bytes || !hook_self.bytes)
		return false;
	dl_iterate_phdr(list_own, NULL);
	dl_iterate_phdr(list_real, NULL);
	for (uint32_t i = 0; i < entry_count; i++)
		entries[i].in = is_wanted(&entries[i]) ? TABLE_WANTED : TABLE_LEFT;
	return entry_count != 0;
}

void *shim_patch_next(const ElfW(Sym) * symbol)
{
	for (uint32_t i = 0; i < entry_count; i++)
		if (entries[i].real == symbol)
			return (void *)entries[i].next;
	return NULL;
}

/* The list is there once the tables are patched. */
static const struct entry *entry_named(const char *name)
{
	uint32_t hash = shim_symbols_hash(name);

	for (uint32_t i = 0; i < entry_count; i++)
		if (entries[i].hash == hash && strcmp(entries[i].name, name) == 0)
			return &entries[i];
	return NULL;
}

void *shim_patch_instead(const char *name, void *found)
{
	const struct entry *entry = entry_named(name);

	if (!entry || hook_within(found, hook_self.low, hook_self.bytes))
		return found;
	if (shim_hook_find(name) == found && !shim_hook_is_preceded())
		return (void *)entry->ours;
	shim_look_past_us(found);
	return found;
}

/* ---- writing to read-only pages ---- */

static uintptr_t page_bytes(void)
{
	return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* The protection of an address of that object after the loader has finished. */
static int access_of(const struct dl_phdr_info *info, uintptr_t at)
{
	int may = -1;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t low = info->dlpi_addr + header->p_vaddr, high = low + header->p_memsz;

		if (header->p_type == PT_LOAD && at >= low && at < high)
			may = (header->p_flags & PF_R ? PROT_READ : 0) |
			      (header->p_flags & PF_W ? PROT_WRITE : 0) |
			      (header->p_flags & PF_X ? PROT_EXEC : 0);
	}
	for (int i = 0; i < info->dlpi_phnum && may >= 0; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t low = info->dlpi_addr + header->p_vaddr, high = low + header->p_memsz;

		if (header->p_type == PT_GNU_RELRO && at >= (low & -page_bytes()) &&
		    at < (high & -page_bytes()))
			may &= ~PROT_WRITE;
	}
	return may;
}

/* Pages that are writable for the moment: [low, high), all of one kind. */
struct opened {
	uintptr_t low, high;
	int may; /* as it was */
};

static void shut(struct opened *opened)
{
	if (opened->high)
		mprotect((void *)opened->low, opened->high - opened->low, opened->may);
	opened->high = 0;
}

static bool open_for(struct opened *opened, const struct dl_phdr_info *info, uintptr_t at)
{
	uintptr_t page = page_bytes(), low = at & -page, high = ((at + 7) & -page) + page;
	int may = access_of(info, at);

	if (may < 0)
		return false;
	if (may & PROT_WRITE || (opened->high && low >= opened->low && high <= opened->high))
		return true;
	shut(opened);
	if (mprotect((void *)low, high - low, may | PROT_WRITE) < 0)
		return false;
	*opened = (struct opened){ low, high, may };
	return true;
}

static void write_word(uintptr_t at, uintptr_t value)
{
	__atomic_store_n((uintptr_t *)at, value, __ATOMIC_RELEASE);
}

/* ---- tables ---- */

static int patch_table(struct dl_phdr_info *info, size_t bytes, void *context)
{
	const bool *on = context;
	struct opened opened = { 0 };

	(void)bytes;
	for (uint32_t i = 0; i < entry_count; i++) {
		struct entry *entry = &entries[i];
		uintptr_t at;

		if (entry->in != (*on ? TABLE_WANTED : TABLE_PATCHED))
			continue;
		at = (uintptr_t)&entry->real->st_value;
		if (!open_for(&opened, info, at)) /* or it belongs to another object */
			continue;
		write_word(at, *on ? entry->ours - info->dlpi_addr : entry->value);
		entry->in = *on ? TABLE_PATCHED : TABLE_WANTED;
	}
	shut(&opened);
	return 0;
}

void shim_patch_tables(bool on)
{
	if (make_list())
		dl_iterate_phdr(patch_table, &on);
}

/* ---- slots ---- */

struct slots {
	const struct dl_phdr_info *info;
	struct shim_symbols symbols;
	struct opened opened;
	bool on;
	uint32_t changed;
};

static const struct entry *entry_of(const struct shim_symbols *symbols, uint64_t index)
{
	const char *name = symbols->strings + symbols->table[index].st_name;

	for (uint32_t i = 0; index && i < entry_count; i++)
		if (entries[i].next && strcmp(entries[i].name, name) == 0)
			return &entries[i];
	return NULL;
}

static void patch_slot(struct slots *slots, const ElfW(Rela) * slot)
{
	uintptr_t at = slots->info->dlpi_addr + slot->r_offset, from, to;
	const struct entry *entry;

	if (!IS_SLOT(ELF64_R_TYPE(slot->r_info)) || slot->r_addend || at % sizeof at)
		return;
	entry = entry_of(&slots->symbols, ELF64_R_SYM(slot->r_info));
	if (!entry)
		return;
	from = slots->on ? entry->next : entry->ours;
	to = slots->on ? entry->ours : entry->next;
	if (*(volatile uintptr_t *)at != from || !open_for(&slots->opened, slots->info, at))
		return;
	write_word(at, to);
	slots->changed++;
}

static int patch_object(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct slots *slots = context;

	(void)bytes;
	slots->info = info;
	if (!shim_symbols_read(info, &slots->symbols) || is_self(&slots->symbols))
		return 0;
	for (size_t i = 0; i < slots->symbols.data_bytes / sizeof(ElfW(Rela)); i++)
		patch_slot(slots, &slots->symbols.data[i]);
	for (size_t i = 0; i < slots->symbols.plt_bytes / sizeof(ElfW(Rela)); i++)
		patch_slot(slots, &slots->symbols.plt[i]);
	shut(&slots->opened);
	return 0;
}

uint32_t shim_patch_slots(bool on)
{
	struct slots slots = { .on = on };

	if (make_list())
		dl_iterate_phdr(patch_object, &slots);
	return slots.changed;
}
