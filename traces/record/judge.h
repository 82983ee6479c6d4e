/*
 * judge.h - can the program in an ELF file be recorded? Used by the recorder and by its shim:
 * judged from the first bytes of the file, without an allocation. Thread rule: any. Errors:
 * none.
 */
#ifndef RH_RECORD_JUDGE_H
#define RH_RECORD_JUDGE_H

#include <elf.h>
#include <link.h>
#include <string.h>

#include "traces/record/area.h"

enum { RH_JUDGE_BYTES = 4096 };

/* `head`: aligned; RECORDED: no obstacle, or not known. */
static inline enum rh_kid_why rh_judge_elf(const char *path, const char *head, size_t bytes)
{
	const ElfW(Ehdr) *ehdr = (const void *)head;
	const ElfW(Phdr) *ph = (const void *)(head + ehdr->e_phoff);
	const char *slash = strrchr(path, '/');

	if (ehdr->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
#if defined(__x86_64__)
	    ehdr->e_machine != EM_X86_64
#elif defined(__aarch64__)
	    ehdr->e_machine != EM_AARCH64
#else
	    ehdr->e_machine == EM_NONE
#endif
	)
		return RH_KID_MACHINE;
	if (ehdr->e_phentsize != sizeof *ph || ehdr->e_phoff > bytes ||
	    ehdr->e_phnum * sizeof *ph > bytes - ehdr->e_phoff)
		return RH_KID_RECORDED; /* not known */
	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (ph[i].p_type != PT_INTERP)
			continue;
		if (ph[i].p_offset < bytes &&
		    memmem(head + ph[i].p_offset,
			   ph[i].p_filesz < bytes - ph[i].p_offset ? ph[i].p_filesz
								   : bytes - ph[i].p_offset,
			   "ld-musl", 7))
			return RH_KID_MUSL;
		return RH_KID_RECORDED;
	}
	/* The loader itself, started as a program, also loads us. */
	return strncmp(slash ? slash + 1 : path, "ld", 2) == 0 ? RH_KID_RECORDED : RH_KID_STATIC;
}

#endif
