/*
 * json.c - records to JSON and back (record.h): the one place that knows the JSON library.
 *
 * Both directions walk the same table of fields, one function for each kind. The reader checks
 * everything: a value whose type differs from the table is refused with its place
 * ("trials[3].segments.rss_bytes[7]"). It ignores unknown keys, so that files of later schema
 * versions can be read.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "alloc/base/suggest.h"
#include "harness/result/load.h"
#include "harness/result/record_access.h"

enum { DIGITS = 12, PLACE_BYTES = 240 };
_Static_assert(RH_AS_KINDS == 16, "value_of and read_value know every kind");

/* ---- out ---- */

static json_t *object_of(const struct rh_record_type *type, const void *record, bool named);

/* Text from outside may not be UTF-8; then it is kept byte by byte as Latin-1. */
static json_t *any_text(const char *text)
{
	json_t *value = text ? json_string(text) : json_null();
	char *wide;
	size_t used = 0;

	if (value)
		return value;
	wide = malloc(2 * strlen(text) + 1);
	if (!wide)
		return json_null();
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x80)
			wide[used++] = (char)(0xc0 | c >> 6);
		wide[used++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	wide[used] = '\0';
	value = json_string(wide);
	free(wide);
	return value ? value : json_null();
}

static json_t *number(double value, bool whole)
{
	if (!isfinite(value))
		return json_null();
	if (whole && fabs(value) < 9e15)
		return json_integer((json_int_t)value);
	return json_real(value);
}

