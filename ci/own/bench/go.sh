#!/bin/bash
# go.sh BUILD - one sequence of allocations inside Go and through reheap: `make bench-go`.
#
# The Go side is traces/corpus/go/sequence, which times itself. Our side replays the same sequence,
# written by the same program: object by object the same sizes, and a death where the program
# overwrites the last pointer. All figures are CPU time of all threads per allocation, so that
# what is freed or collected is in them, and other work on the machine is not.
# COUNT= allocations (2000000), REPS= runs of each (5; the median counts). Then whatif.sh.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:-build}")
count=${COUNT:-2000000}
reps=${REPS:-5}
go=$(command -v go || echo /usr/local/go/bin/go)
if ! [ -x "$go" ] || ! "$go" version | grep -q -E 'go1\.(2[3-9]|[3-9][0-9])'; then
	echo "bench-go: skipped, Go 1.23 or later is not on PATH"
	exit 0
fi
version=$("$go" version | cut -d' ' -f3)
profile=1.22
[[ $version =~ ^go1\.(2[6-9]|[3-9][0-9]) ]] && profile=1.26
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r traces/corpus/go/go.mod traces/corpus/go/sequence "$work"
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE=${GOCACHE:-$work/cache}
(cd "$work" && "$go" build -o sequence-bin ./sequence) || exit 1

oracle=tiered:profile=$profile:gc=oracle/pools:profile=$profile
explicit=tiered:profile=$profile/pools:profile=$profile
"$work/sequence-bin" "$count" - | "$build/reheap" import text - -o "$work/s.rht" >/dev/null ||
	exit 1
for ((i = 0; i < reps; i++)); do
	GOMAXPROCS=1 GOGC=100 "$work/sequence-bin" "$count" >>"$work/go" || exit 1
done
"$build/reheap" replay "$work/s.rht" --reps "$reps" --format csv \
	--backend "$oracle,$explicit,libc/none,jemalloc/none" >"$work/r.csv" 2>"$work/r.err"
"$build/reheap" replay "$work/s.rht" --reps 1 --stats --backend "$oracle" >"$work/stats" 2>&1

# go_figure NAME: median of the runs
go_figure() {
	awk -v n="$1" '$1 == n { print $2 }' "$work/go" | sort -g | awk '{ v[NR] = $1 }
		END { print v[int((NR + 1) / 2)] }'
}
# figure BACKEND METRIC
figure() {
	awk -F, -v b="$1" -v m="$2" '$2 == b && $5 == m { print $10 }' "$work/r.csv"
}
events=$("$build/reheap" info "$work/s.rht" --json | tr -d ' ,"' |
	awk -F: '$1 == "count" { print $2; exit }')
# each NS_PER_EVENT: per allocation
each() {
	awk -v a="$1" -v e="$events" -v c="$count" 'BEGIN { printf "%.1f", a * e / c }'
}
null=$(figure null time.cpu_ns_per_event)

cat <<TEXT
$count allocations, 8192 alive: three in four a pair of pointers, the fourth 16 to 1039 bytes
without; each dies when its place is taken. $version on one P, GOGC=100, against
$("$build/reheap" --version | head -n 1), one lane, median of $reps.

Compared: CPU ns per allocation, its share of freeing, sweeping and collecting in it, less
the same loop without allocations (Go: $(go_figure floor_ns) ns; ours, the null backend: $(each \
	"$null") ns).
Peak memory: what came on top of the program before its first allocation (Go), the pages of
the allocator (ours).
Not comparable: Go finds dead objects by marking, ours are freed by the trace, so the line to
compare ours with is "without marking". Go zeroes every byte, ours writes the first 8. Objects
that Go allocates while it marks survive that cycle, but our marking takes no time: Go has fewer
cycles and more heap.

TEXT
row() {
	printf '%-46s %8s %9s %7s %12s\n' "$@"
}
row '' 'ns each' 'marking' cycles 'peak KiB'
ns=$(awk -v a="$(go_figure ns)" -v b="$(go_figure floor_ns)" 'BEGIN { printf "%.1f", a - b }')
share=$(go_figure marking_share)
row "Go" "$ns" "$(awk -v s="$share" 'BEGIN { printf "%.0f %%", 100 * s }')" \
	"$(go_figure cycles)" "$(go_figure rss_kib)"
row "Go without marking" "$(awk -v n="$(go_figure ns)" -v f="$(go_figure floor_ns)" -v s="$share" \
	'BEGIN { printf "%.1f", n * (1 - s) - f }')" - - -
for backend in "$oracle" "$explicit" libc/none jemalloc/none; do
	ns=$(figure "$backend" time.cpu_ns_per_event)
	ns=$([ -n "$ns" ] && each "$(awk "BEGIN { print $ns - $null }")" || echo absent)
	cycles=-
	[ "$backend" = "$oracle" ] && cycles=$(awk '$1 == "NumGC" { gsub(",", "", $2); print $2; exit }' "$work/stats")
	row "$backend" "$ns" - "$cycles" \
		"$(figure "$backend" memory.rss_peak_bytes | awk '{ printf "%.0f", $1 / 1024 }')"
done
grep -h -E 'absent' "$work/r.err" || true

ci/own/bench/whatif.sh "$build"
