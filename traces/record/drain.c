/*
 * drain.c - empties the rings into the capture.
 *
 * A pass looks at every ring's head. It skips rings that hold little: a record in a ring is as
 * safe as one in the capture (both belong to us, not to the program), and each small chunk
 * costs an index entry. Ten to fifty times a second everything is taken.
 *
 * A ring's mask is read after its head: its owner widens it only while it is empty and
 * before it publishes the next record.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "alloc/base/clock.h"
#include "alloc/base/os.h"
#include "traces/record/drain.h"
#include "traces/record/process.h"

int rh_drain_open(struct rh_drain *drain, struct rh_area *area, int area_fd, const char *beside,
		  struct rh_err *err)
{
	struct stat st = { 0 };

	memset(drain, 0, sizeof *drain);
	memset(drain->slot_image, 0xff, sizeof drain->slot_image);
	for (int i = 0; i < RH_RINGS; i++)
		drain->past[i].thread = UINT32_MAX;
	drain->area = area;
	drain->area_fd = area_fd;
	if (fstat(area_fd, &st) == 0)
		drain->area_inode = st.st_ino;
	drain->ring_bytes = area->ring_bytes;
	return rh_capture_open(&drain->capture, beside, err);
}

void rh_drain_close(struct rh_drain *drain)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (drain->images[i].pidfd >= 0)
			close(drain->images[i].pidfd);
	free(drain->images);
	free(drain->words);
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

/* Tracks the state that later records depend on; counts records that become events. A producer
 * never lets a record wrap, so a piece holds whole records. */
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

static int keep_chunk(struct rh_drain *drain, struct rh_chunk *chunk, const uint64_t *words,
		      size_t count)
{
	struct rh_err *full = &drain->full;

	if (rh_capture_add(&drain->capture, chunk, words, count, full) == 0)
		return 0;
	if (full->code == RH_OS || !drain->make_room || !drain->make_room(drain->make_room_of))
		return -1;
	*full = (struct rh_err){ 0 };
	return rh_capture_add(&drain->capture, chunk, words, count, full);
}

/* The words that were read are at the start of drain->words. */
static int keep(struct rh_drain *drain, uint32_t index, struct rh_image *image, size_t count,
		struct rh_err *err)
{
	const uint64_t *words = drain->words;
	struct rh_ring_past *past = &drain->past[index];
	struct rh_chunk chunk = {
		.stamp = past->stamp,
		.thread = past->thread,
		.tid = past->tid,
		.site = past->site,
		.ring = index,
		.image = (uint32_t)(image - drain->images),
	};

	chunk.events = follow(past, image, words, count);
	if (drain->stopped) {
		drain->discarded += chunk.events;
		return 0;
	}
	drain->events += chunk.events;
	drain->bytes += count * sizeof *words;
	if (keep_chunk(drain, &chunk, words, count) < 0) {
		if (drain->full.code == RH_OS) {
			*err = drain->full;
			return -1;
		}
		drain->stopped = true;
		rh_capture_give_reserve(&drain->capture);
		drain->events -= chunk.events;
		drain->bytes -= count * sizeof *words;
		drain->discarded += chunk.events;
		return 0;
	}
	if (drain->last_events || drain->last_bytes)
		rh_capture_keep_last(&drain->capture, drain->last_events, drain->last_bytes);
	return 0;
}

static void read_text(struct rh_drain *drain, struct rh_image *image)
{
	const struct rh_proc *proc = rh_area_proc(drain->area, image->slot);
	struct rh_proc_text text = { .args_bytes = 0 };
	int32_t parent = proc->parent < RH_PROCS ? drain->slot_image[proc->parent] : -1;

	if (image->how == RH_PROC_FORKED) {
		if (parent < 0)
			return;
		memcpy(image->exe, drain->images[parent].exe, sizeof image->exe);
		memcpy(image->args, drain->images[parent].args, sizeof image->args);
		image->args_bytes = drain->images[parent].args_bytes;
		return;
	}
	if (pread(drain->area_fd, &text, sizeof text,
		  (off_t)(RH_AREA_TEXTS_AT + image->slot * sizeof text)) != sizeof text)
		return;
	image->args_bytes = text.args_bytes < sizeof image->args ? text.args_bytes
								 : (uint32_t)sizeof image->args;
	memcpy(image->args, text.args, image->args_bytes);
	memcpy(image->exe, text.exe, sizeof image->exe - 1);
}

