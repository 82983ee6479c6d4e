/*
 * wrapping.h - what a file is wrapped in, by its first bytes, for readers that unwrap nothing: one
 * clause that says what it is and how it becomes readable.
 *
 * A result that was sent as result.json.gz, a trace that an editor saved as UTF-16: both begin with
 * bytes that no JSON and no trace begins with, and "not JSON" would be true and no help.
 *
 * Thread rule: none shared.
 */
#ifndef RH_WRAPPING_H
#define RH_WRAPPING_H

#include <stddef.h>

enum { RH_WRAPPING_BYTES = 262 }; /* so many are enough */

/* "packed by gzip (gzip -dc FILE unpacks it)"; NULL when it is none that is known. */
const char *rh_wrapping_of(const void *bytes, size_t count);

#endif
