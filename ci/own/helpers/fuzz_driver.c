/*
 * fuzz_driver.c - a plain main for a fuzz target: gives it each file that is named, and each file
 * of each folder. What was found once is replayed so without clang, and counted for coverage.
 * Prints how many there were; a target that does not like one ends by abort.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned replayed;

static int replay_file(const char *path, size_t bytes)
{
	uint8_t *data = malloc(bytes ? bytes : 1);
	FILE *file = fopen(path, "r");

	if (!file || !data || fread(data, 1, bytes, file) != bytes) {
		fprintf(stderr, "%s cannot be read\n", path);
		return -1;
	}
	fclose(file);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, bytes);
	free(data);
	replayed++;
	return 0;
}

static int replay_any(const char *path)
{
	struct stat st;
	struct dirent **names;
	char inside[4096];
	int count, result = 0;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s is not there\n", path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	count = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.' && result == 0) {
			snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
			result = replay_any(inside);
		}
		free(names[i]);
	}
	free(names);
	return result;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay_any(argv[i]) < 0)
			return 1;
	printf("%u\n", replayed);
	return replayed == 0;
}
