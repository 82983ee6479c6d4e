#!/bin/bash
# Bad input: one clear sentence with file and place, a distinct exit code, existing outputs left
# alone, and never a crash, a hang or a balloon. Complete blocks of a cut trace stay usable.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

"$reheap" gen server -o good.rht events=200000 lanes=2 >/dev/null 2>&1
ok 'there is a good trace' test -s good.rht
bytes=$(stat -c %s good.rht)

# info and replay of FILE end with CODE and a sentence that names the file
refused() {
	local code=$1 file=$2 what=$3
	is_exit "$code" "info: $what" "$reheap" info "$file"
	says "$(basename "$file")" 'names the file'
	is_exit "$code" "replay: $what" "$reheap" replay "$file" --backend libc --reps 1
	says "$(basename "$file")" 'names the file'
}

refused 66 nowhere.rht 'a file that is not there'
mkdir folder.rht
refused 66 folder.rht 'a directory'
: >empty.rht
refused 65 empty.rht 'an empty file'
echo 'GIF89a and nothing else' >picture.rht
refused 65 picture.rht 'another format'
head -c 100000 /dev/urandom >noise.rht
refused 65 noise.rht 'noise'
if [ "$(id -u)" = 0 ]; then
	skip 'an unreadable file' 'root reads everything'
else
	cp good.rht secret.rht
	chmod 000 secret.rht
	refused 66 secret.rht 'an unreadable file'
fi
# byte OFFSET FILE: replaces one byte by its complement
byte() {
	local old
	old=$(od -An -tu1 -j "$1" -N 1 "$2")
	printf "\\x$(printf %x $((255 - old)))" |
		dd of="$2" bs=1 seek="$1" conv=notrunc status=none
}
for at in 4 6 8; do
	cp good.rht version.rht
	byte $at version.rht
	timeout 20 "$reheap" info version.rht >/dev/null 2>.err </dev/null
	code=$?
	ok "a changed head (byte $at) is bad data or harmless (exit $code)" \
		test $code = 65 -o $code = 0 -o $code = 6
done
flipped=0
for i in $(seq 1 40); do
	cp good.rht flip.rht
	byte $((bytes * i / 41)) flip.rht
	timeout 20 "$reheap" info flip.rht >/dev/null 2>.err </dev/null
	code=$?
	case $code in
	65 | 6) flipped=$((flipped + 1)) ;;
	0) ;;
	*) ok "a flipped byte at $((bytes * i / 41)) is no crash (exit $code)" false ;;
	esac
done
ok "flipped bytes are noticed ($flipped of 40)" test $flipped -ge 36

for share in 10 50 90 99; do
	head -c $((bytes * share / 100)) good.rht >cut.rht
	timeout 20 "$reheap" info cut.rht >out 2>.err </dev/null
	code=$?
	ok "cut at $share %: said (exit $code)" test $code = 6 -o $code = 65
	ok 'with a warning that names the file' grep -q cut.rht .err
done
head -c $((bytes * 90 / 100)) good.rht >cut.rht
"$reheap" info cut.rht >out 2>/dev/null
events=$(sed -n 's/^events *\([0-9]*\).*/\1/p' out)
ok "complete blocks of a cut trace are there (${events:-0} events)" test "${events:-0}" -gt 1000
"$reheap" replay cut.rht --backend libc --reps 1 -o cut.json >/dev/null 2>.err
code=$?
ok "and can be replayed (exit $code)" test $code = 0 -o $code = 6

