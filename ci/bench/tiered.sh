#!/bin/bash
# tiered.sh BUILD_DIR [REPS] - the tiered heap against glibc, jemalloc, tcmalloc and mimalloc.
#
# For every trace: instructions and LOCK-prefixed instructions per event of the replay loop
# on one lane (callgrind, the same on every run), and, from trials interleaved in random
# order, the time as ratio to mimalloc with its interval and the peak of resident memory:
# on one lane, on two lanes of the trace, and for two copies side by side on two lanes.
# Then geometric means over all traces, and the goals. Times want a quiet machine.
#
# Traces: the Android ones from ../shared/data/android where they are, the corpus, and the
# generators. EVENTS= sizes the generated ones, TRACES="a.rht b.rht" replaces all.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$(realpath "${1:?usage: ci/bench/tiered.sh BUILD_DIR [REPS]}")
reps=${2:-9}
reheap=$build/reheap
data=../shared/data/android
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-tiered.XXXXXX")
trap 'rm -rf "$temp"' EXIT
peers="libc jemalloc tcmalloc mimalloc"

traces() {
	local name
	if [ -n "${TRACES:-}" ]; then
		# shellcheck disable=SC2086  # a list of files
		printf '%s\n' $TRACES
		return
	fi
	for name in systemui surfaceflinger; do
		if [ -f "$data/$name.zip" ]; then
			"$reheap" import android "$data/$name.zip" -o "$temp/$name.rht" >/dev/null 2>&1 &&
				echo "$temp/$name.rht"
		else
			echo "$name: absent, $data/$name.zip is not here" >&2
		fi
	done
	find traces/corpus -name '*.rht' | LC_ALL=C sort
	for name in churn larson producer-consumer sawtooth server; do
		"$reheap" gen "$name" "events=${EVENTS:-300000}" -o "$temp/$name.rht" >/dev/null 2>&1 &&
			echo "$temp/$name.rht"
	done
}

# loop_cost TRACE BACKEND: instructions and bus locks per event, one lane
loop_cost() {
	local events
	events=$("$reheap" info "$1" 2>/dev/null | awk '/^events/ { gsub(",", "", $2); print $2 }')
	rm -f "$temp"/callgrind.*
	"$reheap" replay "$1" --backend "$2" --baseline "$2" --lanes 1 --reps 1 --probes time \
		--format json --timeout 600s --under "valgrind --tool=callgrind --collect-bus=yes
--toggle-collect=*loop_run --callgrind-out-file=$temp/callgrind.%p" >/dev/null 2>&1
	# null runs along with every backend; the dearer of the two is the one asked for
	cat "$temp"/callgrind.* 2>/dev/null | awk -v events="$events" '
		/^totals:/ && $2 > most { most = $2; locks = $3 }
		END { if (most && events) printf "%.2f %.3f", most / events, locks * 1000 / events }'
}

# times TRACE: lines BACKEND LANES COPIES METRIC MEDIAN LO HI
times() {
	local shape
	for shape in "1 1" "2 1" "1 2"; do
		# shellcheck disable=SC2086  # two words
		set -- "$1" $shape
		"$reheap" replay "$1" --backend "mimalloc,tiered,libc,jemalloc,tcmalloc" \
			--baseline mimalloc --lanes "$2" --copies "$3" --reps "$reps" --format csv 2>/dev/null |
			awk -F, '$5 == "time.ratio" || $5 == "memory.rss_peak_bytes" {
				print $2, $3, $4, $5, $10, $11, $12 }'
	done
}

one_trace() {
	local trace=$1 name backend cost
	name=$(basename "$trace" .rht)
	for backend in tiered $peers; do
		cost=$(loop_cost "$trace" "$backend")
		echo "$name $backend cost ${cost:-- -}"
	done
	times "$trace" | while read -r backend lanes copies metric median lo hi; do
		echo "$name $backend ${metric#*.}.$lanes.$copies $median $lo $hi"
	done
}

