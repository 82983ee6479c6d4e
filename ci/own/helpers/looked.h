/*
 * looked.h - of test programs that run under `reheap record`: wait until it has looked at all that
 * it looks at ten times a second. It makes calls of read() then and no others while nothing is
 * recorded.
 */
#ifndef RH_LOOKED_H
#define RH_LOOKED_H

#include <stdio.h>
#include <unistd.h>

/* Calls of read() so far; -1: that cannot be seen. */
static long looked_reads(int recorder)
{
	char path[64], line[128];
	long reads = -1;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/io", recorder);
	in = fopen(path, "r");
	while (in && reads < 0 && fgets(line, sizeof line, in))
		if (sscanf(line, "syscr: %ld", &reads) != 1)
			reads = -1;
	if (in)
		fclose(in);
	return reads;
}

/* Seen to change three times: one look has begun and ended since. Half a minute at most. */
static void wait_until_looked(int recorder)
{
	long before = looked_reads(recorder), now;

	if (before < 0)
		usleep(400000);
	for (int i = 0, changes = 0; before >= 0 && i < 1000 && changes < 3; i++) {
		usleep(30000);
		now = looked_reads(recorder);
		changes += now != before;
		before = now;
	}
}

#endif
