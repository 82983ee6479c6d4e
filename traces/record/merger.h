/*
 * merger.h - shared by merge.c (chunks, the heap, single calls) and merge_row.c (calls in
 * a row). Thread rule and errors: those of merge.h.
 */
#ifndef RH_RECORD_MERGER_H
#define RH_RECORD_MERGER_H

#include "traces/record/merge.h"

enum { RH_MERGE_NAME_BYTES = 320 };

/* One ring of the image. */
struct rh_merged {
	struct rh_chunk *chunks; /* of this ring and image, in order */
	size_t chunk_count, chunk, chunk_room;
	uint32_t ring;
	uint32_t done; /* words of the current chunk already read */
	uint64_t *buffer;
	uint32_t buffer_words, have, at;
	uint64_t stamp;
	uint32_t thread, tid, site;
	uint64_t sized;	   /* of the FREE_RESIDENT next: size given + 1; 0 = none */
	bool next_is_word; /* the next call was the word before `at` */
	bool ended;	   /* no record is left; more may come while the program runs */
	struct rh_call next;
	char name[RH_MERGE_NAME_BYTES];
	uint32_t name_bytes;
	uint32_t name_site;
	bool naming;
};

struct rh_merge {
	const struct rh_capture *capture;
	struct rh_merged *streams;
	uint32_t stream_count, stream_room, buffer_words;
	uint32_t of_ring[RH_RINGS]; /* its stream + 1 */
	uint32_t *heap;
	uint32_t heap_count;
	uint64_t added_to; /* place in the capture after the begin of the last chunk added */
	bool keeps;	   /* chunks stay in the capture after reading */
	bool live;	   /* more chunks may come */
	uint64_t until;	   /* live: calls before that stamp are due */
	char name[RH_MERGE_NAME_BYTES];
};

/* The first stream's next call was taken: reads the one after it, and restores the heap. */
int rh_merge_step(struct rh_merge *merge, struct rh_err *err);

#endif
