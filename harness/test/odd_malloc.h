/*
 * odd_malloc.h - the size that makes odd_malloc.so do what REHEAP_ODD says.
 */
#ifndef RH_ODD_MALLOC_H
#define RH_ODD_MALLOC_H

enum { ODD_BYTES = 54321 };

#endif
