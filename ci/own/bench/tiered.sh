#!/bin/bash
# tiered.sh BUILD_DIR [REPS] - the tiered heap against every installed peer, on traces that were not
# chosen by the result.
#
# The traces are those of traces/corpus/judge.sh, recorded on demand into BUILD_DIR/judge, in two
# halves by a hash of their names: `tuning` may be looked at while the heap is changed, `report` is
# what the README quotes. Memory is touched in full, as programs do. For every trace and heap, what
# other work on the machine does not change first:
#
#	Ir	instructions an event, of the first IR_EVENTS events, one lane (callgrind; IR=0: none)
#	peak	of resident memory, MiB
#	faults	page faults in 1000 events
#	calls	madvise, munmap and mremap in 1000 events (strace; CALLS=0: none)
#	cold	CPU time an event on a fresh heap, the least of REPS interleaved trials (TIME=0: none)
#	steady	the same for the passes after the first (replay --passes PASSES, 3; 1: none)
#
# and for each half the geometric means, and the ratio to the best peer of each trace: its mean
# and its worst. The best peak is that of libc, jemalloc, mimalloc and tcmalloc. CPU rather than
# wall time, for other work on the machine counts less then; the load it was taken at is printed.
#
# PEERS="a.so b.so" adds heaps by path to Debian's. TRACES="a.rht ..." replaces the judge's. HALF=
# tuning or report: that one only. SHAPES="1x1 2x1 1x2": lanes x copies.
#
# Measurements are kept in BUILD_DIR/judge/rows.*, one file for each worker and choice of the above;
# an interrupted run continues where it stopped. BUDGET=SECONDS: no trace begins after that, and the
# summary says how many are left. Figures of time against memory are drawn into BUILD_DIR/judge/figures
# from the results of all traces. FRESH=1 measures everything again. A whole run of both halves
# writes its summary into NUMBERS.md beside this script.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/tiered.sh BUILD_DIR [REPS]}")
reps=${2:-3}
passes=${PASSES:-3}
[ "${TIME:-1}" = 1 ] || reps=1 passes=1
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
		--reps "$reps" --passes "$passes" --touch full --format csv \
		-o "$results/$(basename "$1" .rht).$2x$3.json" 2>/dev/null | awk -F, '
		$5 == "time.cpu_ns_per_event" { cpu[$2] = $14 }
		$5 == "memory.rss_peak_bytes" { peak[$2] = $10 }
		$5 == "memory.faults_per_event" { faults[$2] = $10 * 1000 }
		$5 == "steady.cpu_ns_per_event" { steady[$2] = $14 }
		END { for (b in cpu) print b, cpu[b], peak[b] + 0, faults[b] + 0, steady[b] + 0 }'
}

# instructions TRACE HEAP: an event, one lane. null runs along; the dearer of the two is asked for.
instructions() {
	rm -f "$temp"/callgrind.*
	"$reheap" replay "$1" --backend "$2" --baseline "$2" --lanes 1 --reps 1 --probes time --touch none \
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

# Lines HALF TRACE SHAPE HEAP IR PEAK FAULTS CALLS COLD STEADY; - where something was not measured.
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
			awk -v heap="$heap" -v head="$half $name $shape" -v ir="$ir" -v calls="$calls" -v time="${TIME:-1}" '
				$1 == heap { printf "%s %s %s %.3f %.2f %s %s %s\n", head, heap, ir, $3 / 1048576, $4, calls,
					(time == 1) ? sprintf("%.2f", $2) : "-", ($5 > 0) ? sprintf("%.2f", $5) : "-" }' "$temp/cold"
		done
	done
}

