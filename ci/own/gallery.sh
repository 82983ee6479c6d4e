#!/bin/bash
# gallery.sh BUILD_DIR - redraws plots/gallery from real runs: a phone's user interface (the
# Android trace beside the checkout, else the first shipped one), a heap that grows and shrinks,
# scaling over copies, threads that free each other's blocks, tasks, and a gate. Wants a quiet
# machine; takes some minutes.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: ci/own/gallery.sh BUILD_DIR}
reheap=$build/reheap
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-gallery.XXXXXX")
trap 'rm -rf "$temp"' EXIT
backends=libc,jemalloc,mimalloc,tcmalloc,tbbmalloc,scudo,tiered

if [ -f ../shared/data/android/systemui.zip ]; then
	"$reheap" import android ../shared/data/android/systemui.zip -o "$temp/systemui.rht" || exit 1
	program=$temp/systemui.rht
else
	program=$(find traces/corpus -name '*.rht' | LC_ALL=C sort | head -n 1)
fi
name=$(basename "$program" .rht)
"$reheap" gen sawtooth -o "$temp/sawtooth.rht" seed=1 lanes=1 events=1000000 heap=8M || exit 1
"$reheap" gen churn -o "$temp/churn.rht" seed=1 lanes=1 events=1000000 || exit 1

"$reheap" gen larson -o "$temp/larson.rht" seed=1 lanes=4 events=1000000 || exit 1
"$reheap" gen goroutines -o "$temp/parked.rht" seed=1 shape=parked lanes=1 tasks=100000 events=400000 ||
	exit 1
"$reheap" gen hotsplit -o "$temp/hotsplit.rht" seed=1 || exit 1

"$reheap" replay "$program" --backend $backends,bump --lanes 1 --reps 11 -o "$temp/$name.json"
"$reheap" replay "$program" --backend $backends --lanes 1 --reps 7 --probes time,latency --sample 8 \
	-o "$temp/$name-tail.json"
"$reheap" replay "$program" --backend tiered:profile=1.8,tiered:profile=1.14,tiered --lanes 1 \
	--reps 1 --stats -o "$temp/$name-inside.json" >/dev/null
"$reheap" replay "$temp/sawtooth.rht" --backend $backends --reps 7 -o "$temp/sawtooth.json"
"$reheap" replay "$temp/churn.rht" --backend $backends --copies 1,2 --reps 7 -o "$temp/churn.json"
"$reheap" replay "$temp/churn.rht" --backend libc,jemalloc,mimalloc,tcmalloc,tiered --reps 1 \
	--counters callgrind --probes time,counters -o "$temp/churn-misses.json"
"$reheap" replay "$temp/larson.rht" --backend libc,jemalloc,mimalloc,tcmalloc,tiered:profile=1.8,tiered \
	--lanes 1,2,4 \
	--reps 7 --probes time,locks -o "$temp/larson.json"
"$reheap" replay "$temp/parked.rht" --backend tiered/pools,libc/pools,libc/heap --reps 3 \
	-o "$temp/parked.json"
"$reheap" replay "$temp/hotsplit.rht" --backend tiered/pools,tiered/segmented --reps 3 \
	-o "$temp/hotsplit.json"
# A gate of the C library against another allocator, and a Go program if a trace of one is here.
"$reheap" gate "$program" --baseline libc --candidate mimalloc --plot "$temp/gate" >/dev/null
go_program=$(find traces/corpus/go -name 'nats.rht' 2>/dev/null)
go_trace=../shared/data/go/mini1.26.3.trace.gz
if [ -z "$go_program" ] && [ -f $go_trace ]; then
	"$reheap" import go $go_trace -o "$temp/go.rht" && go_program=$temp/go.rht
fi
[ -z "$go_program" ] || "$reheap" fidelity "$go_program" --plot "$temp/fidelity" >/dev/null

# draw RESULT FIGURES...: those figures, prefixed by the result's name
draw() {
	local result=$1 figure
	shift
	"$reheap" plot "$temp/$result.json" -o "$temp/$result" >/dev/null 2>&1 || exit 1
	for figure in "$@"; do
		cp "$temp/$result/$figure.svg" "plots/gallery/$result-$figure.svg" || exit 1
	done
}
mkdir -p plots/gallery
draw "$name" time-ratio ns-per-event time-memory memory-peak memory-run
draw "$name-tail" latency latency-kinds latency-sizes latency-run
draw "$name-inside" tiers
draw sawtooth time-memory memory-run
draw churn lanes
draw churn-misses cache-misses instructions
draw larson contention lock-wait lock-classes
draw parked tasks-memory tasks-time
draw hotsplit hot-split
cp "$temp/gate/gate.svg" "plots/gallery/$name-gate.svg" || exit 1
[ ! -s "$temp/fidelity.svg" ] || cp "$temp/fidelity.svg" plots/gallery/go-fidelity.svg
"$reheap" tour --plot "$temp/tour" >/dev/null || exit 1
[ ! -s "$temp/tour.svg" ] || cp "$temp/tour.svg" plots/gallery/go-tour.svg
du -bc plots/gallery/*.svg | tail -n 1
