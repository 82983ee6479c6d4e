#!/bin/bash
# judge.sh BUILD_DIR OUT [NAME...] - records the programs that judge the heap of this repository.
#
# The corpus next to this script is small and was used while the heap was written. These traces are
# not kept in the repository: they are made on demand, from Debian packages and from
# ci/own/helpers/heap_shapes.c, by `make bench-tiered`. Existing recordings are kept; a missing
# program is skipped with a line that names its package.
#
# judge.tsv says which half a trace belongs to: `tuning` may be looked at while the heap is
# changed, `report` is measured and quoted, and nothing is chosen by it. The halves follow from the
# names alone (cksum of the name, odd or even), so they are not chosen: `--split` prints them.
#
# Each trace ends at EVENTS calls (default 3000000).
set -u
cd "$(dirname "$0")/../.." || exit 2
names() { sed -n 's/^#@ \([a-z0-9-]*\).*/\1/p' traces/corpus/judge.sh; }
if [ "${1:-}" = --split ]; then
	printf '# name\thalf: cksum of the name is odd or even; made by judge.sh --split\n'
	names | LC_ALL=C sort | while read -r name; do
		sum=$(printf %s "$name" | cksum)
		half=tuning
		[ $((${sum%% *} % 2)) = 0 ] && half=report
		printf '%s\t%s\n' "$name" "$half"
	done
	exit
fi
build=$(realpath "${1:?usage: judge.sh BUILD_DIR OUT [NAME...], or --split}")
out=${2:?usage: judge.sh BUILD_DIR OUT [NAME...]}
mkdir -p "$out" || exit 1
out=$(realpath "$out")
shift 2
export PYTHONMALLOC=malloc PYTHONHASHSEED=0 LC_ALL=C events=${EVENTS:-3000000}
work=$(mktemp -d "${TMPDIR:-/tmp}/reheap-judge.XXXXXX")
trap 'rm -rf "$work"' EXIT
house=$PWD
export work build house
record() {
	"$build/reheap" record --level 9 --max-events "$events" -q -o "$work/new.rht" -- "$@"
}

# Texts that the programs work on: words, a table, JSON, XML, C.
inputs() {
	perl -e 'srand 7; for (1 .. 30000) { print join(" ", map { "w" . int 5000 * rand() ** 3 } 1 .. 8), "\n" }' >"$work/words.txt"
	perl -e 'srand 8; for (1 .. 20000) { printf "%d\tname%d\t%.3f\t%s\n", $_, rand 900, rand 1e4, "x" x rand 60 }' >"$work/table.tsv"
	perl -e 'print "["; print join ",", map { sprintf q({"id":%d,"tags":["a%d","b%d"],"name":"row %d","in":{"x":%d,"y":[%d,%d]}}), $_, $_ % 7, $_ % 31, $_, $_ * 3, $_, $_ % 5 } 1 .. 12000; print "]\n"' >"$work/rows.json"
	perl -e 'print "<l>"; printf q(<r id="%d"><n>name %d</n><v k="%d">%s</v></r>), $_, $_ % 97, $_ % 5, "t" x ($_ % 50) for 1 .. 12000; print "</l>\n"' >"$work/rows.xml"
	perl -e 'print "digraph g {\n"; srand 9; printf "n%d -> n%d;\n", $_, rand $_ for 1 .. 400; print "}\n"' >"$work/graph.dot"
	cat >"$work/c.cc" <<-'CC'
		#include <algorithm>
		#include <functional>
		#include <map>
		#include <regex>
		#include <string>
		#include <unordered_map>
		#include <vector>
		std::map<std::string, std::vector<std::function<int(int)>>> table;
		bool match(const std::string &s) { return std::regex_match(s, std::regex("(a|b)*c+")); }
		int main() { table["a"].push_back([](int i) { return i + 1; }); return match("abc"); }
	CC
	echo '#include "gmp.h"' >"$work/none.h"
	cat >"$work/c.c" <<-'C'
		#include <math.h>
		#include <pthread.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/socket.h>
		#include <unistd.h>
	C
	perl -e 'printf "int f%d(int a, char *b) { struct { int x, y; } s = { a, %d }; for (int i = 0; i < a; i++) s.x += b[i] * s.y; switch (s.x %% 4) { case 0: return strlen(b); case 1: puts(b); break; default: return s.y; } return s.x; }\n", $_, $_ for 1 .. 900' >>"$work/c.c"
}