# summary ROWS: for each half a table in Markdown.
summary() {
	awk '
	function short(b) { sub(/.*\//, "", b); return b }
	function four(b) { return b ~ /^(libc|jemalloc|mimalloc|tcmalloc)$/ }
	{
		key = $1 " half, " $3; seen[key] = 1; cell[key, $2] = 1; count[key] += $4 == "tiered"
		if (!($4 in heap)) { heap[$4] = 1; order[++heaps] = $4 }
		for (m = 5; m <= 10; m++) {
			v[key, $2, $4, m] = $m
			if ($m != "-" && $m > 0) { sum[key, $4, m] += log($m); n[key, $4, m]++; any[m] = 1 }
		}
	}
	# The least of the peers on a trace, b itself left out; 0: none was measured.
	function best(key, trace, b, m,   i, p, x, least) {
		for (i = 1; i <= heaps; i++) {
			p = order[i]; x = v[key, trace, p, m]
			if (p == b || p == "tiered" || x == "" || x == "-" || x <= 0 || (m == 6 && !four(p))) continue
			if (!least || x < least) least = x
		}
		return least + 0
	}
	function figure(key, b, m,   c, at, x, least, logs, k, worst) {
		if (!n[key, b, m]) return "-"
		for (c in cell) {
			split(c, at, SUBSEP)
			if (at[1] != key) continue
			x = v[key, at[2], b, m]; least = best(key, at[2], b, m)
			if (!least || x == "" || x == "-" || x <= 0) continue
			logs += log(x / least); k++
			if (x / least > worst) worst = x / least
		}
		x = exp(sum[key, b, m] / n[key, b, m])
		return k && m != 8 ? sprintf("%.2f [%.2f, %.2f]", x, exp(logs / k), worst) : sprintf("%.3f", x)
	}
	END {
		split("Ir|peak MiB|faults|calls|cold ns|steady ns", title, "|")
		for (key in seen) {
			printf "\n%s (lanes x copies), %d traces: geometric means; in brackets to the best peer of each trace, mean and worst\n\n", key, count[key]
			row = sprintf("| %-16s |", "heap"); line = "|---|"
			for (m = 5; m <= 10; m++) if (any[m]) { row = row sprintf(" %22s |", title[m - 4]); line = line "---|" }
			print row; print line
			for (i = 1; i <= heaps; i++) {
				row = sprintf("| %-16s |", short(order[i]))
				for (m = 5; m <= 10; m++) if (any[m]) row = row sprintf(" %22s |", figure(key, order[i], m))
				print row
			}
		}
	}' "$1"
}

readable() {
	awk '{ sub(/.*\//, "", $4)
		printf "%-8s %-18s %-5s %-16s %8s %9s %9s %8s %10s %10s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10; fflush() }'
}

# into_numbers SUMMARY: replaces what NUMBERS.md has between its two marks.
into_numbers() {
	local page=ci/own/bench/NUMBERS.md
	awk -v summary="$1" '
		/^<!-- bench-tiered/ { print; while ((getline line < summary) > 0) print line; print ""; skip = 1; next }
		/^<!-- end/ { skip = 0 }
		!skip' "$page" >"$temp/page" && cat "$temp/page" >"$page"
}

mkdir -p "$build/judge"
choice=$(cksum "$build/reheap-worker"; echo "$heaps $reps $passes ${SHAPES:-} ${IR:-} ${IR_EVENTS:-} ${CALLS:-} ${TIME:-} ${TRACES:-}")
rows=$build/judge/rows.$(printf %s "$choice" | cksum | cut -d' ' -f1)
[ -z "${FRESH:-}" ] || rm -f "$rows"
results=$build/judge/results # of the last run, for the figures
mkdir -p "$results"
touch "$rows" "$temp/all"
left=0
traces >"$temp/list"
echo "half trace shape heap Ir peak-MiB faults calls cold steady" | readable
while read -r half trace; do
	name=$(basename "$trace" .rht)
	if grep "^$half $name " "$rows" | tee -a "$temp/all" | readable | grep .; then continue; fi
	if [ "$SECONDS" -ge "${BUDGET:-1000000}" ]; then left=$((left + 1)); continue; fi
	# whole traces only, so that one that was cut short is measured again
	one_trace "$half" "$trace" >"$temp/one" </dev/null
	tee -a "$rows" "$temp/all" <"$temp/one" | readable
done <"$temp/list"
summary "$temp/all" | tee "$temp/summary"
if [ "${TIME:-1}" = 1 ]; then
	printf '\nTimes at a load of %s: only ratios within a trace mean anything.\n' "$(cut -d' ' -f1 /proc/loadavg)"
else
	printf '\nWithout times.\n'
fi | tee -a "$temp/summary"
# Time against memory: a point an allocator over all traces, and for each trace.
"$reheap" plot "$results"/*.1x1.json -o "$build/judge/figures" >/dev/null 2>&1 &&
	echo "figures: $build/judge/figures/trade.svg and time-memory.svg, pages: report.html"
if [ "$left" != 0 ]; then
	echo "$left traces are left: run it again"
elif [ -z "${TRACES:-}${HALF:-}" ]; then
	into_numbers "$temp/summary"
fi
