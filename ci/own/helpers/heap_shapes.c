/*
 * heap_shapes.c - programs in miniature for the traces that judge a heap (traces/corpus/judge.sh):
 * each shape is one way in which real programs use memory that few packages show on demand. Every
 * block is written in full, as programs do, so the same binary under `time` shows the cost of an
 * allocator without a replay.
 *
 *	heap_shapes SHAPE [STEPS]
 *
 * What is drawn comes from a fixed seed: two recordings hold the same sizes and order.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t seed = 88172645463325252u;

static size_t draw(size_t low, size_t high)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return low + seed % (high - low + 1);
}

static void *filled(size_t size)
{
	void *p = malloc(size);

	if (!p)
		abort();
	return memset(p, 1, size);
}

/* Replaces random members of a ring of blocks by new ones of low to high bytes. */
static void churn(void **ring, size_t count, size_t low, size_t high)
{
	size_t at = draw(0, count - 1);

	free(ring[at]);
	ring[at] = filled(draw(low, high));
}

/* Buffers of 200 to 600 KB come and go beside a small heap of nodes: an editor, a codec. */
static void buffers(size_t steps)
{
	void *node[2000] = { 0 }, *buffer[3] = { 0 };

	for (size_t i = 0; i < steps; i++) {
		churn(node, 2000, 16, 200);
		if (i % 8 == 0)
			churn(buffer, 3, 200000, 600000);
	}
}

/* Strings that grow by realloc, a line at a time, several at once: loggers, serializers. */
static void growing(size_t steps)
{
	char *text[5] = { 0 };
	size_t length[5] = { 0 };

	for (size_t i = 0; i < steps; i++) {
		size_t at = draw(0, 4), more = draw(20, 4000);

		text[at] = realloc(text[at], length[at] + more);
		if (!text[at])
			abort();
		memset(text[at] + length[at], 1, more);
		length[at] += more;
		if (length[at] > 3000000) {
			free(text[at]);
			text[at] = NULL;
			length[at] = 0;
		}
		free(filled(draw(16, 100)));
	}
}

/* Many sizes above 32 KiB, dozens alive: images, tiles, matrices. */
static void large(size_t steps)
{
	void *tile[48] = { 0 };

	for (size_t i = 0; i < steps; i++)
		churn(tile, 48, 33000, (size_t)1 << draw(16, 20));
}

/* A heap that fills to some MiB and empties again and again: requests, frames, phases. */
static void breathing(size_t steps)
{
	enum { MOST = 40000 };
	static void *block[MOST];

	for (size_t done = 0; done < steps;) {
		size_t count = draw(MOST / 4, MOST);

		for (size_t i = 0; i < count; i++)
			block[i] = filled(draw(24, 400));
		for (size_t i = 0; i < count; i++)
			free(block[i]);
		done += 2 * count;
	}
}

/* A big live heap whose members are replaced at random: caches, indexes. */
static void cache(size_t steps)
{
	enum { MEMBERS = 150000 };
	static void *member[MEMBERS];

	for (size_t i = 0; i < steps; i++)
		churn(member, MEMBERS, 32, i % 16 ? 256 : 2048);
}

/* Many small blocks of four sizes, freed in the order they were made: queues of events. */
static void queue(size_t steps)
{
	enum { LENGTH = 8192 };
	static const size_t size[4] = { 24, 48, 56, 112 };
	static void *event[LENGTH];

	for (size_t i = 0; i < steps; i++) {
		free(event[i % LENGTH]);
		event[i % LENGTH] = filled(size[draw(0, 3)]);
	}
}

/* Tables that double and are copied while small blocks fill what they leave: hash maps. */
static void doubling(size_t steps)
{
	void *entry[4000] = { 0 };

	for (size_t i = 0; i < steps;) {
		void *table = filled(1024);

		for (size_t bytes = 2048; bytes <= (size_t)1 << draw(14, 21); bytes *= 2) {
			void *next = filled(bytes);

			memcpy(next, table, bytes / 2);
			free(table);
			table = next;
			for (size_t n = 0; n < 200; n++, i++)
				churn(entry, 4000, 16, 128);
		}
		free(table);
	}
}

