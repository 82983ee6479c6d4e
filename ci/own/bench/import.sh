#!/bin/bash
# import.sh BUILD_DIR - how fast each importer reads: `make bench-import`. For each format a log of
# LINES lines (2,000,000) is made, of blocks that live for 1,000 calls, and imported three times; the
# fastest counts. Seconds are CPU time of the whole command (reading, repairing, compressing, writing),
# so that another load on the machine matters little. The goal is 6 million lines a second.
set -u
cd "$(dirname "$0")/../../.." || exit 2
build=$(realpath "${1:-build}")
lines=${LINES_EACH:-2000000}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cd "$temp" || exit 1

# log FORMAT: lines in pairs, a block made and the one of 1,000 blocks before freed
log() {
	awk -v format="$1" -v lines="$lines" '
	function made(i, p, size) {
		if (format == "android") print "7: malloc " p " " size
		else if (format == "csv") print i ",7,malloc,0," size "," p
		else if (format == "heaptrack") printf "+ %x 1 %s\n", size, substr(p, 3)
		else if (format == "logalloc") print "7 7 malloc(" size ")=" p
		else if (format == "ltrace") print "[pid 7] prog->malloc(" size ") = " p
		else if (format == "lttng") printf "[01:02:%02d.%09d] (+0.0) h lttng_ust_libc:malloc: { cpu_id = 1 }, { vtid = 7 }, { size = %d, ptr = %s }\n", i / 1e6, i % 1e6, size, p
		else if (format == "malloclab") print "a " i " " size
		else if (format == "mtrace") printf "@ ./t:[0x1149] + %s 0x%x\n", p, size
		else if (format == "umpire") printf "{\"name\":\"allocate\",\"numeric_args\":{\"size\":%d},\"string_args\":{\"pointer\":\"%s\"},\"timestamp\":%d}\n", size, p, i
		else if (format == "valgrind") print "--7-- malloc(" size ") = " p
		else if (format == "wee_alloc") print "Alloc(" size "),"
		else if (format == "perf") {
			printf "prog 7 [001] %d.%06d: l:malloc: (7f) bytes=0x%x\n", i / 1e6, i % 1e6, size
			printf "prog 7 [001] %d.%06d: l:malloc__return: (7f <- 8) block=%s\n", i / 1e6, i % 1e6, p
		}
		else if (format == "text") print "alloc lane=0 id=" i " size=" size
	}
	function freed(i, p) {
		if (format == "android") print "7: free " p
		else if (format == "csv") print i ",7,free,0,0," p
		else if (format == "heaptrack") print "- " substr(p, 3)
		else if (format == "logalloc") print "7 7 free(" p ")"
		else if (format == "ltrace") print "[pid 7] prog->free(" p ") = <void>"
		else if (format == "lttng") printf "[01:02:%02d.%09d] (+0.0) h lttng_ust_libc:free: { cpu_id = 1 }, { vtid = 7 }, { ptr = %s }\n", i / 1e6, i % 1e6, p
		else if (format == "malloclab") print "f " i
		else if (format == "mtrace") print "@ ./t:[0x1150] - " p
		else if (format == "umpire") printf "{\"name\":\"deallocate\",\"string_args\":{\"pointer\":\"%s\"},\"timestamp\":%d}\n", p, i
		else if (format == "valgrind") print "--7-- free(" p ")"
		else if (format == "wee_alloc") print "Free(" i "),"
		else if (format == "perf") printf "prog 7 [001] %d.%06d: l:free: (7f) block=%s\n", i / 1e6, i % 1e6, p
		else if (format == "text") print "free lane=0 id=" i
	}
	BEGIN {
		if (format == "csv") print "time,thread,op,old,size,ptr"
		if (format == "heaptrack") print "v 10400 3\nI 1000 1"
		if (format == "malloclab") print lines "\n" lines
		if (format == "mtrace") print "= Start"
		if (format == "text") print "reheap-trace 1"
		for (i = 0; i < lines / 2; i++) {
			p = sprintf("0x7f%06x0", i % 1024 * 7)
			if (i >= 1000) {
				q = sprintf("0x7f%06x0", (i - 1000) % 1024 * 7)
				freed(i - 1000, q)
			}
			made(i, p, 16 + i * 37 % 1000)
		}
	}'
}

printf '%-12s %12s %10s %14s %10s  %s\n' format lines 'CPU s' 'lines/s, M' 'MB/s' 'goal: 6'
for format in android csv heaptrack logalloc ltrace lttng malloclab mtrace perf text umpire valgrind wee_alloc; do
	log $format >log
	count=$(wc -l <log)
	bytes=$(wc -c <log)
	best=
	for _ in 1 2 3; do
		seconds=$({ TIMEFORMAT='%U %S'; time "$build/reheap" import "$format" log -o t.rht >out 2>&1; } 2>&1 |
			awk '{ print $1 + $2 }')
		best=$(echo "$seconds ${best:-1e9}" | awk '{ print $1 < $2 ? $1 : $2 }')
	done
	"$build/reheap" info t.rht >/dev/null || { cat out; exit 1; }
	awk -v f=$format -v n="$count" -v s="$best" -v b="$bytes" \
		'BEGIN {
			printf "%-12s %12d %10.2f %14.1f %10.0f  %s\n", f, n, s, n / s / 1e6, b / s / 1e6,
				n / s / 1e6 >= 6 ? "met" : "missed"
		}'
done
