#!/bin/bash
# gallery.sh BUILD_DIR - draws plots/gallery anew from real runs: a phone's user interface (the
# Android trace beside the checkout, else the first shipped one), a heap that grows and shrinks,
# and scaling over copies. Wants a quiet machine; takes about a minute.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:?usage: ci/gallery.sh BUILD_DIR}
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

"$reheap" replay "$program" --backend $backends,bump --lanes 1 --reps 11 -o "$temp/$name.json"
"$reheap" replay "$program" --backend $backends --lanes 1 --reps 7 --probes latency \
	-o "$temp/$name-tail.json"
"$reheap" replay "$temp/sawtooth.rht" --backend $backends --reps 7 -o "$temp/sawtooth.json"
"$reheap" replay "$temp/churn.rht" --backend $backends --copies 1,2 --reps 7 -o "$temp/churn.json"

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
draw "$name-tail" latency latency-kinds
draw sawtooth time-memory memory-run
draw churn lanes
du -bc plots/gallery/*.svg | tail -n 1
