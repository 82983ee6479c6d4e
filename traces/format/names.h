/*
 * names.h - the notes and site names of a trace while it is read.
 *
 * Strings live in chunks that never move, so pointers given out stay good until close.
 * A later value of a key (or name of a site) replaces the earlier one. The limits hold
 * for writers too, so that no file can make a reader balloon.
 *
 * Thread rule: one thread. Memory: malloc, at most RH_NAMES_BYTES_MAX of text.
 */
#ifndef RH_NAMES_H
#define RH_NAMES_H

#include "traces/format/trace.h"

enum {
	RH_NAMES_BYTES_MAX = 64 << 20,
	RH_NOTES_MAX = 4096,
	RH_NOTE_KEY_MAX = 255,
	RH_NOTE_VALUE_MAX = 65535,
	RH_SITES_MAX = 1 << 20, /* names given, repeats counted */
	RH_SITE_NAME_MAX = 65535,
};

struct rh_names_chunk;

struct rh_names {
	struct rh_note **notes;
	size_t note_count, notes_cap;
	struct rh_site {
		uint32_t site;
		const char *name;
	} * sites; /* as given */
	size_t site_count, sites_cap;
	uint32_t *site_slots;  /* index into sites + 1 by hash of the number, latest */
	size_t site_slots_cap; /* a power of two, at most half full */
	struct rh_names_chunk *chunks;
	size_t bytes;
};

extern const char rh_names_no_memory[]; /* the one reason for which the trace is not to blame */

void rh_names_close(struct rh_names *names); /* a zeroed struct is an empty one */

/* NULL, or why not (a clause). Texts need not end in NUL. */
const char *rh_names_note(struct rh_names *names, const char *key, size_t key_bytes,
			  const char *value, size_t value_bytes);
const char *rh_names_site(struct rh_names *names, uint32_t site, const char *name, size_t bytes);
const char *rh_names_site_of(const struct rh_names *names, uint32_t site);

/* Whether texts may stand in a trace: NULL or why not. */
const char *rh_note_refused(const char *key, size_t key_bytes, const char *value,
			    size_t value_bytes);
const char *rh_site_refused(uint32_t site, const char *name, size_t bytes);

#endif
