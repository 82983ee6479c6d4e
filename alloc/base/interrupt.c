/*
 * interrupt.c - see interrupt.h.
 */
#include "alloc/base/interrupt.h"

#include <string.h>

volatile sig_atomic_t rh_interrupted;

int rh_interrupt_check(struct rh_err *err)
{
	return rh_interrupted
		       ? rh_fail(err, RH_FAILED, "interrupted (%s)", strsignal(rh_interrupted))
		       : 0;
}
