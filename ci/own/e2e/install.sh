#!/bin/bash
# An installation: the command finds its parts where it was installed, the manual pages render,
# shells complete values, the examples build from the installed headers alone (C and C++), a native
# backend and a trace writer work, and uninstall leaves nothing behind.
. "$(dirname "$0")/lib.sh"

place=$PWD/place
ok 'make install' make -C "$root" -s install NO_DEPS=1 B="$build" PREFIX="$place"
reheap=$place/bin/reheap
export PKG_CONFIG_PATH=$place/lib/pkgconfig LD_LIBRARY_PATH=$place/lib
mkdir away && cd away || exit 1

ok 'it runs from its place' "$reheap" gen churn -o t.rht events=20000 seed=1
ok 'and makes a trace of several lanes' "$reheap" gen larson -o many.rht events=40000 lanes=3 seed=1
ok 'it finds its worker' "$reheap" replay t.rht --backend libc,tiered --reps 1 -o r.json
ok 'it finds its layouts' "$reheap" plot r.json --builtin -o figures

# Manual pages: one for each command, and every one renders.
pages=0 bad=''
for page in "$place"/share/man/man1/*.gz; do
	pages=$((pages + 1))
	gzip -dc "$page" | grep -q '^\.SH EXIT STATUS' || bad="$bad ${page##*/}"
	if command -v groff >/dev/null; then
		[ -z "$(gzip -dc "$page" | groff -man -Tascii -ww 2>&1 >/dev/null)" ] ||
			bad="$bad ${page##*/}"
	fi
done
commands=$("$reheap" --help | sed -n '/^commands:/,$p' | grep -c '^  [a-z-]* ')
ok "a page for reheap and each of $commands commands" test "$pages" = $((commands + 1))
ok "every page is sound$bad" test -z "$bad"

# Values, through the shells themselves where they are here.
complete_in_bash() {
	PATH=$place/bin:$PATH bash -c '. "$0/share/bash-completion/completions/reheap"
		COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
		read -r -a COMP_WORDS <<<"$1"; [ "${COMP_WORDS[0]}" != reheap ] || COMP_WORDS[0]=$0/bin/reheap
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _reheap; echo "${COMPREPLY[*]}"' "$place" "$1"
}
ok 'bash: --backend ti' test "$(complete_in_bash 'reheap replay --backend ti')" = tiered
ok 'bash: the next of a list' test "$(complete_in_bash 'reheap replay --backend libc,ti')" = libc,tiered
ok 'bash: probes' test "$(complete_in_bash 'reheap replay --probes laten')" = latency
ok 'bash: metrics' test "$(complete_in_bash 'reheap gate --metrics wal')" = wall
ok 'bash: importers' test "$(complete_in_bash 'reheap import andr')" = android
ok 'bash: generators' test "$(complete_in_bash 'reheap gen larso')" = larson
ok 'knobs and their values' test "$("$reheap" complete 'reheap replay -b tiered:gc=or')" = tiered:gc=oracle
for before in 'sudo ' 'X=1 ' 'time nice ' '/usr/bin/' 'reheap record -o x -- '; do
	ok "behind '$before'" test "$("$reheap" complete "${before}reheap replay --backend ti")" = tiered
