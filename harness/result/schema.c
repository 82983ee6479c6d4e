/*
 * schema.c - a table of fields, printed for programs (JSON Schema) and for people (Markdown).
 *
 * The schema is plain text in a fixed order, so that a change of fields is a small change of
 * the file. A reader accepts unknown keys; the schema, which describes the output of this
 * version, allows none.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "harness/result/record.h"

enum { TYPES_MAX = 64 };

/* All types that a type needs, itself last, each once. */
struct types {
	const struct rh_record_type *list[TYPES_MAX];
	size_t count;
};

static void collect(struct types *types, const struct rh_record_type *type)
{
	for (size_t i = 0; i < types->count; i++)
		if (types->list[i] == type)
			return;
	for (size_t i = 0; i < type->field_count; i++)
		if (type->fields[i].of)
			collect(types, type->fields[i].of);
	for (size_t i = 0; i < types->count; i++)
		if (types->list[i] == type)
			return;
	assert(types->count < TYPES_MAX); /* else a type would be missing in the schema */
	if (types->count < TYPES_MAX)
		types->list[types->count++] = type;
}

/* The name of a MAP's entry is the key and no property. */
static bool is_entry(const struct types *types, const struct rh_record_type *type)
{
	for (size_t t = 0; t < types->count; t++)
		for (size_t i = 0; i < types->list[t]->field_count; i++)
			if (types->list[t]->fields[i].kind == RH_AS_MAP &&
			    types->list[t]->fields[i].of == type)
				return true;
	return false;
}

/* ---- JSON Schema ---- */

static void put_bucket(FILE *to)
{
	fputs("{\"type\": \"array\", \"minItems\": 2, \"prefixItems\": [{\"type\": \"number\"}, "
	      "{\"type\": \"integer\"}]}",
	      to);
}

static void put_shape(const struct rh_field *field, FILE *to)
{
	const char *or_null = field->need == RH_NULL ? ", \"null\"]" : "]";
	const char *of = field->of ? field->of->name : "";

	assert(field->of ||
	       (field->kind != RH_AS_REC && field->kind != RH_AS_LIST && field->kind != RH_AS_MAP));
	switch (field->kind) {
	case RH_AS_TEXT:
		/* Any identity of a foreign library may be unknown. */
		fputs("{\"type\": [\"string\", \"null\"]", to);
		break;
	case RH_AS_U32:
	case RH_AS_U64:
	case RH_AS_INT:
		rh_print(to, "{\"type\": [\"integer\"%s", or_null);
		break;
	case RH_AS_REAL:
		fputs("{\"type\": [\"number\", \"null\"]", to);
		break;
	case RH_AS_BOOL:
		fputs("{\"type\": \"boolean\"", to);
		break;
	case RH_AS_REC:
		if (field->need == RH_NULL)
			rh_print(to,
				 "{\"anyOf\": [{\"type\": \"null\"}, {\"$ref\": \"#/$defs/%s\"}]",
				 of);
		else
			rh_print(to, "{\"$ref\": \"#/$defs/%s\"", of);
		break;
	case RH_AS_LIST:
		rh_print(to, "{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/%s\"}", of);
		break;
	case RH_AS_MAP:
		rh_print(to,
			 "{\"type\": \"object\", \"additionalProperties\": {\"$ref\": "
			 "\"#/$defs/%s\"}",
			 of);
		break;
	case RH_AS_TEXTS:
		fputs("{\"type\": \"array\", \"items\": {\"type\": [\"string\", \"null\"]}", to);
		break;
	case RH_AS_REALS:
		fputs("{\"type\": \"array\", \"items\": {\"type\": [\"number\", \"null\"]}", to);
		break;
	case RH_AS_INTS:
		fputs("{\"type\": \"array\", \"items\": {\"type\": [\"integer\", \"null\"]}", to);
		break;
	case RH_AS_NUMS:
		fputs("{\"type\": \"object\", \"additionalProperties\": {\"type\": [\"number\", "
		      "\"null\"]}",
		      to);
		break;
	case RH_AS_PAIRS:
		fputs("{\"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", "
		      "\"null\"]}",
		      to);
		break;
	case RH_AS_BUCKETS:
		fputs("{\"type\": \"array\", \"items\": ", to);
		put_bucket(to);
		break;
	case RH_AS_ROWS:
		fputs("{\"type\": \"array\", \"items\": {\"type\": \"array\", \"items\": ", to);
		put_bucket(to);
		fputc('}', to);
		break;
	case RH_AS_KINDS:
		break;
	}
}

