/*
 * area.c - makes the area: a memfd, so that it needs no name, no directory and no clean-up, and
 * is not limited by the size of /dev/shm. Only for a process that cannot reach a memfd of ours
 * (attach.c) it is a file, unlinked as soon as that process has it open.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc/base/clock.h"
#include "alloc/base/err.h"
#include "traces/record/area.h"
#include "traces/record/record.h"

enum { RING_MIN = 64 * 1024, RING_MAX = 16 * 1024 * 1024, RINGS_FEWEST = 4 };

struct rings {
	uint64_t bytes, count; /* of each; how many */
};

static uint64_t ring_bytes(uint64_t wanted)
{
	uint64_t bytes = RING_MIN;

	while (bytes < wanted && bytes < RING_MAX)
		bytes *= 2;
	return bytes;
}

static void make_rings(struct rh_area *area)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (uint32_t i = 0; i < RH_RINGS; i++) {
		struct rh_ring *ring = rh_area_ring(area, i);

		pthread_mutex_init(&ring->owner, &attr);
		atomic_store(&ring->mask, RH_RING_FIRST - 1);
	}
	pthread_mutex_init(&area->recorder, &attr);
	pthread_mutex_lock(&area->recorder);
	pthread_mutexattr_destroy(&attr);
}

/* A limit on file sizes is meant for files on disk; the area is sparse and in memory. The
 * privileged may pass the hard limit. */
static bool size_file(int fd, uint64_t bytes)
{
	struct rlimit old, most = { RLIM_INFINITY, RLIM_INFINITY };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	bool sized;

	getrlimit(RLIMIT_FSIZE, &old);
	if (setrlimit(RLIMIT_FSIZE, &most) < 0) {
		most = (struct rlimit){ old.rlim_max, old.rlim_max };
		setrlimit(RLIMIT_FSIZE, &most);
	}
	sigaction(SIGXFSZ, &ignore, &before);
	sized = ftruncate(fd, (off_t)bytes) == 0;
	sigaction(SIGXFSZ, &before, NULL);
	setrlimit(RLIMIT_FSIZE, &old);
	return sized;
}

/* Where the limit cannot be passed there are rings of the smallest size, and fewer of them, down to
 * a few threads at once. */
static bool size_area(int fd, struct rings *rings)
{
	if (size_file(fd, RH_AREA_RINGS_AT + rings->count * rings->bytes))
		return true;
	for (rings->bytes = RING_MIN; errno == EFBIG && rings->count >= RINGS_FEWEST;
	     rings->count /= 2)
		if (size_file(fd, RH_AREA_RINGS_AT + rings->count * rings->bytes))
			return true;
	return false;
}

struct rh_area *rh_area_make(const struct rh_record_opts *opts, int counter, int *fd,
			     struct rh_err *err)
{
	struct rings rings = { ring_bytes(opts->buffer_bytes), RH_RINGS };
	struct rh_area *area;

	*fd = opts->area_file ? open(opts->area_file,
				     O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)
			      : memfd_create("reheap-record", MFD_CLOEXEC);
	if (*fd < 0 || !size_area(*fd, &rings)) {
		rh_fail_errno(err, RH_OS, "no shared memory for the recording");
		goto fail;
	}
	area = mmap(NULL, RH_AREA_TEXTS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (area == MAP_FAILED) {
		rh_fail_errno(err, RH_OS, "%llu bytes of address space for the recording's buffers",
			      (unsigned long long)RH_AREA_TEXTS_AT);
		goto fail;
	}
	if (getrandom(&area->cookie, sizeof area->cookie, 0) != sizeof area->cookie)
		area->cookie = rh_ticks() ^ (uint64_t)getpid() << 32;
	area->bytes = RH_AREA_RINGS_AT + rings.count * rings.bytes;
	area->ring_bytes = rings.bytes;
	area->rings = rings.count;
	area->clock_counter = (uint32_t)counter;
	area->follow = opts->follow;
	area->drop = opts->on_full == RH_FULL_DROP;
	area->residency = opts->residency;
	area->sites = opts->sites;
	area->maps = opts->maps_shim != NULL;
	area->sample_bytes = opts->sample_bytes;
	area->sample_seed = opts->sample_seed ? opts->sample_seed : area->cookie;
	area->sample = opts->sample ? (uint32_t)opts->sample : 1;
	make_rings(area);
	area->magic = RH_AREA_MAGIC;
	return area;
fail:
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return NULL;
}

void rh_area_close(struct rh_area *area, int fd)
{
	if (area) {
		atomic_store(&area->closed, 1);
		pthread_mutex_unlock(&area->recorder);
		munmap(area, RH_AREA_TEXTS_AT);
	}
	if (fd >= 0)
		close(fd);
}
