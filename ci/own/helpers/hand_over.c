/*
 * hand_over.c - threads in a ring, each of which passes fresh blocks to the next and frees those of
 * the one before: hand_over THREADS BLOCKS [sleepy].
 *
 * A block is freed by another thread as soon as possible after its birth, and its address is used
 * again at once: if the recorder's stamps of two threads could change places, as they might on a
 * processor that reorders, a free would come before its alloc, or a birth within a life. Each block
 * is handed over by a release store and an acquire load, which is all that a program owes. Every
 * fourth is resized by the one who gets it. `sleepy` gives the CPU away at each empty mailbox, for
 * machines with fewer CPUs than threads.
 *
 * Prints the births and resizes of each kind, and ends with 1 where a block's bytes were not those
 * that were written.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 16, THREADS_MOST = 64 };

struct mailbox {
	_Alignas(128) _Atomic(uint64_t *) slot[ROOM];
};

static struct mailbox boxes[THREADS_MOST];
static uint64_t blocks;
static unsigned threads;
static int sleepy;
static _Atomic int wrong, ready;

static void rest(void)
{
	if (sleepy)
		sched_yield();
}

static void take(struct mailbox *from, uint64_t i)
{
	_Atomic(uint64_t *) *slot = &from->slot[i % ROOM];
	uint64_t *block;

	while (!(block = atomic_load_explicit(slot, memory_order_acquire)))
		rest();
	if (block[0] != i || block[1] != ~i)
		atomic_store(&wrong, 1);
	if (i % 4 == 0) {
		block = realloc(block, 64 + i % 256);
		if (!block || block[0] != i || block[1] != ~i)
			atomic_store(&wrong, 1);
	}
	free(block);
	atomic_store_explicit(slot, NULL, memory_order_release);
}

static void give(struct mailbox *to, uint64_t i)
{
	_Atomic(uint64_t *) *slot = &to->slot[i % ROOM];
	uint64_t *block = malloc(16 + i % 48);

	if (!block)
		abort();
	block[0] = i;
	block[1] = ~i;
	while (atomic_load_explicit(slot, memory_order_acquire))
		rest();
	atomic_store_explicit(slot, block, memory_order_release);
}

static void *work(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct mailbox *to = &boxes[me], *from = &boxes[(me + threads - 1) % threads];

	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < (int)threads)
		rest();
	for (uint64_t i = 0; i < blocks; i++) {
		give(to, i);
		if (i >= ROOM / 2)
			take(from, i - ROOM / 2);
	}
	for (uint64_t i = blocks - ROOM / 2; i < blocks; i++)
		take(from, i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS_MOST];

	threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
	blocks = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
	sleepy = argc > 3;
	if (threads < 1 || threads > THREADS_MOST || blocks < ROOM)
		return 2;
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 2;
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("births %llu resizes %llu\n", (unsigned long long)(threads * blocks),
	       (unsigned long long)(threads * ((blocks + 3) / 4)));
	return atomic_load(&wrong);
}
