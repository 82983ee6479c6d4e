#!/bin/bash
# reheap validate of a program with threads: how long they sleep, how often they go to sleep and how
# many futex calls they make, under an allocator of which that is known: it sleeps 60 us in each call,
# under one lock, and makes ten futex calls. Lower bounds and counts, no times.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip_all 'no C compiler'

# Two threads that allocate 1500 blocks each; each is worked on a while.
cat >threads.c <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
enum { THREADS = 2, BLOCKS = 1500, TURNS = 200000 };
static void *work(void *unused)
{
	for (int i = 0; i < BLOCKS; i++) {
		char *volatile block = malloc(100);

		memset(block, i, 100);
		for (volatile int turn = 0; turn < TURNS; turn++)
			;
		free(block);
	}
	return unused;
}
int main(void)
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, work, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
END
cat >lock.c <<'END'
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);
static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
void *malloc(size_t bytes)
{
	const struct timespec hold = { 0, 60000 };
	static int word;

	pthread_mutex_lock(&the_lock);
	if (bytes == 100) {
		for (int i = 0; i < 10; i++)
			syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		nanosleep(&hold, NULL);
	}
	pthread_mutex_unlock(&the_lock);
	return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
void free(void *p) { __libc_free(p); }
END
cc -O1 -fno-builtin -pthread threads.c -o threads
cc -O1 -shared -fPIC -fno-builtin lock.c -o lock.so

# change WHAT: predicted and observed medians of the backend $of
of=lock
change() {
	awk -v what="^change of $1" -v of="$of" '$0 ~ what { on = 1 } on && $1 == of { print; exit }' out |
		sed 's/\[[^]]*\]//g' | awk '{ print $2, $3 }' | tr -d + >change
	read -r predicted observed <change
}
within() { awk -v x="${1:-nan}" -v low="$2" -v high="$3" 'BEGIN { exit !(x >= low && x <= high) }'; }

# The kernel's tracepoints want tracefs: mounted for us alone, where we may.
alone=
if unshare -m mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null; then
	alone=yes
	cat >alone <<'END'
mount -t tracefs nodev /sys/kernel/tracing && exec "$@"
END
fi
${alone:+unshare -m bash alone} "$reheap" validate -q --reps 2 --backend libc,lock=./lock.so -o v.json \
	-- ./threads >out 2>err
code=$?
ok "a program with threads is validated (exit $code)" test $code = 0 -o $code = 1
sed 's/^/# /' err
ok 'it says how its threads are predicted' grep -q '^note: 2 threads call the heap' out
change 'time asleep, all threads'
ok "3000 sleeps of 60 us under a lock are predicted to be 180 ms at least ($predicted)" \
	within "$predicted" 180 1e6
# The thread that waits for the others sleeps as long as they take, on a busy machine seconds more or less.
if awk -v cpus="$(nproc)" '{ exit !($1 > 2 * cpus) }' /proc/loadavg; then
	echo "# SKIP observed sleeps ($observed ms): the machine is busy"
else
	ok "and so observed ($observed)" within "$observed" 180 1e6
fi
change 'voluntary context switches'
ok "of 3000 sleeps and no more than as many waits ($predicted thousand)" within "$predicted" 2.9 6.6
ok "and so observed ($observed)" within "$observed" 2.9 6.6
if grep -q '^note: futex calls are not counted' out; then
	echo "# SKIP futex calls: $(sed -n 's/^note: futex calls are not counted: //p' out)"
	ok 'the result says why' grep -q '"futex_why":"' v.json
else
	change 'futex calls'
	ok "ten futex calls a block, and those of waits, are predicted (30 thousand, $predicted)" \
		within "$predicted" 29.9 37
	ok "and observed ($observed)" within "$observed" 29.9 37
fi
ok 'the result has what was observed' grep -qE '"asleep_s":\[[0-9.]+,[0-9.]+\]' v.json
ok 'and both sides' grep -q '"what":"asleep"' v.json
ok 'two rounds give no verdict' grep -qE '^lock .* cannot tell: 2 rounds are too few$' out
is_exit 0 'it is drawn' "$reheap" plot v.json -o drawn
ok 'time asleep' test -s drawn/truth-asleep.svg
ok 'and switches' test -s drawn/truth-switches.svg
ok 'and told in the report' grep -q 'Change of time asleep, all threads, ms' drawn/report.html

# Two threads that hold 50,000 blocks each, a third of them aligned, a third grown by realloc: 640
# bytes more in each are 61.04 MiB and what aligning them splits off, 3,000 instructions more in each of 133,334 calls 400 million.
cat >hold.c <<'END'
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { THREADS = 2, BLOCKS = 50000, BYTES = 64 };
static char page[1 << 20];
static pthread_barrier_t full;
static void *work(void *unused)
{
	char **block = calloc(BLOCKS, sizeof(*block));

	for (int i = 0; i < BLOCKS; i++) {
		block[i] = i % 3 == 1 ? aligned_alloc(64, BYTES) : malloc(i % 3 ? BYTES / 2 : BYTES);
		if (i % 3 == 2)
			block[i] = realloc(block[i], BYTES);
		memset(block[i], i, BYTES);
	}
	pthread_barrier_wait(&full);
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	free(block);
	return unused;
}
int main(void)
{
	pthread_t thread[THREADS];

	pthread_barrier_init(&full, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, work, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0, zero = open("/dev/zero", O_RDONLY); i < 6000; i++)
		if (read(zero, page, sizeof(page)) < 0)
			return 1;
	return 0;
}
END
# more NAME BYTES COST: an allocator with so many bytes more in each small block, and that statement
more() {
	cat >"$1.c" <<END
#include <errno.h>
#include <stddef.h>
#include <string.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);
static void spin(void)
{
	long turns = 1500;
#if defined(__x86_64__)
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns));
#else
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns));
#endif
}
static void *fill(char *p, size_t bytes, size_t from)
{
	if (p && bytes <= 64 && $2)
		memset(p + from, 1, bytes + $2 - from);
	if (bytes <= 64) {
		$3;
	}
	return p;
}
static size_t of(size_t bytes) { return bytes + (bytes <= 64 ? $2 : 0); }
void *malloc(size_t bytes) { return fill(__libc_malloc(of(bytes)), bytes, 0); }
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return fill(__libc_realloc(p, of(bytes)), bytes, bytes); }
void *memalign(size_t align, size_t bytes) { return fill(__libc_memalign(align, of(bytes)), bytes, 0); }
void *aligned_alloc(size_t align, size_t bytes) { return memalign(align, bytes); }
int posix_memalign(void **p, size_t align, size_t bytes)
{
	*p = memalign(align, bytes);
	return *p ? 0 : ENOMEM;
}
void free(void *p) { __libc_free(p); }
END
	cc -O1 -shared -fPIC -fno-builtin "$1.c" -o "$1.so"
}
more waste 640 '(void)spin'
more costly 0 'spin()'
cc -O1 -fno-builtin -pthread hold.c -o hold
near() { # VALUE OTHER SHARE
	within "$1" "$(awk "BEGIN { print (1 - $3) * $2 }")" "$(awk "BEGIN { print (1 + $3) * $2 }")"
}
"$reheap" validate -q --reps 1 --backend libc,waste=./waste.so,costly=./costly.so \
	$(command -v valgrind >/dev/null && ! grep -q RH_SANITIZE "$build/.flags" 2>/dev/null && echo -i) \
	-- ./hold >out 2>err
code=$?
ok "threads that hold blocks are validated (exit $code)" test $code = 0 -o $code = 1
sed 's/^/# /' err
of=waste
change 'peak resident memory'
ok "what each block of theirs wastes is predicted to 2 % ($predicted MiB)" near "$predicted" "$observed" 0.02
ok "as observed ($observed)" within "$observed" 60.5 65
if grep -q "^change of the heap.s own instructions" out; then
	of=costly
	change "the heap.s own instructions"
	ok "what each call costs is predicted to 1 % (400 million, $predicted)" near "$predicted" 400 0.01
	ok "and so observed ($observed)" near "$observed" 400 0.01
fi

# Of a program with one thread nothing of it is asked.
sed 's/THREADS = 2/THREADS = 1/' threads.c >one.c
cc -O1 -fno-builtin -pthread one.c -o one
"$reheap" validate -q --reps 1 --backend libc,lock=./lock.so -- ./one >out 2>err
code=$?
ok "one thread is validated (exit $code)" test $code = 0 -o $code = 1
ok 'without contention' fails grep -q 'asleep' out
finish
