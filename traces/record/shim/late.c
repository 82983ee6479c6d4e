/*
 * late.c - attaching to a running process (record --pid), and detaching again.
 *
 * Attaching: rh_record_attach is called by a thread of the program that the recorder redirected
 * to us (inject.c). All others keep running. The area is mapped and the state is on before the
 * first slot leads to us; from then on every call is recorded.
 *
 * Detaching: when recording has ended, or its recorder is dead, each thread's next call enters
 * the slow half. The first to notice restores the real function in every slot and table; every
 * thread releases its ring. We stay loaded, because a thread may be inside our code, or may
 * have copied the address of one of our functions, which then only costs an extra call. The
 * pages of the area stay as well: threads that make no more calls hold their rings. A later
 * recording uses a new area.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "traces/record/shim/patch.h"
#include "traces/record/shim/shim.h"

static _Atomic uint32_t coming;

/* Is it recorded now? A recorder that died unnoticed is noticed here. */
static bool is_recorded(void)
{
	if (shim.state != SHIM_ON)
		return false;
	if (!atomic_load(&shim.area->closed) && !shim_recorder_is_dead(shim.area))
		return true;
	if (atomic_load(&shim.late) == SHIM_LATE)
		shim_let_go(atomic_load(&shim.generation), false);
	else
		shim.state = shim.dormant ? SHIM_DORMANT : SHIM_OFF;
	return false;
}

static enum rh_late come(const char *where)
{
	enum rh_late failed;

	if (is_recorded())
		return RH_LATE_RECORDED;
	if (atomic_load(&shim.late) == SHIM_LEAVING)
		return RH_LATE_BUSY;
	shim_real_late();
	shim_map_forget();
	atomic_fetch_add(&shim.generation, 1);
	atomic_store(&shim.late, SHIM_LATE);
	failed = shim_start_late(where);
	if (failed)
		return failed;
	shim_now_many();
	atomic_store(&shim_sleep.asleep,
		     shim.area->sample_bytes ? RH_ASIDE_SAMPLING : RH_ASIDE_NOT);
	shim.state = SHIM_ON;
	shim_look(!shim_filtered());
	shim_patch_tables(true);
	if (!shim.dormant) /* else they have all led to us since the start */
		shim_patch_slots(true);
	return 0;
}

SHIM_EXPORT int rh_record_attach(const char *where)
{
	int saved = errno;
	uint32_t none = 0;
	enum rh_late result = RH_LATE_BUSY;

	if (atomic_compare_exchange_strong(&coming, &none, 1)) {
		result = come(where);
		atomic_store(&coming, 0);
	}
	errno = saved;
	return (int)result;
}

/* A thread that saw the end of its recording and then lost the CPU may get here when the next
 * recording has begun: that one must continue. */
static bool begin_to_leave(uint32_t generation)
{
	uint32_t here = SHIM_LATE;

	if (shim_filtered() || !atomic_compare_exchange_strong(&shim.late, &here, SHIM_LEAVING))
		return false;
	if (generation == atomic_load(&shim.generation))
		return true;
	atomic_store(&shim.late, SHIM_LATE);
	return false;
}

void shim_let_go(uint32_t generation, bool child)
{
	if (!begin_to_leave(generation))
		return;
	if (shim.dormant) {
		shim_sleep_again(child);
	} else {
		shim_patch_slots(false);
		shim_patch_tables(false);
		shim.state = SHIM_OFF;
	}
	if (!child)
		atomic_store(&rh_area_proc(shim.area, shim.proc)->left, 1);
	atomic_store(&shim.late, SHIM_LEFT);
}
