/*
 * drain.c - empties the rings into the capture.
 *
 * A pass looks at every ring's head. It leaves rings alone that hold little: a record in
 * a ring is as safe as one in the capture (both are ours, not the program's), and small
 * chunks cost an index entry each. Ten times a second everything is taken.
 *
 * A ring's mask is read after its head: its owner widens it only while it is empty and
 * before it publishes the next record.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/drain.h"

int rh_drain_open(struct rh_drain *drain, struct rh_area *area, const char *beside,
		  struct rh_err *err)
{
	memset(drain, 0, sizeof *drain);
	memset(drain->slot_image, 0xff, sizeof drain->slot_image);
	for (int i = 0; i < RH_RINGS; i++)
		drain->past[i].thread = UINT32_MAX;
	drain->area = area;
	drain->ring_bytes = area->ring_bytes;
	return rh_capture_open(&drain->capture, beside, err);
}

void rh_drain_close(struct rh_drain *drain)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pidfd >= 0)
			close(drain->images[i].pidfd);
	free(drain->images);
	rh_capture_close(&drain->capture);
}

static uint64_t follow_long(struct rh_ring_past *past, struct rh_image *image,
			    const uint64_t *words)
{
	struct rh_rec rec;

	rh_rec_unpack(words, &rec);
	if (rec.kind == RH_REC_START) {
		past->thread = (uint32_t)(rec.tail >> 32);
		past->tid = (uint32_t)rec.tail;
		past->site = 0;
		image->threads++;
	}
	return rec.kind == RH_REC_FREE_RESIDENT ||
	       (rec.kind < RH_REC_LONG && (RH_REC_EVENTS >> rec.kind & 1));
}

/* Follows what later records depend on; counts what becomes an event. A producer never
 * lets a record wrap, so a piece holds whole ones. */
static uint64_t follow(struct rh_ring_past *past, struct rh_image *image, const uint64_t *words,
		       size_t count)
{
	uint64_t events = 0;
	size_t i = 0;

	while (i < count) {
		unsigned kind = (unsigned)(words[i] >> 60);

		events += RH_REC_EVENTS >> kind & 1;
		if (kind >= RH_REC_STAMP) {
			if (kind == RH_REC_STAMP)
				past->stamp = words[i] & ((1ull << 60) - 1);
			else if (kind == RH_REC_SITE)
				past->site = (uint32_t)words[i];
			else if (kind == RH_REC_LONG && count - i >= 3)
				events += follow_long(past, image, words + i);
		}
		i += rh_rec_words(words[i]);
	}
	image->events += events;
	return events;
}

static int keep(struct rh_drain *drain, uint32_t index, struct rh_image *image,
		const uint64_t *one, size_t one_count, const uint64_t *two, size_t two_count,
		struct rh_err *err)
{
	struct rh_ring_past *past = &drain->past[index];
	struct rh_chunk chunk = {
		.stamp = past->stamp, .thread = past->thread, .tid = past->tid, .site = past->site,
		.ring = index, .image = (uint32_t)(image - drain->images),
	};

	chunk.events = follow(past, image, one, one_count);
	chunk.events += follow(past, image, two, two_count);
	if (drain->stopped) {
		drain->discarded += chunk.events;
		return 0;
	}
	drain->events += chunk.events;
	drain->bytes += (one_count + two_count) * sizeof *one;
	if (rh_capture_add(&drain->capture, &chunk, one, one_count, two, two_count,
			   &drain->full) < 0) {
		if (drain->full.code == RH_OS) {
			*err = drain->full;
			return -1;
		}
		drain->stopped = true;
		drain->events -= chunk.events;
		drain->bytes -= (one_count + two_count) * sizeof *one;
		drain->discarded += chunk.events;
		return 0;
	}
	if (drain->last_events || drain->last_bytes)
		rh_capture_keep_last(&drain->capture, drain->last_events, drain->last_bytes);
	return 0;
}

static int add_image(struct rh_drain *drain, uint32_t slot, struct rh_err *err)
{
	const struct rh_proc *proc = rh_area_proc(drain->area, slot);
	struct rh_image *image, *grown;
	size_t room;

	if (drain->image_count == drain->image_room) {
		room = drain->image_room ? drain->image_room * 2 : 16;
		grown = realloc(drain->images, room * sizeof *grown);
		if (!grown)
			return rh_fail(err, RH_OS, "no memory for %zu processes", room);
		drain->images = grown;
		drain->image_room = room;
	}
	image = &drain->images[drain->image_count];
	memset(image, 0, sizeof *image);
	image->pid = proc->pid;
	image->ppid = proc->ppid;
	image->how = (int)proc->how;
	image->stamp = proc->stamp;
	image->slot = slot;
	image->args_bytes = proc->args_bytes < sizeof image->args ? proc->args_bytes :
								     (uint32_t)sizeof image->args;
	memcpy(image->args, proc->args, image->args_bytes);
	memcpy(image->exe, proc->exe, sizeof image->exe - 1);
	image->pidfd = (int)syscall(SYS_pidfd_open, image->pid, 0);
	drain->slot_image[slot] = (int32_t)drain->image_count++;
	return 0;
}