traces >"$temp/list"
while read -r trace; do
	one_trace "$trace" >>"$temp/all"
	name=$(basename "$trace" .rht)
	printf '\n%-18s %9s %9s  %-24s %-24s %-24s %s\n' "$name" Ir/event LOCK/1000 \
		"time 1 lane" "2 lanes" "2 copies" "peak MB 1, 2 lanes, 2 copies"
	awk -v name="$name" '
		$1 != name { next }
		$3 == "cost" { order[++n] = $2; ir[$2] = $4; lock[$2] = $5; next }
		$3 ~ /^ratio/ { time[$2, substr($3, 7)] = sprintf("%.2f [%.2f, %.2f]", $4, $5, $6) }
		$3 ~ /^rss/ { peak[$2, substr($3, 16)] = sprintf("%.2f", $4 / 1e6) }
		END { for (i = 1; i <= n; i++) { b = order[i]
			printf "%-18s %9s %9s  %-24s %-24s %-24s %s %s %s\n", b, ir[b], lock[b],
				time[b, "1.1"], time[b, "2.1"], time[b, "1.2"],
				peak[b, "1.1"], peak[b, "2.1"], peak[b, "1.2"] } }' "$temp/all"
done <"$temp/list"

# Means over traces, and what the goals say.
printf '\nGeometric means over %d traces; time is the ratio to mimalloc\n' "$(wc -l <"$temp/list")"
awk '
	function mean(b, m) { return count[b, m] ? exp(sum[b, m] / count[b, m]) : 0 }
	function add(b, m, v) { if (v > 0) { sum[b, m] += log(v); count[b, m]++ } }
	function goal(what, got, bar) {
		printf "%-58s %8.3f  <= %-8.3f %s\n", what, got, bar, got <= bar ? "ok" : "MISSED" }
	$3 == "cost" { add($2, "ir", $4); locks[$2] += $5; seen[$2] = 1; next }
	$3 ~ /^ratio/ { add($2, $3, $4) }
	$3 ~ /^rss/ { rss[$1, $3, $2] = $4; cell[$1 SUBSEP $3] = 1; add($2, "rss", $4) }
	END {
		n = split("tiered libc jemalloc tcmalloc mimalloc", b, " ")
		printf "%-12s %9s %9s %9s %9s %9s %14s\n", "", "Ir/event", "1 lane", "2 lanes",
			"2 copies", "peak MB", "LOCK/1000, sum"
		for (i = 1; i <= n; i++)
			printf "%-12s %9.2f %9.3f %9.3f %9.3f %9.3f %14.3f\n", b[i], mean(b[i], "ir"),
				mean(b[i], "ratio.1.1"), mean(b[i], "ratio.2.1"), mean(b[i], "ratio.1.2"),
				mean(b[i], "rss") / 1e6, locks[b[i]]
		print ""
		for (i = 2; i <= n; i++) {
			goal("instructions per event, mean, below " b[i], mean("tiered", "ir"), mean(b[i], "ir"))
			goal("time, one lane, below " b[i], mean("tiered", "ratio.1.1"), mean(b[i], "ratio.1.1"))
			goal("time, two lanes, below " b[i], mean("tiered", "ratio.2.1"), mean(b[i], "ratio.2.1"))
			goal("time, two copies, below " b[i], mean("tiered", "ratio.1.2"),
				mean(b[i], "ratio.1.2"))
		}
		goal("LOCK-prefixed per 1000 events, sum, at most mimalloc", locks["tiered"],
			locks["mimalloc"])
		for (c in cell) {
			split(c, at, SUBSEP)
			best = 0
			for (i = 2; i <= n; i++) {
				v = rss[at[1], at[2], b[i]]
				if (v && (!best || v < best)) best = v
			}
			shape = at[2]; sub(/^rss_peak_bytes./, "", shape); sub(/\./, " lanes x ", shape)
			if (!best)
				continue
			v = rss[at[1], at[2], "tiered"] / best
			add("tiered", "best", v)
			lines[++k] = sprintf("%s\t%.3f", at[1] ", " shape " copies", v)
		}
		goal("peak RSS to the best of four, mean of all below", mean("tiered", "best"), 1.10)
		for (i = 1; i <= k; i++) {
			split(lines[i], at, "\t")
			goal("peak RSS to the best of four: " at[1], at[2], 1.10)
		}
	}' "$temp/all"
