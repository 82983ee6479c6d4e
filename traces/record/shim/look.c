/*
 * look.c - finds other sources of memory in this process besides the malloc that we interpose.
 *
 * If a program's objects come from an allocator inside it, we see that allocator's chunks and
 * not the objects: the recording is correct but incomplete. So every loaded object is checked,
 * when we are loaded, when objects were added (loaded.c) and when the process exits, and the
 * findings are stored where the supervisor reads them. A finding is never removed, because its
 * blocks stay. No allocation, and no system call but where the objects' files are read (local.c).
 */
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "traces/record/shim/hook.h"

struct found {
	bool reads; /* the objects' files, too */
	uint32_t heaps;
	char foreign[RH_PROC_FOREIGN], serves[RH_PROC_SERVES];
};

static const struct {
	const char *symbol; /* that the object defines */
	uint32_t heap;
	const char *variable, *off; /* of the environment: the value that switches it off */
} inner[] = {
	{ "PyObject_Malloc", RH_HEAP_PYMALLOC, "PYTHONMALLOC", "malloc" },
	{ "_emalloc", RH_HEAP_ZEND, "USE_ZEND_ALLOC", "0" },
	{ "JNI_CreateJavaVM", RH_HEAP_JVM, NULL, NULL },
	{ "_ZN2v87Isolate8AllocateEv", RH_HEAP_V8, NULL, NULL },
};

static _Atomic uint32_t unread; /* objects came, and their files were not read */
static uint32_t switched_off;	/* enum rh_heap */
static bool looked;

/* Read at the start of the process: PHP moves its environment before it exits. */
static void read_switches(void)
{
	for (size_t i = 0; i < sizeof inner / sizeof inner[0] && !looked; i++) {
		const char *value = inner[i].variable ? getenv(inner[i].variable) : NULL;

		if (value && strncmp(value, inner[i].off, strlen(inner[i].off)) == 0)
			switched_off |= inner[i].heap;
	}
	looked = true;
}

/* The note that Go's linker writes into programs and libraries. Other linkers put it behind their
 * own notes (cgo: podman). */
static bool is_go(const struct dl_phdr_info *info)
{
	static const char name[] = "Go";

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + header->p_vaddr, end = at + header->p_memsz;

		if (header->p_type != PT_NOTE || header->p_align > 4) /* in those of 8 lies none */
			continue;
		while (end - at >= sizeof(ElfW(Nhdr)) + sizeof name + 1) {
			const ElfW(Nhdr) *note = (const void *)at;
			uint64_t bytes = sizeof *note + (((uint64_t)note->n_namesz + 3) & ~3ull) +
					 (((uint64_t)note->n_descsz + 3) & ~3ull);

			if (note->n_namesz == sizeof name + 1 &&
			    memcmp(note + 1, name, sizeof name) == 0)
				return true;
			if (bytes > end - at)
				break;
			at += bytes;
		}
	}
	return false;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The file of the object whose malloc the program gets. */
static void look_for_server(const struct dl_phdr_info *info, struct found *found)
{
	const char *base = base_of(info->dlpi_name);
	const void *at = shim_hook_defines(info, "malloc");

	if (!at || !hook_within(at, hook_malloc.low, hook_malloc.bytes))
		return;
	base = *base ? base : "the executable";
	memcpy(found->serves, base, strnlen(base, sizeof found->serves - 1));
}

