#!/bin/bash
# Bad input: one clear sentence with file and place, a distinct exit code, existing outputs left
# alone, and never a crash, a hang or a balloon. Complete blocks of a cut trace stay usable.
# shellcheck source=ci/e2e/lib.sh
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

# text: what a person may write wrongly
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