# One line a program: #@ NAME PROGRAM PACKAGE, and below it what is run.
play() {
	cd "$work" || exit 1
	case $1 in
#@ gawk-count gawk gawk
	gawk-count) record gawk '{ for (i = 1; i <= NF; i++) { n[$i]++; at[NR % 97, $i] = at[NR % 97, $i] "," NR } } END { for (w in n) print w, n[w] | "cat >/dev/null" }' words.txt ;;
#@ mawk-fields mawk mawk
	mawk-fields) record mawk -F'\t' '{ sum[$2] += $3; all = all substr($4, 1, 3); n = split($4, part, "x") } END { for (k in sum) print k, sum[k], length(all) }' table.tsv ;;
#@ jq-reshape jq jq
	jq-reshape) record jq -c 'group_by(.tags[0]) | map({t: .[0].tags[0], n: length, s: (map(.in.x) | add), l: map(.name | ascii_upcase)})' rows.json ;;
#@ jq-path jq jq
	jq-path) record jq -c '[.[] | paths(scalars) as $p | getpath($p)] | length' rows.json ;;
#@ sort-text sort coreutils
	sort-text) record sort --parallel=2 -S 4M -k 3 words.txt ;;
#@ perl-json perl perl
	perl-json) record perl -MJSON::PP -e 'local $/; open F, "rows.json"; my $r = decode_json("[" . substr(<F>, 1, 150000) =~ s/,[^{]*\{"id[^}]*$//r . "]"); print length encode_json($r)' ;;
#@ perl-regex perl perl
	perl-regex) record perl -ne 'my %h; s/(\w)(\d+)/$h{$2}++ ? uc $1 : "$2$1"/ge; push @l, [ sort { $a <=> $b } keys %h ]; $t .= $_; END { print length $t }' words.txt ;;
#@ perl-sort perl perl
	perl-sort) record perl -F'\t' -lane 'push @{ $by{$F[1]} }, { id => $F[0], v => $F[2], s => $F[3] }; END { for (sort keys %by) { print join " ", map { $_->{id} } sort { $a->{v} <=> $b->{v} } @{ $by{$_} } } }' table.tsv ;;
#@ python-classes python3 python3
	python-classes) record python3 -S -c 'import collections
class N:
    def __init__(s, v): s.v, s.l = v, []
r = [N(i) for i in range(15000)]
for i, n in enumerate(r[1:], 1): r[i * 7 // 11].l.append(n)
d = collections.defaultdict(list)
for k in range(6):
    for n in r: d[(n.v * k) % 811].append(str(n.v) * k)
print(sum(len(x) for v in d.values() for x in v))' ;;
#@ python-buffers python3 python3
	python-buffers) record python3 -S -c 'import io
b, parts = bytearray(), []
for i in range(60000):
    b += b"row %d;" % i
    if len(b) > 400000: parts.append(bytes(b)); b = bytearray()
    if len(parts) > 4: parts.pop(0)
s = io.StringIO()
for i in range(40000): s.write(f"{i:x} ")
print(len(s.getvalue().split()))' ;;
#@ python-parse python3 python3
	python-parse) record python3 -c 'import ast, json, inspect, argparse, tarfile, xml.etree.ElementTree as E
