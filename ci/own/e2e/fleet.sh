#!/bin/bash
# fleet.sh - a matrix on a real Slurm: two nodes on this machine, one killed in the middle, a cancelled
# array, a full folder. Afterwards every cell is there once and the counts are those of a run without
# the engine. FLEET=whole is the long version (make test-fleet): 200 cells; else a dozen.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=ci/own/e2e/lib_slurm.sh
. "$root/ci/own/e2e/lib_slurm.sh"

slurm_why=
slurm_start || skip_all "no Slurm: $slurm_why"
whole=
[ "${FLEET:-}" != whole ] || whole=yes

counts=counters
command -v valgrind >/dev/null || counts=time,memory
mkdir traces
patience=90 traces=2 backends='"tiered", "bump"' cells=8
if [ -n "$whole" ]; then
	patience=900 traces=25 cells=200
	backends='"tiered", "bump", "old=tiered:profile=1.8", "mid=tiered:profile=1.14"'
fi
for n in $(seq $traces); do
	"$reheap" gen churn -o "traces/small-$n.rht" lanes=1 events=1500 live=100 seed="$n" >/dev/null
done
# no planted cells: the number shall be round
cat >plan.json <<END
{ "schema": "reheap.plan/1", "traces": ["traces/*.rht"], "backends": [$backends], "aa": 0,
  "runs": [{ "kind": "deterministic", "probes": "$counts" },
	   { "kind": "deterministic", "probes": "time", "reps": 2 }] }
END

results() {
	find "$1/cells" -name '*.json' | sed 's|.*/||' | LC_ALL=C sort
}
at_least() {
	[ "$(find "$2/cells" -name '*.json' 2>/dev/null | wc -l)" -ge "$1" ]
}
# What is counted and not timed: a line for each cell.
counted() {
	local file
	find "$1/cells" -name '*.json' | LC_ALL=C sort | while read -r file; do
		echo "${file##*/} $(grep -o -E '"name":"(counters.ir_per_event|waits.per_event)"[^}]*"median":[^,]*|"events":[0-9]*|"status":"[a-z]*"|"objects":[0-9]*' "$file" |
			sed -E 's/"name":"([^"]*)".*"median":/\1=/' | tr '\n' ' ')"
	done
}
submit=("$reheap" matrix plan.json -o m --slurm --cache "$temp/cache" --per-task 1)
# The number of cells that the last submission (in .out) sent.
sent() {
	sed -n 's/^job [0-9]*: \([0-9]*\) .*/\1/p' .out | awk '{ n += $1 } END { print n + 0 }'
}

"$reheap" matrix plan.json -o here -j 2 --quiet || echo "# the run without the engine failed"
ok "without the engine: $cells cells" test "$(results here | wc -l)" = $cells

# ---- nodes that do not agree ----

cat >other.sh <<END
#!/bin/sh
[ "\$SLURMD_NODENAME" = n2 ] && [ "\$1" = --version ] && { echo 'reheap v0.0.1'; exit; }
exec "$reheap" "\$@"
END
chmod +x other.sh
is_exit 5 'nodes with two versions' "${submit[@]}" --reheap "$temp/other.sh"
says 'node n2 has reheap v0.0.1, and this is reheap ' 'are refused, and named'
ok 'before anything was submitted' fails bash -c "squeue -h -o %j | grep '^reheap-'"
is_exit 5 'a node without reheap' "${submit[@]}" --reheap /nowhere/reheap
says 'has no /nowhere/reheap' 'is refused, too'

# ---- a node dies ----

mkdir -p m
full=
if [ -n "$whole" ] && mount -t tmpfs -o size=200m none m 2>/dev/null; then
	full=yes
	trap 'slurm_stop; umount m 2>/dev/null; cleanup' EXIT
fi
is_exit 0 'the matrix is submitted' "${submit[@]}"
ok "all $cells cells" test "$(sent)" = $cells
ok 'as one array' test "$(grep -c '^job' .out)" = 1
is_exit 1 'a second time' "${submit[@]}"
says 'tasks of this matrix wait' 'is refused while it is at work'
ok 'cells are made' wait_for $patience at_least $((cells / 6)) m
slurm_node_dies n1
is_exit 0 'status' "$reheap" matrix --status m
ok 'reports what the engine has' grep -q -E '^Slurm: [0-9]+ tasks run, [0-9]+ wait' .out
ok 'the other node goes on' wait_for $patience at_least $((cells / 3)) m
slurm_node n1
if [ -n "$whole" ]; then
	ok 'the node comes back' wait_for 60 bash -c "scontrol show node n1 | grep -q -E 'State=(IDLE|ALLOCATED|MIXED)( |$)'"
	ok 'and works' wait_for $patience at_least $((cells / 2)) m
fi

# ---- cancelled ----

scancel -n "$(squeue -h -o %j | head -n 1)" 2>/dev/null
ok 'the array is cancelled' wait_for $patience jobs_gone
there=$(results m | wc -l)
[ -n "$whole" ] && ok "in the middle ($there of $cells)" test "$there" -lt $cells
is_exit 0 'what is missing is submitted' "${submit[@]}"
ok "and no more ($there were there)" test "$(sent)" = $((cells - there))

