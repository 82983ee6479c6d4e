/*
 * folder.h - a file of a name in a folder or below it. Thread rule: none shared.
 */
#ifndef RH_IMPORT_FOLDER_H
#define RH_IMPORT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* The first file `name` in `folder` or at most 6 folders below, in the order of the names; false
 * when there is none, or the path does not fit. Links are not followed. */
bool rh_folder_find(const char *folder, const char *name, char *path, size_t bytes);

#endif