t = [ast.parse(inspect.getsource(m)) for m in (argparse, tarfile, inspect)]
print(sum(1 for x in t for _ in ast.walk(x)), len(json.load(open("rows.json"))), len(E.parse("rows.xml").getroot()))' ;;
#@ sqlite-index sqlite3 sqlite3
	sqlite-index) record sqlite3 :memory: "CREATE TABLE t(a, b, c); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO t SELECT i, hex(i * 7919 % 9973), randomblob(i % 200) FROM n; CREATE INDEX x ON t(b); SELECT count(DISTINCT c), group_concat(b) FROM t GROUP BY a % 50; UPDATE t SET b = b || a WHERE a % 3 = 0;" ;;
#@ sqlite-text sqlite3 sqlite3
	sqlite-text) record sqlite3 :memory: ".mode tabs" "CREATE VIRTUAL TABLE f USING fts5(body);" "CREATE TABLE r(a, b, c, d);" ".import table.tsv r" "INSERT INTO f SELECT b || ' ' || d FROM r;" "SELECT count(*) FROM f WHERE f MATCH 'name12 OR name77';" "SELECT json_group_array(json_object('a', a, 'b', b)) FROM r;" ;;
#@ git-repack git git
	git-repack) git init -q r && cp -r /usr/include/x86_64-linux-gnu r/ && git -C r add . && git -C r -c user.name=c -c user.email=c@example.org commit -qm one && record git -C r -c pack.threads=2 repack -adfq --depth=20 ;;
#@ git-blame git git
	git-blame) git init -q b && for i in 1 2 3 4 5 6 7 8; do perl -pe 's/w(\d*7)/v$1/ if $. % 9 == '$i words.txt | head -4000 >b/t; cp b/t words.txt; git -C b add .; git -C b -c user.name=c -c user.email=c@example.org commit -qm $i; done; record git -C b blame -M -C t ;;
#@ cc1-unit gcc gcc
	cc1-unit) record "$(gcc -print-prog-name=cc1)" -quiet -O1 c.c -o c.s ;;
#@ cc1plus-debug g++ g++
	cc1plus-debug) record "$(g++ -print-prog-name=cc1plus)" -quiet -D_GNU_SOURCE -g -O0 c.cc -o cc.s ;;
#@ clang-syntax clang clang
	clang-syntax) record "$(readlink -f "$(command -v clang)")" -cc1 -triple x86_64-pc-linux-gnu -fsyntax-only -internal-isystem "$(clang -print-resource-dir)/include" -internal-externc-isystem /usr/include/x86_64-linux-gnu -internal-externc-isystem /usr/include c.c ;;
#@ clang-code clang clang
	clang-code) record "$(readlink -f "$(command -v clang)")" -cc1 -triple x86_64-pc-linux-gnu -emit-obj -O2 -internal-isystem "$(clang -print-resource-dir)/include" -internal-externc-isystem /usr/include/x86_64-linux-gnu -internal-externc-isystem /usr/include -o c.o c.c ;;
#@ ld-bfd ld.bfd binutils
	ld-bfd) gcc -O0 -c c.c -o m.o; record ld.bfd -r -o all.o --whole-archive "$(gcc -print-file-name=libc.a)" ;;
#@ ld-gold ld.gold binutils
	ld-gold) record ld.gold --threads --thread-count 2 -r -o all.o --whole-archive "$(gcc -print-file-name=libc.a)" ;;
#@ lld-r ld.lld-14 lld-14
	lld-r) record ld.lld-14 --threads=2 -r -o all.o --whole-archive "$(g++ -print-file-name=libstdc++.a)" ;;
#@ objdump-lines objdump binutils
	objdump-lines) gcc -g -O1 -c c.c -o g.o && record objdump -dl g.o ;;
#@ readelf-dwarf readelf binutils
	readelf-dwarf) gcc -g -O1 -c c.c -o g.o && record readelf -w g.o ;;
#@ as-unit as binutils
	as-unit) gcc -O2 -g -S c.c -o c.s && record as c.s -o c.o ;;
#@ nasm-unit nasm nasm
	nasm-unit) perl -e 'print "section .text\n"; printf "l%d: mov eax, %d\nadd eax, [rel l%d]\njmp l%d\n%%define m%d(x) x+%d\n", $_, $_, $_ / 2, $_ / 3, $_, $_ for 0 .. 6000' >n.asm && record nasm -f elf64 n.asm -o n.o ;;