# ---- the folder is full ----

if [ -n "$full" ]; then
	ok 'some more are made' wait_for $patience at_least $((there + 10)) m
	mount -o remount,size="$(($(df -k --output=used m | tail -n 1) + 40))k" m
	ok 'tasks end when nothing can be written' wait_for $patience jobs_gone
	there=$(results m | wc -l)
	ok "in the middle ($there of $cells)" test "$there" -lt $cells
	"$reheap" matrix --status m >.status
	mount -o remount,size=200m m
	is_exit 0 'with room what is missing is submitted' "${submit[@]}"
	ok "and no more ($there were there)" test "$(sent)" = $((cells - there))
elif [ -n "$whole" ]; then
	skip 'a full folder' 'a tmpfs cannot be mounted here'
fi

# ---- in the end ----

ok 'the jobs end' wait_for $patience jobs_gone
is_exit 0 'status' "$reheap" matrix --status m
ok 'nothing is missing' grep -q "$cells done, 0 missing" .out
ok 'every cell is there once, under the same name' diff <(results here) <(results m)
ok 'nothing half made is left' test -z "$(find m -name '*.part')"
counted here >counted.here
counted m >counted.m
ok 'every count is that of the run without the engine' diff counted.here counted.m
ok 'the counts are there' test "$(grep -c 'events":1[0-9]* ' counted.m)" = $cells
[ $counts != counters ] || ok 'instructions, too' \
	test "$(grep -c 'counters.ir_per_event=[0-9]' counted.m)" = $((cells / 2))
ok 'traces were staged once each' test "$(find cache -name '*.rht' | wc -l)" = $traces
is_exit 0 'once more' "${submit[@]}"
ok 'submits nothing' grep -q 'nothing is missing' .out

# ---- what the shared folder has to do ----

# A task again by hand: its cells are those of the first array that was submitted.
if can_trace; then
	script=$(find m/jobs -name '*.sh' | LC_ALL=C sort | head -n 1)
	name=$(sed -n '2s/.*"name": *"\([0-9a-f]*\)".*/\1/p' "${script%.sh}.cells")
	result=m/cells/${name:0:2}/$name.json
	rm "$result"
	SLURM_ARRAY_TASK_ID=0 strace -f -o calls -e trace=%file sh "$script"
	# and Slurm opens the file of what the task prints
	calls=$(($(grep -v ' execve(' calls | grep -c "$(realpath m)/\|\"m/") + 1))
	ok "a task of one cell asks the folder $calls times, ten at most" \
		test $calls -gt 4 -a $calls -le 10
	ok 'and makes its cell' test -s "$result"
else
	skip 'calls of a task are counted' 'strace does not run here, or a sanitizer does not run under it'
fi

# ---- a backend that one node has not ----

if [ -n "$whole" ] && "$reheap" list backends | grep -q '^ *jemalloc '; then
	cat >without.sh <<END
#!/bin/sh
[ "\$SLURMD_NODENAME" != n2 ] || export REHEAP_PEER_JEMALLOC=/nowhere/libjemalloc.so
exec "$reheap" "\$@"
END
	chmod +x without.sh
	sed -e 's/"backends": \[[^]]*\]/"backends": ["jemalloc"]/' plan.json >plan2.json
	is_exit 0 'a backend that one node has not' "$reheap" matrix plan2.json -o m2 --slurm \
		--cache "$temp/cache" --per-task 1 --reheap "$temp/without.sh"
	ok 'all is made' wait_for $patience at_least 50 m2
	wait_for $patience jobs_gone
	ok 'on that node its absence is the result' test "$(grep -l '"status":"absent"' m2/cells/*/*.json | wc -l)" -gt 0
	ok 'on the other it ran' test "$(grep -L '"status":"absent"' m2/cells/*/*.json | wc -l)" -gt 0
fi

# ---- the plan of the examples: recorded programs, timed ----

if [ -n "$whole" ]; then
	example=$root/ci/examples/plan.json
	"$reheap" matrix "$example" -o ex --dry-run >dry
	sed -n '/ absent/d; s/^\([0-9a-f]\{32\}\) .*/\1.json/p' dry | LC_ALL=C sort >wanted
	wanted=$(wc -l <wanted)
	submit=("$reheap" matrix "$example" -o ex --slurm --cache "$temp/cache" --per-task 1)
	is_exit 0 "the example is submitted: $wanted cells" "${submit[@]}"
	ok 'all that are not absent' test "$(sent)" = "$wanted" -a "$wanted" -ge 20
	ok 'cells are made' wait_for $patience at_least $((wanted / 6)) ex
	slurm_node_dies n1
	ok 'when a node is killed the other goes on' wait_for $patience at_least $((wanted / 3)) ex
	slurm_node n1
	ok 'and all are made' wait_for $patience jobs_gone
	ok 'each once, under the names of the plan' diff wanted <(results ex)
	"$reheap" matrix --status ex | sed 's/^/# /'
	is_exit 0 'the overview is drawn' "$reheap" plot ex -o overview
	ok 'of all cells' grep -q "<p>$wanted cells: $wanted done\." overview/report.html
fi
finish
