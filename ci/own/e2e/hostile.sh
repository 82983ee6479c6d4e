#!/bin/bash
# Hostile environments: closed or full streams, missing programs, folders that cannot be written or
# have blanks, one CPU, and a signal midway. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

"$reheap" gen larson -o t.rht events=20000 lanes=2 >/dev/null 2>&1
ok 'there is a trace' test -s t.rht
ok 'and a result' "$reheap" replay t.rht --backend libc --reps 1 -o t.json

# ---- standard streams ----

# nobody WORDS: standard output is closed, then full: an output error each time
nobody() {
	is_exit 74 "$1, closed standard output" bash -c '"$@" >&-' sh "$reheap" "$@"
	[ ! -e /dev/full ] ||
		is_exit 74 "$1, full standard output" bash -c '"$@" >/dev/full' sh "$reheap" "$@"
	says 'standard output' 'is named'
}
nobody replay t.rht --backend null --reps 1
nobody replay t.rht --backend null --reps 1 --format json
nobody replay t.rht --backend null --reps 1 -o -
nobody info t.rht
nobody compare t.json t.json
nobody list backends
nobody gen larson events=1000
nobody export text t.rht
nobody cut --first 100 t.rht -o -
is_exit 0 'nothing is needed of standard input' bash -c '"$@" <&-' sh "$reheap" info t.rht
is_exit 0 'nor of standard error' bash -c '"$@" 2>&-' sh "$reheap" replay t.rht --backend null \
	--reps 1
ok 'and the trace is as it was' "$reheap" info t.rht

# ---- messages about words and files ----

is_exit 2 'a value out of range' "$reheap" replay t.rht --reps 0
says '^reheap replay: --reps: ' 'is named once'
is_exit 2 'no command to run under' "$reheap" replay t.rht --under ' '
echo '[]' >array.json
is_exit 65 'JSON that is no object' "$reheap" compare array.json t.json
says 'schema is absent' 'has no schema'
echo 'int nothing;' >nothing.c
if cc -shared -fPIC nothing.c -o nothing.so 2>/dev/null; then
	is_exit 65 'a library without malloc' "$reheap" replay t.rht --backend ./nothing.so
	says 'not an allocator' 'is reported'
else
	skip 'a library without malloc' 'no C compiler'
fi

# ---- traces that need much memory, pipes, outputs that are traces ----

{
	echo 'reheap-trace 1'
	echo 'lane_start lane=0'
	awk 'BEGIN { for (i = 0; i < 400000; i++) print "alloc lane=0 id=" i " size=1" }'
} >many.txt
is_exit 71 'more living objects than the memory allowed' "$reheap" info --limit-memory 4M many.txt
says '[0-9]+ living objects and more need over 4 MiB of memory, the limit; --limit-memory' \
	'names how many, the limit and the way out'
is_exit 6 'and within it' "$reheap" info --limit-memory=400M many.txt
is_exit 2 'a limit that is none' "$reheap" info --limit-memory many many.txt
bomb=$shared/cases/hostile/bomb-60M-live-objects.rht
if [ -e "$bomb" ]; then
	is_exit 71 'sixty million objects in forty kilobytes' "$reheap" info "$bomb"
	says 'over 29[0-9] MiB of memory, the limit for a file of its size; --limit-memory SIZE raises' \
		'end early without an option'
	is_exit 71 'and in a replay' "$reheap" replay "$bomb" --backend libc --reps 1
	says '--limit-memory SIZE raises' 'too'
	for words in 'cut --lanes 0 -o bomb.rht' 'export malloclab -o bomb.rep' 'export perfetto -o bomb.json'; do
		# shellcheck disable=SC2086 # words
		is_exit 71 "and in ${words%% -o*}" "$reheap" $words "$bomb"
		says '[0-9]+ living objects and more need over .*--limit-memory SIZE raises' 'with the number'
	done
	ok 'which leave nothing' test -z "$(find . -name 'bomb.*')"
else
	skip 'sixty million objects in forty kilobytes' 'the shared cases are not there'
fi
for words in many.txt "$temp/large.rht"; do
	[ -e "$words" ] || "$reheap" gen larson -o "$words" events=400000 >/dev/null 2>&1
	is_exit 71 "a replay of $(basename "$words") in a megabyte" "$reheap" replay --limit-memory 1M "$words" \
		--backend libc --reps 1
	says 'over (the limit of )?1 MiB of memory.*--limit-memory SIZE raises' 'says what it needs'
