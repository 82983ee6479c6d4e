/*
 * record.h - structures that can be written as JSON and read back, by a table of their fields.
 *
 * fields.h lists the fields of each structure once. From that list come the structure itself,
 * the table here, and with it the writer, the reader, the JSON Schema and the tables of
 * RESULT.md. No other file needs a JSON library or spells a key a second time.
 *
 * A kind says how a field lies in memory and in JSON:
 *
 *	TEXT	const char *		string			absent: NULL
 *	U32	uint32_t		integer			absent: UINT32_MAX
 *	U64	uint64_t		integer			absent: UINT64_MAX
 *	REAL	double			number			absent: NaN
 *	INT	double			whole number, signed	absent: NaN
 *	BOOL	bool			true, false		absent: false
 *	REC	struct *		object			absent: NULL
 *	LIST	struct *, count		array of objects	absent: NULL
 *	MAP	struct *, count		object of objects; the first field of the structure is its
 *					name and not written again
 *	TEXTS	const char **, count	array of strings (an element may be NULL)
 *	REALS	double *, count		array of numbers (NaN is null)
 *	INTS	double *, count		array of whole numbers (NaN is null)
 *	NUMS	struct rh_named *, count	object of numbers
 *	PAIRS	struct rh_pair *, count		object of strings
 *	BUCKETS	struct rh_bucket *, count	array of [edge, count]
 *	ROWS	struct rh_bucket_row *, count	array of arrays of [edge, count]
 *
 * The count of a field `x` is the member `x_count`.
 *
 * Ownership: the reader's results lie in the caller's pool. Thread rule: no shared state. Errors:
 * RH_NO_INPUT (cannot be read), RH_BAD_DATA with the file and the place in it.
 */
#ifndef RH_RESULT_RECORD_H
#define RH_RESULT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/base/err.h"
#include "harness/result/pool.h"

enum rh_field_kind {
	RH_AS_TEXT,
	RH_AS_U32,
	RH_AS_U64,
	RH_AS_REAL,
	RH_AS_INT,
	RH_AS_BOOL,
	RH_AS_REC,
	RH_AS_LIST,
	RH_AS_MAP,
	RH_AS_TEXTS,
	RH_AS_REALS,
	RH_AS_INTS,
	RH_AS_NUMS,
	RH_AS_PAIRS,
	RH_AS_BUCKETS,
	RH_AS_ROWS,
	RH_AS_KINDS
};

enum rh_field_need {
	RH_NEED, /* always written; a reader refuses a document without it */
	RH_EVER, /* always written; documents of older versions may lack it */
	RH_NULL, /* always written, null when absent */
	RH_MAY,	 /* left out when absent */
	RH_FLAT, /* MAP: its entries are members of the object itself; written only */
};

struct rh_record_type;

struct rh_field {
	const char *key;
	enum rh_field_kind kind;
	enum rh_field_need need;
	const struct rh_record_type *of; /* REC, LIST, MAP */
	size_t offset, count_offset;	 /* in the structure */
	const char *unit, *what;	 /* "" = none; a phrase */
};

struct rh_record_type {
	const char *name; /* of the structure in RESULT.md and in the schema */
	size_t bytes;
	const struct rh_field *fields;
	size_t field_count;
	bool closed; /* written by people: the reader refuses unknown keys */
};

struct rh_named {
	const char *name;
	double value;
};

struct rh_pair {
	const char *name, *value;
};

struct rh_bucket {
	double edge;
	uint64_t count;
};

struct rh_bucket_row {
	struct rh_bucket *list;
	size_t list_count;
};

enum rh_json_form { RH_JSON_COMPACT, RH_JSON_INDENTED };

/* Writes the record as JSON and leaves `to` open. -1 when it has no JSON form or `to` cannot be
 * written. */
int rh_record_write(const struct rh_record_type *type, const void *record, enum rh_json_form form,
		    FILE *to);
/* The same as a malloc'ed text; NULL when it has no JSON form. */
char *rh_record_print(const struct rh_record_type *type, const void *record,
		      enum rh_json_form form);
/* An array of `count` records that lie side by side. */
int rh_records_write(const struct rh_record_type *type, const void *records, size_t count,
		     enum rh_json_form form, FILE *to);

/* Where a record is read from. */
struct rh_record_source {
	const char *path; /* "-" = standard input */
	const char *text; /* what is parsed instead of the file; `path` is for messages then */
	size_t text_bytes;
	const char *schema; /* the required value of the field `schema`; NULL = any */
};
/* Fills the record, which need not be cleared; its texts live in the pool. */
int rh_record_read(const struct rh_record_type *type, void *record,
		   const struct rh_record_source *from, struct rh_pool *pool, struct rh_err *err);

/* The field of that key; NULL when there is none. */
const struct rh_field *rh_record_field(const struct rh_record_type *type, const char *key);
/* A number or truth value as text, a text unchanged; NULL when absent or of another kind. */
const char *rh_record_text(const struct rh_record_type *type, const void *record, const char *key,
			   struct rh_pool *pool);

/* All fields absent. */
void rh_record_clear(const struct rh_record_type *type, void *record);

