/*
 * hgrm.c - writes .hgrm files; every file appears whole or not at all.
 */
#include "harness/probe/hgrm.h"
#include "harness/result/latency_kinds.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/control/latency.h"

/* The standard deviation, from the middles of buckets. */
static double deviation(const struct rh_hist_sum *hist, double mean)
{
	double sum = 0;

	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++) {
		uint64_t high = rh_hist_high(i) < hist->max ? rh_hist_high(i) : hist->max;
		double middle = ((double)rh_hist_low(i) + (double)high) / 2 - mean;

		if (hist->bucket[i])
			sum += (double)hist->bucket[i] * middle * middle;
	}
	return hist->count ? sqrt(sum / (double)hist->count) : 0;
}

void rh_hgrm_print(const struct rh_hist_sum *hist, double ns_per_tick, FILE *to)
{
	double n = (double)hist->count, mean = n > 0 ? hist->sum / n : 0;
	uint64_t seen = 0;

	fputs("       Value     Percentile TotalCount 1/(1-Percentile)\n\n", to);
	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++) {
		uint64_t high = rh_hist_high(i) < hist->max ? rh_hist_high(i) : hist->max;

		if (!hist->bucket[i])
			continue;
		seen += hist->bucket[i];
		fprintf(to, "%12.3f %2.12f %10llu", (double)high * ns_per_tick, (double)seen / n,
			(unsigned long long)seen);
		if (seen < hist->count)
			fprintf(to, " %14.2f\n", n / (n - (double)seen));
		else
			fprintf(to, "\n");
	}
	fprintf(to, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean * ns_per_tick,
		deviation(hist, mean) * ns_per_tick);
	fprintf(to, "#[Max     = %12.3f, Total count    = %12llu]\n",
		(double)hist->max * ns_per_tick, (unsigned long long)hist->count);
	fprintf(to, "#[Buckets = %12d, SubBuckets     = %12d]\n",
		RH_HIST_TOP_BITS - RH_HIST_BITS + 1, 1 << RH_HIST_BITS);
}

/* Names of traces and backends as part of a file's name. */
static void plain(char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(".-_=", *text))
			*text = '_';
}

/* stem: the path without the part that differs by kind. */
static int write_one(const struct rh_result *result, const struct rh_hist_sum *hist,
		     const char *stem, const char *kind, struct rh_err *err)
{
	struct rh_outfile out;
	char path[4096], *text = NULL;
	size_t bytes = 0;
	FILE *memory;
	int failed;

	if (!hist->count)
		return 0;
	if (snprintf(path, sizeof(path), "%s%s%s.hgrm", stem, kind[0] ? "." : "", kind) >=
	    (int)sizeof(path))
		return rh_fail(err, RH_CANT_CREATE, "the name of %s... is too long", stem);
	memory = open_memstream(&text, &bytes);
	if (!memory)
		return rh_fail(err, RH_OS, "no memory for %s", path);
	rh_hgrm_print(hist, result->clock.ns_per_tick, memory);
	fclose(memory);
	failed = rh_outfile_open(&out, path, err) < 0 ||
		 rh_write_all(out.fd, text, bytes, path, err) < 0 ||
		 rh_outfile_commit(&out, err) < 0;
	if (failed)
		rh_outfile_abandon(&out);
	free(text);
	return failed ? -1 : 0;
}

static int write_place(const struct rh_result *result, const struct rh_trial *like,
		       struct rh_latency_sum *sum, const char *dir, struct rh_err *err)
{
	char stem[4096 + 700];
	size_t dir_bytes = strlen(dir);
	int failed = 0;

	if (!rh_latency_pool(result, like, like->backend, sum))
		return 0;
	if (dir_bytes > 4000)
		return rh_fail(err, RH_CANT_CREATE, "the name of %s is too long", dir);
	snprintf(stem, sizeof(stem), "%s/%.250s.%.250s.l%u.c%u", dir,
		 rh_base_name(result->traces[like->trace].path),
		 result->backends[like->backend].text, like->lanes, like->copies);
	plain(stem + dir_bytes + 1);
	failed = write_one(result, &sum->all, stem, "", err) < 0 ||
		 write_one(result, &sum->response, stem, "response", err) < 0;
	for (int k = 0; !failed && k < RH_LAT_KINDS; k++)
		failed = write_one(result, &sum->kind[k], stem, rh_latency_names[k], err) < 0;
	return failed ? -1 : 0;
}

int rh_hgrm_write(const struct rh_result *result, const char *dir, struct rh_err *err)
{
	struct rh_latency_sum *sum = malloc(sizeof(*sum));
	int failed = 0;

	if (!sum)
		return rh_fail(err, RH_OS, "no memory for histograms");
	failed = rh_make_dirs(dir, err) < 0;
	for (size_t t = 0; !failed && t < result->trial_count; t++)
		if (result->trials[t].rep == 0)
			failed = write_place(result, &result->trials[t], sum, dir, err) < 0;
	free(sum);
	return failed ? -1 : 0;
}
