#!/bin/bash
# whatif.sh BUILD - `reheap whatif` against programs that really ran with those settings: part of `make bench-go`.
#
# Go programs are recorded once with GOGC=100; from that trace `reheap whatif` predicts how many
# collections other settings make and how high the heap gets, for the program without a recorder.
# Then each program runs again under each setting, RUNS= times (3; the median counts), without
# one: GODEBUG=gctrace=1 says what happened, in whole MiB, so half a one is added. Both sides count
# the heap where collections end; without a collection there is no such line, and no peak.
# A prediction is near when collections are within 20 % (or one) and the peak within 10 % (or half a MiB).
# The programs do the same work each time; when a collection begins depends on the machine.
# Tuning: programs of the corpus, on which constants of the model were chosen. Report: tests of Go's library.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:-build}")
runs=${RUNS:-3}
go=$(command -v go || echo /usr/local/go/bin/go)
if ! [ -x "$go" ] || ! "$go" version | grep -q -E 'go1\.(2[4-9]|[3-9][0-9])'; then
	echo "bench-go: whatif is skipped, Go 1.24 or later is not on PATH"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r traces/corpus/go/go.mod traces/corpus/go/*/ "$work"
export GOTOOLCHAIN=local GOCACHE=${GOCACHE:-$work/cache}
source=$("$go" env GOROOT)/src
for program in parser workers recursion; do
	(cd "$work" && GOFLAGS=-mod=mod "$go" build -o "$work/bin/$program" "./$program") || exit 1
done
for package in encoding/json go/types go/printer; do
	"$go" test -c -o "$work/bin/${package#*/}.test" "$package" || exit 1
done

# arguments PROGRAM TRACE: its words; an empty TRACE: none is written
arguments() {
	words=("$work/bin/$1" "$2") folder=$work
	case $1 in
	parser) words+=(3 "$source/go/ast" "$source/net/textproto" "$source/encoding/json" "$source/strings" "$source/sort") ;;
	workers) words+=(40000) ;;
	recursion) words+=(20) ;;
	json) words=("$work/bin/json.test" -test.run none -test.bench 'CodeUnmarshal$' -test.benchtime 60x) folder=$source/encoding/json ;;
	types) words=("$work/bin/types.test" -test.run 'TestFixedbugs|TestCheck') folder=$source/go/types ;;
	printer) words=("$work/bin/printer.test" -test.run none -test.bench . -test.benchtime 300x) folder=$source/go/printer ;;
	esac
	[[ ${words[0]} != *.test ]] || [ -z "$2" ] || words+=(-test.trace "$2")
}

# record PROGRAM: its trace
record() {
	arguments "$1" "$work/raw"
	(cd "$folder" && GOGC=100 "$build/reheap" record-go -o "$work/$1.rht" --trace-file "$work/raw" -- "${words[@]}") \
		>"$work/err" 2>&1 || { cat "$work/err" >&2; return 1; }
}

# again PROGRAM GOGC LIMIT: collections and peak in MiB of one more run
again() {
	arguments "$1" ''
	(cd "$folder" && GOGC=$2 GOMEMLIMIT=${3/M/MiB} GODEBUG=gctrace=1 "${words[@]}" 2>&1 >/dev/null) |
		awk '/^gc [0-9]+ @/ { n++; split($0, a, "->"); if (a[2] + 0.5 > peak) peak = a[2] + 0.5 } END { print n + 0, peak + 0 }'
}

median() {
	cut -d' ' -f"$1" "$work/were" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# predict PROGRAM GOGC LIMIT: collections, peak in MiB where they end, and whether it said that this is a guess
predict() {
	"$build/reheap" whatif "$work/$1.rht" --gogc "$2" --memlimit "$3" --json | tr -d ' ,"' | awk -F: '
		$1 == "answers" { on = 1 }
		on && $1 == "collections" { c = $2 }
		on && $1 == "peak_ended_bytes" { p = $2 }
		on && ($1 == "little_room" || $1 == "cpu_limited") && $2 == "true" { note = "guess" }
		END { printf "%d %.1f %s\n", c, p / 1048576, note }'
}

# compare PROGRAM GOGC LIMIT: one row; returns 0 when it is near
compare() {
	local cycles peak note were was verdict
	read -r cycles peak note <<<"$(predict "$@")"
	for ((i = 0; i < runs; i++)); do
		again "$1" "$2" "$3" || exit 1
	done >"$work/were"
	were=$(median 1) was=$(median 2)
	verdict=$(awk -v c="$cycles" -v w="$were" -v p="$peak" -v q="$was" '
		function off(a, b) { return a > b ? a - b : b - a }
		BEGIN {
			c_near = off(c, w) <= 1 || off(c, w) <= 0.2 * w
			p_near = !c || !w || off(p, q) <= 0.1 * q || off(p, q) <= 0.5
			print c_near && p_near ? "near" : c_near ? "peak is off" : p_near ? "collections are off" : "off"
		}')
	[ "$verdict" = near ] || [ -z "$note" ] || verdict="$verdict (it said: a guess)"
	printf '%-10s %6s %10s  %12s %11s  %18s %11s  %s\n' "$1" "$2" "$3" "$cycles" "$were" "$peak" "$was" "$verdict"
	[ "$verdict" = near ]
}

for half in 'tuning parser workers recursion' 'report json types printer'; do
	read -r -a programs <<<"$half"
	near=0 rows=0
	printf '%-10s %6s %10s  %24s  %30s\n' "${programs[0]}" GOGC GOMEMLIMIT 'collections: said, were' \
		'peak heap, MiB: said, was'
	for program in "${programs[@]:1}"; do
		record "$program" || exit 1
		for setting in '50 off' '100 off' '200 off' '400 off' 'off off' 'off 24M' 'off 48M' '100 24M'; do
			read -r gogc limit <<<"$setting"
			rows=$((rows + 1))
			compare "$program" "$gogc" "$limit" && near=$((near + 1))
		done
	done
	echo "${programs[0]}: $near of $rows settings are near: collections within 20 % or one, peak within 10 %."
done
