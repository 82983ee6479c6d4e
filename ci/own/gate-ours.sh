#!/bin/bash
# gate-ours.sh BUILD_DIR [--move] - this repository gates its own heap and engine.
#
# Instructions per event of the replay loop, on traces that `reheap gen` makes from a fixed
# seed (so that nothing but the code can change), counted under valgrind and compared with
# ci/own/baselines/instructions.tsv: more than 1 % is a regression (exit 1). Counts depend on
# the compiler and on libc, so the file says which it was made with; when one differs the
# gate is skipped with a line that says so (exit 77).
#
# To move the baseline, after a change that is meant to cost or save instructions:
#
#	ci/own/gate-ours.sh build --move && git add ci/own/baselines	and say why in the message
#
# `bump` is the engine with the least of a heap, `tiered` the heap. Fewer instructions than the
# baseline by more than 1 % pass with a line that asks to move it: an old slack hides what
# comes next.
#
# `recording finish` is the cost of turning a capture into its trace, including compression: for a
# program of 300,000 calls and 5,000 living blocks. Where its clock is read differs from run to run,
# which is 0.2 % here; there 3 % are a regression.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$(realpath "${1:?usage: ci/own/gate-ours.sh BUILD_DIR [--move]}") || exit 2
reheap=$build/reheap
baseline=ci/own/baselines/instructions.tsv
move=${2:-}
temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-ours.XXXXXX")
trap 'rm -rf "$temp"' EXIT

skip() {
	echo "skipped: $1"
	exit 77
}

libc_id() {
	local libc
	libc=$(ldd "$build/reheap-worker" | awk '/libc\.so/ { print $3 }')
	readelf -n "$libc" 2>/dev/null | awk '/Build ID/ { print $3 }'
}
zstd_name() {
	local zstd
	zstd=$(ldd "$build/reheap" | awk '/libzstd\.so/ { print $3 }')
	basename "$(realpath "$zstd")"
}
compiler() {
	readelf -p .comment "$build/reheap-worker" 2>/dev/null |
		sed -n 's/^ *\[ *[0-9a-f]*\] *//p' | grep -m 1 -i 'gcc\|clang'
}

command -v valgrind >/dev/null || skip 'valgrind is not installed'
command -v readelf >/dev/null || skip 'readelf is not installed'
fingerprint="$(compiler), libc $(libc_id), $(zstd_name), $(uname -m), $(valgrind --version)"

# trace PROFILE SEED EVENTS LANES
trace() {
	"$reheap" gen "$1" -o "$temp/$1.rht" seed="$2" events="$3" lanes="$4" >/dev/null 2>&1 ||
		{ echo "reheap gen $1 failed"; exit 1; }
}

# count PROFILE BACKEND: instructions per event
count() {
	"$reheap" gate "$temp/$1.rht" --baseline "$2" --candidate "$2" --tier deterministic \
		--lanes 1 --events 0 --touch first --no-verify --count-threshold 10% -q -o "$temp/out.json" \
		>/dev/null 2>"$temp/err" || { cat "$temp/err"; return 1; }
	awk '/"name": "instructions"/ { in_it = 1 }
		in_it && /"candidate":/ { gsub(/[^0-9.eE+-]/, "", $2); printf "%.4f", $2; exit }' \
		"$temp/out.json"
}

# finish: instructions per event of making the trace of a capture. The recorder is killed when its
# program is over, which leaves the capture.
count_finish() {
	local said
	(cd "$temp" && "$reheap" record -q -f -o f.rht -- \
		sh -c "$build/helpers/live_set 5000 300000; sleep 0.5; kill -9 \$PPID") \
		>/dev/null 2>&1
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$reheap" record \
		--recover "$temp/f.rht.capture" -o "$temp/f.rht" >"$temp/err" 2>&1 || { cat "$temp/err"; return 1; }
	said=$(sed -n 's/.*rht: \([0-9]*\) events.*/\1/p' "$temp/err" | sort -n | tail -1)
	awk -v events="$said" '/Collected/ { printf "%.4f", $NF / events }' "$temp/err"
}

rows='server tiered
server bump
churn tiered
sawtooth tiered
recording finish'
trace server 1 150000 1
trace churn 1 150000 1
trace sawtooth 1 150000 1

if [ "$move" = --move ]; then
	{
		echo "# made with: $fingerprint"
		printf '# trace\tbackend\tIr/event\n'
	} >"$temp/new.tsv"
elif [ ! -f $baseline ]; then
	echo "there is no $baseline: make it with ci/own/gate-ours.sh $1 --move"
	exit 1
elif [ "$(sed -n 's/^# made with: //p' $baseline)" != "$fingerprint" ]; then
	skip "baselines were made with $(sed -n 's/^# made with: //p' $baseline); here is $fingerprint"
fi

failed=0
while read -r profile backend; do
	most=0.01
	if [ "$profile" = recording ]; then
		most=0.03
		now=$(count_finish)
	else
		now=$(count "$profile" "$backend")
	fi
	[ $? -eq 0 ] && [ -n "$now" ] ||
		{ echo "FAIL  $profile on $backend: could not be counted: $now"; failed=1; continue; }
	if [ "$move" = --move ]; then
		printf '%s\t%s\t%s\n' "$profile" "$backend" "$now" | tee -a "$temp/new.tsv"
		continue
	fi
	was=$(awk -F'\t' -v p="$profile" -v b="$backend" '$1 == p && $2 == b { print $3 }' $baseline)
	if [ -z "$was" ]; then
		echo "FAIL  $profile on $backend: no baseline (a missing one is never a pass)"
		failed=1
		continue
	fi
	awk -v most=$most -v now="$now" -v was="$was" -v what="$profile on $backend" 'BEGIN {
		change = now / was - 1
		word = change > most ? "FAIL" : "ok"
		printf "%-5s %s: %.2f instructions per event, baseline %.2f (%+.2f %%)%s\n", word, what,
			now, was, 100 * change,
			change < -most ? ": fewer; move the baseline (--move)" : ""
		exit change > most }' || failed=1
done <<<"$rows"
[ "$move" != --move ] || { mkdir -p ci/own/baselines && mv "$temp/new.tsv" $baseline; }
exit $failed