/* Which process it is, as /proc shows it. */
static enum rh_process_found seek(const struct rh_drain *drain, struct rh_image *image)
{
	const struct rh_proc *proc = rh_area_proc(drain->area, image->slot);
	struct rh_process_seek seek = { .inner = image->inner,
					.mapped = proc->mapped,
					.inode = drain->area_inode };
	enum rh_process_found found;
	int taken[RH_PROCS];

	for (size_t i = 0; i < drain->image_count && seek.taken_count < RH_PROCS; i++)
		if (&drain->images[i] != image && !drain->images[i].over &&
		    drain->images[i].found && image->how == RH_PROC_FORKED)
			taken[seek.taken_count++] = drain->images[i].pid;
	seek.taken = taken;
	found = rh_process_find(&seek, &image->pid, &image->pidfd);
	image->found = found == RH_PROCESS_FOUND;
	return found;
}

/* The program itself is our child: that number is certain. */
static void identify(const struct rh_drain *drain, struct rh_image *image)
{
	if (image->inner == atomic_load(&drain->area->main_pid) && image->how == RH_PROC_MAIN) {
		image->found = true;
		image->pidfd = (int)syscall(SYS_pidfd_open, image->pid, 0);
	} else if (rh_process_holds(drain->area, image->slot)) {
		seek(drain, image);
	}
}

static int room_for_image(struct rh_drain *drain, struct rh_err *err)
{
	return rh_reserve(&drain->images, &drain->image_room, drain->image_count + 1,
			  sizeof *drain->images)
		       ? 0
		       : rh_no_memory(err, "processes");
}

static int add_image(struct rh_drain *drain, uint32_t slot, struct rh_err *err)
{
	const struct rh_proc *proc = rh_area_proc(drain->area, slot);
	struct rh_image *image;

	if (room_for_image(drain, err) < 0)
		return -1;
	image = &drain->images[drain->image_count];
	memset(image, 0, sizeof *image);
	image->pid = image->inner = proc->pid;
	image->pidfd = -1;
	image->ppid = proc->ppid;
	image->how = (int)proc->how;
	image->stamp = proc->stamp;
	image->slot = slot;
	drain->slot_image[slot] = (int32_t)drain->image_count++;
	read_text(drain, image);
	identify(drain, image);
	rh_figures_begin(&image->life, drain->area, proc);
	if (!image->exe[0] && image->found)
		rh_process_exe(image->pid, image->exe, sizeof image->exe);
	if (rh_capture_add_frame(&drain->capture, RH_FRAME_IMAGE,
				 (struct rh_frame_data){ image, sizeof *image }, &drain->full) < 0)
		drain->stopped = true;
	return 0;
}

int rh_drain_recover(struct rh_drain *drain, struct rh_drain_recovered from, struct rh_err *err)
{
	struct rh_image *image;
	uint8_t over;

	if (from.bytes != sizeof *image)
		return rh_fail(err, RH_BAD_DATA, "the capture is of another version of reheap");
	if (room_for_image(drain, err) < 0)
		return -1;
	over = ((const uint8_t *)from.image)[offsetof(struct rh_image, over)];
	image = &drain->images[drain->image_count++];
	memcpy(image, from.image, sizeof *image);
	image->pidfd = -1;
	image->found = true;
	image->over = !from.ended || over; /* any byte may stand there */
	image->events = 0;		   /* counted by the chunks */
	image->threads = from.ended ? image->threads : 0;
	image->exe[sizeof image->exe - 1] = '\0';
	image->foreign[sizeof image->foreign - 1] = '\0';
	image->serves[sizeof image->serves - 1] = '\0';
	if (image->args_bytes > sizeof image->args)
		image->args_bytes = 0;
	return 0;
}

