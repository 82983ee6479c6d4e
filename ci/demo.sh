#!/bin/bash
# demo.sh BUILD_DIR - the main job, start to end, in under three minutes on two cores: traces
# from the corpus and from generators, every allocator that is here, a table for each trace
# and one report over all.
#
# OUT= is where the report goes (BUILD_DIR/demo). Timing on a busy machine is noisy; the
# intervals in the table say how much.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:?usage: ci/demo.sh BUILD_DIR}
reheap=$build/reheap
out=${OUT:-$build/demo}
began=$SECONDS
mkdir -p "$out"
"$reheap" --version

# Every peer by name: the one that is not installed is listed with the reason.
backends=libc,jemalloc,mimalloc,tcmalloc,tbbmalloc,scudo
if "$reheap" list backends | grep -q '^ *tiered  *present'; then
	backends=$backends,tiered
fi

# Recorded programs, and three generated ones: a steady server, memory that flows one way between
# threads, and a heap that grows and shrinks. A fourth, on one and on two copies, shows scaling.
traces=()
for trace in traces/corpus/*.rht; do
	[ -f "$trace" ] && traces+=("$trace")
done
generate() {
	"$reheap" gen "$1" -o "$out/$1.rht" seed=1 events="$2" "${@:3}" >/dev/null || exit 1
	traces+=("$out/$1.rht")
}
generate server 600000 lanes=2 heap=16M
generate producer-consumer 600000 lanes=2
generate sawtooth 600000 lanes=2 heap=16M

echo
echo "replaying ${#traces[@]} traces on ${backends//,/, }"
echo
results=()
worst=0
replay() {
	local trace=$1 name code
	name=$(basename "$trace" .rht)
	"$reheap" replay "$trace" --backend "$backends" --reps "${REPS:-7}" --probes all \
		-o "$out/$name.json" "${@:2}"
	code=$?
	# 6: an allocator is not installed, which the table says; anything else is a failure.
	if [ $code != 0 ] && [ $code != 6 ]; then
		echo "demo: replaying $trace ended with exit $code" >&2
		worst=$code
	fi
	[ -s "$out/$name.json" ] && results+=("$out/$name.json")
	echo
}
for trace in "${traces[@]}"; do
	replay "$trace"
done
"$reheap" gen churn -o "$out/churn.rht" seed=1 events=300000 lanes=1 >/dev/null || exit 1
replay "$out/churn.rht" --copies 1,2

"$reheap" plot "${results[@]}" -o "$out/report" || exit 1
echo
echo "done in $((SECONDS - began)) s; open $out/report/report.html"
exit $worst
