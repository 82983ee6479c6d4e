/*
 * hook.c - see hook.h: finds the real functions and says which object they lie in.
 *
 * The look-up is our own and not dlsym's: dlsym allocates from the recorded heap when it finds
 * nothing, and RTLD_NEXT does not see the libraries of a plug-in opened by dlopen, although its
 * C++ calls come to us.
 */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "traces/record/shim/hook.h"
#include "traces/record/shim/patch.h"
#include "traces/record/shim/symbols.h"

enum { OBJECTS = 64 };

static struct hook_object objects[OBJECTS];
static _Atomic uint32_t object_count;
struct hook_object hook_malloc, hook_self;
_Atomic uintptr_t hook_low = UINTPTR_MAX, hook_high;

static void find_place(struct hook_object *object, const void *within);

struct search {
	const char *name;
	uint32_t hash;
	void *found;
};

/* As the object itself defines it, whether or not its entry is patched; NULL for ours. */
static void *defines(const struct dl_phdr_info *info, const struct search *search)
{
	const ElfW(Sym) * symbol;
	struct shim_symbols symbols;
	void *at;

	if (!shim_symbols_read(info, &symbols))
		return NULL;
	symbol = shim_symbols_find(&symbols, search->name, search->hash);
	if (!symbol || hook_within(symbol, hook_self.low, hook_self.bytes))
		return NULL;
	at = (void *)(info->dlpi_addr + symbol->st_value);
	return hook_within(at, hook_self.low, hook_self.bytes) ? shim_patch_next(symbol) : at;
}

const void *shim_hook_defines(const struct dl_phdr_info *info, const char *name)
{
	struct search search = { .name = name, .hash = shim_symbols_hash(name) };

	return defines(info, &search);
}

static int search_one(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct search *search = context;

	(void)bytes;
	search->found = defines(info, search);
	return search->found != NULL;
}

void *shim_hook_find(const char *name)
{
	struct search search = { .name = name, .hash = shim_symbols_hash(name) };

	find_place(&hook_self, &objects);
	dl_iterate_phdr(search_one, &search);
	return search.found;
}

/* ---- objects ---- */

struct place {
	uintptr_t address;
	struct hook_object object;
};

static bool is_runtime(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *name = slash ? slash + 1 : path;

	return name && (strncmp(name, "libstdc++", 9) == 0 || strncmp(name, "libc++", 6) == 0 ||
			strncmp(name, "libsupc++", 9) == 0);
}

static int place_one(struct dl_phdr_info *info, size_t bytes, void *context)
{
	struct place *place = context;
	uintptr_t low = UINTPTR_MAX, high = 0;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		low = at < low ? at : low;
		high = at + info->dlpi_phdr[i].p_memsz > high ? at + info->dlpi_phdr[i].p_memsz
							      : high;
	}
	if (low >= high || place->address - low >= high - low)
		return 0;
	place->object.low = low;
	place->object.bytes = high - low;
	place->object.runtime = is_runtime(info->dlpi_name);
	return 1;
}

/* Called before a hook in that object is settled. */
static void reach(const struct hook_object *object)
{
	uintptr_t low = atomic_load(&hook_low), high = atomic_load(&hook_high);

	while (object->low < low && !atomic_compare_exchange_weak(&hook_low, &low, object->low))
		;
	while (object->low + object->bytes > high &&
	       !atomic_compare_exchange_weak(&hook_high, &high, object->low + object->bytes))
		;
}

/* The first free of the global scope: whose is it? */
static int whose_free(struct dl_phdr_info *info, size_t bytes, void *context)
{
	bool *others = context;
	struct shim_symbols symbols;
	const ElfW(Sym) *symbol = NULL;

	(void)bytes;
	if (shim_symbols_read(info, &symbols))
		symbol = shim_symbols_find(&symbols, "free", shim_symbols_hash("free"));
	if (!symbol)
		return 0;
	*others = !hook_within(symbol, hook_self.low, hook_self.bytes);
	return 1;
}

/* A C++ runtime's new and delete come to that free, not to ours (seen: a block of the executable's
 * arena went to libc's free). Where we come late, the tables lead to us. */
bool shim_hook_is_preceded(void)
{
	bool others = false;

	if (atomic_load(&shim.late) != SHIM_EARLY)
		return false;
	find_place(&hook_self, &objects);
	dl_iterate_phdr(whose_free, &others);
	return others;
}

/* NULL: too many objects to remember. */
static struct hook_object *object_of(const void *function)
{
	struct place place = { .address = (uintptr_t)function };
	uint32_t count = atomic_load(&object_count);

	for (uint32_t i = 0; i < count && i < OBJECTS; i++)
		if (hook_within(function, objects[i].low, objects[i].bytes))
			return &objects[i];
	if (!dl_iterate_phdr(place_one, &place))
		return NULL;
	count = atomic_fetch_add(&object_count, 1);
	if (count >= OBJECTS)
		return NULL;
	objects[count].runtime = place.object.runtime && !shim_hook_is_preceded();
	objects[count].low = place.object.low;
	objects[count].bytes = place.object.bytes;
	reach(&objects[count]);
	return &objects[count];
}

static void find_place(struct hook_object *object, const void *within)
{
	struct place place = { .address = (uintptr_t)within };

	if (object->bytes || !dl_iterate_phdr(place_one, &place))
		return;
	object->low = place.object.low;
	object->bytes = place.object.bytes;
	reach(object);
}

void shim_hook_ranges(void)
{
	union {
		void *object;
		void *(*function)(size_t);
	} u = { .function = shim_real_malloc() };

	find_place(&hook_self, &objects);
	find_place(&hook_malloc, u.object);
}

/* ---- hooks ---- */

static void find(struct hook *hook)
{
	void *next = shim_hook_find(hook->name);

	shim_hook_ranges();
	hook->next.object = next;
	hook->in = next ? object_of(next) : NULL;
	if (!hook->in)
		atomic_store_explicit(&hook->mode, next ? HOOK_THROUGH : HOOK_ABSENT,
				      memory_order_release);
}

bool shim_hook_here(struct hook *hook)
{
	if (!hook->next.object && atomic_load(&hook->mode) != HOOK_ABSENT)
		find(hook);
	return hook->in != NULL;
}

/* For a call that cannot be observed: functions of C++ runtimes come through malloc. */
static enum hook_way guess(const struct hook *hook, const void *caller)
{
	return hook->in->runtime || hook_inner(hook->in, caller) ? HOOK_PASS : HOOK_RECORD;
}

enum hook_way shim_hook_first(struct hook *hook, bool asks, const void *caller)
{
	if (!shim_hook_here(hook))
		return atomic_load(&hook->mode) == HOOK_ABSENT ? HOOK_NONE : HOOK_PASS;
	if (!asks || hook_inner(hook->in, caller))
		return guess(hook, caller);
	shim_probe_begin();
	return HOOK_ASK;
}

enum hook_way shim_hook_answer(struct hook *hook, const void *block)
{
	bool through = shim_probe_end(block);

	if (!block)
		return HOOK_PASS; /* no answer: the next call is asked again */
	atomic_store_explicit(&hook->mode, through ? HOOK_THROUGH : HOOK_OWN, memory_order_release);
	return through ? HOOK_PASS : HOOK_RECORD;
}

void *shim_hook_born(void *made, uint64_t size, uint32_t what, struct shim_from from)
{
	shim_put_rest((enum shim_need)(what >> 8), what & 255, (uintptr_t)made, size, from);
	return made;
}
