#!/bin/bash
# Every backend that is here passes --verify; what is absent, broken or crashes is said so and
# does not stop the run.
# shellcheck source=ci/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

"$reheap" gen server -o t.rht events=30000 lanes=2 heap=2M >/dev/null 2>&1
"$reheap" gen slices -o r.rht events=20000 lanes=2 >/dev/null 2>&1
for backend in libc bump tiered jemalloc mimalloc tcmalloc tbbmalloc scudo; do
	state=$("$reheap" list backends | awk -v b=$backend '$1 == b { print $2 }' | head -n 1)
	if [ "$state" != present ]; then
		skip "$backend passes --verify" "$backend is ${state:-unknown} here"
		continue
	fi
	for trace in t r; do
		is_exit 0 "$backend passes --verify on $trace.rht" "$reheap" replay $trace.rht \
			--backend $backend --verify --reps 1 -o v.json
	done
done
is_exit 0 'a decorator wraps a backend' "$reheap" replay t.rht --backend checked:libc --reps 1

is_exit 2 'an unknown backend is a usage error' "$reheap" replay t.rht --backend unicorn
says unicorn 'that names it'
echo 'not a library' >fake.so
"$reheap" replay t.rht --backend ./fake.so --reps 1 -o f.json >.out 2>.err </dev/null
code=$?
ok "a .so that is no library fails (exit $code)" test $code != 0 -a $code -lt 128
ok 'and is named' grep -q fake.so .err .out
if command -v cc >/dev/null; then
	echo 'int nothing_here(void) { return 1; }' >plain.c
	cc -shared -fPIC plain.c -o plain.so
	"$reheap" replay t.rht --backend ./plain.so --reps 1 -o f.json >.out 2>.err </dev/null
	code=$?
	ok "a .so that is no allocator fails (exit $code)" test $code != 0 -a $code -lt 128
	ok 'and is named' grep -q plain.so .err .out
	# Serves from libc and aborts after a while.
	cat >crash.c <<-'END'
		#include <stddef.h>
		#include <stdlib.h>
		void *__libc_malloc(size_t);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		void __libc_free(void *);
		static unsigned long count;
		void *malloc(size_t bytes)
		{
			if (++count > 5000)
				abort();
			return __libc_malloc(bytes);
		}
		void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
		void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
		void free(void *p) { __libc_free(p); }
	END
	cc -shared -fPIC crash.c -o crash.so
	"$reheap" replay t.rht --backend libc,./crash.so --reps 2 -o f.json >.out 2>.err </dev/null
	code=$?
	ok "a crashing allocator is a failed trial, exit 1 (got $code)" test $code = 1
	ok 'the others were measured' grep -q '"status": *"ok"' f.json
	ok 'the result says where it died' grep -q '"died_at": *{' f.json
	is_exit 0 'and can be drawn' "$reheap" plot f.json -o drawn
	ok 'with the failure in the report' grep -q 'trials failed' drawn/report.html
fi
finish
