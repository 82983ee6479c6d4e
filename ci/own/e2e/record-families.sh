#!/bin/bash
# Programs on other allocators: each call is one event, under any name. The programs themselves
# report how many calls they make; each is run twice, for 100 and for 300 rounds, and only the
# difference counts, so what loading costs is not in it. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null && command -v g++ >/dev/null || skip_all 'no compilers here'

cat >cxx.cc <<'END'
#include <cstdlib>
#include <new>
#include <string>
struct alignas(64) wide { char bytes[128]; };
int main(int, char **argv)
{
	for (int i = atoi(argv[1]); i > 0; i--) {
		int *volatile a = new int[10]; /* 7 births, 7 deaths */
		delete[] a;
		wide *volatile b = new wide;
		delete b;
		wide *volatile c = new wide[3];
		delete[] c;
		char *volatile d = new (std::nothrow) char;
		delete d;
		long *volatile e = static_cast<long *>(operator new(40, std::align_val_t(32), std::nothrow));
		operator delete(e, std::align_val_t(32));
		std::string *volatile f = new std::string(100, 'x');
		delete f;
	}
}
END
cat >je.c <<'END'
#include <stdlib.h>
void *mallocx(size_t, int), *rallocx(void *, size_t, int);
size_t xallocx(void *, size_t, size_t, int), sallocx(const void *, int), malloc_usable_size(void *);
void dallocx(void *, int), sdallocx(void *, size_t, int);
int main(int argc, char **argv)
{
	for (int i = atoi(argv[argc - 1]); i > 0; i--) { /* 3 births, 3 deaths, 2 resizes */
		void *p = rallocx(mallocx(100, 0), 5000, 0);
		xallocx(p, 5001, 0, 0), sallocx(p, 0), sdallocx(p, 5001, 0);
		dallocx(mallocx(64, 6 | 64), 0);
		p = malloc(10), malloc_usable_size(p), free(p);
	}
}
END
cat >tc.c <<'END'
#include <stdlib.h>
void *tc_malloc(size_t), *tc_new(size_t), *tc_newarray(size_t), *tc_memalign(size_t, size_t);
void *tc_realloc(void *, size_t), *tc_calloc(size_t, size_t), *__libc_malloc(size_t);
void tc_free(void *), tc_free_sized(void *, size_t), tc_delete(void *), tc_delete_sized(void *, size_t);
void tc_deletearray(void *), cfree(void *), __libc_free(void *);
size_t tc_malloc_size(void *);
int main(int argc, char **argv)
{
	for (int i = atoi(argv[argc - 1]); i > 0; i--) { /* 7 births, 7 deaths, 1 resize */
		void *p = tc_realloc(tc_malloc(10), 20);
		tc_malloc_size(p), tc_free(p);
		tc_free_sized(tc_calloc(2, 3), 6), tc_delete(tc_new(5)), tc_delete_sized(tc_new(7), 7);
		tc_deletearray(tc_newarray(9)), cfree(tc_memalign(64, 64)), __libc_free(__libc_malloc(5));
	}
}
END
cat >mi.c <<'END'
#include <stdlib.h>
void *mi_malloc(size_t), *mi_zalloc(size_t), *mi_malloc_small(size_t), *mi_calloc(size_t, size_t);
void *mi_realloc(void *, size_t), *mi_reallocf(void *, size_t), *mi_rezalloc(void *, size_t);
void *mi_malloc_aligned(size_t, size_t), *mi_new(size_t), *mi_new_n(size_t, size_t), *mi_valloc(size_t);
void *mi_heap_new(void), *mi_heap_malloc(void *, size_t), *mi_expand(void *, size_t), *mi_strdup(char *);
void mi_free(void *), mi_free_size(void *, size_t), mi_free_aligned(void *, size_t);
void mi_heap_destroy(void *), mi_heap_delete(void *);
size_t mi_usable_size(void *);
int mi_posix_memalign(void **, size_t, size_t);
int main(int argc, char **argv)
{
	for (int i = atoi(argv[argc - 1]); i > 0; i--) { /* 22 births, 22 deaths, 4 resizes */
		void *h = mi_heap_new(), *k = mi_heap_new(), *q = mi_heap_malloc(k, 9), *p;

		mi_free(mi_reallocf(mi_rezalloc(mi_realloc(mi_malloc(10), 100), 200), 300));
		mi_free_size(mi_zalloc(20), 20), mi_free(mi_calloc(3, 5)), mi_free(mi_strdup("hello"));
		p = mi_malloc_small(24), mi_usable_size(p), mi_free(p);
		mi_free_aligned(mi_malloc_aligned(100, 64), 64), mi_free(mi_new(9)), mi_free(mi_new_n(2, 9));
		mi_free(mi_valloc(10)), mi_posix_memalign(&p, 32, 33), mi_free(p);
		p = mi_malloc(40), mi_expand(p, 42), free(p);
		for (int j = 0; j < 10; j++)
			mi_heap_malloc(h, 50);
		mi_heap_destroy(h), mi_heap_delete(k), mi_free(q);
	}
}
END
cat >tbb.c <<'END'
#include <stdlib.h>
void *scalable_malloc(size_t), *scalable_realloc(void *, size_t), *scalable_aligned_malloc(size_t, size_t);
void scalable_free(void *), scalable_aligned_free(void *);
size_t scalable_msize(void *);
int main(int argc, char **argv)
{
	for (int i = atoi(argv[argc - 1]); i > 0; i--) { /* 3 births, 3 deaths, 1 resize */
		void *p = scalable_realloc(scalable_malloc(10), 20);
		scalable_msize(p), scalable_free(p);
		scalable_aligned_free(scalable_aligned_malloc(100, 64));
		p = malloc(30), free(p);
	}
}
END

