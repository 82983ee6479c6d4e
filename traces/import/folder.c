/*
 * folder.c - see folder.h.
 */
#include "traces/import/folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 6 };

static bool find(const char *folder, const char *name, unsigned depth, char *path, size_t bytes)
{
	struct dirent **entries;
	bool found = false;
	struct stat st;
	int count;

	if (snprintf(path, bytes, "%s/%s", folder, name) >= (int)bytes)
		return false;
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
		return true;
	if (depth == 0)
		return false;
	count = scandir(folder, &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char below[4096];

		if (!found && entries[i]->d_name[0] != '.' &&
		    snprintf(below, sizeof(below), "%s/%s", folder, entries[i]->d_name) <
			    (int)sizeof(below) &&
		    lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
			found = find(below, name, depth - 1, path, bytes);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return found;
}

bool rh_folder_find(const char *folder, const char *name, char *path, size_t bytes)
{
	return find(folder, name, DEPTH_MAX, path, bytes);
}