#@ gdb-symbols gdb gdb
	gdb-symbols) gcc -g -O1 -c c.c -o g.o && record gdb -nx -batch -ex 'info functions f1' -ex 'info line f17' -ex 'ptype f800' g.o ;;
#@ tcl-lists tclsh tcl
	tcl-lists) echo 'for {set i 0} {$i < 60000} {incr i} { lappend l "e$i"; dict lappend d [expr {$i % 301}] $i; if {$i % 5000 == 0} { set l [lsort [lrange $l 0 3000]] } }; puts [string length [join [dict values $d] ,]]' >t.tcl && record tclsh t.tcl ;;
#@ lua-tables lua5.4 lua5.4
	lua-tables) record lua5.4 -e 'local t = {} for i = 1, 120000 do t[i % 4001] = { i, tostring(i), { x = i } } if i % 9 == 0 then t[i % 77] = ("s"):rep(i % 300) end end local s = {} for k, v in pairs(t) do s[#s + 1] = type(v) end print(#table.concat(s))' ;;
#@ ruby-hash ruby ruby
	ruby-hash) record "$(readlink -f "$(command -v ruby)")" -e 'h = Hash.new { |t, k| t[k] = [] }; 60000.times { |i| h["k#{i % 997}"] << "value #{i} " * (i % 9) }; puts h.values.map { |v| v.join.gsub(/\d+/) { |d| d.reverse }.size }.sum' ;;
#@ php-arrays php php-cli
	php-arrays) USE_ZEND_ALLOC=0 record "$(readlink -f "$(command -v php)")" -n -r '$a = []; for ($i = 0; $i < 60000; $i++) { $a[$i % 1500][] = str_repeat("p$i", $i % 12); if ($i % 7 == 0) $a[$i % 1500] = array_slice($a[$i % 1500], -20); } echo strlen(serialize($a)), strlen(implode(",", array_map("serialize", $a)));' ;;
#@ convert-image convert imagemagick
	convert-image) MAGICK_THREAD_LIMIT=2 record convert -size 640x480 plasma:red-blue -resize 320x240 -blur 0x2 -rotate 10 -quality 80 o.png ;;
#@ dot-layout dot graphviz
	dot-layout) record dot -Tsvg graph.dot -o g.svg ;;
#@ neato-layout neato graphviz
	neato-layout) record neato -Tsvg graph.dot -o n.svg ;;
#@ xslt-table xsltproc xsltproc
	xslt-table) echo '<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:template match="/l"><t><x:for-each select="r"><x:sort select="n"/><x:if test="@id mod 3 = 0"><c><x:value-of select="concat(n, v)"/></c></x:if></x:for-each></t></x:template></x:stylesheet>' >s.xsl && record xsltproc -o o.xml s.xsl rows.xml ;;
#@ xml-path xmllint libxml2-utils
	xml-path) record xmllint --xpath 'count(//r[v/@k = 3]/n)' rows.xml ;;
#@ groff-pages groff groff-base
	groff-pages) perl -pe 's/^/.PP\n/ if $. % 5 == 0' words.txt | head -20000 >p.ms && record groff -ms -Tascii p.ms ;;
#@ m4-macros m4 m4
	m4-macros) perl -e 'printf "define(`a%d'"'"', `\$1 a%d(\$1x)'"'"')dnl\n", $_, $_ - 1 for 1 .. 150; print "define(`a0'"'"', `\$1'"'"')dnl\n"; print "a150(`q'"'"')\na70(w)\n" for 1 .. 150' >m.m4 && record m4 m.m4 ;;
#@ bison-grammar bison bison
	bison-grammar) perl -e 'print "%token T\n%%\ns: r0;\n"; printf "r%d: T r%d T | r%d T r%d | T;\n", $_, ($_ * 7 + 1) % 300, ($_ + 1) % 300, ($_ * 3) % 300 for 0 .. 299' >g.y && record bison -o g.c g.y ;;
