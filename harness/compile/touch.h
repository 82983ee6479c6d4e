/*
 * touch.h - recorded residency, by birth instead of by death.
 *
 * A trace says how much of a block was resident when it died; replay wants to
 * know when the block is born. So the prescan writes one number per object into a file
 * without a name, and compiling reads it in the order of births. Most objects die
 * young: the youngest are collected in memory and written in runs, and only the old ones cost a
 * write each. Memory: 4 MiB, however many objects.
 *
 * Thread rule: one thread. Errors: RH_OS, RH_IO, RH_CANT_CREATE.
 */
#ifndef RH_COMPILE_TOUCH_H
#define RH_COMPILE_TOUCH_H

#include <stdint.h>

#include "alloc/base/err.h"

struct rh_touch {
	int fd;
	uint32_t *recent; /* bytes + 1 of objects first .. first + cap; 0 = unknown */
	uint64_t first;
	uint64_t born; /* objects born so far */
};

int rh_touch_open(struct rh_touch *touch, const char *work_dir, struct rh_err *err);
void rh_touch_close(struct rh_touch *touch);

/* Prescan: the next object is born; an object has died with that many bytes resident. */
int rh_touch_birth(struct rh_touch *touch, struct rh_err *err);
int rh_touch_death(struct rh_touch *touch, uint64_t object, uint64_t bytes, struct rh_err *err);
/* Between prescan and compiling. */
int rh_touch_rewind(struct rh_touch *touch, struct rh_err *err);
/* Compiling: bytes that the next object had resident at its death; RH_NONE = unknown. Exact below 4
 * GiB. */
int rh_touch_next(struct rh_touch *touch, uint64_t *bytes, struct rh_err *err);

#endif
