/*
 * names.c - see names.h.
 */
#include "traces/format/names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/base/grow.h"

/* A malloc for each name would be a million of them in a trace of C++ symbols. */
enum { CHUNK_BYTES = 64 << 10 };

struct rh_names_chunk {
	struct rh_names_chunk *next;
	size_t used, cap;
	char text[];
};

const char rh_names_no_memory[] = "memory for it ran out";

void rh_names_close(struct rh_names *names)
{
	struct rh_names_chunk *chunk, *next;

	for (chunk = names->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	for (size_t i = 0; i < names->note_count; i++)
		free(names->notes[i]);
	free(names->notes);
	free(names->sites);
	free(names->site_slots);
	/* Empty and usable again: a reader whose index was damaged starts over with
	 * the names of the stream. */
	memset(names, 0, sizeof(*names));
}

/* Texts live in chunks and never move, because users hold pointers into them while more are read.
 */
static const char *keep(struct rh_names *names, const char *text, size_t bytes)
{
	struct rh_names_chunk *chunk = names->chunks;
	char *at;

	if (!chunk || chunk->cap - chunk->used < bytes + 1) {
		/* A name of 65,535 bytes gets a chunk of its own, and the rest of the
		 * one before is lost: such names are rare. */
		size_t cap = bytes + 1 > CHUNK_BYTES ? bytes + 1 : CHUNK_BYTES;

		chunk = malloc(sizeof(*chunk) + cap);
		if (!chunk)
			return NULL;
		*chunk = (struct rh_names_chunk){ .next = names->chunks, .cap = cap };
		names->chunks = chunk;
	}
	assert(chunk->cap - chunk->used >= bytes + 1);
	at = chunk->text + chunk->used;
	memcpy(at, text, bytes);
	at[bytes] = '\0';
	chunk->used += bytes + 1;
	names->bytes += bytes + 1;
	return at;
}

/* Clauses and not sentences: the reader puts file and line in front, the writer its
 * path. */
const char *rh_note_refused(const char *key, size_t key_bytes, const char *value,
			    size_t value_bytes)
{
	if (key_bytes == 0 || key_bytes > RH_NOTE_KEY_MAX)
		return "the key of a note must have 1 to 255 bytes";
	/* Keys stand in front of '=' in text and become names of fields in results. */
	for (size_t i = 0; i < key_bytes; i++)
		if ((unsigned char)key[i] <= ' ' || key[i] == '=' || key[i] == 0x7f)
			return "the key of a note may not have spaces, controls or '='";
	if (value_bytes > RH_NOTE_VALUE_MAX)
		return "the value of a note may not be longer than 65535 bytes";
	/* Readers hand out C strings, which would end there. */
	return memchr(value, 0, value_bytes) ? "a note has a zero byte in it" : NULL;
}

const char *rh_site_refused(uint32_t site, const char *name, size_t bytes)
{
	if (site == RH_SITE_NONE)
		return "site 0 means 'no site' and has no name";
	if (bytes > RH_SITE_NAME_MAX)
		return "the name of a site may not be longer than 65535 bytes";
	return memchr(name, 0, bytes) ? "the name of a site has a zero byte in it" : NULL;
}

/* Bounded, as a damaged file may have nothing but notes. */
static const char *make_note_room(struct rh_names *names)
{
	if (names->note_count == RH_NOTES_MAX)
		return "there are more than 4096 different notes";
	return rh_reserve(&names->notes, &names->notes_cap, names->note_count + 1,
			  sizeof(*names->notes))
		       ? NULL
		       : rh_names_no_memory;
}

/* A walk: notes are tens, 4096 at most, and are looked up once each. */
static struct rh_note *find_note(const struct rh_names *names, const char *key, size_t key_bytes)
{
	for (size_t i = 0; i < names->note_count; i++)
		if (strncmp(names->notes[i]->key, key, key_bytes) == 0 &&
		    !names->notes[i]->key[key_bytes])
			return names->notes[i];
	return NULL;
}

const char *rh_names_note(struct rh_names *names, const char *key, size_t key_bytes,
			  const char *value, size_t value_bytes)
{
	const char *why = rh_note_refused(key, key_bytes, value, value_bytes);
	struct rh_note *note;
	const char *text;

	if (why)
		return why;
	/* Counts what was replaced, too: the bound is on memory, and replaced texts
	 * stay because somebody may hold them. */
	if (names->bytes + key_bytes + value_bytes > RH_NAMES_BYTES_MAX)
		return "notes and site names are larger than 64 MiB";
	text = keep(names, value, value_bytes);
	if (!text)
		return rh_names_no_memory;
	/* A later note replaces an earlier one of its key: writers correct what they could not know
	 * before. */
	note = find_note(names, key, key_bytes);
	if (note) {
		note->value = text;
		return NULL;
	}
	why = make_note_room(names);
	if (why)
		return why;
	/* One by one and not in an array, since callers keep pointers to notes while
	 * more are read. */
	note = malloc(sizeof(*note));
	if (!note)
		return rh_names_no_memory;
	*note = (struct rh_note){ .key = keep(names, key, key_bytes), .value = text };
	if (!note->key) {
		free(note);
		return rh_names_no_memory;
	}
	assert(names->note_count < names->notes_cap);
	names->notes[names->note_count++] = note;
	rh_debug_assert(find_note(names, key, key_bytes) == note);
	return NULL;
}

/* Slot of a site, or the empty slot where it belongs. Site numbers are any 32 bits, so a table
 * by number could be asked for 16 GiB. */
static uint32_t *site_slot(const struct rh_names *names, uint32_t site)
{
	size_t mask = names->site_slots_cap - 1;
	size_t i = (size_t)((site * 0x9E3779B97F4A7C15ull) >> 32) & mask;

	/* at most half full: a look ends at an empty slot */
	assert((names->site_slots_cap & mask) == 0 &&
	       names->site_count * 2 <= names->site_slots_cap);
	/* Slots hold the index + 1, so that zeroed memory is an empty table. */
	while (names->site_slots[i] && names->sites[names->site_slots[i] - 1].site != site)
		i = (i + 1) & mask;
	return &names->site_slots[i];
}

static bool grow_sites(struct rh_names *names)
{
	size_t cap = names->sites_cap ? names->sites_cap * 2 : 32;
	uint32_t *slots = calloc(cap * 2, sizeof(*slots));
	/* Both before either is used. sites may have moved although slots failed: it
	 * is kept, and the old slots still fit it. */
	void *sites = realloc(names->sites, cap * sizeof(*names->sites));

	if (sites)
		names->sites = sites;
	if (!slots || !sites) {
		free(slots);
		return false;
	}
	free(names->site_slots);
	names->site_slots = slots;
	names->site_slots_cap = cap * 2;
	names->sites_cap = cap;
	assert(names->site_count < names->sites_cap);
	/* In the order in which they came, so the latest name of a site wins here as
	 * well. */
	for (size_t i = 0; i < names->site_count; i++)
		*site_slot(names, names->sites[i].site) = (uint32_t)i + 1;
	return true;
}

const char *rh_names_site(struct rh_names *names, uint32_t site, const char *name, size_t bytes)
{
	const char *why = rh_site_refused(site, name, bytes);

	if (why)
		return why;
	/* Repeats count: a file that names one site for ever must end somewhere. */
	if (names->site_count == RH_SITES_MAX)
		return "there are more than 1048576 site names";
	if (names->bytes + bytes > RH_NAMES_BYTES_MAX)
		return "notes and site names are larger than 64 MiB";
	if (names->site_count == names->sites_cap && !grow_sites(names))
		return rh_names_no_memory;
	name = keep(names, name, bytes);
	if (!name)
		return rh_names_no_memory;
	/* The earlier name stays in the list: an export gives names as they came. */
	names->sites[names->site_count++] = (struct rh_site){ .site = site, .name = name };
	*site_slot(names, site) = (uint32_t)names->site_count;
	rh_debug_assert(rh_names_site_of(names, site) == name);
	return NULL;
}

const char *rh_names_site_of(const struct rh_names *names, uint32_t site)
{
	uint32_t at = names->site_slots_cap ? *site_slot(names, site) : 0;

	return at ? names->sites[at - 1].name : NULL;
}
