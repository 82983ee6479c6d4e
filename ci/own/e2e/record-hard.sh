#!/bin/bash
# Programs that are hard to record: daemons, PID namespaces, sandboxes, limits of the address
# space. The helper makes a number of blocks known beforehand; the trace must hold it.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
hard=$build/helpers/record_hard

# allocs FILE...: what those traces hold together
allocs() {
	local file
	for file in "$@"; do
		"$reheap" info "$file"
	done | awk '$1 == "alloc" { sum += $2 } END { print sum + 0 }'
}

# holds COUNT WHAT FILE...: so many blocks, and some of libc's own (a stdio buffer)
holds() {
	local count=$1 what=$2 have
	shift 2
	have=$(allocs "$@")
	ok "$what ($have of $count)" test "$have" -ge "$count" -a "$have" -le $((count + 20))
}

is_exit 0 'a daemon that its parent leaves at once' \
	"$reheap" record -f -o d.rht -- "$hard" daemon 100000 300 "$temp/done"
ok 'is waited for' test -e done
holds 100000 'and recorded' d.*.rht

# One that never ends: the recorder names the process it waits for, and ends on a signal.
"$reheap" record -f -o e.rht -- "$hard" daemon 1000 86400000 "$temp/never" 2>said.txt &
recorder=$!
until_true grep -q 'recording goes on' said.txt
ok 'a daemon that runs on is named' grep -qE 'left running: [0-9]+ record_hard' said.txt
left=$(sed -n 's/.*left running: \([0-9]*\) .*/\1/p' said.txt)
kill -TERM $recorder
wait $recorder
ok 'SIGTERM ends the recorder with the status of the program' test $? = 0
ok 'and it names what still runs' grep -qE "ended by a signal; still running.*$left" said.txt
ok 'which does' kill -KILL "$left"

"$reheap" record -q -f -o n.rht -- "$hard" nested 1000 2>/dev/null
case $? in
0) holds 1000 'the first process of a PID namespace' n.*.rht ;;
*) skip 'the first process of a PID namespace' 'needs the right to unshare' ;;
esac
if unshare -p -f --mount-proc true 2>/dev/null; then
	is_exit 0 'a PID namespace with a /proc of its own' \
		"$reheap" record -f -o p.rht -- unshare -p -f --mount-proc "$hard" many 1000
	holds 1000 'is recorded' p.*.rht
else
	skip 'a PID namespace with a /proc of its own' 'needs the right to unshare'
fi

# bubblewrap: namespaces of its own, the parent's end is the end of all.
box=(bwrap --ro-bind / / --dev /dev --proc /proc --unshare-pid --unshare-ipc --die-with-parent)
if command -v bwrap >/dev/null && "${box[@]}" true 2>/dev/null; then
	is_exit 3 'in bubblewrap: the exit status' \
		"$reheap" record -f -o b.rht -- "${box[@]}" sh -c "'$hard' many 1000 && exit 3"
	holds 1000 'is recorded' "$(sed -n 's/.* \(b\.[0-9.]*rht\): .* of [0-9]* .*record_hard;.*/\1/p' .err)"
	is_exit 0 'in bubblewrap without an environment' \
		"$reheap" record -f -o c.rht -- "${box[@]}" --clearenv "$hard" many 1000
	ok 'it is named, once' test "$(grep -c 'child.*not recorded: its environment was' .err)$(
		grep -c 'child [0-9].*not recorded: ' .err)" = 11
	is_exit 0 'begun in bubblewrap' "${box[@]}" --bind "$temp" "$temp" \
		"$reheap" record -o "$temp/i.rht" -- "$hard" many 1000
	holds 1000 'is recorded' i.rht
else
	skip 'in bubblewrap' 'there is none, or it may not'
fi

for mode in strict filter bare late; do
	"$hard" $mode 10 >/dev/null
	if [ $? = 77 ]; then
		skip "$mode seccomp" 'not to be had here'
		continue
	fi
	is_exit 0 "a program under a $mode seccomp filter lives on" \
		"$reheap" record -o s.rht -- "$hard" $mode 400000
	holds 400001 'and is recorded' s.rht
