#!/bin/bash
# demo.sh BUILD_DIR [full] - the first minute: a few recorded programs through the allocators that
# people deploy and the tiered heap, one matrix on the screen, one report.
#
# Without `full`: four traces of the corpus, time and memory, about half a minute on two cores.
# With `full`: every trace of the corpus and four generated ones, all allocators, all probes.
# OUT= is the folder for results and report (BUILD_DIR/demo). Timing on a busy machine is noisy; the
# intervals show how much.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: ci/own/demo.sh BUILD_DIR [full]}
full=${2:-}
reheap=$build/reheap
out=${OUT:-$build/demo}
began=$(date +%s%N)
mkdir -p "$out"

seconds_since() {
	echo $((($(date +%s%N) - $1) / 1000000000))
}

# The slowest step is named at the end.
slowest= slowest_s=-1
step_done() {
	local took
	took=$(seconds_since "$2")
	if [ "$took" -gt "$slowest_s" ]; then
		slowest=$1 slowest_s=$took
	fi
}

# An allocator that is not installed makes replay end with 6, and it says which and why.
worst=0
replay() {
	local code
	"$reheap" replay "$@"
	code=$?
	if [ $code != 0 ] && [ $code != 6 ]; then
		echo "demo: this ended with exit $code: reheap replay $*" >&2
		worst=$code
	fi
}

generate() {
	"$reheap" gen "$1" -o "$out/$1.rht" seed=1 events="$2" "${@:3}" >/dev/null || exit 1
	traces+=("$out/$1.rht")
}

results=()
if [ "$full" = full ]; then
	traces=(traces/corpus/*.rht)
	generate server 600000 lanes=2 heap=16M
	generate producer-consumer 600000 lanes=2
	generate sawtooth 600000 lanes=2 heap=16M
	backends=libc,jemalloc,mimalloc,tcmalloc,tbbmalloc,scudo,tiered
	for trace in "${traces[@]}"; do
		at=$(date +%s%N) name=$(basename "$trace" .rht)
		replay "$trace" --backend "$backends" --reps "${REPS:-7}" --probes all \
			-o "$out/$name.json"
		step_done "replay of $name" "$at"
		[ ! -s "$out/$name.json" ] || results+=("$out/$name.json")
	done
	"$reheap" gen churn -o "$out/churn.rht" seed=1 events=300000 lanes=1 >/dev/null || exit 1
	replay "$out/churn.rht" --backend "$backends" --reps "${REPS:-7}" --probes all \
		--copies 1,2 -o "$out/churn.json"
	[ ! -s "$out/churn.json" ] || results+=("$out/churn.json")
else
	traces=()
	for name in sqlite python redis cc1plus; do
		traces+=("traces/corpus/$name.rht")
	done
	at=$(date +%s%N)
	replay "${traces[@]}" --backend libc,jemalloc,mimalloc,tcmalloc,tiered --lanes 1 \
		--reps "${REPS:-6}" -o "$out/demo.json"
	step_done 'replay' "$at"
	results=("$out/demo.json")
fi

at=$(date +%s%N)
"$reheap" plot "${results[@]}" -o "$out/report" >"$out/plot.out" 2>"$out/plot.log" || { cat "$out/plot.log"; exit 1; }
step_done 'drawing the report' "$at"

# The verdict in words is at the end of plot's output, after an empty line.
sed -n '/^$/,$p' "$out/plot.out"
cat <<END

The report: $out/report/report.html
This took $(seconds_since "$began") s; the longest step: $slowest ($slowest_s s).
Next: record your own program, and ask the same of it
  $reheap record -o mine.rht -- PROGRAM ARGS...
  $reheap replay mine.rht --backend libc,jemalloc,mimalloc,tcmalloc -o mine.json
  $reheap plot mine.json -o mine/        every probe on more traces: make demo-full
END
exit $worst
