/*
 * worth.h - what another heap would be worth to the program that was recorded, as one sentence:
 * the heap's share of the program's CPU time, and how much of the whole each backend would save.
 *
 * Shares are of the program's CPU time as recorded (metrics program.*, metrics_program.c). A saving
 * is stated only if its interval excludes zero and reaches RH_LEVEL_MIN.
 *
 * A replay runs the heap alone. The effect of an allocator on the program's own loads is not
 * included; measured by make bench-truth, it is a fifth of the program's own time and more. So each
 * figure comes with the unknown share, and if the heap is less than RH_WORTH_LEAST of the whole
 * there is no figure.
 *
 * Ownership: the caller's. Thread rule: pure. Errors: none.
 */
#ifndef RH_WORTH_H
#define RH_WORTH_H

#include <stddef.h>
#include <stdio.h>

#define RH_WORTH_LEAST 0.05

/* A deployable backend that is not the baseline. */
struct rh_worth_row {
	const char *name;
	double median, lo, hi; /* saved share of the whole; below zero: it costs */
	double level;	       /* of the interval; 0 with one repetition */
};

struct rh_worth {
	const char *trace; /* starts the sentence; NULL = the only trace */
	const char *base;
	double heap; /* share of the baseline's heap */
	struct rh_worth_row *rows;
	size_t count;
};

/* One line. Sorts the rows, most saved first. */
void rh_worth_print(const struct rh_worth *worth, FILE *to);

#endif
