/*
 * loaded.c - checks objects that the program loads while it runs, as soon as they are used.
 *
 * The check at exit (look.c) does not see objects that were closed by then, and does not happen
 * in a process that is killed or calls _exit, as servers and their workers do. A program that
 * has opened an object asks for a function in it: so dlsym and dlclose are interposed, and if
 * objects came or went since the last check, we check again. dlopen itself is left alone.
 *
 * dlsym depends on its caller where it is asked for RTLD_NEXT or RTLD_DEFAULT, so there it is not
 * called but jumped to, with the stack as the caller left it. With a handle it is called, and may
 * give our function in the place of that one (patch.h).
 *
 * Thread rule: any thread. Errors: none; errno is kept. No allocation of ours.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>

#include "traces/record/shim/hook.h"
#include "traces/record/shim/patch.h"

enum which { WHICH_DLSYM, WHICH_DLCLOSE, WHICHES };

void *shim_loaded_before(const void *handle, const char *name, uint32_t which);

#if defined(__x86_64__)
#define OLDEST_GLIBC "GLIBC_2.2.5"
#define STUB(name, which)                                                                    \
	__asm__(".text\n.globl " name "\n.type " name ", @function\n.p2align 4\n" name ":\n" \
		"	.cfi_startproc\n"                                                          \
		"	endbr64\n"                                                                 \
		"	push %rdi\n"                                                               \
		"	push %rsi\n"                                                               \
		"	sub $8, %rsp\n"                                                            \
		"	.cfi_adjust_cfa_offset 24\n"                                               \
		"	mov $" which ", %edx\n"                                              \
		"	call shim_loaded_before\n"                                                 \
		"	add $8, %rsp\n"                                                            \
		"	pop %rsi\n"                                                                \
		"	pop %rdi\n"                                                                \
		"	.cfi_adjust_cfa_offset -24\n"                                              \
		"	jmp *%rax\n"                                                               \
		"	.cfi_endproc\n.size " name ", .-" name "\n")
#else
#define OLDEST_GLIBC "GLIBC_2.17"
#define STUB(name, which)                                                                    \
	__asm__(".text\n.globl " name "\n.type " name ", %function\n.p2align 4\n" name ":\n" \
		"	.cfi_startproc\n"                                                          \
		"	stp x29, x30, [sp, #-32]!\n"                                               \
		"	.cfi_def_cfa_offset 32\n"                                                  \
		"	.cfi_offset 29, -32\n"                                                     \
		"	.cfi_offset 30, -24\n"                                                     \
		"	stp x0, x1, [sp, #16]\n"                                                   \
		"	mov w2, #" which "\n"                                                \
		"	bl shim_loaded_before\n"                                                   \
		"	mov x16, x0\n"                                                             \
		"	ldp x0, x1, [sp, #16]\n"                                                   \
		"	ldp x29, x30, [sp], #32\n"                                                 \
		"	.cfi_def_cfa_offset 0\n"                                                   \
		"	.cfi_restore 29\n"                                                         \
		"	.cfi_restore 30\n"                                                         \
		"	br x16\n"                                                                  \
		"	.cfi_endproc\n.size " name ", .-" name "\n")
#endif

STUB("dlsym", "0");
STUB("dlclose", "1");
_Static_assert(WHICH_DLSYM == 0 && WHICH_DLCLOSE == 1, "as the stubs have it");

static _Atomic uint64_t changes; /* of the list of objects, at the last look */

static int count_changes(struct dl_phdr_info *info, size_t bytes, void *context)
{
	uint64_t *count = context;

	if (bytes >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
		*count = info->dlpi_adds + info->dlpi_subs;
	return 1;
}

/* Whether that has changed since the last call. */
bool shim_loaded_anew(void)
{
	uint64_t now = 0;

	dl_iterate_phdr(count_changes, &now);
	return atomic_exchange(&changes, now) != now;
}

/* By its oldest version, whose entry is never patched; if we attached late, RTLD_NEXT does not
 * work. */
static void *find(const char *name)
{
	void *found = NULL;

	if (atomic_load(&shim.late) == SHIM_EARLY)
		found = dlvsym(RTLD_NEXT, name, OLDEST_GLIBC);
	return found ? found : shim_hook_find(name);
}

static _Atomic(void *) next[WHICHES];

static void *asked(void *handle, const char *name)
{
	union {
		void *object;
		void *(*dlsym)(void *, const char *);
	} u = { .object = atomic_load(&next[WHICH_DLSYM]) };
	void *found = u.dlsym(handle, name);
	int saved = errno;

	if (found)
		found = shim_patch_instead(name, found);
	errno = saved;
	return found;
}

/* A file is read where the supervisor was asked first. Each answer takes up to a beat, so a program
 * with many libraries waits for the first ones, and the rest is read at its exit. */
static bool may_read(void)
{
	enum { ASKS = 8 };
	static _Atomic uint32_t asks;

	return atomic_load(&asks) < ASKS && atomic_fetch_add(&asks, 1) < ASKS &&
	       shim_may_call_asked();
}

/* `used` is called by the stubs, which the compiler does not read. Returns where to go on. */
__attribute__((used)) void *shim_loaded_before(const void *handle, const char *name, uint32_t which)
{
	static const char *const names[WHICHES] = { "dlsym", "dlclose" };
	const union {
		void *(*function)(void *, const char *);
		void *object;
	} ours = { .function = asked };
	void *found = atomic_load(&next[which]);
	int saved = errno;
	bool on = shim.state == SHIM_ON && shim_process_on();

	if (!found) {
		found = find(names[which]);
		atomic_store(&next[which], found);
	}
	if (on && shim_loaded_anew())
		shim_look(may_read());
	errno = saved;
	if (on && which == WHICH_DLSYM && handle != RTLD_DEFAULT && handle != RTLD_NEXT && name)
		return ours.object;
	return found;
}