# text: mistakes that people make
text() {
	printf 'reheap-trace 1\n%b' "$2" >bad.txt
	timeout 20 "$reheap" replay bad.txt --backend libc --reps 1 -o bad.json \
		>/dev/null 2>"$temp/.err" </dev/null
	code=$?
	ok "$1: bad data (exit $code)" test $code = 65
	says 'bad\.txt' 'names the file'
}
text 'an unknown word' 'frobnicate lane=0\n'
text 'a free of nothing' 'lane_start lane=0\nfree lane=0 id=9\n'
text 'freed twice' 'lane_start lane=0\nalloc lane=0 id=0 size=8\nfree lane=0 id=0\nfree lane=0 id=0\n'
text 'a field without a number' 'alloc lane=0 id=0 size=many\n'
printf 'reheap-trace 1\nlane_start lane=0\nalloc lane=0 id=0 size=9223372036854775808\n' >huge.txt
timeout 60 "$reheap" replay huge.txt --backend libc --reps 1 -o huge.json \
	>.out 2>.err </dev/null
code=$?
ok "an object of 2^63 bytes is no crash (exit $code)" test $code -lt 128 -a $code != 124

is_exit 2 'no lanes' "$reheap" replay good.rht --backend libc --lanes 0
says lanes 'names the option'
is_exit 2 'half a lane' "$reheap" replay good.rht --backend libc --lanes 1.5
is_exit 2 'no repetitions' "$reheap" replay good.rht --backend libc --reps 0
is_exit 2 'an unknown backend' "$reheap" replay good.rht --backend unicorn
says unicorn 'names it'
is_exit 2 'an unknown importer' "$reheap" import unicorn good.rht -o x.rht
is_exit 2 'an unknown generator' "$reheap" gen unicorn -o x.rht
is_exit 2 'an unknown parameter' "$reheap" gen server -o x.rht horns=1
says horns 'names it'

# imports: a cut line is left out and reported, a torn one is counted, a format is found
printf '1: malloc 0x10 8\n1: malloc 0x20 64' >cut.log
is_exit 6 'a log that ends inside a number' "$reheap" import cut.log -o cut.rht
says 'cut\.log was cut off' 'is said'
ok 'and what stood before it is there' grep -q 'objects   1 ' .out
ok 'with the format that was found' grep -q 'format    android' .out
ok 'the line is accounted for' grep -q '2 lines = 1 events + 1 dropped' .out
printf '1: malloc 0x10 8\n1: malloc 0x20\n1: malloc 0x30\n' >torn.log
is_exit 65 'a log with too many torn lines' "$reheap" import android torn.log -o torn.rht
says 'torn\.log:2: .*2 of 3 lines are torn; --max-damage 66.8%' 'names the first, and the way out'
ok 'nothing is left of it' test ! -e torn.rht
is_exit 0 'and with the way out' "$reheap" import android torn.log -o torn.rht --max-damage 66.8%
ok 'counts them' grep -q '2 torn_line' .out
printf '1: malloc 0x10 8\n1: malloc 0x20\n' >torn.log
is_exit 65 'one torn line where none may be' "$reheap" import android torn.log -o x.rht --max-damage 0
printf 'hello\nworld\n' >words.txt
is_exit 65 'a text of no format' "$reheap" import words.txt -o x.rht
says 'words\.txt: .*list importers' 'names the list'
is_exit 2 'a format without a file' "$reheap" import android
says 'which file' 'is asked'
printf '18 1 malloc(5)=0x1\n19 1 malloc(6)=0x1\n' >two.log
is_exit 65 'a process that is not in the log' "$reheap" import two.log -o x.rht pid=7
says 'process 7 is not in it \(these are: 18, 19\)' 'names those that are'
is_exit 0 'and one that is' "$reheap" import two.log -o x.rht pid=19
printf '1: malloc 0x10 8\0junk\n1: free 0x10\n' >nul.log
is_exit 65 'a zero byte in a line' "$reheap" import android nul.log -o x.rht
says 'nul\.log:1: a zero byte' 'is named'
head -c 100000 /dev/zero >zeros.log
is_exit 65 'a file of zero bytes' "$reheap" import android zeros.log -o x.rht
says 'all zero bytes' 'is called so'
if [ -r /proc/self/maps ]; then
	is_exit 65 'a file of the kernel, whose length is 0' "$reheap" import /proc/self/maps -o x.rht
	says 'of no format that is known' 'is not called empty'
