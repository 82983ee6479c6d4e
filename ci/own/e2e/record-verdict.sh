#!/bin/bash
# The verdict when memory is served by an object loaded while the program runs, by the program's own
# operator new, or by a libc in another namespace; and for every way in which the program ends.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'

cat >plug.c <<'END'
#include <stddef.h>
static char room[1 << 22];
static size_t at;
#ifdef OWN
void *malloc(size_t size) { void *p = room + at; at += (size + 15) & ~15ul; return p; }
void free(void *p) {}
#else
#include <stdlib.h>
#endif
void *use(void) { void *volatile p = malloc(100); free(p); return p; }
END
cat >host.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static int here(void) { return 0; }
int main(int argc, char **argv)
{
	char *name = argv[1], *how = argv[2];
	void *plug = strcmp(how, "dlmopen") ? dlopen(name, RTLD_NOW | RTLD_DEEPBIND)
					     : dlmopen(LM_ID_NEWLM, name, RTLD_NOW);
	void *(*use)(void);
	pid_t child;
	int status;
	*(void **)&use = dlsym(plug, "use"); /* as POSIX blesses it */
	for (int i = 0; i < 1000; i++)
		use();
	/* RTLD_NEXT is the next object's after this one, whoever passes the question on */
	if (!dlsym(RTLD_NEXT, "puts") || dlsym(RTLD_DEFAULT, "no_such_function") || here())
		return 9;
	if (strcmp(how, "close") == 0)
		dlclose(plug);
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "_exit") == 0)
		_exit(7);
	if (strcmp(how, "quick") == 0)
		quick_exit(7);
	if (strcmp(how, "fork") == 0) {
		void *p = malloc(50);
		child = fork();
		free(p);
		if (!child)
			_exit(0);
		waitpid(child, &status, 0);
	}
	return 7;
}
END
gcc -O1 -w -fno-builtin -fPIC -shared -Wl,-Bsymbolic -DOWN plug.c -o own.so &&
	gcc -O1 -w -fno-builtin -fPIC -shared plug.c -o plain.so &&
	gcc -O1 -w -fno-builtin host.c -o host -ldl || skip_all 'the programs do not build'
for how in return close kill _exit quick; do
	want=7
	[ $how != kill ] || want=137
	is_exit $want "own.so, $how" "$reheap" record -o t.rht -- ./host ./own.so $how
	ok 'its malloc is said' grep -q 'not complete: own.so has a malloc of its own' <(tail -n 1 .err)
	is_exit $want "plain.so, $how" "$reheap" record -o t.rht -- ./host ./plain.so $how
	ok 'complete' grep -q 'complete: every heap call' <(tail -n 1 .err)
done
is_exit 7 'a child that never looks itself' "$reheap" record -f -o f.rht -- ./host ./own.so fork
ok 'knows it of its parent' grep -q '^reheap record: f.[0-9]*.rht is not complete: .*own.so has a malloc' .err
is_exit 7 'a child that frees what its parent made' "$reheap" record -f -o g.rht -- ./host ./plain.so fork
ok 'is no damage' grep -q '^reheap record: g.[0-9]*.rht is not complete: 1 of 1 frees are of blocks that its parent made' .err
is_exit 7 'dlmopen' "$reheap" record -o t.rht -- ./host ./plain.so dlmopen
if ldd --version 2>/dev/null | awk 'NR == 1 { split($NF, v, "."); exit !(v[1] > 2 || v[2] >= 35) }'; then
	ok 'is said' grep -q 'not complete: dlmopen gave libraries a libc of their own' <(tail -n 1 .err)
else
	skip 'is said' 'glibc before 2.35 keeps no list of namespaces'
fi

if [ "$(uname -m)" = x86_64 ] && command -v g++ >/dev/null; then
	cat >new.cc <<'END'
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
static long made;
#ifdef ARENA
static char room[1 << 20];
static size_t at;
__attribute__((noinline)) static void *take(size_t size) { made++; at += (size + 15) & ~15ul; return room + at; }
static void give(void *) {}
#else
__attribute__((noinline)) static void *deep(size_t size) { made++; return malloc(size); }
__attribute__((noinline)) static void *take(size_t size)
{
	void *p = deep(size + 16);
	while (!p && std::get_new_handler())
		std::get_new_handler()(), p = deep(size);
	return p;
}
static void give(void *p) { free(p); }
#endif
void *operator new(size_t size) { return take(size); }
void operator delete(void *p) noexcept { give(p); }
void operator delete(void *p, size_t) noexcept { give(p); }
int main()
{
	for (int i = 0; i < 1000; i++)
		delete new std::string(100, 'x');
	printf("%ld\n", made);
}
END
	for flags in -O0 -O2 '-O2 -fno-plt' '-O3 -no-pie -fno-pie -Wl,-z,now'; do
		# shellcheck disable=SC2086
		g++ -w $flags -DARENA new.cc -o arena && g++ -w $flags new.cc -o through || continue
		is_exit 0 "$flags: operator new from an arena" "$reheap" record -o t.rht -- ./arena
		ok 'is said' grep -q 'not complete: the executable has an operator new of its own' <(tail -n 1 .err)
		ok 'and was not called for it' test "$(cat .out)" = 2000
		is_exit 0 "$flags: one that comes to malloc" "$reheap" record -o t.rht -- ./through
		ok 'is complete' grep -q 'complete: every heap call' <(tail -n 1 .err)
		ok 'with all of it' test "$("$reheap" info t.rht | awk '$1 == "alloc" { print $2; exit }')" -ge 2000
	done
