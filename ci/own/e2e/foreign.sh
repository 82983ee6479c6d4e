#!/bin/bash
# Files of other kinds in the place of a recording, a trace, a result: each is recognised and named,
# with a remedy, and nothing is written. And recordings changed by editors and shells. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

printf '1: malloc 0x10 8\n1: free 0x10\n' >log
printf 'reheap-trace 1\nlane_start lane=0\nalloc lane=0 id=0 size=8\nend\n' >text.rht
"$reheap" import log -o t.rht >/dev/null 2>&1
"$reheap" replay t.rht --backend null --reps 1 -o r.json >/dev/null 2>&1
ok 'there is a trace and a result' test -s t.rht -a -s r.json

# foreign BYTES WORDS: import names it, with and without a format
foreign() {
	printf '%b' "$1" >odd
	is_exit 65 "import: $2" "$reheap" import odd -o x.rht
	says "odd is (a |an |the |text |packed |what )?.*$2" 'is called so'
	is_exit 65 'and with a format' "$reheap" import android odd -o x.rht
	says "$2" 'is called so, too'
	ok 'and nothing is written' test ! -e x.rht
}
foreign 'PERFILE2\0\0\0\0' 'perf script -i FILE'
foreign 'heap profile:      1:  200 [     1:   200] @ heapprofile\n' 'samples or sums'
foreign 'heap_v2/524288\n  t*: 1: 2 [0: 0]\n' 'profile of jemalloc'
foreign 'desc: --massif-out-file=x\ncmd: ./a\n' 'massif'
foreign '{"dhatFileVersion":2,"mode":"heap"}\n' 'DHAT'
foreign 'JAVA PROFILE 1.0.2\0' 'heap dump of Java'
foreign '\x7fELF\x02\x01\x01\0' 'core dump'
foreign 'SQLite format 3\0\x10\0' 'database of SQLite'
foreign '<!DOCTYPE html><html>\n<body>404\n' 'web page'
foreign '7z\xbc\xaf\x27\x1c\0\x04' '7z archive'
foreign '\x1f\x9d\x90\0\0' 'packed by compress'
foreign '\xff\xfe1\0:\0 \0m\0a\0l\0l\0o\0c\0' 'UTF-16'
foreign '1\0:\0 \0m\0a\0l\0l\0o\0c\0 \0' 'UTF-16LE'
foreign '\xff\xfe\x00\x00\x31\x00\x00\x00' 'UTF-32'
foreign '1: malloc 0x10 8\r1: free 0x10\r' 'carriage returns alone'
cp t.rht odd
is_exit 65 'import: a trace of ours' "$reheap" import odd -o x.rht
says 'odd is a trace of reheap already' 'is called so'
cp r.json odd
is_exit 65 'import: a result' "$reheap" import odd -o x.rht
says 'odd is a result of reheap replay' 'is called so'
printf '1234 brk(NULL) = 0x55\n1234 mmap(NULL, 8192) = 0x7f\n' >odd
is_exit 65 'import: what strace prints' "$reheap" import odd -o x.rht
printf '20\n4\n' >odd
is_exit 65 'import: a malloclab file of a header alone' "$reheap" import malloclab odd -o x.rht
says 'odd: .*no operation' 'is called so'
ok 'none of them left a trace' test ! -e x.rht
is_exit 0 'the list of formats' "$reheap" list importers
ok 'says what is not read, and what to do' grep -q 'perf script -i FILE' .out

# one number beyond reason does not refuse the whole log
printf '1: memalign 0x10 9223372036854775808 8\n1: memalign 0x20 64 8\n' >odd
is_exit 0 'an alignment of 2^63' "$reheap" import odd -o x.rht
ok 'is left out, and counted' grep -q 'repaired  1 alignment' .out

# traces and results, wrapped
for by in gzip xz; do
	command -v "$by" >/dev/null || continue
	$by -c t.rht >t.packed
	$by -c r.json >r.packed
	for words in 'info t.packed' 'replay t.packed' 'compare r.packed r.json' \
		'plot r.packed -o drawn' 'history add r.packed --db h.db'; do
		# shellcheck disable=SC2086 # words
		is_exit 65 "$words by $by" "$reheap" $words
		says "[tr]\.packed is packed by $by \($by -dc FILE" 'is called so'
	done
done
printf '\357\273\277' | cat - text.rht >marked.rht
is_exit 0 'a trace behind a byte order mark' "$reheap" info marked.rht
if command -v iconv >/dev/null; then
	iconv -f UTF-8 -t UTF-16 text.rht >wide.rht
	is_exit 65 'a trace in UTF-16' "$reheap" info wide.rht
	says 'wide\.rht is text in UTF-16' 'is called so'
	iconv -f UTF-8 -t UTF-16 r.json >wide.json
	is_exit 65 'a result in UTF-16' "$reheap" compare wide.json r.json
	says 'wide\.json is text in UTF-16' 'is called so'
fi

# names that are empty: a variable of a script that was not set
for words in 'history add r.json --db' 'gate --recompute' 'replay t.rht --backend null -o' \
	'import log -o' 'gate t.rht --baseline null --candidate null --policy'; do
	# shellcheck disable=SC2086 # words
	"$reheap" $words '' >.out 2>.err </dev/null
	code=$?
	ok "$words '': refused (exit $code)" test $code = 2 -o $code = 66 -o $code = 73
	says 'empty|no file' 'with the reason'
done

is_exit 2 'record into an empty name' "$reheap" record -o '' -- /bin/true
says 'empty' 'with the reason'

# a file of a terabyte of nothing is not read to its end
truncate -s 1T sparse 2>/dev/null || : >sparse
if [ -s sparse ]; then
	for words in 'info sparse' 'compare sparse r.json' 'history add sparse --db h.db' \
		'import csv sparse -o x.rht'; do
		# shellcheck disable=SC2086 # words
		is_exit 65 "${words%% *} of a sparse terabyte" timeout 20 "$reheap" $words
	done
else
	skip 'a sparse terabyte' 'this file system has none'
fi
finish
