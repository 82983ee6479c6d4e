#!/bin/bash
# Recording from the command line: the program's own end, signals, programs that cannot be recorded,
# and the example of the README: a server under load, recorded, replayed. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
target=$build/helpers/record_target

is_exit 0 'a program that ends well' "$reheap" record -o ok.rht -- true
ok 'has a trace' test -s ok.rht
is_exit 41 'the exit status is the program'"'"'s' "$reheap" record -o x.rht -- sh -c 'exit 41'
is_exit 127 'no such program' "$reheap" record -o none.rht -- no-such-program-here
says 'no such program' 'and says so'
ok 'leaves no trace' fails test -e none.rht
is_exit 73 'no place for the trace' "$reheap" record -o /nowhere/at/all.rht -- true
says '/nowhere/at' 'names the place'
is_exit 2 'paused for ever is a usage error' "$reheap" record --paused -o x.rht -- true
is_exit 2 'an unknown toggle signal too' "$reheap" record --toggle KILL -o x.rht -- true

# The program inherits the same signal state as without us.
signals="grep -E Sig(Blk|Ign|Cgt) /proc/self/status"
# shellcheck disable=SC2086
$signals >plain.txt && "$reheap" record -q -o x.rht -- $signals >recorded.txt
ok 'dispositions and mask of signals are kept' cmp plain.txt recorded.txt
# shellcheck disable=SC2086
(trap '' PIPE HUP; $signals >plain.txt; "$reheap" record -q -o x.rht -- $signals >recorded.txt)
ok 'also those that are ignored' cmp plain.txt recorded.txt

# 400000 calls: each is captured, or counted as made when recording was off.
"$reheap" record --max-events 1000 -o max.rht -- "$target" churn 200000 2>summary.txt
ok 'calls past a maximum are counted' test 400000 = "$(
	grep -oE '(captured|made) [0-9]+' summary.txt | awk '{ sum += $2 } END { print sum }')"
(ulimit -S -f 4096; "$reheap" record -o full.rht -- "$target" churn 1000000) 2>full.txt
ok 'calls past a full disk too' test 2000000 = "$(
	grep -oE '(captured|made|\() ?[0-9]+ (more )?calls' full.txt | tr -dc '0-9\n' |
		awk '{ sum += $1 } END { print sum }')"

(exec "$reheap" record -q -o killed.rht -- sh -c 'kill -KILL $$') 2>/dev/null
is_exit 0 'a killed program has a trace' test -s killed.rht
"$reheap" record -q -o x.rht -- sh -c 'kill -TERM $$' 2>/dev/null
ok 'and its signal is ours' test $? = 143

if command -v gcc >/dev/null && echo 'int main(void) { return 3; }' >s.c &&
	gcc -static s.c -o static 2>/dev/null; then
	is_exit 69 'a static program is refused' "$reheap" record -o x.rht -- ./static
	says 'statically linked' 'with the reason'
else
	skip 'a static program' 'no static libc here'
fi
if command -v g++ >/dev/null; then
	cat >new.cc <<-'END'
	#include <new>
	struct alignas(64) wide { char bytes[128]; };
	#define SITE extern "C" __attribute__((noinline)) void
	SITE one() { int *volatile p = new int[1750]; delete[] p; }
	SITE two() { wide *volatile p = new wide; delete p; }
	SITE three() { char *volatile p = new (std::nothrow) char; delete p; }
	int main() { for (int i = 0; i < 9; i++) { one(); two(); three(); } }
	END
	g++ -O1 -rdynamic -o new new.cc
	"$reheap" record -q --sites -o new.rht -- ./new
	"$reheap" export text new.rht >new.txt
	ok 'sites are the callers of operator new' \
		test "$(grep -cE '^site .*=new\+0x[0-9a-f]+ (one|two|three)$' new.txt)" = 3
	ok 'and not operator new' fails grep -qE '^site .*_Zn[wa]' new.txt
else
	skip 'callers of operator new' 'no C++ compiler here'
fi
if [ "$(id -u)" = 0 ]; then
	cp "$(type -P true)" other && chown 65534 other && chmod 4755 other
	is_exit 69 'a setuid program is refused' "$reheap" record -o x.rht -- ./other
	says 'setuid' 'with the reason'
else
	skip 'a setuid program' 'needs root'
fi

# Root drops its privileges and execs: the new image may not read our /proc.
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null &&
	$nobody test -r "$build/libreheap-record.so" && $nobody test -x "$target"; then
	# shellcheck disable=SC2086
	is_exit 0 'a program that gives up its privileges' \
		"$reheap" record -q -o user.rht -- $nobody "$target" churn 500
	ok 'is recorded past its exec' test "$("$reheap" info user.rht |
		awk '$1 == "alloc" { print $2 }')" -ge 500
else
	skip 'a program that gives up its privileges' 'needs root and a build that all may read'
fi

# A signal to reheap alone goes on to the program; the trace is written all the same.
"$reheap" record -q -o term.rht -- "$target" slow 100000 50 &
pid=$!
until_true grown term.rht.capture 1 # the program is there: it is described
kill -TERM $pid
wait $pid
ok 'SIGTERM is passed on' test $? = 143
ok 'and the trace is there' "$reheap" info term.rht

# Ctrl-C: the terminal signals the whole group.
set -m
"$reheap" record -q -o int.rht -- "$target" slow 100000 50 &
pid=$!
set +m
until_true grown int.rht.capture 1
kill -INT -$pid
wait $pid
ok 'Ctrl-C ends the program' test $? = 130
ok 'and the trace is there' "$reheap" info int.rht

if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	"$reheap" record -q -o r.rht -- redis-server --port 0 --unixsocket "$temp/r.sock" --save '' \
		--io-threads 2 --dir "$temp" >redis.log 2>&1 &
	pid=$!
	until_true sh -c "redis-cli -s $temp/r.sock ping >/dev/null"
	ok 'redis-benchmark against a recorded redis-server' timeout 60 redis-benchmark -s "$temp/r.sock" -q \
		-n 5000 -c 8 -P 8 -t set,get,lpush,sadd
	redis-cli -s $temp/r.sock shutdown nosave >/dev/null 2>&1
	wait $pid
	ok 'redis-server ends as ever' test $? = 0
	ok 'its trace is whole' "$reheap" info r.rht
	ok 'and replays' timeout 100 "$reheap" replay r.rht --backend libc --reps 1
else
	skip 'redis-server' 'not installed'
fi
finish
