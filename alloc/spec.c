/*
 * spec.c - from what the user typed to a backend that can be opened.
 *
 *	old=slow:5%:tiered:profile=1.22/pools@NAME=VALUE
 *	(0) label and environment come off (alloc/base/variant.h)
 *	(1) the stack: what follows the last slash, when it names a stack backend
 *	(2) layers from the left: a decorator takes the words that are its knobs, then
 *	    comes what it wraps; the first that wraps nothing takes all words left
 *	(3) a name is a built-in, a peer or a library; what is no allocator ends here
 *
 * Nothing of a library is run before a worker asks for it: the driver reads its symbols
 * (library.c). So a native library's knobs are checked in the worker, and its own wish
 * for a stack is not known to anybody: name one, or it is "none".
 */
#include <assert.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/library.h"
#include "alloc/registry.h"

struct parse {
	struct rh_spec *spec;
	struct rh_opt_store store; /* texts of knobs */
	const char *at;		   /* what is not read yet */
	int for_worker;
};

struct word {
	const char *text;
	size_t bytes;
};

/* The next word; false at the end. */
static bool next_word(struct parse *parse, struct word *word)
{
	if (!*parse->at)
		return false;
	word->text = parse->at;
	word->bytes = strcspn(parse->at, ":");
	parse->at += word->bytes + (parse->at[word->bytes] == ':');
	return true;
}

/* ".so." too: libjemalloc.so.2 in the working directory has neither a slash nor an
 * end in ".so". */
static bool is_path(struct word word)
{
	return memchr(word.text, '/', word.bytes) || memmem(word.text, word.bytes, ".so.", 4) ||
	       (word.bytes > 3 && memcmp(word.text + word.bytes - 3, ".so", 3) == 0);
}

static bool is_name(const char *text, size_t bytes)
{
	return rh_backend_find(text, bytes) || rh_peer_by_name(text, bytes);
}

static void *knobs_of(struct rh_spec *spec, int layer)
{
	return spec->layer[layer].knobs;
}

/* ---- what a name is ---- */

/* Checked at every use and not once at start: the same function serves tables of
 * libraries, which come at any time. */
static int use_ops(struct rh_spec *spec, const struct rh_backend *ops, struct rh_err *err)
{
	struct rh_backend *mine = &spec->layer[spec->depth].ops;

	assert(spec->depth < RH_SPEC_DEPTH_MAX);
	if (ops->absent_why)
		return rh_fail(err, RH_ABSENT, "%s is not in this build: %s", ops->name,
			       ops->absent_why);
	if (rh_backend_check(ops, mine, err) < 0)
		return -1;
	/* Before the words are read, so that a later word wins over the default. */
	return rh_opt_defaults(mine->knobs, knobs_of(spec, spec->depth), err);
}

static int use_peer(struct parse *parse, const struct rh_peer *peer, struct rh_err *err)
{
	struct rh_spec *spec = parse->spec;

	if (use_ops(spec, &rh_backend_libc, err) < 0)
		return -1;
	/* Results and figures name what was measured: "jemalloc", not the libc
	 * entries that call it. */
	spec->layer[spec->depth].ops.name = peer->name;
	spec->layer[spec->depth].ops.summary = peer->summary;
	/* A worker was started with it preloaded, or its identity check will say so. */
	return parse->for_worker ? 0
				 : rh_peer_find(peer, spec->preload, sizeof(spec->preload), err);
}

