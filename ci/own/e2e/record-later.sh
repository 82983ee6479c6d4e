#!/bin/bash
# record --later leaves the calls, and --recover makes the trace of them that record would have made.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
target=$build/helpers/record_target

# The events of a trace without their times, and the notes that do not differ from run to run.
story() {
	"$reheap" export text "$1" | sed 's/ time=[0-9]*//; s/ arg=[0-9]*//' |
		grep -v -E "^note (record\.|recorded_calls|cpu_|wall_|peak_|clock|args${vary:-})"
}

# same NAME HOW-TO-RECORD...: once as always and once later, and the two traces tell the same
same() {
	local name=$1
	shift
	"$reheap" record -q -o now.rht "$@" >/dev/null 2>&1
	code=$?
	is_exit $code "$name: the exit status is the program's" \
		"$reheap" record --later -o then.rht "$@"
	says 'the calls are in then.rht.capture' "$name: and it says where the calls are"
	ok "$name: there is no trace yet" test ! -e then.rht
	is_exit 0 "$name: the trace is made of them" "$reheap" record --recover then.rht.capture
	cp "$temp/.err" said
	ok "$name: which says what the other says" diff <(story now.rht) <(story then.rht)
	ok "$name: and the capture is gone" test ! -e then.rht.capture
	rm -f now.* then.*
}

same 'a program' -- "$target" classes 500 0
ok 'a verdict comes with the trace' grep -q 'complete: every heap call of the program is in it' said
same 'one that fails' -- sh -c "$target classes 20 0; exit 7"
# shellcheck disable=SC2016 # the program's own $$
same 'one that is killed' -- sh -c 'kill -TERM $$'
same 'with sites' --sites -- "$target" classes 100 0
same 'without times' --no-time -- "$target" classes 100 0
# How soon recording stops after that number is a matter of time.
vary='|drop[.]|complete'
same 'a number of calls' --max-events 100 -- "$target" classes 500 0
ok 'and what is missing is said' grep -q 'not complete' said

# Which are the last is a matter of time, too: the first images and chunks are gone from the file.
is_exit 0 'the last calls, left for later' \
	"$reheap" record --later --max-events 100 --keep last -o l.rht -- "$target" classes 500 3
is_exit 0 'become a trace' "$reheap" record --recover l.rht.capture
says 'not complete: [0-9]+ earlier calls were given up' 'which says so'
is_exit 0 'that can be read' "$reheap" info l.rht
ok 'and has that many' test "$(sed -n 's/^events  *\([0-9]*\).*/\1/p' "$temp/.out")" -ge 100
is_exit 0 'threads, left for later' "$reheap" record --later -o t.rht -- "$target" classes 500 3
is_exit 0 'become lanes' "$reheap" record --recover t.rht.capture
says ' 4 threads' 'all of them'
says 'complete: every heap call' 'and nothing is missing'

is_exit 0 'children are left for later too' \
	"$reheap" record --later -f -o f.rht -- sh -c "$target classes 50 0; $target classes 60 0; true"
is_exit 0 'and get traces' "$reheap" record --recover f.rht.capture
ok 'of each' test "$(find . -name 'f*.rht' | wc -l)" -ge 3
is_exit 0 'the note about them too' "$reheap" info f.rht
ok 'is there' grep -q children "$temp/.out"

mkdir elsewhere
"$reheap" record --later -q -o m.rht -- "$target" classes 500 0
cp m.rht.capture torn
mv m.rht.capture elsewhere/x
is_exit 0 'a capture that was moved' "$reheap" record --recover elsewhere/x -o elsewhere/m.rht
ok 'is as good' test -s elsewhere/m.rht
truncate -s -100 torn
is_exit 0 'one whose end is torn is that of a recorder that was killed' \
	"$reheap" record --recover torn -o torn.rht
is_exit 0 'its trace' "$reheap" info torn.rht
ok 'does not know how the program ended' grep -q 'ended .*unknown' "$temp/.out"

is_exit 2 'not with segments' "$reheap" record --later --rotate 1M -- true
is_exit 2 'nor with --recover' "$reheap" record --later --recover x
"$reheap" record --later -q -o gone/g.rht -- true 2>/dev/null
mkdir gone
is_exit 0 'where the folder is removed meanwhile the trace is written' \
	env TMPDIR="$temp" "$reheap" record --later -o gone/g.rht -- \
	sh -c "rm -rf gone; $target classes 10 0"
ok 'to another one' test -n "$(find "$temp" -path '*reheap-record.*/g.rht')"
finish
