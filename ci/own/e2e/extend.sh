#!/bin/bash
# The cost of an extension: the lists at the top of the interface headers are followed to the letter
# in a copy of the tree. Each skeleton below is all the new code; it must build without a warning
# with the files that its list names, and then appear where users look. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$build" = "$root/build" ] || skip_all 'one build of the copy is enough: the plain one in build/'
[ -f "$build/libreheap.a" ] || skip_all 'this build has no objects to start from'
command -v make >/dev/null && command -v cc >/dev/null || skip_all 'there is no compiler here'

# Objects and times are kept, so that only what a change touches is compiled again.
mkdir -p copy/build
for part in Makefile LICENSE README.md alloc traces harness plots ci; do
	cp -a "$root/$part" copy/ || exit 1
done
for part in obj gen liballoc.a libreheap.a reheap reheap-worker libreheap-record.so libreheap-mutex.so; do
	cp -a "$build/$part" copy/build/ || exit 1
done
cd copy || exit 1

# Files that a skeleton changes are compiled without optimisation: they must build, not run fast.
make_copy() {
	CCACHE_DISABLE=1 make -j2 -s NO_DEPS=1 DEVELOPER=1 CFLAGS=-O0 "$@" >"$temp/make.log" 2>&1 || {
		tail -n 20 "$temp/make.log"
		return 1
	}
}

# listed HEADER FILE...: the list "To add ..." of the header names each of the files
listed() {
	local header=$1 list file
	shift
	list=$(sed -n '/[Tt]o add /,/\*\//p' "$header")
	for file in "$@"; do
		grep -q -F "$file" <<<"$list" || { echo "$header does not name $file"; return 1; }
	done
}

# row FILE BEFORE TEXT: puts a line before the first that has BEFORE in it
row() {
	before=$2 text=$3 awk '!done && index($0, ENVIRON["before"]) { print ENVIRON["text"]; done = 1 }
		{ print }
		END { exit !done }' "$1" >"$temp/row" && cat "$temp/row" >"$1" ||
		echo "# $1 has no line with $2"
}

# ---- a generator: one file and one row ----
cat >traces/gen/skeleton.c <<'END'
#include "traces/gen/emitter.h"

struct skeleton_opts {
	struct rh_gen_common common;
};
static const struct rh_opt options[] = {
	RH_GEN_OPTS(skeleton_opts, "1", "100", "events in all"),
	{ .name = NULL },
};
static int run(const void *opts, struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_gen gen;

	if (rh_gen_open(&gen, opts, out, err) < 0)
		return -1;
	rh_gen_threads_start(&gen, 1);
	rh_gen_threads_join(&gen, 1);
	return rh_gen_close(&gen, err);
}
extern const struct rh_generator rh_gen_skeleton;
const struct rh_generator rh_gen_skeleton = {
	.name = "skeleton",
	.summary = "one thread that ends",
	.stresses = "nothing",
	.opts = options,
	.opts_bytes = sizeof(struct skeleton_opts),
	.columns = RH_COL_TASK,
	.run = run,
};
END
row traces/gen/gen.c 'const struct rh_generator *const rh_generators' \
	'extern const struct rh_generator rh_gen_skeleton;'
row traces/gen/gen.c '&rh_gen_slices,' '	&rh_gen_skeleton,'
ok 'the list of generators names its files' listed traces/gen/gen.h traces/gen/gen.c traces/gen/emitter.h

# ---- an importer: one file, one row, one test ----
cat >traces/import/skeleton.c <<'END'
#include "traces/import/import.h"

static unsigned likeness(const char *bytes, size_t count)
{
	return count > 9 && strncmp(bytes, "skeleton\n", 9) == 0 ? 90 : 0;
}
static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	uint64_t address = 0;
	ssize_t length;
	char *line;

	(void)opts;
	(void)out;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	while ((length = rh_input_line(input, &line, err)) >= 0)
		if (rh_build_count(build, "drop.skeleton", 1), ++address > 1 &&
		    rh_build_alloc(build, 1, RH_BLOCK(address * 16, 8, 0, 0), err) < 0)
			return -1;
	return length == RH_INPUT_END ? 0 : -1;
}
extern const struct rh_importer rh_import_skeleton;
const struct rh_importer rh_import_skeleton = {
	.name = "skeleton",
	.summary = "lines, each a block of 8 bytes",
	.looks_like = "skeleton",
	.likeness = likeness,
	.run = run,
};
END
sed -i '2i #include <string.h>' traces/import/skeleton.c
row traces/import/import.c 'const struct rh_importer *const rh_importers' \
	'extern const struct rh_importer rh_import_skeleton;'
row traces/import/import.c '&rh_import_text,' '	&rh_import_skeleton,'
cat >traces/test/test_import_skeleton.c <<'END'
#include "traces/test/import_support.h"

