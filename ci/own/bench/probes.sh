#!/bin/bash
# probes.sh BUILD_DIR - the cost and the precision of measuring: what each probe adds to an event,
# the engine floor in each mode, and the A/A spread of every headline metric.
#
# Instructions are callgrind's (the replay loop alone) and the same on every run. Times come from
# one run in which all modes are interleaved rep by rep, so that a busy machine disturbs both
# sides of a difference alike; they are medians, and the spread stands beside them. A/A: one
# library under two names is two backends to the harness, and whatever differs between them is
# noise. Functions named probe_* may be added for other probes.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/probes.sh BUILD_DIR}")
reheap=$build/reheap
data=../shared/data/android
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT
reps=${REPS:-7}

# row WHAT VALUE UNIT [REMARK]
row() {
	printf '%-62s %10s %-12s %s\n' "$1" "${2:--}" "$3" "${4:-}"
}
absent() {
	printf '%-62s %10s %s\n' "$1" - "absent: $2"
}

# metric FILE BACKEND NAME FIELD: a cell of the CSV, FIELD of: median lo hi
metric() {
	awk -F, -v b="$2" -v n="$3" -v f="$4" 'NR > 1 && $2 == b && $5 == n {
		printf "%.4f", f == "lo" ? $11 : f == "hi" ? $12 : $10; exit }' "$1"
}
minus() {
	awk -v a="$1" -v b="$2" 'BEGIN { if (a != "" && b != "") printf "%.2f", a - b }'
}

# loop_instructions PROBES [SAMPLE]: of the replay loop per event, null backend, one lane; of
# several workers the last, which is the probe's own pass where it has one
loop_instructions() {
	rm -f "$temp"/callgrind.*
	"$reheap" replay "$trace" --backend null --lanes 1 --reps 1 --probes "$1" \
		--sample "${2:-32}" -q --under \
		"valgrind --tool=callgrind --toggle-collect=*loop_run --callgrind-out-file=$temp/callgrind.%p" \
		>/dev/null 2>&1
	# shellcheck disable=SC2012  # names are ours
	awk -v events="$events" '/^totals:/ { if (events) printf "%.2f", $2 / events; exit }' \
		"$(ls -t "$temp"/callgrind.* 2>/dev/null | head -n 1)" 2>/dev/null
}

instructions() {
	local plain
	if ! command -v valgrind >/dev/null; then
		absent 'instructions per event' 'valgrind is not installed'
		return
	fi
	plain=$(loop_instructions time)
	row 'engine floor, plain loop' "$plain" 'Ir/event' 'goal: <= 20 on systemui'
	for probes in memory locks; do
		row "$probes adds to the loop" "$(minus "$(loop_instructions $probes)" "$plain")" \
			'Ir/event'
	done
	for sample in 32 every; do
		row "latency --sample $sample adds (its own pass)" \
			"$(minus "$(loop_instructions latency $sample)" "$plain")" 'Ir/event'
	done
}

# One run: plain trials and the passes of probes, rep by rep next to each other.
times() {
	local peer=null out=$temp/times.csv
	"$reheap" list backends | grep "^ *jemalloc  *present" >/dev/null && peer=jemalloc
	for sample in 32 every; do
		"$reheap" replay "$trace" --backend "null,$peer" --lanes 1 --reps "$reps" --sample \
			$sample --probes latency,mutex --format csv >"$out" 2>/dev/null
		row "latency --sample $sample adds, null backend" \
			"$(minus "$(metric "$out" null latency.ns_per_event median)" \
				"$(metric "$out" null time.ns_per_event median)")" 'ns/event'
	done
	row "mutex adds, $peer" "$(minus "$(metric "$out" "$peer" mutex.ns_per_event median)" \
		"$(metric "$out" "$peer" time.ns_per_event median)")" 'ns/event' \
		"$(metric "$out" "$peer" mutex.acquired_per_event median) locks/event"
	"$reheap" replay "$trace" --backend null --lanes 1 --reps "$reps" --probes time --format csv \
		>"$temp/plain.csv" 2>/dev/null
	row 'engine floor, plain loop' "$(metric "$temp/plain.csv" null time.ns_per_event median)" \
		'ns/event' "[$(metric "$temp/plain.csv" null time.ns_per_event lo), $(metric \
			"$temp/plain.csv" null time.ns_per_event hi)]"
	row 'engine floor, timed loop, --sample every' \
		"$(metric "$out" null latency.ns_per_event median)" 'ns/event'
}

# single NAME WHAT GOAL: ns of one, from probe_cost
single() {
	row "$2" "$(awk -v n="$1" '$1 == "nothing" { base = $2 } $1 == n { v = $2 }
		END { printf "%.2f", v - base }' "$temp/cost")" ns "${3:-}"
}

