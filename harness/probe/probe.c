/*
 * probe.c - the table of probes, and the hooks of those that were chosen.
 *
 * A hook that fails removes its probe from this worker's life: its sentence goes into the
 * result once per metric and backend, the other probes continue.
 */
#include "harness/probe/probe.h"
#include "alloc/base/printable.h"
#include "alloc/base/suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct rh_probe rh_probe_time = {
	.name = "time",
	.summary = "wall and CPU time, waits for other lanes; always on",
	.source = "own",
};

static const char *memory_absent(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	(void)text;
	(void)text_bytes;
	if (config->under)
		return "workers run under another program, whose pages would be counted";
	return config->replay.verify ? "--verify fills every block" : NULL;
}

const struct rh_probe rh_probe_memory = {
	.name = "memory",
	.summary = "resident and live bytes per segment, faults, what is kept after the drain",
	.source = "sw",
	.absent_why = memory_absent,
};

const struct rh_probe *const rh_probes[] = {
#define ROW(name) &rh_probe_##name,
	RH_PROBES(ROW)
#undef ROW
		NULL
};

bool rh_probe_chosen(const struct rh_run_config *config, const struct rh_probe *probe)
{
	for (unsigned i = 0; rh_probes[i]; i++)
		if (rh_probes[i] == probe)
			return config->probe_set >> i & 1;
	return false;
}

/* ---- choosing ---- */

static int no_such_probe(const char *word, struct rh_err *err)
{
	struct rh_suggestion near = rh_suggestion_for(word, strlen(word));
	char text[512];

	for (unsigned i = 0; rh_probes[i]; i++)
		rh_suggest_consider(&near, rh_probes[i]->name);
	rh_suggest_consider(&near, "all");
	rh_suggest_write(&near, text, sizeof(text));
	return rh_fail(err, RH_USAGE, "there is no probe '%s'; %s", word, text);
}

static int choose_word(const char *word, uint32_t *set, struct rh_err *err)
{
	bool all = strcmp(word, "all") == 0, found = all;

	for (unsigned i = 0; rh_probes[i]; i++) {
		bool named = strcmp(word, rh_probes[i]->name) == 0;

		if (named || (all && !rh_probes[i]->by_name_only))
			*set |= 1u << i;
		found |= named;
	}
	return found ? 0 : no_such_probe(word, err);
}

int rh_probes_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	char words[256], *at = words, *word, text[300];

	if (snprintf(words, sizeof(words), "%s", config->probes) >= (int)sizeof(words))
		return rh_fail(err, RH_USAGE, "--probes is longer than %zu characters",
			       sizeof(words));
	config->probe_set = 1; /* time */
	while ((word = strsep(&at, ",")))
		if (*word && choose_word(word, &config->probe_set, err) < 0)
			return -1;
	for (unsigned i = 0; rh_probes[i]; i++)
		config->probe_set |= (uint32_t)rh_probes[i]->always << i;
	if (rh_counters_choose(config, result, err) < 0)
		return -1;
	for (unsigned i = 0; rh_probes[i]; i++)
		if (rh_probes[i] == &rh_probe_pace && config->replay.pace)
			config->probe_set |= 1u << i;
	for (unsigned i = 0; rh_probes[i]; i++) {
		const struct rh_probe *probe = rh_probes[i];
		const char *why = probe->absent_why && config->probe_set >> i & 1
					  ? probe->absent_why(config, text, sizeof(text))
					  : NULL;

		if (!why)
			continue;
		config->probe_set &= ~(1u << i);
		rh_result_absent(result, probe->name, -1, "%s", why);
		/* --verify and --under imply a run without the memory probe: no warning. */
		result->partial |= probe != &rh_probe_memory;
	}
	config->memory = rh_probe_chosen(config, &rh_probe_memory);
	return 0;
}

/* ---- for hooks ---- */

void rh_probe_area(struct rh_probe_run *run, enum rh_area area, size_t bytes)
{
	run->start->area_bytes[area] = rh_page_up(bytes);
}

void *rh_probe_area_of(const struct rh_worker *worker, enum rh_area area)
{
	return rh_ctl_area(worker->ctl, area);
}

void rh_probe_reading(struct rh_probe_run *run, const char *name, double value)
{
	struct rh_reading *row;

	if (!isfinite(value))
		return;
	row = rh_grow(&run->trial->readings, &run->trial->reading_count, sizeof(*row));
	*row = (struct rh_reading){ name, value };
}

struct rh_pool *rh_probe_pool(const struct rh_probe_run *run)
{
	return rh_result_pool(run->result);
}

double rh_probe_ns(const struct rh_probe_run *run, double ticks)
{
	return ticks * run->result->clock.ns_per_tick;
}

