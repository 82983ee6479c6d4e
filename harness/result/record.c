/*
 * record.c - queries on a record in memory (record.h).
 */
#include <assert.h>
#include <math.h>

#include "harness/result/record_access.h"

void rh_record_clear(const struct rh_record_type *type, void *record)
{
	double none = NAN;

	memset(record, 0, type->bytes);
	for (size_t i = 0; i < type->field_count; i++) {
		const struct rh_field *field = &type->fields[i];

		assert(field->offset < type->bytes && field->count_offset < type->bytes);
		if (field->kind == RH_AS_U32 || field->kind == RH_AS_U64)
			set_whole(field, record, UINT64_MAX);
		else if (field->kind == RH_AS_REAL || field->kind == RH_AS_INT)
			memcpy(rh_field_at(field, record), &none, sizeof(none));
	}
}

const struct rh_field *rh_record_field(const struct rh_record_type *type, const char *key)
{
	for (size_t i = 0; i < type->field_count; i++)
		if (strcmp(type->fields[i].key, key) == 0)
			return &type->fields[i];
	return NULL;
}

const char *rh_record_text(const struct rh_record_type *type, const void *record, const char *key,
			   struct rh_pool *pool)
{
	const struct rh_field *field = record ? rh_record_field(type, key) : NULL;
	bool truth;

	if (!field)
		return NULL;
	switch (field->kind) {
	case RH_AS_TEXT:
		return pointer_at(field, record);
	case RH_AS_U32:
	case RH_AS_U64:
		return whole_at(field, record) == UINT64_MAX
			       ? NULL
			       : rh_pool_printf(pool, "%llu",
						(unsigned long long)whole_at(field, record));
	case RH_AS_REAL:
	case RH_AS_INT:
		return isfinite(real_at(field, record))
			       ? rh_pool_printf(pool, "%.10g", real_at(field, record))
			       : NULL;
	case RH_AS_BOOL:
		memcpy(&truth, rh_field_at(field, record), sizeof(truth));
		return truth ? "yes" : "no";
	default:
		return NULL;
	}
}
