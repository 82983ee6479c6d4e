#!/bin/bash
# A sample of the blocks instead of all calls: every reader of the trace says that it is one.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
target=$build/helpers/record_target

# shows PATTERN WHAT: the last is_exit said so on standard output
shows() {
	ok "$2" grep -q -E -e "$1" "$temp/.out"
}

is_exit 0 'a sample is recorded' \
	"$reheap" record --sample-bytes 16K --sample-seed 3 -o s.rht -- "$target" classes 500 2
says 'not complete: it is a sample \(--sample-bytes 16384\)' 'and called so'
is_exit 0 'info reads it' "$reheap" info s.rht
shows 'sample .* one byte in 16384 is hit' 'reports the draws'
shows 'births .* [0-9]+ \+- [0-9]+ +estimated' 'and what is estimated'
if command -v jq >/dev/null; then
	ok 'estimates have their errors in JSON' sh -c "$reheap info --json s.rht |
		jq -e '.sample.estimated and .sample.births.standard_error > 0 and
			(.sample.births.value - 13500 | fabs) < 4 * .sample.births.standard_error + 200'"
else
	skip 'estimates have their errors in JSON' 'jq is not installed'
fi
is_exit 0 'the same seed' \
	"$reheap" record -q --sample-bytes 16K --sample-seed 3 -o t.rht -- "$target" classes 500 0
is_exit 0 'twice' \
	"$reheap" record -q --sample-bytes 16K --sample-seed 3 -o u.rht -- "$target" classes 500 0
sizes_of() {
	"$reheap" export text "$1" | sed -n 's/.*alloc.* size=\([0-9]*\).*/\1/p' | sort -n | uniq -c
}
ok 'draws the same blocks' diff <(sizes_of t.rht) <(sizes_of u.rht)
ok 'of many sizes' test "$(sizes_of t.rht | wc -l)" -gt 3

is_exit 0 'it replays' "$reheap" replay s.rht --backend libc --reps 1 -o r.json
shows 'is a sample of its program' 'with a word on it'
shows 'saved_share not measured: .* a sample of the blocks' 'and no figure for the program'
is_exit 5 'a gate refuses it' "$reheap" gate s.rht --baseline libc --candidate libc
shows 'record it without' 'with the way out'
is_exit 65 'so does whatif' "$reheap" whatif s.rht --gogc 50
says 'record all of them' 'with the way out'
is_exit 0 'another format is written' "$reheap" export csv s.rht -o s.csv
says 'csv cannot say so' 'with a word on it'
"$reheap" export text s.rht -o s.txt
ok 'text and binary keep the note' grep -q '^note sample.bytes=16384$' s.txt
"$reheap" cut s.rht --events 100-2000 -o cut.rht
is_exit 0 'a cut of it' "$reheap" info cut.rht
shows 'one byte in 16384 is hit' 'is a sample too'

# The recorder is killed: what it leaves is a sample still.
"$reheap" record -q --sample-bytes 4K -o k.rht -- "$target" churn 100000000 &
pid=$!
until_true grown k.rht.capture 100000
program=$(pgrep -P $pid)
kill -KILL $pid
wait $pid 2>/dev/null
kill -KILL "$program"
is_exit 0 'a recovered capture' "$reheap" record --recover k.rht.capture -o k.rht
is_exit 0 'has a trace' "$reheap" info k.rht
shows 'one byte in 4096 is hit' 'that is a sample'

# Recording begins and ends in a process that runs: what lived before is not in the sample.
if command -v gcc >/dev/null; then
	cat >long.c <<-'E'
	#include <signal.h>
	#include <stdio.h>
	#include <stdlib.h>
	static volatile sig_atomic_t over;
	static void stop(int number) { over = number; }
	int main(void)
	{
		static void *volatile kept[1000];
		signal(SIGTERM, stop);
		for (int i = 0; i < 1000; i++)
			kept[i] = malloc(500);
		puts("ready"), fflush(stdout);
		for (unsigned i = 0; !over; i++)
			free(kept[i % 1000]), kept[i % 1000] = malloc(500);
		return 0;
	}
	E
	gcc -O1 -o long long.c
	mkfifo ready
	./long >ready &
	pid=$!
	read -r _ <ready
	if "$reheap" record -q --pid $pid --duration 0.3 --sample-bytes 64 -o p.rht 2>attach.txt; then
		ok 'a sample of a process that runs' test "$("$reheap" export text p.rht | grep -c -w alloc)" -gt 0
		ok 'frees of what lived before are not in it' fails grep -q 'before.freed *[1-9]' <("$reheap" info p.rht)
	else
		skip 'a sample of a process that runs' "$(head -n 1 attach.txt)"
	fi
	kill -TERM $pid
	wait $pid
	ok 'which goes on as ever' test $? = 0
else
	skip 'a sample of a process that runs' 'no compiler here'
fi

# jemalloc's own new and mallocx are drawn like malloc: nearly every byte is hit here.
jemalloc=$(ldconfig -p 2>/dev/null | awk '/libjemalloc\.so/ { print $NF; exit }')
if [ -n "$jemalloc" ] && command -v g++ >/dev/null; then
	cat >je.cc <<-'E'
	#include <cstdlib>
	extern "C" void *mallocx(size_t, int), *rallocx(void *, size_t, int);
	extern "C" void sdallocx(void *, size_t, int);
	struct wide { char bytes[321]; };
	int main()
	{
		for (int i = 0; i < 1000; i++) {
			wide *volatile w = new wide;
			delete w;
			void *p = rallocx(mallocx(322, 0), 5555, 0);
			sdallocx(p, 5555, 0);
		}
	}
	E
	g++ -O1 -o je je.cc "$jemalloc"
	"$reheap" record -q --sample-bytes 1 -o je.rht -- ./je
	"$reheap" export text je.rht -o je.txt
	ok 'operator new of jemalloc is sampled' test "$(grep -c '^alloc.* size=321 ' je.txt)" = 1000
	ok 'mallocx and rallocx too' test "$(grep -c '^resize.* size=5555 ' je.txt)" = 1000
	ok 'each free is seen' test "$(grep -c '^free.* size=5555 .*sized' je.txt)" = 1000
else
	skip 'a sample on jemalloc' 'not installed, or no compiler'
fi
finish
