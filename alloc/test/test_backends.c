/*
 * test_backends.c - the contract of alloc/backend.h, for every row of rh_backends and
 * rh_stack_backends: who registers a backend has it tested here.
 *
 * Decorators are tested around libc and around bump. Blocks of RH_CAP_NO_MEMORY backends
 * are never touched past 16 bytes, so for those only the shape of the calls is tested.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/registry.h"

/* Sanitizers abort where malloc should return NULL, unless an option forbids that. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

enum { SPECS_MAX = 64, LANES = 3, ROUNDS = 3000 };

static char specs[SPECS_MAX][64];
static int spec_count;

static void add_spec(const char *name, const char *inner)
{
	assert_true(spec_count < SPECS_MAX);
	snprintf(specs[spec_count++], sizeof(specs[0]), "%s%s%s", name, inner ? ":" : "",
		 inner ? inner : "");
}

static int collect(void **state)
{
	(void)state;
	for (int i = 0; rh_backends[i]; i++) {
		const struct rh_backend *ops = rh_backends[i];

		if (ops->absent_why)
			continue;
		add_spec(ops->name, ops->caps & RH_CAP_DECORATOR ? "libc" : NULL);
		if (ops->caps & RH_CAP_DECORATOR)
			add_spec(ops->name, "bump");
	}
	add_spec("checked:slow:20%", "libc");
	return 0;
}

/* An opened backend. */
struct subject {
	struct rh_spec spec;
	struct rh_heap *heap;
	const struct rh_backend *ops;
	bool has_memory;
};

static void subject_open(struct subject *s, const char *text)
{
	struct rh_err err = { 0 };

	if (rh_spec_parse(&s->spec, text, 1, &err) < 0 ||
	    rh_spec_open(&s->spec, LANES, &s->heap, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	s->ops = &s->spec.layer[0].ops;
	s->has_memory = !(s->spec.layer[s->spec.depth - 1].ops.caps & RH_CAP_NO_MEMORY);
}

static struct rh_lane *lane_of(struct subject *s)
{
	struct rh_lane *lane;
	struct rh_err err = { 0 };

	assert_int_equal(s->ops->lane_open(s->heap, &lane, &err), 0);
	return lane;
}

static void each_subject(void (*test)(struct subject *s, struct rh_lane *lane))
{
	for (int i = 0; i < spec_count; i++) {
		struct subject s;
		struct rh_lane *lane;

		subject_open(&s, specs[i]);
		lane = lane_of(&s);
		test(&s, lane);
		s.ops->lane_close(lane);
		s.ops->close(s.heap);
	}
}

static void fill(void *p, size_t size, unsigned seed)
{
	memset(p, (int)(seed % 251 + 1), size);
}

static void expect(const void *p, size_t size, unsigned seed)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != seed % 251 + 1)
			fail_msg("byte %zu of %zu is %d, not %u", i, size, bytes[i],
				 seed % 251 + 1);
}

static size_t size_of_round(unsigned i)
{
	return i % 97 == 0 ? 100000 + i : i % 13 == 0 ? i % 9000 : i % 130;
}

/* ---- heaps ---- */

static void blocks_one(struct subject *s, struct rh_lane *lane)
{
	void *p[200];

	for (unsigned i = 0; i < 200; i++) {
		size_t size = size_of_round(i), natural = size >= 16 ? 16 : 8;

		p[i] = s->ops->alloc(lane, size);
		assert_non_null(p[i]);
		assert_true(s->ops->usable(lane, p[i], size) >= size);
		if (!s->has_memory)
			continue;
		assert_int_equal((uintptr_t)p[i] % natural, 0);
		fill(p[i], size, i);
	}
	for (unsigned i = 0; i < 200; i++) {
		if (s->has_memory)
			expect(p[i], size_of_round(i), i);
		s->ops->free(lane, p[i], size_of_round(i));
	}
}

static void blocks_are_apart_and_aligned(void **state)
{
	(void)state;
	each_subject(blocks_one);
}

