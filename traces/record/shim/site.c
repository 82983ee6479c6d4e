/*
 * site.c - options that cost more and are off by default.
 *
 * --sites: the caller of an allocation becomes a small number; the first time it is
 * seen, its module, offset and nearest exported symbol go into the ring as text.
 * A lock-free table, wiped on fork like the producers, remembers which were seen.
 * C++'s operator new is not a useful call site, but its caller is. The distance on the stack to
 * that caller's return address is the same at each visit of one place in operator new, so the
 * program's own unwinder is used once for each place; later it is one load.
 *
 * --residency: how many bytes of a block were in memory when it was freed, by mincore
 * on its pages; a system call per free.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include "traces/record/shim/shim.h"

enum { SITES = 1 << 16, NAME_MAX_BYTES = 240, PAGES_AT_ONCE = 256, DEPTH = 4 };
#define SEE_THROUGH UINT32_MAX /* id of a place in operator new */

/* step: bytes from its return address to its caller's, where id is SEE_THROUGH. */
struct site {
	_Atomic uint64_t caller;
	_Atomic uint32_t id;
	uint32_t step;
};

static struct {
	_Atomic(struct site *) table;
	_Atomic uint32_t next;
} sites;

static struct site *table(void)
{
	size_t bytes = SITES * sizeof(struct site);
	struct site *mine, *other = NULL;

	if (atomic_load(&sites.table))
		return sites.table;
	mine = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mine == MAP_FAILED)
		return NULL;
	madvise(mine, bytes, MADV_WIPEONFORK);
	if (!atomic_compare_exchange_strong(&sites.table, &other, mine)) {
		munmap(mine, bytes);
		return other;
	}
	return mine;
}