#@ cmake-project cmake cmake
	cmake-project) mkdir p && { echo 'cmake_minimum_required(VERSION 3.10)'; echo 'project(p NONE)'; for i in $(seq 300); do echo "set(v$i \"\${v$((i - 1))};x$i\")"; echo "string(REGEX REPLACE \"x([0-9])\" \"y\\\\1\" w$i \"\${v$i}\")"; echo "add_custom_target(t$i COMMAND echo \${w$i})"; done; } >p/CMakeLists.txt && record cmake -S p -B p/b ;;
#@ gs-page gs ghostscript
	gs-page) echo '0 1 2000 { dup 7 mul 500 mod exch 3 mul 700 mod moveto 40 20 rlineto stroke /Times-Roman findfont 9 scalefont setfont (text) show } for showpage' >p.ps && record gs -q -dBATCH -dNOPAUSE -sDEVICE=png16m -r72 -o o.png p.ps ;;
#@ pdf-text pdftotext poppler-utils
	pdf-text) { echo '%!PS'; head -3000 words.txt | perl -ne 'chomp; print "/Times-Roman findfont 8 scalefont setfont\n" if $. % 80 == 1; printf "40 %d moveto (%s) show\n", 800 - $. % 80 * 9, $_; print "showpage\n" if $. % 80 == 0'; } >t.ps && gs -q -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -o t.pdf t.ps && record pdftotext -layout t.pdf ;;
#@ vim-edit vim vim
	vim-edit) cp words.txt e.txt; TERM=dumb record vim -u NONE -N -es -c 'set undolevels=1000' -c '%s/w\(\d\)/<\1>/g' -c 'g/9/m0' -c '%sort' -c 'undo' -c 'redo' -c 'wq' e.txt ;;
#@ gnuplot-fit gnuplot gnuplot-nox
	gnuplot-fit) record gnuplot -e 'set term svg; set output "o.svg"; set table "t"; splot sin(x)*y; unset table; stats "table.tsv" using 3 nooutput; plot "table.tsv" using 1:3 smooth bezier, "table.tsv" using 1:3 with dots' ;;
#@ bc-digits bc bc
	bc-digits) echo 'scale = 400; for (i = 1; i < 40; i++) { x = x + sqrt(i) * a(1 / i) }; x; 3 ^ 3000 % 7 ^ 900' | record bc -l ;;
#@ make-rules make make
	make-rules) perl -e 'print "all: t900\n"; printf "t%d: t%d \$(wildcard *.%d)\n\t\@:\nv%d := \$(patsubst w%%,x%%,w%d \$(v%d))\n", $_, $_ - 1, $_, $_, $_, $_ - 9 for 1 .. 900; print "t0:\n"' >M && record make -f M -n ;;
#@ curl-files curl curl
	curl-files) record curl -s --parallel "file://$work/words.txt" "file://$work/rows.json" "file://$work/table.tsv" ;;
#@ node-json node nodejs
	node-json) record node --jitless -e 'const r = JSON.parse(require("fs").readFileSync("rows.json")); let b = []; for (let i = 0; i < 400; i++) { b.push(Buffer.alloc(1 + i * 997 % 90000, 1)); if (b.length > 40) b.shift(); r.push({ s: JSON.stringify(r.slice(i, i + 50)) }) } console.log(r.length)' ;;
#@ bash-strings bash bash
	bash-strings) record bash -c 'declare -A m; for ((i = 0; i < 12000; i++)); do m[k$((i % 500))]+="v$i "; s="${m[k$((i % 37))]//v/w}"; done; echo ${#s}' ;;
#@ redis-mixed redis-server redis-server
	redis-mixed) redis_load ;;
#@ xz-pack xz xz-utils
	xz-pack) record xz -T2 --block-size=300000 -3 -c words.txt ;;
#@ cppcheck-unit cppcheck cppcheck
	cppcheck-unit) head -120 c.c >s.c && record cppcheck -q --enable=style s.c ;;