/* These are our own words: only a quote or a backslash would need escaping. */
static void put_words(const struct rh_field *field, FILE *to)
{
	fputs(", \"description\": \"", to);
	for (const char *at = field->what; *at; at++) {
		if (*at == '"' || *at == '\\')
			fputc('\\', to);
		fputc(*at, to);
	}
	if (field->unit[0])
		rh_print(to, " (%s)", field->unit);
	fputs("\"}", to);
}

static void put_type(const struct rh_record_type *type, size_t first, FILE *to)
{
	bool comma = false;

	assert(first <= type->field_count);
	rh_print(to,
		 "  \"%s\": {\n   \"type\": \"object\",\n   \"additionalProperties\": false,\n   "
		 "\"properties\": {",
		 type->name);
	for (size_t i = first; i < type->field_count; i++) {
		rh_print(to, "%s\n    \"%s\": ", i > first ? "," : "", type->fields[i].key);
		put_shape(&type->fields[i], to);
		put_words(&type->fields[i], to);
	}
	fputs("\n   },\n   \"required\": [", to);
	for (size_t i = first; i < type->field_count; i++) {
		if (type->fields[i].need == RH_MAY)
			continue;
		rh_print(to, "%s\"%s\"", comma ? ", " : "", type->fields[i].key);
		comma = true;
	}
	fputs("]\n  }", to);
}

void rh_record_schema(const struct rh_record_type *type, const char *title, FILE *to)
{
	struct types types = { .count = 0 };

	collect(&types, type);
	rh_print(to,
		 "{\n \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n \"title\": "
		 "\"%s\",\n \"$ref\": \"#/$defs/%s\",\n \"$defs\": {\n",
		 title, type->name);
	for (size_t t = 0; t < types.count; t++) {
		put_type(types.list[t], is_entry(&types, types.list[t]), to);
		fputs(t + 1 < types.count ? ",\n" : "\n", to);
	}
	fputs(" }\n}\n", to);
}

/* ---- Markdown ---- */

static const char *const shape_words[RH_AS_KINDS] = {
	[RH_AS_TEXT] = "text",
	[RH_AS_U32] = "count",
	[RH_AS_U64] = "count",
	[RH_AS_REAL] = "number",
	[RH_AS_INT] = "count, signed",
	[RH_AS_BOOL] = "true or false",
	[RH_AS_REC] = "",
	[RH_AS_LIST] = "list of ",
	[RH_AS_MAP] = "by name, ",
	[RH_AS_TEXTS] = "texts",
	[RH_AS_REALS] = "numbers",
	[RH_AS_INTS] = "counts",
	[RH_AS_NUMS] = "numbers by name",
	[RH_AS_PAIRS] = "texts by name",
	[RH_AS_BUCKETS] = "[edge, count] pairs",
	[RH_AS_ROWS] = "lists of [bucket, count] pairs",
};

static const char *need_words(enum rh_field_need need)
{
	return need == RH_NULL	? "; null when not known"
	       : need == RH_MAY ? "; may be left out"
				: "";
}

void rh_record_tables(const struct rh_record_type *type, FILE *to)
{
	struct types types = { .count = 0 };

	collect(&types, type);
	for (size_t t = types.count; t-- > 0;) {
		const struct rh_record_type *one = types.list[t];

		rh_print(to, "### `%s`\n\n| field | shape | unit | what |\n|---|---|---|---|\n",
			 one->name);
		for (size_t i = is_entry(&types, one); i < one->field_count; i++) {
			const struct rh_field *field = &one->fields[i];

			assert(shape_words[field->kind]);
			rh_print(to, "| `%s` | %s%s%s%s | %s | %s%s |\n", field->key,
				 shape_words[field->kind], field->of ? "`" : "",
				 field->of ? field->of->name : "", field->of ? "`" : "",
				 field->unit, field->what, need_words(field->need));
		}
		fputc('\n', to);
	}
}
