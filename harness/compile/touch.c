/*
 * touch.c - two halves in memory; the older one is written when both are full.
 */
#include "harness/compile/touch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/compile/file.h"
#include "traces/format/event.h"

enum { HALF = 1 << 19, CAP = 2 * HALF };

int rh_touch_open(struct rh_touch *touch, const char *work_dir, struct rh_err *err)
{
	*touch = (struct rh_touch){ .fd = -1, .recent = calloc(CAP, sizeof(*touch->recent)) };
	if (!touch->recent)
		return rh_fail(err, RH_OS, "no memory for recorded residency");
	touch->fd = rh_work_file(work_dir, err);
	return touch->fd < 0 ? -1 : 0;
}

void rh_touch_close(struct rh_touch *touch)
{
	free(touch->recent);
	if (touch->fd >= 0)
		close(touch->fd);
	*touch = (struct rh_touch){ .fd = -1 };
}

static int put(struct rh_touch *touch, uint64_t first, uint64_t count, struct rh_err *err)
{
	return rh_work_write(touch->fd, touch->recent, count * sizeof(*touch->recent),
			     first * sizeof(*touch->recent), err);
}

int rh_touch_birth(struct rh_touch *touch, struct rh_err *err)
{
	if (touch->born++ < touch->first + CAP)
		return 0;
	if (put(touch, touch->first, HALF, err) < 0)
		return -1;
	memcpy(touch->recent, touch->recent + HALF, HALF * sizeof(*touch->recent));
	memset(touch->recent + HALF, 0, HALF * sizeof(*touch->recent));
	touch->first += HALF;
	assert(touch->born - touch->first == HALF + 1);
	return 0;
}

int rh_touch_death(struct rh_touch *touch, uint64_t object, uint64_t bytes, struct rh_err *err)
{
	uint32_t number = bytes >= UINT32_MAX ? UINT32_MAX : (uint32_t)bytes + 1;

	if (object >= touch->first) {
		if (object < touch->born)
			touch->recent[object - touch->first] = number;
		return 0;
	}
	return rh_work_write(touch->fd, &number, sizeof(number), object * sizeof(number), err);
}

int rh_touch_rewind(struct rh_touch *touch, struct rh_err *err)
{
	assert(touch->born - touch->first <= CAP);
	if (put(touch, touch->first, touch->born - touch->first, err) < 0)
		return -1;
	touch->first = touch->born = 0;
	return 0;
}

int rh_touch_next(struct rh_touch *touch, uint64_t *bytes, struct rh_err *err)
{
	uint64_t index = touch->born % CAP;

	assert(touch->first == 0); /* rewound */
	if (index == 0) {
		/* Past the end stays zero: the trace may have grown since the prescan. */
		memset(touch->recent, 0, CAP * sizeof(*touch->recent));
		if (rh_work_read(touch->fd, touch->recent, CAP * sizeof(*touch->recent),
				 touch->born * sizeof(*touch->recent), err) < 0)
			return -1;
	}
	touch->born++;
	*bytes = touch->recent[index] ? touch->recent[index] - 1 : RH_NONE;
	return 0;
}