done
for command in replay info import list; do
	ok "$command --help names the limit" bash -c '"$1" $2 --help | grep -q -e "--limit-memory SIZE"' sh \
		"$reheap" $command
done
for n in 1 2 3 4; do
	"$reheap" gen larson -o shared.rht events=20000$n >/dev/null 2>&1 &
done
wait
is_exit 0 'four writers of one trace' "$reheap" info shared.rht
ok 'leave one whole and nothing else' test "$(find . -name 'shared.rht*' | wc -l)" = 1
mkfifo fifo
cat t.rht >fifo &
is_exit 0 'info of a FIFO' timeout 30 "$reheap" info fifo
ok 'is opened once' grep -q 'a pipe can be read only once' .out
wait
is_exit 0 'info of <(...)' bash -c '"$1" info <(cat t.rht)' sh "$reheap"
is_exit 66 'a replay of <(...)' bash -c '"$1" replay <(cat t.rht) --backend libc --reps 1' sh "$reheap"
says 'pipe or a device' 'is refused by name'
cp t.rht kept.rht
is_exit 2 'a result over a trace' "$reheap" replay t.rht --backend libc --reps 1 -o kept.rht
says 'kept\.rht is a trace' 'is refused'
is_exit 2 'calls over a trace' "$reheap" export csv t.rht -o kept.rht
ok 'and the trace is as it was' cmp t.rht kept.rht
is_exit 0 'a trace over a trace' "$reheap" export binary t.rht -o kept.rht
cp kept.rht as-it-was.rht
is_exit 2 'a JUnit report over a trace' "$reheap" gate t.rht --baseline libc --candidate libc --junit kept.rht
ok 'is refused, and not written with the refusal in it' cmp as-it-was.rht kept.rht
ln -f kept.rht other.rht
ln -sf kept.rht link.rht
for name in kept.rht other.rht link.rht /proc/self/fd/8; do
	is_exit 2 "a cut of a trace into itself, as $name" bash -c 'exec 8<kept.rht; exec "$1" cut --first 9 kept.rht -o "$2"' \
		sh "$reheap" "$name"
	is_exit 2 'its text' bash -c 'exec 8<kept.rht; exec "$1" export text kept.rht -o "$2"' sh "$reheap" "$name"
done
says 'is the trace itself: name another file' 'are refused'
ok 'and the trace is as it was' cmp as-it-was.rht kept.rht
printf '1: malloc 0x10 8\n1: free 0x10\n' >log
cp log kept.log
is_exit 2 'a trace over the recording on standard input' bash -c '"$1" import - -o kept.log <kept.log' sh "$reheap"
ok 'is refused' cmp log kept.log
ln -sf behind.rht link.rht
cp t.rht behind.rht
is_exit 0 'a trace through a link' "$reheap" import log -o link.rht
ok 'replaces the file behind it' test -L link.rht -a "$(cmp -s t.rht behind.rht; echo $?)" = 1
is_exit 0 'a trace into a pipe with a name' timeout 30 bash -c 'mkfifo way; cat way >through.rht & "$1" import log -o way; wait' \
	sh "$reheap"
is_exit 0 'which is whole at the other end' "$reheap" info through.rht
is_exit 66 'a result of <(...) into a history' bash -c '"$1" history add <(cat t.json) --db h.db' sh "$reheap"
says 'no file but a pipe' 'is refused by name'
is_exit 73 'a recording into a folder' "$reheap" record -o / -- "$(command -v touch)" ran
ok 'is refused before the program runs' test ! -e ran
for n in 1 2 3; do
	"$reheap" plot t.json -o drawn-by-three >"plot.$n" 2>&1 || touch failed.plot
done &
for n in 4 5; do
	"$reheap" plot t.json -o drawn-by-three >"plot.$n" 2>&1 || touch failed.plot
done
wait
ok 'figures drawn by two at a time' test ! -e failed.plot -a -s drawn-by-three/report.html
is_exit 74 'a limit on the size of files' bash -c 'ulimit -f 8; "$@"' sh "$reheap" gen churn \
	-o limited.rht events=2000000
says 'limited\.rht.*[Ff]ile too large' 'is said'
ok 'and leaves nothing' test ! -e limited.rht
is_exit 1 'ten open files' bash -c 'ulimit -n 10; "$@"' sh "$reheap" replay t.rht --backend libc \
	--reps 1
