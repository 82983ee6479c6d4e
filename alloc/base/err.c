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
	if (!err)
		return -1;
	/* Through a copy: the arguments may point into the old text. */
	vsnprintf(text, sizeof(text), fmt, ap);
	err->code = code;
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
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
	return -1;
}

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
	room = sizeof(err->text) - length - 3;
	assert(length < sizeof(prefix));
	memmove(err->text + length + 2, err->text, strnlen(err->text, room) + 1);
	err->text[sizeof(err->text) - 1] = '\0';
	memcpy(err->text, prefix, length);
	memcpy(err->text + length, ": ", 2);
	return -1;
}
