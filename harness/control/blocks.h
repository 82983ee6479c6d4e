/*
 * blocks.h - where live blocks lie: what the blocks probe's two halves share (RH_AREA_BLOCKS).
 *
 * On RH_CTL_BLOCK_SCAN the worker looks at every live block of every copy, between segments,
 * from memory of its own that is gone again before anything is read.
 *
 * A line counts as live when a byte that the program asked for lies in it, and as shared when
 * such bytes belong to blocks made on two or more lanes: those lanes' stores then take the
 * line from each other, although the program shares nothing (false sharing).
 *
 * Thread rule: the coordinator during the command, the driver at any other time.
 */
#ifndef RH_BLOCKS_H
#define RH_BLOCKS_H

#include <stdint.h>

struct rh_block_scan {
	uint64_t objects;
	uint64_t requested;	      /* bytes the program asked for */
	uint64_t usable;	      /* bytes the backend says it gave */
	uint64_t lines, lines_shared; /* of 64 bytes */
	uint64_t pages;		      /* of 4 KiB with a live byte in them */
};

#endif
