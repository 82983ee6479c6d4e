#!/bin/bash
# Several passes over a trace in one worker: cold and steady apart, in the table, the result and a
# figure.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

"$reheap" gen server -o server.rht events=20000 lanes=2 seed=7 >/dev/null 2>&1
"$reheap" gen goroutines -o tasks.rht events=20000 lanes=2 shape=parked tasks=500 >/dev/null 2>&1

is_exit 0 'replay --passes' "$reheap" replay server.rht --backend libc,bump --passes 3 --reps 2 \
	--lanes 2 -o a.json
ok 'the table has first and later passes' grep -q 'later ns/event' "$temp/.out"
ok 'and says what lives on' grep -q -E '3 passes a trial; .* [0-9]+ objects of [0-9.]+ MiB live on' "$temp/.out"
ok 'the result has columns of passes' grep -q '"carried_objects"' a.json
ok 'and metrics of the steady state' grep -q '"steady.ns_per_event"' a.json
is_exit 0 'CSV has them, too' "$reheap" replay server.rht --backend libc --passes 2 --reps 1 \
	--format csv
ok '  by name' grep -q 'steady.faults_per_event' "$temp/.out"
is_exit 0 'plot' "$reheap" plot a.json -o drawn
ok 'there is a figure of passes' test -s drawn/passes.svg -a -s drawn/passes.tsv
ok 'with a point for each pass' test "$(grep -c 'libc' drawn/passes.tsv)" -ge 3

is_exit 0 'contents survive from pass to pass' "$reheap" replay server.rht --backend libc,tiered \
	--passes 3 --reps 1 --verify
is_exit 0 'so do copies, which wrap where they are' "$reheap" replay server.rht --backend libc \
	--passes 2 --copies 2 --reps 1 --verify
is_exit 0 'and tasks that never exit' "$reheap" replay tasks.rht --backend tiered/pools,libc/thread \
	--passes 3 --reps 1 --verify
is_exit 0 '--for goes on for a time' "$reheap" replay server.rht --backend libc --for 50ms --reps 1 \
	-o b.json
ok 'two passes at least' bash -c "grep -A3 '\"carried_bytes\"' b.json | tr -d ' \n' | grep -q ,"
is_exit 2 '--passes and --for do not go together' "$reheap" replay server.rht --passes 2 --for 1s
says 'give one of them' 'which is said'
is_exit 0 'one pass has no second table' "$reheap" replay server.rht --backend libc --reps 1
ok '  indeed' fails grep -q 'later ns/event' "$temp/.out"

# Time taken apart: on the terminal and in the result every trial's parts are the whole.
"$reheap" gen churn -o churn.rht events=20000 >/dev/null 2>&1
is_exit 0 'two copies on shared CPUs' "$reheap" replay churn.rht --backend libc,bump --copies 2 \
	--reps 2 -v -o c.json
ok 'with -v time is taken apart' grep -q '^lane time, %' .out
ok 'each row is 100 %' awk '/^lane time, %/ { on = 1; next } on && NF < 10 { exit }
	on { sum = 0; for (i = 2; i <= 9; i++) sum += $i; rows++; if (sum < 99.5 || sum > 100.5) bad++ }
	END { exit !(rows >= 3 && !bad) }' .out
ok 'what the columns are is said, the last one too' grep -q '^rest, asleep' .out
ok 'and so is each trial of the result' perl -MJSON::PP -e '
	local $/; open my $f, "<", "c.json"; my (%sum, %parts); my $d = decode_json(<$f>);
	for my $m (grep { $_->{name} =~ /^apart\./ } @{$d->{metrics}}) {
		$sum{"$m->{backend} $_"} += $m->{values}[$_], $parts{"$m->{backend} $_"}++
			for 0 .. $#{$m->{values}};
	}
	exit !(keys %sum == 6 && !grep { $parts{$_} != 8 || abs($sum{$_} - 1) > 1e-6 } keys %sum)'
ok 'the cost of a fault was measured' grep -q '"fault_ns"' c.json
"$reheap" replay churn.rht --backend libc,bump --copies 2 --reps 2 --probes time,locks -v >.out 2>.err
ok 'efficiency, blocked, run delay and what is left are 100 %' awk '/^contention  *efficiency/ { on = 1; next }
	on && NF < 10 { exit }
	on { sum = $2 + $4 + $6 + $8; rows++; if (sum < 99.7 || sum > 100.3) bad++ }
	END { exit !(rows >= 3 && !bad) }' .out
is_exit 0 'it is drawn' "$reheap" plot c.json -o apart
ok 'as a figure' test -s apart/time-apart.svg -a -s apart/time-apart.tsv

# Several traces: cold and steady apart there as well, and variants are distinguished by the end of
# their names.
is_exit 0 'two traces, --for' "$reheap" replay churn.rht server.rht --for 50ms --reps 2 --backend \
	libc@GLIBC_TUNABLES=glibc.malloc.tcache_count=1,libc@GLIBC_TUNABLES=glibc.malloc.tcache_count=2
for of in 'time, first pass' 'time, later passes' 'peak memory, first pass' 'peak memory, later passes'; do
	ok "the matrix has: $of" grep -qE "^$of .*count=1 .*count=2" .out
done

# Two lanes of one copy are not one lane of two.
is_exit 0 'lanes and copies' "$reheap" replay churn.rht --backend libc --lanes 1,2 --copies 1,2 --reps 1 \
	-o grid.json
ok 'each setting has a row of its own name' bash -c \
	"grep -E '^churn.rht, [12] lanes?( x 2 copies)?  ' .out | sort | uniq | head -n 8 | cut -d' ' -f1-6 |
		sort -u | wc -l | grep -qx 4"
is_exit 0 'compared with itself' "$reheap" compare --all grid.json grid.json
ok 'copies are named there, too' grep -q 'lane.*, 2 copies' .out
finish
