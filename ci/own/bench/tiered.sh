#!/bin/bash
# tiered.sh BUILD_DIR [REPS] - the tiered heap against every peer that is here, on traces that
# nobody chose by the result.
#
# The traces are those of traces/corpus/judge.sh, recorded on demand into BUILD_DIR/judge, in two
# halves by a hash of their names: `tuning` may be looked at while the heap is changed, `report` is
# what the README quotes. Memory is touched in full, as programs do. For every trace and heap:
#
#	cold	CPU time an event on a fresh heap, the least of REPS interleaved trials
#	steady	the same for the passes after the first (replay --passes PASSES, 3; 1: none)
#	peak	of resident memory, MiB
#	faults	page faults in 1000 events
#	Ir	instructions an event, of the first IR_EVENTS events, one lane (callgrind; IR=0: none)
#	calls	madvise, munmap and mremap in 1000 events (strace; CALLS=0: none)
#
# and for each half the geometric means, and the ratio to the best peer of each trace: its mean
# and its worst. CPU rather than wall time, for other work on the machine does not count then.
#
# PEERS="a.so b.so" adds heaps by path to Debian's. TRACES="a.rht ..." replaces the judge's. HALF=
# tuning or report: that one only. SHAPES="1x1 2x1 1x2": lanes x copies. Quiet machines only.
#
# What was measured is kept in BUILD_DIR/judge/rows.*, one file for each worker and choice of the
# above; a run that was ended goes on where it stopped. BUDGET=SECONDS: no trace begins after that,
# and the summary says how many are left. FRESH=1 measures all anew.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/tiered.sh BUILD_DIR [REPS]}")
reps=${2:-3}
passes=${PASSES:-3}
reheap=$build/reheap
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-tiered.XXXXXX")
trap 'rm -rf "$temp"' EXIT
EVENTS_MIN=5000 # fewer, and a process's start is all there is to see
heaps="tiered libc jemalloc mimalloc tcmalloc"
for peer in ${PEERS:-}; do heaps="$heaps $(realpath -s "$peer")"; done
list=${heaps// /,}

# Lines HALF FILE.
traces() {
	local name half
	if [ -n "${TRACES:-}" ]; then
		for name in $TRACES; do echo "given $name"; done
		return
	fi
	traces/corpus/judge.sh "$build" "$build/judge" >&2
	while IFS=$'\t' read -r name half; do
		[ "${name#\#}" = "$name" ] && [ "${HALF:-$half}" = "$half" ] || continue
		[ -s "$build/judge/$name.rht" ] && echo "$half $build/judge/$name.rht"
	done <traces/corpus/judge.tsv
}

events_of() { "$reheap" info "$1" 2>/dev/null | awk '/^events/ { gsub(",", "", $2); print $2; exit }'; }

# measure TRACE LANES COPIES: lines HEAP CPU-NS PEAK-BYTES FAULTS STEADY-CPU-NS
measure() {
	"$reheap" replay "$1" --backend "$list" --baseline libc --lanes "$2" --copies "$3" \
		--reps "$reps" --passes "$passes" --touch full --format csv 2>/dev/null | awk -F, '
		$5 == "time.cpu_ns_per_event" { cpu[$2] = $14 }
		$5 == "memory.rss_peak_bytes" { peak[$2] = $10 }
		$5 == "memory.faults_per_event" { faults[$2] = $10 * 1000 }
		$5 == "steady.cpu_ns_per_event" { steady[$2] = $14 }
		END { for (b in cpu) print b, cpu[b], peak[b] + 0, faults[b] + 0, steady[b] + 0 }'
}

# instructions TRACE HEAP: an event, one lane. null runs along; the dearer of the two is asked for.
instructions() {
	rm -f "$temp"/callgrind.*
	"$reheap" replay "$1" --backend "$2" --baseline "$2" --lanes 1 --reps 1 --probes time \
		--format json --timeout 900s --under "valgrind --tool=callgrind
--toggle-collect=*loop_run --callgrind-out-file=$temp/callgrind.%p" >/dev/null 2>&1
	cat "$temp"/callgrind.* 2>/dev/null | awk -v events="$(events_of "$1")" '
		/^totals:/ && $2 > most { most = $2 }
		END { if (most && events) printf "%.2f", most / events; else print "-" }'
}

# calls TRACE HEAP EVENTS: the worker of the heap makes the most; null's are the harness's own.
calls() {
	rm -f "$temp"/strace.*
	"$reheap" replay "$1" --backend "$2" --baseline "$2" --lanes 1 --reps 1 --probes time --touch full \
		--format json --under "strace -ff -qq -e trace=madvise,munmap,mremap -o $temp/strace" \
		>/dev/null 2>&1
	wc -l "$temp"/strace.* 2>/dev/null | awk -v events="$3" '
		$2 != "total" { if (!n++ || $1 > most) most = $1; if (n == 1 || $1 < least) least = $1 }
		END { if (n > 1) printf "%.3f", (most - least) * 1000 / events; else print "-" }'
}

# Lines HALF TRACE SHAPE HEAP COLD STEADY PEAK FAULTS IR CALLS; - where something was not measured.
one_trace() {
	local half=$1 trace=$2 events shape lanes copies name heap ir calls
	name=$(basename "$trace" .rht)
	events=$(events_of "$trace")
	[ "${events:-0}" -ge $EVENTS_MIN ] || { echo "$name: left out, ${events:-0} events" >&2; return; }
	for shape in ${SHAPES:-1x1}; do
		lanes=${shape%x*} copies=${shape#*x}
		measure "$trace" "$lanes" "$copies" >"$temp/cold"
		for heap in $heaps; do
			ir=- calls=-
			if [ "$shape" = 1x1 ] && [ "${IR:-1}" = 1 ]; then
				"$reheap" cut "$trace" --first "${IR_EVENTS:-200000}" -o "$temp/cut.rht" >/dev/null 2>&1
				ir=$(instructions "$temp/cut.rht" "$heap")
			fi
			[ "$shape" = 1x1 ] && [ "${CALLS:-1}" = 1 ] && command -v strace >/dev/null &&
				calls=$(calls "$trace" "$heap" "$events")
			awk -v heap="$heap" -v head="$half $name $shape" -v tail="$ir $calls" '
				$1 == heap { printf "%s %s %.2f %s %.3f %.2f %s\n", head, heap, $2,
					($5 > 0) ? sprintf("%.2f", $5) : "-", $3 / 1048576, $4, tail }' "$temp/cold"
		done
	done
}

summary() {
	awk '
	function short(b) { sub(/.*\//, "", b); return b }
	function add(m, b, v) { if (v != "-" && v > 0) { sum[m, b] += log(v); n[m, b]++ } }
	function mean(m, b) { return n[m, b] ? exp(sum[m, b] / n[m, b]) : 0 }
	{
		key = $1 " half, " $3; seen[key] = 1; heap[$4] = 1; cell[key, $2] = $2; count[key] += $4 == "tiered"
		for (m = 5; m <= 10; m++) { v[key, $2, $4, m] = $m; add(key SUBSEP m, $4, $m) }
	}
	END {
		split("cold ns|steady ns|peak MiB|faults|Ir|calls", title, "|")
		for (key in seen) {
			printf "\n%s (lanes x copies), %d traces: geometric means; in brackets to the best peer of each trace, mean and worst\n", key, count[key]
			printf "%-16s", ""
			for (m = 5; m <= 10; m++) printf " %24s", title[m - 4]
			print ""
			for (b in heap) {
				printf "%-16s", short(b)
				for (m = 5; m <= 10; m++) {
					logs = 0; k = 0; worst = 0; where = ""
					for (c in cell) {
						split(c, at, SUBSEP)
						if (at[1] != key) continue
						best = 0
						for (p in heap) {
							x = v[key, at[2], p, m]
							if (p == b || p == "tiered" || x == "-" || x <= 0) continue
							if (!best || x < best) best = x
						}
						x = v[key, at[2], b, m]
						if (!best || x == "-" || x <= 0) continue
						logs += log(x / best); k++
						if (x / best > worst) worst = x / best
					}
					printf " %24s", !n[key SUBSEP m, b] ? "-" : m == 10 ? sprintf("%.3f", mean(key SUBSEP m, b)) : k ? sprintf("%.2f [%.2f, %.2f]", mean(key SUBSEP m, b), exp(logs / k), worst) : sprintf("%.2f", mean(key SUBSEP m, b))
				}
				print ""
			}
		}
	}' "$1"
}

readable() {
	awk '{ sub(/.*\//, "", $4)
		printf "%-8s %-18s %-5s %-16s %10s %10s %9s %9s %8s %8s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10; fflush() }'
}

mkdir -p "$build/judge"
choice=$(cksum "$build/reheap-worker"; echo "$heaps $reps $passes ${SHAPES:-} ${IR:-} ${IR_EVENTS:-} ${CALLS:-} ${TRACES:-}")
rows=$build/judge/rows.$(printf %s "$choice" | cksum | cut -d' ' -f1)
[ -z "${FRESH:-}" ] || rm -f "$rows"
touch "$rows" "$temp/all"
left=0
traces >"$temp/list"
echo "half trace shape heap cold steady peak-MiB faults Ir calls" | readable
while read -r half trace; do
	name=$(basename "$trace" .rht)
	if grep "^$half $name " "$rows" | tee -a "$temp/all" | readable | grep .; then continue; fi
	if [ "$SECONDS" -ge "${BUDGET:-1000000}" ]; then left=$((left + 1)); continue; fi
	# whole traces only, so that one that was cut short is measured again
	one_trace "$half" "$trace" >"$temp/one" </dev/null
	tee -a "$rows" "$temp/all" <"$temp/one" | readable
done <"$temp/list"
[ "$left" = 0 ] || echo "$left traces are left: run it again"
summary "$temp/all"
