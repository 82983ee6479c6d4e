/*
 * whatif_document.h - the answers of whatif.h as a document: `reheap whatif --json`, -o.
 * `reheap list schema-whatif` prints its JSON Schema, from these lists.
 *
 * null stands for "off": of gogc no collection by growth, of memlimit_bytes no limit.
 * Thread rule: constant data. Ownership: the maker of a document owns what it points to.
 */
#ifndef RH_WHATIF_DOCUMENT_H
#define RH_WHATIF_DOCUMENT_H

#include "harness/result/record.h"

#define RH_WHATIF_SCHEMA "reheap.whatif/1"

#define FIELDS_WHATIF_RECORDED(F)                                                               \
	F(U64, _, gogc, NULL, "%", "GOGC of the recorded run; null = off")                      \
	F(TEXT, _, gogc_from, EVER, "", "who says so: given, environment, goals or assumed")    \
	F(U64, _, memlimit_bytes, NULL, "bytes", "GOMEMLIMIT of the recorded run; null = none") \
	F(TEXT, _, memlimit_from, EVER, "", "who says so: given, environment or assumed")       \
	F(U64, _, collections, EVER, "count", "whole ones in the trace")                        \
	F(U64, _, asked_for, EVER, "count", "of these, not begun by growth")                    \
	F(U64, _, peak_bytes, EVER, "bytes", "most that counted as live, garbage included")     \
	F(REAL, _, goal_mean_bytes, NULL, "bytes", "mean of the goals after each collection")   \
	F(U64, _, marked_bytes, EVER, "bytes", "marked by all collections")                     \
	F(REAL, _, roots_bytes, EVER, "bytes", "stacks and globals that goals count, mean")     \
	F(U64, _, recorder_bytes, EVER, "bytes", "of these live: Go's recorder's own blocks")   \
	F(U64, _, unseen_bytes, EVER, "bytes", "live in memory that no event tells of")         \
	F(REAL, _, black, EVER, "", "bytes allocated while one is marked, mean")

#define FIELDS_WHATIF_ANSWER(F)                                                                \
	F(U64, _, gogc, NULL, "%", "the setting; null = off")                                  \
	F(U64, _, memlimit_bytes, NULL, "bytes", "the setting; null = off")                    \
	F(U64, _, collections, EVER, "count", "that the pacer would run")                      \
	F(U64, _, peak_bytes, EVER, "bytes", "most that would count as live")                  \
	F(U64, _, peak_ended_bytes, EVER, "bytes", "the same as a collection ended (gctrace)") \
	F(REAL, _, goal_mean_bytes, NULL, "bytes", "mean of the goals; null = no collection")  \
	F(U64, _, marked_bytes, EVER, "bytes", "marked by all collections")                    \
	F(REAL, _, marked_per_byte, NULL, "", "of these, for each byte that was allocated")    \
	F(BOOL, _, over_limit, EVER, "", "more lives than the limit allows")                   \
	F(BOOL, _, little_room, EVER, "",                                                      \
	  "the limit leaves so little that collections are a guess")                           \
	F(BOOL, _, cpu_limited, EVER, "", "collecting is held at half of the CPU")             \
	F(BOOL, _, replayed, EVER, "", "by a replay of all objects, not by sums per cycle")

#define FIELDS_WHATIF_DOCUMENT(F)                                                           \
	F(TEXT, _, schema, NEED, "", RH_WHATIF_SCHEMA)                                      \
	F(TEXT, _, trace, NEED, "", "the file")                                             \
	F(TEXT, _, profile, EVER, "", "which Go it was (reheap list profiles)")             \
	F(U64, _, allocated_bytes, EVER, "bytes", "allocated in all")                       \
	F(REC, whatif_recorded, recorded, EVER, "", "what the recorded run did")            \
	F(REC, whatif_answer, model, EVER, "", "the model at the recorded setting")         \
	F(BOOL, _, met, EVER, "", "its collections are within 20 % or one of the recorded") \
	F(BOOL, _, traced, EVER, "", "the answers are with the recorder's blocks")          \
	F(TEXT, _, unsuited, MAY, "", "what the trace is not suited for, by its importer")  \
	F(LIST, whatif_answer, answers, EVER, "", "one for each setting")

RH_RECORD(whatif_recorded, FIELDS_WHATIF_RECORDED)
RH_RECORD(whatif_answer, FIELDS_WHATIF_ANSWER)
RH_RECORD(whatif_document, FIELDS_WHATIF_DOCUMENT)

#endif
