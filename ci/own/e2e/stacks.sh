#!/bin/bash
# Tasks from a generated trace to the figures: every stack backend, every shape, lanes that
# share tasks, proven stacks, refusals.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

backends=tiered/pools,tiered/segmented,libc/thread:size=256K,libc/heap

for shape in storm parked pool recursion fanout shrink; do
	"$reheap" gen goroutines -o $shape.rht shape=$shape lanes=8 tasks=2000 remote=20% \
		events=100000 >/dev/null 2>&1
	is_exit 0 "$shape at 1, 2 and 8 lanes, every stack proven" "$reheap" replay $shape.rht \
		--backend $backends --lanes 1,2,8 --verify --reps 1 -o $shape.json
done
"$reheap" gen hotsplit -o hotsplit.rht lanes=8 events=400000 >/dev/null 2>&1
is_exit 0 'hotsplit at 1, 2 and 8 lanes, every stack proven' "$reheap" replay hotsplit.rht \
	--backend $backends --lanes 1,2,8 --verify --reps 1 -o verified.json

"$reheap" gen goroutines -o many.rht shape=parked lanes=1 tasks=40000 events=400000 >/dev/null 2>&1
is_exit 0 'many tasks, measured' "$reheap" replay many.rht --reps 1 -o many.json \
	--backend tiered/pools,tiered/segmented,libc/thread:size=16K:guard=0,libc/heap
ok 'a line gives the cost of a task' grep -q '^stacks, resident for each task: .*libc/heap' "$temp/.out"
"$reheap" gen hotsplit -o split.rht events=1200000 >/dev/null 2>&1
is_exit 0 'the hot split, measured' "$reheap" replay split.rht --reps 1 \
	--backend tiered/pools,tiered/segmented -o split.json
bytes=$("$reheap" replay many.rht --backend tiered/pools --reps 1 --format csv 2>/dev/null |
	awk -F, '$2 == "tiered/pools" && $5 == "stacks.rss_bytes_per_task" { print int($10) }')
ok "a parked task takes 2048 to 2300 bytes (${bytes:-none})" \
	test "${bytes:-0}" -ge 2048 -a "${bytes:-0}" -le 2300

is_exit 0 'plot' "$reheap" plot many.json split.json -o drawn
for figure in tasks-memory tasks-time hot-split; do
	ok "$figure has its .svg, .tsv and .gp" test -s drawn/$figure.svg -a -s drawn/$figure.tsv \
		-a -s drawn/$figure.gp
	ok "$figure has points of both kinds of Go's stacks" \
		bash -c "grep -q tiered/pools drawn/$figure.tsv && grep -q segmented drawn/$figure.tsv"
done

is_exit 1 'a stack past its maximum is an error of the trace' "$reheap" replay recursion.rht \
	--backend tiered/pools:max=16K --reps 1
ok 'which names the place' grep -q -E 'allocations failed.*call' "$temp/.out" "$temp/.err"
is_exit 0 'older Go' "$reheap" replay shrink.rht --reps 1 --verify --backend \
	tiered:profile=1.8/pools:profile=1.8,tiered:profile=1.10/pools:profile=1.13,libc/segmented:profile=1.1,libc/segmented:profile=1.3
is_exit 2 'a version there is not' "$reheap" replay shrink.rht --backend tiered/pools:profile=9.9
is_exit 0 'a trace of threads' "$reheap" gen larson -o larson.rht \
	events=20000 lanes=3
is_exit 0 'threads of a trace as goroutines' "$reheap" replay larson.rht --reps 1 --verify \
	--backend tiered/pools,libc/thread
finish
