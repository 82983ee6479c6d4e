/*
 * usage.h - what is printed from the command table: --help (usage.c), the manual pages (manual.c),
 * the shells' completion files (completion.c), the version.
 * Thread rule: main thread. Errors: none.
 */
#ifndef RH_USAGE_H
#define RH_USAGE_H

#include <stdio.h>

#include "harness/cli/command.h"
#include "alloc/base/install_paths.h"

extern const char rh_purpose[]; /* reheap in half a sentence */

void rh_help_all(FILE *to);
void rh_help_command(const struct rh_command *command, FILE *to);
void rh_help_version(FILE *to);
/* RH_USAGE, suggesting the command that was probably meant. */
enum rh_exit rh_help_no_command(const char *name, struct rh_err *err);
void rh_help_man(FILE *to);					      /* reheap(1), roff */
void rh_help_man_command(const struct rh_command *command, FILE *to); /* reheap-NAME(1) */

enum rh_shell { RH_SHELL_NONE, RH_SHELL_BASH, RH_SHELL_ZSH, RH_SHELL_FISH };
extern const char *const rh_shells[]; /* their names, NULL-terminated */
void rh_help_completion(enum rh_shell shell, FILE *to);

#endif
