#!/bin/bash
# Every installed backend passes --verify; one that is absent, broken or crashes is reported and
# does not stop the run. shellcheck source=ci/own/e2e/lib.sh
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
	is_exit 1 'quietly, too' "$reheap" replay t.rht --backend libc,./crash.so --reps 1 -q
	says 'crash.so: failed: .*signal 6' 'with the reason alone'
	ok 'the others were measured' grep -q '"status": *"ok"' f.json
	ok 'the result says where it died' grep -q '"died_at": *{' f.json
	is_exit 0 'and can be drawn' "$reheap" plot f.json -o drawn
	ok 'with the failure in the report' grep -q 'trials failed' drawn/report.html
	# Variants: variables for one backend alone, labels, the same allocator twice, sweeps.
	sed -i 's/if (++count > 5000)/if (++count > 5000 \&\& !getenv("STAY"))/' crash.c
	cc -shared -fPIC crash.c -o stay.so
	is_exit 1 'only the variant with the variable lives' "$reheap" replay t.rht --reps 1 \
		--backend "ok=./stay.so@STAY=1,bad=./stay.so,libc,libc" --sweep 'bump:chunk={64K,1M}' -o w.json
	ok 'the others are reported by their names' test "$(grep -c '^\(ok\|bad\|libc\|libc#2\|bump:chunk=64K\|bump:chunk=1M\) ' .out)" = 6
	ok 'the variable stands in the result' grep -q '"STAY": *"1"' w.json
	is_exit 1 'a variant is a baseline by its label' "$reheap" replay t.rht --reps 1 \
		--backend "ok=./stay.so@STAY=1,bad=./stay.so" --baseline ok
	if command -v valgrind >/dev/null; then
		is_exit 0 'and a side of a gate' "$reheap" gate t.rht --baseline 'old=./stay.so@STAY=1' \
			--candidate 'new=./stay.so@STAY=1' --tier deterministic
	else
		skip 'and a side of a gate' 'valgrind is not installed'
	fi
fi
is_exit 2 'two backends of one name are a usage error' "$reheap" replay t.rht --backend a=libc,a=bump
says "called 'a'" 'that names them'