/* ---- what servers do ---- */

/* Requests of connections that stay: a buffer a connection, which grows by realloc while it is
 * read, and what a request makes (fields, a table of them, a body), which goes at its end. */
static void requests(size_t steps)
{
	enum { CONNECTIONS = 400, FIELDS = 30 };
	char *input[CONNECTIONS] = { 0 };

	for (size_t i = 0; i < steps;) {
		size_t at = draw(0, CONNECTIONS - 1), fields = draw(4, FIELDS), bytes = 512;
		void *field[FIELDS], *body;

		for (; bytes < draw(600, 9000); bytes *= 2, i++) {
			input[at] = realloc(input[at], bytes);
			if (!input[at])
				abort();
			memset(input[at], 1, bytes);
		}
		for (size_t f = 0; f < fields; f++)
			field[f] = filled(draw(10, f % 8 ? 90 : 700));
		body = filled(draw(1, 4) == 1 ? draw(8000, 70000) : draw(200, 4000));
		for (size_t f = fields; f-- > 0;)
			free(field[f]);
		free(body);
		if (draw(0, 9) == 0) {
			free(input[at]);
			input[at] = NULL;
		}
		i += 2 * fields + 2;
	}
}

/* Timers and tasks in a wheel: most live for a turn or two, some for a thousand. */
static void timers(size_t steps)
{
	enum { SLOTS = 1024, DEEP = 96 };
	static void *wheel[SLOTS][DEEP];
	static size_t depth[SLOTS];

	for (size_t i = 0, now = 0; i < steps; now = (now + 1) % SLOTS) {
		while (depth[now])
			free(wheel[now][--depth[now]]);
		for (size_t made = draw(1, 40); made > 0; made--, i += 2) {
			size_t at = (now + draw(1, (size_t)1 << draw(1, 10))) % SLOTS;

			if (at == now || depth[at] == DEEP)
				continue;
			wheel[at][depth[at]++] = filled(draw(0, 3) ? 72 : draw(100, 600));
		}
	}
}

/* A store that takes entries in a table of memory and writes it out when it is full: entries go at
 * once, a block of 256 KB to 2 MB is made of them and lives until the next but seven. */
static void flush(size_t steps)
{
	enum { MOST = 30000, RUNS = 7 };
	static void *entry[MOST];
	void *run[RUNS] = { 0 };

	for (size_t i = 0, turn = 0; i < steps; turn++) {
		size_t count = draw(MOST / 3, MOST), sum = 0;

		for (size_t n = 0; n < count; n++) {
			size_t bytes = 40 + draw(0, 15) * draw(1, 20);

			entry[n] = filled(bytes);
			sum += bytes;
		}
		free(run[turn % RUNS]);
		run[turn % RUNS] = filled(sum / 2);
		for (size_t n = 0; n < count; n++)
			free(entry[n]);
		i += 2 * count;
	}
}

/* A graph: nodes with lists of neighbours that double, and nodes that go with all they have. */
static void graph(size_t steps)
{
	enum { NODES = 30000 };
	static void **list[NODES];
	static size_t length[NODES];

	for (size_t i = 0; i < steps; i++) {
		size_t at = draw(0, NODES - 1);

		if (draw(0, 11) == 0) {
			free(list[at]);
			list[at] = NULL;
			length[at] = 0;
			continue;
		}
		if ((length[at] & (length[at] - 1)) == 0) {
			list[at] = realloc(list[at],
					   (length[at] ? 2 * length[at] : 1) * sizeof(void *));
			if (!list[at])
				abort();
		}
		list[at][length[at]++] = &list[at];
	}
}

/* ---- several threads ---- */

struct mailbox {
	pthread_mutex_t lock;
	void *slot[256];
	size_t count;
};

