/*
 * complete.c - the verdict that `record` prints last, the trace keeps as its note "complete"
 * and `info` and `replay` repeat.
 *
 * Every reason is a fact that was counted or observed. Unexplained memory is the process's peak
 * of anonymous memory, less twice the peak of live bytes in the trace, less what the program
 * mapped itself if that is recorded (--maps), less 256 bytes per object at the peak (at most as
 * much again), and less 32 MiB for loading, stacks and what allocators keep for later.
 */
#include "traces/record/complete.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "traces/record/area.h"

#define SLACK_BYTES (32ull << 20)

struct verdict {
	char *text;
	size_t at;
};

static __attribute__((format(printf, 2, 3))) void add(struct verdict *verdict, const char *fmt, ...)
{
	size_t room = RH_COMPLETE_TEXT - verdict->at;
	va_list ap;
	int wrote;

	if (room < 4)
		return;
	wrote = snprintf(verdict->text + verdict->at, room, verdict->at ? "; " : "no: ");
	verdict->at += (size_t)wrote < room ? (size_t)wrote : room - 1;
	room = RH_COMPLETE_TEXT - verdict->at;
	va_start(ap, fmt);
	wrote = vsnprintf(verdict->text + verdict->at, room, fmt, ap);
	va_end(ap);
	verdict->at += (size_t)wrote < room ? (size_t)wrote : room - 1;
}

static void add_calls(struct verdict *verdict, const struct rh_complete_facts *facts)
{
	uint64_t frees = facts->frees + facts->unknown_frees;

	if (facts->sample_bytes)
		add(verdict,
		    "it is a sample (--sample-bytes %llu): counts are of the blocks in it, info "
		    "estimates those of all",
		    (unsigned long long)facts->sample_bytes);
	if (facts->sample_full)
		add(verdict, "%llu blocks found no place in the sample",
		    (unsigned long long)facts->sample_full);
	if (facts->later)
		add(verdict, "%s", facts->later);
	if (facts->full[0])
		add(verdict, "recording stopped before the program's end: %s", facts->full);
	if (facts->recovered)
		add(verdict, "the recorder was killed, and what came after its last look is not "
			     "there");
	if (facts->segment)
		add(verdict, "it is segment %llu of a recording, and begins with what lived then",
		    (unsigned long long)facts->segment);
	if (facts->partial)
		add(verdict, "only a part of the program's life was recorded, as asked");
	if (facts->before)
		add(verdict, "%llu frees and resizes are of blocks born before it began",
		    (unsigned long long)facts->before);
	if (facts->lost)
		add(verdict, "%llu calls were lost: no room was left in a ring, or none to be had",
		    (unsigned long long)facts->lost);
	if (facts->nested)
		add(verdict, "%llu calls of signal handlers found no place",
		    (unsigned long long)facts->nested);
	if (facts->not_kept)
		add(verdict, "%llu earlier calls were given up to keep the last",
		    (unsigned long long)facts->not_kept);
	if (facts->outside)
		add(verdict, "%llu calls were made while recording was off",
		    (unsigned long long)facts->outside);
	if (facts->past_max)
		add(verdict, "%llu calls came after the maximum asked for",
		    (unsigned long long)facts->past_max);
	if (facts->unknown_frees > frees / 100)
		add(verdict, "%llu of %llu frees are of blocks that %s",
		    (unsigned long long)facts->unknown_frees, (unsigned long long)frees,
		    facts->forked ? "its parent made before the fork" : "nobody was seen to make");
}

static void add_heaps(struct verdict *verdict, const struct rh_complete_facts *facts)
{
	static const struct {
		uint32_t heap;
		const char *says;
	} rows[] = {
		{ RH_HEAP_PYMALLOC, "Python's own allocator serves most objects "
				    "(PYTHONMALLOC=malloc switches it off)" },
		{ RH_HEAP_ZEND, "PHP's own allocator serves most objects "
				"(USE_ZEND_ALLOC=0 switches it off)" },
		{ RH_HEAP_JVM, "Java objects live in the JVM's own heap" },
		{ RH_HEAP_V8, "JavaScript objects live in V8's own heap" },
		{ RH_HEAP_GO, "Go objects live in Go's own heap (reheap record-go)" },
		{ RH_HEAP_OWN_NEW, "the executable has an operator new of its own that does not "
				   "come to malloc" },
		{ RH_HEAP_NAMESPACE, "dlmopen gave libraries a libc of their own, whose calls are "
				     "not seen" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (facts->heaps & rows[i].heap)
			add(verdict, "%s", rows[i].says);
	if (facts->heaps & RH_HEAP_FOREIGN)
		add(verdict, "%s has a malloc of its own, whose calls are not seen",
		    facts->foreign);
	if (strstr(facts->exe, "chrom") || strstr(facts->exe, "electron"))
		add(verdict, "PartitionAlloc serves most objects of this program");
}

static void add_memory(struct verdict *verdict, const struct rh_complete_facts *facts)
{
	uint64_t accounted = facts->live_bytes_peak + facts->mapped_peak;
	uint64_t headers = 256 * facts->objects, explained = 2 * facts->live_bytes_peak;

	explained += headers < explained ? headers : explained;
	explained += SLACK_BYTES + facts->mapped_peak;
	if (facts->anonymous_peak > explained)
		add(verdict,
		    "%llu MiB of anonymous memory that no event explains (%llu MiB at most, "
		    "%llu MiB live in the trace%s)",
		    (unsigned long long)(facts->anonymous_peak - accounted) >> 20,
		    (unsigned long long)facts->anonymous_peak >> 20,
		    (unsigned long long)accounted >> 20,
		    facts->maps ? "" : "; --maps records what the program maps itself");
}

void rh_complete(const struct rh_complete_facts *facts, char text[RH_COMPLETE_TEXT])
{
	struct verdict verdict = { .text = text };

	add_calls(&verdict, facts);
	add_heaps(&verdict, facts);
	if (!facts->sample_bytes) /* else the live bytes are not known */
		add_memory(&verdict, facts);
	if (!verdict.at)
		snprintf(text, RH_COMPLETE_TEXT, "yes");
}