static int load_native(struct rh_spec *spec, struct rh_err *err)
{
	const struct rh_backend *ops;
	/* RTLD_NOW: a symbol that is missing must fail here and not in the timed
	 * part. Never closed, since blocks and tables live in it until the worker
	 * ends. */
	void *library = dlopen(spec->native, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return rh_fail(err, RH_BAD_DATA, "%s cannot be loaded: %s", spec->native,
			       dlerror());
	ops = dlsym(library, "reheap_backend");
	if (!ops)
		return rh_fail(err, RH_BAD_DATA, "%s does not export reheap_backend", spec->native);
	if (use_ops(spec, ops, err) < 0)
		return rh_err_prefix(err, "%s", spec->native);
	return 0;
}

/* "libc/pols" looks like a path. When it is no file but starts with a backend's name, the
 * stack was meant. */
static int no_such_library(struct word word, struct rh_err *err)
{
	const char *slash = memchr(word.text, '/', word.bytes);
	size_t head = slash ? (size_t)(slash - word.text) : 0, tail = word.bytes - head - 1;
	char hint[500];

	/* -1 without a text of its own: the error of rh_library_inspect is in err
	 * already. */
	if (!slash || !is_name(word.text, head))
		return -1;
	rh_stack_suggest(slash + 1, tail, hint, sizeof(hint));
	return rh_fail(err, RH_USAGE, "'%.*s' is not a stack backend: %s", (int)tail, slash + 1,
		       hint);
}

static int use_library(struct parse *parse, struct word word, struct rh_err *err)
{
	struct rh_spec *spec = parse->spec;
	char given[sizeof(spec->heap_name)], path[PATH_MAX];
	struct rh_library library;

	assert(word.bytes < sizeof(given));
	memcpy(given, word.text, word.bytes);
	given[word.bytes] = '\0';
	/* Both kinds come by path; what the file defines decides which of them it is,
	 * not its name. */
	if (rh_library_inspect(given, &library, err) < 0)
		return access(given, F_OK) < 0 ? no_such_library(word, err) : -1;
	if (!library.has_malloc && !library.has_native)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is not an allocator: it defines neither malloc and free "
			       "nor reheap_backend",
			       given);
	/* The worker may run in another directory, where a relative path would name
	 * another file or none. */
	if (!realpath(given, path))
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be resolved", given);
	/* ld.so splits LD_PRELOAD at these, without any way to quote them. */
	if (!library.has_native && strpbrk(path, " \t\n:"))
		return rh_fail(err, RH_USAGE,
			       "%s: a library to preload cannot have a blank or colon in its path: "
			       "copy it to a path without",
			       path);
	/* A library with both is called through its table: its author wrote one for
	 * us. */
	memcpy(library.has_native ? spec->native : spec->preload, path, strlen(path) + 1);
	if (library.has_native && parse->for_worker)
		return load_native(spec, err);
	if (!library.has_native && use_ops(spec, &rh_backend_libc, err) < 0)
		return -1;
	spec->layer[spec->depth].ops.name = spec->heap_name;
	spec->layer[spec->depth].ops.summary = "a library named by its path";
	return 0;
}

static int add_layer(struct parse *parse, struct word word, struct rh_err *err)
{
	struct rh_spec *spec = parse->spec;
	const struct rh_backend *ops = rh_backend_find(word.text, word.bytes);
	const struct rh_peer *peer = rh_peer_by_name(word.text, word.bytes);
	char hint[500];
	int result;

	/* Each layer is a copy of the table and 256 bytes of knobs within the spec. */
	if (spec->depth == RH_SPEC_DEPTH_MAX)
		return rh_fail(err, RH_USAGE, "'%s' nests more than %d backends", spec->text,
			       RH_SPEC_DEPTH_MAX);
	/* Built-ins come before peers and both before files, so that a file called "libc" in the
	 * working directory changes nothing; ./libc names it. */
	if (ops) {
		result = use_ops(spec, ops, err);
	} else if (peer) {
		result = use_peer(parse, peer, err);
	} else if (is_path(word)) {
		result = use_library(parse, word, err);
	} else {
		rh_backend_suggest(word.text, word.bytes, hint, sizeof(hint));
		result = rh_fail(err, RH_USAGE, "'%.*s' is not a backend: %s (or a path to a .so)",
				 (int)word.bytes, word.text, hint);
	}
	/* Also after an error: the caller ends with it, and what was filled is not
	 * read. */
	spec->depth++;
	assert(spec->depth <= RH_SPEC_DEPTH_MAX);
	return result;
}

/* ---- knobs ---- */

