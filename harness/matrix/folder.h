/*
 * folder.h - the folder of a matrix, which is all the state it has.
 *
 *	DIR/matrix.json			the cells (cells.h)
 *	DIR/traces.tsv			hashes of traces
 *	DIR/cells/ab/NAME.json		the result of a cell; it exists = done
 *	DIR/cells/ab/NAME.HOST.PID.part	one being written, on file systems without unnamed files
 *	DIR/log/NAME.txt		why a cell has no result; removed when it has one
 *	DIR/jobs/			job arrays (slurm.h)
 *	DIR/matrix.sqlite		all numbers (store.h)
 *
 * The maker of a cell writes to an unnamed file, syncs it and links it to its name: a result is
 * whole or absent, even if others make the same cell at the same time. ci/own/FLEET.md counts
 * the metadata operations of a cell on the shared folder.
 *
 * Thread rule: one thread. Errors: RH_NO_INPUT, RH_BAD_DATA, RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_MATRIX_FOLDER_H
#define RH_MATRIX_FOLDER_H

#include "harness/matrix/cells.h"

/* DIR/WHAT; DIR/cells/ab/NAME.json. A path that would not fit is a usage error of main. */
const char *rh_folder_path(struct rh_pool *pool, const char *dir, const char *what);
const char *rh_folder_cell(struct rh_pool *pool, const char *dir, const char *name);

/* Whether DIR is one of these. */
bool rh_folder_is(const char *dir);
int rh_folder_read(const char *dir, struct rh_matrix *matrix, struct rh_pool *pool,
		   struct rh_err *err);
/* Makes the folders and writes matrix.json, whole or not at all. */
int rh_folder_write(const char *dir, const struct rh_matrix *matrix, struct rh_err *err);

/* done[i]: the cell i has a result. Reads folders, not files. Returns their number. `others`:
 * results that belong to no cell (of another plan or version). */
size_t rh_folder_done(const char *dir, const struct rh_matrix *matrix, bool *done, size_t *others);

/* Removes half-made files of dead processes: of this host, with `everybodys` of every host (when no
 * job is running any more). */
void rh_folder_sweep(const char *dir, bool everybodys);

#endif
