/*
 * progress.c - the progress line, and what happens when the reader of our output goes away.
 */
#include "alloc/base/progress.h"

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"

bool rh_sigpipe_ignored;

/* `reheap ... | head` shall end silently as other tools do, instead of reporting that
 * stdout cannot be written. Not where the parent chose to ignore the signal: it wants
 * the error. */
void rh_end_with_reader(void)
{
	if (!rh_sigpipe_ignored)
		signal(SIGPIPE, SIG_DFL);
}

/* Ten lines a second. */
#define PROGRESS_NS 100000000u

static struct {
	uint64_t shown_ns; /* when the last line was drawn */
	bool open;	   /* a line stands */
} progress;

void rh_progress(const char *fmt, ...)
{
	char text[256];
	uint64_t now;
	va_list ap;

	/* In a file or a log of CI each redraw would be a line. */
	if (!isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!text[0]) {
		if (progress.open)
			fputs("\r\033[K", stderr);
		progress.open = false;
		return;
	}
	now = rh_now_ns();
	if (progress.open && now - progress.shown_ns < PROGRESS_NS)
		return;
	progress.shown_ns = now;
	progress.open = true;
	fputs("\r\033[K", stderr);
	rh_print_text(stderr, text);
	/* stderr may have been given a buffer, and the line has no end that would
	 * flush it. */
	fflush(stderr);
}
