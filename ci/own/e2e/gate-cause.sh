#!/bin/bash
# The causes that a failed gate reports: each is planted in an allocator.
# Verdicts come from instruction counts and from memory, so time decides nothing.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=ci/own/e2e/lib_gate.sh
. "$root/ci/own/e2e/lib_gate.sh"
command -v cc >/dev/null || skip_all 'there is no compiler'
command -v valgrind >/dev/null || skip_all 'there is no valgrind'

cat >slow.c <<-'END'
	#include <pthread.h>
	#include <stddef.h>
	#include <unistd.h>
	void *__libc_malloc(size_t);
	void __libc_free(void *);
	void *__libc_calloc(size_t, size_t);
	void *__libc_realloc(void *, size_t);
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	__attribute__((noinline)) void dawdle(int rounds)
	{
		for (volatile int i = 0; i < rounds; i++)
			;
	}
	__attribute__((constructor)) static void begin(void)
	{
		if (SLOW == 4)
			usleep(1000000);
	}
	void *malloc(size_t n)
	{
		if ((SLOW == 1 || SLOW == 4) && n > 128 && n <= 256)
			dawdle(1000);
		if (SLOW == 2) {
			pthread_mutex_lock(&mutex);
			dawdle(1000);
			pthread_mutex_unlock(&mutex);
		}
		return __libc_malloc(n + (SLOW == 3 ? n / 2 : 0));
	}
	void free(void *p) { __libc_free(p); }
	void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
	void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
END
for slow in 0 1 2 3 4; do
	cc -shared -fPIC -O1 -w -pthread -DSLOW=$slow slow.c -o slow$slow.so
done
"$reheap" gen server -o short.rht events=40000 lanes=2 heap=1M >/dev/null 2>&1
gate 1 'one size class that is slow' short.rht --baseline ./slow0.so --candidate ./slow1.so \
	--tier deterministic --lanes 1 --events 50000 --no-verify -o cause.json
said 'by operation  allocations of 129 to 256 bytes: \+'
said 'by function   \+[0-9.]+ instructions an event .*: dawdle \+'
said 'by lock       .*one lane waits for no other'
ok '  and the document has it' grep -q '"operation": "allocations of 129 to 256' cause.json
gate 1 'a slow start, too: both have a cause' short.rht --baseline ./slow0.so \
	--candidate ./slow4.so --tier both --metrics startup --lanes 1 --pairs 4 --blocks 8 \
	--events 50000 --no-verify -o cause.json --markdown cause.md
said '^Where it comes from: instructions.* \(short.rht, 1 lane\)'
said 'by function   \+[0-9.]+ instructions an event .*: dawdle \+'
said '^Where it comes from: startup \(short.rht, 1 lane\)'
said 'by start      [0-9.]+ ms until the heap is open, before [0-9.]+ ms: constructors'
ok '  and the document has both' bash -c \
	'grep -q "\"failed\": \"startup\"" cause.json && grep -q "\"failed\": \"instructions" cause.json'
ok '  and the summary' grep -q 'where startup comes from (short.rht, 1 lane)' cause.md
gate 1 'a lock around every allocation' short.rht --baseline ./slow0.so --candidate ./slow2.so \
	--tier deterministic --lanes 2 --events 20000 --no-verify
said 'by lock       .*pthread mutexes: \+'
gate 1 'blocks half as large again' short.rht --baseline ./slow0.so --candidate ./slow3.so \
	--metrics rss=5% --touch full --lanes 1 --pairs 4 --blocks 8 --no-verify
said 'by rounding   [0-9.]+ MiB, before [0-9.]+ MiB'
gate 1 'without looking' short.rht --baseline ./slow0.so --candidate ./slow1.so \
	--tier deterministic --lanes 1 --events 50000 --no-verify --no-cause
ok '  --no-cause is silent' fails grep -q 'Where it comes from' "$temp/.out"

finish
