/*
 * invocation.h - shared by commands that run workers: the command line as given, signals, and
 * the words of common options. Thread rule: main thread.
 */
#ifndef RH_INVOCATION_H
#define RH_INVOCATION_H

/* Words of --touch by enum rh_ctl_touch (ctl.h); NULL ends them. */
extern const char *const rh_touch_names[];

/* The command line as the kernel keeps it, at most 64 KiB: the caller frees words[0..count), but
 * not the words themselves, which live as long as the process. */
int rh_argv_read(char ***words);

/* From here on SIGINT and SIGTERM set rh_interrupted (harness/launch/worker.h), so that workers and
 * temporary files are cleared away; a second one does not wait. */
void rh_interrupts_watch(void);

/* Ends this process by the signal that came, so that a calling shell sees an interrupted
 * program; returns when none came. */
void rh_interrupts_obey(void);

#endif
