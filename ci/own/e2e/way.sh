#!/bin/bash
# The whole way, from a generated trace to a report and a comparison.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# A profile and its words that make it small.
for profile in $("$reheap" list generators | sed -n 's/^  \([a-z-]*\) *present.*/\1/p'); do
	ok "gen $profile" "$reheap" gen "$profile" -o "$profile.rht" events=20000 lanes=2 seed=7
	"$reheap" gen "$profile" -o again.rht events=20000 lanes=2 seed=7 >/dev/null 2>&1
	ok "gen $profile gives the same bytes for the same seed" cmp "$profile.rht" again.rht
	ok "info $profile" "$reheap" info "$profile.rht"
	"$reheap" export text "$profile.rht" >text.1 2>/dev/null
	"$reheap" import text text.1 -o back.rht >/dev/null 2>&1
	"$reheap" export text back.rht 2>/dev/null >text.2
	# notes differ: the second one says where it was imported from
	grep -v '^note ' text.1 >events.1
	grep -v '^note ' text.2 >events.2
	ok "events are the same after text and back for $profile" cmp events.1 events.2
done
ok 'info --json is JSON' bash -c "'$reheap' info --json server.rht | head -c 1 | grep -q '{'"

is_exit 0 'replay on three backends' "$reheap" replay server.rht --backend libc,null,bump \
	--reps 5 --lanes 1,2 -o a.json
ok 'the table names each' grep -q bump "$temp/.out"
ok 'the result has its schema' grep -q '"reheap.result/1"' a.json
ok 'the trials are all there' test "$(grep -o '"wall_ns": *[0-9]' a.json | wc -l)" -ge 30
is_exit 0 'replay again' "$reheap" replay server.rht --backend libc,null,bump --reps 5 \
	--lanes 1,2 -o b.json --seed 2
for format in json csv md; do
	ok "replay --format $format" "$reheap" replay churn.rht --backend libc --reps 1 \
		--format $format
done

is_exit 0 'plot' "$reheap" plot a.json -o drawn
cp "$temp/.err" "$temp/.plot"
ok 'more lanes than were recorded cannot run, which is said' bash -c "'$reheap' replay churn.rht --backend null \
	--reps 1 --lanes 8 2>&1 | grep -q 'churn.rht: recorded on 2 lanes, so that is the most'"
ok '  and is not said when they can' bash -c "! '$reheap' replay churn.rht --backend null --reps 1 --lanes 2 2>&1 |
	grep -q 'recorded on'"
for figure in time-ratio ns-per-event memory-peak memory-run lanes; do
	ok "$figure has its .svg, .tsv and .gp" test -s drawn/$figure.svg -a -s drawn/$figure.tsv \
		-a -s drawn/$figure.gp
done
ok 'that figures are left out is said' grep -qE '[0-9]+ figures are not drawn' "$temp/.plot"
is_exit 0 'plot -v' "$reheap" plot a.json -v -o drawn
ok 'a figure without data is left out with the reason' grep -q 'no latency: ' "$temp/.err"
ok 'the report opens with a verdict' grep -q -E 'libc' drawn/report.html
is_exit 0 'compare two runs' "$reheap" compare a.json b.json
ok 'compare gives verdicts' grep -q -E 'faster|slower|same|cannot tell' "$temp/.out"
is_exit 0 'compare --format md' "$reheap" compare --format md a.json b.json
ok 'which is a table' grep -q '^|---' "$temp/.out"
is_exit 0 'compare --format json' "$reheap" compare --format json a.json b.json
is_exit 2 'compare needs two' "$reheap" compare a.json
"$reheap" replay churn.rht --backend libc --reps 1 -o c.json >/dev/null 2>&1
is_exit 4 'compare refuses results that share nothing' "$reheap" compare a.json c.json
finish
