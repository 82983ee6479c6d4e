/*
 * own_new.c - does a program's own operator new call malloc?
 *
 * Most do: they count, or add a header, and call malloc. Some hand out pieces of an arena, and we
 * see no call. We decide by reading the code, because calling it would change the program's
 * counts: true if it, or a function it calls within the executable, contains a call or jump to
 * the linkage table's entry of a malloc. Up to DEPTH calls deep and CODES functions; calls
 * through pointers are not followed, and count as no.
 *
 * x86-64 only. Elsewhere we assume that it calls malloc, without a warning.
 *
 * Thread rule: within a callback of dl_iterate_phdr. Errors: none. No allocation, no system call.
 */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "traces/record/shim/hook.h"
#include "traces/record/shim/symbols.h"

#if defined(__x86_64__)

enum { DEPTH = 4, CODES = 64, CODE_BYTES = 512, NAMES = 9 };

struct reader {
	struct shim_symbols symbols;
	uintptr_t base, low, high; /* the code that the executable has in one piece */
	const int32_t *functions;  /* of .eh_frame_hdr, sorted: pairs, the first is the begin, */
	uint32_t function_count;   /* relative to: */
	uintptr_t functions_base;
};

static bool is_malloc(const char *name)
{
	static const char *const names[NAMES] = {
		"malloc",	  "calloc",  "realloc",	  "aligned_alloc", "memalign",
		"posix_memalign", "mallocx", "mi_malloc", "tc_malloc",
	};

	for (int i = 0; i < NAMES; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Is it a GOT entry that holds the address of a malloc? */
static bool is_slot(const struct reader *reader, uintptr_t at)
{
	const struct shim_symbols *symbols = &reader->symbols;
	const struct {
		const ElfW(Rela) * first;
		size_t bytes;
	} tables[] = {
		{ symbols->plt, symbols->plt_bytes },
		{ symbols->data, symbols->data_bytes },
	};

	for (size_t k = 0; k < sizeof tables / sizeof tables[0]; k++) {
		size_t rows = tables[k].first ? tables[k].bytes / sizeof(ElfW(Rela)) : 0;

		for (size_t i = 0; i < rows; i++) {
			const ElfW(Rela) *row = &tables[k].first[i];
			const ElfW(Sym) *symbol = &symbols->table[ELF64_R_SYM(row->r_info)];

			if (reader->base + row->r_offset == at && ELF64_R_SYM(row->r_info))
				return is_malloc(symbols->strings + symbol->st_name);
		}
	}
	return false;
}

/* The target of the relative offset at `at`. */
static uintptr_t leads_to(uintptr_t at)
{
	int32_t distance;

	memcpy(&distance, (const void *)at, sizeof distance);
	return at + 4 + (uintptr_t)(intptr_t)distance;
}

/* jmp or call through a word, as in a linkage table: FF 25 and FF 15. */
static bool through_slot(const struct reader *reader, uintptr_t at)
{
	const uint8_t *code = (const uint8_t *)at;

	return code[0] == 0xff && (code[1] == 0x25 || code[1] == 0x15) &&
	       is_slot(reader, leads_to(at + 2));
}

/* The next functions to read; a list instead of recursion. */
struct to_read {
	uintptr_t at[CODES];
	uint8_t depth[CODES];
	uint32_t count;
};

static void note_target(const struct reader *reader, struct to_read *list, uintptr_t target,
			int depth)
{
	if (target < reader->low || target >= reader->high || depth > DEPTH || list->count == CODES)
		return;
	for (uint32_t i = 0; i < list->count; i++)
		if (list->at[i] == target)
			return;
	list->at[list->count] = target;
	list->depth[list->count++] = (uint8_t)depth;
}

/* ---- where functions end ---- */

/* The sorted table that exceptions are unwound by; gcc and clang write it for C, too. */
static void find_functions(struct reader *reader, const struct dl_phdr_info *info)
{
	enum { VERSION = 1, UDATA4 = 0x03, PCREL_SDATA4 = 0x1b, DATAREL_SDATA4 = 0x3b, HEAD = 12 };

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		const uint8_t *at = (const uint8_t *)(info->dlpi_addr + header->p_vaddr);
		uint32_t count;

		if (header->p_type != PT_GNU_EH_FRAME || header->p_memsz < HEAD ||
		    at[0] != VERSION || at[1] != PCREL_SDATA4 || at[2] != UDATA4 ||
		    at[3] != DATAREL_SDATA4)
			continue;
		memcpy(&count, at + 8, sizeof count);
		if (count > (header->p_memsz - HEAD) / 8)
			continue;
		reader->functions = (const int32_t *)(const void *)(at + HEAD);
		reader->function_count = count;
		reader->functions_base = (uintptr_t)at;
	}
}

/* Where the code that `at` lies in ends: where the next function begins. */
static uintptr_t end_of(const struct reader *reader, uintptr_t at)
{
	uint32_t low = 0, high = reader->function_count;
	uintptr_t end = at + CODE_BYTES;

	while (low < high) { /* the first that begins after `at` */
		uint32_t middle = low + (high - low) / 2;

		if (reader->functions_base + (uintptr_t)(intptr_t)reader->functions[2 * middle] >
		    at)
			high = middle;
		else
			low = middle + 1;
	}
	if (low < reader->function_count) {
		uintptr_t next =
			reader->functions_base + (uintptr_t)(intptr_t)reader->functions[2 * low];

		end = next < end ? next : end;
	}
	return end < reader->high - 6 ? end : reader->high - 6;
}

/* ret, and behind it what fills up to the next function: a nop, int3, or nothing. */
static bool is_end(uintptr_t at)
{
	uint8_t next = *(const uint8_t *)(at + 1);

	return *(const uint8_t *)at == 0xc3 &&
	       ((at + 1) % 16 == 0 || next == 0x66 || next == 0x0f || next == 0x90 || next == 0xcc);
}

/* An entry of the linkage table: [endbr64] [bnd] jmp *slot. Others follow without a gap. */
static bool is_linkage(uintptr_t at, uintptr_t end)
{
	static const uint8_t endbr64[4] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const uint8_t *code = (const uint8_t *)at;

	if (end - at < 12)
		return false;
	if (memcmp(code, endbr64, sizeof endbr64) == 0)
		code += sizeof endbr64;
	if (*code == 0xf2)
		code++;
	return code[0] == 0xff && code[1] == 0x25;
}

/* Bytes that only look like a call lead nowhere, or to code that is read in vain. */
static bool read_code(const struct reader *reader, struct to_read *list, uint32_t index)
{
	uintptr_t at = list->at[index], end = end_of(reader, at);

	if (is_linkage(at, end))
		end = at + 6; /* its jump begins within these, and the next entry does not */
	for (; at < end && !(index && is_end(at)); at++) {
		uint8_t code = *(const uint8_t *)at, next = *(const uint8_t *)(at + 1);

		if (through_slot(reader, at))
			return true;
		if (code == 0xe8 || code == 0xe9)
			note_target(reader, list, leads_to(at + 1), list->depth[index] + 1);
		if (code == 0xeb) /* a jump of one byte, to a function close by */
			note_target(reader, list, at + 2 + (uintptr_t)(intptr_t)(int8_t)next,
				    list->depth[index] + 1);
	}
	return false;
}

bool shim_new_comes_to_malloc(const struct dl_phdr_info *info, const void *operator_new)
{
	struct reader reader = { .base = info->dlpi_addr };
	struct to_read list = { .at = { (uintptr_t)operator_new }, .count = 1 };

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t low = info->dlpi_addr + header->p_vaddr;

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X) ||
		    !(header->p_flags & PF_R) || !hook_within(operator_new, low, header->p_memsz))
			continue;
		reader.low = low;
		reader.high = low + header->p_memsz;
	}
	if (reader.high - reader.low < 16 || !shim_symbols_read(info, &reader.symbols))
		return true; /* not known */
	find_functions(&reader, info);
	for (uint32_t i = 0; i < list.count; i++)
		if (read_code(&reader, &list, i))
			return true;
	return false;
}

#else

bool shim_new_comes_to_malloc(const struct dl_phdr_info *info, const void *operator_new)
{
	(void)info;
	(void)operator_new;
	return true;
}

#endif