singles() {
	local cost=$temp/probe_cost
	# shellcheck disable=SC2086  # CFLAGS is a list
	if ! ${CC:-cc} -std=c11 -D_GNU_SOURCE ${CFLAGS:--O2} -I. ci/own/bench/probe_cost.c \
		"$build/liballoc.a" -pthread -lm -o "$cost"; then
		absent 'single operations' 'probe_cost.c cannot be built'
		return
	fi
	"$cost" >"$temp/cost"
	single record 'one value into a histogram' 'goal: 2 to 3'
	single gap 'the gap to the next sample' 'on samples only'
	single pair 'an empty fenced pair of clock reads' 'on samples only'
	single lock 'rh_lock and rh_unlock, uncontended, counted' 'goal: <= 2 above a mutex'
	single mutex 'pthread_mutex_lock and unlock, uncontended'
}

# The same library by name and by path.
same_twice() {
	local path out=$temp/aa.csv name
	path=$("$reheap" list backends --json | tr -d '\n' |
		grep -o '"name": "jemalloc"[^}]*"path": "[^"]*"' | sed 's/.*"path": "//;s/"$//')
	if [ -z "$path" ]; then
		absent 'A/A spread' 'no jemalloc to run under two names'
		return
	fi
	"$reheap" replay "$trace" --backend "jemalloc,$path" --baseline jemalloc --reps "$reps" \
		--lanes 1 --probes time,memory,latency,locks --format csv >"$out" 2>/dev/null
	for name in time.ns_per_event time.ns_per_event_net time.cpu_ns_per_event \
		memory.rss_peak_bytes memory.retained_bytes memory.fragmentation_peak \
		memory.faults_per_event latency.p50 latency.p90 latency.p99 latency.p99_9 \
		latency.p99_99 latency.max locks.acquired_per_event; do
		awk -v n="A/A $name" -v a="$(metric "$out" jemalloc $name median)" \
			-v lo="$(metric "$out" jemalloc $name lo)" \
			-v hi="$(metric "$out" jemalloc $name hi)" \
			-v b="$(metric "$out" "$path" $name median)" 'BEGIN {
			if (a == "" || b == "") printf "%-62s %10s %s\n", n, "-", "absent"
			else printf "%-62s %10s %-12s interval %.1f %%\n", n,
				(a + 0 ? sprintf("%+.2f", (b / a - 1) * 100) : "0"), "% between",
				(a + 0 ? (hi - lo) / a * 100 : 0) }'
	done
}

# Counters: what attaching costs the lanes, and how far identical code differs in simulated counts.
probe_counters() {
	local path name since out=$temp/counters.csv
	"$reheap" replay "$trace" --backend null --lanes 1 --reps "$reps" --probes time --counters perf \
		--format csv >"$out" 2>/dev/null
	row 'counters attached add, null backend' \
		"$(minus "$(metric "$out" null counters.task_clock_ns_per_event median)" \
			"$(metric "$out" null time.cpu_ns_per_event median)")" 'ns/event' \
		'CPU time; the edges of segments are in it'
	if ! command -v valgrind >/dev/null; then
		absent 'callgrind tier' 'valgrind is not installed'
		return
	fi
	path=$("$reheap" list backends --json | tr -d '\n' |
		grep -o '"name": "jemalloc"[^}]*"path": "[^"]*"' | sed 's/.*"path": "//;s/"$//')
	since=$(date +%s.%N)
	"$reheap" replay "$trace" --backend "libc${path:+,jemalloc,$path}" --lanes 1 --reps 1 \
		--probes time --counters callgrind --format csv >"$out" 2>/dev/null
	row 'callgrind tier, each backend' "$(awk -v a="$since" -v b="$(date +%s.%N)" \
		-v n="$([ -n "$path" ] && echo 4 || echo 2)" 'BEGIN { printf "%.1f", (b - a) / n }')" s \
		'at most the first million events'
	for name in ir_per_event d1_misses_per_event ll_misses_per_event lock_ops_per_1000; do
		row "$name of libc, simulated" "$(metric "$out" libc counters.$name median)" sim
		[ -z "$path" ] || row "A/A counters.$name, jemalloc" \
			"$(awk -v a="$(metric "$out" jemalloc counters.$name median)" \
				-v b="$(metric "$out" "$path" counters.$name median)" \
				'BEGIN { if (a + 0) printf "%+.3f", (b / a - 1) * 100 }')" '% between'
	done
}

trace=$temp/t.rht
if [ -f "$data/systemui.zip" ]; then
	what=systemui
	"$reheap" import android "$data/systemui.zip" -o "$trace" >/dev/null 2>&1
else
	what='a generated server'
	"$reheap" gen server -o "$trace" events=500000 lanes=1 >/dev/null 2>&1
fi
events=$("$reheap" info "$trace" 2>/dev/null | awk '/^events/ { print $2 }')
echo "$what, $events events, one lane, $reps reps; load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) CPUs"
instructions
times
singles
same_twice
for extra in $(compgen -A function probe_ | sort); do
	"$extra"
done
