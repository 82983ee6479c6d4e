#!/bin/bash
# Order between threads, whatever the processor makes of it: blocks that one thread makes and another
# frees at once, recorded and replayed. A stamp that changes places with another's shows as a free
# before its alloc or as a second birth at one address; a wake-up that is lost as a replay that does
# not end. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
hand_over=$build/helpers/hand_over
[ -x "$hand_over" ] || skip_all "no hand_over in $build"

# counts KIND N [MORE]: info shows N events of a kind, and at most MORE beside (the C library's own)
counts() {
	awk -v kind="$1" -v least="$2" -v more="${3:-0}" '
		$1 == kind { n = $2 }
		END { if (n < least || n > least + more) { print n, "instead of", least; exit 1 } }' info.txt
}
for threads in 2 5; do
	for sites in '' --sites; do # with sites every event has a stamp of its own
		blocks=15000
		name="$threads threads${sites:+, $sites}"
		# shellcheck disable=SC2086  # an option or none
		is_exit 0 "$name: blocks are handed over whole" "$reheap" record $sites -o h.rht -- "$hand_over" $threads $blocks sleepy
		is_exit 0 '  recorded as a trace' "$reheap" info h.rht
		cp "$temp/.out" info.txt
		ok '  with every birth' counts alloc $((threads * blocks)) 20
		ok '  every resize' counts resize $((threads * (blocks / 4)))
		ok '  every death' counts free $((threads * blocks)) 20
		ok '  each on the next thread' grep -q -E "remote frees +$((threads * blocks)) of" info.txt
		ok '  none before what it depends on' grep -q ' 0 stamps before an earlier' info.txt
		ok '  and nothing repaired' fails grep -q -E 'orphan|twice|inversion|dropped' info.txt
	done
done
# More lanes than CPUs: a lane that waits sleeps, and each publication may have to wake one.
is_exit 0 'five lanes wait for each other, asleep' timeout 300 taskset -c "$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')" \
	"$reheap" replay h.rht --lanes recorded --backend libc,tiered --verify --reps 5
is_exit 0 'or on all CPUs' timeout 300 "$reheap" replay h.rht --lanes recorded --backend libc,tiered --verify --reps 5
is_exit 0 'and as fast as they can' timeout 300 "$reheap" replay h.rht --lanes recorded --backend libc,tiered --touch none --reps 10
finish