static int set_first_knob(struct parse *parse, int layer, struct word word, struct rh_err *err)
{
	const struct rh_backend *ops = &parse->spec->layer[layer].ops;
	const struct rh_opt_target target = { ops->knobs, knobs_of(parse->spec, layer), ops->name };
	char *value = parse->store.at, hint[400];

	assert(ops->knobs && ops->knobs[0].name);
	if (word.bytes + 1 > parse->store.left)
		return rh_fail(err, RH_USAGE, "%s: '%s' is too long", ops->name, parse->spec->text);
	memcpy(value, word.text, word.bytes);
	value[word.bytes] = '\0';
	parse->store.at += word.bytes + 1;
	parse->store.left -= word.bytes + 1;
	/* Tried rather than parsed: the knob's own type knows whether "5%" is a
	 * value, so no second grammar has to agree with it. */
	if (rh_opt_set(&target, ops->knobs[0].name, value, NULL) == 0)
		return 0;
	rh_backend_suggest(word.text, word.bytes, hint, sizeof(hint));
	return rh_fail(err, RH_USAGE, "%s: '%s' is neither its knob %s (%s) nor a backend: %s",
		       ops->name, value, ops->knobs[0].name, ops->knobs[0].help, hint);
}

static int set_knob(struct parse *parse, int layer, struct word word, struct rh_err *err)
{
	const struct rh_backend *ops = &parse->spec->layer[layer].ops;

	if (!ops->open) /* a native library, seen from the driver */
		return 0;
	return rh_opt_set_word(
		&(struct rh_opt_target){ ops->knobs, knobs_of(parse->spec, layer), ops->name },
		word.text, word.bytes, &parse->store, err);
}

/* Knobs of a decorator up to the word that says what it wraps, which stays unread. */
static int decorator_knobs(struct parse *parse, int layer, struct rh_err *err)
{
	const char *name = parse->spec->layer[layer].ops.name;
	const char *before = parse->at;
	struct word word;

	for (; next_word(parse, &word); before = parse->at) {
		int result;

		/* '=' first: a value may look like a path (log=./out.so). */
		if (memchr(word.text, '=', word.bytes)) {
			result = set_knob(parse, layer, word, err);
		} else if (is_name(word.text, word.bytes) || is_path(word)) {
			parse->at = before;
			return 0;
		} else {
			result = set_first_knob(parse, layer, word, err);
		}
		if (result < 0)
			return -1;
	}
	return rh_fail(err, RH_USAGE, "'%s': %s needs a backend to wrap, as in %s:libc",
		       parse->spec->text, name, parse->spec->heap_name);
}

static int parse_heap(struct parse *parse, struct rh_err *err)
{
	struct rh_spec *spec = parse->spec;
	struct word word;
	int last;

	parse->at = spec->heap_name;
	/* A decorator is never last: decorator_knobs fails when nothing follows. */
	do {
		last = spec->depth;
		if (!next_word(parse, &word))
			return rh_fail(err, RH_USAGE, "'%s' names no heap backend", spec->text);
		if (add_layer(parse, word, err) < 0)
			return -1;
		if (spec->layer[last].ops.caps & RH_CAP_DECORATOR &&
		    decorator_knobs(parse, last, err) < 0)
			return -1;
	} while (spec->layer[last].ops.caps & RH_CAP_DECORATOR);
	assert(last == spec->depth - 1);
	while (next_word(parse, &word))
		if (set_knob(parse, last, word, err) < 0)
			return -1;
	/* A decorator around a heap without pages has none to lend either: passing on, it would
	 * call an entry that is NULL. From the inside out. */
	for (int i = last; i > 0 && !spec->layer[i].ops.stack_pages; i--) {
		spec->layer[i - 1].ops.stack_pages = NULL;
		spec->layer[i - 1].ops.stack_pages_free = NULL;
	}
	return 0;
}

/* ---- the stack ---- */

