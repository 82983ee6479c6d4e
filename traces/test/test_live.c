/*
 * test_live.c - ranks against a plain array, through compaction and growth; and a set of
 * many living objects is not quadratic (steps are bounded by shape, so it just finishes).
 * And the map of addresses, against an array; and the table of blocks, against that map.
 */
#include "traces/test/test_support.h"

#include "traces/format/addresses.h"
#include "traces/format/live.h"
#include "traces/format/map.h"

static bool among(const uint64_t *ids, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

struct model {
	uint64_t *ids;
	size_t count;
};

static void check_all(const struct rh_live *live, const struct model *model)
{
	for (size_t i = 0; i < model->count; i++) {
		uint64_t position, selected, id, rank = model->count - 1 - i;

		assert_true(rh_live_find(live, model->ids[i], &position));
		assert_int_equal(rh_live_rank(live, position), rank);
		assert_true(rh_live_select(live, rank, &selected, &id));
		assert_int_equal(selected, position);
		assert_int_equal(id, model->ids[i]);
		assert_int_equal(*(uint64_t *)rh_live_payload(live, position), id * 3);
	}
	assert_int_equal(rh_live_count(live), model->count);
}

static void birth(struct rh_live *live, struct model *model)
{
	uint64_t position, id = rh_live_births(live);

	assert_true(rh_live_birth(live, &position));
	*(uint64_t *)rh_live_payload(live, position) = id * 3;
	model->ids[model->count++] = id;
}

static void death(struct rh_live *live, struct model *model, size_t i)
{
	uint64_t position, id = model->ids[i];

	assert_true(rh_live_find(live, id, &position));
	rh_live_death(live, position);
	assert_false(rh_live_find(live, id, &position));
	memmove(&model->ids[i], &model->ids[i + 1], (--model->count - i) * sizeof(id));
}

static void test_model(void **state)
{
	struct rh_live *live = rh_live_open(sizeof(uint64_t));
	struct model model = { .ids = calloc(20000, sizeof(uint64_t)) };
	struct maker maker = { .random = 88172645463325252ull };
	uint64_t position, id;

	(void)state;
	assert_false(rh_live_select(live, 0, &position, &id));
	assert_false(rh_live_find(live, 0, &position));
	for (int step = 0; step < 60000; step++) {
		/* Waves: the population swings between nothing and some thousands. */
		int grows = maker_below(&maker, 100) < (step / 10000 % 2 ? 35u : 65u);

		if (model.count == 0 || (grows && model.count < 20000))
			birth(live, &model);
		else
			death(live, &model, (size_t)maker_below(&maker, model.count));
		if (step % 5003 == 0)
			check_all(live, &model);
	}
	check_all(live, &model);
	assert_false(rh_live_select(live, model.count, &position, &id));
	free(model.ids);
	rh_live_close(live);
}

static void test_many(void **state)
{
	enum { MANY = 2000000 };
	struct rh_live *live = rh_live_open(0);
	uint64_t position, id;

	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_true(rh_live_birth(live, &position));
	/* The oldest each time: the longest search there is. */
	for (uint64_t i = 0; i < 100000; i++) {
		assert_true(rh_live_find(live, i, &position));
		assert_int_equal(rh_live_rank(live, position), MANY - 1 - i);
		assert_true(rh_live_select(live, MANY - 1 - i, &position, &id));
		assert_int_equal(id, i);
		rh_live_death(live, position);
	}
	rh_live_close(live);
}

/* A few thousand survivors of the beginning under millions that come and go: compaction
 * lays them out in one stretch of ids. Both ends are found, the dead are not. */
static void test_skewed_ages(void **state)
{
	enum { OLD = 3000, PASSING = 3000000, YOUNG = 700 };
	struct rh_live *live = rh_live_open(sizeof(uint64_t));
	struct maker maker = { .random = 521288629 };
	uint64_t position, id, young[YOUNG];

	(void)state;
	for (int i = 0; i < OLD; i++)
		assert_true(rh_live_birth(live, &position));
	for (int i = 0; i < YOUNG; i++) {
		young[i] = rh_live_births(live);
		assert_true(rh_live_birth(live, &position));
	}
	for (int step = 0; step < PASSING; step++) {
		uint64_t *dies = &young[maker_below(&maker, YOUNG)];

		rh_live_soon(live, *dies, false);
		rh_live_soon(live, *dies, true);
		assert_true(rh_live_find(live, *dies, &position));
		rh_live_death(live, position);
		assert_false(rh_live_find(live, *dies, &position));
		*dies = rh_live_births(live);
		assert_true(rh_live_birth(live, &position));
	}
	for (uint64_t i = 0; i < OLD; i++) {
		assert_true(rh_live_find(live, i, &position));
		assert_int_equal(rh_live_rank(live, position), OLD + YOUNG - 1 - i);
		assert_true(rh_live_select(live, OLD + YOUNG - 1 - i, &position, &id));
		assert_int_equal(id, i);
	}
	for (uint64_t i = OLD; i < PASSING; i += 999)
		assert_int_equal(rh_live_find(live, i, &position), among(young, YOUNG, i));
	rh_live_close(live);
}

static void test_map(void **state)
{
	enum { KEYS = 3000 };
	static uint64_t value[KEYS];
	struct maker maker = { .random = 362436069 };
	struct rh_map map = { 0 };

	(void)state;
	memset(value, 0xff, sizeof(value));
	assert_int_equal(rh_map_get(&map, 5), RH_MAP_NONE);
	assert_int_equal(rh_map_remove(&map, 5), RH_MAP_NONE);
	for (uint64_t step = 0; step < 200000; step++) {
		uint64_t i = maker_below(&maker, KEYS), key = 0xb6000000 + i * 16;

		assert_int_equal(rh_map_get(&map, key), value[i]);
		if (maker_below(&maker, 2)) {
			assert_int_equal(rh_map_remove(&map, key), value[i]);
			value[i] = RH_MAP_NONE;
		} else {
			assert_true(rh_map_put(&map, key, step));
			value[i] = step;
		}
	}
	rh_map_close(&map);
}

/* Many more keys than a bucket has room for share a home, and the last bucket is among them:
 * every order of removal leaves the others where a look finds them. */
static void test_map_collisions(void **state)
{
	enum { KEYS = 9, TABLE = 16 };
	struct maker maker = { .random = 886777 };
	struct rh_map probe = { .cap = TABLE }, map = { 0 };
	uint64_t key[KEYS] = { 0 };
	size_t count = 0;

	(void)state;
	for (uint64_t k = 0; count < KEYS; k += 16) {
		size_t home = rh_map_home(&probe, k);

		if (home >= TABLE - 2 || (home == 0 && count > KEYS / 2))
			key[count++] = k;
	}
	for (int round = 0; round < 2000; round++) {
		bool in[KEYS] = { false };

		for (int step = 0; step < 60; step++) {
			size_t i = (size_t)maker_below(&maker, KEYS);

			if (in[i])
				assert_int_equal(rh_map_remove(&map, key[i]), i);
			else
				assert_true(rh_map_put(&map, key[i], i));
			in[i] = !in[i];
			for (size_t k = 0; k < KEYS; k++)
				assert_int_equal(rh_map_get(&map, key[k]), in[k] ? k : RH_MAP_NONE);
		}
		for (size_t i = 0; i < KEYS; i++)
			assert_int_equal(rh_map_remove(&map, key[i]), in[i] ? i : RH_MAP_NONE);
		assert_int_equal(map.count, 0);
	}
	assert_int_equal(map.cap, TABLE);
	rh_map_close(&map);
}

/* Against a map, at random: multiples of 16 and of 8, dense and far apart, more 64 KiB pages than
 * there are ids pages for, and addresses that end where those do. */
static void test_blocks(void **state)
{
	enum { ADDRESSES = 8192, STEPS = 400000 };
	static struct rh_blocks blocks;
	static uint64_t address[ADDRESSES];
	struct rh_map map = { .cap = 0 };
	uint64_t x = 1;

	(void)state;
	for (size_t i = 0; i < ADDRESSES; i++)
		address[i] = i < 2048 ? 0x555500000ff0 + i * 8 : 0x7f0000000000 + i * 0xfff0;
	for (uint64_t step = 0; step < STEPS; step++) {
		uint64_t at;

		x = x * 6364136223846793005u + 1442695040888963407u;
		at = address[(x >> 33) % ADDRESSES];
		assert_int_equal(blocks_get(&blocks, at), rh_map_get(&map, at));
		if (x >> 20 & 1) {
			assert_int_equal(blocks_remove(&blocks, at), rh_map_remove(&map, at));
			assert_int_equal(blocks_get(&blocks, at), RH_MAP_NONE);
		} else {
			assert_true(rh_blocks_reserve(&blocks, 1) && rh_map_reserve(&map, 1));
			assert_int_equal(blocks_add(&blocks, at, step), rh_map_add(&map, at, step));
		}
		assert_int_equal(rh_blocks_count(&blocks), map.count);
	}
	assert_true(blocks.full && blocks.near > 0 && blocks.far.count > 0);
	rh_blocks_close(&blocks);
	assert_int_equal(rh_blocks_count(&blocks), 0);
	rh_map_close(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),	       cmocka_unit_test(test_many),
		cmocka_unit_test(test_skewed_ages),    cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_collisions), cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
