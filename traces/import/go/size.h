/*
 * size.h - how large an object was, from the slot it got and its type.
 *
 * The recorder records neither size nor count. A slot of s bytes after a class of p bytes held
 * something in (p, s], and the type of t bytes narrows that:
 *	t fits there		the size is t
 *	t is smaller		an array of as many as fit: append fills slots so
 *	no type			bytes without pointers; the option `sizes` decides
 * Thread rule: none shared. Internal to the import of Go traces.
 */
#ifndef RH_GO_SIZE_H
#define RH_GO_SIZE_H

#include "traces/import/go/go.h"

enum go_why { GO_EXACT, GO_ARRAY, GO_UNKNOWN_SIZE, GO_BLOCK_SIZE };

struct go_guess {
	uint64_t size;
	enum go_why why;
	bool tiny;
};

/* exists: from the snapshot, where a 16-byte block stands for all that share it. */
struct go_guess rh_go_size_of(const struct go_heap *heap, const struct go_span *span,
			      const struct go_type *type, int policy, bool exists);

/* The runtime's word for the spans that serve a size. */
unsigned rh_go_kind_of(const struct go_heap *heap, uint64_t size, bool noscan);

#endif
