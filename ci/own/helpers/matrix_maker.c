/*
 * matrix_maker.c DIR CELLS SEED [SHIFT] - the folder of a matrix whose answers are known.
 *
 * CELLS cells with their results, without any replay: for the bench of reading (make bench-fleet)
 * and for tests. Families f00.., ten traces each; backends b0 .. b4 against libc on the classes m0
 * and m1, one lane. What is planted:
 *
 *	b0	0.80 x the time of libc everywhere
 *	b1	1.00: nothing
 *	b2	0.70 on m0 and 1.40 on m1, which must not be pooled
 *	b3	1.20 x the time, 0.90 x the memory
 *	b4	0.90, but one cell of family f00 takes 3 x
 *	SHIFT	b1's time is multiplied by it: what changed since a matrix without
 *	A/A	one cell in fifty
 *
 * Noise of a repetition: 1 % (normal), the same seed the same bytes. A result has 18 trials of 64
 * segments, as a replay of two backends and the floor writes them: about 50 KB.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BACKENDS = 5, REPS = 6, SEGMENTS = 64, TRACES_OF_FAMILY = 10 };

static uint64_t state;

static double uniform(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

struct cell {
	char name[33], sha[65];
	int number, family, trace, backend, machine, aa;
};

static struct cell cell_of(int number)
{
	struct cell c = { .number = number };
	int place = number / BACKENDS;

	c.aa = number % 50 == 49;
	c.backend = number % BACKENDS;
	c.machine = place % 2;
	c.trace = place / 2;
	c.family = c.trace / TRACES_OF_FAMILY;
	snprintf(c.name, sizeof(c.name), "%02x%030x", number % 256, number);
	snprintf(c.sha, sizeof(c.sha), "%064x", c.trace);
	return c;
}

static const char *label_of(const struct cell *c, char *text)
{
	snprintf(text, 8, c->aa ? "aa" : "b%d", c->backend);
	return text;
}

static double time_ratio(const struct cell *c, double shift)
{
	if (c->aa)
		return 1;
	switch (c->backend) {
	case 0:
		return 0.8;
	case 1:
		return shift;
	case 2:
		return c->machine ? 1.4 : 0.7;
	case 3:
		return 1.2;
	default:
		return c->family == 0 && c->trace == 3 && !c->machine ? 3 : 0.9;
	}
}

/* The first of the file has no comma before it. */
static void put_metric(FILE *to, int backend, const char *name, const char *unit, double center)
{
	const char *comma = backend == 0 && strncmp(name, "time", 4) == 0 ? "" : ",";
	double values[REPS], sorted[REPS];

	for (int r = 0; r < REPS; r++)
		values[r] = sorted[r] = center * exp(0.01 * normal());
	for (int i = 0; i < REPS; i++)
		for (int j = i + 1; j < REPS; j++)
			if (sorted[j] < sorted[i]) {
				double kept = sorted[i];

				sorted[i] = sorted[j];
				sorted[j] = kept;
			}
	fprintf(to,
		"%s{\"trace\":0,\"backend\":%d,\"lanes\":1,\"copies\":1,\"name\":\"%s\""
		",\"unit\":\"%s\","
		"\"source\":\"own\",\"better\":\"lower\",\"n\":%d,\"median\":%.6f,\"lo\":%.6f,"
		"\"hi\":%.6f,\"level\":0.96875,\"min\":%.6f,\"max\":%.6f,\"values\":[",
		comma, backend, name, unit, REPS, (sorted[2] + sorted[3]) / 2, sorted[0], sorted[5],
		sorted[0], sorted[5]);
	for (int r = 0; r < REPS; r++)
		fprintf(to, "%s%.6f", r ? "," : "", values[r]);
	fputs("]}", to);
}

static void put_column(FILE *to, const char *name, double center, int last)
{
	fprintf(to, "\"%s\":[", name);
	for (int s = 0; s < SEGMENTS; s++)
		fprintf(to, "%s%.0f", s ? "," : "", center * (0.5 + uniform()));
	fprintf(to, "]%s", last ? "" : ",");
}

static void put_trial(FILE *to, int backend, int rep, int last)
{
	fprintf(to,
		"{\"trace\":0,\"backend\":%d,\"lanes\":1,\"copies\":1,\"rep\":%d,\"order\":%d,"
		"\"status\":\"ok\",\"events\":100000,\"wall_ns\":%.0f,\"cpu_ns\":1000000,"
		"\"alloc_failed\":0,\"segments\":{",
		backend, rep, backend, 1e6 * (1 + uniform()));
	put_column(to, "events", 1500, 0);
	put_column(to, "event_last", 50000, 0);
	put_column(to, "wall_ns", 15000, 0);
	put_column(to, "cpu_ns", 15000, 0);
	put_column(to, "rss_bytes", 4e6, 0);
	put_column(to, "live_bytes", 3e6, 0);
	put_column(to, "faults_minor", 10, 1);
	fprintf(to, "}}%s", last ? "" : ",");
}

