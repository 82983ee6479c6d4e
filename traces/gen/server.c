/*
 * server.c - a server in steady state: sizes and lifetimes from a profile.
 *
 * First the heap is filled: objects are drawn in proportion to how many of each size should
 * live, until `heap` bytes are live. From then on lanes serve requests in random turns. A
 * request allocates some objects, drawn by rate of allocation; at its end each size it touched
 * is brought back to the number that should live, by freeing any of that size. So an object of
 * a row lives alive/rate on average, exponentially distributed, and sizes of which less than
 * one should live are temporaries of their request.
 *
 * Each lane has its own objects (its sessions, its arena). With `remote`, a free takes an
 * object of another lane instead, and gives that lane one of its own in exchange: the numbers
 * per lane stay, and the exchanged object is also freed remotely sooner or later. So one
 * exchange makes two remote frees, hence the half below.
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

#include "traces/gen/profile.h"

enum { REQUEST_MAX = 4096 };

struct server_opts {
	struct rh_gen_common common;
	const char *csv;
	uint64_t heap, request;
	double remote;
};

static const struct rh_opt server_options[] = {
	RH_GEN_COMMON_OPTS(server_opts, "4"),
	{ "csv", 0, RH_OPT_TEXT, offsetof(struct server_opts, csv), .arg = "FILE",
	  .help = "lines of size,alloc_rate,live_count; default: a profile of our own" },
	{ "heap", 0, RH_OPT_SIZE, offsetof(struct server_opts, heap), "32M", .min = 65536,
	  .max = 1e15, .arg = "BYTES", .help = "live bytes in steady state, all lanes" },
	{ "request", 0, RH_OPT_UINT, offsetof(struct server_opts, request), "24", .min = 1,
	  .max = REQUEST_MAX, .arg = "N", .help = "allocations of a request (mean)" },
	{ "remote", 0, RH_OPT_SHARE, offsetof(struct server_opts, remote), "5%", .max = 0.9,
	  .arg = "SHARE", .help = "frees done by another lane than the one that allocated" },
	{ .name = NULL }
};

struct server {
	struct rh_gen gen;
	const struct server_opts *opts;
	struct rh_gen_profile profile;
	struct rh_gen_bag *bags; /* by lane, then by row */
	uint32_t exchange_share;
	uint32_t touched[REQUEST_MAX];
};

static struct rh_gen_bag *bag_of(struct server *server, uint32_t lane, uint32_t row)
{
	return &server->bags[(size_t)lane * server->profile.rows + row];
}

static void birth(struct server *server, uint32_t lane, uint32_t row)
{
	struct rh_gen *gen = &server->gen;

	rh_gen_bag_put(gen, bag_of(server, lane, row),
		       rh_gen_alloc(gen, lane, server->profile.row[row].size, 0));
}

/* An object for `lane` to free: one of its own, or by exchange one of another's. */
static struct rh_gen_object victim(struct server *server, uint32_t lane, uint32_t row)
{
	struct rh_gen_random *random = &server->gen.random;
	struct rh_gen_object own = rh_gen_bag_any(bag_of(server, lane, row), random);
	uint64_t lanes = server->opts->common.lanes;
	struct rh_gen_object theirs;
	struct rh_gen_bag *other;

	if (lanes == 1 || !rh_gen_chance(random, server->exchange_share))
		return own;
	other = bag_of(server, (uint32_t)((lane + 1 + rh_gen_below(random, lanes - 1)) % lanes),
		       row);
	if (other->count == 0)
		return own;
	theirs = rh_gen_bag_any(other, random);
	rh_gen_bag_put(&server->gen, other, own);
	return theirs;
}

/* How many of a row a lane should have: the fraction of an object exists now and then. */
static uint64_t target_of(struct server *server, uint32_t row)
{
	uint64_t target = server->profile.row[row].target / server->opts->common.lanes;

	return (target >> 32) + rh_gen_chance(&server->gen.random, (uint32_t)target);
}

static void request(struct server *server, uint32_t lane)
{
	struct rh_gen *gen = &server->gen;
	uint64_t count = rh_gen_geometric(&gen->random, server->opts->request);

	if (count > REQUEST_MAX)
		count = REQUEST_MAX;
	for (uint64_t i = 0; i < count; i++) {
		server->touched[i] = rh_gen_draw(&server->profile.by_rate, &gen->random);
		birth(server, lane, server->touched[i]);
	}
	for (uint64_t i = 0; i < count && rh_gen_more(gen); i++) {
		uint32_t row = server->touched[i];
		uint64_t target = target_of(server, row);

		while (bag_of(server, lane, row)->count > target && rh_gen_more(gen))
			rh_gen_free(gen, lane, victim(server, lane, row));
	}
}

/* Draws until the bytes are there; a row never gets more than its target. */
static void fill(struct server *server)
{
	struct rh_gen *gen = &server->gen;
	uint64_t bytes = 0, tries = 0;

	while (bytes < server->opts->heap && rh_gen_more(gen)) {
		uint32_t lane = (uint32_t)rh_gen_below(&gen->random, server->opts->common.lanes);
		uint64_t run = rh_gen_geometric(&gen->random, RH_GEN_RUN_MEAN);

		while (run-- && bytes < server->opts->heap) {
			uint32_t row = rh_gen_draw(&server->profile.by_live, &gen->random);

			if (bag_of(server, lane, row)->count < target_of(server, row)) {
				birth(server, lane, row);
				bytes += server->profile.row[row].size;
				tries = 0;
			} else if (++tries == 4096) {
				/* All but the rare rows are full: close enough. */
				return;
			}
		}
	}
}

static int generate_server(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct server_opts *opts = options;
	struct server *server = calloc(1, sizeof(*server));
	uint64_t lanes = opts->common.lanes;
	int result = -1;

	if (!server)
		return rh_fail(err, RH_OS, "no memory for a generator");
	server->opts = opts;
	server->exchange_share = rh_gen_share(opts->remote / 2);
	if (rh_gen_profile_open(&server->profile, opts->csv, opts->heap, opts->heap / 4, err) < 0)
		goto out_server;
	if (server->profile.left_out &&
	    rh_trace_add_count(out, "generator.rows_left_out", server->profile.left_out, err) < 0)
		goto out_profile;
	if (rh_gen_open(&server->gen, &opts->common, out, err) < 0)
		goto out_profile;
	server->bags = calloc(lanes * server->profile.rows, sizeof(*server->bags));
	if (!server->bags)
		rh_gen_no_memory(&server->gen);
	for (uint32_t lane = 0; lane < lanes; lane++)
		rh_gen_lane_start(&server->gen, lane);
	fill(server);
	while (rh_gen_more(&server->gen))
		request(server, (uint32_t)rh_gen_below(&server->gen.random, lanes));
	for (uint64_t i = 0; server->bags && i < lanes * server->profile.rows; i++)
		rh_gen_bag_free(&server->bags[i]);
	free(server->bags);
	result = rh_gen_close(&server->gen, err);
out_profile:
	rh_gen_profile_close(&server->profile);
out_server:
	free(server);
	return result;
}

const struct rh_generator rh_gen_server = {
	.name = "server",
	.summary = "steady server: sizes and lifetimes from a profile, requests, own arenas",
	.stresses = "the everyday mix of sizes and lifetimes, with some remote frees",
	.opts = server_options,
	.opts_bytes = sizeof(struct server_opts),
	.columns = RH_COL_TIME,
	.run = generate_server,
};
