#!/bin/bash
# matrix.sh - a matrix on this machine: cells named by content, nothing twice, nothing lost, bad plans.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir traces
for n in 1 2; do
	"$reheap" gen churn -o traces/small-$n.rht lanes=1 events=3000 seed=$n live=200 >/dev/null
	"$reheap" gen larson -o traces/larson-$n.rht lanes=2 events=3000 seed=$n >/dev/null
done
# plan FILE BACKENDS [MORE KEYS]
plan() {
	cat >"$1" <<END
{ "schema": "reheap.plan/1", "traces": ["traces/*.rht"], "backends": [$2],
  "runs": [{ "kind": "timing", "lanes": "1", "reps": 2, "probes": "time" }]${3:+, $3} }
END
}
results() {
	find "$1/cells" -name '*.json' | LC_ALL=C sort
}
cells() {
	"$reheap" matrix "$@" -v | awk '/^[0-9a-f]{32} /'
}

# ---- cells and their names ----

plan plan.json '"tiered", "bump"'
is_exit 0 'dry run' "$reheap" matrix plan.json -o m --dry-run
ok 'it lists 8 cells and one that is planted' test "$(grep -c -E '^[0-9a-f]{32} ' .out)" = 9
ok 'it says how long and how much' grep -q -E '^9 cells, 9 to make: about .* from 2 pilot runs' .out
ok 'and makes nothing' test ! -e m
sed -n 's/^\([0-9a-f]\{32\}\) .*/\1/p' .out >names

is_exit 0 'the matrix is made' "$reheap" matrix plan.json -o m
ok 'the names are those of the dry run' diff <(sort names) <(results m | sed 's|.*/||; s/\.json$//' | sort)
ok 'nothing half made stays' test -z "$(find m -name '*.part')"
ok 'A/A cells are counted' grep -q -E '^A/A: [01] of 1 planted' .out
results m | xargs cksum >before
is_exit 0 'again' "$reheap" matrix plan.json -o m
ok 'it makes nothing' grep -q '^made 0 cells, 9 were there' .out
results m | xargs cksum >after
ok 'and leaves every result' cmp before after
ok 'a cell is a result that compare reads' "$reheap" compare \
	"$(results m | xargs grep -l '"tiered"' | head -n 1)" --between libc,tiered

victims=$(results m | head -n 3)
rm $victims
is_exit 0 'status' "$reheap" matrix --status m
ok 'it says what is missing' grep -q '6 done, 3 missing' .out
is_exit 0 'what is missing is made' "$reheap" matrix plan.json -o m -j 2
ok 'three cells and no other' grep -q '^made 3 cells, 6 were there' .out
ok 'all are there' test "$(results m | wc -l)" = 9

plan more.json '"tiered", "bump", "old=tiered:profile=1.8"'
is_exit 0 'a plan with one backend more' "$reheap" matrix more.json -o m
ok 'makes that one' grep -q '^made 4 cells, 9 were there' .out

mkdir elsewhere
cp -r traces more.json elsewhere/
ok 'names do not hang on the folder' \
	diff <(cells more.json -o m --dry-run | cut -d ' ' -f 1) <(cells elsewhere/more.json -o n --dry-run | cut -d ' ' -f 1)
sleep 0.02
"$reheap" gen churn -o traces/small-1.rht lanes=1 events=3001 seed=9 live=200 >/dev/null
is_exit 0 'another trace under the same name' "$reheap" matrix more.json -o m
ok 'is another cell' grep -q -E '^made [34] cells, ' .out

is_exit 0 'traces are staged' "$reheap" matrix plan.json -o staged --cache cache
ok 'each once, by content' test "$(find cache -name '*.rht' | wc -l)" = 4
ok 'under the hash of its bytes' test "$(sha256sum <traces/small-2.rht | cut -d ' ' -f 1)" = \
	"$(basename "$(dirname "$(find cache -name small-2.rht)")")"

