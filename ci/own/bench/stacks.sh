#!/bin/bash
# stacks.sh BUILD_DIR - what tasks cost on each stack backend, beside the goal, and beside the
# Go runtime where `go` is on PATH.
#
# Times are medians of five trials, replay loop included, and want a quiet machine. Growth is
# what the same calls take longer than on a stack that never grows (libc/thread, whose stacks are
# cached). Instructions are callgrind's, of spawn and exit alone, the same on every run.
# TASKS= how many wait at once (1000000; needs 2.5 GB).
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/stacks.sh BUILD_DIR}")
reheap=$build/reheap
tasks=${TASKS:-1000000}
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT

# row WHAT VALUE GOAL UNIT [GO]
row() {
	local verdict
	verdict=$(awk -v v="$2" -v g="$3" 'BEGIN {
		if (v == "" || v + 0 != v) print "absent"
		else print (v <= g ? "ok" : "MISSED") }')
	printf '%-46s %10s  <= %-6s %-14s %-7s %s\n' "$1" "${2:--}" "$3" "$4" "$verdict" "${5:+Go: $5}"
}
plain() {
	printf '%-46s %10s     %-6s %s\n' "$1" "${2:--}" '' "$3"
}

gen() {
	"$reheap" gen "$@" >/dev/null 2>&1 || exit 1
}

# replay TRACE BACKENDS REPS: lines BACKEND METRIC MEDIAN
replay() {
	"$reheap" replay "$1" --backend "$2" --reps "$3" --format csv 2>/dev/null |
		awk -F, 'NR > 1 { print $2, $5, $10 }'
}
# of BACKEND METRIC: from what replay printed
of() {
	awk -v b="$1" -v m="$2" '$1 == b && $2 == m { print $3 }'
}
calc() {
	awk "BEGIN { printf \"${2:-%.0f}\", $1 }" 2>/dev/null
}

# go_figure NAME
go_figure() {
	awk -v n="$1" '$1 == n { print $2 }' "$temp/go" 2>/dev/null
}
: >"$temp/go"
if command -v go >/dev/null; then
	if GO111MODULE=off GOFLAGS= GOCACHE=$temp/cache go build -o "$temp/stacks-go" \
		ci/own/bench/stacks.go 2>"$temp/go.err"; then
		GOMAXPROCS=1 GODEBUG=adaptivestackstart=0 "$temp/stacks-go" >"$temp/go"
		echo "Go runtime: $(go_figure version), GOMAXPROCS=1; its spawn has a scheduler in it"
	else
		echo "Go runtime: absent: the program does not build ($(head -n 1 "$temp/go.err"))"
	fi
else
	echo 'Go runtime: absent: no go on PATH'
fi

gen goroutines shape=recursion depth=16 lanes=1 events=4000000 -o "$temp/pairs.rht"
gen goroutines shape=recursion depth=6800 frame=128 lanes=1 events=2000000 -o "$temp/grow8.rht"
gen goroutines shape=recursion depth=60000 frame=128 lanes=1 events=4000000 -o "$temp/grow64.rht"
gen goroutines shape=parked lanes=1 tasks="$tasks" events=$((4 * tasks)) -o "$temp/parked.rht"
gen hotsplit -o "$temp/hotsplit.rht"

all=tiered/pools,libc/pools,tiered/segmented,libc/thread,libc/heap
replay "$temp/pairs.rht" $all 5 >"$temp/pairs"
for b in ${all//,/ }; do
	ns=$(of "$b" stacks.ns_per_spawn <"$temp/pairs")
	case $b in
	*/pools) row "spawn + exit, $b" "$(calc "$ns" %.1f)" 30 ns "$(go_figure spawn)" ;;
	*) plain "spawn + exit, $b" "$(calc "$ns" %.1f)" ns ;;
	esac
done
if command -v valgrind >/dev/null; then
	gen goroutines shape=recursion depth=16 lanes=1 events=200000 -o "$temp/few.rht"
	"$reheap" replay "$temp/few.rht" --backend tiered/pools --reps 1 --under "valgrind \
		--tool=callgrind --toggle-collect=pools_spawn --toggle-collect=pools_exit \
		--callgrind-out-file=$temp/cg.%p" >/dev/null 2>&1
	most=$(cat "$temp"/cg.* 2>/dev/null | awk '/^totals:/ && $2 > m { m = $2 } END { print m }')
	row 'spawn + exit, tiered/pools' "$(calc "${most:-0} / 100000" %.1f)" 40 instructions
else
	plain 'spawn + exit, tiered/pools' - 'instructions: absent: no valgrind'
fi

# growth TRACE WHAT GOAL GO
growth() {
	local still
	replay "$temp/$1.rht" libc/thread,tiered/pools,libc/pools,libc/heap 5 >"$temp/$1"
	still=$(of libc/thread stacks.ns_per_spawn <"$temp/$1")
	for b in tiered/pools libc/pools libc/heap; do
		local ns
		ns=$(of $b stacks.ns_per_spawn <"$temp/$1")
		if [ $b = libc/heap ]; then
			plain "growth $2, $b" "$(calc "${ns:-0} - ${still:-0}")" ns
		else
			row "growth $2, $b" "$(calc "${ns:-0} - ${still:-0}")" "$3" ns "$4"
		fi
	done
}
growth grow8 '2 -> 8 KiB' 1400 "$(go_figure grow8)"
growth grow64 '2 -> 64 KiB' 7800 "$(go_figure grow64)"

replay "$temp/parked.rht" tiered/pools,libc/pools,libc/heap 1 >"$temp/parked"
for b in tiered/pools libc/pools; do
	bytes=$(of $b stacks.rss_bytes_per_task <"$temp/parked")
	row "resident bytes a task of $tasks, $b" "$(calc "${bytes:-0}")" 2200 bytes \
		"$(go_figure parked)"
done
plain "resident bytes a task of $tasks, libc/heap" \
	"$(calc "$(of libc/heap stacks.rss_bytes_per_task <"$temp/parked")")" bytes

"$reheap" replay "$temp/hotsplit.rht" --backend tiered/pools,tiered/segmented --reps 3 \
	-o "$temp/hotsplit.json" >/dev/null 2>&1
"$reheap" plot "$temp/hotsplit.json" -o "$temp/plots" >/dev/null 2>&1
# each depth has two points here: the lower of two neighbours is the one nothing disturbed
awk -F'\t' 'NR > 1 && $6 == 0 {
	x = int($7 / 512)
	if (!((x, $4) in low) || $10 < low[x, $4]) low[x, $4] = $10
	depth[x]; name[$4]
} END {
	for (b in name) {
		n = 0
		for (x in depth) if ((x, b) in low) { v[n++] = low[x, b] }
		for (i = 0; i < n; i++) for (j = i + 1; j < n; j++)
			if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
		printf "%-46s %10.1f     %-6s ns at most, %.1f in the middle\n", \
			"hot split, a call by depth, " b, v[n - 1], "", v[int(n / 2)]
	}
}' "$temp/plots/hot-split.tsv" 2>/dev/null
