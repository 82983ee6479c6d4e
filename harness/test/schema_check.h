/*
 * schema_check.h - JSON against the JSON Schema that its type prints: the validator of the tests.
 *
 * It knows what our schemas use: type, const, properties, required, additionalProperties,
 * items, prefixItems, minItems and $ref into $defs. Any other keyword is a fault of the
 * schema, so that nothing is passed over in silence. For inclusion into one test program.
 */
#ifndef RH_SCHEMA_CHECK_H
#define RH_SCHEMA_CHECK_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/result/record.h"

struct schema_check {
	const json_t *root;
	char fault[400]; /* "" = none so far */
};

static void check_value(struct schema_check *check, const json_t *schema, const json_t *value,
			const char *place);

static void schema_says(struct schema_check *check, const char *place, const char *what)
{
	if (!check->fault[0])
		snprintf(check->fault, sizeof(check->fault), "%.200s: %.190s",
			 place[0] ? place : "root", what);
}

static bool has_type(const json_t *value, const char *type)
{
	double number = json_number_value(value);

	return strcmp(type, "object") == 0    ? json_is_object(value)
	       : strcmp(type, "array") == 0   ? json_is_array(value)
	       : strcmp(type, "string") == 0  ? json_is_string(value)
	       : strcmp(type, "number") == 0  ? json_is_number(value)
	       : strcmp(type, "boolean") == 0 ? json_is_boolean(value)
	       : strcmp(type, "null") == 0    ? json_is_null(value)
	       : strcmp(type, "integer") == 0 && json_is_number(value)
		       ? number == (double)(long long)number
		       : false;
}

static void check_type(struct schema_check *check, const json_t *types, const json_t *value,
		       const char *place)
{
	bool fits = json_is_string(types) && has_type(value, json_string_value(types));
	const json_t *type;
	size_t i;

	json_array_foreach(types, i, type) fits |= has_type(value, json_string_value(type));
	if (!fits)
		schema_says(check, place, "has another type");
}

static void check_members(struct schema_check *check, const json_t *schema, const json_t *value,
			  const char *place)
{
	const json_t *properties = json_object_get(schema, "properties"), *row;
	const json_t *more = json_object_get(schema, "additionalProperties");
	const char *key;
	json_t *member;
	size_t i;

	json_array_foreach(json_object_get(schema, "required"), i,
			   row) if (!json_object_get(value, json_string_value(row)))
		schema_says(check, place, json_string_value(row));
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		const json_t *own = json_object_get(properties, key);
		char inner[300];

		snprintf(inner, sizeof(inner), "%.200s.%.80s", place, key);
		if (own || json_is_object(more))
			check_value(check, own ? own : more, member, inner);
		else
			schema_says(check, inner, "is no property of the schema");
	}
}

static void check_elements(struct schema_check *check, const json_t *schema, const json_t *value,
			   const char *place)
{
	const json_t *first = json_object_get(schema, "prefixItems");
	const json_t *items = json_object_get(schema, "items"), *element;
	size_t i;

	if (json_array_size(value) <
	    (size_t)json_integer_value(json_object_get(schema, "minItems")))
		schema_says(check, place, "has too few elements");
	json_array_foreach(value, i, element)
	{
		const json_t *own = i < json_array_size(first) ? json_array_get(first, i) : items;
		char inner[300];

		snprintf(inner, sizeof(inner), "%.200s[%zu]", place, i);
		if (json_is_object(own))
			check_value(check, own, element, inner);
	}
}

static void check_keywords(struct schema_check *check, const json_t *schema, const char *place)
{
	static const char *const known[] = { "type",	 "const",      "properties",
					     "required", "items",      "additionalProperties",
					     "$ref",	 "minItems",   "prefixItems",
					     "$defs",	 "$schema",    "title",
					     "anyOf",	 "description" };
	const char *key;
	json_t *ignored;

	json_object_foreach((json_t *)(uintptr_t)schema, key, ignored)
	{
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= strcmp(known[i], key) == 0;
		if (!found)
			schema_says(check, place, "a keyword this validator does not know");
	}
}

/* One of the alternatives must fit. */
static void check_any(struct schema_check *check, const json_t *list, const json_t *value,
		      const char *place)
{
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		struct schema_check one = { .root = check->root };

		check_value(&one, row, value, place);
		if (!one.fault[0])
			return;
		if (i + 1 == json_array_size(list))
			schema_says(check, place, one.fault);
	}
}

static void check_value(struct schema_check *check, const json_t *schema, const json_t *value,
			const char *place)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));
	const json_t *types = json_object_get(schema, "type"),
		     *one = json_object_get(schema, "const");

	check_keywords(check, schema, place);
	if (ref) {
		const json_t *def = json_object_get(json_object_get(check->root, "$defs"),
						    ref + strlen("#/$defs/"));

		if (def)
			check_value(check, def, value, place);
		else
			schema_says(check, place, "a $ref that leads nowhere");
		return;
	}
	if (types)
		check_type(check, types, value, place);
	if (one && !json_equal(one, value))
		schema_says(check, place, "is another constant");
	check_any(check, json_object_get(schema, "anyOf"), value, place);
	if (json_is_object(value) && json_object_get(schema, "additionalProperties"))
		check_members(check, schema, value, place);
	if (json_is_array(value))
		check_elements(check, schema, value, place);
}

/* What is wrong with the text; NULL = it fits. Valid until the next call. */
static const char *schema_fault(const char *text, const struct rh_record_type *type)
{
	static struct schema_check check;
	char *schema_text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&schema_text, &bytes);
	json_t *schema, *value = json_loads(text, 0, NULL);

	rh_record_schema(type, "test", to);
	fclose(to);
	schema = json_loads(schema_text, JSON_REJECT_DUPLICATES, NULL);
	check = (struct schema_check){ .root = schema };
	if (!schema || !value)
		schema_says(&check, "", schema ? "the text is no JSON" : "the schema is no JSON");
	else
		check_value(&check, schema, value, "");
	json_decref(schema);
	json_decref(value);
	free(schema_text);
	return check.fault[0] ? check.fault : NULL;
}

static void check_against_schema(const char *text, const struct rh_record_type *type)
{
	const char *fault = schema_fault(text, type);

	if (fault)
		fail_msg("not what the schema says: %s", fault);
}

#endif