# ---- stopped in the middle ----

plan long.json '"tiered", "bump"' '"seed": 7'
"$reheap" gen churn -o traces/long.rht lanes=1 events=150000 >/dev/null
"$reheap" matrix long.json -o stop >stop.out 2>stop.err &
pid=$!
for _ in $(seq 200); do
	[ "$(find stop/cells -name '*.json' 2>/dev/null | wc -l)" -lt 2 ] || break
	sleep 0.05
done
kill -INT $pid
wait $pid
code=$?
ok "an interrupted matrix ends by the signal ($code)" test $code = 130
ok 'says that it goes on' grep -q 'interrupted: the same command goes on' stop.out
ok 'leaves nothing half made' test -z "$(find stop -name '*.part')"
there=$(results stop | wc -l)
is_exit 0 'and goes on' "$reheap" matrix long.json -o stop
ok 'with what is missing' grep -q ", $there were there" .out

"$reheap" matrix long.json -o killed >/dev/null 2>&1 &
pid=$!
for _ in $(seq 200); do
	[ "$(find killed/cells -name '*.json' 2>/dev/null | wc -l)" -lt 1 ] || break
	sleep 0.05
done
kill -KILL $pid
wait $pid 2>/dev/null
sleep 1
part=$(results killed | head -n 1)
part=${part%.json}.$(hostname).$pid.part
echo half >"$part"
is_exit 0 'one that was killed goes on, too' "$reheap" matrix long.json -o killed
ok 'to the same cells' diff <(cd stop && results .) <(cd killed && results .)
ok 'and clears what was half made' test -z "$(find killed -name '*.part')"

# ---- file operations in the folder for a cell ----

if can_trace; then
	strace -f -o calls -e trace=%file "$reheap" matrix plan.json -o asked --quiet
	made=$(results asked | wc -l)
	calls=$(share_calls calls asked)
	ok "$made cells ask the folder $calls times, six each at most" \
		test "$made" -gt 7 -a "$calls" -gt "$made" -a "$calls" -le $((6 * made))
	# A file system where no file is without a name, as NFS is.
	mkdir -p named/cells
	"$reheap" matrix plan.json -o named --dry-run -v | sed -n 's/^\([0-9a-f]\{2\}\)[0-9a-f]\{30\} .*/\1/p' |
		sort -u >rooms
	rooms=()
	while read -r room; do
		mkdir "named/cells/$room"
		rooms+=(-P "named/cells/$room")
	done <rooms
	strace -f -o injected "${rooms[@]}" -e inject=openat:error=EOPNOTSUPP \
		"$reheap" matrix plan.json -o named --quiet 2>/dev/null
	ok 'without nameless files' grep -q 'O_TMPFILE.*EOPNOTSUPP.*INJECTED' injected
	ok 'the cells are made, too' diff <(cd asked && results .) <(cd named && results .)
	ok 'and nothing else is left' test -z "$(find named -name '*.part')"
else
	skip 'calls are counted' 'strace does not run here, or a sanitizer does not run under it'
fi

# ---- deterministic cells ----

if command -v valgrind >/dev/null; then
	sed 's/"kind": "timing".*}\]/"kind": "deterministic" }]/' plan.json >counts.json
	sed -i -e 's|traces/\*|traces/small-[2]|' -e 's/, "bump"//' counts.json
	is_exit 0 'counts' "$reheap" matrix counts.json -o c1 -j 2
	is_exit 0 'counts again, elsewhere' "$reheap" matrix counts.json -o c2
	ok 'have the same cells' diff <(cd c1 && results .) <(cd c2 && results .)
else
	skip 'counts' 'valgrind is not installed'
fi

# ---- bad plans ----

