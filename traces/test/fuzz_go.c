/*
 * fuzz_go.c - a fuzz target for the meaning of a Go trace: the input is a program that writes one
 * with valid batches and numbers, so that its events vary and not their framing (which import-go
 * fuzzes).
 *
 * The first byte is the version. Each operation has one byte for its kind and one for each
 * argument:
 *
 *	kind % 32 < EVENTS	an event of the table, arguments within a few Ps, goroutines, pages
 *	else			another thread, a generation, a type, the clock, or any event at all
 *
 * Sequence numbers of Ps and goroutines are kept right unless the argument has its top bit set.
 */
#include "traces/import/go/wire.h"
#include "traces/test/fuzz_import_support.h"

enum {
	MADE_MAX = 1 << 18,
	BODY_MAX = 8192,
	ACTORS = 8,
	THREADS = 4,
	PAGE_UNITS = 8192 / 8, /* addresses are counted in 8 bytes */
	KINDS = 32,
};

/* What an argument is. */
enum what {
	NONE,
	P,
	G,
	SEQ_P,
	SEQ_G,
	M,
	STATUS,
	SMALL,
	SLOT,
	PAGE,
	PLACE,
	LOG2,
	CLASS,
	TYPE,
	BYTES
};

static const struct {
	uint8_t kind;
	uint8_t args[4];
} events[] = {
	{ GO_PROC_START, { P, SEQ_P } },
	{ GO_PROC_STOP, { NONE } },
	{ GO_PROC_STEAL, { P, SEQ_P, M } },
	{ GO_PROC_STATUS, { P, STATUS } },
	{ GO_CREATE, { G, SMALL, SMALL } },
	{ GO_START, { G, SEQ_G } },
	{ GO_DESTROY, { NONE } },
	{ GO_STOP, { SMALL, SMALL } },
	{ GO_BLOCK, { SMALL, SMALL } },
	{ GO_UNBLOCK, { G, SEQ_G, SMALL } },
	{ GO_SYSCALL_BEGIN, { SEQ_P, SMALL } },
	{ GO_SYSCALL_END, { NONE } },
	{ GO_SYSCALL_END_BLOCKED, { NONE } },
	{ GO_STATUS, { G, M, STATUS } },
	{ GO_STW_BEGIN, { SMALL, SMALL } },
	{ GO_STW_END, { NONE } },
	{ GO_GC_ACTIVE, { SMALL } },
	{ GO_GC_BEGIN, { SMALL, SMALL } },
	{ GO_GC_END, { SMALL } },
	{ GO_SWEEP_END, { BYTES, BYTES } },
	{ GO_HEAP_ALLOC, { BYTES } },
	{ GO_SWITCH, { G, SEQ_G } },
	{ GO_CREATE_BLOCKED, { G, SMALL, SMALL } },
	{ GO_SPAN, { PAGE, SMALL, CLASS } },
	{ GO_SPAN_ALLOC, { PAGE, SMALL, CLASS } },
	{ GO_SPAN_FREE, { PAGE } },
	{ GO_OBJECT, { SLOT, TYPE } },
	{ GO_OBJECT_ALLOC, { SLOT, TYPE } },
	{ GO_OBJECT_FREE, { SLOT } },
	{ GO_STACK_ALLOC, { PLACE, LOG2 } },
	{ GO_STACK_FREE, { PLACE } },
};
enum { EVENTS = sizeof(events) / sizeof(*events) };
_Static_assert((int)EVENTS < (int)KINDS, "there is a code for the rest");

static struct {
	uint8_t data[MADE_MAX], body[BODY_MAX];
	size_t bytes, body_bytes;
	const uint8_t *from, *end;
	uint64_t generation, time, seq_p[ACTORS], seq_g[ACTORS];
	unsigned version, thread, p, g;
	uint64_t now; /* of the open batch */
} made;

static unsigned next_byte(void)
{
	return made.from < made.end ? *made.from++ : 0;
}

static size_t put_number(uint8_t *to, uint64_t value)
{
	size_t bytes = 0;

	for (; value >= 0x80; value >>= 7)
		to[bytes++] = (uint8_t)(value | 0x80);
	to[bytes++] = (uint8_t)value;
	return bytes;
}

static void number(uint64_t value)
{
	made.body_bytes += put_number(made.body + made.body_bytes, value);
}

/* The body goes out as a batch of this type. */
static void end_batch(unsigned type, uint64_t thread)
{
	if (made.body_bytes == 0 || made.bytes + made.body_bytes + 64 > MADE_MAX)
		return;
	made.data[made.bytes++] = (uint8_t)type;
	if (type == 49)
		made.data[made.bytes++] = 1;
	made.bytes += put_number(made.data + made.bytes, made.generation);
	made.bytes += put_number(made.data + made.bytes, thread);
	made.bytes += put_number(made.data + made.bytes, made.now);
	made.bytes += put_number(made.data + made.bytes, made.body_bytes);
	memcpy(made.data + made.bytes, made.body, made.body_bytes);
	made.bytes += made.body_bytes;
	made.body_bytes = 0;
}

