/*
 * host.h - facts about the machine that every result carries. Read from /proc and
 * /sys; a fact the host does not give is an empty text or 0. Thread rule: none shared.
 */
#ifndef RH_HOST_H
#define RH_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct rh_host {
	char name[256], kernel[256], cpu_model[128];
	char hypervisor[128], thp[32], governor[32], libc[64];
	unsigned cpus, cpus_allowed;
	uint64_t memory_bytes, page_bytes;
	double load1;
};

void rh_host_read(struct rh_host *host);

/* First line of a small file without its newline; false when it cannot be read. */
bool rh_read_line(const char *path, char *text, unsigned text_bytes);

/* Where the caller's PATH has a program of that name; false when nowhere. */
bool rh_in_path(const char *name, char *found, unsigned found_bytes);

#endif