ok 'are named as the cause' grep -q 'ulimit -n' .out .err

# A stack of 64 KiB is twice what the loader needs. Under each other limit of the kernel's a command ends by
# itself, with a sentence where it fails.
"$reheap" export csv t.rht -o t.csv >/dev/null 2>&1
if ldd "$reheap" | grep -q -E 'lib(a|t|ub)san'; then
	skip 'limits of the kernel' 'a sanitizer wants more of everything'
else
	for words in 'info t.rht' 'export text t.rht -o s.txt' 'export csv t.rht -o s.csv' 'export malloclab t.rht -o s.rep' \
		'export malloc-bench t.rht -o s.pb' 'export perfetto t.rht -o s.json' 'import t.csv -o s.rht' \
		'gen churn -o s.rht events=2000' 'cut --first 100 t.rht -o s.rht' 'replay t.rht --backend libc --reps 1 -o r.json' \
		'compare t.json t.json' 'plot t.json -o drawn-s' 'history add t.json --db s.db' 'list importers'; do
		# shellcheck disable=SC2086 # words
		is_exit 0 "a stack of 64 KiB: ${words%% -o*}" bash -c 'ulimit -s 64; exec "$@"' sh "$reheap" $words
	done
	rm -f s.*
	for limit in 'v 60000' 'v 100000' 'n 5' 'n 7' 'f 0' 'f 8'; do
		bad=
		for words in 'info t.rht' 'export text t.rht -o l.txt' 'import t.csv -o l.rht' 'gen larson -o l.rht events=200000' \
			'cut --first 100 t.rht -o l.rht' 'replay t.rht --backend libc --reps 1 -o l.json' 'compare t.json t.json' \
			'history add t.json --db l.db'; do
			rm -f l.*
			# shellcheck disable=SC2086 # words
			said=$(ulimit -S -"${limit% *}" "${limit#* }" && timeout 60 "$reheap" $words 2>&1 </dev/null)
			code=$?
			[ $code -lt 124 ] || bad="$bad ${words%% *}=$code"
			[ $code -lt 64 ] || case $said in *reheap*:*) ;; *) bad="$bad ${words%% *}=unsaid" ;; esac
			[ -z "$(find . -maxdepth 1 -name 'l.*.tmp')" ] || bad="$bad ${words%% *}=left"
		done
		rm -f l.*
		ok "commands under ulimit -$limit end, with a sentence${bad:+:$bad}" test -z "$bad"
	done
fi

# ---- a full disk ----

mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=256k none full 2>/dev/null; then
	sed 's/"seed": *[0-9]*/"seed": 99/' t.json >other.json
	is_exit 0 'a history with room' "$reheap" history add t.json --db full/h.db
	sum=$(cksum <full/h.db)
	head -c 1M /dev/zero >full/fill 2>/dev/null
	is_exit 74 'a history without' "$reheap" history add other.json --db full/h.db
	says 'full/h\.db: database or disk is full' 'says why'
	ok 'is as it was' test "$(cksum <full/h.db)" = "$sum"
	is_exit 74 'a new history' "$reheap" history add other.json --db full/new.db
	"$reheap" plot t.json -o full/drawn >.out 2>.err </dev/null
	code=$?
	ok "figures without room (exit $code)" test $code = 73 -o $code = 74
	says 'full/drawn' 'say where'
	is_exit 74 'nor is there for a trace' "$reheap" gen churn -o full/t.rht events=200000
	ok 'and nothing is left of these' test -z "$(find full -type f ! -name fill ! -name h.db)"
	rm full/fill
	is_exit 0 'with room again, the history goes on' "$reheap" history add other.json --db full/h.db
	umount full
else
	skip 'a full disk' 'only root can make one here'
fi

# ---- machine ----

is_exit 0 'sixty-four lanes on one CPU' taskset -c 0 "$reheap" replay t.rht --backend libc \
	--reps 1 --lanes 64
mkdir bin
for name in sh env cat; do
	ln -s "$(command -v $name)" bin/
done
is_exit 0 'figures without gnuplot' env PATH="$temp/bin" "$reheap" plot t.json -o drawn
ok 'are drawn simply' test -s drawn/ns-per-event.svg
is_exit 6 'callgrind without valgrind' env PATH="$temp/bin" "$reheap" replay t.rht \
	--backend libc --reps 1 --counters callgrind