static void end_events(void)
{
	end_batch(1, 7 + made.thread);
	made.now = made.time;
}

/* The tables of a generation: where the heap is, and types of 8, 16, 24 and 4 bytes. */
static void tables(void)
{
	static const uint64_t heap[] = { 0xc000000000, 8192, 8, 2048 };
	static const unsigned sizes[] = { 8, 16, 24, 4, 1 };

	made.body[made.body_bytes++] = 1;
	for (int i = 0; i < 4; i++)
		number(heap[i]);
	end_batch(49, GO_NO_THREAD);
	for (unsigned i = 0; i < 5; i++) {
		made.body[made.body_bytes++] = 0;
		number(i + 1);
		number(0x1000 + i);
		number(sizes[i]);
		number(i % 2 ? 0 : 8);
		number(1);
		made.body[made.body_bytes++] = (uint8_t)('a' + i);
		end_batch(49, GO_NO_THREAD);
	}
}

static uint64_t sequence(uint64_t *seq, unsigned byte)
{
	return byte & 0x80 ? byte & 0x7f : ++*seq;
}

/* Sizes of 8 to 64 bytes by the page, with and without pointers, and the tiny ones. */
static uint64_t class_of(unsigned byte)
{
	static const uint8_t classes[] = { 10, 6 << 2, 2 << 2, 1 << 2, 5 << 2, 11, 4 << 2, 0 };

	return byte & 0x80 ? byte : classes[byte % 8];
}

static uint64_t argument(enum what what)
{
	unsigned byte = next_byte();

	switch (what) {
	case P:
		return made.p = byte % ACTORS;
	case G:
		made.g = byte % ACTORS;
		return made.g + 1;
	case SEQ_P:
		return sequence(&made.seq_p[made.p], byte);
	case SEQ_G:
		return sequence(&made.seq_g[made.g], byte);
	case M:
		return 7 + byte % THREADS;
	case STATUS:
		return byte % 6;
	case SLOT:
		/* A page in the top bits, 8 bytes each below. */
		return (byte >> 5) * PAGE_UNITS + (byte & 31);
	case PAGE:
		return byte % 8;
	case PLACE: /* of a stack, in 2 KiB, behind those pages */
		return 64 + byte % 32;
	case LOG2:
		return 11 + byte % 5;
	case CLASS:
		return class_of(byte);
	case TYPE:
		return byte % 7;
	case BYTES:
		return (uint64_t)byte << 10;
	default:
		return byte % 5;
	}
}

static void put_event(unsigned which)
{
	made.body[made.body_bytes++] = events[which].kind;
	number(1);
	made.time++;
	for (int i = 0; i < 4 && events[which].args[i] != NONE; i++)
		number(argument((enum what)events[which].args[i]));
}

static void put_other(void)
{
	unsigned byte = next_byte();

	switch (byte % 4) {
	case 0:
		end_events();
		made.thread = byte / 4 % THREADS;
		break;
	case 1:
		end_events();
		if (made.version >= 26)
			made.data[made.bytes++] = 52;
		made.generation++;
		memset(made.seq_p, 0, sizeof(made.seq_p));
		memset(made.seq_g, 0, sizeof(made.seq_g));
		tables();
		break;
	case 2:
		end_events();
		made.body[made.body_bytes++] = 8; /* the clock */
		number(1ull << byte / 8);
		end_batch(1, GO_NO_THREAD);
		break;
	default:
		made.body[made.body_bytes++] = (uint8_t)next_byte();
		for (unsigned count = byte / 4 % 6; count > 0; count--)
			number(next_byte());
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const unsigned versions[] = { 23, 25, 26, 26 };
	char head[17] = { 0 };
	struct rh_err err = { 0 };

	if (bytes < 2 || bytes > 4096)
		return 0;
	made.from = data + 1;
	made.end = data + bytes;
	made.version = versions[data[0] % 4];
	made.generation = 1;
	made.now = made.time = 100;
	made.thread = made.p = made.g = 0;
	made.body_bytes = 0;
	memset(made.seq_p, 0, sizeof(made.seq_p));
	memset(made.seq_g, 0, sizeof(made.seq_g));
	snprintf(head, sizeof(head), "go 1.%u trace", made.version);
	memcpy(made.data, head, 16);
	made.bytes = 16;
	tables();
	while (made.from < made.end && made.bytes + 4 * BODY_MAX < MADE_MAX) {
		unsigned kind = next_byte() % KINDS;

		if (kind < EVENTS)
			put_event(kind);
		else
			put_other();
		if (made.body_bytes > BODY_MAX / 2)
			end_events();
	}
	end_events();
	if (made.version >= 26)
		made.data[made.bytes++] = 52;
	fuzz_import(&(struct fuzz_import){ rh_importer_of("go", &err), (unsigned)bytes }, made.data,
		    made.bytes);
	return 0;
}
