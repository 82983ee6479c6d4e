/*
 * poison.h - shows AddressSanitizer which bytes of our pages nobody may touch.
 *
 * Without the sanitizer both calls are nothing. Blocks are unpoisoned for the bytes
 * asked for, so that a read past them is found though the slot is longer.
 */
#ifndef RH_TIERED_POISON_H
#define RH_TIERED_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
void __asan_poison_memory_region(void const volatile *p, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *p, size_t bytes);
#define RH_POISON 1
static inline void rh_poison(const void *p, size_t bytes)
{
	__asan_poison_memory_region(p, bytes);
}
static inline void rh_unpoison(const void *p, size_t bytes)
{
	__asan_unpoison_memory_region(p, bytes);
}
#else
#define RH_POISON 0
static inline void rh_poison(const void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}
static inline void rh_unpoison(const void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}
#endif

#endif