ok 'says that valgrind is missing' grep -q -E 'valgrind is not installed|sanitizer' .out
is_exit 0 'the doctor without either' env PATH="$temp/bin" "$reheap" doctor
is_exit 73 'a TMPDIR that is not there' env TMPDIR="$temp/none" "$reheap" replay t.rht \
	--backend libc --reps 1
says TMPDIR 'names the variable'

# ---- places with blanks ----

blank="$temp/a folder"
mkdir "$blank" "$blank/temporary files"
cp t.rht "$blank/my trace.rht"
cd "$blank" || exit 1
is_exit 0 'a trace and a result with blanks' "$reheap" replay 'my trace.rht' --backend libc \
	--reps 1 -o 'my result.json'
is_exit 0 'figures in a folder with blanks' "$reheap" plot 'my result.json' -o 'my figures'
ok 'are there' test -s 'my figures/report.html' -a -s 'my figures/ns-per-event.svg'
if command -v valgrind >/dev/null && "$reheap" doctor | grep -q 'ok *callgrind'; then
	is_exit 0 'callgrind with temporaries in a folder with blanks' \
		env TMPDIR="$blank/temporary files" "$reheap" replay 'my trace.rht' \
		--backend libc --reps 1 --probes callgrind -v
	ok 'counts' grep -q 'simulated, per event' "$temp/.out"
	ok 'and leaves nothing' test -z "$(ls -A "$blank/temporary files")"
else
	skip 'callgrind with temporaries in a folder with blanks' 'callgrind does not work here'
fi
library=$("$reheap" doctor | sed -n 's/^  ok *\(jemalloc\|mimalloc\|tcmalloc\) *\([^,]*\),.*/\2/p' |
	head -n 1)
if [ -n "$library" ]; then
	cp "$library" 'an allocator.so'
	is_exit 2 'a library to preload with blanks' "$reheap" replay 'my trace.rht' --reps 1 \
		--backend './an allocator.so'
	says 'blank or colon' 'cannot be'
else
	skip 'a library to preload with blanks' 'no allocator is installed besides libc'
fi
cd "$temp" || exit 1

# ---- other ways to the program ----

mkdir links away
ln -s "$reheap" links/rh
is_exit 0 'by a symbolic link, from another folder' bash -c \
	'cd away && ../links/rh replay ../t.rht --backend libc --reps 1'
is_exit 0 'by PATH' env PATH="$temp/links:$PATH" rh replay t.rht --backend libc --reps 1

# ---- signals ----

# ended SIGNAL WORDS: the command ends by that signal and leaves neither process nor file, but for
# the result of what had ended, which is whole
ended() {
	local signal=$1 code
	shift
	rm -rf busy
	mkdir -p busy/tmp
	(cd busy && TMPDIR=$PWD/tmp exec timeout -k 10 -s "$signal" 1 "$reheap" "$@" \
		>/dev/null 2>&1 </dev/null)
	code=$?
	ok "$1, after SIG$signal (exit $code)" test $code = 124
	ok 'leaves no file behind' test -z "$(find busy \( -type f -o -type p \) ! -name out.json)"
	[ ! -f busy/out.json ] ||
		is_exit 0 'what had ended is a whole result' "$reheap" compare busy/out.json busy/out.json
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		grep -q -s -l -a "$temp/busy" /proc/[0-9]*/environ || break
		sleep 0.1
	done
	ok 'and no process' fails grep -q -s -l -a "TMPDIR=$temp/busy/tmp" /proc/[0-9]*/environ
}
"$reheap" gen larson -o long.rht events=2000000 lanes=2 >/dev/null 2>&1
"$reheap" gen larson -o endless.rht events=900000000 >/dev/null 2>&1 &
endless=$!
sleep 0.5
nameless=1
[ -z "$(find . -name 'endless.rht*')" ] || nameless=
kill -TERM $endless
wait $endless 2>/dev/null
for signal in INT TERM; do
	ended $signal replay "$temp/long.rht" --backend libc,tiered --reps 10000 -o out.json
	if [ -n "$nameless" ]; then
		ended $signal gen larson -o out.rht events=900000000
	else
		skip "gen, after SIG$signal" 'this file system has no files without a name'
	fi
done
ended TERM replay "$temp/long.rht" --backend libc --reps 1 --probes callgrind -o out.json
finish
