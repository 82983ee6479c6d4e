/*
 * cause.h - between the two files that look for the cause of a FAIL.
 *
 * Ownership: a cause belongs to its gate and points into it. Thread rule: main thread. Errors:
 * none are returned; a line of the cause says what could not be found.
 */
#ifndef RH_GATE_CAUSE_H
#define RH_GATE_CAUSE_H

#include "ci/gate/gate.h"

/* One more line, "by BY  TEXT"; at most RH_GATE_CAUSE_LINES. */
void rh_gate_cause_say(struct rh_gate_cause *cause, const char *by, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* cause_replay.c: the lines of RH_GATE_FAMILY_TIME or RH_GATE_FAMILY_MEMORY. No repetition but the
 * first starts after the deadline (of rh_now_ns); where there is a --budget no worker lives so long
 * that the first would end after it, and what it was to count is said to be not counted. */
void rh_gate_cause_replay(const struct rh_gate *gate, struct rh_gate_cause *cause,
			  uint64_t deadline_ns);

#endif