done

# Strict mode by an instruction of the program's own forbids the recorder's clock before anybody knows.
cat >strict.c <<'END'
#include <stdlib.h>
#include <sys/syscall.h>
int main(void)
{
	long result;
	free(malloc(10));
	__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_prctl), "D"(22L), "S"(1L) : "rcx", "r11", "memory");
	for (int i = 0; i < 1000; i++)
		free(malloc(10));
	__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_exit), "D"(result ? 77L : 0L) : "rcx", "r11", "memory");
}
END
if [ "$(uname -m)" = x86_64 ] && gcc -O1 -fno-builtin strict.c -o strict 2>/dev/null && ./strict; then
	is_exit 139 'a program that enters strict mode by itself ends' "$reheap" record -o own.rht -- ./strict
	ok 'and the verdict says why' grep -q 'not complete: SIGSEGV ended it in strict seccomp mode' .err
	is_exit 139 'also with --later' "$reheap" record --later -o own.rht -- ./strict
	is_exit 0 'whose trace is made' "$reheap" record --recover own.rht.capture
	ok 'and says so' grep -q 'not complete: SIGSEGV ended it in strict seccomp mode' .err
else
	skip 'strict mode by an instruction' 'not to be had here'
fi

# A program of real-time priority on the recorder's own processor: it must leave it while it waits.
if taskset -c 0 chrt -f 10 true 2>/dev/null; then
	is_exit 0 'a real-time program on the only processor' \
		taskset -c 0 "$reheap" record -q -o rt.rht -- chrt -f 10 "$hard" many 300000
	holds 300000 'is recorded' rt.rht
else
	skip 'a real-time program on the only processor' 'may not'
fi

# All but 5 % of what it may use without the recorder, by its own limit and by its caller's.
for mib in 256 512 1024 4096; do
	plain=0
	for share in 99 98 96 94 92 90 88; do
		"$hard" limit $mib $((mib * share / 100)) >/dev/null && plain=$((mib * share / 100)) &&
			break
	done
	most=$((plain * 95 / 100))
	is_exit 0 "$mib MiB of address space, limited by itself: $most of $plain MiB are left" \
		"$reheap" record -q -o l.rht -- "$hard" limit $mib $most
	ok "and by its caller" bash -c "ulimit -v $((mib * 1024)) &&
		exec '$reheap' record -q -o l.rht -- '$hard' use $most"
	holds $most 'and recorded' l.rht
done
if "$hard" lock 2>/dev/null; then
	is_exit 0 'a program that locks its memory' "$reheap" record -o k.rht -- "$hard" lock
	holds 100000 'is recorded' k.rht
else
	skip 'a program that locks its memory' 'may not'
fi

# The recorder hangs: the program goes on, and what was lost is counted and marked.
# accounted TOTAL FILE [MORE]: events of the trace and calls that it says were lost; at most MORE (40) are
# the C library's own
accounted() {
	"$reheap" info "$2" | awk -v total="$1" -v more="${3:-40}" '
		$1 == "alloc" || $1 == "free" { sum += $2 }
		$1 == "repair.alloc_live" { sum -= $2 }
		$1 == "drop.ring_full" || $1 == "drop.free_unknown" || $1 == "drop.disk_full" { sum += $2 }
		END { print sum; exit !(sum >= total && sum <= total + more) }'
}
"$reheap" record -q -o stall.rht -- "$hard" churn-then 6000000 "$temp/mark" 2>stall.txt &
recorder=$!
until_true test -e mark
kill -STOP $recorder
touch mark.go
until_true test -e mark.2
ok 'a program whose recorder is stopped goes on' test -e mark.2
kill -CONT $recorder
touch mark.go.2
wait $recorder
ok 'and ends as ever' test $? = 0
ok 'every call is in the trace or counted as lost' accounted 36000000 stall.rht
ok 'and some were lost' grep -q 'not recorded: ' stall.txt

