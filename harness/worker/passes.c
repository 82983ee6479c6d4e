/*
 * passes.c - from one pass over the program to the next, as in a program that keeps running.
 *
 * Objects that live at the end of a program were never freed in its trace, so there is no
 * recorded place where they die. A program that keeps running would hold them until its work
 * repeats and something new takes their place. So at the end of a pass they all live on, and each
 * dies in the next pass just before its successor is born: before the op that made it runs again.
 * A resized object dies where the first block of its chain is born; a task that never exited
 * exits where it is spawned again. At any point of a later pass the objects from the end of the
 * trace are alive, plus the short-lived ones of that point. The heap is never drained between
 * passes, so an allocator that hoards freed memory gains nothing.
 *
 * An object dies on the lane that makes its successor, which is the lane that made it. No wait is
 * needed for that: a pass begins when every lane of the copy has ended the one before, and
 * between the two segments all lanes sleep.
 *
 * The rows (worker->kept) are the same for every pass, because the program is; they are found
 * once, before the heap opens, by the walk of drain.c. The loop knows nothing of them: it is run
 * from one birth to the next, which costs about 30 instructions per kept object, also on the null
 * floor, and nothing in the first pass.
 *
 * A thread that carries one recorded thread continues into the next pass. For one that carries
 * several, all but the last have ended, so a new thread begins the pass.
 */
#include <assert.h>
#include <string.h>

#include "harness/worker/ops.h"
#include "harness/worker/worker.h"

/* ---- before the heap opens: what lives at the end ---- */

/* Whether the op made the object that lives in its slot at the end of the program. */
static bool makes_kept(const struct worker *worker, const struct rh_op *op, uint64_t birth)
{
	switch (RH_OP_KIND(op->what)) {
	case RH_OP_ALLOC:
	case RH_OP_NOSCAN:
	case RH_OP_ZALLOC:
	case RH_OP_ALLOC_AS:
		return worker->live[RH_OP_SLOT(op->what)] &&
		       worker->births[RH_OP_SLOT(op->what)] == birth;
	case RH_OP_SPAWN:
		return worker->task_births[RH_OP_SLOT(op->what)] == birth;
	default:
		return false;
	}
}

/* Rows of all lanes, by birth; with rows NULL they are only counted. */
static uint64_t list_kept(const struct worker *worker, struct kept *rows, uint64_t *from)
{
	uint64_t count = 0, bytes = 0;
	uint32_t tasks = 0;

	for (uint32_t l = 0; l < worker->lanes; l++) {
		const struct rh_op *first = rh_program_ops(&worker->program, l), *op = first;
		const struct rh_op *end = first + worker->program.lanes[l].op_words;

		if (rows)
			from[l] = count;
		for (; op != end; op += op_words(op)) {
			uint32_t slot = RH_OP_SLOT(op->what);
			bool task = RH_OP_KIND(op->what) == RH_OP_SPAWN;
			uint64_t size;

			if (!makes_kept(worker, op, rh_birth_of(l, (uint64_t)(op - first))))
				continue;
			size = task ? 0 : rh_alive_size(worker, slot);
			if (rows)
				rows[count] = (struct kept){ op, size, bytes, tasks, slot, task };
			bytes += size;
			tasks += task;
			count++;
		}
	}
	if (rows) {
		from[worker->lanes] = count;
		rows[count] = (struct kept){ .bytes_before = bytes, .tasks_before = tasks };
	}
	return count;
}

static int make_rows(struct worker *worker, struct rh_err *err)
{
	uint64_t count = list_kept(worker, NULL, NULL), listed;
	uint64_t *from = rh_map_touched((worker->lanes + 1) * sizeof(*from));
	struct kept *rows = rh_map_touched((count + 1) * sizeof(*rows));

	if (!from || !rows)
		return rh_fail(err, RH_OS, "worker: no memory for %llu objects kept between passes",
			       (unsigned long long)count);
	listed = list_kept(worker, rows, from);
	assert(listed == count);
	worker->kept = rows;
	worker->kept_from = from;
	for (uint32_t k = 0; k < worker->ctl->copies; k++) {
		worker->copies[k].kept = rh_map_touched((count + 1) * sizeof(void *));
		if (!worker->copies[k].kept)
			return rh_fail(err, RH_OS,
				       "worker: no memory for what copy %u keeps between passes",
				       k + 1);
	}
	return 0;
}