/* Where "/STACK" starts in text, or NULL. */
static const char *find_stack(const char *text)
{
	/* The last one, because the heap may be a path. Only when a stack backend's
	 * name follows: /usr/lib/libmine.so has slashes and no stack. */
	const char *slash = strrchr(text, '/');

	return slash && rh_stack_backend_find(slash + 1, strcspn(slash + 1, ":")) ? slash : NULL;
}

static int parse_stack(struct parse *parse, const char *name, struct rh_err *err)
{
	struct rh_spec *spec = parse->spec;
	const struct rh_stack_backend *ops;
	struct word word;

	parse->at = name;
	if (!next_word(parse, &word))
		return rh_fail(err, RH_USAGE, "'%s' names no stack backend", spec->text);
	ops = rh_stack_backend_find(word.text, word.bytes);
	/* A user cannot get here: what was typed was looked up by find_stack, what is
	 * left is a backend's own stack_default. */
	if (!ops)
		return rh_fail(err, RH_BUG,
			       "%s is paired with stack backend %s, which is not built in",
			       spec->heap_name, name);
	if (ops->absent_why)
		return rh_fail(err, RH_ABSENT, "stack backend %s is not in this build: %s",
			       ops->name, ops->absent_why);
	if (rh_stack_backend_check(ops, &spec->stack, err) < 0 ||
	    rh_opt_defaults(ops->knobs, spec->stack_knobs, err) < 0)
		return -1;
	while (next_word(parse, &word))
		if (rh_opt_set_word(
			    &(struct rh_opt_target){ ops->knobs, spec->stack_knobs, ops->name },
			    word.text, word.bytes, &parse->store, err) < 0)
			return -1;
	return 0;
}

/* ---- doors ---- */

int rh_spec_parse(struct rh_spec *spec, const char *text, int for_worker, struct rh_err *err)
{
	struct parse parse = { .spec = spec, .for_worker = for_worker };
	const char *slash, *stack;
	size_t heap_bytes;

	/* Zero has a meaning in each field: no preload, no native library, no layer
	 * yet. */
	memset(spec, 0, sizeof(*spec));
	if (rh_variant_parse(&spec->variant, text, err) < 0)
		return -1;
	slash = find_stack(spec->variant.spec);
	stack = slash ? slash + 1 : NULL;
	heap_bytes = slash ? (size_t)(slash - spec->variant.spec) : strlen(spec->variant.spec);
	assert(strlen(text) < sizeof(spec->text) && heap_bytes < sizeof(spec->heap_name));
	memcpy(spec->text, text, strlen(text) + 1);
	memcpy(spec->heap_name, spec->variant.spec, heap_bytes);
	parse.store = (struct rh_opt_store){ spec->knob_text, sizeof(spec->knob_text) };
	if (parse_heap(&parse, err) < 0)
		return -1;
	/* A native library's wish is in a table that the driver has not read, so
	 * driver and worker must not differ here. */
	if (!stack && !spec->native[0])
		stack = spec->layer[spec->depth - 1].ops.stack_default;
	return parse_stack(&parse, stack ? stack : "none", err);
}

int rh_spec_open(struct rh_spec *spec, unsigned lanes_max, struct rh_heap **heap,
		 struct rh_err *err)
{
	struct rh_heap_env env[RH_SPEC_DEPTH_MAX];

	assert(spec->depth > 0 && spec->depth <= RH_SPEC_DEPTH_MAX);
	if (!spec->layer[spec->depth - 1].ops.open)
		return rh_fail(err, RH_BUG, "%s was parsed without being loaded", spec->native);
	/* Nothing is opened here but the outermost layer, which opens what it wraps
	 * with the env given to it: so a decorator can change or refuse it. */
	for (int i = spec->depth - 1; i >= 0; i--) {
		env[i] = (struct rh_heap_env){ .lanes_max = lanes_max };
		if (i == spec->depth - 1)
			continue;
		env[i].inner = &spec->layer[i + 1].ops;
		env[i].inner_knobs = spec->layer[i + 1].knobs;
		env[i].inner_env = &env[i + 1];
	}
	return spec->layer[0].ops.open(heap, spec->layer[0].knobs, &env[0], err);
}
