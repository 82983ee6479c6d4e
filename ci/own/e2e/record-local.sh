#!/bin/bash
# A malloc that the loader does not know: static, hidden, kept out of the dynamic symbols, or under a
# name of its own. The full symbol table of the file tells it.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'

cat >own.c <<'END'
#include <stddef.h>
static char room[1 << 22];
static size_t at;
LINK __attribute__((noinline)) void *NAME(malloc)(size_t size)
{
	char *p = room + at;
	at += (size + 15) & ~15ul;
	return p;
}
LINK __attribute__((noinline)) void NAME(free)(void *p) { __asm__ volatile("" : : "r"(p)); }
void use(void) { void *volatile p = NAME(malloc)(100); NAME(free)(p); }
END
cat >through.c <<'END'
#include <stddef.h>
extern void *calloc(size_t count, size_t size);
extern void free(void *p);
static size_t made;
static __attribute__((noinline)) void *malloc(size_t size) { made++; return calloc(1, size); }
void use(void) { void *volatile p = malloc(100); free(p); }
END
cat >main.c <<'END'
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#ifdef LATE
int main(int argc, char **argv)
{
	void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	void (*use)(void);
	*(void **)&use = dlsym(lib, "use");
	for (int i = 0; i < 1000; i++)
		use();
	if (argv[2])
		dlclose(lib);
	kill(getpid(), argv[2] ? 0 : SIGKILL);
	return 7;
}
#else
void use(void);
int main(void)
{
	for (int i = 0; i < 1000; i++)
		use();
	return 7;
}
#endif
END
cc() { gcc -O1 -w -fno-builtin "$@"; }
as() { # as NAME LINKAGE FLAG...: the allocator's names and linkage
	local name=$1 link=$2
	shift 2
	cc "-DNAME(x)=$name" "-DLINK=$link" "$@"
}
cc -DLATE main.c -o late -ldl || skip_all 'the programs do not build'
hidden='__attribute__((visibility("hidden")))'
printf '{ global: use; local: *; };\n' >only.map

own='has a malloc of its own, whose calls are not seen'
said() { # said WHAT OBJECT
	ok "$1 is said" grep -q "not complete: $2 $own" <(tail -n 1 .err)
}
for name in x je_##x mi_##x tc_##x; do
	for link in static "$hidden"; do
		as "$name" "$link" main.c own.c -o prog || exit 1
		is_exit 7 "$name $link" "$reheap" record -f -o t.rht -- ./prog
		said 'the executable' 'the executable'
	done
done
as x "$hidden" -fPIC -c own.c -o own.o && ar rcs libown.a own.o
as x '' -fPIC -c own.c -o own.o && ar rcs libopen.a own.o
cc -rdynamic main.c -o prog -Wl,--exclude-libs,ALL libopen.a || exit 1
is_exit 7 'a library that was linked in, and excluded' "$reheap" record -o t.rht -- ./prog
said 'it' 'the executable'

as x '' -fPIC -shared own.c -o libver.so -Wl,--version-script=only.map
as x static -fPIC -shared own.c -o libstatic.so
for lib in ver static; do
	cc main.c -o prog -L. -l$lib "-Wl,-rpath,$PWD" || exit 1
	is_exit 7 "a library of the program: $lib" "$reheap" record -o t.rht -- ./prog
	said 'it' "lib$lib.so"
	is_exit 137 "loaded by a program that is killed: $lib" "$reheap" record -o t.rht -- ./late ./lib$lib.so
	said 'it' "lib$lib.so"
	is_exit 7 "and closed: $lib" "$reheap" record -o t.rht -- ./late ./lib$lib.so close
	said 'it' "lib$lib.so"
done
sed 's/NAME(malloc)/arrow_je_arena_malloc_hard/g' own.c >pre.c
as x static -fPIC -shared pre.c -o libpre.so || exit 1
is_exit 7 'jemalloc with any prefix' "$reheap" record -o t.rht -- ./late ./libpre.so close
said 'it' libpre.so

# A process that is recorded again: its objects are known by then, and said again.
cat >stays.c <<'END'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
void use(void);
int main(void) { for (;;) { use(); free(strdup("libc's")); usleep(100); } }
END
as x static stays.c own.c -o stays || exit 1
./stays &
stays=$!
if "$reheap" record -q --pid $stays --duration 0.1 -o t.rht 2>.err; then
	for time in first second; do
		is_exit 0 "a running process, the $time time" "$reheap" record --pid $stays --duration 0.1 -o t.rht
		ok 'it is said' grep -q "the executable $own" <(tail -n 1 .err)
	done
else
	skip 'a running process' "it cannot be attached to here: $(tail -n 1 .err)"
fi
kill $stays

cc main.c through.c -o prog || exit 1
is_exit 7 'a static malloc that comes to calloc' "$reheap" record -o t.rht -- ./prog
if [ "$(uname -m)" = x86_64 ]; then
	ok 'is complete' grep -q 'complete: every heap call' <(tail -n 1 .err)
fi
ok 'with all of it' test "$("$reheap" info t.rht | awk '$1 == "alloc" { print $2; exit }')" -ge 1000
finish