static void put_result(const char *dir, const struct cell *c, double shift)
{
	char path[4096], label[8];
	double base = 10 * (1 + c->machine) * (1 + 0.1 * (c->trace % 7));
	FILE *to;

	snprintf(path, sizeof(path), "%s/cells/%.2s", dir, c->name);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/cells/%.2s/%s.json", dir, c->name, c->name);
	to = fopen(path, "we");
	if (!to) {
		perror(path);
		exit(1);
	}
	fprintf(to,
		"{\"schema\":\"reheap.result/1\",\"started\":\"2026-01-01T00:00:00Z\""
		",\"wall_s\":1.5,"
		"\"exit\":0,\"host\":{\"name\":\"node%d\",\"cpu_model\":\"cpu of m%d\"},\"config\":"
		"{\"reps\":6,\"baseline\":\"libc\",\"touch\":\"auto\",\"pace\":\"none\"}"
		",\"traces\":[{"
		"\"path\":\"/t/f%02d-%d.rht\",\"name\":\"f%02d-%d.rht\",\"sha256\":\"%s\","
		"\"events\":100000}],\"backends\":[{\"spec\":\"libc\",\"heap\":\"libc\",\"status\":"
		"\"ok\"},{\"spec\":\"%s\",\"heap\":\"%s\",\"status\":\"ok\",\"deployable\":true},"
		"{\"spec\":\"null\",\"heap\":\"null\",\"control\":true,\"status\":\"ok\"}]"
		",\"trials\":[",
		c->number % 7, c->machine, c->family, c->trace, c->family, c->trace, c->sha,
		label_of(c, label), label);
	for (int t = 0; t < 3 * REPS; t++)
		put_trial(to, t % 3, t / 3, t == 3 * REPS - 1);
	fputs("],\"metrics\":[", to);
	put_metric(to, 0, "time.ns_per_event", "ns", base);
	put_metric(to, 1, "time.ns_per_event", "ns", base * time_ratio(c, shift));
	put_metric(to, 2, "time.ns_per_event", "ns", 2);
	put_metric(to, 0, "memory.rss_peak_bytes", "bytes", 4e6);
	put_metric(to, 1, "memory.rss_peak_bytes", "bytes",
		   4e6 * (c->aa		    ? 1
			  : c->backend == 3 ? 0.9
					    : 1.1));
	put_metric(to, 0, "memory.faults_per_event", "count", 0.01);
	put_metric(to, 1, "memory.faults_per_event", "count", 0.02);
	fputs("]}\n", to);
	if (fclose(to) != 0) {
		perror(path);
		exit(1);
	}
}

static void put_cell(FILE *to, const struct cell *c, int last)
{
	char label[8];

	label_of(c, label);
	fprintf(to,
		"{\"name\":\"%s\",\"kind\":\"timing\",\"machine\":\"m%d\",\"family\":\"f%02d\","
		"\"trace\":\"/t/f%02d-%d.rht\",\"sha256\":\"%s\",\"events\":100000"
		",\"backend\":\"%s\","
		"\"label\":\"%s\",\"backend_is\":\"%s 1\",\"baseline\":\"libc\",\"baseline_label\":"
		"\"libc\",\"baseline_is\":\"libc "
		"2.36\",\"lanes\":\"1\",\"copies\":\"1\",\"probes\":"
		"\"time,memory\",\"touch\":\"auto\",\"reps\":6,\"passes\":1,\"seed\":1,\"aa\":%s,"
		"\"version\":\"made\"}%s\n",
		c->name, c->machine, c->family, c->family, c->trace, c->sha, label, label, label,
		c->aa ? "true" : "false", last ? "" : ",");
}

int main(int argc, char **argv)
{
	int cells = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	double shift = argc > 4 ? strtod(argv[4], NULL) : 1;
	char path[4096];
	FILE *to;

	if (argc < 4 || cells < 1) {
		fputs("usage: matrix_maker DIR CELLS SEED [SHIFT]\n", stderr);
		return 2;
	}
	state = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
	mkdir(argv[1], 0777);
	snprintf(path, sizeof(path), "%s/cells", argv[1]);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/matrix.json", argv[1]);
	to = fopen(path, "we");
	if (!to) {
		perror(path);
		return 1;
	}
	fputs("{\"schema\":\"reheap.matrix/1\",\"version\":\"made\""
	      ",\"made\":\"2026-01-01T00:00:00Z\","
	      "\"plan\":\"none\",\"machines\":[{\"name\":\"m0\"},{\"name\":\"m1\"}],\"cells\":[\n",
	      to);
	for (int i = 0; i < cells; i++) {
		struct cell c = cell_of(i);

		put_cell(to, &c, i == cells - 1);
		put_result(argv[1], &c, shift);
	}
	fputs("]}\n", to);
	return fclose(to) == 0 ? 0 : 1;
}
