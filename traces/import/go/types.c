/*
 * types.c - the tables of the allocation experiment: where the heap begins, and what
 * types there are.
 *
 * Type numbers begin anew in every generation, addresses of type descriptors do not: a site
 * of the trace stands for an address and is named once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/go/go.h"
#include "alloc/base/grow.h"

enum { TABLE_TYPES = 0, TABLE_INFO = 1, NAME_MAX_BYTES = 4096 };

/* Where the heap of most versions begins; a trace that does not say keeps its offsets. */
#define HEAP_MIN_USUAL 0xc000000000ull

static int bad_table(const struct go_import *import, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s: generation %llu: a table of types is damaged",
		       rh_input_path(import->wire.input),
		       (unsigned long long)import->generation.number);
}

/* The types behind it are not known: what has them gets sizes by its slot. */
static void note_torn(struct go_import *import)
{
	struct go_wire *wire = &import->wire;

	if (!wire->truncated[0])
		snprintf(wire->truncated, sizeof(wire->truncated),
			 "generation %llu: a table of types is damaged",
			 (unsigned long long)import->generation.number);
}

static int name_site(struct go_import *import, uint32_t site, const uint8_t *name, size_t bytes,
		     struct rh_err *err)
{
	char text[NAME_MAX_BYTES];
	struct rh_err refused = { 0 };

	if (import->types.names_full)
		return 0;
	if (bytes >= sizeof(text))
		bytes = sizeof(text) - 1;
	for (size_t i = 0; i < bytes; i++)
		text[i] = name[i] ? (char)name[i] : '?';
	text[bytes] = '\0';
	if (rh_trace_add_site(import->out, site, text, &refused) == 0)
		return 0;
	if (refused.code == RH_OS) {
		*err = refused;
		return -1;
	}
	import->types.names_full = true;
	return rh_trace_add_note(import->out, "import.types_unnamed",
				 "the names of later types did not fit", err);
}

/* The name of a type as the table has it: not terminated. */
struct type_name {
	uint64_t address; /* of the type in the program */
	const uint8_t *text;
	size_t bytes;
};

static int site_of(struct go_import *import, const struct type_name *name, uint32_t *site,
		   struct rh_err *err)
{
	struct go_types *types = &import->types;
	uint64_t known = rh_map_get(&types->site_of, name->address);

	if (known != RH_MAP_NONE) {
		*site = (uint32_t)known;
		return 0;
	}
	*site = types->sites++;
	if (!rh_map_put(&types->site_of, name->address, *site))
		return rh_go_no_memory(err);
	return name_site(import, *site, name->text, name->bytes, err);
}

static int add_type(struct go_import *import, uint64_t id, const struct go_type *type,
		    struct rh_err *err)
{
	struct go_types *types = &import->types;

	if (!rh_reserve(&types->of, &types->cap, types->count + 1, sizeof(*types->of)))
		return rh_go_no_memory(err);
	if (!rh_map_put(&types->by_id, id, types->count))
		return rh_go_no_memory(err);
	types->of[types->count++] = *type;
	return 0;
}

/* 1.23 and 1.24 write the same format. What differs is how long the runtime's own structures are
 * on 64 bits: runtime.m, of which nearly every snapshot holds some, and runtime.g. */
static void judge_version(struct go_types *types, const uint8_t *name, size_t bytes, uint64_t size)
{
	static const struct {
		const char *name;
		uint64_t of_123, of_124;
	} known[] = { { "runtime.m", 1784, 1832 }, { "runtime.g", 432, 440 } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (bytes != strlen(known[i].name) || memcmp(name, known[i].name, bytes) != 0)
			continue;
		if (size == known[i].of_123)
			types->minor = 23;
		else if (size == known[i].of_124)
			types->minor = 24;
		types->minor_by = known[i].name;
	}
}

static int read_types(struct go_import *import, const uint8_t *at, const uint8_t *end,
		      struct rh_err *err)
{
	struct go_types *types = &import->types;

	while (at < end) {
		uint64_t id, address, size, pointers, bytes;
		struct go_type type;

		if (!go_varint(&at, end, &id) || !go_varint(&at, end, &address) ||
		    !go_varint(&at, end, &size) || !go_varint(&at, end, &pointers) ||
		    !go_varint(&at, end, &bytes) || bytes > (uint64_t)(end - at)) {
			note_torn(import);
			return 0;
		}
		type = (struct go_type){ .size = size, .no_pointers = pointers == 0 };
		if (site_of(import, &(struct type_name){ address, at, (size_t)bytes }, &type.site,
			    err) < 0 ||
		    add_type(import, id, &type, err) < 0)
			return -1;
		judge_version(types, at, (size_t)bytes, size);
		at += bytes;
	}
	return 0;
}

static int read_info(struct go_import *import, const uint8_t *at, const uint8_t *end,
		     struct rh_err *err)
{
	uint64_t heap_min, page, object_align, stack_align;

	if (!go_varint(&at, end, &heap_min) || !go_varint(&at, end, &page) ||
	    !go_varint(&at, end, &object_align) || !go_varint(&at, end, &stack_align))
		return bad_table(import, err);
	if (page != RH_GO_PAGE || object_align != 8 || stack_align != 2048 || heap_min % RH_GO_PAGE)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: its heap has pages of %llu bytes, objects aligned to %llu and "
			       "stacks to %llu; only 8192, 8 and 2048 can be read",
			       rh_input_path(import->wire.input), (unsigned long long)page,
			       (unsigned long long)object_align, (unsigned long long)stack_align);
	if (!import->types.have_info)
		import->types.heap_min = heap_min;
	import->types.have_info = true;
	return 0;
}

int rh_go_types_read(struct go_import *import, struct rh_err *err)
{
	const struct go_generation *generation = &import->generation;

	if (!import->types.have_info && !import->types.heap_min)
		import->types.heap_min = HEAP_MIN_USUAL;
	rh_map_close(&import->types.by_id);
	import->types.count = 0;
	for (size_t i = 0; i < generation->batch_count; i++) {
		const struct go_batch *batch = &generation->batches[i];
		const uint8_t *at = generation->data + batch->at, *end = at + batch->bytes;

		if (!batch->table)
			continue;
		if (*at == TABLE_TYPES && read_types(import, at + 1, end, err) < 0)
			return -1;
		if (*at == TABLE_INFO && read_info(import, at + 1, end, err) < 0)
			return -1;
	}
	return 0;
}

const struct go_type *rh_go_type_of(const struct go_types *types, uint64_t id)
{
	uint64_t index = id ? rh_map_get(&types->by_id, id) : RH_MAP_NONE;

	return index == RH_MAP_NONE ? NULL : &types->of[index];
}

void rh_go_types_close(struct go_types *types)
{
	rh_map_close(&types->by_id);
	rh_map_close(&types->site_of);
	free(types->of);
}
