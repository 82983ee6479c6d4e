#!/bin/bash
# The Android traces, when they are beside the checkout: every line accounted for, sizes and waits
# within what the format promises, replay and report from start to end.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
data=$shared/data/android
[ -f "$data/systemui.zip" ] || skip_all "the Android traces are not in ../shared/data/android"

# accounts NAME LINES: events + drops of the import are the lines of the file
accounts() {
	local events dropped
	"$reheap" import android "$data/$1.zip" -o "$1.rht" >"$1.txt" 2>&1
	ok "import of $1" test -s "$1.rht"
	"$reheap" info "$1.rht" >"$1.info" 2>/dev/null
	# Lanes starting has no line in the source; threads ending and all else has one.
	events=$(awk '/^events/ { n = $2 } $1 == "lane_start" { s = $2 } END { print n - s }' "$1.info")
	dropped=$(awk '$1 ~ /^(drop\.|import\.skipped)/ { n += $2 } END { print n + 0 }' "$1.info")
	lines=$(awk '$1 == "import.lines" { print $2 }' "$1.info")
	ok "$1 has $2 lines" test "$lines" = "$2"
	ok "$1: $events events + $dropped drops are its lines" test $((events + dropped)) = "$2"
}
# Lines of a zip with one member, counted without our own reader.
unzip_lines() {
	{ bsdtar -xOf "$data/$1.zip" || unzip -p "$data/$1.zip" || busybox unzip -p "$data/$1.zip"; } \
		2>/dev/null | wc -l
}
# at_most WHAT VALUE LIMIT
at_most() {
	ok "$1: $2 <= $3" awk -v v="$2" -v m="$3" 'BEGIN { exit !(v + 0 <= m + 0) }'
}
per_event() {
	local events
	events=$(awk '/^events/ { print $2 }' "$1.info")
	awk -v b="$(stat -c %s "$1.rht")" -v e="$events" 'BEGIN { printf "%.4f", b / e }'
}
waits() {
	sed -n 's/.* waits after pruning (\([0-9.]*\)%.*/\1/p' "$1.info"
}

accounts systemui 786454
if command -v bsdtar >/dev/null || command -v unzip >/dev/null; then
	accounts surfaceflinger "$(unzip_lines surfaceflinger)"
else # as counted elsewhere by unzip
	accounts surfaceflinger 2455240
fi
at_most 'bytes per event of systemui' "$(per_event systemui)" 0.40
at_most 'bytes per event of surfaceflinger' "$(per_event surfaceflinger)" 0.16
at_most 'waits of systemui, % of events' "$(waits systemui)" 1.3
at_most 'waits of surfaceflinger, % of events' "$(waits surfaceflinger)" 0.8

"$reheap" replay systemui.rht --backend null,libc,jemalloc,mimalloc,tcmalloc --reps 5 -o s.json \
	>table 2>&1
code=$?
ok "replay on five backends (exit $code)" test $code = 0 -o $code = 6
ok 'with a table' grep -q libc table
is_exit 0 'plot' "$reheap" plot s.json -o s
ok 'with a report' test -s s/report.html
for backend in libc tiered; do
	is_exit 0 "$backend passes --verify on systemui" "$reheap" replay systemui.rht \
		--backend $backend --verify --reps 1
done
is_exit 0 'all recorded lanes can be replayed' "$reheap" replay systemui.rht --backend libc \
	--lanes recorded --reps 1
finish