# lib NAME: its path, or nothing.
lib() { ldconfig -p 2>/dev/null | awk -v name="$1" '$1 == name { print $NF; exit }'; }
# calls PROGRAM ROUNDS: births, deaths, resizes and calls that found no block.
calls() {
	"$reheap" record -q --no-time -o t.rht -- "$1" "$2" >/dev/null 2>&1
	"$reheap" info --no-edges t.rht | awk '$1 ~ /^(alloc|free|resize|drop.free_unknown)$/ { n[$1] = $2 }
		END { print n["alloc"] + 0, n["free"] + 0, n["resize"] + 0, n["drop.free_unknown"] + 0 }'
}
# exact WHAT PROGRAM BIRTHS DEATHS RESIZES: of 200 rounds, by the program's own count.
exact() {
	calls "$2" 100 >few.txt
	calls "$2" 300 >many.txt
	paste few.txt many.txt | awk '{ print ($5 - $1) / 200, ($6 - $2) / 200, ($7 - $3) / 200, ($8 - $4) / 200 }' >each.txt
	ok "$1: every call once" test "$(cat each.txt)" = "$3 $4 $5 0"
}

g++ -O1 -std=c++17 -fno-builtin -o cxx cxx.cc
exact 'C++ on libc' ./cxx 7 7 0
for name in libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2 libmimalloc.so.3 libtbbmalloc_proxy.so.2; do
	path=$(lib "$name")
	[ -n "$path" ] || { skip "C++ on $name" 'not installed'; continue; }
	g++ -O1 -std=c++17 -fno-builtin -o linked cxx.cc -Wl,--no-as-needed "$path"
	exact "C++ linked with $name" ./linked 7 7 0
	LD_PRELOAD=$path exact "C++ under $name" ./cxx 7 7 0
