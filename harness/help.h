/*
 * help.h - everything printed from the command table: --help, `help`, the man page,
 * shell completion, the version. Thread rule: main thread. Errors: none.
 */
#ifndef RH_HELP_H
#define RH_HELP_H

#include <stdio.h>

#include "harness/command.h"

void rh_help_all(FILE *to);
void rh_help_command(const struct rh_command *command, FILE *to);
void rh_help_version(FILE *to);
void rh_help_man(FILE *to);		/* reheap(1), roff */
void rh_help_completion(FILE *to);	/* bash */

#endif