#@ ctags-headers ctags universal-ctags
	ctags-headers) record ctags --sort=yes --fields=+S -f tags -R /usr/include/x86_64-linux-gnu ;;
#@ opt-passes opt-14 llvm-14
	opt-passes) clang -O1 -emit-llvm -S -Xclang -disable-llvm-passes -o c.ll c.c && record opt-14 -O2 -S -o o.ll c.ll ;;
#@ rustc-unit rustc rustc
	rustc-unit) perl -e 'print "use std::collections::HashMap;\n"; printf "pub fn f%d(v: &[u32]) -> HashMap<u32, String> { v.iter().filter(|x| **x > %d).map(|x| (*x, format!(\"{}\", x))).collect() }\n", $_, $_ for 1 .. 60' >r.rs && record rustc --crate-type lib --emit metadata -C codegen-units=1 -o r.rmeta r.rs ;;
#@ sfdp-layout sfdp graphviz
	sfdp-layout) record sfdp -Tsvg graph.dot -o f.svg ;;
#@ xgettext-scan xgettext gettext
	xgettext-scan) perl -e 'printf "puts(_(\"message %d of %d\")); puts(_(\"w%d\" \" and more\"));\n", $_, $_ % 90, $_ % 700 for 1 .. 9000' >g.c && record xgettext -k_ -n -o g.pot g.c ;;
#@ clang-format-source clang-format-14 clang-format-14
	clang-format-source) head -300 c.c >f.c && record clang-format-14 -style=LLVM f.c ;;
#@ dwarfdump-info llvm-dwarfdump-14 llvm-14
	dwarfdump-info) gcc -g -O1 -c c.c -o g.o && record llvm-dwarfdump-14 --debug-info --debug-line g.o ;;
#@ shape-requests cc gcc
#@ shape-timers cc gcc
#@ shape-flush cc gcc
#@ shape-graph cc gcc
#@ shape-pipeline cc gcc
#@ shape-buffers cc gcc
#@ shape-growing cc gcc
#@ shape-large cc gcc
#@ shape-breathing cc gcc
#@ shape-cache cc gcc
#@ shape-queue cc gcc
#@ shape-doubling cc gcc
#@ shape-exchange cc gcc
	shape-*) cc -O2 -o heap_shapes "$house/ci/own/helpers/heap_shapes.c" -lpthread && record ./heap_shapes "${1#shape-}" ;;
	esac
}

redis_load() {
	MALLOC_ARENA_MAX=1 "$build/reheap" record --level 9 --max-events "$events" -q -o "$work/new.rht" -- \
		redis-server --bind 127.0.0.1 --port 17371 --save '' --dir "$work" >/dev/null &
	server=$!
	for _ in $(seq 100); do redis-cli -p 17371 ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
	redis-benchmark -p 17371 -q -n 20000 -c 8 -P 8 -d 200 -r 20000 -t set,get,lpush,lrange_100,hset,zadd >/dev/null
	kill "$server" && wait "$server"
}

# One in a scratch directory of its own, so that none sees another's files.
one() {
	rm -f "$work/new.rht"
	(play "$1") >"$work/log" 2>&1 </dev/null
	"$build/reheap" info "$work/new.rht" >/dev/null 2>&1 ||
		{ echo "$1: not recorded: $(tail -1 "$work/log")"; return 1; }
	mv "$work/new.rht" "$out/$1.rht"
}

failed=0 ready=
for name in ${*:-$(names)}; do
	[ ! -s "$out/$name.rht" ] || continue
	read -r program package < <(sed -n "s/^#@ $name //p" traces/corpus/judge.sh)
	[ -n "${program:-}" ] || { echo "$name: judge.sh has no such program"; failed=1; continue; }
	command -v "$program" >/dev/null || { echo "$name: skipped, apt-get install $package"; continue; }
	[ -n "$ready" ] || { inputs && ready=1; }
	one "$name" || failed=1
done
exit $failed