done
# family FILE LIBRARIES... -- BIRTHS DEATHS RESIZES
family() {
	local source=$1 paths=() name path
	shift
	while [ "$1" != -- ]; do
		name=$1 path=$(lib "$1")
		[ -n "$path" ] || { skip "the functions of $name" 'not installed'; return; }
		paths+=("$path")
		shift
	done
	gcc -O1 -w -fno-builtin -o family "$source" -Wl,--no-as-needed "${paths[@]}"
	exact "the functions of $name" ./family "$2" "$3" "$4"
}
family je.c libjemalloc.so.2 -- 3 3 2
family tc.c libtcmalloc_minimal.so.4 -- 7 7 1
family mi.c libmimalloc.so.2 -- 22 22 4
family tbb.c libtbbmalloc_proxy.so.2 libtbbmalloc.so.2 -- 3 3 1
family tbb.c libtbbmalloc.so.2 -- 3 3 1

# Opened late, its functions by dlsym: libtbb takes libtbbmalloc so.
cat >late.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	void *h = dlopen(getenv("LATE"), RTLD_NOW);
	char name[64];
	void *(*make)(size_t), *(*grow)(void *, size_t);
	void (*give)(void *);
	snprintf(name, sizeof name, "%smalloc", getenv("PREFIX")), make = dlsym(h, name);
	snprintf(name, sizeof name, "%srealloc", getenv("PREFIX")), grow = dlsym(h, name);
	snprintf(name, sizeof name, "%sfree", getenv("PREFIX")), give = dlsym(h, name);
	if (!make || !grow || !give)
		return 77;
	for (int i = atoi(argv[argc - 1]); i > 0; i--) { /* 2 births, 2 deaths, 1 resize */
		give(grow(make(10), 500));
		free(malloc(20));
	}
	return 0;
}
END
gcc -O1 -w -fno-builtin -o late late.c -ldl
for row in libtcmalloc_minimal.so.4:tc_ libmimalloc.so.2:mi_ libtbbmalloc.so.2:scalable_; do
	LATE=$(lib "${row%:*}") PREFIX=${row#*:}
	export LATE PREFIX
	[ -n "$LATE" ] && ./late 1 || { skip "${row%:*} opened late" 'not to be had here'; continue; }
	exact "${row%:*} opened late" ./late 2 2 1
	PREFIX='' "$reheap" record -o t.rht -- ./late 100 2>said.txt
	[ "${row%:*}" = libtbbmalloc.so.2 ] || ok 'and its malloc by that name, which is not seen, is said' \
		grep -q "not complete: .*${row%:*} has a malloc of its own" said.txt
done

# Sizes and questions stay with the calls, and replay makes them: what a counting malloc sees
# of a replay is what the program did.
cat >ask.cc <<'END'
#include <cstdlib>
#include <malloc.h>
#include <new>
struct alignas(64) wide { char bytes[128]; };
int main()
{
	for (int i = 0; i < 500; i++) {
		long *volatile p = new long;
		malloc_usable_size(p);
		delete p; /* sized */
		char *volatile q = static_cast<char *>(malloc(100));
		malloc_usable_size(q), malloc_usable_size(q);
		free(q);
		wide *volatile r = new wide;
		delete r; /* sized and aligned */
	}
}
END
cat >tally.cc <<'END'
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
static long *tally() /* { sized, asked }: in a file, for who replays ends without destructors */
{
	static long *counts;
	if (!counts) {
		int fd = open("tally", O_RDWR | O_CREAT, 0600);
		if (fd < 0 || ftruncate(fd, 16) < 0)
			abort();
		counts = (long *)mmap(nullptr, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	return counts;
}
extern "C" {
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t size) { return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return __libc_calloc(count, size); }
void *realloc(void *p, size_t size) { return __libc_realloc(p, size); }
void free(void *p) { __libc_free(p); }
size_t malloc_usable_size(void *p)
{
	static size_t (*next)(void *);
	if (!next)
		next = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
	tally()[1]++;
	return next(p);
}
}
void operator delete(void *p, size_t) noexcept { tally()[0]++; free(p); }
END
if g++ -O1 -std=c++17 -fno-builtin -o ask ask.cc && g++ -O1 -fno-builtin -shared -fPIC -o tally.so tally.cc -ldl; then
	"$reheap" record -q --no-time -o ask.rht -- ./ask
	"$reheap" export text ask.rht >ask.txt
	ok 'sized frees keep their size' test "1000 500 500" = "$(grep -c 'flags=sized' ask.txt) $(
		grep -c 'size=8 flags=sized' ask.txt) $(grep -c 'size=128 flags=sized' ask.txt)"
	ok 'each question is an event' test 1500 = "$(grep -c ^usable ask.txt)"
	"$reheap" export binary ask.txt >again.rht
	"$reheap" export text again.rht | cmp -s - ask.txt
	ok 'both survive the way there and back' test $? = 0
	"$reheap" replay ask.rht --backend ./tally.so --reps 1 --probes time -o ask.json >/dev/null 2>replay.err
	ok 'replay makes both, as often as the program but for aligned blocks' test 500:1500 = \
		"$(od -An -t d8 -w16 tally | awk '{ n = $1 / 500; print n ? $1 / n ":" $2 / n : 0 }')"
	for backend in libc jemalloc tcmalloc mimalloc tiered; do
		"$reheap" list backends | grep -q "^ *$backend .*not found" && { skip "verified on $backend" 'not installed'; continue; }
		ok "verified on $backend" "$reheap" replay ask.rht --backend "$backend" --reps 1 --verify -o v.json
	done
fi

# A plug-in whose C++ runtime no other object has loaded, and an interposer whose new is its malloc.
cat >plug.cc <<'END'
extern "C" void work(int n) { while (n--) { long *volatile p = new long[n % 9 + 1]; delete[] p; } }
END
cat >host.c <<'END'
#include <dlfcn.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	void *h = dlopen("./plug.so", RTLD_NOW | RTLD_LOCAL);
	((void (*)(int))dlsym(h, "work"))(atoi(argv[argc - 1]));
}
END
g++ -O1 -fno-builtin -shared -fPIC -o plug.so plug.cc && gcc -O1 -w -o host host.c -ldl
exact 'a C++ plug-in of a C program' ./host 1 1 0
cat >count.cc <<'END'
#include <cstdlib>
#include <dlfcn.h>
extern "C" void *malloc(size_t size)
{
	static void *(*next)(size_t);
	if (!next)
		next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return next(size);
}
void *operator new(size_t size) { return malloc(size); }
void *operator new[](size_t size) { return malloc(size); }
void operator delete(void *p) noexcept { free(p); }
void operator delete[](void *p) noexcept { free(p); }
END
g++ -O1 -fno-builtin -shared -fPIC -o count.so count.cc -ldl
LD_PRELOAD=$PWD/count.so exact 'new that is somebody'"'"'s malloc' ./cxx 7 7 0
# The verdict: the last line of record, a note, the last line of info, repeated by replay.
"$reheap" record -o t.rht -- ./cxx 100 >/dev/null 2>said.txt
ok 'a complete recording says so last' grep -q 'complete: every heap call' <(tail -n 1 said.txt)
ok 'info too' grep -q '^complete: every heap call' <("$reheap" info --no-edges t.rht | tail -n 1)
cat >hidden.c <<'END'
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) /* lives until the recorder has looked at it, however long that takes */
{
	char *p = mmap(0, 200 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, 200 << 20);
	for (int i = 0; i < 200; i++)
		free(malloc(10)), usleep(10000);
	return 0;
}
END
gcc -O1 -w -fno-builtin -o hidden hidden.c
"$reheap" record -o hidden.rht -- ./hidden 2>said.txt
ok 'memory that no event explains is said' grep -q 'not complete: .*200 MiB of anonymous memory' <(tail -n 1 said.txt)
ok 'and kept in the trace' grep -q '^not complete: .*200 MiB' <("$reheap" info --no-edges hidden.rht | tail -n 1)
"$reheap" replay hidden.rht --backend libc --reps 1 -o v.json >said.txt 2>&1
ok 'and repeated by replay' grep -q 'hidden.rht is not complete: .*200 MiB' said.txt
"$reheap" record --max-events 100 -o t.rht -- ./cxx 100 >/dev/null 2>said.txt
ok 'so are calls past a maximum' grep -q 'not complete: .*after the maximum' said.txt
cat >own.c <<'END'
#include <stddef.h>
static char room[1 << 20];
static size_t at;
void *malloc(size_t size) { void *p = room + at; at += (size + 15) & ~15ul; return p; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *p, size_t size) { return malloc(size); }
void free(void *p) {}
int main(void) { for (int i = 0; i < 100; i++) free(malloc(10)); return 0; }
END
gcc -O1 -w -fno-builtin -rdynamic -o own own.c
"$reheap" record -o t.rht -- ./own >/dev/null 2>said.txt
ok 'a malloc in the executable is said' grep -q 'the executable has a malloc of its own' said.txt
# Its C++ runtime comes to that malloc, too: a block of one must not go to the free of another.
cat >arena.cc <<'END'
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <sys/mman.h>
static char *room;
static size_t at;
static void *take(size_t size)
{
	if (!room)
		room = static_cast<char *>(mmap(nullptr, 1 << 24, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	at += (size + 31) & ~size_t(15);
	return room + at;
}
#ifdef OWN_MALLOC
extern "C" {
void *malloc(size_t size) { return take(size); }
void *calloc(size_t count, size_t size) { return take(count * size); }
void *realloc(void *p, size_t size) { void *q = take(size); return p ? memcpy(q, p, size) : q; }
void free(void *) {}
}
#else
void *operator new(size_t size) { return take(size); }
void operator delete(void *) noexcept {}
void operator delete(void *, size_t) noexcept {}
#endif
int main()
{
	for (int i = 0; i < 100; i++) {
		std::string *volatile s = new std::string(40 + i, 'x');
		delete s;
		std::shared_ptr<int> p = std::make_shared<int>(i);
		int *volatile a = new int[10];
		delete[] a;
		free(malloc(10));
	}
	puts("lives");
}
END
# arena HEAP FLAGS...
arena() {
	local what='a malloc'
	g++ -O1 -std=c++17 -w -fno-builtin "-D$1" "${@:2}" -o arena arena.cc
	"$reheap" record -o t.rht -- ./arena >out.txt 2>said.txt
	ok "$*: the program lives" test $? = 0 -a "$(cat out.txt)" = lives
	[ "$1" = OWN_MALLOC ] || what='an operator new'
	[ "$1" = OWN_NEW ] && [ "$(uname -m)" != x86_64 ] || # its code is read there
		ok "$*: what is not seen is said" grep -q "the executable has $what of its own" said.txt
}
arena OWN_MALLOC
arena OWN_MALLOC -static-libstdc++ -rdynamic
arena OWN_NEW
arena OWN_NEW -fno-plt
arena OWN_NEW -static-libstdc++ -rdynamic
# The note of Go's linker, behind others in one segment: cgo.
cat >go.c <<'END'
__asm__(".pushsection .note.go.buildid, \"a\", %note\n.balign 4\n.long 4, 4, 4\n.asciz \"Go\\0\"\n"
	".long 1\n.popsection");
int main(void) { return 0; }
END
if gcc -o go go.c && readelf -nW go 2>/dev/null | grep -q 'GO BUILDID'; then
	"$reheap" record -o t.rht -- ./go 2>said.txt
	ok 'a program in Go and C says so' grep -q "Go objects live in Go's own heap" said.txt
fi
for row in 'python3:-c 0:PYTHONMALLOC=malloc' 'php:-r 0;:USE_ZEND_ALLOC=0'; do
	IFS=: read -r program arguments switch <<<"$row"
	command -v "$program" >/dev/null || { skip "$program says how" 'not installed'; continue; }
	# shellcheck disable=SC2086
	"$reheap" record -o t.rht -- "$program" $arguments >/dev/null 2>said.txt
	ok "$program says how" grep -q "not complete: .*$switch switches it off" said.txt
	# shellcheck disable=SC2086
	env "$switch" "$reheap" record -o t.rht -- "$program" $arguments >/dev/null 2>said.txt
	ok "and with $switch it is complete" grep -q 'complete: every heap call' said.txt
done
finish