/* The contents of a ring, in words. */
struct full {
	uint64_t at, count;
	uint64_t room; /* of the whole ring */
};

/* Copies [tail, head) of a ring out of the area: two pieces where it wraps. */
static int read_ring(struct rh_drain *drain, uint32_t index, const struct full *full,
		     struct rh_err *err)
{
	uint64_t at = full->at, count = full->count;
	uint64_t first = count < full->room - at ? count : full->room - at;
	off_t base = (off_t)(RH_AREA_RINGS_AT + index * drain->ring_bytes);
	size_t size = sizeof *drain->words, one = first * size, two = (count - first) * size;

	if (!rh_reserve(&drain->words, &drain->words_room, count, size))
		return rh_no_memory(err, "the words of a ring");
	if (pread(drain->area_fd, drain->words, one, base + (off_t)(at * size)) != (ssize_t)one ||
	    pread(drain->area_fd, drain->words + first, two, base) != (ssize_t)two)
		return rh_fail_errno(err, RH_OS, "ring %u cannot be read", index);
	return 0;
}

static int64_t drain_ring(struct rh_drain *drain, uint32_t index, bool all, struct rh_err *err)
{
	struct rh_ring *ring = rh_area_ring(drain->area, index);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	uint64_t mask = atomic_load_explicit(&ring->mask, memory_order_relaxed);
	uint64_t size = sizeof(uint64_t), count = (head - tail) / size;
	uint64_t room = (mask + 1) / size, at = (tail & mask) / size;
	uint32_t proc = atomic_load(&ring->proc);

	if (count * 100 / room > drain->fullest)
		drain->fullest = (uint32_t)(count * 100 / room);
	if (count == 0 || (!all && count < room / 4))
		return 0;
	if (proc == 0 || proc > RH_PROCS)
		return 0;
	if (drain->slot_image[proc - 1] < 0 && add_image(drain, proc - 1, err) < 0)
		return -1;
	/* The program can write all of the area: nothing in it is trusted. */
	if (count > room || mask >= drain->ring_bytes || (mask & (mask + 1)))
		return rh_fail(err, RH_BUG, "ring %u claims %llu words of %llu", index,
			       (unsigned long long)count, (unsigned long long)room);
	if (read_ring(drain, index, &(struct full){ at, count, room }, err) < 0 ||
	    keep(drain, index, &drain->images[drain->slot_image[proc - 1]], count, err) < 0)
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

	drain->fullest = 0;
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

	atomic_store(&drain->area->now, rh_ticks());
	atomic_fetch_add(&drain->area->beat, 1);
	for (uint32_t i = 0; i < high && i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(drain->area, i);

		if (atomic_load_explicit(&ring->limit, memory_order_relaxed))
			atomic_store_explicit(&ring->limit, 0, memory_order_relaxed);
	}
}

/* After a bare clone the copy holds mutexes under another thread's number: the kernel never marks
 * them, but /proc no longer shows such a process. */
static bool is_dead(const struct rh_drain *drain, struct rh_image *image)
{
	if (image->pidfd >= 0)
		return rh_process_over(image->pidfd);
	return !rh_process_holds(drain->area, image->slot) || seek(drain, image) == RH_PROCESS_GONE;
}

/* exec: the younger image of the same process, or NULL. Images are found in the order of their
 * slots, not of time. */
