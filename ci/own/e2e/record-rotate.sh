#!/bin/bash
# reheap record --rotate: a recording in segments. Each is a trace by itself, and together they are
# the whole recording: births less the carried ones, and the live blocks at each joint. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
command -v gcc >/dev/null || skip_all 'no compiler here'
hard=$build/helpers/record_hard

cat >churn.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static long count, births[2];
static void *work(void *number)
{
	void *keep[500] = { 0 };
	unsigned random = 7 + (unsigned)(size_t)number;
	for (long i = 0; i < count; i++) {
		unsigned k = (random = random * 1103515245 + 12345) >> 16;
		k %= 500;
		if (keep[k] && random % 8 == 0) {
			keep[k] = realloc(keep[k], 16 + random % 3000); /* a birth and a death */
		} else {
			free(keep[k]);
			keep[k] = i % 50 ? malloc(16 + random % 500) : aligned_alloc(256, 512);
		}
		births[(size_t)number]++;
	}
	for (int k = 0; k < 250; k++)
		free(keep[k]);
	return 0;
}
int main(int argc, char **argv)
{
	pthread_t thread;
	count = atol(argv[1]);
	pthread_create(&thread, 0, work, (void *)1);
	work(0);
	pthread_join(thread, 0);
	fprintf(stderr, "births %ld\n", births[0] + births[1]);
	return 7;
}
END
gcc -O1 -fno-builtin -pthread churn.c -o churn || skip_all 'the program does not build'

# Of segments in their order: births less what was carried, and how many joints are not tight.
sum_up() {
	local file
	for file in "$@"; do
		"$reheap" info --no-edges "$file" | awk '
			$1 == "alloc" && $2 ~ /^[0-9]+$/ || $1 == "resize" { births += $2 }
			/^ *live at end/ { gsub(",", ""); objects = $4; bytes = $6 }
			$1 == "segment.carried_objects" { carried = $2 }
			$1 == "segment.carried_bytes" { carried_bytes = $2 }
			END { print births - carried, carried, carried_bytes, objects + 0, bytes + 0 }'
	done | awk '
		NR > 1 && ($2 != objects || $3 != bytes) { loose++ }
		{ births += $1; objects = $4; bytes = $5 }
		END { print births, loose + 0 }'
}

# whole WHAT TRACE...: they hold every birth of .err once (and a few of libc's own)
whole() {
	local what=$1 births loose want
	shift
	read -r births loose <<<"$(sum_up "$@")"
	want=$(sed -n 's/^births //p' .err)
	ok "$what: all births, once ($births of $want in $#)" test "$births" -ge "$want" -a "$births" -le $((want + 20))
	ok "$what: what lives at an end is what the next begins with" test "$loose" = 0
}

is_exit 7 'by size' "$reheap" record --rotate 64K -o size.rht -- ./churn 150000
files=(size.s????.rht)
ok "several (${#files[@]})" test ${#files[@]} -ge 3
ok 'and nothing else is there' test "$(find . -name 'size*' | wc -l)" = ${#files[@]}
whole size "${files[@]}"
ok 'its number is in it' grep -qE '^ +segment +2$' <("$reheap" info size.s0002.rht)
ok 'and said' grep -q 'not complete: it is segment 2 of a recording' <("$reheap" info size.s0002.rht)
for file in size.s0001.rht size.s0002.rht "${files[-1]}"; do
	is_exit 0 "$file: replay verifies" "$reheap" replay "$file" --backend libc --reps 1 --verify -o r.json
	ok 'without repairs' fails grep -qE 'repair\.|drop\.free|inversion' <("$reheap" info "$file")
done
is_exit 7 'by time' "$reheap" record --rotate 2ms -o time.rht -- ./churn 100000
files=(time.s????.rht)
ok "several (${#files[@]})" test ${#files[@]} -ge 2
whole time "${files[@]}"
is_exit 7 'bounded' "$reheap" record --rotate 64K --keep 2 -o keep.rht -- ./churn 150000
files=(keep.s????.rht)
ok 'the last two stay' test ${#files[@]} = 2
is_exit 0 'and replay' "$reheap" replay "${files[0]}" --backend libc --reps 1 --verify -o r.json
is_exit 7 'a sample' "$reheap" record --sample-bytes 4K --rotate 64K -o sample.rht -- ./churn 400000
files=(sample.s????.rht)
ok "several (${#files[@]})" test ${#files[@]} -ge 2
ok 'each says so' test "$(for file in "${files[@]}"; do "$reheap" export text "$file" | grep -x 'note sample.bytes=4096'; done | wc -l)" = ${#files[@]}
ok 'joints are tight' test "$(sum_up "${files[@]}" | cut -d' ' -f2)" = 0
is_exit 7 'callers' "$reheap" record --sites --rotate 64K -o sites.rht -- ./churn 100000
ok 'are named in each' test "$("$reheap" export text sites.s0002.rht | grep -c '^site .*churn')" -ge 1
is_exit 0 'children' "$reheap" record -f --rotate 64K -o f.rht -- sh -c './churn 100000; true'
ok 'have segments of their own' test "$(find . -name 'f.[0-9]*.s????.rht' | wc -l)" -ge 2

# Calls in finished segments are removed from the capture: 4.2 million calls are 34 MB.
"$reheap" record -q --rotate 64K --keep 2 -o disk.rht -- "$hard" churn-then 700000 "$temp/disk" &
recorder=$!
until_true test -e disk
touch disk.go
until_true test -e disk.2
small() {
	test "$(du -k disk.rht.capture | cut -f 1)" -lt 26000
}
until_true small
ok 'the capture of a recording in segments stays small' small
touch disk.go.2
wait $recorder
ok 'and it ends as ever' test $? = 0

if [ "$(uname -m)" = x86_64 ]; then
	mkdir live
	touch live/quiet
	"$build/helpers/record_live" 3 60000 "$temp/live" &
	program=$!
	until_true test -e live/ready
	"$reheap" record --pid $program --rotate 1ms -o pid.rht 2>said.txt &
	recorder=$!
	until_true grep -q 'recorded from now on' said.txt
	touch live/on
	until_true test -e live/counted
	kill -INT $recorder
	wait $recorder
	ok 'a process that runs: the recording ends' test $? = 0
	files=(pid.s????.rht)
	ok "several (${#files[@]})" test ${#files[@]} -ge 2
	ok 'all births, once' test "$(sum_up "${files[@]}" | cut -d' ' -f1)" = "$(cat live/counted)"
	ok 'joints are tight' test "$(sum_up "${files[@]}" | cut -d' ' -f2)" = 0
	ok 'without damage' fails grep -qE 'free_unknown|alloc_live|inversion' <("$reheap" info "${files[-1]}")
	is_exit 0 'and replays' "$reheap" replay "${files[-1]}" --backend libc --reps 1 --verify -o r.json
	touch live/off live/end
	wait $program
	ok 'the program ended undisturbed' test $? = 0
fi

is_exit 2 'with --maps' "$reheap" record --rotate 1M --maps -o x.rht -- true
says 'rotate and --maps' 'is refused by name'
is_exit 2 'a number of segments without any' "$reheap" record --keep 3 -o x.rht -- true
says 'goes with --rotate' 'is refused'
is_exit 2 'the end of what is cut' "$reheap" record --keep last --rotate 1M -o x.rht -- true
says 'how many segments' 'is refused'
is_exit 2 'too small' "$reheap" record --rotate 1K -o x.rht -- true
says '64K' 'is refused'
is_exit 2 'times that are not there' "$reheap" record --rotate 1h --no-time -o x.rht -- true
says 'no-time' 'are refused'
finish