/* "libfoo.so.1+0x1234 name", by hand: snprintf may allocate. */
static uint32_t describe(const void *caller, char *text)
{
	static const char digits[] = "0123456789abcdef";
	Dl_info info = { 0 };
	const char *module = "?", *slash;
	uint64_t offset = (uintptr_t)caller;
	uint32_t at = 0;
	int shift = 60;

	if (dladdr(caller, &info) && info.dli_fname && info.dli_fname[0]) {
		slash = strrchr(info.dli_fname, '/');
		module = slash ? slash + 1 : info.dli_fname;
		offset -= (uintptr_t)info.dli_fbase;
	}
	for (; *module && at < 100; module++)
		text[at++] = *module;
	memcpy(text + at, "+0x", 3);
	at += 3;
	while (shift > 0 && !(offset >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		text[at++] = digits[offset >> shift & 15];
	if (info.dli_sname) {
		text[at++] = ' ';
		for (const char *s = info.dli_sname; *s && at < NAME_MAX_BYTES; s++)
			text[at++] = *s;
	}
	return at;
}

enum { TEXT_BYTES = 16, TEXT_MAX = NAME_MAX_BYTES + 32 };
_Static_assert((TEXT_MAX / TEXT_BYTES + 1) * RH_REC_MOST_WORDS + 6 <= SHIM_SITE_ROOM,
	       "a name, its head, a SITE and the event");

static void put_name(struct producer *p, uint32_t id, const void *caller)
{
	char text[TEXT_MAX] = { 0 };
	uint32_t bytes = describe(caller, text);

	shim_append_long(p, RH_REC_NAME, 0, id);
	for (uint32_t at = 0; at < bytes; at += TEXT_BYTES) {
		uint64_t low, high;

		memcpy(&low, text + at, 8);
		memcpy(&high, text + at + 8, 8);
		shim_append_long(p, RH_REC_TEXT, low, high);
	}
}

/* ---- operator new ---- */

struct climb {
	__typeof__(_Unwind_GetIP) *ip;
	__typeof__(_Unwind_GetCFA) *cfa;
	uintptr_t caller, frame, outer;
	bool met;
};

/* Frames come from the inside out; the CFA of each is where the stack was in it. */
static _Unwind_Reason_Code one_up(struct _Unwind_Context *context, void *data)
{
	struct climb *climb = data;
	uintptr_t stack = climb->cfa(context);

	if (climb->met) {
		climb->outer = stack;
		return _URC_END_OF_STACK;
	}
	climb->met = stack == climb->frame && climb->ip(context) == climb->caller;
	return stack > climb->frame ? _URC_END_OF_STACK : _URC_NO_REASON;
}

#define LOOK_UP(pointer, name)                        \
	do {                                          \
		union {                               \
			void *object;                 \
			__typeof__(pointer) function; \
		} u;                                  \
		u.object = dlsym(RTLD_DEFAULT, name); \
		(pointer) = u.function;               \
	} while (0)

/* Bytes between the return addresses of a place in operator new and of its caller; 0: it
 * is not in operator new, or the program has no unwinder (then it has no C++ either). */
static uint32_t step_over(const void *caller, uintptr_t frame)
{
	struct climb climb = { .caller = (uintptr_t)caller, .frame = frame };
	__typeof__(_Unwind_Backtrace) *backtrace;
	Dl_info info = { 0 };

	if (!frame || !dladdr(caller, &info) || !info.dli_sname ||
	    (strncmp(info.dli_sname, "_Znw", 4) != 0 && strncmp(info.dli_sname, "_Zna", 4) != 0))
		return 0;
	LOOK_UP(backtrace, "_Unwind_Backtrace");
	LOOK_UP(climb.ip, "_Unwind_GetIP");
	LOOK_UP(climb.cfa, "_Unwind_GetCFA");
	if (!backtrace || !climb.ip || !climb.cfa)
		return 0;
	backtrace(one_up, &climb);
	return climb.outer > frame ? (uint32_t)(climb.outer - frame) : 0;
}

/* ---- numbers ---- */

/* The entry of a caller; *fresh if this call added it. NULL: the table is full. */
static const struct site *site_of(const void *caller, uintptr_t frame, bool *fresh)
{
	struct site *all = table();
	uint64_t key = (uintptr_t)caller, h = key * 0x9e3779b97f4a7c15u >> 48;

	*fresh = false;
	for (uint32_t i = 0; all && i < 64; i++, h = (h + 1) % SITES) {
		uint64_t seen = atomic_load_explicit(&all[h].caller, memory_order_acquire);

		if (seen == 0 && atomic_compare_exchange_strong(&all[h].caller, &seen, key)) {
			all[h].step = step_over(caller, frame);
			*fresh = !all[h].step;
			atomic_store(&all[h].id, all[h].step
							 ? SEE_THROUGH
							 : atomic_fetch_add(&sites.next, 1) + 1);
			return &all[h];
		}
		if (seen == key) {
			while (atomic_load(&all[h].id) == 0)
				; /* another thread has just found it */
			return &all[h];
		}
	}
	return NULL;
}

void shim_site(struct producer *p, struct shim_from from)
{
	const void *caller = from.caller;
	uintptr_t frame = from.frame;
	const struct site *site;
	uint32_t id;
	bool fresh;

	site = site_of(caller, frame, &fresh);
	for (int i = 0; i < DEPTH && site && site->id == SEE_THROUGH; i++) {
		frame += site->step;
		memcpy(&caller, (const char *)frame - sizeof caller, sizeof caller);
		site = site_of(caller, frame, &fresh);
	}
	id = site && site->id != SEE_THROUGH ? site->id : 0;
	if (fresh)
		put_name(p, id, caller);
	if (p->site != id) {
		uint64_t word = rh_rec_site(id);

		shim_append(p, &word, 1);
		p->site = id;
	}
}

uint64_t shim_resident(const void *block)
{
	unsigned char pages[PAGES_AT_ONCE];
	uintptr_t at = (uintptr_t)block, end = at;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint64_t resident = 0;
	int saved = errno;

	if (real.malloc_usable_size) /* the real one: the program did not ask */
		end += real.malloc_usable_size((void *)(uintptr_t)block);
	while (at < end) {
		uintptr_t from = at & ~(page - 1), to = from + PAGES_AT_ONCE * page;

		if (to > end)
			to = (end + page - 1) & ~(page - 1);
		if (mincore((void *)from, to - from, pages) < 0)
			break;
		for (uintptr_t q = from; q < to; q += page) {
			uintptr_t low = q > at ? q : at, high = q + page < end ? q + page : end;

			if ((pages[(q - from) / page] & 1) && high > low)
				resident += high - low;
		}
		at = to;
	}
	errno = saved;
	return resident;
}
