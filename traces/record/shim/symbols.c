/*
 * symbols.c - see symbols.h.
 */
#include <elf.h>
#include <string.h>

#include "traces/record/shim/symbols.h"

uint32_t shim_symbols_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

/* glibc has relocated the addresses; the vDSO's and musl's are still relative. */
static const void *address_of(ElfW(Addr) base, ElfW(Addr) at)
{
	return (const void *)(at < base ? base + at : at);
}

static void take_entry(struct shim_symbols *symbols, const ElfW(Dyn) * entry, const void *at)
{
	switch (entry->d_tag) {
	case DT_SYMTAB:
		symbols->table = at;
		break;
	case DT_STRTAB:
		symbols->strings = at;
		break;
	case DT_GNU_HASH:
		symbols->gnu_hash = at;
		break;
	case DT_VERSYM:
		symbols->versions = at;
		break;
	case DT_RELA:
		symbols->data = at;
		break;
	case DT_RELASZ:
		symbols->data_bytes = entry->d_un.d_val;
		break;
	case DT_JMPREL:
		symbols->plt = at;
		break;
	case DT_PLTRELSZ:
		symbols->plt_bytes = entry->d_un.d_val;
		break;
	default:
		break;
	}
}

bool shim_symbols_read(const struct dl_phdr_info *info, struct shim_symbols *symbols)
{
	const ElfW(Dyn) *dynamic = NULL;

	*symbols = (struct shim_symbols){ 0 };
	for (int i = 0; info->dlpi_phdr && i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		take_entry(symbols, dynamic, address_of(info->dlpi_addr, dynamic->d_un.d_ptr));
	return symbols->table && symbols->strings && symbols->gnu_hash;
}

static bool is_it(const struct shim_symbols *symbols, uint32_t index, const char *name)
{
	const ElfW(Sym) *symbol = &symbols->table[index];

	return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
	       !(symbols->versions && symbols->versions[index] & 0x8000) &&
	       strcmp(symbols->strings + symbol->st_name, name) == 0;
}

/* The GNU hash table: buckets of chains whose last entry has an odd hash. */
struct gnu_hash {
	uint32_t buckets, first;
	const uint32_t *bucket, *chain;
};

static struct gnu_hash hash_table(const struct shim_symbols *symbols)
{
	const uint32_t *head = symbols->gnu_hash;
	struct gnu_hash table = { .buckets = head[0], .first = head[1] };

	table.bucket = head + 4 + head[2] * (sizeof(ElfW(Addr)) / 4);
	table.chain = table.bucket + table.buckets;
	return table;
}

const ElfW(Sym) *
	shim_symbols_find(const struct shim_symbols *symbols, const char *name, uint32_t hash)
{
	struct gnu_hash table = hash_table(symbols);
	uint32_t index = table.buckets ? table.bucket[hash % table.buckets] : 0;

	for (; table.buckets && index >= table.first; index++) {
		uint32_t here = table.chain[index - table.first];

		if ((here | 1) == (hash | 1) && is_it(symbols, index, name))
			return &symbols->table[index];
		if (here & 1)
			break;
	}
	return NULL;
}

void shim_symbols_defined(const struct shim_symbols *symbols, uint32_t *first, uint32_t *end)
{
	struct gnu_hash table = hash_table(symbols);
	uint32_t last = 0;

	for (uint32_t i = 0; i < table.buckets; i++)
		last = table.bucket[i] > last ? table.bucket[i] : last;
	*first = table.first;
	*end = table.first;
	if (last < table.first)
		return;
	while (!(table.chain[last - table.first] & 1))
		last++;
	*end = last + 1;
}