static int64_t drain_ring(struct rh_drain *drain, uint32_t index, bool all, struct rh_err *err)
{
	struct rh_ring *ring = rh_area_ring(drain->area, index);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	uint64_t mask = atomic_load_explicit(&ring->mask, memory_order_relaxed);
	uint64_t size = sizeof(uint64_t), count = (head - tail) / size;
	uint64_t room = (mask + 1) / size, at = (tail & mask) / size, one;
	uint32_t proc = atomic_load(&ring->proc);
	uint64_t *data = (uint64_t *)((char *)drain->area + RH_AREA_RINGS_AT +
				      index * drain->ring_bytes);

	if (count == 0 || (!all && count < room / 4))
		return 0;
	if (proc == 0 || proc > RH_PROCS)
		return 0;
	if (drain->slot_image[proc - 1] < 0 && add_image(drain, proc - 1, err) < 0)
		return -1;
	/* The program can write all of the area: nothing in it is believed. */
	if (count > room || mask >= drain->ring_bytes || (mask & (mask + 1)))
		return rh_fail(err, RH_BUG, "ring %u claims %llu words of %llu", index,
			       (unsigned long long)count, (unsigned long long)room);
	one = count < room - at ? count : room - at;
	if (keep(drain, index, &drain->images[drain->slot_image[proc - 1]], data + at, one, data,
		 count - one, err) < 0)
		return -1;
	atomic_store(&ring->tail, head);
	atomic_fetch_add(&ring->tail_moves, 1);
	if (atomic_exchange(&ring->waiting, 0))
		rh_futex_wake((_Atomic uint32_t *)&ring->tail_moves, INT_MAX);
	return (int64_t)count;
}

int64_t rh_drain_pass(struct rh_drain *drain, bool all, struct rh_err *err)
{
	uint32_t high = atomic_load(&drain->area->rings_high);
	int64_t taken = 0, got;

	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		got = drain_ring(drain, i, all, err);
		if (got < 0)
			return -1;
		taken += got;
	}
	return taken;
}

void rh_drain_beat(struct rh_drain *drain)
{
	uint32_t high = atomic_load(&drain->area->rings_high);

	atomic_fetch_add(&drain->area->beat, 1);
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(drain->area, i);

		if (atomic_load_explicit(&ring->limit, memory_order_relaxed))
			atomic_store_explicit(&ring->limit, 0, memory_order_relaxed);
	}
}

static bool is_dead(const struct rh_image *image)
{
	struct pollfd fd = { .fd = image->pidfd, .events = POLLIN };

	if (image->pidfd >= 0)
		return poll(&fd, 1, 0) == 1;
	return kill(image->pid, 0) < 0 && errno == ESRCH;
}

/* exec: the same process has a younger image. Found in the order of their slots, images
 * are not in the order of time. */
static bool is_replaced(const struct rh_drain *drain, size_t index)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pid == drain->images[index].pid && !drain->images[i].over &&
		    drain->images[i].stamp > drain->images[index].stamp)
			return true;
	return false;
}

size_t rh_drain_newest(const struct rh_drain *drain, int pid, bool with_events)
{
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pid == pid && (drain->images[i].events || !with_events) &&
		    (found == SIZE_MAX || drain->images[i].stamp > drain->images[found].stamp))
			found = i;
	return found;
}

/* The slot may serve another process once all that its image left in rings is taken. */
static int retire(struct rh_drain *drain, size_t index, struct rh_err *err)
{
	struct rh_image *image = &drain->images[index];

	if (rh_drain_pass(drain, true, err) < 0)
		return -1;
	image = &drain->images[index];
	image->over = true;
	if (image->pidfd >= 0)
		close(image->pidfd);
	image->pidfd = -1;
	drain->slot_image[image->slot] = -1;
	atomic_store(&rh_area_proc(drain->area, image->slot)->state, RH_PROC_FREE);
	return 0;
}

int rh_drain_processes(struct rh_drain *drain, bool main_over, struct rh_err *err)
{
	uint32_t high = atomic_load(&drain->area->procs_high);
	int main_pid = atomic_load(&drain->area->main_pid);

	for (uint32_t i = 0; i < high && i < RH_PROCS; i++)
		if (drain->slot_image[i] < 0 &&
		    atomic_load(&rh_area_proc(drain->area, i)->state) == RH_PROC_READY &&
		    add_image(drain, i, err) < 0)
			return -1;
	for (size_t i = 0; i < drain->image_count; i++) {
		const struct rh_image *image = &drain->images[i];
		bool dead = image->pid == main_pid ? main_over : is_dead(image);

		if (!image->over && (dead || is_replaced(drain, i)) && retire(drain, i, err) < 0)
			return -1;
	}
	return 0;
}

size_t rh_drain_running(const struct rh_drain *drain)
{
	size_t running = 0;

	for (size_t i = 0; i < drain->image_count; i++)
		running += !drain->images[i].over &&
			   drain->images[i].pid != atomic_load(&drain->area->main_pid);
	return running;
}
