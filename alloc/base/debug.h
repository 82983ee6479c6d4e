/*
 * debug.h - assertions that only checking builds pay for.
 *
 * assert() is on in every build and stands where work is done once per call, block or segment.
 * Where an operation takes a dozen instructions (the replay loop, a heap's fast path) it would be
 * part of what is measured: those places use rh_debug_assert(), which is there with DEBUG=1 and in
 * every sanitizer build, and makes no code in a release. Its condition is compiled always, so
 * that it cannot rot, and must have no side effect.
 *
 * Thread rule: any. Errors: a condition that is false ends the process (abort).
 */
#ifndef RH_DEBUG_H
#define RH_DEBUG_H

#include <assert.h>

#ifdef RH_DEBUG
#define rh_debug_assert(condition) assert(condition)
#else
#define rh_debug_assert(condition) ((void)(0 && (condition)))
#endif

#endif
