#!/bin/bash
# Failures of the recorder: killed, stopped, disk full, quota, output folder gone, few descriptors,
# little address space, at random moments. Each time the program's output and exit status are
# unchanged, the trace can be read or recovered, and the missing calls are the reported ones.
#
# Two moments each in `make test`, ten with REHEAP_FAULTS=whole (make faults). The program counts itself.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'

cat >prog.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
	long blocks = 0;

	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 30000; i++, blocks++) {
			char *volatile p = malloc(16 + (size_t)(i & 63));
			*p = 1;
			free(p);
		}
		usleep(20000);
	}
	printf("made %ld\n", blocks);
	return 7;
}
EOF
gcc -O1 prog.c -o prog || skip_all 'it does not compile'
calls=1800000 # a malloc and a free each
# Where root could pass the hard limits of others.
other=()
[ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null ||
	{ chmod 777 "$temp" && other=(setpriv --reuid=65534 --regid=65534 --clear-groups); }
moments=2
[ "${REHEAP_FAULTS:-}" != whole ] || moments=10

# moment: some time in which the program runs
moment() {
	sleep 0.$((RANDOM % 6))$((RANDOM % 10))
}

# own CODE: the program's exit status and output
own() {
	[ "$1" = 7 ] && [ "$(cat out)" = 'made 900000' ]
}

# events FILE...: calls that these traces hold
events() {
	local file
	for file in "$@"; do
		[ ! -e "$file" ] || "$reheap" info "$file" || return 1
	done | awk '$1 == "alloc" || $1 == "free" { sum += $2 }
		$1 == "repair.alloc_live" { sum -= $2 }
		$1 == "drop.ring_full" || $1 == "drop.free_unknown" { sum += $2 } END { print sum + 0 }'
}

# said: calls that the recorder reports as captured, as seen but dropped, and as counted afterwards
said() {
	grep -oE '(captured|\(|made) ?[0-9]+ (more )?calls' err.txt | tr -dc '0-9\n' |
		awk '{ sum += $1 } END { print sum + 0 }'
}

about() { # a stdio buffer, and calls under way as recording ends
	[ "$1" -ge $((calls - 8)) ] && [ "$1" -le $((calls + 40)) ]
}

# A hard limit of the size of files: below 8 MiB there is no room for the shared memory.
for kib in 4096 10240; do
	rm -f h.rht
	("${other[@]}" bash -c "ulimit -f $kib && exec '$reheap' record -o h.rht -- ./prog" >out 2>err.txt)
	ok "files of at most $kib KiB: the program's end is its own" own $?
	[ $kib = 4096 ] && [ "$(id -u):${#other[@]}" != 0:0 ] || continue
	ok 'that it runs alone is said' grep -q '^reheap record: not recorded, the program runs alone: ' err.txt
	"${other[@]}" bash -c "ulimit -f $kib && exec '$reheap' record --strict -o h.rht -- ./prog" >out 2>err.txt
	ok 'with --strict it does not run' test $? = 71 -a ! -s out
done
have=$(said)
ok "with room for few threads it is recorded, as far as its file may grow ($have)" about "$have"

for i in $(seq $moments); do
	# Killed: without its parent the program's status comes by way of a shell.
	rm -f k.* out status
	{
		"$reheap" record -q -f -o k.rht -- sh -c './prog >out; echo $? >status.tmp; mv status.tmp status' &
		recorder=$!
		until_true grown k.rht.capture 20000 # also some calls, not only the processes
		moment
		kill -KILL $recorder
		wait $recorder
	} 2>/dev/null
	until_true test -e status
	ok "killed, $i: the program's end is its own" own "$(cat status)"
	if [ -e k.rht.capture ]; then
		is_exit 0 'what was captured is recovered' "$reheap" record --recover k.rht.capture
	else # the machine is slow: the kill came when all was written
		ok 'the traces were there before' "$reheap" info k.rht
	fi
	have=$(events k*.rht)
	ok "and is a part of it ($have of $calls)" test "$have" -gt 0 -a "$have" -le $((calls + 2000))

	# Stopped for longer than a program waits.
	"$reheap" record -q -o s.rht -- ./prog >out 2>err.txt &
	recorder=$!
	sleep 0.1
	moment
	kill -STOP $recorder
	sleep 1.5
	kill -CONT $recorder
	wait $recorder
	ok "stopped, $i: the program's end is its own" own $?
	have=$(events s.rht)
	ok "what is in the trace and what was said to be lost is all ($have)" about "$have"

	# A quota of some 2 to 12 MiB.
	kib=$((2048 + RANDOM % 10240))
	rm -f q.rht
	(ulimit -S -f $kib && exec "$reheap" record -o q.rht -- ./prog >out 2>err.txt)
	ok "a quota of $kib KiB: the program's end is its own" own $?
	ok 'the trace is there' "$reheap" info q.rht
	have=$(said)
	ok "and what is missing was counted ($have)" about "$have"

	# The folder goes.
	mkdir -p gone others
	TMPDIR=$temp/others "$reheap" record -o gone/g.rht -- ./prog >out 2>err.txt &
	recorder=$!
	until_true test -e gone/g.rht.capture # before that the recorder itself has not begun
	moment
	rm -rf gone
	wait $recorder
	ok "the folder goes, $i: the program's end is its own" own $?
	there=$(sed -n 's/.*the folder of gone.g.rht is gone: what was captured is written to //p' err.txt)
	have=$(events "$there")
	ok "the trace is in another folder, which is named, and whole ($have)" about "$have"
	ok 'the one that was removed is not made again' test -n "$there" -a ! -e gone
	rm -rf "$temp"/others/*

	# Few descriptors, little address space, small files: recorded, or said not to be.
	for limit in "n $((8 + RANDOM % 24))" "v $((65536 + RANDOM * 4))" "f $kib" "f $((1 + RANDOM % 16384))"; do
		rm -f l.rht* out
		# shellcheck disable=SC2086
		("${other[@]}" bash -c "ulimit -$limit && exec '$reheap' record -o l.rht -- ./prog" >out 2>err.txt)
		ok "ulimit -$limit: the program's end is its own" own $?
		if grep -q '^reheap record: not recorded, the program runs alone: ' err.txt; then
			ok 'and nothing is left' fails ls l.rht*
			continue
		fi
		[ -e l.rht ] || "$reheap" record -q --recover "$(sed -n \
			's/.*what was captured stays in \(.*\): reheap .*/\1/p' err.txt)"
		if grep -q 'recording stopped' err.txt; then
			have=$(said)
			ok "and what is missing was counted ($have)" about "$have"
		else
			have=$(events l.rht)
			ok "and all is in the trace, at once or recovered ($have)" about "$have"
		fi
	done

	# A full disk.
	mkdir -p small
	kib=$((1536 + RANDOM % 10240))
	if mount -t tmpfs -o size=${kib}k none small 2>/dev/null; then
		"$reheap" record -o small/f.rht -- ./prog >out 2>err.txt
		ok "a disk of $kib KiB: the program's end is its own" own $?
		have=$(said)
		ok "and what is missing was counted ($have)" about "$have"
		ok 'the trace is there' "$reheap" info small/f.rht
		umount small
	else
		skip 'a full disk' 'needs the right to mount'
	fi
done
finish
