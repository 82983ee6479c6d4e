/*
 * result.c - memory for the structures of a run.
 */
#include "harness/result/result.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const rh_status_names[] = { "ok", "failed", "absent" };
_Static_assert(sizeof(rh_status_names) / sizeof(rh_status_names[0]) == RH_STATUS_ABSENT + 1,
	       "a name for each");

/* Doubles when count is a power of two, so that no capacity need be stored. */
void *rh_grow(void *array_pointer, size_t *count, size_t element_bytes)
{
	size_t n = *count;
	char *array;

	memcpy(&array, array_pointer, sizeof(array));
	assert(element_bytes > 0 && (n == 0 || array));
	if ((n & (n - 1)) == 0) {
		size_t room = n ? 2 * n : 1;

		array = room > SIZE_MAX / element_bytes ? NULL
							: realloc(array, room * element_bytes);
		if (!array) {
			fprintf(stderr, "reheap: no memory for the result\n");
			exit(RH_OS);
		}
		memcpy(array_pointer, &array, sizeof(array));
	}
	memset(array + n * element_bytes, 0, element_bytes);
	(*count)++;
	return array + n * element_bytes;
}

void rh_result_warn(struct rh_result *result, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*(char **)rh_grow(&result->warnings, &result->warning_count, sizeof(char *)) = strdup(text);
}

void rh_result_absent(struct rh_result *result, const char *metric, int backend, const char *fmt,
		      ...)
{
	struct rh_absent *row = rh_grow(&result->absent, &result->absent_count, sizeof(*row));
	va_list ap;

	assert(backend >= -1 && backend < (int)result->backend_count);
	row->metric = metric;
	row->backend = backend;
	va_start(ap, fmt);
	vsnprintf(row->why, sizeof(row->why), fmt, ap);
	va_end(ap);
}

static void free_backend(struct rh_run_backend *backend)
{
	for (size_t i = 0; i < backend->env_count; i++) {
		free((char *)backend->env[i].name);
		free((char *)backend->env[i].value);
	}
	free(backend->env);
	free(backend->spec);
	free((char *)backend->text);
	free((char *)backend->given);
}

static void free_trace(struct rh_run_trace *trace)
{
	for (size_t i = 0; i < trace->note_count; i++) {
		free((char *)trace->notes[i].name);
		free((char *)trace->notes[i].value);
	}
	free(trace->notes);
}

struct rh_pool *rh_result_pool(struct rh_result *result)
{
	if (!result->pool)
		result->pool = rh_pool_open();
	return result->pool;
}

void rh_result_free(struct rh_result *result)
{
	for (size_t i = 0; i < result->backend_count; i++)
		free_backend(&result->backends[i]);
	for (size_t i = 0; i < result->trace_count; i++)
		free_trace(&result->traces[i]);
	for (size_t i = 0; i < result->program_count; i++)
		rh_program_unmap(&result->programs[i].program);
	for (size_t i = 0; i < result->trial_count; i++) {
		free(result->trials[i].segments);
		free(result->trials[i].passes);
		free(result->trials[i].stats);
		free(result->trials[i].readings);
		free(result->trials[i].latency);
	}
	for (size_t i = 0; i < result->metric_count; i++)
		free(result->metrics[i].values);
	for (size_t i = 0; i < result->warning_count; i++)
		free(result->warnings[i]);
	free(result->argv);
	free(result->backends);
	free(result->traces);
	free(result->programs);
	free(result->trials);
	free(result->metrics);
	free(result->absent);
	free(result->warnings);
	rh_pool_close(result->pool);
	*result = (struct rh_result){ 0 };
}