/* A library that offers its malloc to others, which get the malloc interposed before it. */
static bool is_allocator(const char *base)
{
	static const char *const names[] = { "libjemalloc", "libtcmalloc", "libmimalloc",
					     "libtbbmalloc" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strncmp(base, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static bool is_preloaded(const char *base)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && *base && strstr(preload, base);
}

/* An object with a malloc that is neither libc's nor the one we call. */
static void look_for_malloc(const struct dl_phdr_info *info, struct found *found)
{
	const char *base = base_of(info->dlpi_name);
	const void *at = shim_hook_defines(info, "malloc");
	const void *in = info->dlpi_phdr; /* a place in it */

	if (hook_within(at ? at : in, hook_malloc.low, hook_malloc.bytes) ||
	    hook_within(at ? at : in, hook_self.low, hook_self.bytes) ||
	    strncmp(base, "libc.", 5) == 0 || strncmp(base, "libc-", 5) == 0 ||
	    strncmp(base, "ld-", 3) == 0 || is_preloaded(base) || is_allocator(base) ||
	    (!at && (!found->reads || !shim_local_malloc(info))))
		return;
	found->heaps |= RH_HEAP_FOREIGN;
	base = *base ? base : "the executable";
	memcpy(found->foreign, base, strnlen(base, sizeof found->foreign - 1));
}

/* The object that a function lies in, whose calls are not seen. */
struct stranger {
	const void *at;
	struct found found;
};

static int look_for_stranger(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct stranger *stranger = context;
	const char *base = base_of(info->dlpi_name);

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD ||
		    !hook_within(stranger->at, info->dlpi_addr + header->p_vaddr, header->p_memsz))
			continue;
		if (shim_hook_defines(info, "malloc")) {
			stranger->found.heaps = RH_HEAP_FOREIGN;
			base = *base ? base : "the executable";
			memcpy(stranger->found.foreign, base,
			       strnlen(base, sizeof stranger->found.foreign - 1));
		}
		return 1;
	}
	return 0;
}

void shim_look_past_us(const void *function)
{
	struct stranger stranger = { .at = function };
	struct rh_proc *proc = rh_area_proc(shim.area, shim.proc);

	dl_iterate_phdr(look_for_stranger, &stranger);
	if (!stranger.found.heaps)
		return;
	memcpy(proc->foreign, stranger.found.foreign, sizeof proc->foreign);
	atomic_fetch_or(&proc->heaps, RH_HEAP_FOREIGN);
}

/* The executable's operator new is found before ours, so we see only the memory that it takes from
 * malloc. */
static void look_for_new(const struct dl_phdr_info *info, struct found *found)
{
	const void *at = *info->dlpi_name ? NULL : shim_hook_defines(info, "_Znwm");

	if (at && !hook_within(at, hook_malloc.low, hook_malloc.bytes) &&
	    !shim_new_comes_to_malloc(info, at))
		found->heaps |= RH_HEAP_OWN_NEW;
}

/* dlmopen: since glibc 2.35 the loader keeps a list of namespaces for debuggers. A namespace that
 * has become empty stays in it. */
struct debug_list {
	struct r_debug first;
	struct debug_list *next;
};

static void look_for_namespaces(const struct dl_phdr_info *info, struct found *found)
{
	const ElfW(Dyn) *dynamic = NULL;
	const struct debug_list *list = NULL;

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		if (dynamic->d_tag == DT_DEBUG)
			list = (const void *)dynamic->d_un.d_ptr;
	if (list && list->first.r_version >= 2 && list->next)
		found->heaps |= RH_HEAP_NAMESPACE;
}

static int look_at(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct found *found = context;

	(void)bytes;
	for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
		if (shim_hook_defines(info, inner[i].symbol))
			found->heaps |= inner[i].heap & ~switched_off;
	if (is_go(info))
		found->heaps |= RH_HEAP_GO;
	look_for_malloc(info, found);
	look_for_new(info, found);
	look_for_namespaces(info, found);
	look_for_server(info, found);
	return 0;
}

void shim_look(bool reads)
{
	static _Atomic uint32_t looking;
	struct found found = { .reads = reads };
	struct rh_proc *proc;

	if (shim.state != SHIM_ON || atomic_exchange(&looking, 1))
		return;
	unread = !reads;
	read_switches();
	shim_loaded_anew();
	shim_hook_ranges();
	dl_iterate_phdr(look_at, &found);
	proc = rh_area_proc(shim.area, shim.proc);
	if (*found.foreign)
		memcpy(proc->foreign, found.foreign, sizeof proc->foreign);
	if (*found.serves)
		memcpy(proc->serves, found.serves, sizeof proc->serves);
	atomic_fetch_or(&proc->heaps, found.heaps);
	atomic_store(&looking, 0);
}

__attribute__((destructor)) static void leaving(void)
{
	if (!shim_process_on()) /* a fork of a recorded process may not have registered yet */
		return;
	shim_look((shim_loaded_anew() || unread) && shim_may_call_now());
	shim_figures(rh_area_proc(shim.area, shim.proc), true);
}
