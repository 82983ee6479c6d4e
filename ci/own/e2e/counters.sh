#!/bin/bash
# Counters from the command line: the source can be chosen, a machine without a PMU still counts
# cache misses and says where from, and one command gives latency, contention and misses of every
# allocator that is here. shellcheck disable=SC2154 # lib.sh sets reheap, temp
. "$(dirname "$0")/lib.sh"

"$reheap" gen larson -o t.rht events=40000 lanes=2 >/dev/null 2>&1 || exit 1

# values FILE BACKEND NAME: how often a metric was measured for a backend
values() {
	awk -F, -v b="$2" -v n="$3" '$2 == b && $5 == n' "$1" | wc -l
}

is_exit 2 'a counter that is none is refused' "$reheap" replay t.rht --counters abacus
ok 'with the words there are' grep -q 'auto, papi, perf, callgrind or none' .err

is_exit 0 'doctor finds what is here in order' "$reheap" doctor
ok 'every counter is listed' test "$(grep -c -E '^  (ok|absent) +(cycles|l1d_misses|dtlb_misses|page_faults) ' .out)" = 4
ok 'what is absent has a reason' bash -c '! grep -E "^  absent +[a-zA-Z0-9_]+ *$" .out'
is_exit 0 'doctor speaks JSON' "$reheap" doctor --json
ok 'with a schema' grep -q '"reheap.doctor/1"' .out

# Stopped, it leaves no trace of what it tried, and dies of the signal.
mkdir doctors
TMPDIR=$temp/doctors "$reheap" doctor >.out 2>&1 </dev/null &
doctor=$!
until_true bash -c 'test -n "$(ls doctors)" || test ! -d /proc/'$doctor
kill -TERM $doctor
wait $doctor
ok 'a doctor that is stopped dies of the signal' test $? = 143
ok '  and leaves no file behind' test -z "$(ls doctors)"

"$reheap" replay t.rht --backend libc --reps 1 --counters perf --format csv >.out 2>.err
code=$?
ok 'perf alone counts, or is partial' test $code = 0 -o $code = 6
ok 'nobody stands in for it' test "$(values .out libc counters.ir_per_event)" = 0

is_exit 0 'none counts nothing' "$reheap" replay t.rht --backend libc --reps 1 --probes counters \
	--counters none --format csv
ok 'and has no metric' bash -c '! grep -q ",counters\." .out'

if command -v valgrind >/dev/null; then
	is_exit 0 'callgrind counts' "$reheap" replay t.rht --backend libc --lanes 1 --reps 1 \
		--counters callgrind --format csv
	cp .out one.csv
	ok 'instructions, misses, LOCKs' test "$(values one.csv libc counters.ir_per_event)" = 1 -a \
		"$(values one.csv libc counters.d1_misses_per_event)" = 1 -a \
		"$(values one.csv libc counters.lock_ops_per_1000)" = 1
	"$reheap" replay t.rht --backend libc --lanes 1 --reps 1 --counters callgrind --format csv \
		>two.csv 2>/dev/null
	ok 'the same instructions again' test \
		"$(grep 'libc.*counters.ir_per_event' one.csv | cut -d, -f5-)" = \
		"$(grep 'libc.*counters.ir_per_event' two.csv | cut -d, -f5-)"
fi

# All of it at once. Without tracefs two figures of contention are absent, which is exit 6.
"$reheap" replay t.rht --backend libc,jemalloc,mimalloc,tcmalloc,tiered --lanes 1,2 --reps 1 \
	--probes all --format csv >all.csv 2>.err
code=$?
ok 'everything is measured, or said to be partial' test $code = 0 -o $code = 6
for backend in libc jemalloc mimalloc tcmalloc tiered; do
	[ "$(values all.csv $backend time.ns_per_event)" = 2 ] || continue
	ok "$backend has percentiles at both numbers of lanes" test \
		"$(values all.csv $backend latency.p99)" = 2
	ok "$backend has a row of contention" test \
		"$(values all.csv $backend locks.blocked_share)" = 2
	ok "$backend has cache misses, of the CPU or simulated" test $(($(values all.csv \
		$backend counters.l1d_misses_per_event) + $(values all.csv $backend \
		counters.d1_misses_per_event))) -ge 2
	ok "$backend has false sharing at two lanes" test \
		"$(values all.csv $backend memory.false_sharing)" = 1
done
finish