done
ok 'a file may be called reheap' test -z "$("$reheap" complete 'reheap plot reheap t')"
ok 'bash: under another name' test "$(complete_in_bash 'rh replay --backend ti')" = tiered
ok 'files are left to the shell' test -z "$("$reheap" complete 'reheap info t')"
# Of each shell: the word that a line is completed to.
words='reheap replay --backend ti|tiered
reheap replay --probes laten|latency
reheap gate --metrics wal|wall
reheap import andr|android
reheap gen larso|larson
reheap replay -b tiered:gc=or|tiered:gc=oracle
reheap list back|backends
reheap replay --touch rec|recorded
cd / && reheap replay --backend ti|tiered
X=1 reheap replay --backend ti|tiered
reheap replay -b one=tier|one=tiered
reheap replay -b checked:tier|checked:tiered
reheap replay --counters pap|papi
reheap plot --format svg,pn|svg,png
reheap record --keep la|last
reheap fidelity --color ne|never
reheap gate --lanes cp|cpus'
cat >zsh.zsh <<'END2'
# zsh.zsh PLACE LINE: the line after a TAB in an interactive zsh; its key ^X prints the line
zmodload zsh/zpty || exit 1
export PLACE=$1 ZDOTDIR=$PWD PATH=$1/bin:$PATH TERM=dumb
zpty z 'zsh -d -i'
zpty -r -m z seen '*READY*'
zpty -w -n z "$2"$'\t\x18'
zpty -r -m z seen '*<*>*'
seen=${seen##*<}
print -r -- "${seen%%>*}"
zpty -d z
END2
cat >.zshrc <<'END2'
PS1=
fpath=($PLACE/share/zsh/site-functions $fpath)
autoload -Uz compinit; compinit -u -D
say() { print -r -- "<$BUFFER>"; }
zle -N say; bindkey '^X' say
print READY
END2
if command -v zsh >/dev/null; then
	ok 'zsh reads its file' zsh -n "$place/share/zsh/site-functions/_reheap"
	while IFS='|' read -r line word; do
		ok "zsh: $line<TAB>" test "$(timeout 60 zsh -f zsh.zsh "$place" "$line" </dev/null)" = "${line% *} $word"
	done <<<"$words"
else
	skip 'zsh reads its file' 'zsh is not installed'
fi
if command -v fish >/dev/null; then
	while IFS='|' read -r line word; do
		ok "fish: $line<TAB>" test "$(PATH=$place/bin:$PATH fish -c "source \
			$place/share/fish/vendor_completions.d/reheap.fish; complete -C '$line'" </dev/null)" = "$word"
	done <<<"$words"
else
	skip 'fish completes words' 'fish is not installed'
fi

# Outside the tree: headers and examples alone.
if command -v pkg-config >/dev/null; then
	cflags=$(pkg-config --cflags reheap) libs=$(pkg-config --libs reheap)
else
	cflags="-I$place/include" libs="-L$place/lib -lreheap"
fi
examples=$place/share/doc/reheap/examples
# shellcheck disable=SC2086  # flags are words
{
	ok 'the native example builds' cc -std=gnu11 -O2 -fPIC -shared "$examples/skeleton_native.c" $cflags -o mine.so
	ok 'and serves a replay' "$reheap" replay t.rht --backend ./mine.so,libc --reps 1 --verify
	for other in '+ 1=a newer reheap is needed' '- 1=rebuild it with this reheap'; do
		sed "s/= RH_BACKEND_ABI/= RH_BACKEND_ABI ${other%=*}/" "$examples/skeleton_native.c" >other.c
		ok "one of interface version ABI ${other%=*} builds" cc -std=gnu11 -O2 -fPIC -shared other.c $cflags -o other.so
		is_exit 1 'and is refused' "$reheap" replay t.rht --backend ./other.so --reps 1
		ok "with the reason and the way out: ${other#*=}" grep -q "other.so: .*interface version.*${other#*=}" "$temp/.out"
	done
	# Hidden by default, as many build: the header declared the table visible.
	ok 'the example of arenas builds' cc -std=gnu11 -O2 -Wall -Wextra -Werror -fvisibility=hidden -fPIC -shared \
		"$examples/example_arena.c" $cflags -o arena.so
	is_exit 0 'and serves a replay' "$reheap" replay many.rht --backend ./arena.so:chunk=64K,libc --reps 1 --verify --stats
	ok 'which uses chunks again as a whole' grep -q 'chunks.used_again' "$temp/.out"
	cat >sized.txt <<-'END'
		reheap-trace 1
		lane_start lane=0
		alloc lane=0 size=100
		alloc lane=0 size=1048576
		alloc lane=0 size=5000 align=4096
		alloc lane=0 size=3000000 align=65536 flags=zeroed
		free lane=0 id=0 size=100 flags=sized
		free lane=0 id=1 size=1048576 flags=sized
		resize lane=0 old=2 size=7000
		free lane=0 id=4
		free lane=0 id=3
		end
	END
	if command -v c++ >/dev/null; then
		for std in 11 17 20; do
			ok "the example in C++ builds as C++$std" c++ -std=c++$std -O2 -Wall -Wextra -Wpedantic -Werror \
				-fvisibility=hidden -fPIC -shared "$examples/example_pools.cc" $cflags -o pools.so
		done
		is_exit 0 'and serves a replay' "$reheap" replay t.rht --backend ./pools.so,libc --reps 1 --verify
		is_exit 0 'and one with frees that say a size' "$reheap" replay sized.txt --backend ./pools.so --reps 1 --verify --stats
		ok 'which it counts' grep -q 'frees.sized .* 2' "$temp/.out"
	else
		skip 'the example in C++ builds' 'no C++ compiler'
	fi
	# Each header by itself, under the warnings of strict people.
	for header in "$place"/include/reheap/*.h; do
		echo "#include <reheap/${header##*/}>" >one.c
		ok "<reheap/${header##*/}> is plain C11" cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion \
			-Wsign-conversion -Wshadow -Wcast-qual -Wstrict-prototypes -Wundef -Werror -fsyntax-only one.c $cflags
	done
	ok 'the trace writer builds' cc -std=c11 "$examples/example_writer.c" $cflags $libs -o writer
	ok 'and writes' ./writer w.rht
	is_exit 0 'a trace that reheap reads' "$reheap" info w.rht
	ok 'with what was written' grep -q '4196 bytes' "$temp/.out"
	if command -v c++ >/dev/null; then
		for header in "$place"/include/reheap/*.h; do
			echo "#include <reheap/${header##*/}>"
		done >all.cc
		echo 'int main() { return sizeof(rh_backend) == 0; }' >>all.cc
		ok 'every header is C++ too' c++ -std=c++11 -Wall -Werror $cflags all.cc -o all
	else
		skip 'every header is C++ too' 'no C++ compiler'
	fi
}

