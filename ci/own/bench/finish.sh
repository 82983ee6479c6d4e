#!/bin/sh
# finish.sh BUILD [OBJECTS...] - how fast a recording becomes a trace, and in how much memory, by
# the number of living objects, which die at random (ci/own/helpers/live_set.c). Eight calls for each
# object, at least 4 million.
#
# Rates are in CPU time of reheap record, the draining of the rings included, so that a busy
# machine does not count: `main` is its main thread, which bounds the wall where another CPU
# compresses; `all` is all of its threads. `info` is reheap info --no-edges: reading and
# checking. peak is the resident memory of reheap record.
set -eu
build=${1:-build}
[ $# -eq 0 ] || shift
[ $# -ne 0 ] || set -- 1000 100000 500000 1000000 2000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
make --no-print-directory -s "$build/helpers/live_set" B="$build" NO_DEPS=1 >/dev/null
hz=$(getconf CLK_TCK)

# Kilobytes at the peak and clock ticks so far, of the main thread and of all.
look() {
	awk '/VmHWM/ { print $2 }' "/proc/$1/status" >"$work/peak.new" &&
		cut -d ' ' -f 14,15 "/proc/$1/task/$1/stat" "/proc/$1/stat" >"$work/ticks.new" &&
		[ -s "$work/peak.new" ] && mv "$work/peak.new" "$work/peak" &&
		mv "$work/ticks.new" "$work/ticks"
}

printf '%10s %10s %10s %10s %10s %10s\n' objects events 'main, M/s' 'all, M/s' 'info, M/s' 'peak, MB'
for objects in "$@"; do
	calls=$((objects * 8))
	[ "$calls" -ge 4000000 ] || calls=4000000
	"$build/reheap" record -o "$work/t.rht" -- \
		"$build/helpers/live_set" "$objects" "$calls" 2>"$work/said" &
	recorder=$!
	while look "$recorder" 2>/dev/null; do sleep 0.02; done
	wait "$recorder"
	{ time -p "$build/reheap" info --no-edges "$work/t.rht" >"$work/info"; } 2>"$work/times"
	cat "$work/peak" "$work/ticks" "$work/times" "$work/info" |
		awk -v objects="$objects" -v hz="$hz" '
		NR == 1 { peak = $1 }
		NR == 2 || NR == 3 { cpu[NR - 1] = ($1 + $2) / hz }
		$1 == "user" || $1 == "sys" { cpu[3] += $2 }
		$1 == "events" { events = $2 }
		END { printf "%10d %10d %10.1f %10.1f %10.1f %10.1f\n", objects, events,
			events / cpu[1] / 1e6, events / cpu[2] / 1e6, events / cpu[3] / 1e6,
			peak / 1024 }'
done