/* A JSON Schema (2020-12) for documents of this type. `enums` name the words a text may be. */
void rh_record_schema(const struct rh_record_type *type, const char *title, FILE *to);
/* A Markdown table of every structure that is part of it, each under a heading. */
void rh_record_tables(const struct rh_record_type *type, FILE *to);

/* ---- from a list of fields to a structure and a table ---- */

/* F(KIND, of, key, NEED, unit, what) */
#define RH_MEMBER(kind, of, key, need, unit, what) RH_MEMBER_##kind(of, key)
#define RH_MEMBER_TEXT(of, key)			   const char *key;
#define RH_MEMBER_U32(of, key)			   uint32_t key;
#define RH_MEMBER_U64(of, key)			   uint64_t key;
#define RH_MEMBER_REAL(of, key)			   double key;
#define RH_MEMBER_INT(of, key)			   double key;
#define RH_MEMBER_BOOL(of, key)			   bool key;
#define RH_MEMBER_REC(of, key)			   struct rh_##of *key;
#define RH_MEMBER_LIST(of, key) \
	struct rh_##of *key;    \
	size_t key##_count;
#define RH_MEMBER_MAP(of, key) RH_MEMBER_LIST(of, key)
#define RH_MEMBER_TEXTS(of, key) \
	const char **key;        \
	size_t key##_count;
#define RH_MEMBER_REALS(of, key) \
	double *key;             \
	size_t key##_count;
#define RH_MEMBER_INTS(of, key)	   RH_MEMBER_REALS(of, key)
#define RH_MEMBER_NUMS(of, key)	   RH_MEMBER_LIST(named, key)
#define RH_MEMBER_PAIRS(of, key)   RH_MEMBER_LIST(pair, key)
#define RH_MEMBER_BUCKETS(of, key) RH_MEMBER_LIST(bucket, key)
#define RH_MEMBER_ROWS(of, key)	   RH_MEMBER_LIST(bucket_row, key)

/* RH_RECORD(name, FIELDS): struct rh_NAME and the declaration of rh_NAME_type. */
#define RH_RECORD(name, fields)   \
	struct rh_##name {        \
		fields(RH_MEMBER) \
	};                        \
	extern const struct rh_record_type rh_##name##_type;

/* In one .c file, with SELF the structure:
 *	#define SELF struct rh_NAME
 *	RH_RECORD_TABLE(NAME, FIELDS)
 */
#define RH_OF_TEXT(of)	  NULL
#define RH_OF_U32(of)	  NULL
#define RH_OF_U64(of)	  NULL
#define RH_OF_REAL(of)	  NULL
#define RH_OF_INT(of)	  NULL
#define RH_OF_BOOL(of)	  NULL
#define RH_OF_REC(of)	  &rh_##of##_type
#define RH_OF_LIST(of)	  &rh_##of##_type
#define RH_OF_MAP(of)	  &rh_##of##_type
#define RH_OF_TEXTS(of)	  NULL
#define RH_OF_REALS(of)	  NULL
#define RH_OF_INTS(of)	  NULL
#define RH_OF_NUMS(of)	  NULL
#define RH_OF_PAIRS(of)	  NULL
#define RH_OF_BUCKETS(of) NULL
#define RH_OF_ROWS(of)	  NULL
/* Single values have no count. */
#define RH_COUNT_TEXT(key)    0
#define RH_COUNT_U32(key)     0
#define RH_COUNT_U64(key)     0
#define RH_COUNT_REAL(key)    0
#define RH_COUNT_INT(key)     0
#define RH_COUNT_BOOL(key)    0
#define RH_COUNT_REC(key)     0
#define RH_COUNT_LIST(key)    offsetof(SELF, key##_count)
#define RH_COUNT_MAP(key)     offsetof(SELF, key##_count)
#define RH_COUNT_TEXTS(key)   offsetof(SELF, key##_count)
#define RH_COUNT_REALS(key)   offsetof(SELF, key##_count)
#define RH_COUNT_INTS(key)    offsetof(SELF, key##_count)
#define RH_COUNT_NUMS(key)    offsetof(SELF, key##_count)
#define RH_COUNT_PAIRS(key)   offsetof(SELF, key##_count)
#define RH_COUNT_BUCKETS(key) offsetof(SELF, key##_count)
#define RH_COUNT_ROWS(key)    offsetof(SELF, key##_count)

#define RH_FIELD_ROW(kind, of, key, need, unit, what) \
	{ #key,                                       \
	  RH_AS_##kind,                               \
	  RH_##need,                                  \
	  RH_OF_##kind(of),                           \
	  offsetof(SELF, key),                        \
	  RH_COUNT_##kind(key),                       \
	  unit,                                       \
	  what },

#define RH_RECORD_TABLE(name, fields)	     RH_RECORD_TABLE_OF(name, fields, false)
#define RH_RECORD_TABLE_CLOSED(name, fields) RH_RECORD_TABLE_OF(name, fields, true)
#define RH_RECORD_TABLE_OF(name, fields, closed)                                             \
	static const struct rh_field name##_fields[] = { fields(RH_FIELD_ROW) };             \
	const struct rh_record_type rh_##name##_type = { #name, sizeof(SELF), name##_fields, \
							 sizeof(name##_fields) /             \
								 sizeof(name##_fields[0]),   \
							 closed };

#endif
