#!/bin/bash
# Calls outside the global scope: plug-ins opened with RTLD_DEEPBIND, their
# constructors, functions looked up in libc itself. The program says how many calls it makes;
# it is run for 100 and for 300 rounds, and the difference counts.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'

cat >plug.c <<'END'
#include <stdlib.h>
#include <string.h>
__attribute__((constructor)) static void begins(void)
{
	for (int i = atoi(getenv("ROUNDS")); i > 0; i--)
		free(malloc(33)); /* 1 birth, 1 death */
}
void *plug_make(int n) { return malloc(n); }
void plug_free(void *p) { free(p); }
char *plug_dup(void) { return strdup("hello plug-in"); }
void *plug_grow(void *p, int n) { return realloc(p, n); }
END
cat >host.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	int flags = argv[1][0] == 'n' ? RTLD_NOW : RTLD_LAZY;
	void *plug = dlopen("./plug.so", flags | RTLD_DEEPBIND), *libc = dlopen("libc.so.6", RTLD_LAZY);
	void *(*make)(int) = dlsym(plug, "plug_make"), *(*grow)(void *, int) = dlsym(plug, "plug_grow");
	void (*give)(void *) = dlsym(plug, "plug_free"), *(*direct)(size_t) = dlsym(libc, "malloc");
	char *(*dup)(void) = dlsym(plug, "plug_dup");
	for (int i = atoi(getenv("ROUNDS")); i > 0; i--) { /* 6 births, 6 deaths, 1 resize */
		free(make(64));
		give(malloc(72));
		free(dup());
		give(make(80));
		free(grow(malloc(10), 5000));
		give(direct(90));
	}
	puts("done");
}
END
gcc -O1 -fno-builtin -shared -fPIC plug.c -o plug.so && gcc -O1 -fno-builtin host.c -o host -ldl ||
	skip_all 'the programs do not build'

# count KIND FILE
count() {
	"$reheap" info "$2" | awk -v kind="$1" '$1 == kind { print $2; exit }' | grep . || echo 0
}
for bind in now lazy; do
	for rounds in 100 300; do
		ROUNDS=$rounds "$reheap" record -q -o $bind.$rounds.rht -- ./host $bind >out.txt 2>err.txt
		ok "$bind, $rounds rounds: the program ran" grep -q done out.txt
	done
	for want in alloc:1400 free:1400 resize:200; do
		kind=${want%:*}
		have=$(($(count "$kind" $bind.300.rht) - $(count "$kind" $bind.100.rht)))
		ok "$bind: each $kind once ($have)" test $have = "${want#*:}"
	done
	"$reheap" info $bind.300.rht >info.txt
	ok "$bind: no block has a wrong life" fails grep -qE 'free_unknown|realloc_unknown|alloc_live|inversion' info.txt
	is_exit 0 "$bind: replay verifies" "$reheap" replay $bind.300.rht --backend libc --verify -o r.json
done
finish
