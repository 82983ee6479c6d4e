/*
 * blocks.h - where live blocks lie: the data shared by the two halves of the blocks probe
 * (RH_AREA_BLOCKS).
 *
 * On RH_CTL_BLOCK_SCAN the worker looks at every live block of every copy, between segments, using
 * its own memory, which is unmapped before memory is measured.
 *
 * A line counts as live if it holds a byte that the program asked for, and as shared if such
 * bytes belong to blocks made on two or more lanes: stores of those lanes then take the line
 * from each other, although the program shares nothing (false sharing).
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
