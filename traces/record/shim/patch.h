/*
 * patch.h - redirects calls that would bypass us.
 *
 * Preloading covers look-ups in the global scope. It does not cover an object opened with
 * RTLD_DEEPBIND (its own libraries come first: libc, for malloc), a function looked up by dlsym
 * in libc itself, nor, when we attach late, symbols that are bound already. So:
 *
 *	tables	the entry of malloc in the symbol table of the object that defines it is made to
 *		lead to us. Whatever the loader binds from now on, by whatever scope, comes to
 *		us; also in objects opened later, and in their constructors.
 *	slots	what is bound already is a word in an object's GOT or data: those that
 *		hold the real function are made to hold ours. Only where we come late.
 *	dlsym	asked for a function of one object (mi_malloc of a library opened by dlopen), it
 *		gives ours if ours calls that one. If not, the verdict says that its calls are
 *		not seen.
 *
 * Tables and slots can be undone: every slot that holds a function of ours gets the real one, also
 * those that were bound meanwhile. Addresses that a running program has copied from a slot into its
 * own memory are not found: calls through them stay as they were.
 *
 * Only the functions that ours call are patched: if another malloc lies between us and libc's,
 * libc's stay unchanged, because that malloc calls them.
 *
 * Thread rule: one thread at a time patches, while others run: a slot is one aligned store.
 * Errors: none; slots that cannot be written stay unchanged. No allocation.
 */
#ifndef RH_RECORD_PATCH_H
#define RH_RECORD_PATCH_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* The real function behind a table's entry that leads to us. */
void *shim_patch_next(const ElfW(Sym) * symbol);
/* What dlsym is to give to who asks one object for that name, and would get `found`. */
void *shim_patch_instead(const char *name, void *found);
void shim_patch_tables(bool on);
/* Returns the number of changed slots. */
uint32_t shim_patch_slots(bool on);

#pragma GCC visibility pop

#endif