fi
printf '1: malloc 0x10 8\r1: free 0x10\r\n2: malloc 0x20 8\033[0m\n' >turns.log
is_exit 0 'records between what steers a terminal' "$reheap" import android turns.log -o x.rht
ok 'are all there' grep -q 'input .* 2 lines = 2 events + 0 dropped; 3 events added' .out
ln -s /etc/passwd link
tar -cf link.tar link
is_exit 65 'an archive of a link' "$reheap" import android link.tar -o x.rht
says 'link\.tar is an archive of a link' 'is called so'
tar -cf one.tar turns.log
tar -cf two.tar one.tar
is_exit 65 'an archive in an archive' "$reheap" import two.tar -o x.rht
says 'two\.tar is a tar archive' 'is called so'
printf 'PK\003\004\024\000\001\000\000\000\000\000\000\000\000\000\000\000\020\000\000\000\004\000\000\000\001\000\000\000a0123456789abcdef' >secret.zip
is_exit 65 'a zip with a password' "$reheap" import secret.zip -o x.rht
says 'secret\.zip is encrypted' 'is called so'
mkfifo pipe
tar -cf pipe.tar pipe
is_exit 65 'an archive of a pipe' "$reheap" import android pipe.tar -o x.rht
head -c 100000000 /dev/zero | tr '\0' '\n' | gzip -9 >bomb.gz
is_exit 65 'a hundred megabytes of newlines in a hundred kilobytes' "$reheap" import android bomb.gz -o x.rht
says 'bomb\.gz unpacks to more than' 'end early'
printf '1: malloc 0x10 8\n' >one.log
awk 'BEGIN { for (i = 1; i < 60000; i++) printf "1: malloc 0x%x %d\n", i * 64 + 4096, i * 7919 % 4001 }' |
	gzip >many.gz
head -c $(($(stat -c %s many.gz) / 2)) many.gz >short.gz
is_exit 6 'a compressed log that was cut off' "$reheap" import short.gz -o x.rht
ok 'is there up to the cut' grep -q 'cut off   after line [0-9]' .out
awk 'BEGIN { for (i = 1; i < 400; i++) printf "1: malloc 0x%x %d\n", i * 64 + 4096, i * 7919 % 4001 }' >small.log
gzip -k small.log
head -c $(($(stat -c %s small.log.gz) * 3 / 4)) small.log.gz >short.gz
is_exit 6 'a compressed log cut inside its first block' "$reheap" import short.gz -o x.rht
kept=$(sed -n 's/^  objects   \([0-9]*\) .*/\1/p' .out)
ok "keeps what stands before the cut (${kept:-0} of 399 lines)" test "${kept:-0}" -gt 200
tar -cf small.tar small.log
head -c 6000 small.tar >short.tar
is_exit 6 'and so does an archive' "$reheap" import short.tar -o x.rht
ok 'by the bytes it has' grep -q 'cut off   after line [12][0-9][0-9]:' .out
head -c 6 small.log.gz >short.gz
is_exit 65 'a compressed log of which only the head is left' "$reheap" import short.gz -o x.rht
says 'short\.gz was cut off before the first byte' 'is called so'
is_exit 0 'a log from a pipe' bash -c 'cat one.log | "$1" import - -o x.rht' sh "$reheap"
is_exit 0 'and from <(...)' bash -c '"$1" import <(cat one.log) -o x.rht' sh "$reheap"
printf '1: malloc 0x10 8\n1: malloc 0x20\n1: malloc 0x30 64\n1: malloc 0x40 6' >cut.log
is_exit 6 'a cut log that goes down a pipe' "$reheap" import android cut.log -o -
ok 'with its drops on standard error' grep -q 'dropped   1 torn_line, 1 cut_line' .err
cp one.log kept.log
is_exit 2 'a trace over the recording it is made of' "$reheap" import one.log -o one.log
says 'one\.log is the recording itself' 'is refused'
ok 'and the recording is as it was' cmp one.log kept.log
printf 'op,ptr,size\nmalloc,0x10,8\n' >calls.csv
is_exit 65 'a process of a log that names none' "$reheap" import calls.csv -o x.rht pid=7
says 'calls\.csv: process 7 cannot be distinguished from others' 'is refused'
printf 'reheap-trace 1\nlane_start lane=0\nalloc lane=0 id=0 size=8\nalloc lane=0 id=1 si\nalloc lane=0 id=2 size=9\nfree lane=0 id=1\nend\n' >torn.txt
is_exit 0 'a torn line of our own text' "$reheap" import torn.txt -o x.rht
ok 'is counted, and what names its object' grep -q 'dropped .*1 lost_object.*1 torn_line\|dropped .*1 torn_line.*1 lost_object' .out
for case in "$shared"/cases/import/*/in.* "$shared"/cases/import/*/*.raw; do
	[ -e "$case" ] || continue
	is_exit 0 "case $(basename "$(dirname "$case")")" "$reheap" import "$case" -o x.rht