static json_t *buckets_of(const struct rh_bucket *list, size_t count, bool whole)
{
	json_t *rows = json_array();

	assert(list || count == 0);
	for (size_t i = 0; i < count; i++) {
		json_t *row = json_array();

		json_array_append_new(row, number(list[i].edge, whole));
		json_array_append_new(row, json_integer((json_int_t)list[i].count));
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *array_of(const struct rh_field *field, const void *list, size_t count)
{
	json_t *array = json_array();

	assert(list || count == 0);
	for (size_t i = 0; i < count; i++) {
		json_t *value;

		if (field->kind == RH_AS_LIST)
			value = object_of(field->of, (const char *)list + i * field->of->bytes,
					  false);
		else if (field->kind == RH_AS_TEXTS)
			value = any_text(((const char *const *)list)[i]);
		else if (field->kind == RH_AS_ROWS)
			value = buckets_of(((const struct rh_bucket_row *)list)[i].list,
					   ((const struct rh_bucket_row *)list)[i].list_count,
					   true);
		else
			value = number(((const double *)list)[i], field->kind == RH_AS_INTS);
		json_array_append_new(array, value);
	}
	return array;
}

/* The object of that name may already exist: the last one wins, as in any JSON. */
static json_t *map_of(const struct rh_field *field, const void *list, size_t count)
{
	json_t *object = json_object();

	assert(list || count == 0);
	for (size_t i = 0; i < count; i++) {
		const struct rh_named *named = (const struct rh_named *)list + i;
		const struct rh_pair *pair = (const struct rh_pair *)list + i;

		if (field->kind == RH_AS_PAIRS) {
			json_object_set_new(object, pair->name, any_text(pair->value));
		} else if (field->kind == RH_AS_NUMS) {
			bool whole = floor(named->value) == named->value;

			json_object_set_new(object, named->name, number(named->value, whole));
		} else {
			const char *record = (const char *)list + i * field->of->bytes;
			assert(field->kind == RH_AS_MAP && field->of->fields[0].kind == RH_AS_TEXT);

			json_object_set_new(object, pointer_at(&field->of->fields[0], record),
					    object_of(field->of, record, true));
		}
	}
	return object;
}

/* NULL = absent. */
static json_t *value_of(const struct rh_field *field, const void *record)
{
	void *pointer = NULL;
	bool truth;

	if (field->kind == RH_AS_REAL || field->kind == RH_AS_INT)
		return isfinite(real_at(field, record))
			       ? number(real_at(field, record), field->kind == RH_AS_INT)
			       : NULL;
	if (field->kind == RH_AS_U32 || field->kind == RH_AS_U64)
		return whole_at(field, record) == UINT64_MAX
			       ? NULL
			       : json_integer((json_int_t)whole_at(field, record));
	if (field->kind == RH_AS_BOOL) {
		memcpy(&truth, rh_field_at(field, record), sizeof(truth));
		return json_boolean(truth);
	}
	pointer = pointer_at(field, record);
	/* A list without elements is written empty, unless it may be absent. */
	if (!pointer && (field->need == RH_MAY || field->need == RH_NULL ||
			 field->kind == RH_AS_TEXT || field->kind == RH_AS_REC))
		return NULL;
	switch (field->kind) {
	case RH_AS_TEXT:
		return any_text(pointer);
	case RH_AS_REC:
		return object_of(field->of, pointer, false);
	case RH_AS_MAP:
	case RH_AS_NUMS:
	case RH_AS_PAIRS:
		return map_of(field, pointer, count_at(field, record));
	case RH_AS_BUCKETS:
		return buckets_of(pointer, count_at(field, record), false);
	default:
		assert(field->kind == RH_AS_LIST || field->kind == RH_AS_TEXTS ||
		       field->kind == RH_AS_REALS || field->kind == RH_AS_INTS ||
		       field->kind == RH_AS_ROWS);
		return array_of(field, pointer, count_at(field, record));
	}
}

/* A member cannot be called `default`: a trailing _ is dropped from the key. */
static const char *key_of(const struct rh_field *field, char *room, size_t bytes)
{
	size_t length = strlen(field->key);

	assert(length > 0 && length < bytes);
	if (field->key[length - 1] != '_')
		return field->key;
	snprintf(room, bytes, "%.*s", (int)length - 1, field->key);
	return room;
}

static json_t *object_of(const struct rh_record_type *type, const void *record, bool named)
{
	char room[40];
	json_t *object = json_object();

	for (size_t i = named ? 1 : 0; i < type->field_count; i++) {
		const struct rh_field *field = &type->fields[i];
		json_t *value = value_of(field, record);
		assert(field->need != RH_FLAT || field->kind == RH_AS_MAP ||
		       field->kind == RH_AS_NUMS);

		if (!value && field->need != RH_MAY)
			value = field->kind == RH_AS_REC && field->need == RH_EVER ? json_object()
										   : json_null();
		if (value && field->need == RH_FLAT) {
			json_object_update(object, value);
			json_decref(value);
		} else if (value) {
			json_object_set_new(object, key_of(field, room, sizeof(room)), value);
		}
	}
	return object;
}

static size_t flags_of(enum rh_json_form form)
{
	return (form == RH_JSON_INDENTED ? JSON_INDENT(1) : JSON_COMPACT) | JSON_ENSURE_ASCII |
	       JSON_REAL_PRECISION(DIGITS);
}

int rh_record_write(const struct rh_record_type *type, const void *record, enum rh_json_form form,
		    FILE *to)
{
	json_t *root = object_of(type, record, false);
	int failed = json_dumpf(root, to, flags_of(form)) < 0 || fputc('\n', to) == EOF;

	json_decref(root);
	return failed ? -1 : 0;
}

char *rh_record_print(const struct rh_record_type *type, const void *record, enum rh_json_form form)
{
	json_t *root = object_of(type, record, false);
	char *text = json_dumps(root, flags_of(form));

	json_decref(root);
	return text;
}

int rh_records_write(const struct rh_record_type *type, const void *records, size_t count,
		     enum rh_json_form form, FILE *to)
{
	const struct rh_field list = { .kind = RH_AS_LIST, .of = type };
	json_t *root = array_of(&list, records, count);
	int failed = json_dumpf(root, to, flags_of(form)) < 0 || fputc('\n', to) == EOF;

	json_decref(root);
	return failed ? -1 : 0;
}

/* ---- in ---- */

struct reader {
	const char *path;
	struct rh_pool *pool;
	struct rh_err *err;
	char place[PLACE_BYTES]; /* "trials[3].segments" */
};

static int read_object(struct reader *in, const struct rh_record_type *type, void *record,
		       const json_t *object, const char *name);

/* Appends to the place; returns where it was cut before. */
static size_t enter(struct reader *in, const char *key, size_t index, bool indexed)
{
	size_t before = strlen(in->place);

	assert(before < PLACE_BYTES && (indexed || key));
	if (indexed)
		snprintf(in->place + before, PLACE_BYTES - before, "[%zu]", index);
	else
		snprintf(in->place + before, PLACE_BYTES - before, "%s%.100s", before ? "." : "",
			 key);
	return before;
}

static int refuse(struct reader *in, const char *what)
{
	return rh_fail(in->err, RH_BAD_DATA, "%s: '%s' is not %s: not a whole document", in->path,
		       in->place, what);
}

static int read_bucket(struct reader *in, struct rh_bucket *bucket, const json_t *row)
{
	const json_t *edge = json_array_get(row, 0), *count = json_array_get(row, 1);

	if (!json_is_number(edge) || !json_is_integer(count) || json_integer_value(count) < 0)
		return refuse(in, "a pair of numbers");
	bucket->edge = json_number_value(edge);
	bucket->count = (uint64_t)json_integer_value(count);
	return 0;
}

static int read_buckets(struct reader *in, const json_t *array, struct rh_bucket **list,
			size_t *count)
{
	if (!json_is_array(array))
		return refuse(in, "an array");
	*count = json_array_size(array);
	*list = rh_pool_alloc(in->pool, *count, sizeof(**list));
	for (size_t i = 0; i < *count; i++) {
		size_t before = enter(in, NULL, i, true);

		if (read_bucket(in, &(*list)[i], json_array_get(array, i)) < 0)
			return -1;
		in->place[before] = '\0';
	}
	return 0;
}

static int read_element(struct reader *in, const struct rh_field *field, void *element,
			const json_t *value)
{
	double number = json_is_null(value) ? NAN : json_number_value(value);
	const char *text = json_string_value(value);
	struct rh_bucket_row *row = element;

	if (field->kind == RH_AS_LIST)
		return read_object(in, field->of, element, value, NULL);
	if (field->kind == RH_AS_ROWS)
		return read_buckets(in, value, &row->list, &row->list_count);
	if (field->kind == RH_AS_TEXTS) {
		if (!text && !json_is_null(value))
			return refuse(in, "a text");
		text = rh_pool_text(in->pool, text);
		memcpy(element, &text, sizeof(text));
		return 0;
	}
	if (!json_is_number(value) && !json_is_null(value))
		return refuse(in, "a number");
	memcpy(element, &number, sizeof(number));
	return 0;
}

static size_t element_bytes(const struct rh_field *field)
{
	switch (field->kind) {
	case RH_AS_LIST:
	case RH_AS_MAP:
		return field->of->bytes;
	case RH_AS_TEXTS:
		return sizeof(const char *);
	case RH_AS_NUMS:
		return sizeof(struct rh_named);
	case RH_AS_PAIRS:
		return sizeof(struct rh_pair);
	case RH_AS_ROWS:
		return sizeof(struct rh_bucket_row);
	default:
		assert(field->kind == RH_AS_REALS || field->kind == RH_AS_INTS);
		return sizeof(double);
	}
}

static int read_array(struct reader *in, const struct rh_field *field, void *record,
		      const json_t *array)
{
	size_t bytes = element_bytes(field), count = json_array_size(array);
	char *list;

	if (!json_is_array(array))
		return refuse(in, "an array");
	list = rh_pool_alloc(in->pool, count, bytes);
	for (size_t i = 0; i < count; i++) {
		size_t before = enter(in, NULL, i, true);

		if (read_element(in, field, list + i * bytes, json_array_get(array, i)) < 0)
			return -1;
		in->place[before] = '\0';
	}
	set_pointer(field, record, list, count);
	return 0;
}

static int read_entry(struct reader *in, const struct rh_field *field, void *element,
		      const char *name, const json_t *value)
{
	struct rh_named *named = element;
	struct rh_pair *pair = element;

	assert(name);
	name = rh_pool_text(in->pool, name);
	if (field->kind == RH_AS_MAP)
		return read_object(in, field->of, element, value, name);
	if (field->kind == RH_AS_NUMS) {
		if (!json_is_number(value) && !json_is_null(value))
			return refuse(in, "a number");
		*named = (struct rh_named){ name,
					    json_is_null(value) ? NAN : json_number_value(value) };
		return 0;
	}
	if (!json_is_string(value) && !json_is_null(value))
		return refuse(in, "a text");
	*pair = (struct rh_pair){ name, rh_pool_text(in->pool, json_string_value(value)) };
	return 0;
}

static int read_map(struct reader *in, const struct rh_field *field, void *record, json_t *object)
{
	size_t bytes = element_bytes(field), count = json_object_size(object), i = 0;
	const char *name;
	json_t *value;
	char *list;

	if (!json_is_object(object))
		return refuse(in, "an object");
	list = rh_pool_alloc(in->pool, count, bytes);
	json_object_foreach(object, name, value)
	{
		size_t before = enter(in, name, 0, false);

		if (read_entry(in, field, list + i++ * bytes, name, value) < 0)
			return -1;
		in->place[before] = '\0';
	}
	assert(i == count);
	set_pointer(field, record, list, count);
	return 0;
}

static int read_whole(struct reader *in, const struct rh_field *field, void *record,
		      const json_t *value)
{
	double number = json_number_value(value);

	if (field->kind == RH_AS_U32 && number > UINT32_MAX)
		return refuse(in, "a number up to 4294967295");
	if (json_is_integer(value) && json_integer_value(value) >= 0)
		set_whole(field, record, (uint64_t)json_integer_value(value));
	else if (json_is_real(value) && number >= 0 && number < 9e15)
		set_whole(field, record, (uint64_t)number);
	else
		return refuse(in, "a number from 0");
	return 0;
}

static int read_single(struct reader *in, const struct rh_field *field, void *record, json_t *value)
{
	double number = json_number_value(value);
	bool truth = json_is_true(value);
	void *made;

	switch (field->kind) {
	case RH_AS_TEXT:
		if (!json_is_string(value))
			return refuse(in, "a text");
		set_pointer(field, record, rh_pool_text(in->pool, json_string_value(value)), 0);
		return 0;
	case RH_AS_REC:
		made = rh_pool_alloc(in->pool, 1, field->of->bytes);
		set_pointer(field, record, made, 0);
		return read_object(in, field->of, made, value, NULL);
	case RH_AS_BOOL:
		if (!json_is_boolean(value))
			return refuse(in, "true or false");
		memcpy(rh_field_at(field, record), &truth, sizeof(truth));
		return 0;
	default:
		assert(field->kind == RH_AS_REAL || field->kind == RH_AS_INT);
		if (!json_is_number(value))
			return refuse(in, "a number");
		memcpy(rh_field_at(field, record), &number, sizeof(number));
		return 0;
	}
}

static int read_value(struct reader *in, const struct rh_field *field, void *record, json_t *value)
{
	struct rh_bucket *list;
	size_t count;

	switch (field->kind) {
	case RH_AS_U32:
	case RH_AS_U64:
		return read_whole(in, field, record, value);
	case RH_AS_LIST:
	case RH_AS_TEXTS:
	case RH_AS_REALS:
	case RH_AS_INTS:
	case RH_AS_ROWS:
		return read_array(in, field, record, value);
	case RH_AS_MAP:
	case RH_AS_NUMS:
	case RH_AS_PAIRS:
		return read_map(in, field, record, value);
	case RH_AS_BUCKETS:
		if (read_buckets(in, value, &list, &count) < 0)
			return -1;
		set_pointer(field, record, list, count);
		return 0;
	default:
		return read_single(in, field, record, value);
	}
}

/* A misspelt word must not count as an absent one. */
static int refuse_unknown(struct reader *in, const struct rh_record_type *type,
			  const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		struct rh_suggestion s = rh_suggestion_for(key, strlen(key));
		char there_are[600];

		if (rh_record_field(type, key))
			continue;
		for (size_t i = 0; i < type->field_count; i++)
			rh_suggest_consider(&s, type->fields[i].key);
		rh_suggest_write(&s, there_are, sizeof(there_are));
		return rh_fail(in->err, RH_USAGE, "%s: there is no key '%.40s' here%s%s: %s",
			       in->path, key, in->place[0] ? ", in " : "", in->place, there_are);
	}
	return 0;
}

/* name: the key of a MAP's entry, which is the first field. */
static int read_object(struct reader *in, const struct rh_record_type *type, void *record,
		       const json_t *object, const char *name)
{
	assert(!name || type->fields[0].kind == RH_AS_TEXT); /* the key of a MAP's entry */
	rh_record_clear(type, record);
	if (!json_is_object(object))
		return refuse(in, "an object");
	if (type->closed && refuse_unknown(in, type, object) < 0)
		return -1;
	if (name)
		set_pointer(&type->fields[0], record, (char *)(uintptr_t)name, 0);
	for (size_t i = name ? 1 : 0; i < type->field_count; i++) {
		const struct rh_field *field = &type->fields[i];
		json_t *value = json_object_get(object, field->key);
		size_t before = enter(in, field->key, 0, false);

		if (!value && field->need == RH_NEED)
			return rh_fail(in->err, RH_BAD_DATA,
				       "%s: there is no '%s': not a whole document", in->path,
				       in->place);
		if (value && (!json_is_null(value) || field->need == RH_NEED) &&
		    read_value(in, field, record, value) < 0)
			return -1;
		in->place[before] = '\0';
	}
	return 0;
}

static int check_schema(const json_t *root, const char *path, const char *schema,
			struct rh_err *err)
{
	const char *found = json_string_value(json_object_get(root, "schema"));

	if (!schema || (found && strcmp(found, schema) == 0))
		return 0;
	if (found && strncmp(found, "reheap.gate/", 12) == 0)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is what a gate wrote: reheap gate --recompute FILE [--plot DIR] "
			       "prints and draws it, reheap history keeps it",
			       path);
	return rh_fail(err, RH_BAD_DATA, "%s is not of this version: schema is %s%.40s%s, not '%s'",
		       path, found ? "'" : "", found ? found : "absent", found ? "'" : "", schema);
}

static int read_root(struct reader *in, const struct rh_record_type *type, void *record,
		     json_t *root, const char *schema)
{
	int result = -1;

	if (check_schema(root, in->path, schema, in->err) == 0)
		result = read_object(in, type, record, root, NULL);
	json_decref(root);
	return result;
}

int rh_record_read(const struct rh_record_type *type, void *record,
		   const struct rh_record_source *from, struct rh_pool *pool, struct rh_err *err)
{
	struct reader in = { .path = from->path, .pool = pool, .err = err };
	json_error_t why;
	json_t *root;

	json_set_alloc_funcs(rh_scratch_bytes, free);
	if (!from->text)
		root = rh_json_load(from->path, err);
	else if (!(root = json_loadb(from->text, from->text_bytes, JSON_REJECT_DUPLICATES, &why)))
		rh_fail(err, RH_BAD_DATA, "%s:%d: not JSON: %s", from->path, why.line, why.text);
	return root ? read_root(&in, type, record, root, from->schema) : -1;
}