static void test_drops(void **state)
{
	(void)state;
	ik_import_text("skeleton", "skeleton\na\nb\n");
	expect_ok(ik.rc, &ik.err);
	assert_int_equal(ik_note("drop.skeleton"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_drops) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
END
ok 'the list of importers names its files' listed traces/import/import.h traces/import/ \
	traces/import/import.c traces/test/test_import_

# ---- a backend with a knob: one file, its declaration and one row; no file for the knob ----
sed -e 's/\bnull_/skeleton_/g; s/rh_backend_null/rh_backend_skeleton/; s/"null"/"skeleton"/' \
	-e 's/^const struct rh_backend /struct knobs { uint64_t bones; };\
static const struct rh_opt knob_rows[] = {\
	{ "bones", 0, RH_OPT_UINT, offsetof(struct knobs, bones), "206", .min = 1, .max = 300,\
	  .arg = "N", .help = "how many" },\
	{ .name = NULL },\
};\
\
&/; s/^\t\.open = /\t.knobs = knob_rows,\n\t.knobs_bytes = sizeof(struct knobs),\n&/' \
	alloc/heap/null.c >alloc/heap/skeleton.c
row alloc/registry.h 'extern const struct rh_backend rh_backend_bump' \
	'extern const struct rh_backend rh_backend_skeleton;'
row alloc/registry.c '&rh_backend_tiered,  NULL' '	&rh_backend_skeleton,'
ok 'the list of backends names its files' listed alloc/backend.h alloc/heap/ alloc/registry.h \
	alloc/registry.c
ok 'the list of knobs names its files' listed alloc/base/opt.h alloc/backend.h

# ---- a figure: one file and one row ----
cat >plots/figure/figures_skeleton.c <<'END'
#include "plots/figure/figures_parts.h"

void rh_build_skeleton(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_skeleton(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "skeleton", RH_ROWS,
						   RH_PANELS_MAX, RH_PANELS_MAX * view->style_count);
	struct rh_trial_span span = { 0 };

	(void)which;
	figure->title = "Bones";
	figure->x_text = "ns per event";
	for (size_t s = 0; s < view->scene_count; s++)
		rh_figure_rows(view, figure, s,
			       &(struct rh_rows){ .metric = "time.ns_per_event",
						  .panel_name = view->scenes[s].label },
			       &span);
	figure->note = rh_span_note(view, &span);
	figure->caption = rh_figure_caption(view, view->scene_count, "Bones");
	if (figure->panel_count == 0)
		figure->absent_why = "no times";
}
END
row plots/figure/figures.c 'static const struct builder' \
	'void rh_build_skeleton(const struct rh_view *view, struct rh_figures *figures, int which);'
row plots/figure/figures.c '{ build_rows, TIME_RATIO }' '	{ rh_build_skeleton, 0 },'
ok 'the list of figures names its files' listed plots/figure/figure.h plots/figure/figures_NAME.c \
	plots/figure/figures.c

# ---- a probe: three files ----
cat >harness/probe/probe_skeleton.c <<'END'
#include "harness/probe/probe.h"

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	(void)err;
	rh_probe_reading(run, "skeleton.lanes", run->life->lanes);
	return 0;
}

const struct rh_probe rh_probe_skeleton = {
	.name = "skeleton",
	.summary = "counts lanes",
	.source = "own",
	.end = end,
};
END
row harness/probe/probe.h '	P(callgrind)' '	P(skeleton)  \'
row harness/result/fields_metrics.h '	M("pace.lag_p50"' '	M("skeleton.lanes", "count", "own", "none", "lanes") \'
ok 'the list of probes names its files' listed harness/probe/probe.h harness/probe/probe_NAME.c \
	harness/probe/probe.h harness/result/fields_metrics.h

ok 'all of them build without a warning' make_copy build/reheap build/reheap-worker \
	build/test/traces/test/test_import_skeleton
ok 'the copy is a build of its own' fails cmp -s build/reheap "$reheap"
reheap=$PWD/build/reheap
for kind in generators importers backends probes; do
	is_exit 0 "list $kind" "$reheap" list $kind
	ok "  has the new one" grep -q -w skeleton "$temp/.out"
done
ok 'the test of the importer passes' build/test/traces/test/test_import_skeleton
is_exit 0 'the generator makes a trace' "$reheap" gen skeleton -o "$temp/s.rht"
is_exit 0 'a replay through the backend, with the knob and the probe' "$reheap" replay "$temp/s.rht" \
	--backend skeleton:bones=7 --probes skeleton --reps 2 -q -o "$temp/r.json"
ok 'the result has the reading' grep -q '"skeleton.lanes"' "$temp/r.json"
is_exit 2 'a value out of bounds is refused' "$reheap" replay "$temp/s.rht" --backend skeleton:bones=301
is_exit 0 'the schema knows the metric' "$reheap" list metrics
ok '  by its name' grep -q 'skeleton.lanes' "$temp/.out"
is_exit 0 'a report' "$reheap" plot plots/test/fixture.json -o "$temp/drawn"
ok 'has the figure, on the page and as numbers' eval \
	'grep -q Bones "$temp/drawn/report.html" && grep -q . "$temp/drawn/skeleton.tsv"'

# ---- an event: its list names every file with a case for a kind of event ----
# shellcheck disable=SC2046  # names of files without blanks
ok 'the list of events names every file with a case for a kind of event' listed traces/format/event.h \
	$(grep -rlE 'case RH_EV_[A-Z_]+:' --include='*.c' --include='*.inc' alloc traces harness plots |
		grep -v /test/)
finish
