#!/bin/bash
# gate.sh BUILD_DIR - how often the gate is wrong on this machine, and how long it takes.
#
# GATES= gates of an allocator against itself and SLOWER= of the slowed-down kind, for each
# row: ROWS=, backend:lanes (300 and 200 over the four rows by default: an hour and more on
# a busy machine). Each gate leaves a line in KEEP= (default build/bench-gate); an
# interrupted run goes on from there. How many more operations take 5 % more time is
# measured first, for each row; SLOW_BY=2% gives the operations instead.
#
# With HOGS=1 two programs keep the CPUs busy in bursts of 5 to 500 ms beside it.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/gate.sh BUILD_DIR}")
reheap=$build/reheap
keep=${KEEP:-$build/bench-gate}
gates=${GATES:-75}
slower=${SLOWER:-50}
slow_by=${SLOW_BY:-}
data=../shared/data/android
hogs=()
mkdir -p "$keep"
trap '[ ${#hogs[@]} = 0 ] || kill "${hogs[@]}" 2>/dev/null' EXIT
trap 'exit 1' INT TERM

trace=$keep/trace.rht
if [ ! -f "$trace" ]; then
	if [ -f $data/systemui.zip ]; then
		"$reheap" import android $data/systemui.zip -o "$trace" >/dev/null 2>&1 || exit 1
	else
		"$reheap" gen server -o "$trace" events=800000 lanes=2 >/dev/null 2>&1 || exit 1
	fi
fi

hog() {
	while :; do
		timeout "0.$(printf '%03d' $((5 + RANDOM % 495)))" sh -c 'while :; do :; done'
		sleep "0.$(printf '%03d' $((5 + RANDOM % 495)))"
	done
}
if [ "${HOGS:-0}" = 1 ]; then
	for _ in 1 2; do
		hog &
		hogs+=($!)
	done
fi

echo "load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) CPUs"
for row in ${ROWS:-libc:1 jemalloc:1 libc:2 jemalloc:2}; do
	backend=${row%:*} lanes=${row#*:}
	echo "== $backend, $lanes lane(s)${HOGS:+, hogs $HOGS}"
	"$reheap" gate "$trace" --self-test --candidate "$backend" --lanes "$lanes" \
		--gates "$gates" --gates-slower "$slower" ${slow_by:+--slow-by "$slow_by"} \
		--keep "$keep/$backend-$lanes-${HOGS:-0}-${slow_by:-time}.txt" || true
done