# ---- versions: as the allocator reports it, not as its file is named ----
if command -v cc >/dev/null; then
	cat >mi.c <<-'END'
		#include <stddef.h>
		void *__libc_malloc(size_t);
		void __libc_free(void *);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		void *malloc(size_t n) { return __libc_malloc(n); }
		void free(void *p) { __libc_free(p); }
		void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
		void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
		int mi_version(void) { return VERSION; }
	END
	"$reheap" gen server -o v.rht events=2000 lanes=1 >/dev/null 2>&1
	for pair in 209=2.0.9 224=2.2.4 30102=3.1.2; do
		cc -shared -fPIC -w -DVERSION="${pair%=*}" mi.c -o libmimalloc.so
		"$reheap" replay v.rht --backend ./libmimalloc.so --reps 1 >.out 2>/dev/null
		ok "a mimalloc that says ${pair%=*} is ${pair#*=}" grep -q "^Versions: .*libmimalloc.so ${pair#*=}\.$" .out
		REHEAP_PEER_MIMALLOC=$PWD/libmimalloc.so "$reheap" list backends >.out
		ok '  also where it is listed' grep -q "libmimalloc.so, version ${pair#*=}$" .out
	done
	# One that says no version, as rpmalloc: its build id tells two builds apart, and without one a
	# sum over the file. In every table.
	grep -v mi_version mi.c >plain.c
	cc -shared -fPIC -w -Wl,--build-id=0x0123456789abcdef0123 plain.c -o with.so
	cc -shared -fPIC -w -Wl,--build-id=none plain.c -o without.so
	sed 's/return __libc_malloc(n)/return __libc_malloc(n + 8)/' plain.c >more.c
	cc -shared -fPIC -w -Wl,--build-id=none more.c -o more.so
	"$reheap" replay v.rht --backend ./with.so,./without.so,./more.so --reps 1 -o v.json >.out 2>/dev/null
	ok 'a library without a version is named by its build' grep -q '^Versions: .*with.so build 0123456789ab' .out
	ok 'one without a build id by its file' grep -q '^Versions: .*without.so file [0-9a-f]\{12\}' .out
	ok 'two files are two builds' test "$(grep -o 'file [0-9a-f]\{12\}' .out | sort -u | wc -l)" = 2
	ok 'the result has it' grep -q '"heap_version": *"build 0123456789ab"' v.json
	"$reheap" plot v.json --builtin -o v-drawn >/dev/null 2>&1
	ok 'the report, too' grep -q 'build 0123456789ab' v-drawn/report.html
	REHEAP_PEER_RPMALLOC=$PWD/with.so "$reheap" list backends >.out
	ok 'the list of backends' grep -q 'with.so, build 0123456789ab$' .out
	"$reheap" gate v.rht --baseline ./with.so --candidate ./more.so --tier deterministic >.out 2>/dev/null
	ok 'a gate says it of both sides' test "$(grep -c -E '^(baseline|candidate) .*(build 0123456789ab|file [0-9a-f]{12})' .out)" = 2
	native=$build/test/alloc/test/skeleton_native.so
	"$reheap" replay v.rht --backend "own=$native" --reps 1 >.out 2>/dev/null
	ok 'a native backend has no version of libc' grep -q '^Versions: own build [0-9a-f]\{12\}\.$' .out
	# Builds of one's own, side by side in a folder, under names of one's own.
	mkdir own
	for pair in 241=2.4.1 30403=3.4.3; do
		cc -shared -fPIC -w -DVERSION="${pair%=*}" mi.c -o "own/mimalloc-${pair#*=}.so"
	done
	ln -s mimalloc-3.4.3.so own/libmimalloc.so
	cp with.so own/rpmalloc.so
	cp without.so own/tcmalloc-google.so
	# jemalloc without git has a version that says nothing.
	for version in 5.3.1-0-g0123456789 0.0.0-0-g000000missing_version_try_git_fetch_tags; do
		{
			grep -v mi_version mi.c
			echo 'int mallctl(const char *what, const char **to, size_t *n, void *new, size_t bytes)'
			echo "{ if (what[0] != 'v') return 2; *to = \"$version\"; return 0; }"
		} >je.c
		cc -shared -fPIC -w -Wl,--build-id=0x0123456789abcdef0123 je.c -o "own/jemalloc-${version%%-*}.so"
	done
	export REHEAP_PATH=$PWD/own
	"$reheap" list backends >.out
	ok 'the newest of the folders is the one a name means' grep -q "^  *$PWD/own/.*mimalloc.*so, version 3.4.3$" .out
	ok 'the older is listed, too' grep -q "^  *also $PWD/own/mimalloc-2.4.1.so, version 2.4.1$" .out
	ok 'each once' test "$(grep -c 'own/.*mimalloc' .out)" = 2
	ok 'a version of jemalloc' grep -q "^  *$PWD/own/jemalloc-5.3.1.so, version 5.3.1$" .out
	ok 'none is its build' grep -q "^  *also $PWD/own/jemalloc-0.0.0.so, build 0123456789ab$" .out
	ok "Google's TCMalloc is not gperftools'" test "$(grep -c own/tcmalloc-google .out)" = 1
	"$reheap" list backends --json >.out
	ok 'JSON has them' test "$(tr -d ' \n' <.out | grep -o '"builds":\[{"path":"[^"]*own/mimalloc-2.4.1.so","version":"2.4.1"}\]' | wc -l)" = 1
	is_exit 0 'their names are backends' "$reheap" replay v.rht --backend mimalloc,rpmalloc,tcmalloc-google,jemalloc --reps 1
	ok 'the versions stand below the table' grep -q '^Versions: mimalloc 3.4.3, rpmalloc build 0123456789ab, tcmalloc-google file .*jemalloc 5.3.1' "$temp/.out"
	unset REHEAP_PATH
	REHEAP_PEER_TCMALLOC_GOOGLE=$PWD/with.so "$reheap" list backends >.out
	ok 'a variable for a name with a dash' grep -q 'with.so, build 0123456789ab$' .out
	# One that defines no malloc_usable_size, and whose blocks have no head that libc's would know.
	cat >bare.c <<-'END'
		#define _GNU_SOURCE
		#include <stdint.h>
		#include <string.h>
		#include <sys/mman.h>
		static _Atomic uintptr_t at;
		void *malloc(size_t n)
		{
			static _Atomic int once;
			if (!once++)
				at = (uintptr_t)mmap(0, 1ul << 32, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			uintptr_t p = __atomic_fetch_add(&at, (n + 47) & ~15ul, __ATOMIC_SEQ_CST) + 32;
			((size_t *)p)[-4] = n;
			((size_t *)p)[-1] = 3; /* of a size no block has */
			return (void *)p;
		}
		void free(void *p) { }
		void *calloc(size_t n, size_t m) { return malloc(n * m); }
		void *realloc(void *p, size_t n)
		{
			void *q = malloc(n);
			size_t old = p ? ((size_t *)p)[-4] : 0;
			return memcpy(q, p ? p : q, old < n ? old : n);
		}
	END
	cc -shared -fPIC -w -O1 bare.c -o bare.so
	is_exit 0 'an allocator without malloc_usable_size is verified' "$reheap" replay v.rht --backend ./bare.so --reps 1 --verify
	# An allocator that serves the first thread of a process only.
	sed -e 's/^\(void \*malloc.*\){ \(return\)/\1{ if (gettid() != getpid()) abort(); \2/' \
		-e '1i #define _GNU_SOURCE\n#include <stdlib.h>\n#include <unistd.h>' mi.c >first.c
	cc -shared -fPIC -w -DVERSION=1 first.c -o first.so
	ok 'a program of one thread is replayed on one' \
		"$reheap" replay v.rht --backend ./first.so --reps 1
	is_exit 1 'two copies of it are not' \
		"$reheap" replay v.rht --backend ./first.so --reps 1 --copies 2
	"$reheap" gen server -o two.rht events=2000 lanes=2 >/dev/null 2>&1
	is_exit 1 'nor is a program of two, on however many lanes' \
		"$reheap" replay two.rht --backend ./first.so --reps 1 --lanes 1
fi
"$reheap" replay v.rht --backend libc --reps 1 -o v.json >/dev/null 2>&1
ok 'the result names the version' grep -q '"malloc_version": *"glibc [0-9.]*"' v.json
finish
