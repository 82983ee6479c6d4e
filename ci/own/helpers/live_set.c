/*
 * live_set.c - live_set OBJECTS CALLS - a program with OBJECTS living blocks of 16 to 143
 * bytes, of which a random one is freed and replaced until CALLS calls are made: the worst case
 * for code that looks up addresses and ranks ages.
 */
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	uint64_t objects = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	uint64_t calls = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	uint64_t seed = 88172645463325252u;
	void **block;

	if (objects == 0 || objects > UINT32_MAX)
		return 2;
	block = calloc(objects, sizeof *block);
	if (!block)
		return 1;
	for (uint64_t made = 0; made < calls;) {
		uint64_t at = made;

		if (made >= objects) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			at = (seed >> 32) * objects >> 32;
			free(block[at]);
			made++;
		}
		block[at] = malloc(16 + (made & 127));
		if (!block[at])
			return 1;
		made++;
	}
	return 0;
}
