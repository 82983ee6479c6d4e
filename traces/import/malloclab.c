/*
 * malloclab.c - the .rep files of the malloc lab that many universities set.
 *
 * Header lines of one number each, then `a ID SIZE`, `r ID SIZE`, `f ID`, one thread. The
 * first line that is not a number ends the header. Of headers there are:
 *
 *	old	heap hint, ids, ops, weight	(four; the weight is 0 to 3)
 *	new	weight, ids, ops, most bytes live
 *	short	ids, ops			(two)
 *
 * Of any other length only the lines count. `r` keeps its id: the object ends and another of
 * the same name begins. `f -1` stands for free(NULL). Ids are names, so an id may be used
 * again after its free. Where the header's count of operations is not that of the lines (a
 * file cut off, or the work of a careless script) the lines count, and repair.header_ops says
 * by how much they differ.
 */
#include "traces/import/lines.h"

#include <string.h>

#include "traces/import/scan.h"

enum { THREAD = 0, WEIGHT_MAX = 3, HEADER_MAX = 16, HEADER_LONG = 4, HEADER_SHORT = 2 };

struct line {
	char letter; /* 0: a header number */
	bool null;   /* f -1 */
	uint64_t id, size;
};

struct lab {
	struct rh_build *build;
	uint64_t header[HEADER_MAX];
	unsigned header_count;
	uint64_t ops;
};

static const char *scan_operation(const char **at, struct line *line)
{
	if (!memchr("arf", line->letter, 3))
		return "it begins with none of a, r, f";
	(*at)++;
	if (**at != ' ' && **at != '\t')
		return "no blank after the first letter";
	scan_blanks(at);
	line->null = line->letter == 'f' && scan_text(at, "-1");
	if (line->null)
		return NULL;
	if (!scan_decimal(at, &line->id) || line->id == UINT64_MAX)
		return "no id";
	if (line->letter == 'f')
		return NULL;
	scan_blanks(at);
	return scan_decimal(at, &line->size) ? NULL : "no size";
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;

	*line = (struct line){ 0 };
	scan_blanks(at);
	if (scan_decimal(at, &line->size)) {
		scan_blanks(at);
		return **at == '\0' || **at == '#' ? NULL : "a number of the header stands alone";
	}
	line->letter = **at;
	return scan_operation(at, line);
}

static int put_header(struct lab *lab, uint64_t number, const char **why)
{
	if (lab->ops || lab->header_count == HEADER_MAX) {
		*why = lab->ops ? "a number alone belongs into the header"
				: "the header has more than 16 numbers";
		return RH_LINE_TORN;
	}
	lab->header[lab->header_count++] = number;
	rh_build_count(lab->build, "drop.header_line", 1);
	return 0;
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct lab *lab = ctx;
	const struct line *line = record;

	if (!line->letter)
		return put_header(lab, line->size, why);
	if (!lab->header_count) {
		*why = "there is no header of numbers before it";
		return RH_LINE_TORN;
	}
	if (!scan_size_fits(1, line->size, why))
		return RH_LINE_TORN;
	lab->ops++;
	/* Ids count from 0, and address 0 means no block: names are the ids plus one. */
	if (line->letter == 'a')
		return rh_build_alloc(lab->build, THREAD,
				      RH_BLOCK(.address = line->id + 1, .size = line->size), err);
	if (line->letter == 'f')
		return rh_build_free(lab->build, THREAD, line->null ? 0 : line->id + 1, RH_NONE,
				     err);
	return rh_build_realloc(lab->build, THREAD, line->id + 1,
				RH_BLOCK(.address = line->id + 1, .size = line->size), err);
}

/* The count of operations in the header; RH_NONE where it is not known which that is. */
static uint64_t promised(const struct lab *lab)
{
	if (lab->header_count == HEADER_LONG)
		return lab->header[2];
	return lab->header_count == HEADER_SHORT ? lab->header[1] : RH_NONE;
}

static const char *const marks[] = { "a ", "r ", "f ", NULL };

static const struct rh_line_form form = {
	.what = "a malloclab trace line",
	.marks = marks,
	.starts = "arf",
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	struct line first;

	if (!rh_lines_first(&form, bytes, count, &first))
		return 0;
	return rh_lines_likeness(&form, bytes, count) * 9 / 10;
}

static int note_weight(const struct lab *lab, struct rh_trace_out *out, struct rh_err *err)
{
	uint64_t weight;

	if (lab->header_count != HEADER_LONG)
		return 0;
	weight = lab->header[lab->header[3] <= WEIGHT_MAX ? 3 : 0];
	return weight <= WEIGHT_MAX ? rh_trace_add_count(out, "malloclab.weight", weight, err) : 0;
}

static int import_malloclab(struct rh_input *input, const void *opts, struct rh_build *build,
			    struct rh_trace_out *out, struct rh_err *err)
{
	struct lab lab = { .build = build };
	uint64_t ops;

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &lab }, err) < 0)
		return -1;
	if (lab.ops == 0)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: there are numbers of a header in it, and no operation",
			       rh_input_path(input));
	ops = promised(&lab);
	if (ops != RH_NONE && ops != lab.ops)
		rh_build_count(build, "repair.header_ops",
			       ops > lab.ops ? ops - lab.ops : lab.ops - ops);
	return note_weight(&lab, out, err);
}

const struct rh_importer rh_import_malloclab = {
	.name = "malloclab",
	.summary = "malloc lab .rep files, whatever their header",
	.looks_like = "a 0 2040",
	.likeness = likeness,
	.run = import_malloclab,
};