int rh_passes_open(struct worker *worker, struct rh_err *err)
{
	const struct rh_program_head *head = worker->program.head;
	const struct copy whole = { .grain = head->grains };
	size_t births = ((size_t)head->slots + 1) * sizeof(uint64_t);
	size_t task_births = ((size_t)head->task_slots + 1) * sizeof(uint64_t);
	uint64_t objects, bytes;
	int result;

	if (!worker->ctl->keep)
		return 0;
	worker->births = rh_map(births);
	worker->task_births = rh_map(task_births);
	if (!worker->births || !worker->task_births)
		return rh_fail(err, RH_OS, "worker: no memory to find what passes keep");
	rh_alive_find(worker, &whole, &objects, &bytes);
	result = make_rows(worker, err);
	rh_alive_drop(worker);
	rh_unmap(worker->births, births);
	rh_unmap(worker->task_births, task_births);
	worker->births = worker->task_births = NULL;
	return result;
}

/* ---- between passes ---- */

void rh_passes_wrap(struct worker *worker, struct copy *copy)
{
	uint64_t count = worker->kept_from[worker->lanes];
	const struct kept *rows = worker->kept;

	assert(rows);
	for (uint32_t l = 0; l < worker->lanes; l++) {
		struct lane *lane = &copy->lanes[l];

		if (lane->kept_at != lane->kept_end)
			rh_give_up(worker, lane, RH_BUG,
				   "%llu objects of the last pass outlived this one",
				   (unsigned long long)(lane->kept_end - lane->kept_at));
		lane->kept_at = worker->kept_from[l];
		lane->kept_end = worker->kept_from[l + 1];
		lane->turns += worker->program.lanes[l].turns > 1;
		atomic_store(&copy->progress[l].published, 0);
	}
	for (uint64_t i = 0; i < count; i++) {
		void **from = &(rows[i].task ? copy->tasks : copy->slots)[rows[i].slot];

		copy->kept[i] = *from;
		*from = NULL;
	}
	copy->grain = 0;
	worker->ctl->carried_objects += count - rows[count].tasks_before;
	worker->ctl->carried_bytes += rows[count].bytes_before;
}

void rh_passes_count(struct worker *worker)
{
	struct rh_ctl *ctl = worker->ctl;

	ctl->kept_objects = ctl->kept_bytes = ctl->kept_tasks = 0;
	for (uint32_t s = 0; s < worker->seats; s++) {
		const struct kept *at = &worker->kept[worker->lane[s].kept_at];
		const struct kept *end = &worker->kept[worker->lane[s].kept_end];
		uint32_t tasks = end->tasks_before - at->tasks_before;

		ctl->kept_objects += (uint64_t)(end - at) - tasks;
		ctl->kept_bytes += end->bytes_before - at->bytes_before;
		ctl->kept_tasks += tasks;
	}
}

/* ---- on the lane's thread ---- */

/* NULL: its allocation failed. */
static void end_kept(struct lane *lane, uint64_t index)
{
	const struct kept *row = &lane->worker->kept[index];
	void *p = lane->copy->kept[index];

	if (!p)
		return;
	if (row->task) {
		lane->stack_ops->exit(lane->stack, p);
		return;
	}
	if (lane->worker->ctl->replay.verify)
		rh_verify_dies(lane, row->slot, p, row->size);
	rh_end_block(lane, p, row->size,
		     RH_OP_KIND(row->birth->what) == RH_OP_ALLOC_AS &&
			     row->birth->size & RH_ALLOC_NEW);
}

void rh_passes_run(struct lane *lane)
{
	const struct rh_op *end = lane->end;

	for (; lane->kept_at != lane->kept_end; lane->kept_at++) {
		const struct rh_op *birth = lane->worker->kept[lane->kept_at].birth;

		if (birth >= end)
			break;
		if (birth != lane->op) {
			lane->end = birth;
			rh_loop_run(lane);
			lane->op = birth;
		}
		atomic_store_explicit(&lane->seat->at, birth, memory_order_relaxed);
		end_kept(lane, lane->kept_at);
	}
	lane->end = end;
	rh_loop_run(lane);
	/* A call, not a jump: callgrind on arm64 cannot toggle at a function entered by a jump. */
	__asm__ volatile("");
}

void rh_passes_drain(struct lane *lane)
{
	for (; lane->kept_at != lane->kept_end; lane->kept_at++)
		end_kept(lane, lane->kept_at);
}