# What others write with the library: a tracer that knows addresses, a reader, an importer. Nothing is
# filled in that need not be.
cat >uses.c <<'END'
#include <stdio.h>
#include <reheap/import.h>
#include <reheap/repair.h>

static int stop(const struct rh_err *err)
{
	fprintf(stderr, "%s\n", err->text);
	return err->code;
}

int main(int argc, char **argv)
{
	struct rh_trace_make make = { .path = "uses.rht" };
	struct rh_trace_totals totals;
	struct rh_event events[100];
	struct rh_err err = { 0 };
	struct rh_trace_out *out;
	struct rh_trace *trace;
	struct rh_build *build;
	unsigned long long sum = 0;
	int count;

	if (rh_trace_create(&out, &make, &err) < 0 || rh_build_open(&build, out, &err) < 0)
		return stop(&err);
	for (unsigned i = 1; i <= 1000; i++) {
		struct rh_build_block block = { .address = i * 64, .size = i };

		if (rh_build_alloc(build, i % 3, &block, &err) < 0 ||
		    (i > 10 && rh_build_free(build, 7, (i - 10) * 64, RH_NONE, &err) < 0))
			return stop(&err);
	}
	if (rh_build_finish(build, &err) < 0 || rh_trace_finish(out, &totals, &err) < 0)
		return stop(&err);
	rh_build_close(build);
	if (rh_trace_open(&trace, "uses.rht", &err) < 0)
		return stop(&err);
	while ((count = rh_trace_next(trace, events, 100, &err)) > 0)
		for (int i = 0; i < count; i++)
			sum += events[i].kind == RH_EV_ALLOC ? events[i].size : 0;
	rh_trace_close(trace);
	printf("%llu live, %llu bytes", (unsigned long long)totals.live_objects_end, sum);
	for (int i = 1; i < argc; i++) {
		struct rh_import_job job = { .path = argv[i], .make = &make };
		struct rh_input *input;

		if (rh_input_open(&input, argv[i], &err) < 0 ||
		    !(job.importer = rh_importer_by_content(input, &err)))
			return stop(&err);
		rh_input_close(input);
		if (rh_import(&job, &totals, &err) < 0)
			return stop(&err);
		printf(", %s: %llu", job.importer->name, (unsigned long long)totals.objects);
	}
	printf("\n");
	return 0;
}
END
printf 'thread,op,size,ptr\n1,malloc,10,0x10\n1,malloc,20,0x40\n2,free,0,0x10\n' >calls.csv
printf '5\n3\n4\n1\na 0 512\na 1 128\nr 0 640\nf 1\n' >short.rep
# shellcheck disable=SC2086  # flags are words
ok 'a program with the library builds' cc -std=c11 -Wall -Wextra -Werror uses.c $cflags $libs -o uses
is_exit 0 'it writes by addresses, reads, imports' ./uses calls.csv short.rep
ok 'all that is there' grep -q -x '10 live, 500500 bytes, csv: 2, malloclab: 3' "$temp/.out"
is_exit 65 'a file that is no recording is an error' ./uses uses.c
# Each function that a header declares can be linked.
for header in event trace repair import err opt; do
	# shellcheck disable=SC2086
	echo "#include <reheap/$header.h>" | cc -std=c11 -E $cflags -