fi

# A wrapper that ends in exec: its own calls are the last that are seen. None of the program's is.
cat >alone.c <<'END'
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>
static char room[1 << 22];
static size_t at;
void *malloc(size_t size) { void *p = room + at; at += (size + 15) & ~15ul; return p; }
void free(void *p) {}
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *old, size_t size) { return malloc(size); }
int main(int argc, char **argv)
{
	for (int i = 0; i < 1000; i++)
		free(malloc(100));
	for (int i = 1; i < argc; i++)
		if (!fork())
			return execl(argv[0], argv[0], NULL);
	while (wait(NULL) > 0) { }
	return 7;
}
END
gcc -O1 -w -fno-builtin -static-libgcc alone.c -o alone || exit 1
printf '#!/bin/sh\n: "$(echo a wrapper)"\nexec ./alone "$@"\n' >wrapper
chmod +x wrapper
is_exit 7 'a wrapper that ends in exec' "$reheap" record -o w.rht -- ./wrapper
ok 'does not stand for the program' grep -qE \
	'^reheap record: not complete: .*/alone, which it became by exec, made no call that was seen: the executable has a malloc' \
	<(tail -n 1 .err)
ok 'nor in its trace' grep -qE 'complete +no: .*/alone, which it became' <("$reheap" info w.rht)
is_exit 7 'children of that kind' "$reheap" record -f -o w.rht -- ./wrapper 1 2 3
ok 'are named with the reason, once' [ "$(grep -c '/alone: no call of it was seen: the executable has a malloc' .err)" = 1 ]
ok 'and each of them' [ "$(grep -c '/alone: no call of it was seen either' .err)" = 2 ]

gcc -O1 -w -static -x c - -o fixed <<<'int main(void) { return 7; }' 2>.err && {
	printf '#!/bin/sh\n: "$(echo a wrapper)"\nexec ./fixed\n' >wrapper
	is_exit 7 'a wrapper of a static program' "$reheap" record -o w.rht -- ./wrapper
	ok 'does not stand for it' grep -q \
		'not complete: it became ./fixed by exec, which is not recorded: statically linked' <(tail -n 1 .err)
	is_exit 0 'a static child' "$reheap" record -f -o w.rht -- sh -c './fixed; : "$(echo so)"'
	ok 'stands in the last line' grep -q 'complete: .*; 1 of its children, named above, not recorded' <(tail -n 1 .err)
}

# The wrapper is env, and the loader.
is_exit 0 'env gives it another preload' "$reheap" record -o w.rht -- env LD_PRELOAD="$temp/plain.so" /bin/echo
ok 'is said, and what to do' grep -q \
	'not complete: it became /bin/echo by exec, which is not recorded: its LD_PRELOAD was replaced (set outside' \
	<(tail -n 1 .err)
is_exit 0 'env takes its preload away' "$reheap" record -o w.rht -- env -u LD_PRELOAD /bin/echo
ok 'is said too' grep -q 'not complete: it became /bin/echo by exec, which is not recorded: its environment was cleared' \
	<(tail -n 1 .err)
loader=$(readelf -l /bin/echo | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
is_exit 7 'the loader as a program' "$reheap" record -o w.rht -- "$loader" ./host ./plain.so return
ok 'loads the recorder, too' grep -q 'complete: every heap call' <(tail -n 1 .err)

# Through a static launcher to a program that is recorded: that one is whole.
cat >launch.c <<'END'
#include <unistd.h>
int main(int argc, char **argv) { execv(argv[1], argv + 1); return 9; }
END
if gcc -O1 -w -static launch.c -o launch 2>.err; then
	for follow in '' -f; do
		# shellcheck disable=SC2086
		is_exit 7 "${follow:-no -f}: a static program between" "$reheap" record $follow -o w.rht -- \
			sh -c ': "$(echo x)"; exec ./launch ./host ./plain.so return'
		ok 'what it became is complete' grep -q 'complete: every heap call of the program is in it$' \
			<(tail -n 1 .err)
		ok 'and not called unrecorded' fails grep -q 'host: not recorded' .err
	done
fi
finish
