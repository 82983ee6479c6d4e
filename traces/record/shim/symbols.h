/*
 * symbols.h - the symbol table of one loaded object, read where the loader has it.
 *
 * Thread rule: any thread; the object must stay loaded (within a dl_iterate_phdr callback it
 * does). Errors: none; an object without a GNU hash table has no symbols. No allocation.
 */
#ifndef RH_RECORD_SYMBOLS_H
#define RH_RECORD_SYMBOLS_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct shim_symbols {
	const ElfW(Sym) * table;
	const char *strings;
	const uint32_t *gnu_hash;
	const uint16_t *versions;
	const ElfW(Rela) * data, *plt; /* relocations of data, and of the procedure linkage table */
	size_t data_bytes, plt_bytes;
};

bool shim_symbols_read(const struct dl_phdr_info *info, struct shim_symbols *symbols);
uint32_t shim_symbols_hash(const char *name);
/* The function of that name which the object defines, by its default version. */
const ElfW(Sym) *
	shim_symbols_find(const struct shim_symbols *symbols, const char *name, uint32_t hash);
/* All that it defines lies in [first, end) of the table. */
void shim_symbols_defined(const struct shim_symbols *symbols, uint32_t *first, uint32_t *end);

#pragma GCC visibility pop

#endif