static struct mailbox mailbox[4] = { { .lock = PTHREAD_MUTEX_INITIALIZER },
				     { .lock = PTHREAD_MUTEX_INITIALIZER },
				     { .lock = PTHREAD_MUTEX_INITIALIZER },
				     { .lock = PTHREAD_MUTEX_INITIALIZER } };
static size_t steps_each;

/* Puts a block into another thread's box and frees one that came from elsewhere. */
static void pass_on(struct mailbox *box, void *block)
{
	void *old = NULL;

	pthread_mutex_lock(&box->lock);
	if (box->count == 256)
		old = box->slot[--box->count];
	box->slot[box->count++] = block;
	pthread_mutex_unlock(&box->lock);
	free(old);
}

static void *worker(void *arg)
{
	size_t self = (size_t)(struct mailbox *)arg - (size_t)mailbox;
	void *own[512] = { 0 };

	seed += self * 977;
	for (size_t i = 0; i < steps_each; i++) {
		churn(own, 512, 16, i % 64 ? 300 : 40000);
		if (i % 4 == 0)
			pass_on(&mailbox[draw(0, 3)], filled(draw(32, 1000)));
	}
	for (size_t i = 0; i < 512; i++)
		free(own[i]);
	return NULL;
}

/* Four threads with heaps of their own that send one block in five to each other. */
static void exchange(size_t steps)
{
	pthread_t thread[4];

	steps_each = steps / 4;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, worker, &mailbox[i]);
	for (size_t i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* A producer that makes messages, and workers that read and free them: queues between threads. */
static void *consumer(void *arg)
{
	struct mailbox *box = arg;

	for (size_t done = 0; done < steps_each;) {
		void *taken[64];
		size_t count = 0;

		pthread_mutex_lock(&box->lock);
		while (box->count && count < 64)
			taken[count++] = box->slot[--box->count];
		pthread_mutex_unlock(&box->lock);
		if (!count)
			sched_yield();
		for (size_t i = 0; i < count; i++, done++) {
			free(filled(draw(16, 200)));
			free(taken[i]);
		}
	}
	return NULL;
}

static void pipeline(size_t steps)
{
	pthread_t thread[3];

	steps_each = steps / 3;
	for (size_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, consumer, &mailbox[i]);
	for (size_t i = 0; i < 3 * steps_each;) {
		struct mailbox *box = &mailbox[i % 3];
		void *message = filled(draw(0, 15) ? draw(40, 400) : draw(2000, 9000));
		bool sent = false;

		while (!sent) {
			pthread_mutex_lock(&box->lock);
			sent = box->count < 256;
			if (sent)
				box->slot[box->count++] = message;
			pthread_mutex_unlock(&box->lock);
			if (!sent)
				sched_yield();
		}
		i++;
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

static const struct shape {
	const char *name;
	void (*play)(size_t steps);
	size_t steps;
} shapes[] = {
	{ "buffers", buffers, 400000 },	   { "growing", growing, 60000 },
	{ "large", large, 40000 },	   { "breathing", breathing, 1000000 },
	{ "cache", cache, 1000000 },	   { "queue", queue, 1000000 },
	{ "doubling", doubling, 300000 },  { "exchange", exchange, 600000 },
	{ "requests", requests, 1000000 }, { "timers", timers, 1000000 },
	{ "flush", flush, 800000 },	   { "graph", graph, 700000 },
	{ "pipeline", pipeline, 300000 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(shapes) / sizeof(*shapes); i++) {
		if (strcmp(shapes[i].name, argv[1]))
			continue;
		shapes[i].play(argc > 2 ? strtoull(argv[2], NULL, 10) : shapes[i].steps);
		return 0;
	}
	fputs("usage: heap_shapes SHAPE [STEPS]; shapes:", stderr);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		fprintf(stderr, " %s", shapes[i].name);
	fputs("\n", stderr);
	return 2;
}