static const struct rh_image *successor(const struct rh_drain *drain, size_t index)
{
	const struct rh_image *images = drain->images;

	for (size_t i = 0; images[index].found && i < drain->image_count; i++)
		if (images[i].found && images[i].pid == images[index].pid && !images[i].over &&
		    images[i].stamp > images[index].stamp)
			return &images[i];
	return NULL;
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

/* The memory that an image has, and the time it has used. Reading costs some microseconds. The pid
 * is verified after reading. */
static void look_at(struct rh_image *image)
{
	struct rh_used now;
	uint64_t anonymous, peak;
	bool got;

	if (!image->found)
		return;
	rh_process_memory(image->pid, &anonymous, &peak);
	got = rh_figures_now(image->pid, &now);
	if (image->pidfd >= 0 && rh_process_over(image->pidfd))
		return;
	if (anonymous > image->anonymous_peak)
		image->anonymous_peak = anonymous;
	if (peak > image->life.peak_rss)
		image->life.peak_rss = peak;
	if (got)
		rh_figures_look(&image->life, &now);
}

void rh_drain_pause(struct rh_drain *drain, bool off)
{
	for (size_t i = 0; i < drain->image_count; i++)
		if (!drain->images[i].over) {
			look_at(&drain->images[i]);
			rh_figures_pause(&drain->images[i].life, off);
		}
}

void rh_drain_last_look(struct rh_drain *drain, int pid)
{
	size_t newest = rh_drain_newest(drain, pid, false);
	struct rh_used now;

	if (newest != SIZE_MAX && !drain->images[newest].over && rh_figures_now(pid, &now))
		rh_figures_look(&drain->images[newest].life, &now);
}

/* What the process found in itself so far. Also of one that lives on after its recording (--pid).
 */
static void read_findings(const struct rh_drain *drain, struct rh_image *image)
{
	const struct rh_proc *proc = rh_area_proc(drain->area, image->slot);

	image->heaps = atomic_load(&proc->heaps);
	memcpy(image->foreign, proc->foreign, sizeof image->foreign - 1);
	memcpy(image->serves, proc->serves, sizeof image->serves - 1);
}

/* The slot may serve another process once all records that its image left in rings are taken. */

static int retire(struct rh_drain *drain, size_t index, struct rh_err *err)
{
	struct rh_image *image = &drain->images[index];
	const struct rh_proc *proc = rh_area_proc(drain->area, image->slot);

	if (rh_drain_pass(drain, true, err) < 0)
		return -1;
	image = &drain->images[index];
	image->over = true;
	read_findings(drain, image);
	rh_figures_end(&image->life, drain->area, proc);
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
		struct rh_image *image = &drain->images[i];
		const struct rh_image *next;
		bool dead;

		if (image->over)
			continue;
		read_findings(drain, image);
		next = successor(drain, i);
		if (next) /* what the next had used at its begin, this one has used */
			rh_figures_look(&image->life, &next->life.begin);
		else
			look_at(image);
		dead = image->found && image->pid == main_pid ? main_over : is_dead(drain, image);
		if ((dead || next) && retire(drain, i, err) < 0)
			return -1;
	}
	return 0;
}

enum { FILTER_AGE = 32, FILTER_MS = 1, FILTER_MS_MOST = 100 };

void rh_drain_filters(struct rh_drain *drain)
{
	uint64_t now = rh_ticks(), ms = drain->area->ticks_per_ms;

	for (size_t i = 0; i < drain->image_count; i++) {
		struct rh_image *image = &drain->images[i];
		struct rh_proc *proc = rh_area_proc(drain->area, image->slot);
		uint64_t wait = (now - image->stamp) / FILTER_AGE;
		uint32_t asked;

		asked = atomic_load(&proc->asked);
		if (image->over || !image->found ||
		    (now < image->filter_look && asked == atomic_load(&proc->answered)))
			continue;
		wait = wait < FILTER_MS * ms ? FILTER_MS * ms : wait;
		image->filter_look =
			now + (wait < FILTER_MS_MOST * ms ? wait : FILTER_MS_MOST * ms);
		if (!atomic_load(&proc->filter) &&
		    rh_process_filtered(image->pid, atomic_load(&drain->area->filters_allowed)))
			atomic_store(&proc->filter, 1);
		atomic_store(&proc->answered, asked);
	}
}

size_t rh_drain_running(const struct rh_drain *drain)
{
	size_t running = 0;

	for (size_t i = 0; i < drain->image_count; i++)
		running += !drain->images[i].over &&
			   drain->images[i].pid != atomic_load(&drain->area->main_pid);
	return running;
}
