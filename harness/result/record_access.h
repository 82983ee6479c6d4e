/*
 * record_access.h - a field of a record in memory, by its row (record.h). For json.c and record.c.
 *
 * Thread rule: pure functions. Values are copied, because a row only knows an offset.
 */
#ifndef RH_RECORD_ACCESS_H
#define RH_RECORD_ACCESS_H

#include <assert.h>
#include <string.h>

#include "harness/result/record.h"

static inline void *rh_field_at(const struct rh_field *field, const void *record)
{
	return (char *)(uintptr_t)record + field->offset;
}

/* Kinds that are a pointer, with a count beside it where there are several. */
static inline bool rh_field_points(const struct rh_field *field)
{
	return field->kind == RH_AS_TEXT || field->kind >= RH_AS_REC;
}

static inline void *pointer_at(const struct rh_field *field, const void *record)
{
	void *pointer;

	assert(rh_field_points(field));
	memcpy(&pointer, rh_field_at(field, record), sizeof(pointer));
	return pointer;
}

static inline size_t count_at(const struct rh_field *field, const void *record)
{
	size_t count;

	assert(rh_field_points(field) && field->count_offset);
	memcpy(&count, (const char *)record + field->count_offset, sizeof(count));
	return count;
}

static inline void set_pointer(const struct rh_field *field, void *record, void *pointer,
			       size_t count)
{
	assert(rh_field_points(field) && (count == 0 || field->count_offset));
	memcpy(rh_field_at(field, record), &pointer, sizeof(pointer));
	if (field->count_offset)
		memcpy((char *)record + field->count_offset, &count, sizeof(count));
}

static inline double real_at(const struct rh_field *field, const void *record)
{
	double value;

	assert(field->kind == RH_AS_REAL || field->kind == RH_AS_INT);
	memcpy(&value, rh_field_at(field, record), sizeof(value));
	return value;
}

static inline uint64_t whole_at(const struct rh_field *field, const void *record)
{
	uint32_t small;
	uint64_t value;

	assert(field->kind == RH_AS_U32 || field->kind == RH_AS_U64);
	if (field->kind == RH_AS_U64) {
		memcpy(&value, rh_field_at(field, record), sizeof(value));
		return value;
	}
	memcpy(&small, rh_field_at(field, record), sizeof(small));
	return small == UINT32_MAX ? UINT64_MAX : small;
}

static inline void set_whole(const struct rh_field *field, void *record, uint64_t value)
{
	uint32_t small = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;

	assert(field->kind == RH_AS_U32 || field->kind == RH_AS_U64);
	if (field->kind == RH_AS_U64)
		memcpy(rh_field_at(field, record), &value, sizeof(value));
	else
		memcpy(rh_field_at(field, record), &small, sizeof(small));
}

#endif
