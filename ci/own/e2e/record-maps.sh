#!/bin/bash
# --maps: mappings that a program makes besides its allocator are recorded as events, which explain
# its memory and are not replayed. The program counts itself what it does. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-maps.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'

cat >maps.c <<'EOF'
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "looked.h"
#define MIB (1ul << 20)
static void *fresh(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void *thread(void *unused)
{
	for (int i = 0; i < 100; i++) /* maps: 100 of 8 KiB */
		munmap(fresh(8192), 8192);
	return unused;
}
int main(void)
{
	char *a = fresh(96 * MIB), *b, *f;
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	pthread_t t[2];

	memset(a, 1, 96 * MIB);
	wait_until_looked(getppid());
	munmap(a + 16 * MIB, 16 * MIB);   /* a hole: 80 MiB */
	munmap(a, 16 * MIB);		  /* 64 MiB */
	munmap(a + 32 * MIB, 4096);	  /* its first page */
	b = fresh(4 * MIB);
	b = mremap(b, 4 * MIB, 8 * MIB, MREMAP_MAYMOVE);
	if (ftruncate(fd, 2 * MIB) < 0)
		return 1;
	f = mmap(NULL, 2 * MIB, PROT_READ, MAP_SHARED, fd, 0);
	mmap(b, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); /* in the place of */
	sbrk(4096);
	sbrk(-4096);
	mmap(NULL, 0, PROT_READ, MAP_PRIVATE, -1, 0); /* fails */
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, thread, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 1000; i++)
		free(malloc(200000)); /* what the allocator maps is its own affair */
	free(malloc(MIB));
	return f == MAP_FAILED || b == MAP_FAILED;
}
EOF
write_looked
gcc -pthread maps.c -o maps || skip_all 'it does not compile'

is_exit 0 'recorded without --maps' "$reheap" record -o plain.rht -- ./maps
ok 'the memory is not explained, and it is said what would' grep -q \
	'anonymous memory that no event explains.*--maps' .err
ok 'no event records it' fails grep -qE '^ +(un)?map ' <("$reheap" info plain.rht)

is_exit 0 'recorded with --maps' "$reheap" record --maps -o maps.rht -- ./maps
ok 'it is complete' grep -q 'is complete\|complete: every' .err
"$reheap" export text maps.rht >maps.txt
# events HOW WORD COUNT BYTES: so many, of so many bytes together
events() {
	ok "$2 by $1: $3 events, $4 bytes" test "$(awk -v how="$1" -v word="$2" '
		$1 == word { id = -1; for (i = 2; i <= NF; i++) { split($i, f, "="); v[f[1]] = f[2] }
			if (v["id"] == how) { n++; sum += v["size"] } }
		END { printf "%d %.0f", n, sum }' maps.txt)" = "$3 $4"
}
mib=$((1 << 20))
events 0 map 203 $((101 * mib + 200 * 8192))   # 96, 4, 1 in the place of, and the threads'
events 0 unmap 204 $((36 * mib + 4096 + 200 * 8192)) # 16, 16, a page, 4 moved, and the threads'
events 1 map 1 $((2 * mib))
events 2 map 1 $((8 * mib))
events 2 unmap 1 $mib # what the fixed one took
events 3 map 1 4096
events 3 unmap 1 4096
ok 'info says how much there was at once' grep -qE \
	"mapped itself +$((96 * mib)) bytes at most, and $((2 * mib)) of files" <("$reheap" info maps.rht)
is_exit 0 'text reads back' "$reheap" import text maps.txt -o back.rht
ok 'to the same' cmp <("$reheap" export text back.rht | grep -v '^note\|^reheap') <(grep -v '^note\|^reheap' maps.txt)
is_exit 0 'replay passes over them' "$reheap" replay --verify maps.rht --backend libc --reps 1 -o r.json
is_exit 0 'cut takes them along' "$reheap" cut --first 50 maps.rht -o cut.rht
is_exit 2 "--pid cannot" "$reheap" record --maps --pid 1 -o p.rht
for library in libjemalloc.so.2 libmimalloc.so.2.0; do
	path=$(ldconfig -p | awk -v l=$library '$1 == l { print $NF; exit }')
	[ -n "$path" ] || continue
	LD_PRELOAD=$path "$reheap" record -q --maps -o other.rht -- ./maps
	ok "$library: its own maps are no events" test \
		"$("$reheap" info other.rht | awk '$1 == "map" { print $2 }')" = 206
done

# memalign accepts other numbers than powers of two: glibc rounds up.
cat >align.c <<'EOF'
#include <malloc.h>
#include <stdlib.h>
int main(void)
{
	volatile size_t align = 24;
	free(memalign(align, 100));
	align = 1000;
	free(memalign(align, 100));
	return 0;
}
EOF
gcc -fno-builtin align.c -o align
"$reheap" record -q -o align.rht -- ./align
ok 'memalign(24) has the alignment that glibc gives' grep -q 'size=100 align=32 ' <("$reheap" export text align.rht)
ok 'and memalign(1000)' grep -q 'size=100 align=1024 ' <("$reheap" export text align.rht)

# Threads that nobody joins, that call pthread_exit and that are cancelled: each has an end.
cat >threads.c <<'EOF'
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static _Atomic int over;
static void clean(void *p) { free(p); over++; }
static void *thread(void *how)
{
	void *block = malloc(50);
	pthread_cleanup_push(clean, block);
	if ((long)how == 1)
		pthread_exit(NULL);
	while ((long)how == 2)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}
int main(void)
{
	pthread_t t;
	for (long i = 0; i < 90; i++) {
		pthread_create(&t, NULL, thread, (void *)(i % 3));
		if (i % 3 == 2)
			pthread_cancel(t);
		pthread_detach(t);
	}
	for (int i = 0; over < 90 - 30 && i < 1000; i++)
		usleep(10000);
	for (int left = 2, i = 0; left > 1 && i < 3000; i++) { /* the last ones have ended */
		DIR *tasks = opendir("/proc/self/task");
		struct dirent *task;
		usleep(10000);
		for (left = 0; (task = readdir(tasks));)
			left += task->d_name[0] != '.';
		closedir(tasks);
	}
	return 0;
}
EOF
gcc -pthread threads.c -o threads
"$reheap" record -q -o threads.rht -- ./threads
ok 'detached threads end, however they do' test "$("$reheap" info threads.rht |
	awk '$1 == "spawn" || $1 == "exit" { printf "%s ", $2 }')" = '90 90 '
finish
