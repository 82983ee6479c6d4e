/*
 * suggest.h - "did you mean": the nearest of the names there are to a word that is none of them.
 *
 *	struct rh_suggestion s = rh_suggestion_for(word, strlen(word));
 *
 *	for each name: rh_suggest_consider(&s, name);
 *	rh_suggest_write(&s, text, sizeof(text));
 *
 * Ownership: names belong to the caller. Thread rule: none shared. Nothing allocates.
 */
#ifndef RH_SUGGEST_H
#define RH_SUGGEST_H

#include <stddef.h>
#include <stdint.h>

struct rh_suggestion {
	const char *name; /* the word that is wrong; need not end in NUL */
	size_t name_bytes;
	const char *nearest;
	size_t distance;
	char all[400]; /* every name considered */
};

static inline struct rh_suggestion rh_suggestion_for(const char *name, size_t name_bytes)
{
	return (struct rh_suggestion){ .name = name,
				       .name_bytes = name_bytes,
				       .distance = SIZE_MAX };
}

void rh_suggest_consider(struct rh_suggestion *s, const char *name);
/* The name that was probably meant; NULL when none is near enough. */
const char *rh_suggest_nearest(const struct rh_suggestion *s);
/* "did you mean jemalloc? " (or nothing) and "there are: bump, ...". */
void rh_suggest_write(const struct rh_suggestion *s, char *text, size_t text_bytes);

#endif
