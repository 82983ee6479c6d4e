#!/bin/bash
# The recorder preloaded and asleep: what it costs, and that --pid wakes it for exactly the calls that
# the program counts, again and again. Without ptrace: it works where that is refused.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
live=$build/helpers/record_live
mkdir files

until_there() { # FILE
	until_true test -e "$1"
}
until_says() { # TEXT FILE
	until_true grep -q "$1" "$2"
}
begin() { # FOLDER [quiet]: a sleeping program, its number in $program
	mkdir "$1"
	[ $# = 1 ] || touch "$1/$2"
	REHEAP_DORMANT=$temp/files LD_PRELOAD=$build/libreheap-record.so "$live" 3 20000 "$1" &
	program=$!
	until_there "$1/ready"
}
end() { # FOLDER
	touch "$1/off" "$1/end"
	wait $program
	ok "$1: the program ended undisturbed" test $? = 0
}
count() { # KEY FILE
	"$reheap" info "$2" | awk -v key="$1" '$1 == key { print $2; exit }' | grep . || echo 0
}

begin exact quiet
ok 'its file is there, for its user alone' test "$(stat -c %a files/reheap-dormant.$program)" = 600
is_exit 0 'a process that makes no call' "$reheap" record --pid $program --duration 0.1 -o none.rht
ok 'has none recorded' grep -q 'made no call' .err
"$reheap" record --pid $program -o exact.rht 2>said.txt &
recorder=$!
until_says 'recorded from its next call' said.txt
is_exit 69 'one recorder at a time' "$reheap" record --pid $program -o x.rht
touch exact/on
until_there exact/counted
kill -INT $recorder
wait $recorder
ok 'Ctrl-C ends the recording' test $? = 0
ok 'each birth is there once' test "$(count alloc exact.rht)" = "$(cat exact/counted)"
ok 'each death too' test "$(count free exact.rht)" = "$(cat exact/counted)"
ok 'blocks born before are counted apart' test "$(count before.freed exact.rht)" = 1000
ok 'and is no damage' fails grep -qE 'unknown|alloc_live|inversion|drop\.' <("$reheap" info exact.rht)
end exact
ok 'its file is gone' fails test -e files/reheap-dormant.$program

begin load
again() { # TRACE: recorded until something is there, and ended
	"$reheap" record -q --pid $program -o "$1" 2>>again.err &
	recorder=$!
	until_there "$1.capture"
	until_true grown "$1.capture" 100000
	kill -INT $recorder
	wait $recorder && test "$(count alloc "$1")" -gt 0
}
# Each recorder finds the program asleep, and one of three threads wakes it.
good=0
for _ in $(seq 8); do
	again again.rht && good=$((good + 1))
done
sed 's/^/# /' again.err
ok 'under load, again and again' test $good = 8
ok 'each call once' fails grep -qE 'unknown|alloc_live|inversion' <("$reheap" info again.rht)
is_exit 0 'replay verifies' "$reheap" replay again.rht --backend libc --verify -o r.json
"$reheap" record -q --pid $program -o killed.rht &
recorder=$!
until_there killed.rht.capture
until_true grown killed.rht.capture 100000
kill -KILL $recorder
wait $recorder 2>/dev/null
# The program learns of it with its next call.
ok 'a killed recorder makes place for the next' again after.rht
touch load/on
end load

# Asleep: instructions of a call, by the difference of two runs.
if command -v valgrind >/dev/null; then
	refs() { # CALLS [VARIABLE...]
		local calls=$1
		shift
		env "$@" valgrind --tool=callgrind --callgrind-out-file=/dev/null "$build/helpers/malloc_loop" \
			"$calls" 2>&1 | awk '/refs/ { gsub(",", "", $NF); print $NF }'
	}
	asleep=(REHEAP_DORMANT="$temp/files" LD_PRELOAD="$build/libreheap-record.so")
	plain=$(($(refs 20000) - $(refs 10000)))
	cost=$((($(refs 20000 "${asleep[@]}") - $(refs 10000 "${asleep[@]}") - plain) / 10000))
	ok "asleep a call takes at most 9 instructions more ($cost)" test $cost -gt 0 -a $cost -le 9
else
	skip 'instructions of a call asleep' 'no valgrind here'
fi
finish
