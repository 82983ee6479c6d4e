/*
 * patch.h - calls that would bypass us come to us.
 *
 * Preloading reaches what is looked up in the global scope. It does not reach an object that
 * was opened with RTLD_DEEPBIND (its own libraries come first: libc, for malloc), a function
 * looked up by dlsym in libc itself, nor, when we come late, what is bound already. So:
 *
 *	tables	the entry of malloc in the symbol table of the object that defines it is made to
 *		lead to us. Whatever the loader binds from now on, by whatever scope, comes to
 *		us; also in objects opened later, and in their constructors.
 *	slots	what is bound already is a word in an object's GOT or data: those that
 *		hold the real function are made to hold ours. Only where we come late.
 *
 * Both can be taken back: every slot that holds a function of ours gets the real one, also
 * those that were bound meanwhile. What a running program has copied from a slot into
 * memory of its own is not found: those calls go on as they were.
 *
 * Only the functions behind ours are touched: where another malloc stands between us and libc's,
 * libc's stay as they are, for that one calls them.
 *
 * Thread rule: one thread at a time patches, while others run: a slot is one aligned store.
 * Errors: none; what may not be written stays as it is. No allocation.
 */
#ifndef RH_RECORD_PATCH_H
#define RH_RECORD_PATCH_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* The real function behind a table's entry that leads to us. */
void *shim_patch_next(const ElfW(Sym) * symbol);
void shim_patch_tables(bool on);
/* Returns how many were changed. */
uint32_t shim_patch_slots(bool on);

#pragma GCC visibility pop

#endif
