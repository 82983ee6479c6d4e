/*
 * peer_version.h - the version of an allocator that is a library, asked in a process of its own:
 * loading it into this one would put it under everything here.
 *
 * Thread rule: main thread. The process is killed when it has not answered within 2 s.
 */
#ifndef RH_PEER_VERSION_H
#define RH_PEER_VERSION_H

#include <stddef.h>

/* "5.3.0"; "" when the library does not say, or does not run here. */
void rh_peer_version(const char *library, char *text, size_t bytes);

#endif
