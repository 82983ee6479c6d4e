/*
 * huge_alloc.h - zeroed memory for tables that are hit at random.
 *
 * From 4 MiB on it is mapped on its own, at a 2 MiB boundary and with the advice to use
 * huge pages: a table of 64 MiB in pages of 4 KiB costs a page walk at nearly every look,
 * which in a virtual machine is more than the cache miss itself. Below that it is calloc.
 * Pages are touched on first use. Thread rule: any thread.
 */
#ifndef RH_HUGE_ALLOC_H
#define RH_HUGE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

/* NULL when there is no memory. Give back with the same bytes. */
void *rh_huge_alloc(size_t bytes);
void rh_huge_free(void *p, size_t bytes); /* NULL allowed */

/* What all that is mapped may take together: half of the machine's memory unless set, and no more
 * than RH_LARGE_FREE + RH_LARGE_RATIO times the largest file that was opened. A trace of 40 KB can
 * hold 60 million living objects, which are 3.9 GB. Real ones take 0.1 byte an event and more, and
 * a living object about 65 bytes here, so that the ratio is met with all of them alive. */
#define RH_LARGE_FREE (256ull << 20)
enum { RH_LARGE_RATIO = 1000 };
void rh_huge_limit(uint64_t bytes);
/* A file of so many bytes is read from here on; UINT64_MAX: nobody knows, as of a pipe. */
void rh_huge_of_file(uint64_t file_bytes);
uint64_t rh_huge_limit_bytes(void);
/* The same without regard to files: for what grows with the number of events. */
uint64_t rh_huge_limit_machine(void);
/* " for a file of its size" where the size of the file made the limit, else "". */
const char *rh_huge_limit_why(void);
/* Whether rh_huge_alloc has returned NULL for that reason. */
bool rh_huge_refused(void);
/* Fails with RH_OS: memory for so many living objects ran out, or is over the limit, with the
 * number and the way out. */
int rh_huge_fail(uint64_t living, struct rh_err *err);

#endif
