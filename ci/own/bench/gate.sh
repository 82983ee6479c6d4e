#!/bin/bash
# gate.sh BUILD_DIR - how often the gate is wrong on this machine, and how long it takes.
#
# Gates of an allocator against itself and of planted faults, in rounds, so that at any moment the
# gates are spread over all rows; it ends when MINUTES= (60) are over or every row has its gates
# (GATES=600 against itself over all rows, PLANTED=150 of each fault). Each gate leaves a line in
# KEEP= (default build/bench-gate); an interrupted run goes on from there, and MINUTES=0 reports
# what there is.
#
# Against itself (ROWS=, backend:lanes) all metrics that gate by default judge. The faults (PLANTS=)
# are time5 and time3: 5 and 3 % more time at a limit of 5 %; memory10: 10 % more memory at a limit
# of 10 %; tail20: 20 % more at the 99th percentile of frees at a limit of 15 %. The size of each
# fault is measured first.
#
# With HOGS=1 two programs keep the CPUs busy in bursts of 5 to 500 ms beside it.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/gate.sh BUILD_DIR}")
reheap=$build/reheap
keep=${KEEP:-$build/bench-gate}
rows=(${ROWS:-libc:1 jemalloc:2})
plants=(${PLANTS:-time5 time3 memory10 tail20})
gates=$(((${GATES:-600} + ${#rows[@]} - 1) / ${#rows[@]}))
planted=${PLANTED:-150}
until=$((SECONDS + ${MINUTES:-60} * 60))
step=5
hogs=()
mkdir -p "$keep"
trap '[ ${#hogs[@]} = 0 ] || kill "${hogs[@]}" 2>/dev/null' EXIT
trap 'exit 1' INT TERM

# One lane: a recorded program, git. More: a made one of 200,000 events on two.
two=$keep/two.rht
[ -f "$two" ] || "$reheap" gen server -o "$two" events=200000 lanes=2 heap=8M >/dev/null 2>&1 || exit 1

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

# self NAME LANES ARGS...: as many gates as ARGS say, those that there are included
self() {
	local name=$1 lanes=$2 trace=traces/corpus/git.rht
	shift 2
	[ "$lanes" = 1 ] || trace=$two
	"$reheap" gate "$trace" --self-test --lanes "$lanes" --keep "$keep/$name-hogs${HOGS:-0}.txt" "$@" \
		>"$keep/$name.out" 2>"$keep/$name.err"
	local code=$?
	[ $code = 0 ] || [ $code = 1 ] || [ $code = 3 ] || { cat "$keep/$name.err"; exit 1; }
}

row() { # backend:lanes, gates
	self "same-${1/:/-}" "${1#*:}" --candidate "${1%:*}" --gates "$2" --gates-slower 0
}

plant() { # name, gates
	local how=()
	case $1 in
	time*) how=(--slow-time "${1#time}%" --metrics wall) ;;
	memory*) how=(--slow-memory "${1#memory}%" --metrics rss) ;;
	tail*) how=(--slow-tail "${1#tail}%" --metrics p99) ;;
	*) echo "PLANTS: $1 is none"; exit 2 ;;
	esac
	self "$1" 1 --candidate libc --gates 0 --gates-slower "$2" "${how[@]}"
}

echo "load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) CPUs"
for ((n = step; SECONDS < until && (n <= gates || n <= planted); n += step)); do
	for r in "${rows[@]}"; do
		[ $n -gt "$gates" ] || [ $SECONDS -ge $until ] || row "$r" $n
	done
	for p in "${plants[@]}"; do
		[ $((n / 2)) -gt "$planted" ] || [ $SECONDS -ge $until ] || plant "$p" $((n / 2))
	done
done

# Reports all gates so far: nothing is run, because there are as many as asked for.
for r in "${rows[@]}"; do
	have=$(grep -c '^same ' "$keep/same-${r/:/-}-hogs${HOGS:-0}.txt" 2>/dev/null)
	[ "${have:-0}" -gt 0 ] || continue
	echo "== $r against itself, hogs ${HOGS:-0}"
	row "$r" "$have"
	grep -v '^gate ' "$keep/same-${r/:/-}.out" | grep -E 'against itself|^    |^REHEAP'
done
for p in "${plants[@]}"; do
	have=$(grep -c '^slower ' "$keep/$p-hogs${HOGS:-0}.txt" 2>/dev/null)
	[ "${have:-0}" -gt 0 ] || continue
	echo "== $p planted in libc, one lane, hogs ${HOGS:-0}"
	plant "$p" "$have"
	grep -v '^gate ' "$keep/$p.out" | grep -E 'calibrated|slowed down|found|^    |^REHEAP'
done
cat "$keep"/same-*-hogs"${HOGS:-0}".txt 2>/dev/null | awk -v hogs="${HOGS:-0}" '
	$1 == "same" {
		gates++
		seconds += $8
		if (split($10, list, ",") < 1) next
		for (i in list) {
			split(list[i], word, "=")
			family = word[1]
			sub(/^.*\.p/, "p", family)
			if (family in seen) continue
			seen[family] = 1
		}
		for (i in list) {
			split(list[i], word, "=")
			family = word[1]
			sub(/^.*\.p/, "p", family)
			if (list[i] ~ /!$/) alarm[family] = 1
		}
		for (family in seen) { of[family]++; alarms[family] += alarm[family] }
		delete seen
		delete alarm
	}
	# the share at which so few have a probability of 0.025: Clopper and Pearson
	function upper(k, n,	low, high, p, sum, term, i, j) {
		low = 0; high = 1
		if (k >= n) return 1
		for (i = 0; i < 60; i++) {
			p = (low + high) / 2
			term = exp(n * log(1 - p)); sum = term
			for (j = 1; j <= k; j++) { term *= (n - j + 1) / j * p / (1 - p); sum += term }
			if (sum > 0.025) low = p; else high = p
		}
		return high
	}
	END {
		if (!gates) exit
		printf "== all rows together, by family of metrics (a gate counts once)\n"
		printf "%-10s %6s %7s  %s\n", "family", "gates", "alarms", "rate, exact interval at 95 %"
		for (f in of)
			printf "%-10s %6d %7d  %.2f %% [%.2f, %.2f]\n", f, of[f], alarms[f], 100 * alarms[f] / of[f],
				100 * (1 - upper(of[f] - alarms[f], of[f])), 100 * upper(alarms[f], of[f]) | "sort"
		close("sort")
		printf "%d gates, %.1f s each\n", gates, seconds / gates
	}'