static void aligned_one(struct subject *s, struct rh_lane *lane)
{
	static const size_t sizes[] = { 0, 1, 8, 100, 4096, 70000 };

	for (size_t align = 1; align <= 2 << 20; align *= 2)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			void *p = s->ops->alloc_as(lane, sizes[i], align, RH_ALLOC_NOSCAN);
			void *q = s->ops->alloc_as(lane, sizes[i], align, RH_ALLOC_ZEROED);

			assert_non_null(p);
			assert_non_null(q);
			if (s->has_memory) {
				assert_int_equal((uintptr_t)p % align, 0);
				assert_int_equal((uintptr_t)q % align, 0);
				fill(p, sizes[i], 7);
				for (size_t b = 0; b < sizes[i]; b++)
					assert_int_equal(((char *)q)[b], 0);
				expect(p, sizes[i], 7);
			}
			s->ops->free(lane, p, sizes[i]);
			s->ops->free(lane, q, sizes[i]);
		}
}

static void aligned_up_to_2_mib_and_zeroed(void **state)
{
	(void)state;
	each_subject(aligned_one);
}

/* Zeroed must hold for memory that was used before, too. */
static void zeroed_one(struct subject *s, struct rh_lane *lane)
{
	static const size_t sizes[] = { 16, 48, 1024, 5000, 40000, 300000 };

	if (!s->has_memory)
		return;
	for (int round = 0; round < 4; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			unsigned char *p = s->ops->alloc_as(lane, sizes[i], 0, RH_ALLOC_ZEROED);

			assert_non_null(p);
			for (size_t b = 0; b < sizes[i]; b++)
				assert_int_equal(p[b], 0);
			fill(p, sizes[i], 200);
			s->ops->free(lane, p, sizes[i]);
		}
}

static void zeroed_after_reuse(void **state)
{
	(void)state;
	each_subject(zeroed_one);
}

static void resize_one(struct subject *s, struct rh_lane *lane)
{
	static const size_t sizes[] = { 1, 24, 0, 16, 300, 300, 40, 9000, 200000, 5000000, 70, 0 };
	size_t old = 0, kept = 0;
	void *p = s->ops->alloc(lane, 0);

	assert_non_null(p);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *other = s->ops->alloc(lane, 64);

		kept = sizes[i] < old ? sizes[i] : old;
		p = s->ops->resize(lane, p, old, sizes[i]);
		assert_non_null(p);
		if (s->has_memory) {
			expect(p, kept, i);
			fill(p, sizes[i], i + 1);
		}
		old = sizes[i];
		s->ops->free(lane, other, 64);
	}
	s->ops->free(lane, p, old);
}

static void resize_keeps_contents(void **state)
{
	(void)state;
	each_subject(resize_one);
}

static void huge_one(struct subject *s, struct rh_lane *lane)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096,
					(size_t)PTRDIFF_MAX + 1, (size_t)1 << 62 };
	void *keep = s->ops->alloc(lane, 100);

	if (!s->has_memory)
		return;
	fill(keep, 100, 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_null(s->ops->alloc(lane, sizes[i]));
		assert_null(s->ops->alloc_as(lane, sizes[i], 4096, RH_ALLOC_ZEROED));
		assert_null(s->ops->resize(lane, keep, 100, sizes[i]));
	}
	expect(keep, 100, 3);
	s->ops->free(lane, keep, 100);
	blocks_one(s, lane);
}

static void huge_sizes_are_refused_and_harmless(void **state)
{
	(void)state;
	each_subject(huge_one);
}

/* ---- several lanes: each makes blocks, its neighbour frees them ---- */

struct worker {
	struct subject *s;
	struct rh_lane *lane;
	_Atomic(void *) *inbox, *outbox;
	unsigned seed;
};

static void hand_over(struct worker *w, unsigned i, void *p)
{
	void *theirs;

	if (w->s->has_memory)
		fill(p, 64, i);
	theirs = atomic_exchange(&w->outbox[i % 16], p);
	if (theirs)
		w->s->ops->free(w->lane, theirs, 64);
	theirs = atomic_exchange(&w->inbox[i * 7 % 16], NULL);
	if (theirs)
		w->s->ops->free(w->lane, theirs, 64);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct rh_err err = { 0 };
	void *mine[8] = { NULL };

	if (w->s->ops->lane_open(w->s->heap, &w->lane, &err) < 0)
		return w;
	for (unsigned i = w->seed; i < w->seed + ROUNDS; i++) {
		size_t size = size_of_round(i), slot = i % 8;
		void *p = w->s->ops->alloc(w->lane, 64);

		if (!p)
			return w;
		hand_over(w, i, p);
		if (mine[slot]) {
			if (w->s->has_memory)
				expect(mine[slot], size_of_round(i - 8), i - 8);
			w->s->ops->free(w->lane, mine[slot], size_of_round(i - 8));
		}
		mine[slot] = w->s->ops->alloc(w->lane, size);
		if (!mine[slot])
			return w;
		if (w->s->has_memory)
			fill(mine[slot], size, i);
	}
	for (unsigned i = w->seed + ROUNDS - 8; i < w->seed + ROUNDS; i++)
		w->s->ops->free(w->lane, mine[i % 8], size_of_round(i));
	w->s->ops->lane_close(w->lane);
	return NULL;
}

