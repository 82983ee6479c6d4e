/*
 * latency_kinds.c - the names, from the one list.
 */
#include "harness/result/latency_kinds.h"

const char *const rh_latency_names[RH_LAT_KINDS] = {
#define NAME(id, name, words) [RH_LAT_##id] = #name,
	RH_LATENCY_KINDS(NAME)
#undef NAME
};

const char *const rh_latency_words[RH_LAT_KINDS] = {
#define WORDS(id, name, words) [RH_LAT_##id] = words,
	RH_LATENCY_KINDS(WORDS)
#undef WORDS
};
