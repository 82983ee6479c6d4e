#!/bin/bash
# Probes from the command line: the list, the contents of the document, refusals, and one command
# that measures latency and contention of every installed allocator. shellcheck disable=SC2154 #
# lib.sh sets reheap, temp
. "$(dirname "$0")/lib.sh"

"$reheap" gen larson -o t.rht events=60000 lanes=2 >/dev/null 2>&1 || exit 1
"$reheap" gen larson -o timed.rht events=2000 lanes=2 time=on >/dev/null 2>&1 || exit 1

# has WORDS...: each stands in r.json
has() {
	local word
	for word; do
		grep -qF -- "$word" r.json || { echo "r.json lacks $word"; return 1; }
	done
}
is_exit 0 'probes are listed' "$reheap" list probes
for probe in time memory latency locks mutex pace; do
	ok "$probe is among them" grep -q "^ *$probe " .out
done
is_exit 0 'probes are listed as JSON' "$reheap" list probes --json
is_exit 2 'an unknown probe is refused' "$reheap" replay t.rht --probes nonsense
is_exit 2 'a sample of 0 is refused' "$reheap" replay t.rht --sample 0
is_exit 2 'a sample that is no number is refused' "$reheap" replay t.rht --sample often
is_exit 2 '--speed alone is refused' "$reheap" replay t.rht --speed 2
is_exit 2 'speed 0 is refused' "$reheap" replay t.rht --pace open --speed 0
is_exit 2 '--pace without recorded times is refused' "$reheap" replay t.rht --pace open
is_exit 2 '--hgrm without latency is refused' "$reheap" replay t.rht --hgrm h --probes time

is_exit 0 'latency is measured' "$reheap" replay t.rht --backend libc,bump --lanes 2 --reps 2 \
	--probes latency --hgrm h -v -o r.json
ok 'the table has a row for it' grep -q '^latency, ns' .out
ok 'the document has percentiles and their bounds' has '"latency.p50"' '"latency.p99_9"' \
	'"latency.free_remote.p99"' '"exact_from_ns"' '"granularity_ns"' '"outliers"' '"cells"'
ok 'histograms were written' test -s h/t.rht.libc.l2.c1.hgrm -a -s h/t.rht.bump.l2.c1.free.hgrm
ok 'their last percentile is 1' grep -q ' 1.000000000000 ' h/t.rht.libc.l2.c1.hgrm

# Without tracefs two figures are absent, which is exit 6 and no failure.
"$reheap" replay t.rht --backend libc,bump,tiered --lanes 1,2 --reps 1 --probes locks -v -o r.json \
	>.out 2>.err
code=$?
ok 'contention is measured, or said to be partial' test $code = 0 -o $code = 6
ok 'every backend has a row at both numbers of lanes' test \
	"$(grep -c -E '^(libc|bump|tiered|null) .*(sw only|sw, own)$' .out)" = 8
ok 'sources are named' has '"sources"' 'rusage'
ok 'what is missing has a sentence' bash -c \
	'[ '$code' = 0 ] || grep -q "futex_per_event not measured: tracepoint" .out'

is_exit 0 'mutexes are counted from outside' "$reheap" replay t.rht --backend libc --reps 1 \
	--probes mutex -o r.json
ok 'and stand in the document' has '"mutex.acquired_per_event"' '"futex_waits"'
is_exit 0 'lanes can be pinned, the machine looked at' "$reheap" replay t.rht --backend bump \
	--reps 1 --pin --quiet-check
is_exit 6 'latency and --verify exclude each other, with a sentence' "$reheap" replay t.rht \
	--backend libc --reps 1 --probes latency --verify
ok 'which says why' grep -q 'latency not measured: --verify' .out
is_exit 0 'recorded times are kept' "$reheap" replay timed.rht --backend libc --reps 1 \
	--pace open --probes latency -o r.json
ok 'lag is reported' has '"pace.lag_p99"' '"could_not_keep_pace"' '"response"'
is_exit 0 'recorded gaps are kept, faster' "$reheap" replay timed.rht --backend libc --reps 1 \
	--pace think --speed 10
ok 'and said to be in the times' grep -q 'contain the recorded pauses' .out

# The first output: one table, one line for each probe, each reason once.
"$reheap" replay t.rht --backend libc,tiered --reps 1 --probes all >.out 2>.err
ok 'one trace: one table' test "$(grep -c '^backend  ' .out)" = 1 -a "$(grep -c '^tiered  ' .out)" = 1
ok 'a probe has one line' test "$(grep -c '^latency, 99th percentile: ' .out)" = 1
ok 'with every contestant and no control' grep -qE \
	'^latency, 99th percentile: (libc|tiered) [^,]*, (libc|tiered) [^,]* ns$' .out
ok 'no reason stands there twice' test -z \
	"$(sed -n 's/.*not measured: //p' .out | sort | uniq -d)"
ok 'and it is one screen' test "$(wc -l <.out)" -le 24
"$reheap" replay t.rht timed.rht --backend libc,tiered --reps 1 --probes time,latency >.out 2>.err
ok 'two traces: the matrix alone' test "$(grep -c '^backend  ' .out)" = 0 -a \
	"$(grep -c '^t.rht, 2 lanes  ' .out)" = 1 -a "$(wc -l <.out)" -le 20
ok 'of time, as memory was not asked for' test "$(grep -c '^peak memory ' .out)" = 0
"$reheap" replay t.rht timed.rht --backend libc,tiered --reps 1 --probes time,latency -v >.out 2>.err
ok '-v: a table of each' test "$(grep -c '^backend  ' .out)" = 2 -a "$(grep -c '^latency, ns' .out)" = 2

# Colours where a person looks, and nowhere else.
colours() {
	grep -c $'\033' <<<"$1"
}
on_terminal() { # VARIABLE=VALUE...: of a replay whose output is a terminal
	env "$@" script -qec "'$reheap' replay t.rht --backend libc --reps 1 2>/dev/null" /dev/null </dev/null
}
ok 'a pipe gets none' test "$(colours "$("$reheap" replay t.rht --reps 1 2>/dev/null)")" = 0
ok '--color=always gets them' test \
	"$(colours "$("$reheap" replay t.rht --reps 1 --color=always 2>/dev/null)")" != 0
ok 'CSV has none' test \
	"$(colours "$("$reheap" replay t.rht --reps 1 --format csv --color=always 2>/dev/null)")" = 0
is_exit 2 'and no other word' "$reheap" replay t.rht --color mauve
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
	ok 'a terminal gets them' test "$(colours "$(on_terminal -u NO_COLOR TERM=xterm)")" != 0
	ok 'not with NO_COLOR' test "$(colours "$(on_terminal NO_COLOR=1 TERM=xterm)")" = 0
	ok 'not with TERM=dumb' test "$(colours "$(on_terminal -u NO_COLOR TERM=dumb)")" = 0
else
	skip 'a terminal gets them' 'script(1) makes no pseudo-terminal here'
fi
finish