void rh_probe_failed(struct rh_result *result, const struct rh_probe *probe, int backend,
		     const struct rh_err *err)
{
	result->partial = true;
	for (size_t a = 0; a < result->absent_count; a++)
		if (result->absent[a].metric == probe->name && result->absent[a].backend == backend)
			return;
	rh_result_absent(result, probe->name, backend, "%s", err->text);
}

/* ---- sets ---- */

void rh_probes_open(struct rh_probe_set *set, const struct rh_probe_run *like,
		    const struct rh_probe *own_pass)
{
	set->mask = 0;
	for (unsigned i = 0; rh_probes[i]; i++) {
		set->run[i] = *like;
		if (own_pass ? rh_probes[i] == own_pass
			     : !rh_probes[i]->own_pass && like->config->probe_set >> i & 1)
			set->mask |= 1u << i;
	}
}

static void drop(struct rh_probe_set *set, unsigned i, const struct rh_err *err)
{
	struct rh_probe_run *run = &set->run[i];

	set->mask &= ~(1u << i);
	if (rh_probes[i]->release)
		rh_probes[i]->release(run);
	run->own = NULL;
	rh_probe_failed(run->result, rh_probes[i], (int)run->trial->backend, err);
}

/* Calls a hook of every probe in the set; the expression may use probe, run and err. */
#define EACH(set, hook, call)                                          \
	for (unsigned i = 0; rh_probes[i]; i++) {                      \
		const struct rh_probe *probe = rh_probes[i];           \
		struct rh_probe_run *run = &(set)->run[i];             \
		struct rh_err err = { 0 };                             \
		if ((set)->mask >> i & 1 && probe->hook && (call) < 0) \
			drop(set, i, &err);                            \
	}

void rh_probes_prepare(struct rh_probe_set *set, struct rh_worker_start *start)
{
	for (unsigned i = 0; rh_probes[i]; i++)
		set->run[i].start = start;
	EACH(set, prepare, probe->prepare(run, &err));
	for (unsigned i = 0; rh_probes[i]; i++)
		set->run[i].start = NULL;
}

uint64_t rh_probes_events_max(const struct rh_probe_set *set)
{
	uint64_t least = 0;

	for (unsigned i = 0; rh_probes[i]; i++)
		if (set->mask >> i & 1 && set->run[i].events_max &&
		    (!least || set->run[i].events_max < least))
			least = set->run[i].events_max;
	return least;
}

void rh_probes_start(struct rh_probe_set *set)
{
	EACH(set, start, probe->start(run, &err));
}

void rh_probes_segment(struct rh_probe_set *set, const struct rh_segment *segment)
{
	EACH(set, segment, probe->segment(run, segment, &err));
}

void rh_probes_end(struct rh_probe_set *set)
{
	EACH(set, end, probe->end(run, &err));
}

void rh_probes_drained(struct rh_probe_set *set)
{
	EACH(set, drained, probe->drained(run, &err));
}

void rh_probes_closed(struct rh_probe_set *set)
{
	EACH(set, closed, probe->closed(run, &err));
}

void rh_probes_close(struct rh_probe_set *set)
{
	for (unsigned i = 0; rh_probes[i]; i++)
		if (set->mask >> i & 1 && rh_probes[i]->release)
			rh_probes[i]->release(&set->run[i]);
	set->mask = 0;
}

/* ---- tables ---- */

size_t rh_print_rows(const struct rh_probe_table *table, FILE *to, bool markdown)
{
	size_t columns = (size_t)table->columns, rows = 1;
	char(*cells)[RH_CELL] = calloc((table->result->backend_count + 1) * columns, RH_CELL);

	if (!cells)
		return 0;
	for (size_t c = 0; c < columns; c++)
		snprintf(cells[c], RH_CELL, "%s", table->heads[c]);
	for (uint32_t b = 0; b < table->result->backend_count; b++) {
		char(*row)[RH_CELL] = cells + rows * columns;

		snprintf(row[0], RH_CELL, "%.60s", table->result->backends[b].text);
		rows += table->fill(table, b, row + 1);
	}
	if (rows > 1)
		rh_print_cells(to, &(struct rh_cells){ .cell = cells,
						       .rows = rows,
						       .columns = table->columns,
						       .left = RH_LEFT_ENDS(table->columns),
						       .markdown = markdown });
	free(cells);
	return rows - 1;
}

const struct rh_metric *rh_table_metric(const struct rh_probe_table *table, uint32_t backend,
					const char *name)
{
	return rh_metric_like(table->result, table->like, backend, name);
}

void rh_metric_cell(char *cell, const struct rh_metric *metric, double scale, const char *format)
{
	if (metric)
		snprintf(cell, RH_CELL, format, metric->median * scale);
	else
		snprintf(cell, RH_CELL, "-");
}
