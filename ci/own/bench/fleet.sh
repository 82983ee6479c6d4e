#!/bin/bash
# fleet.sh BUILD_DIR - reading ten thousand results: seconds, memory, size of the page, beside the
# goals. CELLS= another number; SHARED= a folder to put them in (its file system is measured too).
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:?usage: ci/own/bench/fleet.sh BUILD_DIR}")
cells=${CELLS:-10000}
make -s NO_DEPS=1 B="$build" "$build/helpers/matrix_maker" || exit 1
temp=$(mktemp -d "${SHARED:-${TMPDIR:-/tmp}}/reheap-fleet.XXXXXX")
trap 'rm -rf "$temp"' EXIT

seconds_of() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}
mb() {
	awk -v n="$(stat -c %s "$1")" 'BEGIN { printf "%.2f", n / 1e6 }'
}
# measured WHAT COMMAND...: seconds, of those on a CPU (ticks), and the most it had resident, read ten
# times a second
measured() {
	local what=$1 began=$EPOCHREALTIME pid most=0 now cpu=0
	shift
	"$@" >/dev/null 2>"$temp/err" &
	pid=$!
	while now=$(sed -n 's/^VmHWM:[ \t]*\([0-9]*\) kB/\1/p' /proc/$pid/status 2>/dev/null) && [ -n "$now" ]; do
		most=$now
		cpu=$(awk '{ print $14 + $15 }' /proc/$pid/stat 2>/dev/null || echo "$cpu")
		sleep 0.1
	done
	wait $pid || { cat "$temp/err"; exit 1; }
	printf '%-30s %6.1f s, %5.1f s of CPU, %5d MiB\n' "$what" "$(seconds_of "$began")" \
		"$(awk -v n="${cpu:-0}" -v hz="$(getconf CLK_TCK)" 'BEGIN { print n / hz }')" $((most / 1024))
}

began=$EPOCHREALTIME
"$build/helpers/matrix_maker" "$temp/m" "$cells" 1 || exit 1
echo "$cells results made in $(seconds_of "$began") s, $(du -sh "$temp/m" | cut -f 1) on disk"
measured 'plot, nothing read before' "$build/reheap" plot "$temp/m" -o "$temp/page"
measured 'plot again' "$build/reheap" plot "$temp/m" -o "$temp/page"
measured 'compare' "$build/reheap" compare "$temp/m"
measured 'status' "$build/reheap" matrix --status "$temp/m"
echo "page $(mb "$temp/page/report.html") MB, CSV $(mb "$temp/page/matrix.csv") MB, SQLite $(mb "$temp/m/matrix.sqlite") MB"
echo 'goals for 10,000: 60 s, 2048 MiB, a page of 5 MB'