# bad WHAT PATTERN EXIT TEXT
bad() {
	printf '%s\n' "$4" >bad.json
	is_exit "$3" "$1" "$reheap" matrix bad.json -o b
	says "$2" 'and is said'
}
head='"schema": "reheap.plan/1"'
runs='"runs": [{ "kind": "timing" }]'
bad 'a key that is not known' "no key 'trace' .*did you mean traces" 2 \
	"{ $head, \"trace\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], $runs }"
bad 'one inside' "no key 'lane' .*runs.*did you mean lanes" 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], \"runs\": [{ \"kind\": \"timing\", \"lane\": \"1\" }] }"
bad 'an empty glob' 'no trace is called .*nowhere' 2 \
	"{ $head, \"traces\": [\"nowhere/*.rht\"], \"backends\": [\"tiered\"], $runs }"
bad 'no backends' '"backends" is empty' 2 "{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [], $runs }"
bad 'a backend twice' 'two cells of one name: backends tiered and b=tiered' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\", \"b=tiered\"], $runs }"
bad 'the baseline as a backend' 'is the baseline' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"libc\"], $runs }"
bad 'a run twice' 'comes twice' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], \"runs\": [{ \"kind\": \"timing\" }, { \"kind\": \"timing\", \"lanes\": \"1,2\" }] }"
bad 'a kind that is none' 'timing or deterministic' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], \"runs\": [{ \"kind\": \"fast\" }] }"
bad 'lanes that are none' '"lanes" takes numbers' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], \"runs\": [{ \"kind\": \"timing\", \"lanes\": \"1,x\" }] }"
bad 'a backend that is none' "'mine' is not a backend" 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"mine\"], $runs }"
bad 'no JSON' 'not JSON' 65 '{ "schema": '
bad 'a result' "schema is 'reheap.result/1'" 65 '{ "schema": "reheap.result/1" }'
cp traces/small-1.rht traces/copy.rht
bad 'a trace twice' 'two cells of one name: .*copy.rht and .*small-1.rht are the same trace' 2 \
	"{ $head, \"traces\": [\"traces/*.rht\"], \"backends\": [\"tiered\"], $runs }"
rm traces/copy.rht traces/long.rht
is_exit 66 'no plan' "$reheap" matrix nowhere.json -o b
is_exit 2 'no folder' "$reheap" matrix plan.json
is_exit 66 'the status of something else' "$reheap" matrix --status traces
printf 'no trace' >traces/small-9.rht
is_exit 65 'a trace that is none' "$reheap" matrix plan.json -o b
rm traces/small-9.rht

# ---- absent ----

export REHEAP_PEER_SCUDO=/nowhere/libscudo.so
plan absent.json '"tiered", "scudo"'
is_exit 6 'a backend that is not here' "$reheap" matrix absent.json -o absent
ok 'is listed with its reason' grep -q '^4 cells absent here: .*scudo' .out
ok 'and the others are made' grep -q '^made 5 cells' .out
plan class.json '"tiered"' '"machines": [{ "name": "other", "cpu": "No such CPU" }, { "name": "here" }]'
is_exit 6 'a class of machines that this is not' "$reheap" matrix class.json -o class
ok 'is listed, too' grep -q -E "^[45] cells absent here: class other is a CPU like 'No such CPU'" .out

# ---- a full folder, or one that is not ours ----

if [ "$(id -u)" = 0 ] && mkdir full && mount -t tmpfs -o size=100k none full 2>/dev/null; then
	is_exit 74 'a full folder' "$reheap" matrix plan.json -o full
	says 'is full: what has a result keeps it' 'is said'
	ok 'what is there is whole' bash -c 'for f in $(find full -name "*.json"); do grep -q "^{.*}$" $f || [ $f = full/matrix.json ] || exit 1; done'
	there=$(results full | wc -l)
	mount -o remount,size=20m full
	is_exit 0 'with room it goes on' "$reheap" matrix plan.json -o full
	ok "after the $there that were there" grep -q ", $there were there" .out
	umount full
else
	skip 'a full folder' 'a tmpfs cannot be mounted here'
fi
finish
