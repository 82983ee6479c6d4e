/*
 * err.c - error texts. Formats into the caller's buffer; allocates nothing, so
 * that it can be used inside a worker whose malloc is under test.
 */
#include "alloc/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/os.h"

int rh_vfail(struct rh_err *err, enum rh_exit code, const char *fmt, va_list ap)
{
	char text[sizeof(err->text)];

	assert(code != RH_OK); /* an error has a class */
	/* NULL is for callers that only need the -1. */
	if (!err)
		return -1;
	/* Through a copy: the arguments may point into the old text. */
	vsnprintf(text, sizeof(text), fmt, ap);
	err->code = code;
	/* vsnprintf has cut it to the buffer: a long path loses its end, never the
	 * NUL. */
	memcpy(err->text, text, strlen(text) + 1);
	return -1;
}

int rh_fail(struct rh_err *err, enum rh_exit code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rh_vfail(err, code, fmt, ap);
	va_end(ap);
	return -1;
}

/* errno is read before anything can change it, also before vsnprintf. */
int rh_fail_errno(struct rh_err *err, enum rh_exit code, const char *fmt, ...)
{
	int saved = errno;
	const char *why = rh_errno_text(saved);
	size_t used;
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	rh_vfail(err, code, fmt, ap);
	va_end(ap);
	/* The system's words come last; where there is no room they are cut, since
	 * our words name the file. */
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
	return -1;
}

/* Errors grow from the inside out ("default of gogc: 'x' is not a number"): the
 * lowest level knows the value, the one above what it was for. The code stays that of
 * the cause, as it becomes the exit status. */
int rh_err_prefix(struct rh_err *err, const char *fmt, ...)
{
	char prefix[256];
	size_t length, room;
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	length = strlen(prefix);
	/* ": " and the NUL. What does not fit falls off the end, where the details
	 * are. */
	room = sizeof(err->text) - length - 3;
	assert(length < sizeof(prefix));
	memmove(err->text + length + 2, err->text, strnlen(err->text, room) + 1);
	err->text[sizeof(err->text) - 1] = '\0';
	memcpy(err->text, prefix, length);
	memcpy(err->text + length, ": ", 2);
	return -1;
}