static void lanes_one(struct subject *s, struct rh_lane *lane)
{
	static _Atomic(void *) box[LANES][16];
	struct worker worker[LANES];
	pthread_t thread[LANES];

	for (int i = 0; i < LANES; i++) {
		worker[i] = (struct worker){ s, NULL, box[i], box[(i + 1) % LANES],
					     (unsigned)i * 1000 };
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	for (int i = 0; i < LANES; i++) {
		void *failed;

		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	for (int i = 0; i < LANES * 16; i++) {
		void *p = atomic_exchange(&box[i / 16][i % 16], NULL);

		if (p)
			s->ops->free(lane, p, 64);
	}
	s->ops->gc_begin(lane);
	s->ops->gc_end(lane);
	blocks_one(s, lane);
}

static void lanes_in_parallel_with_remote_frees(void **state)
{
	(void)state;
	each_subject(lanes_one);
}

/* ---- life ---- */

static uint64_t vm_bytes(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return (uint64_t)pages * rh_page_bytes();
}

static void live_and_die(const char *text)
{
	struct subject s;
	struct rh_lane *lane;

	subject_open(&s, text);
	lane = lane_of(&s);
	for (unsigned i = 0; i < 2000; i++) {
		void *p = s.ops->alloc(lane, size_of_round(i));

		assert_non_null(p);
		if (i % 3) /* the others die with the heap */
			s.ops->free(lane, p, size_of_round(i));
	}
	assert_non_null(s.ops->alloc_as(lane, 3 << 20, 2 << 20, 0));
	s.ops->lane_close(lane);
	s.ops->close(s.heap);
}

static void close_returns_everything(void **state)
{
	(void)state;
	for (int i = 0; i < spec_count; i++) {
		uint64_t before;

		/* What wraps libc leaves its live blocks in the process's heap. */
		if (strstr(specs[i], "libc"))
			continue;
		live_and_die(specs[i]);
		before = vm_bytes();
		for (int round = 0; round < 3; round++)
			live_and_die(specs[i]);
		if (vm_bytes() > before + (64 << 10))
			fail_msg("%s keeps %llu bytes", specs[i],
				 (unsigned long long)(vm_bytes() - before));
	}
}

static void count_stat(void *ctx, const char *name, const char *unit, uint64_t value)
{
	(void)value;
	assert_true(name[0] && unit[0]);
	++*(int *)ctx;
}

static void count_lock(void *ctx, const struct rh_lock_stats *lock)
{
	assert_true(lock->name[0]);
	++*(int *)ctx;
}

static void stats_one(struct subject *s, struct rh_lane *lane)
{
	int stats = 0, locks = 0;

	blocks_one(s, lane);
	s->ops->stats(s->heap, count_stat, &stats);
	s->ops->locks(s->heap, count_lock, &locks);
	if (s->ops->stack_pages) {
		void *p = s->ops->stack_pages(lane, 3);

		assert_non_null(p);
		memset(p, 1, 3 * RH_STACK_PAGE);
		s->ops->stack_pages_free(lane, p, 3);
	}
}

static void stats_have_names_and_pages_are_lent(void **state)
{
	(void)state;
	each_subject(stats_one);
}

/* ---- tables ---- */

static void tables_are_sorted_and_complete(void **state)
{
	struct rh_backend filled;
	struct rh_stack_backend stack;
	struct rh_err err = { 0 };

	(void)state;
	for (int i = 0; rh_backends[i]; i++) {
		const char *pair = rh_backends[i]->stack_default;

		assert_int_equal(rh_backend_check(rh_backends[i], &filled, &err), 0);
		assert_true(i == 0 || strcmp(rh_backends[i - 1]->name, rh_backends[i]->name) < 0);
		assert_non_null(rh_backends[i]->summary);
		assert_true(!pair || rh_stack_backend_find(pair, strlen(pair)));
		assert_null(rh_peer_by_name(rh_backends[i]->name, strlen(rh_backends[i]->name)));
	}
	for (int i = 0; rh_stack_backends[i]; i++) {
		assert_int_equal(rh_stack_backend_check(rh_stack_backends[i], &stack, &err), 0);
		assert_true(i == 0 ||
			    strcmp(rh_stack_backends[i - 1]->name, rh_stack_backends[i]->name) < 0);
	}
	for (int i = 1; rh_peers[i].name; i++)
		assert_true(strcmp(rh_peers[i - 1].name, rh_peers[i].name) < 0);
}

static void incomplete_backends_are_refused(void **state)
{
	struct rh_backend broken = rh_backend_null, filled;
	struct rh_err err = { 0 };

	(void)state;
	broken.resize = NULL;
	assert_int_equal(rh_backend_check(&broken, &filled, &err), -1);
	assert_string_equal(err.text, "backend null lacks the required entry .resize");
	broken = rh_backend_null;
	broken.abi = 9;
	assert_int_equal(rh_backend_check(&broken, &filled, &err), -1);
	assert_non_null(strstr(err.text, "interface version 9"));
	broken = rh_backend_null;
	broken.knobs_bytes = RH_KNOBS_BYTES_MAX + 1;
	assert_int_equal(rh_backend_check(&broken, &filled, &err), -1);
	broken = rh_backend_null;
	broken.name = NULL;
	assert_int_equal(rh_backend_check(&broken, &filled, &err), -1);
}

/* ---- stacks, each paired with the heap that every build has ---- */

static void stack_tasks(struct rh_stack_backend *ops, struct rh_stack_lane *lane)
{
	struct rh_err err = { 0 };
	void *task[50];

	for (int i = 0; i < 50; i++) {
		task[i] = ops->spawn(lane, i % 5 == 0 ? 65536 : 0);
		assert_non_null(task[i]);
		for (int depth = 0; depth < 8; depth++)
			assert_int_equal(ops->call(lane, task[i], 200), 0);
	}
	ops->gc_begin(lane);
	ops->gc_end(lane);
	for (int i = 0; i < 50; i++) {
		if (ops->verify(lane, task[i], &err) < 0)
			fail_msg("%s: %s", ops->name, err.text);
		for (int depth = 0; depth < 8; depth++)
			ops->ret(lane, task[i], 200);
		ops->exit(lane, task[i]);
	}
}

static void stacks_serve_tasks(void **state)
{
	(void)state;
	for (int i = 0; rh_stack_backends[i]; i++) {
		char text[64];
		struct subject s;
		struct rh_lane *heap_lane;
		struct rh_stacks *stacks;
		struct rh_stack_lane *lane;
		struct rh_err err = { 0 };
		int stats = 0;

		if (rh_stack_backends[i]->absent_why)
			continue;
		snprintf(text, sizeof(text), "libc/%s", rh_stack_backends[i]->name);
		subject_open(&s, text);
		heap_lane = lane_of(&s);
		assert_int_equal(
			s.spec.stack.open(&stacks, s.spec.stack_knobs, s.ops, s.heap, &err), 0);
		assert_int_equal(s.spec.stack.lane_open(stacks, heap_lane, &lane, &err), 0);
		stack_tasks(&s.spec.stack, lane);
		stack_tasks(&s.spec.stack, lane);
		s.spec.stack.lane_close(lane);
		s.spec.stack.stats(stacks, count_stat, &stats);
		assert_true(stats > 0);
		s.spec.stack.close(stacks);
		s.ops->lane_close(heap_lane);
		s.ops->close(s.heap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_sorted_and_complete),
		cmocka_unit_test(incomplete_backends_are_refused),
		cmocka_unit_test(blocks_are_apart_and_aligned),
		cmocka_unit_test(aligned_up_to_2_mib_and_zeroed),
		cmocka_unit_test(zeroed_after_reuse),
		cmocka_unit_test(resize_keeps_contents),
		cmocka_unit_test(huge_sizes_are_refused_and_harmless),
		cmocka_unit_test(close_returns_everything),
		cmocka_unit_test(lanes_in_parallel_with_remote_frees),
		cmocka_unit_test(stats_have_names_and_pages_are_lent),
		cmocka_unit_test(stacks_serve_tasks),
	};

	return cmocka_run_group_tests(tests, collect, NULL);
}