done


# JSON: a byte order mark is skipped, a file that is not a document is reported
"$reheap" replay good.rht --backend null --reps 1 -o good.json >/dev/null 2>&1
{ printf '\357\273\277' && cat good.json; } >mark.doc
is_exit 0 'a result behind a byte order mark' "$reheap" compare mark.doc good.json
is_exit 0 'and into a history' "$reheap" history add mark.doc --db h.db
mkdir folder.json
: >empty.json
cat good.json good.json >two.doc
for words in 'compare folder.json good.json' 'plot folder.json -o drawn.folder' 'history add folder.json --db h.db'; do
	# shellcheck disable=SC2086 # words
	is_exit 66 "${words%% *} of a folder" "$reheap" $words
	says 'folder\.json is a directory' 'is called so'
done
is_exit 2 'a policy that is a folder' "$reheap" gate good.rht --baseline libc --candidate libc --policy folder.json
says 'folder\.json is a directory' 'is called so'
is_exit 65 'an empty document into a history' "$reheap" history add empty.json --db h.db
says 'empty\.json is empty' 'is called so'
is_exit 65 'two documents in one file' "$reheap" compare two.doc good.json
says 'two\.doc:[0-9]+: not JSON: end of file expected' 'are one too many'

# outputs
echo precious >kept.json
is_exit 65 'a failed replay' "$reheap" replay picture.rht --backend libc --reps 1 -o kept.json
ok 'leaves an existing output alone' grep -q precious kept.json
echo precious >kept.rht
is_exit 65 'a failed import' "$reheap" import android picture.rht -o kept.rht
ok 'leaves an existing output alone' grep -q precious kept.rht
mkdir drawn
echo precious >drawn/report.html
echo '{"schema": "reheap.result/1"}' >half.json
is_exit 65 'half a result' "$reheap" plot half.json -o drawn
ok 'leaves an existing report alone' grep -q precious drawn/report.html
ok 'no temporary is left behind' bash -c '! ls -A . drawn | grep -q "\.tmp$"'
is_exit 73 'an output in no folder' "$reheap" gen churn -o nowhere/x.rht events=2000
says 'nowhere/x.rht' 'names it'
is_exit 73 'an output that is a folder' "$reheap" gen churn -o folder.rht events=2000
before=$SECONDS
is_exit 73 'an output of replay in no folder' "$reheap" replay good.rht --backend libc -o nowhere/x.json
if [ -e /dev/full ]; then
	is_exit 74 'a full disk' "$reheap" gen churn -o /dev/full events=2000
fi
ok 'none of this took long' test $((SECONDS - before)) -lt 30
finish