# One second is waited for it, and not one by each thread: 240 of them would take longer than
# until_true waits.
"$reheap" record -q -o crowd.rht -- "$hard" crowd 240 "$temp/crowd" 2>crowd.txt &
recorder=$!
until_true test -e crowd
kill -STOP $recorder
touch crowd.go
until_true test -e crowd.2
ok 'threads that begin while the recorder is stopped do not wait in turn' test -e crowd.2
kill -CONT $recorder
wait $recorder
ok 'and the program ends as ever' test $? = 0
# A thread has a block of glibc's, and up to 18 calls of free(NULL) when its stack is taken again; of a
# lost call nobody knows what it was.
ok 'their calls are in the trace or counted as lost' accounted 9600000 crowd.rht $((40 + 20 * 240))
is_exit 6 'with --strict losses have a status of their own' "$reheap" record -q --strict \
	--on-full drop --buffer 65536 -o drop.rht -- "$hard" many 3000000

# The recorder is killed: the program ends as ever, and what was captured is a trace.
{
	"$reheap" record -q -o killed.rht -- "$hard" churn-then 300000 "$temp/kill" &
	recorder=$!
	# the reserve, and 600000 records
	until_true grown killed.rht.capture 4800000
	is_exit 66 'a capture whose recorder lives is left alone' "$reheap" record --recover killed.rht.capture
	kill -KILL $recorder
	wait $recorder
} 2>/dev/null
touch kill.go kill.go.2
until_true test -e kill.3
ok 'a program whose recorder is killed ends' test -e kill.3
ok 'no trace is there' fails test -e killed.rht
is_exit 0 'the capture is recovered' "$reheap" record --recover killed.rht.capture
says 'not complete: the recorder was killed' 'and not called complete'
have=$(allocs killed.rht)
# stamps are words, too: some in a hundred
ok "what was taken before is in the trace ($have)" test "$have" -ge 290000
ok 'and it says how it ended' grep -q 'recorder was killed' <("$reheap" info killed.rht)
ok 'the capture is gone' fails test -e killed.rht.capture
head -c 1500000 /dev/zero >bad.capture
is_exit 65 'what is no capture is refused' "$reheap" record --recover bad.capture

# A full disk: what fits is kept, the trace is written into the reserve.
mkdir small
if mount -t tmpfs -o size=16m none small 2>/dev/null; then
	is_exit 0 'a program outlives a full disk' "$reheap" record -o small/f.rht -- "$hard" many 9000000
	cp .err full.txt
	ok 'the trace is there' test -s small/f.rht
	ok 'and what is missing was counted' test 18000000 -le "$(
		grep -oE '(captured|made|\() ?[0-9]+ (more )?calls' full.txt | tr -dc '0-9\n' |
			awk '{ sum += $1 } END { print sum }')"
	ok 'nothing else is left' test "$(ls -A small)" = f.rht
	umount small
else
	skip 'a full disk' 'needs the right to mount'
fi

# Signals whose handler allocates, while threads begin: none finds its thread without a ring.
"$reheap" record -o pest.rht -- "$hard" pest 2000 >pest.txt 2>/dev/null
holds "$(cat pest.txt)" 'blocks of signal handlers in threads that begin' pest.rht
ok 'and none is lost' fails grep -q '^  drop' <("$reheap" info pest.rht)

# An emulator that cannot map a file twice.
if command -v valgrind >/dev/null && valgrind --tool=none true 2>/dev/null; then
	is_exit 0 'a program under valgrind' "$reheap" record -q -f -o v.rht -- valgrind -q --tool=none "$hard" many 1000
	holds 1000 'is recorded' v.rht
else
	skip 'a program under valgrind' 'there is none'
fi

# Sanitizers interpose malloc themselves: refused by name.
echo 'int main(void) { return 0; }' >clean.c
for kind in address thread; do
	if command -v gcc >/dev/null && gcc -fsanitize=$kind clean.c -o san 2>/dev/null; then
		is_exit 69 "a program built with -fsanitize=$kind is refused" \
			"$reheap" record -o san.rht -- ./san
		says 'Sanitizer.*-fsanitize' 'by name and with the way out'
	else
		skip "a program built with -fsanitize=$kind" 'no such compiler here'
	fi
done
finish
