#!/bin/bash
# spine.sh BUILD_DIR - the numbers that the README states, each beside its goal.
#
# Instructions and cache misses come from callgrind (the replay loop alone, collection is
# toggled by its outer function) and are the same on every run; sizes and waits are exact; times
# are the best of three (import: CPU time; compile: wall clock) and want a quiet machine. Android traces are taken from
# ../shared/data/android where they are; without them those rows say so.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/spine.sh BUILD_DIR}")
reheap=$build/reheap
data=../shared/data/android
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT

# row WHAT VALUE RELATION GOAL UNIT
row() {
	local verdict
	verdict=$(awk -v v="$2" -v g="$4" -v r="$3" 'BEGIN {
		if (v == "" || v + 0 != v) print "absent"
		else print ((r == "<=" ? v <= g : v >= g) ? "ok" : "MISSED") }')
	printf '%-58s %12s  %2s %-9s %-14s %s\n' "$1" "${2:--}" "$3" "$4" "$5" "$verdict"
}
absent() {
	printf '%-58s %12s  %s\n' "$1" - "absent: $2"
}
div() {
	awk -v a="$1" -v b="$2" -v f="${3:-%.3f}" 'BEGIN { if (b > 0) printf f, a / b }'
}
# events_of TRACE
events_of() {
	"$reheap" info "$1" 2>/dev/null | awk '/^events/ { print $2 }'
}

# best_of_3 COMMAND...: the least seconds of CPU time, which other programs disturb least
best_of_3() {
	local TIMEFORMAT='%U %S'
	for _ in 1 2 3; do
		{ time "$@" >/dev/null 2>&1; } 2>&1
	done | awk '{ t = $1 + $2 } NR == 1 || t < best { best = t } END { print best }'
}

# peak_anon COMMAND...: most anonymous memory of a command and its children together, MiB, read
# every 20 ms; the mapped program is the page cache's and not in it
peak_anon() {
	"$@" >/dev/null 2>&1 &
	local pid=$! peak=0 now
	while kill -0 $pid 2>/dev/null; do
		# shellcheck disable=SC2046  # a list of files
		now=$(cat /proc/$pid/status $(pgrep -P $pid | sed 's|.*|/proc/&/status|') 2>/dev/null |
			awk '/^RssAnon/ { n += $2 } END { print n + 0 }')
		[ "$now" -gt $peak ] && peak=$now
		sleep 0.02
	done
	wait $pid || return 1
	awk -v k=$peak 'BEGIN { printf "%.1f", k / 1024 }'
}

# loop_cost TRACE BACKEND: instructions and L1D misses per event of the replay loop, one lane
loop_cost() {
	rm -f "$temp"/callgrind.*
	"$reheap" replay "$1" --backend "$2" --lanes 1 --reps 1 --probes time --format json \
		--under "valgrind --tool=callgrind --cache-sim=yes --toggle-collect=*loop_run --callgrind-out-file=$temp/callgrind.%p" \
		>/dev/null 2>&1
	# null runs along with every backend; the dearer of the two is the one asked for
	cat "$temp"/callgrind.* 2>/dev/null | awk -v events="$(events_of "$1")" '
		/^totals:/ && $2 > most { most = $2; misses = $6 + $7 }
		END { if (most && events) printf "%.2f %.4f", most / events, misses / events }'
}

waits_share() {
	"$reheap" info "$1" 2>/dev/null | sed -n 's/.* waits after pruning (\([0-9.]*\)%.*/\1/p'
}

android() {
	local name=$1 size_goal=$2 waits_goal=$3 trace=$temp/$1.rht events seconds
	if [ ! -f "$data/$name.zip" ]; then
		absent "$name" "$data/$name.zip is not here"
		return
	fi
	seconds=$(best_of_3 "$reheap" import android "$data/$name.zip" -o "$trace")
	events=$(events_of "$trace")
	row "$name: size of the trace" "$(div "$(stat -c %s "$trace")" "$events")" '<=' "$size_goal" \
		'bytes/event'
	row "$name: waits after pruning" "$(waits_share "$trace")" '<=' "$waits_goal" '% of events'
	row "$name: import" "$(div "$events" "$(div "$seconds" 1e-6 %.0f)" %.1f)" '>=' 5 'M events/s'
	row "$name: import memory" "$(peak_anon "$reheap" import android "$data/$name.zip" -o "$trace")" \
		'<=' 64 'MiB'
	compile_speed "$name" "$trace" "$events"
}

compile_speed() {
	local best
	for i in 1 2 3; do
		"$reheap" replay "$2" --backend null --lanes 1 --reps 1 -o "$temp/compile.$i.json" -q
	done
	best=$(grep -h -o '"compile_ns": *[0-9]*' "$temp"/compile.*.json | grep -o '[0-9]*$' | sort -n |
		head -n 1)
	row "$1: compile" "$(awk -v e="$3" -v n="$best" 'BEGIN { if (n) printf "%.1f", e / n * 1000 }')" \
		'>=' 5 'M events/s'
}

loop_rows() {
	local cost
	if [ ! -f "$1" ]; then
		absent 'replay loop, null backend' 'no trace'
		return
	elif ! command -v valgrind >/dev/null; then
		absent 'replay loop, null backend' 'valgrind is not installed'
		return
	fi
	cost=$(loop_cost "$1" null)
	row "replay loop on $2, null backend, one lane" "${cost% *}" '<=' 20 'Ir/event'
	row "replay loop on $2, null backend, one lane" "${cost#* }" '<=' 0.15 'L1D miss/event'
}

ten_million() {
	local trace=$temp/ten.rht
	"$reheap" gen server -o "$trace" events=10000000 lanes=2 >/dev/null 2>&1 || return
	row 'ten million events: harness memory of a replay' \
		"$(peak_anon "$reheap" replay "$trace" --backend null --reps 1 -q)" '<=' 256 'MiB'
	compile_speed 'ten million events' "$trace" "$(events_of "$trace")"
}

echo "load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) CPUs; times from a busy machine are too high"
printf '%-58s %12s  %-12s %-14s\n' what measured goal unit
android systemui 0.40 1.3
android surfaceflinger 0.16 0.8
if [ -f "$temp/systemui.rht" ]; then
	loop_rows "$temp/systemui.rht" systemui
else
	"$reheap" gen server -o "$temp/server.rht" events=500000 lanes=1 >/dev/null 2>&1
	loop_rows "$temp/server.rht" 'a generated server'
fi
ten_million