done | grep -v '^#' | tr '\n;{}' ' \n\n\n' | grep -oE '\brh_[a-z_0-9]+ ?\(' | tr -d ' (' | grep -v '_fn$' | sort -u >declared
nm -D --defined-only "$place/lib/libreheap.so" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >shown
ok "the library shows every function of its headers: $(comm -23 declared shown | tr '\n' ' ')" \
	test -z "$(comm -23 declared shown)" -a "$(wc -l <declared)" -gt 50

# Odd places: blanks, a ~ that no shell has expanded, slashes too many, quotes and what shells, sed and
# make would read; the tree moved afterwards.
export HOME=$PWD/home
quoted="$PWD/it's \"q\" & #1; é"
for odd in "$PWD/two words/" '~/.local' "$PWD//odd///" "$quoted"; do
	ok "make install PREFIX='${odd#"$PWD"}'" make -C "$root" -s install NO_DEPS=1 B="$build" PREFIX="$odd"
done
ok 'it runs from a place with blanks' 'two words/bin/reheap' replay t.rht --backend libc --reps 1
ok 'and from one with quotes' "$quoted/bin/reheap" replay t.rht --backend libc --reps 1
ok 'and from ~' home/.local/bin/reheap replay t.rht --backend libc --reps 1
mv 'two words' moved && ln -s "$PWD/moved/bin/reheap" linked
ok 'also when it was moved' ./linked replay t.rht --backend libc --reps 1
if command -v pkg-config >/dev/null; then
	ok 'where pkg-config finds it' test "$(PKG_CONFIG_PATH=moved/lib/pkgconfig pkg-config --define-prefix --cflags reheap |
		sed 's/ *$//')" = "-Imoved/include"
	ok 'and without a slash too many' fails grep -q //  odd/lib/pkgconfig/reheap.pc
fi
mv moved 'two words'
for odd in "$PWD/two words" '~/.local' "$PWD/odd" "$quoted"; do
	ok "make uninstall PREFIX='${odd#"$PWD"}'" make -C "$root" -s uninstall NO_DEPS=1 B="$build" PREFIX="$odd"
done
ok 'DESTDIR with blanks' make -C "$root" -s install NO_DEPS=1 B="$build" PREFIX=/usr DESTDIR="$PWD/stage of it"
ok 'has all of it' test -x 'stage of it/usr/bin/reheap' -a -e 'stage of it/usr/lib/pkgconfig/reheap.pc'
ok 'and leaves nothing' make -C "$root" -s uninstall NO_DEPS=1 B="$build" PREFIX=/usr DESTDIR="$PWD/stage of it"
ok 'of all of them nothing is left' test -z "$(find 'two words' home odd "$quoted" 'stage of it' -type f -o -type l 2>/dev/null)"

# The library shows what its headers declare, and nothing else.
ok 'libreheap shows names of its own only' test -z "$(nm -D --defined-only "$place/lib/libreheap.so" |
	awk '$2 != "A" && $3 !~ /^rh_/ { print $3 }')"
readelf -d "$place/lib/libreheap.so" >dynamic.txt
ok 'its name has the version of the interface' grep -q -F 'soname: [libreheap.so.0]' dynamic.txt

ok 'make uninstall' make -C "$root" -s uninstall NO_DEPS=1 B="$build" PREFIX="$place"
ok 'nothing is left' test ! -e "$place"
ok 'make help names every such target' test "$(make -C "$root" -s help | grep -c -E "make (install|deb|dist|test-deb|test-arm64|test-matrix|test-fleet) ")" -ge 6
if [ -e "$root/.git" ] && command -v git >/dev/null; then
	ok 'make dist' "$root/ci/own/dist.sh" "$PWD/one"
	ok 'again' "$root/ci/own/dist.sh" "$PWD/two"
	ok 'the same bytes' cmp one/*.tar.gz two/*.tar.gz
	mkdir unpacked && tar -xzf one/*.tar.gz -C unpacked --strip-components=1
	ok 'make dist out of the tarball, without git' unpacked/ci/own/dist.sh "$PWD/three"
	ok 'the same bytes again' cmp one/*.tar.gz three/*.tar.gz
	rm -rf unpacked
else
	skip 'the same bytes' 'not a checkout of git'
fi
finish
